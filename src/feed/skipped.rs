//! Lines that were left out, each with its place and the reason.
//!
//! Invariant: all are counted and the first of them are kept, so that a file of another format costs no memory.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::LineError;

/// The lines that were left out of one or more files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them, in the order they were met.
    pub lines: Vec<SkippedLine>,
    /// How many there are.
    pub total: u64,
}

/// A line that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedLine {
    /// The file.
    pub path: Arc<Path>,
    /// The line, counted from one.
    pub line: u64,
    /// Why.
    pub error: LineError,
}

impl Skipped {
    /// Counts a line, and keeps it if there is room.
    pub fn push(&mut self, path: &Arc<Path>, line: u64, error: LineError) {
        self.total += 1;
        if self.lines.len() < MAX_KEPT {
            self.lines.push(SkippedLine { path: Arc::clone(path), line, error });
        }
    }

    /// Takes on the lines of another file.
    pub fn append(&mut self, other: Self) {
        self.total += other.total;
        let room = MAX_KEPT - self.lines.len();
        self.lines.extend(other.lines.into_iter().take(room));
    }
}

impl fmt::Display for SkippedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.error)
    }
}

/// How many lines are kept: enough to see what is wrong with a file.
const MAX_KEPT: usize = 100;
