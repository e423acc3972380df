//! Ranges of addresses that may overlap come to disjoint ones, the least value of those that meet deciding.
//!
//! Invariant: sorted, disjoint, and neighbors that say the same are one. Guards and allocations are both this; which of
//! two statements decides is in the order of their values.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bits::Bits;

/// Addresses from `first` to `last` of which `value` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<A, V> {
    /// The first address.
    pub first: A,
    /// The last address, not before the first.
    pub last: A,
    /// What holds.
    pub value: V,
}

/// Disjoint ranges in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Ranges<A, V>(Box<[Range<A, V>]>);

impl<A, V> Default for Ranges<A, V> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<A: Bits, V: Ord + Copy> Ranges<A, V> {
    /// Resolves ranges that may overlap: of the values said of an address, the least holds.
    pub(super) fn resolve(mut stated: Vec<Range<A, V>>) -> Self {
        stated.sort_unstable_by_key(|range| (range.first, range.value));
        let mut out: Vec<Range<A, V>> = Vec::with_capacity(stated.len());
        let mut open: BinaryHeap<Reverse<(V, A)>> = BinaryHeap::new();
        let mut index = 0;
        let mut at = stated.first().map(|range| range.first);
        while let Some(first) = at {
            while let Some(range) = stated.get(index).filter(|range| range.first == first) {
                open.push(Reverse((range.value, range.last)));
                index += 1;
            }
            // one that has ended is in the way only when it is on top
            while open.peek().is_some_and(|Reverse((_, last))| *last < first) {
                open.pop();
            }
            let next = stated.get(index).map(|range| range.first);
            let Some(&Reverse((value, end))) = open.peek() else {
                at = next;
                continue;
            };
            let last = next.and_then(Bits::predecessor).map_or(end, |before| before.min(end));
            match out.last_mut() {
                Some(before) if before.value == value && before.last.successor() == Some(first) => before.last = last,
                _ => out.push(Range { first, last, value }),
            }
            at = last.successor();
        }
        Self(out.into())
    }

    /// What holds of an address.
    pub(super) fn get(&self, address: A) -> Option<V> {
        let index = self.0.partition_point(|range| range.first <= address).checked_sub(1)?;
        let range = &self.0[index];
        (address <= range.last).then_some(range.value)
    }

    /// The ranges in ascending order.
    pub(super) fn as_slice(&self) -> &[Range<A, V>] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_least_value_holds_everywhere(
            stated in proptest::collection::vec((0_u32..60, 0_u32..30, 0_u8..5, any::<bool>()), 0..20)
        ) {
            // half of the space at each of its ends, where a successor may not exist
            let place = |low: u32, high: bool| if high { u32::MAX - 99 + low } else { low };
            let stated: Vec<Range<u32, u8>> = stated
                .into_iter()
                .map(|(first, more, value, high)| Range { first: place(first, high), last: place(first + more, high), value })
                .collect();
            let ranges = Ranges::resolve(stated.clone());
            for address in (0..100).flat_map(|low| [place(low, false), place(low, true)]) {
                let said = stated.iter().filter(|range| (range.first..=range.last).contains(&address));
                prop_assert_eq!(ranges.get(address), said.map(|range| range.value).min(), "{}", address);
            }
            for pair in ranges.as_slice().windows(2) {
                prop_assert!(pair[0].last < pair[1].first);
                prop_assert!(pair[0].last + 1 < pair[1].first || pair[0].value != pair[1].value);
            }
        }
    }
}
