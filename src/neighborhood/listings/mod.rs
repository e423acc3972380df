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
pub(super) mod revise;
mod standing;
mod text;
pub(super) mod verdicts;

pub use standing::Standing;
pub use verdicts::code;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Region;
use crate::dataset::{Asked, Emit, EmitError, Holds, Reasons, Reported, Revisions, Says};
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

/// A dataset of a standing survey.
#[derive(Debug)]
pub struct Listings {
    standing: Arc<Standing>,
    emission: Emission,
    /// When the survey was taken that it was emitted from last.
    emitted: Mutex<Option<Time>>,
    /// The regions of which it has said something else than its table does.
    revised: Mutex<HashSet<Region>>,
}

impl Listings {
    /// What a dataset says of a survey.
    pub fn new(standing: Arc<Standing>, emission: Emission) -> Self {
        Self { standing, emission, emitted: Mutex::default(), revised: Mutex::default() }
    }

    fn emitted(&self) -> MutexGuard<'_, Option<Time>> {
        self.emitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emit for Listings {
    fn description(&self) -> String {
        format!("{:?} {:?}", self.emission, self.standing.written())
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
        self.standing.confine(inside)
    }

    fn interval(&self) -> Option<i64> {
        if matches!(self.emission, Emission::Origin(_)) {
            return None;
        }
        let known = self.standing.look(|increment| (increment.is_full(), increment.survey().at));
        let Some((is_full, at)) = known else { return Some(LEAST_INTERVAL) };
        if *self.emitted() != Some(at) {
            // another dataset had reason for a survey, and what is revised goes over that
            return Some(0);
        }
        if is_full { Some(LEAST_INTERVAL) } else { self.standing.plan().at.is_none().then_some(INTERVAL) }
    }

    fn holds(&self) -> Holds {
        let names = matches!(self.emission, Emission::Exact | Emission::Score);
        Holds { ip4: true, ip6: true, names, hashes: None }
    }

    fn says(&self) -> Says {
        match self.emission {
            Emission::Exact => Says::Itself,
            Emission::Verdicts(_) => Says::Around,
            Emission::Score => Says::Score,
            Emission::Origin(_) => Says::Origin,
        }
    }

    fn emit(&self, now: i64, sink: &mut dyn Sink) -> Result<(), EmitError> {
        let survey = self.standing.survey(now)?;
        *self.emitted() = Some(survey.at);
        match self.emission {
            Emission::Origin(form) => origin::origins(&survey, form, sink),
            emission => verdicts::emit(&survey, emission, sink),
        }
        Ok(())
    }

    fn report(&self, reports: &[Reported<'_>], now: i64) {
        self.standing.report(reports, now);
    }

    fn keep(&self) -> io::Result<()> {
        self.standing.keep()
    }

    fn revise(&self, since: u64) -> Revisions {
        let mut revised = self.revised.lock().unwrap_or_else(PoisonError::into_inner);
        if since == 0 {
            revised.clear();
        }
        let revisions = self.standing.look(|increment| {
            let touched = increment.touched_after(since).filter_map(|region| {
                let of = |is_now| revise::revision(increment, self.emission, region, is_now);
                let revision = of(true)?;
                let is_news = revised.contains(region) || of(false).as_ref() != Some(&revision);
                is_news.then(|| {
                    revised.insert(region.clone());
                    revision
                })
            });
            Revisions { all: touched.collect(), until: increment.number(), wants_emission: increment.is_full() }
        });
        revisions.unwrap_or_default()
    }

    fn notes(&self) -> Vec<String> {
        self.standing.notes()
    }

    fn explain(&self, now: i64, subject: &Asked) -> Result<Option<Reasons>, EmitError> {
        self.standing.survey(now)?;
        let explained = self.standing.look(|increment| match self.emission {
            Emission::Origin(_) => None,
            Emission::Verdicts(family) => text::reasons(increment, family, subject),
            Emission::Exact | Emission::Score => text::reasons(increment, None, subject),
        });
        Ok(explained.flatten())
    }
}

/// Seconds after which evidence has faded enough to be judged again.
pub const INTERVAL: i64 = 3600;
/// Seconds between surveys, however much is reported: taking one is some seconds of a core.
const LEAST_INTERVAL: i64 = 60;
