//! What names come to: keys, each with one of few kinds of things to say.
//!
//! Invariant: what two keys say alike has one kind, since depths are kept as labels up from the key.

use std::collections::HashMap;

use super::super::values::{ListId, Lists, Met};
use super::packed::{Statement, pack, unpack};
use crate::dnsxl::name::labels;
use crate::feed::Scope;
use crate::table::{NameKey, ValueId};

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
    pub(super) fn inherited(parent: &Self) -> Self {
        Self { here: parent.below, here_depth: parent.below_depth, deeper: false, ..*parent }
    }

    /// What is said of a name of so many labels, laid over what it inherits.
    pub(super) fn say(&mut self, exact: Option<Option<ListId>>, below: Option<Option<ListId>>, labels: u8) {
        if let Some(list) = exact {
            (self.here, self.here_depth) = (list, list.map_or(0, |_| labels));
        }
        if let Some(list) = below {
            (self.below, self.below_depth) = (list, list.map_or(0, |_| labels));
        }
    }

    pub(super) fn lists_any(&self) -> bool {
        self.here.is_some() || self.below.is_some()
    }

    /// Whether it says anything that its parent does not say of it.
    pub(super) fn differs_from(&self, parent: &Self) -> bool {
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

/// The resolved form of a list of names.
#[derive(Debug, Default)]
pub struct NameKeys {
    /// Keys, packed.
    pub(super) parts: Vec<Vec<u8>>,
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

    pub(super) fn emit(&mut self, out: &mut Vec<u8>, wire: &[u8], key: Key, labels: u8) {
        let up = |list: Option<ListId>, depth: u8| list.map_or(0, |_| labels - depth);
        let (here_depth, below_depth) = (up(key.here, key.here_depth), up(key.below, key.below_depth));
        let kind = self.kinds.number(Key { here_depth, below_depth, ..key });
        pack(out, kind.into(), wire);
    }

    /// What the statements about one name say together of itself and of those below it: nothing, an exclusion, or a list.
    #[allow(clippy::type_complexity)]
    pub(super) fn join(
        &mut self,
        same: &[Statement<'_>],
        lists: &mut Lists,
    ) -> (Option<Option<ListId>>, Option<Option<ListId>>) {
        if let [one] = same {
            let list = one.said.map(|met| lists.of_one(met));
            let (exact, below) = (one.scope != Scope::Below, one.scope != Scope::Exact);
            self.exact += u64::from(exact);
            self.below += u64::from(below);
            return (exact.then_some(list), below.then_some(list));
        }
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

/// As many kinds of key as stay in the first-level cache.
const RECENT: usize = 256;
