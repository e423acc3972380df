//! The thread that owns what is served, and what it has to look to while it serves.
//!
//! Invariant: it waits for events and for nothing else. Lists are read, files are looked at and generations are dropped on
//! threads of their own, so that whatever is to be published is not held up by any of them.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::cause::Cause;
use super::generations::{Generations, Taken, Unverified};
use super::loads::{Loads, Outcome, Request};
use super::watch::Watcher;
use crate::reload::Scope;
use crate::server::Running;
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
}

impl From<Signal> for Happening {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

/// Owns what is served.
pub(super) struct Actor<'r> {
    pub(super) generations: Generations,
    pub(super) running: &'r Running,
    pub(super) loads: Loads,
    pub(super) watcher: Watcher,
}

impl Actor<'_> {
    /// Does what comes, until a signal asks for the end.
    pub(super) fn run(&mut self, events: &Receiver<Happening>) {
        let mut next_glance = Instant::now() + GLANCE;
        loop {
            let happening = match events.recv_timeout(next_glance.saturating_duration_since(Instant::now())) {
                Ok(happening) => happening,
                Err(RecvTimeoutError::Timeout) => {
                    next_glance = Instant::now() + GLANCE;
                    self.look_at_the_time();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match happening {
                Happening::Signal(Signal::Terminate) => return,
                Happening::Signal(Signal::Hangup) => self.reload(Cause::Signal),
                Happening::Signal(signal) => tracing::debug!("{signal:?} means nothing here"),
                Happening::Changed(names) => {
                    self.want(Request::changed(Scope::changed(names), Cause::Watch));
                }
                Happening::Unverified(failed) => self.generations.withdraw(&failed),
                Happening::Loaded(outcome) => self.take(*outcome),
            }
        }
    }

    /// Looks for everything that changed.
    fn reload(&mut self, cause: Cause) {
        if let Err(error) = self.running.reload_certificate() {
            tracing::error!("certificate not loaded, the one before stays: {error}");
        }
        self.want(Request::all(cause));
    }

    /// Judges again what time, or a change of its files, has made another, and tries what was to be ready by now.
    fn look_at_the_time(&mut self) {
        let plan = self.generations.store().plan();
        let timed = (0..plan.datasets.len()).filter(|&index| self.generations.store().is_timed(index));
        let names: BTreeSet<String> = timed.map(|index| plan.datasets[index].name.clone()).collect();
        if !names.is_empty() {
            self.want(Request::changed(Scope::changed(names), Cause::Verdicts));
        }
    }

    fn take(&mut self, outcome: Outcome) {
        self.loads.end();
        let (scope, causes) = (outcome.request.scope.clone(), outcome.request.causes.clone());
        match self.generations.take(outcome) {
            // the data of the plan before has yet to be looked at
            Taken::ConfigRefused => self.loads.want(Request { scope, causes, with_config: false }),
            Taken::Published => self.watcher.tell(self.generations.config(), self.generations.store()),
            Taken::NoNews | Taken::Withheld => {}
        }
        self.begin_load();
    }

    fn want(&mut self, request: Request) {
        self.loads.want(request);
        self.begin_load();
    }

    fn begin_load(&mut self) {
        self.loads.begin(|request| self.generations.task(request));
    }
}

/// How often it is looked whether verdicts are to be judged again: the age of a report by which one can be missed.
const GLANCE: Duration = Duration::from_secs(60);
