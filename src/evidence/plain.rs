//! Plain lists as evidence: everything in the file was listed on one date, which the caller says.
//!
//! The date is that of the list's publication: a plain list has no time in it, and a file's own is when it was copied.
//! The format is that of plain lists elsewhere; an exclusion (`!`) says nothing bad and is left out.

use std::path::Path;

use super::error::{Problems, StatementError, Taken};
use super::{Collector, SourceId, Speech, Statement, Subject, Time, Written};
use crate::feed::{Compression, Excerpt, FileError, Lines};

/// Reads a source's plain list as it stood on a date, up to a time.
///
/// # Errors
///
/// The file cannot be read to its end. Wrong lines are left out, and told by what is returned.
pub fn read_plain(
    path: &Path,
    source: SourceId,
    listed: Written,
    at: Time,
    collector: &mut Collector,
) -> Result<Problems, FileError> {
    let mut lines = Lines::open(path, Compression::Detect)?;
    let mut problems = Problems::new(path.to_owned());
    while let Some((number, line)) = lines.next_line()? {
        let result = line.map_err(StatementError::from).and_then(|line| parse(line, source, listed, at, collector));
        problems.count(number, result);
    }
    Ok(problems)
}

fn parse(
    line: &[u8],
    source: SourceId,
    listed: Written,
    at: Time,
    collector: &mut Collector,
) -> Result<Taken, StatementError> {
    let line = line.trim_ascii();
    if matches!(line, [] | [b'#' | b';' | b'!', ..] | [b'/', b'/', ..]) {
        return Ok(Taken::Nothing);
    }
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#' | b';')).unwrap_or(line.len());
    let word = &line[..end];
    let subject = Subject::parse(word).ok_or_else(|| StatementError::Subject { found: Excerpt::new(word) })?;
    let Some(begin) = listed.until(at) else { return Ok(Taken::Later) };
    let family = collector.sources.family(source, "");
    // until the next version says something else, which would be another file
    let end = Some(begin);
    collector.add(Statement { source, family, subject, begin, end, weight: 1.0, speech: Speech::List });
    Ok(Taken::Statement)
}
