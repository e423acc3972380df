//! A panic while answering costs one query, never the worker and never the process.
//!
//! Invariant: whatever a query makes of the code behind [`contain`], the caller gets control back. The message of a
//! contained panic goes to the log once a minute and not to stderr each time, as a query that panics once can be sent
//! ten thousand times a second.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::zone::UnixTime;

/// Runs `answer`; `None` if it panicked.
pub(super) fn contain<T>(panics: &AtomicU64, now: UnixTime, answer: impl FnOnce() -> T) -> Option<T> {
    // what may be half-written afterwards is the reply buffer, and a reply that is not sent is not read
    CONTAINED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(answer));
    CONTAINED.set(false);
    if result.is_err() {
        let count = panics.fetch_add(1, Ordering::Relaxed) + 1;
        let message = MESSAGE.take();
        if LOGGED.due(now) {
            tracing::error!(count, "a query was left without an answer, as answering it panicked: {message}");
        }
    }
    result.ok()
}

/// Keeps the messages of contained panics off stderr; all others go where they went before.
pub(super) fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if CONTAINED.get() {
                MESSAGE.set(panic.to_string());
            } else {
                before(panic);
            }
        }));
    });
}

/// Lets one log line a minute through.
#[derive(Debug)]
pub(super) struct OncePerMinute(AtomicI64);

impl OncePerMinute {
    /// Lets the first line through.
    pub(super) const fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Whether a line may be written at `now`.
    pub(super) fn due(&self, now: UnixTime) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        // a clock that was set back counts as due: silence until it catches up could last for years
        let due = now.0 < last || now.0.saturating_sub(last) >= 60;
        due && self.0.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

thread_local! {
    /// Whether this thread is inside `contain`.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// What the last contained panic of this thread said, and where.
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

static LOGGED: OncePerMinute = OncePerMinute::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_the_caller_goes_on() {
        quieten();
        let panics = AtomicU64::new(0);
        assert_eq!(contain(&panics, UnixTime(0), || panic!("on purpose")), None::<()>);
        assert_eq!(contain(&panics, UnixTime(0), || 7), Some(7));
        assert_eq!(panics.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_line_a_minute_and_a_clock_set_back_is_no_silence() {
        let line = OncePerMinute::new();
        let due: Vec<bool> = [0, 59, 60, 61, 30, 89, 90].map(|at| line.due(UnixTime(at))).to_vec();
        assert_eq!(due, [true, false, true, false, true, false, true]);
    }
}
