//! Threads for what takes long: loads, folds, comparisons, lookups.
//!
//! Invariant: they step behind the threads that answer queries. Where there are more threads than processors the kernel
//! gives each its share, and with equal shares a query waits for milliseconds while a list is parsed; a thread of less
//! weight gives its processor up at once, and has all of it that is left over. What such a thread starts is as it is.

use std::io;
use std::thread;

/// Starts such a thread.
pub(super) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = move || {
        // nothing is wrong where that is not allowed, only slower
        let _ = rustix::process::setpriority_process(None, NICENESS);
        work();
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

/// A tenth of the weight of others: a load goes on under a flood too, ten times as long.
const NICENESS: i32 = 10;
