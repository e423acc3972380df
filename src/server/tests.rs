//! The plain doors over loopback, with responders made for the purpose: what the transport does, whatever is answered.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::answer::{DropReason, Outcome, Summary, Transport};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

#[test]
fn both_transports_answer_on_one_port_with_several_workers() {
    let running = start(Listen { udp_workers: 3, ..listen(LOOPBACK) }, echo);
    for client in 0..20 {
        // a new source port each, so that the kernel spreads them over the workers
        assert_eq!(ask_udp(running.addresses()[0], &[client; 20]), [client; 20]);
    }
    let mut stream = connect(running.addresses()[0]);
    send(&mut stream, b"over a stream");
    assert_eq!(receive(&mut stream).unwrap(), b"over a stream");
}

#[test]
fn the_reply_leaves_from_the_address_that_was_asked() {
    let running = start(listen(wildcard(Ipv4Addr::UNSPECIFIED)), echo);
    let port = running.addresses()[0].port();
    for asked in ["127.0.0.1", "127.0.0.2", "127.8.9.10"] {
        assert_eq!(ask_udp(SocketAddr::new(asked.parse().unwrap(), port), b"whence a reply"), b"whence a reply");
    }
}

#[test]
fn a_dual_stack_socket_answers_both_families_and_knows_ipv4_clients_by_their_ipv4_address() {
    let running = start(listen(wildcard(Ipv6Addr::UNSPECIFIED)), |_, _, client, _, _, out| {
        reply(client.to_string().as_bytes(), out)
    });
    let port = running.addresses()[0].port();
    assert_eq!(ask_udp(SocketAddr::new("127.0.0.2".parse().unwrap(), port), b"?"), b"127.0.0.1");
    assert_eq!(ask_udp(SocketAddr::new("::1".parse().unwrap(), port), b"?"), b"::1");
    let mut stream = connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    send(&mut stream, b"?");
    assert_eq!(receive(&mut stream).unwrap(), b"127.0.0.1");
}

#[test]
fn both_wildcards_can_be_listed_with_one_port() {
    let first = bind(&listen(wildcard(Ipv4Addr::UNSPECIFIED))).unwrap();
    let port = first.addresses()[0].port();
    drop(first);
    let plain = vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()];
    let running = start(Listen { plain, ..Listen::default() }, echo);
    assert_eq!(ask_udp(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port), b"6"), b"6");
    assert_eq!(ask_udp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port), b"4"), b"4");
    drop(running);
}

#[test]
fn a_panic_costs_one_query() {
    let running = start(listen(LOOPBACK), |_, query, _, _, _, out| {
        assert_ne!(query, b"bad", "on purpose");
        reply(query, out)
    });
    let address = running.addresses()[0];
    let socket = client_for(address);
    socket.send(b"bad").unwrap();
    socket.send(b"good").unwrap();
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"good");

    let mut stream = connect(address);
    send(&mut stream, b"bad");
    send(&mut stream, b"good");
    assert_eq!(receive(&mut stream).unwrap(), b"good");
    assert_eq!(running.counters().panics(), 2);
}

#[test]
fn a_panic_in_a_batch_costs_no_other_query_of_it() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (entered, at_gate) = mpsc::channel();
    let running = start(listen(LOOPBACK), move |_, query, _, _, _, out| {
        if query == b"wait" {
            entered.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        }
        assert_ne!(query[0] % 3, 0, "on purpose");
        reply(query, out)
    });
    let socket = client_for(running.addresses()[0]);
    socket.send(b"wait").unwrap();
    at_gate.recv().unwrap();
    // all of them are in the queue when the worker comes back to it
    for number in 0..30 {
        socket.send(&[number; 20]).unwrap();
    }
    drop(open);
    let mut buffer = [0; 64];
    assert_eq!(socket.recv(&mut buffer).unwrap(), 4);
    for number in (0..30).filter(|number| number % 3 != 0) {
        assert_eq!(socket.recv(&mut buffer).unwrap(), 20);
        assert_eq!(buffer[0], number);
    }
    assert_eq!(running.counters().panics(), 10);
}

#[test]
fn an_empty_datagram_and_silence_do_not_end_the_worker() {
    let running = start(listen(LOOPBACK), |_, query, _, _, _, out| match query {
        b"" => Outcome::Drop(DropReason::Short),
        b"denied" => Outcome::Drop(DropReason::Access { zone: None }),
        query => reply(query, out),
    });
    let socket = client_for(running.addresses()[0]);
    for query in [&b""[..], b"denied", b"answered"] {
        socket.send(query).unwrap();
    }
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answered");
}

#[test]
fn pipelined_queries_are_answered_in_order() {
    let running = start(listen(LOOPBACK), echo);
    let mut stream = connect(running.addresses()[0]);
    let mut bytes = Vec::new();
    for number in 0..2000_u16 {
        bytes.extend_from_slice(&framed(&[&number.to_be_bytes()[..], &[0; 40]].concat()));
    }
    let mut writing = stream.try_clone().unwrap();
    let writer = thread::spawn(move || writing.write_all(&bytes).unwrap());
    for number in 0..2000_u16 {
        assert_eq!(receive(&mut stream).unwrap()[..2], number.to_be_bytes());
    }
    writer.join().unwrap();
}

#[test]
fn a_message_can_come_byte_by_byte_and_can_be_the_longest() {
    let running = start(listen(LOOPBACK), echo);
    let mut stream = connect(running.addresses()[0]);
    stream.set_nodelay(true).unwrap();
    for byte in framed(b"in pieces") {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(receive(&mut stream).unwrap(), b"in pieces");
    let longest = vec![7; 65_535];
    send(&mut stream, &longest);
    assert_eq!(receive(&mut stream).unwrap(), longest);
}

#[test]
fn what_is_no_query_ends_the_connection_after_the_replies_before_it() {
    let respond = |_: &Snapshot, query: &[u8], _, _, _, out: &mut [u8]| match query {
        b"response" => Outcome::Drop(DropReason::Response),
        b"denied" => Outcome::Drop(DropReason::Access { zone: None }),
        query => reply(query, out),
    };
    let running = start(listen(LOOPBACK), respond);
    for last in [&b"response"[..], b""] {
        let mut stream = connect(running.addresses()[0]);
        for query in [&b"first"[..], b"denied", b"second", last, b"never seen"] {
            send(&mut stream, query);
        }
        assert_eq!(receive(&mut stream).unwrap(), b"first");
        assert_eq!(receive(&mut stream).unwrap(), b"second");
        assert_eq!(receive(&mut stream), None);
    }
}

#[test]
fn a_client_that_half_closes_gets_its_replies() {
    let running = start(listen(LOOPBACK), echo);
    let mut stream = connect(running.addresses()[0]);
    send(&mut stream, b"and that is all");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(receive(&mut stream).unwrap(), b"and that is all");
    assert_eq!(receive(&mut stream), None);
}

#[test]
fn single_bytes_do_not_keep_a_connection() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let running = start(Listen { limits, ..listen(LOOPBACK) }, echo);
    let mut stream = connect(running.addresses()[0]);
    closes_while_dripped(&mut stream, 1);
}

#[test]
fn a_client_that_never_reads_is_closed() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let running = start(Listen { limits, ..listen(LOOPBACK) }, |_, _, _, _, _, out| reply(&[0; 60_000], out));
    let mut stream = connect(running.addresses()[0]);
    let query = framed(b"much for little");
    // endless but for the server's close: first both sides' buffers fill up, then the writes fail
    while stream.write_all(&query).is_ok() {}
}

#[test]
fn the_longest_idle_connection_makes_room_and_one_client_has_its_share() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let running = start(Listen { limits, ..listen(LOOPBACK) }, echo);
    let mut streams = [0, 1].map(|_| connect(running.addresses()[0]));
    for at in [1, 0] {
        send(&mut streams[at], b"active");
        receive(&mut streams[at]).unwrap();
    }
    let mut third = connect(running.addresses()[0]);
    send(&mut third, b"newest");
    assert_eq!(receive(&mut third).unwrap(), b"newest");
    assert_eq!(receive(&mut streams[1]), None);
    send(&mut streams[0], b"still there");
    assert_eq!(receive(&mut streams[0]).unwrap(), b"still there");
    assert_eq!(of_all_doors(&running, Counters::evicted_connections), 1);

    let limits = Limits { connections_per_client: 1, ..Limits::default() };
    let running = start(Listen { limits, ..listen(LOOPBACK) }, echo);
    let mut first = connect(running.addresses()[0]);
    let mut second = connect(running.addresses()[0]);
    assert_eq!(receive(&mut second), None);
    send(&mut first, b"mine");
    assert_eq!(receive(&mut first).unwrap(), b"mine");
    assert_eq!(of_all_doors(&running, Counters::refused_connections), 1);
}

#[test]
fn the_drain_answers_all_datagrams_that_have_arrived() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (entered, at_gate) = mpsc::channel();
    let running = start(listen(LOOPBACK), move |_, query, _, _, _, out| {
        let _ = entered.send(());
        // the first query waits here, with all others behind it; later ones find the gate gone and pass
        let _ = gate.lock().unwrap().recv();
        reply(query, out)
    });
    let socket = client_for(running.addresses()[0]);
    for number in 0..50 {
        socket.send(&[number; 20]).unwrap();
    }
    at_gate.recv().unwrap();
    running.udp_stop.stop();
    drop(open);
    let mut buffer = [0; 64];
    for number in 0..50 {
        assert_eq!(socket.recv(&mut buffer).unwrap(), 20);
        assert_eq!(buffer[0], number);
    }
    running.shutdown();
}

#[test]
fn the_drain_answers_all_pipelined_queries_that_have_arrived() {
    let running = start(listen(LOOPBACK), echo);
    let mut stream = connect(running.addresses()[0]);
    // the server has the connection for sure
    send(&mut stream, b"first");
    receive(&mut stream).unwrap();
    stream.write_all(&framed(&[5; 40]).repeat(1000)).unwrap();
    running.shutdown();
    for _ in 0..1000 {
        assert_eq!(receive(&mut stream).unwrap(), [5; 40]);
    }
    assert_eq!(receive(&mut stream), None);
}

#[test]
fn an_idle_server_ends_at_once_and_its_port_is_free_again() {
    let running = start(Listen { udp_workers: 4, ..listen(LOOPBACK) }, echo);
    let address = running.addresses()[0];
    assert_eq!(ask_udp(address, b"up"), b"up");
    let start_of_end = Instant::now();
    drop(running);
    // the workers were woken, not found by their own look-up each second
    assert!(start_of_end.elapsed() < Duration::from_millis(800), "{:?}", start_of_end.elapsed());
    bind(&listen(address)).unwrap();
}

#[test]
fn a_socket_that_was_handed_over_serves_the_next_server_too() {
    let handed_over = UdpSocket::bind(LOOPBACK).unwrap();
    let address = handed_over.local_addr().unwrap();
    for _ in 0..2 {
        let udp = vec![handed_over.try_clone().unwrap()];
        udp::ready(&udp[0]).unwrap();
        let tcp = TcpListener::bind(LOOPBACK).unwrap();
        tcp.set_nonblocking(true).unwrap();
        let plain = vec![Plain { address, udp, tcp, is_inherited: true }];
        let (encrypted, https, quic, limits) = (None, None, None, Limits::default());
        let bound = Bound { plain, encrypted, https, quic, limits, rate_limits: None, quotas: Arc::default() };
        let running = bound.run_with(published(), None, InOneStep(echo), no_decision).unwrap();
        assert_eq!(ask_udp(address, b"still there"), b"still there");
        running.shutdown();
    }
}

#[test]
fn the_observer_sees_query_reply_and_client() {
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);
    impl Observer for Log {
        fn observe(&self, exchange: &Exchange<'_>) {
            let Exchange { client, carrier, query, reply, outcome, .. } = exchange;
            let (query, reply) = (query.escape_ascii(), reply.escape_ascii());
            let rcode = match outcome {
                Outcome::Reply { summary, .. } => summary.rcode.to_string(),
                Outcome::Drop(reason) => format!("{reason:?}"),
            };
            self.0.lock().unwrap().push(format!("{client} {carrier:?} {query}>{reply} {rcode}"));
        }
    }
    let log = Arc::new(Log::default());
    let respond = |_: &Snapshot, query: &[u8], _, _, _, out: &mut [u8]| match query {
        b"no" => Outcome::Drop(DropReason::Access { zone: None }),
        query => reply(query, out),
    };
    let running = bind(&listen(LOOPBACK))
        .unwrap()
        .run_with(published(), Some(log.clone()), InOneStep(respond), no_decision)
        .unwrap();
    let mut stream = connect(running.addresses()[0]);
    send(&mut stream, b"no");
    send(&mut stream, b"yes");
    receive(&mut stream).unwrap();
    ask_udp(running.addresses()[0], b"udp");
    let seen = log.0.lock().unwrap().clone();
    assert_eq!(seen, ["127.0.0.1 Tcp no> Access { zone: None }", "127.0.0.1 Tcp yes>yes 0", "127.0.0.1 Udp udp>udp 0"]);
}

fn start(listen: Listen, respond: impl Whole) -> Running {
    bind(&listen).unwrap().run_with(published(), None, InOneStep(respond), no_decision).unwrap()
}

/// The shape of [`answer::respond`].
pub(super) trait Whole:
    Fn(&Snapshot, &[u8], IpAddr, Transport, UnixTime, &mut [u8]) -> Outcome + Clone + Send + Sync + 'static
{
}

impl<F> Whole for F where
    F: Fn(&Snapshot, &[u8], IpAddr, Transport, UnixTime, &mut [u8]) -> Outcome + Clone + Send + Sync + 'static
{
}

/// Answers by a function that does all at once.
#[derive(Clone)]
pub(super) struct InOneStep<F>(pub(super) F);

impl<F: Whole> Respond for InOneStep<F> {
    type Asked = Vec<u8>;

    fn read(&self, message: &[u8], asked: &mut Vec<u8>) -> Result<(), DropReason> {
        *asked = message.to_vec();
        Ok(())
    }

    fn prefetch(&self, _: &Snapshot, _: &mut Vec<u8>) {}

    fn prefetch_further(&self, _: &Snapshot, _: &Vec<u8>) {}

    fn respond(
        &self,
        snapshot: &Snapshot,
        asked: &Vec<u8>,
        client: IpAddr,
        transport: Transport,
        now: UnixTime,
        out: &mut [u8],
    ) -> Outcome {
        (self.0)(snapshot, asked, client, transport, now, out)
    }
}

pub(super) fn no_decision(_: &Snapshot, _: &Query<'_>, _: &mut hickory::Reply) -> Result<answer::Decision, DropReason> {
    Err(DropReason::Access { zone: None })
}

/// A counter's sum over the doors.
pub(super) fn of_all_doors(running: &Running, of: fn(&Counters) -> u64) -> u64 {
    running.counters().each().map(|(_, counters)| of(counters)).sum()
}

pub(super) fn published() -> Arc<Published> {
    Arc::new(Published::new(Snapshot::default()))
}

fn listen(address: SocketAddr) -> Listen {
    Listen { plain: vec![address], ..Listen::default() }
}

fn wildcard(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), 0)
}

pub(super) fn echo(_: &Snapshot, query: &[u8], _: IpAddr, _: Transport, _: UnixTime, out: &mut [u8]) -> Outcome {
    reply(query, out)
}

pub(super) fn reply(bytes: &[u8], out: &mut [u8]) -> Outcome {
    out[..bytes.len()].copy_from_slice(bytes);
    Outcome::Reply { length: bytes.len(), summary: Summary::default() }
}

/// A connected socket: it takes replies from the address that was asked and from no other.
fn client_for(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { wildcard(Ipv4Addr::LOCALHOST) } else { wildcard(Ipv6Addr::LOCALHOST) };
    let socket = UdpSocket::bind(any).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask_udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = client_for(server);
    socket.send(query).unwrap();
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).expect("a reply from the address that was asked");
    buffer[..length].to_vec()
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(super) fn framed(query: &[u8]) -> Vec<u8> {
    [&(query.len() as u16).to_be_bytes()[..], query].concat()
}

pub(super) fn send(stream: &mut impl Write, query: &[u8]) {
    stream.write_all(&framed(query)).unwrap();
}

/// One reply; `None` once the server has closed.
pub(super) fn receive(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut prefix = [0; 2];
    match stream.read_exact(&mut prefix) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            return None;
        }
        Err(error) => panic!("neither a reply nor a close: {error}"),
    }
    let mut reply = vec![0; u16::from_be_bytes(prefix).into()];
    stream.read_exact(&mut reply).unwrap();
    Some(reply)
}

/// That the server closes a connection on which bytes come one by one, 20 s of them, that never make anything whole.
pub(super) fn closes_while_dripped(stream: &mut TcpStream, byte: u8) {
    let mut writing = stream.try_clone().unwrap();
    // the writes fail once the server has closed
    let drip = thread::spawn(move || {
        (0..1000).find(|_| {
            thread::sleep(Duration::from_millis(20));
            writing.write_all(&[byte]).is_err()
        })
    });
    assert_eq!(receive(stream), None);
    assert!(drip.join().unwrap().is_some());
}

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Far longer than anything takes; a test that runs into it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
