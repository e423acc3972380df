//! Floods: a group that names a good part of a network at once is not believed there by itself.
//!
//! Who can write to one list can forge ten thousand reports in a victim's network. A group that named more than
//! [`MOST_NAMED`] addresses of a /16 in 45 days attests nothing there, neither an address nor a block: it raises rates,
//! up to `watch`, and takes others to go further. What it says elsewhere counts as ever.

use super::parameters::COUNT_DAYS;
use crate::evidence::{Evidence, Sources, Spell4, Time};

/// The groups that named so many addresses of a /16 lately that their word alone is not believed there.
pub(super) fn floods(network: &[Spell4], sources: &Sources, at: Time) -> Vec<usize> {
    if network.len() <= MOST_NAMED {
        return Vec::new();
    }
    let oldest = at.days_before(COUNT_DAYS);
    let mut named: Vec<(usize, usize)> = Vec::new();
    let mut groups: Vec<usize> = Vec::new();
    for said in network.chunk_by(|a, b| a.subject == b.subject) {
        let lately = said.iter().filter(|spell| spell.begin <= at && spell.last_said(at) > oldest);
        groups.clear();
        groups.extend(lately.map(|spell| sources.group(spell.source)));
        groups.sort_unstable();
        groups.dedup();
        for &group in &groups {
            match named.iter_mut().find(|(known, _)| *known == group) {
                Some((_, count)) => *count += 1,
                None => named.push((group, 1)),
            }
        }
    }
    named.into_iter().filter(|&(_, count)| count > MOST_NAMED).map(|(group, _)| group).collect()
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
