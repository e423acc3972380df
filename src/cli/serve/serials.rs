//! The zones' serials, kept in a file across restarts.
//!
//! Invariant: the file is whole at any time, as it is written aside and then takes the place of the one before. A line
//! is an apex, a blank and a serial; zones that are no longer served keep their line, as they may come back.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::dnsxl::Name;
use crate::reload::Store;

/// The file, and what was last written to it.
pub(super) struct Serials {
    directory: Option<PathBuf>,
    known: HashMap<Name, u32>,
}

impl Serials {
    /// Reads the file in a directory; without one nothing is kept.
    pub(super) fn open(directory: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut known = HashMap::new();
        if let Some(directory) = &directory {
            let path = directory.join(FILE);
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
                read => read.with_context(|| format!("state-directory: {}", path.display()))?,
            };
            for (index, line) in text.lines().enumerate() {
                let Some((apex, serial)) = parse(line) else {
                    bail!("{}:{}: is no `apex serial`; remove the line", path.display(), index + 1);
                };
                known.insert(apex, serial);
            }
        }
        Ok(Self { directory, known })
    }

    /// The serials of the last generation, by apex in lower case.
    pub(super) fn known(&self) -> &HashMap<Name, u32> {
        &self.known
    }

    /// Keeps the serials of a store's last generation.
    pub(super) fn keep(&mut self, store: &Store) -> io::Result<()> {
        let before = self.known.clone();
        self.known.extend(store.serials().map(|(apex, serial)| (apex.to_lowercase(), serial)));
        let Some(directory) = self.directory.as_ref().filter(|_| self.known != before) else { return Ok(()) };
        let mut lines: Vec<String> = self.known.iter().map(|(apex, serial)| format!("{apex} {serial}\n")).collect();
        lines.sort_unstable();
        let aside = directory.join(format!("{FILE}.new"));
        let mut file = File::create(&aside)?;
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        fs::rename(aside, directory.join(FILE))
    }
}

fn parse(line: &str) -> Option<(Name, u32)> {
    let (apex, serial) = line.split_once(' ')?;
    Some((Name::parse(apex.as_bytes()).ok()?, serial.parse().ok()?))
}

/// The file's name in the state directory.
const FILE: &str = "serials";
