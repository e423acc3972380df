//! Reports in XARF, version 4: one JSON object each (<https://xarf.org/docs/specification/>).
//!
//! Whom a report is from is what it says itself, so its source is called `xarf:` and the reporter's domain, as with
//! reports by mail. Invariant: every report passes the store's check; evidence in it is neither decoded nor kept.

use std::borrow::Cow;

use serde::Deserialize;

use super::arf::{is_name, is_web, shown};
use super::store::{MAX_NAME, MAX_SUBJECT, Report};
use super::{Subject, Written};

/// Why an object is no report that can be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XarfError {
    /// It is too long.
    #[error("the report has {0} bytes: at most {MAX_REPORT} are read")]
    Long(usize),
    /// It is no JSON object with the fields that every report has.
    #[error("no XARF report: {0}")]
    Json(String),
    /// Another version.
    #[error("XARF version `{0}`: version 4 is read")]
    Version(String),
    /// No time.
    #[error("invalid timestamp `{0}`: write 2026-07-12T10:00:00Z")]
    Time(String),
    /// Neither address, prefix nor domain.
    #[error("source_identifier `{0}` is no address, prefix or domain")]
    Subject(String),
    /// No domain of the reporter.
    #[error("reporter.domain `{0}` is no domain")]
    Reporter(String),
    /// What is reported says nothing of mail or hosts.
    #[error("a report of {category}/{kind} is no reason to refuse anybody, and is not kept")]
    Kind {
        /// The category.
        category: String,
        /// The type in it.
        kind: String,
    },
    /// A confidence outside of 0 to 1.
    #[error("confidence {0} is not from 0 to 1")]
    Confidence(String),
}

/// The fields that are looked at.
#[derive(Deserialize)]
struct Xarf<'a> {
    #[serde(borrow)]
    xarf_version: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    reporter: Contact<'a>,
    #[serde(borrow)]
    source_identifier: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    confidence: Option<f64>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Contact<'a> {
    #[serde(borrow)]
    domain: Cow<'a, str>,
}

/// Whether bytes look like a XARF report, whatever its version.
pub fn is_xarf(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"\"xarf_version\"").is_some()
}

/// Reads a report: of the source that it names and, of content, of the URL.
///
/// # Errors
///
/// It is none, or not about what lists are asked for.
pub fn read(bytes: &[u8]) -> Result<Vec<Report>, XarfError> {
    if bytes.len() > MAX_REPORT {
        return Err(XarfError::Long(bytes.len()));
    }
    let xarf: Xarf<'_> = serde_json::from_slice(bytes).map_err(|error| XarfError::Json(error.to_string()))?;
    if xarf.xarf_version != "4" && !xarf.xarf_version.starts_with("4.") {
        return Err(XarfError::Version(shown(&xarf.xarf_version)));
    }
    let time = Written::parse(xarf.timestamp.as_bytes()).ok_or_else(|| XarfError::Time(shown(&xarf.timestamp)))?;
    let category = category(&xarf.category, &xarf.kind)
        .ok_or_else(|| XarfError::Kind { category: shown(&xarf.category), kind: shown(&xarf.kind) })?;
    let weight = xarf.confidence.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&weight) {
        return Err(XarfError::Confidence(weight.to_string()));
    }
    let domain = xarf.reporter.domain.trim().to_ascii_lowercase();
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    if domain.is_empty() || domain.len() > MAX_NAME - 5 || !domain.chars().all(is_host) {
        return Err(XarfError::Reporter(shown(&domain)));
    }
    let subject = xarf.source_identifier.trim();
    let is_block = matches!(Subject::parse(subject.as_bytes()), Some(Subject::Ip4 { .. } | Subject::Ip6 { .. }));
    if subject.len() > MAX_SUBJECT || !is_block && !is_name(subject) {
        return Err(XarfError::Subject(shown(subject)));
    }
    // of mail a URL is where it leads to, of content where it is
    let url = xarf.url.filter(|url| xarf.category == "content" && is_web(url) && is_name(url));
    let report = |subject: &str| Report {
        time: time.end(),
        source: format!("xarf:{domain}"),
        subject: subject.to_owned(),
        category: category.to_owned(),
        weight,
        text: xarf.description.as_deref().map(shown),
    };
    Ok([Some(subject), url.as_deref()].into_iter().flatten().map(report).collect())
}

/// The category of reports that a category and type of XARF come to; none if it says nothing of mail or hosts.
fn category(category: &str, kind: &str) -> Option<&'static str> {
    let kind = kind.replace('-', "_");
    Some(match (category, &*kind) {
        // also of phishing: the sender is who is reported
        ("messaging", _) => "spam",
        ("connection", "login_attack" | "auth_failure") => "brute-force",
        ("connection", "port_scan" | "reconnaissance" | "vuln_scanning" | "vulnerability_scan") => "scan",
        ("connection", "ddos" | "ddos_amplification") => "ddos",
        ("connection" | "infrastructure", "bot" | "botnet" | "infected_host") => "bot",
        ("connection", "sql_injection") => "exploit",
        ("infrastructure", "compromised_server") => "malware-hosting",
        ("connection" | "infrastructure" | "reputation", _) => "abuse",
        ("content", "phishing") => "phishing",
        ("content", "malware" | "remote_compromise") => "malware",
        ("content", "fraud" | "brand_infringement" | "suspicious_registration") => "fraud",
        _ => return None,
    })
}

/// Evidence may be 50 times 5 MB by the schema; what takes more than this is not sent to a list.
pub const MAX_REPORT: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::{Event, What};
    use super::*;

    const SPAM: &str = include_str!("../../tests/data/evidence/xarf-spam.json");
    const PHISHING: &str = include_str!("../../tests/data/evidence/xarf-phishing.json");

    fn said(text: &str) -> Result<Vec<String>, String> {
        let reports = read(text.as_bytes()).map_err(|error| error.to_string())?;
        let line = |r: Report| format!("{} {} {} {} {}", r.time, r.source, r.subject, r.category, r.weight);
        Ok(reports.into_iter().map(line).collect())
    }

    #[test]
    fn a_report_is_about_its_source_and_its_url() {
        assert_eq!(said(SPAM).unwrap(), ["2026-03-08T14:00:25Z xarf:traps.example 192.0.2.7 spam 0.9"]);
        let at = "2026-03-08T14:30:00Z xarf:crawler.example";
        let url = "https://login.bank.example/auth?id=1";
        assert_eq!(
            said(PHISHING).unwrap(),
            [format!("{at} 198.51.100.3 phishing 1"), format!("{at} {url} phishing 1")]
        );
        assert!(is_xarf(SPAM.as_bytes()) && !is_xarf(b"{\"time\":1}"));
    }

    #[test]
    fn what_cannot_be_taken_says_why() {
        for (from, to, expected) in [
            ("\"4.2.0\"", "\"3\"", "XARF version `3`: version 4 is read"),
            ("2026-03-08T14:00:25.123Z", "today", "invalid timestamp `today`: write 2026-07-12T10:00:00Z"),
            ("192.0.2.7", "a word", "source_identifier `a word` is no address, prefix or domain"),
            (
                "\"messaging\"",
                "\"copyright\"",
                "a report of copyright/spam is no reason to refuse anybody, and is not kept",
            ),
            ("0.9", "1.5", "confidence 1.5 is not from 0 to 1"),
            ("traps.example\"\n", "a\\nb\"\n", "reporter.domain `ab` is no domain"),
            ("\"type\"", "\"typ\"", "no XARF report: missing field `type` at line"),
        ] {
            let changed = SPAM.replace(from, to);
            assert_ne!(changed, SPAM, "{from}");
            let error = said(&changed).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(read("[".repeat(100_000).as_bytes()).is_err());
        let deep = format!("{{\"evidence\": {}", "[".repeat(100_000));
        assert!(read(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_be_kept(
            at in any::<prop::sample::Index>(), noise in "\\PC{0,6}", length in 0usize..8,
        ) {
            let places: Vec<usize> = PHISHING.char_indices().map(|(at, _)| at).collect();
            let (begin, mut changed) = (*at.get(&places), PHISHING.to_owned());
            changed.replace_range(begin..(begin + length).min(changed.len()), &noise);
            for report in read(changed.as_bytes()).unwrap_or_default() {
                let event = Event { key: None, at: 0, who: String::new(), what: What::Report(report) };
                prop_assert_eq!(event.check(), Ok(()));
            }
        }
    }
}
