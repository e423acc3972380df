//! The door over loopback, with quinn as the client.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, ReadError, VarInt};
use rcgen::{CertifiedKey, KeyPair};

use super::*;
use crate::answer::{Outcome, Transport};
use crate::server::observe::Respond;
use crate::server::tests::{InOneStep, PATIENCE, echo, framed, no_decision, of_all_doors, reply};
use crate::server::tls::tests::{Server, certify, trusting};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

#[tokio::test]
async fn every_query_has_a_stream_of_its_own() {
    let server = start(Limits::default(), InOneStep(echo));
    let client = Client::connect(&server).await;
    let longest = vec![0; MAX_QUERY];
    assert_eq!(client.ask(&longest).await.unwrap(), framed(&longest));
    // many at a time, and more than may be open together
    let mut asked = JoinSet::new();
    for number in 0..300_u16 {
        let connection = client.connection.clone();
        asked.spawn(async move {
            let query = [&[0, 0][..], &number.to_be_bytes()].concat();
            assert_eq!(ask(&connection, &framed(&query)).await.unwrap(), framed(&query));
        });
    }
    while let Some(ended) = asked.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn what_the_protocol_forbids_ends_the_connection() {
    let respond = |_: &Snapshot, query: &[u8], _, _: Transport, _: UnixTime, out: &mut [u8]| match query {
        b"\0\0response" => Outcome::Drop(DropReason::Response),
        query => reply(query, out),
    };
    let server = start(Limits::default(), InOneStep(respond));
    let keepalive = b"\0\0\0\0\0\x01\0\0\0\0\0\x01\x02bl\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x0b\0\0";
    let beside_cookie = [&keepalive[..keepalive.len() - 5], b"\x10\0\x0b\0\0\0\x0a\0\x08in bytes"].concat();
    for (why, stream) in [
        ("an id", framed(b"\0\x07query")),
        ("nothing", Vec::new()),
        ("half a length", vec![0]),
        ("fewer bytes than announced", framed(b"\0\0query")[..5].to_vec()),
        ("more bytes than announced", [framed(b"\0\0query"), vec![0]].concat()),
        ("two queries", framed(b"\0\0query").repeat(2)),
        ("a response", framed(b"\0\0response")),
        ("a length of zero", vec![0, 0]),
        ("the option for keeping TCP alive", framed(keepalive)),
        ("the same beside a cookie", framed(&beside_cookie)),
    ] {
        let client = Client::connect(&server).await;
        let _ = ask(&client.connection, &stream).await;
        assert_eq!(client.closed().await, 2, "{why}");
    }
    // the option's number where it is none
    let client = Client::connect(&server).await;
    assert!(ask(&client.connection, &framed(b"\0\0\0\x0b")).await.is_ok());
}

#[tokio::test]
async fn what_has_no_reply_resets_its_stream_alone() {
    let respond = |_: &Snapshot, query: &[u8], _, _: Transport, _: UnixTime, out: &mut [u8]| match query {
        b"\0\0denied" => Outcome::Drop(DropReason::Access { zone: None }),
        b"\0\0panic" => panic!("on purpose"),
        query => reply(query, out),
    };
    let server = start(Limits::default(), InOneStep(respond));
    let client = Client::connect(&server).await;
    for (query, code) in [(&b"\0\0denied"[..], 5), (b"\0\0panic", 1), (&[0; MAX_QUERY + 1], 4)] {
        assert_eq!(client.ask(query).await, Err(code));
        assert_eq!(client.ask(b"\0\0query").await.unwrap(), framed(b"\0\0query"));
    }
    assert_eq!(server.running.counters().panics(), 1);
}

#[tokio::test]
async fn what_is_sent_has_the_length_of_a_whole_packet() {
    let server = start(Limits::default(), InOneStep(echo));
    let client = Client::connect(&server).await;
    let before = client.connection.stats().udp_rx.bytes;
    // so many that what is sent to find out the path's MTU does not count
    for _ in 0..20 {
        client.ask(b"\0\0short").await.unwrap();
    }
    let received = client.connection.stats().udp_rx.bytes - before;
    assert!(received >= 20 * 1200, "{received}");
}

#[tokio::test]
async fn a_stream_that_is_given_up_is_no_error() {
    let server = start(Limits::default(), InOneStep(echo));
    let client = Client::connect(&server).await;
    let (mut send, receive) = client.connection.open_bi().await.unwrap();
    send.write_all(&[0, 40, 0, 0]).await.unwrap();
    send.reset(VarInt::from_u32(3)).unwrap();
    drop(receive);
    assert_eq!(client.ask(b"\0\0query").await.unwrap(), framed(b"\0\0query"));
}

#[tokio::test]
async fn no_more_streams_are_open_than_allowed() {
    let server = start(Limits { streams: 2, ..Limits::default() }, InOneStep(echo));
    let client = Client::connect(&server).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(client.connection.open_bi().await.unwrap());
    }
    let is_possible = |client: &Client| {
        let mut third = std::pin::pin!(client.connection.open_bi());
        third.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    };
    assert!(!is_possible(&client));
    let mut uni = std::pin::pin!(client.connection.open_uni());
    let polled = uni.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    assert!(matches!(polled, Poll::Pending), "streams that only one side writes are not there");
    let (mut send, mut receive) = open.remove(0);
    send.write_all(&framed(b"\0\0query")).await.unwrap();
    send.finish().unwrap();
    assert_eq!(receive.read_to_end(100).await.unwrap(), framed(b"\0\0query"));
    // the one that is done makes room
    let (mut send, _receive) = client.connection.open_bi().await.unwrap();
    send.write_all(&[0]).await.unwrap();
}

#[tokio::test]
async fn the_protocol_is_agreed_upon_and_no_other_is() {
    let server = start(Limits::default(), InOneStep(echo));
    for protocols in [&[&b"h3"[..]][..], &[]] {
        let config = trusting(&server.certified, protocols);
        let error = connect(server.address(), config).await.unwrap_err();
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    }
}

#[tokio::test]
async fn there_is_no_early_data() {
    let server = start(Limits::default(), InOneStep(echo));
    let mut tls = trusting(&server.certified, &[DOQ]);
    tls.enable_early_data = true;
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    for _ in 0..2 {
        let connecting = endpoint.connect_with(config.clone(), server.address(), "localhost").unwrap();
        // the second time the client has a ticket, and still nothing that lets it begin before the handshake
        let Err(connecting) = connecting.into_0rtt() else { panic!("early data") };
        let connection = connecting.await.unwrap();
        assert!(ask(&connection, &framed(b"\0\0query")).await.is_ok());
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_the_old_ones_stay() {
    let server = start(Limits::default(), InOneStep(echo));
    let before = Client::connect(&server).await;
    let second = certify(&server.folder);
    server.running.certificates().reload().unwrap();
    let after = Client::trusting(&server, &second).await;
    assert!(after.ask(b"\0\0after").await.is_ok());
    assert!(before.ask(b"\0\0still").await.is_ok());
    let old = trusting(&server.certified, &[DOQ]);
    assert!(connect(server.address(), old).await.is_err());
}

#[tokio::test]
async fn neither_pings_nor_single_bytes_keep_a_connection() {
    let server = start(Limits { idle: Duration::from_secs(1), ..Limits::default() }, InOneStep(echo));
    let client = Client::connect(&server).await;
    let connection = client.connection.clone();
    let drip = tokio::spawn(async move {
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&[3, 0, 0, 0]).await.unwrap();
        while send.write_all(&[7]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    // no error of anybody's, and not the silence of a lost peer
    assert_eq!(client.closed().await, 0);
    drip.await.unwrap();
}

#[tokio::test]
async fn the_connection_idle_longest_makes_room_and_one_client_has_its_share() {
    let server = start(Limits { connections: 2, ..Limits::default() }, InOneStep(echo));
    let clients = [Client::connect(&server).await, Client::connect(&server).await];
    for at in [1, 0] {
        clients[at].ask(b"\0\0active").await.unwrap();
    }
    let third = Client::connect(&server).await;
    third.ask(b"\0\0newest").await.unwrap();
    assert_eq!(clients[1].closed().await, 4);
    clients[0].ask(b"\0\0still there").await.unwrap();
    assert_eq!(of_all_doors(&server.running, crate::server::Counters::evicted_connections), 1);

    let server = start(Limits { connections_per_client: 1, ..Limits::default() }, InOneStep(echo));
    let first = Client::connect(&server).await;
    let second = connect(server.address(), trusting(&server.certified, &[DOQ])).await.unwrap_err();
    assert!(matches!(second, ConnectionError::ConnectionClosed(_)), "{second}");
    first.ask(b"\0\0mine").await.unwrap();
    assert_eq!(of_all_doors(&server.running, crate::server::Counters::refused_connections), 1);
}

#[tokio::test]
async fn an_address_that_is_not_proven_has_to_come_back_where_there_are_many() {
    for (connections_per_client, comes_back) in [(1, true), (32, false)] {
        let server = start(Limits { connections_per_client, ..Limits::default() }, InOneStep(echo));
        let saw_retry = Arc::new(AtomicBool::new(false));
        let between = relay(server.address(), saw_retry.clone());
        let connection = connect(between, trusting(&server.certified, &[DOQ])).await.unwrap();
        assert!(ask(&connection, &framed(b"\0\0query")).await.is_ok());
        assert_eq!(saw_retry.load(Ordering::Relaxed), comes_back);
    }
}

#[tokio::test]
async fn datagrams_that_are_no_quic_are_ignored() {
    let server = start(Limits::default(), InOneStep(echo));
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for garbage in [&[][..], &[0], &[0xff; 1200], &[0xc0; 1200], &[0x40; 1200], b"\xc0\0\0\0\x01\xff"] {
        socket.send_to(garbage, server.address()).unwrap();
    }
    assert!(Client::connect(&server).await.ask(b"\0\0query").await.is_ok());
}

#[tokio::test]
async fn the_drain_answers_all_queries_that_have_arrived() {
    let server = start(Limits::default(), InOneStep(echo));
    let client = Client::connect(&server).await;
    let silent = Client::connect(&server).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        let (mut send, receive) = client.connection.open_bi().await.unwrap();
        send.write_all(&framed(&[0; 40])).await.unwrap();
        send.finish().unwrap();
        streams.push((send, receive));
    }
    for (send, _) in &mut streams {
        // the server has confirmed that it has it
        send.stopped().await.unwrap();
    }
    let ended = tokio::task::spawn_blocking(move || server.running.shutdown());
    for (_, receive) in &mut streams {
        assert_eq!(receive.read_to_end(100).await.unwrap(), framed(&[0; 40]));
    }
    assert_eq!((client.closed().await, silent.closed().await), (0, 0));
    ended.await.unwrap();
}

fn start(limits: Limits, respond: impl Respond) -> Server {
    Server::start(limits, None, respond, no_decision)
}

impl Server {
    fn address(&self) -> SocketAddr {
        self.running.quic_addresses()[0]
    }
}

struct Client {
    connection: Connection,
}

impl Client {
    async fn connect(server: &Server) -> Self {
        Self::trusting(server, &server.certified).await
    }

    async fn trusting(server: &Server, certified: &CertifiedKey<KeyPair>) -> Self {
        let connection = connect(server.address(), trusting(certified, &[DOQ])).await.unwrap();
        Self { connection }
    }

    /// The reply with its length, or the code that the stream was reset with.
    async fn ask(&self, query: &[u8]) -> Result<Vec<u8>, u64> {
        ask(&self.connection, &framed(query)).await
    }

    /// The code that the server closes with.
    async fn closed(&self) -> u64 {
        match timeout(PATIENCE, self.connection.closed()).await.expect("a close in time") {
            ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
            other => panic!("{other}"),
        }
    }
}

async fn connect(server: SocketAddr, mut tls: rustls::ClientConfig) -> Result<Connection, ConnectionError> {
    tls.enable_early_data = false;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(100)));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    endpoint.connect_with(config, server, "localhost").unwrap().await
}

/// Sends the bytes of one stream, and its end.
async fn ask(connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>, u64> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|_| u64::MAX)?;
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    receive.read_to_end(70_000).await.map_err(|error| match error {
        ReadToEndError::Read(ReadError::Reset(code)) => code.into_inner(),
        _ => u64::MAX,
    })
}

/// An address in between, which notes whether the server has sent a Retry packet.
fn relay(server: SocketAddr, saw_retry: Arc<AtomicBool>) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::spawn(move || {
        let mut client = None;
        let mut buffer = [0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let datagram = &buffer[..length];
            if from != server {
                client = Some(from);
                let _ = socket.send_to(datagram, server);
            } else if let Some(client) = client {
                saw_retry.fetch_or(datagram[0] & 0xf0 == 0xf0, Ordering::Relaxed);
                let _ = socket.send_to(datagram, client);
            }
        }
    });
    address
}
