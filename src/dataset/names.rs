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
//! whole families, fits a cache, and is resolved by itself: most families are one name; the others are sorted by their
//! labels from the right, so that ancestors come right before their descendants and one pass with a stack does it.
//! Names of one label, above all families, are few, and are looked up. A statement, and later a key, is a length, a
//! number, and the name in wire form, one behind the other:
//!
//! ```text
//! statement  length 1   value and scope, LEB128: (0 for an exclusion, else 1 + Met) · 4 + scope   name
//! key        length 1   kind, LEB128: index of what it says                                      name
//! ```

use std::collections::{BTreeMap, HashMap};

use super::room::make_room;
use super::sort;
use super::values::{ListId, Lists, Met};
use crate::dnsxl::name::{MAX_LABELS, MAX_WIRE, labels, reverse_labels};
use crate::feed::Scope;
use crate::table::{NameKey, ValueId};

/// What a list says of names, as collected.
#[derive(Debug, Default)]
pub struct NameStatements {
    /// By the hash of their last two labels; none before the first.
    parts: Vec<Vec<u8>>,
    /// Those about names of at most one label.
    top: Vec<u8>,
    count: usize,
}

/// A statement as it was packed.
#[derive(Clone, Copy, Debug)]
struct Statement<'s> {
    wire: &'s [u8],
    scope: Scope,
    said: Option<Met>,
}

/// What a key says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// What the name itself has.
    pub here: Option<ListId>,
    /// How many labels the listed name has that says so; 0 without one.
    pub here_depth: u8,
    /// What names below have that are not keys.
    pub below: Option<ListId>,
    /// How many labels the listed name has that says so.
    pub below_depth: u8,
    /// Whether anything is listed at a deeper key.
    pub deeper: bool,
}

impl Key {
    /// The key of a name that nothing is said of but what its parent says of all below it.
    fn inherited(parent: &Self) -> Self {
        Self { here: parent.below, here_depth: parent.below_depth, deeper: false, ..*parent }
    }

    /// What is said of a name of so many labels, laid over what it inherits.
    fn say(&mut self, exact: Option<Option<ListId>>, below: Option<Option<ListId>>, labels: u8) {
        if let Some(list) = exact {
            (self.here, self.here_depth) = (list, list.map_or(0, |_| labels));
        }
        if let Some(list) = below {
            (self.below, self.below_depth) = (list, list.map_or(0, |_| labels));
        }
    }

    fn lists_any(&self) -> bool {
        self.here.is_some() || self.below.is_some()
    }

    /// Whether it says anything that its parent does not say of it.
    fn differs_from(&self, parent: &Self) -> bool {
        let inherited = (parent.below, parent.below_depth);
        (self.here, self.here_depth) != inherited || (self.below, self.below_depth) != inherited
    }

    /// The key as the table takes it.
    pub fn numbered(&self, id: impl Fn(Option<ListId>) -> ValueId) -> NameKey {
        NameKey {
            here: id(self.here),
            here_depth: self.here_depth,
            below: id(self.below),
            below_depth: self.below_depth,
            deeper: self.deeper,
        }
    }
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
        let mut keys = NameKeys::default();
        if self.count == 0 {
            return keys;
        }
        let top = self.top;
        let mut tops = Tops::of(&top, lists, &mut keys);
        for part in self.parts {
            let mut out = Vec::new();
            make_room(&mut out, part.len());
            resolve_part(&part, &mut tops, lists, &mut keys, &mut out);
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

/// Resolves the families of a part; their keys go to `out`.
fn resolve_part(part: &[u8], tops: &mut Tops, lists: &mut Lists, keys: &mut NameKeys, out: &mut Vec<u8>) {
    let mut order: Vec<u64> = Vec::new();
    let mut rest = part;
    while !rest.is_empty() {
        let at = (part.len() - rest.len()) as u64;
        let Some((_, wire)) = unpack(&mut rest) else { break };
        let family = last_two_labels(wire).unwrap_or_default();
        order.push(hash(family) >> 8 << PLACE_BITS | at & PLACE_MASK);
    }
    sort::sort(&mut order);
    let statement_at = |place: u64| {
        let mut rest = part.get((place & PLACE_MASK) as usize..).unwrap_or_default();
        read_statement(&mut rest)
    };
    let mut family_order = FamilyOrder::default();
    let mut together = Vec::new();
    for same_hash in order.chunk_by(|a, b| a >> PLACE_BITS == b >> PLACE_BITS) {
        if let &[place] = same_hash
            && let Some(one) = statement_at(place)
            && last_two_labels(one.wire) == Some(one.wire)
        {
            let label = &one.wire[1 + usize::from(one.wire[0])..];
            let parent = tops.inherited(label);
            let mut key = Key::inherited(&parent);
            let list = one.said.map(|met| lists.of_one(met));
            let exact = (one.scope != Scope::Below).then_some(list);
            let below = (one.scope != Scope::Exact).then_some(list);
            keys.exact += u64::from(exact.is_some());
            keys.below += u64::from(below.is_some());
            key.say(exact, below, 2);
            let needed = key.differs_from(&parent);
            if needed {
                keys.emit(out, one.wire, key, 2);
            }
            tops.note(label, needed, key.lists_any());
            continue;
        }
        together.clear();
        together.extend(same_hash.iter().filter_map(|&place| statement_at(place)));
        family_order.sort(&mut together);
        let families = |a: &Statement<'_>, b: &Statement<'_>| last_two_labels(a.wire) == last_two_labels(b.wire);
        for family in together.chunk_by(families) {
            let last_two = last_two_labels(family[0].wire).unwrap_or_default();
            let label = &last_two[1 + usize::from(last_two.first().copied().unwrap_or_default())..];
            let (needed, deeper) = resolve_family(tops.inherited(label), label, family, lists, keys, out);
            tops.note(label, needed, deeper);
        }
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
fn resolve_family<'s>(
    top: Key,
    label: &'s [u8],
    family: &[Statement<'s>],
    lists: &mut Lists,
    keys: &mut NameKeys,
    out: &mut Vec<u8>,
) -> (bool, bool) {
    let mut open = vec![Open { wire: label, key: Key { deeper: false, ..top }, labels: 1, needed: false }];
    for same in family.chunk_by(|a, b| a.wire == b.wire) {
        let wire = same[0].wire;
        let is_above = |open: &Open<'_>| is_at_or_below(wire, open.wire);
        // the family's last label is above all of it
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

/// The resolved form of a list of names.
#[derive(Debug, Default)]
pub struct NameKeys {
    parts: Vec<Vec<u8>>,
    kinds: Kinds,
    /// How many entries there are for names themselves.
    pub exact: u64,
    /// How many entries there are for all names below one.
    pub below: u64,
}

impl NameKeys {
    /// The keys with their names in lower case, in wire form without the root byte, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Key)> + Clone {
        let kinds = &self.kinds;
        self.parts.iter().flat_map(move |part| {
            let mut rest = &**part;
            std::iter::from_fn(move || {
                let (kind, wire) = unpack(&mut rest)?;
                let key = kinds.all.get(kind as usize)?;
                let labels = labels(wire).count() as u8;
                // kept as labels up from the key, so that millions of keys say the same
                let depth = |list: Option<ListId>, up: u8| list.map_or(0, |_| labels.saturating_sub(up));
                let (here_depth, below_depth) = (depth(key.here, key.here_depth), depth(key.below, key.below_depth));
                Some((wire, Key { here_depth, below_depth, ..*key }))
            })
        })
    }

    /// Whether nothing is listed and nothing excluded.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Vec::is_empty)
    }

    fn emit(&mut self, out: &mut Vec<u8>, wire: &[u8], key: Key, labels: u8) {
        let up = |list: Option<ListId>, depth: u8| list.map_or(0, |_| labels - depth);
        let (here_depth, below_depth) = (up(key.here, key.here_depth), up(key.below, key.below_depth));
        let kind = self.kinds.number(Key { here_depth, below_depth, ..key });
        pack(out, kind.into(), wire);
    }

    /// What the statements about one name say together of itself and of those below it: nothing, an exclusion, or a list.
    #[allow(clippy::type_complexity)]
    fn join(&mut self, same: &[Statement<'_>], lists: &mut Lists) -> (Option<Option<ListId>>, Option<Option<ListId>>) {
        let mut joined = [Scope::Below, Scope::Exact].map(|not| {
            let mut said: Vec<Option<Met>> =
                same.iter().filter(|statement| statement.scope != not).map(|statement| statement.said).collect();
            said.sort_unstable();
            said.dedup();
            // one exclusion outweighs the listings of the very same name
            let listed = || said.iter().copied().collect::<Option<Vec<Met>>>().map(|mut list| lists.intern(&mut list));
            let said_anything = !said.is_empty();
            (said.len() as u64, said_anything.then(listed))
        });
        self.exact += joined[0].0;
        self.below += joined[1].0;
        (joined[0].1.take(), joined[1].1.take())
    }
}

/// The different things that keys say, with depths as labels up from the key.
#[derive(Debug, Default)]
struct Kinds {
    all: Vec<Key>,
    ids: HashMap<(u32, u32, u8, u8, bool), u32>,
    /// Kinds met lately.
    recent: Vec<u32>,
}

impl Kinds {
    fn number(&mut self, key: Key) -> u32 {
        let list = |list: Option<ListId>| list.map_or(0, |list| list.0 + 1);
        let place = (list(key.here) ^ list(key.below).rotate_left(3) ^ u32::from(key.deeper)) as usize % RECENT;
        if let Some(&kind) = self.recent.get(place)
            && self.all.get(kind as usize) == Some(&key)
        {
            return kind;
        }
        let whole = (list(key.here), list(key.below), key.here_depth, key.below_depth, key.deeper);
        let kind = *self.ids.entry(whole).or_insert_with(|| {
            self.all.push(key);
            self.all.len() as u32 - 1
        });
        self.recent.resize(RECENT, u32::MAX);
        self.recent[place] = kind;
        kind
    }
}

/// Appends a length, a number and a name.
fn pack(out: &mut Vec<u8>, mut number: u64, wire: &[u8]) {
    make_room(out, wire.len() + LARGEST_HEAD);
    // a name has at most 254 bytes
    out.push(wire.len() as u8);
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out.extend_from_slice(wire);
}

/// Takes from the front what [`pack`] appended.
fn unpack<'s>(rest: &mut &'s [u8]) -> Option<(u64, &'s [u8])> {
    let (&length, mut after) = rest.split_first()?;
    let (mut number, mut shift) = (0, 0);
    loop {
        let (&byte, behind) = after.split_first()?;
        after = behind;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let (wire, behind) = after.split_at_checked(length.into())?;
    *rest = behind;
    Some((number, wire))
}

fn pack_statement(out: &mut Vec<u8>, statement: Statement<'_>) {
    let said = u64::from(statement.said.map_or(0, |met| met.0 + 1));
    pack(out, said << 2 | statement.scope as u64, statement.wire);
}

fn read_statement<'s>(rest: &mut &'s [u8]) -> Option<Statement<'s>> {
    let (number, wire) = unpack(rest)?;
    let scope = [Scope::Exact, Scope::Below, Scope::Both][(number & 3) as usize % 3];
    let said = ((number >> 2) as u32).checked_sub(1).map(Met);
    Some(Statement { wire, scope, said })
}

fn statements(mut rest: &[u8]) -> impl Iterator<Item = Statement<'_>> {
    std::iter::from_fn(move || read_statement(&mut rest))
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

/// A length, and a number of up to 64 bits in pieces of seven.
const LARGEST_HEAD: usize = 11;
/// Parts of some ten thousand names each in a list of millions: they fit a second-level cache.
const PARTS: usize = 256;
/// Where a statement stands in its part: 36 bits, so that a part holds 64 GB; the rest is hash.
const PLACE_BITS: u32 = 36;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;
/// As many kinds of key, and top-level labels, as stay in the first-level cache.
const RECENT: usize = 256;
const SEEN: usize = 256;
/// An odd number without a pattern: the golden ratio's digits.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
