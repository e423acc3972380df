//! How many queries each zone got, from the server's tallies: told by signals and in the file of `-s`.
//!
//! Invariant: a count is never lost. A reset moves what is counted from; the tallies only grow.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use super::options::Output;
use crate::server::{Finding, Tallies};

/// What was counted of a zone, or of all queries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) total: u64,
    pub(super) ok: u64,
    pub(super) nxdomain: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Counts {
    fn errors(self) -> u64 {
        self.total.saturating_sub(self.ok + self.nxdomain)
    }

    fn combine(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            total: with(self.total, other.total),
            ok: with(self.ok, other.ok),
            nxdomain: with(self.nxdomain, other.nxdomain),
            bytes_in: with(self.bytes_in, other.bytes_in),
            bytes_out: with(self.bytes_out, other.bytes_out),
        }
    }
}

/// What was counted of each of that many zones, and at the end of what is outside them.
fn read(tallies: &Tallies, zones: usize) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); zones + 1];
    for (zone, of) in tallies.read().values().flat_map(|carrier| &carrier.zones) {
        // the plan never changes, so that zones have their places in it for numbers
        let sum = &mut counts[zone.map_or(zones, |number| number as usize).min(zones)];
        let ok = [Finding::Listed, Finding::Ent, Finding::Other].map(|finding| of.of(finding)).iter().sum();
        let new = Counts {
            total: of.total(),
            ok,
            nxdomain: of.of(Finding::Unlisted),
            bytes_in: of.bytes_in(),
            bytes_out: of.bytes_out(),
        };
        *sum = sum.combine(new, u64::wrapping_add);
    }
    counts
}

/// What has been told so far.
#[derive(Debug)]
pub(super) struct Statistics {
    names: Vec<String>,
    /// The counts at the last reset, and when that was.
    base: Vec<Counts>,
    since: i64,
    /// The counts at the last line of the file.
    last: Vec<Counts>,
}

impl Statistics {
    /// Statistics of zones with these names from `now` on.
    pub(super) fn new(names: Vec<String>, now: i64) -> Self {
        let zeros = vec![Counts::default(); names.len() + 1];
        Self { names, base: zeros.clone(), since: now, last: zeros }
    }

    /// What was counted since the last reset, for the log: a line for each zone, and one for all.
    pub(super) fn messages(&self, tallies: &Tallies, now: i64) -> Vec<String> {
        let (counts, all) = since(&self.read(tallies), &self.base);
        let seconds = now - self.since;
        let shown = |counts: Counts| {
            let Counts { total, ok, nxdomain, bytes_in, bytes_out } = counts;
            let errors = counts.errors();
            format!("tot={total} ok={ok} nxd={nxdomain} err={errors} in={bytes_in} out={bytes_out}")
        };
        let zone =
            |(name, &counts): (&String, &Counts)| format!("stats for {seconds}secs zone {name}: {}", shown(counts));
        let mut messages: Vec<String> = self.names.iter().zip(&counts).map(zone).collect();
        messages.push(format!("stats for {seconds}sec: {}", shown(all)));
        messages
    }

    /// Counts from zero again.
    pub(super) fn reset(&mut self, tallies: &Tallies, now: i64) {
        self.base = self.read(tallies);
        self.last.clone_from(&self.base);
        self.since = now;
    }

    /// Writes the line of the file: the time, each zone, and all of them as `*`.
    pub(super) fn append(&mut self, tallies: &Tallies, output: &Output, now: i64) -> io::Result<()> {
        let current = self.read(tallies);
        let (counts, all) = since(&current, if output.plus { &self.last } else { &self.base });
        let mut line = now.to_string();
        let all = std::iter::once((ALL, all));
        for (name, counts) in self.names.iter().map(|name| &**name).zip(counts).chain(all) {
            let Counts { total, ok, nxdomain, bytes_in, bytes_out } = counts;
            let _ = write!(line, " {name}:{total}:{ok}:{nxdomain}:{bytes_in}:{bytes_out}");
        }
        self.last = current;
        append(output, line)
    }

    fn read(&self, tallies: &Tallies) -> Vec<Counts> {
        read(tallies, self.names.len())
    }
}

/// Writes a line with the time alone: counting begins or ends.
pub(super) fn append_mark(output: &Output, now: i64) -> io::Result<()> {
    append(output, now.to_string())
}

fn append(output: &Output, mut line: String) -> io::Result<()> {
    line.push('\n');
    match &output.path {
        None => io::stdout().lock().write_all(line.as_bytes()),
        // opened for every line, so that the file can be moved away at any time
        Some(path) => append_to(path, line.as_bytes()),
    }
}

fn append_to(path: &Path, line: &[u8]) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(line)
}

/// What was added to each zone's counts, and to all.
fn since(current: &[Counts], base: &[Counts]) -> (Vec<Counts>, Counts) {
    let counts: Vec<Counts> =
        current.iter().zip(base).map(|(&current, &base)| current.combine(base, u64::saturating_sub)).collect();
    let all = counts.iter().fold(Counts::default(), |all, &one| all.combine(one, u64::wrapping_add));
    (counts, all)
}

/// What stands for all zones.
const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{DropReason, Ground, Outcome, Summary};
    use crate::server::Carrier;

    fn count(tallies: &mut Tallies, zone: Option<u32>, rcode: Option<u16>) {
        let outcome = match rcode {
            Some(rcode) => {
                let ground = if rcode == 0 { Ground::Listing } else { Ground::Other };
                let summary = Summary { rcode, answers: 1, ground, qtype: 1, ..Summary::default() };
                Outcome::Reply { length: 90, summary }
            }
            None => Outcome::Drop(DropReason::Access { zone: None }),
        };
        // each on a thread of its own
        tallies.open(Carrier::Udp).count(zone, outcome, 30);
    }

    #[test]
    fn lines_and_messages_are_those_of_rbldnsd() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats");
        let absolute = Output { path: Some(path.clone()), plus: false };
        let relative = Output { path: Some(path.clone()), plus: true };
        let mut tallies = Tallies::default();
        let mut statistics = Statistics::new(vec!["a.ex".to_owned(), "b.ex".to_owned()], 100);
        append_mark(&absolute, 100).unwrap();
        for (zone, rcode) in [(Some(0), Some(0)), (Some(0), Some(3)), (Some(1), Some(2)), (None, Some(5)), (None, None)]
        {
            count(&mut tallies, zone, rcode);
        }
        assert_eq!(
            statistics.messages(&tallies, 107),
            [
                "stats for 7secs zone a.ex: tot=2 ok=1 nxd=1 err=0 in=60 out=180",
                "stats for 7secs zone b.ex: tot=1 ok=0 nxd=0 err=1 in=30 out=90",
                "stats for 7sec: tot=5 ok=1 nxd=1 err=3 in=150 out=360",
            ]
        );
        statistics.append(&tallies, &relative, 107).unwrap();
        count(&mut tallies, Some(0), Some(0));
        statistics.append(&tallies, &relative, 108).unwrap();
        statistics.append(&tallies, &absolute, 109).unwrap();
        statistics.reset(&tallies, 110);
        statistics.append(&tallies, &absolute, 111).unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "100\n107 a.ex:2:1:1:60:180 b.ex:1:0:0:30:90 *:5:1:1:150:360\n\
             108 a.ex:1:1:0:30:90 b.ex:0:0:0:0:0 *:1:1:0:30:90\n\
             109 a.ex:3:2:1:90:270 b.ex:1:0:0:30:90 *:6:2:1:180:450\n\
             111 a.ex:0:0:0:0:0 b.ex:0:0:0:0:0 *:0:0:0:0:0\n"
        );
    }
}
