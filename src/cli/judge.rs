//! `infamy judge`: evidence goes in, verdicts on blocks come out.
//!
//! Invariant: stdout has disjoint prefixes and nothing else, in an order that depends on the verdicts alone; lines of
//! files that were left out are told on stderr and do not change the exit code.

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use super::load::{self, announcing};
use crate::config::Judging;
use crate::evidence::{self, Collector, Evidence, Family, Problems, Time, Written};
use crate::export::{VerdictFormat, write_verdicts};
use crate::neighborhood::{
    Class, Guards, GuardsBuilder, Judgement, Level, Previous, Routes, RoutesBuilder, Run, Run6, State, disjoint6,
    judge_units, prefixes, worse_of,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration: facts of sources, their files, routes, guards and the numbers of the method
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Announced prefixes: `prefix <TAB> asn`, iptoasn, pfx2as, CSV or MMDB
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
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
    /// Whose evidence: of those who send, of those who host, or the worse of both
    #[arg(long, value_enum, default_value = "both")]
    family: Families,
    /// The least state that is printed: watch, suspicious or bad
    #[arg(long, value_name = "STATE", value_parser = parse_state, conflicts_with = "all")]
    least: Option<State>,
    /// How a verdict is printed
    #[arg(long, value_enum, default_value = "tsv")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Families {
    Send,
    Host,
    Both,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Columns, parted by tabs
    Tsv,
    /// JSON lines, which say more
    Json,
    /// A prefix a line
    Cidr,
    /// Suricata's reputation list: prefix, category 1, and 1.27 times the score
    Iprep,
    /// rbldnsd's ip4trie and ip6trie
    Rbldnsd,
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

fn parse_state(text: &str) -> Result<State, String> {
    State::of_name(text).filter(|state| *state > State::None).ok_or_else(|| "write watch, suspicious or bad".to_owned())
}

/// Judges, and prints the verdicts.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let at = arguments.at.end();
    let judging = match &arguments.config {
        Some(path) => load::config(Some(path))?.judging,
        None => Judging::default(),
    };
    let routes = Arc::new(announcing("reading routes", || read_routes(arguments, &judging))?);
    let guards = Arc::new(read_guards(arguments, &judging)?);
    let parameters = judging.parameters.clone();
    let evidence = announcing("reading evidence", || read_evidence(arguments, judging, at))?;
    let previous = Arc::new(arguments.previous.as_deref().map(Previous::open).transpose()?.unwrap_or_default());
    let families: &[Family] = match arguments.family {
        Families::Send => &[Family::Send],
        Families::Host => &[Family::Host],
        Families::Both => &Family::ALL,
    };
    let (mut runs, mut runs6) = (Vec::new(), Vec::new());
    announcing("judging", || {
        for &family in families {
            let judgement = Judgement::judge(&evidence, family, &routes, &guards, &parameters, at, &previous);
            let of_family = judgement.runs(arguments.all);
            if let Some(caution) = judgement.caution(&of_family) {
                eprintln!("{family}: {caution}");
            }
            runs = worse_of(std::mem::take(&mut runs), of_family);
            runs6.extend(judge_units(&evidence, family, &routes, &guards, at));
        }
    });
    print(arguments, &runs, &disjoint6(runs6))?;
    Ok(ExitCode::SUCCESS)
}

fn read_routes(arguments: &Arguments, judging: &Judging) -> anyhow::Result<Routes> {
    let mut builder = RoutesBuilder::default();
    for path in judging.routes.iter().chain(&arguments.routes) {
        builder.parse_file(path)?;
    }
    tell_skipped(&builder.skipped);
    Ok(builder.build())
}

fn read_guards(arguments: &Arguments, judging: &Judging) -> anyhow::Result<Guards> {
    let mut builder = GuardsBuilder::default();
    for path in judging.guards.iter().chain(&arguments.guards) {
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

fn read_evidence(arguments: &Arguments, judging: Judging, at: Time) -> anyhow::Result<Evidence> {
    let mut collector = Collector::new(judging.sources);
    for (source, path) in &judging.histories {
        tell(&evidence::read_history(path, *source, at, &mut collector)?);
    }
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
    for path in judging.reports.iter().chain(&arguments.reports) {
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

/// A prefix with its verdict, as it is printed. IPv6 blocks have neither lift nor rate.
#[derive(Debug, Serialize)]
struct Row {
    prefix: String,
    state: &'static str,
    score: u8,
    lift: Option<f64>,
    rate: Option<f64>,
    reports: u32,
    days: u32,
    groups: u32,
    asn: u32,
    level: Level,
    class: Class,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
}

impl Row {
    fn write(&self, format: Format, out: &mut impl Write) -> io::Result<()> {
        match format {
            Format::Tsv => {
                let Self { prefix, state, score, reports, days, groups, asn, .. } = self;
                write!(out, "{prefix}\t{state}\t{score}\t")?;
                match (self.lift, self.rate) {
                    (Some(lift), Some(rate)) => write!(out, "{lift:.2}\t{rate:.6}")?,
                    _ => write!(out, "-\t-")?,
                }
                writeln!(out, "\t{reports}\t{days}\t{groups}\t{asn}")
            }
            _ => {
                serde_json::to_writer(&mut *out, self)?;
                out.write_all(b"\n")
            }
        }
    }
}

fn print(arguments: &Arguments, runs: &[Run], runs6: &[Run6]) -> anyhow::Result<()> {
    let least = arguments.least.unwrap_or_default();
    let runs: Vec<Run> = runs.iter().filter(|run| run.state >= least).copied().collect();
    let runs6: Vec<Run6> = runs6.iter().filter(|run| run.state >= least).copied().collect();
    let list = match arguments.format {
        Format::Tsv | Format::Json => None,
        Format::Cidr => Some(VerdictFormat::Cidr),
        Format::Iprep => Some(VerdictFormat::Iprep { category: 1 }),
        Format::Rbldnsd => Some(VerdictFormat::Rbldnsd),
    };
    if let Some(format) = list {
        let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        write_verdicts(format, &runs, &runs6, &mut out)?;
        out.flush()?;
        return Ok(());
    }
    // the order of the runs is that of their addresses, and sorting is stable
    let mut order: Vec<&Run> = runs.iter().collect();
    order.sort_by(|a, b| b.lift.total_cmp(&a.lift));
    let mut order6: Vec<&Run6> = runs6.iter().collect();
    order6.sort_by_key(|run| std::cmp::Reverse(run.score));
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    if let Format::Tsv = arguments.format {
        writeln!(out, "#prefix\tstate\tscore\tlift\trate\treports\tdays\tgroups\tasn")?;
    }
    for run in order {
        for (first, length) in prefixes(run.first, run.last) {
            row(run, first, length).write(arguments.format, &mut out)?;
        }
    }
    for run in order6 {
        for (first, length) in prefixes(run.first, run.last) {
            row6(run, first, length).write(arguments.format, &mut out)?;
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
        lift: Some(rounded(run.lift, 1e2)),
        rate: Some(rounded(run.rate * part, 1e6)),
        reports: run.counts.addresses,
        days: run.counts.days(),
        groups: run.counts.groups(),
        asn: run.asn,
        level: run.level,
        class: run.class,
        last: run.counts.last().map(|time| time.to_string()),
    }
}

fn row6(run: &Run6, first: u128, length: u8) -> Row {
    Row {
        prefix: format!("{}/{length}", Ipv6Addr::from(first)),
        state: run.state.name(),
        score: run.score,
        lift: None,
        rate: None,
        reports: run.counts.addresses,
        days: run.counts.days(),
        groups: run.counts.groups(),
        asn: run.asn,
        level: run.level,
        class: run.class,
        last: run.counts.last().map(|time| time.to_string()),
    }
}

/// Rounds to so many parts: more digits than that are noise, and differ from one processor to the next.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;
