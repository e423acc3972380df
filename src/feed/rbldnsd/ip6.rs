//! IPv6 addresses and prefixes in rbldnsd's shorthand.
//!
//! Besides the text form of RFC 4291 (without embedded IPv4), missing words at the end are zero and give the length:
//! `2001:db8` is a /32. Invariant: the bits behind a prefix's length are zero.

use std::net::Ipv6Addr;

use super::super::error::{Excerpt, LineError};
use super::super::text::leading_number;
use crate::dnsxl::subject::mask6;

/// Words in front of a line.
#[derive(Clone, Copy)]
pub(in super::super) struct Words {
    /// The address they give, missing words zero.
    pub(in super::super) bits: u128,
    /// How many there are.
    pub(in super::super) count: u8,
    /// Whether `::` stands among them.
    pub(in super::super) gap: bool,
}

/// One to eight words and what follows them.
///
/// After eight words, or behind `::` and a word where no digit follows, a colon is not read on, as it may begin a value.
pub(in super::super) fn parse_words(text: &[u8]) -> Option<(Words, &[u8])> {
    let mut bits = 0u128;
    let mut count = 0;
    // how many words stand in front of the `::`
    let mut before = None;
    let mut rest = text;
    if let [b':', b':', after @ ..] = rest {
        before = Some(0);
        rest = after;
    }
    loop {
        match word(rest) {
            Some((value, after)) => {
                bits = bits << 16 | u128::from(value);
                count += 1;
                rest = after;
            }
            // nothing needs to follow `::`
            None if before == Some(count) => break,
            None => return None,
        }
        match (rest, before) {
            ([b':', b':', after @ ..], None) if count < 8 => {
                before = Some(count);
                rest = after;
            }
            ([b':', after @ ..], None) if count < 8 => rest = after,
            ([b':', after @ ..], Some(_)) if after.first().is_some_and(u8::is_ascii_hexdigit) => rest = after,
            _ => break,
        }
    }
    let Some(before) = before else {
        return Some((Words { bits: bits << (16 * (8 - count)), count: count as u8, gap: false }, rest));
    };
    if count > 7 {
        return None;
    }
    let behind = 16 * (count - before);
    let low = bits & !mask6(128 - behind as u8);
    let high = bits.checked_shr(behind).unwrap_or(0).checked_shl(16 * (8 - before)).unwrap_or(0);
    Some((Words { bits: high | low, count: count as u8, gap: true }, rest))
}

/// What follows an address without the one colon that rbldnsd skips there: behind the last word of a compressed one,
/// so that `2001:db8::1::5` has the value 127.0.0.5.
pub(super) fn skip_colon<'a>(line: &[u8], words: Words, rest: &'a [u8]) -> &'a [u8] {
    let ends_in_gap = line[..line.len() - rest.len()].ends_with(b":");
    match rest {
        [b':', after @ ..] if words.gap && !ends_in_gap => after,
        _ => rest,
    }
}

/// A prefix, as `ip6trie` and `acl` have them: address bits, length, and what follows.
pub(in super::super) fn parse_block6(line: &[u8], host_bits: bool) -> Result<(u128, u8, &[u8]), LineError> {
    let invalid = || LineError::Ip6 { found: Excerpt::word(line), forms: FORMS };
    let (words, rest) = parse_words(line).ok_or_else(invalid)?;
    let (length, rest) = match skip_colon(line, words, rest) {
        [b'/', rest @ ..] => match leading_number(rest) {
            Some((length @ 0..=128, rest)) => (length as u8, rest),
            _ => return Err(invalid()),
        },
        rest if words.gap => (128, rest),
        _ if words.count == 1 => return Err(invalid()),
        rest => (16 * words.count, rest),
    };
    if !matches!(rest, [] | [b' ' | b'\t' | b':' | b'#' | b';', ..]) {
        return Err(invalid());
    }
    let bits = words.bits & mask6(length);
    if bits != words.bits && !host_bits {
        return Err(LineError::HostBits6 { address: Ipv6Addr::from(words.bits), length });
    }
    Ok((bits, length, rest))
}

/// Hexadecimal digits in front of `text`, leading zeros in any number, and what follows them.
fn word(text: &[u8]) -> Option<(u16, &[u8])> {
    let mut value = 0u32;
    let mut at = 0;
    while let Some(digit) = text.get(at).and_then(|&byte| (byte as char).to_digit(16)) {
        value = value << 4 | digit;
        if value > 0xffff {
            return None;
        }
        at += 1;
    }
    if at == 0 { None } else { Some((value as u16, &text[at..])) }
}

/// What `ip6trie` takes.
const FORMS: &str = "an IPv6 address, or a prefix as 2001:db8::/32";
/// What `ip6tset` takes.
pub(super) const TSET_FORMS: &str = "a /64 as four words, 2001:db8:1:2; or `!` and a whole address";
