//! The lines that begin with `$`.
//!
//! Invariant: a special that is not as it should be changes nothing. Which of several wins, and what a variable is put
//! into, is the dataset's affair; `$MAXRANGE4` alone also holds here, for the lines behind it.

use super::super::error::{Excerpt, LineError};
use super::super::name::NameBuffer;
use super::super::text::{leading_number, number, split_word, words};
use super::super::{Format, NsLine, Sink, SoaLine, Special};
use super::value::Defaults;
use super::{Parser, timestamp};
use crate::dnsxl::Name;

impl Parser {
    /// Parses a special; `line` begins behind its `$`.
    pub(super) fn parse_special(
        &mut self,
        line_number: u64,
        line: &[u8],
        sink: &mut impl Sink,
    ) -> Result<(), LineError> {
        let (word, rest) = split_word(line);
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword.as_bytes());
        let special = match word {
            [digit @ b'0'..=b'9'] if !rest.is_empty() => Special::Variable { digit: digit - b'0', text: rest },
            b"=" if !rest.is_empty() => Special::BaseTemplate(rest),
            [b'0'..=b'9' | b'='] => return Err(LineError::SpecialSyntax { form: VARIABLE_FORM }),
            _ if is("SOA") => match self.section {
                Some(Format::Acl) => return Err(LineError::SpecialMisplaced { special: "$SOA" }),
                _ => Special::Soa(parse_soa(rest)?),
            },
            _ if is("NS") || is("NAMESERVER") => Special::Ns(parse_ns(line_number, rest, sink)?),
            _ if is("TTL") => Special::Ttl(parse_time(rest).ok_or(LineError::SpecialSyntax { form: "$TTL time" })?),
            _ if is("TIMESTAMP") => {
                let (created, expires) =
                    timestamp::parse(rest).ok_or(LineError::SpecialSyntax { form: TIMESTAMP_FORM })?;
                Special::Timestamp { created, expires }
            }
            _ if is("MAXRANGE4") => Special::MaxRange4(self.parse_max_range4(rest)?),
            _ if is("DATASET") && self.combined => self.parse_dataset(line_number, rest, sink)?,
            _ if is("DATASET") => return Err(LineError::SpecialMisplaced { special: "$DATASET" }),
            _ => return Err(LineError::UnknownSpecial { found: Excerpt::new(word) }),
        };
        sink.special(line_number, special);
        Ok(())
    }

    fn parse_max_range4(&mut self, text: &[u8]) -> Result<u64, LineError> {
        let limit = match text {
            [b'/', length @ ..] => {
                number(length).filter(|length| (1..=32).contains(length)).map(|length| 1 << (32 - length))
            }
            size => number(size).filter(|&size| size > 0).map(u64::from),
        };
        let limit: u64 =
            limit.ok_or(LineError::SpecialSyntax { form: "$MAXRANGE4 /length, or the number of addresses" })?;
        if let Some(from) = self.max_range4.filter(|&from| from < limit) {
            return Err(LineError::RangeRaised { from, to: limit });
        }
        self.max_range4 = Some(limit);
        Ok(limit)
    }

    /// `$DATASET type[:name] subzone…`: what stands behind it is read by another format, with defaults of its own.
    fn parse_dataset<'a>(
        &mut self,
        line_number: u64,
        text: &'a [u8],
        sink: &mut impl Sink,
    ) -> Result<Special<'a>, LineError> {
        let (kind, rest) = split_word(text);
        let (kind, name) = match kind.iter().position(|&byte| byte == b':') {
            Some(at) => (&kind[..at], &kind[at + 1..]),
            None => (kind, &kind[..0]),
        };
        let format = match kind {
            b"ip4set" => Format::Ip4Set,
            b"ip4tset" => Format::Ip4Tset,
            b"ip4trie" => Format::Ip4Trie,
            b"ip6tset" => Format::Ip6Tset,
            b"ip6trie" => Format::Ip6Trie,
            b"dnset" => Format::Dnset,
            b"generic" => Format::Generic,
            b"combined" | b"acl" => return Err(LineError::NestedFormat { found: Excerpt::new(kind) }),
            _ => return Err(LineError::UnknownFormat { found: Excerpt::new(kind) }),
        };
        let mut under = Vec::new();
        for word in words(rest) {
            let name = if word == b"@" { Ok(Name::default()) } else { NameBuffer::parse_absolute(word) };
            match name.map(|name| name.to_lowercase()) {
                Ok(name) if under.contains(&name) => {}
                Ok(name) => under.push(name),
                Err(error) => sink.problem(line_number, error),
            }
        }
        if under.is_empty() {
            sink.problem(line_number, LineError::NoSubzone);
        }
        self.section = Some(format);
        self.defaults = Defaults::new();
        let name = Some(&name[..name.len().min(MAX_DATASET_NAME)]).filter(|name| !name.is_empty());
        Ok(Special::Dataset { format, name, under })
    }
}

fn parse_soa(text: &[u8]) -> Result<SoaLine, LineError> {
    let wrong = || LineError::SpecialSyntax { form: SOA_FORM };
    let mut words = words(text);
    let mut next = || words.next().ok_or_else(wrong);
    let soa = SoaLine {
        ttl: parse_time(next()?).ok_or_else(wrong)?,
        origin: NameBuffer::parse_absolute(next()?)?,
        person: NameBuffer::parse_absolute(next()?)?,
        serial: number(next()?).ok_or_else(wrong)?,
        refresh: parse_time(next()?).ok_or_else(wrong)?,
        retry: parse_time(next()?).ok_or_else(wrong)?,
        expire: parse_time(next()?).ok_or_else(wrong)?,
        minimum: parse_time(next()?).ok_or_else(wrong)?,
    };
    if words.next().is_some() { Err(wrong()) } else { Ok(soa) }
}

fn parse_ns(line_number: u64, text: &[u8], sink: &mut impl Sink) -> Result<NsLine, LineError> {
    let wrong = || LineError::SpecialSyntax { form: "$NS ttl name…" };
    let (ttl, rest) = split_word(text);
    let ttl = parse_time(ttl).ok_or_else(wrong)?;
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut names: Vec<Name> = Vec::new();
    for word in words(rest).filter(|word| word[0] != b'-') {
        let name = NameBuffer::parse_absolute(word)?;
        if names.iter().any(|known| known.to_lowercase() == name.to_lowercase()) {
            continue;
        }
        if names.len() == MAX_NAME_SERVERS {
            sink.problem(line_number, LineError::TooManyNameServers { limit: MAX_NAME_SERVERS });
            break;
        }
        names.push(name);
    }
    Ok(NsLine { ttl, names })
}

/// A time in seconds, or with a unit; all of `text`.
pub(super) fn parse_time(text: &[u8]) -> Option<u32> {
    let (count, unit) = leading_number(text)?;
    let seconds = match unit {
        [] | [b's' | b'S'] => 1,
        [b'm' | b'M'] => 60,
        [b'h' | b'H'] => 3600,
        [b'd' | b'D'] => 86_400,
        [b'w' | b'W'] => 604_800,
        _ => return None,
    };
    count.checked_mul(seconds)
}

/// rbldnsd's limit.
const MAX_NAME_SERVERS: usize = 32;
/// rbldnsd's limit on the name of a section, which only logs show.
const MAX_DATASET_NAME: usize = 20;
const SOA_FORM: &str = "$SOA ttl origin person serial refresh retry expire minimum";
const VARIABLE_FORM: &str = "$0 text … $9 text, or $= text";
const TIMESTAMP_FORM: &str = "$TIMESTAMP yyyy:mm:dd[:hh[:mm[:ss]]] [the same, or +time]";
