//! Rows on stdout: columns under a head, or a JSON object a line.
//!
//! Invariant: a row is one line, and nothing in a column is a command to a terminal, whoever wrote it.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::inputs::parse_time;
use crate::evidence::{Time, Written};

/// Which rows are printed, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Rows {
    /// Prints a JSON object a line
    #[arg(long)]
    json: bool,
    /// Leaves out what was said before a date or time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Written>,
    /// The latest N lines
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
}

impl Rows {
    /// When the first was said.
    pub(super) fn since(&self) -> Time {
        self.since.map_or(Time(0), Written::start)
    }

    /// How many to look for: one more than are printed tells whether there is more.
    pub(super) fn wanted(&self) -> usize {
        self.limit.saturating_add(1)
    }

    /// Prints the latest; the exit code is 1 if there are none.
    pub(super) fn print<R: Serialize, const N: usize>(
        &self,
        rows: &[R],
        head: [&str; N],
        columns: impl Fn(&R) -> [String; N],
    ) -> anyhow::Result<ExitCode> {
        let latest = &rows[rows.len().saturating_sub(self.limit)..];
        if latest.len() < rows.len() {
            eprintln!("there is more before this; --limit and --since say how much is printed");
        }
        let mut out = BufWriter::new(io::stdout().lock());
        if !self.json && !latest.is_empty() {
            writeln!(out, "#{}", head.join("\t"))?;
        }
        for row in latest {
            match self.json {
                true => serde_json::to_writer(&mut out, row)?,
                false => out.write_all(columns(row).map(|text| in_one_line(&text)).join("\t").as_bytes())?,
            }
            writeln!(out)?;
        }
        out.flush()?;
        Ok(if rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The words of a text, which may have several lines, and anything in them.
fn in_one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, " ")
}
