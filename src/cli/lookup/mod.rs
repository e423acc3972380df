//! `infamy lookup`: what every zone answers about a subject, and which line of which file it is from.
//!
//! Invariant: what is answered comes from the answer itself; what is told besides comes from reading the files again,
//! and shows them as they are now. Exits 0 if any subject is listed, 1 if none.

mod show;
mod subject;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use serde::Serialize;

use super::ask::ask;
use super::{load, now};
use crate::answer::hits::{Hits, Sought, find};
use crate::dataset::origin::trace;
use crate::dataset::{Emitted, Reasons};
use crate::dnsxl::number::{TYPE_A, TYPE_TXT};
use crate::dnsxl::{Name, QueryName};
use crate::reload::{Plan, Store, ZonePlan};
use crate::snapshot::Snapshot;
use crate::zone::{Placed, Zone};
use subject::Subject;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Prints one JSON object a line for each SUBJECT
    #[arg(long)]
    json: bool,
    /// IPv4 or IPv6 addresses, domains, URLs, e-mail addresses or hashes
    #[arg(required = true, value_name = "SUBJECT")]
    subjects: Vec<String>,
}

/// What is known of a subject; the form of the JSON too.
#[derive(Debug, Serialize)]
struct Found {
    subject: String,
    /// Whether any zone lists it.
    listed: bool,
    zones: Vec<InZone>,
    /// What verdicts, or the lack of one, were come to by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdicts: Vec<Verdict>,
}

/// How datasets of verdicts come to what they say of a subject.
#[derive(Debug, Serialize)]
struct Verdict {
    datasets: Vec<String>,
    /// The block or name that it is about.
    node: String,
    /// For people.
    #[serde(skip)]
    text: String,
    /// For programs: the terms.
    #[serde(flatten)]
    detail: serde_json::Value,
}

/// What one zone answers, by one name.
#[derive(Debug, Serialize)]
struct InZone {
    zone: String,
    /// The apex, or the name below it that the datasets stand under which were asked.
    place: String,
    qname: String,
    /// `NOERROR`, `NODATA`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`.
    status: &'static str,
    listed: bool,
    /// Seconds; of the first record.
    ttl: Option<u32>,
    a: Vec<String>,
    txt: Vec<String>,
    origins: Vec<FoundOrigin>,
}

/// A reason for an answer.
#[derive(Debug, Serialize)]
struct FoundOrigin {
    kind: Kind,
    /// The dataset; none for what no dataset says.
    dataset: Option<String>,
    path: Option<String>,
    line: Option<u64>,
    /// What the line speaks of, or what the never-list calls it.
    entry: String,
}

/// What a reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// A line that lists it.
    Listing,
    /// A line that excludes it.
    Exclusion,
    /// A verdict.
    Verdict,
    /// A compiled file that lists it: the lines that it was compiled from are not known.
    Compiled,
    /// RFC 5782, section 5.
    TestEntry,
    /// What no list may list.
    NeverList,
}

/// Looks up subjects in all zones.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = load::config(arguments.config.as_deref())?;
    // before the data is loaded, as a slip of the pen should not take long to be told
    let parsed: Result<Vec<_>, _> = arguments.subjects.iter().map(|text| Subject::parse(text)).collect();
    let subjects = arguments.subjects.iter().zip(parsed?);
    let mut store = Store::new(load::open_to_all(&config));
    for event in load::load(&mut store) {
        let name = &store.plan().datasets[event.dataset].name;
        event.result.map_err(|error| anyhow!("dataset {name}: {error}"))?;
    }
    let snapshot = store.snapshot()?;
    let mut out = io::stdout().lock();
    let mut is_any_listed = false;
    for (text, subject) in subjects {
        let found = look_up(text, &subject, &snapshot, store.plan())?;
        is_any_listed |= found.listed;
        match arguments.json {
            true => writeln!(out, "{}", serde_json::to_string(&found)?)?,
            false => show::print(&mut out, &found)?,
        }
    }
    out.flush()?;
    Ok(if is_any_listed { ExitCode::SUCCESS } else { ExitCode::from(NOT_LISTED) })
}

fn look_up(text: &str, subject: &Subject, snapshot: &Snapshot, plan: &Plan) -> anyhow::Result<Found> {
    let mut zones = Vec::new();
    for (zone, of_plan) in snapshot.zones().iter().zip(&plan.zones) {
        let names = zone.placed.iter().flat_map(|placed| {
            let names = subject.names(placed.part());
            names.into_iter().filter_map(|name| Some((name.under(&placed.under).ok()?, &placed.under)))
        });
        for (name, under) in names.collect::<BTreeMap<Name, &Name>>() {
            let place = under.under(&zone.apex).unwrap_or_default();
            zones.push(look_up_name(&name, &place, zone, of_plan, snapshot, plan)?);
        }
    }
    let verdicts = explain(subject, plan)?;
    Ok(Found { subject: text.to_owned(), listed: zones.iter().any(|zone| zone.listed), zones, verdicts })
}

/// What the datasets of verdicts come to their words by; those that say the same are told together.
fn explain(subject: &Subject, plan: &Plan) -> anyhow::Result<Vec<Verdict>> {
    let Some(asked) = subject.asked() else { return Ok(Vec::new()) };
    let mut verdicts: Vec<Verdict> = Vec::new();
    for spec in &plan.datasets {
        let Some(Emitted(emitter)) = &spec.emitted else { continue };
        let reasons = emitter.explain(now().0, &asked).map_err(|error| anyhow!("dataset {}: {error}", spec.name))?;
        let Some(Reasons { node, text, json }) = reasons else { continue };
        match verdicts.iter_mut().find(|known| known.text == text) {
            Some(known) => known.datasets.push(spec.name.clone()),
            None => verdicts.push(Verdict { datasets: vec![spec.name.clone()], node, text, detail: json }),
        }
    }
    Ok(verdicts)
}

/// What a zone answers about a name, what stands in front of its apex, and why.
fn look_up_name(
    name: &Name,
    place: &Name,
    zone: &Zone,
    of_plan: &ZonePlan,
    snapshot: &Snapshot,
    plan: &Plan,
) -> anyhow::Result<InZone> {
    let qname = name.under(&zone.apex).map_err(|error| anyhow!("{name}.{}: {error}", zone.apex))?;
    let [addresses, texts] = [TYPE_A, TYPE_TXT].map(|qtype| ask(snapshot, &qname, qtype, now()).unwrap_or_default());
    let ttl = addresses.answers.first().or_else(|| texts.answers.first()).map(|record| record.ttl);
    let listed = !addresses.answers.is_empty() || !texts.answers.is_empty();
    let mut origins = Vec::new();
    for (placed_index, (index, under)) in of_plan.datasets.iter().enumerate() {
        let Some(relative) = name.relative_to(under) else { continue };
        let spec = &plan.datasets[*index];
        let of_dataset: Vec<&Placed> =
            zone.placed.iter().filter(|placed| placed.dataset_index == placed_index).collect();
        if let Some(file) = of_dataset.first().and_then(|placed| placed.dataset().compiled.as_ref()) {
            let entries = of_compiled(&of_dataset, name, zone);
            origins.extend(entries.into_iter().map(|entry| FoundOrigin {
                kind: Kind::Compiled,
                dataset: Some(spec.name.clone()),
                path: Some(file.path().display().to_string()),
                line: None,
                entry,
            }));
            continue;
        }
        let lines = trace(spec, &QueryName::from(&relative), now().0)
            .map_err(|error| anyhow!("dataset {}: {error}", spec.name))?;
        origins.extend(lines.into_iter().map(|origin| {
            let in_file = spec.emitted.is_none();
            FoundOrigin {
                kind: match (origin.is_exclusion, in_file) {
                    (true, _) => Kind::Exclusion,
                    (false, true) => Kind::Listing,
                    (false, false) => Kind::Verdict,
                },
                dataset: Some(spec.name.clone()),
                path: in_file.then(|| origin.path.display().to_string()),
                line: in_file.then_some(origin.line),
                entry: origin.entry,
            }
        }));
    }
    let plain = |kind, entry| FoundOrigin { kind, dataset: None, path: None, line: None, entry };
    if listed && origins.is_empty() {
        origins.push(plain(Kind::TestEntry, name.to_string()));
    }
    if !listed && let Some(what) = forbidden(name, plan) {
        origins.push(plain(Kind::NeverList, what));
    }
    Ok(InZone {
        zone: zone.apex.to_string(),
        place: place.to_string(),
        qname: qname.to_string(),
        status: if listed { "NOERROR" } else { addresses.status() },
        listed,
        ttl,
        a: addresses.addresses().map(|address| address.to_string()).collect(),
        txt: texts.texts().collect(),
        origins,
    })
}

/// What a compiled dataset has of a name, what stands in front of the apex: its values, and whether it has records.
fn of_compiled(placed: &[&Placed], name: &Name, zone: &Zone) -> Vec<String> {
    let name = QueryName::from(name);
    let is_own = |index: usize| placed.iter().any(|placed| std::ptr::eq(*placed, &zone.placed[index]));
    let mut hits = Hits::new();
    find(zone, Sought::read(name.labels()), &mut hits);
    let values = hits.iter().filter(|hit| is_own(hit.placed)).flat_map(|hit| {
        let subject = hit.about.text(name.labels());
        hit.values(zone).map(move |value| show::value(&subject, &value))
    });
    let owns = |placed: &&&Placed| {
        placed.relative(name.labels()).is_some_and(|relative| placed.part().records.find(relative).is_some())
    };
    values.chain(placed.iter().filter(owns).map(|_| "records".to_owned())).collect()
}

/// What the never-list calls an address that a name asks about.
fn forbidden(name: &Name, plan: &Plan) -> Option<String> {
    let name = QueryName::from(name);
    let asked = crate::dnsxl::Subject::read(name.labels());
    let ip4 = asked.ip4.filter(|block| block.is_address()).map(|block| IpAddr::V4(block.bits.into()));
    let ip6 = asked.ip6.filter(|block| block.is_address()).map(|block| IpAddr::V6(block.bits.into()));
    let what = match ip4.or(ip6)?.to_canonical() {
        IpAddr::V4(address) => plan.never.forbids_ip4(address.into(), address.into()),
        IpAddr::V6(address) => plan.never.forbids_ip6(address.into(), address.into()),
    };
    what.map(str::to_owned)
}

/// The exit code if no subject is listed.
const NOT_LISTED: u8 = 1;
