//! `infamy check`: reads configuration and all data, tests every zone, prints every problem.
//!
//! Invariant: warnings alone exit 0. What is printed on stdout is one line for each problem, `path:line: reason`, and
//! then one for each dataset and zone; what keeps the server from starting goes to stderr.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::load;
use super::{FAILURE, count, now, selftest, terms};
use crate::reload::{Event, Plan, Store};
use crate::snapshot::Snapshot;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration
    config: Option<PathBuf>,
}

/// Checks everything that `serve` would read.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = load::config(arguments.config.as_deref())?;
    let mut out = io::stdout().lock();
    for warning in &config.warnings {
        writeln!(out, "{warning}")?;
    }
    let mut errors = 0;
    for error in config.start_errors() {
        eprintln!("error: {error}");
        errors += 1;
    }
    // as the server sees them, so that a file out of its reach is found here
    if let Err(error) = config.confined_plan() {
        eprintln!("error: {error}");
        errors += 1;
    }
    let mut store = Store::new(load::open_to_all(&config));
    let loaded = load::load(&mut store);
    for event in &loaded {
        errors += print_problems(&mut out, store.plan(), event)?;
    }
    for unheeded in terms::unheeded(&config.plan, &store) {
        writeln!(out, "{unheeded}")?;
    }
    let snapshot = store.snapshot()?;
    let findings = selftest::test(&snapshot, store.plan(), now());
    for finding in &findings {
        match finding.is_error {
            true => eprintln!("error: {finding}"),
            false => writeln!(out, "{finding}")?,
        }
    }
    errors += findings.iter().filter(|finding| finding.is_error).count();
    print_summary(&mut out, store.plan(), &loaded, &snapshot)?;
    out.flush()?;
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// Prints what loading a dataset had to say; how many errors that was.
pub(super) fn print_problems(out: &mut impl Write, plan: &Plan, event: &Event) -> io::Result<usize> {
    let name = &plan.datasets[event.dataset].name;
    match &event.result {
        Ok(loaded) => {
            for problem in &loaded.report.problems {
                writeln!(out, "{problem}")?;
            }
            for note in &loaded.report.notes {
                writeln!(out, "dataset {name}: {note}")?;
            }
            let more = loaded.report.total - loaded.report.problems.len() as u64;
            if more > 0 {
                writeln!(out, "dataset {name}: {more} more problems")?;
            }
            Ok(0)
        }
        Err(error) => {
            eprintln!("error: dataset {name}: {error}");
            Ok(1)
        }
    }
}

fn print_summary(out: &mut impl Write, plan: &Plan, loaded: &[Event], snapshot: &Snapshot) -> io::Result<()> {
    for event in loaded {
        let took = event.took;
        let Ok(loaded) = &event.result else { continue };
        let (name, report) = (&plan.datasets[event.dataset].name, &loaded.report);
        let (entries, problems) =
            (count(report.entries, "entry", "entries"), count(report.total, "problem", "problems"));
        writeln!(out, "dataset {name}: {entries}, {problems}, {} bytes, {took:.1?}", loaded.dataset.bytes())?;
    }
    for (zone, plan) in snapshot.zones().iter().zip(&plan.zones) {
        let datasets = count(plan.datasets.len() as u64, "dataset", "datasets");
        match zone.unavailable {
            true => writeln!(out, "zone {}: not served for want of a dataset", zone.apex)?,
            false => writeln!(out, "zone {}: {datasets}, serial {}", zone.apex, zone.soa.serial)?,
        }
    }
    Ok(())
}
