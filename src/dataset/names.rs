//! Statements about domain names come to keys, of which the deepest on a name decides alone.
//!
//! rbldnsd's rule, and ours for every list of names: the name itself is looked up first, then the longest wildcard
//! above it; the first that says anything decides, and an exclusion says "not listed". Resolved, a key tells what the
//! name itself has, what the names below it have that are not keys, and whether anything is listed deeper.
//!
//! Invariant: the keys are closed under parents up to the empty name, and none is there that says just what its
//! parent says of it.
//!
//! Sorting all names of a list would take longer than all else, and is not needed: what is said of a name depends on
//! its ancestors alone. So statements are parted, while they come in, by a hash of their last two labels. A part holds
//! whole families, fits a cache, and is resolved by itself. Most families are one name. Others are sorted by their labels
//! from the right, so that ancestors come right before their descendants and one pass with a stack does it; but a family
//! of very many is parted by one label more, and so on. Names of one label, above all families, are few, and are looked
//! up.

mod keys;
mod packed;

use std::collections::BTreeMap;

pub use keys::{Key, NameKeys};
use packed::{Statement, pack_statement, read_statement, statements, unpack};

use super::room::make_room;
use super::sort;
use super::values::{Lists, Met};
use crate::dnsxl::name::{MAX_LABELS, MAX_WIRE, reverse_labels};
use crate::feed::Scope;

/// What a list says of names, as collected.
#[derive(Debug, Default)]
pub struct NameStatements {
    /// By the hash of their last two labels; none before the first.
    parts: Vec<Vec<u8>>,
    /// Those about names of at most one label.
    top: Vec<u8>,
    count: usize,
}

impl NameStatements {
    /// Takes a statement about a name in lower case, in wire form without the root byte.
    pub fn push(&mut self, wire: &[u8], scope: Scope, said: Option<Met>) {
        self.count += 1;
        let part = match last_two_labels(wire) {
            Some(family) => {
                if self.parts.is_empty() {
                    self.parts.resize(PARTS, Vec::new());
                }
                &mut self.parts[hash(family) as usize % PARTS]
            }
            None => &mut self.top,
        };
        pack_statement(part, Statement { wire, scope, said });
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes over what another thread collected of the same list, its values numbered anew by `met`.
    pub fn absorb(&mut self, other: Self, met: impl Fn(Met) -> Met) {
        self.count += other.count;
        if self.parts.is_empty() {
            self.parts.resize(other.parts.len(), Vec::new());
        }
        let take = |mine: &mut Vec<u8>, theirs: Vec<u8>| {
            make_room(mine, theirs.len());
            for statement in statements(&theirs) {
                pack_statement(mine, Statement { said: statement.said.map(&met), ..statement });
            }
        };
        self.parts.iter_mut().zip(other.parts).for_each(|(mine, theirs)| take(mine, theirs));
        take(&mut self.top, other.top);
    }

    /// Resolves the statements.
    pub fn resolve(self, lists: &mut Lists) -> NameKeys {
        self.resolve_parting(CROWD, lists)
    }

    /// As [`Self::resolve`], with the size from which on families are parted again; for tests, as crowds are large.
    fn resolve_parting(self, crowd: usize, lists: &mut Lists) -> NameKeys {
        let mut keys = NameKeys::default();
        if self.count == 0 {
            return keys;
        }
        let top = self.top;
        let mut tops = Tops::of(&top, lists, &mut keys);
        for part in self.parts {
            let out = resolve_part(&part, crowd, &mut tops, lists, &mut keys);
            keys.parts.push(out);
        }
        tops.finish(&mut keys);
        keys
    }
}

/// The names of at most one label, and what the families below them came to.
struct Tops {
    root: Key,
    by_label: BTreeMap<Box<[u8]>, Top>,
    /// Whether anything is said of the names below any of them; most lists say nothing.
    is_said: bool,
    /// The label whose family came last, as most lists are of few top-level domains.
    seen: Vec<Box<[u8]>>,
}

struct Top {
    key: Key,
    needed: bool,
}

impl Tops {
    fn of(top: &[u8], lists: &mut Lists, keys: &mut NameKeys) -> Self {
        let mut all: Vec<Statement<'_>> = statements(top).collect();
        all.sort_unstable_by_key(|statement| statement.wire);
        let mut tops = Self { root: Key::default(), by_label: BTreeMap::new(), is_said: false, seen: Vec::new() };
        tops.seen.resize_with(SEEN, Box::default);
        // the empty name sorts before all others
        for same in all.chunk_by(|a, b| a.wire == b.wire) {
            let (exact, below) = keys.join(same, lists);
            if same[0].wire.is_empty() {
                tops.root.say(exact, below, 0);
                continue;
            }
            let mut key = Key::inherited(&tops.root);
            key.say(exact, below, 1);
            tops.by_label.insert(same[0].wire.into(), Top { key, needed: false });
            tops.is_said |= (key.below, key.below_depth) != (tops.root.below, tops.root.below_depth);
        }
        tops
    }

    /// What a family inherits whose last label this is.
    fn inherited(&self, label: &[u8]) -> Key {
        let said = if self.is_said { self.by_label.get(label) } else { None };
        said.map_or_else(|| Key::inherited(&self.root), |top| top.key)
    }

    /// Takes note that a family has keys, and whether anything is listed in it.
    fn note(&mut self, label: &[u8], needed: bool, deeper: bool) {
        if !needed && !deeper {
            return;
        }
        // a label of which both are known needs no second look
        let place = &mut self.seen[hash(label) as usize % SEEN];
        if **place == *label {
            return;
        }
        if !self.by_label.contains_key(label) {
            let key = Key::inherited(&self.root);
            self.by_label.insert(label.into(), Top { key, needed: false });
        }
        if let Some(top) = self.by_label.get_mut(label) {
            top.needed |= needed;
            top.key.deeper |= deeper;
            if top.needed && top.key.deeper {
                *place = label.into();
            }
        }
    }

    fn finish(self, keys: &mut NameKeys) {
        let mut out = Vec::new();
        let mut root = self.root;
        for (label, Top { key, needed }) in &self.by_label {
            root.deeper |= key.deeper || key.lists_any();
            if *needed || key.differs_from(&root) {
                keys.emit(&mut out, label, *key, 1);
            }
        }
        // the root is a key only of something
        if root.deeper {
            keys.emit(&mut out, &[], root, 0);
        }
        keys.parts.push(out);
    }
}

/// Resolves the families of a part; their keys, packed.
fn resolve_part(part: &[u8], crowd: usize, tops: &mut Tops, lists: &mut Lists, keys: &mut NameKeys) -> Vec<u8> {
    let mut families = Families { part, crowd, lists, keys, out: Vec::new(), family_order: FamilyOrder::default() };
    make_room(&mut families.out, part.len());
    let mut order: Vec<u64> = Vec::new();
    let mut rest = part;
    while !rest.is_empty() {
        let at = (part.len() - rest.len()) as u64;
        let Some((_, wire)) = unpack(&mut rest) else { break };
        order.push(placed(last_two_labels(wire).unwrap_or_default(), at));
    }
    each_family(
        part,
        order,
        |wire| last_two_labels(wire).unwrap_or_default(),
        |name, places| {
            let label = &name[1 + usize::from(name.first().copied().unwrap_or_default())..];
            let top = Open { wire: label, key: tops.inherited(label), labels: 1, needed: false };
            let (needed, deeper) = families.resolve(&top, places);
            tops.note(label, needed, deeper);
        },
    );
    families.out
}

/// The families of a part while they are resolved.
struct Families<'s, 'l> {
    part: &'s [u8],
    /// How many statements about a family have it parted again.
    crowd: usize,
    lists: &'l mut Lists,
    keys: &'l mut NameKeys,
    /// Their keys, packed.
    out: Vec<u8>,
    family_order: FamilyOrder,
}

impl<'s> Families<'s, '_> {
    /// Resolves the family right below `top` of which the statements at some places are; whether it has keys, and whether
    /// anything is listed in it.
    fn resolve(&mut self, top: &Open<'s>, places: &[u64]) -> (bool, bool) {
        if places.len() >= self.crowd {
            return self.resolve_crowd(top, places);
        }
        let part = self.part;
        if let &[place] = places
            && let Some(one) = statement_at(part, place)
            && child_of(top.wire, one.wire).len() == one.wire.len()
        {
            // most families are one name
            return self.resolve_name(top, &[one], one.wire, |_, _| {});
        }
        let mut family: Vec<Statement<'s>> = places.iter().filter_map(|&place| statement_at(part, place)).collect();
        self.family_order.sort(&mut family);
        resolve_sorted(top, &family, self.lists, self.keys, &mut self.out)
    }

    /// As [`Self::resolve`], for a family of very many, as all names below `co.uk`. Sorting it would be most of a load; it
    /// is parted by a label more instead.
    fn resolve_crowd(&mut self, top: &Open<'s>, places: &[u64]) -> (bool, bool) {
        let part = self.part;
        let Some(first) = places.first().and_then(|&place| statement_at(part, place)) else { return (false, false) };
        let name = child_of(top.wire, first.wire);
        let (mut own, mut below) = (Vec::new(), Vec::new());
        for &place in places {
            let Some(statement) = statement_at(part, place) else { continue };
            if statement.wire.len() == name.len() {
                own.push(statement);
            } else {
                below.push(placed(child_of(name, statement.wire), place & PLACE_MASK));
            }
        }
        self.resolve_name(top, &own, name, |families, open| {
            each_family(
                part,
                below,
                |wire| child_of(name, wire),
                |_, places| {
                    let (needed, deeper) = families.resolve(open, places);
                    open.needed |= needed;
                    open.key.deeper |= deeper;
                },
            );
        })
    }

    /// Resolves a name right below `top`, and what is below it with it; whether there are keys, and whether anything is listed.
    fn resolve_name(
        &mut self,
        top: &Open<'s>,
        own: &[Statement<'s>],
        wire: &'s [u8],
        resolve_below: impl FnOnce(&mut Self, &mut Open<'s>),
    ) -> (bool, bool) {
        let mut open = Open { wire, key: Key::inherited(&top.key), labels: top.labels + 1, needed: false };
        let (exact, below) = self.keys.join(own, self.lists);
        open.key.say(exact, below, open.labels);
        let lists_any = !own.is_empty() && open.key.lists_any();
        resolve_below(self, &mut open);
        let needed = open.needed || open.key.differs_from(&top.key);
        if needed {
            self.keys.emit(&mut self.out, wire, open.key, open.labels);
        }
        (needed, open.key.deeper || lists_any)
    }
}

/// A family's hash and a place, as one number.
fn placed(family: &[u8], place: u64) -> u64 {
    hash(family) >> 8 << PLACE_BITS | place & PLACE_MASK
}

fn statement_at(part: &[u8], place: u64) -> Option<Statement<'_>> {
    read_statement(&mut part.get((place & PLACE_MASK) as usize..)?)
}

/// Hands on each family's name, and the places of its statements; `placed` gave the places by what `name_of` says of them.
fn each_family<'s>(
    part: &'s [u8],
    mut order: Vec<u64>,
    name_of: impl Fn(&'s [u8]) -> &'s [u8],
    mut each: impl FnMut(&'s [u8], &[u64]),
) {
    sort::sort(&mut order);
    let name = |&place: &u64| statement_at(part, place).map_or(&[][..], |statement| name_of(statement.wire));
    for same_hash in order.chunk_by_mut(|a, b| a >> PLACE_BITS == b >> PLACE_BITS) {
        let first = name(&same_hash[0]);
        if same_hash[1..].iter().all(|place| name(place) == first) {
            each(first, same_hash);
            continue;
        }
        same_hash.sort_unstable_by_key(name);
        same_hash.chunk_by(|a, b| name(a) == name(b)).for_each(|places| each(name(&places[0]), places));
    }
}

/// A key whose descendants are still being visited.
#[derive(Debug)]
struct Open<'s> {
    wire: &'s [u8],
    key: Key,
    labels: u8,
    /// Whether a key below it is kept, so that this one must be.
    needed: bool,
}

/// Sorts the names of families, ancestors before descendants, in memory that is used again.
#[derive(Default)]
struct FamilyOrder {
    reversed: Vec<u8>,
}

impl FamilyOrder {
    /// Sorts by the labels from the right.
    fn sort(&mut self, together: &mut [Statement<'_>]) {
        if together.len() < 2 {
            return;
        }
        self.reversed.clear();
        let mut order: Vec<(usize, Statement<'_>)> = Vec::with_capacity(together.len());
        for statement in &*together {
            order.push((self.reversed.len(), *statement));
            self.reversed.extend_from_slice(reverse_labels(statement.wire, &mut [0; MAX_WIRE]));
        }
        let name = |of: &(usize, Statement<'_>)| &self.reversed[of.0..][..of.1.wire.len()];
        order.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        together.iter_mut().zip(order).for_each(|(place, (_, statement))| *place = statement);
    }
}

/// Resolves a sorted family below `top`; whether it has keys, and whether anything is listed in it.
fn resolve_sorted<'s>(
    top: &Open<'s>,
    family: &[Statement<'s>],
    lists: &mut Lists,
    keys: &mut NameKeys,
    out: &mut Vec<u8>,
) -> (bool, bool) {
    let key = Key { deeper: false, ..top.key };
    let mut open = vec![Open { wire: top.wire, key, labels: top.labels, needed: false }];
    for same in family.chunk_by(|a, b| a.wire == b.wire) {
        let wire = same[0].wire;
        let is_above = |open: &Open<'_>| is_at_or_below(wire, open.wire);
        // `top` is above all of it
        let shared = open.iter().rposition(is_above).unwrap_or(0);
        close(&mut open, shared + 1, keys, out);
        push_ancestors(&mut open, wire);
        let (exact, below) = keys.join(same, lists);
        let Some((last, above)) = open.split_last_mut() else { continue };
        last.key.say(exact, below, last.labels);
        if last.key.lists_any() {
            above.iter_mut().for_each(|ancestor| ancestor.key.deeper = true);
        }
    }
    close(&mut open, 1, keys, out);
    (open[0].needed, open[0].key.deeper)
}

/// Opens the name and what stands between it and the last open one, each with what its parent says of it.
fn push_ancestors<'s>(open: &mut Vec<Open<'s>>, wire: &'s [u8]) {
    let Some(last) = open.last() else { return };
    let (mut starts, mut count, mut at) = ([0_u8; MAX_LABELS], 0, 0);
    while at < wire.len() - last.wire.len() {
        starts[count] = at as u8;
        count += 1;
        at += 1 + usize::from(wire[at]);
    }
    for &start in starts[..count].iter().rev() {
        let Some(parent) = open.last() else { return };
        let key = Key::inherited(&parent.key);
        let labels = parent.labels + 1;
        open.push(Open { wire: &wire[start.into()..], key, labels, needed: false });
    }
}

/// Finishes the open keys from `depth` on.
fn close(open: &mut Vec<Open<'_>>, depth: usize, keys: &mut NameKeys, out: &mut Vec<u8>) {
    while open.len() > depth {
        let (Some(Open { wire, key, labels, needed }), Some(parent)) = (open.pop(), open.last_mut()) else { return };
        if needed || key.differs_from(&parent.key) {
            parent.needed = true;
            keys.emit(out, wire, key, labels);
        }
    }
}

/// The last two labels of a name; none if it has fewer.
fn last_two_labels(wire: &[u8]) -> Option<&[u8]> {
    let (mut before, mut last, mut at) = (None, None, 0);
    while at < wire.len() {
        (before, last) = (last, Some(at));
        at += 1 + usize::from(wire[at]);
    }
    wire.get(before?..)
}

/// The name right below `ancestor` that a name, which is below it, is or is below.
fn child_of<'s>(ancestor: &[u8], wire: &'s [u8]) -> &'s [u8] {
    let mut rest = wire;
    loop {
        let Some(below) = rest.first().and_then(|&length| rest.get(1 + usize::from(length)..)) else { return rest };
        if below.len() <= ancestor.len() {
            return rest;
        }
        rest = below;
    }
}

/// Whether a name is another one or below it, both in wire form.
fn is_at_or_below(wire: &[u8], ancestor: &[u8]) -> bool {
    let Some(mut ahead) = wire.len().checked_sub(ancestor.len()) else { return false };
    let mut at = 0;
    while ahead > 0 {
        let label = 1 + usize::from(wire[at]);
        // the ancestor has to begin where a label does
        let Some(left) = ahead.checked_sub(label) else { return false };
        (at, ahead) = (at + label, left);
    }
    wire[at..] == *ancestor
}

/// A hash for spreading names; who writes a list can unbalance the parts, and that costs only time.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = bytes.len() as u64;
    let (words, tail) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    for word in words.iter().chain([&last]) {
        let product = u128::from(state ^ u64::from_le_bytes(*word)) * u128::from(FACTOR);
        state = product as u64 ^ (product >> 64) as u64;
    }
    // the low bits choose a part, those above them order it
    state
}

/// Parts of some ten thousand names each in a list of millions: they fit a second-level cache.
const PARTS: usize = 256;
/// Where a statement stands in its part: 36 bits, so that a part holds 64 GB; the rest is hash.
const PLACE_BITS: u32 = 36;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// A family of so many names or more is parted again: fewer fit the first-level cache, where sorting them is cheap.
const CROWD: usize = 256;
/// As many top-level labels as stay in the first-level cache.
const SEEN: usize = 256;
/// An odd number without a pattern: the golden ratio's digits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
