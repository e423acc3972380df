//! A zone as a standard master file (RFC 1035, section 5; wildcards: RFC 4592), for BIND, NSD and Knot.
//!
//! Invariant: a server that loads it answers the same A for every full subject in its own form: four octets for an IPv4
//! address, 32 nibbles for an IPv6 address, a domain name, a digest's label. TXT is the same but for the `$` of a range
//! that is written as a wildcard, where the range stands in place of the address; [`Options::expand`] writes one owner for
//! each address instead. How blocks become wildcards is told in `space.rs`, what must exist besides in `layers.rs`.
//!
//! What such a file does not say as we do: an excluded name under a wildcard is NODATA, not NXDOMAIN; so are parts of an
//! address in one case or the other; what is longer than an address (`x.1.2.0.192`) is listed where a wildcard is;
//! IPv4 addresses inside IPv6 ones are not looked up (but for RFC 5782's test entry); access lists, and the delegation
//! of zones below this one, are not in it.
//!
//! An excluded name is kept from its wildcard by a record of its own that is neither A nor TXT: `TYPE65280 \# 0`. The
//! type is the first of those for private use (RFC 6895, section 3.1), without data and without meaning to anyone, and
//! any server that knows RFC 3597 takes it; HINFO says something, and BIND has TYPE65534 for itself.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use super::Source;
use super::layers::{Layers, Node, WILDCARD, has_asterisk};
use super::rdata::{write_absolute, write_record};
use crate::answer::hits::{Hits, Sought, find, is_listed};
use crate::answer::{listing, sets_of};
use crate::dataset::RrSet;
use crate::dnsxl::name::{MAX_WIRE, fmt_wire};
use crate::dnsxl::number::{TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_NS, TYPE_SOA, TYPE_TXT};
use crate::dnsxl::{Labels, Name, QueryName};
use crate::zone::{UnixTime, Zone};

/// How a master file is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// IPv4 addresses, and IPv6 ones of a /112 and longer, whose text names them are written one by one.
    pub expand: bool,
}

/// Something that the file does not say, or that a server may not like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Names with a label `*` of their own, and the first of them.
    Asterisk(Name, u64),
    /// Names with a CNAME and other data, and the first of them.
    Cname(Name, u64),
    /// Listed names that are no host names, and the first of them.
    NotHost(Name, u64),
    /// A name server inside the zone that has no address there.
    NoGlue(Name),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asterisk(name, count) => {
                write!(f, "{count} names left out, as * is a wildcard in a master file: {name}")
            }
            Self::Cname(name, count) => {
                write!(f, "{count} CNAMEs left out, as a CNAME must stand alone: {name}")
            }
            Self::NotHost(name, count) => {
                write!(f, "{count} names are no host names, for BIND set `check-names primary ignore`: {name}")
            }
            Self::NoGlue(name) => write!(f, "name server {name} has no address in the zone: BIND refuses it"),
        }
    }
}

/// Writes a zone.
pub(super) fn write(source: &Source, options: Options, out: &mut impl Write) -> io::Result<Vec<Note>> {
    let zone = &source.zone;
    let layers = Layers::of(source, options.expand);
    let mut writer =
        Writer { zone, now: source.now, out, records: Vec::new(), line: String::new(), odd: BTreeMap::new() };
    writer.begin()?;
    layers.visit(|node| writer.node(&layers, &node))?;
    writer.out.flush()?;
    let notes = writer.odd.into_values();
    Ok(notes.chain(missing_glue(source).into_iter().map(Note::NoGlue)).collect())
}

/// Type, TTL, data.
type Record = (u16, u32, Vec<u8>);

struct Writer<'z, W> {
    zone: &'z Zone,
    now: UnixTime,
    out: &'z mut W,
    /// The records of the owner that is being written.
    records: Vec<Record>,
    line: String,
    odd: BTreeMap<Odd, Note>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Odd {
    Asterisk,
    Cname,
    NotHost,
}

impl<W: Write> Writer<'_, W> {
    /// The directives, and the records of the apex.
    fn begin(&mut self) -> io::Result<()> {
        let mut origin = String::new();
        write_absolute(self.zone.apex.as_wire(), &mut origin).map_err(io::Error::other)?;
        writeln!(self.out, "$ORIGIN {origin}\n$TTL {}", self.zone.ttl)?;
        let (soa, ns) = (&self.zone.soa, &self.zone.ns);
        self.push(TYPE_SOA, soa.ttl, &soa.rdata);
        for name in &ns.names {
            self.push(TYPE_NS, ns.ttl, name);
        }
        let root = QueryName::from(&Name::default());
        let sets = sets_of(self.zone, root.labels());
        self.push_sets(sets.filter(|set| set.rtype() != TYPE_NS));
        self.write_owner(root.labels(), false)
    }

    fn node(&mut self, layers: &Layers<'_>, node: &Node<'_>) -> io::Result<()> {
        let (zone, name) = (self.zone, node.labels);
        let length = name.wire().len() + zone.apex.as_wire().len();
        if length > MAX_WIRE {
            return Ok(());
        }
        if has_asterisk(name) {
            self.note(Odd::Asterisk, Note::Asterisk, name);
            return Ok(());
        }
        if let Some(is_cut) = delegated(zone, name) {
            // a referral is answered there, so nothing but what it is made of has a meaning
            let kept = |set: &RrSet<'_>| ADDRESS_TYPES.contains(&set.rtype()) || is_cut && set.rtype() == TYPE_NS;
            self.push_sets(sets_of(zone, name).filter(kept));
            return self.write_owner(name, false);
        }
        self.push_sets(sets_of(zone, name));
        let mut hits = Hits::new();
        find(zone, Sought::read(name), self.now, &mut hits);
        self.push_hits(&hits, name);
        let below = layers.below(node);
        if self.records.is_empty() && below.is_empty() && layers.hides(node) {
            self.push(TYPE_NOTHING, zone.ttl, b"");
        }
        self.write_owner(name, false)?;
        if length + WILDCARD.len() <= MAX_WIRE {
            self.push_hits(&below, name);
            self.write_owner(name, true)?;
        }
        Ok(())
    }

    fn push(&mut self, rtype: u16, ttl: u32, rdata: &[u8]) {
        // RFC 2181, section 5: one TTL for a set, and nothing twice
        let of_set = |record: &&mut Record| record.0 == rtype;
        let ttl = self.records.iter_mut().filter(of_set).map(|record| record.1).fold(ttl, u32::min);
        self.records.iter_mut().filter(of_set).for_each(|record| record.1 = ttl);
        if !self.records.iter().any(|(of, _, data)| *of == rtype && data == rdata) {
            self.records.push((rtype, ttl, rdata.to_vec()));
        }
    }

    fn push_sets<'r>(&mut self, sets: impl Iterator<Item = RrSet<'r>>) {
        for set in sets {
            for rdata in set.data() {
                self.push(set.rtype(), set.ttl(self.zone.ttl), rdata);
            }
        }
    }

    fn push_hits(&mut self, hits: &Hits, name: Labels<'_>) {
        if hits.is_empty() {
            return;
        }
        let zone = self.zone;
        let values = hits.iter().flat_map(|hit| hit.values(zone).map(|value| (hit.about, value)));
        listing::addresses(zone, values.clone(), |ttl, rdata| self.push(TYPE_A, ttl, rdata));
        listing::texts(zone, values, name, |ttl, rdata| self.push(TYPE_TXT, ttl, rdata));
    }

    /// Writes the records that were pushed, for a name or for the wildcard below it.
    fn write_owner(&mut self, name: Labels<'_>, wildcard: bool) -> io::Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        let is_alias = |record: &Record| record.0 == TYPE_CNAME;
        if self.records.len() > 1 && self.records.iter().any(is_alias) {
            match self.records.iter().all(is_alias) {
                true => self.records.truncate(1),
                false => self.records.retain(|record| !is_alias(record)),
            }
            self.note(Odd::Cname, Note::Cname, name);
        }
        if self.records.iter().any(|record| ADDRESS_TYPES.contains(&record.0)) && !is_host(name) {
            self.note(Odd::NotHost, Note::NotHost, name);
        }
        self.line.clear();
        owner(name, wildcard, &mut self.line).map_err(io::Error::other)?;
        for (rtype, ttl, rdata) in &self.records {
            write_line(&mut self.line, *rtype, Some(*ttl).filter(|&ttl| ttl != self.zone.ttl), rdata)
                .map_err(io::Error::other)?;
        }
        self.records.clear();
        self.out.write_all(self.line.as_bytes())
    }

    fn note(&mut self, odd: Odd, make: impl Fn(Name, u64) -> Note, name: Labels<'_>) {
        let first = || make(Name::from_wire(name.wire()).unwrap_or_default(), 0);
        let (Note::Asterisk(_, count) | Note::Cname(_, count) | Note::NotHost(_, count)) =
            self.odd.entry(odd).or_insert_with(first)
        else {
            return;
        };
        *count += 1;
    }
}

/// Writes an owner relative to the origin.
fn owner(name: Labels<'_>, wildcard: bool, line: &mut String) -> fmt::Result {
    match (wildcard, name.count()) {
        (true, 0) => line.push('*'),
        (false, 0) => line.push('@'),
        (true, _) => {
            line.push_str("*.");
            fmt_wire(name.wire(), line)?;
        }
        (false, _) => fmt_wire(name.wire(), line)?,
    }
    Ok(())
}

/// Writes what follows the owner; the owner of a line that begins with a blank is that of the line before.
fn write_line(line: &mut String, rtype: u16, ttl: Option<u32>, rdata: &[u8]) -> fmt::Result {
    line.push('\t');
    if let Some(ttl) = ttl {
        fmt::Write::write_fmt(line, format_args!("{ttl}\t"))?;
    }
    if rtype == TYPE_SOA {
        line.push_str("IN\t");
    }
    write_record(rtype, rdata, line)?;
    line.push('\n');
    Ok(())
}

/// Whether another server has the name: `true` if the zone is cut at the name itself.
fn delegated(zone: &Zone, name: Labels<'_>) -> Option<bool> {
    if !zone.has_cuts {
        return None;
    }
    (1..=name.count()).find_map(|count| {
        let above = Name::from_wire(name.suffix(count)).unwrap_or_default();
        let is_cut = sets_of(zone, QueryName::from(&above).labels()).any(|set| set.rtype() == TYPE_NS);
        is_cut.then_some(count == name.count())
    })
}

/// The name servers inside the zone that have no address there.
fn missing_glue(source: &Source) -> Vec<Name> {
    let zone = &source.zone;
    let inside = |name: &[u8]| {
        let name = Name::from_wire(&name[..name.len() - 1]).unwrap_or_default().to_lowercase();
        name.relative_to(&zone.apex).filter(|relative| {
            let relative = QueryName::from(relative);
            let has_records = sets_of(zone, relative.labels()).any(|set| ADDRESS_TYPES.contains(&set.rtype()));
            delegated(zone, relative.labels()).is_none()
                && !has_records
                && !is_listed(zone, relative.labels(), source.now)
        })?;
        Some(name)
    };
    zone.ns.names.iter().filter_map(|name| inside(name)).collect()
}

/// Whether a name can be a host's (RFC 1123, section 2.1).
fn is_host(name: Labels<'_>) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    (0..name.count()).map(|index| name.label(index)).all(|label| {
        let inside = label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inside && is_edge(label.first()) && is_edge(label.last())
    })
}

/// A and AAAA: what host names have.
const ADDRESS_TYPES: [u16; 2] = [TYPE_A, TYPE_AAAA];
/// The record of a name that exists and has nothing; see the head of this file.
const TYPE_NOTHING: u16 = 65_280;
