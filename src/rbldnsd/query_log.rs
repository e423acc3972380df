//! The query log, `-l`: a line for every reply.
//!
//! Invariant: answering never waits for the file. Lines go into memory of a bounded size, and a thread of its own writes
//! them out; what a full disk or a reader that is too slow leaves no room for is lost, counted and told once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::announce::show_cause;
use super::log::Log;
use super::options::Output;
use super::query_line::write_line;
use crate::server::Exchange;

/// A query log that is being written.
#[derive(Debug)]
pub(super) struct QueryLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    unbuffered: bool,
}

/// What the writer has not done yet.
#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    /// Lines that there was no room for.
    lost: u64,
    reopen: bool,
    end: bool,
}

impl QueryLog {
    /// Opens the log and starts its thread; a file that cannot be opened is tried again later.
    pub(super) fn start(output: &Output, log: Log) -> io::Result<Self> {
        let (pending, wake) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { pending, wake, unbuffered: output.plus });
        let mut target = Target::new(output.path.clone(), log);
        target.open();
        let of_writer = shared.clone();
        let writer = thread::Builder::new().name("query log".to_owned()).spawn(move || of_writer.write_out(target))?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Takes note of one query.
    pub(super) fn note(&self, exchange: &Exchange<'_>) {
        if exchange.reply.is_empty() {
            return;
        }
        let mut pending = self.shared.pending();
        if pending.lines.len() >= MAX_PENDING {
            pending.lost += 1;
            return;
        }
        let before = pending.lines.len();
        write_line(exchange, &mut pending.lines);
        let fills = before < FLUSH && pending.lines.len() >= FLUSH;
        if fills || self.shared.unbuffered && before == 0 {
            self.shared.wake.notify_one();
        }
    }

    /// Goes on in a newly opened file, after what was noted up to now.
    pub(super) fn reopen(&self) {
        self.shared.pending().reopen = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for QueryLog {
    /// Ends the log when all that was noted is written.
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
        // a panic while a line was written leaves half a line, which is no reason to lose the others
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, mut target: Target) {
        let mut lines = Vec::new();
        loop {
            let idle = |pending: &mut Pending| {
                let due = pending.lines.len() >= FLUSH || self.unbuffered && !pending.lines.is_empty();
                !due && !pending.reopen && !pending.end
            };
            let pending = self.wake.wait_timeout_while(self.pending(), FLUSH_INTERVAL, idle);
            let (mut pending, _) = pending.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut lines, &mut pending.lines);
            let (lost, reopen, end) = (std::mem::take(&mut pending.lost), pending.reopen, pending.end);
            pending.reopen = false;
            drop(pending);
            target.write(&lines, lost);
            lines.clear();
            if reopen {
                target.open();
            }
            if end {
                return;
            }
        }
    }
}

/// The file, or stdout, and what is wrong with it.
struct Target {
    /// None for stdout.
    path: Option<PathBuf>,
    file: Option<File>,
    /// Lines that were lost since the operator was told that the log cannot be written.
    lost: Option<u64>,
    log: Log,
}

impl Target {
    fn new(path: Option<PathBuf>, log: Log) -> Self {
        Self { path, file: None, lost: None, log }
    }

    fn shown(&self) -> String {
        self.path.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string())
    }

    fn open(&mut self) {
        let Some(path) = &self.path else { return };
        // never waits: a FIFO that nobody reads is an error, and one that is full takes nothing
        let opened = OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path);
        match opened {
            Ok(file) => self.file = Some(file),
            Err(why) => {
                self.file = None;
                self.fails("(re)opening", &why);
            }
        }
    }

    fn write(&mut self, lines: &[u8], dropped: u64) {
        if lines.is_empty() && dropped == 0 {
            return;
        }
        if self.file.is_none() {
            self.open();
        }
        let written = match (&mut self.file, &self.path) {
            (Some(file), _) => write_lines(file, lines),
            (None, None) => write_lines(&mut io::stdout().lock(), lines),
            (None, Some(_)) => Err((0, None)),
        };
        let mut lost = dropped;
        if let Err((done, why)) = written {
            lost += lines[done..].iter().filter(|&&byte| byte == b'\n').count() as u64;
            if let Some(why) = why {
                self.fails("writing", &why);
            }
        } else if lost == 0
            && let Some(lost) = self.lost.take()
        {
            self.log.info(format_args!("logfile `{}' is written again, {lost} lines were lost", self.shown()));
        }
        if lost > 0 && self.lost.is_none() {
            self.fails("writing", &io::Error::other("it is too slow"));
        }
        if let Some(so_far) = &mut self.lost {
            *so_far += lost;
        }
    }

    /// Tells of an error, unless it goes on from before.
    fn fails(&mut self, what: &str, why: &io::Error) {
        if self.lost.is_none() {
            self.lost = Some(0);
            self.log.error(format_args!(
                "error {what} logfile `{}': {}: lines are lost",
                self.shown(),
                show_cause(why)
            ));
        }
    }
}

/// Writes all lines; else how many bytes of them were written, and why no more.
fn write_lines(file: &mut impl Write, lines: &[u8]) -> Result<(), (usize, Option<io::Error>)> {
    let mut done = 0;
    while done < lines.len() {
        match file.write(&lines[done..]) {
            Ok(0) => return Err((done, Some(io::ErrorKind::WriteZero.into()))),
            Ok(count) => done += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err((done, Some(why))),
        }
    }
    file.flush().map_err(|why| (done, Some(why)))
}

/// So many bytes are written out at once.
const FLUSH: usize = 64 * 1024;
/// How long a line may wait for others.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// So many bytes wait at most: about 100 000 queries.
const MAX_PENDING: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::answer::{Outcome, Summary, Transport};
    use crate::snapshot::Snapshot;
    use crate::zone::UnixTime;

    fn note(log: &QueryLog, now: i64) {
        let query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        log.note(&Exchange {
            client: Ipv4Addr::LOCALHOST.into(),
            transport: Transport::Udp,
            now: UnixTime(now),
            query,
            reply: &query[..],
            outcome: Outcome::Reply { length: query.len(), summary: Summary { rcode: 5, ..Summary::default() } },
            snapshot: &Snapshot::default(),
        });
    }

    #[test]
    fn every_line_arrives_in_the_file_of_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("moved"));
        let log = QueryLog::start(&Output { path: Some(path.clone()), plus: false }, Log::foreground()).unwrap();
        note(&log, 1);
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        note(&log, 2);
        drop(log);
        let (old, new) = (std::fs::read_to_string(moved).unwrap(), std::fs::read_to_string(path).unwrap_or_default());
        assert_eq!(old + &new, "1 127.0.0.1 a A IN: REFUSED/0/19\n2 127.0.0.1 a A IN: REFUSED/0/19\n");
    }

    #[test]
    fn a_full_disk_does_not_stop_anything() {
        let full = Output { path: Some("/dev/full".into()), plus: true };
        let log = QueryLog::start(&full, Log::foreground()).unwrap();
        (0..100).for_each(|now| note(&log, now));
        drop(log);
    }
}
