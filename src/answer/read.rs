//! Reads a query: the header, the question, and what EDNS says (RFC 1035, section 4; RFC 6891).
//!
//! Invariant: whatever the bytes are, reading ends within their length, touches each of them a bounded number of times,
//! and allocates nothing: the counts in the header are claims, and only bytes that are there are read.

use super::DropReason;
use super::hits::Ahead;
use crate::cookie::Cookie;
use crate::dnsxl::{Labels, QueryName};

/// A message as it was read: all that an answer needs of it, but for the bytes of its question.
///
/// It is read again for every query, as its room for a long name is not to be cleared and moved for a short one.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub(super) header: Header,
    /// Whether there is exactly one question, and whole.
    is_question: bool,
    question: Question,
    pub(super) edns: Option<Edns>,
    /// Whether what follows the question is not what it claims to be.
    pub(super) is_malformed: bool,
    /// What [`Self::prefetch`] found out.
    pub(super) ahead: Option<Ahead>,
}

impl Asked {
    /// Reads a message in the place of the one before.
    ///
    /// # Errors
    ///
    /// Why it gets no reply: it is too short to have an id, or no query.
    pub fn read(&mut self, message: &[u8]) -> Result<(), DropReason> {
        self.header = Header::read(message).ok_or(DropReason::Short)?;
        if self.header.is_response() {
            return Err(DropReason::Response);
        }
        self.is_question = self.header.counts[0] == 1 && self.question.read(message).is_some();
        // RFC 7873, section 5.4: without any question a query may still ask for a cookie
        let edns = match self.header.counts[0] {
            _ if self.is_question => read_edns(message, self.header, self.question.end),
            0 => read_edns(message, self.header, HEADER_LENGTH),
            _ => Ok(None),
        };
        self.is_malformed = edns.is_err();
        self.edns = edns.ok().flatten();
        self.ahead = None;
        Ok(())
    }

    /// The question, if there is exactly one, and whole.
    pub(super) fn question(&self) -> Option<&Question> {
        self.is_question.then_some(&self.question)
    }

    /// Where the question ends, or the header if there is none: every reply begins with these bytes of the message.
    pub(super) fn end(&self) -> usize {
        self.question().map_or(HEADER_LENGTH, |question| question.end)
    }
}

/// The fixed 12 bytes at the front of a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Header {
    /// The client's number for the query.
    pub id: u16,
    /// The bits between the id and the counts.
    pub flags: u16,
    /// Records of the question, answer, authority and additional sections, as claimed.
    pub counts: [u16; 4],
}

impl Header {
    /// Reads the header; none if there are under 12 bytes.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LENGTH] = message.first_chunk()?;
        let word = |index: usize| u16::from_be_bytes([bytes[2 * index], bytes[2 * index + 1]]);
        Some(Self { id: word(0), flags: word(1), counts: [word(2), word(3), word(4), word(5)] })
    }

    /// Whether this is a response.
    pub(super) fn is_response(self) -> bool {
        self.flags & FLAG_QR != 0
    }

    /// The operation that is asked for, in its place among the flags; 0 is a query.
    pub(super) fn opcode_bits(self) -> u16 {
        self.flags & OPCODE_MASK
    }
}

/// The question of a query.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// The QNAME in lower case.
    pub name: QueryName,
    /// The type's number.
    pub qtype: u16,
    /// The class's number.
    pub qclass: u16,
    /// Where in the message the question ends.
    pub end: usize,
}

impl Question {
    /// Reads the question that follows the header; none if it is not there whole, or its name is no name.
    ///
    /// There is nothing in front of the first name that a compression pointer could point to, so a pointer is an error.
    fn read(&mut self, message: &[u8]) -> Option<()> {
        let length = self.name.read_again(message.get(HEADER_LENGTH..)?).ok()?;
        self.end = HEADER_LENGTH + length + 4;
        let &[t1, t2, c1, c2] = message.get(self.end - 4..self.end)?.first_chunk()?;
        (self.qtype, self.qclass) = (u16::from_be_bytes([t1, t2]), u16::from_be_bytes([c1, c2]));
        Some(())
    }

    /// The QNAME's labels, in lower case.
    pub(super) fn labels(&self) -> Labels<'_> {
        self.name.labels()
    }
}

/// What the OPT record of a query says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest reply that the client takes over UDP, as claimed.
    pub udp_size: u16,
    /// The version; we know 0.
    pub version: u8,
    /// Whether DNSSEC records are wanted; the bit is sent back (RFC 3225).
    pub dnssec_ok: bool,
    /// The first COOKIE option (RFC 7873); an error if it has a length that none can have.
    pub cookie: Option<Result<Cookie, Malformed>>,
}

/// A message whose form is wrong, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads what follows the question, from `begin` on, for the OPT record.
///
/// Bytes after the last record are ignored, as they always were.
///
/// # Errors
///
/// Records that are not there whole, two OPT records or one that is not at the root (RFC 6891, section 6.1.1), or
/// options that do not fill their record.
fn read_edns(message: &[u8], header: Header, begin: usize) -> Result<Option<Edns>, Malformed> {
    let mut at = begin;
    let mut edns = None;
    let [_, answers, authorities, additionals] = header.counts.map(u32::from);
    for index in 0..answers + authorities + additionals {
        let (owner_is_root, after) = skip_name(message, at)?;
        let fixed: &[u8; 10] = message.get(after..).and_then(<[u8]>::first_chunk).ok_or(Malformed)?;
        let [t1, t2, c1, c2, _extended, version, f1, _, l1, l2] = *fixed;
        let begin = after + fixed.len();
        let end = begin + usize::from(u16::from_be_bytes([l1, l2]));
        let rdata = message.get(begin..end).ok_or(Malformed)?;
        at = end;
        if u16::from_be_bytes([t1, t2]) == TYPE_OPT && index >= answers + authorities {
            if edns.is_some() || !owner_is_root {
                return Err(Malformed);
            }
            let cookie = read_options(rdata)?;
            let udp_size = u16::from_be_bytes([c1, c2]);
            edns = Some(Edns { udp_size, version, dnssec_ok: f1 & 0x80 != 0, cookie });
        }
    }
    Ok(edns)
}

/// Skips a name that may be compressed; whether it is the root, and where it ends.
fn skip_name(message: &[u8], begin: usize) -> Result<(bool, usize), Malformed> {
    let mut at = begin;
    loop {
        match *message.get(at).ok_or(Malformed)? {
            0 => return Ok((at == begin, at + 1)),
            length @ 1..=0x3f => at += 1 + usize::from(length),
            // the name is only skipped, so nobody follows the pointer, and a loop of pointers is harmless
            0xc0..=0xff => return Ok((false, at + 2)),
            _ => return Err(Malformed),
        }
        if at - begin > MAX_NAME {
            return Err(Malformed);
        }
    }
}

/// Reads the options of an OPT record, for the first cookie among them.
///
/// # Errors
///
/// Options whose lengths do not add up to the record's.
fn read_options(mut rdata: &[u8]) -> Result<Option<Result<Cookie, Malformed>>, Malformed> {
    let mut cookie = None;
    while let [c1, c2, l1, l2, rest @ ..] = rdata {
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        let (data, after) = rest.split_at_checked(length).ok_or(Malformed)?;
        if u16::from_be_bytes([*c1, *c2]) == OPTION_COOKIE && cookie.is_none() {
            cookie = Some(Cookie::read(data).ok_or(Malformed));
        }
        rdata = after;
    }
    if rdata.is_empty() { Ok(cookie) } else { Err(Malformed) }
}

/// RFC 1035, section 4.1.1.
pub const HEADER_LENGTH: usize = 12;
/// RFC 6891, section 6.1.1.
pub(super) const TYPE_OPT: u16 = 41;
/// RFC 7873, section 4.
pub(super) const OPTION_COOKIE: u16 = 10;
/// Response.
pub(super) const FLAG_QR: u16 = 0x8000;
/// Authoritative answer.
pub(super) const FLAG_AA: u16 = 0x0400;
/// Truncated.
pub(super) const FLAG_TC: u16 = 0x0200;
/// Recursion desired.
pub(super) const FLAG_RD: u16 = 0x0100;
const OPCODE_MASK: u16 = 0x7800;
/// RFC 1035, section 2.3.4, without the root byte.
const MAX_NAME: usize = 254;
