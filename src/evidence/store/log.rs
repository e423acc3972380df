//! The seam to what keeps events.
//!
//! Invariant of every log: numbers rise in the order in which events are kept, and are never given twice; a submission
//! is kept whole or not at all; what `append` returned as kept is durable.

use std::path::PathBuf;

use super::event::{Event, IdempotencyKey, Numbered};
use super::prune::Retention;

/// Keeps events.
pub trait EvidenceLog: Send {
    /// Keeps submissions, each whole or not at all, and all of them durably or none.
    ///
    /// An event whose key is known with the same content is not kept again: it has its first number.
    ///
    /// # Errors
    ///
    /// Nothing was kept. The next call may succeed.
    fn append(&mut self, submissions: &[&[Event]]) -> Result<Vec<Result<Vec<Appended>, Conflict>>, LogError>;

    /// Is called after what was appended is acknowledged, for what nobody need wait for.
    fn settle(&mut self) {}

    /// Is called when nothing has come for a while: memory that only makes work faster is given back.
    fn rest(&mut self) {}

    /// Hands on all events with a higher number in their order.
    ///
    /// # Errors
    ///
    /// The log cannot be read to its end.
    fn replay(&mut self, after: u64, each: &mut dyn FnMut(Numbered)) -> Result<(), LogError>;

    /// The changes that hold at a Unix time in seconds, in the order of their numbers.
    ///
    /// Of changes of one subject in one dataset the latest counts, and if that has expired or was withdrawn none does.
    /// What has once expired stays so, even if the clock was set back meanwhile.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    fn live_changes(&mut self, now: i64) -> Result<Vec<Numbered>, LogError>;

    /// Drops some of what need no longer be kept, and says how many events that were; 0 if nothing is left to drop.
    ///
    /// # Errors
    ///
    /// Nothing was dropped.
    fn prune(&mut self, retention: &Retention, now: i64) -> Result<u64, LogError>;
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub number: u64,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// A key that is known with other content; the submission was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used for something else, which is event {number}: a new request needs a new key")]
pub struct Conflict {
    /// The key.
    pub key: IdempotencyKey,
    /// The event that has it.
    pub number: u64,
}

/// Why the log does not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// What is in the file contradicts itself, or is not all there.
    #[error(
        "{}: the evidence store is corrupt ({why}): restore it, or save what can be read by \
         `sqlite3 FILE .recover | sqlite3 NEW`; moved away with its -wal and -shm it begins empty, without live changes",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says of it.
        why: String,
    },
    /// The file is something else.
    #[error("{}: is no evidence store of infamy: name another file, or move it away", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program wrote it.
    #[error("{}: is an evidence store of version {found}, this program knows {known}: use the newer program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest that this program knows.
        known: i64,
    },
    /// An earlier version of the program wrote it, and only a server may write it anew.
    #[error("{}: is an evidence store of version {found}, this program reads {known}: start the server, which makes it that", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version that this program reads.
        known: i64,
    },
    /// Another server has it.
    #[error("{}: another infamy has it open: stop that one, or give each a store of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another program is writing to it.
    #[error("{}: another program has locked it: end its transaction, such as one in sqlite3", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is no room on the disk.
    #[error("{}: no room is left on the disk: nothing is kept until there is", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file, its folder or its file system cannot be written.
    #[error("{}: cannot be written: its folder too must be writable by the server's user", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// There is no folder for it.
    #[error("{}: there is no such folder: make it, and give it to the server's user", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        why: String,
    },
}
