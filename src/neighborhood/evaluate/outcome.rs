//! What came after a time: the addresses that turned bad, and were not known for it shortly before.
//!
//! Invariant: an address is new if a spell of it begins within the days after the time and none was running or ended in
//! the [`QUIET_DAYS`] up to it; every address counts once. Nothing here is shown to what is evaluated.

use crate::evidence::{SECONDS_A_DAY, Spell4, Time};
use crate::neighborhood::Routes;

/// A new bad address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// The address.
    pub address: u32,
    /// The origin of the longest route that covers it; 0 where none does.
    pub asn: u32,
}

/// The addresses that turned bad in the days after a time.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The time.
    pub at: Time,
    /// How many days after it.
    pub days: u32,
    /// The new addresses, ascending.
    pub new: Vec<NewAddress>,
}

impl Outcome {
    /// Reads it off spells that reach beyond the time, sorted by address.
    pub fn new<'s>(spells: impl Iterator<Item = &'s Spell4>, routes: &Routes, at: Time, days: u32) -> Self {
        let until = Time(at.0.saturating_add(days.saturating_mul(SECONDS_A_DAY)));
        let quiet_since = at.days_before(QUIET_DAYS);
        let mut new = Vec::new();
        let mut take = |address: u32, arrives: bool, was_known: bool| {
            if arrives && !was_known {
                let asn = routes.find4(address, 32).map_or(0, |route| routes.routes4()[route].asn);
                new.push(NewAddress { address, asn });
            }
        };
        let mut current: Option<(u32, bool, bool)> = None;
        for spell in spells {
            let (address, mut arrives, mut was_known) = match current {
                Some(current) if current.0 == spell.subject => current,
                Some((address, arrives, was_known)) => {
                    take(address, arrives, was_known);
                    (spell.subject, false, false)
                }
                None => (spell.subject, false, false),
            };
            arrives |= spell.begin > at && spell.begin <= until;
            was_known |= spell.begin <= at && spell.end(at) > quiet_since;
            current = Some((address, arrives, was_known));
        }
        if let Some((address, arrives, was_known)) = current {
            take(address, arrives, was_known);
        }
        Self { at, days, new }
    }

    /// The addresses, ascending.
    pub fn addresses(&self) -> impl Iterator<Item = u32> {
        self.new.iter().map(|new| new.address)
    }

    /// How many of the addresses from `first` to `last` are new.
    pub fn count_within(&self, first: u32, last: u32) -> usize {
        let begin = self.new.partition_point(|new| new.address < first);
        self.new[begin..].iter().take_while(|new| new.address <= last).count()
    }
}

/// An address that was listed within so many days is known, and no success to foresee.
pub const QUIET_DAYS: u32 = 30;
