//! Where a subject stands among others, so that all that touches an address, block or domain is found by ranges.
//!
//! Invariant: places of one kind are ordered as what they name: an IPv4 address is a number, an IPv6 address 16 bytes, a
//! host its labels from the last one. A URL stands at its host, or at the address that is its host.

use std::net::IpAddr;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value};

use super::super::Subject;
use crate::dnsxl::subject::{mask4, mask6};
use crate::dnsxl::url::{CanonicalUrl, Host};

/// Where a subject stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The first address of a block.
    Ip4(u32),
    /// The first address of a block.
    Ip6(u128),
    /// A host, `example.www` reversed by labels.
    Name(String),
}

impl ToSql for Place {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Ip4(bits) => ToSqlOutput::Owned(Value::Integer(i64::from(*bits))),
            Self::Ip6(bits) => ToSqlOutput::Owned(Value::Blob(bits.to_be_bytes().to_vec())),
            Self::Name(name) => name.to_sql()?,
        })
    }
}

/// A subject with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) place: Place,
    /// The prefix length of a block; a whole address's, for a URL at one; none for names.
    pub(super) length: Option<u8>,
    /// The URL without scheme, user and port, if it is one.
    url: Option<Vec<u8>>,
}

impl Placed {
    /// None for what is no subject.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::of(Subject::parse(text.as_bytes())?)
    }

    /// None for a URL that is none.
    fn of(subject: Subject<'_>) -> Option<Self> {
        let block = |place, length| Self { place, length: Some(length), url: None };
        match subject {
            Subject::Ip4 { bits, length } => Some(block(Place::Ip4(bits), length)),
            Subject::Ip6 { bits, length } => Some(block(Place::Ip6(bits), length)),
            Subject::Name(text) if text.contains(['/', '?', ':']) => {
                let url = CanonicalUrl::of(text.as_bytes()).ok()?;
                let whole = Some(url.hashed().to_vec());
                Some(match url.host() {
                    Host::Address(IpAddr::V4(address)) => Self { url: whole, ..block(Place::Ip4(address.into()), 32) },
                    Host::Address(IpAddr::V6(address)) => Self { url: whole, ..block(Place::Ip6(address.into()), 128) },
                    Host::Name(name) => {
                        let place = Place::Name(reversed(&String::from_utf8_lossy(name)));
                        Self { place, length: None, url: whole }
                    }
                })
            }
            Subject::Name(name) => {
                let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
                Some(Self { place: Place::Name(reversed(name)), length: None, url: None })
            }
        }
    }
}

/// The labels of a name in lower case from the last one.
fn reversed(name: &str) -> String {
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = lower.rsplit('.').collect();
    labels.join(".")
}

/// What is asked about: an address or block with all that covers it or is in it, a domain with all below it, or a URL
/// with what was said of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Placed);

impl Scope {
    /// Parses what somebody asks about; none if it is neither an address, a prefix, a domain nor a URL.
    pub fn parse(text: &str) -> Option<Self> {
        Placed::parse(text.trim()).map(Self)
    }

    /// Whether a subject, as it was written, is or touches what is asked about.
    pub fn touches(&self, subject: &str) -> bool {
        Placed::parse(subject).is_some_and(|other| self.touches_placed(&other))
    }

    /// As [`Self::touches`].
    pub fn touches_subject(&self, subject: Subject<'_>) -> bool {
        Placed::of(subject).is_some_and(|other| self.touches_placed(&other))
    }

    fn touches_placed(&self, other: &Placed) -> bool {
        let near = match (&self.0.place, &other.place) {
            (Place::Ip4(a), Place::Ip4(b)) => {
                let mask = mask4(self.length().min(other.length.unwrap_or(32)));
                a & mask == b & mask
            }
            (Place::Ip6(a), Place::Ip6(b)) => {
                let mask = mask6(self.length().min(other.length.unwrap_or(128)));
                a & mask == b & mask
            }
            (Place::Name(a), Place::Name(b)) => {
                b == a || self.0.url.is_none() && b.strip_prefix(&**a).is_some_and(|rest| rest.starts_with('.'))
            }
            _ => false,
        };
        // of other URLs at the host nothing is said
        near && (self.0.url.is_none() || other.url.is_none() || self.0.url == other.url)
    }

    fn length(&self) -> u8 {
        self.0.length.unwrap_or(0)
    }

    /// Ranges of places, both ends included, that together have all that may touch it, and little else.
    pub(super) fn ranges(&self) -> Vec<(Place, Place)> {
        let length = self.length();
        match &self.0.place {
            Place::Ip4(bits) => {
                let covering = (0..length).map(|length| Place::Ip4(bits & mask4(length)));
                let inside = (Place::Ip4(*bits), Place::Ip4(bits | !mask4(length)));
                joined(covering, inside)
            }
            Place::Ip6(bits) => {
                let covering = (0..length).map(|length| Place::Ip6(bits & mask6(length)));
                let inside = (Place::Ip6(*bits), Place::Ip6(bits | !mask6(length)));
                joined(covering, inside)
            }
            Place::Name(name) if self.0.url.is_some() => vec![(Place::Name(name.clone()), Place::Name(name.clone()))],
            // `/` follows `.`, and is in no host
            Place::Name(name) => vec![
                (Place::Name(name.clone()), Place::Name(name.clone())),
                (Place::Name(format!("{name}.")), Place::Name(format!("{name}/"))),
            ],
        }
    }
}

/// The places of covering blocks that are not in the range anyway, and the range.
fn joined(covering: impl Iterator<Item = Place>, inside: (Place, Place)) -> Vec<(Place, Place)> {
    let mut ranges: Vec<(Place, Place)> = covering.filter(|place| *place < inside.0).map(|p| (p.clone(), p)).collect();
    ranges.dedup();
    ranges.push(inside);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_a_scope() {
        for (scope, subject, touches) in [
            ("192.0.2.0/24", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.0/24", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.7", "http://192.0.2.7/x", true),
            ("192.0.2.7", "example.com", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::/48", true),
            ("2001:db8::1", "2001:db9::/48", false),
            ("example.com", "WWW.example.com.", true),
            ("example.com", "http://www.example.com/a", true),
            ("example.com", "badexample.com", false),
            ("example.com", "example.com-x.net", false),
            ("www.example.com", "example.com", false),
            ("http://example.com/a", "https://example.com/a", true),
            ("http://example.com/a", "http://example.com/b", false),
            ("http://example.com/a", "example.com", true),
            ("http://example.com/a", "www.example.com", false),
        ] {
            assert_eq!(Scope::parse(scope).unwrap().touches(subject), touches, "{scope} {subject}");
            let within =
                |place: &Place| Scope::parse(scope).unwrap().ranges().iter().any(|(a, b)| a <= place && place <= b);
            assert!(!touches || within(&Placed::parse(subject).unwrap().place), "{scope} {subject}");
        }
        assert_eq!(Scope::parse("a b"), None);
    }
}
