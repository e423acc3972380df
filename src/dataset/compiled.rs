//! A whole dataset as a compiled file: its parts with their places, values and records, its access list, and what its
//! files say of the zone.
//!
//! What is canonical is written, and nothing of where it came from: no path, no line, no time of a file. Two sets of files
//! that say the same give the same bytes, whatever the order of their lines. Arrays are written as they lie in memory and
//! used from the file (`table/file.rs`); what is small and of varying length is encoded here.
//!
//! Invariant: what is opened lists just what was written, and finds the same values; a file that lies is an error here or
//! answers wrongly, and does no more.

use std::path::{Path, PathBuf};

use super::never::{is_mapped_test_entry, is_test_entry};
use super::{ClientAction, Clients, Dataset, Head, Holds, NeverList, Part, Records, Tally, Values};
use crate::dnsxl::key::{Alphabet, HashKind, KeyShape};
use crate::dnsxl::subject::{mask4, mask6};
use crate::dnsxl::{Block4, Block6, Name, QueryName};
use crate::feed::{Format, NsLine, SoaLine};
use crate::table::{Access, Compiled, CompiledError, Ip4, Ip6, Kind, Malformed, Place, Sections, Table, ValueId};

/// Writes a dataset that was loaded from files of some format to a compiled file.
///
/// The file is written aside and gets its name when it is whole and on the disk.
///
/// # Errors
///
/// More parts than a file can have, and what the system says.
pub fn write(dataset: &Dataset, format: Format, path: &Path) -> Result<(), WriteError> {
    let sections = sections(dataset, format)?;
    sections.write(path).map_err(|source| WriteError::Write { path: path.into(), source })
}

/// The bytes of the file that [`write`] writes.
///
/// # Errors
///
/// More parts than a file can have.
pub fn to_bytes(dataset: &Dataset, format: Format) -> Result<Vec<u8>, WriteError> {
    Ok(sections(dataset, format)?.into_bytes())
}

/// Why a compiled file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system does not let it be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// More sections of a `combined` list than a file can have.
    #[error("{found} parts, at most {MAX_PARTS} in a compiled file: make several datasets of it")]
    TooManyParts {
        /// How many there are.
        found: usize,
    },
    /// A file of keys.
    #[error("{dataset}: keys are secrets, and stay in the file that they are in: they are not compiled")]
    Keys {
        /// The dataset.
        dataset: String,
    },
}

fn sections(dataset: &Dataset, format: Format) -> Result<Sections<'_>, WriteError> {
    let mut out = Sections::default();
    if dataset.keys.is_some() {
        return Err(WriteError::Keys { dataset: dataset.name.clone() });
    }
    if dataset.parts.len() > MAX_PARTS {
        return Err(WriteError::TooManyParts { found: dataset.parts.len() });
    }
    out.bytes(Place::FILE, Kind::Head, encode_head(format, &dataset.head));
    for (number, part) in dataset.parts.iter().enumerate() {
        let place = Place(number as u32);
        out.bytes(place, Kind::Head, encode_part(part));
        part.table.write(place, &mut out);
        part.values.write(place, &mut out);
        part.records.write(place, &mut out);
    }
    if let Some(clients) = &dataset.clients {
        out.bytes(Place::CLIENTS, Kind::ClientActions, encode_actions(&clients.actions));
        clients.table.write(Place::CLIENTS, &mut out);
        clients.values.write(Place::CLIENTS, &mut out);
    }
    Ok(out)
}

/// Opens what [`write`] wrote: the dataset, under a name of the caller's, and the format of its lists.
///
/// Nothing of the tables is verified; [`Dataset::compiled`] does that. The dataset does not know when it was last written.
///
/// # Errors
///
/// A file whose parts do not fit together.
pub fn open(file: &Compiled, name: &str) -> Result<(Dataset, Format), CompiledError> {
    let opened = open_sections(file).map_err(|why| file.malformed(why))?;
    let (format, head, parts, clients) = opened;
    let compiled = Some(file.clone());
    Ok((Dataset { name: name.to_owned(), parts, clients, keys: None, head, modified: 0, compiled }, format))
}

/// The format of the lists that a compiled file was made from.
///
/// # Errors
///
/// Anything but a whole file of this version.
pub fn format_of(path: &Path) -> Result<Format, CompiledError> {
    let file = Compiled::open(path, Access::Map)?;
    let head = file.array(Place::FILE, Kind::Head).and_then(|bytes| decode_head(&bytes));
    head.map(|(format, _)| format).map_err(|why| file.malformed(why))
}

fn open_sections(file: &Compiled) -> Result<(Format, Head, Vec<Part>, Option<Clients>), Malformed> {
    let (format, head) = decode_head(&file.array(Place::FILE, Kind::Head)?)?;
    let mut parts = Vec::new();
    for number in 0..MAX_PARTS {
        let place = Place(number as u32);
        let bytes = file.array(place, Kind::Head)?;
        if bytes.is_empty() {
            break;
        }
        let (under, holds) = decode_part(&bytes)?;
        let (table, values) = (Table::open(file, place)?, Values::open(file, place)?);
        parts.push(Part { under, holds, table, values, records: Records::open(file, place)? });
    }
    let actions = decode_actions(&file.array(Place::CLIENTS, Kind::ClientActions)?)?;
    let clients = actions.map(|actions| {
        let (table, values) = (Table::open(file, Place::CLIENTS)?, Values::open(file, Place::CLIENTS)?);
        Ok(Clients { table, actions, values })
    });
    Ok((format, head, parts, clients.transpose()?))
}

/// What the parts of a compiled dataset come to, as far as their tables tell: addresses and not the lines that listed
/// them.
pub(super) fn tallies(dataset: &Dataset, format: Format) -> Vec<Tally> {
    let of_table = |format, table: &Table, bytes| {
        let addresses = table.ip4.listed();
        Tally {
            octet_classes: [0, 0, 0, addresses],
            prefixes4: addresses,
            prefixes6: table.ip6.listed_prefixes(),
            names: table.names.listed(),
            bytes,
            ..Tally::new(format)
        }
    };
    // of a part of a combined list, the format whose measures tell most
    let of_part = |holds: Holds| match holds {
        _ if format != Format::Combined => format,
        Holds { ip4: true, .. } => Format::Ip4Set,
        Holds { ip6: true, .. } => Format::Ip6Trie,
        Holds { names: true, .. } => Format::Dnset,
        _ => Format::Generic,
    };
    let parts = dataset.parts.iter().map(|part| Tally {
        records: part.records.len() as u64,
        ..of_table(of_part(part.holds), &part.table, part.bytes())
    });
    let clients = dataset.clients.iter();
    let clients = clients.map(|list| of_table(Format::Acl, &list.table, list.table.bytes() + list.values.bytes()));
    parts.chain(clients).collect()
}

/// How much a compiled dataset lists: addresses, prefixes, names, digests, records and clients.
pub(super) fn listings(dataset: &Dataset) -> u64 {
    let of_table =
        |table: &Table| table.ip4.listed() + table.ip6.listed_prefixes() + table.names.listed() + table.hashes.listed();
    let parts = dataset.parts.iter().map(|part| of_table(&part.table) + part.records.len() as u64);
    parts.sum::<u64>() + dataset.clients.as_ref().map_or(0, |clients| of_table(&clients.table))
}

/// What a compiled dataset lists that the never-list has: the list may have grown since, or the file be somebody else's.
pub(super) fn forbidden(dataset: &Dataset, never: &NeverList) -> Option<String> {
    dataset.parts.iter().find_map(|part| {
        let ip4 = never.ip4().into_iter().find_map(|(first, last)| first_within4(&part.table.ip4, first, last));
        let ip6 = || never.ip6().into_iter().find_map(|(first, last)| first_within6(&part.table.ip6, first, last));
        let name = || {
            let is_listed = |name: &&Name| part.table.names.find(QueryName::from(*name).labels()).value.is_listed();
            never.names().iter().find(is_listed).map(ToString::to_string)
        };
        ip4.map(|address| std::net::Ipv4Addr::from(address).to_string())
            .or_else(|| ip6().map(|address| std::net::Ipv6Addr::from(address).to_string()))
            .or_else(name)
    })
}

/// The first listed address of a range that is no test entry.
fn first_within4(ip4: &Ip4, first: u32, last: u32) -> Option<u32> {
    let mut at = Some(first);
    while let Some(bits) = at.filter(|&bits| bits <= last) {
        let fitting = (u64::from(last - bits) + 1).ilog2().min(bits.trailing_zeros());
        let mut length = 32 - fitting as u8;
        // into the lower half as long as something is listed there
        while length < 32 && ip4.any_below(Block4 { bits, length }) {
            length += 1;
        }
        if length == 32 && ip4.find(bits).is_listed() && !is_test_entry(bits) {
            return Some(bits);
        }
        at = (bits | !mask4(length)).checked_add(1);
    }
    None
}

/// As [`first_within4`].
fn first_within6(ip6: &Ip6, first: u128, last: u128) -> Option<u128> {
    let mut at = Some(first);
    while let Some(bits) = at.filter(|&bits| bits <= last) {
        let fitting = (last - bits).checked_add(1).map_or(128, u128::ilog2).min(bits.trailing_zeros());
        let mut length = (128 - fitting) as u8;
        while length < 128 && ip6.any_below(Block6 { bits, length }) {
            length += 1;
        }
        if length == 128 && ip6.find(bits).is_listed() && !is_mapped_test_entry(bits) {
            return Some(bits);
        }
        at = (bits | !mask6(length)).checked_add(1);
    }
    None
}

/// The dataset's format, and what its files say of the zone, each behind a number of its own.
fn encode_head(format: Format, head: &Head) -> Vec<u8> {
    let mut out = vec![number_of(&FORMATS, format)];
    if let Some(soa) = &head.soa {
        out.push(HEAD_SOA);
        for number in [soa.ttl, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        encode_name(&soa.origin, &mut out);
        encode_name(&soa.person, &mut out);
    }
    if let Some(ns) = &head.ns {
        out.push(HEAD_NS);
        out.extend_from_slice(&ns.ttl.to_le_bytes());
        out.extend_from_slice(&(ns.names.len() as u32).to_le_bytes());
        ns.names.iter().for_each(|name| encode_name(name, &mut out));
    }
    for (tag, time) in [(HEAD_CREATED, head.created), (HEAD_EXPIRES, head.expires)] {
        if let Some(time) = time {
            out.push(tag);
            out.extend_from_slice(&time.to_le_bytes());
        }
    }
    out
}

fn decode_head(bytes: &[u8]) -> Result<(Format, Head), Malformed> {
    let mut rest = Rest(bytes);
    let format = rest.value(&FORMATS)?;
    let mut head = Head::default();
    while !rest.0.is_empty() {
        match rest.byte()? {
            HEAD_SOA => {
                let [ttl, serial, refresh, retry, expire, minimum] = rest.numbers()?;
                let (origin, person) = (rest.name()?, rest.name()?);
                head.soa = Some(SoaLine { ttl, origin, person, serial, refresh, retry, expire, minimum });
            }
            HEAD_NS => {
                let [ttl, count] = rest.numbers()?;
                let names = (0..count).map(|_| rest.name()).collect::<Result<_, _>>()?;
                head.ns = Some(NsLine { ttl, names });
            }
            HEAD_CREATED => head.created = Some(rest.time()?),
            HEAD_EXPIRES => head.expires = Some(rest.time()?),
            _ => return Err(Malformed("the head of the dataset has something unknown")),
        }
    }
    Ok((format, head))
}

/// What a part is about, and the names it stands under.
fn encode_part(part: &Part) -> Vec<u8> {
    let Holds { ip4, ip6, names, hashes } = part.holds;
    let flags = [ip4, ip6, names, hashes.is_some()].into_iter().rev().fold(0, |flags, is| flags << 1 | u8::from(is));
    let mut out = vec![flags];
    if let Some(shape) = hashes {
        out.extend([number_of(&HASHES, shape.hash), number_of(&ALPHABETS, shape.alphabet), shape.characters]);
    }
    part.under.iter().for_each(|name| encode_name(name, &mut out));
    out
}

fn decode_part(bytes: &[u8]) -> Result<(Vec<Name>, Holds), Malformed> {
    let mut rest = Rest(bytes);
    let flags = rest.byte()?;
    let has = |bit: u32| flags >> bit & 1 != 0;
    let mut hashes = None;
    if has(3) {
        let shape =
            KeyShape { hash: rest.value(&HASHES)?, alphabet: rest.value(&ALPHABETS)?, characters: rest.byte()? };
        hashes = Some(shape).filter(|shape| shape.is_possible());
        if hashes.is_none() {
            return Err(Malformed("a key of hashes is of no possible length"));
        }
    }
    let mut under = Vec::new();
    while !rest.0.is_empty() {
        under.push(rest.name()?);
    }
    Ok((under, Holds { ip4: has(0), ip6: has(1), names: has(2), hashes }))
}

/// A byte and a value for each action, behind a byte, as an access list without entries is one too.
fn encode_actions(actions: &[ClientAction]) -> Vec<u8> {
    let mut out = vec![ACTIONS];
    for action in actions {
        let (number, value) = match *action {
            ClientAction::Ignore => (0, ValueId::NONE),
            ClientAction::Refuse => (1, ValueId::NONE),
            ClientAction::Empty => (2, ValueId::NONE),
            ClientAction::Pass => (3, ValueId::NONE),
            ClientAction::Always(value) => (4, value),
        };
        out.push(number);
        out.extend_from_slice(&value.0.to_le_bytes());
    }
    out
}

fn decode_actions(bytes: &[u8]) -> Result<Option<Vec<ClientAction>>, Malformed> {
    let mut rest = Rest(bytes);
    if bytes.is_empty() {
        return Ok(None);
    }
    if rest.byte()? != ACTIONS {
        return Err(Malformed("the access list is of another kind"));
    }
    let mut actions = Vec::new();
    while !rest.0.is_empty() {
        let number = rest.byte()?;
        let [value] = rest.numbers()?;
        actions.push(match number {
            0 => ClientAction::Ignore,
            1 => ClientAction::Refuse,
            2 => ClientAction::Empty,
            3 => ClientAction::Pass,
            4 => ClientAction::Always(ValueId(value)),
            _ => return Err(Malformed("the access list has an unknown action")),
        });
    }
    Ok(Some(actions))
}

/// A length byte and the wire form.
fn encode_name(name: &Name, out: &mut Vec<u8>) {
    out.push(name.as_wire().len() as u8);
    out.extend_from_slice(name.as_wire());
}

/// What has not been decoded yet.
struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("a section ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn numbers<const N: usize>(&mut self) -> Result<[u32; N], Malformed> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u32::from_le_bytes(self.array()?);
        }
        Ok(numbers)
    }

    fn time(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        let length = self.byte()?.into();
        Name::from_wire(self.take(length)?).map_err(|_| Malformed("a name is none"))
    }

    fn value<T: Copy>(&mut self, values: &[(u8, T)]) -> Result<T, Malformed> {
        let number = self.byte()?;
        let found = values.iter().find(|(known, _)| *known == number);
        found.map(|&(_, value)| value).ok_or(Malformed("a format or key is unknown"))
    }
}

fn number_of<T: PartialEq>(values: &[(u8, T)], value: T) -> u8 {
    values.iter().find(|(_, known)| *known == value).map_or(0, |(number, _)| *number)
}

/// Parts of one dataset: many more than a zone takes, and few enough that heads of a hostile file are no burden.
const MAX_PARTS: usize = 4096;
/// The numbers that formats have in compiled files.
const FORMATS: [(u8, Format); 15] = [
    (1, Format::Ip4Set),
    (2, Format::Ip4Tset),
    (3, Format::Ip4Trie),
    (4, Format::Ip6Tset),
    (5, Format::Ip6Trie),
    (6, Format::Dnset),
    (7, Format::Generic),
    (8, Format::Combined),
    (9, Format::Acl),
    (10, Format::Plain),
    (11, Format::Hosts),
    (12, Format::Drop),
    (13, Format::Urlhaus),
    (14, Format::Urls),
    (15, Format::Hashes),
];
const HASHES: [(u8, HashKind); 3] = [(1, HashKind::Md5), (2, HashKind::Sha1), (3, HashKind::Sha256)];
const ALPHABETS: [(u8, Alphabet); 3] = [(1, Alphabet::Hex), (2, Alphabet::Base32), (3, Alphabet::ZBase32)];
const HEAD_SOA: u8 = 1;
const HEAD_NS: u8 = 2;
const HEAD_CREATED: u8 = 3;
const HEAD_EXPIRES: u8 = 4;
const ACTIONS: u8 = 1;
