//! A survey that is kept, moved by reports, and taken again when there is a reason.
//!
//! What serves datasets of it does this: it hands reports, once they are durable, to [`Emit::report`](crate::dataset::Emit)
//! of every dataset that is emitted, and then asks each with `revise` what it says anew, since the number it was told the
//! last time. A revision takes the place of all that was said of its extent, and goes over what the dataset's table says.
//! Whenever a dataset has been emitted anew and its table is published, all of its revisions are dropped, and `revise(0)`
//! gives those that go over the new one. If a revision says that it `wants_emission`, the dataset is emitted soon.
//!
//! Invariant: a survey is taken without keeping anybody waiting: reports that come meanwhile move the one before, and are
//! said again to the one that is being taken, which may have read them or not; said twice a report is as good as once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::survey::{Survey, SurveyError, SurveyPlan};
use super::super::{Increment, Previous, Report};
use super::INTERVAL;
use crate::dataset::{Reported, Stamp};
use crate::evidence::{Family, Time};
use crate::feed::FileError;

/// A survey that is kept, moved by reports, and taken again when there is a reason.
#[derive(Debug)]
pub struct Standing {
    written: SurveyPlan,
    /// The plan after a chroot.
    confined: OnceLock<SurveyPlan>,
    /// Held while a survey is taken, so that whoever else wants one waits for it.
    taking: Mutex<()>,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    taken: Option<Taken>,
    /// The number of the last report.
    number: u64,
    /// What was reported since a survey is being taken; none if none is.
    meanwhile: Option<Vec<Kept>>,
}

#[derive(Debug)]
struct Taken {
    increment: Increment,
    stamps: Vec<Option<Stamp>>,
    /// A Unix time in seconds.
    at: i64,
    /// Why the survey is still the one before.
    caution: Option<String>,
}

/// A report that is kept for a survey that is being taken.
#[derive(Debug)]
struct Kept {
    time: Time,
    source: String,
    subject: String,
    category: String,
    weight: f64,
}

impl Kept {
    fn as_report(&self) -> Report<'_> {
        let Self { time, source, subject, category, weight } = self;
        Report { time: *time, source, subject, category, weight: *weight }
    }
}

impl Standing {
    /// Nothing yet.
    pub fn new(plan: SurveyPlan) -> Self {
        Self { written: plan, confined: OnceLock::new(), taking: Mutex::default(), current: Mutex::default() }
    }

    pub(super) fn plan(&self) -> &SurveyPlan {
        self.confined.get().unwrap_or(&self.written)
    }

    /// The plan as it was written.
    pub(super) fn written(&self) -> &SurveyPlan {
        &self.written
    }

    /// From now on its files are seen from inside of a new root.
    pub(super) fn confine(&self, inside: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<(), PathBuf> {
        // the first of the datasets that share the survey does it for all
        if self.confined.get().is_none() {
            let _ = self.confined.set(self.written.moved(inside)?);
        }
        Ok(())
    }

    /// The survey as things are at a Unix time in seconds.
    ///
    /// One that says too much, or too much else than the one before, is not believed: the one before stays.
    ///
    /// # Errors
    ///
    /// A file cannot be read; the survey before stays for those that have it.
    pub fn survey(&self, now: i64) -> Result<Arc<Survey>, SurveyError> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        // taken before reading: a change meanwhile is then seen the next time
        let stamps: Vec<_> = self.plan().files().iter().map(|path| Stamp::of(path)).collect();
        let previous = {
            let mut current = self.current();
            if let Some(taken) = current.taken.as_ref().filter(|taken| self.is_fresh(taken, &stamps, now)) {
                return Ok(Arc::clone(taken.increment.survey()));
            }
            current.meanwhile = Some(Vec::new());
            current.taken.as_ref().map(|taken| taken.increment.previous())
        };
        let at = self.plan().at.unwrap_or_else(|| Time(u32::try_from(now).unwrap_or(0)));
        let has_before = previous.is_some();
        let previous = previous.map_or_else(|| self.kept().map_err(SurveyError::from), Ok);
        let survey = previous.and_then(|previous| Survey::take(self.plan(), at, previous));
        let mut current = self.current();
        let meanwhile = current.meanwhile.take().unwrap_or_default();
        let survey = Arc::new(survey?);
        let caution = Some(()).filter(|()| has_before).and_then(|()| survey.caution());
        if let Some(taken) = current.taken.as_mut().filter(|_| caution.is_some()) {
            // what is believed stays, with all that was reported since
            (taken.stamps, taken.at, taken.caution) = (stamps, now, caution);
            return Ok(Arc::clone(taken.increment.survey()));
        }
        let number = current.taken.as_ref().map_or(0, |taken| taken.increment.number());
        let mut increment = Increment::begin(Arc::clone(&survey), number);
        increment.report(meanwhile.iter().map(Kept::as_report), time(now));
        current.taken = Some(Taken { increment, stamps, at: now, caution: None });
        Ok(survey)
    }

    /// The states that the program before this one kept.
    fn kept(&self) -> Result<[Arc<Previous>; 2], FileError> {
        let read = |family: Family| match self.states_of(family).filter(|path| path.exists()) {
            Some(path) => Previous::open(&path).map(Arc::new),
            None => Ok(Arc::default()),
        };
        Ok([read(Family::Send)?, read(Family::Host)?])
    }

    /// Keeps the states of blocks for the next start, where there is a folder for it: states are left later than they are
    /// entered, and a restart is no news.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn keep(&self) -> io::Result<()> {
        let Some(previous) = self.look(Increment::previous) else { return Ok(()) };
        for family in Family::ALL {
            if let Some(path) = self.states_of(family) {
                previous[family.index()].write(&path)?;
            }
        }
        Ok(())
    }

    fn states_of(&self, family: Family) -> Option<PathBuf> {
        self.plan().state_directory.as_ref().map(|folder| folder.join(format!("states-{family}.tsv")))
    }

    /// Takes reports that it has not taken yet.
    pub fn report(&self, reports: &[Reported<'_>], now: i64) {
        let mut current = self.current();
        let Current { taken, number, meanwhile } = &mut *current;
        let new = reports.iter().filter(|report| report.number > *number).map(|report| {
            let &Reported { time, source, subject, category, weight, .. } = report;
            Report { time: Time(time), source, subject, category, weight }
        });
        let new: Vec<Report<'_>> = new.collect();
        *number = reports.iter().map(|report| report.number).fold(*number, u64::max);
        if let Some(meanwhile) = meanwhile {
            meanwhile.extend(new.iter().map(|report| Kept {
                time: report.time,
                source: report.source.to_owned(),
                subject: report.subject.to_owned(),
                category: report.category.to_owned(),
                weight: report.weight,
            }));
        }
        if let Some(taken) = taken {
            taken.increment.report(new, time(now));
        }
    }

    /// Looks at the increment; none without a survey yet.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Increment) -> T) -> Option<T> {
        self.current().taken.as_ref().map(|taken| look(&taken.increment))
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let current = self.current();
        let Some(taken) = current.taken.as_ref() else { return Vec::new() };
        let survey = taken.increment.survey();
        let caution = taken.caution.iter().map(|caution| format!("verdicts are held as they were: {caution}"));
        let unsaid = survey.left_out.saturating_sub(survey.problems.len() as u64);
        let more = (unsaid > 0).then(|| format!("and {unsaid} more lines of evidence that were left out"));
        caution.chain(survey.problems.iter().cloned()).chain(more).collect()
    }

    fn is_fresh(&self, taken: &Taken, stamps: &[Option<Stamp>], now: i64) -> bool {
        let age = now - taken.at;
        let is_full = taken.increment.is_full() && age >= LEAST_INTERVAL;
        taken.stamps == stamps && !is_full && (self.plan().at.is_some() || (0..INTERVAL).contains(&age))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Unix time as evidence has it.
fn time(now: i64) -> Time {
    Time(u32::try_from(now).unwrap_or(0))
}

/// Seconds between surveys, however much is reported: taking one is some seconds of a core.
const LEAST_INTERVAL: i64 = 60;
