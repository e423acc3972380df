//! The owners that a zone needs in a master file, each given once, and what stands below them.
//!
//! A zone is several things under one apex: addresses, names, digests, records. Each is a *layer* that knows the names
//! it makes exist. Invariant: what is given is closed under ancestors; so every name that exists in the file has been
//! given, and got the wildcard that is to go on below it.

use std::collections::BTreeSet;

use super::Source;
use super::space::{Block, Family, Ranges, Space};
use crate::answer::hits::{About, Hit, Hits, allowed_by, is_listed};
use crate::dataset::Spelling;
use crate::dataset::values::ListId;
use crate::dnsxl::name::labels;
use crate::dnsxl::subject::{Block4, Block6, mask6};
use crate::dnsxl::{Labels, Name, QueryName, Subject};
use crate::live;
use crate::table::{NameKey, Prefix6};
use crate::zone::{Choice, Listed, Placed, TEST_IP4, TEST_IP6, TEST_NAME, Zone};

/// All layers of a zone.
pub(super) struct Layers<'s> {
    source: &'s Source,
    /// The names that parts stand under, each with the addresses there.
    places: Vec<Place>,
    /// By part, the place it is at.
    place_of: Vec<usize>,
    /// The owners of records, places, test entries, and all names above these, relative to the apex in wire form.
    others: BTreeSet<Vec<u8>>,
    /// Those of them that may have to be there although nothing is listed of them.
    stops: BTreeSet<Vec<u8>>,
    layers: Vec<Layer>,
}

struct Place {
    under: Name,
    under_labels: usize,
    ip4: Space<u32>,
    ip6: Space<u128>,
}

#[derive(Clone, Copy)]
enum Layer {
    Others,
    Ip4(usize),
    Ip6(usize),
    Names(usize),
    Digests(usize),
}

/// An owner that the file needs.
pub(super) struct Node<'n> {
    /// The name in front of the apex.
    pub(super) labels: Labels<'n>,
    /// If a list of names brought it: the part's index, and what the part says of it.
    key: Option<(usize, NameKey)>,
}

impl<'s> Layers<'s> {
    /// The layers of a zone; with `enumerates`, addresses whose text names them are owners one by one.
    pub(super) fn of(source: &'s Source, enumerates: bool) -> Self {
        let placed = &source.zone.placed;
        let mut unders: Vec<&Name> = placed.iter().map(|placed| &placed.under).collect();
        unders.sort_unstable();
        unders.dedup();
        let place_of = placed.iter().map(|placed| unders.partition_point(|under| **under < placed.under)).collect();
        let places = unders.iter().map(|under| Place::of(&source.zone, under, enumerates)).collect();
        let mut layers =
            Self { source, places, place_of, others: BTreeSet::new(), stops: BTreeSet::new(), layers: Vec::new() };
        layers.collect_others();
        layers.collect_stops();
        layers.layers.push(Layer::Others);
        layers.layers.extend((0..layers.places.len()).flat_map(|place| [Layer::Ip4(place), Layer::Ip6(place)]));
        layers.layers.extend((0..placed.len()).map(Layer::Names));
        layers.layers.extend((0..placed.len()).map(Layer::Digests));
        layers
    }

    fn collect_others(&mut self) {
        let zone = &self.source.zone;
        for placed in &zone.placed {
            self.add_other(&placed.under);
            for (owner, _) in placed.part().records.iter() {
                self.add_below(&owner, placed);
            }
            // RFC 5782's entries are made with the zone and spelt nowhere
            if self.source.spelling(placed).is_none() && !placed.part().table.names.is_empty() {
                self.add_below(TEST_NAME, placed);
            }
            let mut mapped = Vec::new();
            Family::Nibbles.write_wire(Block { first: TEST_IP6, length: 128 }, &mut mapped);
            let is_mixed = placed.beside_ip4 && placed.holds.ip6;
            if is_mixed
                && let Some(name) = below(&mapped, placed)
                && is_listed(zone, QueryName::from(&name).labels(), self.source.now)
            {
                self.add_other(&name);
            }
        }
    }

    /// The names of live changes and allow lists, as far as a wildcard would reach them or what is below them.
    fn collect_stops(&mut self) {
        for placed in &self.source.zone.placed {
            for subject in self.source.changed.get(placed.dataset_index).into_iter().flatten() {
                match subject {
                    live::Subject::Name { name, .. } => {
                        self.stops.extend(below(name.as_wire(), placed).map(|name| name.as_wire().to_vec()));
                        self.add_below(name.as_wire(), placed);
                    }
                    live::Subject::Hash { key, shape } => {
                        let mut label = vec![shape.characters];
                        shape.write_label(key, &mut label);
                        self.add_below(&label, placed);
                    }
                    live::Subject::Ip4 { .. } | live::Subject::Ip6 { .. } => {}
                }
            }
        }
        let mut stops = Vec::new();
        let spelt = self.source.allow_spellings.iter().flatten().flat_map(Spelling::names).map(|(wire, _)| wire);
        let live = self.source.allow_changed.iter().filter_map(|subject| match subject {
            live::Subject::Name { name, .. } => Some(name.as_wire()),
            _ => None,
        });
        for wire in spelt.chain(live) {
            for place in &self.places {
                let name = Name::from_wire(wire).and_then(|name| name.under(&place.under)).unwrap_or_default();
                let has_wildcard = |name: &Name| !self.below_name(QueryName::from(name).labels(), None).is_empty();
                // what an allow list leaves out of all it has below a name may be listed, and nothing else spells it
                let is_own =
                    |name: &Name| is_listed(&self.source.zone, QueryName::from(name).labels(), self.source.now);
                if !name.is_root() && (has_wildcard(&name.parent()) || has_wildcard(&name) || is_own(&name)) {
                    stops.push(name);
                }
            }
        }
        for name in stops {
            self.add_other(&name);
            self.stops.insert(name.as_wire().to_vec());
        }
    }

    /// Whether allow lists have all that is below a name and no key; `child` is such a name.
    fn allows_below(&self, name: Labels<'_>, child: Labels<'_>) -> bool {
        self.source.zone.allow.iter().any(|placed| {
            let spelling =
                self.source.allow_spellings.get(placed.dataset_index).and_then(|of| of.get(placed.part_index()));
            let own = spelling.and_then(|spelling| deepest_key(spelling, name)).unwrap_or_default();
            let mut is_allowed = false;
            placed.name_over(own.below, own.below_depth, child, |_| is_allowed = true);
            is_allowed
        })
    }

    fn add_below(&mut self, owner: &[u8], placed: &Placed) {
        if let Some(name) = below(owner, placed) {
            self.add_other(&name);
        }
    }

    fn add_other(&mut self, name: &Name) {
        let mut at = name.clone();
        while !at.is_root() && self.others.insert(at.as_wire().to_vec()) {
            at = at.parent();
        }
    }

    /// Gives every owner but the apex, once.
    pub(super) fn visit<E>(&self, mut visit: impl FnMut(Node<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut wire = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let mut give = |relative: &[u8], under: &Name, key| {
                wire.clear();
                wire.extend_from_slice(relative);
                under.write_wire(&mut wire);
                // what is too long for a name cannot be asked for
                let Ok((name, _)) = QueryName::read(&wire) else { return Ok(()) };
                let labels = name.labels();
                let is_new = labels.count() > 0 && !self.layers[..index].iter().any(|layer| self.has(*layer, labels));
                if is_new { visit(Node { labels, key }) } else { Ok(()) }
            };
            match *layer {
                Layer::Others => self.others.iter().try_for_each(|name| give(name, &Name::default(), None))?,
                Layer::Ip4(place) => self.places[place].visit(|place| &place.ip4, &mut give)?,
                Layer::Ip6(place) => self.places[place].visit(|place| &place.ip6, &mut give)?,
                Layer::Names(part) => {
                    let placed = &self.source.zone.placed[part];
                    let names = self.source.spelling(placed).into_iter().flat_map(Spelling::names);
                    names.into_iter().try_for_each(|(name, key)| give(name, &placed.under, Some((part, key))))?;
                }
                Layer::Digests(part) => {
                    let placed = &self.source.zone.placed[part];
                    let (Some(spelling), Some(shape)) = (self.source.spelling(placed), placed.part().holds.hashes)
                    else {
                        continue;
                    };
                    let mut label = Vec::new();
                    for digest in spelling.digests() {
                        label.clear();
                        label.push(shape.characters);
                        shape.write_label(&shape.cut(digest), &mut label);
                        give(&label, &placed.under, None)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a layer gives a name.
    fn has(&self, layer: Layer, name: Labels<'_>) -> bool {
        let zone = &self.source.zone;
        match layer {
            Layer::Others => self.others.contains(name.wire()),
            Layer::Ip4(place) => {
                let place = &self.places[place];
                let block = place.relative(name).and_then(|name| Subject::read(name).ip4);
                !place.ip4.is_empty() && block.is_some_and(|block| place.ip4.visits(block.into()))
            }
            Layer::Ip6(place) => {
                let place = &self.places[place];
                let block = place.relative(name).and_then(|name| Subject::read(name).ip6);
                !place.ip6.is_empty() && block.is_some_and(|block| place.ip6.visits(block.into()))
            }
            Layer::Names(part) => {
                let (place, placed) = (&self.places[self.place_of[part]], &zone.placed[part]);
                let (spelling, name) = (self.source.spelling(placed), place.relative(name));
                spelling.zip(name).is_some_and(|(spelling, name)| spelling.name(name.wire()).is_some())
            }
            Layer::Digests(part) => {
                let (place, placed) = (&self.places[self.place_of[part]], &zone.placed[part]);
                let name = place.relative(name).filter(|name| name.count() == 1);
                let key =
                    placed.part().holds.hashes.zip(name).and_then(|(shape, name)| shape.read_label(name.label(0)));
                let spelling = self.source.spelling(placed);
                spelling.zip(key).is_some_and(|(spelling, key)| spelling.has_digest(key.as_bytes()))
            }
        }
    }

    /// What is listed of the names below a node that are no owners.
    pub(super) fn below(&self, node: &Node<'_>) -> Hits {
        self.below_name(node.labels, node.key)
    }

    fn below_name(&self, name: Labels<'_>, key: Option<(usize, NameKey)>) -> Hits {
        let zone = &self.source.zone;
        let mut hits = Hits::new();
        for (index, placed) in zone.placed.iter().enumerate() {
            if zone.choice == Choice::One
                && hits.last().is_some_and(|hit| zone.placed[hit.placed].dataset_index != placed.dataset_index)
            {
                break;
            }
            let place = &self.places[self.place_of[index]];
            let Some(relative) = place.relative(name) else { continue };
            let now = self.source.now;
            let mut hit = |listed: Listed, about| hits.push(Hit::of(index, listed, about, now));
            let subject = Subject::read(relative);
            if let Some((list, net)) = subject.ip4.and_then(|block| wildcard(&place.ip4, block.into())) {
                place.ip4.listed(list, index).for_each(|listed| hit(listed, net));
            }
            if let Some((list, net)) = subject.ip6.and_then(|block| wildcard(&place.ip6, block.into())) {
                place.ip6.listed(list, index).for_each(|listed| hit(listed, net));
            }
            // no live change is about such a name itself
            let Ok(child) = Name::from_wire(&[WILDCARD, relative.wire()].concat()) else { continue };
            let child = QueryName::from(&child);
            if self.allows_below(relative, child.labels()) {
                continue;
            }
            let known = key.filter(|(part, _)| *part == index).map(|(_, key)| key);
            let spelt = || self.source.spelling(placed).and_then(|spelling| deepest_key(spelling, relative));
            let own = known.or_else(spelt).unwrap_or_default();
            placed.name_over(own.below, own.below_depth, child.labels(), |listed| {
                let about = About::Name { labels: listed.depth.into(), above: placed.under_labels };
                hit(listed, about);
            });
        }
        hits
    }

    /// Whether a node must be there although nothing is listed of it, below it or deeper: the wildcard around it would
    /// list it.
    pub(super) fn hides(&self, node: &Node<'_>) -> bool {
        let is_bare = node.key.is_some_and(|(_, key)| !key.deeper) || self.stops.contains(node.labels.wire());
        let parent = Name::from_wire(node.labels.wire()).unwrap_or_default().parent();
        is_bare && !self.below_name(QueryName::from(&parent).labels(), None).is_empty()
    }
}

impl Place {
    fn of(zone: &Zone, under: &Name, enumerates: bool) -> Self {
        let there = || zone.placed.iter().enumerate().filter(|(_, placed)| placed.under == *under);
        let root = QueryName::default();
        let is_allowed = |about| allowed_by(zone, root.labels(), about).is_some();
        // what is allowed ends ranges too, and in its midst what every list has
        let all = || there().map(|(_, placed)| placed).chain(&zone.allow);
        let mut ip4 = Space::merge(
            Family::Octets,
            all().flat_map(ranges_ip4).chain([ranges([(TEST_IP4, TEST_IP4)].into_iter())]),
            |address, said| {
                if !is_allowed(About::Ip4(address.into())) {
                    there().for_each(|(index, placed)| placed.ip4(address, |listed| said.push((index, listed))));
                }
            },
        );
        let mapped = |(first, last): (u32, u32)| (MAPPED.0 | u128::from(first), MAPPED.0 | u128::from(last));
        let allowed = zone.allow.iter().flat_map(ranges_ip4).map(|of| ranges(of.map(mapped)));
        let mut ip6 = Space::merge(
            Family::Nibbles,
            all().flat_map(ranges_ip6).chain(allowed).chain([ranges([(TEST_IP6, TEST_IP6)].into_iter())]),
            |address, said| {
                if !is_allowed(About::Ip6(address.into())) {
                    there().for_each(|(index, placed)| placed.ip6(address, |listed| said.push((index, listed))));
                }
            },
        );
        if there().any(|(_, placed)| placed.beside_ip4) {
            // mapped addresses are looked up as IPv4, whatever the IPv6 lists say
            ip6.cut(MAPPED.0, MAPPED.1);
        }
        if enumerates {
            let names_subject = |said: &[(usize, Listed)]| {
                let values = |&(part, listed): &(usize, Listed)| zone.placed[part].values(listed.teller, listed.value);
                said.iter().flat_map(values).any(|value| value.text.is_some_and(|text| text.names_subject()))
            };
            ip4.enumerate(names_subject);
            ip6.enumerate(names_subject);
        }
        Self { under: under.clone(), under_labels: under.label_count(), ip4, ip6 }
    }

    fn visit<T: crate::dataset::blocks::Address + Into<u128>, E>(
        &self,
        space: impl Fn(&Self) -> &Space<T>,
        give: &mut impl FnMut(&[u8], &Name, Option<(usize, NameKey)>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (space, mut wire) = (space(self), Vec::new());
        space.visit(&mut |block| {
            wire.clear();
            space.family().write_wire(block, &mut wire);
            give(&wire, &self.under, None)
        })
    }

    /// A name as seen from here.
    fn relative<'n>(&self, name: Labels<'n>) -> Option<Labels<'n>> {
        let inside = name.count() >= self.under_labels && name.suffix(self.under_labels) == self.under.as_wire();
        inside.then(|| name.without_suffix(self.under_labels))
    }
}

impl Source {
    /// What a part spells; nothing if the part was made with the zone.
    fn spelling(&self, placed: &Placed) -> Option<&Spelling> {
        self.spellings.get(placed.dataset_index)?.get(placed.part_index())
    }
}

fn ranges<'r, T>(of: impl Iterator<Item = (T, T)> + 'r) -> Ranges<'r, T> {
    Box::new(of)
}

/// The IPv4 ranges in which a part and each level of its live changes say the same.
fn ranges_ip4(placed: &Placed) -> impl Iterator<Item = Ranges<'_, u32>> {
    let own = placed.part().table.ip4.runs().map(|run| (run.first, run.last));
    let live = placed.layers().iter().flat_map(|layer| layer.ranges_ip4()).map(ranges);
    std::iter::once(ranges(own)).chain(live)
}

/// As [`ranges_ip4`], for IPv6.
fn ranges_ip6(placed: &Placed) -> impl Iterator<Item = Ranges<'_, u128>> {
    let last = |prefix: Prefix6| prefix.bits | !mask6(prefix.length);
    let own = placed.part().table.ip6.prefixes().map(move |prefix| (prefix.bits, last(prefix)));
    let live = placed.layers().iter().flat_map(|layer| layer.ranges_ip6()).map(ranges);
    std::iter::once(ranges(own)).chain(live)
}

fn below(relative: &[u8], placed: &Placed) -> Option<Name> {
    Name::from_wire(relative).and_then(|name| name.under(&placed.under)).ok()
}

fn wildcard<T: crate::dataset::blocks::Address + Into<u128>>(
    space: &Space<T>,
    block: Block,
) -> Option<(ListId, About)> {
    let list = space.wildcard(block)?;
    Some((list, About::Net(space.family().net(block)?)))
}

/// The deepest key on a name: it decides what is below the name.
fn deepest_key(spelling: &Spelling, name: Labels<'_>) -> Option<NameKey> {
    // keys are closed under parents: above one there is no gap
    (0..=name.count()).map_while(|count| spelling.name(name.suffix(count))).last()
}

impl From<Block4> for Block {
    fn from(block: Block4) -> Self {
        Self { first: block.bits.into(), length: block.length }
    }
}

impl From<Block6> for Block {
    fn from(block: Block6) -> Self {
        Self { first: block.bits, length: block.length }
    }
}

/// Whether a label is `*`, which a master file has no way to say (RFC 4592, section 2.1.1).
pub(super) fn has_asterisk(name: Labels<'_>) -> bool {
    labels(name.wire()).any(|label| label == b"*")
}

/// What a wildcard has in front of a name, in wire form.
pub(super) const WILDCARD: &[u8] = b"\x01*";
/// `::ffff:0:0/96`.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);
