//! Lists and subjects made up for benchmarks: any number of them, the same ones every time, none kept in memory.
//!
//! Invariant: the subject of an index depends on nothing else, and indices below the number of listings are listed
//! while those from it on are not, so that hits and misses are chosen by index alone.

#![allow(dead_code)]

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use infamy::dataset::{BadLines, Defaults, NeverList, Spec};
use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::{Compression, Format, Reading};

/// A list that is made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    /// Single IPv4 addresses with the list's one value.
    Ip4Set,
    /// Single IPv4 addresses, each with one of 200 values.
    Ip4Values,
    /// Single IPv4 addresses in a plain list.
    Plain4,
    /// IPv4 prefixes of 8 lengths in a plain list.
    Nets4,
    /// IPv4 prefixes of 8 lengths where the longest decides.
    Trie4,
    /// IPv6 /64s.
    Ip6,
    /// Domains with all names below them.
    Dnset,
    /// Domains in a plain list.
    PlainNames,
    /// MD5 digests.
    Hashes,
}

impl List {
    pub(crate) const ALL: [(&str, Self); 9] = [
        ("ip4set", Self::Ip4Set),
        ("ip4values", Self::Ip4Values),
        ("plain4", Self::Plain4),
        ("nets4", Self::Nets4),
        ("trie4", Self::Trie4),
        ("ip6", Self::Ip6),
        ("dnset", Self::Dnset),
        ("plainnames", Self::PlainNames),
        ("hashes", Self::Hashes),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|known| known.0 == name).map(|known| known.1)
    }

    pub(crate) fn format(self) -> Format {
        match self {
            Self::Ip4Set | Self::Ip4Values => Format::Ip4Set,
            Self::Plain4 | Self::Nets4 | Self::PlainNames => Format::Plain,
            Self::Trie4 => Format::Ip4Trie,
            Self::Ip6 => Format::Ip6Trie,
            Self::Dnset => Format::Dnset,
            Self::Hashes => Format::Hashes,
        }
    }

    /// Writes a list of so many lines.
    pub(crate) fn write(self, path: &Path, lines: u64) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
        if matches!(self, Self::Ip4Set | Self::Ip4Values | Self::Trie4 | Self::Ip6 | Self::Dnset) {
            out.write_all(b":127.0.0.2:Listed, see https://bl.example/?$\n")?;
        }
        for index in 0..lines {
            match self {
                Self::Ip4Set | Self::Plain4 => writeln!(out, "{}", Ipv4Addr::from(address4(index)))?,
                Self::Ip4Values => writeln!(out, "{} :{}", Ipv4Addr::from(address4(index)), value(index))?,
                Self::Nets4 | Self::Trie4 => {
                    let (bits, length) = prefix4(index);
                    writeln!(out, "{}/{length}", Ipv4Addr::from(bits))?;
                }
                Self::Ip6 => writeln!(out, "{}/64", Ipv6Addr::from(u128::from(network6(index)) << 64))?,
                Self::Dnset => writeln!(out, ".{}", domain(index))?,
                Self::PlainNames => writeln!(out, "{}", domain(index))?,
                Self::Hashes => writeln!(out, "{:032x}", u128::from_be_bytes(digest(index)))?,
            }
        }
        out.flush()
    }

    /// How a list of this kind is loaded.
    pub(crate) fn spec(self, path: &Path) -> Spec {
        let md5 = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 32 };
        let key = (self == Self::Hashes).then_some(md5);
        Spec {
            name: "list".to_owned(),
            format: self.format(),
            files: vec![PathBuf::from(path)],
            emitted: None,
            reading: Reading { compression: Compression::Detect, key, ..Reading::default() },
            defaults: Defaults::default(),
            bad_lines: BadLines::Skip,
            min_entries: 0,
            bounds: infamy::dataset::Bounds::NONE,
            ttl_bounds: 0..=u32::MAX,
            heeds_never_list: true,
        }
    }
}

/// The never-list that servers have.
pub(crate) fn never() -> NeverList {
    NeverList::with_own(&[])
}

/// The address of an index below 3.7·10^9: every one of 1.0.0.0 to 221.255.255.255 once, scattered.
pub(crate) fn address4(index: u64) -> u32 {
    let mut scattered = mix4(index as u32);
    // walking on within a bijection is a bijection of the part that is wanted
    while scattered >= 0xdd00_0000 {
        scattered = mix4(scattered);
    }
    0x0100_0000 + scattered
}

/// The number of the value of an index, as the last octet of its address.
pub(crate) fn value(index: u64) -> u8 {
    2 + (mix(index) >> 40) as u8 % 200
}

/// The prefix of an index: half of them /24, the rest between /20 and /32.
pub(crate) fn prefix4(index: u64) -> (u32, u8) {
    let length = match mix(index ^ 0x5555) % 16 {
        0..8 => 24,
        8..12 => 32,
        12 => 20,
        13 => 22,
        14 => 28,
        _ => 30,
    };
    (address4(index) & u32::MAX << (32 - length), length)
}

/// The upper half of the IPv6 network of an index, of 4,096 allocations.
pub(crate) fn network6(index: u64) -> u64 {
    let random = mix(index ^ 0x6666_0000_0000);
    let allocation = [0x2001_0000, 0x2400_0000, 0x2600_0000, 0x2a00_0000][random as usize % 4] + (random >> 52);
    allocation << 32 | random >> 4 & 0xffff_ffff
}

/// The domain of an index.
pub(crate) fn domain(index: u64) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    const SUFFIXES: [&str; 8] = ["com", "net", "org", "xyz", "top", "info", "co.uk", "com.br"];
    let mut random = mix(index ^ 0x7777_0000_0000);
    let suffix = SUFFIXES[random as usize % 8];
    let length = 7 + (random >> 3) as usize % 9;
    random >>= 8;
    let mut name = String::with_capacity(24);
    for letter in 0..length {
        if letter == 8 {
            random = mix(random ^ index);
        }
        name.push(LETTERS[(random % 36) as usize].into());
        random /= 36;
    }
    name.push('.');
    name.push_str(suffix);
    name
}

/// The digest of an index.
pub(crate) fn digest(index: u64) -> [u8; 16] {
    let high = mix(index ^ 0x8888_0000_0000);
    (u128::from(high) << 64 | u128::from(mix(high))).to_be_bytes()
}

/// A bijection of 64 bits whose results look random: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) fn mix(index: u64) -> u64 {
    let mut bits = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// A bijection of 32 bits: the finaliser of MurmurHash3.
fn mix4(index: u32) -> u32 {
    let mut bits = index.wrapping_add(1);
    bits = (bits ^ bits >> 16).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ bits >> 13).wrapping_mul(0xc2b2_ae35);
    bits ^ bits >> 16
}
