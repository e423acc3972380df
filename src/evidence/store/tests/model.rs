//! A log in memory, which is right by being simple, and random events for both.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::evidence::{Collector, Evidence};

/// All events by number; everything else is found by going through them.
#[derive(Default)]
struct MemoryLog {
    events: BTreeMap<u64, Event>,
    next: u64,
}

impl EvidenceLog for MemoryLog {
    fn append(&mut self, submissions: &[&[Event]]) -> Result<Vec<Result<Vec<Appended>, Conflict>>, LogError> {
        Ok(submissions.iter().map(|events| self.submission(events)).collect())
    }

    fn replay(&mut self, after: u64, each: &mut dyn FnMut(Numbered)) -> Result<(), LogError> {
        for (&number, event) in self.events.range(after + 1..) {
            each(Numbered { number, event: event.clone() });
        }
        Ok(())
    }

    fn live_changes(&mut self, now: i64) -> Result<Vec<Numbered>, LogError> {
        let now = self.events.values().map(|event| event.at).fold(now, i64::max);
        Ok(holding(&self.events, now))
    }

    fn prune(&mut self, _: &Retention, _: i64) -> Result<u64, LogError> {
        Ok(0)
    }
}

impl MemoryLog {
    fn submission(&mut self, events: &[Event]) -> Result<Vec<Appended>, Conflict> {
        let before = (self.events.clone(), self.next);
        let mut kept = Vec::new();
        for event in events {
            let known = self.events.iter().find(|(_, known)| event.key.is_some() && known.key == event.key);
            match known {
                Some((&number, known)) if said(known) == said(event) => kept.push(Appended { number, is_new: false }),
                Some((&number, _)) => {
                    (self.events, self.next) = before;
                    return Err(Conflict { key: event.key.expect("it was found by it"), number });
                }
                None => {
                    self.next += 1;
                    self.events.insert(self.next, event.clone());
                    kept.push(Appended { number: self.next, is_new: true });
                }
            }
        }
        Ok(kept)
    }
}

/// What a client said: neither when it came nor what that comes to.
fn said(event: &Event) -> (String, What) {
    let mut what = event.what.clone();
    match &mut what {
        What::Report(report) if i64::from(report.time.0) == event.at => report.time = Time(0),
        What::Change(change) => change.expires = change.expires.map(|_| 0),
        _ => {}
    }
    (event.who.clone(), what)
}

/// The changes of a set of events that hold: the last of each subject, if it has neither expired nor was withdrawn.
fn holding(events: &BTreeMap<u64, Event>, now: i64) -> Vec<Numbered> {
    let changes = || {
        events.iter().filter_map(|(number, event)| match &event.what {
            What::Change(change) => Some((*number, event, change)),
            _ => None,
        })
    };
    let is_withdrawal = |change: &StoredChange| matches!(change.action, Action::Withdraw { .. });
    let mut last = BTreeMap::new();
    for (number, event, change) in changes().filter(|(_, _, change)| !is_withdrawal(change)) {
        last.insert((&change.dataset, &change.subject), (number, event, change));
    }
    let is_withdrawn =
        |number: u64| changes().any(|(by, _, change)| by > number && change.action == Action::Withdraw { number });
    let mut holding: Vec<Numbered> = last
        .into_values()
        .filter(|(number, _, change)| change.expires.is_none_or(|expires| expires > now) && !is_withdrawn(*number))
        .map(|(number, event, _)| Numbered { number, event: event.clone() })
        .collect();
    holding.sort_by_key(|change| change.number);
    holding
}

fn any_event() -> impl Strategy<Value = Event> {
    let subject = (0u8..4).prop_map(|last| format!("192.0.2.{last}"));
    let action =
        prop_oneof![Just(add()), Just(Action::Remove), (1u64..20).prop_map(|number| Action::Withdraw { number })];
    let a_change = (subject.clone(), action, 0i64..50, proptest::option::of(0i64..100))
        .prop_map(|(subject, action, at, expires)| change(&subject, at, action, expires));
    let a_report = (subject.clone(), 0u32..50).prop_map(|(subject, time)| report(&subject, time));
    let a_request = (subject, 0i64..50).prop_map(|(subject, at)| request(&subject, at));
    let keyed = (prop_oneof![a_report, a_change, a_request], proptest::option::of(0u8..6));
    keyed.prop_map(|(event, key)| match key {
        Some(key) => with_key(event, key),
        None => event,
    })
}

/// Events as they are read back, without their keys.
fn without_keys(events: Vec<Numbered>) -> Vec<Numbered> {
    let without = |numbered: Numbered| Numbered { event: Event { key: None, ..numbered.event }, ..numbered };
    events.into_iter().map(without).collect()
}

fn collected(path: &std::path::Path) -> Evidence {
    let mut collector = Collector::default();
    Reader::open(path).unwrap().collect(Time(1000), &mut collector).unwrap();
    collector.build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_store_does_what_a_log_in_memory_does(
        submissions in proptest::collection::vec(proptest::collection::vec(any_event(), 1..4), 1..12),
        group in 1usize..4,
    ) {
        let (_folder, path) = folder();
        let (mut store, mut model) = (SqliteLog::open(&path).unwrap(), MemoryLog::default());
        for some in submissions.chunks(group) {
            let some: Vec<&[Event]> = some.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(store.append(&some).unwrap(), model.append(&some).unwrap());
        }
        prop_assert_eq!(all_of(&mut store), without_keys(all_of(&mut model)));
        for now in [0, 30, 60] {
            let expected = without_keys(model.live_changes(now).unwrap());
            prop_assert_eq!(&store.live_changes(now).unwrap(), &expected);
            prop_assert_eq!(Reader::open(&path).unwrap().live_changes(now).unwrap(), expected);
        }
        drop(store);
        let mut store = SqliteLog::open(&path).unwrap();
        prop_assert_eq!(all_of(&mut store), without_keys(all_of(&mut model)));
    }

    #[test]
    fn reports_may_come_in_any_order_and_more_than_once(
        reports in proptest::collection::vec((0u8..4, 0u32..50), 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 20..60),
    ) {
        let keyed = |(key, &(last, time)): (u8, &(u8, u32))| with_key(report(&format!("192.0.2.{last}"), time), key);
        let reports: Vec<Event> = (0..).zip(&reports).map(keyed).collect();
        let (_folder, path) = folder();
        let mut log = SqliteLog::open(&path).unwrap();
        append(&mut log, &reports);
        let (_other_folder, other_path) = folder();
        let mut other = SqliteLog::open(&other_path).unwrap();
        for index in &order {
            append(&mut other, &[index.get(&reports).clone()]);
        }
        append(&mut other, &reports);
        prop_assert_eq!(all_of(&mut other).len(), reports.len());
        prop_assert_eq!(collected(&path).ip4, collected(&other_path).ip4);
    }

    #[test]
    fn what_holds_depends_on_the_set_of_changes_and_not_on_how_they_come(
        events in proptest::collection::vec(any_event(), 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 20..60),
    ) {
        let numbered: Vec<(u64, Event)> = (1..).zip(events).collect();
        let in_order: BTreeMap<u64, Event> = numbered.iter().cloned().collect();
        let mut shuffled = BTreeMap::new();
        for (number, event) in order.iter().map(|index| index.get(&numbered)).chain(numbered.iter().rev()) {
            shuffled.insert(*number, event.clone());
        }
        prop_assert_eq!(holding(&in_order, 40), holding(&shuffled, 40));
    }
}
