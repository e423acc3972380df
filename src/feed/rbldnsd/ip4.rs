//! IPv4 addresses, prefixes and ranges in rbldnsd's shorthand.
//!
//! Missing octets are at the end: `192.0.2` is a /24, `10/8` a /8, `198.51.100.4-9` a range whose end differs in the
//! last octet. Octets are decimal whatever zeros lead them. Invariant: a range does not end before it starts, and the
//! bits behind a prefix's length are zero.

use std::net::Ipv4Addr;

use super::super::error::{Excerpt, LineError};
use super::super::text::leading_number;
use crate::dnsxl::subject::mask4;

/// The octet in front of `text`, and what follows it.
#[inline]
pub(in super::super) fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let mut value = 0u32;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
        value = value * 10 + u32::from(digit);
        if value > 255 {
            return None;
        }
        at += 1;
    }
    if at == 0 { None } else { Some((value as u8, &text[at..])) }
}

/// Octets in front of a line: their bits from the top, and how many there are.
#[derive(Clone, Copy)]
pub(in super::super) struct Octets {
    pub(in super::super) bits: u32,
    pub(in super::super) count: u8,
}

impl Octets {
    /// The last address that begins with these octets.
    fn last(self) -> u32 {
        self.bits | !mask4(8 * self.count)
    }
}

/// One to four octets and what follows them; a dot with no octet behind it is none.
#[inline]
pub(in super::super) fn parse_octets(text: &[u8]) -> Option<(Octets, &[u8])> {
    let (first, mut rest) = octet(text)?;
    let mut bits = u32::from(first) << 24;
    let mut count = 1;
    while let [b'.', more @ ..] = rest {
        if count == 4 {
            return None;
        }
        let (next, after) = octet(more)?;
        count += 1;
        bits |= u32::from(next) << (32 - 8 * count);
        rest = after;
    }
    Some((Octets { bits, count: count as u8 }, rest))
}

/// Four octets.
pub(super) fn parse_address4(line: &[u8]) -> Result<(u32, &[u8]), LineError> {
    match parse_octets(line) {
        Some((Octets { bits, count: 4 }, rest)) => Ok((bits, rest)),
        _ => Err(invalid(line, TSET_FORMS)),
    }
}

/// A prefix, as `ip4trie` and `acl` have them: address bits, length, and what follows.
pub(in super::super) fn parse_block4(line: &[u8], host_bits: bool) -> Result<(u32, u8, &[u8]), LineError> {
    let (octets, rest) = parse_octets(line).ok_or_else(|| invalid(line, TRIE_FORMS))?;
    let (length, rest) = match rest {
        [b'/', rest @ ..] => prefix_length(rest, line, TRIE_FORMS)?,
        _ if octets.count == 1 => return Err(invalid(line, TRIE_FORMS)),
        _ => (8 * octets.count, rest),
    };
    check_end(rest, line, TRIE_FORMS)?;
    Ok((mask_host_bits(octets.bits, length, host_bits)?, length, rest))
}

/// A prefix or range, as `ip4set` has them: first and last address, and what follows.
pub(super) fn parse_range4(line: &[u8], host_bits: bool) -> Result<((u32, u32), &[u8]), LineError> {
    let (octets, rest) = parse_octets(line).ok_or_else(|| invalid(line, SET_FORMS))?;
    let (range, rest) = match rest {
        [b'/', rest @ ..] => {
            let (length, rest) = prefix_length(rest, line, SET_FORMS)?;
            if length == 0 {
                return Err(LineError::WholeSpace);
            }
            let first = mask_host_bits(octets.bits, length, host_bits)?;
            ((first, first | !mask4(length)), rest)
        }
        [b'-', rest @ ..] => {
            let (end, rest) = parse_octets(rest).ok_or_else(|| invalid(line, SET_FORMS))?;
            let end = match end.count {
                count if count == octets.count => end,
                // a single octet stands for the last one
                1 => Octets {
                    bits: octets.bits & mask4(8 * (octets.count - 1)) | end.bits >> (8 * (octets.count - 1)),
                    count: octets.count,
                },
                _ => return Err(LineError::RangeUneven),
            };
            if end.bits < octets.bits {
                return Err(LineError::RangeBackwards);
            }
            ((octets.bits, end.last()), rest)
        }
        _ if octets.count == 1 => return Err(invalid(line, SET_FORMS)),
        _ => ((octets.bits, octets.last()), rest),
    };
    check_end(rest, line, SET_FORMS)?;
    Ok((range, rest))
}

/// A key ends at the line's end, a blank, a comment, or the colon of a value.
pub(super) fn check_end(rest: &[u8], line: &[u8], forms: &'static str) -> Result<(), LineError> {
    match rest {
        [] | [b' ' | b'\t' | b':' | b'#' | b';', ..] => Ok(()),
        _ => Err(invalid(line, forms)),
    }
}

fn prefix_length<'a>(rest: &'a [u8], line: &[u8], forms: &'static str) -> Result<(u8, &'a [u8]), LineError> {
    match leading_number(rest) {
        Some((length @ 0..=32, rest)) => Ok((length as u8, rest)),
        _ => Err(invalid(line, forms)),
    }
}

fn mask_host_bits(bits: u32, length: u8, host_bits: bool) -> Result<u32, LineError> {
    let masked = bits & mask4(length);
    if masked != bits && !host_bits {
        return Err(LineError::HostBits4 { address: Ipv4Addr::from(bits), length });
    }
    Ok(masked)
}

fn invalid(line: &[u8], forms: &'static str) -> LineError {
    LineError::Ip4 { found: Excerpt::word(line), forms }
}

/// What `ip4set` takes.
const SET_FORMS: &str = "an IPv4 address, a prefix as 192.0.2.0/24, or a range as 192.0.2.4-9";
/// What `ip4trie` takes.
const TRIE_FORMS: &str = "an IPv4 address, or a prefix as 192.0.2.0/24";
/// What `ip4tset` takes.
pub(super) const TSET_FORMS: &str = "a whole IPv4 address";
