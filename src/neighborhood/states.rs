//! States: what evidence has to come to before it is said of a block, and when that is taken back.
//!
//! A lift alone gives no state: there is a minimum of addresses, days and groups, and for prefixes and ASNs of breadth.
//! A state is left at a part of the lift that it was entered at (*hysteresis*), so that blocks near a threshold do not
//! come and go. Invariant: without evidence of its own a block is `watch` at most.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::arrivals::Counts;
use super::nodes::{Asn, Prefix};
use super::parameters::Thresholds;

/// What is said of a block or an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing.
    #[default]
    None,
    /// More than usual is to be expected.
    Watch,
    /// Much more, as several witnesses say.
    Suspicious,
    /// More often than not there will be a new bad address within a week.
    Bad,
    /// Reported itself.
    Exact,
}

impl State {
    /// The state's name, as outputs have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Watch => "watch",
            Self::Suspicious => "suspicious",
            Self::Bad => "bad",
            Self::Exact => "exact",
        }
    }

    /// The state of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::None, Self::Watch, Self::Suspicious, Self::Bad, Self::Exact]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// The highest score that a block in this state can have.
    pub fn most_score(self) -> u8 {
        match self {
            Self::None => 24,
            Self::Watch => 49,
            Self::Suspicious => 74,
            Self::Bad | Self::Exact => 100,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The score of a block: `25·log10(lift)`, as far as its state allows.
pub fn score(lift: f64, state: State) -> u8 {
    let score = (25.0 * lift.log10()).round();
    (score.clamp(0.0, 100.0) as u8).min(state.most_score())
}

/// Decides states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'p> {
    pub(super) thresholds: &'p Thresholds,
    /// Trusted groups that feed the family.
    pub(super) groups: u32,
}

impl Rules<'_> {
    /// The state of a /24 with history that was in `before`.
    pub(super) fn block(&self, lift: f64, counts: &Counts, before: State) -> State {
        let is_watched = counts.addresses >= WATCH_ADDRESSES;
        let is_attested = counts.addresses >= ADDRESSES && self.agree(counts, DAYS);
        self.state(lift, before, is_watched, is_attested)
    }

    /// The state of a /24 without history that was in `before`.
    pub(super) fn untouched(&self, lift: f64, before: State) -> State {
        self.state(lift, before.min(State::Watch), true, false)
    }

    /// The state of an address that arrived so often and may come back.
    pub(super) fn returning(&self, lift: f64, arrivals: u16) -> State {
        self.state(lift, State::None, u32::from(arrivals) >= WATCH_ADDRESSES, false)
    }

    /// The state of an announced prefix of `length` that has `exposure` /24s.
    pub(super) fn prefix(&self, lift: f64, prefix: &Prefix, length: u8, exposure: u32) -> State {
        let least = PREFIX_ADDRESSES.get(usize::from(24 - length.min(24))).copied().unwrap_or(u32::MAX);
        let is_broad = length < 24
            && prefix.counts.addresses >= least
            && prefix.active >= PREFIX_ACTIVE
            && f64::from(prefix.active) >= PREFIX_ACTIVE_SHARE * f64::from(exposure)
            && self.agree(&prefix.counts, PREFIX_DAYS);
        if is_broad { self.state(lift, State::None, true, true) } else { State::None }
    }

    /// The state of an ASN, which is for information: `watch` at most.
    pub(super) fn asn(&self, lift: f64, asn: &Asn) -> State {
        let addresses = f64::from(asn.counts.addresses);
        let is_broad = asn.counts.addresses >= ASN_ADDRESSES
            && addresses >= ASN_ADDRESS_SHARE * 256.0 * f64::from(asn.exposure)
            && asn.counts.groups() >= ASN_GROUPS
            && asn.counts.days() >= ASN_DAYS
            && asn.active_prefixes >= ASN_PREFIXES
            && f64::from(asn.active) >= ASN_ACTIVE_SHARE * f64::from(asn.exposure);
        if is_broad { self.state(lift, State::None, true, false) } else { State::None }
    }

    /// Whether enough witnesses agree: two groups where there are two, else a third day. Where the loudest group drowns
    /// out the others it is not borne out by them, or one forged list and one honest report would do together what
    /// neither can alone.
    fn agree(&self, counts: &Counts, days: u32) -> bool {
        if self.groups < 2 {
            return counts.days() >= days.max(DAYS_OF_ONE_GROUP);
        }
        let others = counts.addresses - counts.sole;
        counts.groups() >= GROUPS && counts.days() >= days && counts.sole <= MOST_LOUD * others
    }

    fn state(&self, lift: f64, before: State, is_watched: bool, is_attested: bool) -> State {
        let all = [
            (State::Bad, self.thresholds.bad, is_attested),
            (State::Suspicious, self.thresholds.suspicious, is_attested),
            (State::Watch, self.thresholds.watch, is_watched),
        ];
        let holds = |&(state, threshold, has_evidence): &(State, f64, bool)| {
            (has_evidence && lift >= threshold) || (before >= state && lift >= self.thresholds.leave * threshold)
        };
        all.iter().find(|rule| holds(rule)).map_or(State::None, |rule| rule.0)
    }
}

/// Addresses of a /24 that `watch` takes.
pub(super) const WATCH_ADDRESSES: u32 = 2;
/// Addresses of a /24 that `suspicious` and `bad` take.
pub(super) const ADDRESSES: u32 = 3;
/// Days with an arrival that they take.
pub(super) const DAYS: u32 = 2;
/// Groups that they take, once two trusted ones feed the family.
pub(super) const GROUPS: u32 = 2;
/// How many addresses the loudest group may name alone for each one that others named, where two groups are needed.
pub(super) const MOST_LOUD: u32 = 16;
/// Days that they take before that.
pub(super) const DAYS_OF_ONE_GROUP: u32 = 3;
/// Days with an arrival that a prefix's state takes.
const PREFIX_DAYS: u32 = 3;
/// /24s with history that it takes.
const PREFIX_ACTIVE: u32 = 2;
/// The part of its /24s that must have history.
const PREFIX_ACTIVE_SHARE: f64 = 0.25;
/// Addresses that the state of a prefix of 24, 23, … bits takes: the counts at which UCEPROTECT lists an allocation, as
/// it operated in 2024; here they are not enough by themselves.
const PREFIX_ADDRESSES: [u32; 17] = [4, 6, 9, 15, 21, 30, 45, 66, 96, 141, 207, 303, 444, 651, 954, 1398, 2049];
/// Addresses that an ASN's state takes.
const ASN_ADDRESSES: u32 = 50;
/// The part of its addresses that must be bad.
const ASN_ADDRESS_SHARE: f64 = 0.0005;
/// Groups that it takes: no single list labels a network.
const ASN_GROUPS: u32 = 3;
/// Days with an arrival that it takes.
const ASN_DAYS: u32 = 7;
/// Prefixes with history that it takes.
const ASN_PREFIXES: u32 = 3;
/// The part of its /24s that must have history.
const ASN_ACTIVE_SHARE: f64 = 0.3;
