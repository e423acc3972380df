//! What is told of single queries: a line in a file, or a message to whoever collects dnstap.
//!
//! ```text
//!  exchange ─► Watch: sampled ─► line, json or dnstap ─► spool: bounded memory ─► its thread ─► file, or frame stream
//! ```
//!
//! Invariant: whoever answers waits for no file and no reader. A record goes into memory of a bounded size under a lock that
//! is held for a copy; what a full disk or a slow reader leaves no room for is lost, counted, and told once.
//!
//! It counts nothing of queries, that is [`crate::server::Tallies`]' affair, and keeps no file within a size: who moves a
//! log away has it opened anew.

mod dnstap;
mod file;
mod frames;
mod hidden;
mod json;
mod line;
mod outage;
mod spool;

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::num::NonZeroU32;

pub use dnstap::{Dnstap, DnstapSpec};
pub use file::{FileSpec, Form, QueryLog};
pub use hidden::Shown;

use crate::server::{Exchange, Observer};

/// What is to be told of queries.
#[derive(Debug)]
pub struct Watch {
    /// Lines in a file.
    pub log: Option<QueryLog>,
    /// Messages to a collector.
    pub dnstap: Option<Dnstap>,
}

impl Observer for Watch {
    fn observe(&self, exchange: &Exchange<'_>) {
        if let Some(log) = self.log.as_ref().filter(|log| log.sample.takes()) {
            log.note(exchange);
        }
        if let Some(dnstap) = self.dnstap.as_ref().filter(|dnstap| dnstap.sample.takes()) {
            dnstap.note(exchange);
        }
    }
}

/// One query in so many, by chance: clients that ask for A and TXT in turns are told of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(pub NonZeroU32);

impl Sample {
    /// Every query.
    pub const ALL: Self = Self(NonZeroU32::MIN);

    /// Whether a query is one of those that are told.
    fn takes(self) -> bool {
        thread_local! {
            static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish() | 1);
        }
        if self == Self::ALL {
            return true;
        }
        // xorshift: fast, and nobody gains by foreseeing it
        let mut state = STATE.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        STATE.set(state);
        (state >> 32).is_multiple_of(u64::from(self.0.get()))
    }
}

/// What the operator is to know of a log.
#[derive(Debug)]
pub enum News<'n> {
    /// It cannot be written, and what is noted is lost until it can.
    Fails {
        /// What could not be done: `opening`, `writing` …
        doing: &'static str,
        /// Why.
        why: &'n io::Error,
    },
    /// It is written again.
    Again {
        /// Records that were lost meanwhile.
        lost: u64,
    },
}

/// Tells the operator of the log with that name.
pub type Tell = Box<dyn Fn(&str, News<'_>) + Send>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_one_in_so_many() {
        let taken = |one_in: u32| {
            let sample = Sample(NonZeroU32::new(one_in).unwrap());
            (0..100_000).filter(|_| sample.takes()).count()
        };
        assert_eq!(taken(1), 100_000);
        assert!((9_000..11_000).contains(&taken(10)), "{}", taken(10));
        assert!((700..1_300).contains(&taken(100)));
    }
}
