//! What the answer to a query is.
//!
//! Invariant: everything about a query is decided here, once, from the snapshot and the query alone; the records go to
//! whatever takes them, and what does not fit there is not this file's affair.

use arrayvec::ArrayVec;

use super::hits::{About, Ahead, Hit, Hits, Seen, Sought, exists_below, find, is_above_child, is_subject, values_of};
use super::{
    Decision, DropReason, Ground, Owner, Query, RCODE_NXDOMAIN, RCODE_REFUSED, RCODE_SERVFAIL, Record, Section,
    Sections, listing,
};
use crate::dataset::values::MAX_TEXT;
use crate::dataset::{RrSet, Value};
use crate::dnsxl::number::{
    CLASS_ANY, CLASS_CH, CLASS_IN, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_AXFR, TYPE_CNAME, TYPE_DS, TYPE_IXFR, TYPE_NS,
    TYPE_SOA, TYPE_TXT,
};
use crate::dnsxl::{Labels, QueryName};
use crate::snapshot::{Snapshot, Version};
use crate::zone::{Admission, Applied, Permit, Refusal, RefuseWith, Standing, Zone};

/// Decides the answer to a query, and gives its records to `out`.
///
/// # Errors
///
/// [`DropReason::Access`] if an access list or the terms of the zone have no reply for the client.
pub fn answer(snapshot: &Snapshot, query: &Query<'_>, out: &mut impl Sections) -> Result<Decision, DropReason> {
    let labels = query.name.labels();
    if query.qclass == CLASS_CH {
        return match snapshot.access.listed(&snapshot.access, query.client) {
            Some(Permit::Ignore) => Err(DropReason::Access { zone: None }),
            _ => Ok(version(snapshot, query, labels, out)),
        };
    }
    let found = match query.qclass {
        CLASS_IN | CLASS_ANY if query.qtype == TYPE_DS => {
            snapshot.zone_above(labels).or_else(|| snapshot.zone_of(labels))
        }
        CLASS_IN | CLASS_ANY => snapshot.zone_of(labels),
        _ => None,
    };
    let Some((index, zone)) = found else {
        return match snapshot.access.listed(&snapshot.access, query.client) {
            Some(Permit::Ignore) => Err(DropReason::Access { zone: None }),
            listed => {
                let standing = Standing { key: None, is_listed: matches!(listed, Some(Permit::Pass)) };
                Ok(Decision { rcode: RCODE_REFUSED, standing, ..Decision::default() })
            }
        };
    };
    // the DS of an apex is asked of another zone than all else
    let ahead = query.ahead.filter(|ahead| ahead.zone == index);
    let name = labels.without_suffix(zone.apex_labels);
    let key = match ahead {
        Some(ahead) => ahead.key.and_then(|index| Some((index, zone.access.key(index)?))),
        None => zone.access.key_of(name),
    };
    let Query { client, meter, now, .. } = *query;
    let applied = Applied { zone: zone.number, name, key, client, meter, now };
    let is_open = || name.count() == 0 || is_name_server(zone, labels) || is_above_child(zone, name);
    let Admission { permit, standing, key_labels } = zone.access.admit(&snapshot.access, &applied, is_open);
    let dropped = DropReason::Access { zone: Some(index) };
    let decision = |rcode, authoritative, ground| {
        Ok(Decision { rcode, authoritative, zone: Some(index), ground, alike: labels.count() as u8, standing })
    };
    let refusal = match permit {
        Permit::Ignore => return Err(dropped),
        Permit::Refuse(refusal) => match zone.access.refuse_with() {
            RefuseWith::Refused => return decision(RCODE_REFUSED, false, Ground::Refusal),
            RefuseWith::Drop => return Err(dropped),
            RefuseWith::NxDomain | RefuseWith::Code => Some(refusal).filter(|_| !is_open()),
        },
        Permit::Empty | Permit::Pass | Permit::Always(..) => None,
    };
    if zone.unavailable || zone.expires.is_some_and(|expires| expires <= query.now) {
        return decision(RCODE_SERVFAIL, false, Ground::Other);
    }
    if matches!(query.qtype, TYPE_AXFR | TYPE_IXFR) {
        return decision(RCODE_REFUSED, false, Ground::Other);
    }
    // RFC 1035, section 6.2: an answer to QCLASS=* is never authoritative
    let authoritative = query.qclass == CLASS_IN;
    let (mut aliases, mut answers, mut alike) = (ArrayVec::<QueryName, MAX_CNAMES>::new(), 0, labels.count());
    let above = zone.apex_labels + key_labels;
    let outcome = loop {
        // a CNAME's target is a name as the data has it, without a key
        let alias = aliases.last().map(|alias| (alias.labels(), Owner::Other(alias.labels().wire()), zone.apex_labels));
        let (labels, owner, above) = alias.unwrap_or((labels, Owner::Qname, above));
        let mut reply = Reply { zone, query, ahead, labels, above, owner, permit, out: &mut *out, answers, alike };
        let outcome = match refusal {
            Some(refusal) => reply.refuse(refusal),
            None => reply.decide(),
        };
        (answers, alike) = (reply.answers, reply.alike);
        let Outcome::Alias(target) = outcome else { break outcome };
        // RFC 1034, section 4.3.2: from here on the canonical name is asked for, as far as this zone goes
        let Ok((target, _)) = QueryName::read(target) else { break Outcome::Found };
        let is_known = |name: &QueryName| name.labels().wire() == target.labels().wire();
        let goes_on = snapshot.zone_of(target.labels()).is_some_and(|(other, _)| other == index)
            && !is_known(query.name)
            && !aliases.iter().any(is_known);
        if !goes_on || aliases.try_push(target).is_err() {
            break Outcome::Found;
        }
    };
    let ground = match outcome {
        _ if refusal.is_some() => Ground::Refusal,
        Outcome::Listed => Ground::Listing,
        _ => Ground::Other,
    };
    let mut reply = Reply { zone, query, ahead, labels, above, owner: Owner::Qname, permit, out, answers, alike };
    match outcome {
        Outcome::NoData => reply.soa(),
        Outcome::NxDomain => {
            reply.soa();
            return decision(RCODE_NXDOMAIN, authoritative, ground);
        }
        // RFC 1034, section 4.3.1: the CNAMEs before a referral are ours, the referral alone is not
        Outcome::Referral => return decision(0, authoritative && answers > 0, ground),
        Outcome::Listed | Outcome::Found | Outcome::Alias(_) => {
            let gave_ns = query.qtype == TYPE_NS && labels.count() == zone.apex_labels;
            if zone.ns_in_authority && answers > 0 && !gave_ns {
                reply.apex_ns(Section::Authority);
            }
        }
    }
    Ok(Decision { rcode: 0, authoritative, zone: Some(index), ground, alike: alike as u8, standing })
}

/// Answers `version.bind` and its like (RFC 4892).
fn version(snapshot: &Snapshot, query: &Query<'_>, labels: Labels<'_>, out: &mut impl Sections) -> Decision {
    let asked = VERSION_NAMES.contains(&labels.wire()) && matches!(query.qtype, TYPE_TXT | TYPE_ANY);
    let refused = Decision { rcode: RCODE_REFUSED, ..Decision::default() };
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
    Decision { authoritative: true, alike: labels.count() as u8, ..Decision::default() }
}

/// Whether a name is that of a server of the zone, which everybody has to find.
fn is_name_server(zone: &Zone, name: Labels<'_>) -> bool {
    zone.ns
        .names
        .iter()
        .any(|server| server.strip_suffix(&[0]).is_some_and(|wire| wire.eq_ignore_ascii_case(name.wire())))
}

/// How a name came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome<'z> {
    /// Records were given, a listing's among them.
    Listed,
    /// Records were given, and none of them is a listing's.
    Found,
    /// A CNAME was given, which leads to this name in wire form.
    Alias(&'z [u8]),
    /// The name exists, and has none of the type.
    NoData,
    /// Neither the name nor anything below it exists.
    NxDomain,
    /// The name is in a zone that another server has.
    Referral,
}

/// An answer while it is put together.
struct Reply<'z, 'a, S> {
    zone: &'z Zone,
    query: &'a Query<'a>,
    /// What is known of the QNAME in front of this zone's apex.
    ahead: Option<&'a Ahead>,
    /// The name that is looked up: the QNAME, or where a CNAME led.
    labels: Labels<'a>,
    /// How many of its labels stand behind what is looked up: those of the apex, and a key.
    above: usize,
    /// The same name, as the owner of its records.
    owner: Owner<'a>,
    permit: Permit<'a>,
    out: &'a mut S,
    /// Records in the answer section.
    answers: usize,
    /// See [`Decision::alike`].
    alike: usize,
}

impl<'z, S: Sections> Reply<'z, '_, S> {
    fn decide(&mut self) -> Outcome<'z> {
        let name = self.labels.without_suffix(self.above);
        if self.zone.has_cuts && self.refer(name) {
            return Outcome::Referral;
        }
        if name.count() == 0 {
            // a key's own name has nothing but what is below it
            return if self.above > self.zone.apex_labels { Outcome::NoData } else { self.apex() };
        }
        let always = self.permit.always();
        if let Some(values) = always.filter(|_| is_subject(self.zone, name)) {
            let about = About::Client(self.query.client);
            self.alike = self.above;
            return self.listed(values.map(|value| (about, value)), name, self.query.qtype, None);
        }
        let mut hits = Hits::new();
        let sought = match self.ahead.filter(|_| self.owner == Owner::Qname) {
            Some(ahead) => Sought::announced(name, ahead),
            None => Sought::read(name),
        };
        let seen = match self.permit {
            Permit::Empty => Seen::Records,
            Permit::Always(..) => Seen::Everything,
            _ => Seen::All { names_below: find(self.zone, sought, self.query.now, &mut hits) },
        };
        if hits.is_empty() {
            return match self.owned(name, self.query.qtype, None, None) {
                Outcome::NxDomain if exists_below(self.zone, sought, seen) => Outcome::NoData,
                owns => owns,
            };
        }
        if self.owner == Owner::Qname {
            let alike = |hit: &Hit| match hit.about {
                About::Name { labels, above } => labels + above + self.above,
                _ => self.labels.count(),
            };
            self.alike = hits.iter().map(alike).max().unwrap_or(self.alike);
        }
        let zone = self.zone;
        let values = values_of(zone, &hits);
        let rtype = match self.query.qtype {
            // RFC 8482, section 4.1: one RRset
            TYPE_ANY if values.clone().any(|(_, value)| value.a.is_some()) => TYPE_A,
            TYPE_ANY => TYPE_TXT,
            qtype => qtype,
        };
        // RFC 2181, section 5.2: where records and listings come to one RRset, it has one TTL
        let is_given = |value: &Value<'_>| match rtype {
            TYPE_A => value.a.is_some(),
            TYPE_TXT => value.text.is_some(),
            _ => false,
        };
        let given = values.clone().map(|(_, value)| value).filter(is_given);
        let of_values = given.map(|value| value.ttl.unwrap_or(zone.ttl));
        let of_records = sets_of(zone, name).filter(|set| set.rtype() == rtype).map(|set| set.ttl(zone.ttl));
        let ttl = of_values.chain(of_records).min();
        match (self.listed(values, name, rtype, ttl), self.owned(name, rtype, ttl, Some(&hits))) {
            (Outcome::Listed, _) => Outcome::Listed,
            (_, Outcome::Found) => Outcome::Found,
            _ => Outcome::NoData,
        }
    }

    /// What is told to whom may not ask: a code in the place of everything that could be listed, or that nothing is.
    fn refuse(&mut self, refusal: Refusal) -> Outcome<'z> {
        if self.zone.access.refuse_with() != RefuseWith::Code {
            return Outcome::NxDomain;
        }
        self.alike = self.zone.apex_labels;
        // what was meant as a key is no part of the subject
        let above = if refusal == Refusal::Key { self.zone.apex_labels + 1 } else { self.above };
        let name = self.labels.without_suffix(above);
        if !is_subject(self.zone, name) {
            let is_above = name.count() == 0 || exists_below(self.zone, Sought::read(name), Seen::Everything);
            return if is_above { Outcome::NoData } else { Outcome::NxDomain };
        }
        let ttl = self.zone.ttl.min(REFUSAL_TTL);
        match self.query.qtype {
            // RFC 8482, section 4.1: one RRset
            TYPE_A | TYPE_ANY => self.give(TYPE_A, ttl, &listing::code(refusal, self.zone.choice).octets()),
            TYPE_TXT => self.give(TYPE_TXT, ttl, &listing::why_refused(refusal, self.zone, self.query.client)),
            _ => return Outcome::NoData,
        }
        Outcome::Found
    }

    /// What the zone itself has, and `generic` records at its apex.
    fn apex(&mut self) -> Outcome<'z> {
        let soa = &self.zone.soa;
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
                let at_apex = self.labels.without_suffix(self.zone.apex_labels);
                return match self.owned(at_apex, self.query.qtype, None, Some(&Hits::new())) {
                    Outcome::NxDomain => Outcome::NoData,
                    owns => owns,
                };
            }
        }
        Outcome::Found
    }

    /// Gives the records of a listing with that TTL, or else the smallest of the values.
    fn listed<'v>(
        &mut self,
        values: impl Iterator<Item = (About, Value<'v>)> + Clone,
        name: Labels<'_>,
        rtype: u16,
        ttl: Option<u32>,
    ) -> Outcome<'z> {
        let before = self.answers;
        if matches!(rtype, TYPE_A | TYPE_ANY) {
            listing::addresses(self.zone, values.clone(), |own, rdata| self.give(TYPE_A, ttl.unwrap_or(own), rdata));
        }
        if rtype == TYPE_TXT || rtype == TYPE_ANY && self.answers == before {
            listing::texts(self.zone, values, name, |own, rdata| self.give(TYPE_TXT, ttl.unwrap_or(own), rdata));
        }
        if self.answers > before { Outcome::Listed } else { Outcome::NoData }
    }

    /// Gives a record of the name in the answer section.
    fn give(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        self.give_at(Section::Answer, self.owner, rtype, ttl, rdata);
    }

    fn give_at(&mut self, section: Section, owner: Owner<'_>, rtype: u16, ttl: u32, rdata: &[u8]) {
        self.answers += usize::from(section == Section::Answer);
        self.out.record(section, Record { owner, rtype, class: CLASS_IN, ttl, rdata });
    }

    /// Gives the `generic` records of a type that a name relative to the apex owns: with that TTL, or else their own.
    ///
    /// `listed`: what the name has besides, so that no CNAME can stand there; what that comes to is not given again.
    fn owned(&mut self, name: Labels<'_>, rtype: u16, ttl: Option<u32>, listed: Option<&Hits>) -> Outcome<'z> {
        let zone = self.zone;
        // a CNAME stands alone (RFC 1034, section 3.6.2): beside anything else it gives way
        let (mut exists, mut alias) = (false, listed.is_none());
        for set in sets_of(zone, name) {
            exists = true;
            alias &= set.rtype() == TYPE_CNAME;
        }
        if !exists {
            return Outcome::NxDomain;
        }
        // a client that is to see nothing, or the access list's value alone, gets no data of records
        if matches!(self.permit, Permit::Empty | Permit::Always(..)) {
            return Outcome::NoData;
        }
        let rtype = match rtype {
            _ if alias => TYPE_CNAME,
            // RFC 8482, section 4.1: one RRset
            TYPE_ANY => sets_of(zone, name).map(|set| set.rtype()).find(|&rtype| rtype != TYPE_CNAME).unwrap_or(rtype),
            rtype => rtype,
        };
        if rtype == TYPE_CNAME && !alias {
            return Outcome::NoData;
        }
        // RFC 2181, section 5: what several datasets have of a type is one RRset, each datum once and with one TTL
        let sets = || sets_of(zone, name).filter(|set| set.rtype() == rtype);
        let Some(own_ttl) = sets().map(|set| set.ttl(zone.ttl)).min() else { return Outcome::NoData };
        for (index, set) in sets().enumerate() {
            for rdata in rotated(set.data(), self.query.id) {
                let again = sets().take(index).any(|before| before.data().any(|other| other == rdata))
                    || listed.is_some_and(|hits| listing::has(zone, hits, name, rtype, rdata));
                if !again {
                    self.give(rtype, ttl.unwrap_or(own_ttl), rdata);
                }
                if alias && !matches!(self.query.qtype, TYPE_CNAME | TYPE_ANY) {
                    return Outcome::Alias(rdata);
                }
            }
        }
        Outcome::Found
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
            let mut cut: ArrayVec<u8, 256> = name.suffix(count).iter().copied().collect();
            cut.push(0);
            let Ok((cut, _)) = QueryName::read(&cut) else { continue };
            let Some(ns) = sets_of(self.zone, cut.labels()).find(|set| set.rtype() == TYPE_NS) else { continue };
            // the parent answers for the DS of a cut (RFC 4035, section 3.1.4.1)
            if count == name.count() && self.query.qtype == TYPE_DS {
                return false;
            }
            let labels = count + self.above;
            let owner = match self.owner {
                Owner::Other(_) => Owner::Other(self.labels.suffix(labels)),
                _ => Owner::Ancestor(labels),
            };
            self.give_set(Section::Authority, owner, ns);
            for server in ns.data() {
                self.glue(server);
            }
            return true;
        }
        false
    }

    /// Gives the SOA of a negative answer (RFC 2308, section 3).
    fn soa(&mut self) {
        let soa = &self.zone.soa;
        let owner = Owner::Ancestor(self.zone.apex_labels);
        self.give_at(Section::Authority, owner, TYPE_SOA, soa.negative_ttl, &soa.rdata);
    }
}

/// The RRsets that `generic` parts have at a name relative to the apex.
pub(crate) fn sets_of<'z>(zone: &'z Zone, name: Labels<'_>) -> impl Iterator<Item = RrSet<'z>> {
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

/// Seconds: a quota is there again soon, and so may be a key or a place on an access list.
const REFUSAL_TTL: u32 = 60;
/// The most CNAMEs of one answer, so that a loop of them ends.
const MAX_CNAMES: usize = 8;
/// RFC 4892 and the names that list servers have answered besides.
const VERSION_NAMES: [&[u8]; 2] = [b"\x07version\x04bind", b"\x07version\x06server"];
