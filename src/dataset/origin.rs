//! Where a listing comes from: the lines of a dataset's files that speak of a subject.
//!
//! The files are read again with the parser that loaded them, so that nothing is kept for it while serving and the
//! answer is exact; a file that changed since it was loaded shows its new lines.

use std::path::{Path, PathBuf};

use super::never::{prefix6_text, range4_text};
use super::{EMITTED, Emitted, LoadError, Spec};
use crate::dnsxl::subject::mask6;
use crate::dnsxl::{Name, QueryName, Subject};
use crate::feed::{self, Entry, LineError, Said, Scope, Sink, Special};
use crate::table::file::is_compiled_file;

/// A line that speaks of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from one.
    pub line: u64,
    /// The address, prefix, range or name that the line lists or excludes.
    pub entry: String,
    /// Whether it excludes it.
    pub is_exclusion: bool,
}

/// Finds the lines that speak of `name`, what stands in front of the dataset's place in a zone; none in a compiled file.
///
/// # Errors
///
/// A file that cannot be read to its end, or what an emitter is made from.
pub fn trace(spec: &Spec, name: &QueryName, now: i64) -> Result<Vec<Origin>, LoadError> {
    let mut found = Vec::new();
    if let Some(Emitted(emitter)) = &spec.emitted {
        let root = [Name::default()].into();
        let mut tracer = Tracer { spec, name, path: Path::new(EMITTED), under: root, found: &mut found };
        emitter.emit(now, &mut tracer).map_err(LoadError::Emit)?;
    }
    // the lines of a compiled file are elsewhere
    for path in spec.files.iter().filter(|path| !is_compiled_file(path)) {
        let root = [Name::default()].into();
        let mut tracer = Tracer { spec, name, path, under: root, found: &mut found };
        feed::parse_file(path, spec.format, &spec.reading, &mut tracer)?;
    }
    Ok(found)
}

/// The sink that looks for lines instead of loading them.
struct Tracer<'t> {
    spec: &'t Spec,
    name: &'t QueryName,
    path: &'t Path,
    /// The names that the current section stands under.
    under: Vec<Name>,
    found: &'t mut Vec<Origin>,
}

impl Tracer<'_> {
    /// Whether the predicate holds of the subject as seen from any name that the section stands under.
    fn is_about(&self, holds: impl Fn(&Subject<'_>) -> bool) -> bool {
        let labels = self.name.labels();
        self.under.iter().any(|under| {
            let count = under.label_count();
            labels.count() >= count
                && labels.suffix(count) == under.to_lowercase().as_wire()
                && holds(&Subject::read(labels.without_suffix(count)))
        })
    }

    fn found(&mut self, line: u64, entry: String, said: Said<'_>) {
        let is_exclusion = said == Said::Excluded;
        self.found.push(Origin { path: self.path.into(), line, entry, is_exclusion });
    }
}

/// The IPv4 address that a subject is or has embedded.
fn address4(subject: &Subject<'_>) -> Option<u32> {
    let embedded = subject.ip6.filter(|block| block.is_address()).and_then(|b| b.mapped().or_else(|| b.six_to_four()));
    subject.ip4.filter(|block| block.is_address()).or(embedded).map(|block| block.bits)
}

impl Sink for Tracer<'_> {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        match entry {
            Entry::Ip4 { first, last, said } => {
                if self.is_about(|subject| address4(subject).is_some_and(|address| (first..=last).contains(&address))) {
                    self.found(line, range4_text(first, last), said);
                }
            }
            Entry::Ip6 { bits, length, said } => {
                let covers = |subject: &Subject<'_>| {
                    subject.ip6.is_some_and(|block| block.is_address() && block.bits & mask6(length) == bits)
                };
                if self.is_about(covers) {
                    self.found(line, prefix6_text(bits, length), said);
                }
            }
            Entry::Name { wire, scope, said } => {
                let Ok(owner) = Name::from_wire(wire) else { return };
                let count = owner.label_count();
                let covers = |subject: &Subject<'_>| {
                    let labels = subject.labels;
                    let below = labels.count() > count && scope != Scope::Exact;
                    let itself = labels.count() == count && scope != Scope::Below;
                    (below || itself) && labels.suffix(count) == wire
                };
                if self.is_about(covers) {
                    let mark = match scope {
                        Scope::Exact => "",
                        Scope::Below => "*.",
                        Scope::Both => ".",
                    };
                    self.found(line, format!("{mark}{owner}"), said);
                }
            }
            Entry::Hash { key, said } => {
                let Some(shape) = self.spec.reading.key else { return };
                let is_key = |label: &[u8]| shape.read_label(label).is_some_and(|asked| asked.as_bytes() == key);
                if self.is_about(|subject| subject.labels.count() == 1 && is_key(subject.labels.label(0))) {
                    let label = String::from_utf8_lossy(self.name.labels().label(0)).into_owned();
                    self.found(line, label, said);
                }
            }
            Entry::Record { owner, rtype, .. } => {
                if self.is_about(|subject| subject.labels.wire() == owner) {
                    let owner = Name::from_wire(owner).unwrap_or_default();
                    let said = Said::Listed(feed::Value { a: None, text: feed::Text::Unsaid });
                    self.found(line, format!("{owner} TYPE{rtype}"), said);
                }
            }
            Entry::Client { .. } | Entry::Key { .. } => {}
        }
    }

    fn special(&mut self, _line: u64, special: Special<'_>) {
        if let Special::Dataset { under, .. } = special {
            self.under = under;
        }
    }

    fn problem(&mut self, _line: u64, _problem: LineError) {}
}
