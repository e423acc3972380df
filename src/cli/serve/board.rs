//! What is told of the running server, whatever it is doing.
//!
//! Invariant: whoever looks waits for no load and for no publication: what is shown is kept apart, and changed at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::now;
use super::generations::Generations;
use super::live::Live;
use super::scrape::Measured;
use crate::evidence::Time;
use crate::evidence::store::Journal;
use crate::http::api::{At, CertificateStatus, DatasetStatus, Loading, Status, StoreStatus, Traffic, ZoneStatus};
use crate::http::page::Edition;
use crate::live::Kinds;
use crate::reload::{Plan, Progress};
use crate::server::CertificateState;
use crate::snapshot::Published;

/// What is told of the running server.
#[derive(Debug)]
pub(super) struct Board {
    started: At,
    progress: Arc<Progress>,
    published: Arc<Published>,
    /// Where events are kept, and by whom, if they are.
    store: Option<(PathBuf, Arc<Journal>)>,
    behind: Arc<Behind>,
    measured: Measured,
    refused_configurations: AtomicU64,
    shown: Mutex<Shown>,
}

/// Counts the events that are durable and not yet served.
#[derive(Debug, Default)]
pub(super) struct Behind(AtomicUsize);

impl Behind {
    /// Takes note that an event is durable, and has yet to be served.
    pub(super) fn fall(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note that so many events are served.
    pub(super) fn catch_up(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether there are so many that no more should come.
    pub(super) fn is_far(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MOST_BEHIND
    }
}

/// What there was when a generation was published last.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) plan: Arc<Plan>,
    pub(super) generation: u64,
    published: At,
    cause: String,
    datasets: Vec<DatasetStatus>,
    zones: Vec<ZoneStatus>,
    /// What each dataset can be told of live.
    pub(super) kinds: HashMap<String, Kinds>,
}

impl Board {
    /// Shows a first generation.
    pub(super) fn new(
        generations: &Generations,
        live: &Live,
        progress: Arc<Progress>,
        store: Option<(PathBuf, Arc<Journal>)>,
        behind: Arc<Behind>,
        measured: Measured,
    ) -> Self {
        let mut shown = Shown {
            plan: generations.store().shared_plan(),
            generation: 0,
            published: at(now().0),
            cause: String::new(),
            datasets: Vec::new(),
            zones: Vec::new(),
            kinds: HashMap::new(),
        };
        shown.take(generations, live);
        Self {
            started: at(now().0),
            progress,
            published: generations.published(),
            store,
            behind,
            measured,
            refused_configurations: AtomicU64::new(0),
            shown: Mutex::new(shown),
        }
    }

    /// Where events are kept, and by whom.
    pub(super) fn store(&self) -> Option<(&Path, &Arc<Journal>)> {
        self.store.as_ref().map(|(path, journal)| (path.as_path(), journal))
    }

    /// Where the current generation is.
    pub(super) fn published(&self) -> &Published {
        &self.published
    }

    /// Shows how things are now.
    pub(super) fn show(&self, generations: &Generations, live: &Live) {
        self.locked().take(generations, live);
    }

    /// What is shown.
    pub(super) fn shown(&self) -> Shown {
        self.locked().clone()
    }

    /// What is served, in two numbers.
    pub(super) fn edition(&self) -> Edition {
        Edition { started: self.started.0.0, generation: self.locked().generation }
    }

    /// What is durable and not yet served.
    pub(super) fn behind(&self) -> &Arc<Behind> {
        &self.behind
    }

    /// Takes note that a configuration was not taken over.
    pub(super) fn refused_configuration(&self) {
        self.refused_configurations.fetch_add(1, Ordering::Relaxed);
    }

    /// What queries came to.
    pub(super) fn traffic(&self) -> Traffic {
        self.measured.traffic(&self.published.load())
    }

    /// All metrics.
    pub(super) fn metrics(&self) -> String {
        let refused = self.refused_configurations.load(Ordering::Relaxed);
        self.measured.metrics(&self.status(), &self.shown(), &self.published.load(), refused)
    }

    /// How the server is.
    pub(super) fn status(&self) -> Status {
        let shown = self.shown();
        let loading = self.progress.loading().map(|loading| Loading {
            dataset: loading.dataset,
            since: at(now().0.saturating_sub(loading.took.as_secs() as i64)),
            bytes: loading.bytes,
            of_bytes: Some(loading.of_bytes).filter(|&bytes| bytes > 0),
            lines: loading.lines,
        });
        let store = self.store().map(|(path, journal)| {
            let health = journal.health();
            StoreStatus {
                path: path.display().to_string(),
                waiting: health.waiting as u64,
                error: health.error.map(|error| error.to_string()),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            generation: shown.generation,
            published: shown.published,
            cause: shown.cause,
            loading,
            datasets: shown.datasets,
            zones: shown.zones,
            held: self.measured.held(),
            certificates: self.measured.certificates().into_iter().map(of_certificate).collect(),
            store,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn take(&mut self, generations: &Generations, live: &Live) {
        let store = generations.store();
        self.plan = store.shared_plan();
        let (generation, cause) = generations.current();
        if generation != self.generation {
            (self.generation, self.published, self.cause) = (generation, at(now().0), cause.to_string());
        }
        self.datasets = (self.plan.datasets.iter().enumerate())
            .map(|(index, spec)| {
                let (failure, failures) = store.failures(index);
                let (changes, next_expiry) = live.changes(&spec.name);
                DatasetStatus {
                    name: spec.name.clone(),
                    entries: store.entries(index).unwrap_or(0),
                    loaded: store.loaded_at(index).map(|loaded| at(loaded.0)),
                    as_of: store.as_of(index).map(|as_of| at(as_of.0)),
                    changes: changes as u64,
                    next_expiry: next_expiry.map(at),
                    failures,
                    error: failure.map(|failure| failure.why.clone()),
                }
            })
            .collect();
        let snapshot = generations.published().load();
        let zone = |zone: &crate::zone::Zone| ZoneStatus { apex: zone.apex.to_string(), serial: zone.soa.serial };
        self.zones = snapshot.zones().iter().map(zone).collect();
        let kinds = self.plan.datasets.iter().filter_map(|spec| Some((spec.name.clone(), live.kinds(&spec.name)?)));
        self.kinds = kinds.collect();
    }
}

fn of_certificate(state: CertificateState) -> CertificateStatus {
    let CertificateState { door, expires, failures, error } = state;
    CertificateStatus { door: door.label().to_owned(), expires: expires.map(at), failures, error }
}

/// A Unix time as the interface has it: one that is later than that can tell is then.
pub(super) fn at(seconds: i64) -> At {
    At(Time(seconds.clamp(0, u32::MAX.into()) as u32))
}

/// Events that may be durable and not yet served: some seconds of the fastest stream, so that memory stays bounded.
const MOST_BEHIND: usize = 200_000;
