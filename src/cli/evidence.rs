//! `infamy evidence`: who said what of a subject, and when: from the store, and from the files of the configuration.
//!
//! Invariant: it reads beside a running server and changes nothing; lines are sorted by time, and what was cut off or
//! could not be read of a file is told on stderr.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::inputs::{Excerpt, tell};
use super::load::{self, announcing};
use super::now;
use crate::config::Judging;
use crate::evidence::store::{Action, Event, Numbered, Reader, Report, Scope, StoredChange, What};
use crate::evidence::{self, Collector, Evidence, Speech, Spell, Subject, Time};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// An address, a prefix, a domain, or a URL: with what covers it and what is in it
    subject: String,
    #[command(flatten)]
    excerpt: Excerpt,
}

/// One line: somebody said something.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    /// When.
    time: String,
    /// Until when, if it was said for a while, or holds for one.
    until: Option<String>,
    /// Where it is from, and so what it is.
    kind: Kind,
    /// The source; of a change who made it.
    who: String,
    /// Of what.
    subject: String,
    /// The category of a report, the family of a spell, the dataset of a change.
    what: String,
    /// How sure the source was.
    weight: Option<f64>,
    /// The event's number in the store.
    number: Option<u64>,
    /// By which event a change was withdrawn.
    withdrawn_by: Option<u64>,
    /// What was said besides.
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A report in the store.
    Report,
    /// Reports in files, from the first to the last of those that follow each other.
    Named,
    /// A list had it.
    Listed,
    /// A live change.
    Add,
    /// A live change.
    Remove,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Named => "named",
            Self::Listed => "listed",
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

/// Prints what was said.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { subject, excerpt } = arguments;
    let scope = Scope::parse(subject).with_context(|| format!("{subject}: is no address, prefix, domain or URL"))?;
    let config = load::config(excerpt.config.as_deref())?;
    let since = excerpt.since();
    let at = time(now().0);
    let mut rows = Vec::new();
    if let Some(path) = config.store.filter(|path| path.exists()) {
        let reader = Reader::open(&path)?;
        rows.extend(reader.reports(&scope, since, excerpt.most())?.into_iter().filter_map(report));
        rows.extend(changes(reader.changes(&scope)?, since));
    }
    let evidence = announcing("reading evidence", || read_files(config.judging, at))?;
    rows.extend(spells(&evidence, &scope, since, at));
    // the store's and the files' own orders stay where times are equal
    rows.sort_by(|a, b| a.time.cmp(&b.time));
    print(excerpt.latest(&rows), excerpt.json)?;
    Ok(if rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn report(numbered: Numbered) -> Option<Row> {
    let Numbered { number, event: Event { what: What::Report(report), .. } } = numbered else { return None };
    let Report { time, source, subject, category, weight, text } = report;
    Some(Row {
        time: time.to_string(),
        until: None,
        kind: Kind::Report,
        who: source,
        subject,
        what: category,
        weight: Some(weight),
        number: Some(number),
        withdrawn_by: None,
        text,
    })
}

/// Changes, each with what withdrew it.
fn changes(all: Vec<Numbered>, since: Time) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for Numbered { number, event: Event { at, who, what, .. } } in all {
        let What::Change(StoredChange { dataset, subject, action, expires, reason }) = what else { continue };
        let kind = match action {
            Action::Add { .. } => Kind::Add,
            Action::Remove => Kind::Remove,
            Action::Withdraw { number: withdrawn } => {
                if let Some(row) = rows.iter_mut().find(|row| row.number == Some(withdrawn)) {
                    row.withdrawn_by.get_or_insert(number);
                }
                continue;
            }
        };
        rows.push(Row {
            time: time(at).to_string(),
            until: expires.map(|expires| time(expires).to_string()),
            kind,
            who,
            subject,
            what: dataset,
            weight: None,
            number: Some(number),
            withdrawn_by: None,
            text: reason,
        });
    }
    let since = since.to_string();
    rows.retain(|row| row.time >= since);
    rows
}

/// What the files say up to a time.
fn read_files(judging: Judging, at: Time) -> anyhow::Result<Evidence> {
    let mut collector = Collector::new(judging.sources);
    for (source, path) in &judging.histories {
        tell(&evidence::read_history(path, *source, at, &mut collector)?);
    }
    for path in &judging.reports {
        tell(&evidence::read_reports(path, at, &mut collector)?);
    }
    Ok(collector.build())
}

fn spells(evidence: &Evidence, scope: &Scope, since: Time, at: Time) -> Vec<Row> {
    let mut rows = Vec::new();
    let ip4 = |bits, length| Subject::Ip4 { bits, length };
    let ip6 = |bits, length| Subject::Ip6 { bits, length };
    let mut all = Found { evidence, scope, since, at, rows: &mut rows };
    evidence.ip4.iter().for_each(|spell| all.say(spell, ip4(spell.subject, 32)));
    evidence.blocks4.iter().for_each(|spell| all.say(spell, ip4(spell.subject.0, spell.subject.1)));
    evidence.ip6.iter().for_each(|spell| all.say(spell, ip6(spell.subject, 128)));
    evidence.blocks6.iter().for_each(|spell| all.say(spell, ip6(spell.subject.0, spell.subject.1)));
    evidence.names.iter().for_each(|spell| all.say(spell, Subject::Name(&spell.subject)));
    rows
}

/// Where spells go that touch the subject.
struct Found<'f> {
    evidence: &'f Evidence,
    scope: &'f Scope,
    since: Time,
    at: Time,
    rows: &'f mut Vec<Row>,
}

impl Found<'_> {
    fn say<S>(&mut self, spell: &Spell<S>, subject: Subject<'_>) {
        if !self.scope.touches_subject(subject) || spell.end(self.at) < self.since {
            return;
        }
        let is_over = spell.speech() == Speech::Stream || !spell.is_listed(self.at);
        let end = spell.end(self.at);
        self.rows.push(Row {
            time: spell.begin.to_string(),
            until: (is_over && end > spell.begin).then(|| end.to_string()),
            kind: if spell.speech() == Speech::Stream { Kind::Named } else { Kind::Listed },
            who: self.evidence.sources.get(spell.source).name.clone(),
            subject: subject.to_string(),
            what: spell.family.to_string(),
            // it is kept in 127ths
            weight: Some((spell.weight() * 100.0).round() / 100.0),
            number: None,
            withdrawn_by: None,
            text: None,
        });
    }
}

fn print(rows: &[Row], json: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !json && !rows.is_empty() {
        writeln!(out, "#time\tuntil\tkind\twho\tsubject\twhat\ttext")?;
    }
    for row in rows {
        if json {
            serde_json::to_writer(&mut out, row)?;
            writeln!(out)?;
            continue;
        }
        let Row { time, until, kind, who, subject, what, withdrawn_by, text, .. } = row;
        // files may have anything in them, a terminal's commands as well
        let [who, subject, what] = [who, subject, what].map(|text| text.replace(char::is_control, " "));
        let (until, kind) = (until.as_deref().unwrap_or("-"), kind.name());
        // a text may have several lines, of which a line has room for the words
        let words: Vec<&str> = text.as_deref().unwrap_or_default().split_whitespace().collect();
        let withdrawn = withdrawn_by.map(|number| format!("withdrawn by event {number}"));
        let text = [words.join(" ")].into_iter().chain(withdrawn).filter(|text| !text.is_empty());
        let text = text.collect::<Vec<_>>().join("; ");
        writeln!(out, "{time}\t{until}\t{kind}\t{who}\t{subject}\t{what}\t{text}")?;
    }
    out.flush()?;
    Ok(())
}

/// A Unix time as evidence has it.
fn time(seconds: i64) -> Time {
    Time(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
}
