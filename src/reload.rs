//! Loads datasets and makes generations of them; keeps the last good of each.
//!
//! Invariant: a dataset that cannot be loaded leaves the one before it in place, and a generation is made of whole
//! datasets only. Nothing here logs or decides when to look again: the caller does, with what [`Store::load`] tells.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dataset::{self, Dataset, Emitted, LoadError, NeverList, Report, Stamp};
use crate::dnsxl::Name;
use crate::live::Layer;
use crate::snapshot::{Snapshot, Version};
use crate::table::memory::give_back_unused;
use crate::zone::{Access, Input, UnixTime, ZoneError, ZoneSpec, build};

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
}

impl Plan {
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
}

/// The loaded datasets of a plan. A clone shares them.
#[derive(Clone, Debug)]
pub struct Store {
    plan: Plan,
    slots: Vec<Slot>,
    serials: HashMap<Name, u32>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    dataset: Option<Arc<Dataset>>,
    /// The live changes over it, from the lowest layer up.
    live: Vec<Arc<Layer>>,
    /// What the files looked like when they were last read.
    stamps: Vec<Option<Stamp>>,
    /// When they were last read, as a Unix time in seconds.
    read_at: i64,
    /// The same of the last attempt: a failure is told once, and not at every glance.
    tried: (Vec<Option<Stamp>>, i64),
    /// Counts the loads that took.
    generation: u64,
    /// The generation that is in the zones' serials.
    counted: u64,
}

impl Slot {
    /// Takes a dataset over, unless it says just what the one before said: then that one stays, and so do serials.
    fn take(&mut self, dataset: Dataset, report: Report) -> Loaded {
        if let Some(before) = self.dataset.as_ref().filter(|before| before.says_what(&dataset)) {
            return Loaded { dataset: before.clone(), report, has_news: false };
        }
        let dataset = Arc::new(dataset);
        self.dataset = Some(dataset.clone());
        self.generation += 1;
        Loaded { dataset, report, has_news: true }
    }
}

/// What the files of a dataset look like now.
fn stamps(spec: &dataset::Spec) -> Vec<Option<Stamp>> {
    let of_emitter = spec.emitted.as_ref().map(|Emitted(emitter)| emitter.files()).unwrap_or_default();
    spec.files.iter().chain(&of_emitter).map(|path| Stamp::of(path)).collect()
}

/// Whether an emitter that was asked at a time says something else by now, without any change of a file.
fn is_due(spec: &dataset::Spec, asked_at: i64, now: UnixTime) -> bool {
    let interval = spec.emitted.as_ref().and_then(|Emitted(emitter)| emitter.interval());
    interval.is_some_and(|interval| now.0 - asked_at >= interval)
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
        Self { plan, slots, serials: HashMap::new() }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
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

    /// Loads every dataset that was never loaded or whose files are not as they were; tells what became of each.
    ///
    /// A dataset that failed is tried again at the next call, whether or not its files change.
    pub fn load(&mut self, now: UnixTime) -> Vec<Event> {
        (0..self.slots.len()).filter_map(|index| self.load_one(index, now)).collect()
    }

    /// As [`Self::load`], for one dataset by its index in the plan.
    pub fn load_one(&mut self, index: usize, now: UnixTime) -> Option<Event> {
        self.load_with(index, now, dataset::load)
    }

    /// As [`Self::load_one`], but that a compiled file is opened and not verified: that can be done behind the first
    /// answers, and [`Self::withdraw`] is for where it fails.
    pub fn open_one(&mut self, index: usize, now: UnixTime) -> Option<Event> {
        self.load_with(index, now, |spec, never, now| {
            dataset::open(spec, never, now)?.map_or_else(|| dataset::load(spec, never, now), Ok)
        })
    }

    /// Takes a dataset out again, if it is still the one that is served; whether it was. Zones without it answer SERVFAIL,
    /// and the next load tries anew.
    pub fn withdraw(&mut self, dataset: &Arc<Dataset>) -> bool {
        let is_it = |slot: &&mut Slot| slot.dataset.as_ref().is_some_and(|served| Arc::ptr_eq(served, dataset));
        let Some(slot) = self.slots.iter_mut().find(is_it) else { return false };
        slot.dataset = None;
        slot.stamps.clear();
        true
    }

    fn load_with(
        &mut self,
        index: usize,
        now: UnixTime,
        load: impl FnOnce(&dataset::Spec, &NeverList, i64) -> Result<(Dataset, Report), LoadError>,
    ) -> Option<Event> {
        let (spec, slot) = (&self.plan.datasets[index], &mut self.slots[index]);
        // taken before reading: a change meanwhile is then seen at the next call
        let stamps = stamps(spec);
        if slot.dataset.is_some() && slot.stamps == stamps && !is_due(spec, slot.read_at, now) {
            return None;
        }
        slot.tried = (stamps.clone(), now.0);
        let result = load(spec, &self.plan.never, now.0).map(|(dataset, report)| {
            (slot.stamps, slot.read_at) = (stamps, now.0);
            slot.take(dataset, report)
        });
        give_back_unused();
        let keeps_last_good = result.is_err() && slot.dataset.is_some();
        Some(Event { dataset: index, result, keeps_last_good })
    }

    /// Whether a dataset that an emitter makes would be another by now: time has passed, or a file of it has changed.
    pub fn has_due_verdicts(&self, now: UnixTime) -> bool {
        let mut slots = self.plan.datasets.iter().zip(&self.slots).filter(|(spec, _)| spec.emitted.is_some());
        slots.any(|(spec, slot)| is_due(spec, slot.tried.1, now) || slot.tried.0 != stamps(spec))
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
                slot.stamps.clear();
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
        Self { plan, slots, serials }
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
            let access = self.access(plan.access);
            let mut zone = build(&spec, &inputs, &allow, access)?;
            zone.unavailable |= plan.access.is_some_and(|index| self.slots[index].dataset.is_none());
            self.serials.insert(spec.apex, zone.soa.serial);
            zones.push(zone);
        }
        self.slots.iter_mut().for_each(|slot| slot.counted = slot.generation);
        Ok(Snapshot::new(zones, self.access(self.plan.access), self.plan.version.clone()))
    }

    fn access(&self, index: Option<usize>) -> Access {
        index.and_then(|index| self.slots[index].dataset.clone()).map_or_else(Access::default, Access::by)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::dataset::{BadLines, Defaults, Spec};
    use crate::feed::{Format, Reading};
    use crate::zone::{Choice, TestEntries};

    fn store(folder: &Path, files: &[&str]) -> Store {
        let spec = Spec {
            name: "list".into(),
            format: Format::Ip4Set,
            files: files.iter().map(|file| folder.join(file)).collect(),
            emitted: None,
            reading: Reading::default(),
            defaults: Defaults::default(),
            bad_lines: BadLines::Skip,
            min_entries: 1,
            ttl_bounds: 0..=u32::MAX,
            heeds_never_list: true,
        };
        let zone = ZoneSpec {
            apex: Name::parse(b"bl.example").unwrap(),
            soa: None,
            ns: None,
            own_addresses: Vec::new(),
            least_serial: 0,
            ttl: 300,
            choice: Choice::All,
            ns_in_authority: false,
            test_entries: TestEntries::AsWritten,
            others: Vec::new(),
        };
        let zones =
            vec![ZonePlan { spec: zone, datasets: vec![(0, Name::default())], allow: Vec::new(), access: None }];
        Store::new(Plan {
            datasets: vec![spec],
            zones,
            access: None,
            never: NeverList::empty(),
            version: Version::Refused,
        })
    }

    fn serial(store: &mut Store) -> u32 {
        store.snapshot().unwrap().zones()[0].soa.serial
    }

    #[test]
    fn a_bad_load_keeps_the_last_good_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let mut store = store(folder.path(), &["list"]);
        let failed = store.load(UnixTime(0));
        assert!(failed[0].result.is_err() && !failed[0].keeps_last_good);
        assert!(store.snapshot().unwrap().zones()[0].unavailable);
        fs::write(&path, "192.0.2.1\n").unwrap();
        assert!(store.load(UnixTime(0))[0].result.is_ok());
        assert!(store.load(UnixTime(0)).is_empty(), "nothing changed");
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            let failed = store.load(UnixTime(0));
            assert!(failed[0].result.is_err() && failed[0].keeps_last_good);
            assert!(!store.snapshot().unwrap().zones()[0].unavailable);
        }
    }

    #[test]
    fn the_serial_moves_with_news_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "192.0.2.1\n").unwrap();
        let mut store = store(folder.path(), &["list"]);
        store.load(UnixTime(0));
        let first = serial(&mut store);
        // another file with the same content: seen, and no news
        fs::remove_file(&path).unwrap();
        fs::write(&path, "192.0.2.1 # the same\n").unwrap();
        let events = store.load(UnixTime(0));
        assert!(!events[0].result.as_ref().unwrap().has_news);
        assert_eq!(serial(&mut store), first);
        fs::write(&path, "192.0.2.2\n").unwrap();
        assert!(store.load(UnixTime(0))[0].result.as_ref().unwrap().has_news);
        let second = serial(&mut store);
        assert!(second > first, "{first} {second}");
        assert_eq!(serial(&mut store), second);
    }

    #[test]
    fn another_plan_begins_with_what_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
        let mut store = store(folder.path(), &["list"]);
        store.load(UnixTime(0));
        let first = serial(&mut store);
        let mut plan = store.plan().clone();
        plan.zones[0].spec.least_serial = 1;
        let mut same = store.replanned(plan.clone());
        assert!(same.load(UnixTime(0)).is_empty(), "nothing is read again");
        assert_eq!(serial(&mut same), first);
        plan.zones[0].spec.ttl = 600;
        plan.datasets[0].min_entries = 2;
        let mut other = store.replanned(plan);
        assert!(other.load(UnixTime(0))[0].keeps_last_good, "what was loaded under the name stays");
        assert!(serial(&mut other) > first, "a zone that is another has another serial");
    }
}
