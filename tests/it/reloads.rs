//! Reloads of a server that is being asked, and what is told of them.
//!
//! `INFAMY_LONG=1` makes lists and their number as large as they are meant to be.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;

use crate::serve::{A, PATIENCE, Server, Site, query};

#[test]
fn reloads_under_load_lose_and_delay_no_query_and_leave_no_memory_behind() {
    let is_long = std::env::var_os("INFAMY_LONG").is_some();
    let (lines, reloads) = if is_long { (1_000_000, 100) } else { (50_000, 5) };
    let site = Site::new();
    site.write_config(NAMES);
    let lists = Lists::new(lines);
    lists.put(&site, 0);
    let server = site.start();
    let asking = Asking::start(&server, if is_long { LONG_BURST } else { 2 });
    thread::sleep(Duration::from_secs(2));
    let quiet = asking.times.slowest(0.99);
    asking.times.forget();
    let mut resident = Vec::new();
    for number in 1..=reloads {
        lists.put(&site, number);
        server.signal("HUP");
        server.wait_for("reloaded took=");
        assert_eq!(server.rcode(&format!("{number}.255.255.9.bl.example")), ResponseCode::NoError);
        resident.push(settled(&server, resident.first().copied()));
    }
    let busy = asking.times.slowest(0.99);
    let begun = asking.begun;
    let (sent, lost, wrong) = asking.end();
    let rate = sent as f64 / begun.elapsed().as_secs_f64();
    let first = resident[0];
    eprintln!(
        "{reloads} reloads of 2 × {lines} under {sent} queries, {rate:.0} a second: {lost} lost, {wrong} wrong; 99 of 100 answered within {quiet:?} \
         before, {busy:?} meanwhile; resident {first} KiB after the first, {} KiB after the last",
        resident[resident.len() - 1],
    );
    assert_eq!((lost, wrong), (0, 0));
    // a short run has other tests beside it, which delay both
    assert!(!is_long || busy <= (2 * quiet).max(NOISE), "{quiet:?} {busy:?}");
    assert!(server.end().success());
}

/// Texts of lists, made beforehand, as that takes as long as a reload.
struct Lists {
    addresses: Vec<String>,
    names: Vec<String>,
}

impl Lists {
    fn new(lines: u32) -> Self {
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for variant in 0..VARIANTS {
            let (mut of_addresses, mut of_names) = (String::new(), String::new());
            for n in 0..lines {
                // scattered, and every time a few others
                let bits = (n + variant * (lines / 100)).wrapping_mul(2_654_435_761) | 1 << 30;
                writeln!(of_addresses, "{}", Ipv4Addr::from(bits & 0x7fff_ffff)).unwrap();
                writeln!(of_names, "n{n}.list{variant}.example").unwrap();
            }
            addresses.push(of_addresses);
            names.push(of_names);
        }
        Self { addresses, names }
    }

    /// Puts lists there of which one listing tells which they are.
    fn put(&self, site: &Site, number: u32) {
        let variant = (number % VARIANTS) as usize;
        fs::write(site.0.path().join("names.new"), &self.names[variant]).unwrap();
        fs::rename(site.0.path().join("names.new"), site.0.path().join("names")).unwrap();
        // last, so that half a list lacks it
        site.put(format!("{}9.255.255.{number}\n192.0.2.1\n", self.addresses[variant]).as_bytes());
    }
}

/// Resident KiB once it is no more than a little above what it was the first time, as it must come to be.
fn settled(server: &Server, first: Option<u64>) -> u64 {
    let begin = Instant::now();
    loop {
        let now = resident(server);
        let Some(first) = first else {
            // what was loaded first is being compared and dropped
            thread::sleep(Duration::from_secs(2));
            return resident(server);
        };
        if now <= first + first / 4 + SLACK_KIB {
            return now;
        }
        assert!(begin.elapsed() < PATIENCE, "{now} KiB are resident, {first} KiB were after the first reload");
        thread::sleep(Duration::from_millis(50));
    }
}

fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Asks all the time, at a steady rate, for what every generation lists.
struct Asking {
    is_over: Arc<AtomicBool>,
    times: Arc<Times>,
    threads: [JoinHandle<u64>; 2],
    wrong: Arc<AtomicU64>,
    begun: Instant,
}

/// How many answers took how many times 50 µs; the last counts all that took longer.
struct Times(Vec<AtomicU64>);

impl Times {
    fn count(&self, took: Duration) {
        let step = (took.as_micros() / 50) as usize;
        self.0[step.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    fn forget(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// The time within which such a share was answered.
    fn slowest(&self, share: f64) -> Duration {
        let all: u64 = self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let mut seen = 0;
        let within = |count: &AtomicU64| {
            seen += count.load(Ordering::Relaxed);
            seen as f64 >= share * all as f64
        };
        let step = self.0.iter().position(within).unwrap_or(self.0.len());
        Duration::from_micros(50 * (step as u64 + 1))
    }
}

impl Asking {
    /// Asks so many questions every half of a millisecond.
    fn start(server: &Server, burst: usize) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        socket.connect(server.address).unwrap();
        socket.set_read_timeout(Some(LATE)).unwrap();
        // replies are not to be lost here where this process does not have its turn
        socket2::SockRef::from(&*socket).set_recv_buffer_size(4 << 20).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let times = Arc::new(Times((0..40_000).map(|_| AtomicU64::new(0)).collect()));
        let sent_at: Arc<Vec<AtomicU64>> = Arc::new((0..=u16::MAX).map(|_| AtomicU64::new(0)).collect());
        let wrong = Arc::new(AtomicU64::new(0));
        let begin = Instant::now();
        let send = {
            let (socket, is_over, sent_at) = (socket.clone(), is_over.clone(), sent_at.clone());
            move || {
                let mut message = query("1.2.0.192.bl.example", A);
                let mut sent = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    for _ in 0..burst {
                        message[..2].copy_from_slice(&(sent as u16).to_be_bytes());
                        sent_at[usize::from(sent as u16)].store(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
                        socket.send(&message).unwrap();
                        sent += 1;
                    }
                    thread::sleep(Duration::from_micros(500));
                }
                sent
            }
        };
        let receive = {
            let (times, wrong) = (times.clone(), wrong.clone());
            move || {
                let (mut reply, mut received) = ([0; 512], 0_u64);
                // nothing comes any more once it has been quiet for so long
                while let Ok(length) = socket.recv(&mut reply) {
                    received += 1;
                    let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                    let sent = Duration::from_nanos(sent_at[id].load(Ordering::Relaxed));
                    times.count(begin.elapsed().saturating_sub(sent));
                    let is_listed = length > 12 && reply[3] & 0x0f == 0 && reply[6..8] == [0, 1];
                    wrong.fetch_add(u64::from(!is_listed), Ordering::Relaxed);
                }
                received
            }
        };
        Self { is_over, times, threads: [thread::spawn(send), thread::spawn(receive)], wrong, begun: begin }
    }

    /// How many questions were asked, had no answer, and had a wrong one.
    fn end(self) -> (u64, u64, u64) {
        self.is_over.store(true, Ordering::Relaxed);
        let [sent, received] = self.threads.map(|thread| thread.join().unwrap());
        (sent, sent - received, self.wrong.load(Ordering::Relaxed))
    }
}

#[test]
fn what_a_load_moved_is_told_with_its_line() {
    let site = Site::new();
    site.write_config(NAMES);
    fs::write(site.list(), "192.0.2.1\n192.0.2.8/30\n2001:db8::/32\n").unwrap();
    fs::write(site.0.path().join("names"), "stays.example\nleaves.example\n").unwrap();
    let server = site.start();
    server.wait_for("control on ");
    // the names have been spelt once
    await_file(&site, "state/spelt/names.zst");
    site.put(b"# new\n192.0.2.8/31\n192.0.2.2\n2001:db8::/33\n");
    fs::write(site.0.path().join("names.new"), "# new\nenters.example\nstays.example\n").unwrap();
    fs::rename(site.0.path().join("names.new"), site.0.path().join("names")).unwrap();
    server.signal("HUP");
    server.wait_for("reloaded took=");
    let told = await_diff(&site, "enters");
    let (list, names) = (site.list(), site.0.path().join("names"));
    let (list, names) = (list.display(), names.display());
    for line in [
        "  list: 6 before, 4 now, 1 entered, 4 left, 0 changed".to_owned(),
        "    - list 192.0.2.1".to_owned(),
        format!("    + list 192.0.2.2 ({list}:3)"),
        "    - list 192.0.2.10/31".to_owned(),
        "    - list 2001:db8:8000::/33".to_owned(),
        "  names: 2 before, 2 now, 1 entered, 1 left, 0 changed".to_owned(),
        "    - names .leaves.example".to_owned(),
        format!("    + names .enters.example ({names}:2)"),
    ] {
        assert!(told.lines().any(|known| known == line), "{line}\n{told}");
    }
    assert!(!told.contains("stays.example") && told.contains(": signal"), "{told}");
    assert!(server.end().success());
}

/// What `infamy diff` prints, once it has this in it.
pub(crate) fn await_diff(site: &Site, text: &str) -> String {
    let begin = Instant::now();
    loop {
        let told = site.done(&["diff"]);
        if told.contains(text) {
            return told;
        }
        assert!(begin.elapsed() < PATIENCE, "{told}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn await_file(site: &Site, path: &str) {
    let begin = Instant::now();
    while !site.0.path().join(path).exists() {
        assert!(begin.elapsed() < PATIENCE, "{path} is never there");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Questions every half of a millisecond, and a little: half of what two processors can ask and answer.
const LONG_BURST: usize = 50;
/// Texts of which two that follow each other differ.
const VARIANTS: u32 = 7;
/// An answer that takes longer is lost: resolvers ask again by then.
const LATE: Duration = Duration::from_secs(2);
/// What a machine that does other things besides makes of a percentile of microseconds.
const NOISE: Duration = Duration::from_millis(20);
/// What an allocator may keep, whatever the lists are.
const SLACK_KIB: u64 = 16 << 10;
const NAMES: &str = "[[dataset]]\nname = \"names\"\nformat = \"plain\"\nfiles = \"names\"\n\
                     [[zone]]\napex = \"names.example\"\ndatasets = [\"names\"]\n";
