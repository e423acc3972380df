//! RFC 8906, section 8: the tests for a server that answers whatever it is sent, over real UDP and TCP; and what a
//! client should never send, byte for byte.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use infamy::feed::Format;
use infamy::server::{Listen, Running, bind};
use infamy::snapshot::Published;

use crate::wire::{AA, AD, CD, DO, Message, Opt, QR, Query, RA, RD, TC, TYPE_A, TYPE_SOA, Z};
use crate::world::World;

#[test]
fn section_8_1_1_an_soa_query_is_answered() {
    let server = Server::start();
    let reply = server.ask(&Query::new("bl.example", TYPE_SOA));
    assert!(reply.has(QR | AA) && reply.rcode() == 0 && reply.opt.is_none());
    assert_eq!(reply.sections.each_ref().map(Vec::len), [1, 0, 0]);
    assert!(reply.sections[0][0].to_string().starts_with("bl.example 2100 SOA "));
}

#[test]
fn section_8_1_2_an_unknown_type_is_nodata() {
    let reply = Server::start().ask(&Query::new("bl.example", 1000));
    assert!(reply.has(QR | AA) && reply.rcode() == 0);
    assert_eq!(reply.sections.each_ref().map(Vec::len), [0, 1, 0]);
}

#[test]
fn section_8_1_3_flags_that_are_set_change_nothing() {
    let server = Server::start();
    let plain = server.ask(&Query::new("bl.example", TYPE_SOA));
    for flag in [CD, AD, Z, RA, TC, AA] {
        let reply = server.ask(&Query { flags: flag, ..Query::new("bl.example", TYPE_SOA) });
        assert_eq!(reply, plain, "flag {flag:04x}");
    }
    let reply = server.ask(&Query { flags: RD, ..Query::new("bl.example", TYPE_SOA) });
    assert_eq!(reply, Message { flags: plain.flags | RD, ..plain }, "RD is copied, and nothing is recursed for");
}

#[test]
fn section_8_1_4_an_unknown_opcode_is_notimp_and_comes_back() {
    let server = Server::start();
    for opcode in 1..=15 {
        let header = [0x12, 0x34, opcode << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let whole = Query { flags: u16::from(opcode) << 11 | RD, ..Query::new("bl.example", TYPE_SOA) };
        for (bytes, question) in [(header.to_vec(), Vec::new()), (whole.bytes(), whole.question())] {
            let reply = server.ask_bytes(&bytes);
            assert_eq!((reply.id, reply.opcode(), reply.rcode()), (0x1234, u16::from(opcode), 4));
            assert_eq!(reply.question, question);
            assert!(!reply.has(AA) && reply.sections.iter().all(Vec::is_empty));
        }
    }
}

#[test]
fn section_8_1_5_tcp_answers_as_udp_does() {
    let server = Server::start();
    let queries = [("bl.example", TYPE_SOA), ("1.2.0.192.bl.example", TYPE_A), ("9.2.0.192.bl.example", TYPE_A)];
    for (name, qtype) in queries {
        let query = Query::new(name, qtype).bytes();
        assert_eq!(server.udp(&query).unwrap(), server.tcp(&query).unwrap());
    }
}

#[test]
fn section_8_2_1_edns_is_answered_with_edns() {
    let reply = Server::start().ask(&with_edns(Opt::of_size(4096)));
    assert!(reply.rcode() == 0 && reply.has(AA) && reply.sections[0].len() == 1);
    assert_eq!(reply.opt, Some(Opt::of_size(1232)));
}

#[test]
fn section_8_2_2_an_unknown_version_is_badvers() {
    let reply = Server::start().ask(&with_edns(Opt { version: 1, ..Opt::of_size(4096) }));
    is_badvers(&reply, 0);
}

#[test]
fn section_8_2_3_an_unknown_option_is_ignored_and_not_sent_back() {
    let options = vec![0, 100, 0, 3, 1, 2, 3];
    let reply = Server::start().ask(&with_edns(Opt { options, ..Opt::of_size(4096) }));
    assert!(reply.rcode() == 0 && reply.sections[0].len() == 1);
    assert_eq!(reply.opt, Some(Opt::of_size(1232)));
}

#[test]
fn section_8_2_4_an_unknown_flag_is_ignored_and_not_sent_back() {
    let reply = Server::start().ask(&with_edns(Opt { flags: 0x40, ..Opt::of_size(4096) }));
    assert!(reply.rcode() == 0 && reply.sections[0].len() == 1);
    assert_eq!(reply.opt, Some(Opt::of_size(1232)));
}

#[test]
fn section_8_2_5_an_unknown_version_with_an_unknown_flag_is_badvers() {
    let reply = Server::start().ask(&with_edns(Opt { version: 1, flags: 0x40, ..Opt::of_size(4096) }));
    is_badvers(&reply, 0);
}

#[test]
fn section_8_2_6_an_unknown_version_with_an_unknown_option_is_badvers() {
    let opt = Opt { version: 1, options: vec![0, 100, 0, 0], ..Opt::of_size(4096) };
    is_badvers(&Server::start().ask(&with_edns(opt)), 0);
}

#[test]
fn section_8_2_7_a_reply_that_does_not_fit_is_truncated_and_has_its_opt() {
    let server = Server::start();
    let query = Query { edns: Some(Opt { flags: DO, ..Opt::of_size(512) }), ..Query::new("2.2.0.192.bl.example", 16) };
    let bytes = server.udp(&query.bytes()).unwrap();
    let reply = Message::read(&bytes).unwrap();
    assert!(bytes.len() <= 512 && reply.has(TC | AA));
    assert_eq!(reply.opt, Some(Opt { flags: DO, ..Opt::of_size(1232) }));
    let whole = Message::read(&server.tcp(&query.bytes()).unwrap()).unwrap();
    assert!(!whole.has(TC));
    assert_eq!(whole.sections[0].len(), 3);
    assert_eq!(whole.opt, reply.opt);
}

#[test]
fn section_8_2_8_the_do_flag_comes_back() {
    let reply = Server::start().ask(&with_edns(Opt { flags: DO, ..Opt::of_size(4096) }));
    assert!(reply.rcode() == 0 && reply.sections[0].len() == 1);
    assert_eq!(reply.opt, Some(Opt { flags: DO, ..Opt::of_size(1232) }));
}

#[test]
fn section_8_2_9_an_unknown_version_with_the_do_flag_is_badvers() {
    let reply = Server::start().ask(&with_edns(Opt { version: 1, flags: DO, ..Opt::of_size(4096) }));
    is_badvers(&reply, DO);
}

#[test]
fn section_8_2_10_several_known_options_are_no_trouble() {
    // NSID, COOKIE, EXPIRE, client subnet
    let options = [
        &[0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8][..],
        &[0, 9, 0, 0, 0, 8, 0, 8, 0, 1, 32, 0, 198, 51, 100, 7],
    ];
    let reply = Server::start().ask(&with_edns(Opt { options: options.concat(), ..Opt::of_size(4096) }));
    assert!(reply.rcode() == 0 && reply.sections[0].len() == 1);
    assert_eq!(reply.opt, Some(Opt::of_size(1232)));
}

#[test]
fn what_edns_forbids_is_formerr() {
    let server = Server::start();
    let query = Query::new("bl.example", TYPE_SOA);
    let plain = query.bytes();
    let opt = Opt::of_size(1232).bytes();
    let with = |additionals: u8, records: &[u8]| {
        let mut bytes = [&plain[..], records].concat();
        bytes[11] = additionals;
        bytes
    };
    let long_option = Opt { options: vec![0, 10, 0, 9, 1, 2], ..Opt::of_size(1232) }.bytes();
    let half_option = Opt { options: vec![0, 10, 0], ..Opt::of_size(1232) }.bytes();
    for (why, bytes) in [
        ("two OPT records", with(2, &[&opt[..], &opt].concat())),
        ("an option longer than its record", with(1, &long_option)),
        ("half an option header", with(1, &half_option)),
        ("an OPT record that is not at the root", with(1, &[&b"\x01a"[..], &opt].concat())),
        ("an OPT record at the QNAME", with(1, &[&[0xc0, 12][..], &opt[1..]].concat())),
        ("an OPT record that is cut short", with(1, &opt[..9])),
        ("more records than there are", with(3, &opt)),
    ] {
        let reply = server.ask_bytes(&bytes);
        assert_eq!((reply.id, reply.rcode(), &reply.question), (0x1234, 1, &query.question()), "{why}");
        assert!(reply.sections.iter().all(Vec::is_empty), "{why}");
    }
}

/// RFC 6891, section 6.1.1: without it the server would seem not to know EDNS.
#[test]
fn formerr_to_a_query_with_edns_has_edns() {
    let server = Server::start();
    let query = Query { edns: Some(Opt::of_size(1232)), ..Query::new("bl.example", TYPE_SOA) };
    let mut without_question = query.bytes();
    without_question[5] = 0;
    without_question.drain(12..12 + query.question().len());
    let reply = server.ask_bytes(&without_question);
    assert_eq!((reply.rcode(), reply.opt), (1, Some(Opt::of_size(1232))));
}

#[test]
fn a_count_of_questions_other_than_one_is_formerr() {
    let server = Server::start();
    let query = Query::new("bl.example", TYPE_SOA);
    for count in [0, 2, 3, 255, 65_535_u16] {
        let mut bytes = query.bytes();
        bytes[4..6].copy_from_slice(&count.to_be_bytes());
        let reply = server.ask_bytes(&bytes);
        assert_eq!((reply.id, reply.rcode(), reply.question.len()), (0x1234, 1, 0), "{count}");
        bytes.truncate(12);
        assert_eq!(server.ask_bytes(&bytes).rcode(), 1, "{count} in a header alone");
    }
}

#[test]
fn a_question_that_cannot_be_read_is_formerr() {
    let server = Server::start();
    let too_long: Vec<u8> = [&[63; 64][..], &[63; 64], &[63; 64], &[63; 64], &[0]].concat();
    let longest: Vec<u8> = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62], &[0]].concat();
    for (why, name, rcode) in [
        ("a name over 255 bytes", &too_long[..], 1),
        ("a label over 63 bytes", &[64; 66], 1),
        ("a pointer to itself", &[0xc0, 12], 1),
        ("a pointer to the header", &[0xc0, 0], 1),
        ("a pointer behind a label", &[1, b'a', 0xc0, 12], 1),
        ("a reserved kind of label", &[0x80, 0], 1),
        ("a name that does not end", &[5, b'a'], 1),
        ("no question at all", &[], 1),
        ("the longest name there can be", &longest, 5),
    ] {
        let fixed: &[u8] = if name.is_empty() || why.contains("not end") { &[] } else { &[0, 1, 0, 1] };
        let bytes = [&[0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, fixed].concat();
        let reply = server.ask_bytes(&bytes);
        assert_eq!((reply.id, reply.rcode()), (0x1234, rcode), "{why}");
        assert_eq!(reply.question.is_empty(), rcode == 1, "{why}");
    }
    let cut = Query::new("bl.example", TYPE_SOA).bytes();
    for length in 12..cut.len() {
        assert_eq!(server.ask_bytes(&cut[..length]).rcode(), 1, "cut to {length} bytes");
    }
}

#[test]
fn responses_and_scraps_get_no_reply() {
    let server = Server::start();
    let query = Query::new("bl.example", TYPE_SOA);
    let mut response = query.bytes();
    response[2] |= 0x80;
    let mut malformed_response = response.clone();
    malformed_response.truncate(14);
    let query = query.bytes();
    for silent in [&response[..], &malformed_response, &query[..11], &query[..1], &[]] {
        assert_eq!(server.udp(silent), None, "{silent:02x?}");
        assert_eq!(server.tcp(silent), None, "{silent:02x?}");
    }
    assert!(server.udp(&query).is_some(), "the server is still there");
}

#[test]
fn bytes_behind_the_message_are_ignored() {
    let server = Server::start();
    let query = Query::new("1.2.0.192.bl.example", TYPE_A).bytes();
    let reply = server.ask_bytes(&[&query[..], b"behind it"].concat());
    assert_eq!((reply.rcode(), reply.sections[0].len()), (0, 1));
}

#[test]
fn records_in_a_query_do_not_change_its_answer() {
    let server = Server::start();
    // an SOA in the authority section, as IXFR has it, and an address in the answer section
    let record = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01";
    let plain = Query::new("1.2.0.192.bl.example", TYPE_A).bytes();
    for count_at in [7, 9, 11] {
        let mut bytes = [&plain[..], record].concat();
        bytes[count_at] = 1;
        let reply = server.ask_bytes(&bytes);
        assert_eq!((reply.rcode(), reply.sections[0].len()), (0, 1), "section at {count_at}");
    }
}

#[test]
fn transfers_are_refused_and_notify_and_update_are_notimp() {
    let server = Server::start();
    for qtype in [251, 252] {
        let query = Query::new("bl.example", qtype);
        let reply = server.ask(&query);
        assert_eq!((reply.rcode(), reply.question), (5, query.question()));
    }
    for opcode in [4, 5] {
        let query = Query { flags: opcode << 11 | AA, ..Query::new("bl.example", TYPE_SOA) };
        let reply = server.ask(&query);
        assert_eq!((reply.rcode(), reply.opcode(), reply.question), (4, opcode, query.question()));
    }
}

#[test]
fn a_class_that_is_not_served_is_refused() {
    let server = Server::start();
    for qclass in [0, 2, 3, 4, 254, 1000, 65_535] {
        let query = Query { qclass, ..Query::new("bl.example", TYPE_SOA) };
        let reply = server.ask(&query);
        assert_eq!((reply.rcode(), &reply.question), (5, &query.question()), "class {qclass}");
        assert!(!reply.has(AA) && reply.sections.iter().all(Vec::is_empty), "class {qclass}");
    }
    // who asks for the server's name or version is answered too, in the negative here
    for name in ["version.bind", "version.server", "id.server", "hostname.bind"] {
        assert_eq!(server.ask(&Query { qclass: 3, ..Query::new(name, 16) }).rcode(), 5, "{name}");
    }
}

#[test]
fn a_zone_that_is_not_served_is_refused_and_not_passed_over() {
    let server = Server::start();
    for name in ["example", "other.example", "notbl.example", ".", "bl.example.org", "localhost"] {
        for edns in [None, Some(Opt::of_size(1232))] {
            let query = Query { edns, flags: RD, ..Query::new(name, TYPE_A) };
            let reply = server.ask(&query);
            assert_eq!((reply.rcode(), &reply.question), (5, &query.question()), "{name}");
            assert!(reply.flags & (AA | RA) == 0 && reply.has(QR | RD));
            assert_eq!(reply.opt.is_some(), query.edns.is_some());
        }
    }
}

#[test]
fn any_is_one_rrset() {
    // RFC 8482, section 4.1
    let server = Server::start();
    for (name, rtype) in [("1.2.0.192.bl.example", TYPE_A), ("bl.example", TYPE_SOA)] {
        let reply = server.ask(&Query::new(name, 255));
        assert!(reply.rcode() == 0 && reply.has(AA), "{name}");
        assert_eq!(reply.sections[0].iter().map(|record| record.rtype).collect::<Vec<_>>(), [rtype], "{name}");
    }
    assert_eq!(server.ask(&Query::new("9.2.0.192.bl.example", 255)).rcode(), 3);
}

#[test]
fn every_type_is_answered() {
    let server = Server::start();
    for qtype in (0..300).chain([1000, 32_768, 32_769, 65_280, 65_535]) {
        let reply = server.ask(&Query { edns: Some(Opt::of_size(1232)), ..Query::new("1.2.0.192.bl.example", qtype) });
        // an OPT record is no type to ask for, and a transfer no question
        let expected: &[u16] = if matches!(qtype, 251 | 252) { &[5] } else { &[0, 1] };
        assert!(expected.contains(&reply.rcode()), "type {qtype}: {}", reply.rcode());
        let is_answered = matches!(qtype, 1 | 255);
        assert_eq!(!reply.sections[0].is_empty(), is_answered, "type {qtype}");
    }
}

fn with_edns(opt: Opt) -> Query {
    Query { edns: Some(opt), ..Query::new("bl.example", TYPE_SOA) }
}

fn is_badvers(reply: &Message, flags: u16) {
    assert_eq!(reply.rcode(), 16);
    assert!(!reply.has(AA) && reply.sections.iter().all(Vec::is_empty));
    assert_eq!(reply.opt, Some(Opt { extended_rcode: 1, flags, ..Opt::of_size(1232) }));
}

/// A server on a port of its own, with a zone `bl.example`.
pub(crate) struct Server {
    running: Running,
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut world = World::new();
        let texts: String =
            ('a'..='c').map(|letter| format!("192.0.2.2 :2:{}\n", letter.to_string().repeat(200))).collect();
        let list = world.dataset("list", Format::Ip4Set, &format!("192.0.2.1\n{texts}"));
        // the same in every server, whenever its list was written
        world.zone("bl.example", &[(list, ".")]).spec.least_serial = u32::MAX;
        let (problems, snapshot) = world.load();
        assert!(problems.is_empty());
        let listen = Listen { plain: vec![(Ipv4Addr::LOCALHOST, 0).into()], ..Listen::default() };
        let running = bind(&listen).unwrap().run(Arc::new(Published::new(snapshot)), None).unwrap();
        Self { running }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses()[0]
    }

    pub(crate) fn ask(&self, query: &Query) -> Message {
        self.ask_bytes(&query.bytes())
    }

    /// Asks over both transports, which have to agree.
    pub(crate) fn ask_bytes(&self, bytes: &[u8]) -> Message {
        let read = |reply: Option<Vec<u8>>| Message::read(&reply.expect("a reply")).unwrap();
        let over_udp = read(self.udp(bytes));
        assert_eq!(read(self.tcp(bytes)), over_udp);
        over_udp
    }

    /// The reply over UDP; none if the next query is answered before.
    pub(crate) fn udp(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.address()).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.send(bytes).unwrap();
        // one socket's queries are answered in order, so that silence need not be waited for
        socket.send(&sentinel()).unwrap();
        let mut reply = vec![0; 65_535];
        let length = socket.recv(&mut reply).expect("a reply to either");
        reply.truncate(length);
        (!reply.starts_with(SENTINEL)).then_some(reply)
    }

    /// The reply over TCP; none if the server ends the connection.
    pub(crate) fn tcp(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&[&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()).unwrap();
        let mut prefix = [0; 2];
        stream.read_exact(&mut prefix).ok()?;
        let mut reply = vec![0; u16::from_be_bytes(prefix).into()];
        stream.read_exact(&mut reply).unwrap();
        Some(reply)
    }
}

fn sentinel() -> Vec<u8> {
    Query { id: u16::from_be_bytes(*SENTINEL), ..Query::new("bl.example", TYPE_SOA) }.bytes()
}

/// The id of the query behind each query.
const SENTINEL: &[u8; 2] = b"\xfe\xdc";
const DEADLINE: Duration = Duration::from_secs(20);
