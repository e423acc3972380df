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
    let mut header: Option<Header<5>> = None;
    while let Some((number, line)) = lines.next_line()? {
        let result = line.map_err(StatementError::from).and_then(|line| match line.first() {
            None => Ok(Taken::Nothing),
            Some(b'{') => parse_json(line, at, collector),
            Some(_) => match &header {
                Some(header) => parse_columns(line, header, at, collector),
                None => read_header(line, &mut header),
            },
        });
        problems.count(number, result);
    }
    Ok(problems)
}

fn read_header(line: &[u8], header: &mut Option<Header<5>>) -> Result<Taken, StatementError> {
    let named = [b',', b'\t', b';'].iter().find_map(|&separator| Header::<5>::read(line, separator, &COLUMNS));
    match named {
        Some(named) => {
            let missing = (0..REQUIRED).find(|&column| !named.has(column));
            if let Some(missing) = missing {
                return Err(StatementError::NoColumn { column: COLUMNS[missing][0], form: FORM });
            }
            *header = Some(named);
            Ok(Taken::Nothing)
        }
        None if line[0] == b'#' => Ok(Taken::Nothing),
        None => Err(StatementError::NoColumn { column: COLUMNS[0][0], form: FORM }),
    }
}

fn parse_columns(
    line: &[u8],
    header: &Header<5>,
    at: Time,
    collector: &mut Collector,
) -> Result<Taken, StatementError> {
    if line[0] == b'#' {
        return Ok(Taken::Nothing);
    }
    let [time, source, subject, category, weight] = header.columns(line)?;
    let weight = match &*weight {
        [] => 1.0,
        text => {
            let wrong = || StatementError::Weight { found: Excerpt::new(text) };
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)?
        }
    };
    let text = |column: &[u8]| String::from_utf8_lossy(column).into_owned();
    // nearly always borrowed: only what is no UTF-8 is copied
    let source = std::str::from_utf8(&source).map_or_else(|_| Cow::Owned(text(&source)), Cow::Borrowed);
    let category = std::str::from_utf8(&category).map_or_else(|_| Cow::Owned(text(&category)), Cow::Borrowed);
    take(&Report { time: &time, source: &source, subject: &subject, category: &category, weight }, at, collector)
}

/// A report as a JSON object; keys that are not known are somebody else's.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    time: JsonTime<'a>,
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

fn parse_json(line: &[u8], at: Time, collector: &mut Collector) -> Result<Taken, StatementError> {
    let json: Json<'_> =
        serde_json::from_slice(line).map_err(|error| StatementError::Json { why: error.to_string() })?;
    let time = match json.time {
        JsonTime::Seconds(seconds) => Cow::Owned(Time(seconds).to_string()),
        JsonTime::Text(text) => text,
    };
    let Json { source, subject, category, weight, .. } = json;
    let report =
        Report { time: time.as_bytes(), source: &source, subject: subject.as_bytes(), category: &category, weight };
    take(&report, at, collector)
}

/// A report as it is written.
struct Report<'a> {
    time: &'a [u8],
    source: &'a str,
    subject: &'a [u8],
    category: &'a str,
    weight: f64,
}

fn take(report: &Report<'_>, at: Time, collector: &mut Collector) -> Result<Taken, StatementError> {
    let &Report { time, source, subject, category, weight } = report;
    let time = Written::parse(time).ok_or_else(|| StatementError::Time { found: Excerpt::new(time) })?;
    let subject = Subject::parse(subject).ok_or_else(|| StatementError::Subject { found: Excerpt::new(subject) })?;
    if !(0.0..=1.0).contains(&weight) {
        return Err(StatementError::Weight { found: Excerpt::new(weight.to_string().as_bytes()) });
    }
    if source.is_empty() {
        return Err(StatementError::NoSource);
    }
    let Some(time) = time.until(at) else { return Ok(Taken::Later) };
    let too_many = || StatementError::TooManySources { found: Excerpt::new(source.as_bytes()) };
    let source = collector.sources.find_or_add(source).ok_or_else(too_many)?;
    let family = collector.sources.family(source, category);
    let end = Some(time);
    collector.add(Statement { source, family, subject, begin: time, end, weight, speech: Speech::Stream });
    Ok(Taken::Statement)
}

/// The columns by their names; the first [`REQUIRED`] must be there.
const COLUMNS: [&[&str]; 5] =
    [&["time", "timestamp"], &["source"], &["subject", "ip", "address", "url"], &["category"], &["weight"]];
const REQUIRED: usize = 3;
const FORM: &str = "a header `time,source,subject,category[,weight]`, or a JSON object with these keys a line";
