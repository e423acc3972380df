//! The thread that owns what is served, and what it has to look to while it serves.
//!
//! Invariant: it waits for events and for nothing else. Lists are read, files are looked at, folds are built and
//! generations are dropped on threads of their own, so that whatever is to be published is not held up by any of them.
//!
//! Live changes come durable from the journal, and are published together, at most [`PUBLISH_EVERY`] after the last time.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::super::now;
use super::audit::{Audit, Notes};
use super::background;
use super::board::Board;
use super::cause::{Cause, Causes};
use super::generations::{Generations, Taken, Unverified};
use super::live::{Live, Of};
use super::loads::{Loads, Outcome, Request};
use super::watch::Watcher;
use super::welcome;
use crate::dataset::{Emitted, Reported};
use crate::evidence::store::{Numbered, What};
use crate::http::api::{CertificateFailure, Failure, Reloaded};
use crate::http::{Refusal, Reply, Until};
use crate::live::Folded;
use crate::query_log::{QueryLog, Watch};
use crate::reload::Scope;
use crate::server::Running;
use crate::server::notify::Notifier;
use crate::server::signals::Signal;

/// What comes to the actor.
#[derive(Debug)]
pub(super) enum Happening {
    Signal(Signal),
    /// A load has ended.
    Loaded(Box<Outcome>),
    /// Files of these datasets have changed, and settled.
    Changed(BTreeSet<String>),
    /// A compiled file that is served is not as it was written.
    Unverified(Unverified),
    /// An event is durable.
    Kept(Box<Numbered>),
    /// Somebody asks for something.
    Asked(Ask),
    /// A fold of a dataset's changes has been built, or could not be.
    Folded {
        name: String,
        of: Of,
        folded: Option<Box<Folded>>,
    },
}

/// What is asked for.
pub(super) enum Ask {
    Reload {
        who: String,
        until: Until,
        reply: Reply<Reloaded>,
    },
    Accept {
        who: String,
        dataset: String,
        until: Until,
        reply: Reply<Reloaded>,
    },
    /// To hear when everything that came before is served.
    Tell(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload { .. } => "Reload",
            Self::Accept { .. } => "Accept",
            Self::Tell(_) => "Tell",
        })
    }
}

impl From<Signal> for Happening {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

/// Whether the server goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
}

/// Owns what is served.
pub(super) struct Actor<'r> {
    pub(super) generations: Generations,
    pub(super) live: Live,
    pub(super) board: Arc<Board>,
    pub(super) audit: Audit,
    pub(super) running: &'r Running,
    pub(super) watch: Option<Arc<Watch>>,
    pub(super) loads: Loads,
    pub(super) watcher: Watcher,
    pub(super) notifier: &'r Notifier,
    pub(super) sender: Sender<Happening>,
    pub(super) pending: Pending,
}

/// What has come, and is not served, emitted or answered yet.
#[derive(Default)]
pub(super) struct Pending {
    /// Datasets whose layers are other than those that are served.
    datasets: BTreeSet<String>,
    causes: Option<Causes>,
    notes: Notes,
    reports: Vec<Numbered>,
    /// Datasets that can take no more reports before they are emitted anew.
    full: BTreeSet<String>,
    /// Who waits until it is served.
    tellers: Vec<Box<dyn FnOnce() + Send>>,
    /// Who waits for the load that has yet to begin, and for the one that is running.
    next_load: Vec<Reply<Reloaded>>,
    this_load: Vec<Reply<Reloaded>>,
}

impl Pending {
    fn cause(&mut self, cause: Cause) {
        match &mut self.causes {
            Some(causes) => causes.join(cause.into()),
            None => self.causes = Some(cause.into()),
        }
    }
}

impl Actor<'_> {
    /// Does what comes, until a signal asks for the end.
    pub(super) fn run(&mut self, events: &Receiver<Happening>) {
        let watchdog = self.notifier.watchdog_interval();
        let (mut next_glance, mut next_prune, mut published) = (Instant::now(), Instant::now(), Instant::now());
        let mut next_sign = Instant::now();
        loop {
            let clock = Instant::now();
            if watchdog.is_some() && clock >= next_sign {
                self.notifier.alive();
                next_sign = clock + watchdog.unwrap_or(GLANCE);
            }
            if clock >= next_glance {
                next_glance = clock + GLANCE;
                self.look_at_the_time();
            }
            if clock >= next_prune {
                next_prune = clock + PRUNE_EVERY;
                if let Some((_, journal)) = self.board.store() {
                    journal.prune(self.generations.config().retention, now().0);
                }
            }
            for name in self.live.expire(now().0) {
                self.pending.cause(Cause::Expired);
                self.pending.datasets.insert(name);
            }
            let due = published + PUBLISH_EVERY;
            if self.has_pending() && clock >= due {
                self.publish_live();
                published = Instant::now();
            }
            let mut wake = next_glance.min(next_prune);
            if watchdog.is_some() {
                wake = wake.min(next_sign);
            }
            if self.has_pending() {
                wake = wake.min(due);
            }
            let mut wait = wake.saturating_duration_since(Instant::now());
            if let Some(expiry) = self.live.next_expiry() {
                wait = wait.min(until_second(expiry)).min(TICK);
            }
            match events.recv_timeout(wait) {
                Ok(happening) => {
                    if self.take(happening) == Next::Ends {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // what has come meanwhile is published together
            for happening in events.try_iter().take(MOST_AT_ONCE) {
                if self.take(happening) == Next::Ends {
                    return;
                }
            }
        }
    }

    fn take(&mut self, happening: Happening) -> Next {
        match happening {
            Happening::Signal(Signal::Terminate) => return Next::Ends,
            Happening::Signal(Signal::Hangup) => {
                self.watch.iter().filter_map(|watch| watch.log.as_ref()).for_each(QueryLog::reopen);
                self.reload_certificates();
                self.want(Request::all(Cause::Signal));
            }
            Happening::Signal(signal) => tracing::debug!("{signal:?} means nothing here"),
            Happening::Changed(names) => {
                self.want(Request::changed(Scope::changed(names), Cause::Watch));
            }
            Happening::Unverified(failed) => {
                self.generations.withdraw(&failed);
                self.show();
            }
            Happening::Loaded(outcome) => self.take_load(*outcome),
            Happening::Kept(numbered) => self.take_event(numbered),
            Happening::Asked(ask) => self.answer(ask),
            Happening::Folded { name, of, folded } => self.live.end_fold(&name, of, folded.map(|folded| *folded)),
        }
        Next::Goes
    }

    fn take_event(&mut self, numbered: Box<Numbered>) {
        match &numbered.event.what {
            What::Report(_) => self.pending.reports.push(*numbered),
            What::Change(change) => {
                let plan = self.generations.store().shared_plan();
                let listings = || self.live.listings(&change.dataset, self.generations.store());
                self.pending.notes.before(&change.dataset, listings);
                let noted = numbered.clone();
                if let Some(name) = self.live.take(*numbered, &plan) {
                    self.pending.datasets.insert(name);
                    self.pending.cause(Cause::Changed { who: noted.event.who.clone() });
                    self.pending.notes.change(&noted);
                }
                self.board.behind().catch_up(1);
            }
            What::Generation(_) | What::Request(_) => self.board.behind().catch_up(1),
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Tell(tell) => self.pending.tellers.push(tell),
            Ask::Reload { who, until, reply } => {
                self.reload_certificates();
                self.promise(until, reply);
                self.want(Request::all(Cause::Asked { who }));
            }
            Ask::Accept { who, dataset, until, reply } => {
                if !self.generations.accept(&dataset) {
                    return reply.give(Err(Refusal::Missing { what: format!("dataset {dataset}") }));
                }
                self.promise(until, reply);
                let scope = Scope::named([dataset.clone()].into());
                self.want(Request::changed(scope, Cause::Accepted { who, dataset }));
            }
        }
    }

    /// Answers at once, or when the load is done that is about to be wanted.
    fn promise(&mut self, until: Until, reply: Reply<Reloaded>) {
        match until {
            Until::Durable => reply.give(Ok(self.reloaded(false, None))),
            Until::Served => self.pending.next_load.push(reply),
        }
    }

    fn reloaded(&self, done: bool, configuration: Option<String>) -> Reloaded {
        let store = self.generations.store();
        let failures = store.plan().datasets.iter().enumerate().filter_map(|(index, spec)| {
            let failure = store.failures(index).0?;
            Some(Failure { dataset: spec.name.clone(), reason: failure.why.clone() })
        });
        let generation = self.generations.current().0;
        let certificates =
            self.running.certificates().states().into_iter().filter_map(|state| {
                Some(CertificateFailure { door: state.door.label().to_owned(), reason: state.error? })
            });
        let (failures, certificates) = (failures.collect(), certificates.collect());
        let restart = self.generations.needs_restart().into_iter().map(str::to_owned).collect();
        Reloaded { done, generation, configuration, failures, certificates, restart }
    }

    /// Reads certificates again, and says what is wrong with them.
    fn reload_certificates(&self) {
        let certificates = self.running.certificates();
        if self.generations.is_confined() {
            if !certificates.states().is_empty() {
                tracing::info!("certificates are outside the chroot: a renewed one needs a restart");
            }
        } else if certificates.reload().is_err() {
            for state in certificates.states() {
                let Some(error) = state.error else { continue };
                tracing::error!(door = state.door.label(), "certificate not loaded, the one before stays: {error}");
            }
        }
        welcome::warn_of_expiry(certificates, now());
    }

    /// Judges again what time, or a change of its files, has made another, and tries what was to be ready by now.
    fn look_at_the_time(&mut self) {
        let plan = self.generations.store().plan();
        let timed = (0..plan.datasets.len()).filter(|&index| self.generations.store().is_timed(index));
        let names: BTreeSet<String> = timed.map(|index| plan.datasets[index].name.clone()).collect();
        if !names.is_empty() {
            self.want(Request::changed(Scope::changed(names), Cause::Verdicts));
        }
        let full = std::mem::take(&mut self.pending.full);
        if !full.is_empty() {
            self.want(Request::changed(Scope::named(full), Cause::Reported));
        }
    }

    fn take_load(&mut self, outcome: Outcome) {
        self.loads.end();
        let (scope, causes) = (outcome.request.scope.clone(), outcome.request.causes.clone());
        let mut refused = outcome.brought.as_ref().and_then(|brought| brought.refused.clone());
        match self.generations.take(outcome, &mut self.live, &self.audit) {
            // the data of the plan before has yet to be looked at
            Taken::ConfigRefused => {
                refused = Some("a zone of it fails its self-test, see the log".to_owned());
                self.loads.want(Request { scope, causes, with_config: false });
            }
            Taken::Published => self.watcher.tell(self.generations.config(), self.generations.store()),
            Taken::NoNews | Taken::Withheld => {}
        }
        if refused.is_some() {
            self.board.refused_configuration();
        }
        self.show();
        for reply in std::mem::take(&mut self.pending.this_load) {
            reply.give(Ok(self.reloaded(true, refused.clone())));
        }
        self.begin_load();
    }

    fn want(&mut self, request: Request) {
        self.loads.want(request);
        self.begin_load();
    }

    fn begin_load(&mut self) {
        if self.loads.begin(|request| self.generations.task(request)) {
            self.pending.this_load.append(&mut self.pending.next_load);
        }
    }

    fn has_pending(&self) -> bool {
        let Pending { datasets, reports, tellers, .. } = &self.pending;
        !datasets.is_empty() || !reports.is_empty() || !tellers.is_empty()
    }

    /// Lays what has come over its datasets, and publishes it.
    fn publish_live(&mut self) {
        self.report();
        let datasets = std::mem::take(&mut self.pending.datasets);
        if !datasets.is_empty() {
            let causes = self.pending.causes.take().unwrap_or_else(|| Cause::Reported.into());
            let notes = std::mem::take(&mut self.pending.notes);
            match self.generations.lay(&datasets, &mut self.live, &causes) {
                Ok(()) => {
                    let listings = |name: &str| self.live.listings(name, self.generations.store());
                    self.audit.keep(&self.generations, &causes, notes, listings);
                }
                Err(why) => tracing::error!("live changes not published, what was served stays: {why}"),
            }
            self.show();
        }
        std::mem::take(&mut self.pending.tellers).into_iter().for_each(|tell| tell());
        for (name, of, fold) in self.live.begin_folds() {
            self.fold(name, of, move || fold.build().ok());
        }
    }

    /// Hands reports to what is emitted, and takes over what that says anew. In a storm of them all but a few wait for
    /// the next survey, so that what else is changed is served within the second.
    fn report(&mut self) {
        let mut reports = std::mem::take(&mut self.pending.reports);
        let count = reports.len();
        if count == 0 {
            return;
        }
        reports.truncate(MOST_REPORTS);
        let said: Vec<Reported<'_>> = reports
            .iter()
            .filter_map(|numbered| match &numbered.event.what {
                What::Report(report) => Some(Reported {
                    number: numbered.number,
                    time: report.time.0,
                    source: &report.source,
                    subject: &report.subject,
                    category: &report.category,
                    weight: report.weight,
                }),
                _ => None,
            })
            .collect();
        let emitted: Vec<(String, Emitted)> =
            self.live.emitted().map(|(name, emitted)| (name.to_owned(), emitted.clone())).collect();
        for (name, Emitted(emitter)) in emitted {
            emitter.report(&said, now().0);
            let revised = self.live.revise(&name);
            if revised.has_news {
                self.pending.cause(Cause::Reported);
                self.pending.datasets.insert(name.clone());
            }
            if revised.wants_emission || count > MOST_REPORTS {
                self.pending.full.insert(name);
            }
        }
        self.board.behind().catch_up(count);
    }

    fn fold(&self, name: String, of: Of, build: impl FnOnce() -> Option<Folded> + Send + 'static) {
        let (sender, fallback) = (self.sender.clone(), name.clone());
        let work = move || {
            let folded = catch_unwind(AssertUnwindSafe(build)).ok().flatten().map(Box::new);
            // without a receiver the server is ending
            drop(sender.send(Happening::Folded { name, of, folded }));
        };
        if let Err(error) = background::start("fold", work) {
            tracing::warn!("no fold: no thread can be started: {error}");
            drop(self.sender.send(Happening::Folded { name: fallback, of, folded: None }));
        }
    }

    fn show(&self) {
        self.board.show(&self.generations, &self.live);
    }
}

/// How long it is until a second begins, by the clock.
fn until_second(second: i64) -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(u64::try_from(second).unwrap_or(0)).saturating_sub(since)
}

/// How often it is looked whether verdicts are to be judged again: the age of a report by which one can be missed.
const GLANCE: Duration = Duration::from_secs(60);
/// How long the clock is believed while something ends by it: it may be set.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked what of the store need no longer be kept.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// The least time between two generations of live changes: ten serials a second are as many as anybody follows, and a
/// change is answered well within the second.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// Events that are taken before it is looked what is due.
const MOST_AT_ONCE: usize = 10_000;
/// Reports that move verdicts between two publications: half a second's work if each is about another network.
const MOST_REPORTS: usize = 5_000;
