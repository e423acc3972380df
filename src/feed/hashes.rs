//! Lists of digests, one a line: of URLs, e-mail addresses, files.
//!
//! A line is a whole digest of the dataset's hash, in hexadecimal or in the dataset's alphabet, or a key as a query
//! spells it. What is behind a blank, comma or comment mark is ignored; `!` excludes. Invariant: a key of another
//! length than the dataset's is never given on, so a list of the wrong hash is all problems.

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::plain::{is_comment, split_exclusion};
use super::text::trim;
use super::{Entry, FileError, Reading, Sink};

/// Parses a list of digests.
pub(super) fn parse(lines: Lines<'_>, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let Some(shape) = reading.key else { return Err(FileError::NoKey { path: lines.path().to_owned() }) };
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (said, line) = split_exclusion(line);
        let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b',' | b';' | b'#')).unwrap_or(line.len());
        let digest = &line[..end];
        // both can be of one length only if they are the same
        let key = shape
            .read_label(digest)
            .or_else(|| shape.read_digest(digest))
            .ok_or_else(|| LineError::Digest { found: Excerpt::new(digest), characters: shape.characters })?;
        sink.entry(number, Entry::Hash { key: key.as_bytes(), said });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::dnsxl::{Alphabet, HashKind, KeyShape};
    use crate::feed::tests::{notes, notes_with};
    use crate::feed::{Format, Reading};

    fn reading(hash: HashKind, alphabet: Alphabet, characters: u8) -> Reading {
        Reading { key: Some(KeyShape { hash, alphabet, characters }), ..Reading::default() }
    }

    #[test]
    fn digests_and_keys_are_read_in_any_case() {
        let md5 = reading(HashKind::Md5, Alphabet::Hex, 32);
        let list = "# md5\n900150983CD24FB0d6963f7d28e17f72\t5\n!900150983cd24fb0d6963f7d28e17f72 # no\n";
        assert_eq!(
            notes_with(Format::Hashes, &md5, list),
            ["900150983cd24fb0d6963f7d28e17f72", "900150983cd24fb0d6963f7d28e17f72 excluded"]
        );
        let short = reading(HashKind::Sha1, Alphabet::Base32, 24);
        let list =
            "a9993e364706816aba3e25717850c26c9cd0d89d\nVGMT4NSHA2AWVOR6EVYXQUGCNSONBWE5\nvgmt4nsha2awvor6evyxqugc";
        assert_eq!(notes_with(Format::Hashes, &short, list), ["a9993e364706816aba3e25717850c2"; 3]);
    }

    #[test]
    fn other_lengths_are_problems() {
        let md5 = reading(HashKind::Md5, Alphabet::Hex, 16);
        for wrong in ["900150983cd24fb0d6963f7d28e17f7", "900150983cd24fb0d6963f7d28e17f7g", "abc"] {
            let notes = notes_with(Format::Hashes, &md5, wrong);
            assert!(notes[0].starts_with(&format!("? `{wrong}` is neither a digest nor a key of 16")), "{notes:?}");
        }
        assert!(notes(Format::Hashes, "abc")[0].starts_with("! -: a list of hashes needs a key"));
    }
}
