//! A dataset: the unit of loading, checking and sharing between zones.
//!
//! Loading reads the dataset's files, applies the rules of their format and comes to one canonical form in which
//! exclusions no longer exist: sorted disjoint runs of addresses, name keys of which the deepest decides alone,
//! digests, RRsets. From that the dense table is built. Invariant: a [`Dataset`] is whole and never changes; what could
//! not be read whole is a [`LoadError`] and no dataset.

mod addresses;
pub mod blocks;
pub mod bounds;
pub mod clients;
mod collect;
pub mod compiled;
pub mod difference;
mod emitted;
pub mod hashes;
pub mod keys;
pub mod names;
pub mod never;
pub mod origin;
pub mod records;
mod room;
mod rules;
mod section;
mod sort;
mod spelling;
mod stamp;
pub mod tally;
pub mod values;

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use bounds::{Bounds, OutOfBounds};
pub use clients::{ClientAction, Clients};
pub use collect::Head;
pub use emitted::{Asked, Emit, EmitError, Emitted, Extent, Listing, Reasons, Reported, Revision, Revisions, Says};
pub use keys::{Key, Keys};
pub use never::NeverList;
pub use records::{Records, RrSet};
pub use spelling::Spelling;
pub use stamp::Stamp;
pub use tally::Tally;
pub use values::{DEFAULT_ADDRESS, Defaults, Template, Value, Values};

use crate::dnsxl::Name;
use crate::dnsxl::key::KeyShape;
use crate::feed::{self, FileError, Format, LineError, Quota, Reading};
use crate::table::{Access, Compiled, CompiledError, Table, file};
use collect::Collector;

/// What a dataset is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// What the configuration calls it.
    pub name: String,
    /// The format of all its files.
    pub format: Format,
    /// Its files, read as one.
    pub files: Vec<PathBuf>,
    /// What makes its statements where no file has them.
    pub emitted: Option<Emitted>,
    /// How they are read.
    pub reading: Reading,
    /// The values of entries that do not say otherwise.
    pub defaults: Defaults,
    /// What becomes of a wrong line.
    pub bad_lines: BadLines,
    /// The fewest entries that a whole load has: an empty file is rarely meant.
    pub min_entries: u64,
    /// How much it may differ from the load before.
    pub bounds: Bounds,
    /// TTLs in the files are kept within these seconds.
    pub ttl_bounds: RangeInclusive<u32>,
    /// Whether the never-list holds for it.
    pub heeds_never_list: bool,
}

/// What becomes of a wrong line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLines {
    /// It is reported and left out.
    Skip,
    /// It fails the load.
    Refuse,
}

/// A loaded dataset.
#[derive(Debug)]
pub struct Dataset {
    /// What the configuration calls it.
    pub name: String,
    /// What is listed, each part with names of its own that it stands under.
    pub parts: Vec<Part>,
    /// The access list, if it is one.
    pub clients: Option<Clients>,
    /// The keys, if it is a file of keys.
    pub keys: Option<Keys>,
    /// What its files say of the zone.
    pub head: Head,
    /// The newest modification time of its files, as a Unix time in seconds.
    pub modified: i64,
    /// The compiled file that it is in, if it is in one.
    pub compiled: Option<Compiled>,
}

/// What one format's rules came to: most datasets are one part, a `combined` one has several.
#[derive(Debug, Default, PartialEq)]
pub struct Part {
    /// Names relative to the zone that the part stands under; an empty name is the apex itself.
    pub under: Vec<Name>,
    /// Which kinds of subject the part is about, whether or not it lists any.
    pub holds: Holds,
    /// Subjects to values.
    pub table: Table,
    /// What the table's ids stand for.
    pub values: Values,
    /// The resource records of a `generic` part.
    pub records: Records,
}

/// The kinds of subject that a part is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// IPv4 addresses.
    pub ip4: bool,
    /// IPv6 addresses.
    pub ip6: bool,
    /// Domain names.
    pub names: bool,
    /// Digests, spelt so.
    pub hashes: Option<KeyShape>,
}

impl Dataset {
    /// Whether this dataset and the other list the same, whenever and from whatever lines they were made.
    pub fn says_what(&self, other: &Self) -> bool {
        (&self.parts, &self.clients) == (&other.parts, &other.clients)
            && (&self.keys, &self.head) == (&other.keys, &other.head)
    }

    /// Reads all of the compiled file that the dataset is in, if it is in one, and compares its checksums.
    ///
    /// # Errors
    ///
    /// Anything that is not as it was written.
    pub fn verify(&self) -> Result<(), CompiledError> {
        self.compiled.as_ref().map_or(Ok(()), Compiled::verify)
    }

    /// How much it lists: addresses, prefixes, names, digests, records and clients.
    pub fn listings(&self) -> u64 {
        compiled::listings(self)
    }

    /// Memory of all parts in bytes, of the heap or of a mapped file.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }
}

impl Part {
    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.values.bytes() + self.records.bytes()
    }
}

/// What loading had to say, besides the dataset.
#[derive(Debug, Default)]
pub struct Report {
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All problems, the kept ones included.
    pub total: u64,
    /// How many entries were taken.
    pub entries: u64,
    /// What the sections came to.
    pub tallies: Vec<Tally>,
    /// What an emitter told.
    pub notes: Vec<String>,
}

impl Report {
    fn push(&mut self, problem: Problem) {
        self.total += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// A line, or a part of what it says, that is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: Arc<Path>,
    /// The line, counted from one.
    pub line: u64,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.reason)
    }
}

/// Why something is not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The line is wrong.
    #[error(transparent)]
    Line(LineError),
    /// No list may list this.
    #[error("{subject} is left out: it is on the never-list: {what}")]
    Never {
        /// The address, prefix, range or name.
        subject: String,
        /// What it is.
        what: String,
    },
    /// A prefix that was said before; the first one holds.
    #[error("duplicated entry for {subject}")]
    Repeated {
        /// The prefix.
        subject: String,
    },
    /// RFC 1034, section 3.6.2.
    #[error("CNAME left out: its owner has other records, and a CNAME must stand alone")]
    CnameWithOther,
    /// A key that somebody else has, or the same one again.
    #[error("the key of {name} is left out: it is already that of {first}")]
    KeyTwice {
        /// Whose key is left out.
        name: String,
        /// Whose it is.
        first: String,
    },
    /// A second quota for one name.
    #[error(
        "the quota of {name} is left out: {quota} here, and {first} in an earlier line: write one for all its keys"
    )]
    QuotaTwice {
        /// Whose quota.
        name: String,
        /// What the line says.
        quota: Quota,
        /// What holds.
        first: Quota,
    },
    /// Every address there is.
    #[error("{what} lists every address: refused; list what is meant")]
    Everything {
        /// The prefix.
        what: &'static str,
    },
}

/// Why a dataset could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be read to its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it is made from cannot be used.
    #[error("{0}")]
    Emit(EmitError),
    /// A file of keys that others can read or write.
    #[error("{path}: mode {mode:03o} lets others in: `chmod 640` it")]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A wrong line, where wrong lines are fatal.
    #[error("{0}")]
    Line(Problem),
    /// A list of the whole Internet.
    #[error("{0}")]
    Everything(Problem),
    /// Data that says it is not made yet.
    #[error("{path}: $TIMESTAMP is {ahead} seconds in the future: set the clock here or there right")]
    NotYet {
        /// The dataset's first file.
        path: PathBuf,
        /// Seconds.
        ahead: i64,
    },
    /// Too few entries.
    #[error("{path}: {found} entries, at least {least} expected: is the file complete?")]
    TooFew {
        /// The dataset's first file.
        path: PathBuf,
        /// Entries found.
        found: u64,
        /// Entries expected.
        least: u64,
    },
    /// Too few entries, and wrong lines beside them.
    #[error("{first}; without wrong lines there are {found} entries, at least {least} expected")]
    TooFewRight {
        /// The first wrong line.
        first: Box<Problem>,
        /// Entries found.
        found: u64,
        /// Entries expected.
        least: u64,
    },
    /// Much less, or more, than the load before.
    #[error("{path}: {why}; if it is right, `infamy accept {dataset}` takes it once")]
    OutOfBounds {
        /// The dataset's first file.
        path: PathBuf,
        /// Its name.
        dataset: String,
        /// What is allowed, and what was found.
        why: OutOfBounds,
    },
    /// A compiled file that cannot be used.
    #[error(transparent)]
    Compiled(#[from] CompiledError),
    /// A compiled file beside others.
    #[error("{path}: a compiled file is a whole dataset: name it alone, or compile all files into one")]
    Mixed {
        /// The compiled file.
        path: PathBuf,
    },
    /// A compiled file of another kind of list.
    #[error("{path}: compiled from another format than the dataset says: name the right one, or none")]
    OtherFormat {
        /// The compiled file.
        path: PathBuf,
    },
    /// A compiled file with what no list may list.
    #[error(
        "{path}: lists {subject}, which is on the never-list: compile it with this configuration, which cuts it out"
    )]
    Never {
        /// The compiled file.
        path: PathBuf,
        /// The address or name.
        subject: String,
    },
    /// A compiled file of which names or digests are wanted.
    #[error(
        "{path}: names and digests cannot be read back from a compiled file: name the files that it was compiled from"
    )]
    Unspelt {
        /// The compiled file.
        path: PathBuf,
    },
    /// More distinct values than can be numbered.
    #[error("{path}: {source}")]
    TooManyValues {
        /// The dataset's first file.
        path: PathBuf,
        /// What the limit is.
        #[source]
        source: values::TooManyValues,
    },
}

/// Loads a dataset.
///
/// # Errors
///
/// A file that cannot be read to its end, a wrong line where those are fatal, a time stamp later than `now`, too few
/// entries, too many values, or, with a never-list, a listing of every address there is.
pub fn load(spec: &Spec, never: &NeverList, now: i64) -> Result<(Dataset, Report), LoadError> {
    load_on(available_threads(), spec, never, now)
}

/// As [`load`], with so many threads at the most. Whatever their number, what comes of it is the same.
///
/// # Errors
///
/// As [`load`].
pub fn load_on(threads: usize, spec: &Spec, never: &NeverList, now: i64) -> Result<(Dataset, Report), LoadError> {
    let compiled = open(spec, never, now)?;
    let Some((dataset, report)) = compiled else { return load_files(threads, spec, never, now, None) };
    dataset.verify()?;
    Ok((dataset, report))
}

/// Opens a dataset that is a compiled file, without reading all of it: [`Dataset::verify`] is still to be called. None if
/// the dataset's files are lists.
///
/// # Errors
///
/// As [`load`].
pub fn open(spec: &Spec, never: &NeverList, now: i64) -> Result<Option<(Dataset, Report)>, LoadError> {
    let Some(path) = spec.files.iter().find(|path| file::is_compiled_file(path)) else { return Ok(None) };
    let own = || path.clone();
    if spec.files.len() > 1 {
        return Err(LoadError::Mixed { path: own() });
    }
    let access = if spec.reading.copy { Access::Copy } else { Access::Map };
    let (mut dataset, format) = compiled::open(&Compiled::open(path, access)?, &spec.name)?;
    if format != spec.format {
        return Err(LoadError::OtherFormat { path: own() });
    }
    dataset.modified = modification_time(path)?;
    let found = compiled::listings(&dataset);
    check_head(&dataset.head, spec, found, now)?;
    if let Some(subject) = compiled::forbidden(&dataset, never).filter(|_| spec.heeds_never_list) {
        return Err(LoadError::Never { path: own(), subject });
    }
    let tallies = compiled::tallies(&dataset, format);
    Ok(Some((dataset, Report { entries: found, tallies, ..Report::default() })))
}

/// Refuses data that is not made yet, and too little of it.
fn check_head(head: &Head, spec: &Spec, found: u64, now: i64) -> Result<(), LoadError> {
    let first_path = || spec.files.first().cloned().unwrap_or_default();
    if let Some(ahead) = head.created.map(|created| created.saturating_sub(now)).filter(|&ahead| ahead > 0) {
        return Err(LoadError::NotYet { path: first_path(), ahead });
    }
    if found < spec.min_entries {
        return Err(LoadError::TooFew { path: first_path(), found, least: spec.min_entries });
    }
    Ok(())
}

/// Loads a dataset; `spelt` sees, for each of its parts in order, what the part's table does not keep.
///
/// # Errors
///
/// As [`load`].
pub fn load_and_spell(
    spec: &Spec,
    never: &NeverList,
    now: i64,
    mut spelt: impl FnMut(Spelling),
) -> Result<(Dataset, Report), LoadError> {
    let Some((dataset, report)) = open(spec, never, now)? else {
        return load_files(available_threads(), spec, never, now, Some(&mut spelt));
    };
    dataset.verify()?;
    if dataset.parts.iter().any(|part| !part.table.names.is_empty() || !part.table.hashes.is_empty()) {
        return Err(LoadError::Unspelt { path: spec.files.first().cloned().unwrap_or_default() });
    }
    dataset.parts.iter().map(|_| Spelling::default()).for_each(spelt);
    Ok((dataset, report))
}

/// How many threads a load may have: as many as there are processors.
fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn load_files(
    threads: usize,
    spec: &Spec,
    never: &NeverList,
    now: i64,
    spelt: Option<&mut dyn FnMut(Spelling)>,
) -> Result<(Dataset, Report), LoadError> {
    let nothing = NeverList::empty();
    let never = if spec.heeds_never_list { never } else { &nothing };
    room::keep_large_apart();
    let mut collector = Collector::new(spec, never, threads);
    let mut modified = 0;
    for path in &spec.files {
        if spec.format == Format::Keys {
            check_secret(path)?;
        }
        collector.begin_file(path);
        let reading = Reading { max_range4: collector.max_range4, ..spec.reading.clone() };
        let mut helpers = collector.helpers();
        feed::parse_file_on(path, spec.format, &reading, &mut collector, &mut helpers)?;
        collector.absorb(helpers);
        modified = modified.max(modification_time(path)?);
    }
    if let Some(Emitted(emitter)) = &spec.emitted {
        collector.begin_file(Path::new(EMITTED));
        emitter.emit(now, &mut collector).map_err(LoadError::Emit)?;
        collector.report.notes = emitter.notes();
        for path in emitter.files() {
            modified = modified.max(modification_time(&path)?);
        }
    }
    let first_path = || spec.files.first().cloned().unwrap_or_default();
    if let Some(problem) = collector.everything.take().filter(|_| !never.is_empty()) {
        return Err(LoadError::Everything(problem));
    }
    let wrong = match (collector.bad_line.take(), spec.bad_lines) {
        (Some(problem), BadLines::Refuse) => return Err(LoadError::Line(problem)),
        (wrong, _) => wrong,
    };
    check_head(&collector.head, spec, collector.report.entries, now).map_err(|error| match (error, wrong) {
        (LoadError::TooFew { found, least, .. }, Some(first)) => {
            LoadError::TooFewRight { first: Box::new(first), found, least }
        }
        (error, _) => error,
    })?;
    if collector.too_many_values {
        return Err(LoadError::TooManyValues { path: first_path(), source: values::TooManyValues });
    }
    let (mut parts, clients) =
        collector.finish(spelt).map_err(|source| LoadError::TooManyValues { path: first_path(), source })?;
    if let (Some(Emitted(emitter)), [part, ..]) = (&spec.emitted, &mut parts[..]) {
        part.holds = emitter.holds();
    }
    let keys = (spec.format == Format::Keys).then(|| std::mem::take(&mut collector.keys).settled());
    let head = std::mem::take(&mut collector.head);
    let dataset = Dataset { name: spec.name.clone(), parts, clients, keys, head, modified, compiled: None };
    Ok((dataset, collector.report))
}

/// Refuses a file of keys that others can read or write, and what is none.
fn check_secret(path: &Path) -> Result<(), LoadError> {
    let read = |source| FileError::Read { path: path.into(), source };
    match open_to_others(&file_at(path).map_err(read)?) {
        Some(mode) => Err(LoadError::Open { path: path.into(), mode }),
        None => Ok(()),
    }
}

/// What is known of a file of secrets; a pipe is none, as to open it is to wait for whoever writes to it.
pub fn file_at(path: &Path) -> io::Result<Metadata> {
    let found = path.metadata()?;
    if found.is_file() { Ok(found) } else { Err(io::Error::other("is a folder, pipe or device: write it to a file")) }
}

/// The mode of a file of secrets, if it lets others than owner and group read or write it.
pub fn open_to_others(file: &Metadata) -> Option<u32> {
    let mode = file.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then_some(mode)
}

/// When the file was last written, as a Unix time in seconds.
fn modification_time(path: &Path) -> Result<i64, FileError> {
    let read = |source| FileError::Read { path: path.into(), source };
    let modified = path.metadata().and_then(|metadata| metadata.modified()).map_err(read)?;
    Ok(modified.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}

/// What others than owner and group may not do with a file of secrets: read it, write it.
const OTHERS: u32 = 0o006;
/// What stands in the place of a path where no file says something.
const EMITTED: &str = "(verdicts)";
/// The most problems of one load that are kept word by word; more are counted.
pub const MAX_PROBLEMS: usize = 1000;

#[cfg(test)]
mod tests;
