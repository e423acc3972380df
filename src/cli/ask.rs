//! A client inside the program: asks a generation as a query over TCP would, and reads the reply.
//!
//! Invariant: what it tells is what a client gets, as bytes went through [`respond`] both ways.

use std::net::{IpAddr, Ipv4Addr};

use crate::answer::{HEADER_LENGTH, Outcome, Transport, respond};
use crate::dnsxl::Name;
use crate::dnsxl::number::{CLASS_IN, TYPE_A, TYPE_TXT};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// A reply, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) rcode: u16,
    /// The answer section.
    pub(super) answers: Vec<Record>,
}

/// A record of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) rtype: u16,
    pub(super) ttl: u32,
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
    let mut query = vec![0; HEADER_LENGTH];
    query[5] = 1;
    name.write_wire(&mut query);
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&CLASS_IN.to_be_bytes());
    let mut out = vec![0; usize::from(u16::MAX)];
    match respond(snapshot, &query, CLIENT, Transport::Stream, now, &mut out) {
        Outcome::Reply { length, .. } => read(&out[..length]),
        Outcome::Drop(_) => None,
    }
}

fn read(message: &[u8]) -> Option<Reply> {
    let mut at = HEADER_LENGTH;
    let rcode = u16::from(message[3] & 0x0f);
    for _ in 0..number(message, 4)? {
        at = skip_name(message, at)? + 4;
    }
    let mut answers = Vec::new();
    for _ in 0..number(message, 6)? {
        at = skip_name(message, at)?;
        let rtype = number(message, at)?;
        let ttl = u32::from(number(message, at + 4)?) << 16 | u32::from(number(message, at + 6)?);
        let length = usize::from(number(message, at + 8)?);
        let rdata = message.get(at + 10..at + 10 + length)?.to_vec();
        at += 10 + length;
        answers.push(Record { rtype, ttl, rdata });
    }
    Some(Reply { rcode, answers })
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
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
