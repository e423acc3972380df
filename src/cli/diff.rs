//! `infamy diff`: what entered, left or changed between generations of a running server, and why.

use std::fmt::Write;
use std::process::ExitCode;

use super::control::Server;
use super::print;
use crate::http::api::{DatasetCounts, Diff, DiffEntry, DiffQuery, GenerationRecord, Movement};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// One dataset; otherwise all
    dataset: Option<String>,
    /// The generation before; the one before the last if none is named
    #[arg(long, value_name = "NUMBER")]
    from: Option<u64>,
    /// The last generation; the one that is served if none is named
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Prints a line for each generation, each dataset that changed, and each subject.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { dataset, from, to, json, server } = arguments;
    let query = DiffQuery { dataset: dataset.clone(), from: *from, to: *to, limit: None };
    let diff: Diff = server.client()?.get("/v1/diff", &query)?;
    if *json {
        return print(&(serde_json::to_string(&diff)? + "\n"));
    }
    let mut text = String::new();
    for generation in &diff.generations {
        let GenerationRecord { number, at, cause, who, datasets } = generation;
        let who = who.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
        writeln!(text, "generation {number} at {}: {cause}{who}", at.0)?;
        datasets.iter().try_for_each(|counts| writeln!(text, "  {}", of_dataset(counts)))?;
        for entry in diff.entries.iter().filter(|entry| entry.generation == *number) {
            writeln!(text, "    {}", of_entry(entry))?;
        }
    }
    if diff.truncated {
        writeln!(text, "there are more entries than are told here; the counts are whole")?;
    }
    print(&text)
}

fn of_dataset(counts: &DatasetCounts) -> String {
    let DatasetCounts { name, before, after, entered, left, changed } = counts;
    let mut text = format!("{name}: {before} before, {after} now");
    for (count, what) in [(entered, "entered"), (left, "left"), (changed, "changed")] {
        if let Some(count) = count {
            text += &format!(", {count} {what}");
        }
    }
    text
}

fn of_entry(entry: &DiffEntry) -> String {
    let sign = match entry.change {
        Movement::Entered => '+',
        Movement::Left => '-',
        Movement::Changed => '~',
    };
    let why = entry.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    format!("{sign} {} {}{why}", entry.dataset, entry.subject)
}
