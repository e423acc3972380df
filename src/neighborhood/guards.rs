//! Guards: ranges that must not, or only in a limited way, inherit from their neighbors.
//!
//! A line is `cidr <TAB> category <TAB> source`; the category gives the [`Class`]. Where several lines meet the
//! strictest class holds. Invariant: the ranges are disjoint and ascending, and none is [`Class::Normal`].

use std::path::Path;

use super::ranges::{Range, Ranges};
use crate::dataset::NeverList;
use crate::feed::text::trim;
use crate::feed::{Addresses, Compression, Excerpt, FileError, LineError, Lines, Skipped, parse_addresses};

/// What may be concluded about a range from its neighbors, from the strictest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing, and no report of it counts: mail senders, crawlers, infrastructure, sinkholes.
    Never,
    /// Nothing: scanners of research; what they do is not counted either.
    Research,
    /// Nothing, but its own reports count: resolvers that bad hosts may stand among.
    ResolverMixed,
    /// Little: many parties behind one address, as in a CDN.
    Shared,
    /// At most a watch, and it is soon forgotten: addresses that change hands, as VPNs, relays and CGNAT have.
    Pool,
    /// At most a watch: a cloud, whose tenants change.
    Cloud,
    /// Whatever the evidence says.
    Normal,
}

impl Class {
    /// The class of a category; a class's own name is a category too, for lists of the operator's own.
    pub fn of_category(category: &[u8]) -> Option<Self> {
        Some(match category {
            b"mail" | b"mail-inbound" | b"infra" | b"monitor" | b"security-gateway" | b"crawler" | b"sinkhole"
            | b"never" => Self::Never,
            b"research-scanner" | b"research" => Self::Research,
            b"resolver-mixed" => Self::ResolverMixed,
            b"cdn" | b"parking" | b"shared" => Self::Shared,
            b"vpn-mixed" | b"relay" | b"cgnat" | b"dynamic" | b"mobile" | b"pool" => Self::Pool,
            b"cloud-mixed" | b"cloud" => Self::Cloud,
            _ => return None,
        })
    }

    /// Whether a state of a block around the range covers it; if not, the range is a hole in that block.
    pub fn inherits(self) -> bool {
        !matches!(self, Self::Never | Self::Research | Self::ResolverMixed)
    }
}

/// Which guard holds: the class, and by index what said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guard {
    /// The class.
    pub class: Class,
    /// Where it is from; see [`Guards::origin`].
    pub origin: u32,
}

/// A guarded range.
pub type GuardRange<A> = Range<A, Guard>;

/// All guarded ranges.
#[derive(Clone, Debug, Default)]
pub struct Guards {
    ip4: Ranges<u32, Guard>,
    ip6: Ranges<u128, Guard>,
    origins: Vec<(Box<str>, Box<str>)>,
}

impl Guards {
    /// The class of an IPv4 address.
    pub fn class4(&self, address: u32) -> Class {
        self.guard4(address).map_or(Class::Normal, |guard| guard.class)
    }

    /// The class of an IPv6 address.
    pub fn class6(&self, address: u128) -> Class {
        self.guard6(address).map_or(Class::Normal, |guard| guard.class)
    }

    /// The guard of an IPv4 address.
    pub fn guard4(&self, address: u32) -> Option<Guard> {
        self.ip4.get(address)
    }

    /// The guard of an IPv6 address.
    pub fn guard6(&self, address: u128) -> Option<Guard> {
        self.ip6.get(address)
    }

    /// The guarded IPv4 ranges, ascending and disjoint.
    pub fn ranges4(&self) -> &[GuardRange<u32>] {
        self.ip4.as_slice()
    }

    /// The guarded IPv6 ranges, ascending and disjoint.
    pub fn ranges6(&self) -> &[GuardRange<u128>] {
        self.ip6.as_slice()
    }

    /// The category and source that a guard is from.
    pub fn origin(&self, guard: Guard) -> (&str, &str) {
        self.origins.get(guard.origin as usize).map_or(("", ""), |(category, source)| (category, source))
    }
}

/// Takes guard files and comes to [`Guards`].
#[derive(Debug, Default)]
pub struct GuardsBuilder {
    ip4: Vec<GuardRange<u32>>,
    ip6: Vec<GuardRange<u128>>,
    origins: Origins,
    /// The lines that were left out.
    pub skipped: Skipped,
}

impl GuardsBuilder {
    /// Parses a file of `cidr <TAB> category <TAB> source` lines.
    ///
    /// # Errors
    ///
    /// The file cannot be read to its end. A wrong line is left out and stands in [`Self::skipped`].
    pub fn parse_file(&mut self, path: &Path) -> Result<(), FileError> {
        self.parse(Lines::open(path, Compression::Detect)?, |_| true)
    }

    /// Parses those lines of a file that are wanted.
    ///
    /// # Errors
    ///
    /// As [`Self::parse_file`].
    pub fn parse_file_where(&mut self, path: &Path, wanted: impl Fn(GoodRange<'_>) -> bool) -> Result<(), FileError> {
        self.parse(Lines::open(path, Compression::Detect)?, wanted)
    }

    /// Parses guards in memory.
    ///
    /// # Errors
    ///
    /// The bytes begin as a compressed file that cannot be inflated.
    pub fn parse_bytes(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.parse(Lines::from_bytes(bytes, Compression::Detect)?, |_| true)
    }

    /// Takes the never-list, on which are special-use addresses, root servers and public resolvers.
    pub fn add_never_list(&mut self, list: &NeverList) {
        let origin = self.origins.intern(b"never-list", b"built in");
        let value = Guard { class: Class::Never, origin };
        self.ip4.extend(list.ip4().into_iter().map(|(first, last)| Range { first, last, value }));
        self.ip6.extend(list.ip6().into_iter().map(|(first, last)| Range { first, last, value }));
    }

    /// Builds the guards.
    pub fn build(self) -> Guards {
        Guards { ip4: Ranges::resolve(self.ip4), ip6: Ranges::resolve(self.ip6), origins: self.origins.list }
    }

    fn parse(&mut self, lines: Lines<'_>, wanted: impl Fn(GoodRange<'_>) -> bool) -> Result<(), FileError> {
        let Self { ip4, ip6, origins, skipped } = self;
        lines.each_or_skip(skipped, |line| {
            let Some(range) = GoodRange::parse(line)? else { return Ok(()) };
            let class = Class::of_category(range.category).ok_or_else(|| LineError::Word {
                what: "category",
                found: Excerpt::new(range.category),
                known: CATEGORIES,
            })?;
            if !wanted(range) {
                return Ok(());
            }
            let value = Guard { class, origin: origins.intern(range.category, range.source) };
            match range.addresses {
                Addresses::Ip4(first, last) => ip4.push(Range { first, last, value }),
                Addresses::Ip6(first, length) => {
                    ip6.push(Range { first, last: super::bits::Bits::last_of(first, length), value });
                }
            }
            Ok(())
        })
    }
}

/// A line of a file of ranges that are known for something.
#[derive(Clone, Copy, Debug)]
pub struct GoodRange<'l> {
    /// Which addresses.
    pub(super) addresses: Addresses,
    /// What they are known for.
    pub category: &'l [u8],
    /// Who says so.
    pub source: &'l [u8],
}

impl<'l> GoodRange<'l> {
    /// Parses a line; none if it is a comment.
    pub(super) fn parse(line: &'l [u8]) -> Result<Option<Self>, LineError> {
        let line = trim(line);
        if matches!(line, [] | [b'#' | b';', ..]) {
            return Ok(None);
        }
        let mut columns = line.split(|&byte| byte == b'\t').map(trim);
        let cidr = columns.next().unwrap_or_default();
        let addresses = parse_addresses(cidr)?.ok_or_else(|| LineError::NoSubject { found: Excerpt::word(cidr) })?;
        let category = columns.next().ok_or(LineError::Form { form: FORM })?;
        Ok(Some(Self { addresses, category, source: columns.next().unwrap_or_default() }))
    }
}

/// The pairs of category and source met so far; there are few.
#[derive(Debug, Default)]
struct Origins {
    list: Vec<(Box<str>, Box<str>)>,
    index: std::collections::HashMap<Vec<u8>, u32>,
    key: Vec<u8>,
}

impl Origins {
    fn intern(&mut self, category: &[u8], source: &[u8]) -> u32 {
        self.key.clear();
        self.key.extend_from_slice(category);
        self.key.push(0);
        self.key.extend_from_slice(source);
        if let Some(&known) = self.index.get(&self.key) {
            return known;
        }
        let text = |bytes: &[u8]| -> Box<str> { String::from_utf8_lossy(bytes).into() };
        let number = self.list.len() as u32;
        self.list.push((text(category), text(source)));
        self.index.insert(self.key.clone(), number);
        number
    }
}

const FORM: &str = "cidr<TAB>category<TAB>source";
const CATEGORIES: &str = "mail, mail-inbound, infra, monitor, security-gateway, crawler, sinkhole, research-scanner, \
                          cdn, parking, cloud-mixed, vpn-mixed, relay, cgnat, dynamic, mobile, resolver-mixed, or a class";

#[cfg(test)]
mod tests {
    use super::*;

    fn guards(text: &str) -> Guards {
        let mut builder = GuardsBuilder::default();
        builder.parse_bytes(text.as_bytes()).unwrap();
        assert_eq!(builder.skipped, Skipped::default());
        builder.build()
    }

    fn ip(text: &str) -> u32 {
        text.parse::<std::net::Ipv4Addr>().unwrap().into()
    }

    #[test]
    fn the_strictest_of_several_lines_holds() {
        let guards = guards(
            "#cidr\tcategory\tsource\n192.0.2.0/24\tcloud-mixed\ta\n192.0.2.8/29\tmail\tb\n192.0.2.8/30\trelay\tc\n\
             192.0.2.128/25\tresolver-mixed\td\n192.0.2.192/26\tcdn\te\n2001:db8::/32\tcrawler\tf\n",
        );
        for (address, class) in [
            ("192.0.1.255", Class::Normal),
            ("192.0.2.0", Class::Cloud),
            ("192.0.2.9", Class::Never),
            ("192.0.2.15", Class::Never),
            ("192.0.2.16", Class::Cloud),
            ("192.0.2.200", Class::ResolverMixed),
            ("192.0.3.0", Class::Normal),
        ] {
            assert_eq!(guards.class4(ip(address)), class, "{address}");
        }
        assert_eq!(guards.class6(0x2001_0db8_u128 << 96 | 7), Class::Never);
        assert_eq!(guards.class6(0x2001_0db9_u128 << 96), Class::Normal);
        let guard = guards.guard4(ip("192.0.2.9")).unwrap();
        assert_eq!(guards.origin(guard), ("mail", "b"));
    }

    #[test]
    fn a_line_that_says_nothing_known_is_left_out_and_told() {
        let mut builder = GuardsBuilder::default();
        builder.parse_bytes(b"192.0.2.0/24\tgood\tx\n192.0.2.0/24\nword\tmail\tx\n192.0.2.1\tnever\n").unwrap();
        let told: Vec<String> = builder.skipped.lines.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3);
        assert!(told[0].starts_with("-:1: unknown category `good`: mail, "), "{}", told[0]);
        assert_eq!(told[1], "-:2: no line of this format: write `cidr<TAB>category<TAB>source`");
        assert!(told[2].starts_with("-:3: `word` is no address"), "{}", told[2]);
        assert_eq!(builder.build().class4(ip("192.0.2.1")), Class::Never);
    }

    #[test]
    fn the_never_list_is_a_guard() {
        let mut builder = GuardsBuilder::default();
        builder.add_never_list(&NeverList::with_own(&[]));
        let guards = builder.build();
        assert_eq!(guards.class4(ip("10.1.2.3")), Class::Never);
        assert_eq!(guards.class4(ip("8.8.8.8")), Class::Never);
        assert_eq!(guards.class4(ip("192.0.2.1")), Class::Normal);
    }
}
