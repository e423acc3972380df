//! `infamy add`: a running server lists subjects, at once and until it is told otherwise or they expire.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use super::control::Change;
use super::print;
use crate::config::spec::Seconds;
use crate::http::api::Action;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Addresses, prefixes, domains or hashes, as the dataset has them
    #[arg(required = true, value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// What an A query gets, if it is not the dataset's own value
    #[arg(long, value_name = "ADDRESS")]
    value: Option<Ipv4Addr>,
    /// What a TXT query gets, if it is not the dataset's own text; `$` is the subject
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// How long resolvers may keep the answer, if it is not what the dataset says
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Seconds::parse(text).map_err(|error| error.to_string()))]
    ttl: Option<Seconds>,
    #[command(flatten)]
    change: Change,
}

/// Adds all subjects, or none.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { subjects, value, text, ttl, change } = arguments;
    let mut request = change.request(Action::Add, subjects);
    (request.value, request.text, request.ttl) = (*value, text.clone(), ttl.map(|ttl| ttl.0));
    let changed = change.send(&request)?;
    let mut lines = String::new();
    for (subject, number) in subjects.iter().zip(&changed.numbers) {
        writeln!(lines, "{}: {subject} added, change {number}", change.dataset)?;
    }
    print(&lines)
}
