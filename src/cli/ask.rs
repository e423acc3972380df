//! A client inside the program: asks a generation as a query over TCP would, and reads the reply.
//!
//! Invariant: what it tells is what a client gets, as bytes went through [`respond`] both ways. Replies may also be
//! anybody's from the network: [`read`] takes any bytes.

use std::net::{IpAddr, Ipv4Addr};

use crate::answer::{HEADER_LENGTH, Outcome, Transport, respond};
use crate::dnsxl::Name;
use crate::dnsxl::name::MAX_WIRE;
use crate::dnsxl::number::{CLASS_IN, TYPE_A, TYPE_NS, TYPE_TXT};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// A reply, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) rcode: u16,
    /// The header's flags and opcode, as they stand there.
    pub(super) flags: u16,
    /// The question section, as it stands there.
    pub(super) question: Vec<u8>,
    /// The answer section.
    pub(super) answers: Vec<Record>,
    /// The authority section.
    pub(super) authority: Vec<Record>,
}

/// A record of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) rtype: u16,
    pub(super) ttl: u32,
    /// As it stands in the message, save that the name of an NS is expanded.
    pub(super) rdata: Vec<u8>,
}

impl Reply {
    /// The addresses of the A records.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let of_type = self.answers.iter().filter(|record| record.rtype == TYPE_A);
        of_type.filter_map(|record| Some(Ipv4Addr::from(<[u8; 4]>::try_from(&*record.rdata).ok()?)))
    }

    /// The texts of the TXT records, the strings of each joined.
    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        self.answers.iter().filter(|record| record.rtype == TYPE_TXT).map(|record| {
            let (mut text, mut rest) = (Vec::new(), &*record.rdata);
            while let Some((&length, after)) = rest.split_first() {
                let (string, next) = after.split_at(usize::from(length).min(after.len()));
                text.extend_from_slice(string);
                rest = next;
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    }

    /// The RCODE as people write it; the absence of data has a word of its own.
    pub(super) fn status(&self) -> &'static str {
        match self.rcode {
            0 if self.answers.is_empty() => "NODATA",
            0 => "NOERROR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            5 => "REFUSED",
            _ => "ERROR",
        }
    }
}

/// Asks a question of class IN; none if there is no reply.
pub(super) fn ask(snapshot: &Snapshot, name: &Name, qtype: u16, now: UnixTime) -> Option<Reply> {
    let query = write(name, qtype);
    let mut out = vec![0; usize::from(u16::MAX)];
    match respond(snapshot, &query, CLIENT, Transport::Stream, now, &mut out) {
        Outcome::Reply { length, .. } => read(&out[..length]),
        Outcome::Drop(_) => None,
    }
}

/// A query of class IN with no flag and id 0.
pub(super) fn write(name: &Name, qtype: u16) -> Vec<u8> {
    let mut query = vec![0; HEADER_LENGTH];
    query[5] = 1;
    name.write_wire(&mut query);
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&CLASS_IN.to_be_bytes());
    query
}

/// Reads a message up to its additional section; none if it ends before it says it does.
pub(super) fn read(message: &[u8]) -> Option<Reply> {
    let flags = number(message, 2)?;
    let mut at = HEADER_LENGTH;
    for _ in 0..number(message, 4)? {
        at = skip_name(message, at)? + 4;
    }
    let question = message.get(HEADER_LENGTH..at)?.to_vec();
    let (answers, at) = read_section(message, at, number(message, 6)?)?;
    let (authority, _) = read_section(message, at, number(message, 8)?)?;
    Some(Reply { rcode: flags & 0x0f, flags, question, answers, authority })
}

/// The records of a section, and where it ends.
fn read_section(message: &[u8], mut at: usize, count: u16) -> Option<(Vec<Record>, usize)> {
    let mut records = Vec::new();
    for _ in 0..count {
        at = skip_name(message, at)?;
        let rtype = number(message, at)?;
        let ttl = u32::from(number(message, at + 4)?) << 16 | u32::from(number(message, at + 6)?);
        let length = usize::from(number(message, at + 8)?);
        let rdata = match rtype {
            TYPE_NS => expand_name(message, at + 10)?,
            _ => message.get(at + 10..at + 10 + length)?.to_vec(),
        };
        at += 10 + length;
        records.push(Record { rtype, ttl, rdata });
    }
    Some((records, at))
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// A name in wire form with its root byte; none if its pointers do not point back, so that they come to an end.
fn expand_name(message: &[u8], mut at: usize) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    loop {
        match *message.get(at)? {
            0 => {
                wire.push(0);
                return Some(wire);
            }
            0xc0.. => {
                let to = usize::from(number(message, at)? & 0x3fff);
                at = if to < at { to } else { return None };
            }
            length => {
                let end = at + 1 + usize::from(length);
                wire.extend_from_slice(message.get(at..end)?);
                // RFC 1035, section 3.1: labels before a pointer could otherwise be read again and again
                at = if wire.len() <= MAX_WIRE { end } else { return None };
            }
        }
    }
}

/// Where a name ends, which may be a compression pointer (RFC 1035, section 4.1.4).
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

/// Whose questions they are, for access lists.
pub(super) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
