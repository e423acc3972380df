//! List files become entries: one file of this room for each format.
//!
//! A parser reads a file once, from front to back, and hands each statement to a [`Sink`] with the line it stands on.
//! It keeps nothing and decides nothing: what exclusions, defaults and several statements about one subject come to
//! is the dataset's affair. Invariant: whatever the bytes are, a parser ends, allocates no more than a line at a
//! time, and accounts for every line: as an entry, a special, a comment or a problem.

mod drop;
mod error;
mod hashes;
mod hosts;
mod keys;
mod lines;
mod meter;
mod name;
mod parallel;
mod plain;
mod quota;
mod rbldnsd;
mod skipped;
pub(crate) mod text;
mod urls;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

pub use error::{Excerpt, FileError, LineError, SystemError};
pub use keys::{KeyError, SHORTEST_KEY, could_be_key};
pub use lines::{Compression, Lines, NumberedLine};
pub use meter::Meter;
pub(crate) use plain::{Addresses, parse_addresses};
pub use quota::{Quota, QuotaError};
pub use skipped::{Skipped, SkippedLine};

use crate::dnsxl::key::KeyShape;

/// The format of a list file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// rbldnsd: IPv4 ranges, the most specific octet class decides.
    Ip4Set,
    /// rbldnsd: single IPv4 addresses with one shared value.
    Ip4Tset,
    /// rbldnsd: IPv4 prefixes, the longest decides.
    Ip4Trie,
    /// rbldnsd: IPv6 /64s with one shared value.
    Ip6Tset,
    /// rbldnsd: IPv6 prefixes, the longest decides.
    Ip6Trie,
    /// rbldnsd: domain names and wildcards.
    Dnset,
    /// rbldnsd: resource records.
    Generic,
    /// rbldnsd: several datasets in one file.
    Combined,
    /// rbldnsd: what clients may ask.
    Acl,
    /// An address, CIDR, range or domain a line: FireHOL's netsets and most others.
    Plain,
    /// `0.0.0.0 name …` lines as in a hosts file.
    Hosts,
    /// Spamhaus DROP: text or JSON lines.
    Drop,
    /// URLhaus' CSV.
    Urlhaus,
    /// A URL a line, as OpenPhish has them; columns before it are skipped.
    Urls,
    /// Digests, one a line.
    Hashes,
    /// Keys in query names, by which clients are known.
    Keys,
}

impl Format {
    /// The format of a list whose first bytes, inflated, are these, if its marks cannot be mistaken.
    ///
    /// At most the first line is looked at. Most formats have no such mark and must be named.
    pub fn recognise(first_bytes: &[u8]) -> Option<Self> {
        drop::is_json_line(first_bytes).then_some(Self::Drop)
    }
}

/// Where parsed statements go.
///
/// Two things take them: the dataset that is being loaded, and the search for where a listing comes from.
pub trait Sink {
    /// Takes a statement about a subject.
    fn entry(&mut self, line: u64, entry: Entry<'_>);
    /// Takes a line that says something about the file's dataset as a whole.
    fn special(&mut self, line: u64, special: Special<'_>);
    /// Takes a line, or a part of one, that was left out, and why.
    fn problem(&mut self, line: u64, problem: LineError);
}

/// One statement of a list file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// IPv4 addresses from `first` to `last`, both included.
    Ip4 {
        /// The first address.
        first: u32,
        /// The last address, not before the first.
        last: u32,
        /// What is said of them.
        said: Said<'a>,
    },
    /// An IPv6 prefix.
    Ip6 {
        /// The address bits; those past `length` are zero.
        bits: u128,
        /// The prefix length, 0–128.
        length: u8,
        /// What is said of it.
        said: Said<'a>,
    },
    /// A domain name.
    Name {
        /// The name in lower case, in wire form without the root byte; never empty.
        wire: &'a [u8],
        /// Which names are meant.
        scope: Scope,
        /// What is said of them.
        said: Said<'a>,
    },
    /// A digest, or the leading part of one that a hash zone is asked for.
    Hash {
        /// As many whole bytes as the dataset's key has; bits past the key's are zero.
        key: &'a [u8],
        /// What is said of it.
        said: Said<'a>,
    },
    /// A resource record; its owner is relative to the zone.
    Record {
        /// The owner in lower case, in wire form without the root byte; empty for the apex.
        owner: &'a [u8],
        /// The record's own TTL in seconds, if it has one.
        ttl: Option<u32>,
        /// The record type's number.
        rtype: u16,
        /// The data in wire form, names uncompressed.
        rdata: &'a [u8],
    },
    /// Clients, and what they may ask.
    Client {
        /// Which addresses.
        block: ClientBlock,
        /// What becomes of their queries.
        action: Action<'a>,
    },
    /// A key in query names.
    Key {
        /// Whose it is.
        name: &'a str,
        /// The label, in lower case; a secret.
        key: &'a [u8],
        /// How much may be asked with it.
        quota: Quota,
    },
}

/// The addresses of clients in an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBlock {
    /// An IPv4 prefix.
    Ip4 {
        /// The address bits.
        bits: u32,
        /// The prefix length, 0–32.
        length: u8,
    },
    /// An IPv6 prefix.
    Ip6 {
        /// The address bits.
        bits: u128,
        /// The prefix length, 0–128.
        length: u8,
    },
}

/// What a statement says of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// It is listed, with this value.
    Listed(Value<'a>),
    /// It is not listed, whatever wider entries of the same dataset say.
    Excluded,
}

/// The value of an entry as written, file defaults applied, `$` not yet replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The address that an A query gets; none where neither the line nor its file gives one.
    pub a: Option<Ipv4Addr>,
    /// The text that a TXT query gets: a template in which `$` is the subject.
    pub text: Text<'a>,
}

/// The text of an entry as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Neither the line nor its file gives one: the dataset's default holds.
    Unsaid,
    /// Explicitly none: a TXT query gets NODATA.
    None,
    /// This template; a leading `=` keeps it out of the base template and is no part of the text.
    Template(&'a [u8]),
}

/// Which names an entry about a name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The name alone: `example.com`.
    Exact,
    /// All names below it: `*.example.com`.
    Below,
    /// Both: `.example.com`.
    Both,
}

/// What becomes of a client's queries, as the `acl` dataset says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// No reply at all.
    Ignore,
    /// REFUSED for everything.
    Refuse,
    /// Addresses and names look unlisted.
    Empty,
    /// As usual.
    Pass,
    /// Every well-formed query is listed with this value; `$` is the client's address.
    Always(Value<'a>),
}

/// A line that says something about the whole dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Special<'a> {
    /// `$SOA`.
    Soa(SoaLine),
    /// `$NS`.
    Ns(NsLine),
    /// `$TTL`, in seconds.
    Ttl(u32),
    /// `$TIMESTAMP`: when the data was made and when it expires, as Unix times; 0 where not given.
    Timestamp {
        /// When the data was made.
        created: i64,
        /// When it is too old to be served.
        expires: i64,
    },
    /// `$0` to `$9`: text for that digit.
    Variable {
        /// The digit, 0–9.
        digit: u8,
        /// What stands for it.
        text: &'a [u8],
    },
    /// `$=`: the template around every entry's text.
    BaseTemplate(&'a [u8]),
    /// `$MAXRANGE4`, already applied to the file's own lines; the dataset's other files take it by
    /// [`Reading::max_range4`].
    MaxRange4(u64),
    /// The one value of every entry of an `ip4tset` or `ip6tset`; the first in the dataset holds.
    SharedValue(Value<'a>),
    /// `$DATASET`: what follows belongs to a dataset of this format below these names.
    Dataset {
        /// The format of the lines that follow.
        format: Format,
        /// A name for the logs, if there is one.
        name: Option<&'a [u8]>,
        /// Names relative to the zone that the dataset stands under; an empty name is the zone itself.
        under: Vec<crate::dnsxl::Name>,
    },
}

/// The fields of a `$SOA` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoaLine {
    /// The record's TTL in seconds; 0 for the zone's own.
    pub ttl: u32,
    /// MNAME.
    pub origin: crate::dnsxl::Name,
    /// RNAME.
    pub person: crate::dnsxl::Name,
    /// The serial; 0 for the newest file's time.
    pub serial: u32,
    /// Seconds.
    pub refresh: u32,
    /// Seconds.
    pub retry: u32,
    /// Seconds.
    pub expire: u32,
    /// The negative TTL in seconds (RFC 2308).
    pub minimum: u32,
}

/// The fields of a `$NS` line; names that are commented out with `-` are left out.
///
/// If that leaves none, the line is as good as absent, and a later one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsLine {
    /// The records' TTL in seconds; 0 for the zone's own.
    pub ttl: u32,
    /// The name servers, in the order written.
    pub names: Vec<crate::dnsxl::Name>,
}

/// How the files of a dataset are to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Host bits of a CIDR are masked away instead of being an error (rbldnsd's `-e`; always so in plain formats).
    pub host_bits: bool,
    /// Compressed files are recognised and inflated.
    pub compression: Compression,
    /// Which names a domain means in a format that does not say so itself; the format's own habit if none.
    pub scope: Option<Scope>,
    /// Set for a dataset of hash keys: digests are read, and URLs are hashed.
    pub key: Option<KeyShape>,
    /// URLhaus: entries marked offline are left out.
    pub online_only: bool,
    /// A compiled file is copied into memory, where it would be mapped: it may then be written over.
    pub copy: bool,
    /// The most addresses of an IPv4 entry, where a file of the same dataset that was read before says so.
    pub max_range4: Option<u64>,
    /// Counts what is read, if somebody watches.
    pub meter: Option<Arc<Meter>>,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            host_bits: false,
            compression: Compression::Detect,
            scope: None,
            key: None,
            online_only: false,
            copy: false,
            max_range4: None,
            meter: None,
        }
    }
}

/// Parses one file of a list into a sink.
///
/// # Errors
///
/// Only what ends the reading of the whole file; a wrong line goes to [`Sink::problem`].
pub fn parse_file(path: &Path, format: Format, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    parse(Lines::open_metered(path, reading)?, format, reading, sink)
}

/// Parses one file of a list by several threads: `sink` takes what has to be told in order, which are all specials, and
/// each of `helpers` takes a share of the entries; a line goes to one of them, and each sees its lines in order.
///
/// Without helpers, or where lines depend on the ones before in more than their default value, this is [`parse_file`].
///
/// # Errors
///
/// As [`parse_file`]; of several, the one that would have come first.
pub fn parse_file_on<S: Sink + Send>(
    path: &Path,
    format: Format,
    reading: &Reading,
    sink: &mut S,
    helpers: &mut [S],
) -> Result<(), FileError> {
    let lines = Lines::open_metered(path, reading)?;
    match format {
        _ if helpers.is_empty() => parse(lines, format, reading, sink),
        Format::Generic | Format::Combined | Format::Acl | Format::Keys => parse(lines, format, reading, sink),
        Format::Ip4Set | Format::Ip4Tset | Format::Ip4Trie | Format::Ip6Tset | Format::Ip6Trie | Format::Dnset => {
            parallel::parse(lines, rbldnsd::Parser::new(format, reading), sink, helpers)
        }
        Format::Plain | Format::Hosts | Format::Drop | Format::Urlhaus | Format::Urls | Format::Hashes => {
            parallel::parse(lines, parallel::LineByLine { format, reading }, sink, helpers)
        }
    }
}

/// Parses a list in memory into a sink.
///
/// # Errors
///
/// As [`parse_file`]; `-` stands for the path.
pub fn parse_bytes(bytes: &[u8], format: Format, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    parse(Lines::from_bytes(bytes, reading.compression)?, format, reading, sink)
}

fn parse(lines: Lines<'_>, format: Format, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    match format {
        Format::Ip4Set
        | Format::Ip4Tset
        | Format::Ip4Trie
        | Format::Ip6Tset
        | Format::Ip6Trie
        | Format::Dnset
        | Format::Generic
        | Format::Combined
        | Format::Acl => rbldnsd::parse(lines, format, reading, sink),
        Format::Plain => plain::parse(lines, reading, sink),
        Format::Hosts => hosts::parse(lines, reading, sink),
        Format::Drop => drop::parse(lines, reading, sink),
        Format::Urlhaus => urls::parse_urlhaus(lines, reading, sink),
        Format::Urls => urls::parse(lines, reading, sink),
        Format::Hashes => hashes::parse(lines, reading, sink),
        Format::Keys => keys::parse(lines, sink),
    }
}

#[cfg(test)]
mod tests;
