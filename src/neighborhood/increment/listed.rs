//! What is listed of subjects themselves, as it was at a survey and as reports have made it since.

use std::collections::BTreeMap;

use super::super::{Bits, Exact};

/// What is listed of the subjects that something was said of.
#[derive(Clone, Debug)]
pub(super) struct Listed<A> {
    now: BTreeMap<(A, u8), Vec<Exact<A>>>,
    /// The lengths of prefixes larger than a region that are listed or may be, a bit each.
    wide: u128,
}

impl<A: Bits> Listed<A> {
    pub(super) fn new(survey: &[Exact<A>], region: u8) -> Self {
        let wide = survey.iter().filter(|exact| exact.length < region);
        Self { now: BTreeMap::new(), wide: wide.fold(0, |wide, exact| wide | 1 << exact.length) }
    }

    /// What is listed of a subject is this.
    pub(super) fn set(&mut self, subject: (A, u8), listed: Vec<Exact<A>>) {
        // of those that are as long as a region the bit is never asked for
        self.wide |= 1u128.checked_shl(subject.1.into()).unwrap_or(0);
        self.now.insert(subject, listed);
    }

    /// What is listed in a region and around it: of subjects that something was said of what came of that, if it
    /// `is_now`; of others what the survey has.
    pub(super) fn within(&self, survey: &[Exact<A>], first: A, region: u8, is_now: bool) -> Vec<Exact<A>> {
        let key = |exact: &Exact<A>| (exact.first, exact.length);
        let mut found = Vec::new();
        let mut take = |from: (A, u8), until: (A, u8)| {
            let begin = survey.partition_point(|exact| key(exact) < from);
            let of_survey = survey[begin..].iter().take_while(|exact| key(exact) <= until);
            found.extend(of_survey.filter(|exact| !is_now || !self.now.contains_key(&key(exact))));
            if is_now {
                found.extend(self.now.range(from..=until).flat_map(|(_, listed)| listed));
            }
        };
        for length in (0..region).filter(|length| self.wide >> length & 1 == 1) {
            take((first.masked(length), length), (first.masked(length), length));
        }
        // of the prefixes that begin where the region does the shorter ones are taken already
        take((first, region), (first, A::WIDTH));
        if let Some(second) = first.successor() {
            take((second, 0), (first.last_of(region), A::WIDTH));
        }
        found
    }
}
