//! Queries over UDP: a blocking loop, one thread and one socket for each worker, that answers by the batch.
//!
//! Whatever has arrived is received with one system call, up to [`BATCH`] datagrams, and so are the replies sent. In between
//! the batch goes through steps, each for all queries before the next: they are read; what answering them will read from
//! memory is prefetched; what stands behind that is prefetched too; they are answered, each over its own query.
//! A table larger than the caches costs a wait for memory at every step down, and so the queries wait together.
//! The generation and the time are loaded once for a batch, and the clock is read once more when its replies are gone;
//! nothing that two workers share is written for a query, but what bounds replies and quotas where there are any.
//!
//! Invariant: a reply leaves from the address and port that its query came to (RFC 2181, section 4: a client
//! drops any other), and no datagram, error or panic ends the loop; the end comes from [`Stop`] alone.
//!
//! The wake-up at the end is shutdown(2) of the socket: Linux wakes a blocked receiver with it even though it reports
//! ENOTCONN, and still hands out what is queued first, so that the worker finishes what it has without a clock. A socket
//! that a service manager handed over is its own to keep, and would stay shut for the next server too: there, and on kernels
//! that only report the error, the worker finds the stop by the read timeout.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::answer::{DropReason, Outcome};
use crate::server::mmsg::{BATCH, Batch, SLOT_BYTES};
use crate::server::observe::{Answering, Exchange, Respond, now, to_second, unmapped};
use crate::server::panics::OncePerMinute;
use crate::server::tally::Carrier;
use crate::snapshot::Snapshot;
use crate::zone::UnixTime;

/// The way to end the workers.
#[derive(Debug, Default)]
pub(super) struct Stop {
    flag: AtomicBool,
    /// The sockets that nobody else has.
    own: Vec<Arc<UdpSocket>>,
}

impl Stop {
    pub(super) fn new(own: Vec<Arc<UdpSocket>>) -> Self {
        Self { flag: AtomicBool::new(false), own }
    }

    /// Has every worker finish what is queued on its socket, and end.
    pub(super) fn stop(&self) {
        self.flag.store(true, Ordering::SeqCst);
        for socket in &self.own {
            // always ENOTCONN, and the receiver is woken all the same
            let _ = socket2::SockRef::from(&**socket).shutdown(std::net::Shutdown::Read);
        }
    }
}

/// Answers queries from `socket` until the stop.
pub(super) fn serve<R: Respond>(socket: &UdpSocket, answering: &Answering<R>, stop: &Stop) {
    let mut batch = Batch::new();
    let mut places: Vec<Place<R::Asked>> = std::iter::repeat_with(Place::default).take(BATCH).collect();
    let mut leave_at = None;
    loop {
        if stop.flag.load(Ordering::Relaxed)
            && Instant::now() > *leave_at.get_or_insert_with(|| Instant::now() + MAX_DRAIN)
        {
            return;
        }
        let received = match batch.receive(socket) {
            Ok(0) => return,
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && stop.flag.load(Ordering::Relaxed) => return,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(error) => {
                if LOGGED.due(now()) {
                    tracing::warn!(address = ?socket.local_addr(), %error, "receiving datagrams failed");
                }
                thread::sleep(AFTER_ERROR);
                continue;
            }
        };
        let began = SystemTime::now();
        answer(&mut batch, &mut places[..received], answering, &answering.published.load(), to_second(began));
        answering.counters.add_lost_replies(batch.send(socket));
        // a clock that was set back in between says nothing
        if let Ok(took) = began.elapsed() {
            answering.tally.time(received, took);
        }
    }
}

/// A place of the batch: the query in it, and whether it was read.
struct Place<A> {
    asked: A,
    /// None where a panic left the query unread, or nobody waits for a reply.
    read: Option<Result<(), DropReason>>,
}

impl<A: Default> Default for Place<A> {
    fn default() -> Self {
        Self { asked: A::default(), read: None }
    }
}

/// Answers a batch of queries, as many as there are places.
fn answer<R: Respond>(
    batch: &mut Batch,
    places: &mut [Place<R::Asked>],
    answering: &Answering<R>,
    snapshot: &Snapshot,
    now: UnixTime,
) {
    let respond = &answering.respond;
    answering.contain_each(now, places.len(), |index| {
        let Place { asked, read } = &mut places[index];
        *read = None;
        // no reply reaches port 0; the sender is forged or broken
        if batch.client(index).port() != 0 {
            *read = Some(respond.read(batch.query(index), asked));
        }
    });
    // not right behind the reading, whose stores would be waited for
    answering.contain_each(now, places.len(), |index| {
        if let Place { asked, read: Some(Ok(())) } = &mut places[index] {
            respond.prefetch(snapshot, asked);
        }
    });
    answering.contain_each(now, places.len(), |index| {
        if let Place { asked, read: Some(Ok(())) } = &places[index] {
            respond.prefetch_further(snapshot, asked);
        }
    });
    let mut kept = [0; SLOT_BYTES];
    answering.contain_each(now, places.len(), |index| {
        let Place { asked, read: Some(read) } = &places[index] else { return };
        let client = unmapped(batch.client(index));
        let bytes = batch.query(index).len();
        // the reply takes the query's place, and an observer sees both
        let query = answering.observer.as_ref().map(|_| {
            let query = batch.query(index);
            kept[..query.len()].copy_from_slice(query);
            query.len()
        });
        let outcome = match read {
            Ok(()) => {
                let Answering { guard, tally, .. } = answering;
                guard.respond(tally, respond, (snapshot, asked), (client, now), batch.slot(index))
            }
            Err(reason) => Outcome::Drop(*reason),
        };
        answering.count(snapshot, outcome, bytes);
        let reply = &batch.slot(index)[..outcome.length()];
        if let Some(length) = query {
            let query = &kept[..length];
            answering.observe(&Exchange { client, carrier: Carrier::Udp, now, query, reply, outcome, snapshot });
        }
        if !reply.is_empty() {
            batch.reply(index, outcome.length());
        }
    });
}

/// Readies a bound socket for [`serve`].
///
/// # Errors
///
/// What setsockopt(2) says.
pub(super) fn ready(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LOOK_UP))?;
    let options = socket2::SockRef::from(socket);
    if options.recv_buffer_size()? < RECEIVE_BUFFER {
        // up to net.core.rmem_max: what the kernel does not give is no reason not to serve
        let _ = options.set_recv_buffer_size(RECEIVE_BUFFER);
    }
    if socket.local_addr()?.ip().is_unspecified() {
        crate::server::mmsg::want_destination(socket)?;
    }
    Ok(())
}

static LOGGED: OncePerMinute = OncePerMinute::new();

/// What may wait in a socket: some 20 ms of the most that one worker answers, for when a reload or another program has its
/// processor. The kernel counts some 800 bytes for a query.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How often an idle worker looks for the stop where shutdown(2) does not wake it: rare enough to cost nothing.
const LOOK_UP: Duration = Duration::from_secs(1);

/// How long a worker goes on answering after the stop, as under load the queue is never empty.
const MAX_DRAIN: Duration = Duration::from_millis(500);

/// The pause after an error, so that a broken socket does not take a whole core.
const AFTER_ERROR: Duration = Duration::from_millis(10);
