use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::dataset::{Defaults, NeverList};
use crate::live::{self, By, Change, Effect, Kinds, OwnedValue};

const AT: i64 = 1_800_000_000;

fn change(store: &Store, dataset: usize, text: &str, effect: Effect, expires: Option<i64>) -> Change {
    let kinds = Kinds::of(&store.plan().datasets[dataset], None);
    let subject = live::Subject::parse(text, &kinds, &NeverList::empty()).unwrap();
    Change { subject, effect, expires, by: By { who: "anna".into(), at: AT, reason: Some("a mistake".into()) } }
}

/// What is found of a subject with changes of the dataset `trap` and of the allow list.
fn found(subject: &str, of_trap: &[(&str, Effect, Option<i64>)], of_allow: &[(&str, Effect, Option<i64>)]) -> Value {
    let config = load::config(Some(Path::new("tests/data/cli/allow.toml"))).unwrap();
    let mut store = Store::new(config.plan);
    store.load(now());
    let changes: Vec<Changes> = [of_trap, of_allow]
        .into_iter()
        .enumerate()
        .map(|(dataset, all)| {
            let mut changes = Changes::new(Defaults::default(), NeverList::empty());
            for (number, (text, effect, expires)) in (1..).zip(all) {
                changes.apply(number, change(&store, dataset, text, effect.clone(), *expires)).unwrap();
            }
            store.lay(dataset, changes.layer().unwrap().into_iter().collect());
            changes
        })
        .collect();
    let snapshot = store.snapshot().unwrap();
    let parsed = Subject::parse(subject).unwrap();
    let known = Known { plan: store.plan(), live: &|index| vec![&changes[index]], reach: Reach::Whole };
    let found = look_up(subject, &parsed, &snapshot, known, |_| true).unwrap();
    let mut out = Vec::new();
    show::print(&mut out, &found).unwrap();
    let mut value = serde_json::to_value(&found.zones[0]).unwrap();
    value["shown"] = json!(String::from_utf8(out).unwrap());
    value
}

#[test]
fn a_live_change_is_told_with_whose_it_is() {
    let value = OwnedValue { a: Some([127, 0, 0, 9].into()), ..OwnedValue::default() };
    let found = found("203.0.113.7", &[("203.0.113.0/24", Effect::add(value), Some(now().0 + 86_400))], &[]);
    assert_eq!((&found["listed"], &found["a"], &found["ttl"]), (&json!(true), &json!(["127.0.0.9"]), &json!(60)));
    let [origin] = &found["origins"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!(
        (&origin["kind"], &origin["dataset"], &origin["entry"]),
        (&json!("live"), &json!("trap"), &json!("203.0.113.0/24"))
    );
    assert_eq!((&origin["change"], &origin["action"], &origin["who"]), (&json!(1), &json!("added"), &json!("anna")));
    assert_eq!((&origin["at"], &origin["reason"]), (&json!("2027-01-15T08:00:00Z"), &json!("a mistake")));
    let shown = found["shown"].as_str().unwrap();
    assert!(shown.contains("    trap: 203.0.113.0/24 added by anna at 2027-01-15T08:00:00Z until "), "{shown}");
    assert!(shown.ends_with("Z: a mistake\n"), "{shown}");
}

#[test]
fn a_removal_stands_beside_the_lines_that_it_hides() {
    let found = found(
        "192.0.200.10",
        &[(".x.example", Effect::remove(), None), ("192.0.200.0/24", Effect::remove(), None)],
        &[],
    );
    assert_eq!(found["listed"], json!(false));
    let kinds: Vec<&Value> = found["origins"].as_array().unwrap().iter().map(|origin| &origin["kind"]).collect();
    assert_eq!(kinds, ["listing", "live"], "{found}");
    assert!(found["shown"].as_str().unwrap().contains("192.0.200.0/24 removed by anna"));
}

#[test]
fn what_was_added_to_an_allow_list_allows() {
    let found = found("192.0.200.10", &[], &[("192.0.200.0/24", Effect::add(OwnedValue::default()), None)]);
    assert_eq!(found["listed"], json!(false));
    let origins = found["origins"].as_array().unwrap();
    assert_eq!((&origins[1]["kind"], &origins[1]["dataset"]), (&json!("allowed"), &json!("good")), "{found}");
    assert!(found["shown"].as_str().unwrap().contains("allowed by good: 192.0.200.0/24 added by anna"));
}

#[test]
fn a_list_is_asked_about_what_is_only_added_to_it() {
    let found = found("www.new.example", &[(".new.example", Effect::add(OwnedValue::default()), None)], &[]);
    assert_eq!((&found["listed"], &found["qname"]), (&json!(true), &json!("www.new.example.bl.example")), "{found}");
}
