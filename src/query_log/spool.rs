//! Memory between those who note and the one thread that writes out.
//!
//! Invariant: whoever notes holds the lock for a copy and nothing else, and memory has its bound.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where records go, on the thread that writes. It may wait for as long as it names a limit for.
pub(super) trait Sink: Send + 'static {
    /// Takes whole records, which may be none, and hears of how many there was no room for; how many of the records it lost.
    fn take(&mut self, records: &[u8], dropped: u64) -> u64;

    /// Goes on in a newly opened file.
    fn reopen(&mut self);

    /// Nothing follows.
    fn end(&mut self);
}

/// Records on their way; dropping it ends when all of them are written.
#[derive(Debug)]
pub(super) struct Spool {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Whether a record waits for no others.
    is_eager: bool,
    lost: AtomicU64,
}

/// What the writer has not done yet.
#[derive(Debug, Default)]
struct Pending {
    records: Vec<u8>,
    /// Records that there was no room for.
    dropped: u64,
    /// How many bytes of the records come before a newly opened file, if there is to be one.
    reopen: Option<usize>,
    end: bool,
}

impl Spool {
    /// Starts the thread that writes, with a name.
    pub(super) fn start(name: &str, is_eager: bool, sink: impl Sink) -> io::Result<Self> {
        let (pending, wake) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { pending, wake, is_eager, lost: AtomicU64::new(0) });
        let of_writer = shared.clone();
        let writer = thread::Builder::new().name(name.to_owned()).spawn(move || of_writer.write_out(sink))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Takes what `write` appends, which is a record or nothing.
    pub(super) fn note(&self, write: impl FnOnce(&mut Vec<u8>)) {
        thread_local! {
            static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        RECORD.with_borrow_mut(|record| {
            record.clear();
            write(record);
            if !record.is_empty() {
                self.append(record);
            }
        });
    }

    fn append(&self, record: &[u8]) {
        let mut pending = self.shared.pending();
        let before = pending.records.len();
        if before + record.len() > MAX_PENDING {
            pending.dropped += 1;
            return;
        }
        pending.records.extend_from_slice(record);
        let fills = before < FLUSH && pending.records.len() >= FLUSH;
        if fills || self.shared.is_eager && before == 0 {
            self.shared.wake.notify_one();
        }
    }

    /// Goes on in a newly opened file, after what was noted up to now.
    pub(super) fn reopen(&self) {
        let mut pending = self.shared.pending();
        let at = pending.records.len();
        // asked twice, what was noted in between is in the new file too
        pending.reopen.get_or_insert(at);
        drop(pending);
        self.shared.wake.notify_one();
    }

    /// Records that were lost so far.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.pending().end = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // nothing panics under the lock but for want of memory, and that is no reason to lose what is there
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, mut sink: impl Sink) {
        let mut records = Vec::new();
        // before anything is noted, so that what is wrong is told at the start
        sink.take(&[], 0);
        loop {
            let idle = |pending: &mut Pending| {
                let due = pending.records.len() >= FLUSH || self.is_eager && !pending.records.is_empty();
                !due && pending.reopen.is_none() && !pending.end
            };
            let pending = self.wake.wait_timeout_while(self.pending(), FLUSH_INTERVAL, idle);
            let (mut pending, _) = pending.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut records, &mut pending.records);
            let (dropped, reopen, end) = (std::mem::take(&mut pending.dropped), pending.reopen.take(), pending.end);
            drop(pending);
            let (before, after) = records.split_at(reopen.unwrap_or(records.len()));
            let mut lost = sink.take(before, dropped);
            if reopen.is_some() {
                sink.reopen();
                lost += sink.take(after, 0);
            }
            self.lost.fetch_add(dropped + lost, Ordering::Relaxed);
            records.clear();
            if end {
                return sink.end();
            }
        }
    }
}

/// So many bytes are written out at once.
const FLUSH: usize = 64 * 1024;
/// How long a record may wait for others.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// So many bytes wait at most, and as many again while they are written: about 100 000 lines.
const MAX_PENDING: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes nothing before it is let.
    struct Gate {
        opens: Receiver<()>,
        taken: Sender<(usize, u64)>,
    }

    impl Sink for Gate {
        fn take(&mut self, records: &[u8], dropped: u64) -> u64 {
            if !records.is_empty() || dropped > 0 {
                let _ = self.taken.send((records.len(), dropped));
                let _ = self.opens.recv();
            }
            0
        }

        fn reopen(&mut self) {}

        fn end(&mut self) {}
    }

    #[test]
    fn who_notes_waits_for_nobody_and_what_has_no_room_is_counted() {
        let (open, opens) = channel();
        let (taken, takes) = channel();
        let spool = Spool::start("gate", true, Gate { opens, taken }).unwrap();
        spool.note(|_| {});
        spool.note(|record| record.extend_from_slice(b"first"));
        assert_eq!(takes.recv().unwrap(), (5, 0));
        // the writer waits for the gate from here on
        let large = vec![7; 1024 * 1024];
        for _ in 0..20 {
            spool.note(|record| record.extend_from_slice(&large));
        }
        open.send(()).unwrap();
        assert_eq!(takes.recv().unwrap(), (8 * 1024 * 1024, 12));
        drop(open);
        while spool.lost() != 12 {
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_noted_after_a_reopening_is_in_the_new_file() {
        let (open, opens) = channel();
        let (taken, takes) = channel();
        let spool = Spool::start("gate", true, Gate { opens, taken }).unwrap();
        spool.note(|record| record.extend_from_slice(b"first"));
        assert_eq!(takes.recv().unwrap().0, 5);
        spool.note(|record| record.extend_from_slice(b"old"));
        spool.reopen();
        spool.note(|record| record.extend_from_slice(b"new one"));
        drop(open);
        assert_eq!((takes.recv().unwrap().0, takes.recv().unwrap().0), (3, 7));
    }
}
