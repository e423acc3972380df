//! All that was said of a subject: its spells in the survey's evidence, and what was reported since.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::Exact;
use crate::evidence::{Spell, Time, join};

/// All that was said of a subject, by the survey's evidence and since.
#[derive(Clone, Debug)]
pub(super) struct Told<S> {
    pub(super) spells: Vec<Spell<S>>,
    /// When each family's last report came up, as it says itself.
    pub(super) latest: [Time; 2],
}

impl<S: Ord> Told<S> {
    /// Takes a report that says of itself when it came up.
    pub(super) fn hear(&mut self, spell: Spell<S>, time: Time) {
        let latest = &mut self.latest[spell.family.index()];
        *latest = time.max(*latest);
        self.spells.push(spell);
        join(&mut self.spells);
    }

    /// Listings with the time that the last report says it came up at.
    pub(super) fn dated<A>(&self, mut all: Vec<Exact<A>>) -> Vec<Exact<A>> {
        for exact in &mut all {
            exact.last = exact.last.max(self.latest[exact.family.index()]);
        }
        all
    }
}

/// What was said of a subject, with its earlier spells.
pub(super) fn told<'t, S: Ord + Clone>(
    all: &'t mut BTreeMap<S, Told<S>>,
    subject: S,
    evidence: &[Spell<S>],
) -> &'t mut Told<S> {
    match all.entry(subject) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let spells = range(evidence, entry.key(), entry.key()).to_vec();
            entry.insert(Told { spells, latest: [Time(0); 2] })
        }
    }
}

/// The spells of the subjects from `first` to `last`.
pub(super) fn range<'s, S: Ord>(spells: &'s [Spell<S>], first: &S, last: &S) -> &'s [Spell<S>] {
    let begin = spells.partition_point(|spell| spell.subject < *first);
    let end = begin + spells[begin..].partition_point(|spell| spell.subject <= *last);
    &spells[begin..end]
}
