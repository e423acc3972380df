//! Datasets that are made from a survey: exact listings, generalised verdicts, scores, origins.
//!
//! A [`Standing`] survey is shared by all datasets that are made from it, and is taken again when a file has changed or
//! time has passed. Invariant: exact listings and generalised verdicts are never in one dataset, since a mail server that
//! refuses whatever a zone lists must never refuse anybody for a neighbor's sins; a score says which it is.
//!
//! | dataset | A | TXT |
//! |---|---|---|
//! | [`Emission::Exact`] | 127.0.0.2 | what was reported, until when |
//! | [`Emission::Verdicts`] | 127.0.8.2 bad, .3 suspicious, .4 watch; +16 cloud, +32 pool, +64 shared | the node and its counts |
//! | [`Emission::Score`] | 127.0.level.score | the same, with lift and score |
//! | [`Emission::Origin`] | none | which ASN announces it |

mod lay;
mod origin;
mod text;
mod verdicts;

pub use verdicts::code;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::survey::{Survey, SurveyError, SurveyPlan};
use crate::dataset::{Asked, Emit, EmitError, Holds, Reasons, Stamp};
use crate::evidence::{Family, Time};
use crate::feed::Sink;

/// What a dataset says of a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emission {
    /// What was reported itself.
    Exact,
    /// Blocks in a state, by one family or by the worse of both.
    Verdicts(Option<Family>),
    /// Scores of addresses and names, exact and generalised, each with its level.
    Score,
    /// Announced prefixes with their ASN.
    Origin(OriginForm),
}

/// How an origin is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OriginForm {
    /// `64496 | 192.0.2.0/24 | ZZ | ripencc | 2026-01-31`, as Team Cymru's zone has it.
    #[default]
    Cymru,
    /// `64496|192.0.2.0/24|ZZ|ripencc|`, as rspamd's `asn` module reads it.
    Rspamd,
}

/// A survey that is kept, and taken again when there is a reason.
#[derive(Debug)]
pub struct Standing {
    written: SurveyPlan,
    /// The plan after a chroot.
    confined: OnceLock<SurveyPlan>,
    last: Mutex<Option<Taken>>,
}

#[derive(Debug)]
struct Taken {
    survey: Arc<Survey>,
    stamps: Vec<Option<Stamp>>,
    /// A Unix time in seconds.
    at: i64,
    /// Why the survey is still the one before.
    caution: Option<String>,
}

impl Standing {
    /// Nothing yet.
    pub fn new(plan: SurveyPlan) -> Self {
        Self { written: plan, confined: OnceLock::new(), last: Mutex::new(None) }
    }

    fn plan(&self) -> &SurveyPlan {
        self.confined.get().unwrap_or(&self.written)
    }

    /// The survey as things are at a Unix time in seconds.
    ///
    /// One that says too much, or too much else than the one before, is not believed: the one before stays.
    ///
    /// # Errors
    ///
    /// A file cannot be read; the survey before stays for those that have it.
    pub fn survey(&self, now: i64) -> Result<Arc<Survey>, SurveyError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // taken before reading: a change meanwhile is then seen the next time
        let stamps: Vec<_> = self.plan().files().iter().map(|path| Stamp::of(path)).collect();
        let is_fresh = |taken: &&Taken| {
            taken.stamps == stamps && (self.plan().at.is_some() || (0..INTERVAL).contains(&(now - taken.at)))
        };
        if let Some(taken) = last.as_ref().filter(is_fresh) {
            return Ok(Arc::clone(&taken.survey));
        }
        let at = self.plan().at.unwrap_or_else(|| Time(u32::try_from(now).unwrap_or(0)));
        let before = last.as_ref().map(|taken| Arc::clone(&taken.survey));
        let survey = Arc::new(Survey::take(self.plan(), at, before.as_deref())?);
        let caution = before.as_ref().and_then(|_| survey.caution());
        let survey = before.filter(|_| caution.is_some()).unwrap_or(survey);
        *last = Some(Taken { survey: Arc::clone(&survey), stamps, at: now, caution });
        Ok(survey)
    }

    fn notes(&self) -> Vec<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(taken) = last.as_ref() else { return Vec::new() };
        let caution = taken.caution.iter().map(|caution| format!("verdicts are held as they were: {caution}"));
        let unsaid = taken.survey.left_out.saturating_sub(taken.survey.problems.len() as u64);
        let more = (unsaid > 0).then(|| format!("and {unsaid} more lines of evidence that were left out"));
        caution.chain(taken.survey.problems.iter().cloned()).chain(more).collect()
    }
}

/// A dataset of a standing survey.
#[derive(Debug)]
pub struct Listings {
    standing: Arc<Standing>,
    emission: Emission,
}

impl Listings {
    /// What a dataset says of a survey.
    pub fn new(standing: Arc<Standing>, emission: Emission) -> Self {
        Self { standing, emission }
    }
}

impl Emit for Listings {
    fn description(&self) -> String {
        format!("{:?} {:?}", self.emission, self.standing.written)
    }

    fn files(&self) -> Vec<PathBuf> {
        match self.emission {
            // origins do not change with reports
            Emission::Origin(_) => {
                let plan = self.standing.plan();
                plan.routes.iter().chain(&plan.delegated).cloned().collect()
            }
            _ => self.standing.plan().files(),
        }
    }

    fn confine(&self, inside: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<(), PathBuf> {
        // the first of the datasets that share the survey does it for all
        if self.standing.confined.get().is_none() {
            let _ = self.standing.confined.set(self.standing.written.moved(inside)?);
        }
        Ok(())
    }

    fn interval(&self) -> Option<i64> {
        let changes = self.standing.plan().at.is_none() && !matches!(self.emission, Emission::Origin(_));
        changes.then_some(INTERVAL)
    }

    fn holds(&self) -> Holds {
        let names = matches!(self.emission, Emission::Exact | Emission::Score);
        Holds { ip4: true, ip6: true, names, hashes: None }
    }

    fn emit(&self, now: i64, sink: &mut dyn Sink) -> Result<(), EmitError> {
        let survey = self.standing.survey(now)?;
        match self.emission {
            Emission::Exact => verdicts::exact(&survey, sink),
            Emission::Verdicts(family) => verdicts::states(&survey, family, sink),
            Emission::Score => verdicts::scores(&survey, sink),
            Emission::Origin(form) => origin::origins(&survey, form, sink),
        }
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        self.standing.notes()
    }

    fn explain(&self, now: i64, subject: &Asked) -> Result<Option<Reasons>, EmitError> {
        let survey = self.standing.survey(now)?;
        Ok(match self.emission {
            Emission::Origin(_) => None,
            Emission::Verdicts(family) => text::reasons(&survey, family, subject),
            Emission::Exact | Emission::Score => text::reasons(&survey, None, subject),
        })
    }
}

/// Seconds after which evidence has faded enough to be judged again.
pub const INTERVAL: i64 = 3600;
