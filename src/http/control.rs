//! What the control interface asks of the server behind it.
//!
//! Invariant: no call waits. What takes time is answered later, through a [`Reply`], from any thread; one that is dropped
//! unanswered says that the server is ending. What comes in here has been checked for its form: who asks is known, texts
//! have their lengths and no control characters. What they mean is checked behind it.

use tokio::sync::oneshot;

use super::api::{
    ChangeQuery, ChangeRecord, ChangeRequest, Changed, Diff, DiffQuery, Evidence, EvidenceQuery, Reloaded, Status,
    Taken, Traffic,
};
use crate::evidence::store::Event;

/// The server, as far as it is told what to do.
pub trait Control: Send + Sync {
    /// How the server is, at once, whatever it is doing.
    fn status(&self) -> Status;

    /// What queries came to, at once.
    fn traffic(&self) -> Traffic;

    /// All metrics as [`crate::metrics`] writes them, at once.
    fn metrics(&self) -> String;

    /// Reads what has changed. Answered when it is done if `done` is to be waited for, else when it is taken down.
    fn reload(&self, who: &Who, until: Until, reply: Reply<Reloaded>);

    /// Takes the next load of a dataset whatever its size, and loads.
    fn accept(&self, who: &Who, dataset: String, until: Until, reply: Reply<Reloaded>);

    /// Adds or removes; answered when it is durable, or served. With a key it is done once: each subject's event has the
    /// key of its place (`IdempotencyKey::of`).
    fn change(&self, who: &Who, change: ChangeRequest, key: Option<String>, until: Until, reply: Reply<Changed>);

    /// Takes a change back; answered when that is durable, or served, with the number of what took it back.
    fn withdraw(&self, who: &Who, number: u64, until: Until, reply: Reply<Changed>);

    /// The changes that were taken, the newest first.
    fn changes(&self, query: ChangeQuery, reply: Reply<Vec<ChangeRecord>>);

    /// Takes reports, which have passed their check, all or none of them; answered when they are durable.
    ///
    /// # Errors
    ///
    /// There is no room for now, and here they are again.
    fn report(&self, reports: Vec<Event>, reply: Reply<Taken>) -> Result<(), Vec<Event>>;

    /// Who said what of a subject.
    fn evidence(&self, query: EvidenceQuery, reply: Reply<Evidence>);

    /// What changed between generations.
    fn diff(&self, query: DiffQuery, reply: Reply<Diff>);

    /// What each zone answers about a subject, and why: the object that `infamy lookup --json` prints.
    fn lookup(&self, subject: String, reply: Reply<serde_json::Value>);
}

/// Who asks: `uid:1000` over a Unix socket, the name of a token over TCP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who(pub String);

/// What is to be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It is on the disk, or, where nothing is written, taken down.
    Durable,
    /// It is served.
    Served,
}

/// Where an answer goes.
#[derive(Debug)]
pub struct Reply<T>(oneshot::Sender<Result<T, Refusal>>);

impl<T> Reply<T> {
    /// One end for the answer, and the other where it arrives.
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, Refusal>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers; nobody may be waiting any more.
    pub fn give(self, answer: Result<T, Refusal>) {
        let _ = self.0.send(answer);
    }
}

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Too much is waiting already.
    #[error("too much is waiting to be written: try again in a second")]
    Busy,
    /// There is no such thing.
    #[error("{what}: there is none")]
    Missing {
        /// Which dataset or change.
        what: String,
    },
    /// It cannot be meant.
    #[error("{why}")]
    Invalid {
        /// What is wrong, and how to mend it.
        why: String,
    },
    /// The Idempotency-Key came with other content before.
    #[error("this Idempotency-Key was used for another request: take a new one")]
    Conflict,
    /// It could not be made durable, and nothing of it was done.
    #[error("not written: {why}")]
    Storage {
        /// What the store says.
        why: String,
    },
    /// The configuration has no place for it.
    #[error("{what}: not configured: {mend}")]
    Off {
        /// What.
        what: String,
        /// How to have it.
        mend: String,
    },
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}
