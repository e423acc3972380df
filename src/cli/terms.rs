//! Terms of zones that hold for nobody, as their access lists are when they are loaded.
//!
//! Invariant: all of it is allowed, and rarely meant. What the configuration tells without a list is told by it.

use crate::reload::{Plan, Store};

/// What is to be told of the zones of a plan, whose datasets a store has.
pub(super) fn unheeded(plan: &Plan, store: &Store) -> Vec<String> {
    let names_all = |index: &usize| {
        let clients = store.dataset(*index).and_then(|dataset| dataset.clients.as_ref());
        clients.is_some_and(|clients| clients.table.ip4.listed() == ALL_IP4)
    };
    let mut told = Vec::new();
    for zone in &plan.zones {
        let Some(&list) = zone.access.iter().chain(&plan.access).find(|index| names_all(index)) else { continue };
        let (apex, list) = (&zone.spec.apex, &plan.datasets[list].name);
        if zone.keys.is_some() {
            told.push(format!(
                "zone {apex}: keys: no key opens it, and none is asked for: {list} names every IPv4 address, and what an \
                 access list says of a client goes before keys; leave its line for 0.0.0.0/0 out"
            ));
        }
        if zone.terms.quota.is_bound() {
            told.push(format!(
                "zone {apex}: quota: holds for nobody: {list} names every IPv4 address, and whom an access list names has \
                 none; leave its line for 0.0.0.0/0 out"
            ));
        }
    }
    told
}

/// How many IPv4 addresses there are.
const ALL_IP4: u64 = 1 << 32;
