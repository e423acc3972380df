//! What others do with the same evidence: counting in /24s, and the two rules of UCEPROTECT.
//!
//! UCEPROTECT level 2 lists an announced prefix from a count that grows with its size, level 3 an ASN from a rate; the
//! table and the rule are those of its pages of 2024-10-06 and 2024-12-09. Each rule is applied to three counts: the
//! list as it stands, arrivals of the last week, and arrivals that fade, so that what a rule gains from memory can be
//! told from what it gains from space. Invariant: a rule's space is the union of what it lists.

use std::collections::BTreeMap;

use super::outcome::Outcome;
use super::ranking::{Ranking, Row};
use crate::evidence::{Spell4, Time};
use crate::neighborhood::Routes;

/// What is counted of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counting {
    /// One for each address that is listed now.
    Stock,
    /// One for each address that arrived in the last week.
    Week,
    /// For each address its last arrival, halved every [`HALF_LIFE`] days.
    Decayed,
}

impl Counting {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stock, Self::Week, Self::Decayed];

    /// A word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Week => "week",
            Self::Decayed => "decayed",
        }
    }
}

/// A rule that lists space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// /24s that count at least so much.
    Count24(u32),
    /// UCEPROTECT level 2: announced prefixes.
    Level2,
    /// UCEPROTECT level 3: ASNs.
    Level3,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Count24(8), Self::Count24(4), Self::Count24(2), Self::Count24(1), Self::Level2, Self::Level3];

    /// A word for tables.
    pub fn name(self) -> String {
        match self {
            Self::Count24(least) => format!("/24>={least}"),
            Self::Level2 => "uceprotect-l2".to_owned(),
            Self::Level3 => "uceprotect-l3".to_owned(),
        }
    }
}

/// What a rule lists.
#[derive(Clone, Debug)]
pub struct Baseline {
    /// The rule.
    pub rule: Rule,
    /// What it was applied to.
    pub counting: Counting,
    /// What it lists: first and last addresses, ascending and disjoint.
    pub ranges: Vec<(u32, u32)>,
    /// How much space that is, in addresses.
    pub space: u64,
    /// For each new address whether it is listed.
    pub covers: Vec<bool>,
}

/// Addresses in ascending order, each with what it counts.
#[derive(Clone, Debug)]
pub struct Counted {
    addresses: Vec<u32>,
    /// What the addresses before each count together; one longer than there are addresses.
    before: Vec<f64>,
}

impl Counted {
    /// Counted spells, sorted by address, as they are known at a time.
    pub fn new<'s>(spells: impl Iterator<Item = &'s Spell4>, at: Time, counting: Counting) -> Self {
        let mut addresses: Vec<u32> = Vec::new();
        let mut weights: Vec<f64> = Vec::new();
        for spell in spells.filter(|spell| spell.begin <= at) {
            let age = at.days_since(spell.last_said(at));
            let weight = match counting {
                Counting::Stock => f64::from(u8::from(spell.is_listed(at))),
                Counting::Week => f64::from(u8::from(age < WEEK)),
                Counting::Decayed => (-age / HALF_LIFE).exp2(),
            };
            match (addresses.last(), weights.last_mut()) {
                (Some(&last), Some(known)) if last == spell.subject => *known = known.max(weight),
                _ => {
                    addresses.push(spell.subject);
                    weights.push(weight);
                }
            }
        }
        let mut sum = 0.0;
        let mut before = vec![0.0];
        before.extend(weights.iter().map(|weight| {
            sum += weight;
            sum
        }));
        Self { addresses, before }
    }

    /// What the addresses from `first` to `last` count.
    fn sum(&self, first: u32, last: u32) -> f64 {
        let begin = self.addresses.partition_point(|&address| address < first);
        let end = begin + self.addresses[begin..].partition_point(|&address| address <= last);
        self.before[end] - self.before[begin]
    }

    /// The /24s that count anything.
    fn blocks24(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (&address, weight) in self.addresses.iter().zip(self.before.windows(2).map(|pair| pair[1] - pair[0])) {
            match rows.last_mut() {
                Some(row) if row.first == address & !0xff => row.rate += weight,
                _ => rows.push(Row::of_24(address >> 8, weight)),
            }
        }
        rows.retain(|row| row.rate > 0.0);
        rows
    }

    /// The /24s by what they count: what memory alone gains.
    pub fn ranking(&self) -> Ranking {
        Ranking::new(self.blocks24())
    }
}

/// Applies a rule.
pub fn apply(rule: Rule, counting: Counting, counts: &Counted, routes: &Routes, outcome: &Outcome) -> Baseline {
    let ranges: Vec<(u32, u32)> = match rule {
        Rule::Count24(least) => {
            let blocks = counts.blocks24().into_iter().filter(|row| row.rate >= f64::from(least) - ROUNDING);
            blocks.map(|row| (row.first, row.last)).collect()
        }
        Rule::Level2 => level2(counts, routes),
        Rule::Level3 => level3(counts, routes),
    };
    let space = ranges.iter().map(|&(first, last)| u64::from(last - first) + 1).sum();
    let mut at = 0;
    let covers = |address: u32| {
        while ranges.get(at).is_some_and(|&(_, last)| last < address) {
            at += 1;
        }
        ranges.get(at).is_some_and(|&(first, _)| first <= address)
    };
    let covers = outcome.addresses().map(covers).collect();
    Baseline { rule, counting, ranges, space, covers }
}

fn level2(counts: &Counted, routes: &Routes) -> Vec<(u32, u32)> {
    let listed = routes
        .routes4()
        .iter()
        .filter(|route| counts.sum(route.first, route.last()) >= f64::from(level2_least(route.length)) - ROUNDING);
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for route in listed {
        // sorted so that a prefix stands before all that it covers
        if ranges.last().is_none_or(|&(_, last)| last < route.first) {
            ranges.push((route.first, route.last()));
        }
    }
    ranges
}

fn level3(counts: &Counted, routes: &Routes) -> Vec<(u32, u32)> {
    let asn = |route: usize| routes.routes4()[route].asn;
    let mut space: BTreeMap<u32, (u64, f64)> = BTreeMap::new();
    for (first, last, route) in routes.runs_24() {
        let of_asn = space.entry(asn(route)).or_default();
        of_asn.0 += (u64::from(last - first) + 1) << 8;
        of_asn.1 += counts.sum(first << 8, last << 8 | 0xff);
    }
    let is_listed = |asn: u32| {
        space.get(&asn).is_some_and(|&(addresses, impacts)| {
            let score = impacts / addresses as f64 * LEVEL3_SCALE;
            (score * 10.0).round() / 10.0 >= LEVEL3_SCORE && impacts >= LEVEL3_IMPACTS - ROUNDING
        })
    };
    let runs = routes.runs_24().filter(|&(.., route)| is_listed(asn(route)));
    runs.map(|(first, last, _)| (first << 8, last << 8 | 0xff)).collect()
}

/// The count from which level 2 lists a prefix: from /24 on `T(n−1) = T(n) + T(n+2)`, with the slip at /21 that its own
/// example for /10 has.
pub fn level2_least(length: u8) -> u32 {
    match length {
        27.. => 1,
        26 => 2,
        25 => 3,
        8..=24 => LEVEL2[usize::from(24 - length)],
        _ => LEVEL2[16],
    }
}

/// From /24 to /8.
const LEVEL2: [u32; 17] = [4, 6, 9, 15, 21, 30, 45, 66, 96, 141, 207, 303, 444, 651, 954, 1398, 2049];
/// Level 3 counts impacts for so many addresses.
const LEVEL3_SCALE: f64 = 100_000.0;
/// What level 3 lists an ASN from.
const LEVEL3_SCORE: f64 = 50.0;
/// And the fewest impacts.
const LEVEL3_IMPACTS: f64 = 50.0;
/// Days after which an arrival counts half in [`Counting::Decayed`].
pub const HALF_LIFE: f64 = 14.0;
/// Days of [`Counting::Week`].
const WEEK: f64 = 7.0;
/// Differences of sums of ones are ones but for this.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_2_counts_grow_as_the_pages_say() {
        for (length, least) in [(32, 1), (27, 1), (26, 2), (25, 3), (24, 4), (23, 6), (13, 303), (11, 651), (10, 954)] {
            assert_eq!(level2_least(length), least, "/{length}");
        }
        for length in 9..=20 {
            assert_eq!(level2_least(length - 1), level2_least(length) + level2_least(length + 2), "/{}", length - 1);
        }
    }
}
