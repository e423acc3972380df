//! `infamy judge`: evidence goes in, verdicts on blocks come out.
//!
//! Invariant: stdout has disjoint prefixes and nothing else, in an order that depends on the verdicts alone; lines of
//! files that were left out are told on stderr and do not change the exit code.

use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::inputs::{Inputs, parse_time};
use super::load::announcing;
use crate::evidence::{Family, Written};
use crate::export::{VerdictFormat, write_verdicts};
use crate::neighborhood::{
    Class, Judgement, Level, Previous, Run, Run6, State, disjoint6, judge_units, prefixes, worse_of,
};

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

fn parse_state(text: &str) -> Result<State, String> {
    State::of_name(text).filter(|state| *state > State::None).ok_or_else(|| "write watch, suspicious or bad".to_owned())
}

/// Judges, and prints the verdicts.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let at = arguments.at.end();
    let inputs = &arguments.inputs;
    let judging = inputs.judging()?;
    let routes = Arc::new(announcing("reading routes", || inputs.read_routes(&judging))?);
    let guards = Arc::new(inputs.read_guards(&judging, false)?);
    let parameters = judging.parameters.clone();
    let evidence = announcing("reading evidence", || inputs.read_evidence(judging, at))?;
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
