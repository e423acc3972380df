//! Reports, whole and by the stream.

use serde_json::json;

use super::*;

const JSON: &str = "POST /v1/reports HTTP/1.1\r\nContent-Type: application/json; charset=utf-8";
const LINES: &str = "POST /v1/reports HTTP/1.1\r\nContent-Type: application/x-ndjson";
const CSV: &str = "POST /v1/reports HTTP/1.1\r\nContent-Type: text/csv";

#[test]
fn one_report_and_many_are_taken() {
    let site = Site::new();
    let one = r#"{"time":"2026-07-12T10:00:00Z","source":"trap","subject":" 192.0.2.1 ","category":"spam","weight":0.5,"more":1}"#;
    assert_eq!(site.ask(JSON, one).json(), json!({ "accepted": 1, "known": 0, "refused": 0, "problems": [] }));
    let two = r#"[{"source":"a","subject":"list.example"}, {"source":"b","subject":"http://a.example/\u00fc"}]"#;
    assert_eq!(site.ask(JSON, two).json()["accepted"], 2);
    let reports = site.kept.reports();
    let first = Report {
        time: Time(1_783_850_400),
        source: "trap".to_owned(),
        subject: "192.0.2.1".to_owned(),
        category: "spam".to_owned(),
        weight: 0.5,
        text: None,
    };
    assert_eq!(reports[0], first);
    assert_eq!(reports[2].subject, "http://a.example/ü");
    let state = site.kept.state();
    assert_eq!(i64::from(reports[1].time.0), state.reports[1].at, "the time is that of its coming");
    assert_eq!(state.reports[1].who, format!("uid:{}", nix::unistd::getuid()));
}

#[test]
fn a_report_has_the_forms_of_others_too() {
    let site = Site::new();
    let xarf = include_str!("../../../tests/data/evidence/xarf-phishing.json");
    let answer = site.ask(JSON, xarf);
    assert!(answer.json()["accepted"].as_u64() > Some(0), "{answer:?}");
    assert!(site.kept.reports().iter().all(|report| report.source.starts_with("xarf:")));
    let mail = "POST /v1/reports HTTP/1.1\r\nContent-Type: message/rfc822";
    let arf = "From: <abuse@example.net>\nDate: Thu, 8 Mar 2005 17:40:36 EDT\nContent-Type: multipart/report; \
        report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
        User-Agent: x/1\nVersion: 1\nSource-IP: 192.0.2.2\n\n--b--\n";
    assert_eq!(site.ask(mail, arf).json()["accepted"], 1);
    let last = site.kept.reports().pop().unwrap();
    assert_eq!((&*last.source, &*last.subject), ("arf:example.net", "192.0.2.2"));
    for (head, wrong) in [(mail, "Hello"), (mail, ""), (JSON, r#"{"xarf_version":"3"}"#)] {
        assert_eq!(site.ask(head, wrong).status, 422, "{wrong}");
    }
}

#[test]
fn json_is_taken_whole_or_not_at_all() {
    let site = Site::new();
    let answer = site.ask(JSON, r#"[{"source":"a","subject":"192.0.2.1"},{"source":"","subject":"192.0.2.2"}]"#);
    assert_eq!((answer.status, answer.json()["refused"].clone()), (422, json!(1)));
    assert_eq!(answer.detail(), "report 2: a report needs a source; none was taken");
    for wrong in ["", "7", "[7]", "{}", "nul", r#"{"source":"a","subject":"b.example","time":"2100-01-01T00:00:00Z"}"#]
    {
        let answer = site.ask(JSON, wrong);
        assert!(matches!(answer.status, 400 | 422), "{wrong}: {answer:?}");
    }
    site.is_well();
}

#[test]
fn a_wrong_line_costs_itself_and_is_told_by_its_number() {
    let site = Site::new();
    let good = r#"{"source":"a","subject":"192.0.2.1"}"#;
    let long = format!(r#"{{"source":"a","subject":"{}.example"}}"#, "x".repeat(3000));
    let longer = "x".repeat(20_000);
    let control = r#"{"source":"a\u0000","subject":"192.0.2.1"}"#;
    let body = [good, "", "{", r#"{"source":"a","subject":"word"}"#, control, &long, &longer, good].join("\r\n");
    let answer = site.ask(LINES, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = answer.json();
    assert_eq!((&told["accepted"], &told["refused"]), (&json!(2), &json!(5)));
    let problems: Vec<(u64, String)> = told["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["line"].as_u64().unwrap(), problem["reason"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        (3, "invalid JSON report: EOF"),
        (4, "`word` is no address"),
        (5, "source has a control character"),
        (6, "subject has 3008 bytes: at most 2048 are kept"),
        (7, "longer than 16384 bytes"),
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for ((line, reason), (expected_line, begin)) in problems.iter().zip(expected) {
        assert!(*line == expected_line && reason.starts_with(begin), "{line}: {reason}");
    }
}

#[test]
fn csv_is_taken_behind_its_header() {
    let site = Site::new();
    let answer = site.ask(
        CSV,
        "# ours\ntime,source,subject,category,weight\n2026-07-12,\"a, b\",192.0.2.1,spam,0.25\n2026-07-12,a,x,,\n",
    );
    assert_eq!((answer.json()["accepted"].clone(), answer.json()["problems"][0]["line"].clone()), (json!(1), json!(4)));
    assert_eq!(site.kept.reports()[0].source, "a, b");
    assert_eq!(site.ask(CSV, "192.0.2.1\n192.0.2.2\n").json()["refused"], 2);
}

#[test]
fn a_stream_with_a_key_can_be_sent_again() {
    let site = Site::new();
    let head = format!("{LINES}\r\nIdempotency-Key: monday");
    let body = "{\"source\":\"a\",\"subject\":\"192.0.2.1\"}\n{\"source\":\"a\",\"subject\":\"192.0.2.1\"}\n";
    assert_eq!(site.ask(&head, body).json()["accepted"], 2, "two lines are two reports, even if they are the same");
    let more = format!("{body}{{\"source\":\"a\",\"subject\":\"192.0.2.3\"}}\n");
    let told = site.ask(&head, &more).json();
    assert_eq!((&told["accepted"], &told["known"]), (&json!(1), &json!(2)));
}

#[test]
fn a_stream_waits_for_room_and_says_how_far_it_came() {
    let site = Site::new();
    site.kept.state().busy = 3;
    let line = r#"{"source":"a","subject":"192.0.2.1"}"#;
    assert_eq!(site.ask(LINES, line).json()["accepted"], 1);
    site.kept.state().failure = Some(Refusal::Storage { why: "no space left".to_owned() });
    let answer = site.ask(LINES, &format!("{{\n{line}"));
    assert_eq!((answer.status, &*answer.detail()), (507, "not written: no space left"));
    assert_eq!((&answer.json()["accepted"], &answer.json()["refused"]), (&json!(0), &json!(1)));
}

#[test]
fn what_broke_off_was_taken_up_to_there() {
    let site = Site::new();
    let mut stream = site.unix();
    let line = "{\"source\":\"a\",\"subject\":\"192.0.2.1\"}\n";
    write!(stream, "{LINES}\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{line}{{\"source\":").unwrap();
    until("the first line is taken", || site.kept.state().reports.len() == 1);
    drop(stream);
    assert_eq!(site.ask("GET /v1/status HTTP/1.1", "").status, 200);
    assert_eq!(site.kept.state().reports.len(), 1);
}
