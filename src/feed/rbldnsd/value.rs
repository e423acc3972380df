//! Values: the `:A:text` in front of entries that it holds for, and behind an entry that has its own.
//!
//! Invariant: a text is as written, `$` and a leading `=` included, and has 1 to [`MAX_TEXT`] bytes.

use std::net::Ipv4Addr;

use super::super::error::{Excerpt, LineError};
use super::super::text::trim_start;
use super::super::{Sink, Text, Value};

/// The value of entries that do not say one: of the file so far, or of the section of a combined one.
#[derive(Clone)]
pub(super) struct Defaults {
    a: Option<Ipv4Addr>,
    kind: Kind,
    /// The text if there is one, in memory that is used again for the next.
    text: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Unsaid,
    None,
    Template,
}

impl Defaults {
    pub(super) fn new() -> Self {
        Self { a: None, kind: Kind::Unsaid, text: Vec::new() }
    }

    pub(super) fn set(&mut self, value: Value<'_>) {
        self.a = value.a;
        self.text.clear();
        self.kind = match value.text {
            Text::Unsaid => Kind::Unsaid,
            Text::None => Kind::None,
            Text::Template(text) => {
                self.text.extend_from_slice(text);
                Kind::Template
            }
        };
    }

    pub(super) fn value(&self) -> Value<'_> {
        let text = match self.kind {
            Kind::Unsaid => Text::Unsaid,
            Kind::None => Text::None,
            Kind::Template => Text::Template(&self.text),
        };
        Value { a: self.a, text }
    }
}

/// A value, and whether its text was cut.
pub(super) struct Parsed<'a> {
    value: Value<'a>,
    cut: bool,
}

/// The value, after the sink was told of a text that was cut.
pub(super) fn report_cut<'a>(parsed: Parsed<'a>, number: u64, sink: &mut impl Sink) -> Value<'a> {
    if parsed.cut {
        sink.problem(number, LineError::TextTooLong { limit: MAX_TEXT });
    }
    parsed.value
}

/// Parses a default line; `line` begins with its colon.
pub(super) fn parse_default(line: &[u8]) -> Result<Parsed<'_>, LineError> {
    let (a, rest) = parse_a(line)?;
    Ok(with_text(Some(a), rest.map_or(Text::Unsaid, Text::Template)))
}

/// Parses what stands behind the key of an entry, without the blanks between them.
///
/// A comment is one only here, where nothing else follows the key; behind a value `#` is text.
pub(super) fn parse_entry<'a>(rest: &'a [u8], default: Value<'a>) -> Result<Parsed<'a>, LineError> {
    match rest {
        [] | [b'#' | b';', ..] => Ok(Parsed { value: default, cut: false }),
        [b':', ..] => {
            let (a, rest) = parse_a(rest)?;
            Ok(with_text(Some(a), rest.map_or(default.text, Text::Template)))
        }
        _ => Ok(with_text(default.a, Text::Template(rest))),
    }
}

fn with_text(a: Option<Ipv4Addr>, text: Text<'_>) -> Parsed<'_> {
    let (text, cut) = match text {
        Text::Template([]) => (Text::None, false),
        Text::Template(text) if text.len() > MAX_TEXT => (Text::Template(&text[..MAX_TEXT]), true),
        text => (text, false),
    };
    Parsed { value: Value { a, text }, cut }
}

/// The A value behind the colon that `text` begins with, and the text behind a second colon if there is one.
fn parse_a(text: &[u8]) -> Result<(Ipv4Addr, Option<&[u8]>), LineError> {
    let invalid = || LineError::InvalidA { found: Excerpt::word(&text[1..]) };
    let (address, rest) = parse_short4(&text[1..]).ok_or_else(invalid)?;
    let address = match address {
        (0, _) => return Err(invalid()),
        // one number alone is one of 127.0.0.1 to 127.0.0.255
        (last, 1) => 0x7f00_0000 | last,
        (address, _) => address,
    };
    match trim_start(rest) {
        [] => Ok((address.into(), None)),
        [b':', text @ ..] => Ok((address.into(), Some(trim_start(text)))),
        rest => Err(LineError::AfterA { found: Excerpt::word(rest) }),
    }
}

/// An address of one to four numbers, the last one the last octet, as `127.2` is 127.0.0.2; with how many there are.
pub(super) fn parse_short4(text: &[u8]) -> Option<((u32, u8), &[u8])> {
    let (mut address, count, last, rest) = {
        let (octet, rest) = super::ip4::octet(text)?;
        let mut address = 0u32;
        let mut count = 1;
        let mut last = octet;
        let mut rest = rest;
        while let [b'.', more @ ..] = rest {
            if count == 4 {
                break;
            }
            let (octet, after) = super::ip4::octet(more)?;
            address |= u32::from(last) << (32 - 8 * count);
            count += 1;
            last = octet;
            rest = after;
        }
        (address, count, last, rest)
    };
    address |= u32::from(last);
    Some(((address, count as u8), rest))
}

/// rbldnsd's limit: what one character-string holds (RFC 1035, section 3.3.14).
pub(super) const MAX_TEXT: usize = 255;
