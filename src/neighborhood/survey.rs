//! A survey: everything that is known at one time, judged: both families of addresses, exact listings, names.
//!
//! Names come first, since what they say of their addresses is evidence of the HOST family; then addresses; then names
//! once more, which bad addresses lift. Invariant: a survey is whole and never changes, and equal files at an equal time
//! give equal surveys.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::{
    self, AddressFacts, Facts, KnownSafe, NameEvidence, NameFacts, NameJudgement, Observations, Popularity, Suffixes,
};
use super::units::{Run6, judge_units};
use super::{
    Allocations, AllocationsBuilder, Class, Exact, Guards, GuardsBuilder, Judgement, Parameters, Previous, Routes,
    RoutesBuilder, Run, State, exact4, exact6,
};
use crate::dataset::NeverList;
use crate::evidence::{
    self, Collector, Evidence, Family, Problems, Source, SourceId, Sources, Speech, Statement, Subject, Time, store,
};
use crate::feed::{FileError, Skipped};

/// What a survey is made from.
#[derive(Clone, Debug, Default)]
pub struct SurveyPlan {
    /// Who speaks.
    pub sources: Sources,
    /// Histories of lists.
    pub histories: Vec<(SourceId, PathBuf)>,
    /// Files of reports.
    pub reports: Vec<PathBuf>,
    /// The evidence store, whose reports count as those of files do.
    pub store: Option<PathBuf>,
    /// Files of announced prefixes.
    pub routes: Vec<PathBuf>,
    /// Files of guards.
    pub guards: Vec<PathBuf>,
    /// Files of the registries' allocations.
    pub delegated: Vec<PathBuf>,
    /// What is known of names.
    pub names: NamePaths,
    /// The numbers of the method.
    pub parameters: Parameters,
    /// What no list may list, which is a guard too.
    pub never: NeverList,
    /// The time to judge at, where it is not the present: for a survey that is to be repeated.
    pub at: Option<Time>,
    /// The folder in which the states of the last survey outlive the program.
    pub state_directory: Option<PathBuf>,
}

/// Files about names.
#[derive(Clone, Debug, Default)]
pub struct NamePaths {
    /// A Public Suffix List in the place of the one that came with the program.
    pub psl: Option<PathBuf>,
    /// Platforms that the suffix list lacks.
    pub platforms: Vec<PathBuf>,
    /// Popular names in rank order.
    pub popular: Option<PathBuf>,
    /// Names that the operator vouches for.
    pub known_safe: Vec<PathBuf>,
    /// Where names were seen: `host,ip,time`.
    pub dns: Vec<PathBuf>,
}

impl SurveyPlan {
    /// All files that are read whole when one of them has changed; the store changes with every report.
    pub fn files(&self) -> Vec<PathBuf> {
        let NamePaths { psl, platforms, popular, known_safe, dns } = &self.names;
        let histories = self.histories.iter().map(|(_, path)| path);
        let lists = [&self.reports, &self.routes, &self.guards, &self.delegated, platforms, known_safe, dns];
        let singles = [psl, popular].into_iter().flatten();
        histories.chain(lists.into_iter().flatten()).chain(singles).cloned().collect()
    }
}

impl SurveyPlan {
    /// The plan with other paths.
    ///
    /// # Errors
    ///
    /// The first file for which `path` has none.
    pub fn moved(&self, path: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<Self, PathBuf> {
        let mut plan = self.clone();
        let NamePaths { psl, platforms, popular, known_safe, dns } = &mut plan.names;
        let lists =
            [&mut plan.reports, &mut plan.routes, &mut plan.guards, &mut plan.delegated, platforms, known_safe, dns];
        let histories = plan.histories.iter_mut().map(|(_, path)| path);
        let singles = [psl, popular, &mut plan.state_directory, &mut plan.store].into_iter().flatten();
        for one in histories.chain(lists.into_iter().flatten()).chain(singles) {
            *one = path(one).ok_or_else(|| one.clone())?;
        }
        Ok(plan)
    }
}

/// Why there is no survey.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// A file cannot be read to its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// A table about names cannot be used.
    #[error(transparent)]
    List(#[from] names::ListError),
    /// The evidence store cannot be read.
    #[error(transparent)]
    Store(#[from] store::LogError),
}

/// Everything that is known at one time, judged.
#[derive(Debug)]
pub struct Survey {
    /// The time.
    pub at: Time,
    /// Which prefixes are announced.
    pub routes: Arc<Routes>,
    /// Whom the registries gave addresses to.
    pub allocations: Allocations,
    /// Both families in the order of [`Family::ALL`].
    pub judgements: [Judgement; 2],
    /// The runs of each, guards considered.
    pub runs: [Vec<Run>; 2],
    /// IPv6 runs of each.
    pub runs6: [Vec<Run6>; 2],
    /// IPv4 addresses and prefixes that are listed for what was said of themselves.
    pub exact4: Vec<Exact<u32>>,
    /// As [`Self::exact4`].
    pub exact6: Vec<Exact<u128>>,
    /// What was said, and what follows from names for addresses; 16 bytes for each spell of an IPv4 address.
    pub evidence: Arc<Evidence>,
    /// What became of names.
    pub names: NameJudgement,
    /// What was said of names.
    pub name_evidence: NameEvidence,
    /// The hosts in that, by their registrable domain.
    pub hosts: HashMap<Box<str>, Vec<Box<str>>>,
    /// What else is known of names.
    pub name_facts: NameFacts,
    /// Lines that were left out, the first of them in words.
    pub problems: Vec<String>,
    /// How many lines were left out.
    pub left_out: u64,
}

/// What files say, before anything is concluded.
pub(super) struct Findings {
    pub(super) routes: Arc<Routes>,
    pub(super) guards: Arc<Guards>,
    pub(super) allocations: Allocations,
    pub(super) evidence: Evidence,
    pub(super) names: NameFacts,
}

impl Survey {
    /// Reads everything and judges it. The `previous` states of each family are left later than they are entered.
    ///
    /// # Errors
    ///
    /// A file that cannot be read to its end; wrong lines are left out and told.
    pub fn take(plan: &SurveyPlan, at: Time, previous: [Arc<Previous>; 2]) -> Result<Self, SurveyError> {
        let mut told = Told::default();
        let findings = Findings::read(plan, at, &mut told)?;
        Ok(Self::judge(findings, &plan.parameters, at, previous, told))
    }

    /// Judges what was found.
    pub(super) fn judge(
        findings: Findings,
        parameters: &Parameters,
        at: Time,
        previous: [Arc<Previous>; 2],
        mut told: Told,
    ) -> Self {
        let Findings { routes, guards, allocations, evidence, names: name_facts } = findings;
        let (name_evidence, wrong) = NameEvidence::of(&evidence, at);
        if wrong > 0 {
            told.say(wrong, || format!("{wrong} subjects of reports are neither addresses nor names nor URLs"));
        }
        let facts = name_facts.facts();
        let evidence = with_hosts(evidence, &name_evidence, facts, &guards);
        let judge = |family: Family| {
            let previous = &previous[family.index()];
            Judgement::judge(&evidence, family, &routes, &guards, parameters, at, previous)
        };
        let judgements = Family::ALL.map(judge);
        let hosting = Hosting { guards: &guards, judgement: Some(&judgements[Family::Host.index()]) };
        let judged_names = names::judge(&name_evidence, facts, &hosting);
        Self {
            at,
            allocations,
            runs: [judgements[0].runs(false), judgements[1].runs(false)],
            runs6: Family::ALL.map(|family| judge_units(&evidence, family, &routes, &guards, at)),
            exact4: exact4(&evidence, &guards, at),
            exact6: exact6(&evidence, &guards, at),
            names: judged_names,
            evidence: Arc::new(evidence),
            judgements,
            hosts: name_evidence.by_domain(&name_facts.suffixes),
            name_evidence,
            name_facts,
            routes,
            problems: told.first,
            left_out: told.total,
        }
    }

    /// Whether the judgement of a family says too much to be believed.
    pub fn caution(&self) -> Option<String> {
        let cautions = self.judgements.iter().zip(&self.runs).map(|(judgement, runs)| {
            judgement.caution(runs).map(|caution| format!("family {}: {caution}", judgement.family))
        });
        cautions.flatten().next()
    }
}

impl Findings {
    fn read(plan: &SurveyPlan, at: Time, told: &mut Told) -> Result<Self, SurveyError> {
        let (routes, guards) = (Arc::new(read_routes(plan, told)?), Arc::new(read_guards(plan, told)?));
        let mut allocations = AllocationsBuilder::default();
        for path in &plan.delegated {
            allocations.parse_file(path)?;
        }
        told.skipped(&allocations.skipped);
        let evidence = read_evidence(plan, at, told)?;
        let suffixes = read_suffixes(plan, told)?;
        let popularity = match &plan.names.popular {
            Some(path) => {
                let (popularity, skipped) = Popularity::open(path)?;
                told.skipped(&skipped);
                popularity
            }
            None => Popularity::default(),
        };
        let (mut safe, mut observations) = (KnownSafe::default(), Observations::until(at));
        for path in &plan.names.known_safe {
            told.skipped(&safe.add(path)?);
        }
        for path in &plan.names.dns {
            told.skipped(&observations.add_file(path, &suffixes)?);
        }
        let names = NameFacts { suffixes, popularity, safe, observations };
        Ok(Self { routes, guards, allocations: allocations.build(), evidence, names })
    }
}

/// What the guards and the HOST family say of addresses.
struct Hosting<'s> {
    guards: &'s Guards,
    judgement: Option<&'s Judgement>,
}

impl AddressFacts for Hosting<'_> {
    fn is_shared(&self, address: IpAddr) -> bool {
        let class = match address {
            IpAddr::V4(address) => self.guards.class4(address.into()),
            IpAddr::V6(address) => self.guards.class6(address.into()),
        };
        !matches!(class, Class::Normal | Class::Cloud | Class::Pool)
    }

    fn lift(&self, address: IpAddr) -> f64 {
        let (Some(judgement), IpAddr::V4(address)) = (self.judgement, address) else { return 1.0 };
        let address = u32::from(address);
        let mut lift = 1.0;
        judgement.each_run_of_block(address >> 8, true, |run| {
            // where too little is known for a state, a lift is mostly a small base rate
            if (run.first..=run.last).contains(&address) && run.state > State::None {
                lift = run.lift;
            }
        });
        lift
    }
}

/// The evidence with what URLs at literal addresses, and addresses of mostly bad names, add to the HOST family.
fn with_hosts(evidence: Evidence, reports: &NameEvidence, facts: Facts<'_>, guards: &Guards) -> Evidence {
    let hosting = Hosting { guards, judgement: None };
    let mut collector = Collector::new(evidence.sources.clone());
    let mut said = Vec::new();
    for (address, group, time) in reports.addresses() {
        said.push((address, group.to_owned(), time, 1.0));
    }
    for arrival in names::host_arrivals(reports, facts, &hosting) {
        for group in &arrival.groups {
            let trust = by_names(&evidence.sources, group).map_or(1.0, |source| source.trust);
            said.push((arrival.address, group.to_string(), arrival.time, (arrival.weight / trust).min(1.0)));
        }
    }
    for (address, group, time, weight) in said {
        let Some(source) = by_names(&evidence.sources, &group) else { continue };
        let Some(source) = collector.sources.add(source) else { continue };
        let subject = match address {
            IpAddr::V4(address) => Subject::Ip4 { bits: address.into(), length: 32 },
            IpAddr::V6(address) => Subject::Ip6 { bits: address.into(), length: 128 },
        };
        let (family, begin, end, speech) = (Family::Host, time, Some(time), Speech::Stream);
        collector.add(Statement { source, family, subject, begin, end, weight, speech });
    }
    evidence.join(collector.build())
}

/// What follows from names is said by whoever reported them, and no better trusted.
pub(super) fn by_names(sources: &Sources, group: &str) -> Option<Source> {
    let of_group = sources.iter().filter(|source| source.group == group && !source.spoofable);
    let trust = of_group.map(|source| source.trust).reduce(f64::max)?;
    let name = format!("{group} (by names)");
    Some(Source { group: group.to_owned(), trust, family: Some(Family::Host), ..Source::named(&name) })
}

fn read_routes(plan: &SurveyPlan, told: &mut Told) -> Result<Routes, FileError> {
    let mut builder = RoutesBuilder::default();
    for path in &plan.routes {
        builder.parse_file(path)?;
    }
    told.skipped(&builder.skipped);
    Ok(builder.build())
}

fn read_guards(plan: &SurveyPlan, told: &mut Told) -> Result<Guards, FileError> {
    let mut builder = GuardsBuilder::default();
    for path in &plan.guards {
        builder.parse_file(path)?;
    }
    builder.add_never_list(&plan.never);
    told.skipped(&builder.skipped);
    Ok(builder.build())
}

fn read_evidence(plan: &SurveyPlan, at: Time, told: &mut Told) -> Result<Evidence, SurveyError> {
    let mut collector = Collector::new(plan.sources.clone());
    for (source, path) in &plan.histories {
        told.problems(&evidence::read_history(path, *source, at, &mut collector)?);
    }
    for path in &plan.reports {
        told.problems(&evidence::read_reports(path, at, &mut collector)?);
    }
    if let Some(path) = &plan.store {
        store::collect_reports(path, at, &mut collector)?;
    }
    Ok(collector.build())
}

fn read_suffixes(plan: &SurveyPlan, told: &mut Told) -> Result<Suffixes, SurveyError> {
    let mut suffixes = Suffixes::built_in();
    if let Some(path) = &plan.names.psl {
        suffixes.open_list(path)?;
    }
    for path in &plan.names.platforms {
        told.skipped(&suffixes.add_platforms(path)?);
    }
    Ok(suffixes)
}

/// What is told of lines that were left out.
#[derive(Default)]
pub(super) struct Told {
    first: Vec<String>,
    total: u64,
}

impl Told {
    fn say(&mut self, count: u64, what: impl FnOnce() -> String) {
        self.total += count;
        if self.first.len() < MAX_TOLD {
            self.first.push(what());
        }
    }

    fn skipped(&mut self, skipped: &Skipped) {
        skipped.lines.iter().for_each(|line| self.say(1, || line.to_string()));
        self.total += skipped.total - skipped.lines.len() as u64;
    }

    fn problems(&mut self, problems: &Problems) {
        let place = |line: &u64, error: &dyn fmt::Display| format!("{}:{line}: {error}", problems.path.display());
        problems.first.iter().for_each(|(line, error)| self.say(1, || place(line, error)));
        self.total += problems.total - problems.first.len() as u64;
    }
}

/// How many lines that were left out are told word by word: enough to see what is wrong with a file.
const MAX_TOLD: usize = 100;
