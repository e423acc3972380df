//! Hazards: what is known of a suffix by its tenants.
//!
//! Nothing is held against the landlord. A hazard says how dangerous the company is that a name keeps: the decayed
//! evidence of the bad tenants for each tenant that was seen.

use std::collections::BTreeMap;

use super::evidence::Arrivals;
use super::judge::Tally;
use super::rules::{
    HALF_LIFE_DAYS, HAZARD_TENANTS, LEAST_TENANTS, PUBLIC_TENANTS, UNOBSERVED_HAZARD, generalises, later, noisy_or,
};
use super::suffixes::Kind;
use super::verdict::{LEAST_SCORE, Level, NameVerdict, Outcome, score};

impl Tally<'_> {
    /// Suffixes by their tenants.
    pub(super) fn hazards(&self) -> impl Iterator<Item = NameVerdict> {
        let mut suffixes: BTreeMap<&str, Hazard> = BTreeMap::new();
        for domain in self.domains.iter().filter(|domain| domain.safe.is_none() && domain.probability > 0.0) {
            let hazard = suffixes.entry(domain.suffix.suffix).or_insert_with(|| Hazard::new(domain.suffix.kind));
            hazard.add(domain.probability, self.facts.observations.has_seen(domain.name));
        }
        for (split, reports) in &self.suffixes {
            // below a suffix that gives paths to people, the first folder is the tenant
            let mut tenants: BTreeMap<&str, Arrivals> = BTreeMap::new();
            for (path, arrivals) in &reports.urls {
                let tenant = path.split(['/', '?']).find(|part| !part.is_empty()).unwrap_or_default();
                tenants.entry(tenant).or_default().add_all(arrivals, |arrival| generalises(arrival, self.at));
            }
            let hazard = suffixes.entry(split.suffix).or_insert_with(|| Hazard::new(split.kind));
            for arrivals in tenants.values().filter(|arrivals| !arrivals.0.is_empty()) {
                hazard.add(noisy_or(arrivals, self.at), false);
            }
        }
        suffixes.into_iter().filter_map(|(name, hazard)| self.hazard(name, &hazard))
    }

    fn hazard(&self, name: &str, hazard: &Hazard) -> Option<NameVerdict> {
        let observed = self.facts.observations.tenants(name);
        // of a registry's suffix next to nothing is seen, unless there is a record of ordinary names
        let least_observed = if hazard.kind == Kind::Public { PUBLIC_TENANTS } else { 0 };
        if hazard.bad < HAZARD_TENANTS || observed < least_observed {
            return None;
        }
        let seen = observed + hazard.unseen;
        let share = hazard.sum / f64::from(seen.max(LEAST_TENANTS));
        let most = if observed < LEAST_TENANTS { UNOBSERVED_HAZARD } else { 1.0 };
        let probability = share.min(most);
        let outcome = match self.facts.safe.vouching(name, self.facts.suffixes) {
            Some(by) => Outcome::KnownSafe { by: by.into() },
            None if score(probability) < LEAST_SCORE => Outcome::Faded,
            // all of its tenants' evidence fades at one pace
            None => {
                let half_lives = (100.0 * share / (f64::from(LEAST_SCORE) - 0.5)).log2();
                Outcome::Listed { until: later(self.at, half_lives * HALF_LIFE_DAYS) }
            }
        };
        Some(NameVerdict {
            name: name.into(),
            level: Level::Hazard,
            urls: hazard.bad,
            hosts: seen,
            terms: Vec::new(),
            lift: None,
            rank: self.facts.popularity.rank(name),
            probability,
            outcome,
        })
    }
}

/// What the tenants of a suffix come to.
struct Hazard {
    kind: Kind,
    sum: f64,
    bad: u32,
    /// Bad ones that no observation has.
    unseen: u32,
}

impl Hazard {
    fn new(kind: Kind) -> Self {
        Self { kind, sum: 0.0, bad: 0, unseen: 0 }
    }

    fn add(&mut self, probability: f64, is_seen: bool) {
        self.sum += probability;
        self.bad += 1;
        self.unseen += u32::from(!is_seen);
    }
}
