//! Compiled files: the container of sections that tables, and what belongs to them, are written to and opened from.
//!
//! ```text
//! header    0  magic, 8 bytes          8  u32 version         12  u32 number of sections
//!          16  u64 bytes of the file  24  32 zero bytes       56  u64 checksum of the rest of the header and the table
//! table     a section each: u32 place, u32 kind, u64 where it begins, u64 its bytes, u64 checksum; ascending by place
//!           and kind, with no section twice
//! sections  in the order of the table, each beginning at the next multiple of 64 and padded with zeros
//! ```
//!
//! All numbers are little-endian; checksums are XXH3 with 64 bits, a section's over its bytes and its padding. Where a
//! section begins follows from those before it, so nothing overlaps and nothing is between them: every byte of a file is
//! under one checksum, is one, or is compared (magic, version). There is no time in it and no name of anything outside,
//! so equal content gives equal bytes. What the sections hold is told by the structures that write them; the format as a
//! whole is described in docs/compiled.md.
//!
//! Opening reads the header and the table alone, so it takes no longer for a large file, and checks them whole.
//! [`Compiled::verify`] reads everything. Invariant: whatever a file says, no access leaves it and nothing is allocated by
//! a number in it; what was opened and not verified may answer wrongly.

use std::borrow::Cow;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use twox_hash::XxHash3_64;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::line::LINE_BYTES;
use super::memory::{Array, Memory};

/// Which array or record a section is. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Kind {
    /// What a part of a dataset is about, or at [`Place::FILE`] the dataset.
    Head = 1,
    Ip4Head = 16,
    Ip4Directory = 17,
    Ip4Leaves = 18,
    Ip4Parts = 19,
    Ip6Head = 32,
    Ip6Tree = 33,
    Ip6Leaves = 34,
    Ip6GroupBegins = 35,
    Ip6GroupKeys = 36,
    Ip6GroupValues = 37,
    NamesHead = 48,
    NamesBuckets = 49,
    NamesCombinations = 50,
    HashesHead = 64,
    HashesBuckets = 65,
    ValueEnds = 80,
    ValueBytes = 81,
    RecordNames = 96,
    RecordOwners = 97,
    RecordSets = 98,
    RecordEnds = 99,
    RecordData = 100,
    ClientActions = 112,
}

/// What sections belong to: a part of a dataset by its number, its access list, or the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    pub(crate) const CLIENTS: Self = Self(u32::MAX - 1);
    pub(crate) const FILE: Self = Self(u32::MAX);
}

/// How a compiled file comes into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// As it stands in the page cache: at once, and shared with every other process that does so.
    #[default]
    Map,
    /// Copied: it may be cut short or written over afterwards.
    Copy,
}

/// Why a compiled file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompiledError {
    /// The system does not let it be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("{path}: not a compiled file: the magic bytes at its beginning are missing")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Of another version of the format.
    #[error(
        "{path}: a compiled file of version {found}, and this program reads version {VERSION}: compile it with this program"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The end is missing.
    #[error("{path}: truncated: {found} bytes of {expected}: copy or compile it again")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that there should be, as far as is known.
        expected: u64,
    },
    /// There is something behind the end.
    #[error("{path}: {found} bytes, and {expected} belong to it: copy or compile it again")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes that are there.
        found: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// A checksum is wrong.
    #[error("{path}: corrupt: the checksum of {what} is wrong: copy or compile it again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: String,
    },
    /// What no program of ours writes, whatever the checksums are.
    #[error("{path}: damaged: {what}: compile it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// A section whose content cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A compiled file in memory, its header and table checked. A clone shares it.
#[derive(Clone, Debug)]
pub struct Compiled {
    path: Arc<Path>,
    memory: Arc<Memory>,
    sections: Array<Section>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    sections: U32,
    length: U64,
    zero: [u8; 32],
    checksum: U64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Section {
    place: U32,
    kind: U32,
    begin: U64,
    length: U64,
    checksum: U64,
}

impl Section {
    fn key(&self) -> (u32, u32) {
        (self.place.get(), self.kind.get())
    }

    fn range(&self) -> Option<Range<usize>> {
        let begin = usize::try_from(self.begin.get()).ok()?;
        Some(begin..begin.checked_add(usize::try_from(self.length.get()).ok()?)?)
    }

    /// With the padding up to where the next one begins.
    fn padded(&self) -> Option<Range<usize>> {
        let Range { start, end } = self.range()?;
        Some(start..end.checked_next_multiple_of(LINE_BYTES)?)
    }
}

/// Whether a file that begins with these bytes is a compiled one, of whatever version.
pub(crate) fn is_compiled(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(&MAGIC)
}

/// Whether there is a compiled file under a path. What cannot be read is none, and neither is a pipe, which is left as it
/// is.
pub(crate) fn is_compiled_file(path: &Path) -> bool {
    let mut first = [0; MAGIC.len()];
    let is_file = path.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file && File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && is_compiled(&first)
}

impl Compiled {
    /// Opens a compiled file: checks its header, its length and where its sections are.
    ///
    /// # Errors
    ///
    /// Anything but a whole file of this version.
    pub fn open(path: &Path, access: Access) -> Result<Self, CompiledError> {
        let read = |source| CompiledError::Read { path: path.into(), source };
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        // an empty file cannot be mapped, and is nothing anyway
        if length < size_of::<Header>() as u64 {
            let mut start = Vec::new();
            file.take(MAGIC.len() as u64).read_to_end(&mut start).map_err(read)?;
            let (path, expected) = (path.into(), size_of::<Header>() as u64);
            return Err(match !start.is_empty() && MAGIC.starts_with(&start) {
                true => CompiledError::Truncated { path, found: length, expected },
                false => CompiledError::Foreign { path },
            });
        }
        let memory = match access {
            Access::Map => Memory::map(&file),
            Access::Copy => Memory::copy(&file, usize::try_from(length).unwrap_or(usize::MAX)),
        };
        Self::of(path, Arc::new(memory.map_err(read)?))
    }

    /// Opens a compiled file that is in memory; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CompiledError> {
        Self::of(path, Arc::new(Memory::from(bytes)))
    }

    fn of(path: &Path, memory: Arc<Memory>) -> Result<Self, CompiledError> {
        let own = || path.to_owned();
        let bytes = memory.bytes();
        let found = bytes.len() as u64;
        let truncated = |expected: u64| CompiledError::Truncated { path: own(), found, expected };
        if !is_compiled(bytes) {
            return Err(CompiledError::Foreign { path: own() });
        }
        let Ok((header, rest)) = Header::read_from_prefix(bytes) else { return Err(truncated(HEADER_BYTES as u64)) };
        if header.version.get() != VERSION {
            return Err(CompiledError::Version { path: own(), found: header.version.get() });
        }
        let table_bytes = u64::from(header.sections.get()) * size_of::<Section>() as u64;
        let table = usize::try_from(table_bytes).ok().and_then(|bytes| rest.get(..bytes));
        let Some(table) = table else { return Err(truncated(HEADER_BYTES as u64 + table_bytes)) };
        if header_checksum(&header, table) != header.checksum.get() {
            return Err(CompiledError::Corrupt { path: own(), what: "the header".to_owned() });
        }
        let expected = header.length.get();
        if found < expected {
            return Err(truncated(expected));
        }
        if found > expected {
            return Err(CompiledError::TooLong { path: own(), found, expected });
        }
        let window = Array::window(&memory, HEADER_BYTES..HEADER_BYTES + table.len());
        let malformed = |what| CompiledError::Malformed { path: own(), what };
        let sections: Array<Section> = window.ok_or_else(|| malformed("the section table"))?;
        if !sections.is_sorted_by(|a, b| a.key() < b.key()) {
            return Err(malformed("sections are out of order"));
        }
        let mut end = (HEADER_BYTES + table.len()).next_multiple_of(LINE_BYTES);
        for section in &*sections {
            let padded = section.padded().filter(|padded| padded.start == end && padded.end <= bytes.len());
            end = padded.ok_or_else(|| malformed("a section is not where it has to be"))?.end;
        }
        if end != bytes.len() || header.zero != [0; 32] {
            return Err(malformed("there is something between the sections"));
        }
        Ok(Self { path: path.into(), memory, sections })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has.
    pub fn length(&self) -> usize {
        self.memory.bytes().len()
    }

    /// Reads the whole file and compares all checksums.
    ///
    /// # Errors
    ///
    /// The first section that is not as it was written.
    pub fn verify(&self) -> Result<(), CompiledError> {
        let bytes = self.memory.bytes();
        let corrupt = |what: String| CompiledError::Corrupt { path: (*self.path).into(), what };
        let table_end = HEADER_BYTES + self.sections.memory_bytes();
        let padding = bytes.get(table_end..table_end.next_multiple_of(LINE_BYTES)).unwrap_or_default();
        if padding.iter().any(|&byte| byte != 0) {
            return Err(corrupt("the header".to_owned()));
        }
        for section in &*self.sections {
            let content = section.padded().and_then(|padded| bytes.get(padded)).unwrap_or_default();
            let is_padded =
                content.get(section.length.get() as usize..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0));
            if !is_padded || XxHash3_64::oneshot(content) != section.checksum.get() {
                let (place, kind) = section.key();
                return Err(corrupt(format!("section {place}:{kind}")));
            }
        }
        Ok(())
    }

    /// An array; empty if there is no such section.
    pub(crate) fn array<T: FromBytes + IntoBytes + Immutable>(
        &self,
        place: Place,
        kind: Kind,
    ) -> Result<Array<T>, Malformed> {
        let key = (place.0, kind as u32);
        let Ok(at) = self.sections.binary_search_by_key(&key, Section::key) else { return Ok(Array::default()) };
        let window = self.sections[at].range().and_then(|range| Array::window(&self.memory, range));
        window.ok_or(Malformed("a section is no whole number of elements"))
    }

    /// A single element; none if there is no such section.
    pub(crate) fn element<T: FromBytes + IntoBytes + Immutable + Copy>(
        &self,
        place: Place,
        kind: Kind,
    ) -> Result<Option<T>, Malformed> {
        match *self.array::<T>(place, kind)? {
            [] => Ok(None),
            [element] => Ok(Some(element)),
            _ => Err(Malformed("a section has more than its one element")),
        }
    }

    /// Turns what is wrong with a section into an error of the file.
    pub(crate) fn malformed(&self, Malformed(what): Malformed) -> CompiledError {
        CompiledError::Malformed { path: (*self.path).into(), what }
    }
}

/// The sections of a file that is to be written.
#[derive(Debug, Default)]
pub(crate) struct Sections<'s>(Vec<(Place, Kind, Cow<'s, [u8]>)>);

impl<'s> Sections<'s> {
    /// Adds an array, unless it is empty.
    pub(crate) fn array<T: IntoBytes + Immutable>(&mut self, place: Place, kind: Kind, elements: &'s [T]) {
        if !elements.is_empty() {
            self.0.push((place, kind, elements.as_bytes().into()));
        }
    }

    /// Adds a record of some kind.
    pub(crate) fn element<T: IntoBytes + Immutable>(&mut self, place: Place, kind: Kind, element: T) {
        self.0.push((place, kind, element.as_bytes().to_vec().into()));
    }

    /// Adds bytes that were made for the file.
    pub(crate) fn bytes(&mut self, place: Place, kind: Kind, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.0.push((place, kind, bytes.into()));
        }
    }

    /// Writes the file under a temporary name in the same folder, has it on the disk, and then gives it its name, so that
    /// nobody ever sees a part of it and a mapped one before it stays whole.
    pub(crate) fn write(self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        // as any program would make it: what umask leaves
        let permissions = std::fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().prefix(".infamy-").permissions(permissions).tempfile_in(folder)?;
        self.write_to(&mut file)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    }

    /// The file.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("memory takes all that is written");
        bytes
    }

    fn write_to(mut self, out: &mut impl Write) -> io::Result<()> {
        self.0.sort_by_key(|&(place, kind, _)| (place, kind));
        let mut table = Vec::with_capacity(self.0.len());
        let mut end = (HEADER_BYTES + self.0.len() * size_of::<Section>()).next_multiple_of(LINE_BYTES);
        for (place, kind, content) in &self.0 {
            let mut hasher = XxHash3_64::new();
            hasher.write(content);
            hasher.write(padding(content.len()));
            table.push(Section {
                place: place.0.into(),
                kind: (*kind as u32).into(),
                begin: (end as u64).into(),
                length: (content.len() as u64).into(),
                checksum: hasher.finish().into(),
            });
            end = (end + content.len()).next_multiple_of(LINE_BYTES);
        }
        let mut header = Header {
            magic: MAGIC,
            version: VERSION.into(),
            sections: (table.len() as u32).into(),
            length: (end as u64).into(),
            zero: [0; 32],
            checksum: 0.into(),
        };
        header.checksum = header_checksum(&header, table.as_bytes()).into();
        out.write_all(header.as_bytes())?;
        out.write_all(table.as_bytes())?;
        out.write_all(padding(HEADER_BYTES + size_of_val(&*table)))?;
        for (_, _, content) in &self.0 {
            out.write_all(content)?;
            out.write_all(padding(content.len()))?;
        }
        Ok(())
    }
}

/// The checksum of a header, but for where it stands itself, and of the table behind it.
fn header_checksum(header: &Header, table: &[u8]) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(&header.as_bytes()[..HEADER_BYTES - size_of::<U64>()]);
    hasher.write(table);
    hasher.finish()
}

/// The zeros that follow so many bytes.
fn padding(length: usize) -> &'static [u8] {
    &[0; LINE_BYTES][..length.next_multiple_of(LINE_BYTES) - length]
}

/// What no text begins with, and what a transfer that takes the file for text spoils: a byte beyond ASCII, a line end of
/// each kind, and the end of file of DOS.
const MAGIC: [u8; 8] = *b"\x89INF\r\n\x1a\n";
/// A change of the format that this program could not read has another number.
const VERSION: u32 = 1;
const HEADER_BYTES: usize = size_of::<Header>();
