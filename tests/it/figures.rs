//! What the project's figures about memory and opening are taken from: a real server over large lists.
//!
//! `cargo test --release --test it figures -- --ignored --nocapture`

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use infamy::dataset::values::{Collected, Lists};
use infamy::dataset::{Dataset, Defaults, Head, Holds, Part, compiled};
use infamy::dnsxl::Name;
use infamy::feed::{self, Format, Text};
use infamy::table::{Ip4, Run4, Table, ValueId};

/// Resident bytes of a server over a text list, above those of one over a list of a single entry.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn resident_bytes_a_listing() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    let write = |count: u64, line: &dyn Fn(u64) -> String| {
        let mut out = BufWriter::new(fs::File::create(&list).unwrap());
        (0..count).for_each(|n| out.write_all(line(n).as_bytes()).unwrap());
    };
    let address = |n: u64| Ipv4Addr::from(mixed(n) as u32);
    type Kind<'a> = (&'static str, &'static str, u64, &'a dyn Fn(u64) -> String);
    let kinds: [Kind<'_>; 8] = [
        ("one entry", "plain", 1, &|_| "192.0.2.1\n".to_owned()),
        ("a hundred entries", "plain", 100, &|n| format!("{}\n", address(n))),
        ("/32 with one value", "plain", 10_000_000, &|n| format!("{}\n", address(n))),
        ("/32 with a value each", "ip4set", 10_000_000, &|n| format!("{} :{}:Reason {1}\n", address(n), 1 + n % 200)),
        ("/32 with a value each", "ip4set", 100_000_000, &|n| format!("{} :{}:Reason {1}\n", address(n), 1 + n % 200)),
        ("domains with all below", "plain", 10_000_000, &|n| format!("n{:x}.z{}.example\n", mixed(n) >> 24, n % 1000)),
        ("IPv6 /64", "plain", 10_000_000, &|n| {
            let (provider, customer) = (0x2a00 + mixed(n) % 4000, mixed(n + (1 << 40)) >> 32);
            format!("{provider:x}:{:x}:{:x}::/64\n", customer >> 16, customer & 0xffff)
        }),
        ("hashes", "hashes", 10_000_000, &|n| format!("{:016x}{:016x}\n", mixed(n), mixed(n + (1 << 40)))),
    ];
    let mut bare = 0;
    for (name, format, count, line) in kinds {
        write(count, line);
        let key = if format == "hashes" { "key = { hash = \"md5\" }\n" } else { "" };
        let (server, took) = start(folder.path(), &format!("format = \"{format}\"\nfiles = \"list\"\n{key}"));
        let (resident, huge) = (server.kib("VmRSS"), server.kib("AnonHugePages"));
        bare = if bare == 0 { resident } else { bare };
        let each = (resident - bare.min(resident)) as f64 * 1024.0 / count as f64;
        eprintln!(
            "{name}: {count} entries: {resident} KiB resident, {each:.2} bytes a listing above one entry; {huge} KiB in huge \
             pages; highest {} KiB; first answer after {took:.2?}",
            server.kib("VmHWM"),
        );
    }
}

/// A compiled file of 100 million addresses, from the start of the program to its first answer.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn opening_a_hundred_million() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compiled");
    let dataset = hundred_million();
    let listed = dataset.parts[0].table.ip4.listed();
    let begin = Instant::now();
    compiled::write(&dataset, Format::Ip4Set, &path).unwrap();
    let bytes = dataset.bytes();
    eprintln!("{listed} addresses, {:.3} bytes each; written in {:.2?}", bytes as f64 / listed as f64, begin.elapsed());
    drop(dataset);
    // once to have it in the page cache, whatever was written
    let begin = Instant::now();
    assert!(fs::read(&path).unwrap().len() > bytes);
    eprintln!("read into memory in {:.2?}", begin.elapsed());
    for access in ["map", "copy", "map"] {
        let (server, took) = start(folder.path(), &format!("files = \"compiled\"\nmemory = \"{access}\"\n"));
        let at_once = server.kib("VmRSS");
        server.wait_for("compiled file verified");
        eprintln!(
            "memory = {access}: first answer after {took:.2?}; {at_once} KiB resident then, {} KiB when verified after {:.2?}, of \
             which {} KiB are its own, {} KiB of them in huge pages",
            server.kib("VmRSS"),
            server.begin.elapsed(),
            server.kib("RssAnon"),
            server.kib("AnonHugePages"),
        );
    }
}

/// Random addresses, each with one of 250 values.
fn hundred_million() -> Dataset {
    let mut addresses: Vec<u32> = (0..100_000_000).map(|n| mixed(n) as u32).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut collected = Collected::default();
    let mut lists = Lists::default();
    for n in 0..250_u8 {
        let text = format!("Reason {n}: $");
        let value = feed::Value { a: Some([127, 0, 0, n].into()), text: Text::Template(text.as_bytes()) };
        lists.intern(&mut vec![collected.intern(value).unwrap()]);
    }
    let (values, _) = lists.finish(&collected.encode(&Defaults::default())).unwrap();
    let runs = addresses.iter().map(|&a| Run4 { first: a, last: a, value: ValueId(1 + a % 977 % 250) });
    let table = Table { ip4: Ip4::build(runs), ..Table::default() };
    let holds = Holds { ip4: true, ..Holds::default() };
    let part = Part { under: vec![Name::default()], holds, table, values, ..Part::default() };
    Dataset {
        name: String::new(),
        parts: vec![part],
        clients: None,
        keys: None,
        head: Head::default(),
        modified: 0,
        compiled: None,
    }
}

/// A server over one dataset, and how long it took to its first answer.
fn start(folder: &Path, dataset: &str) -> (Server, Duration) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let mut config = format!("version = 1\n[listen]\naddresses = [\"{address}\"]\n");
    write!(config, "[[dataset]]\nname = \"list\"\nnever-list = false\n{dataset}").unwrap();
    config += "[[zone]]\napex = \"bl.example\"\ndatasets = [\"list\"]\n";
    let path = folder.join("infamy.toml");
    fs::write(&path, config).unwrap();
    let begin = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
    let mut child = command.arg("serve").arg(path).stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let server = Server { child, begin, lines };
    let took = server.first_answer(address);
    (server, took)
}

/// A running server, ended when dropped.
struct Server {
    child: Child,
    begin: Instant,
    lines: Receiver<String>,
}

impl Server {
    /// Asks until it answers.
    fn first_answer(&self, address: SocketAddr) -> Duration {
        let query = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x011\x012\x010\x03192\x02bl\x07example\0\0\x01\0\x01";
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 512];
        loop {
            // refused until there is a socket
            let _ = socket.send(query);
            if socket.recv(&mut buffer).is_ok() {
                return self.begin.elapsed();
            }
            assert!(self.begin.elapsed() < PATIENCE, "no answer");
        }
    }

    /// A number of kibibytes from the kernel's account.
    fn kib(&self, key: &str) -> u64 {
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let accounts = ["status", "smaps_rollup"].map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
        let line = accounts.iter().flat_map(|text| text.lines()).find(|line| line.starts_with(&format!("{key}:")));
        line.and_then(|line| line.split_whitespace().nth(1)).map_or(0, |number| number.parse().unwrap())
    }

    fn wait_for(&self, text: &str) {
        while !self.lines.recv_timeout(PATIENCE).expect("the server says so").contains(text) {}
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that look random and are the same every time (splitmix64).
fn mixed(n: u64) -> u64 {
    let mut bits = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// How long the largest text list may take to load.
const PATIENCE: Duration = Duration::from_secs(300);
