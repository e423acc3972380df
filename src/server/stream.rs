//! What all stream doors have in common: connections, and a two-byte length before every message, answered in the order
//! they came (RFC 7766). What a connection is made of, and what answers a message, is a [`Door`]'s affair.
//!
//! Invariant: what a connection can hold is bounded whatever it sends: one query in the read buffer, which grows as bytes
//! arrive and not by the length that the prefix claims; one batch of replies in the write buffer; and a deadline at any
//! moment, which neither a handshake nor single bytes move.
//!
//! Where there is no reply: a message under 12 bytes or a response closes the connection, after the replies before it,
//! as what follows is no DNS either; the same for a length of zero. A query that the access list drops, or that
//! panicked, is passed over and the connection stays, since other zones may well answer the client's next.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::answer::DropReason;
use crate::server::Limits;
use crate::server::connections::{Connections, Entry, Place};
use crate::server::observe::{Counters, Silence, now, unmapped};
use crate::server::panics::OncePerMinute;

/// One kind of stream door.
pub(super) trait Door: Send + 'static {
    /// A connection that messages come over.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Makes it of an accepted connection; the caller bounds how long this takes.
    fn open(&self, accepted: TcpStream) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Answers one message into `out`, which is as long as a message can be; the reply's length, or why there is none.
    fn answer(&self, message: &[u8], client: IpAddr, out: &mut [u8]) -> Result<usize, Silence>;

    /// Where refused connections and the like are counted.
    fn counters(&self) -> &Counters;
}

/// Answers queries on all `listeners` until `stop` turns true and the connections are done.
pub(super) async fn serve(listeners: Vec<TcpListener>, door: impl Door, limits: Limits, stop: watch::Receiver<bool>) {
    let shared = Rc::new(Shared {
        door,
        connections: Connections::new(limits.connections, limits.connections_per_client),
        idle: limits.idle,
        stop,
        scratch: RefCell::new(vec![0; MAX_MESSAGE]),
    });
    // one thread for all: what the tasks share needs no lock, and the thread is far from busy
    let local = LocalSet::new();
    for listener in listeners {
        local.spawn_local(accept(listener, shared.clone()));
    }
    local.await;
}

/// What all connections share.
struct Shared<D> {
    door: D,
    connections: Rc<Connections>,
    idle: Duration,
    stop: watch::Receiver<bool>,
    /// Where a reply is written before its length is known; no connection keeps it across a wait.
    scratch: RefCell<Vec<u8>>,
}

/// Accepts connections until the stop, then waits for those that are open.
async fn accept<D: Door>(listener: TcpListener, shared: Rc<Shared<D>>) {
    let mut stop = shared.stop.clone();
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            // the client went away before its turn; this does not concern the next
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                shared.door.counters().failed_accept();
                if LOGGED.due(now()) {
                    tracing::warn!(%error, "accepting a connection failed");
                }
                // mostly for want of file descriptors: the backlog stays readable, so without a pause this would spin
                shared.connections.evict();
                sleep(AFTER_ERROR).await;
                continue;
            }
        };
        let client = unmapped(client);
        let place = match shared.connections.enter(client) {
            Entry::Free(place) => place,
            Entry::Evicting(place) => {
                shared.door.counters().evicted_connection();
                place
            }
            Entry::Refused => {
                shared.door.counters().refused_connection();
                continue;
            }
        };
        let shared = shared.clone();
        open.spawn_local(async move { shared.converse(stream, client, place).await });
    }
    drop(listener);
    while open.join_next().await.is_some() {}
}

impl<D: Door> Shared<D> {
    /// Serves one connection to its end.
    async fn converse(&self, accepted: TcpStream, client: IpAddr, place: Place) {
        // replies go out in batches of our own making
        let _ = accepted.set_nodelay(true);
        let conversation = async {
            // of the handshake and the first query together
            let deadline = Instant::now() + self.idle;
            let Some(mut stream) = self.open(accepted, client, deadline).await else { return };
            let polite = self.answer_all(&mut stream, client, &place, deadline).await;
            let _ = timeout(LINGER, close(&mut stream, polite)).await;
        };
        tokio::select! {
            () = place.eviction.notified() => {}
            () = conversation => {}
        }
    }

    /// Makes an accepted connection one that messages come over, if it becomes one in time.
    async fn open(&self, accepted: TcpStream, client: IpAddr, deadline: Instant) -> Option<D::Stream> {
        let mut stop = self.stop.clone();
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
            // a query can have arrived together with the handshake's last bytes
            sleep(QUIET).await;
        };
        let opened = tokio::select! {
            opened = timeout_at(deadline, self.door.open(accepted)) => opened.ok()?,
            () = stopped => return None,
        };
        opened.inspect_err(|error| tracing::debug!(%client, %error, "a handshake failed")).ok()
    }

    /// Answers queries until the connection's end; whether its client may still be reading replies.
    async fn answer_all(&self, stream: &mut D::Stream, client: IpAddr, place: &Place, mut deadline: Instant) -> bool {
        let mut stop = self.stop.clone();
        let mut inbox = Inbox::default();
        let mut replies = Vec::new();
        let mut drained = None;
        loop {
            let more = loop {
                let Some(query) = inbox.message() else { break true };
                deadline = Instant::now() + self.idle;
                place.touch();
                if !self.answer(query, client, &mut replies) {
                    break false;
                }
                inbox.advance();
                if replies.len() >= BATCH && !self.send(stream, &mut replies).await {
                    return false;
                }
            };
            if !self.send(stream, &mut replies).await {
                return false;
            }
            if !more {
                return true;
            }
            let stopping = *stop.borrow();
            if stopping {
                let drained = *drained.get_or_insert_with(|| Instant::now() + MAX_DRAIN);
                deadline = drained.min(Instant::now() + QUIET);
            }
            let read = tokio::select! {
                read = timeout_at(deadline, stream.read(inbox.room())) => read,
                _ = stop.wait_for(|stop| *stop), if !stopping => continue,
            };
            match read {
                Ok(Ok(length)) if length > 0 => inbox.filled(length),
                // the client has sent all it wanted to, and has all replies; or it is gone
                Ok(Ok(_)) | Ok(Err(_)) => return false,
                Err(_) => return stopping,
            }
        }
    }

    /// Answers one message onto the end of `replies`; false if the connection has to end.
    fn answer(&self, query: &[u8], client: IpAddr, replies: &mut Vec<u8>) -> bool {
        if query.is_empty() {
            return false;
        }
        let mut scratch = self.scratch.borrow_mut();
        match self.door.answer(query, client, &mut scratch) {
            Ok(length) => {
                // the scratch buffer is as long as a message can be
                replies.extend_from_slice(&(length as u16).to_be_bytes());
                replies.extend_from_slice(&scratch[..length]);
                true
            }
            Err(Silence::Panic | Silence::Meant(DropReason::Access | DropReason::Limited)) => true,
            Err(Silence::Meant(DropReason::Short | DropReason::Response)) => false,
        }
    }

    /// Writes the replies out; false if the client does not take them in time.
    async fn send(&self, stream: &mut D::Stream, replies: &mut Vec<u8>) -> bool {
        if replies.is_empty() {
            return true;
        }
        let sent = timeout(self.idle, async {
            stream.write_all(replies).await?;
            stream.flush().await
        })
        .await;
        replies.clear();
        replies.shrink_to(BATCH);
        matches!(sent, Ok(Ok(())))
    }
}

/// Ends the connection, and if the client may be `reading` without taking the last replies from it.
///
/// Closing a socket that has unread bytes, or gets some, resets the connection, and a reset discards what the client has
/// not read yet. So our side ends, and what the client had still under way is read and thrown away for a moment.
async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reading: bool) {
    if stream.shutdown().await.is_err() || !reading {
        return;
    }
    let mut rest = [0; 512];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

/// Bytes that came in and are not answered yet.
#[derive(Debug, Default)]
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// The first message, if it is there whole.
    fn message(&self) -> Option<&[u8]> {
        let (prefix, rest) = self.bytes[self.start..self.end].split_first_chunk::<PREFIX>()?;
        rest.get(..usize::from(u16::from_be_bytes(*prefix)))
    }

    /// Goes past the first message.
    fn advance(&mut self) {
        self.start += PREFIX + self.message().map_or(0, <[u8]>::len);
    }

    /// Space for more bytes, never empty: twice of what has arrived and is unanswered, as the longest message allows.
    fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            // an unanswered message is incomplete, so it is shorter than the longest
            self.bytes.resize((2 * self.end).clamp(FIRST_READ, PREFIX + MAX_MESSAGE), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Notes that `length` bytes were read into the room.
    fn filled(&mut self, length: usize) {
        self.end += length;
    }
}

static LOGGED: OncePerMinute = OncePerMinute::new();

/// The length before a message.
const PREFIX: usize = 2;

/// The longest message that the length prefix can announce.
const MAX_MESSAGE: usize = u16::MAX as usize;

/// The read buffer of a connection at first: a dozen usual queries, and little for one that never asks.
const FIRST_READ: usize = 1024;

/// Replies are written out when they come to this much, or when no whole query is left.
const BATCH: usize = 16 * 1024;

/// The pause after a failed accept.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// How long a connection has to be quiet after the stop for its queries to count as all answered.
///
/// What has arrived cannot be told at the very moment: the event loop may not have heard of it yet.
const QUIET: Duration = Duration::from_millis(50);

/// How long a connection is answered after the stop, as one that never pauses would keep the server from its end.
const MAX_DRAIN: Duration = Duration::from_millis(500);

/// How long a connection that we end waits for its client to end it too.
const LINGER: Duration = Duration::from_millis(250);
