//! Where messages go: stdout and stderr in the foreground, syslog in the background.
//!
//! Invariant: a message is one line, and one that cannot be written stops nothing. Until the program is in the
//! background a message goes both ways, so that whoever starts it sees what is wrong.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::syslog::{Facility, LogFlags, Severity, openlog, syslog};
use tracing_subscriber::fmt::MakeWriter;

/// The way to the operator.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Ways>);

#[derive(Debug)]
struct Ways {
    syslog: bool,
    terminal: AtomicBool,
}

impl Log {
    /// A log for a program that stays in the foreground.
    pub(super) fn foreground() -> Self {
        Self(Arc::new(Ways { syslog: false, terminal: AtomicBool::new(true) }))
    }

    /// A log for a program that is about to go into the background; before a chroot, as the socket is outside.
    pub(super) fn background(facility: Facility) -> Self {
        // without a syslog daemon there is nobody to tell, and lists are served all the same
        let flags = LogFlags::LOG_PID | LogFlags::LOG_NDELAY;
        let opened = openlog(Some(IDENT), flags, facility).is_ok();
        Self(Arc::new(Ways { syslog: opened, terminal: AtomicBool::new(true) }))
    }

    /// The terminal is gone.
    pub(super) fn detach(&self) {
        self.0.terminal.store(false, Ordering::Relaxed);
    }

    /// What is as it should be.
    pub(super) fn info(&self, message: impl Display) {
        self.say(Severity::LOG_INFO, &message.to_string());
    }

    /// What is not as it should be, and served around.
    pub(super) fn warning(&self, message: impl Display) {
        self.say(Severity::LOG_WARNING, &message.to_string());
    }

    /// What keeps something from being served.
    pub(super) fn error(&self, message: impl Display) {
        self.say(Severity::LOG_ERR, &message.to_string());
    }

    fn say(&self, severity: Severity, message: &str) {
        if self.0.terminal.load(Ordering::Relaxed) {
            let line = format!("{PROGRAM}: {message}\n");
            // a closed pipe is no reason to end
            let _ = match severity {
                Severity::LOG_INFO => io::stdout().lock().write_all(line.as_bytes()),
                _ => io::stderr().lock().write_all(line.as_bytes()),
            };
        }
        if self.0.syslog {
            let _ = syslog(severity, message);
        }
    }
}

/// What the server itself has to say comes as warnings.
impl MakeWriter<'_> for Log {
    type Writer = LineWriter;

    fn make_writer(&self) -> LineWriter {
        LineWriter { log: self.clone(), line: Vec::new() }
    }
}

/// One message while it is put together.
#[derive(Debug)]
pub(super) struct LineWriter {
    log: Log,
    line: Vec<u8>,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if !line.trim().is_empty() {
            self.log.warning(line.trim());
        }
    }
}

/// What messages begin with: filters on the way look for it.
const PROGRAM: &str = "rbldnsd";
/// The same for syslog(3).
const IDENT: &std::ffi::CStr = c"rbldnsd";
