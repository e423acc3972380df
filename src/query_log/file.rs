//! The query log: a line in a file, or on stdout, for every reply that is told.
//!
//! Invariant: a line is whole, or lost and ended before the next. A file that cannot be opened is tried again as soon as
//! something else is to be written, and the operator hears once that lines are lost, and once that they no longer are.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::json::write_json;
use super::line::write_line;
use super::outage::Outage;
use super::spool::{Sink, Spool};
use super::{Sample, Tell};
use crate::server::Exchange;

/// What a query log is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// The file; stdout without one.
    pub path: Option<PathBuf>,
    /// How lines are written.
    pub form: Form,
    /// Which queries are told.
    pub sample: Sample,
    /// Whether each line is written out at once.
    pub is_unbuffered: bool,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `time client qname qtype qclass: rcode/answers/bytes`
    Rbldnsd,
    /// A JSON object.
    Json,
}

/// A query log that is being written; dropping it ends when all that was noted is written.
#[derive(Debug)]
pub struct QueryLog {
    spool: Spool,
    form: Form,
    pub(super) sample: Sample,
}

impl FileSpec {
    /// Opens the file, and closes it. A FIFO that nobody reads is no error: its reader may come.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn try_open(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        match open_file(path) {
            // nobody reads the FIFO
            Err(why) if why.raw_os_error() == Some(libc::ENXIO) => Ok(()),
            opened => opened.map(drop),
        }
    }
}

impl QueryLog {
    /// Opens the log and starts its thread; a file that cannot be opened is tried again later.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub fn start(spec: &FileSpec, tell: Tell) -> io::Result<Self> {
        let mut target = Target::new(spec.path.clone(), tell);
        target.open();
        let spool = Spool::start("query log", spec.is_unbuffered, target)?;
        Ok(Self { spool, form: spec.form, sample: spec.sample })
    }

    /// Takes note of one query, if it got a reply.
    pub fn note(&self, exchange: &Exchange<'_>) {
        self.spool.note(|line| match self.form {
            Form::Rbldnsd => write_line(exchange, line),
            Form::Json => write_json(exchange, line),
        });
    }

    /// Goes on in a newly opened file, after what was noted up to now.
    pub fn reopen(&self) {
        self.spool.reopen();
    }

    /// Lines that were lost so far.
    pub fn lost(&self) -> u64 {
        self.spool.lost()
    }
}

/// The file, or stdout, and what is wrong with it.
struct Target {
    /// None for stdout.
    path: Option<PathBuf>,
    file: Option<File>,
    /// Whether the file ends within a line of which there was no more room for the rest.
    is_torn: bool,
    outage: Outage,
}

impl Target {
    fn new(path: Option<PathBuf>, tell: Tell) -> Self {
        let shown = path.as_ref().map_or_else(|| "-".to_owned(), |path| path.display().to_string());
        Self { path, file: None, is_torn: false, outage: Outage::none(shown, tell) }
    }

    fn open(&mut self) {
        let Some(path) = &self.path else { return };
        self.is_torn = false;
        match open_file(path) {
            Ok(file) => self.file = Some(file),
            Err(why) => {
                self.file = None;
                self.outage.begins("(re)opening", &why);
            }
        }
    }
}

impl Sink for Target {
    fn take(&mut self, lines: &[u8], dropped: u64) -> u64 {
        if lines.is_empty() && dropped == 0 {
            return 0;
        }
        if self.file.is_none() {
            self.open();
        }
        let is_torn = &mut self.is_torn;
        let written = match (&mut self.file, &self.path) {
            (Some(file), _) => write_whole(file, lines, is_torn),
            (None, None) => write_whole(&mut io::stdout().lock(), lines, is_torn),
            (None, Some(_)) => Err((0, None)),
        };
        let mut unwritten = 0;
        match written {
            Ok(()) if dropped == 0 => self.outage.ends(),
            Ok(()) => {}
            Err((done, why)) => {
                unwritten = lines[done..].iter().filter(|&&byte| byte == b'\n').count() as u64;
                if let Some(why) = why {
                    self.outage.begins("writing", &why);
                }
            }
        }
        self.outage.loses("writing", unwritten, dropped);
        unwritten
    }

    fn reopen(&mut self) {
        self.open();
    }

    fn end(&mut self) {}
}

/// Opens a file, and never waits: a FIFO that nobody reads is an error, and one that is full takes nothing.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// As [`write_lines`], behind the end of a line that is torn.
fn write_whole(file: &mut impl Write, lines: &[u8], is_torn: &mut bool) -> Result<(), (usize, Option<io::Error>)> {
    if *is_torn {
        write_lines(file, b"\n").map_err(|(_, why)| (0, why))?;
        *is_torn = false;
    }
    write_lines(file, lines).inspect_err(|(done, _)| {
        if let Some(last) = done.checked_sub(1) {
            *is_torn = lines[last] != b'\n';
        }
    })
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::query_log::News;
    use crate::query_log::line::tests::exchange;
    use crate::zone::UnixTime;

    fn spec(path: &Path, form: Form, is_unbuffered: bool) -> FileSpec {
        FileSpec { path: Some(path.to_owned()), form, sample: Sample::ALL, is_unbuffered }
    }

    fn note(log: &QueryLog, now: i64) {
        let query = b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        log.note(&Exchange { now: UnixTime(now), ..exchange(query, 5) });
    }

    #[test]
    fn every_line_arrives_in_the_file_of_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("moved"));
        let log = QueryLog::start(&spec(&path, Form::Rbldnsd, false), Box::new(|_, _| {})).unwrap();
        note(&log, 1);
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        note(&log, 2);
        drop(log);
        let (old, new) = (std::fs::read_to_string(moved).unwrap(), std::fs::read_to_string(path).unwrap_or_default());
        assert_eq!(old + &new, "1 192.0.2.1 a A IN: REFUSED/1/94\n2 192.0.2.1 a A IN: REFUSED/1/94\n");
    }

    #[test]
    fn a_line_that_was_cut_spoils_no_other() {
        struct Small(Vec<u8>, usize);
        impl Write for Small {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let room = (self.1 - self.0.len()).min(bytes.len());
                self.0.extend_from_slice(&bytes[..room]);
                if room > 0 { Ok(room) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut file, mut is_torn) = (Small(Vec::new(), 6), false);
        assert_eq!(write_whole(&mut file, b"one\ntwo\n", &mut is_torn).unwrap_err().0, 6);
        assert_eq!(write_whole(&mut file, b"three\n", &mut is_torn).unwrap_err().0, 0);
        file.1 = 100;
        write_whole(&mut file, b"four\n", &mut is_torn).unwrap();
        write_whole(&mut file, b"five\n", &mut is_torn).unwrap();
        assert_eq!(String::from_utf8(file.0).unwrap(), "one\ntw\nfour\nfive\n");
    }

    #[test]
    fn a_fifo_is_written_from_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let spec = spec(&path, Form::Rbldnsd, true);
        spec.try_open().unwrap();
        let (told, news) = channel();
        let tell = move |_: &str, news: News<'_>| told.send(format!("{news:?}")).unwrap();
        let log = QueryLog::start(&spec, Box::new(tell)).unwrap();
        assert!(news.recv().unwrap().starts_with("Fails { doing: \"(re)opening\""));
        note(&log, 1);
        while log.lost() < 1 {
            std::thread::yield_now();
        }
        let mut reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        note(&log, 2);
        drop(log);
        let mut lines = String::new();
        io::Read::read_to_string(&mut reader, &mut lines).unwrap();
        assert_eq!(lines, "2 192.0.2.1 a A IN: REFUSED/1/94\n");
    }

    #[test]
    fn a_full_disk_stops_nothing_and_is_told_once() {
        let (told, news) = channel();
        let tell = move |name: &str, news: News<'_>| told.send(format!("{name}: {news:?}")).unwrap();
        let log = QueryLog::start(&spec(Path::new("/dev/full"), Form::Json, true), Box::new(tell)).unwrap();
        (0..100).for_each(|now| note(&log, now));
        let first = news.recv().unwrap();
        assert!(first.starts_with("/dev/full: Fails { doing: \"writing\""), "{first}");
        while log.lost() < 100 {
            std::thread::yield_now();
        }
        drop(log);
        assert_eq!(news.iter().count(), 0);
    }
}
