//! The states of the judgement before, read back from what `infamy judge` wrote.
//!
//! Invariant: a state is known by /24, as states are decided there; a row for less is its /24's, a row for more all of
//! its /24s'.

use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use super::bits::prefixes;
use super::emit::Run;
use super::states::State;
use crate::evidence::Subject;
use crate::feed::{Compression, Excerpt, FileError, LineError, Lines};

/// The states of the judgement before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// First and last /24, and state; ascending and disjoint.
    states: Vec<(u32, u32, State)>,
}

impl Previous {
    /// Reads the TSV or JSON lines of a judgement.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is none that a judgement wrote.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut lines = Lines::open(path, Compression::Detect)?;
        let mut states = Vec::new();
        while let Some((number, line)) = lines.next_line()? {
            match line.and_then(parse) {
                Ok(Some((first, last, state))) => states.push((first, last, state)),
                Ok(None) => {}
                Err(error) => return Err(FileError::Line { path: path.to_owned(), line: number, error }),
            }
        }
        Ok(Self::of(states))
    }

    /// From first and last /24s with their states, in any order.
    pub fn of(mut states: Vec<(u32, u32, State)>) -> Self {
        states.sort_unstable();
        states.dedup_by(|next, last| {
            let is_same = (next.0, next.1) == (last.0, last.1);
            if is_same {
                last.2 = last.2.max(next.2);
            }
            is_same
        });
        Self { states }
    }

    /// From the runs of a judgement.
    pub fn of_runs(runs: &[Run]) -> Self {
        Self::of(runs.iter().map(|run| (run.first >> 8, run.last >> 8, run.state)).collect())
    }

    /// Writes the states as a judgement is written, aside first: the file is whole at any time.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let mut aside = tempfile::NamedTempFile::new_in(folder)?;
        let mut out = BufWriter::new(aside.as_file_mut());
        writeln!(out, "#prefix\tstate")?;
        for &(first, last, state) in &self.states {
            for (first, length) in prefixes(first << 8, last << 8 | 255) {
                writeln!(out, "{}/{length}\t{state}", Ipv4Addr::from(first))?;
            }
        }
        out.flush()?;
        drop(out);
        aside.as_file().sync_all()?;
        aside.persist(path).map(drop).map_err(|error| error.error)
    }

    /// The state that a /24 was in.
    pub fn state(&self, block: u32) -> State {
        let behind = self.states.partition_point(|range| range.0 <= block);
        let found = self.states[..behind].last().filter(|range| block <= range.1);
        found.map_or(State::None, |range| range.2)
    }

    /// How many /24s were in a state or a worse one.
    pub(super) fn blocks(&self, state: State) -> u32 {
        self.states.iter().filter(|range| range.2 >= state).map(|range| range.1 - range.0 + 1).sum()
    }

    /// Whether nothing was in any state.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}

fn parse(line: &[u8]) -> Result<Option<(u32, u32, State)>, LineError> {
    #[derive(serde::Deserialize)]
    struct Row<'a> {
        prefix: &'a str,
        state: &'a str,
    }
    let form = || LineError::Form { form: "prefix<TAB>state<TAB>…, as `infamy judge` writes it" };
    let (prefix, state) = match line {
        [] | [b'#', ..] => return Ok(None),
        [b'{', ..] => {
            let row: Row<'_> = serde_json::from_slice(line).map_err(|_| form())?;
            (row.prefix, row.state)
        }
        _ => {
            let text = std::str::from_utf8(line).map_err(|_| form())?;
            let mut columns = text.split('\t');
            (columns.next().unwrap_or_default(), columns.next().ok_or_else(form)?)
        }
    };
    if prefix == "prefix" {
        return Ok(None);
    }
    let state = State::of_name(state).ok_or_else(|| LineError::Word {
        what: "state",
        found: Excerpt::new(state.as_bytes()),
        known: "none, watch, suspicious, bad",
    })?;
    match Subject::parse(prefix.as_bytes()) {
        Some(Subject::Ip4 { bits, length }) => {
            let last = bits | !crate::dnsxl::subject::mask4(length);
            Ok(Some((bits >> 8, last >> 8, state)))
        }
        Some(Subject::Ip6 { .. }) => Ok(None),
        _ => Err(LineError::NoSubject { found: Excerpt::new(prefix.as_bytes()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_slash_24_are_one_state_and_the_worst() {
        let rows = [
            "prefix\tstate\tscore",
            "192.0.2.16/28\twatch\t40",
            "192.0.2.32/28\tbad\t80",
            "198.51.100.0/22\tsuspicious\t60",
            "{\"prefix\":\"203.0.113.0/24\",\"state\":\"watch\",\"score\":1}",
            "2001:db8::/48\twatch\t30",
        ];
        let states = rows.iter().filter_map(|row| parse(row.as_bytes()).expect("a row")).collect();
        let previous = Previous::of(states);
        let state = |text: &str| previous.state(u32::from(text.parse::<Ipv4Addr>().unwrap()) >> 8);
        assert_eq!(state("192.0.2.0"), State::Bad);
        assert_eq!(state("198.51.103.0"), State::Suspicious);
        assert_eq!(state("198.51.104.0"), State::None);
        assert_eq!(state("203.0.113.9"), State::Watch);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("states");
        let states = vec![(0xc0_0002, 0xc0_0002, State::Bad), (0xc6_3364, 0xc6_3366, State::Watch)];
        let previous = Previous::of(states);
        previous.write(&path).unwrap();
        let read = Previous::open(&path).unwrap();
        for block in [0xc0_0001, 0xc0_0002, 0xc0_0003, 0xc6_3363, 0xc6_3364, 0xc6_3365, 0xc6_3366, 0xc6_3367] {
            assert_eq!(read.state(block), previous.state(block), "{block:x}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_no_judgement_wrote_is_refused() {
        for wrong in ["192.0.2.0/24", "192.0.2.0/24\tawful\t1", "{\"prefix\":1}", "word\tbad"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
