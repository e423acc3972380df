//! Reports: a stream of events, as CSV with a header or as JSON lines.
//!
//! The columns, or keys, are `time, source, subject, category[, weight]`. Invariant: a report about a time that is yet
//! to come is not read; one without a category is about what its source is about.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use super::columns::Header;
use super::error::{Problems, StatementError, Taken};
use super::{Collector, Speech, Statement, Subject, Time, Written};
use crate::feed::{Compression, Excerpt, FileError, Lines};

/// Reads reports up to a time. Sources that are not known yet become known.
///
/// # Errors
///
/// The file cannot be read to its end. Wrong lines are left out, and told by what is returned.
pub fn read_reports(path: &Path, at: Time, collector: &mut Collector) -> Result<Problems, FileError> {
    read_lines(Lines::open(path, Compression::Detect)?, at, collector)
}

pub(super) fn read_lines(mut lines: Lines<'_>, at: Time, collector: &mut Collector) -> Result<Problems, FileError> {
    let mut problems = Problems::new(lines.path().to_owned());
    let mut reports = ReportLines::default();
    while let Some((number, line)) = lines.next_line()? {
        let result = line.map_err(StatementError::from).and_then(|line| match reports.parse(line)? {
            Some(report) => take(&report, at, collector),
            None => Ok(Taken::Nothing),
        });
        problems.count(number, result);
    }
    Ok(problems)
}

/// Parses lines one by one: JSON objects, and CSV behind the line that is its header.
#[derive(Clone, Debug, Default)]
pub struct ReportLines {
    header: Option<Header<5>>,
}

/// A report as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenReport<'a> {
    /// None if it is not written.
    pub time: Option<Written>,
    /// Never empty.
    pub source: Cow<'a, str>,
    /// Not parsed yet: see [`Self::subject`].
    pub subject: Cow<'a, [u8]>,
    /// Empty if it is not written.
    pub category: Cow<'a, str>,
    /// 0–1.
    pub weight: f64,
}

impl ReportLines {
    /// Parses a line; none if it says nothing, as headers, comments and empty lines.
    ///
    /// # Errors
    ///
    /// What is wrong with the line, the subject excepted.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Result<Option<WrittenReport<'a>>, StatementError> {
        match line.first() {
            None => Ok(None),
            Some(b'{') => parse_json(line).map(Some),
            Some(b'#') if self.header.is_some() => Ok(None),
            Some(_) => match &self.header {
                Some(header) => parse_columns(line, header).map(Some),
                None => {
                    self.header = read_header(line)?;
                    Ok(None)
                }
            },
        }
    }
}

impl WrittenReport<'_> {
    /// The subject.
    ///
    /// # Errors
    ///
    /// It is neither an address, a prefix, a domain nor a URL.
    pub fn subject(&self) -> Result<Subject<'_>, StatementError> {
        Subject::parse(&self.subject).ok_or_else(|| StatementError::Subject { found: Excerpt::new(&self.subject) })
    }
}

fn read_header(line: &[u8]) -> Result<Option<Header<5>>, StatementError> {
    let named = [b',', b'\t', b';'].iter().find_map(|&separator| Header::<5>::read(line, separator, &COLUMNS));
    match named {
        Some(named) => {
            let missing = (0..REQUIRED).find(|&column| !named.has(column));
            missing.map_or(Ok(Some(named)), |missing| {
                Err(StatementError::NoColumn { column: COLUMNS[missing][0], form: FORM })
            })
        }
        None if line[0] == b'#' => Ok(None),
        None => Err(StatementError::NoColumn { column: COLUMNS[0][0], form: FORM }),
    }
}

fn parse_columns<'a>(line: &'a [u8], header: &Header<5>) -> Result<WrittenReport<'a>, StatementError> {
    let [time, source, subject, category, weight] = header.columns(line)?;
    let weight = match &*weight {
        [] => 1.0,
        text => {
            let wrong = || StatementError::Weight { found: Excerpt::new(text) };
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?
        }
    };
    check(WrittenReport {
        time: Some(parse_time(&time)?),
        source: to_text(source),
        subject,
        category: to_text(category),
        weight,
    })
}

/// Nearly always borrowed: only what is no UTF-8 is copied.
fn to_text(column: Cow<'_, [u8]>) -> Cow<'_, str> {
    match column {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// A report as a JSON object; keys that are not known are somebody else's.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    time: Option<JsonTime<'a>>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(default = "whole")]
    weight: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonTime<'a> {
    Seconds(u32),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

fn whole() -> f64 {
    1.0
}

fn parse_json(line: &[u8]) -> Result<WrittenReport<'_>, StatementError> {
    let json: Json<'_> =
        serde_json::from_slice(line).map_err(|error| StatementError::Json { why: error.to_string() })?;
    let time = match json.time {
        None => None,
        Some(JsonTime::Seconds(seconds)) => Some(Written::Second(Time(seconds))),
        Some(JsonTime::Text(text)) => Some(parse_time(text.as_bytes())?),
    };
    let Json { source, subject, category, weight, .. } = json;
    let subject = match subject {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    check(WrittenReport { time, source, subject, category, weight })
}

fn parse_time(text: &[u8]) -> Result<Written, StatementError> {
    Written::parse(text).ok_or_else(|| StatementError::Time { found: Excerpt::new(text) })
}

fn check(report: WrittenReport<'_>) -> Result<WrittenReport<'_>, StatementError> {
    if !(0.0..=1.0).contains(&report.weight) {
        return Err(StatementError::Weight { found: Excerpt::new(report.weight.to_string().as_bytes()) });
    }
    if report.source.is_empty() {
        return Err(StatementError::NoSource);
    }
    Ok(report)
}

fn take(report: &WrittenReport<'_>, at: Time, collector: &mut Collector) -> Result<Taken, StatementError> {
    let time = report.time.ok_or(StatementError::NoTime)?;
    let subject = report.subject()?;
    let Some(time) = time.until(at) else { return Ok(Taken::Later) };
    let source = &report.source;
    let too_many = || StatementError::TooManySources { found: Excerpt::new(source.as_bytes()) };
    let source = collector.sources.find_or_add(source).ok_or_else(too_many)?;
    let family = collector.sources.family(source, &report.category);
    let (end, weight) = (Some(time), report.weight);
    collector.add(Statement { source, family, subject, begin: time, end, weight, speech: Speech::Stream });
    Ok(Taken::Statement)
}

/// The columns by their names; the first [`REQUIRED`] must be there.
const COLUMNS: [&[&str]; 5] =
    [&["time", "timestamp"], &["source"], &["subject", "ip", "address", "url"], &["category"], &["weight"]];
const REQUIRED: usize = 3;
const FORM: &str = "a header `time,source,subject,category[,weight]`, or a JSON object with these keys a line";
