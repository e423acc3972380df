//! Reports by mail: the Abuse Reporting Format (RFC 5965), also of messages that carry XARF.
//!
//! Whom a report is from is what it says itself, so its source is called `arf:` and that name: no report by mail speaks
//! for a source that an operator trusts under a name of his own. Invariant: every report passes the store's check.
//!
//! A report says what somebody thought of a message. Complaints become reports; that something was no spam, or that a
//! signature failed (RFC 6591), says nothing bad of an address, and is an error that says so.

use super::mime::{self, Headers, MimeError};
use super::store::{MAX_NAME, MAX_SUBJECT, Report};
use super::xarf::{self, XarfError};
use super::{Subject, Time};

/// Why a message is no report that can be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArfError {
    /// It is no message.
    #[error(transparent)]
    Mime(#[from] MimeError),
    /// There is no report in the message.
    #[error("no part of the message is of type message/feedback-report: is it a report in the form of RFC 5965?")]
    NoReport,
    /// A field that must be there is not.
    #[error("the report has no {0}")]
    NoField(&'static str),
    /// When it happened is not said in a form that is known.
    #[error("the report has neither an Arrival-Date nor a Date as `Thu, 8 Mar 2005 14:00:00 -0500`")]
    NoTime,
    /// A kind of report that says nothing bad of anybody.
    #[error("a report of type `{0}` is no complaint: abuse, fraud, virus and other are")]
    NotAbuse(String),
    /// It names neither an address nor a domain.
    #[error("the report names nobody: it needs a Source-IP, Reported-Domain or Reported-URI")]
    NoSubject,
    /// What it carries is no XARF.
    #[error(transparent)]
    Xarf(#[from] XarfError),
}

/// Reads a message with a report in it: one report for each address, domain and URL that it names.
///
/// # Errors
///
/// There is none, or it is no complaint.
pub fn read(message: &[u8]) -> Result<Vec<Report>, ArfError> {
    let (headers, parts) = mime::read(message)?;
    let feedback = parts.iter().find(|part| part.kind == "message/feedback-report").ok_or(ArfError::NoReport)?;
    let (fields, _) = Headers::read(&feedback.content)?;
    let kind = fields.first("feedback-type").ok_or(ArfError::NoField("Feedback-Type"))?.to_ascii_lowercase();
    if kind == "xarf" {
        let json = parts.iter().find(|part| part.kind == "application/json");
        return Ok(xarf::read(&json.ok_or(ArfError::NoField("part of type application/json"))?.content)?);
    }
    // what an address does is sending, also if it sends fraud; what a URL leads to is another matter
    let (of_sender, of_link) = match &*kind {
        "abuse" => ("spam", "spam"),
        "fraud" => ("spam", "phishing"),
        "virus" => ("spam", "malware"),
        "other" => ("abuse", "abuse"),
        _ => return Err(ArfError::NotAbuse(shown(&kind))),
    };
    let time = arrival(&headers, &fields).ok_or(ArfError::NoTime)?;
    let source = source(&headers, &fields)?;
    let text = fields.first("user-agent").map(|agent| format!("{kind}, by {}", shown(agent)));
    let mut reports: Vec<Report> = Vec::new();
    let mut say = |subject: &str, category: &str| {
        if reports.len() < MAX_SUBJECTS && !reports.iter().any(|report| report.subject == subject) {
            let (subject, category) = (subject.to_owned(), category.to_owned());
            reports.push(Report { time, source: source.clone(), subject, category, weight: 1.0, text: text.clone() });
        }
    };
    let address = fields.all("source-ip").map(|text| text.trim_matches(['[', ']']));
    // a relay's prefix is no sender
    address.filter(|text| text.parse::<std::net::IpAddr>().is_ok()).for_each(|subject| say(subject, of_sender));
    let domain = fields.all("reported-domain").filter(|text| is_name(text) && !text.contains(['/', ':', '@']));
    domain.for_each(|subject| say(subject, of_link));
    let link = fields.all("reported-uri").map(|text| text.trim_matches(['<', '>']));
    link.filter(|text| is_web(text) && is_name(text)).for_each(|subject| say(subject, of_link));
    if reports.is_empty() { Err(ArfError::NoSubject) } else { Ok(reports) }
}

/// When the message arrived that the report is about, else when it was reported.
fn arrival(headers: &Headers, fields: &Headers) -> Option<Time> {
    // the second is the first one's name in old reports (RFC 5965, 3.2)
    let dates = ["arrival-date", "received-date"].into_iter().filter_map(|name| fields.first(name));
    dates.chain(headers.first("date")).find_map(mime::parse_date)
}

/// Who reports: the host that it names, else the domain that it is from.
fn source(headers: &Headers, fields: &Headers) -> Result<String, ArfError> {
    let host = fields.first("reporting-mta").map(|text| text.rsplit(';').next().unwrap_or_default());
    let domain = headers.first("from").and_then(|from| from.rsplit_once('@')).map(|(_, domain)| domain);
    let named = |text: &str| {
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let name: String = text.trim().chars().take_while(|&c| is_host(c)).take(MAX_NAME - 4).collect();
        (!name.is_empty()).then(|| format!("arf:{}", name.to_ascii_lowercase()))
    };
    host.and_then(named).or_else(|| domain.and_then(named)).ok_or(ArfError::NoField("Reporting-MTA"))
}

/// Whether something can be reported as a domain or URL.
pub(super) fn is_name(text: &str) -> bool {
    let is_short = text.len() <= MAX_SUBJECT && !text.chars().any(char::is_control);
    is_short && matches!(Subject::parse(text.as_bytes()), Some(Subject::Name(_)))
}

/// Whether it is a URL of the web, and not a mailbox.
pub(super) fn is_web(text: &str) -> bool {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    ["http", "https", "ftp"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// The begin of a text, for people.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// Subjects of one message: it was one message, whatever it links to.
const MAX_SUBJECTS: usize = 100;
/// Characters of what others wrote.
const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::{Event, What};
    use super::*;

    fn message(fields: &str) -> String {
        format!(
            "From: <abusedesk@example.net>\nDate: Thu, 8 Mar 2005 17:40:36 EDT\nSubject: FW: earn money\n\
             Content-Type: multipart/report; report-type=feedback-report;\n\tboundary=\"part of it\"\n\n\
             --part of it\nContent-Type: text/plain\n\nThis is a report.\n--part of it\n\
             Content-Type: message/feedback-report\n\n{fields}\n--part of it\nContent-Type: message/rfc822\n\n\
             From: <somespammer@example.com>\nSource-IP: 198.51.100.9\n\nSpam\n--part of it--\n"
        )
    }

    fn said(fields: &str) -> Result<Vec<String>, String> {
        let reports = read(message(fields).as_bytes()).map_err(|error| error.to_string())?;
        let line = |r: Report| format!("{} {} {} {}", r.time, r.source, r.subject, r.category);
        Ok(reports.into_iter().map(line).collect())
    }

    #[test]
    fn a_complaint_is_about_whom_it_names() {
        let head = "Feedback-Type: fraud\nUser-Agent: SomeGenerator/1.0\nVersion: 1\n";
        let all = format!(
            "{head}Arrival-Date: Thu, 8 Mar 2005 14:00:00 -0500\nReporting-MTA: dns; Mail.example.com\n\
             Source-IP: 192.0.2.2\nReported-Domain: example.org\nReported-Uri:\n http://example.org/earn_money.html\n\
             Reported-URI: mailto:user@example.com\nReported-Domain: example.org\nRemoval-Recipient: u@example.com\n\
             Auth-Failure: dmarc\nSource-Port: 4711\n"
        );
        let expected = [
            "2005-03-08T19:00:00Z arf:mail.example.com 192.0.2.2 spam",
            "2005-03-08T19:00:00Z arf:mail.example.com example.org phishing",
            "2005-03-08T19:00:00Z arf:mail.example.com http://example.org/earn_money.html phishing",
        ];
        assert_eq!(said(&all).unwrap(), expected);
        assert_eq!(said(&all.replace('\n', "\r\n")).unwrap(), expected);
        let few = said(&format!("{head}Source-IP: 2001:db8::1\n")).unwrap();
        assert_eq!(few, ["2005-03-08T17:40:36Z arf:example.net 2001:db8::1 spam"]);
    }

    #[test]
    fn what_is_no_complaint_says_so() {
        assert!(
            said("Feedback-Type: not-spam\nSource-IP: 192.0.2.2\n").unwrap_err().starts_with("a report of type `not-")
        );
        assert!(said("Feedback-Type: auth-failure\nSource-IP: 192.0.2.2\n").unwrap_err().contains("is no complaint"));
        assert_eq!(said("User-Agent: x\n").unwrap_err(), "the report has no Feedback-Type");
        let nobody = said("Feedback-Type: abuse\nSource-IP: 192.0.2.0/24\nReported-URI: javascript:x.y\n");
        assert!(nobody.unwrap_err().starts_with("the report names nobody"));
        assert_eq!(read(b"From: a@example.com\n\nHello.\n"), Err(ArfError::NoReport));
    }

    #[test]
    fn a_message_may_carry_xarf() {
        let xarf = include_str!("../../tests/data/evidence/xarf-spam.json");
        let fields = "Feedback-Type: xarf\nUser-Agent: x\nVersion: 1\n";
        let carried = message(fields).replace(
            "--part of it--",
            &format!("--part of it\nContent-Type: application/json; name=xarf.json\n\n{xarf}\n--part of it--"),
        );
        assert_eq!(read(carried.as_bytes()).unwrap(), xarf::read(xarf.as_bytes()).unwrap());
        assert!(said(fields).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_read_can_be_kept(
            fields in proptest::collection::vec(
                ("(Feedback-Type|Source-IP|Reported-URI|Reported-Domain|Arrival-Date|Reporting-MTA|\\PC{0,9})",
                 "(abuse|fraud|192.0.2.1|http://a.example/\\PC{0,9}|\\PC{0,30})"), 0..9),
            noise in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
            let mut message = message(&format!("Feedback-Type: abuse\n{fields}")).into_bytes();
            message.extend(&noise);
            for report in read(&message).unwrap_or_default() {
                let event = Event { key: None, at: 0, who: String::new(), what: What::Report(report) };
                prop_assert_eq!(event.check(), Ok(()));
            }
            let _ = read(&noise);
        }
    }
}
