//! The names and digests of a part as they are spelt: what its table keeps only fingerprints of.
//!
//! Serving needs none of it and a load drops it at once; who writes a list out reads its files again with
//! [`super::load_and_spell`]. Invariant: a spelling and the table of its part say the same.

use super::hashes::HashKeys;
use super::names::{Key, NameKeys};
use super::values::ListId;
use crate::table::{NameKey, ValueId};

/// What a part's table does not keep.
#[derive(Debug, Default)]
pub struct Spelling {
    pub(super) keys: NameKeys,
    pub(super) hashes: HashKeys,
    /// The value of each list.
    pub(super) ids: Box<[ValueId]>,
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
        key.numbered(|list: Option<ListId>| list.map_or(ValueId::NONE, |list| self.ids[list.0 as usize]))
    }
}
