//! `infamy serve`: the server, in the foreground.
//!
//! The order is that of the daemons that people trust: configuration, sockets, privileges, data, test, publish, run.
//! Invariant: what is wrong before the first answer ends the program with one line for each thing; what is wrong later
//! is logged, and the last good data goes on being served.

mod generations;
mod serials;
mod welcome;

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use super::{FAILURE, load};
use crate::dnsxl::Name;
use crate::reload::{Plan, Store};
use crate::server::notify::Notifier;
use crate::server::privileges::{PidFile, confine};
use crate::server::signals::{Signal, forward};
use crate::server::{self, Running};
use generations::Generations;
use serials::Serials;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration
    config: Option<PathBuf>,
}

/// Serves until it is told to end.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = load::config(arguments.config.as_deref())?;
    start_logging();
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let notifier = Notifier::from_env().context("NOTIFY_SOCKET")?;
    let pid_file = |path: &PathBuf| PidFile::create(path).with_context(|| format!("pid-file: {}", path.display()));
    let _pid_file = config.pid_file.as_ref().map(pid_file).transpose()?;
    let bound = server::bind(&config.listen).context("listen")?;
    let plan = config.confined_plan()?;
    let directory = config.state_directory.as_deref().map(|directory| config.confined(directory)).transpose()?;
    confine(&config.confinement)?;
    let (sender, signals) = mpsc::channel();
    forward::<Signal>(sender).context("signals")?;
    let mut serials = Serials::open(directory)?;
    let mut store = Store::new(starting_at(plan, serials.known()));
    if load_first(&mut store, &signals)? == First::Ended {
        return Ok(ExitCode::SUCCESS);
    }
    let snapshot = store.snapshot()?;
    if !generations::report(&generations::test(&snapshot, store.plan())) {
        return Ok(ExitCode::from(FAILURE));
    }
    serials.keep(&store).context("state-directory")?;
    let mut generations = Generations::new(config, store, snapshot, serials);
    let running = bound.run(generations.published(), None)?;
    welcome::say(&running, &generations.published().load());
    notifier.ready();
    wait(&mut generations, &running, &signals);
    tracing::info!("ending: answering what has arrived");
    notifier.stopping();
    running.shutdown();
    Ok(ExitCode::SUCCESS)
}

/// How the first load came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Whole,
    /// A signal to end came before the first answer.
    Ended,
}

/// Loads everything; what could not be loaded is said, each in its line.
fn load_first(store: &mut Store, signals: &Receiver<Signal>) -> anyhow::Result<First> {
    let wants_end = || signals.try_iter().any(|signal| signal == Signal::Terminate);
    let mut was_ended = false;
    let loaded = load::load(store, || {
        was_ended = wants_end();
        was_ended
    });
    if was_ended || wants_end() {
        return Ok(First::Ended);
    }
    let mut failures = Vec::new();
    for timed in loaded {
        generations::log(store.plan(), &timed);
        if let Err(error) = timed.event.result {
            let name = &store.plan().datasets[timed.event.dataset].name;
            failures.push(anyhow!("dataset {name}: {error}"));
        }
    }
    let Some(last) = failures.pop() else { return Ok(First::Whole) };
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Err(last)
}

/// Does what signals ask for, until one asks for the end.
fn wait(generations: &mut Generations, running: &Running, signals: &Receiver<Signal>) {
    while let Ok(signal) = signals.recv() {
        match signal {
            Signal::Terminate => return,
            Signal::Hangup => {
                if let Err(error) = running.reload_certificate() {
                    tracing::error!("certificate not loaded, the one before stays: {error}");
                }
                generations.renew();
            }
            Signal::User1 | Signal::User2 => tracing::debug!("{signal:?} means nothing here"),
        }
    }
}

/// The plan with serials that are never below those of an earlier run.
fn starting_at(mut plan: Plan, known: &HashMap<Name, u32>) -> Plan {
    for zone in &mut plan.zones {
        zone.spec.least_serial = known.get(&zone.spec.apex.to_lowercase()).copied().unwrap_or(0);
    }
    plan
}

fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// One line a change of state, and nothing that a client can cause.
const DEFAULT_FILTER: &str = "info,hickory_server=warn,hickory_proto=error";
