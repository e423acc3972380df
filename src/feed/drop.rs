//! Spamhaus DROP: `192.0.2.0/24 ; SBL1` a line, or JSON lines with the same two facts.
//!
//! Invariant: an entry's text is the number of its SBL record, in which a `$` would stand for itself. A line of JSON
//! is told by its brace, so both forms may stand in one file. ASN-DROP has the same look and no prefixes: each of its
//! lines is a problem.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::plain::{Addresses, is_comment, parse_addresses};
use super::text::{split_word, trim, trim_start};
use super::{Entry, FileError, Reading, Said, Sink, Text, Value};

/// Parses a DROP list.
pub(super) fn parse(lines: Lines<'_>, _reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let mut text = Vec::new();
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        if line[0] != b'{' {
            let (prefix, rest) = match memchr::memchr(b';', line) {
                Some(at) => (&line[..at], trim_start(&line[at + 1..])),
                None => (line, &line[..0]),
            };
            let (record, _) = split_word(rest);
            return entry(number, trim(prefix), record, &mut text, sink);
        }
        let json: JsonLine<'_> = serde_json::from_slice(line).map_err(|_| LineError::Json)?;
        match json {
            JsonLine { cidr: Some(cidr), sblid, .. } => {
                entry(number, cidr.as_bytes(), sblid.unwrap_or_default().as_bytes(), &mut text, sink)
            }
            JsonLine { asn: Some(_), .. } => Err(LineError::Asn),
            // the last line tells of the list itself
            JsonLine { kind: Some(kind), .. } if kind == "metadata" => Ok(()),
            _ => Err(LineError::Form { form: r#"{"cidr":"192.0.2.0/24","sblid":"SBL1"}"# }),
        }
    })
}

/// What is read of a line; other members are ignored.
#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow)]
    cidr: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sblid: Option<Cow<'a, str>>,
    asn: Option<serde::de::IgnoredAny>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

fn entry(number: u64, prefix: &[u8], record: &[u8], text: &mut Vec<u8>, sink: &mut impl Sink) -> Result<(), LineError> {
    text.clear();
    for &byte in record {
        if byte == b'$' {
            text.push(b'$');
        }
        text.push(byte);
    }
    let said = Said::Listed(Value { a: None, text: if text.is_empty() { Text::Unsaid } else { Text::Template(text) } });
    match parse_addresses(prefix)? {
        Some(Addresses::Ip4(first, last)) => sink.entry(number, Entry::Ip4 { first, last, said }),
        Some(Addresses::Ip6(bits, length)) => sink.entry(number, Entry::Ip6 { bits, length, said }),
        None if prefix.get(..2).is_some_and(|front| front.eq_ignore_ascii_case(b"AS")) => return Err(LineError::Asn),
        None => return Err(LineError::NoSubject { found: Excerpt::new(prefix) }),
    }
    Ok(())
}

/// Whether a file whose first bytes these are can be nothing else.
pub(super) fn is_json_line(first_bytes: &[u8]) -> bool {
    let text = first_bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first_bytes);
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or(text);
    serde_json::from_slice(line).is_ok_and(|line: JsonLine<'_>| line.cidr.is_some() && line.sblid.is_some())
}

#[cfg(test)]
mod tests {
    use crate::feed::Format;
    use crate::feed::tests::{check, check_problems, notes};

    #[test]
    fn both_forms_give_prefix_and_record() {
        check(
            Format::Drop,
            &[
                ("; Spamhaus DROP List 2026", ""),
                ("192.0.2.0/24 ; SBL256894", "192.0.2.0-192.0.2.255 \"SBL256894\""),
                ("2001:db8::/32 ; SBL2 more", "2001:db8::/32 \"SBL2\""),
                ("192.0.2.0/24;SBL$1", "192.0.2.0-192.0.2.255 \"SBL$$1\""),
                ("192.0.2.0/24", "192.0.2.0-192.0.2.255"),
                (r#"{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"apnic"}"#, "192.0.2.0-192.0.2.255 \"SBL1\""),
                (r#"{"cidr":"2001:db8::\/32","sblid":"SBL1"}"#, "2001:db8::/32 \"SBL1\""),
                (r#"{"type":"metadata","timestamp":1,"size":2,"records":3}"#, ""),
            ],
        );
    }

    #[test]
    fn what_is_no_prefix_is_a_problem() {
        check_problems(
            Format::Drop,
            &[
                (r#"{"asn":64496,"rir":"ripencc","domain":"a.example"}"#, "an ASN cannot be listed"),
                ("AS64496 ; name", "an ASN cannot be listed"),
                (r#"{"cidr":"192.0.2.0/33"}"#, "invalid address"),
                (r#"{"cidr":5}"#, "invalid JSON line"),
                (r#"{"cidr":"192.0.2.0/24""#, "invalid JSON line"),
                (r#"{"type":"other"}"#, "no line of this format"),
                ("word", "`word` is no address"),
            ],
        );
    }

    #[test]
    fn only_json_lines_are_recognised() {
        let json = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\"}\n{\"cid";
        assert_eq!(Format::recognise(json.as_bytes()), Some(Format::Drop));
        for other in ["192.0.2.0/24 ; SBL1\n", "{", "{\"ip\":\"192.0.2.1\"}\n", "", "[1]"] {
            assert_eq!(Format::recognise(other.as_bytes()), None, "{other}");
        }
        assert_eq!(notes(Format::Drop, json).len(), 2);
    }
}
