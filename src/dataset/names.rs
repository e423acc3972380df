//! Statements about domain names come to keys, of which the deepest on a name decides alone.
//!
//! rbldnsd's rule, and ours for every list of names: the name itself is looked up first, then the longest wildcard
//! above it; the first that says anything decides, and an exclusion says "not listed". Resolved, a key tells what the
//! name itself has, what the names below it have that are not keys, and whether anything is listed deeper.
//!
//! Invariant: the keys are closed under parents up to the empty name, and none is there that says just what its
//! parent says of it. Names lie in one arena; sorted by their labels from the right, ancestors come right before their
//! descendants, so that one pass with a stack does it all and an ancestor's key is the tail of a descendant's bytes.

use std::cmp::Ordering;

use super::values::{ListId, Lists, Met};
use crate::dnsxl::name::{MAX_WIRE, reverse_labels};
use crate::feed::Scope;
use crate::table::{NameKey, ValueId};

/// What a list says of names, as collected.
#[derive(Debug, Default)]
pub struct NameStatements {
    arena: Vec<u8>,
    statements: Vec<Statement>,
}

#[derive(Clone, Copy, Debug)]
struct Statement {
    /// Where the name stands in the arena.
    begin: usize,
    length: u8,
    scope: Scope,
    said: Option<Met>,
}

/// A key of the resolved form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    begin: usize,
    length: u8,
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
    arena: Vec<u8>,
    keys: Vec<Key>,
    /// How many entries there are for names themselves.
    pub exact: u64,
    /// How many entries there are for all names below one.
    pub below: u64,
}

impl NameStatements {
    /// Takes a statement about a name in lower case, in wire form without the root byte.
    pub fn push(&mut self, wire: &[u8], scope: Scope, said: Option<Met>) {
        let begin = self.arena.len();
        self.arena.extend_from_slice(wire);
        // a name has at most 254 bytes
        self.statements.push(Statement { begin, length: wire.len() as u8, scope, said });
    }

    /// How many statements there are.
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Resolves the statements.
    pub fn resolve(mut self, lists: &mut Lists) -> NameKeys {
        for statement in &self.statements {
            reverse_in_place(&mut self.arena[statement.range()]);
        }
        // by the labels from the right
        let arena = &self.arena;
        self.statements.sort_unstable_by(|a, b| arena[a.range()].cmp(&arena[b.range()]));
        let mut walk = Walk { arena, open: vec![Open::root()], done: Vec::new(), lists };
        let (mut exact, mut below) = (0, 0);
        for same in self.statements.chunk_by(|a, b| arena[a.range()] == arena[b.range()]) {
            walk.visit(same);
            exact += distinct(same, |scope| scope != Scope::Below);
            below += distinct(same, |scope| scope != Scope::Exact);
        }
        walk.close(0);
        let mut keys = walk.done;
        for statement in &self.statements {
            reverse_in_place(&mut self.arena[statement.range()]);
        }
        keys.reverse();
        NameKeys { arena: self.arena, keys, exact, below }
    }
}

impl Statement {
    fn range(&self) -> std::ops::Range<usize> {
        self.begin..self.begin + usize::from(self.length)
    }
}

/// How many different things are said about one name in that scope.
fn distinct(same: &[Statement], scope: impl Fn(Scope) -> bool) -> u64 {
    let said = |statement: &&Statement| scope(statement.scope);
    // nearly every name is there once
    if let [one] = same {
        return u64::from(said(&one));
    }
    let mut all: Vec<Option<Met>> = same.iter().filter(said).map(|statement| statement.said).collect();
    all.sort_unstable();
    all.dedup();
    all.len() as u64
}

/// A key whose descendants are still being visited.
struct Open {
    key: Key,
    /// The name that holds the key's bytes: the first one met at or below it.
    within: Statement,
    labels: u8,
    /// Whether a key below it is kept, so that this one must be.
    needed: bool,
}

impl Open {
    fn root() -> Self {
        let within = Statement { begin: 0, length: 0, scope: Scope::Exact, said: None };
        let key = Key { begin: 0, length: 0, here: None, here_depth: 0, below: None, below_depth: 0, deeper: false };
        Self { key, within, labels: 0, needed: true }
    }
}

struct Walk<'a> {
    /// Names with their labels reversed: an ancestor is a prefix.
    arena: &'a [u8],
    open: Vec<Open>,
    /// Finished keys, descendants before ancestors.
    done: Vec<Key>,
    lists: &'a mut Lists,
}

impl Walk<'_> {
    /// Takes all statements about one name.
    fn visit(&mut self, same: &[Statement]) {
        let first = same[0];
        let name = &self.arena[first.range()];
        let shared = self.open.iter().rposition(|open| {
            let length = usize::from(open.key.length);
            length <= name.len() && self.arena[open.within.begin..][..length] == name[..length]
        });
        // the root is a prefix of every name
        let shared = shared.unwrap_or(0);
        self.close(shared + 1);
        let mut length = usize::from(self.open[shared].key.length);
        while length < name.len() {
            length += 1 + usize::from(name[length]);
            self.push_inherited(first, length as u8);
        }
        let exact = self.join(same, |scope| scope != Scope::Below);
        let below = self.join(same, |scope| scope != Scope::Exact);
        let Some(open) = self.open.last_mut() else { return };
        if let Some(list) = exact {
            (open.key.here, open.key.here_depth) = (list, list.map_or(0, |_| open.labels));
        }
        if let Some(list) = below {
            (open.key.below, open.key.below_depth) = (list, list.map_or(0, |_| open.labels));
        }
        if open.key.here.is_some() || open.key.below.is_some() {
            let depth = self.open.len() - 1;
            self.open[..depth].iter_mut().for_each(|ancestor| ancestor.key.deeper = true);
        }
    }

    /// What the statements with the scope say together: nothing, an exclusion, or a list.
    fn join(&mut self, same: &[Statement], scope: impl Fn(Scope) -> bool) -> Option<Option<ListId>> {
        let mut said =
            same.iter().filter(|statement| scope(statement.scope)).map(|statement| statement.said).peekable();
        said.peek()?;
        // one exclusion outweighs the listings of the very same name
        let listed: Option<Vec<Met>> = said.collect();
        Some(listed.map(|mut list| self.lists.intern(&mut list)))
    }

    /// Opens the ancestor of `within` of that length with what its parent says of it.
    fn push_inherited(&mut self, within: Statement, length: u8) {
        let Some(parent) = self.open.last() else { return };
        let key = Key {
            // reversed back, the ancestor is the tail of the name
            begin: within.begin + usize::from(within.length - length),
            length,
            here: parent.key.below,
            here_depth: parent.key.below_depth,
            deeper: false,
            ..parent.key
        };
        let labels = parent.labels + 1;
        self.open.push(Open { key, within, labels, needed: false });
    }

    /// Finishes the open keys from `depth` on.
    fn close(&mut self, depth: usize) {
        while self.open.len() > depth {
            let Some(Open { key, needed, .. }) = self.open.pop() else { return };
            let Some(parent) = self.open.last_mut() else {
                // the root is a key only of something
                if key.deeper {
                    self.done.push(key);
                }
                return;
            };
            let inherited = (parent.key.below, parent.key.below_depth);
            let says_news = (key.here, key.here_depth) != inherited || (key.below, key.below_depth) != inherited;
            if says_news || needed {
                parent.needed = true;
                self.done.push(key);
            }
        }
    }
}

impl NameKeys {
    /// The keys with their names in lower case, in wire form without the root byte; ancestors before descendants.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Key)> + Clone {
        self.keys.iter().map(|key| (&self.arena[key.begin..key.begin + usize::from(key.length)], *key))
    }

    /// The key of a name in lower case, in wire form without the root byte.
    pub fn find(&self, wire: &[u8]) -> Option<Key> {
        let (mut asked, mut probed) = ([0; MAX_WIRE], [0; MAX_WIRE]);
        let asked = reverse_labels(wire, &mut asked);
        let index = self.keys.binary_search_by(|probe| {
            let wire = &self.arena[probe.begin..probe.begin + usize::from(probe.length)];
            order(reverse_labels(wire, &mut probed), asked)
        });
        Some(self.keys[index.ok()?])
    }

    /// Whether nothing is listed and nothing excluded.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The order of [`NameKeys`], of names with their labels reversed: the greater first, but behind its ancestors.
fn order(a: &[u8], b: &[u8]) -> Ordering {
    if a.starts_with(b) || b.starts_with(a) { a.len().cmp(&b.len()) } else { b.cmp(a) }
}

fn reverse_in_place(wire: &mut [u8]) {
    let mut reversed = [0; MAX_WIRE];
    wire.copy_from_slice(reverse_labels(wire, &mut reversed));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dnsxl::Name;

    /// What a name comes to by the keys: the deepest key decides alone.
    fn by_keys(keys: &NameKeys, name: &Name) -> (Option<ListId>, u8, bool) {
        let mut at = name.clone();
        loop {
            if let Some((_, key)) = keys.iter().find(|(wire, _)| *wire == at.as_wire()) {
                let below = key.below.is_some();
                return match at == *name {
                    true => (key.here, key.here_depth, below || key.deeper),
                    false => (key.below, key.below_depth, below),
                };
            }
            if at.is_root() {
                return (None, 0, false);
            }
            at = at.parent();
        }
    }

    type Said = (Name, Scope, Option<Met>);

    /// The rule as it is told: the exact name first, then the longest wildcard.
    fn by_rule(all: &[Said], name: &Name, lists: &mut Lists) -> (Option<ListId>, u8) {
        let mut decide = |owner: &Name, not: Scope| {
            let said: Vec<_> = all.iter().filter(|s| s.0 == *owner && s.1 != not).map(|s| s.2).collect();
            if said.is_empty() {
                return None;
            }
            let list = said.into_iter().collect::<Option<Vec<Met>>>().map(|mut list| lists.intern(&mut list));
            Some((list, owner.label_count() as u8))
        };
        if let Some(found) = decide(name, Scope::Below) {
            return found;
        }
        let mut at = name.clone();
        while !at.is_root() {
            at = at.parent();
            if let Some(found) = decide(&at, Scope::Exact) {
                return found;
            }
        }
        (None, 0)
    }

    fn a_name() -> impl Strategy<Value = Name> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("cc")], 1..5)
            .prop_map(|labels| Name::parse(labels.join(".").as_bytes()).unwrap())
    }

    proptest! {
        #[test]
        fn keys_agree_with_the_rule(
            all in proptest::collection::vec(
                (a_name(), prop_oneof![Just(Scope::Exact), Just(Scope::Below), Just(Scope::Both)], proptest::option::of((0_u32..2).prop_map(Met))),
                0..12,
            ),
            asked in proptest::collection::vec(a_name(), 12),
        ) {
            let mut lists = Lists::default();
            let mut statements = NameStatements::default();
            for (name, scope, said) in &all {
                statements.push(name.as_wire(), *scope, *said);
            }
            let keys = statements.resolve(&mut lists);
            let named: std::collections::BTreeSet<_> = keys.iter().map(|(wire, _)| Name::from_wire(wire).unwrap()).collect();
            prop_assert_eq!(named.len(), keys.iter().count(), "a key twice");
            for name in asked.iter().chain(&named) {
                let expected = keys.iter().find(|(wire, _)| *wire == name.as_wire()).map(|(_, key)| key);
                prop_assert_eq!(keys.find(name.as_wire()), expected, "{}", name);
            }
            for name in &named {
                prop_assert!(name.is_root() || named.contains(&name.parent()), "{} has no parent", name);
            }
            for name in asked.iter().chain(all.iter().map(|said| &said.0)) {
                let (list, depth, any_below) = by_keys(&keys, name);
                let (expected, expected_depth) = by_rule(&all, name, &mut lists);
                prop_assert_eq!(list, expected, "{}", name);
                if list.is_some() {
                    prop_assert_eq!(depth, expected_depth, "{}", name);
                }
                // whatever can be listed below is seen at some listed name, or at a name that nobody wrote
                let fresh = Name::parse(b"zz").unwrap().under(name).unwrap();
                let candidates = named.iter().cloned().chain([fresh]).filter(|n| n != name && n.is_at_or_below(name));
                let mut listed_below = false;
                for below in candidates {
                    let fresh = Name::parse(b"zz").unwrap().under(&below).unwrap();
                    listed_below |= by_rule(&all, &below, &mut lists).0.is_some() || by_rule(&all, &fresh, &mut lists).0.is_some();
                }
                prop_assert_eq!(any_below, listed_below, "below {}", name);
            }
        }
    }
}
