//! Zones as other programs read them.
//!
//! [`Source`] is a zone with what serving does not need: the names and digests as they are spelt, of which tables keep
//! fingerprints only. Its files are read for that, with the parsers and rules that load them for serving. Invariant:
//! what is written is what [`crate::answer`] answers; where a format cannot say it, the format's file says so.

mod layers;
mod master;
mod rdata;
mod space;
mod verdicts;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

pub use master::{Note, Options};
pub use verdicts::{VerdictFormat, write_verdicts};

use crate::dataset::values::TooManyValues;
use crate::dataset::{self, LoadError, Report, Spelling};
use crate::dnsxl::Name;
use crate::live::{Changes, Subject};
use crate::reload::Plan;
use crate::zone::{Access, Input, UnixTime, Zone, ZoneError, build};

/// A zone that is to be written out.
#[derive(Debug)]
pub struct Source {
    zone: Zone,
    now: UnixTime,
    /// By dataset of the zone and by part.
    spellings: Vec<Vec<Spelling>>,
    /// The same of its allow lists.
    allow_spellings: Vec<Vec<Spelling>>,
    /// By dataset of the zone, what live changes are about.
    changed: Vec<Vec<Subject>>,
    /// The same of its allow lists, all together.
    allow_changed: Vec<Subject>,
    /// What loading each dataset of the zone had to say, by the dataset's index in the plan.
    pub reports: Vec<(usize, Report)>,
}

impl Source {
    /// Loads a zone of a plan by its apex. `live` gives the live changes over a dataset by its index in the plan, from the
    /// lowest layer up.
    ///
    /// # Errors
    ///
    /// No such zone, or one of its datasets could not be loaded.
    pub fn load(
        plan: &Plan,
        apex: &Name,
        now: UnixTime,
        mut live: impl FnMut(usize) -> Vec<Changes>,
    ) -> Result<Self, ExportError> {
        let apex = apex.to_lowercase();
        // of two zones with one apex the later is served
        let found = plan.zones.iter().rfind(|zone| zone.spec.apex.to_lowercase() == apex);
        let zone_plan = found.ok_or(ExportError::NoZone { apex })?;
        let (mut reports, mut changed_of) = (Vec::new(), HashMap::new());
        let mut load = |index: usize, under: &Name| -> Result<_, ExportError> {
            let spec = &plan.datasets[index];
            let mut spelt = Vec::new();
            let loaded = dataset::load_and_spell(spec, &plan.never, now.0, |part| spelt.push(part));
            let (dataset, report) =
                loaded.map_err(|source| ExportError::Load { dataset: spec.name.clone(), source })?;
            reports.push((index, report));
            // a dataset may stand in the zone twice
            let changes = changed_of.entry(index).or_insert_with(|| live(index));
            let layers: Result<Vec<_>, _> = changes.iter_mut().filter_map(|of| of.layer().transpose()).collect();
            let layers = layers.map_err(|source| ExportError::Live { dataset: spec.name.clone(), source })?;
            let subjects: Vec<_> =
                changes.iter().flat_map(Changes::iter).map(|held| held.change.subject.clone()).collect();
            // an access list is of no part and has none spelt
            let input = Input { dataset: Some(Arc::new(dataset)), under: under.clone(), live: layers };
            Ok((input, spelt, subjects))
        };
        let (mut inputs, mut spellings, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for (index, under) in &zone_plan.datasets {
            let (input, spelt, subjects) = load(*index, under)?;
            inputs.push(input);
            spellings.push(spelt);
            changed.push(subjects);
        }
        let (mut allow, mut allow_spellings, mut allow_changed) = (Vec::new(), Vec::new(), Vec::new());
        for &index in &zone_plan.allow {
            let (input, spelt, subjects) = load(index, &Name::default())?;
            allow.push(input);
            allow_spellings.push(spelt);
            allow_changed.extend(subjects);
        }
        let zone = build(&zone_plan.spec, &inputs, &allow, Access::default())?;
        Ok(Self { zone, now, spellings, allow_spellings, changed, allow_changed, reports })
    }

    /// Writes the zone as a master file (RFC 1035, section 5); what it could not say is returned.
    ///
    /// # Errors
    ///
    /// Those of `out`, which is written to in small pieces.
    pub fn write_master_file(&self, options: Options, out: &mut impl io::Write) -> io::Result<Vec<Note>> {
        master::write(self, options, out)
    }
}

/// Why a zone could not be read to be written out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The plan has no such zone.
    #[error("zone {apex}: not in the configuration")]
    NoZone {
        /// What was asked for.
        apex: Name,
    },
    /// A dataset of the zone could not be loaded.
    #[error("dataset {dataset}: {source}")]
    Load {
        /// What the configuration calls it.
        dataset: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// Its live changes could not be laid over it.
    #[error("dataset {dataset}: live changes: {source}")]
    Live {
        /// What the configuration calls it.
        dataset: String,
        /// Why.
        #[source]
        source: TooManyValues,
    },
    /// The zone could not be made.
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

#[cfg(test)]
mod tests;
