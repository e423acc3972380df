//! The thread that keeps events: what waits is committed as one transaction, then acknowledged.
//!
//! While one transaction is on its way to the disk the next submissions come together, so that the cost of a sync is
//! shared by as many as there are, and a single one waits for nothing but its own. Invariant: a submission's answer comes
//! once; `Ok` means durable; the subscriber has every new event once, in the order of the numbers, and nothing else. It
//! has it before the answer, so that what a client asks next comes behind what it said.
//!
//! A commit that fails is told to all who took part in it, and the next one is tried as if nothing had been: a disk that
//! was full heals by itself.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::event::{Event, EventError, Numbered};
use super::log::{Appended, Conflict, EvidenceLog, LogError};
use super::prune::Retention;

/// Gets what became of a submission: of each of its events, or why nothing of it was kept.
pub type Ack = Box<dyn FnOnce(Result<Vec<Appended>, Refusal>) + Send>;

/// Why nothing of a submission was kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A key was used for something else.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The log cannot keep anything.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Too much waits: the disk is slower than the clients. It may be tried again.
    #[error("too much waits to be kept: try again")]
    Busy,
    /// The journal has ended.
    #[error("the evidence store is closed")]
    Closed,
    /// An event that cannot be kept.
    #[error("event {index}: {why}")]
    Event {
        /// Its place in the submission, from 0.
        index: usize,
        /// What is wrong with it.
        why: EventError,
    },
}

/// How the journal is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Events that were kept since the start.
    pub kept: u64,
    /// The number of the last one.
    pub last: u64,
    /// Commits that failed since the start.
    pub failures: u64,
    /// Why the last commit failed, if it did.
    pub error: Option<LogError>,
    /// Bytes of events that wait.
    pub waiting: usize,
}

/// Keeps events on a thread of its own; what waits is kept before it ends.
pub struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something came, or the end.
    news: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Submission>,
    prune: Option<(Retention, i64)>,
    is_closed: bool,
    health: Health,
}

struct Submission {
    events: Vec<Event>,
    size: usize,
    ack: Ack,
}

impl Journal {
    /// Begins to keep events in a log, and hands each new one to the subscriber.
    ///
    /// # Errors
    ///
    /// The system has no thread left.
    pub fn open(
        log: Box<dyn EvidenceLog>,
        subscriber: impl FnMut(Numbered) + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let shared = Arc::new(Shared { queue: Mutex::default(), news: Condvar::new() });
        let mut keeper =
            Keeper { log, subscriber: Box::new(subscriber), shared: Arc::clone(&shared), has_rested: true };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(move || keeper.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Takes events that are to be kept, all or none of them. What is not taken is answered here and now.
    pub fn submit(&self, events: Vec<Event>, ack: Ack) {
        let submission = Submission { size: events.iter().map(Event::size).sum(), events, ack };
        if let Err((refusal, Submission { ack, .. })) = self.take(submission) {
            ack(Err(refusal));
        }
    }

    fn take(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        let wrong = submission.events.iter().enumerate().find_map(|(index, event)| Some((index, event.check().err()?)));
        if let Some((index, why)) = wrong {
            return Err((Refusal::Event { index, why }, submission));
        }
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return Err((Refusal::Closed, submission));
        }
        // a large submission waits for an empty queue, and not for ever
        if !queue.waiting.is_empty() && queue.health.waiting.saturating_add(submission.size) > MAX_QUEUED {
            return Err((Refusal::Busy, submission));
        }
        queue.health.waiting += submission.size;
        queue.waiting.push_back(submission);
        self.shared.news.notify_one();
        Ok(())
    }

    /// Whether there is room for more: a submission that comes now need not be refused.
    pub fn has_room(&self) -> bool {
        self.shared.lock().health.waiting < MAX_QUEUED
    }

    /// Has what need no longer be kept dropped, at a Unix time in seconds, a step between two commits at a time.
    pub fn prune(&self, retention: Retention, now: i64) {
        self.shared.lock().prune = Some((retention, now));
        self.shared.news.notify_one();
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.shared.lock().health.clone()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("health", &self.health()).finish()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.news.notify_one();
        if let Some(thread) = self.thread.take() {
            // it has ended either way
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread has.
struct Keeper {
    log: Box<dyn EvidenceLog>,
    subscriber: Box<dyn FnMut(Numbered) + Send>,
    shared: Arc<Shared>,
    /// Whether nothing was done since the log was last let rest.
    has_rested: bool,
}

/// What is to be done next.
enum Task {
    Keep(Vec<Submission>),
    Prune(Retention, i64),
    Rest,
}

impl Keeper {
    fn run(&mut self) {
        // should an acknowledgement panic, nobody is to wait for a thread that is gone
        let _guard = CloseAtEnd(Arc::clone(&self.shared));
        while let Some(task) = self.next_task() {
            match task {
                Task::Rest => {
                    self.log.rest();
                    self.has_rested = true;
                    continue;
                }
                Task::Keep(batch) => self.keep(batch),
                Task::Prune(retention, now) => {
                    let left = self.log.prune(&retention, now).is_ok_and(|dropped| dropped > 0);
                    if left {
                        self.shared.lock().prune.get_or_insert((retention, now));
                    }
                }
            }
            self.log.settle();
            self.has_rested = false;
        }
    }

    /// Waits for something to do; none at the end.
    fn next_task(&self) -> Option<Task> {
        let mut queue = self.shared.lock();
        loop {
            // a step of pruning after each commit, so that neither waits for the other for long
            if let Some((retention, now)) = queue.prune.take() {
                return Some(Task::Prune(retention, now));
            }
            if !queue.waiting.is_empty() {
                let (mut batch, mut count) = (Vec::new(), 0);
                while let Some(submission) =
                    queue.waiting.pop_front_if(|next| count == 0 || count + next.events.len() <= MAX_BATCH)
                {
                    count += submission.events.len().max(1);
                    queue.health.waiting -= submission.size;
                    batch.push(submission);
                }
                return Some(Task::Keep(batch));
            }
            if queue.is_closed {
                return None;
            }
            if self.has_rested {
                queue = self.shared.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                let waited = self.shared.news.wait_timeout(queue, REST_AFTER).unwrap_or_else(PoisonError::into_inner);
                if waited.1.timed_out() {
                    return Some(Task::Rest);
                }
                queue = waited.0;
            }
        }
    }

    fn keep(&mut self, batch: Vec<Submission>) {
        let events: Vec<&[Event]> = batch.iter().map(|submission| &*submission.events).collect();
        let result = self.log.append(&events);
        {
            let health = &mut self.shared.lock().health;
            health.error = result.as_ref().err().cloned();
            health.failures += u64::from(result.is_err());
            let kept = result.iter().flatten().flatten().flatten().filter(|appended| appended.is_new);
            kept.for_each(|appended| {
                health.kept += 1;
                health.last = appended.number;
            });
        }
        match result {
            Ok(results) => {
                for (submission, result) in batch.into_iter().zip(results) {
                    self.tell(submission, result);
                }
            }
            Err(error) => batch.into_iter().for_each(|submission| (submission.ack)(Err(error.clone().into()))),
        }
    }

    fn tell(&mut self, submission: Submission, result: Result<Vec<Appended>, Conflict>) {
        let appended = match result {
            Ok(appended) => appended,
            Err(conflict) => return (submission.ack)(Err(conflict.into())),
        };
        for (event, &Appended { number, is_new }) in submission.events.into_iter().zip(&appended) {
            if is_new {
                (self.subscriber)(Numbered { number, event });
            }
        }
        (submission.ack)(Ok(appended));
    }
}

/// Closes the queue when the thread ends, however it does.
struct CloseAtEnd(Arc<Shared>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        // whoever waits for one of these learns that it will not come
        queue.waiting.clear();
    }
}

/// Bytes of events that may wait: some hundred thousand reports, two seconds of the fastest stream.
pub const MAX_QUEUED: usize = 64 << 20;
/// How long nothing comes before the log is let rest: longer than any gap in a stream of reports.
const REST_AFTER: Duration = Duration::from_secs(1);
/// Events of one transaction: a sync is shared by enough of them, and none waits longer than a fraction of a second.
const MAX_BATCH: usize = 16_384;
