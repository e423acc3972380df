//! Messages that hickory reads and writes, through the door over TLS.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;
use crate::server::tests::{framed, receive, send};
use crate::server::tls::tests::{Client, Server};
use crate::server::{Carrier, Finding, Limits, Observer};

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
    assert_eq!(records, ["LiSt.eX. 60 IN A 127.0.0.2", "eX. 60 IN NS ns.example.", "ns.example. 60 IN A 192.0.2.1"]);
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
fn a_reply_is_padded_where_the_query_is() {
    // RFC 7830, section 4; RFC 8467, section 4.1
    let server = start(None);
    let mut client = server.connect();
    let mut lengths = Vec::new();
    for label in ["a", &"b".repeat(20), &"c".repeat(63)] {
        let name = [&[label.len() as u8][..], label.as_bytes(), &[0]].concat();
        let plain = query(&name, 0, true);
        send(&mut client, &plain);
        let bare = receive(&mut client).unwrap();
        let options = [0, 4, 0, 12, 0, 0];
        send(&mut client, &[&plain[..plain.len() - 2], &options].concat());
        let padded = receive(&mut client).unwrap();
        assert!(padded.len() > bare.len() && bare.len() < PADDING_BLOCK);
        lengths.push(padded.len());
        let [bare, mut padded] = [bare, padded].map(|reply| Message::from_vec(&reply).unwrap());
        padded.edns.as_mut().unwrap().options_mut().remove(EdnsCode::Padding);
        assert_eq!(bare, padded);
    }
    assert_eq!(lengths, [PADDING_BLOCK; 3]);
    assert_eq!([456, 463, 464, 465, 932].map(missing), [8, 1, 0, 467, 0]);
    assert_eq!(missing(65_530), 1, "no longer than a message can be");
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
    let seen = [(Outcome::Drop(DropReason::Access { zone: None }), 0), (Outcome::Reply { length, summary }, length)];
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
fn decide(_: &Snapshot, query: &Query<'_>, reply: &mut Reply) -> Result<Decision, DropReason> {
    let mut record = |section, owner, rtype, rdata: &[u8]| {
        reply.record(section, answer::Record { owner, rtype, class: query.qclass, ttl: 60, rdata });
    };
    let labels = query.name.labels();
    match labels.label(0) {
        b"denied" => return Err(DropReason::Access { zone: None }),
        b"panic" => panic!("on purpose"),
        // an address of three bytes
        b"broken" => record(Section::Answer, Owner::Qname, 1, &[127, 0, 0]),
        _ => record(Section::Answer, Owner::Qname, 1, &[127, 0, 0, 2]),
    }
    record(Section::Authority, Owner::Ancestor(labels.count() - 1), 2, b"\x02ns\x07example\0");
    record(Section::Additional, Owner::Other(b"\x02ns\x07example"), 1, &[192, 0, 2, 1]);
    Ok(Decision { authoritative: true, zone: Some(3), ..Decision::default() })
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
