//! What stands between an answer and its sending over UDP, and what is counted of cookies, limits and quotas.
//!
//! Invariant: each worker counts in memory of its own, and nobody else writes to it: a count is read, and written one higher.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::answer::{Asked, DropReason, Outcome, Transport};
use crate::cookie::Shown;
use crate::server::observe::{FromSnapshot, Respond};
use crate::server::quotas::Quotas;
use crate::server::rates::{RateLimits, Rates, Verdict};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// What one worker has of it.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    rates: Option<Arc<Rates>>,
    own: Arc<Tally>,
    all: Arc<Tallies>,
}

/// The counts of all workers.
#[derive(Debug)]
pub(super) struct Tallies {
    workers: Mutex<Vec<Arc<Tally>>>,
    quotas: Arc<Quotas>,
}

/// What one worker has counted; on lines of its own, and on the pair of them that a processor fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Tally {
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
    /// The same, of which a short one was sent.
    pub slipped: u64,
    /// Queries beyond a quota.
    pub over_quota: u64,
}

impl Guard {
    pub(super) fn new(limits: Option<RateLimits>, quotas: Arc<Quotas>) -> Self {
        let own = Arc::new(Tally::default());
        let all = Tallies { workers: Mutex::new(vec![own.clone()]), quotas };
        Self { rates: limits.map(Rates::new).map(Arc::new), own, all: Arc::new(all) }
    }

    /// The same for one more worker.
    pub(super) fn for_worker(&self) -> Self {
        let own = Arc::new(Tally::default());
        self.all.lock().push(own.clone());
        Self { own, ..self.clone() }
    }

    /// Where the counts of all workers can be read.
    pub(super) fn tallies(&self) -> Arc<Tallies> {
        self.all.clone()
    }

    /// Counts what a query's cookie showed.
    pub(super) fn note(&self, outcome: &Outcome) {
        let Outcome::Reply { summary, .. } = outcome else { return };
        match summary.cookie {
            Shown::Nothing => {}
            Shown::New => count(&self.own.cookies_new),
            Shown::Good => count(&self.own.cookies_good),
            Shown::Bad => count(&self.own.cookies_bad),
        }
    }

    /// What is sent over UDP in the place of a reply, if it is one too many.
    pub(super) fn limit<R: Respond>(
        &self,
        respond: &R,
        (snapshot, asked): (&Snapshot, &R::Asked),
        client: IpAddr,
        now: UnixTime,
        reply: Outcome,
        out: &mut [u8],
    ) -> Outcome {
        let (Some(rates), Outcome::Reply { summary, .. }) = (&self.rates, reply) else { return reply };
        let is_exempt = summary.cookie == Shown::Good || summary.standing.key.is_some() || summary.standing.is_listed;
        let Some(class) = respond.class(asked, &summary).filter(|_| !is_exempt) else { return reply };
        let verdict = rates.judge(client, class, now);
        match verdict {
            Verdict::Send => return reply,
            Verdict::Slip => count(&self.own.slipped),
            Verdict::Drop => count(&self.own.limited),
        }
        match verdict {
            _ if rates.limits.dry_run => reply,
            Verdict::Slip => respond.slip(snapshot, asked, client, now, reply, out),
            _ => Outcome::Drop(DropReason::Limited),
        }
    }
}

impl Tallies {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Tally>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sums.
    pub(super) fn read(&self) -> Abuse {
        let mut sums = Abuse { over_quota: self.quotas.refused(), ..Abuse::default() };
        for tally in &*self.lock() {
            for (sum, count) in [
                (&mut sums.cookies_new, &tally.cookies_new),
                (&mut sums.cookies_good, &tally.cookies_good),
                (&mut sums.cookies_bad, &tally.cookies_bad),
                (&mut sums.limited, &tally.limited),
                (&mut sums.slipped, &tally.slipped),
            ] {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sums
    }
}

/// One worker of the UDP door without its socket: queries are answered, bounded and counted as there, one by one.
#[derive(Debug)]
pub struct Desk {
    guard: Guard,
    respond: FromSnapshot,
}

impl Desk {
    /// A worker of its own, with counts of its own.
    pub fn new(limits: Option<RateLimits>) -> Self {
        let quotas = Arc::<Quotas>::default();
        Self { guard: Guard::new(limits, quotas.clone()), respond: FromSnapshot(quotas) }
    }

    /// Answers one query; what is sent is at the front of `out`, which has room for a datagram.
    pub fn answer(&self, snapshot: &Snapshot, query: &[u8], client: IpAddr, now: UnixTime, out: &mut [u8]) -> Outcome {
        let mut asked = Asked::default();
        if let Err(reason) = asked.read(query) {
            return Outcome::Drop(reason);
        }
        let query = &query[..query.len().min(out.len())];
        out[..query.len()].copy_from_slice(query);
        let reply = self.respond.respond(snapshot, &asked, client, Transport::Udp, now, out);
        self.guard.note(&reply);
        self.guard.limit(&self.respond, (snapshot, &asked), client, now, reply, out)
    }

    /// What was counted.
    pub fn abuse(&self) -> Abuse {
        self.guard.tallies().read()
    }
}

/// Counts one more, where nobody else writes.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
