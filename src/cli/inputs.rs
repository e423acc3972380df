//! What several commands read of evidence: `judge` and `evaluate` with routes and guards, others an excerpt.
//!
//! Invariant: lines of files that were left out are told on stderr and change nothing else.

use std::path::PathBuf;
use std::str::FromStr;

use super::load;
use crate::config::Judging;
use crate::evidence::{self, Collector, Evidence, Problems, Time, Written};
use crate::feed::Skipped;
use crate::neighborhood::evaluate::good::is_held_out;
use crate::neighborhood::{Guards, GuardsBuilder, Routes, RoutesBuilder};

#[derive(Debug, clap::Args)]
pub(super) struct Inputs {
    /// The configuration: facts of sources, their files, routes, guards and the numbers of the method
    #[arg(long, value_name = "CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Announced prefixes: `prefix <TAB> asn`, iptoasn, pfx2as, CSV or MMDB
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    pub(super) routes: Vec<PathBuf>,
    /// The history of a source's list: `subject <TAB> listed_on <TAB> removed_on`
    #[arg(long, value_name = "NAME=FILE")]
    pub(super) history: Vec<Named>,
    /// A source's plain list as it stood on a date
    #[arg(long, value_name = "NAME@DATE=FILE")]
    pub(super) list: Vec<Dated>,
    /// Reports: CSV with a header `time,source,subject,category[,weight]`, or JSON lines
    #[arg(long, value_name = "FILE")]
    pub(super) reports: Vec<PathBuf>,
    /// Ranges that may not inherit from their neighbors: `cidr <TAB> category <TAB> source`
    #[arg(long, value_name = "FILE")]
    pub(super) guards: Vec<PathBuf>,
}

/// `NAME=FILE`.
#[derive(Clone, Debug)]
pub(super) struct Named {
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
pub(super) struct Dated {
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

pub(super) fn parse_time(text: &str) -> Result<Written, String> {
    Written::parse(text.as_bytes())
        .ok_or_else(|| "write a date as 2026-07-12, or a time as 2026-07-12T10:00Z".to_owned())
}

impl Inputs {
    /// What the configuration says of judging; without one, the defaults.
    pub(super) fn judging(&self) -> anyhow::Result<Judging> {
        match &self.config {
            Some(path) => Ok(load::config(Some(path))?.judging),
            None => Ok(Judging::default()),
        }
    }

    /// The routes.
    pub(super) fn read_routes(&self, judging: &Judging) -> anyhow::Result<Routes> {
        let mut builder = RoutesBuilder::default();
        for path in judging.routes.iter().chain(&self.routes) {
            builder.parse_file(path)?;
        }
        tell_skipped(&builder.skipped);
        Ok(builder.build())
    }

    /// The guards; with `split`, without the half that is measured.
    pub(super) fn read_guards(&self, judging: &Judging, split: bool) -> anyhow::Result<Guards> {
        let mut builder = GuardsBuilder::default();
        for path in judging.guards.iter().chain(&self.guards) {
            builder.parse_file_where(path, |range| !(split && is_held_out(range)))?;
        }
        tell_skipped(&builder.skipped);
        Ok(builder.build())
    }

    /// The evidence as it is known at a time.
    pub(super) fn read_evidence(&self, judging: Judging, at: Time) -> anyhow::Result<Evidence> {
        let mut collector = Collector::new(judging.sources);
        for (source, path) in &judging.histories {
            tell(&evidence::read_history(path, *source, at, &mut collector)?);
        }
        let source = |collector: &mut Collector, name: &str| {
            collector.sources.find_or_add(name).ok_or_else(|| anyhow::anyhow!("source {name}: too many sources"))
        };
        for Named { name, path } in &self.history {
            let source = source(&mut collector, name)?;
            tell(&evidence::read_history(path, source, at, &mut collector)?);
        }
        for Dated { list, date } in &self.list {
            let source = source(&mut collector, &list.name)?;
            tell(&evidence::read_plain(&list.path, source, *date, at, &mut collector)?);
        }
        for path in judging.reports.iter().chain(&self.reports) {
            tell(&evidence::read_reports(path, at, &mut collector)?);
        }
        if let Some(path) = &judging.store {
            evidence::store::collect_reports(path, at, &mut collector)?;
        }
        Ok(collector.build())
    }
}

pub(super) fn tell_skipped(skipped: &Skipped) {
    skipped.lines.iter().for_each(|line| eprintln!("{line}"));
    let more = skipped.total - skipped.lines.len() as u64;
    if more > 0 {
        eprintln!("and {more} more lines that were left out");
    }
}

pub(super) fn tell(problems: &Problems) {
    let path = problems.path.display();
    problems.first.iter().for_each(|(line, error)| eprintln!("{path}:{line}: {error}"));
    let more = problems.total - problems.first.len() as u64;
    if more > 0 {
        eprintln!("{path}: and {more} more lines that were left out");
    }
}
