//! `[evidence]` and `[neighborhood]`: who says what, and how blocks are judged by it.
//!
//! Invariant: a [`Judging`] has sources with one name each, trust between 0 and 1, thresholds that rise with their
//! states, and every coefficient.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::check::at;
use super::error::{ConfigError, Problem, Source};
use super::values::{OneOrMany, Seconds};
use super::verdicts::{NamesSpec, When};
use crate::evidence::{self, DEFAULT_HALF_LIFE, DEFAULT_TRUST, Family, SECONDS_A_DAY, SourceId, Sources};
use crate::neighborhood::{
    Coefficients, InClouds, LEAF_TERMS, Parameters, RETURNING_TERMS, TOUCHED_TERMS, Thresholds, UNTOUCHED_TERMS,
};

/// `[evidence]`: who says what of which subject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EvidenceSpec {
    /// Files of reports: CSV with a header, or JSON lines.
    pub reports: OneOrMany,
    /// The family of categories, besides those that are known.
    pub categories: BTreeMap<String, Family>,
    /// `[[evidence.source]]`
    pub source: Vec<SourceSpec>,
}

/// `[[evidence.source]]`: what is known of a source.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceSpec {
    /// What reports call it.
    pub name: Spanned<String>,
    /// The history of its list, if it is one.
    pub file: Option<PathBuf>,
    /// The voice that it is part of; its own, if none is written.
    pub group: Option<String>,
    /// How likely it is right.
    #[serde(default = "default_trust")]
    pub trust: f64,
    /// What it reports on; if none is written its reports' categories tell.
    pub family: Option<Family>,
    /// Whether a third party can make it name an address of its choice.
    #[serde(default)]
    pub spoofable: bool,
    /// How long until a report of a single address counts half.
    #[serde(default = "default_half_life")]
    pub half_life: Seconds,
}

/// `[neighborhood]`: how blocks are judged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NeighborhoodSpec {
    /// Announced prefixes with their ASNs.
    pub routes: OneOrMany,
    /// Ranges that may not inherit from their neighbors.
    pub guards: OneOrMany,
    /// The registries' files of allocations: country, registry, date.
    pub delegated: OneOrMany,
    /// The time to judge at, if it is not the present.
    pub at: Option<When>,
    /// How far verdicts reach into clouds.
    pub in_clouds: InClouds,
    /// `[neighborhood.names]`
    pub names: NamesSpec,
    /// `[neighborhood.lift]`
    pub lift: LiftSpec,
    /// Coefficients of the rate of a /24 with history, by term.
    pub touched: BTreeMap<String, f64>,
    /// Coefficients of the rate of a /24 without.
    pub untouched: BTreeMap<String, f64>,
    /// Coefficients of a /28's share in its /24.
    pub leaf: BTreeMap<String, f64>,
    /// Coefficients of the rate of an address that may come back.
    pub returning: BTreeMap<String, f64>,
}

/// `[neighborhood.lift]`: the lifts that states take.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LiftSpec {
    /// Of `watch`.
    pub watch: f64,
    /// Of `suspicious`.
    pub suspicious: f64,
    /// Of `bad`.
    pub bad: f64,
    /// At which part of its threshold a state is left.
    pub leave: f64,
}

impl Default for LiftSpec {
    fn default() -> Self {
        let Thresholds { watch, suspicious, bad, leave } = Thresholds::default();
        Self { watch, suspicious, bad, leave }
    }
}

fn default_trust() -> f64 {
    DEFAULT_TRUST
}

fn default_half_life() -> Seconds {
    Seconds((DEFAULT_HALF_LIFE * f64::from(SECONDS_A_DAY)) as u32)
}

/// What judging takes.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// Who speaks.
    pub sources: Sources,
    /// Histories of lists.
    pub histories: Vec<(SourceId, PathBuf)>,
    /// Files of reports.
    pub reports: Vec<PathBuf>,
    /// The evidence store.
    pub store: Option<PathBuf>,
    /// Files of announced prefixes.
    pub routes: Vec<PathBuf>,
    /// Files of guards.
    pub guards: Vec<PathBuf>,
    /// The numbers of the method.
    pub parameters: Parameters,
}

/// Checks the two sections; `store` is where `[control]` has what is reported kept.
pub(super) fn check(
    evidence: &EvidenceSpec,
    neighborhood: &NeighborhoodSpec,
    store: Option<PathBuf>,
    source: &Source<'_>,
) -> Result<Judging, ConfigError> {
    let paths = |files: &OneOrMany| files.0.iter().map(|path| at(source, Path::new(path))).collect();
    let mut judging = Judging {
        reports: paths(&evidence.reports),
        store,
        routes: paths(&neighborhood.routes),
        guards: paths(&neighborhood.guards),
        parameters: parameters(neighborhood, source)?,
        ..Judging::default()
    };
    for (category, family) in &evidence.categories {
        judging.sources.set_category(category, *family);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for spec in &evidence.source {
        let name = spec.name.get_ref();
        let wrong = |problem| source.wrong(&spec.name.span(), problem);
        let line = source.line(spec.name.span().start);
        if let Some(first) = seen.insert(name, line) {
            return Err(wrong(Problem::Twice { kind: "source", name: name.clone(), first }));
        }
        if name.is_empty() || !(spec.trust > 0.0 && spec.trust <= 1.0) || spec.half_life.0 == 0 {
            return Err(wrong(Problem::SourceFacts { name: name.clone() }));
        }
        let added = judging.sources.add(evidence::Source {
            name: name.clone(),
            group: spec.group.clone().unwrap_or_else(|| name.clone()),
            trust: spec.trust,
            family: spec.family,
            spoofable: spec.spoofable,
            half_life: f64::from(spec.half_life.0) / f64::from(SECONDS_A_DAY),
        });
        let id = added.ok_or_else(|| wrong(Problem::SourceFacts { name: name.clone() }))?;
        judging.histories.extend(spec.file.as_deref().map(|file| (id, at(source, file))));
    }
    Ok(judging)
}

fn parameters(spec: &NeighborhoodSpec, source: &Source<'_>) -> Result<Parameters, ConfigError> {
    let LiftSpec { watch, suspicious, bad, leave } = spec.lift;
    if !(watch > 0.0 && watch <= suspicious && suspicious <= bad && bad.is_finite() && leave > 0.0 && leave <= 1.0) {
        return Err(source.wrong_key("neighborhood", "lift", Problem::Lifts));
    }
    let mut coefficients = Coefficients::default();
    let Coefficients { touched, untouched, leaf, returning } = &mut coefficients;
    let parts: [(&'static str, _, &[&str], &mut [f64]); 4] = [
        ("touched", &spec.touched, &TOUCHED_TERMS, touched),
        ("untouched", &spec.untouched, &UNTOUCHED_TERMS, untouched),
        ("leaf", &spec.leaf, &LEAF_TERMS, leaf),
        ("returning", &spec.returning, &RETURNING_TERMS, returning),
    ];
    for (part, written, names, values) in parts {
        for (name, &value) in written {
            let place = names.iter().position(|known| known == name);
            let place = place.or_else(|| (name == INTERCEPT && values.len() > names.len()).then_some(names.len()));
            let place = place.filter(|_| value.is_finite());
            let place = place.ok_or_else(|| {
                let problem = Problem::Term { part, name: name.clone(), known: names.join(", ") };
                source.wrong_key(&format!("neighborhood.{part}"), name, problem)
            })?;
            values[place] = value;
        }
    }
    Ok(Parameters {
        coefficients,
        thresholds: Thresholds { watch, suspicious, bad, leave },
        in_clouds: spec.in_clouds,
        ..Parameters::default()
    })
}

/// What the constant of a sum is called.
const INTERCEPT: &str = "intercept";
