//! Queries over TCP and TLS: a two-byte length before every message, answered in the order they came (RFC 7766). What the
//! messages come over is a [`Underlay`]'s affair.
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
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::answer::DropReason;
use crate::server::accept::{Answers, Door, LINGER, MAX_DRAIN, MAX_MESSAGE, QUIET, Stop};
use crate::server::connections::Place;
use crate::server::observe::{Counters, Silence};

/// What makes of an accepted connection one that messages come over.
pub(super) trait Underlay: Send + 'static {
    /// What messages come over.
    type Stream: AsyncRead + AsyncWrite + Unpin;

    /// Makes it; the caller bounds how long this takes.
    fn open(&self, accepted: TcpStream) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// A door with a length before every message.
pub(super) struct Framed<C, A> {
    underlay: C,
    answers: A,
    idle: Duration,
    /// Where a reply is written before its length is known; no connection keeps it across a wait.
    scratch: RefCell<Vec<u8>>,
}

impl<C, A> Framed<C, A> {
    pub(super) fn new(underlay: C, answers: A, idle: Duration) -> Self {
        Self { underlay, answers, idle, scratch: RefCell::new(vec![0; MAX_MESSAGE]) }
    }
}

impl<C: Underlay, A: Answers> Door for Framed<C, A> {
    async fn converse(self: Rc<Self>, accepted: TcpStream, client: IpAddr, place: Rc<Place>, stop: Stop) {
        let conversation = async {
            // of the handshake and the first query together
            let deadline = Instant::now() + self.idle;
            let Some(mut stream) = open(&self.underlay, accepted, client, deadline, stop.clone()).await else { return };
            let polite = self.answer_all(&mut stream, client, &place, deadline, stop).await;
            let _ = timeout(LINGER, close(&mut stream, polite)).await;
        };
        tokio::select! {
            () = place.eviction.notified() => {}
            () = conversation => {}
        }
    }

    fn counters(&self) -> &Counters {
        self.answers.counters()
    }
}

/// Makes an accepted connection one that messages come over, if it becomes one in time.
pub(super) async fn open<C: Underlay>(
    underlay: &C,
    accepted: TcpStream,
    client: IpAddr,
    deadline: Instant,
    mut stop: Stop,
) -> Option<C::Stream> {
    let stopped = async {
        let _ = stop.wait_for(|stop| *stop).await;
        // a query can have arrived together with the handshake's last bytes
        sleep(QUIET).await;
    };
    let opened = tokio::select! {
        opened = timeout_at(deadline, underlay.open(accepted)) => opened.ok()?,
        () = stopped => return None,
    };
    opened.inspect_err(|error| tracing::debug!(%client, %error, "a handshake failed")).ok()
}

impl<C: Underlay, A: Answers> Framed<C, A> {
    /// Answers queries until the connection's end; whether its client may still be reading replies.
    async fn answer_all(
        &self,
        stream: &mut C::Stream,
        client: IpAddr,
        place: &Place,
        mut deadline: Instant,
        mut stop: Stop,
    ) -> bool {
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
        match self.answers.answer(query, client, &mut scratch) {
            Ok(length) => {
                // the scratch buffer is as long as a message can be
                replies.extend_from_slice(&(length as u16).to_be_bytes());
                replies.extend_from_slice(&scratch[..length]);
                true
            }
            Err(Silence::Panic | Silence::Meant(DropReason::Access { .. } | DropReason::Limited)) => true,
            Err(Silence::Meant(DropReason::Short | DropReason::Response)) => false,
        }
    }

    /// Writes the replies out; false if the client does not take them in time.
    async fn send(&self, stream: &mut C::Stream, replies: &mut Vec<u8>) -> bool {
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

/// The length before a message.
const PREFIX: usize = 2;

/// The read buffer of a connection at first: a dozen usual queries, and little for one that never asks.
const FIRST_READ: usize = 1024;

/// Replies are written out when they come to this much, or when no whole query is left.
const BATCH: usize = 16 * 1024;
