//! What is different between two states of a dataset.
//!
//! Addresses are compared run by run. Of names and digests a table keeps fingerprints alone, so that whoever has them spelt
//! asks about each. Invariant: what is told as different is answered differently.

use std::collections::HashMap;

use super::{Part, Values};
use crate::dnsxl::subject::mask6;
use crate::dnsxl::{Name, QueryName};
use crate::feed::Scope;
use crate::table::ValueId;

/// Whether a subject is listed before and after, where that, or its value, is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It was not listed, and is.
    Entered,
    /// It was listed, and is not.
    Left,
    /// It has another value.
    Changed,
}

/// Two states of a part; one that is not there lists nothing.
#[derive(Debug)]
pub struct Pair<'p> {
    before: Option<&'p Part>,
    after: Option<&'p Part>,
    /// Whether two values are the same, of those that were compared.
    same: HashMap<(ValueId, ValueId), bool>,
}

impl<'p> Pair<'p> {
    /// These two.
    pub fn new(before: Option<&'p Part>, after: Option<&'p Part>) -> Self {
        Self { before, after, same: HashMap::new() }
    }

    /// Hands on every run of IPv4 addresses that is different, in ascending order.
    pub fn ip4(&mut self, mut each: impl FnMut(u32, u32, Difference)) {
        let runs = |part: Option<&'p Part>| part.into_iter().flat_map(|part| part.table.ip4.runs());
        let [before, after] = [self.before, self.after]
            .map(|part| runs(part).map(|run| (u128::from(run.first), u128::from(run.last), run.value)));
        // both ends are of 32 bits, as they were
        sweep(before, after, |first, last, was, is| {
            if let Some(difference) = self.of_values(was, is) {
                each(first as u32, last as u32, difference);
            }
        });
    }

    /// As [`Self::ip4`], for IPv6.
    pub fn ip6(&mut self, mut each: impl FnMut(u128, u128, Difference)) {
        let prefixes = |part: Option<&'p Part>| part.into_iter().flat_map(|part| part.table.ip6.prefixes());
        let [before, after] = [self.before, self.after]
            .map(|part| prefixes(part).map(|prefix| (prefix.bits, prefix.bits | !mask6(prefix.length), prefix.value)));
        sweep(before, after, |first, last, was, is| {
            if let Some(difference) = self.of_values(was, is) {
                each(first, last, difference);
            }
        });
    }

    /// What is different about a name, what is below it, or both.
    pub fn name(&mut self, name: &Name, scope: Scope) -> Option<Difference> {
        // no list has it, so that it stands for all names below that no list has
        let below = || Name::parse(b"*").and_then(|star| star.under(name)).ok();
        let own = (scope != Scope::Below).then(|| name.clone());
        let places = own.into_iter().chain((scope != Scope::Exact).then(below).flatten());
        let find = |part: Option<&Part>, asked: &QueryName| {
            part.map(|part| part.table.names.find(asked.labels()).value).filter(|value| value.is_listed())
        };
        places
            .filter_map(|place| {
                let asked = QueryName::from(&place);
                let (was, is) = (find(self.before, &asked), find(self.after, &asked));
                self.of_values(was, is)
            })
            .next()
    }

    /// What is different about a digest or key.
    pub fn hash(&mut self, key: &[u8]) -> Option<Difference> {
        let find = |part: Option<&Part>| part.map(|part| part.table.hashes.find(key)).filter(|value| value.is_listed());
        let (was, is) = (find(self.before), find(self.after));
        self.of_values(was, is)
    }

    fn of_values(&mut self, was: Option<ValueId>, is: Option<ValueId>) -> Option<Difference> {
        match (was, is) {
            (None, None) => None,
            (None, Some(_)) => Some(Difference::Entered),
            (Some(_), None) => Some(Difference::Left),
            (Some(was), Some(is)) => {
                let values = |part: Option<&'p Part>| part.map(|part| &part.values);
                let (before, after) = (values(self.before), values(self.after));
                let same = self.same.entry((was, is)).or_insert_with(|| is_same(before, was, after, is));
                (!*same).then_some(Difference::Changed)
            }
        }
    }
}

fn is_same(before: Option<&Values>, was: ValueId, after: Option<&Values>, is: ValueId) -> bool {
    let both = before.zip(after);
    both.is_some_and(|(before, after)| before.list(was).eq(after.list(is)))
}

/// Hands on every piece of two lists of sorted disjoint runs, with what each has of it.
fn sweep(
    mut before: impl Iterator<Item = (u128, u128, ValueId)>,
    mut after: impl Iterator<Item = (u128, u128, ValueId)>,
    mut each: impl FnMut(u128, u128, Option<ValueId>, Option<ValueId>),
) {
    let (mut left, mut right) = (before.next(), after.next());
    loop {
        match (left, right) {
            (None, None) => return,
            (Some((first, last, was)), right_now) if right_now.is_none_or(|(begin, ..)| last < begin) => {
                each(first, last, Some(was), None);
                left = before.next();
            }
            (left_now, Some((first, last, is))) if left_now.is_none_or(|(begin, ..)| last < begin) => {
                each(first, last, None, Some(is));
                right = after.next();
            }
            (Some((first, last, was)), Some((begin, end, is))) => {
                let both = first.max(begin);
                if first < both {
                    each(first, both - 1, Some(was), None);
                } else if begin < both {
                    each(begin, both - 1, None, Some(is));
                }
                let until = last.min(end);
                each(both, until, Some(was), Some(is));
                left = if last == until { before.next() } else { Some((until + 1, last, was)) };
                right = if end == until { after.next() } else { Some((until + 1, end, is)) };
            }
            // the guards above have taken what has only one
            (Some(_), None) | (None, Some(_)) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs by the value of each of so many addresses.
    fn runs(values: &[u32]) -> Vec<(u128, u128, ValueId)> {
        let mut runs: Vec<(u128, u128, ValueId)> = Vec::new();
        for (at, &value) in (0..).zip(values) {
            match runs.last_mut() {
                Some((_, last, known)) if *last + 1 == at && *known == ValueId(value) => *last = at,
                _ if value == 0 => {}
                _ => runs.push((at, at, ValueId(value))),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn pieces_have_what_each_address_has(
            before in proptest::collection::vec(0..3_u32, 0..40),
            after in proptest::collection::vec(0..3_u32, 0..40),
        ) {
            let mut found = vec![(0, 0); 40];
            sweep(runs(&before).into_iter(), runs(&after).into_iter(), |first, last, was, is| {
                for place in &mut found[first as usize..=last as usize] {
                    assert_eq!(*place, (0, 0), "told twice");
                    *place = (was.map_or(0, |id| id.0), is.map_or(0, |id| id.0));
                }
            });
            let at = |values: &[u32], index: usize| values.get(index).copied().unwrap_or(0);
            for (index, found) in found.into_iter().enumerate() {
                assert_eq!(found, (at(&before, index), at(&after, index)), "{index}");
            }
        }
    }
}
