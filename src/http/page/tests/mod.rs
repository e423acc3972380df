//! The page over real sockets, before a server that knows a few subjects.

mod forms;
mod hostile;
mod look;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::evidence::Time;
use crate::http::api::At;
use crate::http::tests::{Answered, PATIENCE};
use crate::http::{Refusal, Reply};

/// A server that lists 192.0.2.7 and what is in its texts, and keeps what it is asked.
#[derive(Default)]
struct Kept {
    generation: AtomicU64,
    lookups: AtomicU64,
    removals: Mutex<Vec<Removal>>,
    fails: Mutex<Option<Refusal>>,
    /// What a listed subject is told of.
    text: Mutex<String>,
    /// Until when it is listed, if that is not what it always is.
    until: Mutex<String>,
}

impl Kept {
    fn removals(&self) -> Vec<Removal> {
        self.removals.lock().unwrap().clone()
    }
}

impl Public for Kept {
    fn edition(&self) -> Edition {
        Edition { started: 5, generation: self.generation.load(Ordering::Relaxed) }
    }

    fn subject(&self, text: &str) -> Result<Subject, NoSubject> {
        let subject = |text: &str, kind| Ok(Subject { text: text.to_owned(), unicode: None, kind });
        match text {
            _ if text.parse::<IpAddr>().is_ok() => subject(text, Kind::Address),
            _ if text.starts_with("http://") => subject(text, Kind::Url),
            _ if text.contains([',', '?', '\n']) => Err(NoSubject),
            _ if text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.')) => {
                subject(text.to_lowercase().trim_matches(['<', '>']), Kind::Mailbox)
            }
            _ if text.contains("xn--") => {
                let unicode = Some("münchen<b>.example".to_owned());
                Ok(Subject { text: text.to_owned(), unicode, kind: Kind::Domain })
            }
            _ if text.contains('.') || text.contains('<') => subject(&text.to_lowercase(), Kind::Domain),
            _ => Err(NoSubject),
        }
    }

    fn look_up(&self, subject: &Subject, reply: Reply<Found>) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = self.fails.lock().unwrap().clone() {
            return reply.give(Err(refusal));
        }
        let is_listed = subject.text == "192.0.2.7" || subject.text.contains("listed");
        let text = self.text.lock().unwrap().clone();
        let mut found = found(subject, is_listed, &text);
        let until = self.until.lock().unwrap().clone();
        let reasons = found.zones.iter_mut().flat_map(|zone| &mut zone.why).filter(|_| !until.is_empty());
        reasons.for_each(|reason| reason.until = Some(until.clone()));
        thread::spawn(move || reply.give(Ok(found)));
    }

    fn takes_requests(&self) -> bool {
        true
    }

    fn request(&self, removal: Removal, reply: Reply<()>) {
        if let Some(refusal) = self.fails.lock().unwrap().clone() {
            return reply.give(Err(refusal));
        }
        self.removals.lock().unwrap().push(removal);
        thread::spawn(move || reply.give(Ok(())));
    }
}

fn found(subject: &Subject, listed: bool, text: &str) -> Found {
    let standing = if listed { Standing::Listed } else { Standing::None };
    let mut standings = vec![Standing::None; 256];
    standings[7] = Standing::Listed;
    let reason = Reason {
        kind: "listing",
        dataset: Some("traps".to_owned()),
        entry: text.to_owned(),
        since: Some("2026-07-01T10:20:30Z".to_owned()),
        last: None,
        until: Some("2026-08-01".to_owned()),
    };
    let zone = InZone {
        zone: "bl.example".to_owned(),
        role: Role::List,
        standing,
        status: if listed { "NOERROR" } else { "NXDOMAIN" },
        a: if listed { vec!["127.0.0.2".to_owned()] } else { Vec::new() },
        txt: if listed { vec![text.to_owned()] } else { Vec::new() },
        why: if listed { vec![reason] } else { Vec::new() },
    };
    let around = Around {
        first: 0xc000_0200,
        block: "192.0.2.0/24".to_owned(),
        standings,
        prefix: Some("192.0.2.0/23".to_owned()),
        asn: Some(64500),
    };
    Found {
        subject: subject.clone(),
        listed,
        standing,
        generation: 3,
        at: At(Time(1_783_850_400)),
        zones: vec![zone],
        around: (subject.kind == Kind::Address).then_some(around),
        verdicts: Vec::new(),
    }
}

/// A running page over [`Kept`].
struct Site {
    running: Running,
    kept: Arc<Kept>,
}

impl Site {
    fn new() -> Self {
        Self::with(Listen::default(), Vec::new())
    }

    fn with(listen: Listen, requested: Vec<Requested>) -> Self {
        let listen = Listen { addresses: vec!["127.0.0.1:0".parse().unwrap()], ..listen };
        let kept = Arc::new(Kept::default());
        *kept.text.lock().unwrap() = "Seen in a trap".to_owned();
        let running = bind(&listen).unwrap().run(kept.clone(), requested).unwrap();
        Self { running, kept }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.running.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What is answered to a text that is a whole request.
    fn raw(&self, request: &[u8]) -> Answered {
        let mut stream = self.connect();
        // a server that has refused need not read it all
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        Answered::parse(&String::from_utf8(text).unwrap())
    }

    fn get(&self, path: &str) -> Answered {
        self.get_with(path, "")
    }

    /// The same with headers, each ended by a line's end.
    fn get_with(&self, path: &str, headers: &str) -> Answered {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: lists.example\r\nConnection: close\r\n{headers}\r\n").as_bytes())
    }

    /// Sends a form as a browser does from the page itself, but for these headers.
    fn post(&self, path: &str, headers: &str, body: &str) -> Answered {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: lists.example\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body.as_bytes()].concat())
    }
}
