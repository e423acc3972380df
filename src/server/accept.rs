//! Connections of the stream doors: accepted, kept within their limits, and ended with the server.
//!
//! Invariant: a connection that is open has a place among [`Connections`], and a door leaves it as soon as it loses that.
//! What is said over a connection is its [`Door`]'s affair, and what is answered its [`Answers`]'.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use crate::answer::Transport;
use crate::server::Limits;
use crate::server::connections::{Connections, Entry, Place};
use crate::server::observe::{Answering, Counters, Respond, Silence, now, unmapped};
use crate::server::panics::OncePerMinute;

/// One kind of door.
pub(super) trait Door: Send + 'static {
    /// Serves one accepted connection to its end, which comes soon after `stop` has turned true or its place is lost.
    fn converse(
        self: Rc<Self>,
        accepted: TcpStream,
        client: IpAddr,
        place: Rc<Place>,
        stop: Stop,
    ) -> impl Future<Output = ()>;

    /// Where refused connections and the like are counted.
    fn counters(&self) -> &Counters;
}

/// What answers the messages of a door.
pub(super) trait Answers: Send + 'static {
    /// Answers one message into `out`, which is as long as a message can be; the reply's length, or why there is none.
    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence>;

    /// Where refused connections and the like are counted.
    fn counters(&self) -> &Counters;
}

impl<R: Respond> Answers for Answering<R> {
    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence> {
        self.respond(&self.published.load(), message, client, Transport::Stream, out)
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Turns true when the server is to end.
pub(super) type Stop = watch::Receiver<bool>;

/// Answers queries on all `listeners` until `stop` turns true and the connections are done.
pub(super) async fn serve(listeners: Vec<TcpListener>, door: impl Door, limits: Limits, stop: Stop) {
    let door = Rc::new(door);
    let connections = Connections::new(limits.connections, limits.connections_per_client);
    // one thread for all: what the tasks share needs no lock, and the thread is far from busy
    let local = LocalSet::new();
    for listener in listeners {
        local.spawn_local(accept(listener, door.clone(), connections.clone(), stop.clone()));
    }
    local.await;
}

/// Accepts connections until the stop, then waits for those that are open.
async fn accept<D: Door>(listener: TcpListener, door: Rc<D>, connections: Rc<Connections>, stop: Stop) {
    let mut stopped = stop.clone();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            // the client went away before its turn; this does not concern the next
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                door.counters().failed_accept();
                if LOGGED.due(now()) {
                    tracing::warn!(%error, "accepting a connection failed");
                }
                // mostly for want of file descriptors: the backlog stays readable, so without a pause this would spin
                connections.evict();
                sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let client = unmapped(client);
        let Some(place) = enter(&connections, client, door.counters()) else { continue };
        // replies go out in batches of the door's own making
        let _ = stream.set_nodelay(true);
        open.spawn_local(door.clone().converse(stream, client, Rc::new(place), stop.clone()));
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

/// Gives a new connection a place, if there is one for it; counts what becomes of others.
pub(super) fn enter(connections: &Rc<Connections>, client: IpAddr, counters: &Counters) -> Option<Place> {
    match connections.enter(client) {
        Entry::Free(place) => Some(place),
        Entry::Evicting(place) => {
            counters.evicted_connection();
            Some(place)
        }
        Entry::Refused => {
            counters.refused_connection();
            None
        }
    }
}

/// When a connection on which several queries are under way has to end: some time after the last whole one came in.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Cell<Instant>,
    latest: Cell<Option<Instant>>,
}

impl Deadline {
    /// It ends after `idle`.
    pub(super) fn after(idle: Duration) -> Self {
        Self { at: Cell::new(Instant::now() + idle), latest: Cell::new(None) }
    }

    /// Begins to count again, as a query came in, but for no longer than the last moment that was set.
    pub(super) fn renew(&self, idle: Duration) {
        let at = Instant::now() + idle;
        self.at.set(self.latest.get().map_or(at, |latest| latest.min(at)));
    }

    /// Sets the last moment, which nothing moves any more.
    pub(super) fn last(&self, left: Duration) {
        let latest = Instant::now() + left;
        self.latest.set(Some(latest));
        self.at.set(latest.min(self.at.get()));
    }

    /// Waits until it is past. Whoever sets it to an earlier moment has to poll this again; a later one it sees by itself.
    pub(super) async fn passed(&self) {
        let mut timer = pin!(sleep_until(self.at.get()));
        poll_fn(|context| {
            if timer.deadline() != self.at.get() {
                timer.as_mut().reset(self.at.get());
            }
            timer.as_mut().poll(context)
        })
        .await;
    }
}

static LOGGED: OncePerMinute = OncePerMinute::new();

/// The pause after a failed accept.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// How long a connection has to be quiet after the stop for its queries to count as all answered.
///
/// What has arrived cannot be told at the very moment: the event loop may not have heard of it yet.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// How long a connection is answered after the stop, as one that never pauses would keep the server from its end.
pub(super) const MAX_DRAIN: Duration = Duration::from_millis(500);

/// How long a connection that we end waits for its client to end it too.
pub(super) const LINGER: Duration = Duration::from_millis(250);

/// The longest query over HTTPS and QUIC, where a connection can send many side by side.
///
/// A question takes 271 bytes at most, and options with padding some hundred; 64 KiB for each of a hundred streams would
/// be 6 MiB for one connection.
pub(super) const MAX_QUERY: usize = 4096;

/// The longest message there is.
pub(super) const MAX_MESSAGE: usize = u16::MAX as usize;
