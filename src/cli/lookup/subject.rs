//! What a person writes to be looked up, and the names that ask zones about it.
//!
//! Invariant: the names are those that a mail server, filter or resolver plugin would ask for; nothing is looked up here.
//! What no list could have is no subject, as "not listed" would be no answer to it. Host names are those of RFC 1123,
//! section 2.1, with underscores, and do not end in a number, as addresses do.
//!
//! Not done: quoted local parts and address literals of mailboxes (RFC 5321, section 4.1.2 and 4.1.3).

use std::net::IpAddr;

use super::super::selftest::{reversed4, reversed6};
use crate::dataset::{Asked, Holds};
use crate::dnsxl::url::{CanonicalUrl, Host};
use crate::dnsxl::{self, KeyShape, Name, QueryName};
use crate::zone::{Placed, Zone};

/// A subject as it is written on the command line.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// An address.
    Address(IpAddr),
    /// A domain name in lower case.
    Domain(Name),
    /// A digest, or the beginning of one, as a label spells it.
    Digest(String),
    /// A URL as it was written, and its canonical form.
    Url(String, CanonicalUrl),
    /// A mailbox in lower case, and its domain.
    Mailbox(String, Name),
}

/// The text is nothing that a list can be asked about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: is no address, domain, URL, e-mail address or hash")]
pub(super) struct NoSubject(String);

impl Subject {
    /// Reads a subject, with what stands around it where it was copied from.
    pub(super) fn parse(text: &str) -> Result<Self, NoSubject> {
        spellings(text).into_iter().find_map(Self::read).ok_or_else(|| NoSubject(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        if text.contains(char::is_control) {
            return None;
        }
        if let Some(address) = address(text) {
            return Some(Self::Address(address));
        }
        if text.contains('/')
            && let Some(url) = Self::read_url(text)
        {
            return Some(url);
        }
        if let Some((local, host)) = text.rsplit_once('@') {
            return Self::read_mailbox(local, host);
        }
        let host = without_port(text);
        if is_digest(host) {
            return Some(Self::Digest(host.to_ascii_lowercase()));
        }
        address(host).map(Self::Address).or_else(|| {
            let ascii = ascii(host)?;
            // an international name can be written with digits and dots of its script
            address(&ascii).map(Self::Address).or_else(|| host_name(&ascii).map(Self::Domain))
        })
    }

    fn read_url(text: &str) -> Option<Self> {
        let url = CanonicalUrl::of(text.as_bytes()).ok()?;
        let is_host = match url.host() {
            Host::Address(_) => true,
            // without a scheme, any text with a slash would do
            Host::Name(_) => domain_of(&url).is_some_and(|name| name.label_count() > 1 || text.contains("://")),
        };
        is_host.then(|| Self::Url(text.to_owned(), url))
    }

    fn read_mailbox(local: &str, host: &str) -> Option<Self> {
        let name = host_name(&ascii(host)?).filter(|name| name.label_count() > 1)?;
        let is_local = |c: char| match c.is_ascii() {
            true => c.is_ascii_alphanumeric() || LOCAL.contains(c),
            false => !c.is_whitespace() && !is_mark(c),
        };
        if local.is_empty() || !local.chars().all(is_local) {
            return None;
        }
        // clients hash it as it is written in a message
        let host = if host.is_ascii() { without_dot(&name) } else { idna::domain_to_unicode(host).0 };
        Some(Self::Mailbox(format!("{local}@{host}").to_lowercase(), name))
    }

    /// What a query with this name asks one of these zones about, as bounces and logs have it; otherwise itself.
    pub(super) fn asked_of<'z>(self, zones: impl Iterator<Item = &'z Zone>) -> Self {
        let Self::Domain(name) = &self else { return self };
        let places = zones.flat_map(|zone| zone.placed.iter().map(|placed| (placed.under.under(&zone.apex), placed)));
        let asked = places.filter_map(|(place, placed)| {
            let place = place.ok()?;
            Some((place.label_count(), Self::read_query(&name.relative_to(&place)?, placed.holds)?))
        });
        match asked.max_by_key(|(labels, _)| *labels) {
            Some((_, subject)) => subject,
            None => self,
        }
    }

    /// What the labels in front of an apex ask about.
    fn read_query(name: &Name, holds: Holds) -> Option<Self> {
        let query = QueryName::from(name);
        let asked = dnsxl::Subject::read(query.labels());
        let ip4 = asked.ip4.filter(|block| holds.ip4 && block.is_address()).map(|block| IpAddr::V4(block.bits.into()));
        let ip6 = asked.ip6.filter(|block| (holds.ip4 || holds.ip6) && block.is_address());
        if let Some(address) = ip4.or_else(|| ip6.map(|block| IpAddr::V6(block.bits.into()))) {
            return Some(Self::Address(address));
        }
        let text = without_dot(name);
        if is_digest(&text) && (holds.names || holds.hashes.is_some()) {
            return Some(Self::Digest(text));
        }
        let name = host_name(&text).filter(|name| holds.names && (name.label_count() > 1 || text == TEST));
        name.map(Self::Domain)
    }

    /// The names that ask a part about the subject, in front of the place where the part stands.
    pub(super) fn names(&self, placed: &Placed) -> Vec<Name> {
        let holds = placed.holds;
        let is_record = |name: &Name| placed.part().records.find(QueryName::from(name).labels()).is_some();
        let mut names = Vec::new();
        if let Some(address) = self.address() {
            let (is_asked, name) = match address {
                IpAddr::V4(address) => (holds.ip4, reversed4(address)),
                IpAddr::V6(address) => {
                    let has_ip4 = address.to_ipv4_mapped().is_some() || address.segments()[0] == SIX_TO_FOUR;
                    (holds.ip6 || holds.ip4 && has_ip4, reversed6(address))
                }
            };
            if is_asked || is_record(&name) {
                names.push(name);
            }
        }
        names.extend(self.domain().filter(|name| holds.names || is_record(name)));
        names.extend(holds.hashes.and_then(|shape| self.label(shape)));
        names
    }

    /// What verdicts are asked about.
    pub(super) fn asked(&self) -> Option<Asked> {
        let name = |name: Name| Asked::Name(name.to_string().to_ascii_lowercase());
        let domain = self.domain().filter(|_| !matches!(self, Self::Digest(_)));
        self.address().map(Asked::Address).or_else(|| domain.map(name))
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Url(_, url) => match url.host() {
                Host::Address(address) => Some(address),
                Host::Name(_) => None,
            },
            Self::Domain(_) | Self::Digest(_) | Self::Mailbox(..) => None,
        }
    }

    fn domain(&self) -> Option<Name> {
        match self {
            Self::Domain(name) | Self::Mailbox(_, name) => Some(name.clone()),
            Self::Url(_, url) => domain_of(url),
            // lists of names may have digests too
            Self::Digest(text) => Name::parse(text.as_bytes()).ok(),
            Self::Address(_) => None,
        }
    }

    /// The label that asks a list of hashes: a hash that is already one, or that of the subject.
    fn label(&self, shape: KeyShape) -> Option<Name> {
        let written = |text: &str| {
            let ready = shape.read_label(text.as_bytes()).or_else(|| shape.read_digest(text.as_bytes()));
            ready.unwrap_or_else(|| shape.hash(text.as_bytes()))
        };
        let key = match self {
            Self::Url(_, url) => shape.hash(url.hashed()),
            Self::Mailbox(mailbox, _) => shape.hash(mailbox.as_bytes()),
            Self::Address(_) => return None,
            Self::Digest(text) => written(text),
            Self::Domain(name) => written(&name.to_string()),
        };
        let mut label = Vec::new();
        shape.write_label(&key, &mut label);
        Name::parse(&label).ok()
    }
}

/// A text without the white space and the marks around it, and the same without the punctuation around that. It is read
/// as it stands first, since a URL may end in any of it.
pub(super) fn spellings(text: &str) -> [&str; 2] {
    let bare = text.trim_matches(|c: char| c.is_whitespace() || is_mark(c));
    let is_around = |c: char| c.is_whitespace() || is_mark(c) || PUNCTUATION.contains(c);
    [bare, bare.trim_matches(is_around)]
}

/// Whether a character is only there for how a text looks: it comes along when one is copied.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// An address, in brackets or without them.
fn address(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// What stands in front of a port.
fn without_port(text: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match text.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (host.ends_with(']') || !host.contains(':')) => host,
        _ => text,
    }
}

/// A name's ASCII form in lower case. IDNA alone would take quotation marks for a part of it.
fn ascii(text: &str) -> Option<String> {
    let is_quoted = text.contains(|c: char| PUNCTUATION.contains(c) && !matches!(c, '.' | '。'));
    match text.is_ascii() {
        true => Some(text.to_ascii_lowercase()),
        false => idna::domain_to_ascii(text).ok().filter(|_| !is_quoted),
    }
}

fn host_name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if is_plain && !is_number { Name::parse(text.as_bytes()).ok() } else { None }
}

/// Whether a text can be a digest, or the beginning of one: no name of one label is as long.
fn is_digest(text: &str) -> bool {
    DIGEST.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A name as people write it.
pub(super) fn without_dot(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}

fn domain_of(url: &CanonicalUrl) -> Option<Name> {
    match url.host() {
        Host::Name(name) => host_name(std::str::from_utf8(name).ok()?),
        Host::Address(_) => None,
    }
}

/// The first 16 bits of 6to4 addresses (RFC 3056), which zones of IPv4 answer as the address in them.
const SIX_TO_FOUR: u16 = 0x2002;
/// What sentences, brackets and lists put around what they name. A colon is none of it: an address may end in two.
const PUNCTUATION: &str = ".,;!?'\"`´()<>{}[]|*…‘’‚“”„«»‹›、。";
/// What local parts have besides letters and digits (RFC 5322, section 3.2.3, with the dot).
const LOCAL: &str = "!#$%&'*+-/=?^_`{|}~.";
/// Characters of a digest: an MD5 in base32, to an SHA-256 in hexadecimal.
const DIGEST: std::ops::RangeInclusive<usize> = 26..=64;
/// The name that lists of names are tested by (RFC 5782, section 5).
pub(super) const TEST: &str = "test";

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text is read as.
    fn read(text: &str) -> String {
        match Subject::parse(text) {
            Ok(Subject::Address(address)) => format!("address {address}"),
            Ok(Subject::Domain(name)) => format!("domain {}", without_dot(&name)),
            Ok(Subject::Digest(digest)) => format!("digest {digest}"),
            Ok(Subject::Url(_, url)) => format!("url {}", String::from_utf8_lossy(url.hashed())),
            Ok(Subject::Mailbox(mailbox, name)) => format!("mailbox {mailbox} at {}", without_dot(&name)),
            Err(NoSubject(_)) => "none".to_owned(),
        }
    }

    #[test]
    fn what_stands_around_a_subject_is_no_part_of_it() {
        for (text, expected) in [
            ("phish.example:443", "domain phish.example"),
            ("203.0.113.9:25", "address 203.0.113.9"),
            ("[2001:db8::9]:443", "address 2001:db8::9"),
            ("203.0.113.9,", "address 203.0.113.9"),
            ("(2001:db8::),", "address 2001:db8::"),
            ("::1", "address ::1"),
            ("[192.0.2.7].", "address 192.0.2.7"),
            ("\u{202a}192.0.2.77\u{202c}", "address 192.0.2.77"),
            ("\u{feff} “phish.\u{ad}example”\n", "domain phish.example"),
            ("１９２．0.2.77", "address 192.0.2.77"),
            ("*.phish.example", "domain phish.example"),
            ("<Anna@Shop.example.>", "mailbox anna@shop.example at shop.example"),
            ("ä+b@münchen.example", "mailbox ä+b@münchen.example at xn--mnchen-3ya.example"),
            ("<http://phish.example/a>", "url phish.example/a"),
            ("http://phish.example/a.,", "url phish.example/a.,"),
            ("phish.example/a", "url phish.example/a"),
            ("192.0.2.0/24", "url 192.0.2.0/24"),
            ("http://host/", "url host/"),
            ("a/b@mail.example", "mailbox a/b@mail.example at mail.example"),
            ("_dmarc.a-b.example", "domain _dmarc.a-b.example"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(read(&format!("\"{}\"", sha256.to_uppercase())), format!("digest {sha256}"));
    }

    #[test]
    fn what_no_list_could_have_is_no_subject() {
        for text in [
            "",
            "..",
            "192.0.2.011",
            "192.0.2.300",
            "192.0.2",
            "0x7f.1",
            "127.0x1",
            "192.0.2.300/a",
            "192.0.2.1:x",
            "x@192.0.2.77",
            "x@b",
            "@b.example",
            "a b@c.example",
            "a@b@c.example",
            "a,b@c.example",
            "a@b.example?cc=c",
            "a@b.example:25",
            "<script>alert(1)</script>",
            "a b.example",
            "a/b",
            "/etc/passwd",
            "a..example",
            "phish.example/\u{7}",
            "%e2%80%aa192.0.2.77",
            "http://a\u{202a}b.example/",
            "a\u{202a}b.example",
            "a$b.example",
            "http://[::g]/",
            "2001:db8::1::",
            "fe80::1%eth0",
        ] {
            assert_eq!(read(text), "none", "{text}");
        }
    }
}
