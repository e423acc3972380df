//! What queries came to, counted on the threads that answer them.
//!
//! Invariant: a tally has one writer, the thread that it was made for, so that counting is a plain addition on memory that
//! no other thread writes; whoever reads sums up. Counts only grow. What is counted has no text of a client in it: types
//! are those of [`TYPES`] or `other`, and zones are known by [`crate::zone::Zone::number`], which outlasts generations.
//!
//! Durations are those of datagrams from the kernel's hands back into them: a batch is timed once, and each query in it
//! took that long, as the replies leave together.

use std::collections::BTreeMap;
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::answer::{Ground, Outcome, RCODE_NXDOMAIN, RCODE_REFUSED};
use crate::cookie::Shown;
use crate::dnsxl::Name;
use crate::server::quotas::Quotas;
use crate::snapshot::Snapshot;

/// By what a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A datagram.
    Udp,
    /// A plain connection.
    Tcp,
    /// DNS over TLS.
    Tls,
    /// DNS over HTTPS.
    Https,
    /// DNS over QUIC.
    Quic,
}

impl Carrier {
    /// Its name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }
}

/// What a query came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The answer has a listing.
    Listed,
    /// NXDOMAIN: nothing is listed there or below.
    Unlisted,
    /// NODATA: a name above listings, or a type that the name has not.
    Ent,
    /// The answer has records that are no listing: SOA, NS, those of `generic`.
    Other,
    /// The client may not ask, whatever that is answered with; or REFUSED for another reason.
    Refused,
    /// FORMERR, SERVFAIL, NOTIMP and the like.
    Error,
    /// No reply.
    Dropped,
}

impl Finding {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; FINDINGS] =
        [Self::Listed, Self::Unlisted, Self::Ent, Self::Other, Self::Refused, Self::Error, Self::Dropped];

    /// What became of a query, in short.
    pub fn of(outcome: Outcome) -> Self {
        let Outcome::Reply { summary, .. } = outcome else { return Self::Dropped };
        match (summary.rcode, summary.ground) {
            (RCODE_REFUSED, _) | (_, Ground::Refusal) => Self::Refused,
            (0, Ground::Listing) => Self::Listed,
            (0, Ground::Other) if summary.answers == 0 => Self::Ent,
            (0, Ground::Other) => Self::Other,
            (RCODE_NXDOMAIN, _) => Self::Unlisted,
            _ => Self::Error,
        }
    }

    /// Its name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Unlisted => "unlisted",
            Self::Ent => "ent",
            Self::Other => "other",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Dropped => "dropped",
        }
    }
}

/// The counters of one thread. The alignment keeps what other threads read and write off its lines.
#[derive(Debug)]
#[repr(align(128))]
pub struct Tally {
    carrier: Carrier,
    /// Rows of zones by their number, those outside every zone in front; made when a zone of them is first asked.
    rows: Box<[OnceLock<Box<[Row]>>]>,
    /// Queries by how long they took, and the sum in nanoseconds.
    durations: [AtomicU64; DURATIONS],
    nanoseconds: AtomicU64,
    abuse: AbuseCells,
}

/// The counters that come to [`Abuse`], but for quotas.
#[derive(Debug, Default)]
struct AbuseCells {
    cookies_new: AtomicU64,
    cookies_good: AtomicU64,
    cookies_bad: AtomicU64,
    limited: AtomicU64,
    slipped: AtomicU64,
}

/// What was counted of cookies, limits and quotas since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abuse {
    /// Queries with a client's cookie alone.
    pub cookies_new: u64,
    /// Queries with a good cookie.
    pub cookies_good: u64,
    /// Queries with a cookie that is not ours, too old, or of another address.
    pub cookies_bad: u64,
    /// Replies that were not sent for too many of their kind; in a dry run, that would not have been.
    pub limited: u64,
    /// Replies too many in whose place a short one was sent; in a dry run, would have been.
    pub slipped: u64,
    /// Queries beyond a quota.
    pub over_quota: u64,
}

/// The counters of one zone: by type and finding, then bytes in and out.
#[derive(Debug)]
#[repr(align(128))]
struct Row([AtomicU64; CELLS + 2]);

impl Tally {
    fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            rows: (0..MAX_ROWS / ROWS).map(|_| OnceLock::new()).collect(),
            durations: [const { AtomicU64::new(0) }; DURATIONS],
            nanoseconds: AtomicU64::new(0),
            abuse: AbuseCells::default(),
        }
    }

    /// By what the queries of this thread come.
    pub(super) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Counts a query of so many bytes; `zone` is the number of the one that answered. For its own thread alone.
    pub fn count(&self, zone: Option<u32>, outcome: Outcome, bytes: usize) {
        let row = zone.map_or(0, |number| number as usize + 1);
        let row = if row < MAX_ROWS { row } else { 0 };
        let rows = self.rows[row / ROWS].get_or_init(|| (0..ROWS).map(|_| Row::new()).collect());
        let Row(cells) = &rows[row % ROWS];
        let kind = match outcome {
            Outcome::Reply { summary, .. } => kind_of(summary.qtype),
            Outcome::Drop(_) => NO_TYPE,
        };
        add(&cells[kind * FINDINGS + Finding::of(outcome) as usize], 1);
        add(&cells[CELLS], bytes as u64);
        add(&cells[CELLS + 1], outcome.length() as u64);
    }

    /// Takes note of how long `queries` that came together took. For its own thread alone.
    pub fn time(&self, queries: usize, took: Duration) {
        let nanoseconds = took.as_nanos() as u64;
        let place = DURATION_BOUNDS.partition_point(|bound| bound.as_nanos() < took.as_nanos());
        add(&self.durations[place], queries as u64);
        add(&self.nanoseconds, nanoseconds.saturating_mul(queries as u64));
    }

    /// Takes note of what a query's cookie showed. For its own thread alone.
    pub(super) fn note(&self, outcome: &Outcome) {
        let Outcome::Reply { summary, .. } = outcome else { return };
        match summary.cookie {
            Shown::Nothing => {}
            Shown::New => add(&self.abuse.cookies_new, 1),
            Shown::Good => add(&self.abuse.cookies_good, 1),
            Shown::Bad => add(&self.abuse.cookies_bad, 1),
        }
    }

    /// Takes note of a reply that was one too many. For its own thread alone.
    pub(super) fn limited(&self) {
        add(&self.abuse.limited, 1);
    }

    /// The same of one in whose place a short one goes.
    pub(super) fn slipped(&self) {
        add(&self.abuse.slipped, 1);
    }

    fn read_into(&self, sum: &mut CarrierCounts) {
        for (chunk, rows) in self.rows.iter().enumerate() {
            for (index, Row(cells)) in rows.get().into_iter().flat_map(|rows| rows.iter()).enumerate() {
                let read: Vec<u64> = cells.iter().map(|cell| cell.load(Ordering::Relaxed)).collect();
                if read[..CELLS].iter().all(|&count| count == 0) {
                    continue;
                }
                let zone = (chunk * ROWS + index).checked_sub(1).map(|number| number as u32);
                let row = sum.zones.entry(zone).or_default();
                row.0.iter_mut().zip(read).for_each(|(sum, count)| *sum += count);
            }
        }
        for (sum, count) in sum.durations.buckets.iter_mut().zip(&self.durations) {
            *sum += count.load(Ordering::Relaxed);
        }
        sum.durations.nanoseconds += self.nanoseconds.load(Ordering::Relaxed);
    }
}

impl Row {
    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; CELLS + 2])
    }
}

/// Adds to a counter that nobody else writes: a plain addition costs a tenth of an atomic one.
fn add(cell: &AtomicU64, count: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
}

/// The place of a type among the kinds.
fn kind_of(qtype: u16) -> usize {
    TYPES.iter().position(|&(number, _)| number == qtype).unwrap_or(TYPES.len())
}

/// The tallies of all threads of a server.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    threads: Vec<Arc<Tally>>,
    quotas: Arc<Quotas>,
}

impl Tallies {
    /// None yet, and the quotas, which count what is beyond them.
    pub(super) fn beside(quotas: Arc<Quotas>) -> Self {
        Self { threads: Vec::new(), quotas }
    }

    /// Makes the tally of another thread.
    pub fn open(&mut self, carrier: Carrier) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(carrier));
        self.threads.push(tally.clone());
        tally
    }

    /// What was counted so far of cookies, limits and quotas.
    pub fn abuse(&self) -> Abuse {
        let mut sums = Abuse { over_quota: self.quotas.refused(), ..Abuse::default() };
        for AbuseCells { cookies_new, cookies_good, cookies_bad, limited, slipped } in
            self.threads.iter().map(|tally| &tally.abuse)
        {
            sums.cookies_new += cookies_new.load(Ordering::Relaxed);
            sums.cookies_good += cookies_good.load(Ordering::Relaxed);
            sums.cookies_bad += cookies_bad.load(Ordering::Relaxed);
            sums.limited += limited.load(Ordering::Relaxed);
            sums.slipped += slipped.load(Ordering::Relaxed);
        }
        sums
    }

    /// What was counted so far, by carrier.
    pub fn read(&self) -> BTreeMap<Carrier, CarrierCounts> {
        let mut all = BTreeMap::new();
        self.threads.iter().for_each(|tally| tally.read_into(all.entry(tally.carrier).or_default()));
        all
    }
}

/// What came by one carrier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CarrierCounts {
    /// By the zone's number; without one what is outside every zone. Zones that were never asked are not there.
    pub zones: BTreeMap<Option<u32>, ZoneCounts>,
    /// How long queries took.
    pub durations: DurationCounts,
}

impl CarrierCounts {
    /// What was asked outside every zone, which has no apex, and of each zone of a snapshot. Zones that are no longer served
    /// are left out.
    pub fn by_apex<'c>(&'c self, snapshot: &'c Snapshot) -> impl Iterator<Item = (Option<&'c Name>, &'c ZoneCounts)> {
        let served = snapshot.zones().iter().map(|zone| (Some(zone.number), Some(&zone.apex)));
        iter::once((None, None)).chain(served).filter_map(|(number, apex)| Some((apex, self.zones.get(&number)?)))
    }
}

/// What a zone was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneCounts([u64; CELLS + 2]);

impl Default for ZoneCounts {
    fn default() -> Self {
        Self([0; CELLS + 2])
    }
}

impl ZoneCounts {
    /// How many queries by type and finding: those that there were.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, Finding, u64)> + '_ {
        let cells = self.0[..CELLS].iter().enumerate().filter(|(_, count)| **count > 0);
        cells.map(|(cell, &count)| {
            let kind = TYPES.get(cell / FINDINGS).map_or(OTHER_TYPE, |&(_, label)| label);
            (kind, Finding::ALL[cell % FINDINGS], count)
        })
    }

    /// How many queries came to this.
    pub fn of(&self, finding: Finding) -> u64 {
        self.0[..CELLS].iter().skip(finding as usize).step_by(FINDINGS).sum()
    }

    /// All queries.
    pub fn total(&self) -> u64 {
        self.0[..CELLS].iter().sum()
    }

    /// Bytes of all queries.
    pub fn bytes_in(&self) -> u64 {
        self.0[CELLS]
    }

    /// Bytes of all replies.
    pub fn bytes_out(&self) -> u64 {
        self.0[CELLS + 1]
    }
}

/// How long queries took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DurationCounts {
    buckets: [u64; DURATIONS],
    nanoseconds: u64,
}

impl DurationCounts {
    /// How many queries took up to a bound in seconds, and longer than the one before; the last took longer than all bounds.
    pub fn by_bound(&self) -> impl Iterator<Item = (Option<f64>, u64)> + '_ {
        let bounds = DURATION_BOUNDS.iter().map(|bound| Some(bound.as_secs_f64())).chain([None]);
        bounds.zip(self.buckets)
    }

    /// How long all of them took together.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }
}

/// The types that are told apart, with their names; 0 stands for no question that could be read.
pub const TYPES: [(u16, &str); 12] = [
    (1, "A"),
    (16, "TXT"),
    (28, "AAAA"),
    (2, "NS"),
    (6, "SOA"),
    (255, "ANY"),
    (15, "MX"),
    (12, "PTR"),
    (43, "DS"),
    (48, "DNSKEY"),
    (65, "HTTPS"),
    (0, "none"),
];
/// What stands for all other types.
pub const OTHER_TYPE: &str = "other";
/// Up to where durations are told apart: from a query that finds the worker waiting to one that waits for a disk.
const DURATION_BOUNDS: [Duration; DURATIONS - 1] = [
    Duration::from_micros(5),
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(100),
];
/// How many buckets that makes.
const DURATIONS: usize = 14;
/// The place of 0 in [`TYPES`].
const NO_TYPE: usize = TYPES.len() - 1;
const FINDINGS: usize = 7;
const CELLS: usize = (TYPES.len() + 1) * FINDINGS;
/// Rows that are made at once: 48 KiB for each thread.
const ROWS: usize = 64;
/// Zones that are told apart, a thousand times as many as anybody serves; what comes after them counts as outside.
const MAX_ROWS: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{DropReason, Ground, Summary};

    fn reply(qtype: u16, rcode: u16, answers: u16, ground: Ground) -> Outcome {
        Outcome::Reply { length: 90, summary: Summary { rcode, answers, ground, qtype, ..Summary::default() } }
    }

    #[test]
    fn what_all_threads_counted_adds_up() {
        let mut tallies = Tallies::default();
        let threads: Vec<_> = [Carrier::Udp, Carrier::Udp, Carrier::Tcp]
            .map(|carrier| tallies.open(carrier))
            .into_iter()
            .map(|tally| {
                std::thread::spawn(move || {
                    for number in 0..1000 {
                        tally.count(Some(number % 200), reply(1, 0, 1, Ground::Listing), 40);
                        tally.count(Some(7), reply(16, 3, 0, Ground::Other), 40);
                    }
                    tally.count(None, Outcome::Drop(DropReason::Short), 3);
                    tally.time(2001, Duration::from_micros(30));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let read = tallies.read();
        let udp = &read[&Carrier::Udp];
        assert_eq!(udp.zones.values().map(ZoneCounts::total).sum::<u64>(), 2 * 2001);
        assert_eq!(udp.zones.len(), 201);
        let seventh = &udp.zones[&Some(7)];
        let each: Vec<_> = seventh.each().collect();
        assert_eq!(each, [("A", Finding::Listed, 10), ("TXT", Finding::Unlisted, 2000)]);
        assert_eq!((seventh.bytes_in(), seventh.bytes_out()), (2010 * 40, 2010 * 90));
        assert_eq!(udp.zones[&None].each().collect::<Vec<_>>(), [("none", Finding::Dropped, 2)]);
        assert_eq!((udp.durations.buckets[3], udp.durations.nanoseconds), (4002, 4002 * 30_000));
        assert_eq!(read[&Carrier::Tcp].zones[&Some(7)].of(Finding::Unlisted), 1000);
    }

    #[test]
    fn findings_are_told_apart() {
        for (outcome, finding) in [
            (reply(1, 0, 1, Ground::Listing), Finding::Listed),
            (reply(6, 0, 1, Ground::Other), Finding::Other),
            (reply(28, 0, 0, Ground::Other), Finding::Ent),
            (reply(1, 3, 0, Ground::Other), Finding::Unlisted),
            (reply(1, 3, 0, Ground::Refusal), Finding::Refused),
            (reply(1, 0, 1, Ground::Refusal), Finding::Refused),
            (reply(1, 5, 0, Ground::Other), Finding::Refused),
            (reply(0, 1, 0, Ground::Other), Finding::Error),
            (reply(1, 2, 0, Ground::Other), Finding::Error),
            (Outcome::Drop(DropReason::Access { zone: None }), Finding::Dropped),
        ] {
            assert_eq!(Finding::of(outcome), finding);
            assert_eq!(Finding::ALL[finding as usize], finding);
        }
    }

    #[test]
    fn no_type_and_no_zone_is_beyond_the_counters() {
        let mut tallies = Tallies::default();
        let tally = tallies.open(Carrier::Tls);
        for qtype in [0, 1, 64, 65, 66, 65_535] {
            tally.count(Some(u32::MAX), reply(qtype, 0, 1, Ground::Listing), 0);
        }
        for took in [0, 1, 5_000, 5_001, 1_000_000_000] {
            tally.time(1, Duration::from_nanos(took));
        }
        let read = tallies.read();
        let counts = &read[&Carrier::Tls];
        let each: Vec<_> = counts.zones[&None].each().map(|(kind, _, count)| (kind, count)).collect();
        assert_eq!(each, [("A", 1), ("HTTPS", 1), ("none", 1), ("other", 3)]);
        assert_eq!([0, 1, DURATIONS - 1].map(|place| counts.durations.buckets[place]), [3, 1, 1]);
    }
}
