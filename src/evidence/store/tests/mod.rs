//! The store against a naive model, against faults, and against a process that is killed.

mod faults;
mod journal;
mod kills;
mod model;
mod speed;

use std::path::PathBuf;

use super::sqlite::APPLICATION;
use super::*;
use crate::evidence::Time;

/// A folder that goes away, and a store in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("evidence.db");
    (folder, path)
}

fn report(subject: &str, time: u32) -> Event {
    let report = Report {
        time: Time(time),
        source: "trap".to_owned(),
        subject: subject.to_owned(),
        category: "spam".to_owned(),
        weight: 1.0,
        text: None,
    };
    Event { key: None, at: i64::from(time), who: "tester".to_owned(), what: What::Report(report) }
}

fn change(subject: &str, at: i64, action: Action, expires: Option<i64>) -> Event {
    let change = StoredChange {
        dataset: "traps".to_owned(),
        subject: subject.to_owned(),
        action,
        expires,
        reason: Some("because".to_owned()),
    };
    Event { key: None, at, who: "tester".to_owned(), what: What::Change(change) }
}

fn request(subject: &str, at: i64) -> Event {
    let request = RemovalRequest {
        subject: subject.to_owned(),
        contact: "anna@shop.example".to_owned(),
        text: "It is mended.\nTruly.".to_owned(),
    };
    Event { key: None, at, who: "192.0.2.9".to_owned(), what: What::Request(request) }
}

fn add() -> Action {
    Action::Add { a: Some("127.0.0.2".parse().expect("an address")), text: Some("listed".to_owned()), ttl: Some(60) }
}

fn with_key(event: Event, key: u8) -> Event {
    Event { key: Some(IdempotencyKey([key; 16])), ..event }
}

/// Appends one submission, which is kept.
fn append(log: &mut dyn EvidenceLog, events: &[Event]) -> Vec<u64> {
    let kept = log.append(&[events]).expect("a log that keeps").remove(0).expect("no conflict");
    kept.iter().map(|appended| appended.number).collect()
}

fn all_of(log: &mut dyn EvidenceLog) -> Vec<Numbered> {
    let mut all = Vec::new();
    log.replay(0, &mut |event| all.push(event)).expect("a log that is read");
    all
}

#[test]
fn what_is_kept_is_read_back_after_opening_again() {
    let (_folder, path) = folder();
    let generation = Generation {
        number: 7,
        cause: "reload by tester".to_owned(),
        datasets: vec![DatasetCount {
            dataset: "traps".to_owned(),
            before: 2,
            entries: 3,
            entered: 2,
            left: 1,
            changed: 0,
        }],
        serials: vec![("bl.example".to_owned(), 4_000_000_000)],
        entries: vec![GenerationEntry {
            dataset: "traps".to_owned(),
            subject: "192.0.2.1".to_owned(),
            moved: Moved::Entered,
            why: "traps.txt:1".to_owned(),
        }],
    };
    let generation = Event { key: None, at: 30, who: "tester".to_owned(), what: What::Generation(generation) };
    let mut events = vec![
        report("192.0.2.1", 10),
        report("2001:db8::/32", 11),
        report("http://list.example/x", 12),
        change("192.0.2.1", 20, add(), Some(500)),
        change("192.0.2.2", 21, Action::Remove, None),
        change("192.0.2.1", 22, Action::Withdraw { number: 4 }, None),
        generation,
    ];
    if let What::Report(report) = &mut events[2].what {
        (report.text, report.weight) = (Some("From: x\nTo: y".to_owned()), 0.25);
    }
    let mut log = SqliteLog::open(&path).unwrap();
    assert_eq!(append(&mut log, &events[..3]), [1, 2, 3]);
    assert_eq!(append(&mut log, &events[3..]), [4, 5, 6, 7]);
    let entered = |dataset, subject| Reader::open(&path).unwrap().entered(dataset, [subject, "x"]).unwrap();
    assert_eq!(
        [entered("traps", "192.0.2.1"), entered("traps", "192.0.2.2"), entered("drop", "192.0.2.1")],
        [Some(30), None, None]
    );
    drop(log);
    let mut log = SqliteLog::open(&path).unwrap();
    let expected: Vec<Numbered> =
        (1..).zip(&events).map(|(number, event)| Numbered { number, event: event.clone() }).collect();
    assert_eq!(all_of(&mut log), expected);
    let mut tail = Vec::new();
    log.replay(5, &mut |event| tail.push(event.number)).unwrap();
    assert_eq!(tail, [6, 7]);
    assert_eq!(log.live_changes(100).unwrap(), [expected[4].clone()]);
    assert_eq!(append(&mut log, &[report("192.0.2.9", 40)]), [8]);

    let reader = Reader::open(&path).unwrap();
    let numbers = |events: &[Numbered]| events.iter().map(|event| event.number).collect::<Vec<_>>();
    let scope = |text: &str| Scope::parse(text).unwrap();
    assert_eq!(numbers(&reader.reports(&scope("192.0.2.0/24"), Time(0), 10).unwrap()), [1, 8]);
    assert_eq!(numbers(&reader.reports(&scope("192.0.2.0/24"), Time(11), 10).unwrap()), [8]);
    assert_eq!(numbers(&reader.reports(&scope("0.0.0.0/0"), Time(0), 1).unwrap()), [8]);
    assert_eq!(numbers(&reader.reports(&scope("2001:db8::7"), Time(0), 10).unwrap()), [2]);
    assert_eq!(numbers(&reader.reports(&scope("list.example"), Time(0), 10).unwrap()), [3]);
    assert_eq!(numbers(&reader.changes(&scope("192.0.2.1")).unwrap()), [4, 6]);
    assert_eq!(numbers(&reader.live_changes(0).unwrap()), [5]);
    let last = reader.generations(0, u64::MAX, 10).unwrap().remove(0);
    assert_eq!((last.at, last.generation.number, last.generation.datasets[0].entered), (30, 7, 2));
    assert_eq!(last.generation.serials, [("bl.example".to_owned(), 4_000_000_000)]);
    assert_eq!(reader.moved(Some("traps"), 6, 7).unwrap().len(), 1);
    assert_eq!(reader.moved(Some("other"), 6, 7).unwrap().len(), 0);
    assert_eq!(reader.moved(None, 7, 9).unwrap().len(), 0);
}

#[test]
fn people_read_the_views() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    let year_2100 = 4_102_444_800;
    let events = [report("192.0.2.1", 1_783_080_000), change("192.0.2.1", 20, add(), Some(year_2100))];
    append(&mut log, &events);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let row = |sql: &str| connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    let (time, source): (String, String) = row("SELECT time, source FROM reports").unwrap();
    assert_eq!((&*time, &*source), ("2026-07-03T12:00:00Z", "trap"));
    let (subject, expires): (String, String) = row("SELECT subject, expires FROM live_changes").unwrap();
    assert_eq!((&*subject, &*expires), ("192.0.2.1", "2100-01-01T00:00:00Z"));
}

#[test]
fn events_that_cannot_be_kept_say_why() {
    let long = "x".repeat(MAX_NAME + 1);
    let wrong = |event: Event, change: &dyn Fn(&mut Report)| {
        let mut event = event;
        if let What::Report(report) = &mut event.what {
            change(report);
        }
        event.check().map_err(|error| error.to_string())
    };
    let right = || report("192.0.2.1", 1);
    assert_eq!(wrong(right(), &|_| {}), Ok(()));
    for (event, said) in [
        (wrong(right(), &|report| report.source.clear()), "source is empty"),
        (wrong(right(), &|report| report.source.clone_from(&long)), "source has 256 bytes: at most 255 are kept"),
        (wrong(right(), &|report| report.category = "a\nb".to_owned()), "category has a control character"),
        (wrong(right(), &|report| report.weight = f64::NAN), "weight NaN is not from 0 to 1"),
        (wrong(right(), &|report| report.subject = "word".to_owned()), "`word` is no address, prefix, domain or URL"),
    ] {
        assert_eq!(event, Err(said.to_owned()));
    }
}

#[test]
fn what_is_old_is_dropped_and_what_holds_is_not() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    let day = 86_400;
    append(&mut log, &[report("192.0.2.1", 0), report("192.0.2.2", 16 * 86_400)]);
    append(
        &mut log,
        &[
            change("192.0.2.1", 0, add(), None),
            change("192.0.2.2", 0, add(), None),
            change("192.0.2.2", 0, add(), Some(day)),
            change("192.0.2.3", 0, add(), None),
            change("192.0.2.3", 0, Action::Withdraw { number: 6 }, None),
            with_key(change("192.0.2.4", 0, Action::Remove, None), 1),
        ],
    );
    for number in 1..=3 {
        let generation = Generation { number, entries: Vec::new(), ..Generation::default() };
        append(&mut log, &[Event { key: None, at: 0, who: String::new(), what: What::Generation(generation) }]);
    }
    let live = log.live_changes(20 * day).unwrap();
    let retention = Retention { report_age: 5 * 86_400, reports: 100, audit_age: 5 * 86_400 };
    let mut steps = 0;
    while log.prune(&retention, 20 * day).unwrap() > 0 {
        steps += 1;
        assert_eq!(log.live_changes(20 * day).unwrap(), live, "what holds changed");
    }
    assert!(steps > 0);
    let left: Vec<u64> = all_of(&mut log).iter().map(|event| event.number).collect();
    // the second report is new enough; changes 3 and 8 hold; the last generation stays
    assert_eq!(left, [2, 3, 8, 11]);
    // its key was dropped with its age, so it is news
    assert_eq!(append(&mut log, &[with_key(change("192.0.2.4", 0, Action::Remove, None), 1)]), [12]);

    append(&mut log, &[report("192.0.2.3", 20 * 86_400), report("192.0.2.4", 20 * 86_400)]);
    let few = Retention { reports: 1, ..Retention::default() };
    while log.prune(&few, 20 * day).unwrap() > 0 {}
    let reports = all_of(&mut log).into_iter().filter(|event| matches!(event.event.what, What::Report(_)));
    assert_eq!(reports.map(|event| event.number).collect::<Vec<_>>(), [14]);
}

#[test]
fn a_clock_that_goes_back_brings_nothing_back() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).unwrap();
    append(&mut log, &[change("192.0.2.1", 1000, add(), Some(2000))]);
    append(&mut log, &[change("192.0.2.1", 900, Action::Remove, None)]);
    append(&mut log, &[change("192.0.2.2", 1000, add(), Some(2000)), report("192.0.2.9", 2500)]);
    let holding =
        |log: &mut SqliteLog, now| log.live_changes(now).unwrap().iter().map(|c| c.number).collect::<Vec<_>>();
    // the number decides, not the time; and at 2500 the third had expired, which an hour that comes twice does not undo
    assert_eq!(holding(&mut log, 1500), [2]);
    drop(log);
    assert_eq!(holding(&mut SqliteLog::open(&path).unwrap(), 0), [2]);
}

#[test]
fn a_store_of_an_earlier_program_is_brought_up_to_date() {
    let (_folder, path) = folder();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("../schema.sql")).unwrap();
    let generation =
        "INSERT INTO generation VALUES (1, 1, 5, 'a', 'start'); UPDATE meta SET value = 2 WHERE name = 'next';
        INSERT INTO generation_dataset (number, dataset, entries, entered, left, changed) VALUES (1, 'd', 7, 0, 0, 0);";
    connection.execute_batch(generation).unwrap();
    connection.execute_batch(&format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 1")).unwrap();
    drop(connection);
    assert!(matches!(Reader::open(&path), Err(LogError::Older { found: 1, known: 2, .. })));
    let mut log = SqliteLog::open(&path).expect("a log");
    append(&mut log, &[request("192.0.2.1", 9)]);
    drop(log);
    let mut log = SqliteLog::open(&path).expect("a log");
    let [first, second] = &all_of(&mut log)[..] else { panic!("two events") };
    let What::Generation(generation) = &first.event.what else { panic!("{first:?}") };
    assert_eq!((generation.datasets[0].before, generation.datasets[0].entries), (0, 7));
    assert_eq!((second.number, &second.event), (2, &request("192.0.2.1", 9)));
}

#[test]
fn requests_are_kept() {
    let (_folder, path) = folder();
    let mut log = SqliteLog::open(&path).expect("a log");
    append(&mut log, &[report("192.0.2.1", 5)]);
    assert_eq!(Reader::open(&path).unwrap().requests(0, 10).unwrap(), []);
    let asked: Vec<Event> = (0..3).map(|at| request("192.0.2.1", 10 * at)).collect();
    assert_eq!(append(&mut log, &asked), [2, 3, 4]);
    let reader = Reader::open(&path).unwrap();
    let found: Vec<Event> = reader.requests(10, 10).unwrap().into_iter().map(|request| request.event).collect();
    assert_eq!(found, asked[1..]);
    assert_eq!(reader.requests(0, 1).unwrap()[0].number, 4, "the latest");
    assert_eq!(all_of(&mut log).len(), 4);
    let long = Event {
        what: What::Request(RemovalRequest {
            subject: "a".to_owned(),
            contact: "x".repeat(MAX_NAME + 1),
            text: String::new(),
        }),
        ..request("a", 0)
    };
    assert!(long.check().is_err());
}
