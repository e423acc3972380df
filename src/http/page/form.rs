//! What browsers write into paths, queries and bodies: percent-encoding and `application/x-www-form-urlencoded`.
//!
//! Invariant: a body is never held beyond [`MAX_BODY`], whatever its head says.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::refusal::Refused;

/// Decodes percent-encoding; none where that is no UTF-8. A `%` that begins no code is itself.
pub(super) fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.filter(|code| bytes[at] == b'%' && code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// Encodes a text for a path's last part.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'@' => out.push(byte.into()),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The first value of a field in a form; none where it is no UTF-8.
pub(super) fn field(form: &str, name: &str) -> Option<String> {
    let pair = form.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))?;
    decoded(&pair.1.replace('+', " "))
}

/// Reads the body of a form.
pub(super) async fn read(headers: &HeaderMap, mut body: Incoming, patience: Duration) -> Result<String, Refused> {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(FORM) || headers.contains_key(CONTENT_ENCODING) {
        return Err(Refused::media());
    }
    let claimed = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if claimed.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(Refused::large());
    }
    let whole = async {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.map_err(|_| Refused::broken())?.into_data() else { continue };
            if whole.len() + chunk.len() > MAX_BODY {
                return Err(Refused::large());
            }
            whole.extend_from_slice(&chunk);
        }
        String::from_utf8(whole).map_err(|_| Refused::broken())
    };
    timeout(patience, whole).await.unwrap_or_else(|_| Err(Refused::slow()))
}

/// What browsers call a form.
const FORM: &str = "application/x-www-form-urlencoded";
/// The longest body in bytes: a mailbox, and some sentences in any script, encoded.
pub(super) const MAX_BODY: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in any::<String>()) {
            let written = encoded(&text);
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#<>\"&'".contains(&byte)));
            prop_assert_eq!(decoded(&written), Some(text));
        }

        #[test]
        fn nothing_panics(text in ".{0,40}") {
            let _ = (decoded(&text), field(&text, "a"));
        }
    }

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        assert_eq!(field("q=a+b%40c&x=1", "q").as_deref(), Some("a b@c"));
        assert_eq!(field("q=a+b%40c&x=1", "x").as_deref(), Some("1"));
        assert_eq!((field("q=%ff", "q"), field("q", "q"), field("", "q")), (None, None, None));
        assert_eq!(decoded("100%").as_deref(), Some("100%"));
        assert_eq!(decoded("%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!(decoded("%€").as_deref(), Some("%€"));
    }
}
