//! Queries over TLS (RFC 7858), through hickory-server: the one file that names it, as its API moves.
//!
//! Invariant: what is answered is decided by the same function as behind the plain doors; question and reply are read and
//! written by hickory's own code, so that each of the two readers and writers is a check on the other.
//!
//! Known limits of its listener, version 0.26.3, and what holds them here:
//! - It accepts without bound. So the certificate is refused to a handshake when too many connections are open, which
//!   ends it; before its first bytes a connection is held for [`Limits::idle`] at most. There is no share for one client.
//! - A message claiming 65 535 questions has it allocate 11 MB for a moment. It has a thread and an event loop of its
//!   own, which parse one message at a time: 11 MB is all.
//! - When accepting fails it tries again at once, so without free descriptors its thread spins; the other doors do not.
//! - An aborted connection can end a listener for good. It is started again.
//! - The end cuts connections off. A reply is written in the same step that made it, so that none is lost to a client
//!   that reads; queries that are not read yet are.
//! - What it cannot parse it answers with FORMERR and without the question.
//! - It logs each query at `info` and each failed handshake at `warn`: the program's log filter has to leave it out.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError, Restrict};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answer::{
    self, Decision, DropReason, MAX_UDP_REPLY, Outcome, Owner, Query, Section, Sections, Summary, Transport,
};
use crate::dnsxl::QueryName;
use crate::server::Limits;
use crate::server::certificate::Certificate;
use crate::server::observe::{Answering, Exchange, now, unmapped};
use crate::server::panics::OncePerMinute;
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// Answers queries on all `listeners` until `stop` turns true.
pub(super) async fn serve<R: Decide>(
    listeners: Vec<TcpListener>,
    certificate: Arc<Certificate>,
    answering: Answering<R>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    // hickory keeps one task for a listener and one for a connection, and this function one more for a listener
    let beside = 2 * listeners.len();
    let gate = Arc::new(Gate {
        certificate,
        tasks: Handle::current().metrics(),
        limit: limits.connections + beside,
        answering: answering.clone(),
    });
    let mut doors = JoinSet::new();
    for listener in listeners {
        doors.spawn(listen(listener, gate.clone(), answering.clone(), limits.idle));
    }
    // dropping the doors cuts off what they hold, which is all that hickory's own shutdown does
    let _ = stop.wait_for(|stop| *stop).await;
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

/// Keeps one listener open.
async fn listen<R: Decide>(listener: TcpListener, gate: Arc<Gate<R>>, answering: Answering<R>, idle: Duration) {
    loop {
        let mut server = Server::new(Handler(answering.clone()));
        let ended = match listener.try_clone().and_then(tokio::net::TcpListener::from_std) {
            Ok(listener) => match server.register_tls_listener(listener, idle, gate.clone()) {
                Ok(()) => server.block_until_done().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        let address = listener.local_addr();
        tracing::warn!(?address, ?ended, "an encrypted listener ended and is started again");
        sleep(BEFORE_RESTART).await;
    }
}

/// Gives the certificate to handshakes, as long as there is room for another connection.
struct Gate<R> {
    certificate: Arc<Certificate>,
    tasks: RuntimeMetrics,
    limit: usize,
    answering: Answering<R>,
}

impl<R> std::fmt::Debug for Gate<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gate").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<R: Send + Sync> ResolvesServerCert for Gate<R> {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if self.tasks.num_alive_tasks() > self.limit {
            self.answering.counters.refused_connection();
            return None;
        }
        Some(self.certificate.current())
    }
}

/// Takes what hickory has read to our answer, and our records to what hickory writes.
struct Handler<R>(Answering<R>);

#[async_trait]
impl<R: Decide> RequestHandler for Handler<R> {
    async fn handle_request<S: ResponseHandler, T: Time>(&self, request: &Request, mut client: S) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        // the bit means something to resolvers alone
        metadata.checking_disabled = false;
        let now = now();
        let snapshot = self.0.published.load();
        let Some(decided) = self.0.contain(now, || self.decide(request, &snapshot, now)) else {
            return silent(metadata);
        };
        let Some((decision, reply)) = decided else {
            self.observe(request, &snapshot, now, Outcome::Drop(DropReason::Access), &[]);
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
        if self.0.observer.is_some() {
            // what hickory sends it shows to nobody, so it is written once more
            let mut bytes = Vec::new();
            let written = response().destructive_emit(&mut BinEncoder::new(&mut bytes));
            let answers = written.map_or(0, |info| info.counts().answers);
            let summary = Summary { zone: decision.zone, rcode: decision.rcode, answers };
            self.observe(request, &snapshot, now, Outcome::Reply { length: bytes.len(), summary }, &bytes);
        }
        drop(snapshot);
        client.send_response(response()).await.unwrap_or_else(|_| {
            self.0.counters.lost_reply();
            silent(metadata)
        })
    }
}

impl<R: Decide> Handler<R> {
    fn observe(&self, request: &Request, snapshot: &Snapshot, now: UnixTime, outcome: Outcome, reply: &[u8]) {
        let Some(observer) = &self.0.observer else { return };
        let (client, transport, query) = (unmapped(request.src()), Transport::Stream, request.as_slice());
        let exchange = Exchange { client, transport, now, query, reply, outcome, snapshot };
        self.0.contain(now, || observer.observe(&exchange));
    }

    /// What to reply; none if the access list says so.
    fn decide(&self, request: &Request, snapshot: &Snapshot, now: UnixTime) -> Option<(Decision, Reply)> {
        let refuse = |rcode: ResponseCode| {
            Some((Decision { rcode: rcode.into(), authoritative: false, zone: None }, Reply::default()))
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
            client: unmapped(request.src()),
            now,
        };
        let mut reply = Reply { qname: asked.name().clone(), ..Reply::default() };
        let decision = (self.0.respond)(snapshot, &query, &mut reply)?;
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

/// The pause before a listener is started again, so that one that cannot be does not take a whole core.
const BEFORE_RESTART: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};
    use std::sync::Mutex;

    use hickory_proto::op::{Message, MessageType};
    use rcgen::KeyPair;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use tempfile::TempDir;

    use super::*;
    use crate::server::{CertificatePaths, Encrypted, Listen, Observer, Running, bind};
    use crate::snapshot::Published;

    #[test]
    fn question_and_records_pass_through_hickory_unharmed() {
        let (running, certified, _folder) = start(Limits::default(), None);
        let mut client = connect(&running, &certified);
        let reply = ask(&mut client, &query(b"\x04LiSt\x02eX\0", 0x0100, true));
        assert_eq!(client.conn.alpn_protocol(), Some(&b"dot"[..]));
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
        let (running, certified, _folder) = start(Limits::default(), None);
        let mut client = connect(&running, &certified);
        let mut ask = |query: &[u8]| ask(&mut client, query).metadata;
        let notify = ask(&query(b"\x04list\0", 0x2000, false));
        assert_eq!((notify.response_code, notify.op_code), (ResponseCode::NotImp, OpCode::Notify));
        let mut future = query(b"\x04list\0", 0, true);
        let version = future.len() - 5;
        future[version] = 1;
        // hickory names 16 by its other meaning
        assert_eq!(u16::from(ask(&future).response_code), 16);
        let mut claims = query(b"\x04list\0", 0, false);
        claims[4..6].copy_from_slice(&[255, 255]);
        assert_eq!(ask(&claims).response_code, ResponseCode::FormErr);
        assert_eq!(ask(&query(b"\x06broken\0", 0, false)).response_code, ResponseCode::ServFail);
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
        let (running, certified, _folder) = start(Limits::default(), Some(log.clone()));
        let mut client = connect(&running, &certified);
        for name in [&b"\x05panic\0"[..], b"\x06denied\0"] {
            client.write_all(&framed(&query(name, 0, false))).unwrap();
        }
        client.write_all(&framed(&query(b"\x04list\0", 0, false))).unwrap();
        let length = receive(&mut client).len();
        assert_eq!(running.counters().panics(), 1);
        let summary = Summary { zone: Some(3), rcode: 0, answers: 1 };
        let seen = [(Outcome::Drop(DropReason::Access), 0), (Outcome::Reply { length, summary }, length)];
        assert_eq!(*log.0.lock().unwrap(), seen);
    }

    #[test]
    fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
        let (running, first, folder) = start(Limits::default(), None);
        let mut before = connect(&running, &first);
        ask(&mut before, &query(b"\x04list\0", 0, false));
        let second = certify(&folder);
        running.reload_certificate().unwrap();
        let mut after = connect(&running, &second);
        assert_eq!(ask(&mut after, &query(b"\x04list\0", 0, false)).answers.len(), 1);
        assert_eq!(ask(&mut before, &query(b"\x04list\0", 0, false)).answers.len(), 1);
    }

    #[test]
    fn a_handshake_beyond_the_bound_is_refused() {
        let (running, certified, _folder) = start(Limits { connections: 1, ..Limits::default() }, None);
        let mut first = connect(&running, &certified);
        ask(&mut first, &query(b"\x04list\0", 0, false));
        let mut second = connect(&running, &certified);
        assert!(second.write_all(&framed(&query(b"\x04list\0", 0, false))).is_err());
        assert_eq!(running.counters().refused_connections(), 1);
        assert_eq!(ask(&mut first, &query(b"\x04list\0", 0, false)).answers.len(), 1);
    }

    fn start(limits: Limits, observer: Option<Arc<dyn Observer>>) -> (Running, rcgen::CertifiedKey<KeyPair>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let certified = certify(&folder);
        let certificate = CertificatePaths { chain: folder.path().join("chain"), key: folder.path().join("key") };
        let encrypted = Encrypted { addresses: vec![(Ipv4Addr::LOCALHOST, 0).into()], certificate };
        let bound = bind(&Listen { encrypted: Some(encrypted), limits, ..Listen::default() }).unwrap();
        let published = Arc::new(Published::new(Snapshot::default()));
        let running = bound.run_with(published, observer, answer::respond, decide).unwrap();
        (running, certified, folder)
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
        Some(Decision { rcode: 0, authoritative: true, zone: Some(3) })
    }

    /// Writes a new self-signed certificate and its key into the folder.
    fn certify(folder: &TempDir) -> rcgen::CertifiedKey<KeyPair> {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("chain"), certified.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key"), certified.signing_key.serialize_pem()).unwrap();
        certified
    }

    type Client = StreamOwned<ClientConnection, TcpStream>;

    /// A client that trusts this one certificate.
    fn connect(running: &Running, certified: &rcgen::CertifiedKey<KeyPair>) -> Client {
        let address: SocketAddr = running.encrypted_addresses()[0];
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"dot".to_vec()];
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        StreamOwned::new(connection, stream)
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

    fn framed(query: &[u8]) -> Vec<u8> {
        [&(query.len() as u16).to_be_bytes()[..], query].concat()
    }

    fn ask(client: &mut Client, query: &[u8]) -> Message {
        client.write_all(&framed(query)).unwrap();
        Message::from_vec(&receive(client)).unwrap()
    }

    fn receive(client: &mut Client) -> Vec<u8> {
        let mut prefix = [0; 2];
        client.read_exact(&mut prefix).unwrap();
        let mut reply = vec![0; u16::from_be_bytes(prefix).into()];
        client.read_exact(&mut reply).unwrap();
        reply
    }
}
