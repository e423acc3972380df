//! Why a name has the verdict that it has, or has none: every name above it that something is known of.
//!
//! Invariant: what is printed is what was judged by. Evidence is given in −ln(1 − p), where what groups say adds up, so a
//! group's share is its part of the sum.

use std::fmt;

use serde::Serialize;

use super::judge::NameJudgement;
use super::moved::MovedNames;
use super::popularity::{RankClass, ancestors};
use super::rules::{CONFIRMED_URLS, HIGH_URLS, KNOWN_URLS, UNCONFIRMED_URLS};
use super::suffixes::{Kind, Suffixes};
use super::verdict::{Level, NameVerdict, Outcome, Term};

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NameExplanation {
    /// The name.
    pub name: String,
    /// The registrable domain that it is in.
    pub registrable: Option<String>,
    /// The suffix that it is below.
    pub suffix: String,
    /// Who calls it one: `public`, `private`, `platform`.
    pub suffix_kind: &'static str,
    /// Everything that was judged, the name itself first, the suffix last.
    pub chain: Vec<Step>,
}

/// One name of the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The name.
    pub node: String,
    /// `exact`, `host`, `domain`, `hazard`.
    pub level: &'static str,
    /// Whether it is a verdict that is served.
    pub listed: bool,
    /// 0–100.
    pub score: u8,
    /// 0–1.
    pub probability: f64,
    /// URLs and hosts reported; of a hazard its bad tenants.
    pub urls: u32,
    /// Hosts with reports; of a hazard the tenants seen.
    pub hosts: u32,
    /// What each group adds.
    pub terms: Vec<StepTerm>,
    /// The factor on the odds of the address or name server, and which it is.
    pub lift: Option<(f64, String)>,
    /// The rank among popular names.
    pub rank: Option<u32>,
    /// Why it is listed or not, in words.
    pub rule: String,
    /// When it leaves if nothing is added.
    pub until: Option<String>,
}

/// What a group adds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTerm {
    /// The group.
    pub group: String,
    /// Its latest report.
    pub last: String,
    /// How far it is trusted.
    pub trust: f64,
    /// −ln(1 − p) of its trust decayed since.
    pub value: f64,
    /// The part of the sum, 0–1.
    pub share: f64,
}

impl NameJudgement {
    /// The chain of a host in lower case, with what has moved since.
    pub fn explain(&self, host: &str, suffixes: &Suffixes, moved: &MovedNames) -> NameExplanation {
        let split = suffixes.split(host);
        let names = ancestors(host).take_while(|name| name.len() >= split.suffix.len());
        let moved = split.registrable.and_then(|domain| moved.of_domain(domain));
        let of = |name: &str| -> Vec<Step> {
            match moved {
                // the suffix is not of the domain
                Some(moved) if name.len() > split.suffix.len() => {
                    moved.iter().filter(|verdict| *verdict.name == *name).map(Step::of).collect()
                }
                _ => self.of(name).iter().map(Step::of).collect(),
            }
        };
        let chain = names.flat_map(of).collect();
        NameExplanation {
            name: host.to_owned(),
            registrable: split.registrable.map(str::to_owned),
            suffix: split.suffix.to_owned(),
            suffix_kind: match split.kind {
                Kind::Public => "public",
                Kind::Private => "private",
                Kind::Platform => "platform",
            },
            chain,
        }
    }
}

impl Step {
    fn of(verdict: &NameVerdict) -> Self {
        let weight = |term: &Term| -(-term.value).ln_1p();
        let sum: f64 = verdict.terms.iter().map(weight).sum();
        let term = |term: &Term| StepTerm {
            group: term.group.to_string(),
            last: term.last.to_string(),
            trust: term.trust,
            value: weight(term),
            share: if sum > 0.0 { weight(term) / sum } else { 0.0 },
        };
        Self {
            node: verdict.name.to_string(),
            level: verdict.level.word(),
            listed: verdict.is_listed(),
            score: verdict.score(),
            probability: verdict.probability,
            urls: verdict.urls,
            hosts: verdict.hosts,
            terms: verdict.terms.iter().map(term).collect(),
            lift: verdict.lift.as_ref().map(|lift| (lift.factor, lift.by.to_string())),
            rank: verdict.rank,
            rule: rule(verdict),
            until: match verdict.outcome {
                Outcome::Listed { until } => Some(until.to_string()),
                _ => None,
            },
        }
    }
}

/// The rule that decided, in words.
fn rule(verdict: &NameVerdict) -> String {
    match &verdict.outcome {
        Outcome::Listed { .. } => match verdict.level {
            Level::Exact => "reported itself".to_owned(),
            Level::Host => "URLs at this host".to_owned(),
            Level::Domain => format!("{} hosts or URLs in the domain", verdict.urls),
            Level::Hazard => "bad tenants among those seen".to_owned(),
        },
        Outcome::NotEnough { class } => match class {
            RankClass::Top => "no automatic verdict".to_owned(),
            RankClass::High => format!("not enough: {HIGH_URLS} hosts or URLs at rank 10,000 to 100,000"),
            RankClass::Known => format!("not enough: {KNOWN_URLS} hosts or URLs at rank 100,000 to 1,000,000"),
            RankClass::Unranked => {
                format!("not enough: {CONFIRMED_URLS} hosts or URLs by two groups, or {UNCONFIRMED_URLS} by one")
            }
        },
        Outcome::NotConfirmed => "needs a second group: the source can be forged or is not trusted".to_owned(),
        Outcome::Faded => "too long ago or too little".to_owned(),
        Outcome::KnownSafe { by } => format!("known safe: {by}"),
        Outcome::Popular => "no automatic verdict above rank 10,000".to_owned(),
        Outcome::Covered => "a verdict about the same or a wider name says as much".to_owned(),
    }
}

/// The chain for a reader: a line for each name, and one for each of its groups.
impl fmt::Display for NameExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, registrable, suffix, suffix_kind, chain } = self;
        match registrable {
            Some(domain) => writeln!(f, "{name}: domain {domain}, {suffix_kind} suffix {suffix}")?,
            None => writeln!(f, "{name}: a {suffix_kind} suffix")?,
        }
        if chain.is_empty() {
            writeln!(f, "  nothing was reported at or around it")?;
        }
        for step in chain {
            let listed = if step.listed { "listed" } else { "not listed" };
            write!(f, "  {} {}: {listed}, S={}", step.level, step.node, step.score)?;
            match step.level {
                "hazard" => write!(f, ", {} bad of {} tenants", step.urls, step.hosts)?,
                _ => write!(f, ", {} urls at {} hosts", step.urls, step.hosts)?,
            }
            writeln!(f, ": {}", step.rule)?;
            for term in &step.terms {
                writeln!(
                    f,
                    "    {:+.2} {:>3.0} % {} last {} trust {}",
                    term.value,
                    100.0 * term.share,
                    term.group,
                    term.last,
                    term.trust
                )?;
            }
            if let Some((factor, by)) = &step.lift {
                writeln!(f, "    odds × {factor:.1} by {by}")?;
            }
            if let Some(until) = &step.until {
                writeln!(f, "    leaves {until} if nothing is added")?;
            }
        }
        Ok(())
    }
}
