//! Loads datasets and makes generations of them; keeps the last good of each.
//!
//! A [`Store`] has what is loaded. [`Store::begin`] makes a [`Load`], which runs wherever it likes and comes back as
//! [`Attempt`]s for [`Store::take`]; [`Store::snapshot`] makes a generation of what is there by then. Invariant: a dataset
//! that cannot be loaded leaves the one before it in place, and a generation is made of whole datasets only. Nothing here
//! logs or decides when to look again: the caller does, with what it is told.

mod load;
mod progress;
mod watch;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

pub use load::{Attempt, Compiled, Load, Scope};
pub use progress::{Loading, Progress};
pub use watch::Watch;

use load::Least;

use crate::cookie::{Secret, Secrets};
use crate::dataset::{self, Dataset, Emitted, LoadError, NeverList, Report, Stamp};
use crate::dnsxl::Name;
use crate::live::Layer;
use crate::snapshot::{Snapshot, Version};
use crate::zone::{Access, Input, Terms, UnixTime, ZoneError, ZoneSpec, build};

/// Everything that is to be served.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The datasets, each loaded once however many zones share it.
    pub datasets: Vec<dataset::Spec>,
    /// The zones.
    pub zones: Vec<ZonePlan>,
    /// The `acl` dataset for all zones, by its index.
    pub access: Option<usize>,
    /// What no dataset may list.
    pub never: NeverList,
    /// What `version.bind` gets.
    pub version: Version,
    /// By what secret DNS Cookies are made.
    pub cookies: Cookies,
}

/// By what secret DNS Cookies are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cookies {
    /// There are none.
    #[default]
    Off,
    /// One of the process' own, which nobody else has.
    Own,
    /// These, which servers of one address share.
    Shared(Secrets),
}

impl Plan {
    /// What a dataset may not list.
    pub fn never_of(&self, spec: &dataset::Spec) -> NeverList {
        if spec.heeds_never_list { self.never.clone() } else { NeverList::empty() }
    }

    /// Whether a zone of this plan is made of the same as one of another plan; what has other indices may be the same.
    fn means_what(&self, zone: &ZonePlan, other: &Self, of_other: &ZonePlan) -> bool {
        let placed = |plan: &Self, zone: &ZonePlan| -> Vec<(String, Name)> {
            let name = |index: usize| plan.datasets[index].name.clone();
            zone.datasets.iter().map(|(index, under)| (name(*index), under.clone())).collect()
        };
        // the floor of the serial is no content
        let least_serial = of_other.spec.least_serial;
        let is_same = ZoneSpec { least_serial, ..zone.spec.clone() } == of_other.spec;
        let allow = |plan: &Self, zone: &ZonePlan| -> Vec<String> {
            zone.allow.iter().map(|&index| plan.datasets[index].name.clone()).collect()
        };
        is_same && placed(self, zone) == placed(other, of_other) && allow(self, zone) == allow(other, of_other)
    }
}

/// A zone and what it is made of.
#[derive(Clone, Debug)]
pub struct ZonePlan {
    /// What the zone is to be.
    pub spec: ZoneSpec,
    /// Its datasets in the order they are asked: index, and the name below the apex that it stands under.
    pub datasets: Vec<(usize, Name)>,
    /// The datasets whose subjects it never lists, by their indexes.
    pub allow: Vec<usize>,
    /// Its `acl` dataset, by its index.
    pub access: Option<usize>,
    /// Its `keys` dataset, by its index.
    pub keys: Option<usize>,
    /// What becomes of whom may not ask, and how much others may.
    pub terms: Terms,
}

/// The loaded datasets of a plan. A clone shares them.
#[derive(Clone, Debug)]
pub struct Store {
    plan: Arc<Plan>,
    slots: Vec<Slot>,
    serials: HashMap<Name, u32>,
    /// The secret of a process that shares none: cookies outlive changes of the configuration.
    own_secret: Secret,
    /// The numbers of all zones that there ever were.
    numbers: HashMap<Name, u32>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    dataset: Option<Arc<Dataset>>,
    /// The live changes over it, from the lowest layer up.
    live: Vec<Arc<Layer>>,
    /// When it was read.
    loaded: Option<UnixTime>,
    /// When the newest of its files was written that were last read without an error, whatever they said.
    as_of: Option<UnixTime>,
    /// How many entries its load had.
    entries: u64,
    /// What its files looked like when they were last read, with or without success, and when that was.
    tried: Option<(Vec<Option<Stamp>>, UnixTime)>,
    /// Why the last attempt failed, if it did.
    failure: Option<Failure>,
    /// How many attempts failed.
    failures: u64,
    /// Whether the next attempt is taken whatever its size.
    accepts: bool,
    /// Counts the loads that took.
    generation: u64,
    /// The generation that is in the zones' serials.
    counted: u64,
}

/// Why a dataset is not what its files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it was found.
    pub at: UnixTime,
    /// What is wrong.
    pub why: String,
    /// When it may be right without any change of a file.
    ready: Option<UnixTime>,
}

impl Slot {
    /// Whether the dataset is to be read, its files looking like `stamps`.
    fn is_due(&self, spec: &dataset::Spec, stamps: &[Option<Stamp>], least: Least, now: UnixTime) -> bool {
        let Some((tried, at)) = &self.tried else { return true };
        let interval = spec.emitted.as_ref().and_then(|Emitted(emitter)| emitter.interval());
        let has_passed = interval.is_some_and(|interval| !(0..interval).contains(&(now.0 - at.0)));
        let failure = self.failure.as_ref();
        let is_ready =
            failure.is_some_and(|failure| least >= Least::Failed || failure.ready.is_some_and(|ready| ready <= now));
        self.accepts || least == Least::Named || tried != stamps || has_passed || is_ready
    }
}

/// What became of one dataset.
#[derive(Debug)]
pub struct Event {
    /// The dataset's index in the plan.
    pub dataset: usize,
    /// What was loaded, or why nothing was.
    pub result: Result<Loaded, LoadError>,
    /// After a failure: whether an earlier load goes on being served.
    pub keeps_last_good: bool,
    /// After a failure: whether the attempt before it failed for the same reason.
    pub is_known: bool,
    /// How long it took.
    pub took: Duration,
}

/// A dataset that was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// What loading had to say.
    pub report: Report,
    /// Whether its content is another than before.
    pub has_news: bool,
}

impl Store {
    /// A store of a plan, with nothing loaded yet.
    pub fn new(plan: Plan) -> Self {
        let slots = plan.datasets.iter().map(|_| Slot::default()).collect();
        let own_secret = random_secret();
        Self { plan: Arc::new(plan), slots, serials: HashMap::new(), own_secret, numbers: HashMap::new() }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan, for another thread to have.
    pub fn shared_plan(&self) -> Arc<Plan> {
        self.plan.clone()
    }

    /// A dataset that is loaded, by its index in the plan.
    pub fn dataset(&self, index: usize) -> Option<&Arc<Dataset>> {
        self.slots[index].dataset.as_ref()
    }

    /// Lays live changes over a dataset, from the lowest layer up, in the place of those before: news, if they are others.
    pub fn lay(&mut self, index: usize, live: Vec<Arc<Layer>>) {
        let slot = &mut self.slots[index];
        let is_same = live.len() == slot.live.len() && live.iter().zip(&slot.live).all(|(a, b)| Arc::ptr_eq(a, b));
        slot.generation += u64::from(!is_same);
        slot.live = live;
    }

    /// How many entries the load of a dataset had, by its index in the plan.
    pub fn entries(&self, index: usize) -> Option<u64> {
        self.slots[index].dataset.as_ref().map(|_| self.slots[index].entries)
    }

    /// When what is served of a dataset was read, by its index in the plan.
    pub fn loaded_at(&self, index: usize) -> Option<UnixTime> {
        self.slots[index].dataset.as_ref().and(self.slots[index].loaded)
    }

    /// When the newest of a dataset's files was written that were last read without an error, by its index in the plan: of
    /// what has no files, when it was made.
    pub fn as_of(&self, index: usize) -> Option<UnixTime> {
        self.slots[index].dataset.as_ref().and(self.slots[index].as_of)
    }

    /// Why a dataset is not what its files are, and how many loads of it failed so far, by its index in the plan.
    pub fn failures(&self, index: usize) -> (Option<&Failure>, u64) {
        (self.slots[index].failure.as_ref(), self.slots[index].failures)
    }

    /// A load of what is due: what was never loaded, whose files are not as they were, of which time has made another, and,
    /// as the scope has it, what failed.
    pub fn begin(&self, scope: Scope) -> Load {
        Load { plan: self.plan.clone(), slots: self.slots.clone(), scope }
    }

    /// Takes over what a load read that began with this plan; tells what became of each dataset.
    ///
    /// A dataset that says just what the one before said leaves that one there, and so serials stay.
    pub fn take(&mut self, attempts: Vec<Attempt>) -> Vec<Event> {
        attempts.into_iter().map(|attempt| self.take_one(attempt)).collect()
    }

    fn take_one(&mut self, attempt: Attempt) -> Event {
        let Attempt { dataset: index, stamps, at, took, was_accepted, before, result } = attempt;
        let lists = &stamps[..self.plan.datasets[index].files.len()];
        let written = lists.iter().flatten().filter_map(Stamp::modified).max();
        let slot = &mut self.slots[index];
        slot.accepts &= !was_accepted;
        let is_before = match (&slot.dataset, &before) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (now, before) => now.is_none() && before.is_none(),
        };
        let has_news = result.as_ref().is_ok_and(|read| read.has_news);
        // what was the same as a dataset that has been withdrawn since has to be looked at again
        slot.tried = (is_before || has_news).then_some((stamps, at));
        let (result, is_known) = match result {
            Ok(read) => {
                slot.failure = None;
                // nothing is newer than now, whatever a clock said when it was written
                slot.as_of = Some(written.map_or(at, |written| UnixTime(written.min(at.0))));
                if read.has_news {
                    slot.dataset = Some(read.dataset.clone());
                    slot.loaded = Some(at);
                    slot.generation += 1;
                }
                slot.entries = read.report.entries;
                (Ok(Loaded { dataset: read.dataset, report: read.report, has_news: read.has_news }), false)
            }
            Err(error) => {
                let ready = match &error {
                    LoadError::NotYet { ahead, .. } => Some(UnixTime(at.0.saturating_add(*ahead))),
                    _ => None,
                };
                let failure = Failure { at, why: error.to_string(), ready };
                let is_known = slot.failure.as_ref().is_some_and(|known| known.why == failure.why);
                slot.failure = Some(failure);
                slot.failures += 1;
                (Err(error), is_known)
            }
        };
        let keeps_last_good = result.is_err() && slot.dataset.is_some();
        Event { dataset: index, result, keeps_last_good, is_known, took }
    }

    /// Loads here and now whatever is due, and what failed before; tells what became of each.
    pub fn load(&mut self, now: UnixTime) -> Vec<Event> {
        let attempts = self.begin(Scope::all()).run(Compiled::Verified, || now, &Progress::default());
        self.take(attempts)
    }

    /// Takes a dataset out again, if it is still the one that is served; whether it was. Zones without it answer SERVFAIL,
    /// and the next load tries anew.
    pub fn withdraw(&mut self, dataset: &Arc<Dataset>) -> bool {
        let is_it = |slot: &&mut Slot| slot.dataset.as_ref().is_some_and(|served| Arc::ptr_eq(served, dataset));
        let Some(slot) = self.slots.iter_mut().find(is_it) else { return false };
        (slot.dataset, slot.tried) = (None, None);
        true
    }

    /// Puts a dataset back to what another store has under its name, as something is wrong with what was loaded that only
    /// showed later; its files are looked at again once they change.
    pub fn refuse(&mut self, index: usize, before: &Self, now: UnixTime, why: &str) {
        let name = &self.plan.datasets[index].name;
        let place = before.plan.datasets.iter().position(|spec| spec.name == *name);
        let kept = place.map(|place| before.slots[place].clone()).unwrap_or_default();
        let slot = &mut self.slots[index];
        let failures = slot.failures + 1;
        let failure = Some(Failure { at: now, why: why.to_owned(), ready: None });
        *slot = Slot { tried: slot.tried.take(), failure, failures, accepts: slot.accepts, ..kept };
    }

    /// Whether a dataset may become another one without any change of a file of a list, by its index in the plan.
    pub fn is_timed(&self, index: usize) -> bool {
        let is_to_be_ready = |failure: &Failure| failure.ready.is_some();
        self.plan.datasets[index].emitted.is_some() || self.slots[index].failure.as_ref().is_some_and(is_to_be_ready)
    }

    /// Lets the next load of a dataset through whatever its size; whether there is such a dataset.
    pub fn accept(&mut self, name: &str) -> bool {
        let index = self.plan.datasets.iter().position(|spec| spec.name == name);
        index.map(|index| self.slots[index].accepts = true).is_some()
    }

    /// A store of another plan that begins with what this one has.
    ///
    /// A dataset that is to be made as before is not loaded again; one of the same name that is not, is the last good
    /// one until it is loaded. The serial of a zone that is to be another moves on.
    pub fn replanned(&self, plan: Plan) -> Self {
        let slot = |spec: &dataset::Spec| {
            let before = self.plan.datasets.iter().position(|before| before.name == spec.name);
            let Some(index) = before else { return Slot::default() };
            let mut slot = self.slots[index].clone();
            if self.plan.datasets[index] != *spec || spec.heeds_never_list && self.plan.never != plan.never {
                slot.tried = None;
            }
            slot
        };
        let slots = plan.datasets.iter().map(slot).collect();
        let mut serials = self.serials.clone();
        for zone in &plan.zones {
            let before = self.plan.zones.iter().find(|before| before.spec.apex == zone.spec.apex);
            if let Some(serial) = serials.get_mut(&zone.spec.apex)
                && before.is_none_or(|before| !self.plan.means_what(before, &plan, zone))
            {
                *serial = serial.wrapping_add(1);
            }
        }
        let (own_secret, numbers) = (self.own_secret, self.numbers.clone());
        Self { plan: Arc::new(plan), slots, serials, own_secret, numbers }
    }

    /// The serials of the zones of the last generation, and of those that were there before.
    pub fn serials(&self) -> impl Iterator<Item = (&Name, u32)> {
        self.serials.iter().map(|(apex, &serial)| (apex, serial))
    }

    /// Makes a generation of what is loaded. A zone that lacks a dataset is there, and answers SERVFAIL.
    ///
    /// A serial that the data does not give moves on whenever a dataset of its zone has changed, and never back.
    ///
    /// # Errors
    ///
    /// A zone that cannot be made.
    pub fn snapshot(&mut self) -> Result<Snapshot, ZoneError> {
        let mut zones = Vec::with_capacity(self.plan.zones.len());
        for plan in &self.plan.zones {
            let input = |index: usize, under: &Name| Input {
                dataset: self.slots[index].dataset.clone(),
                under: under.clone(),
                live: self.slots[index].live.clone(),
            };
            let inputs: Vec<Input> = plan.datasets.iter().map(|(index, under)| input(*index, under)).collect();
            let allow: Vec<Input> = plan.allow.iter().map(|&index| input(index, &Name::default())).collect();
            let mut spec = plan.spec.clone();
            if let Some(&serial) = self.serials.get(&spec.apex) {
                let mut all = plan.datasets.iter().map(|(index, _)| index).chain(&plan.allow);
                let has_news = all.any(|&index| self.slots[index].generation > self.slots[index].counted);
                spec.least_serial = spec.least_serial.max(serial.wrapping_add(u32::from(has_news)));
            }
            let mut access = self.access(plan.access).on(plan.terms);
            if let Some(keys) = plan.keys.and_then(|index| self.slots[index].dataset.clone()) {
                access = access.with_keys(keys);
            }
            let mut zone = build(&spec, &inputs, &allow, access)?;
            let mut needed = plan.access.iter().chain(&plan.keys);
            zone.unavailable |= needed.any(|&index| self.slots[index].dataset.is_none());
            let next = self.numbers.len() as u32;
            zone.number = *self.numbers.entry(zone.apex.clone()).or_insert(next);
            self.serials.insert(spec.apex, zone.soa.serial);
            zones.push(zone);
        }
        self.slots.iter_mut().for_each(|slot| slot.counted = slot.generation);
        let mut snapshot = Snapshot::new(zones, self.access(self.plan.access), self.plan.version.clone());
        snapshot.secrets = match &self.plan.cookies {
            Cookies::Off => Secrets::default(),
            Cookies::Own => Secrets::new([self.own_secret]),
            Cookies::Shared(secrets) => secrets.clone(),
        };
        Ok(snapshot)
    }

    fn access(&self, index: Option<usize>) -> Access {
        index.and_then(|index| self.slots[index].dataset.clone()).map_or_else(Access::default, Access::by)
    }
}

/// A secret that nobody can guess.
fn random_secret() -> Secret {
    // the two halves are hashes under one random key of 128 bits: to find the key from them is to break the hash
    let hasher = RandomState::new();
    let halves = [0_u64, 1].map(|half| hasher.hash_one(half));
    Secret((u128::from(halves[0]) << 64 | u128::from(halves[1])).to_ne_bytes())
}

#[cfg(test)]
mod tests;
