//! Reports as they come in: lines are taken as their bytes arrive, checked, and handed on by the chunk.
//!
//! Invariant: of a stream of any length there is at most a chunk of the connection, one line, and [`IN_FLIGHT`] chunks'
//! reports in memory; a client that is faster than the disk waits. A wrong line costs that line. What is told as taken is
//! durable.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::api::{LineProblem, MAX_TOLD, Reported, Taken};
use super::control::{Control, Refusal, Reply, Who};
use super::problem::Problem;
use crate::evidence::store::{Event, IdempotencyKey, Report, What};
use crate::evidence::{ReportLines, Time, WrittenReport};

/// The reports of one request.
pub(super) struct Intake {
    control: Arc<dyn Control>,
    who: Who,
    /// The Idempotency-Key of the request; each line has one of its own by it.
    key: Option<String>,
    now: Time,
    parser: ReportLines,
    batch: Vec<Event>,
    in_flight: VecDeque<oneshot::Receiver<Result<Taken, Refusal>>>,
    reported: Reported,
}

impl Intake {
    pub(super) fn new(control: Arc<dyn Control>, who: Who, key: Option<String>) -> Self {
        Self {
            control,
            who,
            key,
            now: now(),
            parser: ReportLines::default(),
            batch: Vec::new(),
            in_flight: VecDeque::new(),
            reported: Reported::default(),
        }
    }

    /// Takes a stream of lines to its end; `patience` is how long it may go without a whole line.
    pub(super) async fn take_stream(mut self, body: Body, patience: Duration) -> Result<Reported, Problem> {
        let result = self.take_lines(body, patience).await;
        match result {
            Ok(()) => Ok(self.reported),
            Err(problem) => {
                // what is under way may still be written, and is told then
                let _ = self.settle(0).await;
                Err(problem.after(self.reported))
            }
        }
    }

    async fn take_lines(&mut self, mut body: Body, patience: Duration) -> Result<(), Problem> {
        let mut lines = Lines::default();
        let mut deadline = Instant::now() + patience;
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(Problem::bad("the body broke off").closing()),
                Ok(None) => break,
                Err(_) => return Err(Problem::slow()),
            };
            let Ok(chunk) = frame.into_data() else { continue };
            self.now = now();
            if lines.feed(&chunk, |number, line| self.take_line(number, line)) {
                deadline = Instant::now() + patience;
            }
            self.hand_on().await?;
            self.settle(IN_FLIGHT).await?;
        }
        lines.end(|number, line| self.take_line(number, line));
        self.hand_on().await?;
        self.settle(0).await
    }

    /// Takes all of these lines, or, if one is wrong, none.
    pub(super) async fn take_lines_whole(mut self, lines: &[Vec<u8>]) -> Result<Reported, Problem> {
        for (line, number) in lines.iter().zip(1..) {
            self.take_line(number, Ok(line));
        }
        self.take_whole().await
    }

    /// Takes all of these reports, or, if one is wrong, none.
    pub(super) async fn take_reports_whole(mut self, reports: Vec<Report>) -> Result<Reported, Problem> {
        for (report, number) in reports.into_iter().zip(1..) {
            let event = self.event(number, report);
            self.take_event(number, event);
        }
        self.take_whole().await
    }

    async fn take_whole(mut self) -> Result<Reported, Problem> {
        if let Some(first) = self.reported.problems.first() {
            let detail = format!("report {}: {}; none was taken", first.line, first.reason);
            return Err(Problem::unprocessable(detail).after(self.reported));
        }
        let result = match self.hand_on().await {
            Ok(()) => self.settle(0).await,
            Err(problem) => Err(problem),
        };
        match result {
            Ok(()) => Ok(self.reported),
            Err(problem) => Err(problem.after(self.reported)),
        }
    }

    fn take_line(&mut self, number: u64, line: Result<&[u8], TooLong>) {
        let parsed = match line {
            Ok(line) => self.parser.parse(line).map_err(|error| error.to_string()),
            Err(TooLong) => Err(format!("longer than {MAX_LINE} bytes")),
        };
        let report = parsed.and_then(|written| written.map(|written| to_report(written, self.now)).transpose());
        match report {
            Ok(Some(report)) => {
                let event = self.event(number, report);
                self.take_event(number, event);
            }
            Ok(None) => {}
            Err(reason) => self.refuse(number, reason),
        }
    }

    fn take_event(&mut self, number: u64, event: Event) {
        match event.check() {
            Ok(()) => self.batch.push(event),
            Err(error) => self.refuse(number, error.to_string()),
        }
    }

    fn event(&self, number: u64, report: Report) -> Event {
        let key = self.key.as_ref().map(|key| IdempotencyKey::of(&self.who.0, key, number));
        Event { key, at: self.now.0.into(), who: self.who.0.clone(), what: What::Report(report) }
    }

    fn refuse(&mut self, line: u64, reason: String) {
        self.reported.refused += 1;
        if self.reported.problems.len() < MAX_TOLD {
            self.reported.problems.push(LineProblem { line, reason });
        }
    }

    /// Hands the batch to the store, as soon as that has room.
    async fn hand_on(&mut self) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let mut reports = mem::take(&mut self.batch);
        let deadline = Instant::now() + STORE;
        loop {
            let (reply, answer) = Reply::new();
            match self.control.report(reports, reply) {
                Ok(()) => {
                    self.in_flight.push_back(answer);
                    return Ok(());
                }
                Err(_) if Instant::now() > deadline => return Err(Refusal::Busy.into()),
                Err(again) => reports = again,
            }
            sleep(BREATH).await;
        }
    }

    /// Waits until at most this many batches are under way.
    async fn settle(&mut self, most: usize) -> Result<(), Problem> {
        while self.in_flight.len() > most {
            let Some(answer) = self.in_flight.pop_front() else { break };
            let answer = timeout(STORE, answer).await.map_err(|_| Problem::late())?;
            let taken = answer.map_err(|_| Refusal::Ending)??;
            self.reported.accepted += taken.accepted;
            self.reported.known += taken.known;
        }
        Ok(())
    }
}

fn to_report(written: WrittenReport<'_>, now: Time) -> Result<Report, String> {
    let WrittenReport { time, source, subject, category, weight } = written;
    let time = match time {
        None => now,
        Some(time) => time.until(Time(now.0.saturating_add(AHEAD))).ok_or("time: is yet to come")?.min(now),
    };
    let subject = String::from_utf8_lossy(&subject).trim().to_owned();
    Ok(Report { time, source: source.into_owned(), subject, category: category.into_owned(), weight, text: None })
}

pub(super) fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |since| since.as_secs().min(u32::MAX.into()) as u32))
}

/// Makes lines of chunks.
#[derive(Debug, Default)]
struct Lines {
    /// The begin of a line of which the end is not there yet, or nothing of one that is too long.
    partial: Vec<u8>,
    is_too_long: bool,
    /// How many lines there were.
    number: u64,
}

/// A line that is longer than [`MAX_LINE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooLong;

impl Lines {
    /// Takes a chunk; whether a line ended in it.
    fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(u64, Result<&[u8], TooLong>)) -> bool {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            let line = &chunk[begin..end];
            begin = end + 1;
            match self.partial.is_empty() && !self.is_too_long && line.len() <= MAX_LINE {
                true => {
                    self.number += 1;
                    each(self.number, Ok(line.trim_ascii()));
                }
                false => {
                    self.keep(line);
                    self.end(&mut each);
                }
            }
        }
        self.keep(&chunk[begin..]);
        begin > 0
    }

    fn keep(&mut self, part: &[u8]) {
        if self.partial.len() + part.len() > MAX_LINE {
            self.is_too_long = true;
            self.partial.clear();
        }
        if !self.is_too_long {
            self.partial.extend_from_slice(part);
        }
    }

    /// Ends the line that is there, if one is.
    fn end(&mut self, mut each: impl FnMut(u64, Result<&[u8], TooLong>)) {
        if self.partial.is_empty() && !self.is_too_long {
            return;
        }
        self.number += 1;
        let line = if self.is_too_long { Err(TooLong) } else { Ok(self.partial.trim_ascii()) };
        each(self.number, line);
        self.partial.clear();
        self.is_too_long = false;
    }
}

/// The longest line in bytes: the longest subject, with all its characters escaped, and as much again.
const MAX_LINE: usize = 16 * 1024;
/// Chunks that may wait for the store: one is written while another is parsed.
const IN_FLIGHT: usize = 2;
/// How long the store may have no room, or no answer.
const STORE: Duration = Duration::from_secs(30);
/// How long a stream waits before it asks again whether the store has room.
const BREATH: Duration = Duration::from_millis(20);
/// Seconds that a client's clock may be ahead of ours.
const AHEAD: u32 = 300;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut each = |number, line: Result<&[u8], TooLong>| found.push((number, line.ok().map(<[u8]>::to_vec)));
        for chunk in chunks {
            lines.feed(chunk, &mut each);
        }
        lines.end(&mut each);
        found
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(text in "[a-c\n\r ]{0,80}", cuts in proptest::collection::vec(0usize..80, 0..8)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut begin = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                chunks.push(&text.as_bytes()[begin..cut]);
                begin = cut;
            }
            let mut naive: Vec<&str> = text.split('\n').collect();
            if naive.last() == Some(&"") {
                naive.pop();
            }
            let expected: Vec<_> = naive.iter().zip(1..).map(|(line, number)| (number, Some(line.trim().as_bytes().to_vec()))).collect();
            prop_assert_eq!(lines_of(&chunks), expected);
        }
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself() {
        let long = vec![b'x'; MAX_LINE];
        let most = [&long[..], b"\nb\n"].concat();
        assert_eq!(lines_of(&[&most]), [(1, Some(long.clone())), (2, Some(b"b".to_vec()))]);
        let more = [&long[..], b"x\nb\n"].concat();
        assert_eq!(lines_of(&[&more]), [(1, None), (2, Some(b"b".to_vec()))]);
        assert_eq!(lines_of(&[&long, &long, b"\n", b"b"]), [(1, None), (2, Some(b"b".to_vec()))]);
        assert_eq!(lines_of(&[&long, b"x"]), [(1, None)]);
    }
}
