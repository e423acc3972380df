//! How far the reading of files has come, for whoever watches a long load.
//!
//! Invariant: a reader adds to it once a chunk, so that watching costs nothing that a line would feel.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what has been read.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    lines: AtomicU64,
}

impl Meter {
    /// Bytes read of the files as they lie there, compressed or not.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Lines passed.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }
}

impl PartialEq for Meter {
    /// A meter is equal to itself alone, whatever it shows.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
