//! Runs infamy, Debian's rbldnsd, NSD, Knot and an echo with the same data, one after the other in interleaved rounds, and
//! prints what a query costs each of them as a table in Markdown.
//!
//! What is compared is the processor time of the server for each query that it answered, as the kernel accounts it: on two
//! shared processors, rates say more about the neighbours. Servers run on processor 0, the load on processor 1. The echo
//! receives and sends like the fastest of them, with replies of the same mean size, and does nothing in between: it is the
//! floor. Ratios are taken within a round, and their median over the rounds is what counts.
//!
//! Before anything is measured, all servers are asked the same questions and must give the same answers.

mod blast;
mod echo;
mod lists;
mod servers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use blast::Load;
use servers::{Running, Setup};

/// Compares what a query costs servers of the same lists.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// The infamy to measure: its release build.
    #[arg(long, default_value = "target/release/infamy")]
    infamy: PathBuf,
    /// Addresses listed, and as many domains.
    #[arg(long, default_value_t = 1_000_000)]
    listings: u32,
    /// Leaves the domains out, for many addresses.
    #[arg(long)]
    ip4_only: bool,
    /// Different questions.
    #[arg(long, default_value_t = 1_000_000)]
    queries: u32,
    /// The share of questions about what is listed, in percent.
    #[arg(long, default_value_t = 20)]
    listed: u32,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long a server is asked in a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Servers, the first being what the others are compared with; those that are not installed are left out.
    #[arg(long, value_delimiter = ',', default_value = "echo,rbldnsd,infamy,infamy-rbldnsd,nsd,knot")]
    servers: Vec<String>,
}

/// Parts that this program runs of itself, each in a process of its own.
#[derive(Subcommand)]
enum Part {
    /// The floor: a server without DNS.
    Echo {
        /// Where to listen.
        address: SocketAddr,
        /// Bytes of a reply at least.
        size: usize,
    },
    /// The load, for one server.
    Blast {
        /// Whom to ask.
        address: SocketAddr,
        /// Questions, `name type` a line.
        questions: PathBuf,
        /// For how long.
        seconds: u64,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Echo { address, size }) => echo::serve(address, size),
        Some(Part::Blast { address, questions, seconds }) => {
            let questions = blast::read_questions(&questions)?;
            println!("{}", blast::run(address, &questions, Duration::from_secs(seconds))?);
            Ok(())
        }
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let infamy = arguments
        .infamy
        .canonicalize()
        .with_context(|| format!("{}: cargo build --release makes it", arguments.infamy.display()))?;
    eprintln!("making lists of {} …", arguments.listings);
    let shape = lists::Shape {
        listings: arguments.listings,
        with_names: !arguments.ip4_only,
        questions: arguments.queries,
        percent_listed: arguments.listed,
    };
    lists::make(folder.path(), &shape)?;
    let setup = Setup { folder: folder.path().into(), infamy, with_names: shape.with_names };
    let questions = folder.path().join("questions");
    let sample = blast::read_questions(&questions)?;
    let sample = &sample[..sample.len().min(SAMPLE)];

    let mut running: Vec<Running> = Vec::new();
    let mut answers = None;
    for name in arguments.servers.iter().filter(|name| *name != "echo") {
        eprintln!("starting {name} …");
        let Some(server) = servers::start(name, &setup)? else {
            eprintln!("{name} is not installed: left out");
            continue;
        };
        let own = blast::ask_each(server.address, sample).with_context(|| format!("asking {name}"))?;
        let (first, others) = answers.get_or_insert_with(|| (name.clone(), own.clone()));
        let count = others.iter().zip(&own).filter(|(other, own)| other.says != own.says).count();
        ensure!(count == 0, "{name} and {first} answer {count} of {SAMPLE} questions differently: nothing to compare");
        running.push(server);
    }
    let (_, answers) = answers.context("no server to compare")?;
    let size = answers.iter().map(|answer| answer.bytes).sum::<usize>() / answers.len();
    if let Some(at) = arguments.servers.iter().position(|name| name == "echo") {
        running.insert(at.min(running.len()), servers::start_echo(size)?);
    }

    let mut loads: Vec<Vec<Load>> = running.iter().map(|_| Vec::new()).collect();
    for round in 0..arguments.rounds {
        eprintln!("round {} of {} …", round + 1, arguments.rounds);
        // another one begins every time, so that none has always the same before it
        for step in 0..running.len() {
            let at = (step + round) % running.len();
            let before = running[at].cpu();
            let load = blast_from_processor_1(running[at].address, &questions, arguments.seconds)?;
            let nanoseconds = (running[at].cpu() - before) as f64 / load.answered.max(1) as f64;
            loads[at].push(Load { nanoseconds, ..load });
        }
    }
    print!("{}", table(arguments, size, &running, &loads));
    Ok(())
}

fn blast_from_processor_1(address: SocketAddr, questions: &std::path::Path, seconds: u64) -> Result<Load> {
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(std::env::current_exe()?).arg("blast").arg(address.to_string());
    let output = command.arg(questions).arg(seconds.to_string()).output().context("taskset, of util-linux")?;
    ensure!(output.status.success(), "the load ended with {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().parse()
}

/// The table, with what it was made on and how.
fn table(arguments: &Arguments, size: usize, running: &[Running], loads: &[Vec<Load>]) -> String {
    let mut out = format!(
        "{} addresses{}, {} different questions, {} % about what is listed; {} rounds of {} s; replies of {size} bytes; {}; {}\n\n\
         | server | ns a query | of {} | queries/s | p99 µs | lost | resident MB |\n|---|---|---|---|---|---|---|\n",
        arguments.listings,
        if arguments.ip4_only { String::new() } else { format!(" and {} domains", arguments.listings) },
        arguments.queries,
        arguments.listed,
        arguments.rounds,
        arguments.seconds,
        servers::machine(),
        servers::today(),
        running[0].name,
    );
    for (server, own) in running.iter().zip(loads) {
        let of = |pick: fn(&Load) -> f64| median(own.iter().map(pick));
        let ratio = median(own.iter().zip(&loads[0]).map(|(own, first)| own.nanoseconds / first.nanoseconds));
        let lost: u64 = own.iter().map(|load| load.lost).sum();
        out += &format!(
            "| {} | {:.0} | {ratio:.2} | {:.0} | {:.0} | {lost} | {} |\n",
            server.name,
            of(|load| load.nanoseconds),
            of(|load| load.rate),
            of(|load| load.p99),
            server.resident() >> 20,
        );
    }
    out
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Questions that all servers must answer alike before anything is measured.
const SAMPLE: usize = 20_000;
