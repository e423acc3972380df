//! What the doors share: answering one query, counting it, telling an observer of it, counting what goes wrong.
//!
//! Invariant: without an observer a query costs one branch here and some additions to its thread's own [`Tally`], and no
//! counter that all workers share is touched on the way of a query that is answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::answer::{Asked, Asker, Class, DropReason, Outcome, Summary, Transport};
use crate::server::guard::Guard;
use crate::server::panics::contain;
use crate::server::quotas::Quotas;
use crate::server::tally::{Carrier, Tally};
use crate::snapshot::{Published, Snapshot};
use crate::zone::UnixTime;

/// Sees every query with what became of it: a query log, dnstap.
///
/// Called on the thread that answers, right after the answer is made and before it is sent: it must not block.
pub trait Observer: Send + Sync {
    /// Takes note of one query.
    fn observe(&self, exchange: &Exchange<'_>);
}

/// A query and what became of it.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// Who asked; IPv4 addresses are never in their IPv6-mapped form.
    pub client: IpAddr,
    /// How the query came in.
    pub carrier: Carrier,
    /// When it came in, to the second.
    pub now: UnixTime,
    /// The query, as it came in.
    pub query: &'a [u8],
    /// The reply, without a length prefix; empty if there is none.
    pub reply: &'a [u8],
    /// The reply in short, or why there is none.
    pub outcome: Outcome,
    /// The generation that answered: `outcome` names zones by their index in it.
    pub snapshot: &'a Snapshot,
}

/// What one door counts besides queries; all of it is rare.
#[derive(Debug, Default)]
pub struct Counters {
    panics: AtomicU64,
    lost_replies: AtomicU64,
    refused_connections: AtomicU64,
    evicted_connections: AtomicU64,
    failed_accepts: AtomicU64,
}

impl Counters {
    /// Queries left without an answer, as answering them panicked.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Replies over UDP that the kernel did not take, and over the encrypted doors ones that could not be written.
    pub fn lost_replies(&self) -> u64 {
        self.lost_replies.load(Ordering::Relaxed)
    }

    /// Connections closed at once, as their client had as many open as it may.
    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Ordering::Relaxed)
    }

    /// Connections closed to make room for newer ones.
    pub fn evicted_connections(&self) -> u64 {
        self.evicted_connections.load(Ordering::Relaxed)
    }

    /// Connections that could not be accepted, mostly for want of file descriptors.
    pub fn failed_accepts(&self) -> u64 {
        self.failed_accepts.load(Ordering::Relaxed)
    }

    pub(super) fn add_lost_replies(&self, count: usize) {
        // nearly always none, and then the line that all workers share is not written
        if count > 0 {
            self.lost_replies.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted_connection(&self) {
        self.evicted_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed_accept(&self) {
        self.failed_accepts.fetch_add(1, Ordering::Relaxed);
    }
}

/// What all doors count besides queries. A clone shares it.
#[derive(Clone, Debug, Default)]
pub struct CountersByDoor(Vec<(Carrier, Arc<Counters>)>);

impl CountersByDoor {
    /// Those of one door, which all its threads share.
    pub(super) fn open(&mut self, carrier: Carrier) -> Arc<Counters> {
        if let Some((_, counters)) = self.0.iter().find(|(of, _)| *of == carrier) {
            return counters.clone();
        }
        let counters = Arc::new(Counters::default());
        self.0.push((carrier, counters.clone()));
        counters
    }

    /// Those of each door.
    pub fn each(&self) -> impl Iterator<Item = (Carrier, &Counters)> {
        self.0.iter().map(|(carrier, counters)| (*carrier, &**counters))
    }

    /// [`Counters::panics`] of all doors.
    pub fn panics(&self) -> u64 {
        self.each().map(|(_, counters)| counters.panics()).sum()
    }

    /// [`Counters::lost_replies`] of all doors.
    pub fn lost_replies(&self) -> u64 {
        self.each().map(|(_, counters)| counters.lost_replies()).sum()
    }
}

/// Bytes to bytes in the steps of [`Asked`], for which tests put in something that panics or waits.
pub(super) trait Respond: Clone + Send + Sync + 'static {
    /// A query that was read.
    type Asked: Default;

    /// Reads a query in the place of another.
    fn read(&self, message: &[u8], asked: &mut Self::Asked) -> Result<(), DropReason>;

    /// Has memory that answering will need come nearer.
    fn prefetch(&self, snapshot: &Snapshot, asked: &mut Self::Asked);

    /// The same for what stands behind the memory that [`Self::prefetch`] named.
    fn prefetch_further(&self, snapshot: &Snapshot, asked: &Self::Asked);

    /// Writes the reply over the query, which `out` begins with.
    fn respond(
        &self,
        snapshot: &Snapshot,
        asked: &Self::Asked,
        client: IpAddr,
        transport: Transport,
        now: UnixTime,
        out: &mut [u8],
    ) -> Outcome;

    /// With what other replies a reply is counted, where replies are bounded; none where it never is.
    fn class<'a>(&self, _asked: &'a Self::Asked, _summary: &Summary) -> Option<Class<'a>> {
        None
    }

    /// Writes what is sent in the place of a reply that is one too many, over that reply.
    fn slip(
        &self,
        _snapshot: &Snapshot,
        _asked: &Self::Asked,
        _client: IpAddr,
        _now: UnixTime,
        reply: Outcome,
        _out: &mut [u8],
    ) -> Outcome {
        reply
    }

    /// All steps for one query.
    fn respond_to(
        &self,
        snapshot: &Snapshot,
        query: &[u8],
        client: IpAddr,
        transport: Transport,
        now: UnixTime,
        out: &mut [u8],
    ) -> Outcome {
        let mut asked = Self::Asked::default();
        match self.read(query, &mut asked) {
            Ok(()) => {
                let query = &query[..query.len().min(out.len())];
                out[..query.len()].copy_from_slice(query);
                self.respond(snapshot, &asked, client, transport, now, out)
            }
            Err(reason) => Outcome::Drop(reason),
        }
    }
}

/// Answers from the published generation.
#[derive(Clone, Debug, Default)]
pub(super) struct FromSnapshot(pub(super) Arc<Quotas>);

impl Respond for FromSnapshot {
    type Asked = Asked;

    fn read(&self, message: &[u8], asked: &mut Asked) -> Result<(), DropReason> {
        asked.read(message)
    }

    fn prefetch(&self, snapshot: &Snapshot, asked: &mut Asked) {
        asked.prefetch(snapshot);
    }

    fn prefetch_further(&self, snapshot: &Snapshot, asked: &Asked) {
        asked.prefetch_further(snapshot);
    }

    fn respond(
        &self,
        snapshot: &Snapshot,
        asked: &Asked,
        client: IpAddr,
        transport: Transport,
        now: UnixTime,
        out: &mut [u8],
    ) -> Outcome {
        asked.respond(snapshot, &Asker { client, transport, now, meter: Some(&*self.0) }, out)
    }

    fn class<'a>(&self, asked: &'a Asked, summary: &Summary) -> Option<Class<'a>> {
        Some(asked.class(summary))
    }

    fn slip(
        &self,
        snapshot: &Snapshot,
        asked: &Asked,
        client: IpAddr,
        now: UnixTime,
        reply: Outcome,
        out: &mut [u8],
    ) -> Outcome {
        asked.slip(snapshot, client, now, reply, out)
    }
}

/// What every door needs to answer a query.
#[derive(Clone)]
pub(super) struct Answering<R> {
    pub(super) published: Arc<Published>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) counters: Arc<Counters>,
    pub(super) guard: Guard,
    /// Where this thread counts, and no other.
    pub(super) tally: Arc<Tally>,
    /// What answers: bytes to bytes, or whatever the door works with.
    pub(super) respond: R,
}

impl<R: Respond> Answering<R> {
    /// Answers one query into `out`; the length of the reply, or why there is none.
    pub(super) fn respond(
        &self,
        snapshot: &Snapshot,
        query: &[u8],
        client: IpAddr,
        transport: Transport,
        out: &mut [u8],
    ) -> Result<usize, Silence> {
        let (now, began) = (now(), Instant::now());
        // the observer is inside, as a panic in it is no better reason to lose a worker
        let outcome = self.contain(now, || {
            let outcome = self.respond.respond_to(snapshot, query, client, transport, now, out);
            self.tally.note(&outcome);
            let reply = &out[..outcome.length()];
            self.count(snapshot, outcome, query.len());
            let carrier = self.tally.carrier();
            self.observe(&Exchange { client, carrier, now, query, reply, outcome, snapshot });
            outcome
        });
        self.tally.time(1, began.elapsed());
        match outcome {
            Some(Outcome::Reply { length, .. }) => Ok(length),
            Some(Outcome::Drop(reason)) => Err(Silence::Meant(reason)),
            None => Err(Silence::Panic),
        }
    }
}

impl<R> Answering<R> {
    /// Counts a query of so many bytes.
    pub(super) fn count(&self, snapshot: &Snapshot, outcome: Outcome, bytes: usize) {
        let zone = match outcome {
            Outcome::Reply { summary, .. } => summary.zone,
            Outcome::Drop(DropReason::Access { zone }) => zone,
            Outcome::Drop(_) => None,
        };
        let zone = zone.and_then(|index| snapshot.zones().get(index));
        self.tally.count(zone.map(|zone| zone.number), outcome, bytes);
    }

    /// Tells the observer, if there is one.
    pub(super) fn observe(&self, exchange: &Exchange<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(exchange);
        }
    }

    /// Runs `step` for each of so many queries; a panic in it is counted, costs that query, and the next one follows.
    pub(super) fn contain_each(&self, now: UnixTime, queries: usize, mut step: impl FnMut(usize)) {
        let mut next = 0;
        while next < queries {
            self.contain(now, || {
                while next < queries {
                    next += 1;
                    step(next - 1);
                }
            });
        }
    }

    /// Runs `answer`; a panic in it is counted, and `None`.
    pub(super) fn contain<T>(&self, now: UnixTime, answer: impl FnOnce() -> T) -> Option<T> {
        contain(&self.counters.panics, now, answer)
    }
}

/// Why a query has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// The answer is not to answer.
    Meant(DropReason),
    /// Answering it panicked.
    Panic,
}

/// The client as the rest of the program knows it: an IPv4 client of a dual-stack socket has its IPv4 address.
pub(super) fn unmapped(client: SocketAddr) -> IpAddr {
    client.ip().to_canonical()
}

/// The time, to the second.
pub(super) fn now() -> UnixTime {
    to_second(SystemTime::now())
}

/// A time, to the second.
pub(super) fn to_second(time: SystemTime) -> UnixTime {
    // a clock before 1970 is a clock that was never set: nothing in a zone is older than that
    UnixTime(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}
