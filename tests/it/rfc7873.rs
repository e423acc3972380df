//! RFC 7873 and 9018: cookies on the wire, asked of `respond` as over UDP and as over a stream.

use std::net::IpAddr;

use infamy::answer::{Outcome, Transport, respond};
use infamy::cookie::{Secret, Secrets, Shown};
use infamy::feed::Format;
use infamy::snapshot::Snapshot;
use infamy::zone::UnixTime;

use crate::transport::{Server, ask};
use crate::wire::{AA, Message, Opt, QR, Query, TC, TYPE_A, TYPE_TXT};
use crate::world::World;

#[test]
fn rfc_9018_appendix_a1_from_packet_to_packet() {
    let reply = Asked::of(&snapshot()).cookie(CLIENT_COOKIE).get();
    assert_eq!((reply.message.rcode(), reply.shown), (0, Shown::New));
    assert!(reply.message.has(QR | AA) && reply.message.sections[0].len() == 1, "answered all the same");
    assert_eq!(reply.cookie(), Some(hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")));
}

#[test]
fn section_5_2_1_without_a_cookie_there_is_none() {
    let snapshot = snapshot();
    for opt in [None, Some(Opt::of_size(1232))] {
        let reply = Asked { edns: opt.clone(), ..Asked::of(&snapshot) }.get();
        assert_eq!((reply.message.opt, reply.shown), (opt, Shown::Nothing));
    }
}

#[test]
fn section_5_2_2_a_length_that_no_cookie_has_is_formerr() {
    let snapshot = snapshot();
    for length in 0..=64 {
        let reply = Asked::of(&snapshot).cookie(&"01".repeat(length)).get();
        let is_right = length == 8 || (16..=40).contains(&length);
        assert_eq!(reply.message.rcode(), u16::from(!is_right), "{length} bytes");
        assert_eq!(reply.cookie().is_some(), is_right, "{length} bytes");
    }
}

#[test]
fn section_5_2_4_a_wrong_cookie_is_answered_and_replaced() {
    let snapshot = snapshot();
    for wrong in ["010000005cf79f111f8130c3eee29481", "010000005cf79f111f8130c3eee294", "0102030405060708"] {
        let reply = Asked::of(&snapshot).cookie(&format!("{CLIENT_COOKIE}{wrong}")).get();
        assert_eq!((reply.message.rcode(), reply.shown), (0, Shown::Bad), "{wrong}");
        assert_eq!(reply.message.sections[0].len(), 1);
        assert_eq!(reply.cookie(), Some(hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480")));
    }
    let good = hex_text(&Asked::of(&snapshot).cookie(CLIENT_COOKIE).get().cookie().unwrap());
    let elsewhere = Asked { client: "198.51.100.101".parse().unwrap(), ..Asked::of(&snapshot) };
    assert_eq!(elsewhere.cookie(&good).get().shown, Shown::Bad, "of another address");
}

#[test]
fn section_5_2_5_a_good_cookie_comes_back_until_it_is_half_an_hour_old() {
    let snapshot = snapshot();
    let good = hex_text(&Asked::of(&snapshot).cookie(CLIENT_COOKIE).get().cookie().unwrap());
    for (age, shown, is_same) in [
        (0, Shown::Good, true),
        (1799, Shown::Good, true),
        (1800, Shown::Good, false),
        (3600, Shown::Good, false),
        (3601, Shown::Bad, false),
        (-300, Shown::Good, false),
        (-301, Shown::Bad, false),
    ] {
        let reply = Asked { now: NOW + age, ..Asked::of(&snapshot) }.cookie(&good).get();
        assert_eq!(reply.shown, shown, "{age} s old");
        assert_eq!(reply.cookie() == Some(hex(&good)), is_same, "{age} s old");
    }
}

#[test]
fn section_5_4_a_query_without_a_question_asks_for_a_cookie() {
    let snapshot = snapshot();
    let good = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    let bad = "2464c4abcf10c957010000005cf79f111f8130c3eee29481";
    for (sent, rcode) in [(CLIENT_COOKIE, 0), (good, 0), (bad, 23)] {
        let reply = Asked { is_without_question: true, ..Asked::of(&snapshot) }.cookie(sent).get();
        assert_eq!(reply.message.rcode(), rcode, "{sent}");
        assert_eq!(reply.cookie(), Some(hex(good)), "{sent}");
        assert!(reply.message.question.is_empty() && reply.message.sections.iter().all(Vec::is_empty));
        assert!(!reply.message.has(AA));
    }
    let malformed = Asked { is_without_question: true, ..Asked::of(&snapshot) }.cookie("01").get();
    assert_eq!(malformed.message.rcode(), 1);
    for edns in [None, Some(Opt::of_size(1232)), Some(Opt { options: vec![0, 100, 0, 0], ..Opt::of_size(1232) })] {
        let opt = edns.is_some().then(|| Opt::of_size(1232));
        let reply = Asked { is_without_question: true, edns, ..Asked::of(&snapshot) }.get();
        assert_eq!((reply.message.rcode(), reply.message.opt), (1, opt), "RFC 9619: nothing is asked for at all");
    }
}

#[test]
fn the_first_of_several_cookies_is_the_cookie() {
    let snapshot = snapshot();
    let mut options = option(&hex(CLIENT_COOKIE));
    options.extend(option(&[1; 41]));
    let reply = Asked { edns: Some(Opt { options, ..Opt::of_size(1232) }), ..Asked::of(&snapshot) }.get();
    assert_eq!((reply.message.rcode(), reply.shown), (0, Shown::New));
}

#[test]
fn errors_and_truncated_replies_have_their_cookie() {
    let snapshot = snapshot();
    let version = Opt { version: 1, options: option(&hex(CLIENT_COOKIE)), ..Opt::of_size(1232) };
    let reply = Asked { edns: Some(version), ..Asked::of(&snapshot) }.get();
    assert_eq!((reply.message.rcode(), reply.cookie().map(|cookie| cookie.len())), (16, Some(24)));
    let refused = Asked { name: "www.example.net", ..Asked::of(&snapshot) }.cookie(CLIENT_COOKIE).get();
    assert_eq!((refused.message.rcode(), refused.cookie().is_some()), (5, true));
    let long = Asked { name: "2.2.0.192.bl.example", qtype: TYPE_TXT, ..Asked::of(&snapshot) };
    let edns = Some(Opt { options: option(&hex(CLIENT_COOKIE)), ..Opt::of_size(512) });
    let (bytes, _) = Asked { edns, ..long }.over(Transport::Udp);
    let message = Message::read(&bytes).unwrap();
    assert!(bytes.len() <= 512 && message.has(TC));
    assert_eq!(message.opt.unwrap().options.len(), 28);
}

#[test]
fn without_a_secret_a_cookie_is_an_unknown_option() {
    let mut snapshot = snapshot();
    snapshot.secrets = Secrets::default();
    for sent in [CLIENT_COOKIE, "01", ""] {
        let reply = Asked::of(&snapshot).cookie(sent).get();
        assert_eq!((reply.message.rcode(), reply.shown), (0, Shown::Nothing));
        assert_eq!(reply.message.opt, Some(Opt::of_size(1232)));
    }
}

#[test]
fn over_tls_cookies_are_the_same() {
    let snapshot = snapshot();
    let server = Server::serving(self::snapshot());
    let mut tls = server.connect();
    let mut get = |asked: Asked<'_>| {
        let message = Message::read(&ask(&mut tls, &asked.bytes())).unwrap();
        Got { message, shown: Shown::Nothing }
    };
    let first = get(Asked::of(&snapshot).cookie(CLIENT_COOKIE));
    assert_eq!((first.message.rcode(), first.message.sections[0].len()), (0, 1));
    let given = first.cookie().unwrap();
    let again = Asked { is_without_question: true, ..Asked::of(&snapshot) }.cookie(&hex_text(&given));
    assert_eq!(get(again).cookie(), Some(given));
    assert_eq!(get(Asked::of(&snapshot).cookie("01")).message.rcode(), 1);
    assert_eq!(get(Asked::of(&snapshot)).message.opt, None);
}

/// A query for a listed name, unless it is made another one.
#[derive(Clone)]
struct Asked<'s> {
    snapshot: &'s Snapshot,
    name: &'static str,
    qtype: u16,
    edns: Option<Opt>,
    is_without_question: bool,
    client: IpAddr,
    now: i64,
}

impl<'s> Asked<'s> {
    fn of(snapshot: &'s Snapshot) -> Self {
        let client = "198.51.100.100".parse().unwrap();
        let name = "1.2.0.192.bl.example";
        Self { snapshot, name, qtype: TYPE_A, edns: None, is_without_question: false, client, now: NOW }
    }

    fn cookie(self, data: &str) -> Self {
        Self { edns: Some(Opt { options: option(&hex(data)), ..Opt::of_size(1232) }), ..self }
    }

    /// The reply, which is the same over both transports.
    fn get(&self) -> Got {
        let (bytes, shown) = self.over(Transport::Udp);
        assert_eq!(self.over(Transport::Stream), (bytes.clone(), shown));
        Got { message: Message::read(&bytes).unwrap(), shown }
    }

    fn bytes(&self) -> Vec<u8> {
        let query = Query { edns: self.edns.clone(), ..Query::new(self.name, self.qtype) };
        let mut bytes = query.bytes();
        if self.is_without_question {
            bytes[4..6].copy_from_slice(&[0, 0]);
            bytes.drain(12..12 + query.question().len());
        }
        bytes
    }

    fn over(&self, transport: Transport) -> (Vec<u8>, Shown) {
        let bytes = self.bytes();
        let mut out = vec![0; usize::from(u16::MAX)];
        match respond(self.snapshot, &bytes, self.client, transport, UnixTime(self.now), &mut out) {
            Outcome::Reply { length, summary } => (out[..length].to_vec(), summary.cookie),
            Outcome::Drop(reason) => panic!("no reply: {reason:?}"),
        }
    }
}

struct Got {
    message: Message,
    shown: Shown,
}

impl Got {
    /// The data of the COOKIE option, which stands alone.
    fn cookie(&self) -> Option<Vec<u8>> {
        let options = &self.message.opt.as_ref()?.options;
        if options.is_empty() {
            return None;
        }
        assert_eq!(options[..4], [0, 10, 0, 24]);
        assert_eq!(options.len(), 28);
        Some(options[4..].to_vec())
    }
}

fn option(data: &[u8]) -> Vec<u8> {
    [&[0, 10, 0, data.len() as u8][..], data].concat()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn snapshot() -> Snapshot {
    let mut world = World::new();
    let texts: String = ('a'..='c').map(|c| format!("192.0.2.2 :2:{}\n", c.to_string().repeat(200))).collect();
    let list = world.dataset("list", Format::Ip4Set, &format!("192.0.2.1\n{texts}"));
    world.zone("bl.example", &[(list, ".")]);
    let (problems, mut snapshot) = world.load();
    assert!(problems.is_empty());
    let secret = Secret::parse(b"e5e973e5a6b2a43f48e7dc849e37bfcf").unwrap();
    snapshot.secrets = Secrets::new([secret]);
    snapshot
}

const CLIENT_COOKIE: &str = "2464c4abcf10c957";
const NOW: i64 = 1_559_731_985;
