//! The small pieces that lines of several formats are made of.
//!
//! Invariant: nothing here allocates, and what is left of a line comes back as a slice of it.

/// Whether a byte parts words.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without the blanks in front.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let begin = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    &text[begin..]
}

/// `text` without the blanks at both ends.
#[inline]
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    // nearly every line has none
    match text {
        [] => return text,
        [first, .., last] if !is_blank(*first) && !is_blank(*last) => return text,
        _ => {}
    }
    let text = trim_start(text);
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// The first word, and what follows it without the blanks between them.
pub(crate) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len());
    (&text[..end], trim_start(&text[end..]))
}

/// The words of a line.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| is_blank(byte)).filter(|word| !word.is_empty())
}

/// A decimal number that is all of `text`.
pub(crate) fn number(text: &[u8]) -> Option<u32> {
    match leading_number(text)? {
        (number, []) => Some(number),
        _ => None,
    }
}

/// The decimal number in front of `text`, of any number of digits, and what follows it.
pub(crate) fn leading_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let number =
        digits.iter().try_fold(0u32, |number, digit| number.checked_mul(10)?.checked_add(u32::from(digit - b'0')))?;
    Some((number, rest))
}
