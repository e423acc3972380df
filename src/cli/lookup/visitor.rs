//! What a visitor of the lookup page may know of a subject.
//!
//! It is what `lookup` finds, less what is the operator's own: paths and lines, the names of sources and of people, and
//! zones that have an access list or keys. Invariant: what it costs is bounded, as anybody may ask.

mod reasons;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::anyhow;
use ipnet::IpNet;

use super::super::now;
use super::super::selftest::reversed4;
use super::origin::{FoundOrigin, Kind as OriginKind};
use super::subject::{TEST, spellings, without_dot};
use super::{InZone, Known, LiveOf, Reach, Subject, look_up};
use crate::answer::hits::{Hits, Sought, find};
use crate::dataset::{Emitted, Says};
use crate::dnsxl::{Name, QueryName};
use crate::evidence::Time;
use crate::http::api::At;
use crate::http::page::{self, Around, Found, Kind, NoSubject, Reason, Role, Standing};
use crate::reload::{Plan, ZonePlan};
use crate::snapshot::Snapshot;
use crate::zone::Zone;
use reasons::{Read, verdicts};

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

/// Reads what a visitor wrote: of a prefix its first address is meant, and by the name of a query what it asks about.
/// What it comes to is read as itself.
pub(in crate::cli) fn subject(text: &str, snapshot: &Snapshot, plan: &Plan) -> Result<page::Subject, NoSubject> {
    let read = spelt(text, snapshot, plan)?;
    // otherwise a browser would be sent from one spelling to the next
    if spelt(&read.text, snapshot, plan)?.text == read.text { Ok(read) } else { Err(NoSubject) }
}

fn spelt(text: &str, snapshot: &Snapshot, plan: &Plan) -> Result<page::Subject, NoSubject> {
    let prefix = spellings(text).into_iter().find_map(|text| text.parse::<IpNet>().ok());
    let subject = match prefix {
        Some(prefix) => Subject::Address(prefix.network()),
        None => Subject::parse(text).map_err(|_| NoSubject)?,
    };
    let open = snapshot.zones().iter().zip(&plan.zones).filter(|(_, of_plan)| is_open(of_plan));
    let (text, kind) = match subject.asked_of(open.map(|(zone, _)| zone)) {
        Subject::Address(address) => (address.to_canonical().to_string(), Kind::Address),
        // one label is a typo more often than a name
        Subject::Domain(name) if name.label_count() < 2 && without_dot(&name) != TEST => return Err(NoSubject),
        Subject::Domain(name) => (without_dot(&name), Kind::Domain),
        Subject::Digest(digest) => (digest, Kind::Domain),
        Subject::Mailbox(mailbox, _) => (mailbox, Kind::Mailbox),
        Subject::Url(text, _) => (text, Kind::Url),
    };
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
    zone.access.is_none() && zone.keys.is_none()
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

#[cfg(test)]
mod tests;
