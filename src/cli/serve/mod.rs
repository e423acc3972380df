//! `infamy serve`: the server, in the foreground.
//!
//! The order is that of the daemons that people trust: configuration, sockets, privileges, data, test, publish, run. Only
//! compiled files are verified last, behind the first answers, as that reads all of them.
//! Invariant: what is wrong before the first answer ends the program with one line for each thing; what is wrong later
//! is logged, and the last good data goes on being served.

mod actor;
mod audit;
mod background;
mod board;
mod cause;
mod compare;
mod desk;
mod generations;
pub(super) mod live;
mod loads;
mod logs;
mod scrape;
mod state;
mod visitors;
mod watch;
mod welcome;

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use anyhow::{Context, anyhow, bail};
use nix::sys::stat::{Mode, umask};
use tracing_subscriber::EnvFilter;

use super::{FAILURE, load, now, terms};
use crate::config::Config;
use crate::dnsxl::Name;
use crate::evidence::store::{EvidenceLog, Journal, SqliteLog};
use crate::http;
use crate::reload::{Plan, Store};
use crate::server;
use crate::server::Observer;
use crate::server::notify::Notifier;
use crate::server::privileges::{PidFile, confine};
use crate::server::signals::{Signal, forward};
use actor::{Actor, Happening, Pending};
use audit::{Audit, Notes};
use board::{Behind, Board};
use cause::Cause;
use desk::Desk;
use generations::Generations;
use live::Live;
use loads::{Loads, Request, Task};
use scrape::Measured;
use state::{Lasting, State};
use visitors::Visitors;
use watch::Watcher;

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
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
    // clients, and whoever asked for a removal, are in what is written from here on
    umask(Mode::S_IWGRP | Mode::S_IRWXO);
    let bound = server::bind(&config.listen).context("listen")?;
    // before privileges are given up, as its port may be a low one
    let page = http::page::bind(&config.page).context("[page]")?;
    let plan = config.confined_plan()?;
    let directory = config.state_directory.as_deref().map(|directory| config.confined(directory)).transpose()?;
    confine(&config.confinement)?;
    let control = confined_control(&config)?;
    let (sender, events) = mpsc::channel();
    forward::<Happening>(sender.clone()).context("signals")?;
    let mut state = State::open(directory.clone())?;
    let mut store = Store::new(starting_at(plan, state.serials()));
    if load_first(&mut store, &state, &sender, &events)? == First::Ended {
        return Ok(ExitCode::SUCCESS);
    }
    terms::unheeded(store.plan(), &store).iter().for_each(|unheeded| tracing::warn!("{unheeded}"));
    let (log, kept) = match &control.store {
        Some(path) => {
            let mut log = SqliteLog::open(path).context("[control] store")?;
            let kept = log.live_changes(now().0).context("[control] store")?;
            (Some(log), kept)
        }
        None => (None, Vec::new()),
    };
    let mut live = Live::begin(&store, kept);
    live.lay_all(&mut store).context("live changes")?;
    let snapshot = store.snapshot()?;
    if !generations::report(&generations::test(&snapshot, store.plan())) {
        return Ok(ExitCode::from(FAILURE));
    }
    let interface = http::bind(&control.listen).context("[control]")?;
    state.next_generation(&store, Lasting::Power);
    let watcher = Watcher::start(&config, &store, sender.clone()).context("starting a thread")?;
    let watch = logs::start(&config)?;
    let of_page = config.page.clone();
    let generations = Generations::new(config, store, snapshot, state).context("starting a thread")?;
    let observer = watch.clone().map(|watch| watch as Arc<dyn Observer>);
    let running = bound.run(generations.published(), observer)?;
    welcome::say(&running, &generations.published().load());
    welcome::warn_of_expiry(running.certificates(), now());
    notifier.ready();
    let loads = Loads::new(sender.clone());
    let failing = sender.clone();
    generations.verify(move |failed| drop(failing.send(Happening::Unverified(failed)))).context("verification")?;
    let behind = Arc::new(Behind::default());
    let journal = log.map(|log| open_journal(log, sender.clone(), behind.clone())).transpose()?;
    let spellings = directory.map(|directory| directory.join(SPELLINGS));
    let audit = Audit::start(journal.as_ref(), spellings).context("starting a thread")?;
    let of_start = (0..generations.store().plan().datasets.len()).filter_map(|index| generations.at_start(index));
    audit.spell(of_start.collect());
    audit.keep(&generations, &Cause::Start.into(), Notes::default(), |name| live.listings(name, generations.store()));
    let measured = Measured::new(&running, watch.clone());
    let board =
        Arc::new(Board::new(&generations, &live, loads.progress(), control.store.zip(journal), behind, measured));
    let page = open_page(page, &of_page, &board)?;
    let desk = Arc::new(Desk::new(board.clone(), sender.clone()));
    let interface = (!control.listen.is_off()).then(|| interface.run(desk)).transpose().context("[control]")?;
    welcome::say_control(interface.as_ref());
    welcome::say_page(page.as_ref());
    let pending = Pending::default();
    let mut actor = Actor {
        generations,
        live,
        board,
        audit,
        running: &running,
        watch,
        loads,
        watcher,
        notifier: &notifier,
        sender,
        pending,
    };
    actor.run(&events);
    tracing::info!("ending: answering what has arrived");
    notifier.stopping();
    // who is asking hears that the server is ending
    drop((actor, events));
    drop((interface, page));
    running.shutdown();
    Ok(ExitCode::SUCCESS)
}

/// Opens the lookup page, if there is to be one.
fn open_page(
    bound: http::page::Bound,
    listen: &http::page::Listen,
    board: &Arc<Board>,
) -> anyhow::Result<Option<http::page::Running>> {
    if listen.is_off() {
        return Ok(None);
    }
    let visitors = Visitors::new(board.clone());
    let requested = visitors.requested(listen.cooldown, http::page::MAX_REQUESTED).context("[control] store")?;
    Ok(Some(bound.run(Arc::new(visitors), requested).context("[page]")?))
}

/// Keeps events from now on, each of which comes to the actor once it is durable.
fn open_journal(log: SqliteLog, sender: Sender<Happening>, behind: Arc<Behind>) -> anyhow::Result<Arc<Journal>> {
    let subscriber = move |numbered| {
        behind.fall();
        // without a receiver the server is ending
        drop(sender.send(Happening::Kept(Box::new(numbered))));
    };
    Ok(Arc::new(Journal::open(Box::new(log), subscriber).context("starting a thread")?))
}

/// Where the control interface is, and where events are kept, as both are seen after a chroot.
struct ControlPaths {
    listen: http::Listen,
    store: Option<PathBuf>,
}

fn confined_control(config: &Config) -> anyhow::Result<ControlPaths> {
    let inside = |path: &PathBuf| config.confined(path);
    let mut listen = config.control.clone();
    listen.socket = listen.socket.as_ref().map(inside).transpose()?;
    listen.tokens = listen.tokens.as_ref().map(inside).transpose()?;
    Ok(ControlPaths { listen, store: config.store.as_ref().map(inside).transpose()? })
}

/// How the first load came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    Whole,
    /// A signal to end came before the first answer.
    Ended,
}

/// Loads everything; what could not be loaded is said, each in its line.
fn load_first(
    store: &mut Store,
    state: &State,
    sender: &Sender<Happening>,
    events: &Receiver<Happening>,
) -> anyhow::Result<First> {
    let request = Request::all(Cause::Start);
    loads::start(Task::First(store.clone()), request, Default::default(), sender.clone())
        .context("starting a thread")?;
    let outcome = loop {
        match events.recv().context("signals")? {
            Happening::Signal(Signal::Terminate) => return Ok(First::Ended),
            Happening::Loaded(outcome) => break outcome,
            // there is nothing yet that anything else could be about
            _ => {}
        }
    };
    let Some(brought) = outcome.brought else { bail!("the load ended by a panic") };
    let mut failures = Vec::new();
    for event in store.take(brought.attempts) {
        let spec = &store.plan().datasets[event.dataset];
        match event.result {
            Err(error) => failures.push(anyhow!("dataset {}: {error}", spec.name)),
            Ok(_) => generations::log(store.plan(), &event),
        }
        // at a start nothing is there that could stay, so that it is told and not refused
        let entries = state.entries(&spec.name).zip(store.entries(event.dataset));
        if let Some(Err(why)) = entries.map(|(before, after)| spec.bounds.check(before, after)) {
            tracing::warn!(name = %spec.name, "served, and would be refused at a reload: when last served it had {why}");
        }
    }
    let Some(last) = failures.pop() else { return Ok(First::Whole) };
    failures.iter().for_each(|failure| eprintln!("error: {failure}"));
    Err(last)
}

/// The plan of a configuration with the serials that the server last gave its zones.
pub(super) fn plan_as_served(config: &Config) -> anyhow::Result<Plan> {
    let state = State::open(config.state_directory.clone())?;
    Ok(starting_at(config.plan.clone(), state.serials()))
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
const DEFAULT_FILTER: &str = "info,hickory_server=warn,hickory_proto=error,h2=error,quinn=error,quinn_proto=error";
/// The folder in the state directory with the names of lists as they were spelt last.
const SPELLINGS: &str = "spelt";
const HELP: &str = "\
SIGHUP reads what changed: lists, configuration, certificates. SIGTERM and SIGINT end the server once what has arrived is \
answered.

Exits 0 after a signal, 2 with the reason if it cannot serve; infamy check tells most of them beforehand, and nothing about ports. NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS \
are followed as systemd means them; RUST_LOG sets what is logged.

CONFIG is explained in infamy.toml(5); infamy example prints the same.";
