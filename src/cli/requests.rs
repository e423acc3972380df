//! `infamy requests`: who asked that something be listed no more.
//!
//! Invariant: it reads the store, beside a running server or without one, and decides nothing: `infamy remove` does.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::inputs::Excerpt;
use super::load;
use crate::evidence::Time;
use crate::evidence::store::{Event, Numbered, Reader, RemovalRequest, Scope, What};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only of this address, prefix or domain, with what covers it and what is in it
    subject: Option<String>,
    #[command(flatten)]
    excerpt: Excerpt,
}

/// One request.
#[derive(Debug, Serialize)]
struct Row {
    number: u64,
    time: String,
    subject: String,
    contact: String,
    /// The address that it came from.
    who: String,
    /// The change of the subject that came after it, if there is one.
    answered_by: Option<u64>,
    text: String,
}

/// Prints the requests; exits 1 if there are none.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { subject, excerpt } = arguments;
    let parse = |text: &String| Scope::parse(text).with_context(|| format!("{text}: is no address, prefix or domain"));
    let scope = subject.as_ref().map(parse).transpose()?;
    let config = load::config(excerpt.config.as_deref())?;
    let path =
        config.store.context("[control] store: not configured: name a file, or set state-directory in [server]")?;
    let mut rows = Vec::new();
    if path.exists() {
        let reader = Reader::open(&path)?;
        let changes = reader.all_changes()?;
        let most = if scope.is_some() { usize::MAX } else { excerpt.most() };
        let all = reader.requests(excerpt.since().0.into(), most)?;
        rows.extend(all.into_iter().filter_map(|request| row(request, &changes)));
    }
    rows.retain(|row| scope.as_ref().is_none_or(|scope| scope.touches(&row.subject)));
    print(excerpt.latest(&rows), excerpt.json)?;
    Ok(if rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn row(request: Numbered, changes: &[Numbered]) -> Option<Row> {
    let Numbered { number, event: Event { at, who, what: What::Request(request), .. } } = request else { return None };
    let RemovalRequest { subject, contact, text } = request;
    let scope = Scope::parse(&subject);
    let answers = |change: &&Numbered| match &change.event.what {
        What::Change(change) => scope.as_ref().is_some_and(|scope| scope.touches(&change.subject)),
        _ => false,
    };
    let mut later = changes.iter().filter(|change| change.number > number);
    let answered_by = later.find(answers).map(|change| change.number);
    let time = Time(u32::try_from(at).unwrap_or(0)).to_string();
    Some(Row { number, time, subject, contact, who, answered_by, text })
}

fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !json && !rows.is_empty() {
        writeln!(out, "#number\ttime\tsubject\tcontact\twho\tanswered\ttext")?;
    }
    for row in rows {
        if json {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
            continue;
        }
        let Row { number, time, subject, contact, who, answered_by, text } = row;
        let answered = answered_by.map_or_else(|| "-".to_owned(), |number| number.to_string());
        // a text may have several lines, of which a line has room for the words
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = words.join(" ").replace(char::is_control, " ");
        writeln!(out, "{number}\t{time}\t{subject}\t{contact}\t{who}\t{answered}\t{words}")?;
    }
    out.flush()?;
    Ok(())
}
