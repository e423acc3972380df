//! What a statement is about: an address, a prefix, a domain name or a URL.
//!
//! Invariant: a prefix's bits behind its length are zero. An IPv4 address that is written as IPv6 (mapped, 6to4, Teredo,
//! NAT64) is the IPv4 address, since that is who is there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dnsxl::subject::{mask4, mask6};

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An IPv4 address or prefix.
    Ip4 {
        /// The address bits; those past `length` are zero.
        bits: u32,
        /// The prefix length, 0–32.
        length: u8,
    },
    /// An IPv6 address or prefix.
    Ip6 {
        /// The address bits; those past `length` are zero.
        bits: u128,
        /// The prefix length, 0–128.
        length: u8,
    },
    /// A domain name or URL, as it is written.
    Name(&'a str),
}

impl<'a> Subject<'a> {
    /// Parses a subject; none if it is neither an address, a prefix nor something that can be a name.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = text.trim_ascii();
        // nearly all subjects are IPv4 addresses, and the library's parser takes its time
        if let Some(bits) = parse_octets(text) {
            return Some(Self::Ip4 { bits, length: 32 });
        }
        let text = std::str::from_utf8(text).ok()?;
        let (address, length) = match text.split_once('/') {
            Some((address, length)) if length.len() <= 3 => (address, length.parse::<u8>().ok()),
            _ => (text, None),
        };
        let whole = address.len() == text.len();
        match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if whole || length.is_some_and(|length| length <= 32) => {
                let length = length.unwrap_or(32);
                Some(Self::Ip4 { bits: u32::from(address) & mask4(length), length })
            }
            Ok(IpAddr::V6(address)) if whole => Some(Self::of_ip6(address)),
            Ok(IpAddr::V6(address)) if length.is_some_and(|length| length <= 128) => {
                let length = length.unwrap_or(128);
                Some(Self::Ip6 { bits: u128::from(address) & mask6(length), length })
            }
            // a path behind a host, without its scheme
            Ok(_) if !whole && length.is_none() => Some(Self::Name(text)),
            Ok(_) => None,
            // a name has a dot, or it is a URL
            Err(_) if text.contains('.') && !text.contains(char::is_whitespace) => Some(Self::Name(text)),
            Err(_) if text.contains("://") => Some(Self::Name(text)),
            Err(_) => None,
        }
    }

    fn of_ip6(address: Ipv6Addr) -> Self {
        match embedded(address) {
            Some(address) => Self::Ip4 { bits: address.into(), length: 32 },
            None => Self::Ip6 { bits: address.into(), length: 128 },
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ip4 { bits, length: 32 } => Ipv4Addr::from(bits).fmt(f),
            Self::Ip4 { bits, length } => write!(f, "{}/{length}", Ipv4Addr::from(bits)),
            Self::Ip6 { bits, length: 128 } => Ipv6Addr::from(bits).fmt(f),
            Self::Ip6 { bits, length } => write!(f, "{}/{length}", Ipv6Addr::from(bits)),
            Self::Name(text) => f.write_str(text),
        }
    }
}

/// The IPv4 address in an IPv6 one: mapped (RFC 4291), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(address);
    let low = Ipv4Addr::from(bits as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(low),
        [0x2002, ..] => Some(Ipv4Addr::from((bits >> 80) as u32)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from(!(bits as u32))),
        _ => None,
    }
}

/// `192.0.2.1`: four decimal octets without leading zeros, which some programs read as octal.
fn parse_octets(text: &[u8]) -> Option<u32> {
    let (mut bits, mut octet, mut digits, mut dots) = (0u32, 0u32, 0, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && !(digits == 1 && octet == 0) => {
                octet = octet * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && octet < 256 => {
                bits = bits << 8 | octet;
                (octet, digits, dots) = (0, 0, dots + 1);
            }
            _ => return None,
        }
    }
    (dots == 3 && digits > 0 && octet < 256).then_some(bits << 8 | octet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_subject_is_an_address_a_prefix_or_a_name() {
        let ip4 = |bits, length| Some(Subject::Ip4 { bits, length });
        for (text, expected) in [
            ("192.0.2.1", ip4(0xc000_0201, 32)),
            (" 192.0.2.1 ", ip4(0xc000_0201, 32)),
            ("192.0.2.1/24", ip4(0xc000_0200, 24)),
            ("::ffff:192.0.2.1", ip4(0xc000_0201, 32)),
            ("64:ff9b::192.0.2.1", ip4(0xc000_0201, 32)),
            ("2002:c000:201::1", ip4(0xc000_0201, 32)),
            ("2001:0:1::3fff:fdfe", ip4(0xc000_0201, 32)),
            ("2001:db8::/32", Some(Subject::Ip6 { bits: 0x2001_0db8 << 96, length: 32 })),
            ("list.example", Some(Subject::Name("list.example"))),
            ("http://192.0.2.1/24", Some(Subject::Name("http://192.0.2.1/24"))),
            ("192.0.2.1/x", Some(Subject::Name("192.0.2.1/x"))),
            ("192.0.2.1/33", None),
            ("word", None),
            ("", None),
            ("a b.example", None),
        ] {
            assert_eq!(Subject::parse(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn octets_are_read_as_the_library_reads_them(text in "[0-9]{1,3}(\\.[0-9]{0,3}){2,4}") {
            prop_assert_eq!(parse_octets(text.as_bytes()), text.parse::<Ipv4Addr>().ok().map(u32::from));
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Subject::parse(&bytes);
        }
    }
}
