//! What the answer to a query is.
//!
//! Invariant: everything about a query is decided here, once, from the snapshot and the query alone; the records go to
//! whatever takes them, and what does not fit there is not this file's affair.

use arrayvec::ArrayVec;

use super::{Decision, Owner, Query, RCODE_NXDOMAIN, RCODE_REFUSED, RCODE_SERVFAIL, Record, Section, Sections};
use crate::dataset::values::MAX_TEXT;
use crate::dataset::{RrSet, Value};
use crate::dnsxl::{Labels, Name, QueryName};
use crate::snapshot::{Snapshot, Version};
use crate::zone::{Choice, Permit, Zone};

use super::hits::{About, Hits, Seen, exists_below, find, is_subject};

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
        let always = self.permit.always();
        if let Some(values) = always.filter(|_| is_subject(self.zone, name)) {
            let about = About::Client(self.query.client);
            return self.listed(values.map(|value| (about, value)), name);
        }
        let hits = match self.permit {
            Permit::Empty | Permit::Always(..) => Hits::new(),
            _ => find(self.zone, name),
        };
        let owns = self.owned(name, &hits, Owner::Qname, 0);
        if hits.is_empty() {
            return match owns {
                Outcome::NxDomain if exists_below(self.zone, name, self.seen()) => Outcome::NoData,
                owns => owns,
            };
        }
        match (self.listed(values_of(self.zone, &hits), name), owns) {
            (Outcome::Found, _) | (_, Outcome::Found) => Outcome::Found,
            _ => Outcome::NoData,
        }
    }

    fn seen(&self) -> Seen {
        match self.permit {
            Permit::Empty => Seen::Records,
            Permit::Always(..) => Seen::Everything,
            _ => Seen::All,
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
                return if self.owned(at_apex, &Hits::new(), Owner::Qname, 0) == Outcome::Found {
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
            self.addresses(values.clone(), name);
        }
        if self.query.qtype == TYPE_TXT || self.query.qtype == TYPE_ANY && self.answers == before {
            self.texts(values, name);
        }
        if self.answers > before { Outcome::Found } else { Outcome::NoData }
    }

    fn addresses<'v>(&mut self, values: impl Iterator<Item = (About, Value<'v>)> + Clone, name: Labels<'_>) {
        let ttl = self.ttl(TYPE_A, values.clone(), name);
        let addresses = values.filter_map(|(_, value)| value.a);
        if self.zone.choice == Choice::Or {
            let or = addresses.map(u32::from).reduce(|all, a| all | a & LOW_24_BITS);
            if let Some(or) = or {
                self.give(TYPE_A, ttl, &or.to_be_bytes());
            }
            return;
        }
        for (index, a) in addresses.clone().enumerate() {
            if !addresses.clone().take(index).any(|before| before == a) {
                self.give(TYPE_A, ttl, &a.octets());
            }
        }
    }

    fn texts<'v>(&mut self, values: impl Iterator<Item = (About, Value<'v>)> + Clone, name: Labels<'_>) {
        let ttl = self.ttl(TYPE_TXT, values.clone(), name);
        let texts = values.filter_map(|(about, value)| text_of(about, value, name));
        let mut joined = ArrayVec::<u8, MAX_TEXT>::new();
        for (index, text) in texts.clone().enumerate() {
            if texts.clone().take(index).any(|before| before == text) {
                continue;
            }
            if self.zone.choice != Choice::Or {
                self.give_text(ttl, &text);
                continue;
            }
            let separator: &[u8] = if joined.is_empty() { b"" } else { b"; " };
            let room = joined.remaining_capacity();
            joined.extend(separator.iter().chain(&text).copied().take(room));
        }
        if self.zone.choice == Choice::Or && texts.clone().next().is_some() {
            self.give_text(ttl, &joined);
        }
    }

    /// The TTL of an RRset at a name: of all its records, wherever they come from, the smallest (RFC 2181, section 5.2).
    fn ttl<'v>(&self, rtype: u16, values: impl Iterator<Item = (About, Value<'v>)>, name: Labels<'_>) -> u32 {
        let has = |value: &Value<'_>| match rtype {
            TYPE_A => value.a.is_some(),
            TYPE_TXT => value.text.is_some(),
            _ => false,
        };
        let of_values = values.filter(|(_, value)| has(value)).map(|(_, value)| value.ttl.unwrap_or(self.zone.ttl));
        let sets = sets_of(self.zone, name).filter(|set| set.rtype() == rtype && !self.hides_records());
        of_values.chain(sets.map(|set| set.ttl(self.zone.ttl))).min().unwrap_or(self.zone.ttl)
    }

    /// Whether the client gets no data of `generic` records: it is to see nothing, or the access list's value alone.
    fn hides_records(&self) -> bool {
        matches!(self.permit, Permit::Always(..) | Permit::Empty)
    }

    fn give_text(&mut self, ttl: u32, text: &[u8]) {
        let mut rdata = ArrayVec::<u8, { MAX_TEXT + 1 }>::new();
        rdata.push(text.len() as u8);
        rdata.extend(text.iter().copied());
        self.give(TYPE_TXT, ttl, &rdata);
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
    ///
    /// Those that the listings of the name, `hits`, come to as well are left to them.
    fn owned(&mut self, name: Labels<'_>, hits: &Hits, owner: Owner<'_>, followed: usize) -> Outcome {
        let (mut exists, mut found) = (false, None);
        for (index, set) in sets_of(self.zone, name).enumerate() {
            exists = true;
            let rtype = set.rtype();
            let is_alias = rtype == TYPE_CNAME && !matches!(self.query.qtype, TYPE_CNAME | TYPE_ANY);
            // the NS of the apex are given with those that the zone has from elsewhere
            let first = found.unwrap_or(if hits.is_empty() { rtype } else { TYPE_A });
            let any = self.query.qtype == TYPE_ANY && rtype != TYPE_NS && rtype == first;
            if rtype != self.query.qtype && !is_alias && !any || self.hides_records() {
                continue;
            }
            found = Some(rtype);
            let ttl = self.ttl(rtype, values_of(self.zone, hits), name);
            for rdata in rotated(set.data(), self.query.id) {
                let same = |before: RrSet<'_>| before.rtype() == rtype && before.data().any(|data| data == rdata);
                let again =
                    sets_of(self.zone, name).take(index).any(same) || listing_has(self.zone, hits, name, rtype, rdata);
                if !again {
                    self.give_at(Section::Answer, owner, rtype, ttl, rdata);
                }
            }
            if is_alias && let Some(target) = set.data().next() {
                self.follow(target, followed);
            }
        }
        match (exists, found) {
            (_, Some(_)) => Outcome::Found,
            (true, None) => Outcome::NoData,
            (false, None) => Outcome::NxDomain,
        }
    }

    /// Goes on at the target of a CNAME, if it is in this zone (RFC 1034, section 4.3.2).
    fn follow(&mut self, target: &[u8], followed: usize) {
        let Ok((target, _)) = QueryName::read(target) else { return };
        let labels = target.labels();
        let apex = self.zone.apex_labels;
        let inside = labels.count() > apex && labels.suffix(apex) == self.zone.apex.as_wire();
        if inside && followed < MAX_CNAMES {
            self.owned(labels.without_suffix(apex), &Hits::new(), Owner::Other(labels.wire()), followed + 1);
        }
    }

    /// Gives the records of a set, beginning with another one for every id.
    fn give_set(&mut self, section: Section, owner: Owner<'_>, set: RrSet<'_>) {
        let ttl = set.ttl(self.zone.ttl);
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

/// The values of listings, each with what it is about.
fn values_of<'z>(zone: &'z Zone, hits: &Hits) -> impl Iterator<Item = (About, Value<'z>)> + Clone {
    hits.iter().flat_map(move |hit| hit.values(zone).map(|value| (hit.about, value)))
}

/// The text of a value, if it has one.
fn text_of(about: About, value: Value<'_>, name: Labels<'_>) -> Option<ArrayVec<u8, MAX_TEXT>> {
    let mut text = ArrayVec::new();
    value.text?.render(&about.text(name), &mut text);
    Some(text)
}

/// Whether the listings of a name come to this record too.
fn listing_has(zone: &Zone, hits: &Hits, name: Labels<'_>, rtype: u16, rdata: &[u8]) -> bool {
    let is_same = |(about, value): (About, Value<'_>)| match rtype {
        TYPE_A => value.a.is_some_and(|a| a.octets() == rdata),
        // the first byte of the data is the text's length
        TYPE_TXT => text_of(about, value, name).is_some_and(|text| rdata.get(1..) == Some(&text)),
        _ => false,
    };
    zone.choice != Choice::Or && values_of(zone, hits).any(is_same)
}

/// The RRsets that `generic` parts have at a name relative to the apex.
fn sets_of<'z>(zone: &'z Zone, name: Labels<'_>) -> impl Iterator<Item = RrSet<'z>> {
    zone.placed.iter().flat_map(move |placed| {
        let records = &placed.part().records;
        let relative = if records.is_empty() { None } else { placed.relative(name) };
        let found = relative.and_then(|relative| records.find(relative));
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
/// What joins of a bit-mask value: 127.x.y.z keeps its first octet.
const LOW_24_BITS: u32 = 0x00ff_ffff;
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
