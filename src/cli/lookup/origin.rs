//! Why a zone answers what it does: lines of lists, verdicts, live changes, what allows or forbids.

use std::net::IpAddr;

use anyhow::anyhow;
use serde::Serialize;

use super::super::now;
use super::{Known, Reach, show};
use crate::answer::hits::{Hits, Sought, allowed_by, search, whole_subjects};
use crate::dataset::Spec;
use crate::dataset::origin::trace;
use crate::dnsxl::{Labels, Name, QueryName};
use crate::evidence::Time;
use crate::live::{Change, Changes, Held};
use crate::reload::{Plan, ZonePlan};
use crate::zone::{Placed, Zone};

/// A reason for an answer.
#[derive(Debug, Serialize)]
pub(super) struct FoundOrigin {
    pub(super) kind: Kind,
    /// The dataset; none for what no dataset says.
    pub(super) dataset: Option<String>,
    pub(super) path: Option<String>,
    pub(super) line: Option<u64>,
    /// What the line speaks of, or what the never-list calls it.
    pub(super) entry: String,
    /// For a live change, whose it is.
    #[serde(flatten)]
    pub(super) change: Option<FoundChange>,
}

/// What a reason is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A line that lists it.
    Listing,
    /// A line that excludes it.
    Exclusion,
    /// A verdict.
    Verdict,
    /// A live change.
    Live,
    /// An allow list that has it.
    Allowed,
    /// A compiled file that lists it: the lines that it was compiled from are not known.
    Compiled,
    /// RFC 5782, section 5.
    TestEntry,
    /// What no list may list.
    NeverList,
}

/// A live change that decides.
#[derive(Debug, Serialize)]
pub(super) struct FoundChange {
    change: u64,
    /// `added`, `removed`, `replaced`.
    pub(super) action: &'static str,
    pub(super) who: String,
    /// RFC 3339.
    pub(super) at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl FoundOrigin {
    /// A reason that no dataset has.
    pub(super) fn plain(kind: Kind, entry: String) -> Self {
        Self { kind, dataset: None, path: None, line: None, entry, change: None }
    }

    fn of(spec: &Spec, kind: Kind, entry: String) -> Self {
        Self { dataset: Some(spec.name.clone()), ..Self::plain(kind, entry) }
    }

    fn of_change(spec: &Spec, Held { number, change }: &Held) -> Self {
        let Change { subject, effect, expires, by } = change;
        let action = match (effect.hides, effect.values.is_empty()) {
            (false, _) => "added",
            (true, true) => "removed",
            (true, false) => "replaced",
        };
        let time = |seconds: i64| Time(seconds.clamp(0, u32::MAX.into()) as u32).to_string();
        let change = FoundChange {
            change: *number,
            action,
            who: by.who.to_string(),
            at: time(by.at),
            expires: expires.map(time),
            reason: by.reason.as_deref().map(str::to_owned),
        };
        Self { change: Some(change), ..Self::of(spec, Kind::Live, subject.to_string()) }
    }
}

/// Why a zone answers what it does about a name, what stands in front of its apex.
pub(super) fn origins(
    name: &Name,
    zone: &Zone,
    of_plan: &ZonePlan,
    Known { plan, live, reach }: Known<'_, '_>,
) -> anyhow::Result<Vec<FoundOrigin>> {
    let query = QueryName::from(name);
    let mut hits = Hits::new();
    search(zone, Sought::read(query.labels()), now(), &mut hits);
    let mut origins = Vec::new();
    for (placed_index, (index, under)) in of_plan.datasets.iter().enumerate() {
        let Some(relative) = name.relative_to(under) else { continue };
        let is_own = |placed: &&Placed| placed.dataset_index == placed_index;
        let placed: Vec<&Placed> = zone.placed.iter().filter(is_own).collect();
        let compiled = || {
            let of_dataset = hits.iter().filter(|hit| is_own(&&zone.placed[hit.placed]));
            let values = of_dataset.flat_map(|hit| {
                let subject = hit.about.text(query.labels());
                match reach {
                    Reach::Short => vec![String::from_utf8_lossy(&subject).into_owned()],
                    Reach::Whole => hit.values(zone).map(|value| show::value(&subject, &value)).collect(),
                }
            });
            let owns = |placed: &&&Placed| {
                let relative = placed.relative(query.labels());
                relative.is_some_and(|relative| placed.part().records.find(relative).is_some())
            };
            values.chain(placed.iter().filter(owns).map(|_| "records".to_owned())).collect()
        };
        origins.extend(of_dataset(&plan.datasets[*index], &placed, &relative, Kind::Listing, reach, compiled)?);
        origins.extend(of_changes(&plan.datasets[*index], &placed, query.labels(), &live(*index)));
    }
    for hit in &hits {
        let placed = &zone.placed[hit.placed];
        let Some(relative) = placed.relative(query.labels()) else { continue };
        let Some(allowing) = allowed_by(zone, relative, hit.about) else { continue };
        let index = of_plan.allow[allowing.dataset_index];
        let spec = &plan.datasets[index];
        let relative = name.relative_to(&placed.under).unwrap_or_default();
        let whole = || vec![relative.to_string()];
        let mut found = of_dataset(spec, &[allowing], &relative, Kind::Allowed, reach, whole)?;
        let labels = QueryName::from(&relative);
        found.extend(of_changes(spec, &[allowing], labels.labels(), &live(index)));
        found.retain(|origin| origin.kind != Kind::Exclusion);
        found.iter_mut().for_each(|origin| origin.kind = Kind::Allowed);
        // several lists that list it are allowed by the same lines
        let is_new = |origin: &FoundOrigin| {
            let same = |other: &FoundOrigin| {
                (other.kind, &other.path, other.line, &other.entry)
                    == (origin.kind, &origin.path, origin.line, &origin.entry)
            };
            !origins.iter().any(same)
        };
        let new: Vec<FoundOrigin> = found.into_iter().filter(is_new).collect();
        origins.extend(new);
    }
    Ok(origins)
}

/// What a dataset itself says of a name that it sees as `relative`; `compiled` tells it where no lines are known.
fn of_dataset(
    spec: &Spec,
    placed: &[&Placed],
    relative: &Name,
    listing: Kind,
    reach: Reach,
    compiled: impl Fn() -> Vec<String>,
) -> anyhow::Result<Vec<FoundOrigin>> {
    if let Some(file) = placed.first().and_then(|placed| placed.dataset().compiled.as_ref()) {
        let path = Some(file.path().display().to_string());
        let origin = |entry| FoundOrigin { path: path.clone(), ..FoundOrigin::of(spec, Kind::Compiled, entry) };
        return Ok(compiled().into_iter().map(origin).collect());
    }
    if reach.stops_at(spec) {
        let kind = if spec.emitted.is_some() { Kind::Verdict } else { listing };
        return Ok(compiled().into_iter().map(|entry| FoundOrigin::of(spec, kind, entry)).collect());
    }
    let lines = trace(spec, &QueryName::from(relative), now().0);
    let lines = lines.map_err(|error| anyhow!("dataset {}: {error}", spec.name))?;
    let in_file = spec.emitted.is_none();
    let origin = |line: crate::dataset::origin::Origin| {
        let kind = match (line.is_exclusion, in_file) {
            (true, _) => Kind::Exclusion,
            (false, true) => listing,
            (false, false) => Kind::Verdict,
        };
        FoundOrigin {
            path: in_file.then(|| line.path.display().to_string()),
            line: in_file.then_some(line.line),
            ..FoundOrigin::of(spec, kind, line.entry)
        }
    };
    Ok(lines.into_iter().map(origin).collect())
}

/// The live changes that decide of a name, what stands in front of the apex, or of the place if the parts are of one.
fn of_changes(spec: &Spec, placed: &[&Placed], name: Labels<'_>, live: &[&Changes]) -> Vec<FoundOrigin> {
    let mut found: Vec<&Held> = Vec::new();
    for placed in placed.iter().filter(|_| !live.is_empty()) {
        let Some(relative) = placed.relative(name) else { continue };
        for subject in whole_subjects(placed, relative) {
            for held in live.iter().filter_map(|changes| changes.find(&subject)) {
                if !found.contains(&held) {
                    found.push(held);
                }
            }
        }
    }
    found.into_iter().map(|held| FoundOrigin::of_change(spec, held)).collect()
}

/// What the never-list calls an address that a name asks about.
pub(super) fn forbidden(name: &Name, plan: &Plan) -> Option<String> {
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
