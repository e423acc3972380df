//! What a visitor of the lookup page may know of a subject.
//!
//! It is what `lookup` finds, less what is the operator's own: paths and lines, the names of sources and of people, and
//! zones that have an access list. Invariant: what it costs is bounded, as anybody may ask.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::anyhow;
use ipnet::IpNet;
use serde::Deserialize;

use super::super::now;
use super::super::selftest::reversed4;
use super::origin::{FoundOrigin, Kind as OriginKind};
use super::{InZone, Known, LiveOf, Reach, Subject, Verdict, look_up};
use crate::answer::hits::{Hits, Sought, find};
use crate::dataset::{Emitted, Says};
use crate::dnsxl::{Name, QueryName};
use crate::evidence::Time;
use crate::http::api::At;
use crate::http::page::{self, Around, Evidence, Found, Kind, NoSubject, Node, Reason, Role, Standing, TermSum};
use crate::reload::{Plan, ZonePlan};
use crate::snapshot::Snapshot;
use crate::zone::Zone;

/// What there is to look into.
pub(in crate::cli) struct Served<'s> {
    pub(in crate::cli) snapshot: &'s Snapshot,
    pub(in crate::cli) plan: &'s Plan,
    pub(in crate::cli) live: LiveOf<'s>,
    pub(in crate::cli) generation: u64,
    /// Since when a dataset has one of two subjects, a Unix time in seconds, if that is known.
    pub(in crate::cli) since: &'s dyn Fn(&str, [&str; 2]) -> Option<i64>,
    /// Who changes verdicts between two surveys.
    pub(in crate::cli) reports: &'s str,
}

/// Reads what a visitor wrote: of a prefix its first address is meant.
pub(in crate::cli) fn subject(text: &str) -> Result<page::Subject, NoSubject> {
    if text.contains(char::is_control) {
        return Err(NoSubject);
    }
    let first = text.parse::<IpNet>().map(|net| net.network().to_string());
    let text = first.as_deref().unwrap_or(text);
    let (text, kind) = match Subject::parse(text).map_err(|_| NoSubject)? {
        Subject::Address(address) => (address.to_canonical().to_string(), Kind::Address),
        Subject::Domain(name) => (name.to_string().trim_end_matches('.').to_owned(), Kind::Domain),
        Subject::Mailbox(mailbox, _) => (mailbox, Kind::Mailbox),
        Subject::Url(_) => (text.to_owned(), Kind::Url),
    };
    // a text of one label is a typo more often than a name, unless it is a hash or what RFC 5782 has lists tested by
    let is_name = kind != Kind::Domain || text.contains('.') || text.len() >= SHORTEST_HASH || text == "test";
    if !is_name {
        return Err(NoSubject);
    }
    let unicode = (kind == Kind::Domain && text.contains("xn--")).then(|| idna::domain_to_unicode(&text));
    let unicode = unicode.and_then(|(name, wrong)| wrong.is_ok().then_some(name)).filter(|name| *name != text);
    Ok(page::Subject { text, unicode, kind })
}

/// Looks up a subject.
///
/// # Errors
///
/// As of `lookup`.
pub(in crate::cli) fn found(asked: &page::Subject, served: &Served<'_>) -> anyhow::Result<Found> {
    let subject = Subject::parse(&asked.text).map_err(|_| anyhow!(NoSubject))?;
    let known = Known { plan: served.plan, live: served.live, reach: Reach::Short };
    let found = look_up(&asked.text, &subject, served.snapshot, known, is_open)?;
    let mut hits = Hits::new();
    let zones: Vec<page::InZone> =
        found.zones.into_iter().map(|zone| in_zone(zone, &asked.text, served, &mut hits)).collect();
    let verdicts = verdicts(found.verdicts);
    let around = match asked.text.parse() {
        Ok(IpAddr::V4(address)) => Some(around(address, served, &verdicts, &mut hits)),
        _ => None,
    };
    let standing = zones.iter().map(|zone| zone.standing).max().unwrap_or_default();
    Ok(Found {
        subject: asked.clone(),
        listed: standing == Standing::Listed,
        standing,
        generation: served.generation,
        at: At(Time(u32::try_from(now().0).unwrap_or(0))),
        zones,
        around,
        verdicts: verdicts.into_iter().map(|read| read.verdict).collect(),
    })
}

/// Whether anybody may see what a zone says.
fn is_open(zone: &ZonePlan) -> bool {
    zone.access.is_none()
}

fn in_zone(zone: InZone, subject: &str, served: &Served<'_>, hits: &mut Hits) -> page::InZone {
    let (index, name) = &zone.asked;
    let of_zone = served.snapshot.zones().get(*index).zip(served.plan.zones.get(*index));
    let standing = of_zone.map(|(of, plan)| standing_of(name, of, plan, served.plan, hits)).unwrap_or_default();
    let says = of_zone.map(|(_, plan)| all_say(plan, served.plan)).unwrap_or_default();
    let is_origin = !says.is_empty() && says.iter().all(|says| *says == Says::Origin);
    let is_around = !says.is_empty() && !says.contains(&Says::Itself);
    // what every list has stands in no dataset
    let is_test = zone.origins.iter().any(|origin| origin.kind == OriginKind::TestEntry);
    let standing = if is_test && standing == Standing::None { Standing::Listed } else { standing };
    let mut why: Vec<Reason> = zone.origins.iter().map(|origin| reason(origin, &zone.txt, subject, served)).collect();
    why.dedup();
    page::InZone {
        role: match () {
            () if is_origin => Role::Origin,
            () if is_around => Role::Verdicts,
            () => Role::List,
        },
        zone: zone.place,
        standing,
        status: zone.status,
        a: zone.a,
        txt: zone.txt,
        why,
    }
}

/// What the datasets of a zone say of their subjects.
fn all_say(zone: &ZonePlan, plan: &Plan) -> Vec<Says> {
    zone.datasets.iter().map(|(index, _)| says(plan, *index)).collect()
}

fn says(plan: &Plan, dataset: usize) -> Says {
    plan.datasets[dataset].emitted.as_ref().map_or(Says::Itself, |Emitted(emitter)| emitter.says())
}

/// The strongest that a zone says of a name.
fn standing_of(name: &Name, zone: &Zone, of_plan: &ZonePlan, plan: &Plan, hits: &mut Hits) -> Standing {
    if zone.unavailable || zone.expires.is_some_and(|expires| expires <= now()) {
        return Standing::None;
    }
    hits.clear();
    let query = QueryName::from(name);
    find(zone, Sought::read(query.labels()), now(), hits);
    let all = hits.iter().flat_map(|hit| {
        let dataset = of_plan.datasets.get(zone.placed[hit.placed].dataset_index);
        let says = dataset.map_or(Says::Itself, |(index, _)| says(plan, *index));
        hit.values(zone).map(move |value| standing(says, value.a))
    });
    all.max().unwrap_or_default()
}

/// What a value says of its subject.
fn standing(says: Says, a: Option<Ipv4Addr>) -> Standing {
    match (says, a.map(|a| a.octets())) {
        (Says::Itself, _) => Standing::Listed,
        (Says::Around, Some([.., code])) => match code & 0x0f {
            2 => Standing::Bad,
            3 => Standing::Suspicious,
            _ => Standing::Watch,
        },
        // of blocks the scores that states are capped at; of what was reported itself from where it is listed
        (Says::Score, Some([.., 2..=5, score])) => match score {
            75.. => Standing::Bad,
            50.. => Standing::Suspicious,
            _ => Standing::Watch,
        },
        (Says::Score, Some([.., 8, _])) => Standing::Watch,
        (Says::Score, Some([.., score])) if score >= 50 => Standing::Listed,
        (Says::Score, Some(_)) => Standing::Watch,
        (Says::Around | Says::Score, None) | (Says::Origin, _) => Standing::None,
    }
}

fn reason(origin: &FoundOrigin, txt: &[String], subject: &str, served: &Served<'_>) -> Reason {
    let is_reported = origin.change.as_ref().is_some_and(|change| change.who == served.reports);
    let is_removed = origin.change.as_ref().is_some_and(|change| change.action == "removed");
    let kind = match origin.kind {
        OriginKind::Listing => "listing",
        OriginKind::Exclusion => "exclusion",
        OriginKind::Live if is_reported => "verdict",
        OriginKind::Verdict => "verdict",
        OriginKind::Live if is_removed => "removed",
        OriginKind::Live => "live",
        OriginKind::Allowed => "allowed",
        OriginKind::Compiled => "compiled",
        OriginKind::TestEntry => "test-entry",
        OriginKind::NeverList => "never-list",
    };
    let since = match kind {
        "listing" | "compiled" => {
            let since = origin.dataset.as_ref().and_then(|name| (served.since)(name, [&origin.entry, subject]));
            since.map(|since| Time(u32::try_from(since).unwrap_or(0)).to_string())
        }
        "live" | "removed" => origin.change.as_ref().map(|change| change.at.clone()),
        _ => None,
    };
    let said = txt.iter().find(|text| kind == "verdict" && word(text, "node").is_some());
    let said = |key| said.and_then(|text| word(text, key)).map(str::to_owned);
    Reason {
        kind,
        dataset: origin.dataset.clone(),
        entry: said("node").unwrap_or_else(|| origin.entry.clone()),
        since,
        last: said("last"),
        until: said("until").or_else(|| origin.change.as_ref().and_then(|change| change.expires.clone())),
    }
}

/// The value of a word `key=value` in a text.
fn word<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.split(' ').find_map(|word| word.split_once('=').filter(|(known, _)| *known == key)).map(|(_, value)| value)
}

/// The /24 of an address, each of its addresses by the strongest that any zone says of it.
fn around(address: Ipv4Addr, served: &Served<'_>, verdicts: &[Read], hits: &mut Hits) -> Around {
    let first = u32::from(address) & !0xff;
    let mut standings = vec![Standing::None; 256];
    let all = served.snapshot.zones().iter().zip(&served.plan.zones);
    for (zone, of_plan) in all.filter(|(_, of_plan)| is_open(of_plan)) {
        let mut places: Vec<&Name> =
            zone.placed.iter().filter(|placed| placed.holds.ip4).map(|placed| &placed.under).collect();
        places.sort_unstable();
        places.dedup();
        for under in places {
            for (last, standing) in (0..256).zip(&mut standings) {
                let Ok(name) = reversed4((first | last).into()).under(under) else { continue };
                *standing = standing_of(&name, zone, of_plan, served.plan, hits).max(*standing);
            }
        }
    }
    let announced = verdicts.iter().find(|read| read.route.is_some());
    Around {
        first,
        block: format!("{}/24", Ipv4Addr::from(first)),
        standings,
        prefix: announced.and_then(|read| read.route.clone()),
        asn: announced.map(|read| read.asn),
    }
}

/// A verdict, and what announces its subject.
struct Read {
    verdict: page::Verdict,
    route: Option<String>,
    asn: u32,
}

/// Reasons of verdicts as the emitter has them for programs; what is not known here is left out.
#[derive(Deserialize)]
struct Reasons {
    #[serde(default)]
    families: Vec<OfFamily>,
    #[serde(default)]
    blocks: Vec<String>,
    name: Option<OfName>,
}

#[derive(Deserialize)]
struct OfFamily {
    family: String,
    state: String,
    score: u8,
    node: String,
    lift: Option<f64>,
    route: Option<String>,
    asn: u32,
    rule: String,
    leaves: Option<String>,
    evidence: Evidence,
    chain: Vec<Rate>,
    groups: Vec<TermSum>,
}

#[derive(Deserialize)]
struct Rate {
    node: String,
    arrivals: f64,
    blocks: u32,
    rate: f64,
}

#[derive(Deserialize)]
struct OfName {
    registrable: Option<String>,
    suffix: String,
    chain: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    node: String,
    level: String,
    listed: bool,
    score: u8,
    urls: u32,
    hosts: u32,
    rule: String,
    until: Option<String>,
}

/// What verdicts come to, each once, whatever datasets say it.
fn verdicts(found: Vec<Verdict>) -> Vec<Read> {
    let mut all: Vec<Read> = Vec::new();
    for verdict in found {
        let Ok(reasons) = serde_json::from_value::<Reasons>(verdict.detail) else { continue };
        let families = reasons.families.into_iter().map(of_family);
        let blocks = reasons.blocks.iter().map(|text| of_block(text));
        for read in families.chain(blocks).chain(reasons.name.into_iter().map(of_name)) {
            if !all.iter().any(|known| known.verdict.about == read.verdict.about) {
                all.push(read);
            }
        }
    }
    all
}

fn of_family(family: OfFamily) -> Read {
    let mean = family.chain.first().map_or(0.0, |all| all.rate);
    let node = |rate: &Rate| Node {
        what: match &*rate.node {
            node if family.route.as_deref() == Some(node) => "announced prefix",
            node if node.starts_with("AS") => "its network",
            "all" => "all that is announced",
            _ => "its /24",
        }
        .to_owned(),
        node: rate.node.clone(),
        known: match rate.blocks {
            1 => format!("{:.1} arrivals", rate.arrivals),
            blocks => format!("{:.1} arrivals in {blocks} /24s", rate.arrivals),
        },
        times: (mean > 0.0).then(|| rate.rate / mean),
    };
    let mut chain: Vec<Node> = family.chain.iter().rev().map(node).collect();
    // an announced /24 is one block
    chain.dedup_by(|wider, narrower| wider.node == narrower.node);
    let verdict = page::Verdict {
        about: family.family,
        state: family.state,
        score: Some(family.score),
        node: family.node,
        lift: family.lift,
        rule: family.rule,
        leaves: family.leaves,
        evidence: Some(family.evidence),
        chain,
        terms: family.groups,
        told: Vec::new(),
    };
    Read { verdict, route: family.route, asn: family.asn }
}

/// An IPv6 block by its text.
fn of_block(text: &str) -> Read {
    let said = |key| word(text, key).unwrap_or_default().to_owned();
    let number = |key| word(text, key).and_then(|value| value.parse().ok()).unwrap_or(0);
    let last = word(text, "last").map(str::to_owned);
    let evidence = Evidence { reports: number("n"), days: number("days"), groups: number("groups"), last };
    let (about, state, node) = (said("family"), said("state"), said("node"));
    Read {
        verdict: page::Verdict { about, state, node, evidence: Some(evidence), ..page::Verdict::default() },
        route: None,
        asn: number("asn"),
    }
}

fn of_name(name: OfName) -> Read {
    let node = |step: Step| {
        let listed = if step.listed { "listed" } else { "not listed" };
        let seen = match &*step.level {
            "hazard" => format!("{} bad of {} names seen", step.urls, step.hosts),
            _ => format!("reports of {} URLs or hosts", step.urls),
        };
        let until =
            step.until.map(|until| format!(", until {}", until.get(..10).unwrap_or(&until))).unwrap_or_default();
        let what = match &*step.level {
            "exact" => "the name",
            "hazard" => "suffix",
            level => level,
        };
        Node {
            node: step.node,
            what: what.to_owned(),
            known: format!("{listed}, score {}: {}; {seen}{until}", step.score, step.rule),
            times: None,
        }
    };
    let told = match &name.registrable {
        Some(domain) => format!("It is in the domain {domain}, below the suffix {}.", name.suffix),
        None => format!("It is itself a suffix, below which others have names: {}.", name.suffix),
    };
    let nothing = name.chain.is_empty().then(|| "Nothing was reported at it or around it.".to_owned());
    let verdict = page::Verdict {
        about: "name".to_owned(),
        chain: name.chain.into_iter().map(node).collect(),
        told: [told].into_iter().chain(nothing).collect(),
        ..page::Verdict::default()
    };
    Read { verdict, route: None, asn: 0 }
}

/// The digits of an MD5 in base32: what is shorter is no key.
const SHORTEST_HASH: usize = 26;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::load;
    use crate::reload::Store;

    /// What is found of a subject in the example zones.
    fn look(text: &str) -> Found {
        let config = load::config(Some(Path::new("zones/infamy.toml"))).unwrap();
        let mut store = Store::new(config.plan);
        store.load(now());
        let snapshot = store.snapshot().unwrap();
        let served = Served {
            snapshot: &snapshot,
            plan: store.plan(),
            live: &|_| Vec::new(),
            generation: 7,
            since: &|dataset, [entry, _]| (dataset == "networks" && !entry.is_empty()).then_some(1_700_000_000),
            reports: "reports",
        };
        found(&subject(text).unwrap(), &served).unwrap()
    }

    #[test]
    fn what_is_written_is_read_as_one_spelling() {
        for (written, text, kind) in [
            ("192.0.2.1", "192.0.2.1", Kind::Address),
            ("192.0.2.77/24", "192.0.2.0", Kind::Address),
            ("::ffff:192.0.2.1", "192.0.2.1", Kind::Address),
            ("[2001:DB8::1]", "2001:db8::1", Kind::Address),
            ("Example.COM.", "example.com", Kind::Domain),
            ("münchen.example", "xn--mnchen-3ya.example", Kind::Domain),
            ("http://example.com/a", "http://example.com/a", Kind::Url),
            ("A@Example.com", "a@example.com", Kind::Mailbox),
        ] {
            let subject = subject(written).unwrap();
            assert_eq!((&*subject.text, subject.kind), (text, kind), "{written}");
            assert_eq!(super::subject(&subject.text).unwrap().text, text, "{written}");
        }
        assert_eq!(subject("xn--mnchen-3ya.example").unwrap().unicode.as_deref(), Some("münchen.example"));
        for wrong in ["", "a b", "hello", "<script>", "192.0.2.1; x", "..", "\u{7}.example"] {
            assert_eq!(subject(wrong), Err(NoSubject), "{wrong:?}");
        }
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
    fn a_neighbour_of_the_reported_is_not_listed_and_told_why() {
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
        for subject in
            ["203.0.113.9", "192.0.2.200", "shop.phish.example", "203.0.113.1", "2001:db8::1", "198.51.100.7"]
        {
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
}
