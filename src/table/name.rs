//! Names: the fingerprint of each key, and an interned answer to what it says.
//!
//! Keys are closed under parents, so a search goes from the right, label by label, and stops at the first suffix that
//! is no key; the last one that was decides alone. What a key says (its own value, that of the names below it, the
//! depth of the listed name that each is about, whether something deeper is listed) repeats over millions of keys. It
//! is packed into 64 bits, a *combination*, and kept once; a key is a fingerprint and the number of its combination:
//!
//! ```text
//! buckets       see bucket.rs; payload: index of the combination
//! combinations  u64 each, ascending: here 24 bits, below 24, labels from the key up to the name it is about 7 and 7,
//!               deeper 1
//! ```
//!
//! The hash of a name is a cascade: SipHash-1-3 of its first label, under the hash of its parent as the key. So each
//! label is read once, each suffix of a query is one step from the next, and it is as strong as the keyed hash is. The
//! first key, the seed, is the sum of plain hashes of all keys: it depends on the content and not on its order, and
//! whoever does not know the content does not know the seed.
//!
//! Invariant: equal content gives equal bytes. Should two fingerprints meet, the build starts over with another seed.
//!
//! Names themselves are not kept, so a table cannot list them.

use std::collections::HashSet;

use arrayvec::ArrayVec;
use siphasher::sip128::SipHasher13;
use zerocopy::little_endian::{U32, U64, U128};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::bucket::{BATCH, Buckets};
use super::file::{Compiled, Kind, Malformed, Place, Sections};
use super::memory::Array;
use super::{MAX_VALUES, ValueId};
use crate::dnsxl::{Labels, name};

/// What a key says of itself and of the names below it that are not keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameKey {
    /// What is listed of the name itself.
    pub here: ValueId,
    /// How many labels the listed name has that `here` comes from: the key's own number, or that of an ancestor.
    pub here_depth: u8,
    /// What is listed of the names below it that are not keys.
    pub below: ValueId,
    /// How many labels the listed name has that `below` comes from.
    pub below_depth: u8,
    /// Whether something is listed at a key below.
    pub deeper: bool,
}

/// What is listed of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundName {
    /// What is listed of the name itself.
    pub value: ValueId,
    /// How many labels, counted from the right, the listed name has that the value comes from; 0 if not listed.
    pub depth: u8,
    /// Whether any name below it is listed.
    pub any_below: bool,
}

/// The hashes of the last labels of a name, the shortest suffix first, so that a batch of queries computes them once for
/// the prefetch and for the search. They mean something only to a table of the same seed.
#[derive(Clone, Debug, Default)]
pub struct NameHashes {
    seed: u128,
    hashes: ArrayVec<u128, MAX_HASHES>,
}

/// The listed names of a table, relative to an apex.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    seed: u128,
    /// The combination of the empty name, so that it costs a search nothing.
    root: u32,
    buckets: Buckets,
    combinations: Array<U64>,
    listed: u64,
}

impl Names {
    /// Builds from keys in any order: lower-case names in wire form without the root byte, each of them once, and with
    /// each its parent, up to the empty name. They are read twice, and again should fingerprints meet.
    pub fn build<'k, I: Iterator<Item = (&'k [u8], NameKey)> + Clone>(keys: I) -> Self {
        Self::build_masked(keys, u128::MAX)
    }

    /// As [`Self::build`], with hashes cut by a mask at the first attempt; for tests, as full ones do not meet.
    fn build_masked<'k, I: Iterator<Item = (&'k [u8], NameKey)> + Clone>(keys: I, mut mask: u128) -> Self {
        let mut distinct = HashSet::new();
        let mut latest = None;
        let (mut count, mut listed, mut content) = (0, 0, 0_u128);
        for (wire, key) in keys.clone() {
            let depth = name::labels(wire).count() as u8;
            let combination = Combination::of(key, depth);
            // lists come in stretches of one value
            if latest.replace(combination) != Some(combination) {
                distinct.insert(combination.0);
            }
            count += 1;
            let is_own = |value: ValueId, of: u8| value.is_listed() && of >= depth;
            listed += u64::from(is_own(key.here, key.here_depth) || is_own(key.below, key.below_depth));
            content = content.wrapping_add(SipHasher13::new().hash(wire).as_u128());
        }
        let mut combinations: Vec<u64> = distinct.into_iter().collect();
        combinations.sort_unstable();
        let largest = combinations.len().saturating_sub(1) as u32;
        let mut combinations = Array::from(combinations.into_iter().map(U64::new).collect::<Vec<_>>());
        let mut attempt = 0;
        loop {
            let mut names = Self {
                seed: content.wrapping_add(attempt),
                root: 0,
                buckets: Buckets::with_room(count, largest),
                combinations: std::mem::take(&mut combinations),
                listed,
            };
            let distinct = names.fill(keys.clone(), mask);
            attempt += 1;
            if distinct || attempt == MAX_SEEDS {
                return names;
            }
            combinations = names.combinations;
            mask = u128::MAX;
        }
    }

    /// Inserts all keys; `false` if two have one fingerprint.
    fn fill<'k>(&mut self, keys: impl Iterator<Item = (&'k [u8], NameKey)>, mask: u128) -> bool {
        let mut distinct = true;
        let mut latest = None;
        let mut batch = Vec::with_capacity(BATCH);
        let mut tops = Tops([(&[], 0); TOPS]);
        for (wire, key) in keys {
            // where labels start; a name has at most 254 bytes
            let mut starts = [0_u8; name::MAX_LABELS];
            let mut depth = 0;
            let mut at = 0;
            for (start, label) in starts.iter_mut().zip(name::labels(wire)) {
                *start = at as u8;
                at += 1 + label.len();
                depth += 1;
            }
            let combination = Combination::of(key, depth as u8);
            let payload = match latest {
                Some((same, payload)) if same == combination => payload,
                _ => self.combinations.partition_point(|other| other.get() < combination.0) as u32,
            };
            latest = Some((combination, payload));
            if depth == 0 {
                self.root = payload;
            }
            let mut hash = self.seed;
            for (index, &start) in starts[..depth].iter().rev().enumerate() {
                let start = usize::from(start);
                let label = &wire[start + 1..][..usize::from(wire[start])];
                hash = if index == 0 { tops.step(self.seed, label) } else { step(hash, label) };
            }
            batch.push((hash & mask, payload));
            if batch.len() == BATCH {
                distinct &= self.buckets.insert_all(&mut batch);
            }
        }
        self.buckets.insert_all(&mut batch) & distinct
    }

    /// What is listed of a name and below it.
    pub fn find(&self, labels: Labels<'_>) -> FoundName {
        self.find_hashed(labels, &NameHashes::default())
    }

    /// The hashes that the search for a name begins with.
    pub fn hashes(&self, labels: Labels<'_>) -> NameHashes {
        let mut hashes = ArrayVec::new();
        let mut hash = self.seed;
        for label in (0..labels.count()).rev().take(MAX_HASHES) {
            hash = step(hash, labels.label(label));
            hashes.push(hash);
        }
        NameHashes { seed: self.seed, hashes }
    }

    /// Asks for the lines that the search for a name begins with.
    pub fn prefetch(&self, hashes: &NameHashes) {
        hashes.hashes.iter().for_each(|&hash| self.buckets.prefetch(hash));
    }

    /// As [`Self::find`], with the hashes that some table's [`Self::hashes`] gave for the name; another table's are no use.
    pub fn find_hashed(&self, labels: Labels<'_>, hashes: &NameHashes) -> FoundName {
        let count = labels.count();
        let mut deepest = self.root;
        let mut depth = 0;
        let mut hash = self.seed;
        let known: &[u128] = if hashes.seed == self.seed { &hashes.hashes } else { &[] };
        while depth < count {
            hash = match known.get(depth) {
                Some(&known) => known,
                None => step(hash, labels.label(count - 1 - depth)),
            };
            let Some(payload) = self.buckets.find(hash) else { break };
            deepest = payload;
            depth += 1;
        }
        match self.combinations.get(deepest as usize) {
            Some(combination) => Combination(combination.get()).found(depth as u8, depth == count),
            None => FoundName::default(),
        }
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.combinations.is_empty()
    }

    /// The number of keys that are listed themselves or that list the names below them; ancestors do not count.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// Adds the sections of this structure.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        if self.is_empty() {
            return;
        }
        let wide = u32::from(self.buckets.is_wide()).into();
        let (seed, root, listed) = (self.seed.into(), self.root.into(), self.listed.into());
        out.element(place, Kind::NamesHead, Head { seed, listed, root, wide });
        self.buckets.write(place, Kind::NamesBuckets, out);
        out.array(place, Kind::NamesCombinations, &self.combinations);
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let Some(head) = file.element::<Head>(place, Kind::NamesHead)? else { return Ok(Self::default()) };
        let buckets = Buckets::open(file, place, Kind::NamesBuckets, head.wide.get() != 0)?;
        let combinations = file.array(place, Kind::NamesCombinations)?;
        let (seed, root, listed) = (head.seed.get(), head.root.get(), head.listed.get());
        Ok(Self { seed, root, buckets, combinations, listed })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.buckets.bytes() + self.combinations.memory_bytes()
    }
}

/// What the arrays do not tell, in a compiled file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Head {
    seed: U128,
    listed: U64,
    root: U32,
    wide: U32,
}

/// One step of the cascade: the hash of a name under the hash of its parent.
fn step(parent: u128, label: &[u8]) -> u128 {
    SipHasher13::new_with_keys(parent as u64, (parent >> 64) as u64).hash(label).as_u128()
}

/// The first steps that a build took lately: most names end in one of a few labels, and that half of the hashing is saved.
struct Tops<'k>([(&'k [u8], u128); TOPS]);

impl<'k> Tops<'k> {
    fn step(&mut self, seed: u128, label: &'k [u8]) -> u128 {
        let ends = [label.first(), label.last()].map(|byte| usize::from(byte.copied().unwrap_or_default()));
        let (known, hash) = &mut self.0[(ends[0] + 7 * ends[1] + label.len()) % TOPS];
        if *known != label {
            (*known, *hash) = (label, step(seed, label));
        }
        *hash
    }
}

/// What a key says, in 64 bits; depths relative to the key, as then millions of keys say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Combination(u64);

impl Combination {
    fn of(key: NameKey, depth: u8) -> Self {
        debug_assert!(key.here.0 <= MAX_VALUES && key.below.0 <= MAX_VALUES);
        let part = |value: ValueId, of: u8, value_shift: u32, up_shift: u32| match value {
            ValueId::NONE => 0,
            ValueId(value) => u64::from(value) << value_shift | u64::from(depth.saturating_sub(of)) << up_shift,
        };
        let here = part(key.here, key.here_depth, HERE_SHIFT, HERE_UP_SHIFT);
        let below = part(key.below, key.below_depth, BELOW_SHIFT, BELOW_UP_SHIFT);
        Self(here | below | u64::from(key.deeper))
    }

    /// What it means for a name whose deepest key has `depth` labels.
    fn found(self, depth: u8, is_key: bool) -> FoundName {
        let part = |value_shift: u32, up_shift: u32| match (self.0 >> value_shift) as u32 & MAX_VALUES {
            0 => (ValueId::NONE, 0),
            value => (ValueId(value), depth.saturating_sub((self.0 >> up_shift) as u8 & UP_MASK)),
        };
        let below = part(BELOW_SHIFT, BELOW_UP_SHIFT);
        let (value, depth) = if is_key { part(HERE_SHIFT, HERE_UP_SHIFT) } else { below };
        FoundName { value, depth, any_below: below.0.is_listed() || is_key && self.0 & 1 != 0 }
    }
}

/// Listed names have two or three labels nearly always, and a search ends behind the deepest key: hashes beyond are
/// rarely asked for.
const MAX_HASHES: usize = 3;
const HERE_SHIFT: u32 = 40;
const BELOW_SHIFT: u32 = 16;
const HERE_UP_SHIFT: u32 = 9;
const BELOW_UP_SHIFT: u32 = 2;
/// As many as stay in the first-level cache.
const TOPS: usize = 64;
/// A name has at most 127 labels.
const UP_MASK: u8 = 0x7f;
/// Two fingerprints meet in one of 10^14 builds of 10^8 keys. After as many attempts the caller has named a key twice.
const MAX_SEEDS: u128 = 4;

#[cfg(test)]
mod tests;
