//! What is known of single addresses at a time: the spells of all sources come to one line an address.
//!
//! An address counts once in its neighborhood, at its last arrival. Its weight is a noisy-OR over groups, which are
//! independent witnesses, each one's trust fading with how long before the last arrival it spoke:
//! `w = 1 − ∏(1 − trust · 2^(−age/14 d))`, in units of [`DEFAULT_TRUST`], so that one ordinary source's address is 1.
//!
//! Invariant: nothing that happened after the time is looked at, and the order of the spells of an address, which are
//! sorted, is the only order there is: equal evidence gives equal bits.

use super::parameters::{AGREEMENT_HALF_LIFE, COUNT_DAYS, HISTORY_DAYS, NEW_AFTER_DAYS};
use crate::evidence::{DEFAULT_TRUST, Evidence, Family, SECONDS_A_DAY, SourceId, Sources, Spell, Time};

/// What is known of an address at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Known {
    /// When it arrived last.
    pub(super) arrival: Time,
    /// What it counts, 1 being one source of default trust.
    pub(super) weight: f64,
    /// Whether no source had it in the 30 days before that source's last arrival.
    pub(super) is_new: bool,
    /// Arrivals in the history.
    pub(super) arrivals: u32,
    /// The weeks with an arrival, counted back, a bit each.
    pub(super) weeks: u32,
    /// Whether a list had it in the last 30 days.
    pub(super) is_recent: bool,
    /// The minimum evidence that it gives its blocks.
    pub(super) counts: Counts,
}

/// The evidence in a block over the last 45 days, which a state has a minimum of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Distinct addresses that arrived.
    pub addresses: u32,
    /// Those that the loudest group alone named; above a /24, the sum over /24s.
    pub(super) sole: u32,
    /// The days with an arrival, counted back, a bit each.
    days: u64,
    /// The groups that named an address, a bit each; all beyond the 63rd share one.
    groups: u64,
    /// The last arrival; 0 without one.
    last: u32,
}

impl Counts {
    /// Distinct days with an arrival.
    pub fn days(&self) -> u32 {
        self.days.count_ones()
    }

    /// Distinct groups that named an address.
    pub fn groups(&self) -> u32 {
        self.groups.count_ones()
    }

    /// How many of some groups, a bit each, named an address.
    pub(super) fn groups_among(&self, groups: u64) -> u32 {
        (self.groups & groups).count_ones()
    }

    /// The last arrival.
    pub fn last(&self) -> Option<Time> {
        (self.last != 0).then_some(Time(self.last))
    }

    /// What is left of an address's evidence without some groups, a bit each: it is still an address that arrived.
    pub(super) fn without(mut self, groups: u64) -> Self {
        self.groups &= !groups;
        if self.groups == 0 {
            self.days = 0;
        }
        self
    }

    /// The group that alone named an address, as a bit; none if there are several, or nobody did lately.
    pub(super) fn sole_group(&self) -> Option<u64> {
        self.groups.is_power_of_two().then_some(self.groups)
    }

    /// Takes what another part of the block has.
    pub(super) fn add(&mut self, other: &Self) {
        self.addresses += other.addresses;
        self.sole += other.sole;
        self.days |= other.days;
        self.groups |= other.groups;
        self.last = self.last.max(other.last);
    }

    /// Takes back the addresses that a part of the block had; days, groups and the last arrival stay.
    pub(super) fn take_back(&mut self, part: &Self) {
        self.addresses -= part.addresses;
        self.sole -= part.sole;
    }

    /// Something arrived at this time too.
    pub(super) fn arrived(&mut self, at: Time) {
        self.last = self.last.max(at.0);
    }

    fn add_arrival(&mut self, arrival: Time, age_in_days: u32, group: usize) {
        self.addresses = 1;
        self.days |= 1 << age_in_days;
        self.groups |= 1 << group.min(63);
        self.last = self.last.max(arrival.0);
    }
}

/// Hands on what is known of every IPv4 address with an arrival in the history, ascending.
pub(super) fn each_address(evidence: &Evidence, family: Family, at: Time, mut take: impl FnMut(u32, &Known)) {
    let mut reader = Reader::new(&evidence.sources, at);
    for spells in evidence.ip4.chunk_by(|a, b| a.subject == b.subject && a.family == b.family) {
        if spells[0].family == family
            && let Some(known) = reader.read(spells)
        {
            take(spells[0].subject, &known);
        }
    }
}

/// Reads the spells of one address.
pub(super) struct Reader<'e> {
    sources: &'e Sources,
    at: Time,
    /// Of each group that named the address, in the order of their sources: its number, and spells with their trust.
    groups: Vec<(usize, Time, f64)>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(sources: &'e Sources, at: Time) -> Self {
        Self { sources, at, groups: Vec::new() }
    }

    /// Whether what a source says of an address counts for others.
    pub(super) fn generalises(&self, source: SourceId) -> bool {
        !self.sources.get(source).spoofable
    }

    /// What the spells of an address come to; none if it has not arrived in the history, or if only sources named it
    /// whose word does not generalise.
    pub(super) fn read<S>(&mut self, spells: &[Spell<S>]) -> Option<Known> {
        let at = self.at;
        let oldest = at.days_before(HISTORY_DAYS);
        let recent = at.days_before(NEW_AFTER_DAYS);
        let mut known = Known {
            arrival: Time(0),
            weight: 0.0,
            is_new: true,
            arrivals: 0,
            weeks: 0,
            is_recent: false,
            counts: Counts::default(),
        };
        self.groups.clear();
        for said in spells.chunk_by(|a, b| a.source == b.source && a.speech() == b.speech()) {
            let source = self.sources.get(said[0].source);
            if source.spoofable {
                continue;
            }
            let group = self.sources.group(said[0].source);
            let said = &said[..said.partition_point(|spell| spell.begin <= at)];
            let in_history = &said[said.partition_point(|spell| spell.begin <= oldest)..];
            let Some(last) = in_history.last() else { continue };
            if let [.., before, last] = said
                && before.end(at).0 >= last.begin.0.saturating_sub(NEW_AFTER_DAYS * SECONDS_A_DAY)
            {
                known.is_new = false;
            }
            known.is_recent |= last.end(at) >= recent;
            known.arrival = known.arrival.max(last.begin);
            known.arrivals += in_history.len() as u32;
            for spell in in_history {
                let age = at.day() - spell.begin.day();
                known.weeks |= 1 << (age / 7).min(31);
                if age < COUNT_DAYS {
                    known.counts.add_arrival(spell.begin, age, group);
                }
                self.groups.push((group, spell.begin, source.trust * spell.weight()));
            }
        }
        if known.arrivals == 0 {
            return None;
        }
        known.weight = self.weight(known.arrival);
        Some(known)
    }

    /// The noisy-OR over groups at the time of the last arrival.
    fn weight(&mut self, arrival: Time) -> f64 {
        if let [(_, _, trust)] = *self.groups {
            return trust.min(1.0) / DEFAULT_TRUST;
        }
        self.groups.sort_by_key(|&(group, ..)| group);
        let doubt = self.groups.chunk_by(|a, b| a.0 == b.0).map(|said| {
            let fade = |time: Time| (-arrival.days_since(time) / AGREEMENT_HALF_LIFE).exp2();
            1.0 - said.iter().map(|&(_, time, trust)| trust.min(1.0) * fade(time)).fold(0.0, f64::max)
        });
        (1.0 - doubt.product::<f64>()) / DEFAULT_TRUST
    }
}

/// The groups that have a source whose word is trusted, a bit each.
pub(super) fn trusted_groups(sources: &Sources) -> u64 {
    let trusted = sources.iter().enumerate().filter(|(_, source)| source.trust >= LEAST_TRUST && !source.spoofable);
    let groups = trusted.map(|(index, _)| sources.group(SourceId(index as u16)));
    groups.fold(0, |mask, group| mask | 1 << group.min(63))
}

/// A source that is trusted less needs a second group beside it, whatever it says.
pub const LEAST_TRUST: f64 = 0.5;
