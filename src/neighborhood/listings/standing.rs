//! A survey that is kept, moved by reports, and taken again when there is a reason.
//!
//! What serves datasets of it does this: it hands reports, once they are durable, to [`Emit::report`](crate::dataset::Emit)
//! of every dataset that is emitted, and then asks each with `revise` what it says anew, since the number it was told the
//! last time. A revision takes the place of all that was said of its extent, and goes over what the dataset's table says.
//! Whenever a dataset has been emitted anew and its table is published, all of its revisions are dropped, and `revise(0)`
//! gives those that go over the new one. If a revision says that it `wants_emission`, the dataset is emitted soon.
//!
//! Invariant: a survey is taken without keeping anybody waiting: reports that come meanwhile move the one before, and are
//! said again to the one that is being taken, which may have read them or not; said twice a report is as good as once.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::survey::{Survey, SurveyError, SurveyPlan};
use super::super::{Increment, Previous, Report};
use super::{INTERVAL, LEAST_INTERVAL};
use crate::dataset::{Reported, Stamp};
use crate::evidence::{Family, Time};
use crate::feed::FileError;

/// A survey that is kept, moved by reports, and taken again when there is a reason.
#[derive(Debug)]
pub struct Standing {
    written: SurveyPlan,
    /// The plan after a chroot.
    confined: OnceLock<SurveyPlan>,
    /// Held while a survey is taken, so that whoever else wants one waits for it.
    taking: Mutex<()>,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    taken: Option<Taken>,
    /// The number of the last report.
    number: u64,
    /// What was reported since a survey is being taken; none if none is.
    meanwhile: Option<Vec<Kept>>,
}

#[derive(Debug)]
struct Taken {
    increment: Increment,
    stamps: Vec<Option<Stamp>>,
    /// A Unix time in seconds.
    at: i64,
    /// Why the survey is still the one before.
    caution: Option<String>,
}

/// A report that is kept for a survey that is being taken.
#[derive(Debug)]
struct Kept {
    time: Time,
    source: String,
    subject: String,
    category: String,
    weight: f64,
}

impl Kept {
    fn as_report(&self) -> Report<'_> {
        let Self { time, source, subject, category, weight } = self;
        Report { time: *time, source, subject, category, weight: *weight }
    }
}

impl Standing {
    /// Nothing yet.
    pub fn new(plan: SurveyPlan) -> Self {
        Self { written: plan, confined: OnceLock::new(), taking: Mutex::default(), current: Mutex::default() }
    }

    pub(super) fn plan(&self) -> &SurveyPlan {
        self.confined.get().unwrap_or(&self.written)
    }

    /// The plan as it was written.
    pub(super) fn written(&self) -> &SurveyPlan {
        &self.written
    }

    /// From now on its files are seen from inside of a new root.
    pub(super) fn confine(&self, inside: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<(), PathBuf> {
        // the first of the datasets that share the survey does it for all
        if self.confined.get().is_none() {
            let _ = self.confined.set(self.written.moved(inside)?);
        }
        Ok(())
    }

    /// The survey as things are at a Unix time in seconds.
    ///
    /// One that says too much, or too much else than the one before, is not believed: the one before stays.
    ///
    /// # Errors
    ///
    /// A file cannot be read; the survey before stays for those that have it.
    pub fn survey(&self, now: i64) -> Result<Arc<Survey>, SurveyError> {
        let _taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        // taken before reading: a change meanwhile is then seen the next time
        let stamps: Vec<_> = self.plan().files().iter().map(|path| Stamp::of(path)).collect();
        let previous = {
            let mut current = self.current();
            if let Some(taken) = current.taken.as_ref().filter(|taken| self.is_fresh(taken, &stamps, now)) {
                return Ok(Arc::clone(taken.increment.survey()));
            }
            current.meanwhile = Some(Vec::new());
            current.taken.as_ref().map(|taken| taken.increment.previous())
        };
        let at = self.plan().at.unwrap_or_else(|| Time(u32::try_from(now).unwrap_or(0)));
        let has_before = previous.is_some();
        let previous = previous.map_or_else(|| self.kept().map_err(SurveyError::from), Ok);
        let survey = previous.and_then(|previous| Survey::take(self.plan(), at, previous));
        let mut current = self.current();
        let meanwhile = current.meanwhile.take().unwrap_or_default();
        let survey = Arc::new(survey?);
        let caution = Some(()).filter(|()| has_before).and_then(|()| survey.caution());
        if let Some(taken) = current.taken.as_mut().filter(|_| caution.is_some()) {
            // what is believed stays, with all that was reported since
            (taken.stamps, taken.at, taken.caution) = (stamps, now, caution);
            return Ok(Arc::clone(taken.increment.survey()));
        }
        let number = current.taken.as_ref().map_or(0, |taken| taken.increment.number());
        let mut increment = Increment::begin(Arc::clone(&survey), number);
        increment.report(meanwhile.iter().map(Kept::as_report), time(now));
        current.taken = Some(Taken { increment, stamps, at: now, caution: None });
        Ok(survey)
    }

    /// The states that the program before this one kept.
    fn kept(&self) -> Result<[Arc<Previous>; 2], FileError> {
        let read = |family: Family| match self.states_of(family).filter(|path| path.exists()) {
            Some(path) => Previous::open(&path).map(Arc::new),
            None => Ok(Arc::default()),
        };
        Ok([read(Family::Send)?, read(Family::Host)?])
    }

    /// Keeps the states of blocks for the next start, where there is a folder for it: states are left later than they are
    /// entered, and a restart is no news.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn keep(&self) -> io::Result<()> {
        let Some(previous) = self.look(Increment::previous) else { return Ok(()) };
        for family in Family::ALL {
            if let Some(path) = self.states_of(family) {
                previous[family.index()].write(&path)?;
            }
        }
        Ok(())
    }

    fn states_of(&self, family: Family) -> Option<PathBuf> {
        self.plan().state_directory.as_ref().map(|folder| folder.join(format!("states-{family}.tsv")))
    }

    /// Takes reports that it has not taken yet.
    pub fn report(&self, reports: &[Reported<'_>], now: i64) {
        let mut current = self.current();
        let Current { taken, number, meanwhile } = &mut *current;
        let new = reports.iter().filter(|report| report.number > *number).map(|report| {
            let &Reported { time, source, subject, category, weight, .. } = report;
            Report { time: Time(time), source, subject, category, weight }
        });
        let new: Vec<Report<'_>> = new.collect();
        *number = reports.iter().map(|report| report.number).fold(*number, u64::max);
        if let Some(meanwhile) = meanwhile {
            meanwhile.extend(new.iter().map(|report| Kept {
                time: report.time,
                source: report.source.to_owned(),
                subject: report.subject.to_owned(),
                category: report.category.to_owned(),
                weight: report.weight,
            }));
        }
        if let Some(taken) = taken {
            taken.increment.report(new, time(now));
        }
    }

    /// Looks at the increment; none without a survey yet.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Increment) -> T) -> Option<T> {
        self.current().taken.as_ref().map(|taken| look(&taken.increment))
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let current = self.current();
        let Some(taken) = current.taken.as_ref() else { return Vec::new() };
        let survey = taken.increment.survey();
        let caution = taken.caution.iter().map(|caution| format!("verdicts are held as they were: {caution}"));
        let unsaid = survey.left_out.saturating_sub(survey.problems.len() as u64);
        let more = (unsaid > 0).then(|| format!("and {unsaid} more lines of evidence that were left out"));
        caution.chain(survey.problems.iter().cloned()).chain(more).collect()
    }

    fn is_fresh(&self, taken: &Taken, stamps: &[Option<Stamp>], now: i64) -> bool {
        let age = now - taken.at;
        let is_full = taken.increment.is_full() && age >= LEAST_INTERVAL;
        taken.stamps == stamps && !is_full && (self.plan().at.is_some() || (0..INTERVAL).contains(&age))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Unix time as evidence has it.
fn time(now: i64) -> Time {
    Time(u32::try_from(now).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::mpsc;
    use std::thread;

    use super::super::super::{Region, State};
    use super::super::{Emission, Listings};
    use super::*;
    use crate::dataset::{Emit, Extent, Listing};

    const NOW: i64 = 1_780_272_000;

    /// A block that two groups report day after day, in a network of quiet ones.
    fn plan(folder: &Path) -> SurveyPlan {
        let (routes, reports) = (folder.join("routes"), folder.join("reports"));
        fs::write(&routes, "11.0.0.0/12\t64500\n11.16.0.0/14\t64501\n").unwrap();
        let mut text = "time,source,subject,category\n".to_owned();
        for host in 0..40 {
            let time = NOW - i64::from(host % 9) * 86_400;
            text += &format!("{time},a,11.7.1.{host},scan\n{time},b,11.7.1.{host},scan\n");
        }
        fs::write(&reports, text).unwrap();
        SurveyPlan { routes: vec![routes], reports: vec![reports], ..SurveyPlan::default() }
    }

    fn report(number: u64, subject: &str) -> Reported<'_> {
        Reported { number, time: (NOW - 60) as u32, source: "a", subject, category: "scan", weight: 1.0 }
    }

    fn addresses(listings: &Listings, since: u64) -> Vec<(u32, usize)> {
        let revisions = listings.revise(since).all.into_iter();
        let of = |extent| if let Extent::Ip4 { first, .. } = extent { first } else { 0 };
        revisions.map(|revision| (of(revision.extent), revision.listings.len())).collect()
    }

    #[test]
    fn a_report_is_taken_once_and_said_until_the_dataset_is_emitted_anew() {
        let folder = tempfile::tempdir().unwrap();
        let standing = Arc::new(Standing::new(plan(folder.path())));
        let listings = Listings::new(Arc::clone(&standing), Emission::Exact);
        listings.report(&[report(1, "11.3.3.3")], NOW);
        assert_eq!(addresses(&listings, 0), [], "nothing is emitted yet");
        standing.survey(NOW).unwrap();
        listings.report(&[report(1, "11.3.3.3"), report(2, "11.4.4.4"), report(3, "11.5.5.5")], NOW);
        assert_eq!(addresses(&listings, 0), [(0x0b04_0400, 1), (0x0b05_0500, 1)], "the first is known");
        let until = listings.revise(0).until;
        listings.report(&[report(2, "11.4.4.4")], NOW);
        assert_eq!(addresses(&listings, until), []);
        // what says nothing that the table does not is no revision
        let verdicts = Listings::new(Arc::clone(&standing), Emission::Verdicts(None));
        assert_eq!(addresses(&verdicts, 0), []);
        let Listing::Listed { text, .. } = &listings.revise(0).all[0].listings[0].1 else { panic!("it is listed") };
        assert!(text.starts_with("S=60 state=exact family=send groups=1 last=2026-05-31T23Z"), "{text}");
        let asked = crate::dataset::Asked::Address("11.4.4.4".parse().unwrap());
        let reasons = listings.explain(NOW, &asked).unwrap().unwrap();
        assert!(reasons.text.starts_with("11.4.4.4/32 send: exact, P = 0.60 by 1 groups"), "{}", reasons.text);
        // a survey that has not read them takes their place
        standing.survey(NOW + INTERVAL).unwrap();
        assert_eq!(addresses(&listings, 0), []);
    }

    #[test]
    fn datasets_of_one_survey_are_emitted_anew_together() {
        struct Nowhere;
        impl crate::feed::Sink for Nowhere {
            fn entry(&mut self, _: u64, _: crate::feed::Entry<'_>) {}
            fn special(&mut self, _: u64, _: crate::feed::Special<'_>) {}
            fn problem(&mut self, _: u64, _: crate::feed::LineError) {}
        }
        let folder = tempfile::tempdir().unwrap();
        let standing = Arc::new(Standing::new(plan(folder.path())));
        let [a, b] = [Emission::Exact, Emission::Score].map(|emission| Listings::new(Arc::clone(&standing), emission));
        [&a, &b].iter().for_each(|listings| listings.emit(NOW, &mut Nowhere).unwrap());
        assert_eq!([a.interval(), b.interval()], [Some(INTERVAL); 2]);
        a.emit(NOW + INTERVAL, &mut Nowhere).unwrap();
        assert_eq!([a.interval(), b.interval()], [Some(INTERVAL), Some(0)]);
        b.emit(NOW + INTERVAL, &mut Nowhere).unwrap();
        assert_eq!(b.interval(), Some(INTERVAL));
    }

    #[test]
    fn reports_do_not_wait_for_a_survey_and_are_not_lost_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        plan.reports.push(pipe.clone());
        let standing = Arc::new(Standing::new(plan));
        let (done, is_done) = mpsc::channel();
        let survey = thread::spawn({
            let standing = Arc::clone(&standing);
            move || {
                standing.survey(NOW).map(drop).unwrap();
                done.send(()).unwrap();
            }
        });
        // opening returns once the survey reads
        let mut pipe = fs::OpenOptions::new().write(true).open(pipe).unwrap();
        standing.report(&[report(1, "11.4.4.4")], NOW);
        assert!(is_done.try_recv().is_err(), "the survey waits for the pipe");
        writeln!(pipe, "time,source,subject,category").unwrap();
        drop(pipe);
        survey.join().unwrap();
        let touched = standing.look(|increment| increment.touched_after(0).cloned().collect::<Vec<Region>>());
        assert_eq!(touched, Some(vec![Region::Ip4(0x0b_0404)]));
    }

    #[test]
    fn states_outlive_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(folder.path());
        plan.state_directory = Some(folder.path().to_owned());
        let standing = Standing::new(plan.clone());
        standing.keep().unwrap();
        assert!(!folder.path().join("states-send.tsv").exists(), "nothing is known yet");
        standing.survey(NOW).unwrap();
        standing.keep().unwrap();
        let next = Standing::new(plan);
        next.survey(NOW + 1).unwrap();
        let before = next.look(|increment| increment.survey().judgements[0].previous.state(0x0b_0701)).unwrap();
        assert!(before > State::None);
        fs::write(folder.path().join("states-host.tsv"), "192.0.2.0/24\tawful\n").unwrap();
        let error = next.survey(NOW + 2 * INTERVAL).map(drop).err();
        assert!(error.is_none(), "only a start reads them");
        let error = Standing::new(next.plan().clone()).survey(NOW).map(drop).unwrap_err().to_string();
        assert!(error.contains("states-host.tsv:1: "), "{error}");
    }
}
