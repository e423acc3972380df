//! `infamy lookup`: what every zone answers about a subject, and which line of which file it is from.
//!
//! Invariant: what is answered comes from the answer itself; what is told besides comes from reading the files again,
//! and shows them as they are now. Exits 0 if any subject is listed, 1 if none.

mod origin;
mod show;
mod subject;
pub(super) mod visitor;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use serde::Serialize;

use super::ask::ask;
use super::serve::live::Live;
use super::{load, now};
use crate::dataset::{Emitted, Reasons, Spec};
use crate::dnsxl::Name;
use crate::dnsxl::number::{TYPE_A, TYPE_TXT};
use crate::live::Changes;
use crate::reload::{Plan, Store, ZonePlan};
use crate::snapshot::Snapshot;
use crate::zone::Zone;
use origin::{FoundOrigin, Kind};
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

/// The live changes over a dataset by its index in the plan, from the lowest layer up.
pub(super) type LiveOf<'l> = &'l dyn Fn(usize) -> Vec<&'l Changes>;

/// What a lookup goes by, besides the generation.
#[derive(Clone, Copy)]
struct Known<'k, 'l> {
    plan: &'k Plan,
    live: LiveOf<'l>,
    reach: Reach,
}

/// How far reasons are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Files are read, whatever their size.
    Whole,
    /// Of large files, and of what is made from evidence, only what the tables say: anybody may ask.
    Short,
}

impl Reach {
    /// Whether the statements of a dataset are not gone through.
    fn stops_at(self, spec: &Spec) -> bool {
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        self == Self::Short && (spec.emitted.is_some() || spec.files.iter().map(length).sum::<u64>() > SHORT_BYTES)
    }
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
    /// Which zone it is, and what stands in front of its apex.
    #[serde(skip)]
    asked: (usize, Name),
    /// `NOERROR`, `NODATA`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`.
    status: &'static str,
    listed: bool,
    /// Seconds; of the first record.
    ttl: Option<u32>,
    a: Vec<String>,
    txt: Vec<String>,
    /// By what it is decided who is answered so; empty where anybody is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access: Vec<By>,
    origins: Vec<FoundOrigin>,
}

/// By what a zone knows who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum By {
    /// An access list, its own or that of all zones.
    List,
    /// Keys in query names.
    Keys,
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
    let mut live = Live::begin(&store, load::kept_changes(&config)?);
    live.lay_all(&mut store)?;
    let snapshot = store.snapshot()?;
    let mut out = io::stdout().lock();
    let mut is_any_listed = false;
    for (text, subject) in subjects {
        // the store's own plan is one that is open to all
        let known = Known { plan: &config.plan, live: &|index| live.over(index), reach: Reach::Whole };
        let found = look_up(text, &subject, &snapshot, known, |_| true)?;
        is_any_listed |= found.listed;
        match arguments.json {
            true => writeln!(out, "{}", serde_json::to_string(&found)?)?,
            false => show::print(&mut out, &found)?,
        }
    }
    out.flush()?;
    Ok(if is_any_listed { ExitCode::SUCCESS } else { ExitCode::from(NOT_LISTED) })
}

/// Looks up a subject in a generation of a plan, as somebody who may ask: what `--json` prints of it.
///
/// # Errors
///
/// It is no subject, or a file of the plan cannot be read.
pub(super) fn look_up_json(
    text: &str,
    snapshot: &Snapshot,
    plan: &Plan,
    live: LiveOf<'_>,
) -> anyhow::Result<serde_json::Value> {
    let subject = Subject::parse(text)?;
    let known = Known { plan, live, reach: Reach::Whole };
    Ok(serde_json::to_value(look_up(text, &subject, &snapshot.open_to_all(), known, |_| true)?)?)
}

/// Looks up a subject in the zones that are wanted.
fn look_up(
    text: &str,
    subject: &Subject,
    snapshot: &Snapshot,
    known: Known<'_, '_>,
    is_wanted: impl Fn(&ZonePlan) -> bool,
) -> anyhow::Result<Found> {
    let mut zones = Vec::new();
    let all = || snapshot.zones().iter().zip(&known.plan.zones).enumerate().filter(|(_, (_, plan))| is_wanted(plan));
    let subject = &subject.clone().asked_of(all().map(|(_, (zone, _))| zone));
    for (index, (zone, of_plan)) in all() {
        let names = zone.placed.iter().flat_map(|placed| {
            let names = subject.names(placed);
            names.into_iter().filter_map(|name| Some((name.under(&placed.under).ok()?, &placed.under)))
        });
        for (name, under) in names.collect::<BTreeMap<Name, &Name>>() {
            let place = under.under(&zone.apex).unwrap_or_default();
            zones.push(look_up_name((index, name), &place, (zone, of_plan), snapshot, known)?);
        }
    }
    let verdicts = explain(subject, known.plan)?;
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
    asked: (usize, Name),
    place: &Name,
    (zone, of_plan): (&Zone, &ZonePlan),
    snapshot: &Snapshot,
    known: Known<'_, '_>,
) -> anyhow::Result<InZone> {
    let name = &asked.1;
    let qname = name.under(&zone.apex).map_err(|error| anyhow!("{name}.{}: {error}", zone.apex))?;
    let [addresses, texts] = [TYPE_A, TYPE_TXT].map(|qtype| ask(snapshot, &qname, qtype, now()).unwrap_or_default());
    let ttl = addresses.answers.first().or_else(|| texts.answers.first()).map(|record| record.ttl);
    let listed = !addresses.answers.is_empty() || !texts.answers.is_empty();
    let mut origins = origin::origins(name, zone, of_plan, known)?;
    if listed && origins.is_empty() {
        origins.push(FoundOrigin::plain(Kind::TestEntry, name.to_string()));
    }
    if !listed && let Some(what) = origin::forbidden(name, known.plan) {
        origins.push(FoundOrigin::plain(Kind::NeverList, what));
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
        access: access(of_plan, known.plan),
        origins,
        asked,
    })
}

fn access(zone: &ZonePlan, plan: &Plan) -> Vec<By> {
    let list = zone.access.or(plan.access).map(|_| By::List);
    list.into_iter().chain(zone.keys.map(|_| By::Keys)).collect()
}

/// Bytes of a dataset's files that are read for anybody who asks: some tenths of a second.
const SHORT_BYTES: u64 = 16 << 20;
/// The exit code if no subject is listed.
const NOT_LISTED: u8 = 1;

#[cfg(test)]
mod tests;
