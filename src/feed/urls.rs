//! Lists of URLs: one a line, as OpenPhish has them, or URLhaus' CSV.
//!
//! A dataset of addresses and names lists a URL's host, by default the exact name; one of hash keys its canonical form.
//! Invariant: nothing of a URL but its host is ever listed as a name, and a host that is an address is listed as one
//! however it is written.

use std::net::IpAddr;

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::name::NameBuffer;
use super::plain::{is_comment, split_exclusion};
use super::text::trim;
use super::{Entry, FileError, Reading, Said, Scope, Sink};
use crate::dnsxl::KeyShape;
use crate::dnsxl::url::{CanonicalUrl, Host};

/// Parses a URL a line; columns in front of it are parted by tabs and skipped.
pub(super) fn parse(lines: Lines<'_>, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let mut lister = Lister::new(reading);
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (said, line) = split_exclusion(line);
        lister.list(number, url_column(line), said, sink)
    })
}

/// The column with the URL, which a scheme tells, or else the last one; a URL itself holds no tab.
fn url_column(line: &[u8]) -> &[u8] {
    let mut columns = line.rsplit(|&byte| byte == b'\t');
    let last = columns.next().unwrap_or(line);
    if last.len() == line.len() {
        return line;
    }
    let has_scheme = |column: &&[u8]| memchr::memmem::find(column, b"://").is_some();
    std::iter::once(last).chain(columns).find(has_scheme).unwrap_or(last)
}

/// Parses URLhaus' CSV: `id, dateadded, url, url_status, …`, quoted.
pub(super) fn parse_urlhaus(lines: Lines<'_>, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let mut lister = Lister::new(reading);
    let mut url = Vec::new();
    let mut status = Vec::new();
    let mut skipped = Vec::new();
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        url.clear();
        status.clear();
        skipped.clear();
        let mut rest = Some(line);
        for column in 0..COLUMNS {
            let Some(text) = rest else { return Err(LineError::Columns { found: column, wanted: COLUMNS }) };
            let out = match column {
                URL_COLUMN => &mut url,
                STATUS_COLUMN => &mut status,
                _ => &mut skipped,
            };
            rest = read_column(text, out).ok_or(LineError::Columns { found: column, wanted: COLUMNS })?;
        }
        if reading.online_only && status == b"offline" {
            return Ok(());
        }
        lister.list(number, &url, Said::Listed(super::rbldnsd::UNSAID), sink)
    })
}

/// Reads the column in front of a CSV line (RFC 4180); what follows its comma, if one follows.
fn read_column<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<Option<&'a [u8]>> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let end = memchr::memchr(b',', text).unwrap_or(text.len());
        out.extend_from_slice(&text[..end]);
        return Some(text.get(end + 1..));
    };
    loop {
        let (part, after) = rest.split_at(memchr::memchr(b'"', rest)?);
        out.extend_from_slice(part);
        rest = match after {
            [b'"', b'"', after @ ..] => {
                out.push(b'"');
                after
            }
            [b'"', b',', after @ ..] => return Some(Some(after)),
            [b'"'] => return Some(None),
            _ => return None,
        };
    }
}

/// Lists a URL in the way that the dataset wants it.
struct Lister {
    key: Option<KeyShape>,
    scope: Scope,
    url: CanonicalUrl,
    name: NameBuffer,
}

impl Lister {
    fn new(reading: &Reading) -> Self {
        let scope = reading.scope.unwrap_or(Scope::Exact);
        Self { key: reading.key, scope, url: CanonicalUrl::default(), name: NameBuffer::new() }
    }

    fn list(&mut self, number: u64, url: &[u8], said: Said<'_>, sink: &mut impl Sink) -> Result<(), LineError> {
        let wrong = || LineError::Url { found: Excerpt::new(url) };
        self.url.parse(url).map_err(|_| wrong())?;
        if let Some(shape) = self.key {
            sink.entry(number, Entry::Hash { key: shape.hash(self.url.hashed()).as_bytes(), said });
            return Ok(());
        }
        match self.url.host() {
            Host::Address(IpAddr::V4(address)) => {
                sink.entry(number, Entry::Ip4 { first: address.into(), last: address.into(), said });
            }
            Host::Address(IpAddr::V6(address)) => {
                sink.entry(number, Entry::Ip6 { bits: address.into(), length: 128, said });
            }
            Host::Name(name) => {
                // a word alone is a line of prose, as a host on the Internet has a dot
                if self.name.parse_plain(name).map_err(|_| wrong())? < 2 {
                    return Err(wrong());
                }
                sink.entry(number, Entry::Name { wire: self.name.as_wire(), scope: self.scope, said });
            }
        }
        Ok(())
    }
}

/// How many columns of a line are read.
const COLUMNS: usize = 4;
/// `url`, the first column being 0.
const URL_COLUMN: usize = 2;
/// `url_status`: `online` or `offline`.
const STATUS_COLUMN: usize = 3;

#[cfg(test)]
mod tests {
    use crate::dnsxl::{Alphabet, HashKind, KeyShape};
    use crate::feed::tests::{check, check_problems, notes_with};
    use crate::feed::{Format, Reading, Scope};

    #[test]
    fn a_url_is_listed_by_its_host() {
        check(
            Format::Urls,
            &[
                ("https://A.list.example/path?q#f", "a.list.example"),
                ("http://user@list.example:8080/", "list.example"),
                ("list.example/path", "list.example"),
                ("http://192.0.2.1/x", "192.0.2.1"),
                ("http://0xc0000201/x", "192.0.2.1"),
                ("http://[2001:db8::1]/x", "2001:db8::1/128"),
                ("http://b\u{fc}.example/", "xn--b-eha.example"),
                ("2026-03-01\t2026-07-12\thttps://list.example/ a", "list.example"),
                ("1\thttps://list.example/\tonline", "list.example"),
                ("1\tlist.example/a", "list.example"),
                ("# comment", ""),
                ("!http://list.example/", "list.example excluded"),
            ],
        );
        check_problems(
            Format::Urls,
            &[
                ("word", "`word` is no URL"),
                ("http:///x", "`http:///x` is no URL with a host"),
                ("http://a%20b.example/", "`http://a%20b.example/` is no URL"),
            ],
        );
        let below = Reading { scope: Some(Scope::Both), ..Reading::default() };
        assert_eq!(notes_with(Format::Urls, &below, "http://list.example/x"), [".list.example"]);
    }

    #[test]
    fn a_dataset_of_keys_hashes_the_canonical_form() {
        let key = KeyShape { hash: HashKind::Sha1, alphabet: Alphabet::Hex, characters: 16 };
        let reading = Reading { key: Some(key), ..Reading::default() };
        let expected: String = key.hash(b"list.example/a%20b").as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        for url in ["http://list.example/a b", "https://LIST.example:443/./a%20b#x"] {
            assert_eq!(notes_with(Format::Urls, &reading, url).concat(), expected);
        }
    }

    #[test]
    fn urlhaus_columns_are_quoted() {
        let row =
            |url: &str, status: &str| format!("\"1\",\"2026-07-12 10:00:00\",\"{url}\",\"{status}\",\"\",\"t\"\n");
        let list = format!(
            "# id,dateadded,url,url_status\r\n{}{}{}",
            row("http://list.example/a,b", "online"),
            row("http://192.0.2.1:81/\"\"x\"\"", "offline"),
            "1,2026,http://a.example/,online"
        );
        assert_eq!(notes_with(Format::Urlhaus, &Reading::default(), &list), ["list.example", "192.0.2.1", "a.example"]);
        let online = Reading { online_only: true, ..Reading::default() };
        assert_eq!(notes_with(Format::Urlhaus, &online, &list), ["list.example", "a.example"]);
        check_problems(
            Format::Urlhaus,
            &[
                ("\"1\",\"2\"", "CSV line with 2 columns: 4 are needed"),
                ("\"1\",\"2\",\"http://a.example/", "CSV line with 2 columns"),
                ("\"1\"x,\"2\",\"http://a.example/\",\"online\"", "CSV line with 0 columns"),
                ("http://list.example/", "CSV line with 1 columns"),
            ],
        );
    }
}
