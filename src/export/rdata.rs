//! The presentation form of records (RFC 1035, section 5.1; RFC 3596, 2782, 8659), and of any type (RFC 3597).
//!
//! Invariant: whatever the bytes are, what is written reads as one record with just these bytes. A name is absolute.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::dnsxl::name::{MAX_LABEL, fmt_wire};

/// Writes the type and the data of a record.
pub(super) fn write_record(rtype: u16, rdata: &[u8], out: &mut impl Write) -> fmt::Result {
    let mut text = String::new();
    match TYPES.iter().find(|known| known.0 == rtype) {
        Some((_, name, fields)) if write_fields(fields, rdata, &mut text).is_some() => write!(out, "{name}\t{text}"),
        _ => write_unknown(rtype, rdata, out),
    }
}

/// RFC 3597, section 5.
fn write_unknown(rtype: u16, rdata: &[u8], out: &mut impl Write) -> fmt::Result {
    write!(out, "TYPE{rtype}\t\\# {}", rdata.len())?;
    if !rdata.is_empty() {
        out.write_char(' ')?;
    }
    rdata.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// A field of the data of a record.
enum Field {
    Byte,
    Short,
    Long,
    Address4,
    Address6,
    Name,
    /// A length byte and letters or digits.
    Tag,
    /// One or more character-strings, to the end.
    Strings,
    /// All that is left, as one string.
    Rest,
}

/// Nothing if the data is not of these fields.
fn write_fields(fields: &[Field], rdata: &[u8], out: &mut String) -> Option<()> {
    let mut rest = rdata;
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        match field {
            Field::Byte => write!(out, "{}", take::<1>(&mut rest)?[0]).ok()?,
            Field::Short => write!(out, "{}", u16::from_be_bytes(take(&mut rest)?)).ok()?,
            Field::Long => write!(out, "{}", u32::from_be_bytes(take(&mut rest)?)).ok()?,
            Field::Address4 => write!(out, "{}", Ipv4Addr::from(take::<4>(&mut rest)?)).ok()?,
            Field::Address6 => write!(out, "{}", Ipv6Addr::from(take::<16>(&mut rest)?)).ok()?,
            Field::Name => write_absolute(take_name(&mut rest)?, out).ok()?,
            Field::Tag => {
                let tag = take_string(&mut rest)?;
                if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
                    return None;
                }
                out.extend(tag.iter().map(|&byte| byte as char));
            }
            Field::Strings => {
                write_quoted(take_string(&mut rest)?, out).ok()?;
                while !rest.is_empty() {
                    out.push(' ');
                    write_quoted(take_string(&mut rest)?, out).ok()?;
                }
            }
            Field::Rest => write_quoted(std::mem::take(&mut rest), out).ok()?,
        }
    }
    rest.is_empty().then_some(())
}

/// Writes a name in wire form, without the root byte, so that no origin is put behind it.
pub(super) fn write_absolute(wire: &[u8], out: &mut impl Write) -> fmt::Result {
    fmt_wire(wire, out)?;
    if wire.is_empty() { Ok(()) } else { out.write_char('.') }
}

/// Writes a character-string.
fn write_quoted(text: &[u8], out: &mut impl Write) -> fmt::Result {
    out.write_char('"')?;
    for &byte in text {
        match byte {
            b'"' | b'\\' => write!(out, "\\{}", byte as char)?,
            b' '..=b'~' => out.write_char(byte as char)?,
            _ => write!(out, "\\{byte:03}")?,
        }
    }
    out.write_char('"')
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, after) = rest.split_first()?;
    let (text, after) = after.split_at_checked(usize::from(length))?;
    *rest = after;
    Some(text)
}

/// A name up to its root byte, which is not in it.
fn take_name<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (all, mut at) = (*rest, 0);
    loop {
        match usize::from(*all.get(at)?) {
            0 => break,
            length if length <= MAX_LABEL => at += 1 + length,
            _ => return None,
        }
    }
    *rest = &all[at + 1..];
    Some(&all[..at])
}

type Known = (u16, &'static str, &'static [Field]);

/// The types with a form of their own here; every other one is written as RFC 3597 has it.
const TYPES: [Known; 10] = [
    (1, "A", &[Field::Address4]),
    (2, "NS", &[Field::Name]),
    (5, "CNAME", &[Field::Name]),
    (6, "SOA", &[Field::Name, Field::Name, Field::Long, Field::Long, Field::Long, Field::Long, Field::Long]),
    (12, "PTR", &[Field::Name]),
    (15, "MX", &[Field::Short, Field::Name]),
    (16, "TXT", &[Field::Strings]),
    (28, "AAAA", &[Field::Address6]),
    (33, "SRV", &[Field::Short, Field::Short, Field::Short, Field::Name]),
    (257, "CAA", &[Field::Byte, Field::Tag, Field::Rest]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rtype: u16, rdata: &[u8]) -> String {
        let mut out = String::new();
        write_record(rtype, rdata, &mut out).unwrap();
        out
    }

    #[test]
    fn every_type_has_its_form() {
        assert_eq!(shown(1, &[127, 0, 0, 2]), "A\t127.0.0.2");
        assert_eq!(shown(28, &[0; 16]), "AAAA\t::");
        assert_eq!(shown(15, b"\x00\x0a\x02mX\x00"), "MX\t10 mX.");
        assert_eq!(shown(2, b"\x00"), "NS\t.");
        assert_eq!(shown(33, b"\x00\x01\x00\x02\x00\x03\x01a\x00"), "SRV\t1 2 3 a.");
        assert_eq!(shown(257, b"\x80\x05issueca\".x"), "CAA\t128 issue \"ca\\\".x\"");
        assert_eq!(shown(16, b"\x00\x03a\"\\\x02\x7f\xff"), "TXT\t\"\" \"a\\\"\\\\\" \"\\127\\255\"");
        assert_eq!(shown(65_280, b""), "TYPE65280\t\\# 0");
        assert_eq!(shown(99, b"\x01\xab"), "TYPE99\t\\# 2 01ab");
    }

    #[test]
    fn data_that_is_not_of_its_type_is_written_byte_by_byte() {
        assert_eq!(shown(1, &[1, 2, 3]), "TYPE1\t\\# 3 010203");
        assert_eq!(shown(16, b"\x05a"), "TYPE16\t\\# 2 0561");
        assert_eq!(shown(2, b"\xc0\x0c"), "TYPE2\t\\# 2 c00c");
        assert_eq!(shown(16, b""), "TYPE16\t\\# 0");
    }
}
