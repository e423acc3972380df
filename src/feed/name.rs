//! Names as lists write them become keys: lower case, wire form, in one buffer that every line uses again.
//!
//! Invariant: what [`NameBuffer::as_wire`] gives after a parse that went well is a wire form as
//! [`crate::dnsxl::Name`] has it. Two ways of writing are known: rbldnsd's, which takes any byte and sees a run of dots
//! as one, and the plain lists', which takes letters, digits, `-` and `_`, and international names in UTF-8.

use super::error::{Excerpt, LineError};
use crate::dnsxl::Name;
use crate::dnsxl::name::{MAX_LABEL, MAX_WIRE, NameError};

/// The name that was parsed last.
#[derive(Clone)]
pub(super) struct NameBuffer {
    wire: [u8; MAX_WIRE],
    length: usize,
}

impl NameBuffer {
    pub(super) fn new() -> Self {
        Self { wire: [0; MAX_WIRE], length: 0 }
    }

    /// The name in wire form, without the root byte.
    pub(super) fn as_wire(&self) -> &[u8] {
        &self.wire[..self.length]
    }

    /// Parses a name as rbldnsd does: dots in a row, in front and at the end part no labels; `\` takes the byte behind
    /// it as it is, or one to three digits as a byte's value. The result may be empty.
    pub(super) fn parse_rbldnsd(&mut self, text: &[u8]) -> Result<(), LineError> {
        self.fill(text, true).map_err(|source| LineError::Name { found: Excerpt::new(text), source })
    }

    /// The same for a name that is shown again, so that its case is kept.
    pub(super) fn parse_absolute(text: &[u8]) -> Result<Name, LineError> {
        let mut buffer = Self::new();
        let wire = buffer
            .fill(text, false)
            .and_then(|()| Name::from_wire(buffer.as_wire()))
            .map_err(|source| LineError::Name { found: Excerpt::new(text), source })?;
        Ok(wire)
    }

    fn fill(&mut self, text: &[u8], lower: bool) -> Result<(), NameError> {
        self.length = 0;
        let mut label_at = 0;
        let mut end = 1;
        let mut at = 0;
        while at < text.len() {
            let mut byte = text[at];
            at += 1;
            if byte == b'.' {
                label_at = self.close(label_at, end)?;
                end = label_at + 1;
                continue;
            }
            if byte == b'\\' {
                let Some(&next) = text.get(at) else { break };
                let digits = text[at..].iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 {
                    byte = next;
                    at += 1;
                } else {
                    let value =
                        text[at..at + digits].iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
                    byte = u8::try_from(value).map_err(|_| NameError::BadEscape)?;
                    at += digits;
                }
            }
            if end >= MAX_WIRE {
                return Err(NameError::TooLong);
            }
            self.wire[end] = if lower { byte.to_ascii_lowercase() } else { byte };
            end += 1;
        }
        self.length = self.close(label_at, end)?;
        Ok(())
    }

    /// Parses a name as plain lists have it, and returns how many labels it has.
    ///
    /// A name whose last label is a number is no domain but a damaged address.
    pub(super) fn parse_plain(&mut self, text: &[u8]) -> Result<usize, LineError> {
        if let Some((labels, [])) = self.fill_plain(text) {
            return Ok(labels);
        }
        if text.is_ascii() {
            return Err(LineError::NoSubject { found: Excerpt::new(text) });
        }
        let ascii = std::str::from_utf8(text).ok().and_then(|text| idna::domain_to_ascii(text).ok());
        match ascii.and_then(|ascii| self.fill_plain(ascii.as_bytes()).map(|(labels, _)| labels)) {
            Some(labels) => Ok(labels),
            None => Err(LineError::Idn { found: Excerpt::new(text) }),
        }
    }

    /// The same for the name in front of a line, up to a blank or comment; also how long it is as written.
    pub(super) fn parse_plain_column(&mut self, line: &[u8]) -> Result<(usize, usize), LineError> {
        match self.fill_plain(line) {
            Some((labels, rest @ ([] | [b' ' | b'\t' | b'#' | b';', ..]))) => Ok((labels, line.len() - rest.len())),
            _ => {
                let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#' | b';')).unwrap_or(line.len());
                self.parse_plain(&line[..end]).map(|labels| (labels, end))
            }
        }
    }

    /// Takes the name in front of `text`, in one pass; how many labels it has, and what follows it.
    fn fill_plain<'a>(&mut self, text: &'a [u8]) -> Option<(usize, &'a [u8])> {
        self.length = 0;
        let mut label_at = 0;
        let mut labels = 0;
        let mut at = 0;
        let mut last = None;
        loop {
            let lower = text.get(at).map_or(0, |&byte| PLAIN[usize::from(byte)]);
            if lower == b'.' || lower == 0 {
                let length = at - label_at;
                // a single dot may end the name
                if length > 0 {
                    if length > MAX_LABEL {
                        return None;
                    }
                    self.wire[label_at] = length as u8;
                    last = Some(&text[label_at..at]);
                    label_at = at + 1;
                    labels += 1;
                } else if lower == b'.' || labels == 0 {
                    return None;
                }
                if lower == 0 {
                    break;
                }
            } else if at + 1 < MAX_WIRE {
                self.wire[at + 1] = lower;
            } else {
                return None;
            }
            at += 1;
        }
        if last?.iter().all(u8::is_ascii_digit) {
            return None;
        }
        // the name's length in wire form is where a further label would begin
        self.length = label_at;
        Some((labels, &text[at..]))
    }

    /// Ends the label that begins at `label_at`; where the next one begins.
    fn close(&mut self, label_at: usize, end: usize) -> Result<usize, NameError> {
        match end - label_at - 1 {
            0 => Ok(label_at),
            length if length > MAX_LABEL => Err(NameError::LabelTooLong),
            length => {
                self.wire[label_at] = length as u8;
                Ok(end)
            }
        }
    }
}

/// What a byte of a plain list's name is in lower case; 0 if it stands in none.
const PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if matches!(byte as u8, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.') {
            table[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};
