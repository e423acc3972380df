//! The resource records of `generic` datasets: owner → RRsets (RFC 2181, section 5).
//!
//! Invariant: owners are sorted by their labels from the right, so that what is below a name follows it; an owner's
//! RRsets are sorted by type, hold each datum once and have one TTL; a CNAME stands alone (RFC 1034, section 3.6.2).
//!
//! What is opened from a compiled file may be otherwise if the file lies: then wrong records are found, or none.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::dnsxl::name::{MAX_WIRE, reverse_labels};
use crate::dnsxl::number::TYPE_CNAME;
use crate::dnsxl::{Labels, Name};
use crate::table::memory::Array;
use crate::table::{Compiled, Kind, Malformed, Place, Sections};

/// Records as collected.
#[derive(Debug, Default)]
pub struct RecordStatements(Vec<Statement>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Statement {
    /// The owner's labels in reversed order.
    owner: Box<[u8]>,
    rtype: u16,
    rdata: Box<[u8]>,
    ttl: Option<u32>,
    at: u32,
}

impl RecordStatements {
    /// Takes a record; `owner` in lower case, in wire form without the root byte, relative to the zone.
    pub fn push(&mut self, owner: &[u8], ttl: Option<u32>, rtype: u16, rdata: &[u8], at: u32) {
        let mut reversed = [0; MAX_WIRE];
        let owner = reverse_labels(owner, &mut reversed).into();
        self.0.push(Statement { owner, rtype, rdata: rdata.into(), ttl, at });
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sorts records into RRsets; also the lines of CNAMEs that were left out because their owner has other data.
    pub fn resolve(mut self) -> (Records, Vec<u32>) {
        self.0.sort_unstable();
        let (mut records, mut left_out) = (Collected::default(), Vec::new());
        for of_owner in self.0.chunk_by(|a, b| a.owner == b.owner) {
            let alone = of_owner.iter().all(|other| (other.rtype, &other.rdata) == (TYPE_CNAME, &of_owner[0].rdata));
            let sets_begin = U32::new(records.sets.len() as u32);
            for set in of_owner.chunk_by(|a, b| a.rtype == b.rtype) {
                if set[0].rtype == TYPE_CNAME && !alone {
                    left_out.extend(set.iter().map(|statement| statement.at));
                    continue;
                }
                // RFC 2181, section 5.2: one TTL for the set; the smallest is the one that misleads nobody
                let ttls = set.iter().map(|statement| statement.ttl);
                let (ttl, zone_ttl) = (ttls.clone().flatten().min(), ttls.clone().any(|ttl| ttl.is_none()));
                let data_begin = U32::new(records.ends.len() as u32);
                for same in set.chunk_by(|a, b| a.rdata == b.rdata) {
                    records.data.extend_from_slice(&same[0].rdata);
                    records.ends.push(U32::new(records.data.len() as u32));
                }
                let flags = if ttl.is_some() { HAS_TTL } else { 0 } | if zone_ttl { HAS_ZONE_TTL } else { 0 };
                let (rtype, ttl) = (set[0].rtype.into(), ttl.unwrap_or(0).into());
                records.sets.push(Set { data_begin, ttl, rtype, flags });
            }
            let begin = U32::new(records.names.len() as u32);
            records.names.extend_from_slice(&of_owner[0].owner);
            records.owners.push(Owner { begin, sets_begin, length: of_owner[0].owner.len() as u8 });
        }
        (records.finish(), left_out)
    }
}

/// The arrays of [`Records`] while they grow.
#[derive(Default)]
struct Collected {
    names: Vec<u8>,
    owners: Vec<Owner>,
    sets: Vec<Set>,
    ends: Vec<U32>,
    data: Vec<u8>,
}

impl Collected {
    fn finish(self) -> Records {
        let Self { names, owners, sets, ends, data } = self;
        Records { names: names.into(), owners: owners.into(), sets: sets.into(), ends: ends.into(), data: data.into() }
    }
}

/// The RRsets of a part of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// The owners' labels in reversed order, one owner after the other.
    names: Array<u8>,
    owners: Array<Owner>,
    sets: Array<Set>,
    /// Where each datum ends.
    ends: Array<U32>,
    data: Array<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Owner {
    begin: U32,
    sets_begin: U32,
    length: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Set {
    data_begin: U32,
    /// The smallest TTL that a record has of its own.
    ttl: U32,
    rtype: U16,
    flags: u8,
}

/// Set if a record has a TTL of its own.
const HAS_TTL: u8 = 1;
/// Set if a record has none, and so the zone's.
const HAS_ZONE_TTL: u8 = 2;

/// One RRset.
#[derive(Clone, Copy, Debug)]
pub struct RrSet<'r> {
    records: &'r Records,
    index: usize,
}

impl Records {
    /// Adds the sections of records.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        out.array(place, Kind::RecordNames, &self.names);
        out.array(place, Kind::RecordOwners, &self.owners);
        out.array(place, Kind::RecordSets, &self.sets);
        out.array(place, Kind::RecordEnds, &self.ends);
        out.array(place, Kind::RecordData, &self.data);
    }

    /// Opens what [`Self::write`] wrote, and reads all owners: they go into zones and replies as names.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        let records = Self {
            names: file.array(place, Kind::RecordNames)?,
            owners: file.array(place, Kind::RecordOwners)?,
            sets: file.array(place, Kind::RecordSets)?,
            ends: file.array(place, Kind::RecordEnds)?,
            data: file.array(place, Kind::RecordData)?,
        };
        let is_name = |owner: &Owner| Name::from_wire(records.name(owner)).is_ok();
        if records.owners.iter().all(is_name) { Ok(records) } else { Err(Malformed("a record's owner is no name")) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The RRsets of a name; `None` if the name owns nothing.
    pub fn find(&self, name: Labels<'_>) -> Option<impl Iterator<Item = RrSet<'_>> + Clone> {
        let mut reversed = [0; MAX_WIRE];
        let owner = reverse_labels(name.wire(), &mut reversed);
        let index = self.owners.binary_search_by(|probe| self.name(probe).cmp(owner)).ok()?;
        Some(self.sets_of(index))
    }

    /// Whether any name below this one owns something.
    pub fn any_below(&self, name: Labels<'_>) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut reversed = [0; MAX_WIRE];
        let owner = reverse_labels(name.wire(), &mut reversed);
        let next = self.owners.partition_point(|probe| self.name(probe) <= owner);
        // whole labels are compared, as their lengths stand in front of them
        self.owners.get(next).is_some_and(|below| self.name(below).starts_with(owner))
    }

    /// All owners in wire form without the root byte, with their RRsets.
    pub fn iter(&self) -> impl Iterator<Item = (Vec<u8>, impl Iterator<Item = RrSet<'_>> + Clone)> {
        self.owners.iter().enumerate().map(|(index, owner)| {
            let mut wire = [0; MAX_WIRE];
            (reverse_labels(self.name(owner), &mut wire).to_vec(), self.sets_of(index))
        })
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.names.memory_bytes()
            + self.owners.memory_bytes()
            + self.sets.memory_bytes()
            + self.ends.memory_bytes()
            + self.data.memory_bytes()
    }

    fn name(&self, owner: &Owner) -> &[u8] {
        let begin = owner.begin.get() as usize;
        self.names.get(begin..begin + usize::from(owner.length)).unwrap_or_default()
    }

    fn sets_of(&self, owner: usize) -> impl Iterator<Item = RrSet<'_>> + Clone {
        let begin_of = |owner: &Owner| (owner.sets_begin.get() as usize).min(self.sets.len());
        let begin = self.owners.get(owner).map_or(0, begin_of);
        let end = self.owners.get(owner + 1).map_or(self.sets.len(), begin_of);
        (begin..end).map(|index| RrSet { records: self, index })
    }
}

impl<'r> RrSet<'r> {
    /// The type's number.
    pub fn rtype(&self) -> u16 {
        self.set().rtype.get()
    }

    fn set(&self) -> &'r Set {
        // below the number of sets, by `sets_of`
        &self.records.sets[self.index]
    }

    /// Seconds, in a zone whose records have `zone` of themselves.
    pub fn ttl(&self, zone: u32) -> u32 {
        let set = self.set();
        match (set.flags & HAS_TTL != 0, set.flags & HAS_ZONE_TTL != 0) {
            (true, true) => set.ttl.get().min(zone),
            (true, false) => set.ttl.get(),
            (false, _) => zone,
        }
    }

    /// The data of each record, in wire form, names uncompressed.
    pub fn data(&self) -> impl ExactSizeIterator<Item = &'r [u8]> + Clone + use<'r> {
        let records = self.records;
        let begin_of = |set: &Set| (set.data_begin.get() as usize).min(records.ends.len());
        let end = records.sets.get(self.index + 1).map_or(records.ends.len(), begin_of);
        let end_of = |index: usize| records.ends.get(index).map_or(0, |end| end.get() as usize);
        (begin_of(self.set())..end).map(move |index| {
            let from = index.checked_sub(1).map_or(0, end_of);
            records.data.get(from..end_of(index)).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnsxl::{Name, QueryName};

    fn records(statements: &[(&str, u16, &[u8], Option<u32>)]) -> (Records, Vec<u32>) {
        let mut all = RecordStatements::default();
        for (at, (owner, rtype, rdata, ttl)) in statements.iter().enumerate() {
            all.push(Name::parse(owner.as_bytes()).unwrap().as_wire(), *ttl, *rtype, rdata, at as u32);
        }
        all.resolve()
    }

    fn ask(records: &Records, name: &str) -> (Vec<(u16, usize, u32)>, bool) {
        let name = QueryName::from(&Name::parse(name.as_bytes()).unwrap());
        let found = records.find(name.labels()).into_iter().flatten();
        (found.map(|set| (set.rtype(), set.data().count(), set.ttl(60))).collect(), records.any_below(name.labels()))
    }

    #[test]
    fn rrsets_are_found_and_what_is_above_them_is_known() {
        let (records, _) = records(&[
            ("www", 1, b"abcd", Some(30)),
            ("www", 1, b"abce", None),
            ("www", 1, b"abcd", None),
            ("www", 16, b"\x01x", None),
            ("a.b.www", 1, b"abcd", None),
            (".", 15, b"mx", None),
        ]);
        assert_eq!(ask(&records, "www"), (vec![(1, 2, 30), (16, 1, 60)], true));
        assert_eq!(ask(&records, "b.www"), (vec![], true));
        assert_eq!(ask(&records, "a.b.www"), (vec![(1, 1, 60)], false));
        assert_eq!(ask(&records, "ww"), (vec![], false));
        assert_eq!(ask(&records, "."), (vec![(15, 1, 60)], true));
        assert_eq!(records.iter().count(), 3);
    }

    #[test]
    fn a_record_without_a_ttl_has_the_zone_s() {
        let mut all = RecordStatements::default();
        all.push(b"", Some(3600), 1, b"abcd", 1);
        all.push(b"", None, 1, b"abce", 2);
        all.push(b"", Some(3600), 16, b"\x01x", 3);
        let (records, _) = all.resolve();
        let name = QueryName::from(&Name::default());
        let ttls: Vec<u32> = records.find(name.labels()).unwrap().map(|set| set.ttl(900)).collect();
        assert_eq!(ttls, [900, 3600]);
    }

    #[test]
    fn a_cname_stands_alone() {
        let (records, left_out) = records(&[("a", 5, b"\0", None), ("a", 1, b"abcd", None), ("b", 5, b"\0", None)]);
        assert_eq!(left_out, [0]);
        assert_eq!(ask(&records, "a").0, [(1, 1, 60)]);
        assert_eq!(ask(&records, "b").0, [(5, 1, 60)]);
    }
}
