//! List histories: from when to when a list had a subject.
//!
//! A line is `subject <TAB> listed_on <TAB> removed_on`, the last empty while it is listed. A first line that names its
//! columns may put them in another order, and commas instead of tabs: many lists are published as CSV with `first_seen`
//! and `last_seen`. Invariant: what happened after the given time is not read, the removal included.

use std::path::Path;

use super::columns::Header;
use super::error::{Problems, StatementError, Taken};
use super::{Collector, SourceId, Speech, Statement, Subject, Time, Written};
use crate::feed::{Compression, Excerpt, FileError, Lines};

/// Reads the history of a source's list up to a time.
///
/// # Errors
///
/// The file cannot be read to its end. Wrong lines are left out, and told by what is returned.
pub fn read_history(path: &Path, source: SourceId, at: Time, collector: &mut Collector) -> Result<Problems, FileError> {
    read_lines(Lines::open(path, Compression::Detect)?, source, at, collector)
}

pub(super) fn read_lines(
    mut lines: Lines<'_>,
    source: SourceId,
    at: Time,
    collector: &mut Collector,
) -> Result<Problems, FileError> {
    let mut problems = Problems::new(lines.path().to_owned());
    let mut header: Option<Header<4>> = None;
    while let Some((number, line)) = lines.next_line()? {
        let result = line.map_err(StatementError::from).and_then(|line| {
            if header.is_none() {
                let named = [b'\t', b','].iter().find_map(|&separator| Header::read(line, separator, &COLUMNS));
                if let Some(named) = named {
                    header = Some(named);
                    return Ok(Taken::Nothing);
                }
            }
            if line.is_empty() || line[0] == b'#' {
                return Ok(Taken::Nothing);
            }
            let header = header.get_or_insert_with(|| Header::in_order(b'\t'));
            parse(line, header, source, at, collector)
        });
        problems.count(number, result);
    }
    Ok(problems)
}

fn parse(
    line: &[u8],
    header: &Header<4>,
    source: SourceId,
    at: Time,
    collector: &mut Collector,
) -> Result<Taken, StatementError> {
    let [subject, listed, removed, category] = header.columns(line)?;
    if listed.is_empty() {
        return Err(StatementError::NoColumn { column: "listed_on", form: FORM });
    }
    let parsed = Subject::parse(&subject).ok_or_else(|| StatementError::Subject { found: Excerpt::new(&subject) })?;
    let time = |text: &[u8]| Written::parse(text).ok_or_else(|| StatementError::Time { found: Excerpt::new(text) });
    let begin = time(&listed)?;
    let end = if removed.is_empty() { None } else { Some(time(&removed)?) };
    if end.is_some_and(|end| end.end() < begin.start()) {
        let (listed, removed) = (Excerpt::new(&listed), Excerpt::new(&removed));
        return Err(StatementError::Backwards { listed, removed });
    }
    let Some(begin) = begin.until(at) else { return Ok(Taken::Later) };
    let category = String::from_utf8_lossy(&category);
    let family = collector.sources.family(source, &category);
    let end = end.and_then(|end| end.until(at));
    let statement = Statement { source, family, subject: parsed, begin, end, weight: 1.0, speech: Speech::List };
    collector.add(statement);
    Ok(Taken::Statement)
}

/// The columns by the names that lists give them.
const COLUMNS: [&[&str]; 4] = [
    &["subject", "ip", "address", "domain", "url", "host"],
    &["listed_on", "listed", "first_seen"],
    &["removed_on", "removed", "removed_on(empty=still listed at last version)", "last_seen"],
    &["category"],
];
const FORM: &str = "subject <TAB> listed_on <TAB> removed_on";
