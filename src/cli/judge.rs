//! `infamy judge`: evidence goes in, verdicts on blocks come out.
//!
//! Invariant: stdout has disjoint prefixes and nothing else, in an order that depends on the verdicts alone; lines of
//! files that were left out are told on stderr and do not change the exit code.

use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::inputs::{Inputs, parse_time};
use super::load::announcing;
use crate::evidence::{Family, Written};
use crate::neighborhood::{Class, Judgement, Level, Parameters, Previous, Run, prefixes};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    /// The judgement before, as it was printed; its states are left later than they are entered
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// The date or time up to which evidence is read
    #[arg(long, value_name = "DATE", value_parser = parse_time)]
    at: Written,
    /// Prints every block whose rate is above the mean, in a state or not
    #[arg(long)]
    all: bool,
    /// How a verdict is printed
    #[arg(long, value_enum, default_value = "tsv")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Columns, parted by tabs
    Tsv,
    /// JSON lines, which say more
    Json,
}

/// Judges, and prints the verdicts.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let at = arguments.at.end();
    let routes = Arc::new(announcing("reading routes", || arguments.inputs.read_routes())?);
    let guards = Arc::new(arguments.inputs.read_guards(false)?);
    let evidence = announcing("reading evidence", || arguments.inputs.read_evidence(at))?;
    let previous = Arc::new(arguments.previous.as_deref().map(Previous::open).transpose()?.unwrap_or_default());
    let parameters = Parameters::default();
    let runs = announcing("judging", || {
        let judgement = Judgement::judge(&evidence, Family::Send, &routes, &guards, &parameters, at, &previous);
        judgement.runs(arguments.all)
    });
    print(arguments, &runs)?;
    Ok(ExitCode::SUCCESS)
}

/// A prefix with its verdict, as it is printed.
#[derive(Debug, Serialize)]
struct Row {
    prefix: String,
    state: &'static str,
    score: u8,
    lift: f64,
    rate: f64,
    reports: u32,
    days: u32,
    groups: u32,
    asn: u32,
    level: Level,
    class: Class,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

fn print(arguments: &Arguments, runs: &[Run]) -> anyhow::Result<()> {
    // the order of the runs is that of their addresses, and sorting is stable
    let mut order: Vec<&Run> = runs.iter().collect();
    order.sort_by(|a, b| b.lift.total_cmp(&a.lift));
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    if let Format::Tsv = arguments.format {
        writeln!(out, "#prefix\tstate\tscore\tlift\trate\treports\tdays\tgroups\tasn")?;
    }
    for run in order {
        for (first, length) in prefixes(run.first, run.last) {
            let row = row(run, first, length);
            match arguments.format {
                Format::Tsv => {
                    let Row { prefix, state, score, lift, rate, reports, days, groups, asn, .. } = row;
                    writeln!(
                        out,
                        "{prefix}\t{state}\t{score}\t{lift:.2}\t{rate:.6}\t{reports}\t{days}\t{groups}\t{asn}"
                    )?;
                }
                Format::Json => {
                    serde_json::to_writer(&mut out, &row)?;
                    out.write_all(b"\n")?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn row(run: &Run, first: u32, length: u8) -> Row {
    let part = 2f64.powi(32 - i32::from(length)) / run.size() as f64;
    Row {
        prefix: format!("{}/{length}", Ipv4Addr::from(first)),
        state: run.state.name(),
        score: run.score(),
        lift: run.lift,
        rate: run.rate * part,
        reports: run.counts.addresses,
        days: run.counts.days(),
        groups: run.counts.groups(),
        asn: run.asn,
        level: run.level,
        class: run.class,
        last: run.counts.last().map(|time| time.to_string()),
    }
}

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;
