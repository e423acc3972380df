//! The commands that talk to a running server, through real sockets, and how fast it takes reports.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use infamy::evidence::Time;
use infamy::evidence::store::{Event, Report, What};
use infamy::http::api::*;
use infamy::http::client::{Client, Target};
use infamy::http::{Control, Limits, Listen, Refusal, Reply, Running, Until, Who, bind};
use tempfile::TempDir;

/// A server that notes what it is told.
#[derive(Default)]
struct Noting {
    told: Mutex<Vec<String>>,
    reports: Mutex<u64>,
}

impl Noting {
    fn note(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().drain(..).collect()
    }
}

impl Control for Noting {
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn status(&self) -> Status {
        let at = At(Time(1_783_850_400));
        let dataset = |name: &str, changes, error: Option<&str>| DatasetStatus {
            name: name.to_owned(),
            entries: 1234,
            loaded: Some(at),
            as_of: (changes == 0).then_some(At(Time(at.0.0 + 3600))),
            changes,
            next_expiry: (changes > 0).then_some(at),
            failures: error.map_or(0, |_| 3),
            error: error.map(str::to_owned),
        };
        Status {
            version: "0.1.0".to_owned(),
            pid: 7,
            started: at,
            generation: 17,
            published: at,
            cause: "reload by uid:0".to_owned(),
            loading: Some(Loading { dataset: "trap".to_owned(), since: at, bytes: 5, of_bytes: Some(9), lines: 2 }),
            datasets: vec![dataset("drop", 2, None), dataset("trap", 0, Some("lists/trap:7: no address"))],
            zones: vec![ZoneStatus { apex: "bl.example".to_owned(), serial: 9 }],
            certificates: vec![CertificateStatus {
                door: "tls".to_owned(),
                expires: Some(At(Time(0))),
                failures: 2,
                error: Some("key.pem: no key".to_owned()),
            }],
            held: Held { rate_limited: 1, slipped: 2, over_quota: 3, cookies_bad: 4, ..Held::default() },
            store: Some(StoreStatus { path: "evidence.db".to_owned(), waiting: 3, error: None }),
        }
    }

    fn reload(&self, _: &Who, until: Until, reply: Reply<Reloaded>) {
        self.note(format!("reload {until:?}"));
        let failure = |dataset: &str| Failure { dataset: dataset.to_owned(), reason: "lists/x:7: wrong".to_owned() };
        let failures = match until {
            Until::Served => vec![failure("drop"), failure("trap")],
            Until::Durable => Vec::new(),
        };
        let certificates = match until {
            Until::Served => vec![CertificateFailure { door: "tls".to_owned(), reason: "key.pem: no key".to_owned() }],
            Until::Durable => Vec::new(),
        };
        let done = until == Until::Served;
        let restart = if done { vec!["[listen]".to_owned()] } else { Vec::new() };
        reply.give(Ok(Reloaded { done, generation: 17, configuration: None, failures, certificates, restart }));
    }

    fn accept(&self, _: &Who, dataset: String, _: Until, reply: Reply<Reloaded>) {
        reply.give(match &*dataset {
            "drop" => Ok(Reloaded {
                done: true,
                generation: 18,
                configuration: None,
                failures: Vec::new(),
                certificates: Vec::new(),
                restart: Vec::new(),
            }),
            _ => Err(Refusal::Missing { what: format!("dataset {dataset}") }),
        });
    }

    fn change(&self, _: &Who, change: ChangeRequest, _: Option<String>, until: Until, reply: Reply<Changed>) {
        let ChangeRequest { action, dataset, subjects, value, text, ttl, expires, reason, .. } = change;
        let expires = expires.is_some();
        self.note(format!(
            "{action:?} {dataset} {subjects:?} {value:?} {text:?} {ttl:?} {expires} {reason:?} {until:?}"
        ));
        reply.give(Ok(Changed { numbers: (41..).take(subjects.len()).collect(), served: false }));
    }

    fn withdraw(&self, _: &Who, _: u64, _: Until, reply: Reply<Changed>) {
        drop(reply);
    }

    fn changes(&self, _: ChangeQuery, reply: Reply<Vec<ChangeRecord>>) {
        drop(reply);
    }

    fn report(&self, reports: Vec<Event>, reply: Reply<Taken>) -> Result<(), Vec<Event>> {
        *self.reports.lock().unwrap() += reports.len() as u64;
        if let Some(Event { key, who, what: What::Report(report), .. }) = reports.last() {
            let Report { source, subject, category, weight, .. } = report;
            let told = format!("{who} {source} {subject} {category} {weight} {}", key.is_some());
            *self.told.lock().unwrap() = vec![told];
        }
        reply.give(Ok(Taken { accepted: reports.len() as u64, known: 0 }));
        Ok(())
    }

    fn evidence(&self, _: EvidenceQuery, reply: Reply<Evidence>) {
        drop(reply);
    }

    fn diff(&self, query: DiffQuery, reply: Reply<Diff>) {
        let at = At(Time(1_783_850_400));
        let counts = DatasetCounts {
            name: "drop".to_owned(),
            before: 5,
            after: 5,
            entered: Some(1),
            left: Some(1),
            changed: None,
        };
        let generation = GenerationRecord {
            number: 17,
            at,
            cause: "reload".to_owned(),
            who: Some("uid:0".to_owned()),
            datasets: vec![counts],
        };
        let entry = |change, why: Option<&str>| DiffEntry {
            generation: 17,
            dataset: "drop".to_owned(),
            change,
            subject: "192.0.2.1".to_owned(),
            why: why.map(str::to_owned),
        };
        let entries = vec![entry(Movement::Entered, Some("lists/drop:3")), entry(Movement::Left, None)];
        let from = query.from.unwrap_or(16);
        reply.give(Ok(Diff { from, to: 17, generations: vec![generation], entries, truncated: true }));
    }

    fn lookup(&self, _: String, reply: Reply<serde_json::Value>) {
        drop(reply);
    }
}

/// A server, and a folder with its configuration.
struct Site {
    folder: TempDir,
    noting: Arc<Noting>,
    running: Running,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("infamy.toml"), "version = 1\n[server]\nstate-directory = \".\"\n").unwrap();
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("mail {TOKEN}\n")).unwrap();
        fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let noting = Arc::new(Noting::default());
        let listen = Listen {
            socket: Some(folder.path().join("infamy.sock")),
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            hosts: Vec::new(),
            tokens: Some(tokens),
            metrics: Vec::new(),
            limits: Limits::default(),
        };
        let running = bind(&listen).unwrap().run(noting.clone()).unwrap();
        Self { folder, noting, running }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self) -> String {
        format!("http://{}", self.running.addresses()[0])
    }

    /// Runs a command in the folder, as an operator does: exit code, output, errors.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        run_in(self.folder.path(), arguments, input)
    }
}

fn run_in(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_infamy"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // a command that does not read it may have ended
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(text: &str) -> (i32, String, String) {
    (0, text.to_owned(), String::new())
}

fn failed(text: &str) -> (i32, String, String) {
    (2, String::new(), text.to_owned())
}

const TOKEN: &str = "0123456789abcdef0123";

#[test]
fn listings_are_added_and_removed() {
    let site = Site::new();
    let add = ["add", "192.0.2.1", "192.0.2.0/24", "--dataset", "drop"];
    assert_eq!(site.run(&add), done("drop: 192.0.2.1 added, change 41\ndrop: 192.0.2.0/24 added, change 42\n"));
    assert_eq!(site.noting.told(), [r#"Add drop ["192.0.2.1", "192.0.2.0/24"] None None None false None Durable"#]);
    let more =
        ["--value", "127.0.0.4", "--text", "$ is bad", "--ttl", "1m", "--expires", "3d", "--reason", "x", "--wait"];
    assert_eq!(site.run(&[&add[..2], &add[3..], &more].concat()), done("drop: 192.0.2.1 added, change 41\n"));
    assert_eq!(
        site.noting.told(),
        [r#"Add drop ["192.0.2.1"] Some(127.0.0.4) Some("$ is bad") Some(60) true Some("x") Served"#]
    );
    for expires in ["2100-01-01", "2100-01-01T10:00:00Z", "4102444800"] {
        let remove = ["remove", "192.0.2.1", "--dataset", "drop", "--expires", expires];
        assert_eq!(site.run(&remove), done("drop: 192.0.2.1 removed, change 41\n"));
        assert_eq!(site.noting.told(), [r#"Remove drop ["192.0.2.1"] None None None true None Durable"#]);
    }
    let (code, _, error) = site.run(&["add", "192.0.2.1", "--dataset", "drop", "--expires", "soon"]);
    assert!(code == 2 && error.contains("write 3d, 12h, 2026-07-12 or") && error.lines().count() == 1, "{error}");
    assert_eq!(
        site.run(&["remove", "x", "--dataset", "drop", "--expires", "1999-01-01"]),
        failed("error: expires: is past\n")
    );
}

#[test]
fn reports_are_words_or_files() {
    let site = Site::new();
    let taken = |count: usize| {
        let reports = if count == 1 { "report" } else { "reports" };
        done(&format!("{count} {reports} taken, 0 known before\n"))
    };
    let words = ["report", "192.0.2.1", "list.example", "--source", "trap", "--category", "spam", "--weight", "0.5"];
    assert_eq!(site.run(&words), taken(2));
    let uid = format!(
        "uid:{}",
        fs::metadata(site.folder.path()).map(|data| std::os::unix::fs::MetadataExt::uid(&data)).unwrap()
    );
    assert_eq!(site.noting.told(), [format!("{uid} trap list.example spam 0.5 false")]);

    let csv = "time,source,subject\n".to_owned() + &"2026-07-12,a,192.0.2.1\n".repeat(20_000);
    let lines = "{\"source\":\"a\",\"subject\":\"192.0.2.2\"}\n".repeat(20_000);
    fs::write(site.path("reports.csv"), &csv).unwrap();
    fs::write(site.path("reports.jsonl"), &lines).unwrap();
    fs::write(site.path("reports.json"), "[{\"source\":\"a\",\"subject\":\"192.0.2.3\"}]").unwrap();
    assert_eq!(site.run(&["report", "--file", "reports.csv"]), taken(20_000));
    assert_eq!(site.run(&["report", "--file", "reports.jsonl", "--key", "k"]), taken(20_000));
    assert_eq!(site.noting.told(), [format!("{uid} a 192.0.2.2  1 true")]);
    assert_eq!(site.run(&["report", "--file", "reports.json"]), taken(1));
    assert_eq!(site.run_with(&["report", "--file", "-"], &csv), taken(20_000));
    assert_eq!(*site.noting.reports.lock().unwrap(), 60_003);
    let arf = "From: <abuse@example.net>\nDate: Thu, 8 Mar 2005 17:40:36 EDT\nContent-Type: multipart/report; \
        report-type=feedback-report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
        User-Agent: x/1\nVersion: 1\nSource-IP: 192.0.2.2\n\n--b--\n";
    assert_eq!(site.run_with(&["report", "--file", "-"], arf), taken(1));

    let wrong = "{\"source\":\"a\",\"subject\":\"192.0.2.2\"}\n{\"source\":\"a\",\"subject\":\"word\"}\n";
    let error =
        "-:2: `word` is no address, prefix, domain or URL\nerror: -: 1 report not taken, 1 taken, 0 known before\n";
    assert_eq!(site.run_with(&["report", "--file", "-"], wrong), failed(error));
    let missing = failed("error: nowhere: No such file or directory (os error 2)\n");
    assert_eq!(site.run(&["report", "--file", "nowhere"]), missing);
    let (code, _, error) = site.run(&["report", "192.0.2.1"]);
    assert!(code == 2 && error.contains("--source"), "{error}");
}

#[test]
fn a_server_is_watched_and_told_to_load() {
    let site = Site::new();
    let status = "infamy 0.1.0, process 7, since 2026-07-12T10:00:00Z
generation 17 since 2026-07-12T10:00:00Z: reload by uid:0
loading trap since 2026-07-12T10:00:00Z: 5 of 9 bytes, 2 lines
dataset drop: 1234 entries, loaded 2026-07-12T10:00:00Z, 2 live changes, the next ends 2026-07-12T10:00:00Z
dataset trap: 1234 entries, loaded 2026-07-12T10:00:00Z, as of 2026-07-12T11:00:00Z, failed 3 times, last: lists/trap:7: no address
zone bl.example: serial 9
certificate tls: EXPIRED 1970-01-01T00:00:00Z, not read again 2 times, last: key.pem: no key
limits: 1 reply dropped, 2 slipped, 3 queries over quota, cookies 0 good and 4 bad, 0 log records lost
store evidence.db: 3 waiting
";
    assert_eq!(site.run(&["status"]), done(status));
    let (code, json, _) = site.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["datasets"][1]["failures"]), (0, &3.into()));
    let failures = "warning: [listen] changed: restart to have it\nerror: certificate tls: key.pem: no key\n\
                    error: dataset drop: lists/x:7: wrong\nerror: dataset trap: lists/x:7: wrong\n";
    assert_eq!(site.run(&["reload"]), failed(failures));
    assert_eq!(site.run(&["reload", "--no-wait"]), done("under way, generation 17 is served\n"));
    assert_eq!(site.run(&["accept", "drop"]), done("done, generation 18 is served\n"));
    assert_eq!(site.run(&["accept", "a/b"]), failed("error: dataset a/b: there is none\n"));
    let diff = "generation 17 at 2026-07-12T10:00:00Z: reload by uid:0
  drop: 5 before, 5 now, 1 entered, 1 left
    + drop 192.0.2.1 (lists/drop:3)
    - drop 192.0.2.1
there are more entries than are told here; the counts are whole
";
    assert_eq!(site.run(&["diff", "drop", "--from", "3"]), done(diff));
    let (_, json, _) = site.run(&["diff", "--from", "3", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["from"], 3);
}

#[test]
fn a_server_is_found_or_it_is_told_why_not() {
    let site = Site::new();
    let url = site.url();
    let over = |more: &[&str]| site.run(&[&["reload", "--no-wait", "--control", &url], more].concat());
    assert_eq!(over(&["--token-file", "token"]), done("under way, generation 17 is served\n"));
    let (code, _, error) = over(&[]);
    assert!(code == 2 && error.contains("a token is needed over TCP: name a file with one by --token-file"), "{error}");
    fs::write(site.path("other"), "0123456789abcdefffff").unwrap();
    let (code, _, error) = over(&["--token-file", "other"]);
    assert!(code == 2 && error.starts_with("error: a token is needed: send"), "{error}");

    let socket = site.path("infamy.sock").display().to_string();
    assert_eq!(site.run(&["reload", "--no-wait", "--control", &socket]).0, 0);
    let none = failed("error: none.sock: no such socket: is the server running?\n");
    assert_eq!(site.run(&["status", "--control", "none.sock"]), none);
    let (code, _, error) = site.run(&["status", "--control", "https://localhost:1"]);
    assert!(code == 2 && error.contains("write http://HOST:PORT, or the path of a Unix socket"), "{error}");
    let (code, _, error) = site.run(&["status", "--control", "http://127.0.0.1:1", "--token-file", "token"]);
    assert!(code == 2 && error.contains("nobody listens there: is the server running?"), "{error}");
    fs::write(site.path("bare.toml"), "version = 1\n").unwrap();
    let (code, _, error) = site.run(&["status", "--config", "bare.toml"]);
    assert!(code == 2 && error.contains("bare.toml: control: the server listens nowhere"), "{error}");

    // something else listens there
    let other = UnixListener::bind(site.path("other.sock")).unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 1000]);
        stream.write_all(b"SSH-2.0-other\r\n").unwrap();
    });
    let (code, _, error) = site.run(&["status", "--control", "other.sock"]);
    answering.join().unwrap();
    assert!(code == 2 && error.starts_with("error: other.sock: the connection broke: "), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
#[ignore = "needs curl"]
fn the_guides_examples_do_what_they_say() {
    let site = Site::new();
    fs::write(site.path("authorization"), format!("Authorization: Bearer {TOKEN}\n")).unwrap();
    fs::write(site.path("reports.jsonl"), "{\"source\":\"a\",\"subject\":\"192.0.2.2\"}\n").unwrap();
    let guide = include_str!("../../docs/operations.md");
    let examples: Vec<String> = guide
        .lines()
        .filter(|line| line.starts_with("curl "))
        .map(|line| line.replace("http://127.0.0.1:8053", &site.url()))
        .collect();
    assert!(examples.len() >= 6);
    for example in examples {
        let output = Command::new("sh").args(["-c", &example]).current_dir(site.folder.path()).output().unwrap();
        let answer: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{example}: {error}: {output:?}"));
        assert!(output.status.success() && answer["detail"].is_null(), "{example}: {answer}");
    }
    assert_eq!(*site.noting.reports.lock().unwrap(), 1);
}

#[test]
fn a_token_that_is_taken_away_is_none() {
    let site = Site::new();
    let url = site.url();
    let client = |token: &str| Client::new(Target::parse(&url).unwrap(), Some(token.to_owned())).unwrap();
    let status = |token: &str| client(token).get::<Status>("/v1/status", &());
    assert!(status(TOKEN).is_ok());
    fs::write(site.path("new"), "mail fedcba9876543210\n").unwrap();
    fs::set_permissions(site.path("new"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(site.path("new"), site.path("tokens")).unwrap();
    assert!(status(TOKEN).is_err());
    assert!(status("fedcba9876543210").is_ok());
    fs::set_permissions(site.path("tokens"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(status("fedcba9876543210").is_err());
}

#[test]
#[ignore = "measures, and prints what it finds: run it with --release"]
fn reports_a_second() {
    let site = Site::new();
    let socket = Target::Socket(site.path("infamy.sock"));
    let client = Client::new(socket, None).unwrap();
    let mut lines = Vec::new();
    for number in 0..MANY {
        let [a, b, c, _] = u32::to_be_bytes(number << 8);
        let time = 1_783_850_400 + number % 3600;
        writeln!(
            lines,
            r#"{{"time":{time},"source":"trap-{}","subject":"198.{a}.{b}.{c}","category":"spam"}}"#,
            number % 7
        )
        .unwrap();
    }
    let bytes = lines.len();
    for key in [None, Some("monday")] {
        let begin = Instant::now();
        let reported: Reported =
            client.stream("/v1/reports", "application/x-ndjson", key, std::io::Cursor::new(lines.clone())).unwrap();
        let took: Duration = begin.elapsed();
        assert_eq!(reported.accepted, u64::from(MANY));
        let rate = f64::from(MANY) / took.as_secs_f64();
        eprintln!("{MANY} reports of {bytes} bytes, key {key:?}: {took:?}, {rate:.0} a second");
        assert!(rate > 50_000.0);
    }
}

const MANY: u32 = 1_000_000;
