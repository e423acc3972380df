//! `infamy dump`: prints a zone as a standard master file.
//!
//! Invariant: stdout has the file and nothing else; what the file cannot say, and lines of lists that were left out, are
//! told on stderr and do not change the exit code.

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::serve::live::Live;
use super::{count, load, now, serve};
use crate::dnsxl::Name;
use crate::export::{Options, Source};
use crate::reload::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Writes the addresses of ranges one by one where their text names them
    #[arg(long)]
    expand: bool,
    /// The zone
    zone: String,
}

/// Prints the zone.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let apex = Name::parse(arguments.zone.as_bytes()).with_context(|| format!("zone {}", arguments.zone))?;
    let config = load::config(arguments.config.as_deref())?;
    let plan = serve::plan_as_served(&config)?;
    let mut live = Live::begin(&Store::new(plan.clone()), load::kept_changes(&config)?);
    let source = Source::load(&plan, &apex, now(), |index| live.take_over(index))?;
    for (dataset, report) in &source.reports {
        if report.total > 0 {
            let name = &config.plan.datasets[*dataset].name;
            let problems = count(report.total, "problem", "problems");
            eprintln!("dataset {name}: {problems}: see `infamy check`");
        }
    }
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    for note in source.write_master_file(Options { expand: arguments.expand }, &mut out)? {
        eprintln!("zone {apex}: {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Bytes that are written at a time: a list of millions is tens of thousands of writes, not millions.
const BUFFER: usize = 64 << 10;
