//! Route files become announced prefixes.
//!
//! The formats of text are told from the columns of each line, so that files of several kinds may be joined. Invariant:
//! what is read is a prefix between the shortest that is allocated and a whole address, with an origin that is not 0.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::{Announced, NO_COUNTRY, RoutesBuilder};
use crate::feed::text::{number, trim, words};
use crate::feed::{Addresses, Compression, Excerpt, FileError, LineError, Lines, parse_addresses};
use crate::neighborhood::bits::{Bits, prefixes};

/// Parses a file of any format.
pub(super) fn parse_file(path: &Path, builder: &mut RoutesBuilder) -> Result<(), FileError> {
    let lines = Lines::open(path, Compression::Detect)?;
    if is_database(path) {
        return parse_database(path, lines.into_bytes()?, builder);
    }
    parse(lines, builder)
}

/// Parses text in memory.
pub(super) fn parse_bytes(bytes: &[u8], builder: &mut RoutesBuilder) -> Result<(), FileError> {
    parse(Lines::from_bytes(bytes, Compression::Detect)?, builder)
}

fn parse(lines: Lines<'_>, builder: &mut RoutesBuilder) -> Result<(), FileError> {
    let mut skipped = std::mem::take(&mut builder.skipped);
    let result = lines.each_or_skip(&mut skipped, |line| parse_line(trim(line), builder));
    builder.skipped = skipped;
    result
}

fn parse_line(line: &[u8], builder: &mut RoutesBuilder) -> Result<(), LineError> {
    if matches!(line, [] | [b'#' | b';', ..]) {
        return Ok(());
    }
    let columns = Columns::split(line);
    let [first, second, third, ..] = columns.0;
    let no_subject = || LineError::NoSubject { found: Excerpt::word(first) };
    if first.contains(&b'/') {
        let origins = second;
        return match parse_addresses(first)?.ok_or_else(no_subject)? {
            Addresses::Ip4(first, last) => announce(&mut builder.ip4, first, length4(first, last), origins, NO_COUNTRY),
            Addresses::Ip6(first, length) => announce(&mut builder.ip6, first, length, origins, NO_COUNTRY),
        };
    }
    if third.is_empty() {
        return Err(LineError::Form { form: FORMS });
    }
    let begin = parse_addresses(first)?.ok_or_else(no_subject)?;
    if let Some(length) = number(second) {
        return match begin {
            Addresses::Ip4(first, _) if length <= 32 => {
                announce(&mut builder.ip4, first.masked(length as u8), length as u8, third, NO_COUNTRY)
            }
            Addresses::Ip6(first, _) if length <= 128 => {
                announce(&mut builder.ip6, first.masked(length as u8), length as u8, third, NO_COUNTRY)
            }
            _ => Err(LineError::Form { form: FORMS }),
        };
    }
    let end = parse_addresses(second)?.ok_or_else(|| LineError::NoSubject { found: Excerpt::word(second) })?;
    let country = country(columns.0[3]);
    match (begin, end) {
        (Addresses::Ip4(first, _), Addresses::Ip4(last, _)) => {
            announce_range(&mut builder.ip4, first, last, third, country)
        }
        (Addresses::Ip6(first, _), Addresses::Ip6(last, _)) => {
            announce_range(&mut builder.ip6, first, last, third, country)
        }
        _ => Err(LineError::Form { form: FORMS }),
    }
}

/// The first columns of a line; missing ones are empty.
struct Columns<'l>([&'l [u8]; 4]);

impl<'l> Columns<'l> {
    /// Splits at tabs if there is one, else at commas, else at blanks.
    fn split(line: &'l [u8]) -> Self {
        let mut columns = [&line[..0]; 4];
        let fill = |columns: &mut [&'l [u8]; 4], parts: &mut dyn Iterator<Item = &'l [u8]>| {
            for (column, part) in columns.iter_mut().zip(parts) {
                let part = trim(part);
                *column = part.strip_prefix(b"\"").and_then(|part| part.strip_suffix(b"\"")).unwrap_or(part);
            }
        };
        if line.contains(&b'\t') {
            fill(&mut columns, &mut line.split(|&byte| byte == b'\t'));
        } else if line.contains(&b',') {
            fill(&mut columns, &mut line.split(|&byte| byte == b','));
        } else {
            fill(&mut columns, &mut words(line));
        }
        Self(columns)
    }
}

/// The length of a prefix whose ends are these.
fn length4(first: u32, last: u32) -> u8 {
    (first ^ last).leading_zeros() as u8
}

fn country(column: &[u8]) -> [u8; 2] {
    match column {
        [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => [*a, *b],
        _ => NO_COUNTRY,
    }
}

/// The origins of a column: numbers with or without `AS` in front, `_` or `,` between them, braces around a set.
fn origins(column: &[u8]) -> impl Iterator<Item = Result<u32, LineError>> {
    let parts = column.split(|byte| matches!(byte, b'_' | b',' | b'{' | b'}' | b' '));
    let parts = parts.filter(move |part| !part.is_empty() || column.is_empty());
    parts.map(|part| {
        let digits = part.strip_prefix(b"AS").or_else(|| part.strip_prefix(b"as")).unwrap_or(part);
        number(digits).ok_or_else(|| LineError::InvalidAsn { found: Excerpt::new(part) })
    })
}

fn announce<A: Bits>(
    out: &mut Vec<Announced<A>>,
    first: A,
    length: u8,
    column: &[u8],
    country: [u8; 2],
) -> Result<(), LineError> {
    let shortest = shortest::<A>();
    if length < shortest {
        return Err(LineError::ShortPrefix { length, limit: shortest });
    }
    let before = out.len();
    for asn in origins(column) {
        match asn {
            Ok(0) => {}
            Ok(asn) => out.push(Announced { first, asn, length, country }),
            Err(error) => {
                out.truncate(before);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn announce_range<A: Bits>(
    out: &mut Vec<Announced<A>>,
    first: A,
    last: A,
    column: &[u8],
    country: [u8; 2],
) -> Result<(), LineError> {
    if last < first {
        return Err(LineError::RangeBackwards);
    }
    // such files name what nobody announces too, in ranges of any size
    if origins(column).all(|asn| matches!(asn, Ok(0))) {
        return Ok(());
    }
    let before = out.len();
    for (first, length) in prefixes(first, last) {
        if let Err(error) = announce(out, first, length, column, country) {
            out.truncate(before);
            return Err(error);
        }
    }
    Ok(())
}

/// The shortest prefix that is taken.
fn shortest<A: Bits>() -> u8 {
    if A::WIDTH == 32 { SHORTEST_4 } else { SHORTEST_6 }
}

/// Whether the file is a database in MaxMind's format: by its name, or by the mark before its metadata.
fn is_database(path: &Path) -> bool {
    let is_named = path.file_name().is_some_and(|name| name.to_string_lossy().contains(".mmdb"));
    is_named || has_database_mark(path).unwrap_or(false)
}

fn has_database_mark(path: &Path) -> std::io::Result<bool> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(METADATA)))?;
    let mut tail = Vec::new();
    file.take(METADATA).read_to_end(&mut tail)?;
    Ok(memchr::memmem::find(&tail, DATABASE_MARK).is_some())
}

/// What is read of a network's record; databases differ in what they call it.
#[derive(Deserialize)]
struct DatabaseRecord<'a> {
    autonomous_system_number: Option<u32>,
    #[serde(borrow)]
    asn: Option<AsnText<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum AsnText<'a> {
    Number(u32),
    Text(&'a str),
}

fn parse_database(path: &Path, bytes: Vec<u8>, builder: &mut RoutesBuilder) -> Result<(), FileError> {
    let wrong =
        |error: &dyn std::fmt::Display| FileError::Database { path: path.to_owned(), reason: error.to_string() };
    let database = Reader::from_source(bytes).map_err(|error| wrong(&error))?;
    let mut found = 0;
    for network in database.networks(WithinOptions::default()).map_err(|error| wrong(&error))? {
        let network = network.map_err(|error| wrong(&error))?;
        let Some(record) = network.decode::<DatabaseRecord<'_>>().map_err(|error| wrong(&error))? else { continue };
        let asn = match (record.autonomous_system_number, record.asn) {
            (Some(asn), _) | (None, Some(AsnText::Number(asn))) => Some(asn),
            (None, Some(AsnText::Text(text))) => origins(text.as_bytes()).next().and_then(Result::ok),
            (None, None) => None,
        };
        let Some(asn) = asn.filter(|&asn| asn != 0) else { continue };
        found += 1;
        let net = network.network().map_err(|error| wrong(&error))?;
        let length = net.prefix();
        match net.ip() {
            std::net::IpAddr::V4(ip) if length >= SHORTEST_4 => {
                let first = u32::from(ip).masked(length);
                builder.ip4.push(Announced { first, asn, length, country: NO_COUNTRY });
            }
            std::net::IpAddr::V6(ip) if length >= SHORTEST_6 => {
                let first = u128::from(ip).masked(length);
                builder.ip6.push(Announced { first, asn, length, country: NO_COUNTRY });
            }
            _ => {}
        }
    }
    if found == 0 {
        return Err(wrong(&"no record has an ASN: take the database of ASNs"));
    }
    Ok(())
}

const FORMS: &str = "prefix<TAB>asn, address<TAB>length<TAB>asn or first<TAB>last<TAB>asn";
/// No registry holds more than a /8; a default route would make all of the Internet one neighborhood.
const SHORTEST_4: u8 = 8;
/// IANA gives registries /12s, and 6to4's 2002::/16 is announced.
const SHORTEST_6: u8 = 12;
/// Stands before the metadata of such a database, as its specification says.
const DATABASE_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata has at most this many bytes, as its specification says.
const METADATA: u64 = 128 << 10;
