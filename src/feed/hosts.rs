//! Hosts files: `0.0.0.0 name name…`, as blockers of advertisements read them.
//!
//! Every name behind an address is listed, by default the exact name. Invariant: the names that a hosts file gives the
//! machine itself are never listed.

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::name::NameBuffer;
use super::plain::{is_comment, parse_addresses, split_exclusion};
use super::text::{split_word, trim, words};
use super::{Entry, FileError, Reading, Scope, Sink};

/// Parses a hosts file.
pub(super) fn parse(lines: Lines<'_>, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let mut name = NameBuffer::new();
    let scope = reading.scope.unwrap_or(Scope::Exact);
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (said, line) = split_exclusion(line);
        let (address, names) = split_word(line);
        // fe80::1%lo0 is the address of some systems' own names
        let address = address.split(|&byte| byte == b'%').next().unwrap_or(address);
        if !matches!(parse_addresses(address), Ok(Some(_))) || names.is_empty() {
            return Err(LineError::Form { form: "0.0.0.0 name" });
        }
        for word in words(names).take_while(|word| !is_comment(word)) {
            if is_own(word) {
                continue;
            }
            match name.parse_plain(word) {
                Ok(_) => sink.entry(number, Entry::Name { wire: name.as_wire(), scope, said }),
                Err(LineError::NoSubject { .. }) => {
                    sink.problem(number, LineError::NoName { found: Excerpt::new(word) });
                }
                Err(error) => sink.problem(number, error),
            }
        }
        Ok(())
    })
}

/// Whether a name is one that systems give themselves.
fn is_own(name: &[u8]) -> bool {
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
        || name.get(..4).is_some_and(|front| front.eq_ignore_ascii_case(b"ip6-"))
}

/// Names of the machine itself in the hosts files that systems and lists come with.
const OWN: [&str; 7] = [
    "localhost",
    "localhost.localdomain",
    "localhost6",
    "localhost6.localdomain6",
    "local",
    "broadcasthost",
    "0.0.0.0",
];

#[cfg(test)]
mod tests {
    use crate::feed::tests::{check, check_problems, notes_with};
    use crate::feed::{Format, Reading, Scope};

    #[test]
    fn names_behind_an_address_are_listed() {
        check(
            Format::Hosts,
            &[
                ("0.0.0.0 list.example", "list.example"),
                ("127.0.0.1\tA.example  b.example # c.example", "a.example; b.example"),
                (":: list.example", "list.example"),
                ("0.0.0.0 word", "word"),
                ("# 0.0.0.0 list.example", ""),
                ("127.0.0.1 localhost", ""),
                ("127.0.0.1 localhost.localdomain local", ""),
                ("255.255.255.255 broadcasthost", ""),
                ("::1 localhost ip6-localhost ip6-loopback", ""),
                ("fe80::1%lo0 localhost", ""),
                ("0.0.0.0 0.0.0.0", ""),
                ("!0.0.0.0 list.example", "list.example excluded"),
            ],
        );
        let below = Reading { scope: Some(Scope::Both), ..Reading::default() };
        assert_eq!(notes_with(Format::Hosts, &below, "0.0.0.0 list.example"), [".list.example"]);
    }

    #[test]
    fn other_lines_are_problems() {
        check_problems(
            Format::Hosts,
            &[
                ("list.example", "no line of this format: write `0.0.0.0 name`"),
                ("0.0.0.0", "no line of this format"),
                ("0.0.0.0 a/b", "`a/b` is no domain name"),
                ("0.0.0.0 192.0.2.1", "`192.0.2.1` is no domain name"),
            ],
        );
    }
}
