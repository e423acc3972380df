//! What comes in through the HTTP doors: paths, queries, forms and subjects, behind whole heads and as they come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use infamy::cli::strangers;
use infamy::dataset::NeverList;
use infamy::evidence::Time;
use infamy::evidence::store::{Event, Scope};
use infamy::http::api::{
    At, ChangeQuery, ChangeRecord, ChangeRequest, Changed, Diff, DiffQuery, Evidence, EvidenceQuery, Held, Reloaded,
    Status, Taken, Traffic,
};
use infamy::http::page::{Edition, Found, NoSubject, Public, Removal, Subject};
use infamy::http::{Control, Refusal, Reply, Until, Who, in_memory};
use infamy::live::{self, Kinds};
use infamy::reload::Store;
use infamy::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::world;

/// Sends bytes to a door; the first one says to which, and as what.
pub fn http(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    match first % 8 {
        0 => drop(in_memory::page(Server::new(), rest)),
        1 => on_the_page(&format!("/q/{}", escaped(rest))),
        2 => on_the_page(&format!("/?q={}", escaped(rest))),
        3 => in_a_form(rest),
        4 => of_a_stranger(rest),
        5 => of_a_stranger(&[rest, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat()),
        6 => drop(in_memory::control(Server::new(), Some(who()), rest)),
        _ => of_the_operator(rest),
    }
}

/// Has the page say what it says to a path, and goes where it leads.
fn on_the_page(path: &str) {
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        Answer::of_page(&in_memory::page(Server::new(), request.as_bytes()))
    };
    let answer = get(path);
    match answer.status {
        200 | 400 => {}
        303 => {
            let to = answer.header("location").expect("where it is");
            // the name of a domain that ends so is taken for the JSON of another
            if !to.ends_with(".json") {
                assert_eq!(get(to).status, 200, "{path} leads to {to}");
            }
        }
        status => panic!("{path}: {status}"),
    }
}

/// Sends a form for a removal of what is listed.
fn in_a_form(form: &[u8]) {
    let length = form.len();
    let head = format!(
        "POST /q/1.2.3.4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    );
    let server = Server::new();
    let answer = Answer::of_page(&in_memory::page(server.clone(), &[head.as_bytes(), form].concat()));
    assert!([303, 400, 413].contains(&answer.status), "{answer:?}");
    assert_eq!(server.is_reached(), answer.status == 303);
}

/// Without a token nobody gets to what is behind the control interface.
fn of_a_stranger(sent: &[u8]) {
    let server = Server::new();
    in_memory::control(server.clone(), None, sent);
    assert!(!server.is_reached());
}

/// Asks about a subject, and would change it.
fn of_the_operator(subject: &[u8]) {
    let head = "Host: x\r\nConnection: close\r\n";
    let asked = |request: String| Answer::read(&in_memory::control(Server::new(), Some(who()), request.as_bytes()));
    for path in ["lookup", "evidence"] {
        let answer = asked(format!("GET /v1/{path}?subject={} HTTP/1.1\r\n{head}\r\n", escaped(subject)));
        let told: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
        match answer.status {
            200 => assert!(told.is_object()),
            400 | 422 => assert_eq!(told["status"], answer.status),
            status => panic!("{path}: {status}"),
        }
    }
    let change = json!({ "action": "add", "dataset": "four", "subjects": [String::from_utf8_lossy(subject)] });
    let (change, media) = (change.to_string(), "Content-Type: application/json");
    let length = change.len();
    let answer =
        asked(format!("POST /v1/changes HTTP/1.1\r\n{head}{media}\r\nContent-Length: {length}\r\n\r\n{change}"));
    assert!([200, 422].contains(&answer.status), "{answer:?}");
}

/// What may stand in a path or query, and all else as its code.
fn escaped(bytes: &[u8]) -> String {
    let written = |byte: &u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*byte).to_string(),
        byte if b"-._~!$&'()*+,;=:@/%".contains(byte) => char::from(*byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    bytes.iter().map(written).collect()
}

fn who() -> Who {
    Who("uid:0".to_owned())
}

/// The answer to one request.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).expect("answers are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a head has a status");
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// An answer of the page has its content policy, and no script even where the policy is not heeded.
    fn of_page(bytes: &[u8]) -> Self {
        let answer = Self::read(bytes);
        assert!(answer.header("content-security-policy").is_some(), "{answer:?}");
        let is_page = answer.header("content-type").is_some_and(|media| media.starts_with("text/html"));
        assert!(!is_page || !answer.body.to_ascii_lowercase().contains("<script"), "{answer:?}");
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A server over every kind of list, which keeps nothing of what it is told.
struct Server {
    world: &'static (Store, Snapshot),
    /// Whether anything got here that only some may ask for.
    reached: AtomicBool,
}

impl Server {
    fn new() -> Arc<Self> {
        static WORLD: OnceLock<(Store, Snapshot)> = OnceLock::new();
        Arc::new(Self { world: WORLD.get_or_init(world::without_files), reached: AtomicBool::new(false) })
    }

    fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    fn reach(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }
}

impl Public for Server {
    fn edition(&self) -> Edition {
        Edition::default()
    }

    fn subject(&self, text: &str) -> Result<Subject, NoSubject> {
        let (store, snapshot) = self.world;
        strangers::subject(text, snapshot, store.plan())
    }

    fn look_up(&self, subject: &Subject, reply: Reply<Found>) {
        let (store, snapshot) = self.world;
        reply.give(Ok(strangers::found(subject, snapshot, store.plan()).expect("what is a subject can be looked up")));
    }

    fn takes_requests(&self) -> bool {
        true
    }

    fn request(&self, Removal { contact, text, .. }: Removal, reply: Reply<()>) {
        self.reach();
        assert!(contact.contains('@') && !contact.contains(char::is_control), "{contact:?}");
        assert!(!text.is_empty() && !text.replace('\n', "").contains(char::is_control), "{text:?}");
        reply.give(Ok(()));
    }
}

impl Control for Server {
    fn status(&self) -> Status {
        self.reach();
        let then = At(Time(0));
        Status {
            version: String::new(),
            pid: 1,
            started: then,
            generation: 1,
            published: then,
            cause: String::new(),
            loading: None,
            datasets: Vec::new(),
            zones: Vec::new(),
            store: None,
            certificates: Vec::new(),
            held: Held::default(),
        }
    }

    fn traffic(&self) -> Traffic {
        self.reach();
        Traffic::default()
    }

    fn metrics(&self) -> String {
        self.reach();
        String::new()
    }

    fn reload(&self, _: &Who, _: Until, reply: Reply<Reloaded>) {
        self.reach();
        reply.give(Err(Refusal::Ending));
    }

    fn accept(&self, _: &Who, dataset: String, _: Until, reply: Reply<Reloaded>) {
        self.reach();
        reply.give(Err(Refusal::Missing { what: dataset }));
    }

    fn change(&self, _: &Who, change: ChangeRequest, _: Option<String>, _: Until, reply: Reply<Changed>) {
        self.reach();
        for spec in &self.world.0.plan().datasets {
            let kinds = Kinds::of(spec, None);
            let read = |text: &str| live::Subject::parse(text, &kinds, &NeverList::empty()).ok();
            for subject in change.subjects.iter().filter_map(|text| read(text)) {
                // the store has the text, and reads it at the next start
                assert_eq!(read(&subject.to_string()), Some(subject));
            }
        }
        reply.give(Ok(Changed { numbers: Vec::new(), served: false }));
    }

    fn withdraw(&self, _: &Who, number: u64, _: Until, reply: Reply<Changed>) {
        self.reach();
        reply.give(Err(Refusal::Missing { what: number.to_string() }));
    }

    fn changes(&self, _: ChangeQuery, reply: Reply<Vec<ChangeRecord>>) {
        self.reach();
        reply.give(Ok(Vec::new()));
    }

    fn report(&self, reports: Vec<Event>, reply: Reply<Taken>) -> Result<(), Vec<Event>> {
        self.reach();
        for report in &reports {
            report.check().expect("a report that got here can be kept");
        }
        reply.give(Ok(Taken::default()));
        Ok(())
    }

    fn evidence(&self, query: EvidenceQuery, reply: Reply<Evidence>) {
        self.reach();
        let Some(scope) = Scope::parse(&query.subject) else {
            return reply.give(Err(Refusal::Invalid { why: "no subject".to_owned() }));
        };
        assert!(scope.touches(&query.subject), "{:?} is not in itself", query.subject);
        reply.give(Ok(Evidence { reports: Vec::new(), changes: Vec::new(), truncated: false }));
    }

    fn diff(&self, _: DiffQuery, reply: Reply<Diff>) {
        self.reach();
        drop(reply);
    }

    fn lookup(&self, subject: String, reply: Reply<Value>) {
        self.reach();
        let (store, snapshot) = self.world;
        let found = strangers::look_up(&subject, snapshot, store.plan());
        reply.give(found.map_err(|error| Refusal::Invalid { why: error.to_string() }));
    }
}
