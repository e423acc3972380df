//! Serving: the first load, then signals and the check of files, until the end.
//!
//! Invariant: one thread does all of it, so that a reload, a reset and the end never meet. Answering goes on meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::StartError;
use super::announce::{Announcer, Began, show_cause};
use super::log::Log;
use super::options::{Options, Output};
use super::statistics::{Statistics, append_mark};
use crate::query_log::{FileSpec, Form, News, QueryLog, Sample, Tell, Watch};
use crate::reload::{Plan, Store};
use crate::server::notify::Notifier;
use crate::server::signals::{self, Signal};
use crate::server::{Bound, Observer, Tallies};
use crate::snapshot::Published;
use crate::zone::{UnixTime, ZoneError};

/// What is served, and how it is told.
#[derive(Debug)]
pub(super) struct Service<'o> {
    options: &'o Options,
    store: Store,
    announcer: Announcer,
    log: Log,
    /// Whether the operator was told that the file of `-s` cannot be written.
    statistics_fail: bool,
}

impl<'o> Service<'o> {
    /// With nothing loaded yet.
    pub(super) fn new(plan: Plan, options: &'o Options, log: Log) -> Self {
        Self { options, store: Store::new(plan), announcer: Announcer::new(log.clone()), log, statistics_fail: false }
    }

    /// Loads what is new; whether every zone has its data.
    pub(super) fn load(&mut self) -> Result<bool, ZoneError> {
        let began = Began::now();
        let events = self.store.load(now());
        let lacks_data = self.announcer.tell(&self.store, &events, &began);
        // what cannot be a zone at all is a mistake of whoever starts the program
        self.store.snapshot().map(|_| !lacks_data)
    }

    /// Answers until a signal ends it.
    pub(super) fn run(mut self, bound: Bound, notifier: &Notifier) -> Result<(), StartError> {
        // before the first query: a signal is never lethal once somebody may send one
        let (sender, events) = mpsc::channel::<Signal>();
        signals::forward(sender).map_err(StartError::Start)?;
        let published = Arc::new(Published::new(self.store.snapshot()?));
        let zones: Vec<String> = self.store.plan().zones.iter().map(|zone| zone.spec.apex.to_string()).collect();
        let query_log = self.options.query_log.as_ref();
        let query_log = query_log.map(|output| open_log(output, self.log.clone())).transpose();
        let watch = query_log.map_err(StartError::Start)?.map(|log| Arc::new(Watch { log: Some(log), dnstap: None }));
        let sockets = bound.addresses().len();
        let observer = watch.clone().map(|watch| watch as Arc<dyn Observer>);
        let running = bound.run(published.clone(), observer)?;
        let tallies = running.tallies().clone();
        let version = env!("CARGO_PKG_VERSION");
        let count = zones.len();
        self.log.info(format_args!("infamy version {version} started ({sockets} socket(s), {count} zone(s))"));
        notifier.ready();

        let mut statistics = Statistics::new(zones, now().0);
        self.write(append_mark);
        let mut checked = Instant::now();
        loop {
            let wait = self.options.check.saturating_sub(checked.elapsed());
            let event = match self.options.check {
                Duration::ZERO => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                _ => events.recv_timeout(wait),
            };
            match event {
                Ok(Signal::Terminate) => break,
                Ok(Signal::User1) => {
                    self.tell(&statistics, &tallies);
                    self.write(|output, now| statistics.append(&tallies, output, now));
                }
                Ok(Signal::User2) => {
                    self.tell(&statistics, &tallies);
                    self.write(|output, now| statistics.append(&tallies, output, now));
                    statistics.reset(&tallies, now().0);
                    self.write(append_mark);
                }
                Ok(Signal::Hangup) => {
                    watch.iter().filter_map(|watch| watch.log.as_ref()).for_each(QueryLog::reopen);
                    self.check(&published);
                }
                Err(RecvTimeoutError::Timeout) => {
                    // from now and not from when it was due: a load that takes longer is not made up for
                    checked = Instant::now();
                    self.write(|output, now| statistics.append(&tallies, output, now));
                    self.check(&published);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        notifier.stopping();
        self.log.info("terminating");
        running.shutdown();
        self.tell(&statistics, &tallies);
        self.write(|output, now| statistics.append(&tallies, output, now));
        self.write(append_mark);
        // the last lines of the query log are written when its last holder goes
        drop(watch);
        Ok(())
    }

    /// Looks at the files, and serves what is new in them.
    fn check(&mut self, published: &Published) {
        let began = Began::now();
        let events = self.store.load(now());
        let has_news = events.iter().any(|event| event.result.is_ok());
        // told when it is so: whoever reads of a reload may ask at once
        match has_news.then(|| self.store.snapshot()) {
            // dropped here, and not by a thread that answers
            Some(Ok(snapshot)) => drop(published.publish(snapshot)),
            Some(Err(error)) => self.log.error(format_args!("zone {error}: what was loaded before stays in use")),
            None => {}
        }
        self.announcer.tell(&self.store, &events, &began);
    }

    fn tell(&self, statistics: &Statistics, tallies: &Tallies) {
        statistics.messages(tallies, now().0).iter().for_each(|message| self.log.info(message));
    }

    /// Writes to the file of `-s`, if there is one.
    fn write(&mut self, write: impl FnOnce(&Output, i64) -> io::Result<()>) {
        let Some(output) = &self.options.statistics else { return };
        let written = write(output, now().0);
        if let Err(why) = &written
            && !self.statistics_fail
        {
            let path = output.path.as_deref().unwrap_or_else(|| "-".as_ref());
            self.log.error(format_args!("error writing stats to `{}': {}", path.display(), show_cause(why)));
        }
        self.statistics_fail = written.is_err();
    }
}

/// Opens the query log, which tells of itself as rbldnsd's does.
fn open_log(output: &Output, log: Log) -> io::Result<QueryLog> {
    let tell: Tell = Box::new(move |name, news| match news {
        News::Fails { doing, why } => {
            log.error(format_args!("error {doing} logfile `{name}': {}: lines are lost", show_cause(why)));
        }
        News::Again { lost } => log.info(format_args!("logfile `{name}' is written again, {lost} lines were lost")),
    });
    let (path, is_unbuffered) = (output.path.clone(), output.plus);
    QueryLog::start(&FileSpec { path, form: Form::Rbldnsd, sample: Sample::ALL, is_unbuffered }, tell)
}

/// The time.
pub(super) fn now() -> UnixTime {
    // a clock before 1970 was never set
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64))
}
