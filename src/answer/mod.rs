//! Bytes to bytes: the only place where an answer is decided.
//!
//! [`respond`] reads a query, asks [`answer`], and writes the reply; it knows no socket and no clock. Who has many queries
//! at once does the same in steps, for all of them before the next step: [`Asked::read`], [`Asked::prefetch`], which
//! decides nothing, and [`Asked::respond`]. Invariant: it never blocks, allocates or panics; a reply has the query's id,
//! opcode and, where it could be read, question, and is never longer than the client takes.
//!
//! | RFC | what of it |
//! |---|---|
//! | 1034, 1035, 2181 | authoritative answers, referrals at cuts of `generic` records, one TTL for an RRset, TC |
//! | 2308 | NXDOMAIN and NODATA carry the SOA with the negative TTL |
//! | 4343 | case is ignored, and given back as it came |
//! | 5782 | the whole of it: addresses and names under an apex, test entries |
//! | 6891 | EDNS version 0; BADVERS; two OPT records are FORMERR; replies over UDP of at most 1232 bytes |
//! | 8020, 9156 | NXDOMAIN means that nothing exists below the name; names with listings below them are NODATA |
//! | 8482 | ANY gets one RRset |
//! | 7873, 9018 | cookies, where the snapshot has a secret; whoever sends one gets one, and is answered whatever it shows |
//! | 8906, 9619 | whatever can be answered is answered; a query has one question, or none and a cookie |
//!
//! Not here: recursion, transfers (REFUSED), signing (DS and DNSKEY are NODATA), and how much of what is decided is sent:
//! who bounds that has [`Asked::class`] to count by, and [`Asked::slip`] for what is sent instead.

mod decide;
pub(crate) mod hits;
pub(crate) mod listing;
mod read;
mod write;

use std::net::IpAddr;

pub use decide::answer;
pub(crate) use decide::sets_of;
pub use hits::Ahead;
pub use read::{Asked, Edns, HEADER_LENGTH, Malformed};

use crate::cookie::Shown;
use crate::dnsxl::QueryName;
use crate::snapshot::Snapshot;
use crate::zone::{Meter, Standing, UnixTime};
use read::Question;
use write::{Opt, Writer};

/// How a query came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: replies are bounded by what the client says it takes.
    Udp,
    /// TCP or TLS: replies are bounded by the 16-bit length prefix alone.
    Stream,
}

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The QNAME, in lower case.
    pub name: &'q QueryName,
    /// The type's number.
    pub qtype: u16,
    /// The class's number.
    pub qclass: u16,
    /// The query's id; RRsets are rotated by it.
    pub id: u16,
    /// Whose packet it was.
    pub client: IpAddr,
    /// The time, for data that expires.
    pub now: UnixTime,
    /// What was found out of the QNAME when the query was announced, in the same snapshot.
    pub ahead: Option<&'q Ahead>,
    /// Who counts what is asked, where there are quotas.
    pub meter: Option<&'q dyn Meter>,
}

/// Where the records of an answer go: to a packet, or to a library's message.
pub trait Sections {
    /// Takes a record, in the order in which they stand in the message.
    fn record(&mut self, section: Section, record: Record<'_>);
}

/// A section of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// The SOA of negative answers, the NS of referrals.
    Authority,
    /// Addresses of name servers.
    Additional,
}

/// A resource record of a reply.
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    /// The owner.
    pub owner: Owner<'r>,
    /// The type's number.
    pub rtype: u16,
    /// The class's number.
    pub class: u16,
    /// Seconds.
    pub ttl: u32,
    /// The data in wire form, names uncompressed.
    pub rdata: &'r [u8],
}

/// The owner of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'r> {
    /// The QNAME.
    Qname,
    /// The last so many labels of the QNAME.
    Ancestor(usize),
    /// Another name, in wire form without the root byte.
    Other(&'r [u8]),
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ground {
    /// The answer section has a listing.
    Listing,
    /// The client may not ask, whatever the RCODE is.
    Refusal,
    /// Anything else.
    #[default]
    Other,
}

/// What was decided about a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// The RCODE.
    pub rcode: u16,
    /// Whether the answer is authoritative.
    pub authoritative: bool,
    /// The zone that answered: its index in the snapshot.
    pub zone: Option<usize>,
    /// What the answer rests on.
    pub ground: Ground,
    /// How many of the QNAME's last labels name what was answered about: all of them, or those of the listing or the zone
    /// that every name below it is answered by.
    pub alike: u8,
    /// Whom the query is from.
    pub standing: Standing,
}

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply of `length` bytes was written.
    Reply {
        /// Bytes written to the start of the output.
        length: usize,
        /// What the reply says, for counters and the query log.
        summary: Summary,
    },
    /// No reply is sent.
    Drop(DropReason),
}

impl Outcome {
    /// Bytes of the reply; 0 if there is none.
    pub fn length(self) -> usize {
        match self {
            Self::Reply { length, .. } => length,
            Self::Drop(_) => 0,
        }
    }
}

/// What a reply says, in short, and to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The zone that answered: its index in the snapshot.
    pub zone: Option<usize>,
    /// The RCODE, with the bits from the OPT record.
    pub rcode: u16,
    /// Records in the answer section.
    pub answers: u16,
    /// What the answer rests on.
    pub ground: Ground,
    /// As in [`Decision::alike`].
    pub alike: u8,
    /// The type that was asked for; 0 where no question could be read, which is nobody's type.
    pub qtype: u16,
    /// Whom the query is from.
    pub standing: Standing,
    /// What its cookie shows.
    pub cookie: Shown,
}

/// Why a query gets no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Under 12 bytes.
    Short,
    /// A response, not a query; answering it could start a loop.
    Response,
    /// An access list or the terms of the zone say so.
    Access {
        /// The zone that was asked: its index in the snapshot.
        zone: Option<usize>,
    },
    /// Too many replies of its kind go to where it came from.
    Limited,
}

/// Answers one query. Never blocks, allocates or panics; writes at most `out.len()` bytes.
///
/// `out` must hold 512 bytes; 1232 for every UDP reply and 65 535 for every TCP reply.
pub fn respond(
    snapshot: &Snapshot,
    message: &[u8],
    client: IpAddr,
    transport: Transport,
    now: UnixTime,
    out: &mut [u8],
) -> Outcome {
    let mut asked = Asked::default();
    match asked.read(message) {
        Ok(()) => {
            out[..asked.end()].copy_from_slice(&message[..asked.end()]);
            asked.respond(snapshot, &Asker { client, transport, now, meter: None }, out)
        }
        Err(reason) => Outcome::Drop(reason),
    }
}

impl Asked {
    /// Has the memory that the answer will read first come nearer. It decides nothing.
    pub fn prefetch(&mut self, snapshot: &Snapshot) {
        let Some(question) = self.question() else { return };
        let labels = question.labels();
        if let Some((index, zone)) = snapshot.zone_of(labels).filter(|(_, zone)| zone.is_large) {
            let name = labels.without_suffix(zone.apex_labels);
            let key = zone.access.key_of(name).map(|(index, _)| index);
            self.ahead = Some(Ahead::prefetch(index, zone, name.without_suffix(key.iter().len()), key));
        }
    }

    /// The same for what stands behind the memory that [`Self::prefetch`] named.
    pub fn prefetch_further(&self, snapshot: &Snapshot) {
        if let Some(ahead) = &self.ahead {
            ahead.prefetch_further(snapshot);
        }
    }

    /// Writes the reply over the message that was read, which `out` begins with; see [`respond`].
    pub fn respond(&self, snapshot: &Snapshot, asker: &Asker<'_>, out: &mut [u8]) -> Outcome {
        let Asker { client, transport, now, meter } = *asker;
        let header = self.header;
        let (cookie, opt) = self.opt(snapshot, client, now);
        let error = |rcode, opt, out: &mut [u8]| {
            let writer = Writer::begin(out, self.end(), None, MIN_UDP_REPLY, opt);
            let (length, answers) = writer.finish(header, rcode, false);
            let qtype = self.question().map_or(0, |question| question.qtype);
            Outcome::Reply { length, summary: Summary { rcode, answers, qtype, cookie, ..Summary::default() } }
        };
        if header.opcode_bits() != 0 {
            return error(RCODE_NOTIMP, opt, out);
        }
        let is_wrong_cookie =
            self.edns.is_some_and(|edns| matches!(edns.cookie, Some(Err(_)))) && snapshot.secrets.any();
        if self.is_malformed || is_wrong_cookie {
            return error(RCODE_FORMERR, opt, out);
        }
        if self.edns.is_some_and(|edns| edns.version > 0) && (self.question().is_some() || cookie != Shown::Nothing) {
            return error(RCODE_BADVERS, opt, out);
        }
        let Some(question) = self.question() else {
            return match cookie {
                // RFC 7873, section 5.4
                Shown::New | Shown::Good => error(0, opt, out),
                Shown::Bad => error(RCODE_BADCOOKIE, opt, out),
                Shown::Nothing => error(RCODE_FORMERR, opt, out),
            };
        };
        let limit = match (transport, self.edns.as_ref()) {
            (Transport::Stream, _) => usize::from(u16::MAX),
            (Transport::Udp, None) => MIN_UDP_REPLY,
            (Transport::Udp, Some(edns)) => usize::from(edns.udp_size).clamp(MIN_UDP_REPLY, MAX_UDP_REPLY),
        };
        let mut writer = Writer::begin(out, question.end, Some(question.labels()), limit, opt);
        let Question { name, qtype, qclass, .. } = question;
        let ahead = self.ahead.as_ref();
        let query = Query { name, qtype: *qtype, qclass: *qclass, id: header.id, client, now, ahead, meter };
        let decision = match answer(snapshot, &query, &mut writer) {
            Ok(decision) => decision,
            Err(reason) => return Outcome::Drop(reason),
        };
        let Decision { rcode, authoritative, zone, ground, alike, standing } = decision;
        let (length, answers) = writer.finish(header, rcode, authoritative);
        let summary = Summary { zone, rcode, answers, ground, alike, qtype: *qtype, standing, cookie };
        Outcome::Reply { length, summary }
    }

    /// What the cookie shows, and what the OPT record of the reply is made from.
    fn opt(&self, snapshot: &Snapshot, client: IpAddr, now: UnixTime) -> (Shown, Option<Opt<'_>>) {
        let Some(edns) = &self.edns else { return (Shown::Nothing, None) };
        let sent = edns.cookie.as_ref().and_then(|sent| sent.as_ref().ok());
        let checked = sent.and_then(|sent| snapshot.secrets.check(sent, client, now));
        let (shown, cookie) = checked.map_or((Shown::Nothing, None), |(shown, given)| (shown, Some(given)));
        (shown, Some(Opt { edns, cookie }))
    }

    /// With what other replies a reply is counted, where replies are bounded.
    pub fn class(&self, summary: &Summary) -> Class<'_> {
        let name = self.question().map_or(&[][..], |question| question.labels().suffix(summary.alike.into()));
        match (summary.rcode, summary.answers) {
            (0, 0) => Class::NoData { name },
            (0, _) => Class::Positive { name, qtype: summary.qtype },
            (RCODE_NXDOMAIN, _) => Class::NxDomain { zone: summary.zone.unwrap_or(0) },
            _ => Class::Error,
        }
    }

    /// Writes what is sent in the place of a reply that is one too many, over that reply: whoever is where it says it is
    /// comes again, with the cookie that it is given, or over TCP. An error is as short as either, and stays.
    pub fn slip(&self, snapshot: &Snapshot, client: IpAddr, now: UnixTime, reply: Outcome, out: &mut [u8]) -> Outcome {
        let Outcome::Reply { summary, .. } = reply else { return reply };
        if self.class(&summary) == Class::Error {
            return reply;
        }
        let (_, opt) = self.opt(snapshot, client, now);
        let has_cookie = opt.is_some_and(|opt| opt.cookie.is_some());
        let rcode = if has_cookie { RCODE_BADCOOKIE } else { summary.rcode };
        let mut writer = Writer::begin(out, self.end(), None, MIN_UDP_REPLY, opt);
        if !has_cookie {
            writer.truncate();
        }
        let (length, answers) = writer.finish(self.header, rcode, false);
        Outcome::Reply { length, summary: Summary { rcode, answers, ..summary } }
    }
}

/// What replies are alike, where they are bounded, beside where they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class<'q> {
    /// Records, by type and name in lower case: the QNAME's, or that of the listing above it, as of a wildcard.
    Positive {
        /// Without the root byte.
        name: &'q [u8],
        /// The type's number.
        qtype: u16,
    },
    /// NODATA and referrals, by name.
    NoData {
        /// The QNAME without the root byte.
        name: &'q [u8],
    },
    /// NXDOMAIN, all of a zone.
    NxDomain {
        /// Its index in the snapshot, and not its number, which would have to be looked up: where the next generation has
        /// another zone there, that one has the account for the rest of a window.
        zone: usize,
    },
    /// Any other RCODE.
    Error,
}

/// Who asks, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'q> {
    /// Whose packet it was.
    pub client: IpAddr,
    /// How it came in.
    pub transport: Transport,
    /// The time.
    pub now: UnixTime,
    /// Who counts what is asked, where there are quotas.
    pub meter: Option<&'q dyn Meter>,
}

/// The most bytes that a reply over UDP has (RFC 9715: no fragments on any usual path).
pub const MAX_UDP_REPLY: usize = 1232;
/// RFC 1035, section 4.2.1: the most bytes of a reply over UDP to a client that says nothing else.
pub const MIN_UDP_REPLY: usize = 512;
/// The query's form is wrong.
pub const RCODE_FORMERR: u16 = 1;
/// The data cannot be had at the moment.
pub const RCODE_SERVFAIL: u16 = 2;
/// Nothing has this name, or one below it.
pub const RCODE_NXDOMAIN: u16 = 3;
/// The operation is not known here.
pub const RCODE_NOTIMP: u16 = 4;
/// Not for this client, or not of a zone that is served.
pub const RCODE_REFUSED: u16 = 5;
/// RFC 6891, section 6.1.3.
pub const RCODE_BADVERS: u16 = 16;
/// RFC 7873, section 8.
pub const RCODE_BADCOOKIE: u16 = 23;
