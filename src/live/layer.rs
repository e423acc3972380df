//! A layer: what changes decide over one dataset, immutable, for a generation.

use std::sync::Arc;

use super::level::{Cell, Level};
use crate::dataset::{Holds, Values};
use crate::dnsxl::subject::mask6;
use crate::dnsxl::{Block4, Block6, Labels};
use crate::table::{Prefix6, Table, ValueId};

/// What changes decide over one dataset.
#[derive(Debug)]
pub struct Layer {
    folded: Option<Arc<Level>>,
    recent: Level,
}

/// What the longest change that covers a subject decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether what the dataset itself lists is hidden.
    pub hides: bool,
    /// What is listed besides, in [`Layer::values`].
    pub values: ValueId,
    /// Whether `values` are of the recent level.
    pub is_recent: bool,
    /// How many labels the name has that `$` names; 0 for what is no name.
    pub depth: u8,
    /// When it ends, as a Unix time in seconds; `i64::MAX` for never.
    pub expires: i64,
}

impl Layer {
    pub(super) fn new(folded: Option<Arc<Level>>, recent: Level) -> Self {
        Self { folded, recent }
    }

    /// What is decided of an IPv4 address.
    pub fn ip4(&self, address: u32) -> Option<Decided> {
        self.decided(|said| said.ip4.find(address))
    }

    /// What is decided of an IPv6 address.
    pub fn ip6(&self, address: u128) -> Option<Decided> {
        self.decided(|said| said.ip6.find(address))
    }

    /// What is decided of a name, as the dataset's part sees it.
    pub fn name(&self, name: Labels<'_>) -> Option<Decided> {
        self.decided(|said| if said.names.is_empty() { ValueId::NONE } else { said.names.find(name).value })
    }

    /// What is decided of a key of a list of hashes.
    pub fn hash(&self, key: &[u8]) -> Option<Decided> {
        self.decided(|said| if said.hashes.is_empty() { ValueId::NONE } else { said.hashes.find(key) })
    }

    /// Whether a change lists any address of a block. A change that is no more may still be counted, until the next fold.
    pub fn any_below_ip4(&self, block: Block4) -> bool {
        self.levels().any(|level| level.adds().ip4.any_below(block))
    }

    /// As [`Self::any_below_ip4`], for IPv6.
    pub fn any_below_ip6(&self, block: Block6) -> bool {
        self.levels().any(|level| level.adds().ip6.any_below(block))
    }

    /// As [`Self::any_below_ip4`], for names below one.
    pub fn any_below_name(&self, name: Labels<'_>) -> bool {
        self.levels().any(|level| !level.adds().names.is_empty() && level.adds().names.find(name).any_below)
    }

    /// The values that ids of a level stand for.
    pub fn values(&self, is_recent: bool) -> &Values {
        match &self.folded {
            Some(folded) if !is_recent => &folded.values,
            _ => &self.recent.values,
        }
    }

    /// The kinds of subject that changes list.
    pub fn holds(&self) -> Holds {
        let any = |lists: fn(&Table) -> bool| self.levels().any(|level| lists(level.adds()));
        Holds {
            ip4: any(|adds| !adds.ip4.is_empty()),
            ip6: any(|adds| !adds.ip6.is_empty()),
            names: any(|adds| !adds.names.is_empty()),
            hashes: None,
        }
    }

    /// The IPv4 ranges of each level in which one thing is decided, in order.
    pub fn ranges_ip4(&self) -> impl Iterator<Item = impl Iterator<Item = (u32, u32)>> {
        self.levels().map(|level| level.said.ip4.runs().map(|run| (run.first, run.last)))
    }

    /// As [`Self::ranges_ip4`], for IPv6.
    pub fn ranges_ip6(&self) -> impl Iterator<Item = impl Iterator<Item = (u128, u128)>> {
        let last = |prefix: Prefix6| prefix.bits | !mask6(prefix.length);
        self.levels().map(move |level| level.said.ip6.prefixes().map(move |prefix| (prefix.bits, last(prefix))))
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.levels().map(Level::bytes).sum()
    }

    fn levels(&self) -> impl Iterator<Item = &Level> {
        self.folded.as_deref().into_iter().chain([&self.recent])
    }

    /// Of what the two levels find, the longer decides, and of equal lengths the recent one.
    fn decided(&self, find: impl Fn(&Table) -> ValueId) -> Option<Decided> {
        let of = |level: &Level| level.cell(find(&level.said)).copied();
        let (folded, recent) = (self.folded.as_deref().and_then(of), of(&self.recent));
        let (cell, is_recent) = match (folded, recent) {
            (Some(folded), Some(recent)) if folded.rank > recent.rank => (folded, false),
            (_, Some(recent)) => (recent, true),
            (Some(folded), None) => (folded, false),
            (None, None) => return None,
        };
        let Cell { hides, values, depth, expires, .. } = cell;
        // a change that is no more decides nothing
        (hides || values.is_listed()).then_some(Decided { hides, values, is_recent, depth, expires })
    }
}
