//! Keys against the rule as it is told.

use proptest::prelude::*;

use super::*;
use crate::dataset::spelling::SpeltNames;
use crate::dataset::values::ListId;
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
        crowd in prop_oneof![Just(1), Just(3), Just(CROWD)],
    ) {
        let mut lists = Lists::default();
        let mut statements = NameStatements::default();
        for (name, scope, said) in &all {
            statements.push(name.as_wire(), *scope, *said);
        }
        let keys = statements.resolve_parting(crowd, &mut lists);
        let spelt = SpeltNames::of(&keys);
        let named: std::collections::BTreeSet<_> = keys.iter().map(|(wire, _)| Name::from_wire(wire).unwrap()).collect();
        prop_assert_eq!(named.len(), keys.iter().count(), "a key twice");
        for name in asked.iter().chain(&named) {
            let expected = keys.iter().find(|(wire, _)| *wire == name.as_wire()).map(|(_, key)| key);
            prop_assert_eq!(spelt.find(name.as_wire()), expected, "{}", name);
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
