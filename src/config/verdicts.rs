//! Datasets that are made from evidence instead of files: `kind = "exact"`, `verdicts`, `score`, `origin`.
//!
//! Invariant: all of them are made from one survey, which is read once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::Judging;
use super::check::at;
use super::error::{ConfigError, Problem, Source};
use super::spec::{self, Spec};
use super::values::OneOrMany;
use crate::dataset::{self, Defaults, Emitted, NeverList};
use crate::evidence::{Family, Written};
use crate::feed::{Format, Reading};
use crate::neighborhood::listings::{Emission, Listings, OriginForm, Standing};
use crate::neighborhood::{NamePaths, SurveyPlan};

/// What a dataset is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Its files.
    #[default]
    List,
    /// Evidence: what was reported itself.
    Exact,
    /// Evidence: blocks in a state.
    Verdicts,
    /// Evidence: scores with their level.
    Score,
    /// Routes: which ASN announces an address.
    Origin,
}

/// The families that verdicts are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Families {
    /// Spam, scanning, brute force.
    Send,
    /// Phishing, malware hosting.
    Host,
    /// The worse of both.
    #[default]
    Both,
}

/// How an origin is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Team Cymru's.
    #[default]
    Cymru,
    /// That of rspamd's `asn` module.
    Rspamd,
}

/// `[neighborhood.names]`: what is known of names besides reports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NamesSpec {
    /// A Public Suffix List.
    pub psl: Option<PathBuf>,
    /// Platforms that it lacks.
    pub platforms: OneOrMany,
    /// Popular names in rank order.
    pub popular: Option<PathBuf>,
    /// Names that are never listed by generalisation.
    pub known_safe: OneOrMany,
    /// Where names were seen.
    pub dns: OneOrMany,
}

/// A date or a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct When(pub Written);

impl TryFrom<String> for When {
    type Error = super::ValueError;

    fn try_from(text: String) -> Result<Self, super::ValueError> {
        Written::parse(text.as_bytes()).map(Self).ok_or(super::ValueError::When(text))
    }
}

/// What the datasets of a configuration are made from besides their files.
pub(super) fn standing(spec: &Spec, judging: &Judging, never: &NeverList, source: &Source<'_>) -> Arc<Standing> {
    let path = |path: &PathBuf| at(source, path);
    let paths = |files: &OneOrMany| files.0.iter().map(|path| at(source, Path::new(path))).collect();
    let neighborhood = &spec.neighborhood;
    let names = &neighborhood.names;
    Arc::new(Standing::new(SurveyPlan {
        sources: judging.sources.clone(),
        histories: judging.histories.clone(),
        reports: judging.reports.clone(),
        store: judging.store.clone(),
        routes: judging.routes.clone(),
        guards: judging.guards.clone(),
        delegated: paths(&neighborhood.delegated),
        names: NamePaths {
            psl: names.psl.as_ref().map(path),
            platforms: paths(&names.platforms),
            popular: names.popular.as_ref().map(path),
            known_safe: paths(&names.known_safe),
            dns: paths(&names.dns),
        },
        parameters: judging.parameters.clone(),
        never: never.clone(),
        at: neighborhood.at.map(|when| when.0.end()),
        state_directory: spec.server.state_directory.as_ref().map(path),
    }))
}

/// A dataset that is made from a survey; its keys that mean nothing are refused.
pub(super) fn dataset(
    spec: &spec::Dataset,
    standing: Arc<Standing>,
    source: &Source<'_>,
) -> Result<dataset::Spec, ConfigError> {
    let wrong = |problem| source.wrong(&spec.name.span(), problem);
    let name = || spec.name.get_ref().clone();
    let emission = match spec.kind {
        Kind::List => return Err(wrong(Problem::NoFiles { dataset: name() })),
        Kind::Exact => Emission::Exact,
        Kind::Verdicts => Emission::Verdicts(match spec.family.unwrap_or_default() {
            Families::Send => Some(Family::Send),
            Families::Host => Some(Family::Host),
            Families::Both => None,
        }),
        Kind::Score => Emission::Score,
        Kind::Origin => Emission::Origin(match spec.form.unwrap_or_default() {
            Form::Cymru => OriginForm::Cymru,
            Form::Rspamd => OriginForm::Rspamd,
        }),
    };
    let emitted = Emitted(Arc::new(Listings::new(standing, emission)));
    let only_texts = spec.kind == Kind::Origin;
    Ok(dataset::Spec {
        name: name(),
        // what has disjoint ranges and names, and no rules of its own
        format: Format::Plain,
        files: Vec::new(),
        emitted: Some(emitted),
        reading: Reading::default(),
        defaults: Defaults { only_texts, ttl: spec.ttl.map(|ttl| ttl.0), ..Defaults::default() },
        bad_lines: dataset::BadLines::Skip,
        // that nobody is bad is good news
        min_entries: 0,
        // a survey is compared with the one before as a whole
        bounds: dataset::Bounds::NONE,
        ttl_bounds: 0..=u32::MAX,
        heeds_never_list: spec.never_list,
    })
}

/// Keys that mean nothing for a dataset's kind.
pub(super) fn check_keys(spec: &spec::Dataset, source: &Source<'_>) -> Result<(), ConfigError> {
    let is_list = spec.kind == Kind::List;
    let keys = [
        ("files", !spec.files.0.is_empty(), is_list),
        ("format", spec.format.is_some(), is_list),
        ("match", spec.r#match.is_some(), is_list),
        ("text", spec.text.is_some(), is_list),
        ("key", spec.key.is_some(), is_list),
        ("family", spec.family.is_some(), spec.kind == Kind::Verdicts),
        ("form", spec.form.is_some(), spec.kind == Kind::Origin),
    ];
    let misplaced = keys.into_iter().find(|(_, is_given, has_use)| *is_given && !has_use);
    misplaced.map_or(Ok(()), |(key, ..)| {
        let dataset = spec.name.get_ref().clone();
        Err(source.wrong(&spec.name.span(), Problem::NotForKind { dataset, key }))
    })
}
