//! Plain lists: an address, CIDR, range or domain a line, as FireHOL's netsets and most others are.
//!
//! Comments begin with `#`, `;` or `//`; columns behind the first are ignored; `!` excludes. Host bits are masked away,
//! since such lists are made by tools that leave them. `*.name` means all below it, `.name` also the name, and a bare
//! name what [`Reading::scope`] says, by default both. Invariant: a bare word is no domain, so that a line of prose or
//! of another format is a problem and never a listing.

use std::net::Ipv6Addr;

use super::error::{Excerpt, LineError};
use super::lines::Lines;
use super::name::NameBuffer;
use super::rbldnsd::{UNSAID, parse_octets, parse_words};
use super::text::{leading_number, trim, trim_start};
use super::{Entry, FileError, Reading, Said, Scope, Sink};
use crate::dnsxl::subject::{mask4, mask6};

/// Parses a plain list.
pub(super) fn parse(lines: Lines<'_>, reading: &Reading, sink: &mut impl Sink) -> Result<(), FileError> {
    let mut name = NameBuffer::new();
    let scope = reading.scope.unwrap_or(Scope::Both);
    lines.each(sink, |number, line, sink| {
        let line = trim(line);
        if is_comment(line) {
            return Ok(());
        }
        let (said, line) = split_exclusion(line);
        match parse_addresses(line)? {
            Some(Addresses::Ip4(first, last)) => sink.entry(number, Entry::Ip4 { first, last, said }),
            Some(Addresses::Ip6(bits, length)) => sink.entry(number, Entry::Ip6 { bits, length, said }),
            None => {
                let scope = parse_domain(line, scope, &mut name)?;
                sink.entry(number, Entry::Name { wire: name.as_wire(), scope, said });
            }
        }
        Ok(())
    })
}

/// Whether a line says nothing of a subject; blanks in front of it are gone.
pub(super) fn is_comment(line: &[u8]) -> bool {
    matches!(line, [] | [b'#' | b';', ..] | [b'/', b'/', ..])
}

/// What a line says of its subject, and the line without the `!` of an exclusion.
pub(super) fn split_exclusion(line: &[u8]) -> (Said<'static>, &[u8]) {
    match line {
        [b'!', rest @ ..] => (Said::Excluded, trim_start(rest)),
        _ => (Said::Listed(UNSAID), line),
    }
}

/// The first column of a line.
fn subject(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#' | b';')).unwrap_or(line.len());
    &line[..end]
}

/// Addresses that a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// From the first to the last.
    Ip4(u32, u32),
    /// Address bits and prefix length.
    Ip6(u128, u8),
}

/// The addresses in front of a line; none if it does not begin as any.
pub(crate) fn parse_addresses(line: &[u8]) -> Result<Option<Addresses>, LineError> {
    if line.first().is_some_and(u8::is_ascii_digit)
        && let Some((octets, rest)) = parse_octets(line)
        && octets.count == 4
        && let Some(range) = parse_ip4(octets.bits, line, rest)?
    {
        return Ok(Some(range));
    }
    // up to four hexadecimal digits stand before the first colon of an address, so that `http:` begins none
    let digits = line.iter().take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if line.get(digits) == Some(&b':') { parse_ip6(subject(line)).map(Some) } else { Ok(None) }
}

/// What follows a whole address: none if it is the beginning of a name.
fn parse_ip4(address: u32, line: &[u8], rest: &[u8]) -> Result<Option<Addresses>, LineError> {
    let invalid = || LineError::Ip4 { found: Excerpt::word(line), forms: IP4_FORMS };
    match rest {
        [] | [b'#' | b';', ..] => Ok(Some(Addresses::Ip4(address, address))),
        [b'/', rest @ ..] => {
            let (length, rest) = leading_number(rest).filter(|&(length, _)| length <= 32).ok_or_else(invalid)?;
            if !ends(rest) {
                return Err(invalid());
            }
            let mask = mask4(length as u8);
            Ok(Some(Addresses::Ip4(address & mask, address | !mask)))
        }
        [b'-', end @ ..] => match parse_octets(end) {
            Some((end, rest)) if end.count == 4 && ends(rest) => range(address, end.bits).map(Some),
            _ => Ok(None),
        },
        [b' ' | b'\t', ..] => match trim_start(rest) {
            // a range with blanks around its dash would else list its first address alone
            [b'-', b' ' | b'\t', end @ ..] => match parse_octets(trim_start(end)) {
                Some((end, rest)) if end.count == 4 && ends(rest) => range(address, end.bits).map(Some),
                _ => Err(invalid()),
            },
            _ => Ok(Some(Addresses::Ip4(address, address))),
        },
        _ => Ok(None),
    }
}

fn range(first: u32, last: u32) -> Result<Addresses, LineError> {
    if last < first { Err(LineError::RangeBackwards) } else { Ok(Addresses::Ip4(first, last)) }
}

fn ends(rest: &[u8]) -> bool {
    matches!(rest, [] | [b' ' | b'\t' | b'#' | b';', ..])
}

fn parse_ip6(text: &[u8]) -> Result<Addresses, LineError> {
    let invalid = || LineError::Ip6 { found: Excerpt::new(text), forms: IP6_FORMS };
    let (address, length) = match memchr::memchr(b'/', text) {
        Some(at) => (&text[..at], super::text::number(&text[at + 1..]).filter(|&length| length <= 128)),
        None => (text, Some(128)),
    };
    let length = length.ok_or_else(invalid)? as u8;
    let bits = match parse_words(address) {
        Some((words, [])) if words.gap || words.count == 8 => words.bits,
        // the last 32 bits may be written as an IPv4 address
        _ => {
            std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()).ok_or_else(invalid)?.into()
        }
    };
    Ok(Addresses::Ip6(bits & mask6(length), length))
}

/// Parses the domain in front of a line into `name`; `bare` is what one without `*.` or `.` in front means.
fn parse_domain(line: &[u8], bare: Scope, name: &mut NameBuffer) -> Result<Scope, LineError> {
    let (scope, written) = match line {
        [b'*', b'.', written @ ..] => (Scope::Below, written),
        [b'.', written @ ..] => (Scope::Both, written),
        _ => (bare, line),
    };
    let (labels, length) = name.parse_plain_column(written)?;
    if labels == 1 && written.len() == line.len() {
        return Err(LineError::BareWord { found: Excerpt::new(&line[..length]) });
    }
    Ok(scope)
}

const IP4_FORMS: &str = "an IPv4 address, a prefix as 192.0.2.0/24, or a range as 192.0.2.4-192.0.2.9";
const IP6_FORMS: &str = "an IPv6 address, or a prefix as 2001:db8::/32";

#[cfg(test)]
mod tests {
    use crate::feed::tests::{check, check_problems, notes_with};
    use crate::feed::{Format, Reading, Scope};

    #[test]
    fn addresses_prefixes_and_ranges() {
        check(
            Format::Plain,
            &[
                ("192.0.2.4", "192.0.2.4"),
                ("192.0.2.4\t7", "192.0.2.4"),
                ("192.0.2.4 # comment", "192.0.2.4"),
                ("192.0.2.4#comment", "192.0.2.4"),
                ("192.0.2.0/24 ; SBL1", "192.0.2.0-192.0.2.255"),
                ("192.0.2.4/24", "192.0.2.0-192.0.2.255"),
                ("0.0.0.0/0", "0.0.0.0-255.255.255.255"),
                ("192.0.2.4-192.0.2.9", "192.0.2.4-192.0.2.9"),
                ("192.0.2.4 - 192.0.2.9 , 5 , name", "192.0.2.4-192.0.2.9"),
                ("2001:db8::1", "2001:db8::1/128"),
                ("2001:db8::1/32 x", "2001:db8::/32"),
                ("::ffff:192.0.2.4", "::ffff:192.0.2.4/128"),
                ("! 192.0.2.4", "192.0.2.4 excluded"),
                ("\u{feff}192.0.2.4\r\n", "192.0.2.4"),
            ],
        );
        check_problems(
            Format::Plain,
            &[
                ("192.0.2.9-192.0.2.4", "range ends before it starts"),
                ("192.0.2.4/33", "invalid address `192.0.2.4/33`"),
                ("192.0.2.4 - x", "invalid address"),
                ("192.0.2.256", "`192.0.2.256` is no address, range or domain"),
                ("192.0.2", "`192.0.2` is no address"),
                ("2001:db8", "invalid address"),
                ("12345::", "`12345::` is no address"),
                ("2001:db8::/129", "invalid address"),
                ("192.0.2.4,x", "`192.0.2.4,x` is no address"),
            ],
        );
    }

    #[test]
    fn domains_mean_themselves_and_all_below() {
        check(
            Format::Plain,
            &[
                ("LIST.Example.", ".list.example"),
                ("list.example # comment", ".list.example"),
                ("*.list.example", "*.list.example"),
                (".list.example", ".list.example"),
                (".zip", ".zip"),
                ("_a.b-c.example\t5", "._a.b-c.example"),
                ("192.0.2.4.example", ".192.0.2.4.example"),
                ("192.0.2.4-x.example", ".192.0.2.4-x.example"),
                ("1.example", ".1.example"),
                ("b\u{fc}cher.example", ".xn--bcher-kva.example"),
                ("!list.example", ".list.example excluded"),
                ("# list.example", ""),
                ("; list.example", ""),
                ("// list.example", ""),
                ("  ", ""),
            ],
        );
        check_problems(
            Format::Plain,
            &[
                ("<html>", "`<html>` is no address, range or domain"),
                ("word", "`word` is a single word: write `.word`"),
                ("a..example", "`a..example` is no address"),
                (".", "`` is no address"),
                ("http://list.example/", "`http://list.example/` is no address"),
                (&("a".repeat(64) + ".example"), "`aaaa"),
                (&("a.".repeat(126) + "ab"), "`a.a."),
            ],
        );
        let exact = Reading { scope: Some(Scope::Exact), ..Reading::default() };
        assert_eq!(notes_with(Format::Plain, &exact, "a.example\n.b.example"), ["a.example", ".b.example"]);
        assert_eq!(notes_with(Format::Plain, &exact, "a.".repeat(126) + "b").len(), 1, "254 bytes are a name");
        assert!(notes_with(Format::Plain, &exact, b"\xe9.example")[0].ends_with("is no internationalised domain name"));
    }
}
