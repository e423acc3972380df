//! From what a zone is to be, and its loaded datasets, to the zone that is served.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Access, Choice, Listed, NsSet, Placed, Soa, UnixTime, Zone};
use crate::dataset::records::RecordStatements;
use crate::dataset::{DEFAULT_ADDRESS, Dataset, Head, Holds, Part, Records, RrSet, Values};
use crate::dnsxl::number::{TYPE_A, TYPE_AAAA, TYPE_NS};
use crate::dnsxl::{Name, QueryName};
use crate::feed::{NsLine, SoaLine};
use crate::live::Layer;
use crate::table::{Ip4, Ip6, NameKey, Names, Prefix6, Run4, Table};

/// What a zone is to be, as the configuration says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSpec {
    /// The apex.
    pub apex: Name,
    /// The SOA, if it is not to be the datasets' or a sensible one.
    pub soa: Option<SoaLine>,
    /// The name servers, if they are not to be the datasets' or `ns.<apex>`.
    pub ns: Option<NsLine>,
    /// Addresses of the server itself: the glue of `ns.<apex>`.
    pub own_addresses: Vec<IpAddr>,
    /// The serial is not below this one where the data does not say it.
    pub least_serial: u32,
    /// Seconds, for values that do not say.
    pub ttl: u32,
    /// What several datasets that list one subject come to.
    pub choice: Choice,
    /// Whether positive answers carry the NS records in the authority section.
    pub ns_in_authority: bool,
    /// Whether RFC 5782's test entries are put in where the data is silent.
    pub test_entries: TestEntries,
    /// The apexes of all other zones: those below this one make the names above them exist.
    pub others: Vec<Name>,
}

/// Whether RFC 5782's test entries are put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestEntries {
    /// 127.0.0.2, ::FFFF:7F00:2 and TEST are listed where the data says nothing of them.
    Synthesised,
    /// Data is served as it is written.
    AsWritten,
}

/// A dataset for a zone.
#[derive(Clone, Debug)]
pub struct Input {
    /// The dataset; none while it has never been loaded.
    pub dataset: Option<Arc<Dataset>>,
    /// The name relative to the apex that it is to stand under.
    pub under: Name,
    /// The live changes over it, from the lowest layer up: at most [`crate::live::MAX_LAYERS`].
    pub live: Vec<Arc<Layer>>,
}

/// Makes a zone of loaded datasets, in the order they are to be asked. `allow`: those whose subjects it never lists.
///
/// # Errors
///
/// More parts than an answer can hold hits for.
pub fn build(spec: &ZoneSpec, inputs: &[Input], allow: &[Input], access: Access) -> Result<Zone, ZoneError> {
    let apex = spec.apex.to_lowercase();
    let loaded = || inputs.iter().filter_map(|input| input.dataset.as_ref());
    let mut placed = Vec::new();
    for (dataset_index, input) in inputs.iter().enumerate() {
        place(input, dataset_index, &mut placed);
    }
    let own_names = spec.ns.is_none()
        && loaded().all(|dataset| dataset.head.ns.is_none())
        && !placed.iter().any(|placed| placed.under.is_root() && has_apex_ns(&placed.part().records));
    if own_names && !spec.own_addresses.is_empty() {
        place(&synthesised(glue(&spec.own_addresses)), inputs.len(), &mut placed);
    }
    if spec.test_entries == TestEntries::Synthesised {
        place(&synthesised(test_entries(&placed)), inputs.len() + 1, &mut placed);
    }
    if placed.len() > MAX_PARTS {
        return Err(ZoneError::TooManyParts { apex: spec.apex.clone(), found: placed.len() });
    }
    let with_ip4: Vec<Name> =
        placed.iter().filter(|placed| placed.holds.ip4).map(|placed| placed.under.clone()).collect();
    placed.iter_mut().for_each(|placed| placed.beside_ip4 = with_ip4.contains(&placed.under));
    let places: Vec<(usize, Name)> = placed.iter().map(|placed| (placed.dataset_index, placed.under.clone())).collect();
    for placed in &mut placed {
        let is_deeper = |(dataset, under): &&(usize, Name)| {
            *dataset == placed.dataset_index && *under != placed.under && under.is_at_or_below(&placed.under)
        };
        placed.deeper = places.iter().filter(is_deeper).map(|(_, under)| under.clone()).collect();
    }
    let mut allowed = Vec::new();
    for (dataset_index, input) in allow.iter().enumerate() {
        place(input, dataset_index, &mut allowed);
    }
    let head = |pick: fn(&Head) -> bool| loaded().map(|dataset| &dataset.head).find(|head| pick(head));
    let soa = spec.soa.as_ref().or_else(|| head(|head| head.soa.is_some())?.soa.as_ref());
    let ns = spec.ns.as_ref().or_else(|| head(|head| head.ns.is_some())?.ns.as_ref());
    let modified = loaded().map(|dataset| dataset.modified).max().unwrap_or(0);
    Ok(Zone {
        soa: make_soa(soa, ns, spec, modified),
        ns: make_ns(ns, spec, &placed),
        ttl: spec.ttl,
        choice: spec.choice,
        allow: allowed,
        access,
        // names made up here are for those who ask: a resolver that is told of them may prefer them to its parent's
        ns_in_authority: spec.ns_in_authority && !own_names,
        has_cuts: placed.iter().any(has_cut),
        is_large: placed.iter().any(|placed| placed.is_large),
        children: children(&spec.others, &apex),
        expires: loaded().filter_map(|dataset| dataset.head.expires).min().map(UnixTime),
        // without its allow list a zone would list what it must not
        unavailable: inputs.iter().chain(allow).any(|input| input.dataset.is_none()),
        apex_labels: apex.label_count(),
        // whoever makes generations knows it
        number: 0,
        apex,
        placed,
    })
}

/// The zones below the apex, relative to it.
fn children(others: &[Name], apex: &Name) -> Vec<Name> {
    let relative = others.iter().filter_map(|other| other.to_lowercase().relative_to(apex));
    relative.filter(|name| !name.is_root()).collect()
}

/// Places the parts of a dataset, each below all the names it stands under.
fn place(input: &Input, dataset_index: usize, placed: &mut Vec<Placed>) {
    let Some(dataset) = &input.dataset else { return };
    for (part, own) in dataset.parts.iter().enumerate() {
        for name in &own.under {
            // a name that is too long to be asked for needs no place
            let Ok(under) = name.to_lowercase().under(&input.under) else { continue };
            let mut new = Placed::new(under, dataset, part, &input.live, dataset_index);
            new.is_large = own.table.bytes() > NEAR;
            placed.push(new);
        }
    }
}

fn make_soa(line: Option<&SoaLine>, ns: Option<&NsLine>, spec: &ZoneSpec, modified: i64) -> Soa {
    let own = |label: &[u8]| Name::parse(label).and_then(|name| name.under(&spec.apex)).unwrap_or_default();
    let default = || SoaLine {
        ttl: 0,
        // a primary that has no address is a fault to all who check delegations
        origin: ns.and_then(|ns| ns.names.first()).cloned().unwrap_or_else(|| own(b"ns")),
        person: own(b"hostmaster"),
        serial: 0,
        refresh: DEFAULT_REFRESH,
        retry: DEFAULT_RETRY,
        expire: DEFAULT_EXPIRE,
        minimum: DEFAULT_MINIMUM,
    };
    let line = line.cloned().unwrap_or_else(default);
    let ttl = if line.ttl == 0 { spec.ttl } else { line.ttl };
    // seconds since 1970 fit until 2106, and serials wrap by RFC 1982
    let serial = if line.serial == 0 { (modified as u32).max(spec.least_serial) } else { line.serial };
    let mut rdata = Vec::new();
    line.origin.write_wire(&mut rdata);
    line.person.write_wire(&mut rdata);
    for number in [serial, line.refresh, line.retry, line.expire, line.minimum] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    Soa { ttl, negative_ttl: ttl.min(line.minimum), serial, rdata: rdata.into() }
}

fn make_ns(line: Option<&NsLine>, spec: &ZoneSpec, placed: &[Placed]) -> NsSet {
    let wire = |name: &Name| {
        let mut wire = Vec::new();
        name.write_wire(&mut wire);
        wire.into_boxed_slice()
    };
    let mut names: Vec<Box<[u8]>> = line.iter().flat_map(|line| &line.names).map(wire).collect();
    let mut ttl = line.map_or(0, |line| line.ttl);
    for placed in placed.iter().filter(|placed| placed.under.is_root()) {
        for set in apex_ns(&placed.part().records) {
            ttl = set.ttl(if ttl == 0 { spec.ttl } else { ttl });
            names.extend(set.data().map(Box::from));
        }
    }
    if names.is_empty() {
        names.extend(Name::parse(b"ns").and_then(|name| name.under(&spec.apex)).iter().map(wire));
    }
    names.sort();
    names.dedup();
    NsSet { ttl: if ttl == 0 { spec.ttl } else { ttl }, names }
}

fn apex_ns(records: &Records) -> impl Iterator<Item = RrSet<'_>> {
    records.iter().filter(|(owner, _)| owner.is_empty()).flat_map(|(_, sets)| sets).filter(|set| set.rtype() == TYPE_NS)
}

fn has_apex_ns(records: &Records) -> bool {
    apex_ns(records).next().is_some()
}

fn has_cut(placed: &Placed) -> bool {
    let has_ns = |owner: &[u8]| !owner.is_empty() || !placed.under.is_root();
    placed.part().records.iter().any(|(owner, mut sets)| has_ns(&owner) && sets.any(|set| set.rtype() == TYPE_NS))
}

/// The server's own addresses as the records of `ns.<apex>`.
fn glue(addresses: &[IpAddr]) -> Dataset {
    let mut statements = RecordStatements::default();
    for address in addresses {
        match address {
            IpAddr::V4(address) => statements.push(b"\x02ns", None, TYPE_A, &address.octets(), 0),
            IpAddr::V6(address) => statements.push(b"\x02ns", None, TYPE_AAAA, &address.octets(), 0),
        }
    }
    let (records, _) = statements.resolve();
    dataset("glue", vec![Part { under: vec![Name::default()], records, ..Part::default() }])
}

/// RFC 5782, section 5: what every list of a kind has, where the data below the same name is silent about it.
fn test_entries(placed: &[Placed]) -> Dataset {
    let mut places: Vec<&Name> = placed.iter().map(|placed| &placed.under).collect();
    places.sort_unstable();
    places.dedup();
    let mut parts = Vec::new();
    for under in places {
        let there = || placed.iter().filter(|placed| placed.under == *under);
        let holds = |pick: fn(&Holds) -> bool| there().any(|placed| pick(&placed.holds));
        let listed = |give: &Give<'_>| {
            let mut is_listed = false;
            there().for_each(|placed| give(placed, &mut |_| is_listed = true));
            is_listed
        };
        let (values, id) = Values::of_one(DEFAULT_ADDRESS, TEST_TEXT);
        let mut table = Table::default();
        if holds(|holds| holds.ip4) {
            if !listed(&|placed, give| placed.ip4(TEST_IP4, give)) {
                table.ip4 = Ip4::build([Run4 { first: TEST_IP4, last: TEST_IP4, value: id }].into_iter());
            }
        } else if holds(|holds| holds.ip6) && !listed(&|placed, give| placed.ip6(TEST_IP6, give)) {
            table.ip6 = Ip6::build([Prefix6 { bits: TEST_IP6, length: 128, value: id }].into_iter());
        }
        let test = test_name();
        if holds(|holds| holds.names) && !listed(&|placed, give| _ = placed.name(test.labels(), None, give)) {
            let here = NameKey { here: id, here_depth: 1, ..NameKey::default() };
            let root = NameKey { deeper: true, ..NameKey::default() };
            table.names = Names::build([(&b""[..], root), (TEST_NAME, here)].into_iter());
        }
        parts.push(Part { under: vec![under.clone()], table, values, ..Part::default() });
    }
    dataset("test entries", parts)
}

/// Gives what a part lists of a test entry.
type Give<'g> = dyn Fn(&Placed, &mut dyn FnMut(Listed)) + 'g;

fn test_name() -> QueryName {
    QueryName::from(&Name::from_wire(TEST_NAME).expect("a label is a name"))
}

/// What is put in by the zone itself, at the apex.
fn synthesised(dataset: Dataset) -> Input {
    Input { dataset: Some(Arc::new(dataset)), under: Name::default(), live: Vec::new() }
}

fn dataset(name: &str, parts: Vec<Part>) -> Dataset {
    Dataset {
        name: name.to_owned(),
        parts,
        clients: None,
        keys: None,
        head: Head::default(),
        modified: 0,
        compiled: None,
    }
}

/// Why a zone could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// More parts than an answer can hold hits for.
    #[error("zone {apex}: {found} parts of datasets, at most {MAX_PARTS}: join some of them into one dataset")]
    TooManyParts {
        /// The zone.
        apex: Name,
        /// How many there are.
        found: usize,
    },
}

/// Bytes that fit the second-level cache of a server's processor beside all else: to announce what is read from there is
/// work, and saves no wait.
const NEAR: usize = 128 << 10;
/// The most parts of datasets that one zone has, so that an answer's hits fit on the stack.
pub const MAX_PARTS: usize = 64;
/// RFC 5782, section 5: the name that every list of names has.
pub const TEST_NAME: &[u8] = b"\x04test";
/// RFC 5782, section 5: 127.0.0.2, which every list of IPv4 addresses has.
pub const TEST_IP4: u32 = 0x7f00_0002;
/// RFC 5782, section 5: ::FFFF:7F00:2, which every list of IPv6 addresses has.
pub const TEST_IP6: u128 = 0xffff_7f00_0002;
const TEST_TEXT: &[u8] = b"Test entry (RFC 5782, section 5)";
/// Seconds. With these four a checker of zones has nothing to remark.
pub const DEFAULT_REFRESH: u32 = 14_400;
/// Seconds.
pub const DEFAULT_RETRY: u32 = 3600;
/// Seconds.
pub const DEFAULT_EXPIRE: u32 = 604_800;
/// Seconds: how long a resolver believes that something is not listed.
pub const DEFAULT_MINIMUM: u32 = 150;
