//! IPv6: leaves of network halves under a static tree, and the interface halves only where they occur.
//!
//! Listings are /64 and shorter nearly always, so the first level orders the upper 64 bits of addresses, as points
//! (see [`super::leaf`]) in leaves of one line each. Leaves begin at a point and are filled to the brim; differences
//! to the leaf's start are short, as lists cluster in what registries have handed out. Over the first keys of the
//! leaves stands a static tree of eight keys a line, each level one eighth of the one below, so that a search reads
//! one line a level:
//!
//! ```text
//! tree       lines of eight u64, the root line first, level by level; how many there are follows from the leaves
//! leaves     see leaf.rs; a value with bit 31 set is the number of a group
//! groups     u32 each and one more: where the group's keys start
//! low_keys   u64 each: points of the lower 64 bits
//! low_values u32 each: the value, and in bit 31 whether the point reaches
//! ```
//!
//! A group is one /64 with listings longer than that. Its points are searched by halves: groups of more than a few
//! listings are rare, and a mail server's address sits in a group of its own.
//!
//! Invariant: a group is never listed as a whole (it would be a value of the first level), and the first key of every
//! leaf is listed or a group. So the predecessor of an address answers `find`, and with its successor `any_below`.
//!
//! Prefixes of one value that fill a shorter prefix come out as that prefix: the content is the same.

use zerocopy::little_endian::{U32, U64};

use super::file::{Compiled, Kind, Malformed, Place, Sections};
use super::leaf::{self, Draft, Leaf, Point, Run};
use super::line::{LINE_BYTES, Line, Lines};
use super::memory::{self, Array};
use super::{MAX_VALUES, ValueId};
use crate::dnsxl::Block6;
use crate::dnsxl::subject::mask6;

/// An IPv6 prefix with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix6 {
    /// The address bits; those past `length` are zero.
    pub bits: u128,
    /// How many bits the prefix has, 0–128.
    pub length: u8,
    /// What is listed of it; not [`ValueId::NONE`].
    pub value: ValueId,
}

/// The listed IPv6 prefixes of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ip6 {
    tree: Array<Line>,
    levels: Box<[Level]>,
    leaves: Array<Line>,
    groups: Groups<Array<U32>, Array<U64>>,
    listed: u64,
}

/// A level of the tree: the number of its first line, and how many keys it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    first: u32,
    keys: u32,
}

impl Level {
    fn lines(self) -> u32 {
        self.keys.div_ceil(KEYS_PER_LINE as u32)
    }
}

/// The listings longer than /64; generic over growing and finished arrays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Groups<A32, A64> {
    begins: A32,
    keys: A64,
    values: A32,
}

impl Ip6 {
    /// Builds from ascending, disjoint prefixes, which are read once.
    pub fn build<I: Iterator<Item = Prefix6>>(prefixes: I) -> Self {
        let mut highs = Highs { prefixes: prefixes.peekable(), groups: Groups::default(), low: Vec::new() };
        let mut leaves = Lines::default();
        let mut keys = Vec::new();
        let mut open = Draft::new(LINE_BYTES);
        leaf::each_point(&mut highs, |point| {
            if !open.points().is_empty() {
                if open.push(point) {
                    return;
                }
                keys.push(open.start);
                leaves.push(open.line());
            }
            open.begin(point.key);
            // one point fits every line
            let _ = open.push(point);
        });
        if open.points().is_empty() {
            return Self::default();
        }
        keys.push(open.start);
        leaves.push(open.line());
        let groups = highs.groups.finish();
        let levels = levels(leaves.len());
        let mut built = Self { tree: grow(keys), levels, leaves: leaves.finish(), groups, listed: 0 };
        built.listed = built.prefixes().count() as u64;
        built
    }

    /// What is listed of an address.
    pub fn find(&self, address: u128) -> ValueId {
        let (high, low) = halves(address);
        let Some(at) = self.leaf_of(high) else { return ValueId::NONE };
        let (Some(line), Some(start)) = (self.leaves.get(at), self.first_key(at)) else { return ValueId::NONE };
        let code = Leaf::read(line).find(high.wrapping_sub(start));
        match code & FLAG {
            0 => ValueId(code),
            _ => self.groups.find(code & !FLAG, low),
        }
    }

    /// Whether any address of a block is listed.
    pub fn any_below(&self, block: Block6) -> bool {
        let (first, first_low) = halves(block.bits);
        let (last, last_low) = halves(block.bits | !mask6(block.length));
        // the first leaf may begin behind the block's first address
        let at = self.leaf_of(first).unwrap_or(0);
        let (Some(line), Some(start)) = (self.leaves.get(at), self.first_key(at)) else { return false };
        if start > first {
            return start <= last;
        }
        let leaf = Leaf::read(line);
        if block.length > 64 {
            let code = leaf.find(first - start);
            return if code & FLAG == 0 { code != 0 } else { self.groups.any(code & !FLAG, first_low, last_low) };
        }
        leaf.any(first - start, last.wrapping_sub(start)) || self.first_key(at + 1).is_some_and(|next| next <= last)
    }

    /// Asks for the lowest line of the tree that the search for an address reads; those above it are few and stay in
    /// cache.
    pub fn prefetch(&self, address: u128) {
        let Some((lowest, upper)) = self.levels.split_last() else { return };
        if let Some(node) = self.descend(upper, halves(address).0) {
            memory::prefetch_at(&self.tree, lowest.first as usize + node);
        }
    }

    /// Asks for the leaf of an address, by the tree, whose lowest line [`Self::prefetch`] should have had time to bring.
    pub fn prefetch_leaf(&self, address: u128) {
        if let Some(at) = self.leaf_of(halves(address).0) {
            memory::prefetch_at(&self.leaves, at);
        }
    }

    /// The listed prefixes in order, as few and as short as the content allows.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix6> {
        let keyed = self.leaves.iter().enumerate().filter_map(|(at, line)| Some((self.first_key(at)?, line)));
        let highs = leaf::runs(keyed.flat_map(|(start, line)| Leaf::read(line).points(start)));
        highs.flat_map(|run| {
            let group = (run.value & FLAG != 0).then_some(run.value & !FLAG);
            let whole = group.is_none().then(|| (join(run.first, 0), join(run.last, u64::MAX), run.value));
            let low = group.into_iter().flat_map(|group| leaf::runs(self.groups.points(group)));
            let parts = low.map(move |low| (join(run.first, low.first), join(run.first, low.last), low.value));
            whole.into_iter().chain(parts).flat_map(|(first, last, value)| cover(first, last, ValueId(value)))
        })
    }

    /// The number of prefixes that [`Self::prefixes`] gives.
    pub fn listed_prefixes(&self) -> u64 {
        self.listed
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Adds the sections of this structure.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        if !self.is_empty() {
            out.element(place, Kind::Ip6Head, U64::new(self.listed));
            out.array(place, Kind::Ip6Tree, &self.tree);
            out.array(place, Kind::Ip6Leaves, &self.leaves);
            out.array(place, Kind::Ip6GroupBegins, &self.groups.begins);
            out.array(place, Kind::Ip6GroupKeys, &self.groups.keys);
            out.array(place, Kind::Ip6GroupValues, &self.groups.values);
        }
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let Some(listed) = file.element::<U64>(place, Kind::Ip6Head)? else { return Ok(Self::default()) };
        let tree: Array<Line> = file.array(place, Kind::Ip6Tree)?;
        let leaves: Array<Line> = file.array(place, Kind::Ip6Leaves)?;
        let levels = levels(leaves.len());
        if leaves.is_empty() || levels.last().map(|level| (level.first + level.lines()) as usize) != Some(tree.len()) {
            return Err(Malformed("the IPv6 tree does not fit its leaves"));
        }
        let groups = Groups {
            begins: file.array(place, Kind::Ip6GroupBegins)?,
            keys: file.array(place, Kind::Ip6GroupKeys)?,
            values: file.array(place, Kind::Ip6GroupValues)?,
        };
        if groups.keys.len() != groups.values.len() {
            return Err(Malformed("the IPv6 groups have not a value for every key"));
        }
        Ok(Self { tree, levels, leaves, groups, listed: listed.get() })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.tree.memory_bytes()
            + self.leaves.memory_bytes()
            + self.groups.begins.memory_bytes()
            + self.groups.keys.memory_bytes()
            + self.groups.values.memory_bytes()
    }

    /// The last leaf that begins at or before a key.
    fn leaf_of(&self, key: u64) -> Option<usize> {
        self.descend(&self.levels, key)
    }

    /// The node of the level below some levels, the root first, under which a key has its place.
    fn descend(&self, levels: &[Level], key: u64) -> Option<usize> {
        let mut node = 0;
        for level in levels {
            let line = self.tree.get(level.first as usize + node)?;
            let keys = (level.keys as usize).saturating_sub(node * KEYS_PER_LINE).min(KEYS_PER_LINE);
            node = (node * KEYS_PER_LINE + line.rank::<0>(keys, 8, key)).checked_sub(1)?;
        }
        Some(node)
    }

    /// The first key of a leaf.
    fn first_key(&self, leaf: usize) -> Option<u64> {
        let level = self.levels.last().filter(|level| leaf < level.keys as usize)?;
        let line = self.tree.get(level.first as usize + leaf / KEYS_PER_LINE)?;
        Some(line.u64(leaf % KEYS_PER_LINE * 8))
    }
}

impl Groups<Vec<U32>, Vec<U64>> {
    /// Adds a group and gives its number.
    fn push(&mut self, runs: &[Run]) -> u32 {
        let number = self.begins.len() as u32;
        self.begins.push(U32::new(self.keys.len() as u32));
        leaf::each_point(runs.iter().copied(), |point| {
            self.keys.push(U64::new(point.key));
            self.values.push(U32::new(point.value | if point.reaches { FLAG } else { 0 }));
        });
        number
    }

    fn finish(mut self) -> Groups<Array<U32>, Array<U64>> {
        if !self.begins.is_empty() {
            self.begins.push(U32::new(self.keys.len() as u32));
        }
        Groups { begins: self.begins.into(), keys: self.keys.into(), values: self.values.into() }
    }
}

impl Groups<Array<U32>, Array<U64>> {
    fn find(&self, group: u32, low: u64) -> ValueId {
        let before = self.rank(group, low).checked_sub(1).and_then(|index| self.points(group).nth(index));
        before.filter(|point| point.key == low || point.reaches).map_or(ValueId::NONE, |point| ValueId(point.value))
    }

    fn any(&self, group: u32, first: u64, last: u64) -> bool {
        let next = self.points(group).nth(self.rank(group, first));
        self.find(group, first).is_listed() || next.is_some_and(|point| point.key <= last)
    }

    /// How many keys of a group are at `low` or before.
    fn rank(&self, group: u32, low: u64) -> usize {
        self.slice(group).0.partition_point(|key| key.get() <= low)
    }

    fn points(&self, group: u32) -> impl Iterator<Item = Point> {
        let (keys, values) = self.slice(group);
        let point = |key: &U64, value: u32| Point { key: key.get(), value: value & !FLAG, reaches: value & FLAG != 0 };
        keys.iter().zip(values).map(move |(key, value)| point(key, value.get()))
    }

    fn slice(&self, group: u32) -> (&[U64], &[U32]) {
        let [begin, end] = [0, 1].map(|next| self.begins.get(group as usize + next).map_or(0, |at| at.get() as usize));
        (self.keys.get(begin..end).unwrap_or_default(), self.values.get(begin..end).unwrap_or_default())
    }
}

/// The first level's runs: prefixes as they come, and each /64 with longer ones as a group.
struct Highs<I: Iterator> {
    prefixes: std::iter::Peekable<I>,
    groups: Groups<Vec<U32>, Vec<U64>>,
    /// The runs of the group at hand.
    low: Vec<Run>,
}

impl<I: Iterator<Item = Prefix6>> Iterator for Highs<I> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let prefix = self.prefixes.next()?;
        let (first, last, value) = bounds(prefix);
        let high = halves(first).0;
        if prefix.length <= 64 {
            return Some(Run { first: high, last: halves(last).0, value });
        }
        let group = std::iter::once(prefix).chain(std::iter::from_fn(|| {
            self.prefixes.next_if(|next| next.length > 64 && halves(next.bits).0 == high)
        }));
        self.low.clear();
        self.low.extend(leaf::merge(group.map(|prefix| {
            let (first, last, value) = bounds(prefix);
            Run { first: halves(first).1, last: halves(last).1, value }
        })));
        let value = match *self.low {
            [Run { first: 0, last: u64::MAX, value }] => value,
            _ => FLAG | self.groups.push(&self.low),
        };
        Some(Run { first: high, last: high, value })
    }
}

/// The levels of the tree over so many keys, the root first: each has a key for every line of the one below.
fn levels(keys: usize) -> Box<[Level]> {
    let upwards =
        std::iter::successors(Some(keys), |&keys| Some(keys.div_ceil(KEYS_PER_LINE)).filter(|_| keys > KEYS_PER_LINE));
    let mut levels: Vec<_> = upwards.map(|keys| Level { first: 0, keys: keys as u32 }).collect();
    levels.reverse();
    let mut first = 0;
    for level in &mut levels {
        level.first = first;
        first += level.lines();
    }
    levels.into()
}

/// The tree over ascending keys.
fn grow(keys: Vec<u64>) -> Array<Line> {
    let mut stages = vec![keys];
    while let Some(keys) = stages.last().filter(|keys| keys.len() > KEYS_PER_LINE) {
        stages.push(keys.iter().copied().step_by(KEYS_PER_LINE).collect());
    }
    let mut tree = Vec::new();
    for keys in stages.iter().rev() {
        for chunk in keys.chunks(KEYS_PER_LINE) {
            let mut line = Line::ZERO;
            for (index, key) in chunk.iter().enumerate() {
                line.put(8 * index, &key.to_le_bytes());
            }
            tree.push(line);
        }
    }
    tree.into()
}

/// The fewest prefixes that cover addresses from first to last.
fn cover(first: u128, last: u128, value: ValueId) -> impl Iterator<Item = Prefix6> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let bits = next.filter(|&bits| bits <= last)?;
        let fitting = (last - bits).checked_add(1).map_or(128, u128::ilog2);
        let length = 128 - fitting.min(bits.trailing_zeros());
        next = (bits | !mask6(length as u8)).checked_add(1);
        Some(Prefix6 { bits, length: length as u8, value })
    })
}

fn bounds(prefix: Prefix6) -> (u128, u128, u32) {
    debug_assert!(prefix.length <= 128 && prefix.bits & !mask6(prefix.length) == 0);
    debug_assert!(prefix.value.is_listed() && prefix.value.0 <= MAX_VALUES);
    (prefix.bits, prefix.bits | !mask6(prefix.length), prefix.value.0)
}

fn halves(address: u128) -> (u64, u64) {
    ((address >> 64) as u64, address as u64)
}

fn join(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

/// Keys in a line of the tree.
const KEYS_PER_LINE: usize = LINE_BYTES / 8;
/// Set in a value of the first level that is the number of a group, and in a value of a group whose point reaches.
const FLAG: u32 = 1 << 31;

#[cfg(test)]
mod tests;
