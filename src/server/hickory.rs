//! Queries behind the encrypted doors, read and written by hickory: the one file that names it, as its API moves.
//!
//! Invariant: what is answered is decided by the same function as behind the plain doors; question and reply are read and
//! written by hickory's own code, so that each of the two readers and writers is a check on the other. Nothing in hickory
//! accepts, waits or sends: its own listeners bound neither connections nor streams. Those are the affair of the doors
//! ([`crate::server::stream`], [`crate::server::https`], [`crate::server::quic`]), and hickory gets whole messages, whose
//! counts it can be trusted with. A panic in it costs one query. A reply is a message of hickory-proto's: the writer of
//! hickory-server does not compress the owners of answers.
//!
//! What hickory is not given, or cannot read, [`crate::answer::respond`] answers as behind the plain doors: not one
//! question, more than [`MAX_RECORDS`] records, a question with a compression pointer, records that are cut off, a cookie.
//!
//! Replies are padded where the query is (RFC 7830), so that their length tells an onlooker little, but not
//! beside a cookie, which is answered as behind the plain doors.
//!
//! Where the two readers differ: EDNS options that do not fill their record are FORMERR behind the plain doors, and here
//! are none. hickory warns of each such query, so the program's log filter has to leave it out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use hickory_proto::op::{Edns, Header, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError, Restrict};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;

use crate::answer::{
    self, Decision, DropReason, MAX_UDP_REPLY, Outcome, Owner, Query, Section, Sections, Summary, Transport,
};
use crate::dnsxl::QueryName;
use crate::server::accept::Answers;
use crate::server::observe::{Answering, Counters, Exchange, Respond, Silence, now};
use crate::server::panics::OncePerMinute;
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// What answers behind the encrypted doors.
pub(super) struct Hickory<D, R> {
    /// Takes what hickory has read to our answer, and our records to what hickory writes.
    decide: D,
    /// Answers what hickory does not, and has all else that answering needs.
    plain: Answering<R>,
}

impl<D: Decide, R: Respond> Hickory<D, R> {
    pub(super) fn new(plain: Answering<R>, decide: D) -> Self {
        Self { decide, plain }
    }
}

impl<D: Decide, R: Respond> Answers for Hickory<D, R> {
    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence> {
        let began = Instant::now();
        let replied = self.plain.contain(now(), || read(message, client).map(|request| self.reply(&request)));
        if !matches!(replied, Some(None)) {
            self.plain.tally.time(1, began.elapsed());
        }
        match replied {
            Some(Some(Ok(reply))) => {
                // the encoder's limit is the buffer's length
                out[..reply.len()].copy_from_slice(&reply);
                Ok(reply.len())
            }
            Some(Some(Err(reason))) => Err(Silence::Meant(reason)),
            Some(None) => self.plain.respond(&self.plain.published.load(), message, client, Transport::Stream, out),
            None => Err(Silence::Panic),
        }
    }

    fn counters(&self) -> &Counters {
        &self.plain.counters
    }
}

/// Has hickory read a query that it is to answer.
fn read(message: &[u8], client: IpAddr) -> Option<Request> {
    parse(message, client).filter(|request| !has_option(request, EdnsCode::Cookie))
}

/// Has hickory read a query; none if it is not to, or cannot.
fn parse(message: &[u8], client: IpAddr) -> Option<Request> {
    let Header { metadata, counts } = Header::from_bytes(message).ok()?;
    let records = [counts.answers, counts.authorities, counts.additionals].map(usize::from).iter().sum::<usize>();
    if metadata.message_type != MessageType::Query || counts.queries != 1 || records > MAX_RECORDS {
        return None;
    }
    // our handler asks for neither the port nor the protocol
    let request = Request::from_bytes(message.to_vec(), SocketAddr::new(client, 0), Protocol::Tcp).ok()?;
    // the only thing before the name that a pointer could mean is the header, and the reply has another one
    let name = request.queries.queries().first()?.original().name().to_bytes().ok()?;
    (request.queries.as_bytes().len() == name.len() + TYPE_AND_CLASS).then_some(request)
}

fn has_option(request: &Request, code: EdnsCode) -> bool {
    request.edns.as_ref().is_some_and(|edns| edns.option(code).is_some())
}

/// Whether a query has the option that means something over TCP alone (RFC 7828), and that DoQ forbids.
pub(super) fn has_keepalive(query: &[u8]) -> bool {
    let code = u16::from(EdnsCode::Keepalive).to_be_bytes();
    let may_have = query.windows(code.len()).any(|bytes| bytes == code);
    let parsed = || parse(query, Ipv4Addr::UNSPECIFIED.into());
    may_have && parsed().is_some_and(|request| has_option(&request, EdnsCode::Keepalive))
}

/// For how many seconds a reply of our own holds: as long as each of its answers, or as long as its SOA says there are none,
/// which is the lower of two numbers (RFC 2308, section 5). One that hickory cannot read holds for none.
pub(super) fn freshness(reply: &[u8]) -> u32 {
    let Ok(reply) = Message::from_vec(reply) else { return 0 };
    let is_negative = reply.answers.is_empty();
    let records = if is_negative { &reply.authorities } else { &reply.answers };
    let ttls = records.iter().map(|record| match &record.data {
        RData::SOA(soa) if is_negative => record.ttl.min(soa.minimum),
        _ => record.ttl,
    });
    ttls.min().unwrap_or(0)
}

/// The shape of [`crate::answer::answer`] for a [`Reply`], for which tests put in their own.
pub(super) trait Decide:
    Fn(&Snapshot, &Query<'_>, &mut Reply) -> Result<Decision, DropReason> + Clone + Send + Sync + 'static
{
}

impl<F> Decide for F where
    F: Fn(&Snapshot, &Query<'_>, &mut Reply) -> Result<Decision, DropReason> + Clone + Send + Sync + 'static
{
}

/// How many bytes of padding a reply of so many bytes gets.
fn missing(length: usize) -> usize {
    let with_option = length + OPTION_HEADER;
    let missing = with_option.next_multiple_of(PADDING_BLOCK) - with_option;
    missing.min(usize::from(u16::MAX).saturating_sub(with_option))
}

impl<D: Decide, R> Hickory<D, R> {
    /// The reply to a request, if there is to be one.
    fn reply(&self, request: &Request) -> Result<Vec<u8>, DropReason> {
        let (now, snapshot) = (now(), self.plain.published.load());
        let (decision, reply) = self
            .decide(request, &snapshot, now)
            .inspect_err(|reason| self.note(request, &snapshot, now, Outcome::Drop(*reason), &[]))?;
        let mut message = Message::response(request.metadata.id, request.metadata.op_code);
        message.metadata = Metadata::response_from_request(&request.metadata);
        // the bit means something to resolvers alone
        message.metadata.checking_disabled = false;
        message.metadata.response_code = decision.rcode.into();
        message.metadata.authoritative = decision.authoritative;
        // the original and not the lower case query, so that the reply has the client's case
        message.queries = request.queries.queries().iter().map(|query| query.original().clone()).collect();
        (message.answers, message.authorities, message.additionals) = (reply.answer, reply.authority, reply.additional);
        message.edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP_REPLY as u16).set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let Some(bytes) = write(&mut message, request) else {
            self.plain.counters.add_lost_replies(1);
            // to the connection it is the same
            return Err(DropReason::Access { zone: None });
        };
        // what was written and not what was to be, should it have been too much
        let answers = Header::from_bytes(&bytes).map_or(0, |header| header.counts.answers);
        let qtype = request.request_info().map_or(0, |info| info.query.original().query_type().into());
        let Decision { zone, rcode, ground, alike, standing, .. } = decision;
        let summary = Summary { zone, rcode, answers, ground, alike, qtype, standing, ..Summary::default() };
        self.note(request, &snapshot, now, Outcome::Reply { length: bytes.len(), summary }, &bytes);
        Ok(bytes)
    }

    /// Counts what a request came to, and shows it to the observer.
    fn note(&self, request: &Request, snapshot: &Snapshot, now: UnixTime, outcome: Outcome, reply: &[u8]) {
        let (client, carrier, query) = (request.src().ip(), self.plain.tally.carrier(), request.as_slice());
        self.plain.count(snapshot, outcome, query.len());
        self.plain.observe(&Exchange { client, carrier, now, query, reply, outcome, snapshot });
    }

    /// What to reply, or why nothing.
    fn decide(&self, request: &Request, snapshot: &Snapshot, now: UnixTime) -> Result<(Decision, Reply), DropReason> {
        let refuse =
            |rcode: ResponseCode| Ok((Decision { rcode: rcode.into(), ..Decision::default() }, Reply::default()));
        if request.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return refuse(ResponseCode::FormErr) };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return refuse(ResponseCode::BADVERS);
        }
        let asked = info.query.original();
        let Ok(Ok((name, _))) = asked.name().to_bytes().map(|wire| QueryName::read(&wire)) else {
            return refuse(ResponseCode::FormErr);
        };
        let query = Query {
            name: &name,
            qtype: asked.query_type().into(),
            qclass: asked.query_class().into(),
            id: request.metadata.id,
            client: request.src().ip(),
            now,
            ahead: None,
            meter: None,
        };
        let mut reply = Reply { qname: asked.name().clone(), ..Reply::default() };
        let decision = (self.decide)(snapshot, &query, &mut reply)?;
        match reply.unreadable {
            Some(error) => {
                if UNREADABLE.due(now) {
                    tracing::error!(%error, "an answer is SERVFAIL, as hickory cannot read a record of it");
                }
                refuse(ResponseCode::ServFail)
            }
            None => Ok((decision, reply)),
        }
    }
}

/// Has hickory write a reply, with padding if the request has some.
fn write(reply: &mut Message, request: &Request) -> Option<Vec<u8>> {
    let write = |reply: &Message| {
        let mut bytes = Vec::new();
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_max_size(u16::MAX);
        reply.emit(&mut encoder).ok()?;
        Some(bytes)
    };
    let bytes = write(reply)?;
    match &mut reply.edns {
        Some(edns) if request.edns.as_ref()?.option(EdnsCode::Padding).is_some() => {
            edns.options_mut().insert(EdnsOption::Unknown(EdnsCode::Padding.into(), vec![0; missing(bytes.len())]));
            write(reply)
        }
        _ => Some(bytes),
    }
}

/// The records of a reply, as hickory has them.
#[derive(Debug, Default)]
pub(super) struct Reply {
    qname: Name,
    answer: Vec<Record>,
    authority: Vec<Record>,
    additional: Vec<Record>,
    /// The first record that hickory's reader did not take.
    unreadable: Option<DecodeError>,
}

impl Reply {
    fn read(&self, record: &answer::Record<'_>) -> Result<Record, DecodeError> {
        let name = match record.owner {
            Owner::Qname => self.qname.clone(),
            Owner::Ancestor(labels) => self.qname.trim_to(labels),
            Owner::Other(wire) => Name::read(&mut BinDecoder::new(&[wire, &[0]].concat()))?,
        };
        let kind = RecordType::from(record.rtype);
        let length = Restrict::new(record.rdata.len() as u16);
        let data = RData::read(&mut BinDecoder::new(record.rdata), kind, length)?;
        let mut read = Record::from_rdata(name, record.ttl, data);
        read.dns_class = DNSClass::from(record.class);
        Ok(read)
    }
}

impl Sections for Reply {
    fn record(&mut self, section: Section, record: answer::Record<'_>) {
        match self.read(&record) {
            Ok(record) => match section {
                Section::Answer => self.answer.push(record),
                Section::Authority => self.authority.push(record),
                Section::Additional => self.additional.push(record),
            },
            Err(error) => {
                self.unreadable.get_or_insert(error);
            }
        }
    }
}

static UNREADABLE: OncePerMinute = OncePerMinute::new();

/// The most records of a query that hickory reads: an OPT record, a signature, the SOA of an IXFR.
///
/// It follows long chains of compression pointers, for each name anew, and its records are far larger than their bytes.
const MAX_RECORDS: usize = 3;

/// Padded replies are a multiple of so many bytes (RFC 8467, section 4.1).
const PADDING_BLOCK: usize = 468;

/// What stands before an option's data: code and length.
const OPTION_HEADER: usize = 4;

/// What is in a question after its name, in bytes.
const TYPE_AND_CLASS: usize = 4;

#[cfg(test)]
mod tests;
