//! What loading has to say, in the lines that operators of rbldnsd look for.
//!
//! Invariant: a dataset whose files go on being wrong in the same way is told of once. Figures that describe rbldnsd's
//! own tables are replaced by ours in the same place, and are zero where there is nothing like it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

use super::log::Log;
use super::specs::type_of;
use super::time::show_time;
use crate::dataset::{LoadError, Problem, Report, Tally};
use crate::dnsxl::Name;
use crate::feed::{FileError, Format};
use crate::reload::{Event, Loaded, Plan, Store};

/// Tells of loads.
#[derive(Debug)]
pub(super) struct Announcer {
    log: Log,
    /// What was last told to be wrong with a dataset.
    failures: HashMap<usize, String>,
}

/// When a load began.
#[derive(Debug)]
pub(super) struct Began {
    at: Instant,
    cpu: Duration,
}

impl Began {
    /// Now.
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu_time() }
    }
}

/// The time that this program has computed for.
fn cpu_time() -> Duration {
    let time = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.user_time());
    time.map_or(Duration::ZERO, |time| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(micros.try_into().unwrap_or(0))
    })
}

impl Announcer {
    /// Tells to `log`.
    pub(super) fn new(log: Log) -> Self {
        Self { log, failures: HashMap::new() }
    }

    /// Tells what became of the datasets that were loaded; whether any zone is without data.
    pub(super) fn tell(&mut self, store: &Store, events: &[Event], began: &Began) -> bool {
        let plan = store.plan();
        let mut has_news = false;
        for event in events {
            let name = &plan.datasets[event.dataset].name;
            match &event.result {
                Ok(loaded) => {
                    has_news = true;
                    self.failures.remove(&event.dataset);
                    self.tell_loaded(name, plan.datasets[event.dataset].format, loaded);
                }
                Err(error) => {
                    let failure = show_error(error);
                    if self.failures.get(&event.dataset) == Some(&failure) {
                        continue;
                    }
                    has_news = true;
                    self.log.error(&failure);
                    if event.keeps_last_good {
                        self.log.error(format_args!("{name}: not reloaded, what was loaded before stays in use"));
                    }
                    self.failures.insert(event.dataset, failure);
                }
            }
        }
        let without_data: Vec<String> = self.zones_without_data(store).collect();
        if has_news {
            for zone in &without_data {
                self.log.error(format_args!("zone {zone}: not all datasets are loaded, zone will not be serviced"));
            }
            self.tell_end(store, began);
        }
        !without_data.is_empty()
    }

    fn zones_without_data<'s>(&self, store: &'s Store) -> impl Iterator<Item = String> + use<'s> {
        let is_missing = |index: &usize| store.dataset(*index).is_none();
        let plan: &Plan = store.plan();
        let lacks = move |zone: &&crate::reload::ZonePlan| {
            zone.datasets.iter().any(|(index, _)| is_missing(index)) || zone.access.iter().any(is_missing)
        };
        let global = plan.access.iter().any(is_missing).then(|| "*".to_owned());
        plan.zones.iter().filter(lacks).map(|zone| zone.spec.apex.to_string()).chain(global)
    }

    fn tell_loaded(&self, name: &str, format: Format, loaded: &Loaded) {
        let report = &loaded.report;
        show_report(name, report).iter().for_each(|warning| self.log.warning(warning));
        let time = show_time(loaded.dataset.modified);
        match (format, &*report.tallies) {
            (Format::Acl, tallies) => {
                self.log.info(format_args!("{name}: {time}: loaded"));
                for tally in tallies {
                    self.log.info(format_args!("{name}: ip4 trie: {}", show_trie(tally.prefixes4, tally.bytes)));
                    self.log.info(format_args!("{name}: ip6 trie: {}", show_trie(tally.prefixes6, 0)));
                }
            }
            (Format::Combined, tallies) => {
                for tally in tallies {
                    let colon = if tally.name.is_some() { ":" } else { "" };
                    let section = tally.name.as_deref().unwrap_or_default();
                    let kind = type_of(tally.format);
                    self.log.info(format_args!("{name}:{kind}{colon}{section}: {}", show_tally(tally)));
                }
                let subzones: HashSet<&Name> = loaded.dataset.parts.iter().flat_map(|part| &part.under).collect();
                let subzones = subzones.len();
                let sections = tallies.len();
                self.log.info(format_args!("{name}: {time}: subzones={subzones} datasets={sections}"));
            }
            (_, tallies) => {
                for tally in tallies {
                    self.log.info(format_args!("{name}: {time}: {}", show_tally(tally)));
                }
            }
        }
    }

    fn tell_end(&self, store: &Store, began: &Began) {
        let elapsed = began.at.elapsed().as_secs_f64();
        let computed = cpu_time().saturating_sub(began.cpu).as_secs_f64();
        let datasets = 0..store.plan().datasets.len();
        let bytes: usize = datasets.filter_map(|index| store.dataset(index)).map(|dataset| dataset.bytes()).sum();
        let kib = bytes.div_ceil(1024);
        self.log.info(format_args!(
            "zones reloaded, time {elapsed:.1}e/{computed:.1}u sec, mem arena={kib} free=0 mmap=0 Kb"
        ));
    }
}

/// What a section came to, by the measures of its format.
fn show_tally(tally: &Tally) -> String {
    let [c8, c16, c24, c32] = tally.octet_classes;
    match tally.format {
        Format::Ip4Set => format!("e32/24/16/8={c32}/{c24}/{c16}/{c8}"),
        Format::Ip4Tset => format!("cnt={c32}"),
        Format::Ip4Trie => show_trie(tally.prefixes4, tally.bytes),
        Format::Ip6Trie => show_trie(tally.prefixes6, tally.bytes),
        Format::Ip6Tset => format!("cnt={} exl={}", tally.prefixes6 - tally.excluded6, tally.excluded6),
        Format::Dnset => format!("e/w={}/{}", tally.names, tally.wildcards),
        _ => format!("e={}", tally.records),
    }
}

fn show_trie(entries: u64, bytes: usize) -> String {
    format!("ents={entries} tbm=0 lc=0 mem={}k free=0 waste=0", bytes.div_ceil(1024))
}

/// The first warnings of a load, and how many more there are.
pub(super) fn show_report(name: &str, report: &Report) -> Vec<String> {
    let mut shown: Vec<String> = report.problems.iter().take(MAX_WARNINGS).map(show_problem).collect();
    let suppressed = report.total.saturating_sub(MAX_WARNINGS as u64);
    if suppressed > 0 {
        shown.push(format!("{name}: {suppressed} more warnings suppressed"));
    }
    shown
}

fn show_problem(problem: &Problem) -> String {
    format!("file {}({}): {}", problem.path.display(), problem.line, problem.reason)
}

/// Why a dataset could not be loaded.
pub(super) fn show_error(error: &LoadError) -> String {
    match error {
        LoadError::File(FileError::Read { path, source }) => {
            format!("file {}: unable to open file: {}", path.display(), show_cause(source))
        }
        LoadError::File(FileError::Line { path, line, error }) => format!("file {}({line}): {error}", path.display()),
        LoadError::Line(problem) | LoadError::Everything(problem) => show_problem(problem),
        error => format!("file {error}"),
    }
}

/// What the system says, without the number that Rust adds.
pub(super) fn show_cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// The most warnings of one load of one dataset that are told; more are counted.
const MAX_WARNINGS: usize = 5;
