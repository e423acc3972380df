//! Keys in query names, by which clients are known: `name key [quota …]` a line.
//!
//! Invariant: a key is one label that no query name has by chance, and is a secret: no message has it, or any part of its
//! line. The name is what everybody may see.

use arrayvec::ArrayVec;

use super::error::LineError;
use super::lines::Lines;
use super::plain::is_comment;
use super::text::{split_word, trim};
use super::{Entry, FileError, Quota, QuotaError, Sink};
use crate::dnsxl::name::MAX_LABEL;

/// Parses a file of keys.
pub(super) fn parse(lines: Lines<'_>, sink: &mut impl Sink) -> Result<(), FileError> {
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (name, key, quota) = parse_line(line).map_err(LineError::Key)?;
        sink.entry(number, Entry::Key { name, key: &key, quota });
        Ok(())
    })
}

fn parse_line(line: &[u8]) -> Result<(&str, ArrayVec<u8, MAX_LABEL>, Quota), KeyError> {
    let (name, rest) = split_word(line);
    let (key, rest) = split_word(rest);
    if could_be_key(name) {
        return Err(KeyError::NameLikeKey);
    }
    let name = std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()));
    let name = name.filter(|name| name.len() <= LONGEST_NAME).ok_or(KeyError::Name)?;
    match key.len() {
        0 => return Err(KeyError::NoKey),
        1..SHORTEST_KEY => return Err(KeyError::Short { found: key.len() }),
        SHORTEST_KEY..=MAX_LABEL if could_be_key(key) => {}
        SHORTEST_KEY..=MAX_LABEL => return Err(KeyError::Spelling),
        _ => return Err(KeyError::Long { found: key.len() }),
    }
    let quota = match std::str::from_utf8(rest) {
        Ok(text) if text.split_ascii_whitespace().any(|word| word.starts_with('#')) => return Err(KeyError::Comment),
        Ok(text) => Quota::parse(text)?,
        Err(_) => return Err(QuotaError::Word.into()),
    };
    Ok((name, key.iter().map(u8::to_ascii_lowercase).collect(), quota))
}

/// What is wrong with a line of a file of keys. It is told without a word of the line, in which a key may stand anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// As where the two stand in the wrong order.
    #[error(
        "the name could be a key: write `name key`, in this order; a name of {SHORTEST_KEY} letters or more needs another \
         character, as `.` or `_`"
    )]
    NameLikeKey,
    /// A name that does not fit a log.
    #[error("no name that a log can have: write one of at most {LONGEST_NAME} printable ASCII characters")]
    Name,
    /// A name alone.
    #[error("no key behind the name: write `name key`, and make one with `openssl rand -hex 16`")]
    NoKey,
    /// A key that could be guessed, or be a usual label.
    #[error("a key of {found} characters: {SHORTEST_KEY} are the fewest; make one with `openssl rand -hex 16`")]
    Short {
        /// How many there are.
        found: usize,
    },
    /// A key that no label holds.
    #[error("a key of {found} characters: a label has {MAX_LABEL} at most; make one with `openssl rand -hex 16`")]
    Long {
        /// How many there are.
        found: usize,
    },
    /// A key that is not written as one.
    #[error("a key of other characters than letters, digits and hyphens, or one that begins with `xn--`")]
    Spelling,
    /// A comment behind an entry.
    #[error("a comment behind the key: write it in a line of its own, which begins with `#`")]
    Comment,
    /// A quota that is none.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

/// Whether a label could be meant as a key: it is as long as one, and written as one.
pub fn could_be_key(label: &[u8]) -> bool {
    label.len() >= SHORTEST_KEY
        && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"xn--"))
}

/// The shortest key: 16 letters and digits are 82 bits, and no octet, nibble or usual last label of a name is as long.
pub const SHORTEST_KEY: usize = 16;
/// The longest name in bytes: it stands in lines of logs.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use crate::feed::Format;
    use crate::feed::tests::notes;

    #[test]
    fn a_key_has_a_name_and_perhaps_a_quota() {
        let list = "# customers\nacme 0123456789ABCDEFGHIJ\nbolt\tzyxwvutsrqponmlk-0  5/s 1000/d # not a comment\n\
                    bolt zyxwvutsrqponmlk-0  5/s 1000/d\n";
        assert_eq!(
            notes(Format::Keys, list),
            [
                "key acme unlimited",
                "? a comment behind the key: write it in a line of its own, which begins with `#`",
                "key bolt 5/s 1000/d",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_without_any_of_it() {
        for (line, wrong) in [
            ("secretsecretsecret acme", "the name could be a key: write `name key`, in this order"),
            ("secretsecretsecretsecret", "the name could be a key"),
            ("secret", "no key behind the name"),
            ("s\u{e9}cret secretsecretsecret", "no name that a log can have"),
            ("acme secretsecret", "a key of 12 characters: 16 are the fewest; make one with `openssl rand -hex 16`"),
            (&format!("acme {}", "secret".repeat(11)), "a key of 66 characters: a label has 63 at most"),
            ("acme secret_secret_secret", "a key of other characters than letters, digits and hyphens"),
            ("acme xn--secretsecretsecret", "or one that begins with `xn--`"),
            ("acme secretsecretsecret # secret", "a comment behind the key"),
            ("acme secretsecretsecret secret", "no quota: write `N/s`, `N/d`, both, or `unlimited`"),
            ("acme secretsecretsecret 5/m", "a quota by something else than the second or the day"),
            ("acme secretsecretsecret 0/s", "a quota of 0: write 1 or more"),
            ("acme secretsecretsecret 5/s 6/s", "two quotas by the second: write one"),
        ] {
            let notes = notes(Format::Keys, line);
            let [note] = &notes[..] else { panic!("{notes:?}") };
            assert!(note.starts_with('?') && note.contains(wrong) && !note.contains("secret"), "{note}");
        }
    }
}
