//! What is kept of every generation: its number, its cause, who asked for it, and what entered, left or changed, and why.
//!
//! Invariant: nothing that is served waits for it, and a store that cannot be written loses an entry of the audit and
//! nothing else, which is said once.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};

use super::super::now;
use super::background;
use super::cause::Causes;
use super::compare::{Loaded, compare};
use super::desk::OURSELVES;
use super::generations::Generations;
use crate::evidence::store::{
    Action, DatasetCount, Event, Generation, GenerationEntry, Journal, MAX_GENERATION_ENTRIES, Moved, Numbered, What,
};
use crate::table::memory::give_back_unused;

/// Keeps what becomes of generations.
#[derive(Debug, Default)]
pub(super) struct Audit {
    keeper: Option<Keeper>,
    /// The thread that compares what was loaded; none if nothing is kept.
    comparing: Option<SyncSender<Comparison>>,
}

/// Gives generations to the journal.
#[derive(Clone, Debug)]
struct Keeper {
    /// Not held: whoever ends the server waits for the journal, and not for a comparison.
    journal: Weak<Journal>,
    /// Whether the operator was told that nothing is kept.
    is_failing: Arc<AtomicBool>,
}

/// What is to be read and compared.
#[derive(Debug)]
struct Comparison {
    /// What becomes known by it; at a start nothing does.
    of: Option<Record>,
    loaded: Vec<Loaded>,
}

/// A generation as it is kept.
#[derive(Debug)]
struct Record {
    generation: Generation,
    who: String,
    at: i64,
}

/// What moved between two generations.
#[derive(Debug, Default)]
pub(super) struct Notes {
    counts: BTreeMap<String, Count>,
    entries: Vec<GenerationEntry>,
}

/// What is counted of a dataset.
#[derive(Debug, Default)]
struct Count {
    /// Its listings before anything moved.
    before: u64,
    /// What moved, in the order of [`Moved::ALL`].
    moved: [u64; 3],
}

impl Notes {
    /// Takes note of how many listings a dataset has, before the first of them moves.
    pub(super) fn before(&mut self, dataset: &str, listings: impl FnOnce() -> u64) {
        if !self.counts.contains_key(dataset) {
            self.counts.insert(dataset.to_owned(), Count { before: listings(), moved: [0; 3] });
        }
    }

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
    fn entry(&mut self, entry: GenerationEntry) {
        self.entries(entry, 1);
    }

    /// Takes note of what counts as so many subjects; the number of the entry, if there was room for it.
    pub(super) fn entries(&mut self, entry: GenerationEntry, count: u64) -> Option<usize> {
        let place = Moved::ALL.iter().position(|moved| *moved == entry.moved).unwrap_or(0);
        self.counts.entry(entry.dataset.clone()).or_default().moved[place] += count;
        if self.entries.len() >= MAX_GENERATION_ENTRIES {
            return None;
        }
        self.entries.push(GenerationEntry { why: on_one_line(&entry.why), ..entry });
        Some(self.entries.len() - 1)
    }

    /// Says why an entry is, unless that is known.
    pub(super) fn because(&mut self, entry: usize, why: impl FnOnce() -> String) {
        if let Some(entry) = self.entries.get_mut(entry).filter(|entry| entry.why.is_empty()) {
            entry.why = on_one_line(&why());
        }
    }
}

impl Audit {
    /// Keeps it there; nowhere, if there is no journal. Spellings of names are kept in the folder, if there is one.
    ///
    /// # Errors
    ///
    /// There is no thread for it.
    pub(super) fn start(journal: Option<&Arc<Journal>>, folder: Option<PathBuf>) -> io::Result<Self> {
        let Some(journal) = journal else { return Ok(Self::default()) };
        let keeper = Keeper { journal: Arc::downgrade(journal), is_failing: Arc::default() };
        let (comparing, work) = sync_channel::<Comparison>(WAITING);
        let own = keeper.clone();
        let run = move || {
            for comparison in work {
                own.compare(comparison, folder.as_deref());
            }
        };
        background::start("audit", run)?;
        Ok(Self { keeper: Some(keeper), comparing: Some(comparing) })
    }

    /// Keeps the current generation, and what moved in it. A dataset's `listings` are what it has with all that is laid over it.
    pub(super) fn keep(
        &self,
        generations: &Generations,
        causes: &Causes,
        notes: Notes,
        listings: impl Fn(&str) -> u64,
    ) {
        let Some(keeper) = &self.keeper else { return };
        let mut record = Record::of(generations, causes);
        record.generation.datasets = notes.counted(listings);
        record.generation.entries = notes.entries;
        keeper.keep(record);
    }

    /// Has the names of datasets spelt that were loaded at the start, so that it is known which of them leave.
    pub(super) fn spell(&self, loaded: Vec<Loaded>) {
        if let Some(comparing) = &self.comparing {
            // it is the first, and so there is room
            drop(comparing.try_send(Comparison { of: None, loaded }));
        }
    }

    /// Keeps the current generation, in which these datasets were loaded, once it is known what moved in them.
    pub(super) fn compare(&self, generations: &Generations, causes: &Causes, loaded: Vec<Loaded>) {
        let (Some(keeper), Some(comparing)) = (&self.keeper, &self.comparing) else { return };
        let of = Some(Record::of(generations, causes));
        // to wait would hold up what is served, and to keep many would hold many generations in memory
        if let Err(TrySendError::Full(left) | TrySendError::Disconnected(left)) =
            comparing.try_send(Comparison { of, loaded })
            && let Some(mut record) = left.of
        {
            record.generation.datasets = left.loaded.iter().map(by_size).collect();
            keeper.keep(record);
        }
    }
}

impl Record {
    fn of(generations: &Generations, causes: &Causes) -> Self {
        let serials = generations.store().serials().map(|(apex, serial)| (apex.to_string(), serial));
        let generation = Generation {
            number: generations.current().0,
            cause: causes.what(),
            datasets: Vec::new(),
            serials: serials.collect(),
            entries: Vec::new(),
        };
        Self { generation, who: causes.who().unwrap_or(OURSELVES).to_owned(), at: now().0 }
    }
}

impl Notes {
    fn counted(&self, listings: impl Fn(&str) -> u64) -> Vec<DatasetCount> {
        let of = |(name, &Count { before, moved: [entered, left, changed] }): (&String, &Count)| DatasetCount {
            dataset: name.clone(),
            before,
            entries: listings(name),
            entered,
            left,
            changed,
        };
        self.counts.iter().filter(|(_, count)| count.moved != [0; 3]).map(of).collect()
    }
}

/// What is known of a dataset that was not compared: how much more or less it lists.
fn by_size(Loaded { spec, before, after }: &Loaded) -> DatasetCount {
    let (before, entries) = (before.as_ref().map_or(0, |before| before.listings()), after.listings());
    let (entered, left) = (entries.saturating_sub(before), before.saturating_sub(entries));
    DatasetCount { dataset: spec.name.clone(), before, entries, entered, left, changed: 0 }
}

impl Keeper {
    fn compare(&self, Comparison { of, loaded }: Comparison, folder: Option<&Path>) {
        let mut notes = Notes::default();
        for loaded in &loaded {
            notes.before(&loaded.spec.name, || loaded.before.as_ref().map_or(0, |before| before.listings()));
            compare(loaded, folder, &mut notes);
        }
        if let Some(mut record) = of {
            let of_name = |name: &str| loaded.iter().find(|loaded| loaded.spec.name == name);
            let mut datasets = notes.counted(|name| of_name(name).map_or(0, |loaded| loaded.after.listings()));
            // what has news although no subject moved has moved in what is not compared: records, access lists
            let has_moved = |name: &str| datasets.iter().any(|count: &DatasetCount| count.dataset == name);
            let others: Vec<_> = loaded.iter().filter(|loaded| !has_moved(&loaded.spec.name)).map(by_size).collect();
            datasets.extend(others);
            record.generation.datasets = datasets;
            record.generation.entries = notes.entries;
            self.keep(record);
        }
        drop(loaded);
        give_back_unused();
    }

    fn keep(&self, Record { generation, who, at }: Record) {
        // without a journal the server is ending
        let Some(journal) = self.journal.upgrade() else { return };
        let event = Event { key: None, at, who, what: What::Generation(generation) };
        let is_failing = self.is_failing.clone();
        journal.submit(
            vec![event],
            Box::new(move |result| match result {
                Ok(_) => is_failing.store(false, Ordering::Relaxed),
                Err(why) if !is_failing.swap(true, Ordering::Relaxed) => {
                    tracing::error!("the audit is not kept, serving goes on: {why}");
                }
                Err(_) => {}
            }),
        );
    }
}

/// Names of files may have anything in them.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Loads that wait to be compared: each holds the datasets that it replaced.
const WAITING: usize = 1;
