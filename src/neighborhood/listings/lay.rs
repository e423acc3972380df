//! Verdicts that lie over each other come to disjoint runs: of all that speak of an address the strongest holds.
//!
//! Invariant: the runs are ascending, disjoint and as long as can be, and depend on the verdicts alone, not on their
//! order.

use std::collections::BinaryHeap;

use super::super::Bits;

/// What is said of the addresses from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer<A> {
    pub(super) first: A,
    pub(super) last: A,
    /// The higher goes over the lower; of equal ones the higher value.
    pub(super) strength: u32,
    pub(super) value: u32,
}

/// Hands on runs: first address, last address, value.
pub(super) fn lay<A: Bits>(mut layers: Vec<Layer<A>>, mut give: impl FnMut(A, A, u32)) {
    layers.sort_unstable_by_key(|layer| (layer.first, layer.last, layer.strength, layer.value));
    let mut coming = layers.into_iter().peekable();
    // what covers the present address, or once did: the strongest comes first
    let mut open: BinaryHeap<(u32, u32, A)> = BinaryHeap::new();
    let mut run: Option<(A, A, u32)> = None;
    let mut at = coming.peek().map(|layer| layer.first);
    while let Some(address) = at {
        while let Some(layer) = coming.next_if(|layer| layer.first <= address) {
            open.push((layer.strength, layer.value, layer.last));
        }
        while open.peek().is_some_and(|&(.., last)| last < address) {
            open.pop();
        }
        let next_begin = coming.peek().map(|layer| layer.first);
        let Some(&(_, value, last)) = open.peek() else {
            at = next_begin;
            continue;
        };
        let before_next = next_begin.and_then(Bits::predecessor);
        let end = before_next.map_or(last, |before| before.min(last));
        match &mut run {
            Some((_, run_last, run_value)) if *run_value == value && run_last.successor() == Some(address) => {
                *run_last = end;
            }
            _ => {
                if let Some((first, last, value)) = run.replace((address, end, value)) {
                    give(first, last, value);
                }
            }
        }
        at = end.successor();
    }
    if let Some((first, last, value)) = run {
        give(first, last, value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layers() -> impl Strategy<Value = Vec<Layer<u32>>> {
        let begin = prop_oneof![0_u32..60, u32::MAX - 60..=u32::MAX];
        let one = (begin, 0_u32..30, 0_u32..4, 0_u32..4).prop_map(|(first, length, strength, value)| Layer {
            first,
            last: first.saturating_add(length),
            strength,
            value,
        });
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn each_address_has_the_strongest_of_what_covers_it(layers in layers()) {
            let mut runs: Vec<(u32, u32, u32)> = Vec::new();
            lay(layers.clone(), |first, last, value| runs.push((first, last, value)));
            for pair in runs.windows(2) {
                prop_assert!(pair[0].1 < pair[1].0);
                prop_assert!(pair[0].1 + 1 < pair[1].0 || pair[0].2 != pair[1].2, "{pair:?} is one run");
            }
            for address in (0..100).chain(u32::MAX - 100..=u32::MAX) {
                let covers = layers.iter().filter(|layer| (layer.first..=layer.last).contains(&address));
                let expected = covers.map(|layer| (layer.strength, layer.value)).max().map(|(_, value)| value);
                let found = runs.iter().find(|run| (run.0..=run.1).contains(&address)).map(|run| run.2);
                prop_assert_eq!(found, expected, "{}", address);
            }
        }
    }
}
