//! Configuration and data for the commands that read both, with a word on the terminal where that takes long.
//!
//! Invariant: nothing is written unless stderr is a terminal, so that piped output is plain and stable.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{config_path, now};
use crate::config::Config;
use crate::evidence::store::{Numbered, Reader};
use crate::reload::{Attempt, Compiled, Event, Load, Plan, Progress, Scope, Store};
use crate::zone::Terms;

/// Reads the configuration that is named, or the usual one.
pub(super) fn config(named: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::open(&config_path(named)?)?)
}

/// The plan of a configuration without its access lists and keys: what zones hold, not who may ask.
pub(super) fn open_to_all(config: &Config) -> Plan {
    let mut plan = config.plan.clone();
    plan.access = None;
    for zone in &mut plan.zones {
        (zone.access, zone.keys, zone.terms) = (None, None, Terms::default());
    }
    plan
}

/// The live changes that the configuration's evidence store keeps, if there is one: what a server that serves this
/// configuration lays over its datasets.
pub(super) fn kept_changes(config: &Config) -> anyhow::Result<Vec<Numbered>> {
    let Some(path) = config.store.as_ref().filter(|path| path.exists()) else { return Ok(Vec::new()) };
    Ok(Reader::open(path)?.live_changes(now().0)?)
}

/// Loads all datasets of a store.
pub(super) fn load(store: &mut Store) -> Vec<Event> {
    let attempts = run(store.begin(Scope::all()), Compiled::Verified, &Progress::default());
    store.take(attempts)
}

/// Runs a load; datasets that take long are named on a terminal.
pub(super) fn run(load: Load, compiled: Compiled, progress: &Progress) -> Vec<Attempt> {
    let mut said = None;
    let say = || {
        let slow = progress.loading().filter(|loading| loading.took >= PATIENCE).map(|loading| loading.dataset);
        if let Some(dataset) = slow.filter(|dataset| said.as_ref() != Some(dataset)) {
            eprintln!("loading {dataset} …");
            said = Some(dataset);
        }
    };
    beside(say, || load.run(compiled, now, progress))
}

/// Says what is being done once that has taken a while.
pub(super) fn announcing<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let mut is_said = false;
    let say = || {
        if !std::mem::replace(&mut is_said, true) {
            eprintln!("{what} …");
        }
    };
    beside(say, work)
}

/// Calls `say` while there is work, after each time of patience, if there is a terminal to say it on.
fn beside<T>(mut say: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            while wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                say();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// How long nothing is said: longer than that looks like a program that hangs.
const PATIENCE: Duration = Duration::from_secs(1);
