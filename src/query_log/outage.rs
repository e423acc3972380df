//! The time in which a log cannot be written.
//!
//! Invariant: the operator hears once that it begins and once that it is over, with what was lost in between.

use std::io;

use super::{News, Tell};

/// Whether a log is lost at the moment, and who hears of it.
pub(super) struct Outage {
    /// What the operator knows the log by.
    log: String,
    /// Records that were lost since it began.
    lost: Option<u64>,
    tell: Tell,
}

impl Outage {
    /// None yet.
    pub(super) fn none(log: String, tell: Tell) -> Self {
        Self { log, lost: None, tell }
    }

    /// Tells of an error, unless it goes on from before.
    pub(super) fn begins(&mut self, doing: &'static str, why: &io::Error) {
        if self.lost.is_none() {
            self.lost = Some(0);
            (self.tell)(&self.log, News::Fails { doing, why });
        }
    }

    /// Counts what was lost, and what there was no room for because writing is too slow.
    pub(super) fn loses(&mut self, doing: &'static str, unwritten: u64, dropped: u64) {
        if dropped > 0 {
            self.begins(doing, &io::Error::other("it is too slow"));
        }
        if let Some(lost) = &mut self.lost {
            *lost += unwritten + dropped;
        }
    }

    /// Tells that it is over, if there was one.
    pub(super) fn ends(&mut self) {
        if let Some(lost) = self.lost.take() {
            (self.tell)(&self.log, News::Again { lost });
        }
    }
}
