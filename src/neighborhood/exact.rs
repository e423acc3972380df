//! Exact listings: addresses and prefixes by what was said of themselves, whatever their neighbors do.
//!
//! The probability that a subject is bad is a noisy-OR over groups, each one's trust fading with the half-life of the
//! source that spoke: `P = 1 − ∏(1 − trust · 2^(−age/h))`. A subject is listed from when P reaches 0.5 until it falls
//! below 0.25. Between arrivals P only falls, so whether it was listed is told by P at the last arrival: nothing has to
//! be remembered.
//!
//! Invariant: what a guard says must never be listed is not; neither is what only one group said whose sources a third
//! party can make speak, or are hardly trusted, or that names every other address of a network at once.

use super::arrivals::LEAST_TRUST;
use super::bits::Bits;
use super::floods::floods;
use super::guards::{Class, Guards};
use crate::evidence::{Evidence, Family, Sources, Spell, Time};

/// A subject that is listed for what was said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exact<A> {
    /// The first address.
    pub first: A,
    /// The prefix length.
    pub length: u8,
    /// What it is listed for.
    pub family: Family,
    /// How likely it is bad, 0–1.
    pub probability: f64,
    /// The groups that said so, by number.
    pub groups: u32,
    /// When it arrived last, or for events happened last.
    pub last: Time,
    /// When it will no longer be listed if nothing more is said.
    pub until: Time,
}

impl<A> Exact<A> {
    /// `100·P`.
    pub fn score(&self) -> u8 {
        (100.0 * self.probability).round() as u8
    }
}

/// The listed IPv4 addresses and prefixes, sorted by first address and length, families apart.
pub fn exact4(evidence: &Evidence, guards: &Guards, at: Time) -> Vec<Exact<u32>> {
    let class = |first: u32, _| guards.class4(first);
    let mut addresses = Vec::new();
    for network in evidence.ip4.chunk_by(|a, b| a.subject >> 16 == b.subject >> 16) {
        let floods = floods(network, &evidence.sources, at);
        addresses.extend(listed(network, |&address| (address, 32), class, &evidence.sources, &floods, at));
    }
    let blocks = listed(&evidence.blocks4, |&block| block, class, &evidence.sources, &[], at);
    sorted(addresses, blocks)
}

/// As [`exact4`], of IPv6.
pub fn exact6(evidence: &Evidence, guards: &Guards, at: Time) -> Vec<Exact<u128>> {
    let class = |first: u128, _| guards.class6(first);
    let addresses = listed(&evidence.ip6, |&address| (address, 128), class, &evidence.sources, &[], at);
    let blocks = listed(&evidence.blocks6, |&block| block, class, &evidence.sources, &[], at);
    sorted(addresses, blocks)
}

fn sorted<A: Bits>(mut all: Vec<Exact<A>>, more: Vec<Exact<A>>) -> Vec<Exact<A>> {
    all.extend(more);
    all.sort_by_key(|exact| (exact.first, exact.length, exact.family));
    all
}

/// What is listed of some subjects by their spells, in the order of these. `prefix` says what a subject is, and `class`
/// what its guard does; groups that flood its network are no word to list by.
pub(super) fn listed<S: PartialEq, A: Bits>(
    spells: &[Spell<S>],
    prefix: impl Fn(&S) -> (A, u8),
    class: impl Fn(A, u8) -> Class,
    sources: &Sources,
    floods: &[usize],
    at: Time,
) -> Vec<Exact<A>> {
    let mut all = Vec::new();
    for said in spells.chunk_by(|a, b| a.subject == b.subject && a.family == b.family) {
        let (first, length) = prefix(&said[0].subject);
        let class = class(first, length);
        if matches!(class, Class::Never | Class::Research) {
            continue;
        }
        if let Some(voices) = Voices::of(said, sources, class, floods, at)
            && let Some((probability, last)) = voices.listed(at)
        {
            let until = voices.until(at);
            let groups = voices.groups();
            all.push(Exact { first, length, family: said[0].family, probability, groups, last, until });
        }
    }
    all
}

/// What was said of one subject: of each group the last word of each source.
struct Voices {
    /// Group, time, trust, half-life in days; sorted by group.
    all: Vec<(usize, Time, f64, f64)>,
    /// Whether a source is among them whose word is enough.
    has_reliable: bool,
}

impl Voices {
    fn of<S>(spells: &[Spell<S>], sources: &Sources, class: Class, floods: &[usize], at: Time) -> Option<Self> {
        let mut voices = Self { all: Vec::new(), has_reliable: false };
        for spell in spells.iter().filter(|spell| spell.begin <= at) {
            let source = sources.get(spell.source);
            let half_life = if class == Class::Pool { source.half_life.min(POOL_HALF_LIFE) } else { source.half_life };
            let trust = (source.trust * spell.weight()).min(1.0);
            let group = sources.group(spell.source);
            voices.all.push((group, spell.last_said(at), trust, half_life.max(LEAST_HALF_LIFE)));
            voices.has_reliable |= !source.spoofable && source.trust >= LEAST_TRUST && !floods.contains(&group);
        }
        voices.all.sort_by_key(|&(group, time, ..)| (group, time));
        (!voices.all.is_empty()).then_some(voices)
    }

    fn groups(&self) -> u32 {
        self.all.chunk_by(|a, b| a.0 == b.0).count() as u32
    }

    /// How likely the subject was bad at a time, as far as was known then.
    fn probability(&self, at: Time) -> f64 {
        let doubt = self.all.chunk_by(|a, b| a.0 == b.0).map(|said| {
            let heard = said.iter().filter(|voice| voice.1 <= at);
            let most = heard.map(|&(_, time, trust, half_life)| trust * (-at.days_since(time) / half_life).exp2());
            1.0 - most.fold(0.0, f64::max)
        });
        1.0 - doubt.product::<f64>()
    }

    /// The probability now and the last word, if the subject is listed.
    fn listed(&self, at: Time) -> Option<(f64, Time)> {
        if !self.has_reliable && self.groups() < 2 {
            return None;
        }
        let last = self.all.iter().map(|voice| voice.1).max()?;
        let probability = self.probability(at);
        (self.probability(last) >= ENTER - ROUNDING && probability >= LEAVE).then_some((probability, last))
    }

    /// When the probability falls below what a listing needs, to the hour.
    fn until(&self, at: Time) -> Time {
        let hours_later = |hours: u32| Time(at.0.saturating_add(hours.saturating_mul(3600)));
        let (mut listed, mut unlisted) = (0, LONGEST_HOURS);
        while unlisted - listed > 1 {
            let middle = listed + (unlisted - listed) / 2;
            if self.probability(hours_later(middle)) >= LEAVE { listed = middle } else { unlisted = middle }
        }
        hours_later(unlisted)
    }
}

/// The probability from which a subject is listed.
const ENTER: f64 = 0.5;
/// The probability below which it no longer is.
const LEAVE: f64 = 0.25;
/// Weights are stored in 127ths, and a product of them should not miss the threshold by its last bit.
const ROUNDING: f64 = 1e-9;
/// Days until a report of an address in a pool counts half: it has another tenant soon.
const POOL_HALF_LIFE: f64 = 3.0;
/// A half-life of 0 would be no number.
const LEAST_HALF_LIFE: f64 = 1e-3;
/// Ten years: longer than any half-life keeps a listing.
const LONGEST_HOURS: u32 = 10 * 366 * 24;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Source, Speech, Statement, Subject};
    use crate::neighborhood::GuardsBuilder;

    const NOW: u32 = 20_000;

    /// What is listed of 192.0.2.1 after sources said something of it so many days ago.
    fn listed(said: &[(Source, u32)], guards: &str) -> Option<Exact<u32>> {
        let mut collector = Collector::default();
        for (source, days_ago) in said {
            let source = collector.sources.add(source.clone()).expect("room for a source");
            let begin = Time::end_of_day(NOW - days_ago);
            let subject = Subject::Ip4 { bits: 0xc000_0201, length: 32 };
            let (family, end, speech) = (Family::Send, Some(begin), Speech::Stream);
            collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech });
        }
        let mut builder = GuardsBuilder::default();
        builder.parse_bytes(guards.as_bytes()).unwrap();
        exact4(&collector.build(), &builder.build(), Time::end_of_day(NOW)).pop()
    }

    #[test]
    fn a_listing_begins_with_its_report_and_ends_at_a_quarter() {
        let source = Source::named("trap");
        for (days, is_listed) in [(0, true), (17, true), (18, false)] {
            assert_eq!(listed(&[(source.clone(), days)], "").is_some(), is_listed, "{days}");
        }
        let exact = listed(&[(source, 3)], "").unwrap();
        // 0.6 falls to 0.25 in 14·log2(2.4) days
        assert_eq!(exact.until.days_since(exact.last).round(), 18.0);
        assert_eq!(exact.score(), 52);
    }

    #[test]
    fn a_word_that_can_be_forged_needs_a_second_group() {
        let spoofable = Source { spoofable: true, trust: 0.9, ..Source::named("udp") };
        let weak = Source { trust: 0.4, ..Source::named("weak") };
        let copy = Source { trust: 0.4, group: "weak".to_owned(), ..Source::named("copy") };
        assert!(listed(&[(spoofable.clone(), 0)], "").is_none());
        assert!(listed(&[(weak.clone(), 0), (copy, 0)], "").is_none());
        assert!(listed(&[(spoofable, 0), (weak, 0)], "").is_some());
    }

    #[test]
    fn a_flood_of_one_group_lists_only_what_another_bears_out() {
        let mut collector = Collector::default();
        let [flood, honest] = ["flood", "honest"].map(|name| collector.sources.find_or_add(name).expect("room"));
        let mut say = |source, host: u32| {
            let begin = Time::end_of_day(NOW - host % 5);
            let subject = Subject::Ip4 { bits: 0xc633_0000 | host, length: 32 };
            let (family, end, speech) = (Family::Send, Some(begin), Speech::Stream);
            collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech });
        };
        (0..10_000).for_each(|host| say(flood, 6 * host));
        [12, 13].iter().for_each(|&host| say(honest, host));
        let all = exact4(&collector.build(), &Guards::default(), Time::end_of_day(NOW));
        assert_eq!(all.iter().map(|exact| exact.first & 0xffff).collect::<Vec<_>>(), [12, 13]);
    }

    #[test]
    fn what_must_never_be_listed_is_not() {
        let source = Source { trust: 1.0, ..Source::named("trap") };
        assert!(listed(&[(source.clone(), 0)], "192.0.2.0/30\tmail\tx\n").is_none());
        assert!(listed(&[(source.clone(), 0)], "192.0.2.0/30\tcloud-mixed\tx\n").is_some());
        // a pool's addresses change hands
        assert!(listed(&[(source.clone(), 7)], "192.0.2.0/30\tvpn-mixed\tx\n").is_none());
        assert!(listed(&[(source, 7)], "").is_some());
    }
}
