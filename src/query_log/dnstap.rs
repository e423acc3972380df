//! dnstap: each query and its reply as messages in protobuf (dnstap.proto of dnstap.info, version 1), AUTH_QUERY and AUTH_RESPONSE.
//!
//! Only what these two messages have is written, by the numbers of their fields. Both carry one time, that at which the
//! reply was ready, as the query had come microseconds before. The client's port is not told: doors do not keep it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use super::frames::{Connector, put_frame};
use super::hidden::hides_any;
use super::spool::Spool;
use super::{Sample, Tell};
use crate::answer::Outcome;
use crate::server::{Carrier, Exchange};

/// What is to be told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnstapSpec {
    /// The Unix socket of a collector.
    pub socket: PathBuf,
    /// Which server this is, for a collector that has several.
    pub identity: Option<String>,
    /// Which queries are told.
    pub sample: Sample,
}

/// Messages on their way to a collector; dropping it ends when those that are there are sent, or cannot be.
#[derive(Debug)]
pub struct Dnstap {
    spool: Spool,
    identity: Option<String>,
    pub(super) sample: Sample,
}

impl Dnstap {
    /// Starts the thread that sends. It looks for a collector until there is one, and again when it goes.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start(spec: &DnstapSpec, tell: Tell) -> io::Result<Self> {
        let spool = Spool::start("dnstap", false, Connector::new(spec.socket.clone(), CONTENT_TYPE, tell))?;
        Ok(Self { spool, identity: spec.identity.clone(), sample: spec.sample })
    }

    /// Takes note of one query. Messages go whole, so that those with a key in them are left out.
    pub fn note(&self, exchange: &Exchange<'_>) {
        if hides_any(exchange) {
            return;
        }
        let time = SystemTime::now();
        let identity = self.identity.as_deref();
        self.spool.note(|frames| put_message(exchange, &Kind::Query, identity, time, frames));
        if !exchange.reply.is_empty() {
            self.spool.note(|frames| put_message(exchange, &Kind::Response, identity, time, frames));
        }
    }

    /// Messages that were lost so far.
    pub fn lost(&self) -> u64 {
        self.spool.lost()
    }
}

/// Message.Type
enum Kind {
    Query,
    Response,
}

/// Appends a frame with a message.
fn put_message(exchange: &Exchange<'_>, kind: &Kind, identity: Option<&str>, time: SystemTime, out: &mut Vec<u8>) {
    put_frame(out, |out| {
        if let Some(identity) = identity {
            put_bytes(out, 1, identity.as_bytes());
        }
        put_bytes(out, 2, VERSION.as_bytes());
        put_nested(out, 14, |out| {
            let (family, address) = match &exchange.client {
                IpAddr::V4(address) => (1, &address.octets()[..]),
                IpAddr::V6(address) => (2, &address.octets()[..]),
            };
            let protocol = match exchange.carrier {
                Carrier::Udp => 1,
                Carrier::Tcp => 2,
                Carrier::Tls => 3,
                Carrier::Https => 4,
                Carrier::Quic => 7,
            };
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            put_number(out, 1, if matches!(kind, Kind::Query) { AUTH_QUERY } else { AUTH_RESPONSE });
            put_number(out, 2, family);
            put_number(out, 3, protocol);
            put_bytes(out, 4, address);
            put_number(out, 8, since.as_secs());
            put_fixed(out, 9, since.subsec_nanos());
            match kind {
                Kind::Query => put_bytes(out, 10, exchange.query),
                Kind::Response => {
                    put_number(out, 12, since.as_secs());
                    put_fixed(out, 13, since.subsec_nanos());
                    put_bytes(out, 14, exchange.reply);
                }
            }
            let Outcome::Reply { summary, .. } = exchange.outcome else { return };
            if let Some(zone) = summary.zone.and_then(|index| exchange.snapshot.zones().get(index)) {
                put_nested(out, 11, |out| {
                    out.extend_from_slice(zone.apex.as_wire());
                    out.push(0);
                });
            }
        });
        put_number(out, 15, MESSAGE);
    });
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3);
    put_varint(out, number);
}

fn put_fixed(out: &mut Vec<u8>, field: u64, number: u32) {
    put_varint(out, field << 3 | 5);
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends what `put` appends as a field, with its length in front.
fn put_nested(out: &mut Vec<u8>, field: u64, put: impl FnOnce(&mut Vec<u8>)) {
    put_varint(out, field << 3 | 2);
    let begin = out.len();
    put(out);
    let end = out.len();
    put_varint(out, (end - begin) as u64);
    // the length is known when all is there, and belongs in front of it
    let length = out.len() - end;
    out[begin..].rotate_right(length);
}

/// What a collector is offered.
const CONTENT_TYPE: &str = "protobuf:dnstap.Dnstap";
const VERSION: &str = concat!("infamy ", env!("CARGO_PKG_VERSION"));
/// Dnstap.Type
const MESSAGE: u64 = 1;
/// Message.Type
const AUTH_QUERY: u64 = 1;
const AUTH_RESPONSE: u64 = 2;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::query_log::line::tests::exchange;

    #[derive(Debug, PartialEq)]
    enum Field<'m> {
        Number(u64),
        Fixed(u32),
        Bytes(&'m [u8]),
    }

    /// Reads a message of protobuf, with no knowledge of its fields.
    fn read(mut rest: &[u8]) -> BTreeMap<u64, Field<'_>> {
        fn varint(rest: &mut &[u8]) -> u64 {
            let mut number = 0;
            for shift in (0..).step_by(7) {
                let (&byte, after) = rest.split_first().unwrap();
                *rest = after;
                number |= u64::from(byte & 0x7f) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            number
        }
        let mut fields = BTreeMap::new();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut rest)),
                2 => {
                    let length = varint(&mut rest) as usize;
                    let (bytes, after) = rest.split_at(length);
                    rest = after;
                    Field::Bytes(bytes)
                }
                5 => {
                    let (bytes, after) = rest.split_first_chunk().unwrap();
                    rest = after;
                    Field::Fixed(u32::from_le_bytes(*bytes))
                }
                other => panic!("wire type {other}"),
            };
            assert!(fields.insert(key >> 3, field).is_none(), "a field twice");
        }
        fields
    }

    #[test]
    fn a_message_has_the_fields_of_its_kind() {
        let query = [7; 300];
        let exchange =
            Exchange { client: "2001:db8::1".parse().unwrap(), carrier: Carrier::Tls, ..exchange(&query, 0) };
        let time = UNIX_EPOCH + Duration::new(1_795_449_895, 250);
        let mut frames = Vec::new();
        for kind in [Kind::Query, Kind::Response] {
            let begin = frames.len();
            put_message(&exchange, &kind, Some("ns1"), time, &mut frames);
            let (length, frame) = frames[begin..].split_first_chunk().unwrap();
            assert_eq!(u32::from_be_bytes(*length) as usize, frame.len());
            let outer = read(frame);
            assert_eq!((&outer[&1], &outer[&15]), (&Field::Bytes(b"ns1"), &Field::Number(1)));
            let Field::Bytes(message) = outer[&14] else { panic!("{outer:?}") };
            let message = read(message);
            let is_response = matches!(kind, Kind::Response);
            assert_eq!(message[&1], Field::Number(1 + u64::from(is_response)));
            assert_eq!((&message[&2], &message[&3]), (&Field::Number(2), &Field::Number(3)));
            let Field::Bytes(address) = message[&4] else { panic!("{message:?}") };
            assert_eq!(address.len(), 16);
            assert_eq!((&message[&8], &message[&9]), (&Field::Number(1_795_449_895), &Field::Fixed(250)));
            if is_response {
                assert_eq!(message[&14], Field::Bytes(exchange.reply));
                assert!(!message.contains_key(&10));
            } else {
                assert_eq!(message[&10], Field::Bytes(&query));
                assert!([12, 13, 14].iter().all(|field| !message.contains_key(field)));
            }
        }
    }
}
