//! What a zone's datasets say of a name: which of them list it, and whether anything exists below it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use ipnet::IpNet;

use crate::dataset::{Part, Value};
use crate::dnsxl::name::fmt_wire;
use crate::dnsxl::{Block4, Block6, Key, Labels, Subject};
use crate::snapshot::Snapshot;
use crate::table::{NameHashes, ValueId};
use crate::zone::{Choice, MAX_PARTS, Placed, Zone};

/// A listing of the name that is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// The part's index in the zone.
    pub(crate) placed: usize,
    /// What is listed, as the part numbers it.
    pub(crate) value: ValueId,
    /// The subject of it.
    pub(crate) about: About,
}

impl Hit {
    /// The listing's values.
    pub(crate) fn values<'z>(&self, zone: &'z Zone) -> impl Iterator<Item = Value<'z>> + Clone + use<'z> {
        zone.placed[self.placed].part().values.list(self.value)
    }
}

/// All listings of a name: each part has at most one of each kind.
pub(crate) type Hits = ArrayVec<Hit, { MAX_PARTS * KINDS }>;

/// What a listing is about, and how a text names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Ip4(Ipv4Addr),
    Ip6(Ipv6Addr),
    /// The addresses for which a wildcard stands.
    Net(IpNet),
    /// The last so many labels in front of `above` labels that end the name in front of the apex.
    Name {
        labels: usize,
        above: usize,
    },
    Client(IpAddr),
}

impl About {
    /// The text for `$`; `name` is what stands in front of the apex.
    pub(crate) fn text(self, name: Labels<'_>) -> ArrayVec<u8, MAX_SUBJECT> {
        let mut text = ArrayVec::new();
        // what does not fit is past the end of any text
        let _ = match self {
            Self::Ip4(address) => write!(text, "{address}"),
            Self::Net(net) => write!(text, "{net}"),
            // in hexadecimal throughout, as listings have always been linked to
            Self::Ip6(address) => match address.to_ipv4_mapped().map(|mapped| mapped.to_bits()) {
                Some(bits) => write!(text, "::ffff:{:x}:{:x}", bits >> 16, bits & 0xffff),
                None => write!(text, "{address}"),
            },
            Self::Client(address) => write!(text, "{address}"),
            Self::Name { labels, above } => {
                let relative = name.without_suffix(above);
                write!(text, "{}", Shown(relative.suffix(labels)))
            }
        };
        text
    }
}

/// A wire form that is shown as text.
struct Shown<'w>(&'w [u8]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        fmt_wire(self.0, f)
    }
}

/// The values of listings, each with what it is about.
pub(super) fn values_of<'z>(zone: &'z Zone, hits: &Hits) -> impl Iterator<Item = (About, Value<'z>)> + Clone {
    hits.iter().flat_map(move |hit| hit.values(zone).map(|value| (hit.about, value)))
}

/// A zone's parts that a name is below, with the name as each of them sees it.
fn parts<'z, 'q>(zone: &'z Zone, name: Labels<'q>) -> impl Iterator<Item = (usize, &'z Placed, Labels<'q>)> {
    let placed = zone.placed.iter().enumerate();
    placed.filter_map(move |(index, placed)| Some((index, placed, placed.relative(name)?)))
}

/// Whether anything lists `name`, what stands in front of the apex.
pub(crate) fn is_listed(zone: &Zone, name: Labels<'_>) -> bool {
    let mut hits = Hits::new();
    find(zone, name, None, &mut hits);
    !hits.is_empty()
}

/// Finds the listings of `name`, what stands in front of the apex, as far as the zone's choice wants them; whether names
/// are listed below it, as far as all parts were asked.
///
/// `hashes` are the name's, if there are any yet. The hits go to where they stay: there is room for many, and moving it
/// costs more than all of the search.
pub(crate) fn find(zone: &Zone, name: Labels<'_>, hashes: Option<&NameHashes>, hits: &mut Hits) -> bool {
    let mut names_below = false;
    let mut subject = Subject::read(name);
    for (index, placed, relative) in parts(zone, name) {
        if zone.choice == Choice::One
            && hits.last().is_some_and(|hit| zone.placed[hit.placed].dataset_index != placed.dataset_index)
        {
            break;
        }
        if relative.count() != subject.labels.count() {
            subject = Subject::read(relative);
        }
        let mut hit = |value: ValueId, about| {
            if value.is_listed() {
                hits.push(Hit { placed: index, value, about });
            }
        };
        let part = placed.part();
        if let Some(address) = address4(placed, &subject) {
            hit(part.table.ip4.find(address), About::Ip4(address.into()));
        }
        if let Some(address) = address6(placed, &subject) {
            hit(part.table.ip6.find(address), About::Ip6(address.into()));
        }
        if !part.table.names.is_empty() {
            let found = match hashes.filter(|_| placed.under_labels == 0) {
                Some(hashes) => part.table.names.find_hashed(relative, hashes),
                None => part.table.names.find(relative),
            };
            names_below |= found.any_below;
            let about = About::Name { labels: usize::from(found.depth), above: placed.under_labels };
            hit(found.value, about);
        }
        if let Some(key) = hash_key(part, relative) {
            hit(part.table.hashes.find(key.as_bytes()), About::Name { labels: 1, above: placed.under_labels });
        }
    }
    names_below
}

/// Where the search for a name will read: what a batch of queries asks of memory before it searches.
///
/// It looks at the large parts that stand at the apex itself, and decides nothing: a search that was not announced finds
/// the same, and waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    zone: usize,
    ip4: Option<u32>,
    ip6: Option<u128>,
    /// The hashes of the name, which the search need not compute again.
    pub(super) hashes: NameHashes,
}

impl Ahead {
    /// Has the memory that [`find`] or [`exists_below`] will read first for `name`, in front of the apex, come nearer.
    pub(super) fn prefetch(index: usize, zone: &Zone, name: Labels<'_>) -> Self {
        let subject = Subject::read(name);
        let embedded = |block: Block6| block.mapped().or_else(|| block.six_to_four());
        let ip4 = subject.ip4.or_else(|| embedded(subject.ip6?)).map(|block| block.bits);
        let ip6 = subject.ip6.map(|block| block.bits);
        let mut hashes = NameHashes::default();
        for part in large_parts(zone) {
            if let Some(address) = ip4 {
                part.table.ip4.prefetch(address);
            }
            if let Some(address) = ip6 {
                part.table.ip6.prefetch(address);
            }
            if !part.table.names.is_empty() {
                hashes = part.table.names.hashes(name);
                part.table.names.prefetch(&hashes);
            }
            if let Some(key) = hash_key(part, name) {
                part.table.hashes.prefetch(key.as_bytes());
            }
        }
        Self { zone: index, ip4, ip6, hashes }
    }

    /// The same for what stands behind that memory: an address has its directory first.
    pub(super) fn prefetch_further(&self, snapshot: &Snapshot) {
        let Some(zone) = snapshot.zones().get(self.zone) else { return };
        for part in large_parts(zone) {
            if let Some(address) = self.ip4 {
                part.table.ip4.prefetch_leaf(address);
            }
            if let Some(address) = self.ip6 {
                part.table.ip6.prefetch_leaf(address);
            }
        }
    }
}

fn large_parts(zone: &Zone) -> impl Iterator<Item = &Part> {
    zone.placed.iter().filter(|placed| placed.is_large && placed.under_labels == 0).map(Placed::part)
}

fn hash_key(part: &Part, name: Labels<'_>) -> Option<Key> {
    let shape = part.holds.hashes?;
    if name.count() != 1 || part.table.hashes.is_empty() {
        return None;
    }
    shape.read_label(name.label(0))
}

/// The IPv4 address that is asked about: four octets, or one that is embedded in an IPv6 address.
fn address4(placed: &Placed, subject: &Subject<'_>) -> Option<u32> {
    let embedded = |block: Block6| block.mapped().or_else(|| block.six_to_four());
    let block = match (subject.ip4, subject.ip6) {
        (Some(block), _) if block.is_address() => Some(block),
        (_, Some(block)) if block.is_address() && placed.beside_ip4 => embedded(block),
        _ => None,
    };
    block.map(|block| block.bits)
}

/// The IPv6 address that is asked about; beside IPv4, a mapped address is that one only.
fn address6(placed: &Placed, subject: &Subject<'_>) -> Option<u128> {
    let block = subject.ip6.filter(|block| block.is_address())?;
    let is_ip4 = placed.beside_ip4 && block.mapped().is_some();
    (!is_ip4).then_some(block.bits)
}

/// Whether `name`, what stands in front of the apex, is one that the zone's datasets could list.
pub(super) fn is_subject(zone: &Zone, name: Labels<'_>) -> bool {
    parts(zone, name).any(|(_, placed, relative)| {
        let (holds, subject) = (&placed.part().holds, Subject::read(relative));
        holds.names && relative.count() > 0
            || holds.ip4 && address4(placed, &subject).is_some()
            || holds.ip6 && address6(placed, &subject).is_some()
            || relative.count() == 1 && holds.hashes.is_some_and(|key| key.read_label(relative.label(0)).is_some())
    })
}

/// What of the datasets a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Listings and records; whether [`find`] saw names below.
    All { names_below: bool },
    /// Records only.
    Records,
    /// Records, and everything that could be listed as if it were.
    Everything,
}

/// Whether anything exists below `name`, what stands in front of the apex.
pub(super) fn exists_below(zone: &Zone, name: Labels<'_>, seen: Seen) -> bool {
    let is_above = |other: &[u8]| other.len() >= name.wire().len() && ends_with_labels(other, name);
    if zone.children.iter().any(|child| is_above(child.as_wire())) {
        return true;
    }
    if zone.placed.iter().any(|placed| placed.under_labels >= name.count() && is_above(placed.under.as_wire())) {
        return true;
    }
    parts(zone, name).any(|(_, placed, relative)| {
        let part = placed.part();
        part.records.any_below(relative)
            || match seen {
                Seen::All { names_below } => names_below || addresses_below(placed, relative),
                Seen::Records => false,
                Seen::Everything => could_list_below(placed, relative),
            }
    })
}

/// Whether `wire` ends with all of `name`'s labels.
fn ends_with_labels(wire: &[u8], name: Labels<'_>) -> bool {
    let mut at = 0;
    while wire.len() - at > name.wire().len() {
        at += 1 + usize::from(wire[at]);
    }
    wire[at..] == *name.wire()
}

/// Whether an address below a name that is a part of one is listed.
fn addresses_below(placed: &Placed, name: Labels<'_>) -> bool {
    let table = &placed.part().table;
    if table.ip4.is_empty() && table.ip6.is_empty() {
        return false;
    }
    let subject = Subject::read(name);
    let below4 = |block: Block4| match block.is_address() {
        // all the names below a 6to4 address's /48 are that address
        true => table.ip4.find(block.bits).is_listed(),
        false => table.ip4.any_below(block),
    };
    if let Some(block) = subject.ip4
        && !block.is_address()
        && table.ip4.any_below(block)
    {
        return true;
    }
    if let Some(block) = subject.ip6
        && !block.is_address()
    {
        let in_ip4 = placed.beside_ip4 && [block.mapped(), block.six_to_four()].into_iter().flatten().any(below4);
        // beside IPv4, what an IPv6 list says of mapped addresses is never given
        let in_ip6 = table.ip6.any_below(block)
            && !(placed.beside_ip4 && block.length >= MAPPED_LENGTH && block.mapped().is_some());
        if in_ip4 || in_ip6 {
            return true;
        }
    }
    false
}

/// Whether any subject that the part could list is below the name.
fn could_list_below(placed: &Placed, name: Labels<'_>) -> bool {
    let (holds, subject) = (&placed.part().holds, Subject::read(name));
    let partial6 = subject.ip6.filter(|block| !block.is_address());
    let embedded = |block: Block6| block.mapped().is_some() || block.six_to_four().is_some();
    holds.names
        || holds.hashes.is_some() && name.count() == 0
        || holds.ip4 && subject.ip4.is_some_and(|block| !block.is_address())
        || holds.ip4 && partial6.is_some_and(embedded)
        || holds.ip6 && partial6.is_some()
}

/// Kinds of subject that one part can list at once: IPv4, IPv6, name, hash.
const KINDS: usize = 4;
/// The longest text of a subject: every byte of a name escaped.
const MAX_SUBJECT: usize = 4 * 255;
/// The prefix length of `::ffff:0:0/96`.
const MAPPED_LENGTH: u8 = 96;
