//! The drop-in for rbldnsd: its command line, files, signals, messages, query log and statistics.
//!
//! [`run`] is the whole program: it reads the options, binds, gives up privileges, loads, goes into the background, and
//! serves until it is told to end. Invariant: that order, which is rbldnsd's, holds: nothing of a list file is read with
//! privileges, and whoever starts the program learns from its exit code whether every zone is served, unless `-q` says
//! that it may not be. What was served once stays served when its files become unreadable.
//!
//! It decides no answer: where those differ from rbldnsd's, the difference is the answer's or the dataset's.

mod addresses;
mod announce;
mod dump;
mod log;
mod options;
mod serve;
mod specs;
mod statistics;
mod time;
mod usage;

pub(crate) use usage::USAGE;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use nix::unistd::{Uid, User, daemon, dup2_stderr, dup2_stdin, dup2_stdout};
use tracing::level_filters::LevelFilter;

use crate::reload::Plan;
use crate::server::notify::Notifier;
use crate::server::privileges::{ConfineError, Confinement, confine, create_no_link};
use crate::server::{self, Listen};
use addresses::AddressError;
use announce::show_cause;
use log::Log;
use options::{OptionError, Options, Request};
use serve::Service;
use specs::SpecError;

/// A command line that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct CommandLineError(#[from] Wrong);

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("-h asks for nothing to be served")]
    Help,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("unable to bind to {0}")]
    Server(#[from] server::Error),
    #[error("daemon should not run as root, specify -u option")]
    Root,
    #[error(transparent)]
    Confine(#[from] ConfineError),
    #[error("unable to write pidfile: {}", show_cause(.0))]
    PidFile(io::Error),
    #[error("zone loading errors, aborting")]
    Loading,
    #[error("unable to go into the background: {}", show_cause(.0))]
    Background(io::Error),
    #[error("unable to start: {0}")]
    Start(io::Error),
    #[error("zone {0}")]
    Zone(#[from] crate::zone::ZoneError),
    #[error("writing to stdout: {}", show_cause(.0))]
    Output(io::Error),
}

/// What a command line asks to be served, for those who answer without sockets of their own.
///
/// # Errors
///
/// A command line that [`run`] would not follow either.
pub fn plan(arguments: impl Iterator<Item = OsString>) -> Result<Plan, CommandLineError> {
    match options::parse(arguments).map_err(Wrong::Options)? {
        Request::Serve(options) => Ok(specs::plan(&options, &[]).map_err(Wrong::Spec)?),
        Request::Help => Err(Wrong::Help.into()),
    }
}

/// Runs as rbldnsd does, with these arguments; the program's name is not among them.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut options = match options::parse(arguments) {
        Ok(Request::Serve(options)) => options,
        Ok(Request::Help) => {
            // a closed pipe is no reason to fail
            let _ = io::stdout().lock().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            Log::foreground().error(error);
            return ExitCode::FAILURE;
        }
    };
    // a service manager that waits to be told watches the process it started
    options.foreground |= Notifier::is_awaited();
    let log = if options.foreground { Log::foreground() } else { Log::background(options.facility) };
    match serve(&options, &log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log.error(error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal ends it.
fn serve(options: &Options, log: &Log) -> Result<(), StartError> {
    // what the server has to say goes the same way as everything else; a second call in one process is of no use
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).without_time();
    let subscriber = subscriber.with_target(false).with_level(false).with_max_level(LevelFilter::WARN);
    let _ = subscriber.try_init();
    // before anything is opened: a mistake in a zone spec needs no privileges to be found
    let plan = specs::plan(options, &[])?;
    let confinement = |user| Confinement { user, root: options.root.clone(), directory: options.directory.clone() };
    if options.dump {
        confine(&confinement(user(options)?))?;
        // for scripts stdout has the zones alone
        return dump::dump(&plan, serve::now(), log);
    }
    let addresses = addresses::addresses(&options.bind, options.family)?;
    let user = user(options)?;
    let listen = Listen { plain: addresses, udp_workers: workers(), ..Listen::default() };
    let bound = server::bind(&listen)?;
    for address in bound.addresses() {
        log.info(format_args!("listening on {}/{}", address.ip(), address.port()));
    }
    let own: Vec<IpAddr> = bound.addresses().iter().map(|address| address.ip()).collect();
    let own: Vec<IpAddr> = own.into_iter().filter(|address| !address.is_unspecified()).collect();
    let plan = specs::plan(options, &own)?;
    let notifier = Notifier::from_env().map_err(StartError::Start)?;
    let mut pid_file = options.pid_file.as_deref().map(open_pid_file).transpose()?;
    let null = (!options.foreground).then(open_null).transpose().map_err(StartError::Background)?;
    confine(&confinement(user))?;

    let mut service = Service::new(plan, options, log.clone());
    if !options.quick && !service.load()? {
        return Err(StartError::Loading);
    }
    if let Some(null) = null {
        // no thread has been started yet: a fork would leave it behind
        daemon(true, true).map_err(|why| StartError::Background(why.into()))?;
        for redirect in [dup2_stdin, dup2_stdout, dup2_stderr] {
            redirect(null.as_fd()).map_err(|why| StartError::Background(why.into()))?;
        }
        log.detach();
    }
    if let Some(file) = &mut pid_file {
        writeln!(file, "{}", std::process::id()).map_err(StartError::PidFile)?;
    }
    if options.quick {
        service.load()?;
    }
    service.run(bound, &notifier)?;
    if let Some(file) = pid_file {
        // a stale number would be worse than none; the file itself may be out of reach by now
        let _ = file.set_len(0);
    }
    Ok(())
}

/// The account to become: started as root it is one without privileges.
fn user(options: &Options) -> Result<Option<String>, StartError> {
    let Some(user) = &options.user else {
        return Ok(Uid::effective().is_root().then(|| DEFAULT_USER.to_owned()));
    };
    let (name, group) = user.split_once(':').map_or((&**user, None), |(name, group)| (name, Some(group)));
    let number = name.parse().ok().map(Uid::from_raw);
    let account = match number {
        Some(uid) => User::from_uid(uid),
        None => User::from_name(name),
    };
    let account = account.ok().flatten();
    if number.or_else(|| account.as_ref().map(|account| account.uid)).is_some_and(Uid::is_root) {
        return Err(StartError::Root);
    }
    // a number without an account names its group too
    let is_bare_number = number.is_some() && account.is_none() && group.is_none();
    Ok(Some(if is_bare_number { format!("{name}:{name}") } else { user.clone() }))
}

/// Opened while it is allowed, and written when the number is known.
fn open_pid_file(path: &Path) -> Result<File, StartError> {
    create_no_link(path).map_err(StartError::PidFile)
}

/// Opened before a chroot, in which there may be none.
fn open_null() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/null")
}

/// Threads for each address: rbldnsd has one, and hosts of lists are rarely large.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS)
}

/// The account that distributions make for it.
const DEFAULT_USER: &str = "rbldns";
/// The most threads for each address.
const MAX_WORKERS: usize = 4;
