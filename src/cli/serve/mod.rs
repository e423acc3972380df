//! `infamy serve`: the server, in the foreground.
//!
//! The order is that of the daemons that people trust: configuration, sockets, privileges, data, test, publish, run. Only
//! compiled files are verified last, behind the first answers, as that reads all of them.
//! Invariant: what is wrong before the first answer ends the program with one line for each thing; what is wrong later
//! is logged, and the last good data goes on being served.

mod generations;
mod serials;
mod welcome;

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use super::{FAILURE, load};
use crate::config::Config;
use crate::dnsxl::Name;
use crate::reload::{Plan, Store};
use crate::server::notify::Notifier;
use crate::server::privileges::{PidFile, confine};
use crate::server::signals::{Signal, forward};
use crate::server::{self, Running};
use generations::{Generations, Unverified};
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
    let (sender, events) = mpsc::channel();
    forward::<Happening>(sender.clone()).context("signals")?;
    let mut serials = Serials::open(directory)?;
    let mut store = Store::new(starting_at(plan, serials.known()));
    if load_first(&mut store, &events)? == First::Ended {
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
    generations.verify(move |failed| drop(sender.send(Happening::Unverified(failed)))).context("verification")?;
    wait(&mut generations, &running, &events);
    tracing::info!("ending: answering what has arrived");
    notifier.stopping();
    running.shutdown();
    Ok(ExitCode::SUCCESS)
}

/// What the server has to look to while it serves.
enum Happening {
    Signal(Signal),
    /// A compiled file that is served is not as it was written.
    Unverified(Unverified),
}

impl From<Signal> for Happening {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

/// How the first load came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Whole,
    /// A signal to end came before the first answer.
    Ended,
}

/// Loads everything; what could not be loaded is said, each in its line.
fn load_first(store: &mut Store, events: &Receiver<Happening>) -> anyhow::Result<First> {
    let wants_end = || events.try_iter().any(|event| matches!(event, Happening::Signal(Signal::Terminate)));
    let mut was_ended = false;
    let loaded = load::open(store, || {
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

/// Does what signals ask for, until one asks for the end, and takes out what proves to be corrupt.
fn wait(generations: &mut Generations, running: &Running, events: &Receiver<Happening>) {
    loop {
        let signal = match events.recv_timeout(GLANCE) {
            Ok(Happening::Signal(signal)) => signal,
            Ok(Happening::Unverified(failed)) => {
                generations.withdraw(&failed);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {
                generations.judge_again();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
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

/// The plan of a configuration with the serials that the server last gave its zones.
pub(super) fn plan_as_served(config: &Config) -> anyhow::Result<Plan> {
    let serials = Serials::open(config.state_directory.clone())?;
    Ok(starting_at(config.plan.clone(), serials.known()))
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

/// How often it is looked whether verdicts are to be judged again: the age of a report by which one can be missed.
const GLANCE: Duration = Duration::from_secs(60);
/// One line a change of state, and nothing that a client can cause.
const DEFAULT_FILTER: &str = "info,hickory_server=warn,hickory_proto=error";
