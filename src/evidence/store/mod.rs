//! The evidence store: what was reported, changed and published, kept before it is acknowledged.
//!
//! Events go into an [`EvidenceLog`] through a [`Journal`], a thread that commits what waits as one transaction and then
//! acknowledges it. The log that there is, [`SqliteLog`], is one SQLite file, which [`Reader`]s and `sqlite3` may read at
//! any time. Invariant: an event is acknowledged only when it would survive a loss of power, and reaches the subscriber
//! once, in the order of its number.
//!
//! What follows from the events is a function of the set of them: an event said twice under one key is there once, and
//! of changes of one subject the one with the highest number counts, in whatever order they come. So a log that several
//! servers share can take the place of the file.
//!
//! It has no clock: times come with the events.

mod event;
mod journal;
mod log;
mod place;
mod prune;
mod read;
mod sqlite;
mod write;

pub use event::{
    Action, DatasetCount, Event, EventError, Generation, GenerationEntry, IdempotencyKey, MAX_GENERATION_ENTRIES,
    MAX_NAME, MAX_SUBJECT, MAX_TEXT, Moved, Numbered, RemovalRequest, Report, StoredChange, What,
};
pub use journal::{Ack, Health, Journal, MAX_QUEUED, Refusal};
pub use log::{Appended, Conflict, EvidenceLog, LogError};
pub use place::Scope;
pub use prune::Retention;
pub use read::{GenerationSummary, Reader, collect_reports};
pub use sqlite::SqliteLog;

#[cfg(test)]
mod tests;
