//! What a zone's datasets say of a name: which of them list it, and whether anything exists below it.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use ipnet::IpNet;

use crate::dataset::{Part, Value};
use crate::dnsxl::name::fmt_wire;
use crate::dnsxl::{Block4, Block6, Key, Labels, Name, Subject};
use crate::feed::Scope;
use crate::live::{self, MAX_LAYERS, MAX_LIVE_TTL};
use crate::snapshot::Snapshot;
use crate::table::{NameHashes, ValueId};
use crate::zone::{Choice, Listed, MAX_PARTS, Placed, TEST_IP4, TEST_IP6, TEST_NAME, Teller, UnixTime, Zone};

/// A listing of the name that is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    /// The part's index in the zone.
    pub(crate) placed: usize,
    /// What lists it.
    pub(crate) teller: Teller,
    /// What is listed, as the teller numbers it.
    pub(crate) value: ValueId,
    /// The subject of it.
    pub(crate) about: About,
    /// Seconds; its values live no longer.
    pub(crate) most_ttl: u32,
}

impl Hit {
    /// What a part lists, at a time.
    pub(crate) fn of(placed: usize, listed: Listed, about: About, now: UnixTime) -> Self {
        let Listed { teller, value, expires, .. } = listed;
        let most_ttl = match teller {
            Teller::Dataset => u32::MAX,
            Teller::Live { .. } => expires.saturating_sub(now.0).clamp(1, MAX_LIVE_TTL.into()) as u32,
        };
        Self { placed, teller, value, about, most_ttl }
    }

    /// The listing's values.
    pub(crate) fn values<'z>(&self, zone: &'z Zone) -> impl Iterator<Item = Value<'z>> + Clone + use<'z> {
        let (most, zone_ttl) = (self.most_ttl, zone.ttl);
        let bounded = move |ttl: Option<u32>| Some(ttl.unwrap_or(zone_ttl).min(most));
        let values = zone.placed[self.placed].values(self.teller, self.value);
        values.map(move |value| Value { ttl: bounded(value.ttl), ..value })
    }
}

/// All listings of a name: of each part one of each kind, and one more for every layer of live changes.
pub(crate) type Hits = ArrayVec<Hit, { MAX_PARTS * KINDS * (1 + MAX_LAYERS) }>;

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

/// A name in front of an apex that is looked up, as what it may be a subject of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'q> {
    subject: Subject<'q>,
    /// Its hashes, if there are any yet.
    hashes: Option<&'q NameHashes>,
}

impl<'q> Sought<'q> {
    /// Reads a name.
    pub(crate) fn read(name: Labels<'q>) -> Self {
        Self { subject: Subject::read(name), hashes: None }
    }

    /// The same, where the query was announced.
    pub(super) fn announced(name: Labels<'q>, ahead: &'q Ahead) -> Self {
        Self { subject: Subject { labels: name, ip4: ahead.ip4, ip6: ahead.ip6 }, hashes: Some(&ahead.hashes) }
    }

    /// What it is to a part that sees it as `relative`.
    fn subject(self, relative: Labels<'q>) -> Subject<'q> {
        if relative.count() == self.subject.labels.count() { self.subject } else { Subject::read(relative) }
    }
}

/// Whether anything lists `name`, what stands in front of the apex.
pub(crate) fn is_listed(zone: &Zone, name: Labels<'_>, now: UnixTime) -> bool {
    let mut hits = Hits::new();
    find(zone, Sought::read(name), now, &mut hits);
    !hits.is_empty()
}

/// Finds the listings of a name that are answered, as far as the zone's choice wants them; whether names are listed below
/// it, as far as all parts were asked.
///
/// The hits go to where they stay: there is room for many, and moving it costs more than all of the search.
pub(crate) fn find(zone: &Zone, sought: Sought<'_>, now: UnixTime, hits: &mut Hits) -> bool {
    if zone.allow.is_empty() {
        return search(zone, sought, now, hits);
    }
    collect(zone, sought, now, hits, |relative, about| allowed_by(zone, relative, about).is_none())
}

/// As [`find`], but what is allowed is found too.
pub(crate) fn search(zone: &Zone, sought: Sought<'_>, now: UnixTime, hits: &mut Hits) -> bool {
    collect(zone, sought, now, hits, |_, _| true)
}

/// Both; what is not to be kept counts as not listed, so that under [`Choice::One`] the next dataset is asked.
fn collect(
    zone: &Zone,
    sought: Sought<'_>,
    now: UnixTime,
    hits: &mut Hits,
    is_kept: impl Fn(Labels<'_>, About) -> bool,
) -> bool {
    let mut names_below = false;
    for (index, placed, relative) in parts(zone, sought.subject.labels) {
        if zone.choice == Choice::One
            && hits.last().is_some_and(|hit| zone.placed[hit.placed].dataset_index != placed.dataset_index)
        {
            break;
        }
        let subject = sought.subject(relative);
        let mut hit = |listed: Listed, about| {
            if is_kept(relative, about) {
                hits.push(Hit::of(index, listed, about, now));
            }
        };
        if let Some(address) = address4(placed, &subject) {
            placed.ip4(address, |listed| hit(listed, About::Ip4(address.into())));
        }
        if let Some(address) = address6(placed, &subject) {
            placed.ip6(address, |listed| hit(listed, About::Ip6(address.into())));
        }
        let above = placed.under_labels;
        let mut hit_name = |listed: Listed| hit(listed, About::Name { labels: listed.depth.into(), above });
        names_below |= placed.name(relative, sought.hashes.filter(|_| above == 0), &mut hit_name);
        placed.hash(relative, &mut hit_name);
    }
    names_below
}

/// The part of the zone's allow lists that has what a listing is about, of `name` as the part sees it that lists it.
///
/// What every list has (RFC 5782, section 5) is not to be allowed.
pub(crate) fn allowed_by<'z>(zone: &'z Zone, name: Labels<'_>, about: About) -> Option<&'z Placed> {
    zone.allow.iter().find(|placed| {
        let mut is_listed = false;
        let mut give = |_| is_listed = true;
        match about {
            About::Ip4(address) if address.to_bits() != TEST_IP4 => placed.ip4(address.to_bits(), give),
            About::Ip6(address) if address.to_bits() != TEST_IP6 => {
                placed.ip6(address.to_bits(), &mut give);
                // an address is the same in either form
                if let Some(mapped) = address.to_ipv4_mapped() {
                    placed.ip4(mapped.to_bits(), give);
                }
            }
            About::Name { .. } if name.wire() != TEST_NAME => {
                placed.name(name, None, &mut give);
                placed.hash(name, give);
            }
            About::Ip4(_) | About::Ip6(_) | About::Name { .. } | About::Net(_) | About::Client(_) => {}
        }
        is_listed
    })
}

/// Where the search for a name will read: what a batch of queries asks of memory before it searches.
///
/// It looks at the large parts that stand at the apex itself, and decides nothing: a search that was not announced finds
/// the same, and waits. What it found out of the name, the search need not find out again.
#[derive(Clone, Debug, Default)]
pub struct Ahead {
    /// The zone's index in the snapshot.
    pub(super) zone: usize,
    /// The key that stands between the name and the apex, by its index.
    pub(super) key: Option<u32>,
    ip4: Option<Block4>,
    ip6: Option<Block6>,
    hashes: NameHashes,
}

impl Ahead {
    /// Has the memory that [`find`] or [`exists_below`] will read first for `name`, in front of the apex
    /// and a key, come nearer.
    pub(super) fn prefetch(index: usize, zone: &Zone, name: Labels<'_>, key: Option<u32>) -> Self {
        let subject = Subject::read(name);
        let mut ahead = Self { zone: index, key, ip4: subject.ip4, ip6: subject.ip6, hashes: NameHashes::default() };
        let (ip4, ip6) = ahead.addresses();
        for part in large_parts(zone) {
            if let Some(address) = ip4 {
                part.table.ip4.prefetch(address);
            }
            if let Some(address) = ip6 {
                part.table.ip6.prefetch(address);
            }
            if !part.table.names.is_empty() {
                ahead.hashes = part.table.names.hashes(name);
                part.table.names.prefetch(&ahead.hashes);
            }
            if let Some(key) = hash_key(part, name) {
                part.table.hashes.prefetch(key.as_bytes());
            }
        }
        ahead
    }

    /// The same for what stands behind that memory: an address has its directory first.
    pub(super) fn prefetch_further(&self, snapshot: &Snapshot) {
        let Some(zone) = snapshot.zones().get(self.zone) else { return };
        let (ip4, ip6) = self.addresses();
        for part in large_parts(zone) {
            if let Some(address) = ip4 {
                part.table.ip4.prefetch_leaf(address);
            }
            if let Some(address) = ip6 {
                part.table.ip6.prefetch_leaf(address);
            }
        }
    }

    /// The first addresses of what the name spells.
    fn addresses(&self) -> (Option<u32>, Option<u128>) {
        let embedded = |block: Block6| block.mapped().or_else(|| block.six_to_four());
        let ip4 = self.ip4.or_else(|| embedded(self.ip6?));
        (ip4.map(|block| block.bits), self.ip6.map(|block| block.bits))
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

/// The whole subjects that a name is to a part which sees it so, as live changes name them.
pub(crate) fn whole_subjects(placed: &Placed, name: Labels<'_>) -> impl Iterator<Item = live::Subject> {
    let subject = Subject::read(name);
    let ip4 = address4(placed, &subject).map(|bits| live::Subject::Ip4 { bits, length: 32 });
    let ip6 = address6(placed, &subject).map(|bits| live::Subject::Ip6 { bits, length: 128 });
    let named = Name::from_wire(name.wire()).ok().map(|name| live::Subject::Name { name, scope: Scope::Exact });
    let shape = placed.holds.hashes.filter(|_| name.count() == 1);
    let key = shape.and_then(|shape| Some(live::Subject::Hash { key: shape.read_label(name.label(0))?, shape }));
    [ip4, ip6, named, key].into_iter().flatten()
}

/// Whether `name`, what stands in front of the apex, is one that the zone's datasets could list.
pub(super) fn is_subject(zone: &Zone, name: Labels<'_>) -> bool {
    parts(zone, name).any(|(_, placed, relative)| {
        let (holds, subject) = (&placed.holds, Subject::read(relative));
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

/// Whether anything exists below a name.
pub(super) fn exists_below(zone: &Zone, sought: Sought<'_>, seen: Seen) -> bool {
    let name = sought.subject.labels;
    if is_above_child(zone, name) {
        return true;
    }
    if zone.placed.iter().any(|placed| placed.under_labels >= name.count() && is_above(name, placed.under.as_wire())) {
        return true;
    }
    parts(zone, name).any(|(_, placed, relative)| {
        let part = placed.part();
        part.records.any_below(relative)
            || match seen {
                Seen::All { names_below } => {
                    names_below
                        || placed.is_live() && placed.any_live_below(relative)
                        || addresses_below(placed, sought.subject(relative))
                }
                Seen::Records => false,
                Seen::Everything => could_list_below(placed, sought.subject(relative)),
            }
    })
}

/// Whether another zone is below a name, what stands in front of the apex.
pub(super) fn is_above_child(zone: &Zone, name: Labels<'_>) -> bool {
    zone.children.iter().any(|child| is_above(name, child.as_wire()))
}

fn is_above(name: Labels<'_>, other: &[u8]) -> bool {
    other.len() >= name.wire().len() && ends_with_labels(other, name)
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
fn addresses_below(placed: &Placed, subject: Subject<'_>) -> bool {
    // all the names below a 6to4 address's /48 are that address, which is a block too
    let below4 = |block: Block4| placed.any_below_ip4(block);
    if let Some(block) = subject.ip4
        && !block.is_address()
        && below4(block)
    {
        return true;
    }
    if let Some(block) = subject.ip6
        && !block.is_address()
    {
        let in_ip4 = placed.beside_ip4 && [block.mapped(), block.six_to_four()].into_iter().flatten().any(below4);
        // beside IPv4, what an IPv6 list says of mapped addresses is never given
        let in_ip6 = placed.any_below_ip6(block)
            && !(placed.beside_ip4 && block.length >= MAPPED_LENGTH && block.mapped().is_some());
        if in_ip4 || in_ip6 {
            return true;
        }
    }
    false
}

/// Whether any subject that the part could list is below the name.
fn could_list_below(placed: &Placed, subject: Subject<'_>) -> bool {
    let holds = &placed.holds;
    let partial6 = subject.ip6.filter(|block| !block.is_address());
    let embedded = |block: Block6| block.mapped().is_some() || block.six_to_four().is_some();
    holds.names
        || holds.hashes.is_some() && subject.labels.count() == 0
        || holds.ip4 && subject.ip4.is_some_and(|block| !block.is_address())
        || holds.ip4 && partial6.is_some_and(embedded)
        || holds.ip6 && partial6.is_some()
}

/// Kinds of subject that one name can be at once: a 6to4 address is one of both families, and a name; a hash is a name.
const KINDS: usize = 3;
/// The longest text of a subject: every byte of a name escaped.
const MAX_SUBJECT: usize = 4 * 255;
/// The prefix length of `::ffff:0:0/96`.
const MAPPED_LENGTH: u8 = 96;
