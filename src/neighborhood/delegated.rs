//! Allocations: whom a registry gave addresses to, from the `delegated` statistics files of the five RIRs.
//!
//! `registry|cc|type|start|value|date|status[|…]`: for IPv4 `value` is a number of addresses, for IPv6 a prefix length.
//! Records of the free pool are not read. Invariant: where records overlap, the smaller one holds.

use std::path::Path;

use super::bits::Bits;
use super::ranges::{Range, Ranges};
use crate::feed::text::{number, trim};
use crate::feed::{Addresses, Compression, Excerpt, FileError, LineError, Lines, Skipped, parse_addresses};

/// What a registry says of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allocation {
    /// Two capitals; `ZZ` where the registry names none.
    pub country: [u8; 2],
    /// The registry.
    pub registry: Registry,
    /// The day as year, month and day in one decimal number; 0 where the registry names none.
    pub date: u32,
}

/// A regional registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registry {
    /// Africa.
    Afrinic,
    /// Asia and the Pacific.
    Apnic,
    /// North America.
    Arin,
    /// Above them all.
    Iana,
    /// Latin America and the Caribbean.
    Lacnic,
    /// Europe, the Middle East and Central Asia.
    Ripencc,
}

impl Registry {
    /// The registry as the files, and answers about origins, name it.
    pub fn name(self) -> &'static str {
        REGISTRIES.iter().find(|(_, registry)| *registry == self).map_or("", |(name, _)| name)
    }
}

/// All allocations that were read.
#[derive(Clone, Debug, Default)]
pub struct Allocations {
    // the size in bits comes first, so that the smaller record is the lesser
    ip4: Ranges<u32, (u8, Allocation)>,
    ip6: Ranges<u128, (u8, Allocation)>,
}

impl Allocations {
    /// The allocation of an IPv4 address.
    pub fn find4(&self, address: u32) -> Option<Allocation> {
        self.ip4.get(address).map(|(_, allocation)| allocation)
    }

    /// The allocation of an IPv6 address.
    pub fn find6(&self, address: u128) -> Option<Allocation> {
        self.ip6.get(address).map(|(_, allocation)| allocation)
    }
}

/// Takes delegated files and comes to [`Allocations`].
#[derive(Debug, Default)]
pub struct AllocationsBuilder {
    ip4: Vec<Range<u32, (u8, Allocation)>>,
    ip6: Vec<Range<u128, (u8, Allocation)>>,
    /// The lines that were left out.
    pub skipped: Skipped,
}

impl AllocationsBuilder {
    /// Parses a `delegated` or `delegated-extended` file.
    ///
    /// # Errors
    ///
    /// The file cannot be read to its end. A wrong line is left out and stands in [`Self::skipped`].
    pub fn parse_file(&mut self, path: &Path) -> Result<(), FileError> {
        self.parse(Lines::open(path, Compression::Detect)?)
    }

    /// Parses such a file in memory.
    ///
    /// # Errors
    ///
    /// The bytes begin as a compressed file that cannot be inflated.
    pub fn parse_bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.parse(Lines::from_bytes(bytes, Compression::Detect)?)
    }

    /// Builds the allocations.
    pub fn build(self) -> Allocations {
        Allocations { ip4: Ranges::resolve(self.ip4), ip6: Ranges::resolve(self.ip6) }
    }

    fn parse(&mut self, lines: Lines<'_>) -> Result<(), FileError> {
        let Self { ip4, ip6, skipped } = self;
        lines.each_or_skip(skipped, |line| {
            let line = trim(line);
            let mut columns = line.split(|&byte| byte == b'|').map(trim);
            let mut next = || columns.next().unwrap_or_default();
            let [registry, country, kind, start, value, date, status] = std::array::from_fn(|_| next());
            let is_comment = matches!(line, [] | [b'#', ..]);
            // summaries have a star for an address
            let is_free = matches!(status, b"available" | b"reserved");
            if is_comment || start == b"*" || is_free {
                return Ok(());
            }
            if value.is_empty() {
                return Err(LineError::Form { form: FORM });
            }
            // the version line and the records of ASNs
            if !matches!(kind, b"ipv4" | b"ipv6") {
                return Ok(());
            }
            let registry = REGISTRIES.iter().find(|(name, _)| name.as_bytes() == registry).ok_or_else(|| {
                LineError::Word { what: "registry", found: Excerpt::new(registry), known: "one of the five, or iana" }
            })?;
            let allocation = Allocation {
                country: country.try_into().unwrap_or(*b"ZZ"),
                registry: registry.1,
                date: number(date).unwrap_or(0),
            };
            let address =
                parse_addresses(start)?.ok_or_else(|| LineError::NoSubject { found: Excerpt::word(start) })?;
            let count = number(value).ok_or(LineError::Form { form: FORM })?;
            match address {
                Addresses::Ip4(first, _) if kind == b"ipv4" => {
                    let more = count.checked_sub(1).ok_or(LineError::Form { form: FORM })?;
                    let last = first.checked_add(more).ok_or(LineError::Form { form: FORM })?;
                    let size = (32 - more.leading_zeros()) as u8;
                    ip4.push(Range { first, last, value: (size, allocation) });
                }
                Addresses::Ip6(first, _) if kind == b"ipv6" && count <= 128 => {
                    let length = count as u8;
                    let first = first.masked(length);
                    ip6.push(Range { first, last: first.last_of(length), value: (128 - length, allocation) });
                }
                _ => return Err(LineError::Form { form: FORM }),
            }
            Ok(())
        })
    }
}

const REGISTRIES: [(&str, Registry); 6] = [
    ("afrinic", Registry::Afrinic),
    ("apnic", Registry::Apnic),
    ("arin", Registry::Arin),
    ("iana", Registry::Iana),
    ("lacnic", Registry::Lacnic),
    ("ripencc", Registry::Ripencc),
];
const FORM: &str = "registry|cc|ipv4|address|count|date|status, or ipv6 with a prefix length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn country_registry_and_date_of_an_address() {
        let mut builder = AllocationsBuilder::default();
        builder
            .parse_bytes(
                b"2|apnic|20261127|4|19830613|20261126|+1000\napnic|*|ipv4|*|2|summary\n\
                  apnic|AU|ipv4|192.0.2.0|384|20110811|assigned|opaque\n\
                  apnic|NZ|ipv4|192.0.2.128|64|20120101|allocated\n\
                  apnic||ipv4|198.51.100.0|256||available\napnic|JP|asn|64496|1|20020801|allocated\n\
                  ripencc|NL|ipv6|2001:db8::|32|20050101|allocated\n",
            )
            .unwrap();
        assert_eq!(builder.skipped, Skipped::default());
        let allocations = builder.build();
        let find = |text: &str| {
            let found = allocations.find4(text.parse::<std::net::Ipv4Addr>().unwrap().into())?;
            Some((String::from_utf8(found.country.to_vec()).unwrap(), found.registry.name(), found.date))
        };
        assert_eq!(find("192.0.2.1"), Some(("AU".into(), "apnic", 20_110_811)));
        assert_eq!(find("192.0.2.128"), Some(("NZ".into(), "apnic", 20_120_101)));
        assert_eq!(find("192.0.3.127"), Some(("AU".into(), "apnic", 20_110_811)));
        assert_eq!(find("192.0.3.128"), None);
        assert_eq!(find("198.51.100.1"), None);
        assert_eq!(allocations.find6(0x2001_0db8_u128 << 96 | 1).unwrap().country, *b"NL");
    }

    #[test]
    fn wrong_records_are_left_out_and_told() {
        let mut builder = AllocationsBuilder::default();
        let text = "apnic|AU|ipv4|255.255.255.0|512|20110811|assigned\napnic|AU|ipv4|192.0.2.0|0|20110811|assigned\n\
                    other|AU|ipv4|192.0.2.0|256|20110811|assigned\nprose\napnic|AU|ipv6|192.0.2.0|32|2011|assigned\n";
        builder.parse_bytes(text.as_bytes()).unwrap();
        assert_eq!(builder.skipped.total, 5, "{:?}", builder.skipped);
    }
}
