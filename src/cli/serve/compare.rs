//! What entered, left and changed with a load, found after it is served, on a thread that nobody waits for.
//!
//! Addresses come from the two tables. Of names and digests a table keeps no spelling, so the files are read again: each
//! entry is asked of both tables, and written to a file of the state directory, by which those that left are known the next
//! time. Invariant: memory does not grow with the list, and what is told was answered otherwise before and after, whatever
//! the files say by now.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::audit::Notes;
use crate::dataset::difference::{Difference, Pair};
use crate::dataset::never::{range4_text, range6_text};
use crate::dataset::{Dataset, Spec};
use crate::dnsxl::Name;
use crate::dnsxl::subject::mask6;
use crate::evidence::store::{GenerationEntry, Moved};
use crate::feed::{self, Entry, Format, LineError, Said, Scope, Sink, Special};

/// A dataset before and after a load.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) spec: Spec,
    /// None at the start.
    pub(super) before: Option<Arc<Dataset>>,
    pub(super) after: Arc<Dataset>,
}

impl Loaded {
    /// Whether it is the same after all.
    pub(super) fn is_same(&self) -> bool {
        self.before.as_ref().is_some_and(|before| Arc::ptr_eq(before, &self.after))
    }
}

/// Finds what is different, and takes note of it; the spellings are kept in the folder, if there is one.
pub(super) fn compare(loaded: &Loaded, folder: Option<&Path>, notes: &mut Notes) {
    let count = loaded.before.as_ref().map_or(0, |before| before.parts.len()).max(loaded.after.parts.len());
    let before = |index: usize| loaded.before.as_ref().and_then(|before| before.parts.get(index));
    let mut pairs: Vec<Pair<'_>> =
        (0..count).map(|index| Pair::new(before(index), loaded.after.parts.get(index))).collect();
    let mut comparison = Comparison { loaded, notes, places4: Vec::new(), places6: Vec::new() };
    if loaded.before.is_some() {
        pairs.iter_mut().for_each(|pair| comparison.addresses(pair));
    }
    // parts of one dataset may tell of the same addresses
    comparison.places4.sort_unstable();
    comparison.places6.sort_unstable();
    let is_spelt = loaded.spec.emitted.is_none() && loaded.after.compiled.is_none();
    // what is in a pipe is there once, and the next load's
    if !is_spelt || !loaded.spec.files.iter().all(|path| path.is_file()) {
        return;
    }
    let path = folder.map(|folder| folder.join(format!("{}.zst", loaded.spec.name)));
    let both = loaded.before.iter().chain([&loaded.after]);
    let mut parts = both.flat_map(|dataset| &dataset.parts);
    let has_names = parts.any(|part| !part.table.names.is_empty() || !part.table.hashes.is_empty());
    if has_names
        && loaded.before.is_some()
        && let Some(Err(error)) = path.as_deref().map(|path| comparison.left(&mut pairs, path))
    {
        tracing::warn!(name = %loaded.spec.name, "names that left are not all told: {error}");
    }
    let kept = comparison.read(&mut pairs, path.as_deref().filter(|_| has_names));
    if let Err(error) = kept {
        tracing::warn!(name = %loaded.spec.name, "what entered is told in part: {error}");
    }
}

struct Comparison<'c> {
    loaded: &'c Loaded,
    notes: &'c mut Notes,
    /// IPv4 addresses that entered or changed: both ends, and which entry is to be told the line.
    places4: Vec<Place>,
    places6: Vec<Place>,
}

/// The last address, the first, and the number of an entry.
type Place = (u128, u128, usize);

impl Comparison<'_> {
    fn note(&mut self, subject: String, difference: Difference, count: u64, why: String) -> Option<usize> {
        let moved = match difference {
            Difference::Entered => Moved::Entered,
            Difference::Left => Moved::Left,
            Difference::Changed => Moved::Changed,
        };
        let dataset = self.loaded.spec.name.clone();
        self.notes.entries(GenerationEntry { dataset, subject, moved, why }, count)
    }

    fn addresses(&mut self, pair: &mut Pair<'_>) {
        let why = match (&self.loaded.spec.emitted, &self.loaded.after.compiled) {
            (Some(_), _) => "verdict".to_owned(),
            (None, Some(_)) => {
                self.loaded.spec.files.first().map(|path| path.display().to_string()).unwrap_or_default()
            }
            (None, None) => String::new(),
        };
        let because = |difference| if difference == Difference::Left { String::new() } else { why.clone() };
        pair.ip4(|first, last, difference| {
            let count = u64::from(last - first) + 1;
            let noted = self.note(range4_text(first, last), difference, count, because(difference));
            if let Some(index) = noted.filter(|_| difference != Difference::Left) {
                self.places4.push((last.into(), first.into(), index));
            }
        });
        pair.ip6(|first, last, difference| {
            let noted = self.note(range6_text(first, last), difference, 1, because(difference));
            if let Some(index) = noted.filter(|_| difference != Difference::Left) {
                self.places6.push((last, first, index));
            }
        });
    }

    /// Asks about what was spelt the last time, and tells what has left.
    fn left(&mut self, pairs: &mut [Pair<'_>], path: &Path) -> io::Result<()> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let mut lines = BufReader::new(zstd::Decoder::new(file)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let Some((part, spelt)) = Spelt::parse(line.strip_suffix(b"\n").unwrap_or(&line)) else { continue };
            let Some(pair) = pairs.get_mut(part) else { continue };
            if spelt.difference(pair) == Some(Difference::Left) {
                self.note(spelt.text(), Difference::Left, 1, String::new());
            }
        }
    }

    /// Reads the files: tells the names and digests that entered or changed, and where addresses are from that did.
    fn read(&mut self, pairs: &mut [Pair<'_>], path: Option<&Path>) -> io::Result<()> {
        let aside = path.map(|path| path.with_extension("new"));
        if let Some(folder) = path.and_then(Path::parent) {
            fs::create_dir_all(folder)?;
        }
        let open = |aside: &PathBuf| zstd::Encoder::new(BufWriter::new(File::create(aside)?), SPELLING_LEVEL);
        let out = aside.as_ref().map(open).transpose()?;
        let is_combined = self.loaded.spec.format == Format::Combined;
        let mut reader =
            Reading { comparison: self, pairs, file: Path::new(""), part: None, sections: 0, out, failed: None };
        let spec = &reader.comparison.loaded.spec;
        let mut result = Ok(());
        for file in &spec.files {
            reader.file = file;
            reader.part = (!is_combined).then_some(0);
            let parsed = feed::parse_file(file, spec.format, &spec.reading, &mut reader);
            result = result.and_then(|()| parsed.map(|_| ()).map_err(io::Error::other));
        }
        let Reading { out, failed, .. } = reader;
        let written = failed.map_or(Ok(()), Err);
        result.and(written)?;
        if let (Some(out), Some(aside), Some(path)) = (out, aside, path) {
            out.finish()?.into_inner().map_err(|error| error.into_error())?;
            fs::rename(aside, path)?;
        }
        Ok(())
    }
}

/// The sink of the second reading.
struct Reading<'r, 'c, 'p> {
    comparison: &'r mut Comparison<'c>,
    pairs: &'r mut [Pair<'p>],
    file: &'c Path,
    /// The part that what follows is of.
    part: Option<usize>,
    /// How many parts have begun in all files.
    sections: usize,
    out: Option<zstd::Encoder<'static, BufWriter<File>>>,
    failed: Option<io::Error>,
}

impl Reading<'_, '_, '_> {
    fn spelt(&mut self, line: u64, spelt: &Spelt) {
        let Some(part) = self.part else { return };
        if let Some(out) = self.out.as_mut().filter(|_| self.failed.is_none()) {
            self.failed = writeln!(out, "{part} {}", spelt.written()).err();
        }
        let Some(pair) = self.pairs.get_mut(part).filter(|_| self.comparison.loaded.before.is_some()) else { return };
        if let Some(difference) = spelt.difference(pair).filter(|difference| *difference != Difference::Left) {
            let why = format!("{}:{line}", self.file.display());
            self.comparison.note(spelt.text(), difference, 1, why);
        }
    }

    fn address(&mut self, line: u64, is_ip4: bool, first: u128, last: u128) {
        let Comparison { notes, places4, places6, .. } = &mut *self.comparison;
        let places = if is_ip4 { places4 } else { places6 };
        let begin = places.partition_point(|&(end, ..)| end < first);
        for &(_, _, entry) in places[begin..].iter().take_while(|&&(_, begin, _)| begin <= last) {
            notes.because(entry, || format!("{}:{line}", self.file.display()));
        }
    }
}

impl Sink for Reading<'_, '_, '_> {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        match entry {
            Entry::Ip4 { first, last, said: Said::Listed(_) } => self.address(line, true, first.into(), last.into()),
            Entry::Ip6 { bits, length, said: Said::Listed(_) } => {
                self.address(line, false, bits, bits | !mask6(length));
            }
            Entry::Name { wire, scope, said: Said::Listed(_) } => {
                if let Ok(name) = Name::from_wire(wire) {
                    self.spelt(line, &Spelt::Name(name, scope));
                }
            }
            Entry::Hash { key, said: Said::Listed(_) } => self.spelt(line, &Spelt::Hash(key.into())),
            _ => {}
        }
    }

    fn special(&mut self, _line: u64, special: Special<'_>) {
        if let Special::Dataset { format, .. } = special {
            // an access list is no part
            self.part = (format != Format::Acl).then_some(self.sections);
            self.sections += usize::from(format != Format::Acl);
        }
    }

    fn problem(&mut self, _line: u64, _problem: LineError) {}
}

/// A name or digest as a list spells it.
enum Spelt {
    Name(Name, Scope),
    Hash(Box<[u8]>),
}

impl Spelt {
    /// Reads a line that [`Self::written`] wrote behind the number of its part.
    fn parse(line: &[u8]) -> Option<(usize, Self)> {
        let text = std::str::from_utf8(line).ok()?;
        let (part, text) = text.split_once(' ')?;
        let spelt = match text.split_at_checked(1)? {
            ("#", hex) => Self::Hash(bytes_of(hex)?),
            (mark, name) => {
                let scope =
                    [Scope::Exact, Scope::Below, Scope::Both].into_iter().find(|scope| mark_of(*scope) == mark)?;
                Self::Name(Name::parse(name.as_bytes()).ok()?, scope)
            }
        };
        Some((part.parse().ok()?, spelt))
    }

    fn written(&self) -> String {
        match self {
            Self::Name(name, scope) => format!("{}{name}", mark_of(*scope)),
            Self::Hash(key) => format!("#{}", hex_of(key)),
        }
    }

    /// As lists and people write it.
    fn text(&self) -> String {
        match self {
            Self::Name(name, Scope::Exact) => name.to_string(),
            Self::Name(name, Scope::Below) => format!("*.{name}"),
            Self::Name(name, Scope::Both) => format!(".{name}"),
            Self::Hash(key) => hex_of(key),
        }
    }

    fn difference(&self, pair: &mut Pair<'_>) -> Option<Difference> {
        match self {
            Self::Name(name, scope) => pair.name(name, *scope),
            Self::Hash(key) => pair.hash(key),
        }
    }
}

fn mark_of(scope: Scope) -> &'static str {
    match scope {
        Scope::Exact => "=",
        Scope::Below => "*",
        Scope::Both => ".",
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Option<Box<[u8]>> {
    let digits = hex.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(byte).collect())?
}

/// What compresses names to a quarter in the time of reading them.
const SPELLING_LEVEL: i32 = 1;
