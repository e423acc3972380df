//! Values that the file writes as text: times, names, formats, prefixes.
//!
//! Invariant: each is valid once it is read; what is wrong with the text is told where it stands.

use std::fmt;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::ValueError;
use crate::dnsxl;
use crate::feed::{Format, Quota};

/// Seconds, written as a number or as `"5m"`, `"2h"`, `"1d12h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u32);

impl Seconds {
    /// Parses the text form.
    pub(crate) fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Seconds(text.to_owned());
        let (mut total, mut rest) = (0u32, text);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            let unit = match rest.as_bytes().get(digits) {
                None | Some(b's') => 1,
                Some(b'm') => 60,
                Some(b'h') => 3600,
                Some(b'd') => 86_400,
                Some(b'w') => 604_800,
                Some(_) => return Err(wrong()),
            };
            total = number.checked_mul(unit).and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
            rest = rest.get(digits + 1..).unwrap_or_default();
        }
        if text.is_empty() || total > MAX_SECONDS { Err(wrong()) } else { Ok(Self(total)) }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Seconds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a time: {SECONDS_FORMS}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Seconds, E> {
                let fits = u32::try_from(number).ok().filter(|&seconds| seconds <= MAX_SECONDS);
                fits.map(Seconds).ok_or_else(|| E::custom(ValueError::Seconds(number.to_string())))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Seconds, E> {
                Seconds::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// A share of a hundred, written as `"50%"`; none, written as `"off"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Percent(pub Option<u32>);

impl TryFrom<String> for Percent {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        if text == "off" {
            return Ok(Self(None));
        }
        let number = text.strip_suffix('%').filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        number.and_then(|number| number.parse().ok()).map(|number| Self(Some(number))).ok_or(ValueError::Percent(text))
    }
}

/// A domain name; a dot at its end changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(pub dnsxl::Name);

impl TryFrom<String> for Name {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        dnsxl::Name::parse(text.as_bytes()).map(Self).map_err(|error| ValueError::Name(text, error))
    }
}

/// The mailbox of a SOA record: `hostmaster.bl.example` or `hostmaster@bl.example`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mailbox(pub dnsxl::Name);

impl TryFrom<String> for Mailbox {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        // RFC 1035, section 8: the local part is one label, and the dots in it are no separators
        let written = match text.rsplit_once('@') {
            Some((local, domain)) => format!("{}.{domain}", local.replace('\\', "\\\\").replace('.', "\\.")),
            None => text.clone(),
        };
        dnsxl::Name::parse(written.as_bytes()).map(Self).map_err(|error| ValueError::Name(text, error))
    }
}

/// The format of a dataset's files, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FormatName(pub Format);

impl FormatName {
    /// The name that the configuration has for a format.
    pub fn of(format: Format) -> &'static str {
        FORMATS.iter().find(|(_, known)| *known == format).map_or("", |(name, _)| name)
    }

    /// The names of all formats.
    pub fn all() -> String {
        FORMATS.map(|(name, _)| name).join(", ")
    }
}

impl TryFrom<String> for FormatName {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let found = FORMATS.iter().find(|(name, _)| *name == text);
        found.map(|&(_, format)| Self(format)).ok_or_else(|| ValueError::Format(text, Self::all()))
    }
}

/// An address or a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Net(pub IpNet);

impl TryFrom<String> for Net {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        let net = text.parse::<IpNet>().ok();
        let net = net.or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        net.map(|net| Self(net.trunc())).ok_or(ValueError::Net(text))
    }
}

/// A quota, written as `"100/s 200000/d"` or `"unlimited"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct QuotaText(pub Quota);

impl TryFrom<String> for QuotaText {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        match Quota::parse(&text) {
            // here nobody else has one that would hold instead
            Ok(quota) if !quota.is_bound() => Ok(Self::default()),
            Ok(quota) => Ok(Self(quota)),
            Err(why) => Err(ValueError::Quota(text, why)),
        }
    }
}

/// One text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path or a list of paths")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element()? {
                    all.push(text);
                }
                Ok(OneOrMany(all))
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// A dataset in a zone: its name, or `{ name = "…", under = "_email" }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The dataset.
    pub name: String,
    /// The name below the apex that it stands under; the root for the apex itself.
    pub under: Name,
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            name: String,
            #[serde(default)]
            under: Name,
        }

        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Placement;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a dataset's name or { name = \"…\", under = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Placement, E> {
                Ok(Placement { name: name.to_owned(), under: Name::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Placement, A::Error> {
                let Table { name, under } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Placement { name, under })
            }
        }

        deserializer.deserialize_any(Written)
    }
}

/// How a time is written.
pub(super) const SECONDS_FORMS: &str = "write seconds as 300, or \"5m\", \"2h\", \"1d\"";
/// RFC 2181, section 8: a TTL has 31 bits.
const MAX_SECONDS: u32 = i32::MAX as u32;
/// The formats by their names, in the order in which they are explained.
const FORMATS: [(&str, Format); 16] = [
    ("plain", Format::Plain),
    ("hosts", Format::Hosts),
    ("urls", Format::Urls),
    ("urlhaus", Format::Urlhaus),
    ("drop", Format::Drop),
    ("hashes", Format::Hashes),
    ("ip4set", Format::Ip4Set),
    ("ip4tset", Format::Ip4Tset),
    ("ip4trie", Format::Ip4Trie),
    ("ip6tset", Format::Ip6Tset),
    ("ip6trie", Format::Ip6Trie),
    ("dnset", Format::Dnset),
    ("generic", Format::Generic),
    ("combined", Format::Combined),
    ("acl", Format::Acl),
    ("keys", Format::Keys),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        for (text, seconds) in [("300", 300), ("5m", 300), ("2h", 7200), ("1d12h", 129_600), ("1w", 604_800), ("0", 0)]
        {
            assert_eq!(Seconds::parse(text), Ok(Seconds(seconds)), "{text}");
        }
        for text in ["", "m", "5x", "5 m", "-1", "99999w", "5m5ö"] {
            assert!(Seconds::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_a_number_of_a_hundred_or_off() {
        for (text, share) in [("50%", Some(50)), ("0%", Some(0)), ("1000%", Some(1000)), ("off", None)] {
            assert_eq!(Percent::try_from(text.to_owned()), Ok(Percent(share)), "{text}");
        }
        for text in ["", "%", "50", "-1%", "+1%", "5.5%", "99999999999%"] {
            assert!(Percent::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mailbox_is_written_either_way() {
        let mailbox = |text: &str| Mailbox::try_from(text.to_owned()).unwrap().0.to_string();
        assert_eq!(mailbox("hostmaster.bl.example"), "hostmaster.bl.example");
        assert_eq!(mailbox("first.last@bl.example"), "first\\.last.bl.example");
    }
}
