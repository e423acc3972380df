//! What is kept of every generation: its number, its cause, who asked for it, and what entered, left or changed, and why.
//!
//! Invariant: nothing that is served waits for it, and a store that cannot be written loses an entry of the audit and
//! nothing else, which is said once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::now;
use super::cause::Causes;
use super::desk::OURSELVES;
use super::generations::Generations;
use crate::evidence::store::{
    Action, DatasetCount, Event, Generation, GenerationEntry, Journal, MAX_GENERATION_ENTRIES, Moved, Numbered, What,
};

/// Keeps what becomes of generations.
#[derive(Debug, Default)]
pub(super) struct Audit {
    journal: Option<Arc<Journal>>,
    /// Whether the operator was told that nothing is kept.
    is_failing: Arc<AtomicBool>,
}

/// What moved between two generations.
#[derive(Debug, Default)]
pub(super) struct Notes {
    counts: BTreeMap<String, [u64; 3]>,
    entries: Vec<GenerationEntry>,
}

impl Notes {
    /// Takes note of what somebody changed.
    pub(super) fn change(&mut self, numbered: &Numbered) {
        let What::Change(change) = &numbered.event.what else { return };
        let (moved, done) = match &change.action {
            Action::Add { .. } => (Moved::Entered, "added"),
            Action::Remove => (Moved::Left, "removed"),
            Action::Withdraw { .. } => (Moved::Changed, "withdrawn"),
        };
        let reason = change.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let why = format!("{done} live by {}{reason}", numbered.event.who);
        self.entry(GenerationEntry { dataset: change.dataset.clone(), subject: change.subject.clone(), moved, why });
    }

    /// Takes note of a subject.
    pub(super) fn entry(&mut self, entry: GenerationEntry) {
        let place = Moved::ALL.iter().position(|moved| *moved == entry.moved).unwrap_or(0);
        self.counts.entry(entry.dataset.clone()).or_default()[place] += 1;
        if self.entries.len() < MAX_GENERATION_ENTRIES {
            self.entries.push(entry);
        }
    }
}

impl Audit {
    /// Keeps it there; nowhere, if there is no journal.
    pub(super) fn new(journal: Option<Arc<Journal>>) -> Self {
        Self { journal, is_failing: Arc::default() }
    }

    /// Keeps the current generation, and what moved in it. A dataset's `listings` are what it has with all that is laid over it.
    pub(super) fn keep(
        &self,
        generations: &Generations,
        causes: &Causes,
        notes: Notes,
        listings: impl Fn(&str) -> u64,
    ) {
        let Some(journal) = &self.journal else { return };
        let store = generations.store();
        let datasets = notes.counts.iter().map(|(name, &[entered, left, changed])| DatasetCount {
            dataset: name.clone(),
            entries: listings(name),
            entered,
            left,
            changed,
        });
        let serials = store.serials().map(|(apex, serial)| (apex.to_string(), serial));
        let generation = Generation {
            number: generations.current().0,
            cause: causes.what(),
            datasets: datasets.collect(),
            serials: serials.collect(),
            entries: notes.entries,
        };
        let who = causes.who().unwrap_or(OURSELVES).to_owned();
        let event = Event { key: None, at: now().0, who, what: What::Generation(generation) };
        let is_failing = self.is_failing.clone();
        let told = move |result: Result<_, String>| match result {
            Ok(()) => is_failing.store(false, Ordering::Relaxed),
            Err(why) if !is_failing.swap(true, Ordering::Relaxed) => {
                tracing::error!("the audit is not kept, serving goes on: {why}");
            }
            Err(_) => {}
        };
        let acked = told.clone();
        let ack = move |result: Result<Vec<_>, crate::evidence::store::Refusal>| {
            acked(result.map(drop).map_err(|refusal| refusal.to_string()));
        };
        if let Err(error) = journal.submit(vec![event], Box::new(ack)) {
            told(Err(error.to_string()));
        }
    }
}
