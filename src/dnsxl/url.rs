//! The canonical form of a URL, as the Safe Browsing protocol describes it, and what of it is hashed.
//!
//! What is hashed is `host[:port]/path[?query]`: the canonical URL without its scheme, user and password; the port
//! stands there only if it is not the scheme's own. Invariant: the result is printable ASCII without `#`, in which `%`
//! only begins an upper-case escape, and URLs that differ in escapes, case of the host, dots or slashes alone give the
//! same bytes.
//!
//! Not done: the parts are told apart as they are written, before anything is unescaped; `\` is no slash; nothing is
//! fetched, and no redirection followed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A URL in canonical form, in memory that the next one uses again.
#[derive(Clone, Debug, Default)]
pub struct CanonicalUrl {
    /// `host[:port]/path[?query]`
    text: Vec<u8>,
    host_end: usize,
    path_begin: usize,
    path_end: usize,
    address: Option<IpAddr>,
    scratch: Vec<u8>,
}

/// The host of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// An address, however it was written.
    Address(IpAddr),
    /// A name in lower case, international ones in their ASCII form; bytes that no name has are escaped.
    Name(&'a [u8]),
}

impl CanonicalUrl {
    /// The canonical form of one URL.
    ///
    /// # Errors
    ///
    /// As [`CanonicalUrl::parse`].
    pub fn of(url: &[u8]) -> Result<Self, UrlError> {
        let mut canonical = Self::default();
        canonical.parse(url)?;
        Ok(canonical)
    }

    /// Parses a URL in the place of the one before. Without a scheme it is taken as `http`.
    ///
    /// # Errors
    ///
    /// There is no host, or the port is no number.
    pub fn parse(&mut self, url: &[u8]) -> Result<(), UrlError> {
        self.text.clear();
        self.address = None;
        let url = url.trim_ascii();
        let url = &url[..position(url, |byte| byte == b'#').unwrap_or(url.len())];
        let (scheme, rest) = split_scheme(url);
        let authority_end = position(rest, |byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_end);
        let host = &authority[authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1)..];
        let (host, port) = split_port(host);
        self.write_host(host)?;
        self.host_end = self.text.len();
        if let Some(port) = read_port(port)?.filter(|&port| !is_default(scheme, port)) {
            self.text.extend(format_args!(":{port}").to_string().into_bytes());
        }
        let (path, query) = match position(rest, |byte| byte == b'?') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        self.path_begin = self.text.len();
        self.write_path(path);
        self.path_end = self.text.len();
        if let Some(query) = query {
            unescape(query, &mut self.scratch);
            self.text.push(b'?');
            escape(&self.scratch, &mut self.text);
        }
        Ok(())
    }

    /// What is hashed: host, port if it is not the scheme's own, path and query.
    pub fn hashed(&self) -> &[u8] {
        &self.text
    }

    /// The host.
    pub fn host(&self) -> Host<'_> {
        match self.address {
            Some(address) => Host::Address(address),
            None => Host::Name(&self.text[..self.host_end]),
        }
    }

    /// The host as it is written in the canonical form: a name, or an address in the brackets it may need.
    pub fn host_text(&self) -> &[u8] {
        &self.text[..self.host_end]
    }

    /// Path and query; with the host in front, the most specific of [`Self::expressions`].
    pub fn path_and_query(&self) -> &[u8] {
        &self.text[self.path_begin..]
    }

    /// The up to 30 expressions that a list of URL prefixes is asked for: up to five hosts, each with up to six paths.
    ///
    /// The hosts are the whole one and, unless it is an address, those of its last five to two labels; the paths are
    /// the whole one with and without its query, and those of its first four folders. Ports have no part in it.
    pub fn expressions(&self) -> Vec<Vec<u8>> {
        let host = &self.text[..self.host_end];
        let mut hosts = vec![host];
        if self.address.is_none() {
            let dots: Vec<usize> =
                host.iter().enumerate().filter(|&(_, &byte)| byte == b'.').map(|(at, _)| at).collect();
            // the dot in front of the last two labels is the last but one
            let first = dots.len().saturating_sub(MAX_SUFFIX_LABELS);
            hosts.extend(dots[first..dots.len().saturating_sub(1).max(first)].iter().map(|&dot| &host[dot + 1..]));
        }
        let path = &self.text[self.path_begin..self.path_end];
        let whole = &self.text[self.path_begin..];
        let mut paths = vec![whole];
        let folders = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(at, _)| &path[..=at]);
        for path in std::iter::once(path).chain(folders.take(MAX_FOLDERS)) {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        hosts.iter().flat_map(|host| paths.iter().map(|path| [*host, *path].concat())).collect()
    }

    fn write_host(&mut self, host: &[u8]) -> Result<(), UrlError> {
        if let Some(address) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
            let text = std::str::from_utf8(address).ok();
            let address: Ipv6Addr = text.and_then(|text| text.parse().ok()).ok_or(UrlError::NoHost)?;
            self.address = Some(address.into());
            self.text.extend(format!("[{address}]").into_bytes());
            return Ok(());
        }
        unescape(host, &mut self.scratch);
        if !self.scratch.is_ascii()
            && let Some(ascii) =
                std::str::from_utf8(&self.scratch).ok().and_then(|host| idna::domain_to_ascii(host).ok())
        {
            self.scratch = ascii.into_bytes();
        }
        self.scratch.make_ascii_lowercase();
        for label in self.scratch.split(|&byte| byte == b'.').filter(|label| !label.is_empty()) {
            if !self.text.is_empty() {
                self.text.push(b'.');
            }
            escape(label, &mut self.text);
        }
        if self.text.is_empty() {
            return Err(UrlError::NoHost);
        }
        if let Some(address) = read_ip4(&self.text) {
            self.address = Some(address.into());
            self.text = address.to_string().into_bytes();
        }
        Ok(())
    }

    fn write_path(&mut self, path: &[u8]) {
        unescape(path, &mut self.scratch);
        let mut is_folder = true;
        for segment in self.scratch.split(|&byte| byte == b'/') {
            is_folder = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"" | b"." => {}
                b".." => {
                    let kept = self.text[self.path_begin..].iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                    self.text.truncate(self.path_begin + kept);
                }
                _ => {
                    self.text.push(b'/');
                    escape(segment, &mut self.text);
                }
            }
        }
        if is_folder {
            self.text.push(b'/');
        }
    }
}

/// Why a URL has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Nothing stands where the host should.
    #[error("no host")]
    NoHost,
    /// What stands behind the host's colon is no port.
    #[error("invalid port")]
    Port,
}

fn position(text: &[u8], is: impl Fn(u8) -> bool) -> Option<usize> {
    text.iter().position(|&byte| is(byte))
}

/// What stands in front of `://`, if that can be a scheme (RFC 3986, section 3.1), and what behind it.
fn split_scheme(url: &[u8]) -> (&[u8], &[u8]) {
    let end = position(url, |byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')));
    match end.map(|end| url.split_at(end)) {
        Some((scheme, [b':', b'/', b'/', rest @ ..])) if !scheme.is_empty() => (scheme, rest),
        _ => (b"http", url.strip_prefix(b"//").unwrap_or(url)),
    }
}

/// The colon of a port is the last one, and not one inside an IPv6 address.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    match host.iter().rposition(|&byte| matches!(byte, b':' | b']')) {
        Some(at) if host[at] == b':' => (&host[..at], &host[at + 1..]),
        _ => (host, b""),
    }
}

fn read_port(port: &[u8]) -> Result<Option<u16>, UrlError> {
    let mut digits = port.iter().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')).peekable();
    if digits.peek().is_none() {
        return Ok(None);
    }
    let port = digits.try_fold(0u16, |port, &digit| match digit {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(digit - b'0')),
        _ => None,
    });
    port.map(Some).ok_or(UrlError::Port)
}

fn is_default(scheme: &[u8], port: u16) -> bool {
    DEFAULT_PORTS.iter().any(|&(name, default)| port == default && scheme.eq_ignore_ascii_case(name.as_bytes()))
}

/// An address of one to four numbers, each decimal, octal behind `0` or hexadecimal behind `0x`; the last one fills the
/// bytes that are left.
fn read_ip4(host: &[u8]) -> Option<Ipv4Addr> {
    let mut numbers = [0u32; 4];
    let mut count = 0;
    for part in host.split(|&byte| byte == b'.') {
        *numbers.get_mut(count)? = read_number(part)?;
        count += 1;
    }
    let (&last, leading) = numbers[..count].split_last()?;
    let mut address = last;
    // with n numbers in front, 32 − 8n bits are left
    if u64::from(last) >= 1 << (32 - 8 * leading.len()) {
        return None;
    }
    for (index, &number) in leading.iter().enumerate() {
        address |= u32::from(u8::try_from(number).ok()?) << (24 - 8 * index);
    }
    Some(address.into())
}

fn read_number(part: &[u8]) -> Option<u32> {
    let (digits, radix) = match part {
        [b'0', b'x', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
        digits => (digits, 10),
    };
    if digits.is_empty() {
        return None;
    }
    digits
        .iter()
        .try_fold(0u32, |number, &digit| number.checked_mul(radix)?.checked_add((digit as char).to_digit(radix)?))
}

/// Writes `text` to `out` with tabs and line ends dropped, and escapes undone until none is left.
///
/// Escapes cannot overlap, so undoing each as soon as it is complete gives what pass after pass over the whole would,
/// in time that grows with the length alone.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if !text.iter().any(|byte| matches!(byte, b'%' | b'\t' | b'\r' | b'\n')) {
        out.extend_from_slice(text);
        return;
    }
    for &byte in text.iter().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n')) {
        out.push(byte);
        while let [.., b'%', high, low] = out[..]
            && let (Some(high), Some(low)) = ((high as char).to_digit(16), (low as char).to_digit(16))
        {
            out.truncate(out.len() - 3);
            out.push((high << 4 | low) as u8);
        }
    }
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'%');
    if text.iter().all(is_plain) {
        return out.extend_from_slice(text);
    }
    for &byte in text {
        if is_plain(&byte) {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// The protocol asks for hosts of at most this many of the last labels, besides the whole one.
const MAX_SUFFIX_LABELS: usize = 5;
/// The protocol asks for this many folders from the root on.
const MAX_FOLDERS: usize = 4;
const DEFAULT_PORTS: [(&str, u16); 3] = [("http", 80), ("https", 443), ("ftp", 21)];
const HEX: &[u8] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(url: &[u8]) -> String {
        String::from_utf8(CanonicalUrl::of(url).unwrap().hashed().to_vec()).unwrap()
    }

    /// The examples that the protocol's description gives, with hosts of our own where they do not matter.
    #[test]
    fn published_examples_hold() {
        for (url, canonical) in [
            ("http://host/%25%32%35", "host/%25"),
            ("http://host/%25%32%35%25%32%35", "host/%25%25"),
            ("http://host/%2525252525252525", "host/%25"),
            ("http://host/asdf%25%32%35asd", "host/asdf%25asd"),
            ("http://host/%%%25%32%35asd%%", "host/%25%25%25asd%25%25"),
            ("http://www.list.example/", "www.list.example/"),
            ("http://%31%39%32%2e%30%2e%32%2e%32%36/%2E%73%65%63%75%72%65/%77%77%77/", "192.0.2.26/.secure/www/"),
            ("http://192.0.2.11/uploads/%20%20/.verify/.a=b-c/", "192.0.2.11/uploads/%20%20/.verify/.a=b-c/"),
            (
                "http://host%23.example/%257Ea%2521b%2540c%2523d%2524e%25f%255E00%252611%252A22%252833%252944_55%252B",
                "host%23.example/~a!b@c%23d$e%25f^00&11*22(33)44_55+",
            ),
            ("http://3221225995/blah", "192.0.2.11/blah"),
            ("http://www.list.example/blah/..", "www.list.example/"),
            ("www.list.example/", "www.list.example/"),
            ("www.list.example", "www.list.example/"),
            ("http://www.list.example/blah#frag", "www.list.example/blah"),
            ("http://www.LIST.example/", "www.list.example/"),
            ("http://www.list.example.../", "www.list.example/"),
            ("http://www.list.example/foo\tbar\rbaz\n2", "www.list.example/foobarbaz2"),
            ("http://www.list.example/q?", "www.list.example/q?"),
            ("http://www.list.example/q?r?", "www.list.example/q?r?"),
            ("http://www.list.example/q?r?s", "www.list.example/q?r?s"),
            ("http://list.example/foo#bar#baz", "list.example/foo"),
            ("http://list.example/foo;", "list.example/foo;"),
            ("http://list.example/foo?bar;", "list.example/foo?bar;"),
            ("http://notrailingslash.example", "notrailingslash.example/"),
            ("http://www.gotaport.example:1234/", "www.gotaport.example:1234/"),
            ("  http://www.list.example/  ", "www.list.example/"),
            ("http:// leadingspace.example/", "%20leadingspace.example/"),
            ("http://%20leadingspace.example/", "%20leadingspace.example/"),
            ("%20leadingspace.example/", "%20leadingspace.example/"),
            ("https://www.list.example/", "www.list.example/"),
            ("http://host.example/ab%23cd", "host.example/ab%23cd"),
            ("http://host.example//twoslashes?more//slashes", "host.example/twoslashes?more//slashes"),
        ] {
            assert_eq!(hashed(url.as_bytes()), canonical, "{url}");
        }
        assert_eq!(hashed(b"http://\x01\x80.example/"), "%01%80.example/");
    }

    #[test]
    fn parts_that_do_not_count_are_dropped() {
        for (url, canonical) in [
            ("http://list.example:80/a", "list.example/a"),
            ("https://list.example:443", "list.example/"),
            ("http://list.example:443/", "list.example:443/"),
            ("HTTP://list.example:/", "list.example/"),
            ("http://user:pass@list.example/a", "list.example/a"),
            ("http://a@b@list.example/a", "list.example/a"),
            ("//list.example/a", "list.example/a"),
            ("list.example:8080/a", "list.example:8080/a"),
            ("http://list.example?q", "list.example/?q"),
            ("http://..list..example../a/./b/../../c//d/", "list.example/c/d/"),
            ("http://list.example/../../a", "list.example/a"),
            ("http://list.example/a/.", "list.example/a/"),
            ("http://list.example/%2e%2e/a", "list.example/a"),
            ("http://list.example/A%2FB?C%3dD", "list.example/A/B?C=D"),
        ] {
            assert_eq!(hashed(url.as_bytes()), canonical, "{url}");
        }
    }

    #[test]
    fn hosts_are_told_apart() {
        let address = |url: &str| match CanonicalUrl::of(url.as_bytes()).unwrap().host() {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => format!("name {}", name.escape_ascii()),
        };
        for url in ["0xc0.0.2.1", "0300.0.02.01", "192.0.513", "192.513", "3221225985", "0xC0000201", "192.0.2.1."] {
            assert_eq!(address(url), "192.0.2.1", "{url}");
        }
        for url in ["192.0.2.256", "192.0.2.1.1", "192.0.65536", "4294967296", "0x", "08.0.2.1", "1a.2"] {
            assert!(address(url).starts_with("name "), "{url}");
        }
        assert_eq!(address("http://[2001:DB8:0::1]:8080/x"), "2001:db8::1");
        assert_eq!(hashed(b"http://[2001:DB8:0::1]:8080/x"), "[2001:db8::1]:8080/x");
        assert_eq!(address("http://B\u{fc}cher.example/"), "name xn--bcher-kva.example");
        assert_eq!(address("http://B%C3%BCcher.example/"), "name xn--bcher-kva.example");
    }

    #[test]
    fn a_url_needs_a_host() {
        for url in ["", "http://", "http:///path", "?q", "http://.../", "http://@/", "http://[::g]/", "#"] {
            assert_eq!(CanonicalUrl::of(url.as_bytes()).unwrap_err(), UrlError::NoHost, "{url}");
        }
        for url in ["http://list.example:x/", "http://list.example:65536/", "list.example:-1"] {
            assert_eq!(CanonicalUrl::of(url.as_bytes()).unwrap_err(), UrlError::Port, "{url}");
        }
    }

    #[test]
    fn expressions_are_those_of_the_protocol() {
        let expressions = |url: &str| {
            let all = CanonicalUrl::of(url.as_bytes()).unwrap().expressions();
            all.into_iter().map(|one| String::from_utf8(one).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            expressions("http://a.b.c/1/2.html?param=1"),
            [
                "a.b.c/1/2.html?param=1",
                "a.b.c/1/2.html",
                "a.b.c/",
                "a.b.c/1/",
                "b.c/1/2.html?param=1",
                "b.c/1/2.html",
                "b.c/",
                "b.c/1/",
            ]
        );
        assert_eq!(
            expressions("http://a.b.c.d.e.f.g/1.html"),
            [
                "a.b.c.d.e.f.g/1.html",
                "a.b.c.d.e.f.g/",
                "c.d.e.f.g/1.html",
                "c.d.e.f.g/",
                "d.e.f.g/1.html",
                "d.e.f.g/",
                "e.f.g/1.html",
                "e.f.g/",
                "f.g/1.html",
                "f.g/",
            ]
        );
        assert_eq!(expressions("http://192.0.2.1:8080/1/"), ["192.0.2.1/1/", "192.0.2.1/"]);
        assert_eq!(expressions("http://host/"), ["host/"]);
        assert_eq!(expressions("http://a.b/1/2/3/4/5/6?q").len(), 6);
        assert_eq!(expressions("http://a.b.c.d.e.f.g/1/2/3/4/5/6?q").len(), 30);
    }

    #[test]
    fn a_canonical_form_is_its_own() {
        for url in
            ["a.example/%2525", "0x7f.1/", "b\u{fc}.example/\u{fc}?\u{fc}#x", "[::1]/", "a.example:81/%00/../%7F"]
        {
            let once = hashed(url.as_bytes());
            assert_eq!(hashed(once.as_bytes()), once);
        }
    }

    #[test]
    fn many_nested_escapes_take_no_time() {
        let url = [b"a.example/%".to_vec(), b"25".repeat(1 << 20)].concat();
        assert_eq!(hashed(&url), "a.example/%25");
    }
}
