//! How many queries each zone got: counted while answering, told by signals and in the file of `-s`.
//!
//! Invariant: a count is never lost and never blocks: threads add to counters of their own as far as there are enough,
//! and whoever tells sums them up. A reset moves what is counted from; the counters only grow.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::options::Output;
use crate::answer::{Outcome, RCODE_NXDOMAIN};
use crate::server::Exchange;

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

/// The counters of all threads; the last zone stands for what is outside every zone.
#[derive(Debug)]
pub(super) struct Counters {
    zones: usize,
    cells: Box<[Cells]>,
}

/// On a cache line of its own, so that threads do not take it from each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cells([AtomicU64; 5]);

impl Counters {
    /// Counters of that many zones.
    pub(super) fn new(zones: usize) -> Self {
        let zones = zones + 1;
        Self { zones, cells: (0..zones * SHARDS).map(|_| Cells::default()).collect() }
    }

    /// Takes note of one query.
    pub(super) fn count(&self, exchange: &Exchange<'_>) {
        let (zone, rcode) = match exchange.outcome {
            Outcome::Reply { summary, .. } => (summary.zone, Some(summary.rcode)),
            Outcome::Drop(_) => (None, None),
        };
        let zone = zone.unwrap_or(self.zones - 1).min(self.zones - 1);
        let shard = shard();
        let add = |cell: &AtomicU64, count: u64| match shard < SHARED {
            // nobody else adds here, and a plain addition costs a tenth of an atomic one
            true => cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed),
            false => _ = cell.fetch_add(count, Ordering::Relaxed),
        };
        let Cells([total, ok, nxdomain, bytes_in, bytes_out]) = &self.cells[shard * self.zones + zone];
        add(total, 1);
        match rcode {
            Some(0) => add(ok, 1),
            Some(RCODE_NXDOMAIN) => add(nxdomain, 1),
            _ => {}
        }
        add(bytes_in, exchange.query.len() as u64);
        add(bytes_out, exchange.reply.len() as u64);
    }

    /// What was counted of each zone, and at the end of what is outside them.
    fn read(&self) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.zones];
        for (index, Cells(cells)) in self.cells.iter().enumerate() {
            // the total last: another thread may add in between, and a part must not be more than the whole
            let [ok, nxdomain, bytes_in, bytes_out, total] =
                [1, 2, 3, 4, 0].map(|of| cells[of].load(Ordering::Relaxed));
            let sum = &mut counts[index % self.zones];
            *sum = sum.combine(Counts { total, ok, nxdomain, bytes_in, bytes_out }, u64::wrapping_add);
        }
        counts
    }
}

/// The counters that this thread adds to: its own, or those that all threads share for which there are none left.
fn shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let own = NEXT.fetch_add(1, Ordering::Relaxed).min(SHARED);
        OWN.set(Some(own));
        own
    })
}

/// What has been told of the counters so far.
#[derive(Debug)]
pub(super) struct Statistics {
    names: Vec<String>,
    /// The counters at the last reset, and when that was.
    base: Vec<Counts>,
    since: i64,
    /// The counters at the last line of the file.
    last: Vec<Counts>,
}

impl Statistics {
    /// Statistics of zones with these names from `now` on.
    pub(super) fn new(names: Vec<String>, now: i64) -> Self {
        let zeros = vec![Counts::default(); names.len() + 1];
        Self { names, base: zeros.clone(), since: now, last: zeros }
    }

    /// What was counted since the last reset, for the log: a line for each zone, and one for all.
    pub(super) fn messages(&self, counters: &Counters, now: i64) -> Vec<String> {
        let (counts, all) = since(&counters.read(), &self.base);
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
    pub(super) fn reset(&mut self, counters: &Counters, now: i64) {
        self.base = counters.read();
        self.last.clone_from(&self.base);
        self.since = now;
    }

    /// Writes the line of the file: the time, each zone, and all of them as `*`.
    pub(super) fn append(&mut self, counters: &Counters, output: &Output, now: i64) -> io::Result<()> {
        let current = counters.read();
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

/// Threads with counters of their own: more than answer, on the machines that rbldnsd ran on.
const SHARED: usize = 64;
/// Sets of counters: the last one is for the threads beyond.
const SHARDS: usize = SHARED + 1;
/// What stands for all zones.
const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::answer::{DropReason, Summary, Transport};
    use crate::snapshot::Snapshot;
    use crate::zone::UnixTime;

    fn count(counters: &Counters, zone: Option<usize>, rcode: Option<u16>) {
        let outcome = match rcode {
            Some(rcode) => Outcome::Reply { length: 90, summary: Summary { zone, rcode, ..Summary::default() } },
            None => Outcome::Drop(DropReason::Access),
        };
        counters.count(&Exchange {
            client: Ipv4Addr::LOCALHOST.into(),
            transport: Transport::Udp,
            now: UnixTime(0),
            query: &[0; 30],
            reply: &[0; 90][..if rcode.is_some() { 90 } else { 0 }],
            outcome,
            snapshot: &Snapshot::default(),
        });
    }

    #[test]
    fn lines_and_messages_are_those_of_rbldnsd() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stats");
        let absolute = Output { path: Some(path.clone()), plus: false };
        let relative = Output { path: Some(path.clone()), plus: true };
        let counters = Counters::new(2);
        let mut statistics = Statistics::new(vec!["a.ex".to_owned(), "b.ex".to_owned()], 100);
        append_mark(&absolute, 100).unwrap();
        for (zone, rcode) in [(Some(0), Some(0)), (Some(0), Some(3)), (Some(1), Some(2)), (None, Some(5)), (None, None)]
        {
            count(&counters, zone, rcode);
        }
        assert_eq!(
            statistics.messages(&counters, 107),
            [
                "stats for 7secs zone a.ex: tot=2 ok=1 nxd=1 err=0 in=60 out=180",
                "stats for 7secs zone b.ex: tot=1 ok=0 nxd=0 err=1 in=30 out=90",
                "stats for 7sec: tot=5 ok=1 nxd=1 err=3 in=150 out=360",
            ]
        );
        statistics.append(&counters, &relative, 107).unwrap();
        count(&counters, Some(0), Some(0));
        statistics.append(&counters, &relative, 108).unwrap();
        statistics.append(&counters, &absolute, 109).unwrap();
        statistics.reset(&counters, 110);
        statistics.append(&counters, &absolute, 111).unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "100\n107 a.ex:2:1:1:60:180 b.ex:1:0:0:30:90 *:5:1:1:150:360\n\
             108 a.ex:1:1:0:30:90 b.ex:0:0:0:0:0 *:1:1:0:30:90\n\
             109 a.ex:3:2:1:90:270 b.ex:1:0:0:30:90 *:6:2:1:180:450\n\
             111 a.ex:0:0:0:0:0 b.ex:0:0:0:0:0 *:0:0:0:0:0\n"
        );
    }
}
