//! Messages and their parts, as far as a report by mail needs them (RFC 5322, RFC 2045, RFC 2046).
//!
//! Invariant: whatever the bytes are, work and memory grow with their number alone; parts, nesting and headers are
//! bounded. Nothing is decompressed, no reference is followed, and characters are not converted.

use super::{Time, Written};

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MimeError {
    /// It is too long.
    #[error("the message has {0} bytes: at most {MAX_MESSAGE} are read")]
    Long(usize),
    /// Too many header fields.
    #[error("more than {MAX_HEADERS} header fields")]
    Headers,
    /// Too many parts.
    #[error("more than {MAX_PARTS} parts")]
    Parts,
    /// Parts within parts within parts.
    #[error("parts are nested more than {MAX_DEPTH} deep")]
    Depth,
    /// A multipart without a boundary.
    #[error("a multipart without a boundary: write Content-Type: multipart/report; boundary=…")]
    Boundary,
    /// An encoding that is none.
    #[error("a part that is not in its encoding `{0}`: it may be 7bit, 8bit, binary, quoted-printable or base64")]
    Encoding(String),
}

/// Header fields, unfolded, their names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads header fields up to an empty line, and hands back what follows it.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), MimeError> {
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut rest = bytes;
        while let Some((line, after)) = next_line(rest) {
            rest = after;
            match line {
                [] => break,
                [b' ' | b'\t', ..] => {
                    // folded: the value goes on
                    if let Some((_, value)) = fields.last_mut() {
                        if !value.is_empty() {
                            value.push(' ');
                        }
                        value.push_str(String::from_utf8_lossy(line).trim());
                    }
                }
                _ => {
                    // what is no field is skipped, such as a mailbox file's `From ` line
                    let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
                    if fields.len() == MAX_HEADERS {
                        return Err(MimeError::Headers);
                    }
                    fields.push((text(&line[..colon]).to_ascii_lowercase(), text(&line[colon + 1..])));
                }
            }
        }
        Ok((Self(fields), rest))
    }

    /// The first value of a field.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub(super) fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A part that is not made of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// `text/plain`, in lower case.
    pub(super) kind: String,
    /// Its content, out of its transfer encoding.
    pub(super) content: Vec<u8>,
}

/// Reads a message: its header fields, and its parts in their order. A message within it is one part, unread.
pub(super) fn read(message: &[u8]) -> Result<(Headers, Vec<Part>), MimeError> {
    if message.len() > MAX_MESSAGE {
        return Err(MimeError::Long(message.len()));
    }
    let mut parts = Vec::new();
    let (headers, body) = Headers::read(message)?;
    read_entity(&headers, body, 0, &mut parts)?;
    Ok((headers, parts))
}

fn read_entity(headers: &Headers, body: &[u8], depth: usize, parts: &mut Vec<Part>) -> Result<(), MimeError> {
    let content_type = headers.first("content-type").unwrap_or("text/plain");
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if !kind.starts_with("multipart/") {
        if parts.len() == MAX_PARTS {
            return Err(MimeError::Parts);
        }
        parts.push(Part { kind, content: decoded(headers, body)? });
        return Ok(());
    }
    if depth == MAX_DEPTH {
        return Err(MimeError::Depth);
    }
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
    let boundary = boundary.ok_or(MimeError::Boundary)?;
    for part in split(body, boundary.as_bytes()) {
        let (headers, body) = Headers::read(part)?;
        read_entity(&headers, body, depth + 1, parts)?;
    }
    Ok(())
}

/// What stands between the boundaries of a multipart; what is before the first and after the last is for nobody.
fn split<'b>(body: &'b [u8], boundary: &[u8]) -> Vec<&'b [u8]> {
    let (mut parts, mut begin, mut rest) = (Vec::new(), None, body);
    while let Some((line, after)) = next_line(rest) {
        let at = body.len() - rest.len();
        let marker = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary));
        let is_last = match marker.map(<[u8]>::trim_ascii_end) {
            Some([]) => Some(false),
            Some(b"--") => Some(true),
            _ => None,
        };
        if let Some(is_last) = is_last {
            parts.extend(begin.map(|begin: usize| &body[begin..at]));
            begin = (!is_last).then_some(body.len() - after.len());
            if is_last {
                break;
            }
        }
        rest = after;
    }
    // cut short: what is there may be enough
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

/// The value of a parameter as in `type/subtype; name=value; name="quoted value"`.
fn parameter(value: &str, name: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (found, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let (mut text, mut escaped, mut end) = (String::new(), false, quoted.len());
                for (at, c) in quoted.char_indices() {
                    match c {
                        _ if escaped => (text.push(c), escaped = false).0,
                        '\\' => escaped = true,
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        _ => text.push(c),
                    }
                }
                (text, &quoted[end..])
            }
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if key.trim().trim_start_matches(';').trim().eq_ignore_ascii_case(name) {
            return Some(found);
        }
        rest = after.split_once(';')?.1;
    }
}

fn decoded(headers: &Headers, body: &[u8]) -> Result<Vec<u8>, MimeError> {
    let encoding = headers.first("content-transfer-encoding").unwrap_or("7bit").to_ascii_lowercase();
    let content = match &*encoding {
        "7bit" | "8bit" | "binary" | "" => Some(body.to_vec()),
        "base64" => base64(body),
        "quoted-printable" => Some(quoted_printable(body)),
        _ => None,
    };
    content.ok_or(MimeError::Encoding(encoding))
}

/// RFC 2045, 6.8; what is not of the alphabet is white space, or it is none.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    let mut digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    for &digit in digits.by_ref() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    digits.all(|&digit| digit == b'=').then_some(bytes)
}

/// RFC 2045, 6.7; what is wrong stands for itself.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        rest = match (byte, after) {
            (b'=', [b'\n', after @ ..] | [b'\r', b'\n', after @ ..]) => after,
            (b'=', &[high, low, ref after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                bytes.push(hex(high).unwrap_or_default() << 4 | hex(low).unwrap_or_default());
                after
            }
            _ => {
                bytes.push(byte);
                after
            }
        };
    }
    bytes
}

/// A line without its end, and what follows; none at the end.
fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let (line, rest) = match memchr::memchr(b'\n', bytes) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &bytes[bytes.len()..]),
    };
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// Parses a date as mail has it: `Thu, 8 Mar 2005 14:00:00 -0500 (EST)` (RFC 5322, 3.3).
pub(super) fn parse_date(text: &str) -> Option<Time> {
    let text = text.split('(').next().unwrap_or_default();
    let text = text.split_once(',').map_or(text, |(_, date)| date);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year, clock, zone) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next());
    let day: u8 = day.parse().ok()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let year: u16 = year.parse().ok()?;
    let zone = match zone {
        Some(zone) if zone.starts_with(['+', '-']) => zone,
        // other names of zones say nothing that holds everywhere (RFC 5322, 4.3)
        _ => "Z",
    };
    let clock = if clock.len() == 7 { format!("0{clock}") } else { clock.to_owned() };
    let written = format!("{year:04}-{month:02}-{day:02}T{clock}{zone}");
    Written::parse(written.as_bytes()).map(Written::start)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Larger than any server takes by mail.
pub const MAX_MESSAGE: usize = 32 << 20;
/// Ten times what mail that went a long way has.
pub(super) const MAX_HEADERS: usize = 1000;
/// A report has three.
pub(super) const MAX_PARTS: usize = 100;
/// A report that was forwarded has two or three.
pub(super) const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_found_between_their_boundaries() {
        let message = "From x\nContent-Type: multipart/mixed;\r\n boundary=\"a \\\" b\"\r\n\r\npreamble\r\n--a \" b\r\n\r\n\
                       first\r\n--a \" b  \r\nContent-Type: Text/HTML; charset=x\r\n\
                       Content-Transfer-Encoding: BASE64\r\n\r\naGVs\r\nbG8=\r\n--a \" b--\r\nepilogue\r\n";
        let (_, parts) = read(message.as_bytes()).unwrap();
        let found: Vec<_> = parts.iter().map(|part| (&*part.kind, &*part.content)).collect();
        assert_eq!(found, [("text/plain", &b"first\r\n"[..]), ("text/html", b"hello")]);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let nested = |depth: usize| {
            let mut message = String::new();
            (0..depth).for_each(|n| message += &format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"));
            read(message.as_bytes())
        };
        assert!(nested(MAX_DEPTH).is_ok());
        assert_eq!(nested(MAX_DEPTH + 1), Err(MimeError::Depth));
        let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(MAX_PARTS + 1));
        assert_eq!(read(many.as_bytes()), Err(MimeError::Parts));
        assert_eq!(read("a: b\n".repeat(MAX_HEADERS + 1).as_bytes()), Err(MimeError::Headers));
        assert_eq!(read(b"Content-Type: multipart/mixed\n\nx"), Err(MimeError::Boundary));
        let encoded = |encoding: &str, text: &str| {
            read(format!("Content-Transfer-Encoding: {encoding}\n\n{text}").as_bytes()).map(|(_, parts)| parts)
        };
        assert!(matches!(encoded("base64", "a%b"), Err(MimeError::Encoding(_))));
        assert!(matches!(encoded("x-zip", "a"), Err(MimeError::Encoding(_))));
        assert_eq!(encoded("quoted-printable", "a=3Db=\r\nc=zz").unwrap()[0].content, b"a=bc=zz");
    }

    #[test]
    fn dates_of_mail() {
        let time = |text: &str| parse_date(text).map(|time| time.to_string());
        for (text, expected) in [
            ("Thu, 8 Mar 2005 14:00:00 -0500 (EST)", Some("2005-03-08T19:00:00Z")),
            ("8 mar 2005 14:00 GMT", Some("2005-03-08T14:00:00Z")),
            ("Tue, 08 Mar 2005 4:00:00 +0130", Some("2005-03-08T02:30:00Z")),
            ("Thu, 31 Feb 2005 14:00:00 +0000", None),
            ("yesterday", None),
        ] {
            assert_eq!(time(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[b"Content-Type: multipart/mixed; boundary=b\n\n--b\n", &bytes[..]].concat());
            let _ = parse_date(&String::from_utf8_lossy(&bytes));
            let _ = parameter(&String::from_utf8_lossy(&bytes), "boundary");
        }

        #[test]
        fn base64_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let mut text = Vec::new();
            for chunk in bytes.chunks(3) {
                let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
                let digits = (0..=chunk.len()).map(|n| DIGITS[(bits >> (18 - 6 * n)) as usize & 63]);
                text.extend(digits.chain(std::iter::repeat_n(b'=', 3 - chunk.len())));
            }
            prop_assert_eq!(base64(&text), Some(bytes));
        }
    }
}
