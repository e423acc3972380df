use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::cli::load;
use crate::reload::Store;

/// The example zones.
fn store() -> Store {
    let config = load::config(Some(Path::new("zones/infamy.toml"))).unwrap();
    let mut store = Store::new(config.plan);
    store.load(now());
    store
}

/// What is found of a subject in the example zones.
fn look(text: &str) -> Found {
    let mut store = store();
    let snapshot = store.snapshot().unwrap();
    let served = Served {
        snapshot: &snapshot,
        plan: store.plan(),
        live: &|_| Vec::new(),
        generation: 7,
        since: &|dataset, [entry, _]| (dataset == "networks" && !entry.is_empty()).then_some(1_700_000_000),
        reports: "reports",
    };
    found(&subject(text, &snapshot, store.plan()).unwrap(), &served).unwrap()
}

#[test]
fn what_is_written_is_read_as_one_spelling() {
    let mut store = store();
    let snapshot = store.snapshot().unwrap();
    let subject = |text: &str| subject(text, &snapshot, store.plan());
    for (written, text, kind) in [
        ("192.0.2.1", "192.0.2.1", Kind::Address),
        ("192.0.2.77/24", "192.0.2.0", Kind::Address),
        ("(192.0.2.77/24),", "192.0.2.0", Kind::Address),
        ("::ffff:192.0.2.1", "192.0.2.1", Kind::Address),
        ("[2001:DB8::1]", "2001:db8::1", Kind::Address),
        ("77.2.0.192.bl.example.", "192.0.2.77", Kind::Address),
        ("shop.phish.example.dbl.example", "shop.phish.example", Kind::Domain),
        ("test.dbl.example", "test", Kind::Domain),
        ("www.bl.example", "www.bl.example", Kind::Domain),
        ("bl.example", "bl.example", Kind::Domain),
        ("Example.COM.", "example.com", Kind::Domain),
        ("münchen.example", "xn--mnchen-3ya.example", Kind::Domain),
        ("http://example.com/a", "http://example.com/a", Kind::Url),
        ("<http://example.com/a>", "http://example.com/a", Kind::Url),
        ("A@Example.com", "a@example.com", Kind::Mailbox),
        ("D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e", Kind::Domain),
    ] {
        let read = subject(written).unwrap();
        assert_eq!((&*read.text, read.kind), (text, kind), "{written}");
        assert_eq!(subject(&read.text).unwrap().text, text, "{written}");
    }
    assert_eq!(subject("xn--mnchen-3ya.example").unwrap().unicode.as_deref(), Some("münchen.example"));
    for wrong in ["", "a b", "hello", "<script>", "192.0.2.1; x", "..", "\u{7}.example", "localhost:80"] {
        assert_eq!(subject(wrong), Err(NoSubject), "{wrong:?}");
    }
}

#[test]
fn one_spelling_is_read_as_itself() {
    let mut store = store();
    let snapshot = store.snapshot().unwrap();
    let written = prop_oneof![
        ".{0,20}",
        "[a-zA-Z0-9.:@/\\\\ß-ü\u{200b}-]{0,20}",
        ".{1,6}@.{1,6}\\.x",
        ".{1,8}\\.x",
        "[.,(]?(.{1,4}\\.){1,4}dbl\\.example"
    ];
    proptest!(|(text in written)| {
        if let Ok(read) = subject(&text, &snapshot, store.plan()) {
            let again = subject(&read.text, &snapshot, store.plan());
            prop_assert_eq!(again.as_ref().map(|again| &again.text), Ok(&read.text), "{}", text);
        }
    });
}

#[test]
fn values_say_what_the_contract_of_their_kind_has() {
    let of = |says, a: [u8; 4]| standing(says, Some(a.into()));
    assert_eq!(standing(Says::Itself, None), Standing::Listed);
    assert_eq!(of(Says::Around, [127, 0, 8, 2 + 64]), Standing::Bad);
    assert_eq!(of(Says::Around, [127, 0, 8, 3]), Standing::Suspicious);
    assert_eq!(of(Says::Around, [127, 0, 8, 4 + 16]), Standing::Watch);
    assert_eq!(of(Says::Score, [127, 0, 3, 74]), Standing::Suspicious);
    assert_eq!(of(Says::Score, [127, 0, 4, 49]), Standing::Watch);
    assert_eq!(of(Says::Score, [127, 0, 1, 60]), Standing::Listed);
    assert_eq!(of(Says::Score, [127, 0, 7, 30]), Standing::Watch);
    assert_eq!(standing(Says::Origin, None), Standing::None);
}

#[test]
fn a_neighbor_of_the_reported_is_not_listed_and_told_why() {
    let found = look("203.0.113.9");
    assert!(!found.listed && found.standing == Standing::Suspicious, "{found:#?}");
    let around = found.around.unwrap();
    assert_eq!((&*around.block, around.asn), ("203.0.113.0/24", Some(64500)));
    assert!(around.standings.contains(&Standing::Listed), "{:?}", around.standings);
    assert_eq!(around.standings[9], Standing::Suspicious);
    let verdict = &found.verdicts[0];
    assert_eq!(verdict.about, "send");
    assert_eq!(verdict.chain.first().unwrap().node, "203.0.113.0/24");
    assert_eq!(verdict.chain.last().unwrap().node, "all");
    let product: f64 = verdict.terms.iter().map(|term| term.sum).sum();
    assert!((product - verdict.lift.unwrap().ln()).abs() < 1e-6);
}

#[test]
fn nothing_of_the_operators_is_told() {
    for subject in ["203.0.113.9", "192.0.2.200", "shop.phish.example", "203.0.113.1", "2001:db8::1", "198.51.100.7"] {
        let json = serde_json::to_string(&look(subject)).unwrap();
        for secret in ["zones/", "lists/", ".txt", ".csv", "mailbox", "\"trap", "\"line\""] {
            assert!(!json.contains(secret), "{subject} {secret}: {json}");
        }
    }
}

#[test]
fn a_listing_has_its_entry_and_since_when() {
    let found = look("198.51.100.7");
    let told = serde_json::to_string(&found).unwrap();
    let all = found.zones.iter().flat_map(|zone| &zone.why);
    let reason = all.clone().find(|reason| reason.dataset.as_deref() == Some("networks"));
    assert_eq!(reason.and_then(|reason| reason.since.as_deref()), Some("2023-11-14T22:13:20Z"), "{told}");
}
