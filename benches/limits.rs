//! What it costs to look who may ask: access list, keys, quotas, cookies and bounded replies, on against off.
//!
//! `cargo bench --bench limits` measures two things for each. *Answer*: bytes to bytes, one query after the other on one thread.
//! *UDP*: the processor time that the workers of a server take for a query that is asked over loopback, by the kernel's own
//! accounting of their threads. Rounds of all variants alternate, and the least of each counts, as others only add to it. Keys are
//! asked with one after the other, which is the worst for caches: most clients' queries have the keys of a few.
//!
//! In every variant the messages have as many bytes as in the one beside it: where there is no cookie, an unknown option takes
//! its place.

#![allow(clippy::print_stdout, reason = "its output is a table")]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[path = "common/mod.rs"]
mod common;

use infamy::config::Config;
use infamy::cookie::{Cookie, Secret, Secrets, Server};
use infamy::dnsxl::Name;
use infamy::reload::Store;
use infamy::server::{Listen, RateLimits, Running, UdpWorker, bind};
use infamy::snapshot::{Published, Snapshot};
use infamy::zone::UnixTime;

/// What is switched on.
#[derive(Clone, Copy, Default)]
struct On {
    access: bool,
    keys: bool,
    quotas: bool,
    cookies: bool,
    rates: bool,
}

const OFF: On = On { access: false, keys: false, quotas: false, cookies: false, rates: false };
const VARIANTS: [(&str, On); 8] = [
    ("off", OFF),
    ("access list of 10,000", On { access: true, ..OFF }),
    ("1,000 keys", On { keys: true, ..OFF }),
    ("keys with quotas", On { keys: true, quotas: true, ..OFF }),
    ("cookies", On { cookies: true, ..OFF }),
    ("bounded replies", On { rates: true, ..OFF }),
    ("all but quotas", On { access: true, keys: true, quotas: false, cookies: true, rates: true }),
    ("all", On { access: true, keys: true, quotas: true, cookies: true, rates: true }),
];

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the lists");
    write_lists(folder.path());
    let now = UnixTime(std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_secs() as i64);
    let variants: Vec<Variant> = VARIANTS.iter().map(|(_, on)| Variant::new(*on, folder.path(), now)).collect();
    let mut least = [[f64::MAX; 2]; VARIANTS.len()];
    for _ in 0..ROUNDS {
        for ([answer, udp], variant) in least.iter_mut().zip(&variants) {
            *answer = answer.min(variant.answer(now));
            *udp = udp.min(variant.over_udp());
        }
    }
    println!("{:24} {:>14} {:>6} {:>14} {:>6}", "", "answer, ns", "", "UDP CPU, ns", "");
    for ((name, _), [answer, udp]) in VARIANTS.iter().zip(least) {
        println!("{name:24} {answer:14.1} {:6.3} {udp:14.1} {:6.3}", answer / least[0][0], udp / least[0][1]);
    }
}

/// A server that runs, and the same without its sockets.
struct Variant {
    worker: UdpWorker,
    snapshot: Snapshot,
    running: Running,
    queries: Vec<Vec<u8>>,
}

impl Variant {
    fn new(on: On, folder: &Path, now: UnixTime) -> Self {
        let limits = limits(on);
        let listen = Listen { plain: vec![(Ipv4Addr::LOCALHOST, 0).into()], rate_limits: limits, ..Listen::default() };
        let published = Arc::new(Published::new(snapshot(folder, on)));
        let running = bind(&listen).expect("a port").run(published, None).expect("threads");
        let (worker, snapshot) = (UdpWorker::new(limits), snapshot(folder, on));
        Self { worker, snapshot, running, queries: queries(on, now) }
    }

    /// Nanoseconds of processor time for a query, bytes to bytes.
    fn answer(&self, now: UnixTime) -> f64 {
        let mut out = [0; 1232];
        let before = time_of(Path::new("/proc/thread-self")).expect("a time");
        for query in &self.queries {
            black_box(self.worker.answer(&self.snapshot, query, CLIENT, now, &mut out));
        }
        (time_of(Path::new("/proc/thread-self")).expect("a time") - before) as f64 / self.queries.len() as f64
    }

    /// Nanoseconds of the workers' processor time for a query that was answered.
    fn over_udp(&self) -> f64 {
        let socket = UdpSocket::bind((CLIENT, 0)).expect("a socket");
        socket.connect(self.running.addresses()[0]).expect("a server");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        let mut buffer = [0; 2048];
        let mut ask = |queries: &[Vec<u8>]| {
            for batch in queries.chunks(IN_FLIGHT) {
                for query in batch {
                    socket.send(query).expect("a query can be sent");
                }
                for _ in batch {
                    socket.recv(&mut buffer).expect("every query is answered");
                }
            }
        };
        let (warm_up, asked) = self.queries[..WARM_UP + ASKED].split_at(WARM_UP);
        ask(warm_up);
        let before = worker_time();
        ask(asked);
        (worker_time() - before) as f64 / ASKED as f64
    }
}

/// Processor time of the threads called `udp`, in nanoseconds.
fn worker_time() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("the threads of this process");
    let of_worker = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "udp");
    tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .filter(|path| of_worker(path))
        .filter_map(|path| time_of(&path))
        .sum()
}

/// Processor time of a thread, in nanoseconds.
fn time_of(thread: &Path) -> Option<u64> {
    fs::read_to_string(thread.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
}

fn write_lists(folder: &Path) {
    let list: String = (0..LISTINGS).map(|n| format!("{}\n", Ipv4Addr::from(common::address4(n)))).collect();
    let clients: String = (0..10_000_u32).fold("127.0.0.0/8 :pass\n".to_owned(), |mut text, n| {
        let _ = writeln!(text, "{}/24 :pass", Ipv4Addr::from(0x0a00_0000 | n << 8));
        text
    });
    let keys = |quota: &str| -> String { (0..1000).map(|n| format!("customer{n} {}{quota}\n", key(n))).collect() };
    for (name, text) in [
        ("list", list),
        ("clients", clients),
        ("keys", keys("")),
        ("keys-with-quotas", keys(" 1000000/s 1000000000/d")),
    ] {
        fs::write(folder.join(name), text).expect("a list can be written");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).expect("it can be kept from others");
    }
}

fn snapshot(folder: &Path, on: On) -> Snapshot {
    let mut zone = String::new();
    for (is_on, line) in [(on.access, "access = \"clients\"\n"), (on.keys, "keys = \"keys\"\n")] {
        zone += if is_on { line } else { "" };
    }
    // where keys are not asked for, the apex has a label as long as one
    let apex = if on.keys { "bl.example".to_owned() } else { format!("{}.bl.example", key(0)) };
    let keys = if on.quotas { "keys-with-quotas" } else { "keys" };
    let text = format!(
        "version = 1\n[never-list]\nenabled = false\n[cookies]\nenabled = {}\n\
         [[dataset]]\nname = \"list\"\nformat = \"ip4set\"\nfiles = \"list\"\n\
         [[dataset]]\nname = \"clients\"\nformat = \"acl\"\nfiles = \"clients\"\n\
         [[dataset]]\nname = \"keys\"\nformat = \"keys\"\nfiles = \"{keys}\"\n\
         [[zone]]\napex = \"{apex}\"\ndatasets = [\"list\"]\nns = [\"ns.example\"]\n{zone}",
        on.cookies
    );
    let config = Config::parse(&text, &folder.join("infamy.toml")).unwrap_or_else(|error| panic!("{error}"));
    let mut store = Store::new(config.plan);
    for event in store.load(UnixTime(1_800_000_000)) {
        event.result.expect("the lists can be loaded");
    }
    let mut snapshot = store.snapshot().expect("the zone can be built");
    if on.cookies {
        snapshot.secrets = secrets();
    }
    snapshot
}

fn limits(on: On) -> Option<RateLimits> {
    // so many that none is held back: what is measured is the way of a reply that is sent
    let most = 100_000;
    on.rates.then(|| RateLimits { positive: most, nodata: most, nxdomain: most, error: most, ..RateLimits::default() })
}

fn secrets() -> Secrets {
    Secrets::new([Secret([7; 16])])
}

/// Queries of which a fifth is listed, each with an option of the length of a cookie.
fn queries(on: On, now: UnixTime) -> Vec<Vec<u8>> {
    let client = [1, 2, 3, 4, 5, 6, 7, 8];
    let given = secrets().check(&Cookie { client, server: Server::None }, CLIENT, now).expect("there is a secret").1;
    let query = |number: u64| {
        let random = common::mix(number);
        let index =
            if random.is_multiple_of(5) { (random >> 8) % LISTINGS } else { LISTINGS + (random >> 8) % (1 << 30) };
        let [a, b, c, d] = common::address4(index).to_be_bytes();
        let key = key(if on.keys { number % 1000 } else { 0 });
        let name = format!("{d}.{c}.{b}.{a}.{key}.bl.example");
        let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(Name::parse(name.as_bytes()).expect("a query has a name").as_wire());
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 28]);
        message.extend_from_slice(&[0, if on.cookies { 10 } else { 100 }, 0, 24]);
        message.extend_from_slice(&given);
        message
    };
    (0..QUERIES).map(query).collect()
}

fn key(number: u64) -> String {
    format!("{:016x}{number:04}", common::mix(number))
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LISTINGS: u64 = 1_000_000;
const QUERIES: u64 = 1 << 17;
const ROUNDS: usize = 20;
const WARM_UP: usize = 2000;
const ASKED: usize = 30_000;
/// Queries that wait for their replies at once: what the UDP loop takes as one batch.
const IN_FLIGHT: usize = 32;
