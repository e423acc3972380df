//! Queries over TLS (RFC 7858), read and written by hickory: the one file that names it, as its API moves.
//!
//! Invariant: what is answered is decided by the same function as behind the plain doors; question and reply are read and
//! written by hickory's own code, so that each of the two readers and writers is a check on the other. Nothing in hickory
//! accepts, waits or sends: connections and their limits are [`crate::server::stream`]'s, the handshake is
//! [`crate::server::tls`]'s, and hickory gets whole messages, whose counts it can be trusted with. A panic in it costs one
//! query.
//!
//! What hickory is not given, or cannot read, [`crate::answer::respond`] answers as behind the plain doors: not one
//! question, more than [`MAX_RECORDS`] records, a question with a compression pointer, records that are cut off, a cookie.
//!
//! Replies are not padded, as the program knows no EDNS option but cookies (RFC 7830 would have it pad for clients that do).
//!
//! Where the two readers differ: EDNS options that do not fill their record are FORMERR behind the plain doors, and here
//! are none. hickory warns of each such query, so the program's log filter has to leave it out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Instant;

use async_trait::async_trait;
use hickory_proto::ProtoError;
use hickory_proto::op::{Edns, Header, HeaderCounts, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError, Restrict};
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::answer::{
    self, Decision, DropReason, MAX_UDP_REPLY, Outcome, Owner, Query, Section, Sections, Summary, Transport,
};
use crate::dnsxl::QueryName;
use crate::server::observe::{Answering, Counters, Exchange, Respond, Silence, now};
use crate::server::panics::OncePerMinute;
use crate::server::stream::Door;
use crate::server::tally::Carrier;
use crate::snapshot::Snapshot;
use crate::zone::{Standing, UnixTime};

/// The encrypted door.
pub(super) struct Tls<D, R> {
    acceptor: TlsAcceptor,
    handler: Handler<D>,
    /// Answers what hickory does not.
    plain: Answering<R>,
}

impl<D: Decide, R: Respond> Tls<D, R> {
    pub(super) fn new(acceptor: TlsAcceptor, plain: Answering<R>, decide: D) -> Self {
        let handler = Handler { answering: plain.with(decide), sent: Arc::default() };
        Self { acceptor, handler, plain }
    }
}

impl<D: Decide, R: Respond> Door for Tls<D, R> {
    type Stream = TlsStream<TcpStream>;

    async fn open(&self, accepted: TcpStream) -> io::Result<Self::Stream> {
        self.acceptor.accept(accepted).await
    }

    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence> {
        let began = Instant::now();
        let replied = self.plain.contain(now(), || read(message, client).map(|request| self.handler.reply(&request)));
        if !matches!(replied, Some(None)) {
            self.plain.tally.time(1, began.elapsed());
        }
        match replied {
            Some(Some(Some(reply))) => {
                // the encoder's limit is the buffer's length
                out[..reply.len()].copy_from_slice(&reply);
                Ok(reply.len())
            }
            // a reply that was lost has been counted; to the connection it is the same
            Some(Some(None)) => Err(Silence::Meant(DropReason::Access)),
            Some(None) => self.plain.respond(&self.plain.published.load(), message, client, Transport::Stream, out),
            None => Err(Silence::Panic),
        }
    }

    fn counters(&self) -> &Counters {
        &self.plain.counters
    }
}

/// Has hickory read a query; none if it is not to, or cannot.
fn read(message: &[u8], client: IpAddr) -> Option<Request> {
    let Header { metadata, counts } = Header::from_bytes(message).ok()?;
    let records = [counts.answers, counts.authorities, counts.additionals].map(usize::from).iter().sum::<usize>();
    if metadata.message_type != MessageType::Query || counts.queries != 1 || records > MAX_RECORDS {
        return None;
    }
    // our handler asks for neither the port nor the protocol
    let request = Request::from_bytes(message.to_vec(), SocketAddr::new(client, 0), Protocol::Tcp).ok()?;
    // the only thing before the name that a pointer could mean is the header, and the reply has another one
    let name = request.queries.queries().first()?.original().name().to_bytes().ok()?;
    let has_cookie = request.edns.as_ref().is_some_and(|edns| edns.option(EdnsCode::Cookie).is_some());
    (request.queries.as_bytes().len() == name.len() + TYPE_AND_CLASS && !has_cookie).then_some(request)
}

/// The shape of [`crate::answer::answer`] for a [`Reply`], for which tests put in their own.
pub(super) trait Decide:
    Fn(&Snapshot, &Query<'_>, &mut Reply) -> Option<Decision> + Clone + Send + Sync + Unpin + 'static
{
}

impl<F> Decide for F where
    F: Fn(&Snapshot, &Query<'_>, &mut Reply) -> Option<Decision> + Clone + Send + Sync + Unpin + 'static
{
}

/// Takes what hickory has read to our answer, and our records to what hickory writes.
struct Handler<D> {
    answering: Answering<D>,
    /// The bytes of the reply that was written last.
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl<D: Decide> RequestHandler for Handler<D> {
    async fn handle_request<S: ResponseHandler, T: Time>(&self, request: &Request, mut client: S) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        // the bit means something to resolvers alone
        metadata.checking_disabled = false;
        let now = now();
        let snapshot = self.answering.published.load();
        let Some((decision, reply)) = self.decide(request, &snapshot, now) else {
            let outcome = Outcome::Drop(DropReason::Access);
            self.answering.count(&snapshot, outcome, request.as_slice().len());
            self.observe(request, &snapshot, now, outcome, &[]);
            return silent(metadata);
        };
        metadata.response_code = decision.rcode.into();
        metadata.authoritative = decision.authoritative;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_UDP_REPLY as u16).set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        let response = || {
            let mut builder = MessageResponseBuilder::from_message_request(request);
            if let Some(edns) = &edns {
                builder.edns(edns);
            }
            builder.build(metadata, &reply.answer, &reply.authority, [], &reply.additional)
        };
        let qtype = request.request_info().map_or(0, |info| info.query.original().query_type().into());
        let Decision { zone, rcode, listed, standing, .. } = decision;
        let summary = |answers| Summary { zone, rcode, answers, listed, qtype, standing, ..Summary::default() };
        if self.answering.observer.is_some() {
            // what is sent is the client's alone in this form of handler, so it is written once more
            if let Ok((info, bytes)) = write(response()) {
                let outcome = Outcome::Reply { length: bytes.len(), summary: summary(info.counts().answers) };
                self.observe(request, &snapshot, now, outcome, &bytes);
            }
        }
        match client.send_response(response()).await {
            Ok(info) => {
                let length = self.sent.load(Ordering::Relaxed);
                let outcome = Outcome::Reply { length, summary: summary(info.counts().answers) };
                self.answering.count(&snapshot, outcome, request.as_slice().len());
                info
            }
            Err(_) => {
                self.answering.counters.add_lost_replies(1);
                silent(metadata)
            }
        }
    }
}

impl<D: Decide> Handler<D> {
    /// The reply to a request, if there is to be one.
    fn reply(&self, request: &Request) -> Option<Vec<u8>> {
        let (outbox, replies) = mpsc::channel();
        let handled = pin!(self.handle_request::<_, TokioTime>(request, Outbox { outbox, sent: self.sent.clone() }));
        // a future by its form alone: nothing in it waits, so it is done at once
        let _ = handled.poll(&mut Context::from_waker(Waker::noop()));
        replies.try_recv().ok()
    }

    fn observe(&self, request: &Request, snapshot: &Snapshot, now: UnixTime, outcome: Outcome, reply: &[u8]) {
        let Some(observer) = &self.answering.observer else { return };
        let (client, carrier, query) = (request.src().ip(), Carrier::Tls, request.as_slice());
        let exchange = Exchange { client, carrier, now, query, reply, outcome, snapshot };
        observer.observe(&exchange);
    }

    /// What to reply; none if the access list says so.
    fn decide(&self, request: &Request, snapshot: &Snapshot, now: UnixTime) -> Option<(Decision, Reply)> {
        let refuse = |rcode: ResponseCode| {
            let decision = Decision {
                rcode: rcode.into(),
                authoritative: false,
                zone: None,
                listed: false,
                standing: Standing::default(),
            };
            Some((decision, Reply::default()))
        };
        if request.metadata.op_code != OpCode::Query {
            return refuse(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else { return refuse(ResponseCode::FormErr) };
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return refuse(ResponseCode::BADVERS);
        }
        // the original and not the lower case query, so that the reply has the client's case
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
        let decision = (self.answering.respond)(snapshot, &query, &mut reply)?;
        match reply.unreadable {
            Some(error) => {
                if UNREADABLE.due(now) {
                    tracing::error!(%error, "an answer is SERVFAIL, as hickory cannot read a record of it");
                }
                refuse(ResponseCode::ServFail)
            }
            None => Some((decision, reply)),
        }
    }
}

/// Where hickory sends the reply to one request.
#[derive(Clone)]
struct Outbox {
    outbox: mpsc::Sender<Vec<u8>>,
    sent: Arc<AtomicUsize>,
}

#[async_trait]
impl ResponseHandler for Outbox {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let (info, bytes) = write(response)?;
        self.sent.store(bytes.len(), Ordering::Relaxed);
        // the other end is there for as long as the handler runs
        let _ = self.outbox.send(bytes);
        Ok(info)
    }
}

/// Has hickory write a reply.
fn write<'a>(
    response: MessageResponse<
        '_,
        'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
        impl Iterator<Item = &'a Record> + Send + 'a,
    >,
) -> Result<(ResponseInfo, Vec<u8>), ProtoError> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(u16::MAX);
    let info = response.destructive_emit(&mut encoder)?;
    Ok((info, bytes))
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

/// What hickory wants to know of a query without a reply.
fn silent(metadata: Metadata) -> ResponseInfo {
    Header { metadata, counts: HeaderCounts::default() }.into()
}

static UNREADABLE: OncePerMinute = OncePerMinute::new();

/// The most records of a query that hickory reads: an OPT record, a signature, the SOA of an IXFR.
///
/// It follows long chains of compression pointers, for each name anew, and its records are far larger than their bytes.
const MAX_RECORDS: usize = 3;

/// What is in a question after its name, in bytes.
const TYPE_AND_CLASS: usize = 4;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use hickory_proto::op::Message;

    use super::*;
    use crate::server::tests::{framed, receive, send};
    use crate::server::tls::tests::{Client, Server};
    use crate::server::{Finding, Limits, Observer};

    #[test]
    fn question_and_records_pass_through_hickory_unharmed() {
        let server = start(None);
        let mut client = server.connect();
        let reply = ask(&mut client, &query(b"\x04LiSt\x02eX\0", 0x0100, true));
        assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, ResponseCode::NoError));
        assert_eq!(reply.metadata.message_type, MessageType::Response);
        assert!(reply.metadata.authoritative && reply.metadata.recursion_desired);
        let edns = reply.edns.as_ref().unwrap();
        assert!(edns.flags().dnssec_ok);
        assert_eq!(edns.max_payload(), 1232);
        let records = [&reply.answers, &reply.authorities, &reply.additionals].map(|records| records[0].to_string());
        assert_eq!(
            records,
            ["LiSt.eX. 60 IN A 127.0.0.2", "eX. 60 IN NS ns.example.", "ns.example. 60 IN A 192.0.2.1"]
        );
        let reply = ask(&mut client, &query(b"\x04list\0", 0, false));
        assert!(reply.edns.is_none() && !reply.metadata.recursion_desired);
    }

    #[test]
    fn what_is_no_plain_query_gets_its_error() {
        let server = start(None);
        let mut client = server.connect();
        let mut ask = |query: &[u8]| ask(&mut client, query).metadata;
        let notify = ask(&query(b"\x04list\0", 0x2000, false));
        assert_eq!((notify.response_code, notify.op_code), (ResponseCode::NotImp, OpCode::Notify));
        let mut future = query(b"\x04list\0", 0, true);
        let version = future.len() - 5;
        future[version] = 1;
        // hickory names 16 by its other meaning
        assert_eq!(u16::from(ask(&future).response_code), 16);
        assert_eq!(ask(&query(b"\x06broken\0", 0, false)).response_code, ResponseCode::ServFail);
    }

    #[test]
    fn what_hickory_is_not_given_or_cannot_read_is_answered_as_behind_the_plain_doors() {
        let server = start(None);
        let mut client = server.connect();
        let mut claims = query(b"\x04list\0", 0, false);
        claims[4..6].copy_from_slice(&[255, 255]);
        let mut cut_off = query(b"\x04list\0", 0, true);
        cut_off.pop();
        // hickory would read the id as a label of seven bytes, were it asked
        let pointer = query(&[0xc0, 1], 0, false);
        let mut records = query(b"\x04list\0", 0, false);
        records[11] = MAX_RECORDS as u8 + 1;
        for _ in 0..=MAX_RECORDS {
            records.extend_from_slice(&[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 2]);
        }
        for (message, rcode, questions) in [
            (claims, ResponseCode::FormErr, 0),
            (cut_off, ResponseCode::FormErr, 1),
            (pointer, ResponseCode::FormErr, 0),
            // no zone is served: it is this file's tests alone that would have an answer
            (records, ResponseCode::Refused, 1),
        ] {
            let reply = ask(&mut client, &message);
            assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, rcode), "{message:x?}");
            assert_eq!(reply.queries.len(), questions, "{message:x?}");
        }
        send(&mut client, &query(b"\x04list\0", 0x8000, false));
        assert_eq!(receive(&mut client), None);
    }

    #[test]
    fn no_byte_makes_hickory_panic() {
        let server = start(None);
        let mut client = server.connect();
        let whole = query(b"\x04list\x02ex\0", 0, true);
        for at in 0..whole.len() {
            for value in [0, 1, 2, 3, 12, 41, 63, 64, 127, 128, 192, 255] {
                let mut message = whole.clone();
                message[at] = value;
                if message[2] < 0x80 {
                    send(&mut client, &message);
                    assert_eq!(receive(&mut client).unwrap()[..2], message[..2], "{message:x?}");
                }
            }
        }
        assert_eq!(server.running.counters().panics(), 0);
    }

    #[test]
    fn silence_and_a_panic_cost_one_query_and_the_observer_sees_the_rest() {
        #[derive(Default)]
        struct Log(Mutex<Vec<(Outcome, usize)>>);
        impl Observer for Log {
            fn observe(&self, exchange: &Exchange<'_>) {
                assert!(exchange.client.is_loopback() && exchange.query[12] > 0);
                self.0.lock().unwrap().push((exchange.outcome, exchange.reply.len()));
            }
        }
        let log = Arc::new(Log::default());
        let server = start(Some(log.clone()));
        let mut client = server.connect();
        for name in [&b"\x05panic\0"[..], b"\x06denied\0"] {
            client.write_all(&framed(&query(name, 0, false))).unwrap();
        }
        send(&mut client, &query(b"\x04list\0", 0, false));
        let length = receive(&mut client).unwrap().len();
        assert_eq!(server.running.counters().panics(), 1);
        let summary = Summary { zone: Some(3), answers: 1, qtype: 1, ..Summary::default() };
        let seen = [(Outcome::Drop(DropReason::Access), 0), (Outcome::Reply { length, summary }, length)];
        assert_eq!(*log.0.lock().unwrap(), seen);
        let counts = &server.running.tallies().read()[&Carrier::Tls];
        let each: Vec<_> = counts.zones[&None].each().collect();
        assert_eq!(each, [("A", Finding::Other, 1), ("none", Finding::Dropped, 1)]);
        let asked = query(b"\x06denied\0", 0, false).len() + query(b"\x04list\0", 0, false).len();
        assert_eq!((counts.zones[&None].bytes_in(), counts.zones[&None].bytes_out()), (asked as u64, length as u64));
    }

    fn start(observer: Option<Arc<dyn Observer>>) -> Server {
        Server::start(Limits::default(), observer, crate::server::FromSnapshot::default(), decide)
    }

    /// One record a section, but for some names.
    fn decide(_: &Snapshot, query: &Query<'_>, reply: &mut Reply) -> Option<Decision> {
        let mut record = |section, owner, rtype, rdata: &[u8]| {
            reply.record(section, answer::Record { owner, rtype, class: query.qclass, ttl: 60, rdata });
        };
        let labels = query.name.labels();
        match labels.label(0) {
            b"denied" => return None,
            b"panic" => panic!("on purpose"),
            // an address of three bytes
            b"broken" => record(Section::Answer, Owner::Qname, 1, &[127, 0, 0]),
            _ => record(Section::Answer, Owner::Qname, 1, &[127, 0, 0, 2]),
        }
        record(Section::Authority, Owner::Ancestor(labels.count() - 1), 2, b"\x02ns\x07example\0");
        record(Section::Additional, Owner::Other(b"\x02ns\x07example"), 1, &[192, 0, 2, 1]);
        let standing = Standing::default();
        Some(Decision { rcode: 0, authoritative: true, zone: Some(3), listed: false, standing })
    }

    /// A query for A with id 7.
    fn query(name: &[u8], flags: u16, edns: bool) -> Vec<u8> {
        let [high, low] = flags.to_be_bytes();
        let mut query = vec![0, 7, high, low, 0, 1, 0, 0, 0, 0, 0, edns.into()];
        query.extend_from_slice(name);
        query.extend_from_slice(&[0, 1, 0, 1]);
        if edns {
            query.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
        }
        query
    }

    fn ask(client: &mut Client, query: &[u8]) -> Message {
        send(client, query);
        Message::from_vec(&receive(client).unwrap()).unwrap()
    }
}
