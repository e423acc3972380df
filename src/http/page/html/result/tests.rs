use super::super::super::found::{Around, Evidence, Node, Subject, TermSum};
use super::super::super::{Listen, site::MAX_SUBJECT};
use super::*;
use crate::http::api::At;

/// What takes the most bytes as HTML.
fn worst(length: usize) -> String {
    "\"".repeat(length)
}

fn zone(standing: Standing) -> InZone {
    let reason = |kind| Reason {
        kind,
        dataset: Some("a".repeat(60)),
        entry: worst(255),
        since: Some("2026-07-12T10:00:00Z".to_owned()),
        last: Some("2026-07-12T10:00:00Z".to_owned()),
        until: Some("2026-07-12T10:00:00Z".to_owned()),
    };
    InZone {
        zone: "a".repeat(253),
        role: Role::List,
        standing,
        status: "NOERROR",
        a: vec!["127.255.255.254".to_owned(); 40],
        txt: vec![worst(255); 40],
        why: vec![reason("live"); 40],
    }
}

fn verdict(about: &str) -> Verdict {
    let node = || Node {
        node: "203.100.100.0/24".to_owned(),
        what: "announced prefix".to_owned(),
        known: "1234567.8 reported addresses in 16777216 /24s".to_owned(),
        times: Some(123_456.0),
    };
    Verdict {
        about: about.to_owned(),
        state: "suspicious".to_owned(),
        score: Some(74),
        node: "203.100.100.0/24".to_owned(),
        lift: Some(1234.5),
        rule: "suspicious: lift ≥ 250, 3 addresses, 3 days, as one group feeds the family; cloud is watch at most"
            .to_owned(),
        leaves: Some("when the lift of its /24 falls below 100, or when it comes back".to_owned()),
        evidence: Some(Evidence { reports: 256, days: 45, groups: 12, last: Some("2026-07-12T10:00:00Z".to_owned()) }),
        chain: (0..4).map(|_| node()).collect(),
        terms: vec![TermSum { name: "prefix shape".to_owned(), sum: 1.0 }; 5],
        told: Vec::new(),
    }
}

fn rendered(subject: &str, kind: Kind, zones: Vec<InZone>) -> String {
    let standings = (0..256).map(|at| Standing::ALL[at % 5]).collect();
    let (block, prefix) = ("203.100.100.0/24".to_owned(), Some("203.100.0.0/16".to_owned()));
    let around = Around { first: 0xcb64_6400, block, standings, prefix, asn: Some(4_200_000_000) };
    let is_address = kind == Kind::Address;
    let found = Found {
        subject: Subject { text: subject.to_owned(), unicode: None, kind },
        listed: true,
        standing: Standing::Listed,
        generation: u64::MAX,
        at: At(Time(1_783_850_400)),
        zones,
        around: is_address.then_some(around),
        verdicts: if is_address { vec![verdict("send"), verdict("host")] } else { Vec::new() },
    };
    let listen = Listen { name: worst(200), contact: Some(worst(200)), ..Listen::default() };
    let page = Page { found: &found, requested: None, takes_requests: true };
    result(&Look::of(&Listen { url: Some(format!("https://{}", "a".repeat(253))), ..listen }), &page).into_string()
}

#[test]
fn a_page_has_its_bounds_whatever_lists_say() {
    let mut zones = vec![zone(Standing::Listed); 64];
    zones.extend(vec![InZone { a: Vec::new(), txt: Vec::new(), why: Vec::new(), ..zone(Standing::None) }; 64]);
    zones.extend(vec![InZone { role: Role::Origin, ..zone(Standing::None) }; 4]);
    let page = rendered("203.100.100.200", Kind::Address, zones.clone());
    assert!(page.len() < 50_000, "{}", page.len());
    assert!(page.contains("more lists have it: <a href=\"/q/203.100.100.200?format=json\">"), "{page}");
    let page = rendered(&worst(MAX_SUBJECT), Kind::Url, zones);
    assert!(page.len() < 50_000, "{}", page.len());
}

#[test]
fn lists_that_say_little_are_all_there() {
    let reason = Reason { entry: "192.0.2.7".to_owned(), ..zone(Standing::Listed).why.remove(0) };
    let of = |at: usize, standing| InZone {
        zone: format!("list{at}.example"),
        a: vec!["127.0.0.2".to_owned()],
        txt: vec!["Seen in a trap, see https://lists.example/q/192.0.2.7".to_owned()],
        why: vec![Reason { last: None, until: None, ..reason.clone() }],
        ..zone(standing)
    };
    let zones = (0..8).map(|at| of(at, if at == 7 { Standing::Listed } else { Standing::Watch })).collect();
    let page = rendered("192.0.2.7", Kind::Address, zones);
    assert!((0..8).all(|at| page.contains(&format!("<h3>list{at}.example "))), "{page}");
    assert!(!page.contains(" more") && page.find("list7.example") < page.find("list0.example"), "{page}");
}
