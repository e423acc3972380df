//! A load: looks which datasets are due, and reads them, beside whatever the store is used for meanwhile.
//!
//! Invariant: a load changes nothing that is served. It begins with what a store has, and ends as [`Attempt`]s, which a
//! store takes or leaves. What was read is one state of each dataset's files: if they are others when the reading is over
//! than when it began, they are read again, and never published as a mixture.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::{Plan, Slot};
use crate::dataset::{self, Dataset, Emitted, LoadError, Report, Stamp};
use crate::feed::{FileError, Reading};
use crate::table::memory::give_back_unused;
use crate::zone::UnixTime;

/// What a load is to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Datasets by their names; all of them, if none.
    names: Option<BTreeSet<String>>,
    least: Least,
}

/// Because of what a dataset is read at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Least {
    /// Something about it has changed.
    #[default]
    Changed,
    /// It failed before.
    Failed,
    /// It is named.
    Named,
}

impl Scope {
    /// All datasets, also those that failed before: somebody asks for it, and may have mended what no file shows.
    pub fn all() -> Self {
        Self { names: None, least: Least::Failed }
    }

    /// Datasets that have changed, by their names.
    pub fn changed(names: BTreeSet<String>) -> Self {
        Self { names: Some(names), least: Least::Changed }
    }

    /// Datasets by their names, whether or not anything about them has changed.
    pub fn named(names: BTreeSet<String>) -> Self {
        Self { names: Some(names), least: Least::Named }
    }

    /// What two loads would look at.
    pub fn join(self, other: Self) -> Self {
        // what only one of them would read although nothing has changed may be read for the other's sake too
        let names = self.names.zip(other.names).map(|(mine, theirs)| &mine | &theirs);
        let least = self.least.max(other.least);
        // everything there is, is not read for nothing
        let least = if names.is_none() { least.min(Least::Failed) } else { least };
        Self { names, least }
    }

    fn has(&self, name: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// Whether compiled files are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiled {
    /// Before they are handed on.
    Verified,
    /// By whoever serves them, behind the first answers.
    Opened,
}

/// A load that is about to begin.
#[derive(Clone, Debug)]
pub struct Load {
    pub(super) plan: Arc<Plan>,
    pub(super) slots: Vec<Slot>,
    pub(super) scope: Scope,
}

/// What came of reading one dataset.
#[derive(Debug)]
pub struct Attempt {
    /// The dataset's index in the plan.
    pub(super) dataset: usize,
    /// What its files looked like when the reading began.
    pub(super) stamps: Vec<Option<Stamp>>,
    pub(super) at: UnixTime,
    pub(super) took: Duration,
    /// Whether bounds were no matter.
    pub(super) was_accepted: bool,
    /// What it was compared with.
    pub(super) before: Option<Arc<Dataset>>,
    pub(super) result: Result<Read, LoadError>,
}

impl Attempt {
    /// Whether nothing was read, and nothing had been read before.
    pub fn leaves_nothing(&self) -> bool {
        self.result.is_err() && self.before.is_none()
    }

    /// What is wrong with the dataset, if anything is; the plan is the load's.
    pub fn failure(&self, plan: &Plan) -> Option<String> {
        let error = self.result.as_ref().err()?;
        Some(format!("dataset {}: {error}", plan.datasets[self.dataset].name))
    }
}

/// A dataset that was read.
#[derive(Debug)]
pub(super) struct Read {
    /// The one before, if it says the same.
    pub(super) dataset: Arc<Dataset>,
    pub(super) report: Report,
    pub(super) has_news: bool,
}

impl Load {
    /// Looks at every dataset of the scope and reads those that are due; what became of these.
    pub fn run(self, compiled: Compiled, now: impl Fn() -> UnixTime, progress: &Progress) -> Vec<Attempt> {
        let all = 0..self.slots.len();
        let attempts = all.filter_map(|index| self.run_one(index, compiled, now(), progress)).collect();
        progress.end();
        attempts
    }

    fn run_one(&self, index: usize, compiled: Compiled, now: UnixTime, progress: &Progress) -> Option<Attempt> {
        let (spec, slot) = (&self.plan.datasets[index], &self.slots[index]);
        if !self.scope.has(&spec.name) {
            return None;
        }
        // taken before reading: a change meanwhile is then seen
        let mut before = stamps(spec);
        if !slot.is_due(spec, &before, self.scope.least, now) {
            return None;
        }
        let begin = Instant::now();
        let bytes = || before.iter().flatten().map(Stamp::size).sum();
        let meter = progress.begin(&spec.name, bytes());
        let spec = dataset::Spec { reading: Reading { meter: Some(meter), ..spec.reading.clone() }, ..spec.clone() };
        let mut result = self.read(&spec, compiled, now);
        for _ in 1..ATTEMPTS {
            // evidence grows while it is read, which makes no mixture of it
            let has_moved = spec.emitted.is_none() && stamps(&spec) != before;
            if !has_moved && !matches!(result, Err(LoadError::File(FileError::Changed { .. }))) {
                break;
            }
            before = stamps(&spec);
            result = self.read(&spec, compiled, now);
        }
        if let Some(path) = changed_file(&spec, &before) {
            result = result.and(Err(FileError::Changed { path }.into()));
        }
        let result = result.and_then(|read| self.check(index, read));
        give_back_unused();
        Some(Attempt {
            dataset: index,
            stamps: before,
            at: now,
            took: begin.elapsed(),
            was_accepted: slot.accepts,
            before: slot.dataset.clone(),
            result,
        })
    }

    fn read(&self, spec: &dataset::Spec, compiled: Compiled, now: UnixTime) -> Result<(Dataset, Report), LoadError> {
        let opened = match compiled {
            Compiled::Verified => None,
            Compiled::Opened => dataset::open(spec, &self.plan.never, now.0)?,
        };
        opened.map_or_else(|| dataset::load(spec, &self.plan.never, now.0), Ok)
    }

    /// Compares a dataset with the one before it: its size, and what it says.
    fn check(&self, index: usize, (dataset, report): (Dataset, Report)) -> Result<Read, LoadError> {
        let (spec, slot) = (&self.plan.datasets[index], &self.slots[index]);
        if let Some(before) = slot.dataset.as_ref().filter(|before| before.says_what(&dataset)) {
            return Ok(Read { dataset: before.clone(), report, has_news: false });
        }
        // lines and what they were compiled to are counted otherwise
        let before = slot.dataset.as_ref().filter(|before| before.compiled.is_some() == dataset.compiled.is_some());
        if before.is_some() && !slot.accepts {
            spec.bounds.check(slot.entries, report.entries).map_err(|why| LoadError::OutOfBounds {
                path: spec.files.first().cloned().unwrap_or_default(),
                dataset: spec.name.clone(),
                why,
            })?;
        }
        Ok(Read { dataset: Arc::new(dataset), report, has_news: true })
    }
}

/// What the files of a dataset look like now.
pub(super) fn stamps(spec: &dataset::Spec) -> Vec<Option<Stamp>> {
    let of_emitter = spec.emitted.as_ref().map(|Emitted(emitter)| emitter.files()).unwrap_or_default();
    spec.files.iter().chain(&of_emitter).map(|path| Stamp::of(path)).collect()
}

/// The first list file of a dataset that does not look as it did.
fn changed_file(spec: &dataset::Spec, before: &[Option<Stamp>]) -> Option<std::path::PathBuf> {
    let changed = spec.files.iter().zip(before).find(|(path, before)| Stamp::of(path) != **before);
    changed.map(|(path, _)| path.clone())
}

/// How often files that change while they are read are read: who writes them all the time is told so.
const ATTEMPTS: usize = 3;
