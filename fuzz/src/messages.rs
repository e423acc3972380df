//! Reports by mail and in JSON.

use infamy::evidence::store::{Event, Report, What};
use infamy::evidence::{arf, xarf};

/// Reads bytes as a message, as the parts of one, and as the fields of its report; what is read can be kept.
pub fn message(bytes: &[u8]) {
    let whole = |head: &str| [head.as_bytes(), bytes].concat();
    kept(arf::read(bytes).unwrap_or_default());
    kept(arf::read(&whole("Content-Type: multipart/report; boundary=b\n\n--b\n")).unwrap_or_default());
    kept(arf::read(&whole(FIELDS)).unwrap_or_default());
}

/// Reads bytes as a report in JSON, and as what follows in one; what is read can be kept.
pub fn object(bytes: &[u8]) {
    kept(xarf::read(bytes).unwrap_or_default());
    kept(xarf::read(&[OBJECT.as_bytes(), bytes, b"}"].concat()).unwrap_or_default());
}

fn kept(reports: Vec<Report>) {
    for report in reports {
        let event = Event { key: None, at: 0, who: String::new(), what: What::Report(report) };
        event.check().expect("a report that was read can be kept");
    }
}

const FIELDS: &str = "From: a@b.example\nDate: Thu, 8 Mar 2005 14:00:00 -0500\n\
    Content-Type: message/feedback-report\n\nFeedback-Type: abuse\nSource-IP: 192.0.2.1\n";
const OBJECT: &str = r#"{"xarf_version":"4.0.0","timestamp":"2026-03-08T14:00:25Z","reporter":{"domain":"b.example"},
    "source_identifier":"192.0.2.1","category":"content","type":"phishing","#;
