//! What can be wrong with a line of evidence, and how to mend it.
//!
//! Invariant: a wrong line costs that line; the first [`KEPT`] are kept to be told, and all are counted.

use std::path::PathBuf;

use super::source::MAX_SOURCES;
use crate::feed::{Excerpt, LineError};

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The line cannot be read at all.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A column that must be there is not.
    #[error("no column `{column}`: write {form}")]
    NoColumn {
        /// The column.
        column: &'static str,
        /// What a line looks like.
        form: &'static str,
    },
    /// A quote that does not end, or text behind it.
    #[error("a quoted column does not end: write \"…\" with quotes inside doubled")]
    Quote,
    /// Not a time.
    #[error("invalid time `{found}`: write 2026-07-12, 2026-07-12T10:00:00Z or seconds since 1970")]
    Time {
        /// What stands there.
        found: Excerpt,
    },
    /// No time where there must be one.
    #[error("a report needs a time: write \"time\": \"2026-07-12T10:00:00Z\"")]
    NoTime,
    /// A list took a subject off before it had it.
    #[error("removed_on {removed} is before listed_on {listed}")]
    Backwards {
        /// When it was listed.
        listed: Excerpt,
        /// When it was taken off.
        removed: Excerpt,
    },
    /// Neither address, prefix, domain nor URL.
    #[error("`{found}` is no address, prefix, domain or URL")]
    Subject {
        /// What stands there.
        found: Excerpt,
    },
    /// A weight outside of 0 to 1.
    #[error("invalid weight `{found}`: write a number from 0 to 1")]
    Weight {
        /// What stands there.
        found: Excerpt,
    },
    /// A source without a name.
    #[error("a report needs a source")]
    NoSource,
    /// More sources than are sensible.
    #[error("source `{found}` is one too many: {MAX_SOURCES} are known; are the columns mixed up?")]
    TooManySources {
        /// The source.
        found: Excerpt,
    },
    /// A line that is no JSON object of the right form.
    #[error("invalid JSON report: {why}")]
    Json {
        /// What the parser says.
        why: String,
    },
}

/// What was wrong with the lines of a file, and how many were taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems {
    /// The file.
    pub path: PathBuf,
    /// The first of them, with their lines.
    pub first: Vec<(u64, StatementError)>,
    /// How many there are.
    pub total: u64,
    /// Statements that were taken.
    pub taken: u64,
    /// Statements about a time that is yet to come.
    pub later: u64,
}

impl Problems {
    /// None yet, of a file.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, ..Self::default() }
    }

    /// Counts what became of a line.
    pub(super) fn count(&mut self, line: u64, result: Result<Taken, StatementError>) {
        match result {
            Ok(Taken::Statement) => self.taken += 1,
            Ok(Taken::Later) => self.later += 1,
            Ok(Taken::Nothing) => {}
            Err(error) => {
                self.total += 1;
                if self.first.len() < KEPT {
                    self.first.push((line, error));
                }
            }
        }
    }
}

/// What became of a line that is not wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is evidence.
    Statement,
    /// It is about a time that is yet to come.
    Later,
    /// It says nothing: a comment or a header.
    Nothing,
}

/// Enough to see what is wrong with a file.
pub(super) const KEPT: usize = 20;
