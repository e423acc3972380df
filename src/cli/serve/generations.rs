//! From one generation to the next while queries are answered.
//!
//! Invariant: a generation is made and tested aside, published with one swap, and the one before is dropped on a thread of
//! its own and never by one that answers. What is wrong with the next is left out of it by the dataset, or else it is
//! withheld whole; the store then stays what is served.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::super::now;
use super::super::selftest::{self, Finding};
use super::audit::Audit;
use super::background;
use super::cause::{Cause, Causes};
use super::compare::Loaded;
use super::live::Live;
use super::loads::{Brought, Outcome, Request, Task};
use super::starting_at;
use super::state::{Lasting, State};
use crate::config::Config;
use crate::dataset::{Dataset, Emitted};
use crate::dnsxl::Name;
use crate::reload::{Event, Plan, Store};
use crate::snapshot::{Published, Snapshot};
use crate::table::CompiledError;
use crate::table::memory::give_back_unused;

/// A dataset in a compiled file that is not as it was written.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) dataset: Arc<Dataset>,
    pub(super) error: CompiledError,
}

/// What became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing was due, or nothing said another thing.
    NoNews,
    /// There is a new generation.
    Published,
    /// The generation before stays.
    Withheld,
    /// The generation before stays, as the configuration cannot be served; data of the one before was not looked at.
    ConfigRefused,
}

/// What is served, and what the next generation is made from.
pub(super) struct Generations {
    /// What sockets and privileges are by.
    started: Config,
    config: Config,
    store: Store,
    published: Arc<Published>,
    state: State,
    /// Why there is the current generation.
    causes: Causes,
    retire: Sender<Retired>,
}

impl Generations {
    /// Begins with a first generation that was made of the store.
    pub(super) fn new(config: Config, store: Store, first: Snapshot, state: State) -> io::Result<Self> {
        let published = Arc::new(Published::new(first));
        let causes = Cause::Start.into();
        Ok(Self { started: config.clone(), config, store, published, state, causes, retire: retirement()? })
    }

    /// Where the doors find the current generation.
    pub(super) fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// What is loaded.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration that is served.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Which tables of the configuration are served as they were at the start.
    pub(super) fn needs_restart(&self) -> Vec<&'static str> {
        self.config.needs_restart(&self.started)
    }

    /// Whether the files that the process began with may be out of its reach.
    pub(super) fn is_confined(&self) -> bool {
        self.started.confinement.root.is_some()
    }

    /// The number of the current generation, and why it came to be.
    pub(super) fn current(&self) -> (u64, &Causes) {
        (self.state.generation(), &self.causes)
    }

    /// Lets the next load of a dataset through whatever its size; whether there is such a dataset.
    pub(super) fn accept(&mut self, dataset: &str) -> bool {
        self.store.accept(dataset)
    }

    /// Lays live changes over datasets, by their names, and publishes what comes of it.
    ///
    /// What was checked when it was taken needs no test again: a layer changes what a zone lists, and not what it is.
    pub(super) fn lay(&mut self, names: &BTreeSet<String>, live: &mut Live, causes: &Causes) -> Result<(), String> {
        let mut next = self.store.clone();
        for name in names {
            live.lay(name, &mut next).map_err(|why| format!("{name}: {why}"))?;
        }
        let snapshot = next.snapshot().map_err(|why| why.to_string())?;
        self.publish(next, snapshot, causes);
        Ok(())
    }

    /// What a load does that is wanted now.
    pub(super) fn task(&self, request: &Request) -> Task {
        Task::renew(&self.store, request, &self.config, &self.started, &self.state)
    }

    /// Verifies the compiled files that were opened at the start, one after the other in a thread of its own; `tell` hears of
    /// each that fails. Files that are loaded later are verified before they are published.
    pub(super) fn verify(&self, tell: impl Fn(Unverified) + Send + 'static) -> io::Result<()> {
        let datasets = (0..self.store.plan().datasets.len()).filter_map(|index| self.store.dataset(index));
        let compiled: Vec<_> = datasets.filter(|dataset| dataset.compiled.is_some()).cloned().collect();
        if compiled.is_empty() {
            return Ok(());
        }
        let verify = move || {
            for dataset in compiled {
                let begin = Instant::now();
                match dataset.verify() {
                    Ok(()) => tracing::info!(name = %dataset.name, took = ?begin.elapsed(), "compiled file verified"),
                    Err(error) => tell(Unverified { dataset, error }),
                }
            }
        };
        background::start("verify", verify)
    }

    /// Stops serving a dataset that is corrupt: what it says may be wrong, and a zone without it can say nothing. Its zones
    /// answer SERVFAIL, so that whoever asks turns to another server, until a reload finds a file that is whole.
    pub(super) fn withdraw(&mut self, Unverified { dataset, error }: &Unverified) {
        let mut next = self.store.clone();
        if !next.withdraw(dataset) {
            tracing::warn!(name = %dataset.name, "was corrupt, and has been replaced since: {error}");
            return;
        }
        match next.snapshot() {
            Ok(snapshot) => {
                self.publish(next, snapshot, &Cause::Withdrawal.into());
                tracing::error!(name = %dataset.name, "NOT SERVED ANY MORE, its zones answer SERVFAIL: {error}");
            }
            // it was made of the same zones before
            Err(why) => tracing::error!(name = %dataset.name, "corrupt, and cannot be taken out: {why}: {error}"),
        }
    }

    /// Takes what a load brought, and publishes if there is news.
    pub(super) fn take(&mut self, outcome: Outcome, live: &mut Live, audit: &Audit) -> Taken {
        let Outcome { request: Request { causes, .. }, began, brought } = outcome;
        let Some(Brought { config, attempts, .. }) = brought else {
            tracing::error!(cause = %causes, "the load ended by a panic: what was served stays");
            return Taken::Withheld;
        };
        let mut next = match &config {
            Some(config) => self.store.replanned(starting_at(config.plan.clone(), self.state.serials())),
            None => self.store.clone(),
        };
        if config.is_some() {
            live.replan(&next);
        }
        let events = next.take(attempts);
        events.iter().filter(|event| causes.is_asked() || !event.is_known).for_each(|event| log(next.plan(), event));
        let news: Vec<usize> = events
            .iter()
            .filter(|event| event.result.as_ref().is_ok_and(|loaded| loaded.has_news))
            .map(|event| event.dataset)
            .collect();
        // what was said over the verdicts before is in those of now, or is said again
        let loaded = events.iter().filter(|event| event.result.is_ok()).map(|event| event.dataset);
        let emitted: Vec<usize> = loaded.filter(|&index| next.plan().datasets[index].emitted.is_some()).collect();
        let mut relaid = config.is_some();
        for &index in &emitted {
            let name = next.plan().datasets[index].name.clone();
            relaid |= live.emitted_anew(&name, next.plan());
        }
        if let Err(error) = live.lay_all(&mut next) {
            tracing::error!("live changes are not all served: {error}");
        }
        if news.is_empty() && !relaid && config.is_none() {
            if causes.is_asked() || events.iter().any(|event| event.result.is_ok()) {
                tracing::info!(cause = %causes, "reloaded: no news");
            }
            self.store = next;
            return Taken::NoNews;
        }
        let refused = |taken| {
            if let Some(config) = &config {
                tracing::error!("configuration not taken over, the one before stays: {}", config.path.display());
            }
            if config.is_some() { Taken::ConfigRefused } else { taken }
        };
        let Some((next, snapshot)) = self.tested(next, &news, config.is_some()) else {
            if config.is_some() {
                // what is laid over datasets goes by their places in the plan
                live.replan(&self.store);
            }
            return refused(Taken::Withheld);
        };
        let loaded = news.iter().filter_map(|&index| self.loaded(&next, index)).collect();
        self.publish(next, snapshot, &causes);
        if let Some(config) = config {
            tracing::info!("configuration taken over: {}", config.path.display());
            self.config = config;
        }
        for Emitted(emitter) in emitted.iter().filter_map(|&index| self.store.plan().datasets[index].emitted.as_ref()) {
            if let Err(error) = emitter.keep() {
                tracing::warn!("states of verdicts are not kept for the next start: {error}");
            }
        }
        audit.compare(self, &causes, loaded);
        tracing::info!(took = ?began.elapsed(), "reloaded");
        Taken::Published
    }

    /// A dataset as it was loaded at the start, by its index.
    pub(super) fn at_start(&self, index: usize) -> Option<Loaded> {
        let after = self.store.dataset(index)?.clone();
        Some(Loaded { spec: self.store.plan().datasets[index].clone(), before: None, after })
    }

    /// A dataset of the next store that is another than what is served, by its index there.
    fn loaded(&self, next: &Store, index: usize) -> Option<Loaded> {
        let (spec, after) = (next.plan().datasets[index].clone(), next.dataset(index)?.clone());
        let place = self.store.plan().datasets.iter().position(|before| before.name == spec.name);
        let before = place.and_then(|place| self.store.dataset(place)).cloned();
        Some(Loaded { spec, before, after }).filter(|loaded| !loaded.is_same())
    }

    /// Makes a generation that stands the test. What `news` a zone that fails has is left out, unless the zones themselves are
    /// new; none if that does not help.
    fn tested(&self, mut next: Store, news: &[usize], is_new_plan: bool) -> Option<(Store, Snapshot)> {
        let mut news = news.to_vec();
        loop {
            // a serial counts once it is published
            let mut trial = next.clone();
            let snapshot = match trial.snapshot() {
                Ok(snapshot) => snapshot,
                Err(error) => {
                    tracing::error!("not published, the generation before stays: {error}");
                    return None;
                }
            };
            let findings = test(&snapshot, trial.plan());
            if report(&findings) {
                return Some((trial, snapshot));
            }
            let zones = trial.plan().zones.iter().zip(snapshot.zones());
            let fails = |apex: &Name| findings.iter().any(|finding| finding.is_error && finding.apex == *apex);
            let failing: Vec<usize> = zones
                .filter(|(_, zone)| fails(&zone.apex))
                .flat_map(|(plan, _)| plan.datasets.iter().map(|(index, _)| *index))
                .filter(|index| news.contains(index))
                .collect();
            if failing.is_empty() || is_new_plan {
                tracing::error!("not published, the generation before stays");
                return None;
            }
            for &index in &failing {
                let name = &next.plan().datasets[index].name;
                tracing::error!(%name, "not published, the last good one stays: its zone fails the self-test");
                next.refuse(index, &self.store, now(), "its zone fails the self-test");
            }
            news.retain(|index| !failing.contains(index));
        }
    }

    /// Makes `snapshot`, which is of `next`, the current generation.
    fn publish(&mut self, next: Store, snapshot: Snapshot, causes: &Causes) {
        // first, so that whoever has seen a serial never sees a lesser one, whatever happens
        self.state.next_generation(&next, if causes.is_live() { Lasting::Process } else { Lasting::Power });
        let before = self.published.publish(snapshot);
        for zone in self.published.load().zones() {
            let serial = zone.soa.serial;
            if !causes.is_live() && !before.zones().iter().any(|old| old.apex == zone.apex && old.soa.serial == serial)
            {
                tracing::info!(zone = %zone.apex, serial, "zone published");
            }
        }
        self.store = next;
        self.causes = causes.clone();
        let number = self.state.generation();
        match causes.is_live() {
            // there may be ten of them a second; the audit has them
            true => tracing::debug!(number, cause = %causes, "generation published"),
            false => tracing::info!(number, cause = %causes, "generation published"),
        }
        // without the thread it is dropped here
        drop(self.retire.send(Retired { generation: before, is_large: !causes.is_live() }));
    }
}

/// Tests a generation before it is published.
pub(super) fn test(snapshot: &Snapshot, plan: &Plan) -> Vec<Finding> {
    selftest::test(snapshot, plan, now())
}

/// Says what a test found; whether the generation may be published.
pub(super) fn report(findings: &[Finding]) -> bool {
    for finding in findings {
        match finding.is_error {
            true => tracing::error!("self-test: {finding}"),
            false => tracing::warn!("self-test: {finding}"),
        }
    }
    findings.iter().all(|finding| !finding.is_error)
}

/// One line about a dataset.
pub(super) fn log(plan: &Plan, event: &Event) {
    let name = &plan.datasets[event.dataset].name;
    match &event.result {
        Ok(loaded) => {
            let (entries, problems, bytes) = (loaded.report.entries, loaded.report.total, loaded.dataset.bytes());
            tracing::info!(%name, entries, problems, bytes, took = ?event.took, "dataset loaded");
            if let Some(note) = loaded.report.notes.first() {
                let notes = loaded.report.notes.len();
                tracing::warn!(%name, "first of {notes}: {note}");
            }
            if let Some(problem) = loaded.report.problems.first() {
                tracing::warn!(%name, "first of {problems}: {problem}");
            }
        }
        Err(error) if event.keeps_last_good => {
            tracing::error!(%name, "dataset not loaded, the last good one stays: {error}");
        }
        Err(error) => tracing::error!(%name, "dataset not loaded: {error}"),
    }
}

/// A generation that is to be dropped.
struct Retired {
    generation: Arc<Snapshot>,
    /// Whether datasets may go with it, and not layers of live changes alone.
    is_large: bool,
}

/// A thread that drops each generation it is sent once no query holds it any more.
fn retirement() -> io::Result<Sender<Retired>> {
    let (sender, generations) = channel::<Retired>();
    let retire = move || {
        for Retired { generation, is_large } in generations {
            let begin = Instant::now();
            while Arc::strong_count(&generation) > 1 && begin.elapsed() < LONGEST_QUERY {
                thread::sleep(Duration::from_millis(1));
            }
            drop(generation);
            if is_large {
                give_back_unused();
            }
        }
    };
    background::start("retire", retire)?;
    Ok(sender)
}

/// A query is answered in microseconds; one that takes longer than this frees the generation itself.
const LONGEST_QUERY: Duration = Duration::from_secs(10);
