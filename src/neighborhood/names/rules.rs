//! The rules of verdicts about names: how evidence adds up, and how much of it is enough.

use super::evidence::{Arrival, Arrivals};
use super::popularity::RankClass;
use super::verdict::Lift;
use crate::evidence::{SECONDS_A_DAY, Time};

/// Whether so many reports hold against a whole domain of that class.
pub(super) fn is_enough(class: RankClass, urls: u32, arrivals: &Arrivals, has_two_groups: bool) -> bool {
    match class {
        RankClass::Top => false,
        RankClass::High => urls >= HIGH_URLS,
        RankClass::Known => urls >= KNOWN_URLS,
        RankClass::Unranked => {
            let is_trusted = arrivals.0.iter().any(|arrival| arrival.trust >= TRUSTED);
            // where nobody else could confirm it, a trusted source is taken at its word
            let is_confirmed = distinct_groups(arrivals) >= 2 || is_trusted && !has_two_groups;
            urls >= if is_confirmed { CONFIRMED_URLS } else { UNCONFIRMED_URLS }
        }
    }
}

pub(super) fn distinct_groups(arrivals: &Arrivals) -> usize {
    let mut groups: Vec<u16> = arrivals.0.iter().map(|arrival| arrival.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.len()
}

pub(super) fn is_current(arrival: &Arrival, at: Time) -> bool {
    arrival.last >= at.days_before(COUNT_DAYS)
}

/// Whether a report says anything about what is around its subject.
pub(super) fn generalises(arrival: &Arrival, at: Time) -> bool {
    !arrival.spoofable && is_current(arrival, at)
}

pub(super) fn decayed(arrival: &Arrival, at: Time) -> f64 {
    arrival.trust * (-at.days_since(arrival.last) / HALF_LIFE_DAYS).exp2()
}

/// The probability that at least one group is right. One that is there twice, forgeable and not, counts once.
pub(super) fn noisy_or(arrivals: &Arrivals, at: Time) -> f64 {
    let mut sorted: Vec<(u16, f64)> = arrivals.0.iter().map(|arrival| (arrival.group, decayed(arrival, at))).collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    sorted.dedup_by_key(|(group, _)| *group);
    // by value, so that the numbering of groups does not show in the last bit
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    1.0 - sorted.iter().map(|(_, value)| 1.0 - value).product::<f64>()
}

/// The probability with its odds multiplied.
pub(super) fn lifted(probability: f64, lift: Option<&Lift>) -> f64 {
    let factor = lift.map_or(1.0, |lift| lift.factor);
    if probability >= 1.0 { 1.0 } else { probability * factor / (1.0 - probability + probability * factor) }
}

/// Whether most of the names at a place are bad: the lower end of Wilson's interval of their share.
pub(super) fn is_bad_place(bad: usize, count: usize) -> bool {
    if bad < BAD_DOMAINS || count == 0 {
        return false;
    }
    let (n, p) = (count as f64, bad as f64 / count as f64);
    let z2 = Z * Z;
    let lower = (p + z2 / (2.0 * n) - Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt()) / (1.0 + z2 / n);
    lower >= BAD_SHARE
}

pub(super) fn later(at: Time, days: f64) -> Time {
    Time(at.0.saturating_add((days * f64::from(SECONDS_A_DAY)) as u32))
}

/// Days until a report of a name counts half. Phishing comes back to a domain after weeks, so this is longer than for
/// addresses; what it catches is printed by `tests/it/phishing.rs`.
pub const HALF_LIFE_DAYS: f64 = 30.0;
/// Reports count for so many days towards the numbers that a verdict needs.
pub const COUNT_DAYS: u32 = 90;
/// A source is trusted from here on.
pub const TRUSTED: f64 = 0.5;
/// Hosts or URLs in a domain that nobody ranks, if two groups report it, or a trusted one where there is no other.
pub const CONFIRMED_URLS: u32 = 2;
/// The same from a single group.
pub const UNCONFIRMED_URLS: u32 = 3;
/// Hosts or URLs in a domain ranked 100,000 to 1,000,000.
pub const KNOWN_URLS: u32 = 5;
/// Hosts or URLs in a domain ranked 10,000 to 100,000.
pub const HIGH_URLS: u32 = 20;
/// URLs at a host of which none is its root.
pub const HOST_URLS: u32 = 2;
/// A single deep URL holds against its host where a bad address or name server lifts it this high.
pub const LIFTED_ENOUGH: f64 = 0.9;
/// An address is a bad one with so many bad registrable domains.
pub const BAD_DOMAINS: usize = 3;
/// And if they are at least this share of its registrable domains, by the lower bound.
pub const BAD_SHARE: f64 = 0.5;
/// A name server of so many domains is a company's that takes anybody.
pub const LARGE_SERVER: usize = 1000;
/// Fewer bad tenants are chance.
pub const HAZARD_TENANTS: u32 = 3;
/// A suffix has at least so many tenants, however few were seen.
pub const LEAST_TENANTS: u32 = 64;
/// A registry's suffix has a hazard once so many names in it were seen.
pub const PUBLIC_TENANTS: u32 = 1000;
/// The most that is said of a suffix of which only bad tenants are known: what `watch` is among addresses.
pub const UNOBSERVED_HAZARD: f64 = 0.49;
/// The normal quantile of a one-sided interval of 95 %.
const Z: f64 = 1.645;
/// No verdict is promised for longer.
pub const LONGEST_DAYS: f64 = 365.0;
