//! Queries over UDP: a plain blocking loop, one thread and one socket for each worker.
//!
//! Invariant: a reply leaves from the address and port that its query came to (RFC 2181, section 4: a client
//! drops any other), and no datagram, error or panic ends the loop; the end comes from [`Stop`] alone.
//!
//! The wake-up at the end is shutdown(2) of the socket: Linux wakes a blocked receiver with it even though it reports
//! ENOTCONN, and still hands out what is queued first, so that the worker finishes what it has without a clock. The read
//! timeout is for kernels that only report the error.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::{MAX_UDP_REPLY, Transport};
use crate::server::mmsg::{receive_with_destination, send_from};
use crate::server::observe::{Answering, Respond, now, unmapped};
use crate::server::panics::OncePerMinute;

/// The way to end the workers.
#[derive(Debug, Default)]
pub(super) struct Stop {
    flag: AtomicBool,
    sockets: Vec<Arc<UdpSocket>>,
}

impl Stop {
    pub(super) fn new(sockets: Vec<Arc<UdpSocket>>) -> Self {
        Self { flag: AtomicBool::new(false), sockets }
    }

    /// Has every worker finish what is queued on its socket, and end.
    pub(super) fn stop(&self) {
        self.flag.store(true, Ordering::SeqCst);
        for socket in &self.sockets {
            // always ENOTCONN, and the receiver is woken all the same
            let _ = socket2::SockRef::from(&**socket).shutdown(std::net::Shutdown::Read);
        }
    }
}

/// Answers queries from `socket` until the stop.
pub(super) fn serve<R: Respond>(socket: &UdpSocket, answering: &Answering<R>, stop: &Stop) {
    let mut query = vec![0; MAX_DATAGRAM];
    let mut reply = [0; MAX_UDP_REPLY];
    let mut leave_at = None;
    loop {
        if stop.flag.load(Ordering::Relaxed)
            && Instant::now() > *leave_at.get_or_insert_with(|| Instant::now() + MAX_DRAIN)
        {
            return;
        }
        let received = match receive_with_destination(socket, &mut query) {
            Ok(Some(received)) => received,
            Ok(None) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && stop.flag.load(Ordering::Relaxed) => return,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(error) => {
                if LOGGED.due(now()) {
                    tracing::warn!(address = ?socket.local_addr(), %error, "receiving a datagram failed");
                }
                thread::sleep(AFTER_ERROR);
                continue;
            }
        };
        // no reply reaches port 0; the sender is forged or broken
        if received.client.port() == 0 {
            continue;
        }
        let snapshot = answering.published.load();
        let client = unmapped(received.client);
        let query = &query[..received.length];
        if let Ok(length) = answering.respond(&snapshot, query, client, Transport::Udp, &mut reply)
            && send_from(socket, &reply[..length], received.client, received.destination).is_err()
        {
            answering.counters.lost_reply();
        }
    }
}

/// Readies a bound socket for [`serve`].
///
/// # Errors
///
/// What setsockopt(2) says.
pub(super) fn ready(socket: &UdpSocket) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LOOK_UP))?;
    if socket.local_addr()?.ip().is_unspecified() {
        crate::server::mmsg::want_destination(socket)?;
    }
    Ok(())
}

static LOGGED: OncePerMinute = OncePerMinute::new();

/// The longest datagram: a query that long is answered (with an error) and not cut into another query.
const MAX_DATAGRAM: usize = 65_535;

/// How often an idle worker looks for the stop where shutdown(2) does not wake it: rare enough to cost nothing.
const LOOK_UP: Duration = Duration::from_secs(1);

/// How long a worker goes on answering after the stop, as under load the queue is never empty.
const MAX_DRAIN: Duration = Duration::from_millis(500);

/// The pause after an error, so that a broken socket does not take a whole core.
const AFTER_ERROR: Duration = Duration::from_millis(10);
