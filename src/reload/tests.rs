//! Loading, keeping, replanning.

use std::fs;
use std::path::Path;

use super::*;
use crate::dataset::{BadLines, Bounds, Defaults, Spec};
use crate::feed::{Format, Reading};
use crate::zone::{Choice, TestEntries};

/// Datasets of one file each, called as it is, and a zone of all of them.
pub(super) fn plan(folder: &Path, files: &[&str]) -> Plan {
    let spec = |name: &&str| Spec {
        name: (*name).into(),
        format: Format::Ip4Set,
        files: vec![folder.join(name)],
        emitted: None,
        reading: Reading::default(),
        defaults: Defaults::default(),
        bad_lines: BadLines::Skip,
        min_entries: 1,
        bounds: Bounds::default(),
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
    let placed = (0..files.len()).map(|index| (index, Name::default())).collect();
    Plan {
        datasets: files.iter().map(spec).collect(),
        zones: vec![ZonePlan {
            spec: zone,
            datasets: placed,
            allow: Vec::new(),
            access: None,
            keys: None,
            terms: Default::default(),
        }],
        access: None,
        never: NeverList::empty(),
        version: Version::Refused,
        cookies: Cookies::Off,
    }
}

fn store(folder: &Path, files: &[&str]) -> Store {
    Store::new(plan(folder, files))
}

/// Loads what is due by itself, without anybody asking again for what failed.
fn quiet_load(store: &mut Store, now: UnixTime) -> Vec<Event> {
    let names = store.plan().datasets.iter().map(|spec| spec.name.clone()).collect();
    let attempts = store.begin(Scope::changed(names)).run(Compiled::Verified, || now, &Progress::default());
    store.take(attempts)
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

#[test]
fn what_failed_is_tried_again_when_asked_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let mut store = store(folder.path(), &["list"]);
    assert!(!store.load(UnixTime(0))[0].is_known);
    assert!(quiet_load(&mut store, UnixTime(0)).is_empty());
    assert!(store.load(UnixTime(0))[0].is_known);
    assert_eq!(store.failures(0).1, 2);
    fs::write(&path, "192.0.2.1\n").unwrap();
    assert!(quiet_load(&mut store, UnixTime(0))[0].result.is_ok());
    assert_eq!(store.failures(0), (None, 2));
    // a list of tomorrow needs no change to be right tomorrow
    fs::write(&path, "$TIMESTAMP 1970-01-01-00-01-40\n192.0.2.2\n").unwrap();
    assert!(quiet_load(&mut store, UnixTime(90))[0].result.is_err());
    assert!(quiet_load(&mut store, UnixTime(99)).is_empty());
    assert!(quiet_load(&mut store, UnixTime(100))[0].result.as_ref().unwrap().has_news);
}

#[test]
fn a_list_that_lost_its_half_waits_to_be_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    let write = |count: u32| {
        let aside = folder.path().join("aside");
        fs::write(&aside, (0..count).map(|n| format!("{}\n", std::net::Ipv4Addr::from(n << 8))).collect::<String>())
            .unwrap();
        fs::rename(aside, &path).unwrap();
    };
    write(2000);
    let mut store = store(folder.path(), &["list"]);
    store.load(UnixTime(0));
    write(999);
    for _ in 0..2 {
        let events = store.load(UnixTime(0));
        let why = events[0].result.as_ref().unwrap_err().to_string();
        assert!(events[0].keeps_last_good && why.contains("999 entries where 2000 were, a loss of 50 %"), "{why}");
        assert!(why.contains("`infamy accept list`"), "{why}");
    }
    assert_eq!(store.entries(0), Some(2000));
    assert!(store.accept("list") && !store.accept("lost"));
    assert!(quiet_load(&mut store, UnixTime(0))[0].result.is_ok());
    assert_eq!(store.entries(0), Some(999));
    // once
    write(2000);
    store.load(UnixTime(0));
    write(10);
    assert!(store.load(UnixTime(0))[0].result.is_err());
}

#[test]
fn what_was_withdrawn_while_it_was_read_stays_out_until_the_next_load() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    fs::write(&path, "192.0.2.1\n").unwrap();
    let mut store = store(folder.path(), &["list"]);
    store.load(UnixTime(0));
    fs::write(&path, "192.0.2.1 # the same\n").unwrap();
    let attempts = store.begin(Scope::all()).run(Compiled::Verified, || UnixTime(0), &Progress::default());
    let served = store.dataset(0).unwrap().clone();
    assert!(store.withdraw(&served));
    store.take(attempts);
    assert!(store.dataset(0).is_none());
    assert!(quiet_load(&mut store, UnixTime(0))[0].result.as_ref().unwrap().has_news);
}

#[test]
fn scopes_join() {
    let of = |names: &[&str]| Scope::changed(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(of(&["a"]).join(of(&["b"])), of(&["a", "b"]));
    assert_eq!(of(&["a"]).join(Scope::all()), Scope::all());
    let named = |name: &str| Scope::named([name.to_owned()].into());
    assert_eq!(named("a").join(of(&["b"])), named("b").join(of(&["a"])));
    assert_eq!(named("a").join(Scope::all()), Scope::all());
}

#[test]
fn files_that_change_while_they_are_read_are_read_again_and_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, slow) = (folder.path().join("first"), folder.path().join("slow"));
    fs::write(&first, "192.0.2.1\n").unwrap();
    nix::unistd::mkfifo(&slow, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut plan = plan(folder.path(), &["first"]);
    plan.datasets[0].files.push(slow.clone());
    let mut store = Store::new(plan);
    let load = store.begin(Scope::all());
    let reading = std::thread::spawn(move || load.run(Compiled::Verified, || UnixTime(0), &Progress::default()));
    // opening it waits for the reader, who has read the first file by then
    let mut writer = fs::OpenOptions::new().write(true).open(&slow).unwrap();
    // both are others then, and what is read again waits for nobody
    let aside = folder.path().join("aside");
    for (path, text) in [(&first, "192.0.2.7\n"), (&slow, "192.0.2.9\n")] {
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, path).unwrap();
    }
    std::io::Write::write_all(&mut writer, b"192.0.2.8\n").unwrap();
    drop(writer);
    let events = store.take(reading.join().unwrap());
    assert_eq!(events[0].result.as_ref().unwrap().report.entries, 2);
    let table = &store.dataset(0).unwrap().parts[0].table;
    let lists = |last: u8| table.ip4.find(u32::from_be_bytes([192, 0, 2, last])).is_listed();
    assert_eq!([1, 7, 8, 9].map(lists), [false, true, false, true]);
}
