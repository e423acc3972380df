//! Configuration and data for the commands that read both, with a word on the terminal where that takes long.
//!
//! Invariant: nothing is written unless stderr is a terminal, so that piped output is plain and stable.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::{config_path, now};
use crate::config::Config;
use crate::reload::{Event, Plan, Store};
use crate::zone::UnixTime;

/// What became of a dataset, and how long it took.
pub(super) struct Timed {
    pub(super) event: Event,
    pub(super) took: Duration,
}

/// Reads the configuration that is named, or the usual one.
pub(super) fn config(named: Option<&Path>) -> anyhow::Result<Config> {
    Ok(Config::open(&config_path(named)?)?)
}

/// The plan of a configuration without its access lists: what zones hold, not who may ask.
pub(super) fn open_to_all(config: &Config) -> Plan {
    let mut plan = config.plan.clone();
    plan.access = None;
    plan.zones.iter_mut().for_each(|zone| zone.access = None);
    plan
}

/// Loads what has changed of a store's datasets, until `wants_end`.
pub(super) fn load(store: &mut Store, wants_end: impl FnMut() -> bool) -> Vec<Timed> {
    load_with(store, wants_end, Store::load_one)
}

/// As [`load`], without verifying compiled files.
pub(super) fn open(store: &mut Store, wants_end: impl FnMut() -> bool) -> Vec<Timed> {
    load_with(store, wants_end, Store::open_one)
}

fn load_with(
    store: &mut Store,
    mut wants_end: impl FnMut() -> bool,
    load_one: fn(&mut Store, usize, UnixTime) -> Option<Event>,
) -> Vec<Timed> {
    let mut all = Vec::new();
    for index in 0..store.plan().datasets.len() {
        if wants_end() {
            break;
        }
        let name = store.plan().datasets[index].name.clone();
        let begin = Instant::now();
        let event = announcing(&format!("loading {name}"), || load_one(store, index, now()));
        let took = begin.elapsed();
        all.extend(event.map(|event| Timed { event, took }));
    }
    all
}

/// Says what is being done once that has taken a while.
pub(super) fn announcing<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        return work();
    }
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("{what} …");
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// How long nothing is said: longer than that looks like a program that hangs.
const PATIENCE: Duration = Duration::from_secs(1);
