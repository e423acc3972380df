//! The control interface's way into the running server.
//!
//! What changes something goes to the journal, and from there to the actor; what only asks is answered from the board and
//! the store, on a thread of its own where a file is read. Invariant: nothing here waits, and nothing here is decided that
//! the actor would have to believe: a change is checked again when it is laid.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::super::lookup::look_up_json;
use super::super::now;
use super::actor::{Ask, Happening};
use super::background;
use super::board::{Board, at};
use super::live::Live;
use crate::evidence::Time;
use crate::evidence::store::{
    Action, Appended, Event, GenerationEntry, IdempotencyKey, Journal, Moved, Numbered, Reader, Refusal as LogRefusal,
    Report, Scope, StoredChange, What,
};
use crate::http::api::{
    self, ChangeQuery, ChangeRecord, ChangeRequest, Changed, DatasetCounts, Diff, DiffEntry, DiffQuery, Evidence,
    EvidenceQuery, EvidenceRecord, GenerationRecord, MAX_ROWS, Movement, Reloaded, Status, Taken,
};
use crate::http::{Control, Refusal, Reply, Until, Who};
use crate::live::Subject;
use crate::reload::Store;

/// What the control interface talks to.
#[derive(Debug)]
pub(super) struct Desk {
    board: Arc<Board>,
    sender: Sender<Happening>,
}

impl Desk {
    pub(super) fn new(board: Arc<Board>, sender: Sender<Happening>) -> Self {
        Self { board, sender }
    }

    fn journal(&self) -> Result<Arc<Journal>, Refusal> {
        self.board.store().map(|(_, journal)| journal.clone()).ok_or_else(off)
    }

    /// Answers on a thread of its own, with what the store has.
    fn read<T: Send + 'static>(
        &self,
        reply: Reply<T>,
        read: impl FnOnce(&Reader) -> Result<T, Refusal> + Send + 'static,
    ) {
        let path = self.board.store().map(|(path, _)| path.to_owned()).ok_or_else(off);
        aside(reply, move || {
            let reader = Reader::open(&path?).map_err(storage)?;
            read(&reader)
        });
    }

    fn ask(&self, ask: Ask) {
        // without the actor the server is ending, and a reply that is dropped says so
        drop(self.sender.send(Happening::Asked(ask)));
    }

    /// Keeps changes, and answers when they are durable, or else served.
    fn keep(&self, journal: &Journal, events: Vec<Event>, until: Until, reply: Reply<Changed>) {
        let sender = self.sender.clone();
        let ack = move |result: Result<Vec<Appended>, LogRefusal>| {
            let numbers = match result {
                Ok(appended) => appended.iter().map(|appended| appended.number).collect(),
                Err(refusal) => return reply.give(Err(refused(refusal))),
            };
            match until {
                Until::Durable => reply.give(Ok(Changed { numbers, served: false })),
                // what was kept is before this on its way to the actor
                Until::Served => {
                    let tell = move || reply.give(Ok(Changed { numbers, served: true }));
                    drop(sender.send(Happening::Asked(Ask::Tell(Box::new(tell)))));
                }
            }
        };
        journal.submit(events, Box::new(ack));
    }
}

impl Control for Desk {
    fn status(&self) -> Status {
        self.board.status()
    }

    fn reload(&self, who: &Who, until: Until, reply: Reply<Reloaded>) {
        self.ask(Ask::Reload { who: who.0.clone(), until, reply });
    }

    fn accept(&self, who: &Who, dataset: String, until: Until, reply: Reply<Reloaded>) {
        self.ask(Ask::Accept { who: who.0.clone(), dataset, until, reply });
    }

    fn change(&self, who: &Who, change: ChangeRequest, key: Option<String>, until: Until, reply: Reply<Changed>) {
        let journal = match self.journal() {
            Ok(journal) => journal,
            Err(refusal) => return reply.give(Err(refusal)),
        };
        match self.events(who, change, key.as_deref()) {
            Ok(events) => self.keep(&journal, events, until, reply),
            Err(refusal) => reply.give(Err(refusal)),
        }
    }

    fn withdraw(&self, who: &Who, number: u64, until: Until, reply: Reply<Changed>) {
        let (who, sender, board) = (who.0.clone(), self.sender.clone(), self.board.clone());
        let Some((path, journal)) = self.board.store().map(|(path, journal)| (path.to_owned(), journal.clone())) else {
            return reply.give(Err(off()));
        };
        let work = move || {
            let found = Reader::open(&path).and_then(|reader| reader.live_changes(now().0)).map_err(storage);
            let missing = || Refusal::Missing { what: format!("change {number} that holds") };
            let change =
                found.and_then(|all| all.into_iter().find(|change| change.number == number).ok_or_else(missing));
            match change {
                Ok(Numbered { event: Event { what: What::Change(change), .. }, .. }) => {
                    let what = What::Change(StoredChange {
                        action: Action::Withdraw { number },
                        expires: None,
                        reason: None,
                        ..change
                    });
                    let event = Event { key: None, at: now().0, who, what };
                    Self::new(board, sender).keep(&journal, vec![event], until, reply);
                }
                Ok(_) => reply.give(Err(missing())),
                Err(refusal) => reply.give(Err(refusal)),
            }
        };
        spawn(work);
    }

    fn changes(&self, query: ChangeQuery, reply: Reply<Vec<ChangeRecord>>) {
        self.read(reply, move |reader| {
            let all = if query.all { reader.all_changes() } else { reader.live_changes(now().0) };
            let mut records = records(all.map_err(storage)?);
            let scope = query.subject.as_deref().and_then(Scope::parse);
            let is_meant = |subject: &str| {
                let is_written = query.subject.as_ref().is_none_or(|written| written == subject);
                is_written || scope.as_ref().is_some_and(|scope| scope.touches(subject))
            };
            records.retain(|record| {
                query.dataset.as_ref().is_none_or(|dataset| *dataset == record.dataset) && is_meant(&record.subject)
            });
            records.truncate(query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS));
            Ok(records)
        });
    }

    fn report(&self, reports: Vec<Event>, reply: Reply<Taken>) -> Result<(), Vec<Event>> {
        let journal = match self.journal() {
            Ok(journal) => journal,
            Err(refusal) => {
                reply.give(Err(refusal));
                return Ok(());
            }
        };
        if self.board.behind().is_far() || !journal.has_room() {
            return Err(reports);
        }
        let taken = |appended: Vec<Appended>| {
            let accepted = appended.iter().filter(|appended| appended.is_new).count() as u64;
            Taken { accepted, known: appended.len() as u64 - accepted }
        };
        journal.submit(reports, Box::new(move |result| reply.give(result.map(taken).map_err(refused))));
        Ok(())
    }

    fn evidence(&self, query: EvidenceQuery, reply: Reply<Evidence>) {
        self.read(reply, move |reader| {
            let scope = Scope::parse(&query.subject).ok_or_else(|| no_subject(&query.subject))?;
            let limit = query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS);
            let since = query.since.map_or(Time(0), |at| at.0);
            // one more tells whether there is more
            let mut found = reader.reports(&scope, since, limit + 1).map_err(storage)?;
            let truncated = found.len() > limit;
            found.reverse();
            found.truncate(limit);
            let reports = found.into_iter().filter_map(|numbered| match numbered.event.what {
                What::Report(Report { time, source, subject, category, weight, .. }) => {
                    Some(EvidenceRecord { time: api::At(time), source, subject, category, weight })
                }
                _ => None,
            });
            let changes = records(reader.changes(&scope).map_err(storage)?);
            Ok(Evidence { reports: reports.collect(), changes, truncated })
        });
    }

    fn diff(&self, query: DiffQuery, reply: Reply<Diff>) {
        let served = self.board.shown().generation;
        self.read(reply, move |reader| {
            let to = query.to.unwrap_or(served).min(served);
            let from = query.from.unwrap_or_else(|| to.saturating_sub(1));
            let limit = query.limit.unwrap_or(MAX_ROWS).min(MAX_ROWS);
            let is_wanted = |name: &str| query.dataset.as_ref().is_none_or(|dataset| dataset == name);
            let mut generations: Vec<GenerationRecord> = Vec::new();
            // one more tells whether there is more
            let mut summaries = reader.generations(from, to, MAX_ROWS + 1).map_err(storage)?;
            let has_more = summaries.len() > MAX_ROWS;
            summaries.truncate(MAX_ROWS);
            for summary in summaries {
                let generation = summary.generation;
                let counts = generation.datasets.into_iter().filter(|count| is_wanted(&count.dataset));
                let counts = counts.map(|count| DatasetCounts {
                    before: count.before,
                    after: count.entries,
                    entered: Some(count.entered),
                    left: Some(count.left),
                    changed: Some(count.changed),
                    name: count.dataset,
                });
                generations.push(GenerationRecord {
                    number: generation.number,
                    at: at(summary.at),
                    cause: generation.cause,
                    who: Some(summary.who).filter(|who| who != OURSELVES),
                    datasets: counts.collect(),
                });
            }
            let mut moved = reader.moved(query.dataset.as_deref(), from, to).map_err(storage)?;
            let told = moved.len();
            moved.truncate(limit);
            let entries = moved.into_iter().map(|(generation, entry)| {
                let GenerationEntry { dataset, subject, moved, why } = entry;
                let change = match moved {
                    Moved::Entered => Movement::Entered,
                    Moved::Left => Movement::Left,
                    Moved::Changed => Movement::Changed,
                };
                DiffEntry { generation, dataset, change, subject, why: Some(why).filter(|why| !why.is_empty()) }
            });
            Ok(Diff { from, to, generations, entries: entries.collect(), truncated: has_more || told > limit })
        });
    }

    fn lookup(&self, subject: String, reply: Reply<serde_json::Value>) {
        let board = self.board.clone();
        aside(reply, move || {
            let shown = board.shown();
            let kept = match board.store() {
                Some((path, _)) => {
                    Reader::open(path).and_then(|reader| reader.live_changes(now().0)).map_err(storage)?
                }
                None => Vec::new(),
            };
            // only for what is told of changes: what is answered is asked of the generation that is served
            let live = Live::begin(&Store::new((*shown.plan).clone()), kept);
            let snapshot = Arc::clone(&board.published().load());
            look_up_json(&subject, &snapshot, &shown.plan, &|index| live.over(index))
                .map_err(|error| Refusal::Invalid { why: error.to_string() })
        });
    }
}

impl Desk {
    /// The events that a request comes to, all of them checked.
    fn events(&self, who: &Who, request: ChangeRequest, key: Option<&str>) -> Result<Vec<Event>, Refusal> {
        let ChangeRequest { action, dataset, subjects, value, text, ttl, expires, reason, .. } = request;
        let shown = self.board.shown();
        let spec = shown.plan.datasets.iter().find(|spec| spec.name == dataset);
        let (Some(spec), Some(kinds)) = (spec, shown.kinds.get(&dataset)) else {
            return Err(Refusal::Missing { what: format!("dataset {dataset}") });
        };
        if spec.emitted.is_some() {
            let why = format!(
                "{dataset} is made of evidence: report what is to be listed, and name what is not in the zone's `allow`"
            );
            return Err(Refusal::Invalid { why });
        }
        let never = shown.plan.never_of(spec);
        let (came, expires) = (now().0, expires.map(|at| i64::from(at.0.0)));
        if expires.is_some_and(|expires| expires <= came) {
            return Err(Refusal::Invalid { why: "expires: is past already".to_owned() });
        }
        let event = |(index, written): (u64, &String)| {
            let subject =
                Subject::parse(written, kinds, &never).map_err(|why| Refusal::Invalid { why: why.to_string() })?;
            let action = match action {
                api::Action::Add => Action::Add { a: value, text: text.clone(), ttl },
                api::Action::Remove => Action::Remove,
            };
            let subject = subject.to_string();
            let what = What::Change(StoredChange {
                dataset: dataset.clone(),
                subject,
                action,
                expires,
                reason: reason.clone(),
            });
            let key = key.map(|key| IdempotencyKey::of(&who.0, key, index));
            Ok(Event { key, at: came, who: who.0.clone(), what })
        };
        (0..).zip(&subjects).map(event).collect()
    }
}

/// Changes as they are told, the newest first; withdrawals are told with what they withdrew.
fn records(all: Vec<Numbered>) -> Vec<ChangeRecord> {
    let mut records: Vec<ChangeRecord> = Vec::new();
    for Numbered { number, event } in all {
        let What::Change(StoredChange { dataset, subject, action, expires, reason }) = event.what else { continue };
        let (action, value, text, ttl) = match action {
            Action::Add { a, text, ttl } => (api::Action::Add, a, text, ttl),
            Action::Remove => (api::Action::Remove, None, None, None),
            Action::Withdraw { number } => {
                if let Some(record) = records.iter_mut().find(|record| record.number == number) {
                    record.withdrawn = Some(at(event.at));
                }
                continue;
            }
        };
        let (expires, who) = (expires.map(at), event.who);
        let withdrawn = None;
        let at = at(event.at);
        records.push(ChangeRecord {
            number,
            at,
            who,
            action,
            dataset,
            subject,
            value,
            text,
            ttl,
            expires,
            withdrawn,
            reason,
        });
    }
    records.reverse();
    records
}

/// Answers from a thread of its own.
fn aside<T: Send + 'static>(reply: Reply<T>, work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) {
    spawn(move || reply.give(work()));
}

fn spawn(work: impl FnOnce() + Send + 'static) {
    // the interface bounds how many ask at once; where no thread can be had the reply is dropped, which is an answer too
    if let Err(error) = background::start("desk", work) {
        tracing::warn!("a request was not answered: no thread can be started: {error}");
    }
}

fn off() -> Refusal {
    let what = "[control] store".to_owned();
    Refusal::Off { what, mend: "name a file, or set state-directory in [server]".to_owned() }
}

fn storage(error: crate::evidence::store::LogError) -> Refusal {
    Refusal::Storage { why: error.to_string() }
}

fn no_subject(text: &str) -> Refusal {
    Refusal::Invalid { why: format!("{text:?} is no address, prefix, domain or URL") }
}

fn refused(refusal: LogRefusal) -> Refusal {
    match refusal {
        LogRefusal::Conflict(_) => Refusal::Conflict,
        LogRefusal::Log(error) => storage(error),
        LogRefusal::Busy => Refusal::Busy,
        LogRefusal::Event { why, .. } => Refusal::Invalid { why: why.to_string() },
        LogRefusal::Closed => Refusal::Ending,
    }
}

/// Who publishes a generation that nobody asked for.
pub(super) const OURSELVES: &str = "infamy";
