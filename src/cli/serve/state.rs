//! What outlives the process: the zones' serials, the number of the generation, and how large each dataset was.
//!
//! Invariant: each file is whole at any time, as it is written aside and then takes the place of the one before. `serials`
//! has an apex, a blank and a serial a line; zones that are no longer served keep their line, as they may come back.
//! `generation` has the line `generation NUMBER`, and for each dataset `entries NAME COUNT`.
//!
//! A disk that is full or read-only stops nothing that is served: it is said once, and tried again with the next generation.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::dnsxl::Name;
use crate::reload::Store;

/// What files are to outlast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// The end of the process, however it ends: live changes come by the second, and a busy disk would hold each of them up.
    Process,
    /// A loss of power too.
    Power,
}

/// The files, and what was last written to them.
pub(super) struct State {
    directory: Option<PathBuf>,
    serials: HashMap<Name, u32>,
    generation: u64,
    entries: BTreeMap<String, u64>,
    /// Whether the operator was told that they cannot be written.
    is_failing: bool,
}

impl State {
    /// Reads the files in a directory; without one nothing is kept.
    pub(super) fn open(directory: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut state =
            Self { directory, serials: HashMap::new(), generation: 0, entries: BTreeMap::new(), is_failing: false };
        let Some(directory) = state.directory.clone() else { return Ok(state) };
        each_line(&directory.join(SERIALS), "`apex serial`", |line| {
            let (apex, serial) = line.split_once(' ')?;
            state.serials.insert(Name::parse(apex.as_bytes()).ok()?, serial.parse().ok()?);
            Some(())
        })?;
        each_line(&directory.join(GENERATION), "`generation NUMBER` or `entries NAME COUNT`", |line| {
            match line.split_once(' ')? {
                ("generation", number) => state.generation = number.parse().ok()?,
                ("entries", rest) => {
                    let (name, count) = rest.split_once(' ')?;
                    state.entries.insert(name.to_owned(), count.parse().ok()?);
                }
                _ => return None,
            }
            Some(())
        })?;
        Ok(state)
    }

    /// The serials of the last generation, by apex in lower case.
    pub(super) fn serials(&self) -> &HashMap<Name, u32> {
        &self.serials
    }

    /// How many entries a dataset had when it was last served.
    pub(super) fn entries(&self, dataset: &str) -> Option<u64> {
        self.entries.get(dataset).copied()
    }

    /// The number of the current generation.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Counts a generation, and keeps what is to be known of it.
    pub(super) fn next_generation(&mut self, store: &Store, lasting: Lasting) {
        self.generation += 1;
        for (index, spec) in store.plan().datasets.iter().enumerate() {
            if let Some(entries) = store.entries(index) {
                self.entries.insert(spec.name.clone(), entries);
            }
        }
        let serials = self.serials.clone();
        self.serials.extend(store.serials().map(|(apex, serial)| (apex.to_lowercase(), serial)));
        match self.write(self.serials != serials, lasting) {
            Ok(()) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("state-directory: can be written again");
            }
            Err(error) if !self.is_failing => {
                self.is_failing = true;
                tracing::error!("state-directory: {error}: serials may go back at the next start; serving goes on");
            }
            _ => {}
        }
    }

    fn write(&self, with_serials: bool, lasting: Lasting) -> io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if with_serials || self.is_failing {
            let mut lines: Vec<String> =
                self.serials.iter().map(|(apex, serial)| format!("{apex} {serial}\n")).collect();
            lines.sort_unstable();
            put(directory, SERIALS, &lines.concat(), lasting)?;
        }
        let entries = self.entries.iter().map(|(name, count)| format!("entries {name} {count}\n"));
        let lines = [format!("generation {}\n", self.generation)].into_iter().chain(entries);
        put(directory, GENERATION, &lines.collect::<String>(), lasting)
    }
}

/// Reads the lines of a file, if there is one.
fn each_line(path: &Path, form: &str, mut read: impl FnMut(&str) -> Option<()>) -> anyhow::Result<()> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("state-directory: {}", path.display()))?,
    };
    for (index, line) in text.lines().enumerate() {
        if read(line).is_none() {
            bail!("{}:{}: is no {form}; remove the line", path.display(), index + 1);
        }
    }
    Ok(())
}

/// Writes a file aside and gives it its name.
fn put(directory: &Path, name: &str, text: &str, lasting: Lasting) -> io::Result<()> {
    let aside = directory.join(format!("{name}.new"));
    let at_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", aside.display()));
    let mut file = File::create(&aside).map_err(at_path)?;
    file.write_all(text.as_bytes()).map_err(at_path)?;
    if lasting == Lasting::Power {
        file.sync_all().map_err(at_path)?;
    }
    fs::rename(&aside, directory.join(name)).map_err(at_path)
}

/// The files' names in the state directory.
const SERIALS: &str = "serials";
const GENERATION: &str = "generation";
