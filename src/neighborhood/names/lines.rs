//! Lines of the small tables about names: lists of names, ranks, observations.

use std::path::{Path, PathBuf};

use crate::feed::{Compression, Excerpt, FileError, LineError, Lines, Skipped};

/// Why a table about names cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file cannot be read to its end.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no suffix list.
    #[error("{path}: no Public Suffix List: {reason}; fetch https://publicsuffix.org/list/public_suffix_list.dat")]
    Suffixes {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
}

/// Hands every line that says something to `parse`, without comments; lines it has no use for are skipped.
pub(super) fn each(path: &Path, mut parse: impl FnMut(&str) -> Result<(), LineError>) -> Result<Skipped, FileError> {
    let mut skipped = Skipped::default();
    Lines::open(path, Compression::Detect)?.each_or_skip(&mut skipped, |line| {
        let line = String::from_utf8_lossy(line);
        match line.split_once('#').map_or(&*line, |(line, _)| line).trim() {
            "" => Ok(()),
            line => parse(line),
        }
    })?;
    Ok(skipped)
}

/// A host name in the form that evidence has it in: lower case, international ones in their ASCII form, no dot at either
/// end.
pub(super) fn parse_host(text: &str) -> Result<String, LineError> {
    let no_name = || LineError::NoName { found: Excerpt::word(text.as_bytes()) };
    let name = text.trim().trim_matches('.');
    let ascii = match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => idna::domain_to_ascii(name).map_err(|_| no_name())?,
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = ascii.split('.');
    let is_name = labels.all(|label| (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(is_host));
    if is_name && ascii.len() <= MAX_HOST { Ok(ascii) } else { Err(no_name()) }
}

/// RFC 1035: a name is at most 253 characters of text.
const MAX_HOST: usize = 253;
/// RFC 1035: a label is at most 63.
const MAX_LABEL: usize = 63;
