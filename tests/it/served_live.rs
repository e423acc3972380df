//! Changes and reports to a server that serves: what is answered when, what outlives the process, and what a fault loses.
//!
//! `INFAMY_LONG=1` makes the random ones as long as they are meant to be.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RData;

use crate::serve::{A, PATIENCE, PROGRAM, Server, Site, query};

const TXT: u16 = 16;

fn start(site: &Site) -> Server {
    let server = site.start();
    server.wait_for("control on ");
    server
}

fn texts(server: &Server, name: &str) -> Vec<String> {
    let reply = server.ask(name, TXT);
    let texts = reply.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect()),
        _ => None,
    });
    texts.collect()
}

/// Waits until an address is answered so.
fn await_rcode(server: &Server, name: &str, rcode: ResponseCode) -> Duration {
    let begin = Instant::now();
    while server.rcode(name) != rcode {
        assert!(begin.elapsed() < PATIENCE, "{name} is never {rcode}");
        thread::sleep(Duration::from_millis(2));
    }
    begin.elapsed()
}

fn kill(mut server: Server) {
    server.child.kill().unwrap();
    server.child.wait().unwrap();
}

fn long() -> bool {
    std::env::var_os("INFAMY_LONG").is_some()
}

#[test]
fn a_change_is_answered_told_and_taken_back() {
    let site = Site::new();
    let server = start(&site);
    let serial = server.serial("bl.example");
    let name = "7.113.0.203.bl.example";
    assert_eq!(server.rcode(name), ResponseCode::NXDomain);
    let told =
        site.done(&["add", "203.0.113.7", "--dataset", "list", "--text", "Trap: $", "--reason", "a trap", "--wait"]);
    assert!(told.starts_with("list: 203.0.113.7 added, change "), "{told}");
    let number = told.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(texts(&server, name), ["Trap: 203.0.113.7"]);
    assert_eq!(server.rcode("113.0.203.bl.example"), ResponseCode::NoError, "a name with a listing below it exists");
    assert!(server.ask(name, A).answers[0].ttl <= 60);
    assert!(server.serial("bl.example") > serial);

    // a removal hides what the list has, and the longest change decides
    site.done(&["remove", "192.0.2.0/24", "--dataset", "list", "--wait"]);
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NXDomain);
    site.done(&["add", "192.0.2.1", "--dataset", "list", "--wait"]);
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);

    // the commands that read beside the server see what it serves
    let looked_up = site.done(&["lookup", "203.0.113.7"]);
    assert!(looked_up.contains("a trap"), "{looked_up}");
    let dumped = site.done(&["dump", "bl.example"]);
    assert!(dumped.contains("7.113.0.203") && dumped.contains("Trap: 203.0.113.7"), "{dumped}");
    let status = site.done(&["status"]);
    assert!(status.contains("dataset list: 1 entry") && status.contains("3 live changes"), "{status}");
    let diff = site.done(&["diff", "--from", "0"]);
    assert!(diff.contains("+ list 203.0.113.7 (added live by uid:") && diff.contains("a trap"), "{diff}");
    assert_eq!(site.done(&["withdraw", &number, "--wait"]), format!("change {number} withdrawn\n"));
    assert_eq!(server.rcode(name), ResponseCode::NXDomain);
    assert_eq!(site.run(&["withdraw", &number]).status.code(), Some(2), "it is withdrawn already");
    assert!(server.end().success());
}

#[test]
fn what_may_not_be_changed_is_refused_and_changes_nothing() {
    let site = Site::new();
    let server = start(&site);
    let serial = server.serial("bl.example");
    for (subject, why) in
        [("0.0.0.0/0", "is every address"), ("10.0.0.1", "never-list"), ("not an address", "is no subject")]
    {
        let output = site.run(&["add", subject, "--dataset", "list"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(why), "{subject}: {told}");
    }
    let output = site.run(&["add", "192.0.2.9", "--dataset", "other"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("dataset other: there is none"), "{output:?}");
    assert_eq!(server.serial("bl.example"), serial);
    assert!(server.end().success());
}

#[test]
fn a_change_ends_to_the_second() {
    let site = Site::new();
    let server = start(&site);
    site.done(&["add", "203.0.113.7", "--dataset", "list", "--expires", "4s", "--wait"]);
    let name = "7.113.0.203.bl.example";
    let expires = now() + 6.0;
    let ttl = server.ask(name, A).answers[0].ttl;
    assert!((1..=4).contains(&ttl), "{ttl}");
    await_rcode(&server, name, ResponseCode::NXDomain);
    assert!(now() <= expires, "later than the second it ends in");
    assert!(server.end().success());
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// While changes come one by one and by the thousand, so that there are folds, and a list is compiled.
#[test]
fn killed_at_any_moment_every_acknowledged_change_is_there() {
    let site = Site::new();
    let kills: u64 = if long() { 200 } else { 4 };
    let mut singles: Vec<Ipv4Addr> = Vec::new();
    let mut blocks = Blocks::default();
    let text = site.0.path().join("text");
    fs::write(&text, (0..50_000u32).map(|n| format!("{}\n", Ipv4Addr::from(0x2d00_0000 + 7 * n))).collect::<String>())
        .unwrap();
    let compiled = site.0.path().join("compiled");
    for round in 0..=kills {
        let server = start(&site);
        for address in &singles {
            assert_eq!(server.rcode(&name(*address)), ResponseCode::NoError, "{address} in round {round}");
        }
        blocks.check(&server, round as usize);
        if compiled.exists() {
            let mut verify = Command::new(PROGRAM);
            let output = verify.args(["compile", "--verify"]).arg(&compiled).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
        if round == kills {
            assert!(server.end().success());
            break;
        }
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        let goes_on = || !stop.load(Ordering::Relaxed);
        thread::scope(|scope| {
            // several at once, so that some are always on their way
            let (site, first, acknowledged) = (&site, 1000 * round as u32, &acknowledged);
            let writers: Vec<_> = (0..2)
                .map(|writer| {
                    scope.spawn(move || {
                        let addresses = (0..).map(|n| Ipv4Addr::from(0xca00_0000 + first + 2 * n + writer));
                        let added = |address: &Ipv4Addr| {
                            let output = site.run(&["add", &address.to_string(), "--dataset", "list"]);
                            acknowledged.fetch_add(u64::from(output.status.success()), Ordering::Relaxed);
                            output.status.success()
                        };
                        addresses.take_while(|_| goes_on()).filter(added).collect::<Vec<_>>()
                    })
                })
                .collect();
            let blocks = &mut blocks;
            scope.spawn(move || {
                while goes_on() {
                    blocks.change_next(site);
                }
            });
            let compiles = scope.spawn(|| {
                while goes_on() {
                    let mut compile = Command::new(PROGRAM);
                    compile.args(["compile", "--format", "plain", "-o"]).args([&compiled, &text]);
                    let mut child = compile.stdout(Stdio::null()).spawn().unwrap();
                    while goes_on() && child.try_wait().unwrap().is_none() {
                        thread::sleep(Duration::from_millis(1));
                    }
                    // it may have ended by now
                    let _ = child.kill();
                    child.wait().unwrap();
                }
            });
            let begin = Instant::now();
            while acknowledged.load(Ordering::Relaxed) == 0 {
                assert!(begin.elapsed() < PATIENCE, "nothing is acknowledged in round {round}");
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(Duration::from_millis(round * 37 % 300));
            kill(server);
            stop.store(true, Ordering::Relaxed);
            singles.extend(writers.into_iter().flat_map(|writer| writer.join().unwrap()));
            compiles.join().unwrap();
        });
    }
}

fn name(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.bl.example")
}

/// Blocks of addresses that are added and removed in turn, each with one request.
#[derive(Default)]
struct Blocks {
    /// What was last acknowledged of each: whether it is listed.
    listed: [bool; Self::COUNT],
    /// The next, or the one that was asked for and not acknowledged.
    next: usize,
}

impl Blocks {
    /// Together more than are folded.
    const COUNT: usize = 12;
    /// Addresses of a block, which is what one request may have.
    const SIZE: usize = 1000;

    fn addresses(block: usize) -> impl Iterator<Item = Ipv4Addr> {
        (0..Self::SIZE).map(move |n| Ipv4Addr::from(0xcb10_0000 + (Self::SIZE * block + n) as u32))
    }

    fn change_next(&mut self, site: &Site) {
        let subjects: Vec<String> = Self::addresses(self.next).map(|address| address.to_string()).collect();
        let action = if self.listed[self.next] { "remove" } else { "add" };
        let mut arguments = vec![action, "--dataset", "list"];
        arguments.extend(subjects.iter().map(String::as_str));
        if site.run(&arguments).status.success() {
            self.listed[self.next] = !self.listed[self.next];
            self.next = (self.next + 1) % Self::COUNT;
        }
    }

    /// All blocks are as acknowledged, but for the one of which that was not heard: that is so or so as a whole.
    fn check(&mut self, server: &Server, offset: usize) {
        for block in 0..Self::COUNT {
            let some = Self::addresses(block).skip(offset % 20).step_by(20);
            let mut said = some.map(|address| (address, server.rcode(&name(address)) == ResponseCode::NoError));
            if block == self.next {
                self.listed[block] = said.next().unwrap().1;
            }
            let other = said.find(|(_, is_listed)| *is_listed != self.listed[block]);
            assert_eq!(other, None, "of a block of which listed is {}", self.listed[block]);
        }
    }
}

#[test]
fn a_store_that_is_no_store_keeps_the_server_from_starting_with_a_line() {
    let site = Site::new();
    let server = start(&site);
    site.done(&["add", "203.0.113.7", "--dataset", "list"]);
    assert!(server.end().success());
    let store = site.0.path().join("state/evidence.db");
    for side in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{side}", store.display()));
    }
    let whole = fs::read(&store).unwrap();
    for (bytes, why) in [
        (&b"something else entirely, and long enough to be looked at"[..], "evidence store"),
        (&whole[..whole.len() / 2], "corrupt"),
    ] {
        fs::write(&store, bytes).unwrap();
        let output = Command::new(PROGRAM).arg("serve").arg(site.config()).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("error: ") && told.contains("evidence.db") && told.contains(why), "{told}");
    }
    fs::write(&store, &whole).unwrap();
    let server = start(&site);
    assert_eq!(server.rcode("7.113.0.203.bl.example"), ResponseCode::NoError);
    assert!(server.end().success());
}

#[test]
fn changes_outlive_a_reload_and_a_new_configuration() {
    let site = Site::new();
    let server = start(&site);
    site.done(&["add", "203.0.113.7", "--dataset", "list", "--wait"]);
    site.put(b"192.0.2.2\n");
    assert!(site.done(&["reload"]).starts_with("done, generation "));
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("7.113.0.203.bl.example"), ResponseCode::NoError);
    site.write_config("[[zone]]\napex = \"second.example\"\ndatasets = [\"list\"]\n");
    site.done(&["reload"]);
    assert_eq!(server.rcode("7.113.0.203.second.example"), ResponseCode::NoError);

    // what a later change replaced stays replaced, when that is withdrawn and whatever is read anew
    let told = site.done(&["add", "203.0.113.7", "--dataset", "list", "--wait"]);
    let number = told.trim().rsplit(' ').next().unwrap();
    site.done(&["withdraw", number, "--wait"]);
    site.write_config("[[zone]]\napex = \"third.example\"\ndatasets = [\"list\"]\n");
    site.done(&["reload"]);
    for zone in ["bl.example", "third.example"] {
        assert_eq!(server.rcode(&format!("7.113.0.203.{zone}")), ResponseCode::NXDomain, "{zone}");
    }

    // who asks for a reload hears what became of the configuration
    site.write_config("[[zone]]\napex = \"fourth.example\"\ndatasets = [\"lost\"]\n");
    let socket = site.0.path().join("state/infamy.sock");
    let output = Command::new(PROGRAM).arg("reload").arg("--control").arg(socket).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("configuration") && told.contains("lost"), "{told}");
    assert_eq!(server.rcode("2.2.0.192.third.example"), ResponseCode::NoError);
    assert!(server.end().success());
}

/// Floods the server with queries for which nobody waits.
#[test]
fn after_a_flood_answers_resume_and_memory_is_as_before() {
    let site = Site::new();
    let server = start(&site);
    let resident = |server: &Server| status(server, "VmRSS:");
    let before = resident(&server);
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let length = Duration::from_secs(if long() { 60 } else { 2 });
    thread::scope(|scope| {
        for flood in 0..4 {
            let (stop, sent, address) = (&stop, &sent, server.address);
            scope.spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                socket.connect(address).unwrap();
                let query = query(&format!("{flood}.2.0.192.bl.example"), A);
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_add(u64::from(socket.send(&query).is_ok()), Ordering::Relaxed);
                }
            });
        }
        thread::sleep(length);
        stop.store(true, Ordering::Relaxed);
    });
    let begin = Instant::now();
    // as a resolver does: what was lost in the flood is asked again
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let answered = (0..100).any(|_| {
        socket.send_to(&query("1.2.0.192.bl.example", A), server.address).unwrap();
        socket.recv(&mut [0; 512]).is_ok()
    });
    assert!(answered, "no answer after the flood");
    let (resumed, after) = (begin.elapsed(), resident(&server));
    eprintln!(
        "{} queries in {length:?}; answered {resumed:.2?} after it; {before} KiB, then {after} KiB",
        sent.load(Ordering::Relaxed)
    );
    assert!(resumed < Duration::from_secs(5), "{resumed:?}");
    assert!(after < before + 4096, "{before} KiB before, {after} KiB after");
    assert!(server.end().success());
}

/// A line of the kernel's account of a process, in KiB.
fn status(server: &Server, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// How long it takes from a change's begin to its answer, over ten million listings.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_change_is_answered_within_the_second_at_ten_million_listings() {
    let site = Site::new();
    let mut text = String::new();
    for n in 0..10_000_000_u32 {
        use std::fmt::Write as _;
        let _ = writeln!(text, "{}", Ipv4Addr::from(0x2000_0000 | n.wrapping_mul(2_654_435_761) >> 4));
    }
    site.put(text.as_bytes());
    drop(text);
    let server = start(&site);
    let rounds = 200;
    let mut took: Vec<Duration> = (0..rounds)
        .map(|round: u32| {
            let address = Ipv4Addr::from(0xc800_0000 | round);
            let [a, b, c, d] = address.octets();
            let begin = Instant::now();
            site.done(&["add", &address.to_string(), "--dataset", "list"]);
            await_rcode(&server, &format!("{d}.{c}.{b}.{a}.bl.example"), ResponseCode::NoError);
            begin.elapsed()
        })
        .collect();
    took.sort_unstable();
    let p99 = took[took.len() * 99 / 100];
    eprintln!(
        "from the command's begin to the answer: median {:.1?}, p99 {p99:.1?}, most {:.1?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    assert!(Path::new(&site.list()).exists() && server.end().success());
}

/// A site whose zones are made of evidence alone: what was reported itself, and blocks.
fn of_evidence() -> Site {
    let site = Site::new();
    let folder = site.0.path();
    fs::write(folder.join("routes.tsv"), "192.0.2.0/24\t64496\n198.51.100.0/24\t64497\n203.0.113.0/24\t64498\n")
        .unwrap();
    fs::write(folder.join("reports.csv"), "time,source,subject,category\n").unwrap();
    site.write_config(
        r#"
[evidence]
reports = "reports.csv"

[[evidence.source]]
name = "trap"
trust = 0.9
family = "send"

[neighborhood]
routes = "routes.tsv"

[[dataset]]
name = "reported"
kind = "exact"
min-entries = 0

[[zone]]
apex = "block.example"
datasets = ["reported"]
"#,
    );
    site
}

#[test]
fn a_report_is_answered_and_outlives_the_process() {
    let site = of_evidence();
    let server = start(&site);
    let name = "9.2.0.192.block.example";
    assert_eq!(server.rcode(name), ResponseCode::NXDomain);
    let serial = server.serial("block.example");
    site.done(&["report", "192.0.2.9", "--source", "trap", "--category", "spam"]);
    let took = await_rcode(&server, name, ResponseCode::NoError);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(server.serial("block.example") > serial);
    assert_eq!(server.rcode("8.2.0.192.block.example"), ResponseCode::NXDomain);
    // verdicts are not for people to change
    let output = site.run(&["remove", "192.0.2.9", "--dataset", "reported"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("is made of evidence"), "{output:?}");
    kill(server);
    let server = start(&site);
    assert_eq!(server.rcode(name), ResponseCode::NoError, "it was acknowledged");
    let stream: String = (1..=200)
        .map(|n| {
            format!(
                "{{\"time\":\"{}\",\"source\":\"trap\",\"subject\":\"198.51.100.{n}\",\"category\":\"spam\"}}\n",
                now() as u64
            )
        })
        .collect();
    let file = site.0.path().join("stream.jsonl");
    fs::write(&file, stream).unwrap();
    let told = site.done(&["report", "--file", file.to_str().unwrap()]);
    assert!(told.contains("200 reports taken"), "{told}");
    await_rcode(&server, "200.100.51.198.block.example", ResponseCode::NoError);
    assert!(server.end().success());
}
