//! The owners that a zone needs in a master file, each given once, and what stands below them.
//!
//! A zone is several things under one apex: addresses, names, digests, records. Each is a *layer* that knows the names
//! it makes exist. Invariant: what is given is closed under ancestors; so every name that exists in the file has been
//! given, and got the wildcard that is to go on below it.

use std::collections::BTreeSet;

use super::Source;
use super::space::{Block, Family, Space};
use crate::answer::hits::{About, Hit, Hits, is_listed};
use crate::dataset::Spelling;
use crate::dnsxl::name::labels;
use crate::dnsxl::subject::{Block4, Block6};
use crate::dnsxl::{Labels, Name, QueryName, Subject};
use crate::table::{NameKey, Prefix6, ValueId};
use crate::zone::{Choice, Placed, TEST_IP4, TEST_IP6, TEST_NAME, Teller, Zone};

/// All layers of a zone.
pub(super) struct Layers<'s> {
    source: &'s Source,
    /// The names that parts stand under, each with the addresses there.
    places: Vec<Place>,
    /// By part, the place it is at.
    place_of: Vec<usize>,
    /// The owners of records, places, test entries, and all names above these, relative to the apex in wire form.
    others: BTreeSet<Vec<u8>>,
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
        let mut layers = Self { source, places, place_of, others: BTreeSet::new(), layers: Vec::new() };
        layers.collect_others();
        layers.collect_allowed();
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
            let is_mixed = placed.beside_ip4 && placed.part().holds.ip6;
            if is_mixed
                && let Some(name) = below(&mapped, placed)
                && is_listed(zone, QueryName::from(&name).labels(), self.source.now)
            {
                self.add_other(&name);
            }
        }
    }

    /// The names of allow lists, where a wildcard would list them or what is below them.
    fn collect_allowed(&mut self) {
        let mut stops = Vec::new();
        for (wire, _) in self.allow_spellings().flat_map(Spelling::names) {
            for place in &self.places {
                let name = Name::from_wire(wire).and_then(|name| name.under(&place.under)).unwrap_or_default();
                let is_below_wildcard = |name: &Name| !self.below_name(QueryName::from(name).labels(), None).is_empty();
                if !name.is_root() && (is_below_wildcard(&name.parent()) || is_below_wildcard(&name)) {
                    stops.push(name);
                }
            }
        }
        stops.iter().for_each(|name| self.add_other(name));
    }

    fn allow_spellings(&self) -> impl Iterator<Item = &'s Spelling> + use<'s> {
        self.source.allow_spellings.iter().flatten()
    }

    /// The keys of allow lists that decide what is below a name.
    fn allow_keys(&self, name: Labels<'_>) -> impl Iterator<Item = NameKey> {
        self.allow_spellings().filter_map(move |spelling| deepest_key(spelling, name))
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
        let is_allowed = |name: Labels<'_>| self.allow_keys(name).any(|key| key.below.is_listed());
        for (index, placed) in zone.placed.iter().enumerate() {
            if zone.choice == Choice::One
                && hits.last().is_some_and(|hit| zone.placed[hit.placed].dataset_index != placed.dataset_index)
            {
                break;
            }
            let place = &self.places[self.place_of[index]];
            let Some(relative) = place.relative(name) else { continue };
            let mut hit = |value: ValueId, about| {
                if value.is_listed() {
                    let most_ttl = u32::MAX;
                    hits.push(Hit { placed: index, teller: Teller::Dataset, value, about, most_ttl });
                }
            };
            let subject = Subject::read(relative);
            if let Some((value, net)) = subject.ip4.and_then(|block| wildcard(&place.ip4, block.into(), index)) {
                hit(value, net);
            }
            if let Some((value, net)) = subject.ip6.and_then(|block| wildcard(&place.ip6, block.into(), index)) {
                hit(value, net);
            }
            if let Some(spelling) = self.source.spelling(placed) {
                let known = key.filter(|(part, _)| *part == index).map(|(_, key)| key);
                if let Some(key) = known.or_else(|| deepest_key(spelling, relative))
                    && !is_allowed(relative)
                {
                    let about = About::Name { labels: usize::from(key.below_depth), above: placed.under_labels };
                    hit(key.below, about);
                }
            }
        }
        hits
    }

    /// Whether a node must be there although nothing is listed of it, below it or deeper: the wildcard around it would
    /// list it.
    pub(super) fn hides(&self, node: &Node<'_>) -> bool {
        let is_bare = match node.key {
            Some((_, key)) => !key.deeper,
            None => self
                .places
                .iter()
                .filter_map(|place| place.relative(node.labels))
                .any(|name| self.allow_spellings().any(|spelling| spelling.name(name.wire()).is_some())),
        };
        let parent = Name::from_wire(node.labels.wire()).unwrap_or_default().parent();
        is_bare && !self.below_name(QueryName::from(&parent).labels(), None).is_empty()
    }
}

impl Place {
    fn of(zone: &Zone, under: &Name, enumerates: bool) -> Self {
        let there = || zone.placed.iter().enumerate().filter(|(_, placed)| placed.under == *under);
        let ip4 = there()
            .map(|(index, placed)| (index, placed.part().table.ip4.runs().map(|run| (run.first, run.last, run.value))));
        let ip6 = there().map(|(index, placed)| {
            let prefixes = placed.part().table.ip6.prefixes();
            let last = |bits: u128, length| bits | !crate::dnsxl::subject::mask6(length);
            (index, prefixes.map(move |prefix| (prefix.bits, last(prefix.bits, prefix.length), prefix.value)))
        });
        let (mut ip4, mut ip6) = (Space::merge(Family::Octets, ip4), Space::merge(Family::Nibbles, ip6));
        if there().any(|(_, placed)| placed.beside_ip4) {
            // mapped addresses are looked up as IPv4, whatever the IPv6 lists say
            ip6.cut(&[MAPPED], None);
        }
        // what is allowed is listed by nothing; one list after the other, as each of them is sorted
        for placed in &zone.allow {
            let table = &placed.part().table;
            let ranges: Vec<_> = table.ip4.runs().map(|run| (run.first, run.last)).collect();
            let mapped: Vec<_> = ranges
                .iter()
                .map(|&(first, last)| (MAPPED.0 | u128::from(first), MAPPED.0 | u128::from(last)))
                .collect();
            ip4.cut(&ranges, Some(TEST_IP4));
            ip6.cut(&mapped, Some(TEST_IP6));
            let last = |prefix: Prefix6| prefix.bits | !crate::dnsxl::subject::mask6(prefix.length);
            let ranges: Vec<_> = table.ip6.prefixes().map(|prefix| (prefix.bits, last(prefix))).collect();
            ip6.cut(&ranges, Some(TEST_IP6));
        }
        if enumerates {
            let names_subject = |said: &[(usize, ValueId)]| {
                let values = |&(part, value): &(usize, ValueId)| zone.placed[part].part().values.list(value);
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

fn below(relative: &[u8], placed: &Placed) -> Option<Name> {
    Name::from_wire(relative).and_then(|name| name.under(&placed.under)).ok()
}

fn wildcard<T: crate::dataset::blocks::Address + Into<u128>>(
    space: &Space<T>,
    block: Block,
    part: usize,
) -> Option<(ValueId, About)> {
    let list = space.wildcard(block)?;
    Some((space.value(list, part), About::Net(space.family().net(block)?)))
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

/// `::ffff:0:0/96`.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);
