//! What a query asks about: the labels in front of an apex, read as an address where they are one (RFC 5782, 2.1, 2.4).
//!
//! Invariant: a block's bits below its length are zero. Whole addresses are blocks of 32 and 128 bits; shorter blocks
//! are the empty non-terminals above them.

use super::name::Labels;

/// The labels in front of an apex, and the address or part of one that they spell.
///
/// One name can be several things: `4.3.2.1` is the address 1.2.3.4, four nibbles of an IPv6 address, and a name.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'q> {
    /// The labels in lower case; the domain name that is asked about.
    pub labels: Labels<'q>,
    /// One to four octets, the last label the first octet.
    pub ip4: Option<Block4>,
    /// One to 32 nibbles, the last label the first nibble.
    pub ip6: Option<Block6>,
}

impl<'q> Subject<'q> {
    /// Reads labels as a subject.
    pub fn read(labels: Labels<'q>) -> Self {
        Self { labels, ip4: Block4::read(labels), ip6: Block6::read(labels) }
    }
}

/// An IPv4 block that a name can spell: 8, 16, 24 or 32 bits; other lengths come from nibbles of mapped addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block4 {
    /// The address bits; those past `length` are zero.
    pub bits: u32,
    /// How many bits are given, 0–32.
    pub length: u8,
}

impl Block4 {
    /// Reads one to four labels as octets; leading zeros are accepted, as rbldnsd accepts them.
    fn read(labels: Labels<'_>) -> Option<Self> {
        if !(1..=4).contains(&labels.count()) {
            return None;
        }
        let mut bits = 0;
        for index in 0..labels.count() {
            bits = bits >> 8 | u32::from(octet(labels.label(index))?) << 24;
        }
        Some(Self { bits, length: 8 * labels.count() as u8 })
    }

    /// Whether this is a whole address.
    pub fn is_address(self) -> bool {
        self.length == 32
    }
}

fn octet(label: &[u8]) -> Option<u8> {
    if label.len() > 3 {
        return None;
    }
    label.iter().try_fold(0u8, |value, &byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(byte - b'0'),
        _ => None,
    })
}

/// An IPv6 block that a name can spell: whole nibbles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block6 {
    /// The address bits; those past `length` are zero.
    pub bits: u128,
    /// How many bits are given, 0–128, a multiple of four.
    pub length: u8,
}

impl Block6 {
    /// Reads one to 32 labels as nibbles.
    fn read(labels: Labels<'_>) -> Option<Self> {
        if !(1..=32).contains(&labels.count()) {
            return None;
        }
        let mut bits = 0;
        for index in 0..labels.count() {
            let &[digit] = labels.label(index) else { return None };
            let nibble = (digit as char).to_digit(16)?;
            bits = bits >> 4 | u128::from(nibble) << 124;
        }
        Some(Self { bits, length: 4 * labels.count() as u8 })
    }

    /// Whether this is a whole address.
    pub fn is_address(self) -> bool {
        self.length == 128
    }

    /// The IPv4 block of an IPv4-mapped address (`::ffff:0:0/96`), or of the names above one.
    ///
    /// Above the mapped range itself this is the whole of IPv4, a block of no bits.
    pub fn mapped(self) -> Option<Block4> {
        self.embedded(0xffff_u128 << 32, 96)
    }

    /// The IPv4 block of a 6to4 address (`2002::/16`, RFC 3056), or of the names above one; all below its /48 is one address.
    pub fn six_to_four(self) -> Option<Block4> {
        self.embedded(0x2002_u128 << 112, 16)
    }

    /// The 32 bits that follow `prefix`, as far as this block gives them.
    fn embedded(self, prefix: u128, prefix_length: u8) -> Option<Block4> {
        let common = self.length.min(prefix_length);
        let mask = mask6(common);
        if self.bits & mask != prefix & mask {
            return None;
        }
        let length = self.length.saturating_sub(prefix_length).min(32);
        Some(Block4 { bits: (self.bits << prefix_length >> 96) as u32, length })
    }
}

/// The mask of an IPv4 prefix length, 0–32.
pub fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

/// The mask of an IPv6 prefix length, 0–128.
pub fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::name::{Name, QueryName};
    use super::*;

    fn with<T>(text: &str, check: impl FnOnce(Subject<'_>) -> T) -> T {
        let name = QueryName::from(&Name::parse(text.as_bytes()).unwrap());
        check(Subject::read(name.labels()))
    }

    #[test]
    fn octets_are_read_backwards() {
        with("4.3.2.1", |s| assert_eq!(s.ip4, Some(Block4 { bits: 0x0102_0304, length: 32 })));
        with("2.1", |s| assert_eq!(s.ip4, Some(Block4 { bits: 0x0102_0000, length: 16 })));
        with("004.3.2.1", |s| assert_eq!(s.ip4, Some(Block4 { bits: 0x0102_0304, length: 32 })));
        with("256.3.2.1", |s| assert_eq!(s.ip4, None));
        with("0004.3.2.1", |s| assert_eq!(s.ip4, None));
        with("5.4.3.2.1", |s| assert_eq!(s.ip4, None));
    }

    #[test]
    fn nibbles_are_read_backwards() {
        with("8.b.d.0.1.0.0.2", |s| {
            assert_eq!(s.ip6, Some(Block6 { bits: 0x2001_0db8_u128 << 96, length: 32 }));
        });
        with("g.0", |s| assert_eq!(s.ip6, None));
        with("10.0", |s| assert_eq!(s.ip6, None));
    }

    #[test]
    fn embedded_addresses_and_the_names_above_them() {
        let mapped = Block6 { bits: 0xffff_0102_0304, length: 128 };
        assert_eq!(mapped.mapped(), Some(Block4 { bits: 0x0102_0304, length: 32 }));
        assert_eq!(Block6 { bits: 0, length: 80 }.mapped(), Some(Block4 { bits: 0, length: 0 }));
        assert_eq!(Block6 { bits: 0, length: 84 }.mapped(), None);
        assert_eq!(
            Block6 { bits: 0xffff_0100_0000, length: 104 }.mapped(),
            Some(Block4 { bits: 0x0100_0000, length: 8 })
        );
        let tunnel = Block6 { bits: 0x2002_0102_0304_u128 << 80 | 5, length: 128 };
        assert_eq!(tunnel.six_to_four(), Some(Block4 { bits: 0x0102_0304, length: 32 }));
        assert_eq!(Block6 { bits: 0x2_u128 << 124, length: 4 }.six_to_four(), Some(Block4 { bits: 0, length: 0 }));
        assert_eq!(tunnel.mapped(), None);
    }
}
