//! Keys in query names, by which clients are known: `name key [quota …]` a line.
//!
//! Invariant: a key is one label that no query name has by chance, and is a secret: no message has it, or any part of its
//! line. The name is what everybody may see.

use arrayvec::ArrayVec;

use super::error::LineError;
use super::lines::Lines;
use super::plain::is_comment;
use super::text::{split_word, trim};
use super::{Entry, FileError, Quota, Sink};
use crate::dnsxl::name::MAX_LABEL;

/// Parses a file of keys.
pub(super) fn parse(lines: Lines<'_>, sink: &mut impl Sink) -> Result<(), FileError> {
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (name, key, quota) = parse_line(line).ok_or(LineError::Form { form: FORM })?;
        sink.entry(number, Entry::Key { name, key: &key, quota });
        Ok(())
    })
}

fn parse_line(line: &[u8]) -> Option<(&str, ArrayVec<u8, MAX_LABEL>, Quota)> {
    let (name, rest) = split_word(line);
    let (key, quota) = split_word(rest);
    let is_name = name.len() <= LONGEST_NAME && name.iter().all(u8::is_ascii_graphic);
    let is_key = key.len() <= MAX_LABEL && could_be_key(key);
    if !is_name || !is_key {
        return None;
    }
    let quota = Quota::parse(std::str::from_utf8(quota).ok()?)?;
    Some((std::str::from_utf8(name).ok()?, key.iter().map(u8::to_ascii_lowercase).collect(), quota))
}

/// Whether a label could be meant as a key: it is as long as one, and written as one.
pub fn could_be_key(label: &[u8]) -> bool {
    label.len() >= SHORTEST_KEY
        && label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"xn--"))
}

const FORM: &str = "name key [N/s] [N/d], a key of 16 to 63 letters, digits and hyphens";
/// The shortest key: 16 letters and digits are 82 bits, and no octet, nibble or usual last label of a name is as long.
const SHORTEST_KEY: usize = 16;
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
                "? no line of this format: write `name key [N/s] [N/d], a key of 16 to 63 letters, digits and hyphens`",
                "key bolt 5/s 1000/d",
            ]
        );
    }

    #[test]
    fn no_message_has_a_key_in_it() {
        for line in
            ["acme secretsecret", "secretsecretsecretsecret", "acme secret_secret_secret", "a secretsecretsecret 5/x"]
        {
            let notes = notes(Format::Keys, line);
            assert!(notes.len() == 1 && notes[0].starts_with('?') && !notes[0].contains("secret"), "{notes:?}");
        }
    }
}
