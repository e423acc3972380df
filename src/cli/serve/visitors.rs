//! The lookup page's way into the running server.
//!
//! Invariant: visitors change nothing that is served. What they ask is answered from the board and the store, on a thread
//! of its own; a request for a removal goes to the journal, and waits there for an operator.

use std::sync::Arc;

use super::super::lookup::visitor::{self, Served};
use super::super::now;
use super::board::Board;
use super::desk::{aside, looking, off, refused};
use super::live::REPORTS;
use crate::evidence::Time;
use crate::evidence::store::{Event, LogError, Reader, RemovalRequest, What};
use crate::http::page::{Edition, Found, NoSubject, Public, Removal, Requested, Subject};
use crate::http::{Refusal, Reply};

/// What the page talks to.
#[derive(Debug)]
pub(super) struct Visitors {
    board: Arc<Board>,
}

impl Visitors {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { board }
    }

    /// What was asked for in the last seconds, at most so many, so that a restart is no way around a cooldown.
    pub(super) fn requested(&self, seconds: u32, limit: usize) -> Result<Vec<Requested>, LogError> {
        let Some((path, _)) = self.board.store() else { return Ok(Vec::new()) };
        let kept = Reader::open(path)?.requests(now().0 - i64::from(seconds), limit)?;
        let requested = |event: Event| match event.what {
            What::Request(RemovalRequest { subject, .. }) => {
                let at = Time(u32::try_from(event.at).unwrap_or(0));
                Some(Requested { subject, client: event.who.parse().ok(), at })
            }
            _ => None,
        };
        Ok(kept.into_iter().filter_map(|numbered| requested(numbered.event)).collect())
    }
}

impl Public for Visitors {
    fn edition(&self) -> Edition {
        self.board.edition()
    }

    fn subject(&self, text: &str) -> Result<Subject, NoSubject> {
        visitor::subject(text, &self.board.published().load(), &self.board.shown().plan)
    }

    fn look_up(&self, subject: &Subject, reply: Reply<Found>) {
        let (board, subject) = (self.board.clone(), subject.clone());
        aside(reply, move || {
            looking(&board, |snapshot, shown, live, reader| {
                let since = |dataset: &str, subjects: [&str; 2]| {
                    // a store that cannot be read is told of elsewhere
                    reader.and_then(|reader| reader.entered(dataset, subjects).ok().flatten())
                };
                let served = Served {
                    snapshot,
                    plan: &shown.plan,
                    live: &|index| live.over(index),
                    generation: shown.generation,
                    since: &since,
                    reports: REPORTS,
                };
                visitor::found(&subject, &served)
            })
        });
    }

    fn takes_requests(&self) -> bool {
        self.board.store().is_some()
    }

    fn request(&self, removal: Removal, reply: Reply<()>) {
        let Some((_, journal)) = self.board.store() else { return reply.give(Err(off())) };
        if !journal.has_room() {
            return reply.give(Err(Refusal::Busy));
        }
        let Removal { subject, client, contact, text } = removal;
        let what = What::Request(RemovalRequest { subject, contact, text });
        let event = Event { key: None, at: now().0, who: client.to_string(), what };
        journal.submit(vec![event], Box::new(move |result| reply.give(result.map(drop).map_err(refused))));
    }
}
