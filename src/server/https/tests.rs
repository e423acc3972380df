//! The door over loopback: hyper as the client that keeps the rules, and frames by hand for the one that does not.

use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tokio_rustls::TlsConnector;

use super::*;
use crate::answer::{Outcome, Transport};
use crate::server::observe::Respond;
use crate::server::tests::{InOneStep, PATIENCE, echo, no_decision, of_all_doors, reply};
use crate::server::tls::tests::{Server, certify, trusting};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

#[tokio::test]
async fn a_query_comes_in_a_body_or_in_the_url() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut client = connect(&server, &server.certified).await;
    let longest = vec![0xff; MAX_QUERY];
    for query in [&b"\xfb\xff\xfe"[..], b"query", &longest] {
        let in_url = format!("/dns-query?ct&dns={}&x=y", data_encoding::BASE64URL_NOPAD.encode(query));
        for request in [post(query), get(&in_url)] {
            let (head, body) = ask(&mut client, request).await;
            assert_eq!((head.status, &body[..]), (StatusCode::OK, query));
            assert_eq!(head.headers[CONTENT_TYPE], MESSAGE);
            assert_eq!(head.headers[CACHE_CONTROL], "private, max-age=0");
        }
    }
}

#[tokio::test]
async fn what_is_no_query_gets_its_status_and_the_connection_stays() {
    let respond = |_: &Snapshot, query: &[u8], _, _: Transport, _: UnixTime, out: &mut [u8]| match query {
        b"short" => Outcome::Drop(DropReason::Short),
        b"denied" => Outcome::Drop(DropReason::Access { zone: None }),
        b"panic" => panic!("on purpose"),
        query => reply(query, out),
    };
    let server = start(Limits::default(), InOneStep(respond));
    let mut client = connect(&server, &server.certified).await;
    let post_to = |path: &str, kind: &str| {
        let request = Request::post(format!("https://localhost{path}")).header(CONTENT_TYPE, kind);
        request.body(Full::from("query")).unwrap()
    };
    let method = |method: &str| {
        let request =
            Request::builder().method(method).uri("https://localhost/dns-query").header(CONTENT_TYPE, MESSAGE);
        request.body(Full::from("query")).unwrap()
    };
    let untyped = Request::post("https://localhost/dns-query").body(Full::from("query")).unwrap();
    let too_long = "A".repeat(5466);
    for (request, status) in [
        (post_to("/", MESSAGE), 404),
        (post_to("/dns-query/", MESSAGE), 404),
        (post_to("/dns-query?a=b", MESSAGE), 200),
        (get("/resolve?dns=cXVlcnk"), 404),
        (method("PUT"), 405),
        (method("HEAD"), 405),
        (method("DELETE"), 405),
        (untyped, 415),
        (post_to("/dns-query", "application/dns-json"), 415),
        (post_to("/dns-query", "Application/DNS-Message; charset=utf-8"), 200),
        (get("/dns-query"), 400),
        (get("/dns-query?name=example.org&type=A"), 400),
        (get("/dns-query?dns=cXVlcnk="), 400),
        (get("/dns-query?dns=+/8"), 400),
        (get("/dns-query?dns=%63XVlcnk"), 400),
        (get("/dns-query?dns=cXVlcnk&dns=cXVlcnk"), 400),
        (get(&format!("/dns-query?dns={too_long}")), 414),
        (post(&[0; MAX_QUERY + 1]), 413),
        (post(&[0; 1_000_000]), 413),
        (post(b"short"), 400),
        (post(b"denied"), 403),
        (post(b"panic"), 500),
        (post(b"query"), 200),
    ] {
        let asked = format!("{request:?}");
        let (head, body) = ask(&mut client, request).await;
        assert_eq!(head.status.as_u16(), status, "{asked:.200}");
        assert_eq!(head.headers.get(ALLOW).is_some(), status == 405);
        if status != 200 {
            assert!(head.headers[CACHE_CONTROL] == "no-store" && head.headers[CONTENT_TYPE] == "text/plain");
        } else {
            assert_eq!(body, b"query");
        }
    }
    assert_eq!(server.running.counters().panics(), 1);
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut before = connect(&server, &server.certified).await;
    assert_eq!(ask(&mut before, post(b"before")).await.1, b"before");
    let second = certify(&server.folder);
    server.running.certificates().reload().unwrap();
    let mut after = connect(&server, &second).await;
    assert_eq!(ask(&mut after, post(b"after")).await.1, b"after");
    assert_eq!(ask(&mut before, post(b"still")).await.1, b"still");
}

#[test]
fn the_protocol_is_http_2_and_no_other() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut old = server.raw(b"http/1.1");
    assert!(old.write_all(b"GET /dns-query HTTP/1.1\r\nhost: localhost\r\n\r\n").and_then(|()| old.flush()).is_err());
    for garbage in
        [&b"GET /dns-query HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], &[0; 64], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff"]
    {
        let mut raw = server.raw(H2);
        raw.write_all(garbage).unwrap();
        raw.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = raw.read_to_end(&mut rest);
        assert!(!rest.windows(5).any(|bytes| bytes == b"HTTP/"), "{rest:x?}");
    }
    assert_eq!(Frames::new(server.raw(H2)).ask(1, b"still there"), b"still there");
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let server = start(Limits { streams: 2, ..Limits::default() }, InOneStep(echo));
    let mut frames = Frames::new(server.raw(H2));
    for stream in [1, 3, 5] {
        frames.send(HEADERS, END_HEADERS, stream, &head());
    }
    let refused = frames.receive_until(|frame| frame.kind == RST_STREAM);
    assert_eq!((refused.stream, &refused.data[..]), (5, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
    frames.send(DATA, END_STREAM, 1, b"query");
    assert_eq!(frames.receive_until(|frame| frame.kind == DATA).data, b"query");
}

#[test]
fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut frames = Frames::new(server.raw(H2));
    let mut stream = 1;
    loop {
        let opened = frames.try_send(HEADERS, END_HEADERS, stream, &head());
        if opened.and_then(|()| frames.try_send(RST_STREAM, 0, stream, &[0, 0, 0, 8])).is_err() {
            break;
        }
        stream += 2;
        assert!(stream < 2_000_000, "a million resets were taken");
    }
    assert_eq!(Frames::new(server.raw(H2)).ask(1, b"still there"), b"still there");
}

#[test]
fn a_head_without_an_end_is_not_kept() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut frames = Frames::new(server.raw(H2));
    frames.send(HEADERS, 0, 1, &head());
    // a literal header of 8 KiB that is added to no table, again and again
    let field = [&b"\x00\x01x\x7f\x81\x3f"[..], &[b'y'; 8192]].concat();
    let end = (0..10_000).find(|_| frames.try_send(CONTINUATION, 0, 1, &field).is_err());
    assert!(end.is_some(), "80 MiB of headers were taken");
}

#[test]
fn single_bytes_keep_no_connection_and_the_client_is_told() {
    let server = start(Limits { idle: Duration::from_secs(1), ..Limits::default() }, InOneStep(echo));
    let mut frames = Frames::new(server.raw(H2));
    frames.send(HEADERS, END_HEADERS, 1, &head());
    // the server's bytes are read in between, as one socket is behind both directions
    frames.tls.sock.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut seen = Vec::new();
    let ended = (0..1000).find(|_| {
        let written = frames.try_send(DATA, 0, 1, b"y");
        let mut buffer = [0; 1024];
        match frames.tls.read(&mut buffer) {
            Ok(length) => seen.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
            Err(_) => return true,
        }
        written.is_err()
    });
    assert!(ended.is_some_and(|drops| drops > 5), "{ended:?}");
    assert!(seen.windows(5).any(|frame| frame[3..] == [GOAWAY, 0]), "{seen:x?}");
}

#[test]
fn a_client_that_leaves_in_the_middle_takes_nobody_with_it() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut stays = Frames::new(server.raw(H2));
    for cut in [1, 10, 30] {
        let mut leaves = Frames::new(server.raw(H2));
        leaves.send(HEADERS, END_HEADERS, 1, &head());
        leaves.tls.write_all(&frame(DATA, END_STREAM, 1, &[0; 40])[..cut]).unwrap();
        leaves.tls.flush().unwrap();
    }
    drop(StdStream::connect(server.running.https_addresses()[0]).unwrap());
    assert_eq!(stays.ask(1, b"still there"), b"still there");
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let respond = |_: &_, _: &[u8], _, _, _, out: &mut [u8]| reply(&[0; 60_000], out);
    let server = start(Limits { idle: Duration::from_secs(1), ..Limits::default() }, InOneStep(respond));
    let mut frames = Frames::new(server.raw(H2));
    // endless but for the server's close
    for stream in (1..).step_by(2) {
        let asked = frames.try_send(HEADERS, END_HEADERS, stream, &head());
        if asked.and_then(|()| frames.try_send(DATA, END_STREAM, stream, b"much")).is_err() {
            break;
        }
    }
}

#[test]
fn the_connection_idle_longest_makes_room_and_one_client_has_its_share() {
    let server = start(Limits { connections: 2, ..Limits::default() }, InOneStep(echo));
    let mut clients = [0, 1].map(|_| Frames::new(server.raw(H2)));
    for at in [1, 0] {
        clients[at].ask(1, b"active");
    }
    assert_eq!(Frames::new(server.raw(H2)).ask(1, b"newest"), b"newest");
    assert!(clients[1].closed());
    assert_eq!(clients[0].ask(3, b"still there"), b"still there");
    assert_eq!(of_all_doors(&server.running, Counters::evicted_connections), 1);

    let server = start(Limits { connections_per_client: 1, ..Limits::default() }, InOneStep(echo));
    let mut first = Frames::new(server.raw(H2));
    first.ask(1, b"mine");
    let mut second = server.raw(H2);
    assert!(second.write_all(PREFACE).and_then(|()| second.flush()).is_err());
    assert_eq!(first.ask(3, b"mine"), b"mine");
    assert_eq!(of_all_doors(&server.running, Counters::refused_connections), 1);
}

#[test]
fn the_drain_answers_all_queries_that_have_arrived() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut frames = Frames::new(server.raw(H2));
    frames.ask(1, b"first");
    let queries = (0..50).flat_map(|number| {
        let stream = 3 + 2 * number;
        [frame(HEADERS, END_HEADERS, stream, &head()), frame(DATA, END_STREAM, stream, &[5; 40])].concat()
    });
    frames.tls.write_all(&queries.collect::<Vec<_>>()).unwrap();
    frames.tls.flush().unwrap();
    let silent = StdStream::connect(server.running.https_addresses()[0]).unwrap();
    let folder = server.folder;
    // this client does not even say that it has been told of the end
    server.running.shutdown();
    drop((silent, folder));
    let mut replies = 0;
    while let Some(frame) = frames.receive() {
        replies += usize::from(frame.kind == DATA && frame.data == [5; 40]);
    }
    assert_eq!(replies, 50);
}

#[test]
fn a_reply_is_fresh_for_as_long_as_its_records() {
    let name = b"\x02bl\x07example\0";
    let record = |rtype: u8, ttl: u32, data: &[u8]| {
        let fixed = [&[0xc0, 12, 0, rtype, 0, 1][..], &ttl.to_be_bytes(), &(data.len() as u16).to_be_bytes()].concat();
        [&fixed, data].concat()
    };
    let message = |answers: u8, authorities: u8, records: &[Vec<u8>]| {
        let head = [0, 7, 0x84, 0, 0, 1, 0, answers, 0, authorities, 0, 0];
        [&head[..], name, &[0, 1, 0, 1], &records.concat()].concat()
    };
    let soa = |ttl, minimum: u32| record(6, ttl, &[&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat());
    let a = |ttl| record(1, ttl, &[127, 0, 0, 2]);
    assert_eq!(freshness(&message(2, 1, &[a(300), a(60), soa(5, 5)])), 60);
    assert_eq!(freshness(&message(0, 1, &[soa(300, 30)])), 30);
    assert_eq!(freshness(&message(0, 1, &[soa(20, 30)])), 20);
    assert_eq!(freshness(&message(1, 0, &[soa(300, 30)])), 300, "asked for itself");
    assert_eq!(freshness(&message(0, 0, &[])), 0);
    let whole = message(1, 0, &[a(300)]);
    for length in 0..whole.len() {
        assert_eq!(freshness(&whole[..length]), 0, "cut to {length}");
    }
}

fn start(limits: Limits, respond: impl Respond) -> Server {
    Server::start(limits, None, respond, no_decision)
}

async fn connect(server: &Server, certified: &CertifiedKey<KeyPair>) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(server.running.https_addresses()[0]).await.unwrap();
    let connector = TlsConnector::from(Arc::new(trusting(certified, &[b"http/1.1", H2])));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    client
}

fn post(query: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::post("https://localhost/dns-query").header(CONTENT_TYPE, MESSAGE);
    request.body(Full::from(query.to_vec())).unwrap()
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

async fn ask(
    client: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (hyper::http::response::Parts, Vec<u8>) {
    client.ready().await.unwrap();
    let (head, body) = client.send_request(request).await.unwrap().into_parts();
    (head, body.collect().await.unwrap().to_bytes().to_vec())
}

impl Server {
    /// A connection on which nothing is said yet.
    fn raw(&self, protocol: &[u8]) -> Tls {
        let stream = StdStream::connect(self.running.https_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let config = Arc::new(trusting(&self.certified, &[protocol]));
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
    }
}

type Tls = StreamOwned<ClientConnection, StdStream>;

/// A client that writes frames as they are given.
struct Frames {
    tls: Tls,
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    data: Vec<u8>,
}

impl Frames {
    fn new(mut tls: Tls) -> Self {
        tls.write_all(PREFACE).unwrap();
        tls.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        tls.flush().unwrap();
        Self { tls }
    }

    fn try_send(&mut self, kind: u8, flags: u8, stream: u32, data: &[u8]) -> std::io::Result<()> {
        self.tls.write_all(&frame(kind, flags, stream, data))?;
        self.tls.flush()
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, data: &[u8]) {
        self.try_send(kind, flags, stream, data).unwrap();
    }

    /// The next frame; none once the server has closed.
    fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.tls.read_exact(&mut head).ok()?;
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut data = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.tls.read_exact(&mut data).ok()?;
        Some(Frame { kind, stream: u32::from_be_bytes(stream), data })
    }

    fn receive_until(&mut self, is_it: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.receive().expect("the connection stays");
            if is_it(&frame) {
                return frame;
            }
        }
    }

    fn ask(&mut self, stream: u32, query: &[u8]) -> Vec<u8> {
        self.send(HEADERS, END_HEADERS, stream, &head());
        self.send(DATA, END_STREAM, stream, query);
        self.receive_until(|frame| frame.kind == DATA && frame.stream == stream).data
    }

    /// Waits until the server has closed.
    fn closed(&mut self) -> bool {
        while self.receive().is_some() {}
        true
    }
}

fn frame(kind: u8, flags: u8, stream: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), data].concat()
}

/// The head of a POST, in HPACK without its tables of what was said before.
fn head() -> Vec<u8> {
    let literal = |name: &[u8], value: &[u8]| [name, &[value.len() as u8], value].concat();
    let path = literal(b"\x04", PATH.as_bytes());
    let kind = literal(b"\x0f\x10", MESSAGE.as_bytes());
    [&b"\x83\x87"[..], &path, &literal(b"\x01", b"localhost"), &kind].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
