//! What the tests with real programs share: lists made by chance, an infamy that serves them, and a patient client.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::harness::{Program, ask, free_address};
use crate::wire::{Message, Query, RD, TYPE_A};

/// A folder that programs under other users can read.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Two addresses with free ports; the same port is free twice until somebody has it.
pub(crate) fn two_free_addresses() -> (SocketAddr, SocketAddr) {
    let first = free_address();
    let second = std::iter::repeat_with(free_address).find(|second| *second != first);
    (first, second.expect("the iterator does not end"))
}

/// Whether the test runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A running infamy with its query log.
pub(crate) struct Infamy {
    _program: Program,
    log: PathBuf,
}

impl Infamy {
    /// Serves files, `type:file` each, as one zone, as rbldnsd's command line has it.
    pub(crate) fn serve(address: SocketAddr, zone: &str, files: &[String], folder: &Path) -> Self {
        let log = folder.join("queries");
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        command.args(["rbldnsd", "-n", "-b"]).arg(format!("{}/{}", address.ip(), address.port()));
        command.arg("-l").arg(format!("+{}", log.display()));
        if is_root() {
            command.args(["-u", "nobody"]);
        }
        command.args(files.iter().map(|file| format!("{zone}:{file}")));
        let output = folder.join("infamy.log");
        let mut program = Program::start(&mut command, &output);
        let probe = Query::new(zone, TYPE_A).bytes();
        program.wait_until(&output, || ask(address, &probe).is_some());
        Self { _program: program, log }
    }

    /// The QNAMEs that were asked so far, in lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter_map(|line| Some(line.split(' ').nth(2)?.to_ascii_lowercase())).collect()
    }
}

/// Asks a resolver for the A records of a name; the RCODE, and the addresses.
pub(crate) fn resolve(resolver: SocketAddr, name: &str) -> (u16, Vec<String>) {
    let query = Query { flags: RD, ..Query::new(name, TYPE_A) };
    let reply = Message::read(&ask_patiently(resolver, &query.bytes())).unwrap();
    let addresses = reply.sections[0].iter().filter(|record| record.rtype == TYPE_A);
    (reply.rcode(), addresses.map(|record| record.data.clone()).collect())
}

/// Sends a query over UDP, again while there is no reply.
pub(crate) fn ask_patiently(resolver: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(resolver).unwrap();
    for _ in 0..TRIES {
        socket.send(query).unwrap();
        let mut reply = [0; 4096];
        let Ok(length) = socket.recv(&mut reply) else { continue };
        return reply[..length].to_vec();
    }
    panic!("{resolver} does not answer {query:02x?}");
}

/// Sends a query over TCP.
pub(crate) fn ask_tcp(resolver: SocketAddr, query: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(resolver).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut reply = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut reply).unwrap();
    reply
}

/// Subjects made by chance, always the same for one seed: listed ones, and as many that are not.
pub(crate) struct Lists {
    /// File contents by rbldnsd's type.
    pub(crate) files: Vec<(&'static str, String)>,
    /// Names in front of the zone.
    pub(crate) listed: Vec<String>,
    pub(crate) unlisted: Vec<String>,
}

impl Lists {
    /// `count` subjects of each kind; every fourth address is a prefix, every second name has all below it listed.
    pub(crate) fn new(count: u64, seed: u64) -> Self {
        let mut random = Random(seed);
        let (mut four, mut six, mut names) = (String::new(), String::new(), String::new());
        let (mut listed, mut unlisted) = (Vec::new(), Vec::new());
        for number in 0..count {
            // the listed ones have an even first octet, nibble pair or label, the others an odd one
            let address = random.next() as u32 & 0xfeff_ffff | 0x0100_0000;
            let octets = Ipv4Addr::from(address & !0x0100_0000).octets();
            let prefix = if number % 4 == 0 { 8 + random.next() % 24 } else { 32 };
            let masked = u32::from(Ipv4Addr::from(octets)) & (u32::MAX << (32 - prefix));
            writeln!(four, "{}/{prefix}", Ipv4Addr::from(masked)).unwrap();
            listed.push(reversed4(octets.into()));
            unlisted.push(reversed4(address.into()));

            let address = u128::from(random.next()) << 64 | u128::from(random.next());
            let even = address & !(1 << 120);
            let prefix = if number % 4 == 0 { 16 + random.next() % 112 } else { 128 };
            let masked = even & (u128::MAX << (128 - prefix));
            writeln!(six, "{}/{prefix}", Ipv6Addr::from(masked)).unwrap();
            listed.push(reversed6(even));
            unlisted.push(reversed6(even | 1 << 120));

            let name = format!("h{:x}.d{:x}.even{:x}.lab", random.next() % 5, random.next() % 40, random.next() % 90);
            let front = if number % 2 == 0 { "." } else { "" };
            writeln!(names, "{front}{name}").unwrap();
            listed.push(if number % 4 == 0 { format!("below.it.{name}") } else { name.clone() });
            unlisted.push(name.replace("even", "odd"));
        }
        Self { files: vec![("ip4trie", four), ("ip6trie", six), ("dnset", names)], listed, unlisted }
    }

    /// Writes the files; each as `type:path`.
    pub(crate) fn write(&self, folder: &Path) -> Vec<String> {
        let write = |(kind, text): &(&str, String)| {
            let path = folder.join(kind);
            fs::write(&path, text).unwrap();
            format!("{kind}:{}", path.display())
        };
        self.files.iter().map(write).collect()
    }
}

fn reversed4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}")
}

fn reversed6(address: u128) -> String {
    let nibbles: Vec<String> = (0..32).map(|at| format!("{:x}", address >> (4 * at) & 0xf)).collect();
    nibbles.join(".")
}

/// Numbers that look random and are the same every time (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    }
}

/// How many subjects of each kind are asked for: `INFAMY_LONG` has it ten times as many.
pub(crate) fn subjects() -> u64 {
    if std::env::var_os("INFAMY_LONG").is_some() { 1000 } else { 100 }
}

/// How long a resolver may take for one name, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(4);
const TRIES: usize = 4;
