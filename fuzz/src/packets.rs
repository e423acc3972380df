//! Messages from the network.

use std::net::IpAddr;
use std::sync::OnceLock;

use hickory_proto::op::{Message, MessageType};
use infamy::answer::{DropReason, MAX_UDP_REPLY, MIN_UDP_REPLY, Outcome, Transport, respond};
use infamy::dnsxl::QueryName;
use infamy::snapshot::Snapshot;

use crate::world::{self, NOW};

/// Has any bytes answered; the first one says over what they came.
pub fn packet(bytes: &[u8]) {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    let snapshot = SNAPSHOT.get_or_init(world::snapshot);
    let Some((&first, query)) = bytes.split_first() else { return };
    let transport = if first & 1 == 0 { Transport::Udp } else { Transport::Stream };
    ask(snapshot, query, transport);
}

/// Has a message answered, and checks what holds for every reply.
pub(crate) fn ask(snapshot: &Snapshot, query: &[u8], transport: Transport) {
    let mut out = vec![0; usize::from(u16::MAX)];
    let outcome = respond(snapshot, query, CLIENT, transport, NOW, &mut out);
    let length = match outcome {
        Outcome::Reply { length, .. } => length,
        Outcome::Drop(DropReason::Short) => return assert!(query.len() < HEADER),
        Outcome::Drop(DropReason::Response) => return assert!(query[2] & 0x80 != 0),
        Outcome::Drop(DropReason::Access { .. } | DropReason::Limited) => panic!("nobody is kept out"),
    };
    let reply = &out[..length];
    assert!(query.len() >= HEADER && query[2] & 0x80 == 0, "this should have been dropped");
    assert_eq!(reply[..2], query[..2], "the id");
    assert_eq!(reply[2] & 0xf9, query[2] & 0x79 | 0x80, "QR, opcode and RD");
    assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD and CD");
    let opt_size = reply_is_whole(reply);
    match transport {
        Transport::Udp if opt_size.is_some() => assert!(length <= MAX_UDP_REPLY),
        Transport::Udp => assert!(length <= MIN_UDP_REPLY),
        Transport::Stream => assert_eq!(reply[2] & 0x02, 0, "TC over a stream"),
    }
    let question = query.get(4..6).filter(|count| *count == [0, 1]).and_then(|_| question(query));
    match question {
        Some(question) => {
            assert_eq!(reply[4..6], [0, 1]);
            assert_eq!(&reply[HEADER..HEADER + question.len()], question, "the question");
        }
        // and perhaps a cookie
        None => assert_eq!(reply[4..10], [0; 6], "a reply to no question has no record"),
    }
    // a buffer of just the size that a UDP reply may have changes nothing
    if transport == Transport::Udp {
        let mut small = [0; MAX_UDP_REPLY];
        assert_eq!(respond(snapshot, query, CLIENT, transport, NOW, &mut small), outcome);
        assert_eq!(&small[..length], reply);
    }
}

/// The bytes of a question that can be read.
fn question(query: &[u8]) -> Option<&[u8]> {
    let rest = &query[HEADER..];
    let (_, length) = QueryName::read(rest).ok()?;
    rest.get(..length + 4)
}

/// Has hickory read the reply; the size that its OPT record names.
fn reply_is_whole(reply: &[u8]) -> Option<u16> {
    let message = Message::from_vec(reply).unwrap_or_else(|error| panic!("hickory cannot read {reply:02x?}: {error}"));
    assert_eq!(message.metadata.message_type, MessageType::Response);
    message.edns.map(|edns| edns.max_payload())
}

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const HEADER: usize = 12;
