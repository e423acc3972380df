//! `infamy judge`: evidence goes in, verdicts on blocks come out.
//!
//! Invariant: stdout has disjoint prefixes and nothing else, in an order that depends on the verdicts alone; lines of
//! files that were left out are told on stderr and do not change the exit code.

use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::load::announcing;
use crate::evidence::{self, Collector, Evidence, Family, Problems, Time, Written};
use crate::neighborhood::{
    Class, Guards, GuardsBuilder, Judgement, Level, Parameters, Previous, Routes, RoutesBuilder, Run, prefixes,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Announced prefixes: `prefix <TAB> asn`, iptoasn, pfx2as, CSV or MMDB
    #[arg(long, value_name = "FILE", required = true)]
    routes: Vec<PathBuf>,
    /// The history of a source's list: `subject <TAB> listed_on <TAB> removed_on`
    #[arg(long, value_name = "NAME=FILE")]
    history: Vec<Named>,
    /// A source's plain list as it stood on a date
    #[arg(long, value_name = "NAME@DATE=FILE")]
    list: Vec<Dated>,
    /// Reports: CSV with a header `time,source,subject,category[,weight]`, or JSON lines
    #[arg(long, value_name = "FILE")]
    reports: Vec<PathBuf>,
    /// Ranges that may not inherit from their neighbors: `cidr <TAB> category <TAB> source`
    #[arg(long, value_name = "FILE")]
    guards: Vec<PathBuf>,
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

/// `NAME=FILE`.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .filter(|(name, path)| !name.is_empty() && !path.is_empty())
            .ok_or("write NAME=FILE, the name being the source's")?;
        Ok(Self { name: name.to_owned(), path: path.into() })
    }
}

/// `NAME@DATE=FILE`.
#[derive(Clone, Debug)]
struct Dated {
    list: Named,
    date: Written,
}

impl FromStr for Dated {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "write NAME@DATE=FILE, the date being the list's".to_owned();
        let (name, path) = text.split_once('=').ok_or_else(form)?;
        let (name, date) = name.rsplit_once('@').ok_or_else(form)?;
        Ok(Self { list: Named::from_str(&format!("{name}={path}"))?, date: parse_time(date)? })
    }
}

fn parse_time(text: &str) -> Result<Written, String> {
    Written::parse(text.as_bytes())
        .ok_or_else(|| "write a date as 2026-07-12, or a time as 2026-07-12T10:00Z".to_owned())
}

/// Judges, and prints the verdicts.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let at = arguments.at.end();
    let routes = Arc::new(announcing("reading routes", || read_routes(arguments))?);
    let guards = Arc::new(read_guards(arguments)?);
    let evidence = announcing("reading evidence", || read_evidence(arguments, at))?;
    let previous = Arc::new(arguments.previous.as_deref().map(Previous::open).transpose()?.unwrap_or_default());
    let parameters = Parameters::default();
    let runs = announcing("judging", || {
        let judgement = Judgement::judge(&evidence, Family::Send, &routes, &guards, &parameters, at, &previous);
        judgement.runs(arguments.all)
    });
    print(arguments, &runs)?;
    Ok(ExitCode::SUCCESS)
}

fn read_routes(arguments: &Arguments) -> anyhow::Result<Routes> {
    let mut builder = RoutesBuilder::default();
    for path in &arguments.routes {
        builder.parse_file(path)?;
    }
    tell_skipped(&builder.skipped);
    Ok(builder.build())
}

fn read_guards(arguments: &Arguments) -> anyhow::Result<Guards> {
    let mut builder = GuardsBuilder::default();
    for path in &arguments.guards {
        builder.parse_file(path)?;
    }
    tell_skipped(&builder.skipped);
    Ok(builder.build())
}

fn tell_skipped(skipped: &crate::feed::Skipped) {
    skipped.lines.iter().for_each(|line| eprintln!("{line}"));
    let more = skipped.total - skipped.lines.len() as u64;
    if more > 0 {
        eprintln!("and {more} more lines that were left out");
    }
}

fn read_evidence(arguments: &Arguments, at: Time) -> anyhow::Result<Evidence> {
    let mut collector = Collector::default();
    let source = |collector: &mut Collector, name: &str| {
        collector.sources.find_or_add(name).ok_or_else(|| anyhow::anyhow!("source {name}: too many sources"))
    };
    for Named { name, path } in &arguments.history {
        let source = source(&mut collector, name)?;
        tell(&evidence::read_history(path, source, at, &mut collector)?);
    }
    for Dated { list, date } in &arguments.list {
        let source = source(&mut collector, &list.name)?;
        tell(&evidence::read_plain(&list.path, source, *date, at, &mut collector)?);
    }
    for path in &arguments.reports {
        tell(&evidence::read_reports(path, at, &mut collector)?);
    }
    Ok(collector.build())
}

fn tell(problems: &Problems) {
    let path = problems.path.display();
    problems.first.iter().for_each(|(line, error)| eprintln!("{path}:{line}: {error}"));
    let more = problems.total - problems.first.len() as u64;
    if more > 0 {
        eprintln!("{path}: and {more} more lines that were left out");
    }
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
