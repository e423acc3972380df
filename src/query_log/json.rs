//! One query as a line of JSON.
//!
//! Invariant: a line is one JSON object of printable ASCII whatever the name holds. Keys may be added, and keep their
//! meaning.

use std::io::{self, Write};

use super::hidden::Shown;
use super::line::{class_name, name_end, question_of, rcode_name, type_name};
use crate::answer::Outcome;
use crate::server::{Exchange, Finding, TYPES};

/// Appends the line of a query that got a reply.
pub(super) fn write_json(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let Outcome::Reply { length, summary } = exchange.outcome else { return };
    let zone = summary.zone.and_then(|index| exchange.snapshot.zones().get(index));
    // writing into memory does not fail
    let _ = write!(out, "{{\"time\":{},\"client\":\"{}\"", exchange.now.0, exchange.client);
    let _ = write!(out, ",\"transport\":\"{}\",\"zone\":", exchange.carrier.label());
    let _ = match zone {
        Some(zone) => quoted(out, |out| write!(out, "{}", zone.apex)),
        None => out.write_all(b"null"),
    };
    write_question(exchange, out);
    let _ = match rcode_name(summary.rcode) {
        Some(name) => write!(out, ",\"rcode\":\"{name}\""),
        None => write!(out, ",\"rcode\":\"rcode{}\"", summary.rcode),
    };
    let result = Finding::of(exchange.outcome).label();
    let _ = writeln!(out, ",\"result\":\"{result}\",\"answers\":{},\"bytes\":{length}}}", summary.answers);
}

/// Appends name, type and class, each null where it is not there.
fn write_question(exchange: &Exchange<'_>, out: &mut Vec<u8>) {
    let question = question_of(exchange);
    let end = name_end(question);
    out.extend_from_slice(b",\"name\":");
    let _ = match end {
        Some(end) => {
            quoted(out, |out| write!(out, "{}", Shown { snapshot: exchange.snapshot, wire: &question[..end] }))
        }
        None => out.write_all(b"null"),
    };
    let numbers = end.and_then(|end| question[end..].first_chunk());
    out.extend_from_slice(b",\"type\":");
    let Some(&[t1, t2, c1, c2]) = numbers else { return out.extend_from_slice(b"null,\"class\":null") };
    let qtype = u16::from_be_bytes([t1, t2]);
    let counted = TYPES.iter().find(|&&(number, _)| number == qtype).map(|(_, name)| *name);
    let name = counted.or_else(|| type_name(qtype)).filter(|_| !OF_RBLDNSD.contains(&qtype));
    // RFC 3597, section 5
    let _ = match name {
        Some(name) => write!(out, "\"{name}\""),
        None => write!(out, "\"TYPE{qtype}\""),
    };
    let class = u16::from_be_bytes([c1, c2]);
    let _ = match class_name(class) {
        Some(name) => write!(out, ",\"class\":\"{name}\""),
        None => write!(out, ",\"class\":\"CLASS{class}\""),
    };
}

/// Appends a JSON string of what is written.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Escaping<'_>) -> io::Result<()>) -> io::Result<()> {
    out.push(b'"');
    write(&mut Escaping(out))?;
    out.push(b'"');
    Ok(())
}

/// Takes printable ASCII into a JSON string.
struct Escaping<'o>(&'o mut Vec<u8>);

impl Write for Escaping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The types that nobody else calls as rbldnsd does: 0, NSAP-PTR and URI.
const OF_RBLDNSD: [u16; 3] = [0, 23, 256];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::answer::HEADER_LENGTH;
    use crate::query_log::line::tests::exchange;

    fn shown(query: &[u8], rcode: u16) -> Value {
        let mut out = Vec::new();
        write_json(&exchange(query, rcode), &mut out);
        assert!(out.iter().all(|&byte| matches!(byte, b' '..=b'~' | b'\n')), "{}", out.escape_ascii());
        assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_line_is_an_object() {
        let query = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x01a\x02bl\x02Ex\0\0\x41\0\x01";
        let expected = json!({
            "time": 1_795_449_895, "client": "192.0.2.1", "transport": "udp", "zone": null, "name": "a.bl.Ex",
            "type": "HTTPS", "class": "IN", "rcode": "NXDOMAIN", "result": "unlisted", "answers": 1, "bytes": 94,
        });
        assert_eq!(shown(query, 3), expected);
    }

    #[test]
    fn what_has_no_name_is_a_number_as_in_a_master_file() {
        // RFC 3597, section 5
        for (question, qtype, class) in [
            (b"\x01a\0\xeb\x18\0\x4d", "TYPE60184", "CLASS77"),
            (b"\x01a\0\x01\0\0\0", "TYPE256", "CLASS0"),
            (b"\x01a\0\0\0\0\xff", "TYPE0", "ANY"),
            (b"\x01a\0\0\x21\0\x03", "SRV", "CH"),
        ] {
            let line = shown(&[&[0; HEADER_LENGTH][..], question].concat(), 0);
            assert_eq!((&line["type"], &line["class"]), (&json!(qtype), &json!(class)));
        }
    }

    #[test]
    fn no_name_leaves_its_string() {
        let name = b"\"},\"a\":\"\\\n\r\0\xff";
        let mut query = vec![0; HEADER_LENGTH];
        query.push(name.len() as u8);
        query.extend_from_slice(name);
        query.extend_from_slice(b"\0\xff\x01\0\x01");
        let line = shown(&query, 0);
        assert_eq!(line["name"], "\\\"},\\\"a\\\":\\\"\\\\\\010\\013\\000\\255", "as in a master file");
        assert_eq!(line["type"], "TYPE65281");
        assert_eq!(line.as_object().unwrap().len(), 11);
        let broken = shown(&[0; 11], 1);
        assert_eq!(
            (&broken["name"], &broken["type"], &broken["rcode"]),
            (&Value::Null, &Value::Null, &json!("FORMERR"))
        );
    }
}
