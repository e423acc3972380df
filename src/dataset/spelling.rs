//! The names and digests of a part as they are spelt: what its table keeps only fingerprints of.
//!
//! Serving needs none of it and a load drops it at once; who writes a list out reads its files again with
//! [`super::load_and_spell`]. Invariant: a spelling and the table of its part say the same.

use std::cmp::Ordering;

use super::hashes::HashKeys;
use super::names::{Key, NameKeys};
use super::values::Ids;
use crate::dnsxl::name::{MAX_WIRE, reverse_labels};
use crate::table::NameKey;

/// What a part's table does not keep.
#[derive(Debug, Default)]
pub struct Spelling {
    pub(super) keys: SpeltNames,
    pub(super) hashes: HashKeys,
    pub(super) ids: Ids,
}

impl Spelling {
    /// The keys of names, listed or not, in wire form without the root byte; ancestors before descendants.
    pub fn names(&self) -> impl Iterator<Item = (&[u8], NameKey)> {
        self.keys.iter().map(|(wire, key)| (wire, self.numbered(key)))
    }

    /// What a name has that is a key.
    pub fn name(&self, wire: &[u8]) -> Option<NameKey> {
        Some(self.numbered(self.keys.find(wire)?))
    }

    /// The listed digests.
    pub fn digests(&self) -> impl Iterator<Item = &[u8]> {
        self.hashes.iter().map(|(key, _)| key)
    }

    /// Whether a digest is listed.
    pub fn has_digest(&self, key: &[u8]) -> bool {
        self.hashes.contains(key)
    }

    fn numbered(&self, key: Key) -> NameKey {
        key.numbered(|list| self.ids.of(list))
    }
}

/// The keys of names, sorted.
#[derive(Debug, Default)]
pub(super) struct SpeltNames {
    arena: Vec<u8>,
    /// Where each name begins, how long it is, and what it says.
    keys: Vec<(usize, u8, Key)>,
}

impl SpeltNames {
    /// The keys that a list's names came to.
    pub(super) fn of(keys: &NameKeys) -> Self {
        let mut spelt = Self::default();
        for (wire, key) in keys.iter() {
            spelt.keys.push((spelt.arena.len(), wire.len() as u8, key));
            spelt.arena.extend_from_slice(wire);
        }
        let Self { arena, keys } = &mut spelt;
        keys.sort_unstable_by(|a, b| {
            let (mut left, mut right) = ([0; MAX_WIRE], [0; MAX_WIRE]);
            order(reverse_labels(name(arena, a), &mut left), reverse_labels(name(arena, b), &mut right))
        });
        spelt
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], Key)> {
        self.keys.iter().map(|key| (name(&self.arena, key), key.2))
    }

    /// The key of a name in lower case, in wire form without the root byte.
    pub(super) fn find(&self, wire: &[u8]) -> Option<Key> {
        let (mut asked, mut probed) = ([0; MAX_WIRE], [0; MAX_WIRE]);
        let asked = reverse_labels(wire, &mut asked);
        let probe = |key: &(usize, u8, Key)| order(reverse_labels(name(&self.arena, key), &mut probed), asked);
        Some(self.keys[self.keys.binary_search_by(probe).ok()?].2)
    }
}

fn name<'a>(arena: &'a [u8], &(begin, length, _): &(usize, u8, Key)) -> &'a [u8] {
    &arena[begin..begin + usize::from(length)]
}

/// The order of names with their labels reversed: the greater first, but behind its ancestors.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    if a.starts_with(b) || b.starts_with(a) { a.len().cmp(&b.len()) } else { b.cmp(a) }
}
