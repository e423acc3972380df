//! `infamy remove`: a running server does not list subjects any more, whatever the dataset's files say.

use std::fmt::Write;
use std::process::ExitCode;

use super::control::Change;
use super::print;
use crate::http::api::Action;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Addresses, prefixes, domains or hashes, as the dataset has them
    #[arg(required = true, value_name = "SUBJECT")]
    subjects: Vec<String>,
    #[command(flatten)]
    change: Change,
}

/// Removes all subjects, or none.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { subjects, change } = arguments;
    let changed = change.send(&change.request(Action::Remove, subjects))?;
    let mut lines = String::new();
    for (subject, number) in subjects.iter().zip(&changed.numbers) {
        writeln!(lines, "{}: {subject} removed, change {number}", change.dataset)?;
    }
    print(&lines)
}
