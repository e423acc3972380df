//! What can be wrong with a line or a file of a list, and how to mend it.
//!
//! Invariant: an error of a line costs that line, except the few that [`LineError::ends_load`] names, after which the
//! rest of the file cannot be told. An [`Excerpt`] is short and printable, so that a list cannot write to a terminal.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use nix::unistd::{Uid, User};

use super::keys::KeyError;
use crate::dnsxl::name::NameError;
use crate::dnsxl::subject::{mask4, mask6};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is skipped unread.
    #[error("line over {limit} bytes: skipped")]
    LineTooLong {
        /// The most bytes a line may have.
        limit: usize,
    },
    /// The entry is taken with the beginning of its text.
    #[error("text over {limit} bytes: the rest of it is cut off")]
    TextTooLong {
        /// The most bytes a text may have.
        limit: usize,
    },
    /// No value can be read behind a `:`.
    #[error("invalid A value `{found}`: write a number from 1 to 255 or an address")]
    InvalidA {
        /// What stands there.
        found: Excerpt,
    },
    /// Something other than `:` follows an A value.
    #[error("`{found}` after the A value: write `:` before a text")]
    AfterA {
        /// What stands there.
        found: Excerpt,
    },
    /// An IPv4 address was due.
    #[error("invalid address `{found}`: write {forms}")]
    Ip4 {
        /// What stands there.
        found: Excerpt,
        /// The forms that the format knows.
        forms: &'static str,
    },
    /// An IPv6 address was due.
    #[error("invalid address `{found}`: write {forms}")]
    Ip6 {
        /// What stands there.
        found: Excerpt,
        /// The forms that the format knows.
        forms: &'static str,
    },
    /// A line that is neither an address nor a name.
    #[error("`{found}` is no address, range or domain")]
    NoSubject {
        /// What stands there.
        found: Excerpt,
    },
    /// A prefix with bits set behind its length.
    #[error("host bits set in {address}/{length}: write {}/{length}", masked4(*address, *length))]
    HostBits4 {
        /// The address as written, missing octets zero.
        address: Ipv4Addr,
        /// The prefix length.
        length: u8,
    },
    /// A prefix with bits set behind its length.
    #[error("host bits set in {address}/{length}: write {}/{length}", masked6(*address, *length))]
    HostBits6 {
        /// The address as written, missing words zero.
        address: Ipv6Addr,
        /// The prefix length.
        length: u8,
    },
    /// The last address is before the first.
    #[error("range ends before it starts")]
    RangeBackwards,
    /// `a.b.c-d.e`.
    #[error("both ends of a range need the same number of octets")]
    RangeUneven,
    /// A prefix length of 0 in a format that does not know it.
    #[error("/0 is not known in this format: list two /1 instead")]
    WholeSpace,
    /// More addresses than `$MAXRANGE4` allows.
    #[error("range of {size} addresses ignored: $MAXRANGE4 allows {limit}")]
    RangeTooLarge {
        /// How many addresses the range has.
        size: u64,
        /// How many it may have.
        limit: u64,
    },
    /// A second `$MAXRANGE4` above the first.
    #[error("$MAXRANGE4 cannot be raised from {from} to {to}")]
    RangeRaised {
        /// The limit that holds.
        from: u64,
        /// What the line asks for.
        to: u64,
    },
    /// A single label in a plain list, more likely a word of prose than a domain.
    #[error("`{found}` is a single word: write `.{found}` to list the whole domain")]
    BareWord {
        /// What stands there.
        found: Excerpt,
    },
    /// A name that cannot be one.
    #[error("invalid name `{found}`: {source}")]
    Name {
        /// What stands there.
        found: Excerpt,
        /// What is wrong with it.
        source: NameError,
    },
    /// Something that is no name where one is due.
    #[error("`{found}` is no domain name")]
    NoName {
        /// What stands there.
        found: Excerpt,
    },
    /// A name without labels, as `.` or `*.`.
    #[error("empty name: the whole zone cannot be listed")]
    EmptyName,
    /// A name in UTF-8 that has no ASCII form.
    #[error("`{found}` is no internationalised domain name")]
    Idn {
        /// What stands there.
        found: Excerpt,
    },
    /// A `$` line that is not known.
    #[error("unknown special `${found}`")]
    UnknownSpecial {
        /// The word behind the `$`.
        found: Excerpt,
    },
    /// A `$` line whose arguments are not as they should be.
    #[error("invalid special: write `{form}`")]
    SpecialSyntax {
        /// How the line is to be written.
        form: &'static str,
    },
    /// A `$` line that this format does not have.
    #[error("{special} has no place in this format")]
    SpecialMisplaced {
        /// The special.
        special: &'static str,
    },
    /// More names in a `$NS` line than an answer can carry.
    #[error("more than {limit} name servers: the rest is ignored")]
    TooManyNameServers {
        /// How many are taken.
        limit: usize,
    },
    /// Ends the load: a `combined` file that says something before its first section.
    #[error("line before the first $DATASET: write `$DATASET type @` above it")]
    OutsideDataset,
    /// Ends the load: a `$DATASET` of a type that is not known, so that the lines behind it cannot be read.
    #[error("unknown dataset type `{found}`")]
    UnknownFormat {
        /// The type.
        found: Excerpt,
    },
    /// Ends the load: a `$DATASET` of a type that cannot be a section.
    #[error("a dataset of type `{found}` cannot stand inside a combined one")]
    NestedFormat {
        /// The type.
        found: Excerpt,
    },
    /// A section that stands nowhere.
    #[error("no subzone given: nothing will ask for this section; write `@` for the zone itself")]
    NoSubzone,
    /// An action of an access list that is not known.
    #[error("invalid action `{found}`: ignore, blackhole, refuse, empty or pass")]
    InvalidAction {
        /// What stands there.
        found: Excerpt,
    },
    /// A resource record without a type.
    #[error("incomplete record: write `name [ttl] [IN] TYPE value`")]
    RecordSyntax,
    /// A resource record of a type that the format does not have.
    #[error("record type `{found}` is not known here")]
    RecordType {
        /// What stands there.
        found: Excerpt,
    },
    /// The data of a resource record is not as its type wants it.
    #[error("invalid record data: write `{form}`")]
    RecordData {
        /// How it is to be written.
        form: &'static str,
    },
    /// The line is none of the format's.
    #[error("no line of this format: write `{form}`")]
    Form {
        /// How it is to be written.
        form: &'static str,
    },
    /// A line of a file of keys.
    #[error(transparent)]
    Key(KeyError),
    /// A JSON line that cannot be read.
    #[error("invalid JSON line")]
    Json,
    /// An autonomous system where addresses are due.
    #[error("an ASN cannot be listed: take the list of prefixes instead")]
    Asn,
    /// A quoted CSV line without the closing quote or without enough columns.
    #[error("CSV line with {found} columns: {wanted} are needed")]
    Columns {
        /// How many there are.
        found: usize,
        /// How many are needed.
        wanted: usize,
    },
    /// A column has none of the words that may stand there.
    #[error("unknown {what} `{found}`: {known}")]
    Word {
        /// What the column says.
        what: &'static str,
        /// What stands there.
        found: Excerpt,
        /// The words that are known.
        known: &'static str,
    },
    /// A number of an autonomous system was due.
    #[error("invalid ASN `{found}`: write a number from 0 to 4294967295, or several with `_` between them")]
    InvalidAsn {
        /// What stands there.
        found: Excerpt,
    },
    /// A prefix so short that nobody can announce it.
    #[error("/{length} is no announced prefix: nothing shorter than /{limit} is taken")]
    ShortPrefix {
        /// The prefix length.
        length: u8,
        /// The shortest that is taken.
        limit: u8,
    },
    /// A URL without a host.
    #[error("`{found}` is no URL with a host")]
    Url {
        /// What stands there.
        found: Excerpt,
    },
    /// Neither a digest nor a key of the dataset's shape.
    #[error("`{found}` is neither a digest nor a key of {characters} characters")]
    Digest {
        /// What stands there.
        found: Excerpt,
        /// How long a key is.
        characters: u8,
    },
}

impl LineError {
    /// Whether the rest of the file cannot be told after this, so that the load fails.
    pub fn ends_load(&self) -> bool {
        matches!(self, Self::OutsideDataset | Self::UnknownFormat { .. } | Self::NestedFormat { .. })
    }
}

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system said no, or the file's compression is damaged.
    #[error("{path}: {}", SystemError(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file was written to or replaced while it was read, so what was read may be half of it.
    #[error("{path}: changed while it was read: try again, and replace lists by rename")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A line after which the rest of the file cannot be told.
    #[error("{path}:{line}: {error}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line's number.
        line: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// A database in MaxMind's format that cannot be read.
    #[error("{path}: {reason}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A list of digests for a dataset that says no shape of keys.
    #[error("{path}: a list of hashes needs a key: which hash, which alphabet, how many characters")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
}

/// What the system says of a file; where it is a matter of rights also who lacks them, and how to mend it.
#[derive(Clone, Copy, Debug)]
pub struct SystemError<'e>(pub &'e io::Error);

impl fmt::Display for SystemError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if self.0.kind() != io::ErrorKind::PermissionDenied {
            return Ok(());
        }
        let uid = Uid::effective();
        // in a chroot there may be no names
        match User::from_uid(uid) {
            Ok(Some(user)) => write!(f, ": user {} may not read it", user.name)?,
            _ => write!(f, ": user {uid} may not read it")?,
        }
        f.write_str("; change owner, group or mode of it, or of a folder above it")
    }
}

/// The beginning of what a line says, fit for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    /// Cuts `bytes` to what a message can carry.
    pub fn new(bytes: &[u8]) -> Self {
        let cut = &bytes[..bytes.len().min(EXCERPT)];
        let mut text: String = String::from_utf8_lossy(cut).chars().map(printable).collect();
        if cut.len() < bytes.len() {
            text.push('…');
        }
        Self(text.into())
    }

    /// The first word of `bytes`.
    pub(crate) fn word(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|&byte| matches!(byte, b' ' | b'\t')).unwrap_or(bytes.len());
        Self::new(&bytes[..end])
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn masked4(address: Ipv4Addr, length: u8) -> Ipv4Addr {
    (u32::from(address) & mask4(length)).into()
}

fn masked6(address: Ipv6Addr, length: u8) -> Ipv6Addr {
    (u128::from(address) & mask6(length)).into()
}

fn printable(char: char) -> char {
    if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }
}

/// How many bytes of a line a message repeats.
const EXCERPT: usize = 48;
