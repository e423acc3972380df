//! The terminal: a screen beside the one that was there, and keys as they are pressed.
//!
//! Invariant: however the program ends, the terminal is again as it was; only SIGKILL is beyond that.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::view::Size;
use crate::server::signals::{Signal, forward};

/// The terminal while it is ours.
pub(super) struct Screen {
    /// How stdin was before; none if it is no terminal.
    before: Option<Termios>,
    signals: Receiver<Signal>,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let (sender, signals) = mpsc::channel();
        forward(sender)?;
        let stdin = io::stdin();
        let before = match stdin.is_terminal() {
            true => {
                let before = tcgetattr(&stdin)?;
                let mut keys = before.clone();
                // Ctrl-C is a key as q is, so that both leave by the same way
                keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
                tcsetattr(&stdin, OptionalActions::Now, &keys)?;
                Some(before)
            }
            false => None,
        };
        let screen = Self { before, signals };
        write(ENTER)?;
        Ok(screen)
    }

    /// Shows a text in the place of the one before.
    pub(super) fn show(&self, text: &str) -> io::Result<()> {
        let mut out = String::from(HOME);
        for line in text.lines() {
            out += line;
            out += END_OF_LINE;
        }
        out += END_OF_SCREEN;
        write(&out)
    }

    pub(super) fn size(&self) -> Size {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
        size.map_or(Size { rows: 24, columns: 80 }, |size| Size {
            rows: size.ws_row.into(),
            columns: size.ws_col.into(),
        })
    }

    /// Waits, and says whether somebody wants to leave before it is over.
    pub(super) fn is_left_within(&self, time: Duration) -> io::Result<bool> {
        let end = Instant::now() + time;
        loop {
            if self.signals.try_iter().any(|signal| matches!(signal, Signal::Terminate | Signal::Hangup)) {
                return Ok(true);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            if self.key_within(left.min(TICK))?.is_some_and(|key| matches!(key, b'q' | b'Q' | CTRL_C)) {
                return Ok(true);
            }
        }
    }

    fn key_within(&self, time: Duration) -> io::Result<Option<u8>> {
        if self.before.is_none() {
            std::thread::sleep(time);
            return Ok(None);
        }
        let stdin = io::stdin();
        let timeout = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        let ready = match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        if ready == 0 {
            return Ok(None);
        }
        let mut key = [0];
        // a terminal that is gone has no more keys: as if it was left
        Ok(Some(if stdin.lock().read(&mut key)? == 1 { key[0] } else { CTRL_C }))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The screen that was there, with its cursor.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
/// Takes away what is left of the line before.
const END_OF_LINE: &str = "\x1b[K\r\n";
const END_OF_SCREEN: &str = "\x1b[J";
const CTRL_C: u8 = 3;
/// How soon a signal is noticed.
const TICK: Duration = Duration::from_millis(100);
