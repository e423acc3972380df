//! Floods: a group that names a good part of a network at once is not believed there by itself.
//!
//! Who can write to one list can forge ten thousand reports in a victim's network. A group that named more than
//! [`MOST_NAMED`] addresses of a /16 in 45 days attests nothing there, neither an address nor a block: it raises rates,
//! up to `watch`, and takes others to go further. What it says elsewhere counts as ever.

use super::parameters::COUNT_DAYS;
use crate::evidence::{Evidence, Sources, Spell4, Time};

/// How many addresses of a /16 each group named lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    counts: Vec<(usize, usize)>,
    /// The groups of one address, kept for its room.
    groups: Vec<usize>,
}

impl Named {
    /// Counts a /16.
    pub(super) fn of(network: &[Spell4], sources: &Sources, at: Time) -> Self {
        let mut named = Self::default();
        for said in network.chunk_by(|a, b| a.subject == b.subject) {
            named.add(said, sources, at);
        }
        named
    }

    /// Counts the spells of an address.
    pub(super) fn add(&mut self, said: &[Spell4], sources: &Sources, at: Time) {
        self.take_groups(said, sources, at);
        for &group in &self.groups {
            match self.counts.iter_mut().find(|(known, _)| *known == group) {
                Some((_, count)) => *count += 1,
                None => self.counts.push((group, 1)),
            }
        }
    }

    /// Takes back what [`Self::add`] counted.
    pub(super) fn take_back(&mut self, said: &[Spell4], sources: &Sources, at: Time) {
        self.take_groups(said, sources, at);
        for (_, count) in self.counts.iter_mut().filter(|(known, _)| self.groups.contains(known)) {
            *count -= 1;
        }
    }

    /// The groups that named so many addresses that their word alone is not believed here.
    pub(super) fn flooding(&self) -> impl Iterator<Item = usize> {
        self.counts.iter().filter(|&&(_, count)| count > MOST_NAMED).map(|&(group, _)| group)
    }

    /// As [`Self::flooding`], a bit each.
    pub(super) fn mask(&self) -> u64 {
        self.flooding().fold(0, |mask, group| mask | 1 << group.min(63))
    }

    fn take_groups(&mut self, said: &[Spell4], sources: &Sources, at: Time) {
        let oldest = at.days_before(COUNT_DAYS);
        let lately = said.iter().filter(|spell| spell.begin <= at && spell.last_said(at) > oldest);
        self.groups.clear();
        self.groups.extend(lately.map(|spell| sources.group(spell.source)));
        self.groups.sort_unstable();
        self.groups.dedup();
    }
}

/// The groups that named so many addresses of a /16 lately that their word alone is not believed there.
pub(super) fn floods(network: &[Spell4], sources: &Sources, at: Time) -> Vec<usize> {
    if network.len() <= MOST_NAMED {
        return Vec::new();
    }
    Named::of(network, sources, at).flooding().collect()
}

/// The /16s with such groups, ascending: an address shifted right by 16, and the groups, a bit each.
pub(super) fn flooded(evidence: &Evidence, at: Time) -> Vec<(u32, u64)> {
    let networks = evidence.ip4.chunk_by(|a, b| a.subject >> 16 == b.subject >> 16);
    let flooded = networks.map(|network| {
        let groups = floods(network, &evidence.sources, at);
        (network[0].subject >> 16, groups.iter().fold(0, |mask, &group| mask | 1 << group.min(63)))
    });
    flooded.filter(|&(_, mask)| mask != 0).collect()
}

/// Addresses of a /16 that a group can name in 45 days and be believed alone: one in 32. The densest networks that a
/// honeypot sees have some hundreds.
const MOST_NAMED: usize = 2048;
