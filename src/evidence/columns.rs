//! Lines of columns: CSV (RFC 4180, one record a line) or TSV, with a header that says which column is which.
//!
//! Invariant: columns are slices of the line, save a quoted one with quotes in it. Columns that nobody asked for are
//! not looked at.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

use super::error::StatementError;

/// Where the columns that are wanted stand in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header<const N: usize> {
    separator: u8,
    /// For each column of a line, which wanted one it is.
    places: Vec<Option<usize>>,
}

impl<const N: usize> Header<N> {
    /// Columns in the order in which they are wanted.
    pub(super) fn in_order(separator: u8) -> Self {
        Self { separator, places: (0..N).map(Some).collect() }
    }

    /// Reads a header, in which each wanted column may have one of several names. None if the first of them is missing,
    /// so that the line is no header.
    pub(super) fn read(line: &[u8], separator: u8, wanted: &[&[&str]; N]) -> Option<Self> {
        let line = line.strip_prefix(b"#").unwrap_or(line);
        let places: Vec<Option<usize>> = line
            .split(|&byte| byte == separator)
            .take(MAX_COLUMNS)
            .map(|name| {
                let name = name.trim_ascii().trim_ascii_start();
                let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
                wanted.iter().position(|names| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
            })
            .collect();
        places.contains(&Some(0)).then_some(Self { separator, places })
    }

    /// Whether a wanted column is there.
    pub(super) fn has(&self, wanted: usize) -> bool {
        self.places.contains(&Some(wanted))
    }

    /// The wanted columns of a line; what it does not have is empty.
    pub(super) fn columns<'a>(&self, line: &'a [u8]) -> Result<[Cow<'a, [u8]>; N], StatementError> {
        let mut found = std::array::from_fn(|_| Cow::Borrowed(&line[..0]));
        if memchr(b'"', line).is_none() {
            let ends = memchr_iter(self.separator, line).chain([line.len()]);
            let mut begin = 0;
            for (place, end) in self.places.iter().zip(ends) {
                if let Some(place) = *place {
                    found[place] = Cow::Borrowed(line[begin..end].trim_ascii());
                }
                begin = end + 1;
            }
            return Ok(found);
        }
        let mut rest = Some(line);
        for place in &self.places {
            let Some(text) = rest else { break };
            let column;
            (column, rest) = split_column(text, self.separator)?;
            if let Some(place) = *place {
                found[place] = column;
            }
        }
        Ok(found)
    }
}

/// A column, and what follows it.
type Split<'a> = (Cow<'a, [u8]>, Option<&'a [u8]>);

/// The first column, and what follows its separator, if one follows.
fn split_column(text: &[u8], separator: u8) -> Result<Split<'_>, StatementError> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = memchr(separator, text).unwrap_or(text.len());
        return Ok((Cow::Borrowed(text[..end].trim_ascii()), text.get(end + 1..)));
    };
    let mut column = Cow::Borrowed(&quoted[..0]);
    let mut rest = quoted;
    loop {
        let at = memchr(b'"', rest).ok_or(StatementError::Quote)?;
        let (part, after) = (&rest[..at], &rest[at + 1..]);
        if column.is_empty() {
            column = Cow::Borrowed(part);
        } else {
            column.to_mut().extend_from_slice(part);
        }
        match after {
            [] => return Ok((column, None)),
            [b'"', after @ ..] => {
                column.to_mut().push(b'"');
                rest = after;
            }
            [byte, after @ ..] if *byte == separator => return Ok((column, Some(after))),
            _ => return Err(StatementError::Quote),
        }
    }
}

/// Columns of a header that are looked at: a list with more is none of ours, and a header is no place to spend memory.
const MAX_COLUMNS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str, line: &str) -> Result<[String; 2], StatementError> {
        let header = Header::<2>::read(header.as_bytes(), b',', &[&["a"], &["b", "bee"]]).expect("a header");
        let found = header.columns(line.as_bytes())?;
        Ok(found.map(|column| String::from_utf8_lossy(&column).into_owned()))
    }

    #[test]
    fn columns_are_found_by_the_headers_names() {
        assert_eq!(columns("x,Bee,a", "1,2,3"), Ok(["3".into(), "2".into()]));
        assert_eq!(columns("#a,b", " 1 "), Ok(["1".into(), String::new()]));
        assert_eq!(columns("\"a\",b", "\"1,\"\"2\"\"\",\"\""), Ok(["1,\"2\"".into(), String::new()]));
        assert_eq!(columns("a,b", "\"1"), Err(StatementError::Quote));
        assert_eq!(columns("a,b", "\"1\"2,3"), Err(StatementError::Quote));
        assert_eq!(Header::<2>::read(b"1,2", b',', &[&["a"], &["b"]]), None);
    }
}
