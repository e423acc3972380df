//! DNS over HTTPS and QUIC with real answers: the same as over all other doors.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use infamy::feed::Format;
use infamy::snapshot::Snapshot;
use infamy::zone::{Choice, TestEntries};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;

use crate::transport::{PATIENCE, QUESTIONS, Server, ask, query, read};
use crate::world::World;

#[test]
fn every_encrypted_door_gives_the_answer_of_udp() {
    let server = Server::start();
    let mut streams = Streams::connect(&server);
    let mut tls = server.connect();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    udp.connect(server.running.addresses()[0]).unwrap();
    for (name, _) in QUESTIONS {
        for qtype in [1, 2, 6, 16, 28, 252, 255, 1000] {
            for edns in [None, Some([0, 0x80]), Some([1, 0])] {
                let mut query = query(name, qtype, 1, edns);
                // the id that RFC 8484 recommends and RFC 9250 demands
                query[..2].copy_from_slice(&[0, 0]);
                udp.send(&query).unwrap();
                let mut buffer = [0; 65_535];
                let length = udp.recv(&mut buffer).unwrap();
                let over_tls = ask(&mut tls, &query);
                assert_eq!(read(&over_tls), read(&buffer[..length]), "{name} {qtype} {edns:?}");
                assert_eq!(streams.post(&query).1, over_tls, "{name} {qtype} {edns:?}");
                assert_eq!(streams.get(&query).1, over_tls, "{name} {qtype} {edns:?}");
                assert_eq!(streams.quic(&query).unwrap(), over_tls, "{name} {qtype} {edns:?}");
            }
        }
    }
}

#[test]
fn a_reply_is_fresh_for_as_long_as_its_records() {
    // RFC 8484, section 5.1
    let server = Server::start();
    let mut streams = Streams::connect(&server);
    for (name, qtype) in [("2.0.0.127.bl.example", 1), ("9.0.0.127.bl.example", 1), ("bl.example", 6)] {
        let (age, reply) = streams.get(&query(name, qtype, 1, None));
        let reply = read(&reply);
        let records = if reply.answers.is_empty() { &reply.authorities } else { &reply.answers };
        let lowest = records.iter().map(|record| record.ttl).min().unwrap();
        assert!(lowest > 0);
        assert_eq!(age, format!("private, max-age={lowest}"), "{name}");
    }
    assert_eq!(streams.get(&query("other.example", 1, 1, None)).0, "private, max-age=0", "REFUSED is nothing to keep");
}

#[test]
fn an_open_connection_gets_the_next_generation() {
    let server = Server::start();
    let mut streams = Streams::connect(&server);
    let mut query = query("2.0.0.127.bl.example", 1, 1, None);
    query[..2].copy_from_slice(&[0, 0]);
    let mut rcodes = || [streams.post(&query).1, streams.quic(&query).unwrap()].map(|reply| reply[3] & 15);
    assert_eq!(rcodes(), [0, 0]);
    server.published.publish(Snapshot::default());
    assert_eq!(rcodes(), [5, 5]);
}

#[test]
fn the_access_list_holds_behind_every_door() {
    for (action, rcode) in [("refuse", Some(5)), ("ignore", None)] {
        let mut world = World::new();
        let list = world.dataset("list", Format::Ip4Set, "192.0.2.1\n");
        let clients = world.dataset("clients", Format::Acl, &format!(":pass\n127.0.0.0/8 :{action}\n"));
        let zone = world.zone("bl.example", &[(list, ".")]);
        (zone.access, zone.spec.choice, zone.spec.test_entries) = (Some(clients), Choice::All, TestEntries::AsWritten);
        let (problems, snapshot) = world.load();
        assert!(problems.is_empty());
        let server = Server::serving(snapshot);
        let mut streams = Streams::connect(&server);
        let mut query = query("1.2.0.192.bl.example", 1, 1, None);
        query[..2].copy_from_slice(&[0, 0]);
        let code = |reply: Vec<u8>| u16::from(reply[3] & 15);
        match rcode {
            Some(rcode) => {
                let replies =
                    [ask(&mut server.connect(), &query), streams.post(&query).1, streams.quic(&query).unwrap()];
                assert_eq!(replies.map(code), [rcode; 3]);
            }
            None => {
                assert_eq!(streams.status(&query), 403);
                assert_eq!(streams.quic(&query), None);
            }
        }
    }
}

/// One connection each to the doors whose connections have streams.
pub(crate) struct Streams {
    runtime: Runtime,
    https: SendRequest<Full<Bytes>>,
    quic: quinn::Connection,
}

impl Streams {
    pub(crate) fn connect(server: &Server) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = |protocol: &[u8]| {
            let mut config = (*server.client).clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            config
        };
        let (https, quic) = runtime.block_on(async {
            let stream = TcpStream::connect(server.running.https_addresses()[0]).await.unwrap();
            // head and body come apart, and the second would wait for the first to be confirmed
            stream.set_nodelay(true).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = TlsConnector::from(Arc::new(config(b"h2"))).connect(name, stream).await.unwrap();
            let (https, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);

            let config = QuicClientConfig::try_from(config(b"doq")).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(config));
            let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = server.running.quic_addresses()[0];
            (https, endpoint.connect_with(config, address, "localhost").unwrap().await.unwrap())
        });
        Self { runtime, https, quic }
    }

    /// For how long the reply holds, and the reply.
    pub(crate) fn post(&mut self, query: &[u8]) -> (String, Vec<u8>) {
        self.fetch(post(query))
    }

    pub(crate) fn get(&mut self, query: &[u8]) -> (String, Vec<u8>) {
        let query = data_encoding::BASE64URL_NOPAD.encode(query);
        let request = Request::get(format!("https://localhost/dns-query?dns={query}"));
        self.fetch(request.header("accept", MESSAGE).body(Full::default()).unwrap())
    }

    /// The status of a query that gets no reply.
    fn status(&mut self, query: &[u8]) -> u16 {
        self.send(post(query)).status().as_u16()
    }

    /// The reply, if the stream has one.
    pub(crate) fn quic(&self, query: &[u8]) -> Option<Vec<u8>> {
        self.runtime.block_on(async {
            let (mut send, mut receive) = self.quic.open_bi().await.unwrap();
            send.write_all(&[&(query.len() as u16).to_be_bytes()[..], query].concat()).await.unwrap();
            send.finish().unwrap();
            let reply = receive.read_to_end(70_000).await.ok()?;
            assert_eq!(usize::from(u16::from_be_bytes([reply[0], reply[1]])), reply.len() - 2);
            Some(reply[2..].to_vec())
        })
    }

    fn send(&mut self, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming> {
        self.runtime.block_on(async {
            self.https.ready().await.unwrap();
            self.https.send_request(request).await.unwrap()
        })
    }

    fn fetch(&mut self, request: Request<Full<Bytes>>) -> (String, Vec<u8>) {
        let response = self.send(request);
        assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (200, &MESSAGE.parse().unwrap()));
        let age = response.headers()["cache-control"].to_str().unwrap().to_owned();
        let body = self.runtime.block_on(response.into_body().collect()).unwrap();
        (age, body.to_bytes().to_vec())
    }
}

fn post(query: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::post("https://localhost/dns-query").header("content-type", MESSAGE);
    request.body(Full::from(query.to_vec())).unwrap()
}

const MESSAGE: &str = "application/dns-message";
