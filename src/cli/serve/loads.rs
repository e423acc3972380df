//! Loads, one at a time, on a thread of their own.
//!
//! Whoever wants a load asks for it; what is asked for while one is running becomes one more load after it, however often
//! it is asked. Invariant: a load only reads, and comes back as an event; the actor takes what it brings, or leaves it.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use super::super::load;
use super::actor::Happening;
use super::background;
use super::cause::{Cause, Causes};
use super::starting_at;
use super::state::State;
use crate::config::{Config, ConfigError};
use crate::dnsxl::Name;
use crate::reload::{Attempt, Compiled, Progress, Scope, Store};

/// A load that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) scope: Scope,
    pub(super) causes: Causes,
    /// Whether the configuration is read again.
    pub(super) with_config: bool,
}

impl Request {
    /// Everything there is, as an operator wants it.
    pub(super) fn all(cause: Cause) -> Self {
        Self { scope: Scope::all(), causes: cause.into(), with_config: true }
    }

    /// Datasets that have changed.
    pub(super) fn changed(scope: Scope, cause: Cause) -> Self {
        Self { scope, causes: cause.into(), with_config: false }
    }

    fn join(&mut self, other: Self) {
        self.scope = std::mem::take(&mut self.scope).join(other.scope);
        self.causes.join(other.causes);
        self.with_config |= other.with_config;
    }
}

/// What a load came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) request: Request,
    pub(super) began: Instant,
    /// None if the load ended by a panic.
    pub(super) brought: Option<Brought>,
}

/// What a load brings.
#[derive(Debug)]
pub(super) struct Brought {
    /// The configuration that the datasets are of, if it is another than before.
    pub(super) config: Option<Config>,
    /// Why a configuration was not read or cannot be served, and the one before stays.
    pub(super) refused: Option<String>,
    pub(super) attempts: Vec<Attempt>,
}

/// The load that is running, and the one that waits.
#[derive(Debug)]
pub(super) struct Loads {
    sender: Sender<Happening>,
    progress: Arc<Progress>,
    is_running: bool,
    waiting: Option<Request>,
}

impl Loads {
    /// None running; outcomes go to `sender`.
    pub(super) fn new(sender: Sender<Happening>) -> Self {
        Self { sender, progress: Arc::default(), is_running: false, waiting: None }
    }

    /// How far the load has come.
    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Whether another load comes after the one that is running.
    #[cfg(test)]
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Wants a load.
    pub(super) fn want(&mut self, request: Request) {
        match &mut self.waiting {
            Some(waiting) => waiting.join(request),
            None => self.waiting = Some(request),
        }
    }

    /// Takes note that the load has ended.
    pub(super) fn end(&mut self) {
        self.is_running = false;
    }

    /// Begins what waits, if nothing is running; `task` makes what is to be done. Whether it began.
    pub(super) fn begin(&mut self, task: impl FnOnce(&Request) -> Task) -> bool {
        let Some(request) = self.waiting.take_if(|_| !self.is_running) else { return false };
        let task = task(&request);
        match start(task, request, self.progress.clone(), self.sender.clone()) {
            Ok(()) => self.is_running = true,
            Err(error) => tracing::error!("no load: no thread can be started: {error}"),
        }
        self.is_running
    }
}

/// Starts a load; its outcome goes to `sender`.
pub(super) fn start(
    task: Task,
    request: Request,
    progress: Arc<Progress>,
    sender: Sender<Happening>,
) -> io::Result<()> {
    let work = move || {
        let began = Instant::now();
        // a panic must not leave the server without any further load
        let brought = catch_unwind(AssertUnwindSafe(|| task.run(&progress))).ok();
        // without a receiver the server is ending
        drop(sender.send(Happening::Loaded(Box::new(Outcome { request, began, brought }))));
    };
    background::start("load", work)
}

/// What a load does.
pub(super) enum Task {
    /// Reads everything for the first time.
    First(Store),
    /// Reads what is due.
    Renew {
        /// What is served.
        store: Store,
        /// What is to be looked at.
        scope: Scope,
        /// The configuration that is served, where it is to be read again, and the one that the process began with.
        config: Option<Box<(Config, Config)>>,
        /// The serials that zones had before.
        serials: HashMap<Name, u32>,
    },
}

impl Task {
    /// A load of what is due, for a store that is served.
    pub(super) fn renew(store: &Store, request: &Request, config: &Config, started: &Config, state: &State) -> Self {
        Self::Renew {
            store: store.clone(),
            scope: request.scope.clone(),
            config: request.with_config.then(|| Box::new((config.clone(), started.clone()))),
            serials: state.serials().clone(),
        }
    }

    fn run(self, progress: &Progress) -> Brought {
        match self {
            Self::First(store) => {
                let attempts = load::run(store.begin(Scope::all()), Compiled::Opened, progress);
                Brought { config: None, refused: None, attempts }
            }
            Self::Renew { store, scope, config, serials } => {
                let changed = config.map_or(Ok(None), |both| changed_config(&both.0, &both.1));
                let mut refused = changed.as_ref().err().map(ToString::to_string);
                if let Ok(Some(config)) = changed {
                    // as it is written: there is no chroot, even if this configuration asks for one
                    let next = store.replanned(starting_at(config.plan.clone(), &serials));
                    let attempts = load::run(next.begin(scope.clone()), Compiled::Verified, progress);
                    if !attempts.iter().any(Attempt::leaves_nothing) {
                        return Brought { config: Some(config), refused: None, attempts };
                    }
                    // with it, a zone that is served now would be without answers
                    let missing = attempts.iter().filter(|attempt| attempt.leaves_nothing());
                    let missing: Vec<String> = missing.filter_map(|attempt| attempt.failure(next.plan())).collect();
                    refused = Some(format!("{}: {}", config.path.display(), missing.join("; ")));
                }
                if let Some(why) = &refused {
                    tracing::error!("configuration not taken over, the one before stays: {why}");
                }
                let attempts = load::run(store.begin(scope), Compiled::Verified, progress);
                Brought { config: None, refused, attempts }
            }
        }
    }
}

/// The configuration if it says another thing than before, and can be served.
fn changed_config(before: &Config, started: &Config) -> Result<Option<Config>, ConfigError> {
    if started.confinement.root.is_some() {
        tracing::debug!("the configuration is outside the chroot, and not read again");
        return Ok(None);
    }
    let config = Config::open(&before.path)?;
    if config.says_what(before) {
        return Ok(None);
    }
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    for table in config.needs_restart(started) {
        tracing::warn!("{table} changed: restart to have it");
    }
    Ok(Some(config))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use std::thread;

    use super::*;

    /// A configuration of one list that nobody writes: reading it waits.
    fn waiting_config(folder: &Path) -> Config {
        let list = folder.join("list");
        nix::unistd::mkfifo(&list, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = "version = 1\n[[dataset]]\nname = \"list\"\nformat = \"plain\"\nfiles = \"list\"\n\
                    [[zone]]\napex = \"bl.example\"\ndatasets = [\"list\"]\n";
        Config::parse(text, &folder.join("infamy.toml")).unwrap()
    }

    fn outcome(events: &Receiver<Happening>) -> Outcome {
        match events.recv_timeout(Duration::from_secs(60)).unwrap() {
            Happening::Loaded(outcome) => *outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn however_often_one_is_wanted_two_come_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = waiting_config(folder.path());
        let store = Store::new(config.plan.clone());
        let state = State::open(None).unwrap();
        let (sender, events) = channel();
        let mut loads = Loads::new(sender);
        let begun = std::cell::Cell::new(0);
        let begin = |loads: &mut Loads| {
            loads.begin(|request| {
                begun.set(begun.get() + 1);
                Task::renew(&store, request, &config, &config, &state)
            });
        };
        for _ in 0..64 {
            loads.want(Request::changed(Scope::all(), Cause::Signal));
            begin(&mut loads);
        }
        assert_eq!(begun.get(), 1);
        assert!(loads.is_waiting());
        let deadline = Instant::now() + Duration::from_secs(60);
        while loads.progress().loading().is_none_or(|loading| loading.dataset != "list") {
            assert!(Instant::now() < deadline);
            thread::sleep(Duration::from_millis(1));
        }
        // whoever opens it to write lets the reader go on
        fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
        assert!(outcome(&events).brought.is_some());
        loads.end();
        begin(&mut loads);
        fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
        assert!(outcome(&events).brought.is_some());
        loads.end();
        begin(&mut loads);
        assert_eq!(begun.get(), 2);
        assert!(!loads.is_waiting() && events.try_recv().is_err());
    }
}
