//! From reports to verdicts about names.
//!
//! The probability of a name is the noisy-OR over groups of the trust in each, halved every `HALF_LIFE_DAYS` since its
//! latest report at or below the name. It is not enough for a verdict on a whole domain: several hosts or URLs must
//! have been reported, the more the more popular the domain is. The rules and their numbers are in `rules`.
//!
//! Known-safe names and those of the highest rank get no verdict from what stands below them; a suffix gets a hazard.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::evidence::{Arrival, Arrivals, HostEvidence, NameEvidence};
use super::observations::{Observations, Place};
use super::popularity::{KnownSafe, Popularity, RankClass, ancestors};
use super::rules::{
    HOST_URLS, LARGE_SERVER, LIFTED_ENOUGH, LONGEST_DAYS, TRUSTED, decayed, distinct_groups, generalises, is_bad_place,
    is_current, is_enough, later, lifted, noisy_or,
};
use super::suffixes::{Split, Suffixes};
use super::verdict::{HostArrival, LEAST_SCORE, Level, Lift, MAX_LIFT, NameVerdict, Outcome, Term, score};
use crate::evidence::Time;

/// What is known of names besides reports, kept.
#[derive(Debug)]
pub struct NameFacts {
    /// Where tenants begin.
    pub suffixes: Suffixes,
    /// Which names many people use.
    pub popularity: Popularity,
    /// Whom the operator vouches for.
    pub safe: KnownSafe,
    /// Where names are.
    pub observations: Observations,
}

impl NameFacts {
    /// To judge by.
    pub fn facts(&self) -> Facts<'_> {
        let Self { suffixes, popularity, safe, observations } = self;
        Facts { suffixes, popularity, safe, observations }
    }
}

/// What is known of names besides reports.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// Where tenants begin.
    pub suffixes: &'f Suffixes,
    /// Which names many people use.
    pub popularity: &'f Popularity,
    /// Whom the operator vouches for.
    pub safe: &'f KnownSafe,
    /// Where names are.
    pub observations: &'f Observations,
}

/// What the tree of addresses says, as far as names are concerned.
pub trait AddressFacts {
    /// Whether an address serves many strangers by its guard: bad names on it say nothing about it.
    fn is_shared(&self, address: IpAddr) -> bool;
    /// How much likelier than anywhere the HOST family finds a bad address in its neighborhood; 1 where it says nothing.
    fn lift(&self, address: IpAddr) -> f64;
}

/// Nothing is known of addresses.
#[derive(Clone, Copy, Debug)]
pub struct NoAddressFacts;

impl AddressFacts for NoAddressFacts {
    fn is_shared(&self, _address: IpAddr) -> bool {
        false
    }

    fn lift(&self, _address: IpAddr) -> f64 {
        1.0
    }
}

/// What became of every name that something was reported at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NameJudgement {
    /// Sorted by name and level.
    pub names: Vec<NameVerdict>,
    /// Names below a verdict for which it does not hold, sorted: known-safe and popular ones.
    pub exempt: Vec<Box<str>>,
    /// Whether at least two trusted groups report names.
    pub(super) has_two_groups: bool,
}

impl NameJudgement {
    /// The verdicts that are served.
    pub fn listed(&self) -> impl Iterator<Item = &NameVerdict> {
        self.names.iter().filter(|verdict| verdict.is_listed())
    }

    /// What is known of exactly this name.
    pub fn of(&self, name: &str) -> &[NameVerdict] {
        let begin = self.names.partition_point(|verdict| *verdict.name < *name);
        let length = self.names[begin..].partition_point(|verdict| *verdict.name == *name);
        &self.names[begin..begin + length]
    }
}

/// Judges all names that something was reported at.
pub fn judge(evidence: &NameEvidence, facts: Facts<'_>, addresses: &impl AddressFacts) -> NameJudgement {
    let tally = Tally::new(evidence, facts);
    let mut names = Vec::new();
    for domain in &tally.domains {
        let lift = tally.lift(domain, addresses);
        tally.judge(domain, lift.as_ref(), &mut names);
    }
    names.extend(tally.hazards());
    cover(&mut names);
    names.sort_by(|a, b| (&a.name, a.level).cmp(&(&b.name, b.level)));
    let exempt = exempt(&names, facts);
    NameJudgement { names, exempt, has_two_groups: tally.has_two_groups }
}

/// Judges one registrable domain by all that was reported in it; what lifts it is what did in the judgement before.
pub(super) fn judge_domain(evidence: &NameEvidence, facts: Facts<'_>, before: &NameJudgement) -> Vec<NameVerdict> {
    let tally = Tally { has_two_groups: before.has_two_groups, ..Tally::new(evidence, facts) };
    let mut names = Vec::new();
    for domain in &tally.domains {
        let known = before.of(domain.name).iter().find(|verdict| verdict.level == Level::Domain);
        tally.judge(domain, known.and_then(|verdict| verdict.lift.as_ref()), &mut names);
    }
    cover(&mut names);
    names.sort_by(|a, b| (&a.name, a.level).cmp(&(&b.name, b.level)));
    names
}

/// The addresses of which most names are bad, as arrivals for the HOST family.
///
/// An address with one name is as bad as that name; one with a thousand is not, whatever one of them does. So the
/// evidence is divided by the number of names, and counts only where the lower bound of the bad ones' share is
/// `BAD_SHARE` with `BAD_DOMAINS` of them.
pub fn host_arrivals(evidence: &NameEvidence, facts: Facts<'_>, addresses: &impl AddressFacts) -> Vec<HostArrival> {
    let tally = Tally::new(evidence, facts);
    let mut arrivals = Vec::new();
    for (place, domains) in facts.observations.by_place() {
        let Place::Address(address) = *place else { continue };
        let count = domains.len();
        let bad: Vec<&Domain<'_>> = domains.filter_map(|name| tally.bad(name)).collect();
        if !is_bad_place(bad.len(), count) || addresses.is_shared(address) {
            continue;
        }
        let mut groups: Vec<Box<str>> = bad
            .iter()
            .flat_map(|domain| &domain.arrivals.0)
            .map(|arrival| evidence.group_name(arrival.group).into())
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let Some(time) = bad.iter().filter_map(|domain| domain.arrivals.last()).max() else { continue };
        arrivals.push(HostArrival {
            address,
            time,
            weight: bad.iter().map(|domain| domain.probability).sum::<f64>() / count as f64,
            groups,
            bad: bad.len() as u32,
            domains: count as u32,
        });
    }
    arrivals
}

/// A registrable domain with what was reported in it.
pub(super) struct Domain<'e> {
    pub(super) name: &'e str,
    pub(super) suffix: Split<'e>,
    pub(super) hosts: Vec<(&'e str, &'e HostEvidence)>,
    /// What generalises.
    pub(super) arrivals: Arrivals,
    /// Distinct expressions, a report of a host being one.
    pub(super) urls: u32,
    /// Hosts with any.
    pub(super) at_hosts: u32,
    pub(super) probability: f64,
    pub(super) rank: Option<u32>,
    /// Who vouches for it.
    pub(super) safe: Option<&'e str>,
}

/// Everything that is counted before anything is decided.
pub(super) struct Tally<'e> {
    pub(super) evidence: &'e NameEvidence,
    pub(super) facts: Facts<'e>,
    pub(super) at: Time,
    /// Sorted by name.
    pub(super) domains: Vec<Domain<'e>>,
    /// What was reported at suffixes themselves, sorted by name.
    pub(super) suffixes: Vec<(Split<'e>, &'e HostEvidence)>,
    /// Whether at least two trusted groups report names, so that one alone is not enough.
    pub(super) has_two_groups: bool,
    /// The share of bad ones among all registrable domains seen.
    pub(super) bad_share: f64,
}

impl<'e> Tally<'e> {
    fn new(evidence: &'e NameEvidence, facts: Facts<'e>) -> Self {
        let mut sorted: Vec<(&str, &HostEvidence)> = evidence.hosts.iter().map(|(host, all)| (&**host, all)).collect();
        sorted.sort_unstable_by_key(|&(host, _)| host);
        let mut by_domain: BTreeMap<&str, Domain<'e>> = BTreeMap::new();
        let mut suffixes = Vec::new();
        let mut trusted: Vec<u16> = Vec::new();
        let at = evidence.end();
        for (host, reports) in sorted {
            let suffix = facts.suffixes.split(host);
            let all = std::iter::once(&reports.own).chain(reports.urls.values()).flat_map(|arrivals| &arrivals.0);
            trusted.extend(all.filter(|one| one.trust >= TRUSTED && generalises(one, at)).map(|one| one.group));
            trusted.sort_unstable();
            trusted.dedup();
            let Some(name) = suffix.registrable else {
                suffixes.push((suffix, reports));
                continue;
            };
            by_domain.entry(name).or_insert_with(|| Domain::new(name, suffix)).add(host, reports, at);
        }
        let mut domains: Vec<Domain<'e>> = by_domain.into_values().collect();
        for domain in &mut domains {
            domain.probability = noisy_or(&domain.arrivals, at);
            domain.rank = facts.popularity.rank(domain.name);
            domain.safe = facts.safe.vouching(domain.name, facts.suffixes);
        }
        let has_two_groups = trusted.len() >= 2;
        let mut tally = Self { evidence, facts, at, domains, suffixes, has_two_groups, bad_share: 0.0 };
        let seen = facts.observations.domains().max(1);
        let is_seen = |domain: &&Domain<'_>| domain.is_bad() && facts.observations.has_seen(domain.name);
        tally.bad_share = tally.domains.iter().filter(is_seen).count() as f64 / seen as f64;
        tally
    }

    /// The domain of this name, if it is bad.
    fn bad(&self, name: &str) -> Option<&Domain<'e>> {
        let index = self.domains.binary_search_by_key(&name, |domain| domain.name).ok()?;
        Some(&self.domains[index]).filter(|domain| domain.is_bad())
    }

    /// Judges a domain and its hosts.
    fn judge(&self, domain: &Domain<'_>, lift: Option<&Lift>, names: &mut Vec<NameVerdict>) {
        for &(host, reports) in &domain.hosts {
            names.extend(self.exact(host, reports));
            names.extend(self.host(host, reports, domain, lift));
        }
        names.push(self.domain(domain, lift));
    }

    fn terms(&self, arrivals: &Arrivals) -> Vec<Term> {
        let term = |arrival: &Arrival| Term {
            group: self.evidence.group_name(arrival.group).into(),
            trust: arrival.trust,
            last: arrival.last,
            value: decayed(arrival, self.at),
        };
        let mut terms: Vec<Term> = arrivals.0.iter().map(term).collect();
        terms.sort_by(|a, b| a.group.cmp(&b.group));
        terms
    }

    /// The name itself was reported.
    fn exact(&self, host: &str, reports: &HostEvidence) -> Option<NameVerdict> {
        let mut arrivals = Arrivals::default();
        arrivals.add_all(&reports.own, |arrival| is_current(arrival, self.at));
        if arrivals.0.is_empty() {
            return None;
        }
        let probability = noisy_or(&arrivals, self.at);
        let rank = self.facts.popularity.rank(host);
        let groups = distinct_groups(&arrivals);
        let is_confirmed = groups >= 2 || arrivals.0.iter().any(|one| !one.spoofable && one.trust >= TRUSTED);
        let outcome = match self.facts.safe.vouching(host, self.facts.suffixes) {
            Some(by) => Outcome::KnownSafe { by: by.into() },
            None if RankClass::of(rank) == RankClass::Top => Outcome::Popular,
            None if !is_confirmed => Outcome::NotConfirmed,
            None => self.outcome(&arrivals, None),
        };
        let name = host.into();
        let terms = self.terms(&arrivals);
        Some(NameVerdict {
            name,
            level: Level::Exact,
            urls: 0,
            hosts: 1,
            terms,
            lift: None,
            rank,
            probability,
            outcome,
        })
    }

    /// A host by the URLs at it.
    fn host(
        &self,
        host: &str,
        reports: &HostEvidence,
        domain: &Domain<'_>,
        lift: Option<&Lift>,
    ) -> Option<NameVerdict> {
        let mut arrivals = Arrivals::default();
        let is_wanted = |arrival: &Arrival| generalises(arrival, self.at);
        let mut urls = 0;
        for at_url in reports.urls.values() {
            urls += u32::from(at_url.0.iter().any(is_wanted));
            arrivals.add_all(at_url, is_wanted);
        }
        if urls == 0 {
            return None;
        }
        let probability = lifted(noisy_or(&arrivals, self.at), lift);
        let class = RankClass::of(domain.rank);
        // a URL without a path is a statement about the host
        let is_root = reports.urls.get("/").is_some_and(|root| root.0.iter().any(is_wanted));
        let is_enough = match class {
            RankClass::Unranked => is_root || urls >= HOST_URLS || probability >= LIFTED_ENOUGH && lift.is_some(),
            class => is_enough(class, urls, &arrivals, self.has_two_groups),
        };
        let outcome = match self.facts.safe.vouching(host, self.facts.suffixes) {
            Some(by) => Outcome::KnownSafe { by: by.into() },
            None if class == RankClass::Top => Outcome::Popular,
            None if !is_enough => Outcome::NotEnough { class },
            None => self.outcome(&arrivals, lift),
        };
        Some(NameVerdict {
            name: host.into(),
            level: Level::Host,
            urls,
            hosts: 1,
            terms: self.terms(&arrivals),
            lift: lift.cloned(),
            rank: domain.rank,
            probability,
            outcome,
        })
    }

    /// A registrable domain by everything in it.
    fn domain(&self, domain: &Domain<'_>, lift: Option<&Lift>) -> NameVerdict {
        let class = RankClass::of(domain.rank);
        let outcome = match domain.safe {
            Some(by) => Outcome::KnownSafe { by: by.into() },
            None if class == RankClass::Top => Outcome::Popular,
            None if !is_enough(class, domain.urls, &domain.arrivals, self.has_two_groups) => {
                Outcome::NotEnough { class }
            }
            None => self.outcome(&domain.arrivals, lift),
        };
        NameVerdict {
            name: domain.name.into(),
            level: Level::Domain,
            urls: domain.urls,
            hosts: domain.at_hosts,
            terms: self.terms(&domain.arrivals),
            lift: lift.cloned(),
            rank: domain.rank,
            probability: lifted(domain.probability, lift),
            outcome,
        }
    }

    /// What addresses and name servers do to the odds of a domain: the most that any of them does.
    ///
    /// The domain itself is left out of the count of bad ones there, or it would lift itself.
    fn lift(&self, domain: &Domain<'_>, addresses: &impl AddressFacts) -> Option<Lift> {
        let observations = self.facts.observations;
        let hosts = domain.hosts.iter().map(|&(host, _)| host).chain([domain.name]);
        let places = hosts.flat_map(|host| observations.places(host));
        let lifts = places.map(|place| {
            let (is_shared, by_neighbors, by) = match place {
                Place::Address(address) => {
                    let is_shared = addresses.is_shared(*address);
                    (is_shared, if is_shared { 1.0 } else { addresses.lift(*address) }, address.to_string().into())
                }
                Place::Server(server) => (false, 1.0, server.clone()),
            };
            let by_names = if is_shared { 1.0 } else { self.share_lift(place, domain.name) };
            Lift { factor: by_neighbors.max(by_names).min(MAX_LIFT), by }
        });
        lifts.filter(|lift| lift.factor > 1.0).max_by(|a, b| a.factor.total_cmp(&b.factor).then(b.by.cmp(&a.by)))
    }

    fn share_lift(&self, place: &Place, name: &str) -> f64 {
        let Some(domains) = self.facts.observations.domains_at(place) else { return 1.0 };
        let count = domains.len() - 1;
        let limit = if matches!(place, Place::Server(_)) { LARGE_SERVER } else { usize::MAX };
        if count >= limit || self.bad_share == 0.0 {
            return 1.0;
        }
        let bad = domains.filter(|other| *other != name && self.bad(other).is_some()).count();
        if is_bad_place(bad, count) { bad as f64 / count as f64 / self.bad_share } else { 1.0 }
    }

    /// Listed while the score is high enough, with the day on which it will not be.
    fn outcome(&self, arrivals: &Arrivals, lift: Option<&Lift>) -> Outcome {
        let is_listed = |at: Time| score(lifted(noisy_or(arrivals, at), lift)) >= LEAST_SCORE;
        if !is_listed(self.at) {
            return Outcome::Faded;
        }
        let (mut listed, mut faded) = (0.0, 1.0);
        while is_listed(later(self.at, faded)) && faded < LONGEST_DAYS {
            (listed, faded) = (faded, faded * 2.0);
        }
        // to the hour
        while faded - listed > 1.0 / 24.0 {
            let middle = f64::midpoint(listed, faded);
            if is_listed(later(self.at, middle)) { listed = middle } else { faded = middle }
        }
        Outcome::Listed { until: later(self.at, faded) }
    }
}

impl<'e> Domain<'e> {
    fn new(name: &'e str, suffix: Split<'e>) -> Self {
        let arrivals = Arrivals::default();
        let hosts = Vec::new();
        Self { name, suffix, hosts, arrivals, urls: 0, at_hosts: 0, probability: 0.0, rank: None, safe: None }
    }

    fn add(&mut self, host: &'e str, reports: &'e HostEvidence, at: Time) {
        let is_wanted = |arrival: &Arrival| generalises(arrival, at);
        let counts = |arrivals: &Arrivals| arrivals.0.iter().any(is_wanted);
        let urls = reports.urls.values().filter(|arrivals| counts(arrivals)).count() as u32;
        // a report of the host and one of its root say the same
        let own = u32::from(counts(&reports.own) && !reports.urls.get("/").is_some_and(counts));
        self.urls += urls + own;
        self.at_hosts += u32::from(urls + own > 0);
        std::iter::once(&reports.own)
            .chain(reports.urls.values())
            .for_each(|arrivals| self.arrivals.add_all(arrivals, is_wanted));
        self.hosts.push((host, reports));
    }

    /// Bad enough to speak against the place it is at.
    fn is_bad(&self) -> bool {
        score(self.probability) >= LEAST_SCORE && self.safe.is_none() && RankClass::of(self.rank) != RankClass::Top
    }
}

/// Takes back verdicts that another says anyway: one about the same name is enough, and a domain's holds for its hosts.
///
/// An exact one goes first, then the domain's: what is held against a host is held against its domain too, so a domain
/// never scores less.
fn cover(names: &mut [NameVerdict]) {
    let mut best: HashMap<Box<str>, Level> = HashMap::new();
    let precedence = |level: Level| match level {
        Level::Exact => 0,
        Level::Domain => 1,
        Level::Host => 2,
        Level::Hazard => 3,
    };
    for verdict in names.iter().filter(|verdict| verdict.is_listed()) {
        let known = best.entry(verdict.name.clone()).or_insert(verdict.level);
        if precedence(verdict.level) < precedence(*known) {
            *known = verdict.level;
        }
    }
    for verdict in names.iter_mut().filter(|verdict| verdict.is_listed()) {
        let is_outdone = best[&verdict.name] != verdict.level;
        let mut above = ancestors(&verdict.name).skip(1).filter_map(|name| best.get(name));
        if is_outdone || verdict.level == Level::Host && above.any(|&level| level == Level::Domain) {
            verdict.outcome = Outcome::Covered;
        }
    }
}

/// Known-safe and popular names below a verdict that holds for all below it.
fn exempt(names: &[NameVerdict], facts: Facts<'_>) -> Vec<Box<str>> {
    let is_wide = |verdict: &&NameVerdict| verdict.is_listed() && verdict.level != Level::Host;
    let wide: HashMap<&str, Level> =
        names.iter().filter(is_wide).map(|verdict| (&*verdict.name, verdict.level)).collect();
    let is_below = |name: &str, is_wanted: fn(Level) -> bool| {
        ancestors(name).skip(1).any(|above| wide.get(above).is_some_and(|&level| is_wanted(level)))
    };
    let safe = facts.safe.names().filter(|name| is_below(name, |_| true) && !wide.contains_key(name));
    // that somebody uses a tenant's page speaks for the page, and against nothing that was reported of it
    let used = facts
        .popularity
        .names()
        .filter(|name| is_below(name, |level| level == Level::Hazard) && !wide.contains_key(name));
    let mut exempt: Vec<Box<str>> = safe.chain(used).map(Into::into).collect();
    exempt.sort_unstable();
    exempt.dedup();
    exempt
}
