//! From one generation to the next while queries are answered.
//!
//! Invariant: a generation is loaded and tested aside, published with one swap, and the one before is dropped here and
//! never by a thread that answers. If anything about the next is wrong, the store goes back to what is served, so that
//! the next attempt looks at everything anew.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::load::{self, Timed};
use super::super::now;
use super::super::selftest::{self, Finding};
use super::serials::Serials;
use super::starting_at;
use crate::config::Config;
use crate::dataset::Dataset;
use crate::reload::{Plan, Store};
use crate::snapshot::{Published, Snapshot};
use crate::table::CompiledError;

/// A dataset in a compiled file that is not as it was written.
pub(super) struct Unverified {
    dataset: Arc<Dataset>,
    error: CompiledError,
}

/// What is served, and what the next generation is made from.
pub(super) struct Generations {
    /// What sockets and privileges are by.
    started: Config,
    config: Config,
    store: Store,
    published: Arc<Published>,
    serials: Serials,
}

impl Generations {
    /// Begins with a first generation that was made of the store.
    pub(super) fn new(config: Config, store: Store, first: Snapshot, serials: Serials) -> Self {
        Self { started: config.clone(), config, store, published: Arc::new(Published::new(first)), serials }
    }

    /// Where the doors find the current generation.
    pub(super) fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// Judges again what time, or a change of its files, has made another; lists and configuration wait for
    /// [`Self::renew`].
    pub(super) fn judge_again(&mut self) {
        if self.store.has_due_verdicts(now()) {
            let next = self.store.clone();
            self.advance(next, false, Instant::now());
        }
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
        thread::Builder::new().name("verify".to_owned()).spawn(verify).map(drop)
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
                let before = self.published.publish(snapshot);
                tracing::error!(name = %dataset.name, "NOT SERVED ANY MORE, its zones answer SERVFAIL: {error}");
                self.store = next;
                retire(before);
            }
            // it was made of the same zones before
            Err(why) => tracing::error!(name = %dataset.name, "corrupt, and cannot be taken out: {why}: {error}"),
        }
    }

    /// Looks for what changed in configuration and data, and publishes a generation if anything did.
    pub(super) fn renew(&mut self) {
        let begin = Instant::now();
        if let Some(config) = self.changed_config() {
            // as it is written: there is no chroot, even if this configuration asks for one
            let next = self.store.replanned(starting_at(config.plan.clone(), self.serials.known()));
            if self.advance(next, true, begin) {
                tracing::info!("configuration taken over: {}", config.path.display());
                self.config = config;
                return;
            }
            tracing::error!("configuration not taken over, the one before stays: {}", config.path.display());
        }
        let next = self.store.clone();
        self.advance(next, false, begin);
    }

    /// The configuration if it says another thing than before, and can be served.
    fn changed_config(&self) -> Option<Config> {
        if self.started.confinement.root.is_some() {
            tracing::debug!("the configuration is outside the chroot, and not read again");
            return None;
        }
        let refuse = |error| tracing::error!("configuration not taken over, the one before stays: {error}");
        let config = Config::open(&self.config.path).map_err(refuse).ok()?;
        if config.says_what(&self.config) {
            return None;
        }
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        if config.needs_restart(&self.started) {
            tracing::warn!("[listen], [limits] and the process keys of [server] have changed: they need a restart");
        }
        Some(config)
    }

    /// Loads what changed of a store, and publishes if there is news; whether the store was taken over.
    fn advance(&mut self, mut next: Store, is_new_plan: bool, begin: Instant) -> bool {
        let mut has_news = is_new_plan;
        for timed in load::load(&mut next, || false) {
            log(next.plan(), &timed);
            match &timed.event.result {
                Ok(loaded) => has_news |= loaded.has_news,
                Err(error) if !timed.event.keeps_last_good => {
                    let name = &next.plan().datasets[timed.event.dataset].name;
                    tracing::error!(%name, "dataset not loaded: {error}");
                    // with it, a zone that is served now would be without answers; otherwise it is without them already
                    if is_new_plan {
                        return false;
                    }
                }
                Err(_) => {}
            }
        }
        if !has_news {
            tracing::info!("reloaded: no news");
            self.store = next;
            return true;
        }
        let snapshot = match next.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!("not published, the generation before stays: {error}");
                return false;
            }
        };
        if !report(&test(&snapshot, next.plan())) {
            tracing::error!("not published, the generation before stays");
            return false;
        }
        if let Err(error) = self.serials.keep(&next) {
            tracing::error!("state-directory: {error}");
        }
        let before = self.published.publish(snapshot);
        let current = self.published.load();
        for zone in current.zones() {
            let serial = zone.soa.serial;
            if !before.zones().iter().any(|old| old.apex == zone.apex && old.soa.serial == serial) {
                tracing::info!(zone = %zone.apex, serial, "zone published");
            }
        }
        drop(current);
        self.store = next;
        tracing::info!(took = ?begin.elapsed(), "reloaded");
        retire(before);
        true
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
pub(super) fn log(plan: &Plan, Timed { event, took }: &Timed) {
    let name = &plan.datasets[event.dataset].name;
    match &event.result {
        Ok(loaded) => {
            let (entries, problems, bytes) = (loaded.report.entries, loaded.report.total, loaded.dataset.bytes());
            tracing::info!(%name, entries, problems, bytes, ?took, "dataset loaded");
            if let Some(note) = loaded.report.notes.first() {
                let notes = loaded.report.notes.len();
                tracing::warn!(%name, "first of {notes}: {note}");
            }
            if let Some(problem) = loaded.report.problems.first() {
                tracing::warn!(%name, "first of {problems}: {problem}");
            }
        }
        // at the start nothing is served yet, and the failure is told as an error of the program
        Err(error) if event.keeps_last_good => {
            tracing::error!(%name, "dataset not loaded, the last good one stays: {error}");
        }
        Err(error) => tracing::debug!(%name, "dataset not loaded: {error}"),
    }
}

/// Drops a generation once no query holds it any more, so that it is freed here.
fn retire(generation: Arc<Snapshot>) {
    let begin = Instant::now();
    while Arc::strong_count(&generation) > 1 && begin.elapsed() < LONGEST_QUERY {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A query is answered in microseconds; one that takes longer than this frees the generation itself.
const LONGEST_QUERY: Duration = Duration::from_secs(10);
