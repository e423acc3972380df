//! One line of the query log as rbldnsd has it: `time client qname qtype qclass: rcode/answers/bytes`.
//!
//! Invariant: a line is one line of printable bytes whatever the name holds.

use std::io::{self, Write};

use super::hidden::Shown;
use crate::answer::{HEADER_LENGTH, Outcome};
use crate::server::Exchange;

/// Appends the line of a query that got a reply.
pub(super) fn write_line(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let Outcome::Reply { length, summary } = exchange.outcome else { return };
    // writing into memory does not fail
    let _ = write!(out, "{} {} ", exchange.now.0, exchange.client);
    write_question(exchange, out);
    out.extend_from_slice(b": ");
    let _ = match rcode_name(summary.rcode) {
        Some(name) => write!(out, "{name}"),
        None => write!(out, "rcode{}", summary.rcode),
    };
    let _ = writeln!(out, "/{}/{}", summary.answers, length);
}

/// Appends name, type and class as far as they are there.
fn write_question(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let question = question_of(exchange);
    let Some(end) = name_end(question) else { return out.extend_from_slice(b"? ? ?") };
    let _ = write!(out, "{}", Shown { snapshot: exchange.snapshot, wire: &question[..end] });
    let Some(&[t1, t2, c1, c2]) = question[end..].first_chunk() else { return out.extend_from_slice(b" ? ?") };
    out.push(b' ');
    let _ = write_type(u16::from_be_bytes([t1, t2]), out);
    out.push(b' ');
    let _ = write_class(u16::from_be_bytes([c1, c2]), out);
}

/// What stands behind the header of a query.
pub(super) fn question_of<'a>(exchange: &Exchange<'a>) -> &'a [u8] {
    exchange.query.get(HEADER_LENGTH..).unwrap_or_default()
}

/// Where the name that a question begins with ends; none if it is not there whole, or has a compression pointer.
pub(super) fn name_end(question: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *question.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// Writes a type as rbldnsd does.
fn write_type(qtype: u16, out: &mut impl Write) -> io::Result<()> {
    match type_name(qtype) {
        Some(name) => write!(out, "{name}"),
        None => write!(out, "type{qtype}"),
    }
}

/// The name that rbldnsd has for a type, if it has one.
pub(super) fn type_name(qtype: u16) -> Option<&'static str> {
    TYPES.iter().find(|(number, _)| *number == qtype).map(|(_, name)| *name)
}

/// Writes a class as rbldnsd does.
fn write_class(class: u16, out: &mut impl Write) -> io::Result<()> {
    match class_name(class) {
        Some(name) => write!(out, "{name}"),
        None if class == 0 => write!(out, "INVALID"),
        None => write!(out, "class{class}"),
    }
}

/// The name of a class, if it has one.
pub(super) fn class_name(class: u16) -> Option<&'static str> {
    match class {
        1 => Some("IN"),
        3 => Some("CH"),
        4 => Some("HS"),
        255 => Some("ANY"),
        _ => None,
    }
}

/// The name of an RCODE, if it has one.
pub(super) fn rcode_name(rcode: u16) -> Option<&'static str> {
    RCODES.get(usize::from(rcode)).copied()
}

/// By number.
const RCODES: [&str; 17] = [
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMPL", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
    "NOTZONE", "rcode11", "rcode12", "rcode13", "rcode14", "rcode15", "BADVERS",
];
/// The types that rbldnsd's log has names for; it writes others as numbers, and so do we.
const TYPES: [(u16, &str); 49] = [
    (0, "INVALID"),
    (1, "A"),
    (2, "NS"),
    (3, "MD"),
    (4, "MF"),
    (5, "CNAME"),
    (6, "SOA"),
    (7, "MB"),
    (8, "MG"),
    (9, "MR"),
    (10, "NULL"),
    (11, "WKS"),
    (12, "PTR"),
    (13, "HINFO"),
    (14, "MINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (19, "X25"),
    (20, "ISDN"),
    (21, "RT"),
    (22, "NSAP"),
    (23, "NSAP_PTR"),
    (24, "SIG"),
    (25, "KEY"),
    (26, "PX"),
    (27, "GPOS"),
    (28, "AAAA"),
    (29, "LOC"),
    (30, "NXT"),
    (31, "EID"),
    (32, "NIMLOC"),
    (33, "SRV"),
    (34, "ATMA"),
    (35, "NAPTR"),
    (36, "KX"),
    (37, "CERT"),
    (38, "A6"),
    (39, "DNAME"),
    (40, "SINK"),
    (41, "OPT"),
    (250, "TSIG"),
    (251, "IXFR"),
    (252, "AXFR"),
    (253, "MAILB"),
    (254, "MAILA"),
    (255, "ANY"),
    (256, "ZXFR"),
];

#[cfg(test)]
pub(super) mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::answer::Summary;
    use crate::server::Carrier;
    use crate::snapshot::Snapshot;
    use crate::zone::UnixTime;

    fn line(labels: &[&[u8]], qtype: u16, class: u16, rcode: u16) -> String {
        let mut query = vec![0; HEADER_LENGTH];
        for label in labels {
            query.push(label.len() as u8);
            query.extend_from_slice(label);
        }
        query.push(0);
        query.extend_from_slice(&qtype.to_be_bytes());
        query.extend_from_slice(&class.to_be_bytes());
        shown(&query, rcode)
    }

    fn shown(query: &[u8], rcode: u16) -> String {
        let mut out = Vec::new();
        write_line(&exchange(query, rcode), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// A query that one record of 94 bytes answered.
    pub(in crate::query_log) fn exchange(query: &[u8], rcode: u16) -> Exchange<'_> {
        static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(Snapshot::default);
        let qtype = query.last_chunk::<4>().map_or(0, |&[high, low, ..]| u16::from_be_bytes([high, low]));
        Exchange {
            client: "192.0.2.1".parse().unwrap(),
            carrier: Carrier::Udp,
            now: UnixTime(1_795_449_895),
            query,
            reply: &[0],
            outcome: Outcome::Reply { length: 94, summary: Summary { rcode, answers: 1, qtype, ..Summary::default() } },
            snapshot: &SNAPSHOT,
        }
    }

    #[test]
    fn lines_are_those_of_rbldnsd() {
        let listed = line(&[b"4", b"3", b"2", b"1", b"bl", b"Ex"], 1, 1, 0);
        assert_eq!(listed, "1795449895 192.0.2.1 4.3.2.1.bl.Ex A IN: NOERROR/1/94\n");
        assert!(
            line(&[b"wei rd\\x\x01\xff", b"a.b"], 257, 4, 3)
                .contains(" wei\\032rd\\\\x\\001\\255.a\\.b type257 HS: NXDOMAIN/")
        );
        assert!(line(&[], 255, 254, 16).contains(" . ANY class254: BADVERS/"));
        assert!(line(&[b"x"], 0, 0, 4).contains(" x INVALID INVALID: NOTIMPL/"));
    }

    #[test]
    fn a_question_that_is_not_whole_is_a_line_all_the_same() {
        assert!(shown(&[0; 12], 1).contains(" ? ? ?: FORMERR/"));
        assert!(shown(b"\0\0\0\0\0\0\0\0\0\0\0\0\x05ab", 1).contains(" ? ? ?: FORMERR/"));
        assert!(shown(b"\0\0\0\0\0\0\0\0\0\0\0\0\x01a\0\0", 1).ends_with(" a ? ?: FORMERR/1/94\n"));
    }
}
