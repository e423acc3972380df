//! What the doors share: answering one query, telling an observer of it, counting what goes wrong.
//!
//! Invariant: without an observer a query costs one branch here, and no counter that all workers share is touched on
//! the way of a query that is answered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::answer::{Outcome, Transport};
use crate::server::panics::contain;
use crate::snapshot::{Published, Snapshot};
use crate::zone::UnixTime;

/// Sees every query with what became of it: a query log, statistics of each zone.
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
    pub transport: Transport,
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

/// What the doors count; all of it is rare.
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

    /// Replies over UDP that the kernel did not take, and over TLS ones that could not be written.
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

    pub(super) fn lost_reply(&self) {
        self.lost_replies.fetch_add(1, Ordering::Relaxed);
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

/// The shape of [`crate::answer::respond`], for which tests put in something that panics or waits.
pub(super) trait Respond:
    Fn(&Snapshot, &[u8], IpAddr, Transport, UnixTime, &mut [u8]) -> Outcome + Clone + Send + Sync + 'static
{
}

impl<F> Respond for F where
    F: Fn(&Snapshot, &[u8], IpAddr, Transport, UnixTime, &mut [u8]) -> Outcome + Clone + Send + Sync + 'static
{
}

/// What every door needs to answer a query.
#[derive(Clone)]
pub(super) struct Answering<R> {
    pub(super) published: Arc<Published>,
    pub(super) observer: Option<Arc<dyn Observer>>,
    pub(super) counters: Arc<Counters>,
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
        let now = now();
        // the observer is inside, as a panic in it is no better reason to lose a worker
        let outcome = self.contain(now, || {
            let outcome = (self.respond)(snapshot, query, client, transport, now, out);
            if let Some(observer) = &self.observer {
                let reply = match outcome {
                    Outcome::Reply { length, .. } => &out[..length],
                    Outcome::Drop(_) => &[],
                };
                observer.observe(&Exchange { client, transport, now, query, reply, outcome, snapshot });
            }
            outcome
        });
        match outcome {
            Some(Outcome::Reply { length, .. }) => Ok(length),
            Some(Outcome::Drop(reason)) => Err(Silence::Meant(reason)),
            None => Err(Silence::Panic),
        }
    }
}

impl<R> Answering<R> {
    /// The same for a door that answers by other means.
    pub(super) fn with<S>(&self, respond: S) -> Answering<S> {
        let (published, observer, counters) = (self.published.clone(), self.observer.clone(), self.counters.clone());
        Answering { published, observer, counters, respond }
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
    Meant(crate::answer::DropReason),
    /// Answering it panicked.
    Panic,
}

/// The client as the rest of the program knows it: an IPv4 client of a dual-stack socket has its IPv4 address.
pub(super) fn unmapped(client: SocketAddr) -> IpAddr {
    client.ip().to_canonical()
}

/// The time, to the second.
pub(super) fn now() -> UnixTime {
    // a clock before 1970 is a clock that was never set: nothing in a zone is older than that
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}
