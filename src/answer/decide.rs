//! What the answer to a query is.
//!
//! Invariant: everything about a query is decided here, once, from the snapshot and the query alone; the records go to
//! whatever takes them, and what does not fit there is not this file's affair.

use arrayvec::ArrayVec;

use super::hits::{About, Hits, exists_below, find};
use super::{
    Decision, Owner, Query, RCODE_NXDOMAIN, RCODE_REFUSED, RCODE_SERVFAIL, Record, Section, Sections, listing,
};
use crate::dataset::values::MAX_TEXT;
use crate::dataset::{RrSet, Value};
use crate::dnsxl::{Labels, Name, QueryName};
use crate::snapshot::{Snapshot, Version};
use crate::zone::{Permit, Zone};

/// Decides the answer to a query, and gives its records to `out`; none if the access list has no reply for the client.
pub fn answer(snapshot: &Snapshot, query: &Query<'_>, out: &mut impl Sections) -> Option<Decision> {
    let labels = query.name.labels();
    if query.qclass == CLASS_CH {
        return Some(version(snapshot, query, labels, out));
    }
    let found = if matches!(query.qclass, CLASS_IN | CLASS_ANY) { snapshot.zone_of(labels) } else { None };
    let Some((index, zone)) = found else {
        return match snapshot.access.permit(&snapshot.access, query.client) {
            Permit::Ignore => None,
            _ => Some(Decision { rcode: RCODE_REFUSED, authoritative: false, zone: None }),
        };
    };
    let decision = |rcode, authoritative| Some(Decision { rcode, authoritative, zone: Some(index) });
    let permit = zone.access.permit(&snapshot.access, query.client);
    match permit {
        Permit::Ignore => return None,
        Permit::Refuse => return decision(RCODE_REFUSED, false),
        Permit::Empty | Permit::Pass | Permit::Always(..) => {}
    }
    if zone.unavailable || zone.expires.is_some_and(|expires| expires <= query.now) {
        return decision(RCODE_SERVFAIL, false);
    }
    if matches!(query.qtype, TYPE_AXFR | TYPE_IXFR) {
        return decision(RCODE_REFUSED, false);
    }
    let mut reply = Reply { zone, query, labels, permit, out, answers: 0 };
    let rcode = match reply.decide(labels) {
        Outcome::Found => 0,
        Outcome::NoData => reply.negative(0),
        Outcome::NxDomain => reply.negative(RCODE_NXDOMAIN),
        Outcome::Referral => return decision(0, false),
    };
    if zone.ns_in_authority && reply.answers > 0 && !(query.qtype == TYPE_NS && labels.count() == zone.apex_labels) {
        reply.apex_ns(Section::Authority);
    }
    // RFC 1035, section 6.2: an answer to QCLASS=* is never authoritative
    decision(rcode, query.qclass == CLASS_IN)
}

/// Answers `version.bind` and its like (RFC 4892).
fn version(snapshot: &Snapshot, query: &Query<'_>, labels: Labels<'_>, out: &mut impl Sections) -> Decision {
    let asked = VERSION_NAMES.contains(&labels.wire()) && matches!(query.qtype, TYPE_TXT | TYPE_ANY);
    let refused = Decision { rcode: RCODE_REFUSED, authoritative: false, zone: None };
    let Version::Text(text) = &snapshot.version else { return refused };
    if !asked {
        return refused;
    }
    let mut rdata = ArrayVec::<u8, 256>::new();
    rdata.push(0);
    rdata.extend(text.bytes().take(MAX_TEXT));
    rdata[0] = (rdata.len() - 1) as u8;
    let record = Record { owner: Owner::Qname, rtype: TYPE_TXT, class: CLASS_CH, ttl: 0, rdata: &rdata };
    out.record(Section::Answer, record);
    Decision { rcode: 0, authoritative: true, zone: None }
}

/// How a name came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Records were given.
    Found,
    /// The name exists, and has none of the type.
    NoData,
    /// Neither the name nor anything below it exists.
    NxDomain,
    /// The name is in a zone that another server has.
    Referral,
}

/// An answer while it is put together.
struct Reply<'a, S> {
    zone: &'a Zone,
    query: &'a Query<'a>,
    /// The QNAME.
    labels: Labels<'a>,
    permit: Permit<'a>,
    out: &'a mut S,
    /// Records in the answer section.
    answers: usize,
}

impl<S: Sections> Reply<'_, S> {
    fn decide(&mut self, labels: Labels<'_>) -> Outcome {
        let name = labels.without_suffix(self.zone.apex_labels);
        if self.zone.has_cuts && self.refer(name) {
            return Outcome::Referral;
        }
        if name.count() == 0 {
            return self.apex();
        }
        if let Some(values) = self.permit.always() {
            let about = About::Client(self.query.client);
            return self.listed(values.map(|value| (about, value)), name);
        }
        let hits = match self.permit {
            Permit::Empty => Hits::new(),
            _ => find(self.zone, name),
        };
        let owns = self.owned(name, Owner::Qname, 0);
        if hits.is_empty() {
            return match owns {
                Outcome::NxDomain if exists_below(self.zone, name, matches!(self.permit, Permit::Empty)) => {
                    Outcome::NoData
                }
                owns => owns,
            };
        }
        let values = hits.iter().flat_map(|hit| hit.values(self.zone).map(|value| (hit.about, value)));
        match (self.listed(values, name), owns) {
            (Outcome::Found, _) | (_, Outcome::Found) => Outcome::Found,
            _ => Outcome::NoData,
        }
    }

    /// What the zone itself has, and `generic` records at its apex.
    fn apex(&mut self) -> Outcome {
        let soa = &self.zone.soa;
        let at_apex = self.labels.without_suffix(self.zone.apex_labels);
        match self.query.qtype {
            // RFC 8482, section 4.1: one RRset
            TYPE_SOA | TYPE_ANY => self.give(TYPE_SOA, soa.ttl, &soa.rdata),
            TYPE_NS => {
                self.apex_ns(Section::Answer);
                for name in &self.zone.ns.names {
                    self.glue(name);
                }
            }
            _ => {
                return if self.owned(at_apex, Owner::Qname, 0) == Outcome::Found {
                    Outcome::Found
                } else {
                    Outcome::NoData
                };
            }
        }
        Outcome::Found
    }

    /// Gives the records of a listing; ANY gets the addresses, or else the texts (RFC 8482, section 4.1).
    fn listed<'v>(&mut self, values: impl Iterator<Item = (About, Value<'v>)> + Clone, name: Labels<'_>) -> Outcome {
        let before = self.answers;
        if matches!(self.query.qtype, TYPE_A | TYPE_ANY) {
            listing::addresses(self.zone, values.clone(), |ttl, rdata| self.give(TYPE_A, ttl, rdata));
        }
        if self.query.qtype == TYPE_TXT || self.query.qtype == TYPE_ANY && self.answers == before {
            listing::texts(self.zone, values, name, |ttl, rdata| self.give(TYPE_TXT, ttl, rdata));
        }
        if self.answers > before { Outcome::Found } else { Outcome::NoData }
    }

    /// Gives a record of the QNAME in the answer section.
    fn give(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        self.give_at(Section::Answer, Owner::Qname, rtype, ttl, rdata);
    }

    fn give_at(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl: u32, rdata: &[u8]) {
        self.answers += usize::from(section == Section::Answer);
        self.out.record(section, Record { owner, rtype, class: CLASS_IN, ttl, rdata });
    }

    /// Gives the `generic` records that a name relative to the apex owns; follows CNAMEs within the zone.
    fn owned(&mut self, name: Labels<'_>, owner: Owner<'_>, followed: usize) -> Outcome {
        let (mut exists, mut found) = (false, false);
        for set in sets_of(self.zone, name) {
            exists = true;
            let is_alias = set.rtype() == TYPE_CNAME && !matches!(self.query.qtype, TYPE_CNAME | TYPE_ANY);
            let any = self.query.qtype == TYPE_ANY && !found && set.rtype() != TYPE_NS;
            // the NS of the apex are given with those that the zone has from elsewhere
            if set.rtype() != self.query.qtype && !is_alias && !any {
                continue;
            }
            found = true;
            self.give_set(Section::Answer, owner, set);
            if is_alias && let Some(target) = set.data().next() {
                self.follow(target, followed);
            }
        }
        match (exists, found) {
            (_, true) => Outcome::Found,
            (true, false) => Outcome::NoData,
            (false, false) => Outcome::NxDomain,
        }
    }

    /// Goes on at the target of a CNAME, if it is in this zone (RFC 1034, section 4.3.2).
    fn follow(&mut self, target: &[u8], followed: usize) {
        let Ok((target, _)) = QueryName::read(target) else { return };
        let labels = target.labels();
        let apex = self.zone.apex_labels;
        let inside = labels.count() > apex && labels.suffix(apex) == self.zone.apex.as_wire();
        if inside && followed < MAX_CNAMES {
            self.owned(labels.without_suffix(apex), Owner::Other(labels.wire()), followed + 1);
        }
    }

    /// Gives the records of a set, beginning with another one for every id.
    fn give_set(&mut self, section: Section, owner: Owner<'_>, set: RrSet<'_>) {
        let ttl = set.ttl().unwrap_or(self.zone.ttl);
        for rdata in rotated(set.data(), self.query.id) {
            self.give_at(section, owner, set.rtype(), ttl, rdata);
        }
    }

    fn apex_ns(&mut self, section: Section) {
        let ns = &self.zone.ns;
        let owner = Owner::Ancestor(self.zone.apex_labels);
        for name in rotated(ns.names.iter().map(|name| &**name), self.query.id) {
            self.give_at(section, owner, TYPE_NS, ns.ttl, name);
        }
    }

    /// Gives the addresses of a name server that the zone has (RFC 9471).
    fn glue(&mut self, server: &[u8]) {
        let Ok((server, _)) = QueryName::read(server) else { return };
        let (labels, apex) = (server.labels(), self.zone.apex_labels);
        if labels.count() <= apex || labels.suffix(apex) != self.zone.apex.as_wire() {
            return;
        }
        for set in sets_of(self.zone, labels.without_suffix(apex)) {
            if matches!(set.rtype(), TYPE_A | TYPE_AAAA) {
                self.give_set(Section::Additional, Owner::Other(labels.wire()), set);
            }
        }
    }

    /// Gives a referral if `generic` records delegate the name, or one above it (RFC 1034, section 4.3.2).
    fn refer(&mut self, name: Labels<'_>) -> bool {
        for count in 1..=name.count() {
            let cut = QueryName::from(&Name::from_wire(name.suffix(count)).unwrap_or_default());
            let ns = sets_of(self.zone, cut.labels()).find(|set| set.rtype() == TYPE_NS);
            let Some(ns) = ns else { continue };
            // the parent answers for the DS of a cut (RFC 4035, section 3.1.4.1)
            if count == name.count() && self.query.qtype == TYPE_DS {
                return false;
            }
            self.give_set(Section::Authority, Owner::Ancestor(count + self.zone.apex_labels), ns);
            for server in ns.data() {
                self.glue(server);
            }
            return true;
        }
        false
    }

    /// Gives the SOA of a negative answer (RFC 2308, section 3), unless there are CNAMEs that led to it.
    fn negative(&mut self, rcode: u16) -> u16 {
        let soa = &self.zone.soa;
        let owner = Owner::Ancestor(self.zone.apex_labels);
        self.give_at(Section::Authority, owner, TYPE_SOA, soa.negative_ttl, &soa.rdata);
        rcode
    }
}

/// The RRsets that `generic` parts have at a name relative to the apex.
fn sets_of<'z>(zone: &'z Zone, name: Labels<'_>) -> impl Iterator<Item = RrSet<'z>> {
    zone.placed.iter().flat_map(move |placed| {
        let records = &placed.part().records;
        let inside = !records.is_empty()
            && name.count() >= placed.under_labels
            && name.suffix(placed.under_labels) == placed.under.as_wire();
        let found = if inside { records.find(name.without_suffix(placed.under_labels)) } else { None };
        found.into_iter().flatten()
    })
}

/// The items in their order, beginning with another one for every `by`.
fn rotated<T>(items: impl ExactSizeIterator<Item = T> + Clone, by: u16) -> impl Iterator<Item = T> {
    let begin = usize::from(by) % items.len().max(1);
    items.clone().skip(begin).chain(items.take(begin))
}

/// The most CNAMEs of one answer, so that a loop of them ends.
const MAX_CNAMES: usize = 8;
/// RFC 4892 and the names that list servers have answered besides.
const VERSION_NAMES: [&[u8]; 2] = [b"\x07version\x04bind", b"\x07version\x06server"];
const CLASS_IN: u16 = 1;
const CLASS_CH: u16 = 3;
const CLASS_ANY: u16 = 255;
const TYPE_A: u16 = 1;
const TYPE_NS: u16 = 2;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
const TYPE_TXT: u16 = 16;
const TYPE_AAAA: u16 = 28;
const TYPE_DS: u16 = 43;
const TYPE_IXFR: u16 = 251;
const TYPE_AXFR: u16 = 252;
const TYPE_ANY: u16 = 255;
