//! Datasets that are made from evidence, as files change and time passes.

use std::fs;
use std::path::{Path, PathBuf};

use infamy::config::Config;
use infamy::reload::{Compiled, Event, Progress, Scope, Store};
use infamy::zone::UnixTime;
use tempfile::TempDir;

/// 2026-07-12T12:00:00Z.
const NOON: UnixTime = UnixTime(1_783_857_600);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The example set in a folder of its own; `at` is taken out, so that time passes.
struct Example {
    folder: TempDir,
    store: Store,
}

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let zones = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
        for part in ["lists", "evidence"] {
            fs::create_dir(folder.path().join(part)).unwrap();
            for file in fs::read_dir(zones.join(part)).unwrap() {
                let file = file.unwrap().path();
                fs::copy(&file, folder.path().join(part).join(file.file_name().unwrap())).unwrap();
            }
        }
        let text = fs::read_to_string(zones.join("infamy.toml")).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("at = ")).collect();
        let path = folder.path().join("infamy.toml");
        fs::write(&path, text.join("\n")).unwrap();
        let store = Store::new(Config::open(&path).unwrap().plan);
        Self { folder, store }
    }

    fn reports(&self) -> PathBuf {
        self.folder.path().join("evidence/reports.csv")
    }

    /// Loads; the names of the datasets that were looked at, each with whether it has news, or none if it failed.
    fn load(&mut self, now: UnixTime) -> Vec<(String, Option<bool>)> {
        let events = self.store.load(now);
        self.told(&events)
    }

    /// As [`Self::load`], as it comes about by itself: what failed is left until something changes.
    fn glance(&mut self, now: UnixTime) -> Vec<(String, Option<bool>)> {
        let names = self.store.plan().datasets.iter().map(|spec| spec.name.clone()).collect();
        let load = self.store.begin(Scope::changed(names));
        let events = self.store.take(load.run(Compiled::Verified, || now, &Progress::default()));
        self.told(&events)
    }

    fn told(&self, events: &[Event]) -> Vec<(String, Option<bool>)> {
        let name = |event: &Event| self.store.plan().datasets[event.dataset].name.clone();
        events.iter().map(|event| (name(event), event.result.as_ref().ok().map(|loaded| loaded.has_news))).collect()
    }

    fn serial(&mut self, apex: &str) -> u32 {
        let snapshot = self.store.snapshot().unwrap();
        snapshot.zones().iter().find(|zone| zone.apex.to_string() == apex).unwrap().soa.serial
    }
}

#[test]
fn a_new_report_is_served_without_a_signal_and_moves_no_other_serial() {
    let mut example = Example::new();
    example.load(NOON);
    let serials = ["block.rep.example", "origin.rep.example"].map(|apex| example.serial(apex));
    assert_eq!(example.glance(NOON), []);
    let mut reports = fs::read_to_string(example.reports()).unwrap();
    reports.push_str("2026-07-12T11:00:00Z,trap,198.51.100.99,spam\n");
    fs::write(example.reports(), reports).unwrap();
    let events = example.glance(NOON);
    assert!(events.contains(&("exact".to_owned(), Some(true))), "{events:?}");
    assert!(events.iter().all(|(name, _)| name != "origin"), "{events:?}");
    assert_eq!(example.glance(NOON), []);
    let after = ["block.rep.example", "origin.rep.example"].map(|apex| example.serial(apex));
    assert!(after[0] > serials[0], "{serials:?} {after:?}");
    assert_eq!(after[1], serials[1]);
}

#[test]
fn what_fades_leaves_as_time_passes() {
    let mut example = Example::new();
    example.load(NOON);
    let listed = |example: &Example| {
        let index = example.store.plan().datasets.iter().position(|dataset| dataset.name == "exact").unwrap();
        example.store.dataset(index).unwrap().clone()
    };
    let first = listed(&example);
    assert!(!example.glance(UnixTime(NOON.0 + HOUR)).is_empty());
    // a clock that was set back
    assert!(!example.glance(UnixTime(NOON.0 - DAY)).is_empty());
    assert_eq!(example.glance(UnixTime(NOON.0 - DAY + 1)), []);
    let events = example.load(UnixTime(NOON.0 + 300 * DAY));
    assert!(events.contains(&("exact".to_owned(), Some(true))), "{events:?}");
    assert!(listed(&example).bytes() < first.bytes());
    // and that nobody is bad any more is no failure
    let events = example.load(UnixTime(NOON.0 + 301 * DAY));
    assert!(events.contains(&("exact".to_owned(), Some(false))), "{events:?}");
}

#[test]
fn a_file_that_is_gone_leaves_the_verdicts_as_they_were() {
    let mut example = Example::new();
    example.load(NOON);
    fs::remove_file(example.reports()).unwrap();
    let events = example.load(NOON);
    for name in ["exact", "net", "score"] {
        assert!(events.contains(&(name.to_owned(), None)), "{events:?}");
    }
    let snapshot = example.store.snapshot().unwrap();
    assert!(snapshot.zones().iter().all(|zone| !zone.unavailable));
    // it is said once, and tried again when the file is another
    assert_eq!(example.glance(NOON), []);
    fs::write(example.reports(), "time,source,subject,category\n").unwrap();
    assert!(!example.glance(NOON).is_empty());
}
