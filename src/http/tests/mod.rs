mod hostile;
mod metrics;
mod reports;
mod requests;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;
use tempfile::TempDir;

use super::api::*;
use super::*;
use crate::evidence::Time;
use crate::evidence::store::{Event, Report, What};

/// A server that keeps what it is told, and does nothing.
#[derive(Default)]
pub(super) struct Kept {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    changes: Vec<(Who, ChangeRequest, Option<String>, Until)>,
    reports: Vec<Event>,
    /// How often reports find no room before they do.
    busy: usize,
    /// What the store says to reports.
    failure: Option<Refusal>,
    withdrawn: Vec<u64>,
    asked: Vec<String>,
}

impl Kept {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn reports(&self) -> Vec<Report> {
        let report = |event: &Event| match &event.what {
            What::Report(report) => report.clone(),
            other => panic!("{other:?}"),
        };
        self.state().reports.iter().map(report).collect()
    }

    /// That nothing of all that was asked got here.
    fn is_untouched(&self) -> bool {
        let state = self.state();
        state.changes.is_empty() && state.reports.is_empty() && state.withdrawn.is_empty() && state.asked.is_empty()
    }
}

impl Control for Kept {
    fn status(&self) -> Status {
        Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            started: At(Time(0)),
            generation: 3,
            published: At(Time(60)),
            cause: "start".to_owned(),
            loading: None,
            datasets: Vec::new(),
            zones: vec![ZoneStatus { apex: "bl.example".to_owned(), serial: 9 }],
            certificates: Vec::new(),
            held: Held::default(),
            store: None,
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn metrics(&self) -> String {
        "# TYPE infamy_generation gauge\ninfamy_generation 3\n".to_owned()
    }

    fn reload(&self, who: &Who, until: Until, reply: Reply<Reloaded>) {
        self.state().asked.push(format!("reload {} {until:?}", who.0));
        reply.give(Ok(Reloaded {
            done: until == Until::Served,
            generation: 4,
            configuration: None,
            failures: Vec::new(),
            certificates: Vec::new(),
            restart: Vec::new(),
        }));
    }

    fn accept(&self, who: &Who, dataset: String, _: Until, reply: Reply<Reloaded>) {
        self.state().asked.push(format!("accept {dataset} {}", who.0));
        let answer = match &*dataset {
            "drop" => Ok(Reloaded {
                done: true,
                generation: 5,
                configuration: None,
                failures: Vec::new(),
                certificates: Vec::new(),
                restart: Vec::new(),
            }),
            _ => Err(Refusal::Missing { what: format!("dataset {dataset}") }),
        };
        reply.give(answer);
    }

    fn change(&self, who: &Who, change: ChangeRequest, key: Option<String>, until: Until, reply: Reply<Changed>) {
        let mut state = self.state();
        let is_same = |(by, _, known, _): &(Who, _, Option<String>, _)| key.is_some() && (by, known) == (who, &key);
        let same = state.changes.iter().position(is_same);
        let first = same.unwrap_or(state.changes.len()) as u64 * 1000;
        let numbers = (first..first + change.subjects.len() as u64).collect();
        match same {
            Some(index) if state.changes[index].1.subjects != change.subjects => {
                return reply.give(Err(Refusal::Conflict));
            }
            Some(_) => {}
            None => state.changes.push((who.clone(), change, key, until)),
        }
        // from another thread, as a store answers
        thread::spawn(move || reply.give(Ok(Changed { numbers, served: until == Until::Served })));
    }

    fn withdraw(&self, _: &Who, number: u64, _: Until, reply: Reply<Changed>) {
        self.state().withdrawn.push(number);
        reply.give(Ok(Changed { numbers: vec![number], served: false }));
    }

    fn changes(&self, _: ChangeQuery, reply: Reply<Vec<ChangeRecord>>) {
        reply.give(Ok(Vec::new()));
    }

    fn report(&self, reports: Vec<Event>, reply: Reply<Taken>) -> Result<(), Vec<Event>> {
        let mut state = self.state();
        if state.busy > 0 {
            state.busy -= 1;
            return Err(reports);
        }
        let answer = match state.failure.clone() {
            Some(failure) => Err(failure),
            None => {
                let mut taken = Taken::default();
                for report in reports {
                    if report.key.is_some() && state.reports.iter().any(|known| known.key == report.key) {
                        taken.known += 1;
                    } else {
                        taken.accepted += 1;
                        state.reports.push(report);
                    }
                }
                Ok(taken)
            }
        };
        thread::spawn(move || reply.give(answer));
        Ok(())
    }

    fn evidence(&self, query: EvidenceQuery, reply: Reply<Evidence>) {
        self.state().asked.push(format!("evidence {query:?}"));
        reply.give(Ok(Evidence { reports: Vec::new(), changes: Vec::new(), truncated: false }));
    }

    fn diff(&self, _: DiffQuery, reply: Reply<Diff>) {
        // dropped, as by a server that ends
        drop(reply);
    }

    fn lookup(&self, subject: String, reply: Reply<Value>) {
        reply.give(Ok(serde_json::json!({ "subject": subject })));
    }
}

/// A running interface over [`Kept`], in a folder of its own.
struct Site {
    running: Running,
    kept: Arc<Kept>,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("mail {TOKEN}\n")).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        let listen = Listen {
            socket: Some(folder.path().join("infamy.sock")),
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            hosts: vec!["bl.example".to_owned()],
            tokens: Some(tokens),
            metrics: vec!["127.0.0.1:0".parse().unwrap()],
            limits,
        };
        let kept = Arc::new(Kept::default());
        let running = bind(&listen).unwrap().run(kept.clone()).unwrap();
        Self { running, kept, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("infamy.sock")
    }

    fn unix(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.running.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What is answered over the Unix socket to a request with this head, which has no Host yet, and body.
    fn ask(&self, head: &str, body: &str) -> Answered {
        let length = body.len();
        Answered::read(
            self.unix(),
            &format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"),
        )
    }

    /// The same over TCP, to a text that is a whole request.
    fn ask_tcp(&self, request: &str) -> Answered {
        Answered::read(self.tcp(), request)
    }

    /// That the server is alive, and nothing was changed.
    fn is_well(&self) {
        assert_eq!(self.ask("GET /v1/status HTTP/1.1", "").status, 200);
        assert!(self.kept.is_untouched());
    }
}

/// An answer, of which the connection was ended.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answered {
    fn read(mut stream: impl Read + Write, request: &str) -> Self {
        // a server that has refused need not read it all
        let _ = stream.write_all(request.as_bytes());
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(read.is_ok() || !text.is_empty(), "{read:?}");
        Self::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json = self.json();
        assert_eq!(json["status"], self.status);
        json["detail"].as_str().unwrap().to_owned()
    }
}

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

const TOKEN: &str = "0123456789abcdef0123";
/// Longer than anything takes on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_answer_comes_over_either_socket() {
    let site = Site::new();
    let answer = site.ask("GET /v1/status HTTP/1.1", "");
    assert_eq!((answer.status, &answer.json()["zones"][0]["serial"]), (200, &Value::from(9)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json()["started"], "1970-01-01T00:00:00Z");
    let request = format!(
        "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(site.ask_tcp(&request).status, 200);
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let site = Site::new();
    let path = site.socket();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let again = bind(&Listen { socket: Some(path.clone()), ..Listen::default() }).unwrap_err();
    assert!(again.to_string().contains("another server listens there"), "{again}");
    let Site { running, folder, .. } = site;
    running.shutdown();
    assert!(!path.exists());
    // one that was left behind, and something that is no socket
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(bind(&Listen { socket: Some(path.clone()), ..Listen::default() }).unwrap());
    fs::write(&path, "text").unwrap();
    let error = bind(&Listen { socket: Some(path), ..Listen::default() }).unwrap_err();
    assert!(error.to_string().contains("is no socket, and stays"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing but the tokens and the text is left");
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let site = Site::new();
    let mut stream = site.unix();
    stream
        .write_all(
            b"POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n",
        )
        .unwrap();
    let text = "time,source,subject\n2026-01-01,a,192.0.2.1\n";
    write!(stream, "{:x}\r\n{text}\r\n", text.len()).unwrap();
    until("the report arrives", || site.kept.state().reports.len() == 1);
    let Site { running, .. } = site;
    let end = thread::spawn(move || running.shutdown());
    stream.write_all(b"0\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(Answered::parse(&text).json()["accepted"], 1);
    end.join().unwrap();
}
