//! Real answers through all doors: what hickory reads and writes is the check on our own packet reader and writer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use infamy::dataset::{Dataset, Head, Holds, Part};
use infamy::dnsxl::Name;
use infamy::server::{CertificatePaths, Encrypted, Listen, Running, bind};
use infamy::snapshot::{Published, Snapshot, Version};
use infamy::zone::{Access, Choice, Input, TestEntries, ZoneSpec, build};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

#[test]
fn every_door_gives_the_same_answer() {
    let server = Server::start();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    udp.connect(server.running.addresses()[0]).unwrap();
    let mut tcp = TcpStream::connect(server.running.addresses()[0]).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut tls = server.connect();
    for (name, rcode) in QUESTIONS {
        for qtype in [1, 2, 6, 16, 28, 43, 48, 65, 252, 255, 1000] {
            for qclass in [1, 3, 255] {
                for edns in [None, Some([0, 0]), Some([0, 0x80]), Some([1, 0])] {
                    let query = query(name, qtype, qclass, edns);
                    udp.send(&query).unwrap();
                    let mut buffer = [0; 65_535];
                    let length = udp.recv(&mut buffer).unwrap();
                    let over_udp = &buffer[..length];
                    let over_tcp = ask(&mut tcp, &query);
                    assert_eq!(over_udp, over_tcp, "{name} {qtype} {qclass} {edns:?}");
                    let [ours, theirs] = [over_tcp, ask(&mut tls, &query)].map(|reply| read(&reply));
                    assert_eq!(ours, theirs, "{name} {qtype} {qclass} {edns:?}");
                    if (qtype, qclass, edns.is_some_and(|[version, _]| version > 0)) == (1, 1, false) {
                        assert_eq!(ours.metadata.response_code, rcode, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_open_connection_gets_the_next_generation() {
    let server = Server::start();
    let mut tcp = TcpStream::connect(server.running.addresses()[0]).unwrap();
    let mut tls = server.connect();
    let query = query("2.0.0.127.bl.example", 1, 1, None);
    let mut rcodes = || [ask(&mut tcp, &query), ask(&mut tls, &query)].map(|reply| read(&reply).metadata.response_code);
    assert_eq!(rcodes(), [ResponseCode::NoError; 2]);
    server.published.publish(Snapshot::default());
    assert_eq!(rcodes(), [ResponseCode::Refused; 2]);
}

/// A server with all doors open.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) published: Arc<Published>,
    /// Trusts the server, and offers no protocol.
    pub(crate) client: Arc<ClientConfig>,
}

impl Server {
    /// All doors on loopback, with a new certificate.
    pub(crate) fn start() -> Self {
        Self::serving(generation())
    }

    /// The same with a generation.
    pub(crate) fn serving(snapshot: Snapshot) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = CertificatePaths { chain: folder.path().join("chain"), key: folder.path().join("key") };
        std::fs::write(&certificate.chain, certified.cert.pem()).unwrap();
        std::fs::write(&certificate.key, certified.signing_key.serialize_pem()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let door = Encrypted { addresses: vec![address], certificate };
        let [encrypted, https, quic] = [0; 3].map(|_| Some(door.clone()));
        let bound = bind(&Listen { plain: vec![address], encrypted, https, quic, ..Listen::default() }).unwrap();
        let published = Arc::new(Published::new(snapshot));
        let running = bound.run(published.clone(), None).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();
        Self { running, published, client: Arc::new(client) }
    }

    /// A connection to the encrypted door.
    pub(crate) fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(self.running.encrypted_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(self.client.clone(), name).unwrap(), stream)
    }
}

/// One zone about addresses and names, in which the test entries of RFC 5782 are all that is listed.
fn generation() -> Snapshot {
    let holds = Holds { ip4: true, ip6: true, names: true, hashes: None };
    let part = Part { under: vec![Name::default()], holds, ..Part::default() };
    let dataset = Dataset {
        name: "tests".to_owned(),
        parts: vec![part],
        clients: None,
        keys: None,
        head: Head::default(),
        modified: 1_700_000_000,
        compiled: None,
    };
    let spec = ZoneSpec {
        apex: Name::parse(b"bl.example").unwrap(),
        soa: None,
        ns: None,
        own_addresses: vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()],
        least_serial: 0,
        ttl: 300,
        choice: Choice::All,
        ns_in_authority: true,
        test_entries: TestEntries::Synthesised,
        others: Vec::new(),
    };
    let input = Input { dataset: Some(Arc::new(dataset)), under: Name::default(), live: Vec::new() };
    let zone = build(&spec, &[input], &[], Access::default()).unwrap();
    Snapshot::new(vec![zone], Access::default(), Version::Text("infamy".to_owned()))
}

/// A query with id 7; `edns` is the version and the upper byte of the flags.
pub(crate) fn query(name: &str, qtype: u16, qclass: u16, edns: Option<[u8; 2]>) -> Vec<u8> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, edns.is_some().into()];
    Name::parse(name.as_bytes()).unwrap().write_wire(&mut query);
    query.extend([qtype, qclass].iter().flat_map(|number| number.to_be_bytes()));
    if let Some([version, flags]) = edns {
        query.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, version, flags, 0, 0, 0]);
    }
    query
}

/// Asks one query over a stream.
pub(crate) fn ask(stream: &mut (impl Read + Write), query: &[u8]) -> Vec<u8> {
    stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat()).unwrap();
    let mut prefix = [0; 2];
    stream.read_exact(&mut prefix).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(prefix).into()];
    stream.read_exact(&mut reply).unwrap();
    reply
}

pub(crate) fn read(reply: &[u8]) -> Message {
    Message::from_vec(reply).expect("hickory reads the reply")
}

pub(crate) const QUESTIONS: [(&str, ResponseCode); 12] = [
    ("2.0.0.127.bl.example", ResponseCode::NoError),
    ("2.0.0.127.bL.ExAmPlE", ResponseCode::NoError),
    ("1.0.0.127.bl.example", ResponseCode::NXDomain),
    ("0.127.bl.example", ResponseCode::NoError),
    ("2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example", ResponseCode::NoError),
    ("tEsT.bl.example", ResponseCode::NoError),
    ("invalid.bl.example", ResponseCode::NXDomain),
    ("bl.example", ResponseCode::NoError),
    ("ns.bl.example", ResponseCode::NoError),
    ("other.example", ResponseCode::Refused),
    (".", ResponseCode::Refused),
    ("version.bind", ResponseCode::Refused),
];

/// Far longer than anything takes; a test that runs into it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
