//! The formats of rbldnsd's datasets.
//!
//! What all of them share stands here: which line is a comment, a special, a default or an entry, and what a `combined`
//! file's sections change. Invariant: a file is read as rbldnsd 1.0 reads it; what it leaves out with a warning is a
//! problem here, and what makes it give up the load ends it here. Deliberately different: a line may end in CR LF, a
//! damaged record of a `generic` file costs that record alone, and text in an access list after a keyword default does
//! not crash.
//!
//! `$` in a text is not replaced here, and what several entries about one address come to is not decided here.

mod acl;
mod generic;
mod ip4;
mod ip6;
mod special;
mod timestamp;
mod value;

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::name::NameBuffer;
use super::parallel::BlockParser;
use super::text::{split_word, trim, trim_start};
use super::{Action, Entry, FileError, Format, Reading, Said, Scope, Sink, Special, Text, Value};
use ip4::parse_block4;
use ip6::parse_block6;
use value::Defaults;

pub(super) use ip4::parse_octets;
pub(super) use ip6::parse_words;

/// Parses a file of one of rbldnsd's formats.
pub(super) fn parse(
    lines: Lines<'_>,
    format: Format,
    reading: &Reading,
    sink: &mut impl Sink,
) -> Result<(), FileError> {
    Parser::new(format, reading).parse(lines, sink)
}

/// What has been said so far that later lines of the file depend on.
#[derive(Clone)]
pub(super) struct Parser {
    host_bits: bool,
    combined: bool,
    /// What a line means here; none in a combined file before its first section.
    section: Option<Format>,
    defaults: Defaults,
    /// What an access list does with clients whose line does not say.
    action: DefaultAction,
    max_range4: Option<u64>,
    name: NameBuffer,
    rdata: Vec<u8>,
}

/// The default of an access list; its value, if it is one, is in [`Parser::defaults`].
#[derive(Clone, Copy)]
enum DefaultAction {
    Keyword(Action<'static>),
    Value,
}

impl BlockParser for Parser {
    fn is_context(line: &[u8]) -> bool {
        match line {
            [b'$' | b':' | b' ' | b'\t', ..] | [b'#' | b';', b'$', ..] => true,
            // a byte order mark, of which only the first line of the file is freed
            [0xef, ..] => true,
            _ => false,
        }
    }

    fn parse(&mut self, lines: Lines<'_>, sink: &mut impl Sink) -> Result<(), FileError> {
        lines.each(sink, |number, line, sink| self.parse_line(number, line, sink))
    }
}

impl Parser {
    pub(super) fn new(format: Format, reading: &Reading) -> Self {
        let combined = format == Format::Combined;
        Self {
            host_bits: reading.host_bits,
            combined,
            section: (!combined).then_some(format),
            defaults: Defaults::new(),
            action: DefaultAction::Keyword(Action::Ignore),
            max_range4: reading.max_range4,
            name: NameBuffer::new(),
            rdata: Vec::new(),
        }
    }

    fn parse_line(&mut self, number: u64, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let line = trim(line);
        match line {
            [] => return Ok(()),
            // the three prefixes make specials comments or defaults for older programs
            [b'$', special @ ..] | [b'#' | b';' | b':', b'$', special @ ..] => {
                return self.parse_special(number, special, sink);
            }
            [b'#' | b';', ..] => return Ok(()),
            _ => {}
        }
        let Some(format) = self.section else { return Err(LineError::OutsideDataset) };
        match (format, line) {
            (Format::Generic, _) => return self.parse_record(number, line, sink),
            (Format::Acl, [b'=', ..] | [b':'] | [b':', b'\0'..=b'9' | b';'..=b'\xff', ..]) => {
                return self.parse_default_action(number, line, sink);
            }
            (Format::Acl, _) => return self.parse_client(number, line, sink),
            (Format::Ip6Trie, [b':', b':', ..]) => {}
            (_, [b':', ..]) => return self.parse_default(number, format, line, sink),
            _ => {}
        }
        let (excluded, line) = match line {
            [b'!', rest @ ..] if format != Format::Ip4Tset => (true, trim_start(rest)),
            _ => (false, line),
        };
        match format {
            Format::Ip4Set => self.parse_ip4set(number, excluded, line, sink),
            Format::Ip4Trie => self.parse_ip4trie(number, excluded, line, sink),
            Format::Ip4Tset => parse_ip4tset(number, line, sink),
            Format::Ip6Trie => self.parse_ip6trie(number, excluded, line, sink),
            Format::Ip6Tset => parse_ip6tset(number, excluded, line, sink),
            _ => self.parse_name(number, excluded, line, sink),
        }
    }

    /// A line that gives the value of the entries behind it.
    fn parse_default(
        &mut self,
        number: u64,
        format: Format,
        line: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LineError> {
        let value = value::report_cut(value::parse_default(line)?, number, sink);
        match format {
            Format::Ip4Tset | Format::Ip6Tset => sink.special(number, Special::SharedValue(value)),
            _ => self.defaults.set(value),
        }
        Ok(())
    }

    /// Hands on an IPv4 entry whose address was read; `rest` is what stands behind it.
    fn entry_ip4(
        &self,
        number: u64,
        excluded: bool,
        (first, last): (u32, u32),
        rest: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LineError> {
        let size = u64::from(last - first) + 1;
        if let Some(limit) = self.max_range4.filter(|&limit| size > limit) {
            return Err(LineError::RangeTooLarge { size, limit });
        }
        let said = self.said(number, excluded, rest, sink)?;
        sink.entry(number, Entry::Ip4 { first, last, said });
        Ok(())
    }

    fn said<'a>(
        &'a self,
        number: u64,
        excluded: bool,
        rest: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<Said<'a>, LineError> {
        if excluded {
            return Ok(Said::Excluded);
        }
        let value = value::parse_entry(trim_start(rest), self.defaults.value())?;
        Ok(Said::Listed(value::report_cut(value, number, sink)))
    }

    fn parse_ip4set(&self, number: u64, excluded: bool, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let (range, rest) = ip4::parse_range4(line, self.host_bits)?;
        self.entry_ip4(number, excluded, range, rest, sink)
    }

    fn parse_ip4trie(&self, number: u64, excluded: bool, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let (bits, length, rest) = parse_block4(line, self.host_bits)?;
        let last = bits | !crate::dnsxl::subject::mask4(length);
        self.entry_ip4(number, excluded, (bits, last), rest, sink)
    }

    fn parse_ip6trie(&self, number: u64, excluded: bool, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let (bits, length, rest) = parse_block6(line, self.host_bits)?;
        let said = self.said(number, excluded, rest, sink)?;
        sink.entry(number, Entry::Ip6 { bits, length, said });
        Ok(())
    }

    fn parse_name(&mut self, number: u64, excluded: bool, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
        let (key, rest) = split_word(line);
        let (scope, name) = match key {
            [b'*', b'.', name @ ..] => (Scope::Below, name),
            [b'.', name @ ..] => (Scope::Both, name),
            _ => (Scope::Exact, key),
        };
        self.name.parse_rbldnsd(name)?;
        if self.name.as_wire().is_empty() {
            return Err(LineError::EmptyName);
        }
        let said = self.said(number, excluded, rest, sink)?;
        sink.entry(number, Entry::Name { wire: self.name.as_wire(), scope, said });
        Ok(())
    }
}

/// The entries of a dataset with one value for all say nothing themselves; what stands behind them is ignored.
fn parse_ip4tset(number: u64, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
    let (address, rest) = ip4::parse_address4(line)?;
    ip4::check_end(rest, line, ip4::TSET_FORMS)?;
    sink.entry(number, Entry::Ip4 { first: address, last: address, said: Said::Listed(UNSAID) });
    Ok(())
}

fn parse_ip6tset(number: u64, excluded: bool, line: &[u8], sink: &mut impl Sink) -> Result<(), LineError> {
    let invalid = || LineError::Ip6 { found: Excerpt::word(line), forms: ip6::TSET_FORMS };
    let (words, rest) = parse_words(line).ok_or_else(invalid)?;
    let whole = words.count == 8 || words.gap;
    let ends = match ip6::skip_colon(line, words, rest) {
        [] | [b' ' | b'\t' | b'#' | b';', ..] => true,
        [b':', ..] => whole,
        _ => false,
    };
    if !ends {
        return Err(invalid());
    }
    let entry = match (excluded, whole) {
        (true, true) => Entry::Ip6 { bits: words.bits, length: 128, said: Said::Excluded },
        (false, false) if words.count == 4 => Entry::Ip6 { bits: words.bits, length: 64, said: Said::Listed(UNSAID) },
        _ => return Err(invalid()),
    };
    sink.entry(number, entry);
    Ok(())
}

/// The value of an entry that leaves both to the dataset.
pub(super) const UNSAID: Value<'static> = Value { a: None, text: Text::Unsaid };

#[cfg(test)]
mod tests;
