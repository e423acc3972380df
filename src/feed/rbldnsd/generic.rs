//! `generic`: resource records, one a line, `name [ttl] [IN] TYPE value`.
//!
//! Besides rbldnsd's A, TXT and MX it reads AAAA, CNAME, NS, SRV (RFC 2782) and CAA (RFC 8659). Names in the data are
//! absolute. A TXT value is one string as written, outer quotes aside, as rbldnsd has it: no escape is read in it. Only
//! several quoted strings behind each other (RFC 1035, section 5.1), which rbldnsd would answer with the inner quotes,
//! are several strings, and in them escapes are read. Invariant: the data given on is whole and in wire form.

use std::net::Ipv6Addr;

use super::super::error::{Excerpt, LineError};
use super::super::name::NameBuffer;
use super::super::text::{is_blank, number, split_word, trim_start, words};
use super::super::{Entry, Sink};
use super::Parser;
use super::special::parse_time;
use super::value::{MAX_TEXT, parse_short4};

impl Parser {
    pub(super) fn parse_record(
        &mut self,
        line_number: u64,
        line: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LineError> {
        let (owner, rest) = split_word(line);
        if owner == b"@" {
            self.name.parse_rbldnsd(b"")?;
        } else {
            self.name.parse_rbldnsd(owner)?;
            if self.name.as_wire().is_empty() {
                return Err(LineError::EmptyName);
            }
        }
        let (ttl, rest) = match split_word(rest) {
            // a TTL of 0 means the dataset's
            (time @ [b'0'..=b'9', ..], rest) => {
                (Some(parse_time(time).ok_or(LineError::RecordSyntax)?).filter(|&ttl| ttl > 0), rest)
            }
            _ => (None, rest),
        };
        let rest = match split_word(rest) {
            (class, rest) if class.eq_ignore_ascii_case(b"IN") => rest,
            _ => rest,
        };
        let (kind, value) = split_word(rest);
        if kind.is_empty() {
            return Err(LineError::RecordSyntax);
        }
        self.rdata.clear();
        let rtype = read_type(kind).ok_or_else(|| LineError::RecordType { found: Excerpt::new(kind) })?;
        let cut = write_rdata(rtype, value, &mut self.rdata)?;
        if cut {
            sink.problem(line_number, LineError::TextTooLong { limit: MAX_TEXT });
        }
        sink.entry(line_number, Entry::Record { owner: self.name.as_wire(), ttl, rtype, rdata: &self.rdata });
        Ok(())
    }
}

fn read_type(word: &[u8]) -> Option<u16> {
    TYPES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|&(_, number)| number)
}

/// Writes the data of a record; whether a text was cut.
fn write_rdata(rtype: u16, value: &[u8], rdata: &mut Vec<u8>) -> Result<bool, LineError> {
    match rtype {
        TXT if value.is_empty() => return Err(wrong("TXT text")),
        TXT => return Ok(write_txt(value, rdata)),
        A => rdata.extend(parse_a(value).ok_or_else(|| wrong("A address"))?.to_be_bytes()),
        AAAA => {
            let address: Option<Ipv6Addr> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            rdata.extend(address.ok_or_else(|| wrong("AAAA address"))?.octets());
        }
        CNAME | NS => write_fields(0, value, "name", rdata)?,
        MX => write_fields(1, value, "MX preference name", rdata)?,
        SRV => write_fields(3, value, "SRV priority weight port name", rdata)?,
        _ => write_caa(value, rdata)?,
    }
    Ok(false)
}

/// Numbers of two bytes, then a name, and nothing behind it.
fn write_fields(numbers: usize, value: &[u8], form: &'static str, rdata: &mut Vec<u8>) -> Result<(), LineError> {
    let mut words = words(value);
    for _ in 0..numbers {
        let field = words.next().and_then(number).and_then(|field| u16::try_from(field).ok());
        rdata.extend(field.ok_or_else(|| wrong(form))?.to_be_bytes());
    }
    let name = words.next().ok_or_else(|| wrong(form))?;
    NameBuffer::parse_absolute(name)?.write_wire(rdata);
    if words.next().is_some() { Err(wrong(form)) } else { Ok(()) }
}

/// rbldnsd takes short forms, and ignores what stands behind the address.
fn parse_a(value: &[u8]) -> Option<u32> {
    parse_short4(value).map(|((address, _), _)| address)
}

fn write_caa(value: &[u8], rdata: &mut Vec<u8>) -> Result<(), LineError> {
    let form = || wrong("CAA flags tag \"value\"");
    let (flags, rest) = split_word(value);
    let (tag, value) = split_word(rest);
    let flags = number(flags).and_then(|flags| u8::try_from(flags).ok()).ok_or_else(form)?;
    if tag.is_empty() || tag.len() > MAX_TEXT || !tag.iter().all(u8::is_ascii_alphanumeric) {
        return Err(form());
    }
    rdata.push(flags);
    rdata.push(tag.len() as u8);
    rdata.extend(tag.to_ascii_lowercase());
    match value {
        [b'"', ..] => match read_quoted(value, rdata) {
            Some([]) => {}
            _ => return Err(form()),
        },
        [] => return Err(form()),
        _ if value.iter().any(|&byte| is_blank(byte)) => return Err(form()),
        _ => rdata.extend(value),
    }
    Ok(())
}

fn write_txt(value: &[u8], rdata: &mut Vec<u8>) -> bool {
    if let Some(cut) = write_strings(value, rdata) {
        return cut;
    }
    rdata.clear();
    let text = match value {
        [b'"', text @ .., b'"'] => text,
        _ => value,
    };
    write_string(text, rdata)
}

/// Two or more quoted strings and nothing else; whether one was cut.
fn write_strings(value: &[u8], rdata: &mut Vec<u8>) -> Option<bool> {
    let mut rest = value;
    let mut count = 0;
    let mut cut = false;
    let mut string = Vec::new();
    while !rest.is_empty() {
        string.clear();
        let after = read_quoted(rest, &mut string)?;
        cut |= write_string(&string, rdata);
        count += 1;
        rest = trim_start(after);
        // a string that begins where another ends is no second one
        if rest.len() == after.len() && !rest.is_empty() {
            return None;
        }
    }
    (count > 1).then_some(cut)
}

/// A character-string with its length; whether it was cut.
fn write_string(text: &[u8], rdata: &mut Vec<u8>) -> bool {
    let kept = &text[..text.len().min(MAX_TEXT)];
    rdata.push(kept.len() as u8);
    rdata.extend_from_slice(kept);
    kept.len() < text.len()
}

/// Appends the quoted string in front of `text`, escapes read; what follows its closing quote.
fn read_quoted<'a>(text: &'a [u8], string: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
                string.push(u8::try_from(value).ok()?);
                after
            }
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                string.push(*byte);
                after
            }
            [] => return None,
        };
    }
}

fn wrong(form: &'static str) -> LineError {
    LineError::RecordData { form }
}

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const CAA: u16 = 257;
/// The record types that a line can have.
const TYPES: [(&str, u16); 8] =
    [("A", A), ("TXT", TXT), ("MX", MX), ("AAAA", AAAA), ("CNAME", CNAME), ("NS", NS), ("SRV", SRV), ("CAA", CAA)];

#[cfg(test)]
mod tests {
    use crate::feed::Format;
    use crate::feed::tests::{check, check_problems, notes};

    #[test]
    fn generic_records_become_wire_form() {
        check(
            Format::Generic,
            &[
                ("a A 192.0.2.4", "a - 1 \\xc0\\x00\\x02\\x04"),
                ("A.B  5m  in  a  192.0.2.4 x", "a.b 300 1 \\xc0\\x00\\x02\\x04"),
                ("a IN A 192.0.2.4, x", "a - 1 \\xc0\\x00\\x02\\x04"),
                ("@ 010 A 127.2", ". 10 1 \\x7f\\x00\\x00\\x02"),
                ("a 0 A 1", "a - 1 \\x00\\x00\\x00\\x01"),
                ("*.a A 0.0.0.0", "*.a - 1 \\x00\\x00\\x00\\x00"),
                ("a MX 10 MX.example.", "a - 15 \\x00\\n\\x02MX\\x07example\\x00"),
                ("a MX 10 .", "a - 15 \\x00\\n\\x00"),
                ("a TXT te xt", "a - 16 \\x05te xt"),
                ("a TXT \"te xt\"", "a - 16 \\x05te xt"),
                ("a TXT \"esc\\\"aped\"", "a - 16 \\tesc\\\\\\\"aped"),
                ("a TXT x \"q\" y", "a - 16 \\x07x \\\"q\\\" y"),
                ("a TXT \"q\" # c", "a - 16 \\x07\\\"q\\\" # c"),
                ("a TXT \"unclosed", "a - 16 \\t\\\"unclosed"),
                ("a TXT \"", "a - 16 \\x01\\\""),
                ("a TXT \"\"", "a - 16 \\x00"),
                ("a TXT $ ; c", "a - 16 \\x05$ ; c"),
                ("a TXT \"a\" \"b\\\"\\098\"", "a - 16 \\x01a\\x03b\\\"b"),
                ("a TXT \"a\"\"b\"", "a - 16 \\x04a\\\"\\\"b"),
                ("a AAAA 2001:db8::1", &format!("a - 28  \\x01\\r\\xb8{}\\x01", "\\x00".repeat(11))),
                ("a CNAME b.example", "a - 5 \\x01b\\x07example\\x00"),
                ("a NS b.example.", "a - 2 \\x01b\\x07example\\x00"),
                ("_s._tcp SRV 1 2 443 b", "_s._tcp - 33 \\x00\\x01\\x00\\x02\\x01\\xbb\\x01b\\x00"),
                ("@ CAA 128 issue \"ca.example; x\"", ". - 257 \\x80\\x05issueca.example; x"),
                ("@ CAA 0 iodef ca.example", ". - 257 \\x00\\x05iodefca.example"),
            ],
        );
        check_problems(
            Format::Generic,
            &[
                ("a", "incomplete record"),
                ("a IN", "incomplete record"),
                ("a 5m", "incomplete record"),
                ("a 5x A 192.0.2.4", "incomplete record"),
                ("a 4294967296 A 192.0.2.4", "incomplete record"),
                ("@A 192.0.2.4", "incomplete record"),
                ("a IN IN A 192.0.2.4", "record type `IN`"),
                ("a IN 5m A 192.0.2.4", "record type `5m`"),
                ("a CH A 192.0.2.4", "record type `CH`"),
                ("a SOA x", "record type `SOA`"),
                (":1:x y", "record type `y`"),
                ("a A 256", "invalid record data: write `A address`"),
                ("a A x", "invalid record data"),
                ("a TXT", "invalid record data"),
                ("a MX mx.example", "invalid record data"),
                ("a MX 65536 mx.example", "invalid record data"),
                ("a MX 10 mx.example x", "invalid record data"),
                ("a AAAA 192.0.2.4", "invalid record data"),
                ("a SRV 1 2 b", "invalid record data"),
                ("a CAA 0 issue", "invalid record data"),
                ("a CAA 256 issue x", "invalid record data"),
                (". A 192.0.2.4", "empty name"),
            ],
        );
        let long = format!("a TXT \"{}\"", "x".repeat(256));
        assert_eq!(notes(Format::Generic, long)[0], "? text over 255 bytes: the rest of it is cut off");
    }
}
