//! The command line: one file a subcommand.
//!
//! Invariant: a command that fails says so in one line on stderr, `error: what: why`, and exits 2; other codes are
//! named by the command. A reader that closes the pipe early is no failure.
//!
//! What a command does is mostly elsewhere: here are arguments, order, and what is printed.

mod accept;
mod add;
mod ask;
mod check;
mod compile;
mod control;
mod diff;
mod doctor;
mod dump;
mod evaluate;
mod evidence;
mod inputs;
mod judge;
mod load;
mod lookup;
mod pages;
mod reload;
mod remove;
mod report;
mod requests;
mod rows;
mod selftest;
mod serve;
mod status;
#[cfg(fuzzing)]
pub mod strangers;
mod terms;
mod top;
mod withdraw;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::EXAMPLE;
use crate::zone::UnixTime;

#[derive(Debug, Parser)]
#[command(name = "infamy", version, about, max_term_width = 100, after_help = CONFIG_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers queries in the foreground until SIGTERM or SIGINT; SIGHUP reloads
    Serve(serve::Arguments),
    /// Reads configuration and all data, tests every zone, prints every problem
    Check(check::Arguments),
    /// Says what every zone answers about a subject, and why; exits 1 if none lists it
    Lookup(lookup::Arguments),
    /// Says who said what of a subject, and when; exits 1 if nobody said anything
    Evidence(evidence::Arguments),
    /// Says who asked on the lookup page for a removal; exits 1 if nobody did
    Requests(requests::Arguments),
    /// Prints a zone as a standard master file, for BIND, NSD and Knot
    Dump(dump::Arguments),
    /// Makes one file of a dataset's lists, which is opened without reading it
    Compile(compile::Arguments),
    /// Judges blocks of addresses by the evidence of their neighborhood
    Judge(judge::Arguments),
    /// Measures how well judgements of the past foresaw what came after them
    Evaluate(evaluate::Arguments),
    /// Has a running server read what has changed
    Reload(reload::Arguments),
    /// Says how a running server is
    Status(status::Arguments),
    /// Shows what a running server is asked, as it goes; q ends it
    Top(top::Arguments),
    /// Has a running server list subjects at once
    Add(add::Arguments),
    /// Has a running server list subjects no more, whatever its files say
    Remove(remove::Arguments),
    /// Has a running server forget changes that were made live
    Withdraw(withdraw::Arguments),
    /// Tells a running server what was seen of subjects
    Report(report::Arguments),
    /// Has a running server take a load that it refused for its size
    Accept(accept::Arguments),
    /// Says what changed between generations of a running server
    Diff(diff::Arguments),
    /// Finds what breaks a list behind a resolver; exits 1 if something does
    Doctor(doctor::Arguments),
    /// Prints the annotated configuration
    Example,
    /// Writes manual pages and shell completions into a folder
    Pages(pages::Arguments),
    /// Takes the command line of rbldnsd; so does the program when it is called `rbldnsd`
    #[command(disable_help_flag = true)]
    Rbldnsd {
        /// The arguments of rbldnsd
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs the program with its arguments, its own name being the first.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // its options are its own: they do not go through the parser of ours
    let called = arguments.first().and_then(|name| Path::new(name).file_name());
    let names = [called, arguments.get(1).map(OsString::as_os_str)];
    if let Some(at) = names.iter().position(|name| name.is_some_and(|name| name == "rbldnsd")) {
        return crate::rbldnsd::run(arguments.into_iter().skip(at + 1));
    }
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(error) => return explain(&error),
    };
    let result = match command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Lookup(arguments) => lookup::run(&arguments),
        Command::Evidence(arguments) => evidence::run(&arguments),
        Command::Requests(arguments) => requests::run(&arguments),
        Command::Dump(arguments) => dump::run(&arguments),
        Command::Compile(arguments) => compile::run(&arguments),
        Command::Judge(arguments) => judge::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Reload(arguments) => reload::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Add(arguments) => add::run(&arguments),
        Command::Remove(arguments) => remove::run(&arguments),
        Command::Withdraw(arguments) => withdraw::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Accept(arguments) => accept::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Example => print(EXAMPLE),
        Command::Pages(arguments) => pages::run(&arguments),
        Command::Rbldnsd { arguments } => return crate::rbldnsd::run(arguments.into_iter()),
    };
    result.unwrap_or_else(|error| fail(&error))
}

/// Says what is wrong with the arguments, or prints what they ask of the program itself.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        return error.print().map_or_else(|error| fail(&error.into()), |()| ExitCode::SUCCESS);
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // help instead of a command is what clap gives where there is none
    let line = if line.starts_with("error:") { line } else { "error: no command: see `infamy help`".to_owned() };
    eprintln!("{line}");
    ExitCode::from(FAILURE)
}

/// Says why the command failed; a closed pipe is the reader's decision.
fn fail(error: &anyhow::Error) -> ExitCode {
    let is_broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken_pipe)) {
        return ExitCode::SUCCESS;
    }
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // an error whose text ends with its cause's says it once
        if !text.ends_with(&cause) {
            text += if text.is_empty() { "" } else { ": " };
            text += &cause;
        }
    }
    eprintln!("error: {text}");
    ExitCode::from(FAILURE)
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A number with what it counts.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The configuration to read: the one that is named, or the first of the usual ones that is there.
fn config_path(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    let found = USUAL_CONFIGS.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_owned).ok_or_else(|| {
        anyhow::anyhow!(
            "{}: no such file, and none is named; `infamy example` prints one to begin with",
            USUAL_CONFIGS.join(" or ")
        )
    })
}

/// The time, to the second.
fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs() as i64))
}

/// The exit code of every error.
const FAILURE: u8 = 2;
/// Where the configuration is looked for if none is named.
const USUAL_CONFIGS: [&str; 2] = ["infamy.toml", "/etc/infamy/infamy.toml"];
const CONFIG_HELP: &str = "CONFIG is infamy.toml in the working folder if none is named, else /etc/infamy/infamy.toml.";
