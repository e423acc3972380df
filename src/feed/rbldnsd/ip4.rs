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
    if let Some((bits, length)) = whole_address(text) {
        return Some((Octets { bits, count: 4 }, &text[length..]));
    }
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

/// The address in front of `text` if it is four octets of one to three digits, and how long it is.
///
/// Lists are addresses by the million, and how many digits an octet has is what no branch predictor knows; this takes
/// the same steps whatever the digits are. Sixteen bytes are held in one number, in which all dots and digits are found
/// at once, as carries within a byte (Warren, *Hacker's Delight*, section 6-1).
#[inline]
fn whole_address(text: &[u8]) -> Option<(u32, usize)> {
    const EACH: u128 = u128::MAX / 0xff;
    const HIGH: u128 = EACH * 0x80;
    let window = window(text)?;
    let low = window & !HIGH;
    // the high bit of each byte: set where it is a dot, where it is `0` or above, where it is above `9`
    let other = window ^ (EACH * b'.' as u128);
    let dots = !(((other & !HIGH) + EACH * 0x7f) | other) & HIGH;
    let digits = (low + EACH * (0x80 - b'0') as u128) & !(low + EACH * (0x7f - b'9') as u128) & !window & HIGH;
    let end = (!(dots | digits) & HIGH).trailing_zeros() / 8;
    // past the third dot comes the end; a fourth one is some other text
    let (first, dots) = (dots.trailing_zeros() / 8, dots & dots.wrapping_sub(1));
    let (second, dots) = (dots.trailing_zeros() / 8, dots & dots.wrapping_sub(1));
    let (third, dots) = (dots.trailing_zeros() / 8, dots & dots.wrapping_sub(1));
    if third >= end || dots.trailing_zeros() / 8 < end || end == 16 {
        return None;
    }
    let digits_of = [first, second - first - 1, third - second - 1, end - third - 1];
    if digits_of.iter().any(|&digits| digits.wrapping_sub(1) > 2) {
        return None;
    }
    let (mut bits, mut largest) = (0, 0);
    for (end, digits) in [first, second, third, end].into_iter().zip(digits_of) {
        // the three bytes before the end, those that are no digits of the octet made zeros
        let text = (window >> (8 * end.saturating_sub(3))) as u32;
        let text = text << (8 * 3_u32.saturating_sub(end));
        let value = (text ^ 0x0030_3030) & 0x00ff_ffff << (8 * (3 - digits)) & 0x00ff_ffff;
        let octet = (value & 0xff) * 100 + (value >> 8 & 0xff) * 10 + (value >> 16);
        largest |= octet;
        bits = bits << 8 | octet;
    }
    // no octet of three digits is over 999, so that the bits over 255 are seen in the union
    (largest < 256).then_some((bits, end as usize))
}

/// The first sixteen bytes of `text`, the first the lowest; zeros behind a shorter one, none if it is under eight.
#[inline]
fn window(text: &[u8]) -> Option<u128> {
    if let Some(front) = text.first_chunk() {
        return Some(u128::from_le_bytes(*front));
    }
    let (front, back) = (text.first_chunk()?, text.last_chunk()?);
    // the two overlap, in bytes that are the same
    let behind = 8 * (text.len() as u32 - 8);
    Some(u128::from(u64::from_le_bytes(*front)) | u128::from(u64::from_le_bytes(*back)) << behind)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The octets as they are read one by one.
    fn slowly(text: &[u8]) -> Option<(u32, usize)> {
        let (mut rest, mut bits) = (text, 0);
        for index in 0..4 {
            let (octet, after) = octet(rest).filter(|(_, after)| rest.len() - after.len() <= 3)?;
            bits = bits << 8 | u32::from(octet);
            rest = if index == 3 { after } else { after.strip_prefix(b".")? };
        }
        (!rest.starts_with(b".")).then(|| (bits, text.len() - rest.len()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_window_sees_what_a_loop_sees(
            octets: [u8; 4],
            joints in prop::array::uniform4(prop_oneof![12 => Just(""), 1 => Just("0"), 1 => Just("9"), 1 => Just(".")]),
            behind in "([ :/#.-]|\\PC)?[0-9.x \u{80}\u{b0}]{0,12}",
        ) {
            let [a, b, c, d] = octets;
            let [e, f, g, h] = joints;
            let text = format!("{e}{a}{f}.{b}{g}.{c}.{d}{h}{behind}");
            let text = text.as_bytes();
            if let Some(found) = whole_address(text) {
                prop_assert_eq!(Some(found), slowly(text));
            } else {
                prop_assert!(slowly(text).is_none() || text.len() < 8);
            }
        }
    }
}
