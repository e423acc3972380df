//! What stands between an answer and its sending over UDP; and a worker without a socket, for who measures that.
//!
//! Invariant: a reply goes as it is, or something shorter goes in its place, or nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::answer::{Asked, DropReason, Outcome, Transport};
use crate::cookie::Shown;
use crate::server::observe::{FromSnapshot, Respond};
use crate::server::rates::{RateLimits, Rates, Verdict};
use crate::server::tally::{Carrier, Tallies, Tally};
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// What bounds replies; every worker has the same.
#[derive(Clone, Debug)]
pub(super) struct Guard(Option<Arc<Rates>>);

impl Guard {
    pub(super) fn new(limits: Option<RateLimits>) -> Self {
        Self(limits.map(Rates::new).map(Arc::new))
    }

    /// What is sent over UDP for a query that was read, written over it: its reply, or what goes in the place of that.
    pub(super) fn respond<R: Respond>(
        &self,
        tally: &Tally,
        respond: &R,
        (snapshot, asked): (&Snapshot, &R::Asked),
        (client, now): (IpAddr, UnixTime),
        out: &mut [u8],
    ) -> Outcome {
        let reply = respond.respond(snapshot, asked, client, Transport::Udp, now, out);
        tally.note(&reply);
        self.limit(tally, respond, (snapshot, asked), (client, now), reply, out)
    }

    /// What is sent in the place of a reply, if it is one too many.
    fn limit<R: Respond>(
        &self,
        tally: &Tally,
        respond: &R,
        (snapshot, asked): (&Snapshot, &R::Asked),
        (client, now): (IpAddr, UnixTime),
        reply: Outcome,
        out: &mut [u8],
    ) -> Outcome {
        let (Some(rates), Outcome::Reply { summary, .. }) = (&self.0, reply) else { return reply };
        let is_exempt = summary.cookie == Shown::Good || summary.standing.key.is_some() || summary.standing.is_listed;
        let Some(class) = respond.class(asked, &summary).filter(|_| !is_exempt) else { return reply };
        let verdict = rates.judge(client, class, now);
        match verdict {
            Verdict::Send => return reply,
            Verdict::Slip => tally.slipped(),
            Verdict::Drop => tally.limited(),
        }
        match verdict {
            _ if rates.limits.dry_run => reply,
            Verdict::Slip => respond.slip(snapshot, asked, client, now, reply, out),
            _ => Outcome::Drop(DropReason::Limited),
        }
    }
}

/// One worker of the UDP door without its socket: queries are answered, bounded and counted as there, one by one.
#[derive(Debug)]
pub struct UdpWorker {
    guard: Guard,
    tally: Arc<Tally>,
    respond: FromSnapshot,
}

impl UdpWorker {
    /// A worker of its own, with counts of its own.
    pub fn new(limits: Option<RateLimits>) -> Self {
        let tally = Tallies::default().open(Carrier::Udp);
        Self { guard: Guard::new(limits), tally, respond: FromSnapshot::default() }
    }

    /// Answers one query; what is sent is at the front of `out`, which has room for a datagram.
    pub fn answer(&self, snapshot: &Snapshot, query: &[u8], client: IpAddr, now: UnixTime, out: &mut [u8]) -> Outcome {
        let mut asked = Asked::default();
        if let Err(reason) = asked.read(query) {
            return Outcome::Drop(reason);
        }
        let query = &query[..query.len().min(out.len())];
        out[..query.len()].copy_from_slice(query);
        self.guard.respond(&self.tally, &self.respond, (snapshot, &asked), (client, now), out)
    }
}
