//! The drop-in as scripts of rbldnsd's operators see it: command line, signals, messages, files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use tempfile::TempDir;

use crate::wire::{Query, type_number};

#[test]
fn it_starts_answers_and_ends_as_upstream_s_own_suite_has_it() {
    let site = Site::new();
    site.write("trie", "$SOA 0 example.org. hostmaster.example.com. 0 1h 1h 2d 1h\n$NS 1d ns0.example.org\n");
    site.append("trie", "dead::/16 listed\ndead::/16 listed again\n!dead::beef\n");
    site.write("acl", "0.0.0.0/0 :refuse\n127.0.0.1 :pass\n");
    let mut server = site.start(&["example.com:acl:acl", "example.com:ip6trie:trie"]);
    server.wait_for("rbldnsd: file trie(4): duplicated entry for dead::/16");
    assert!(server.wait_for("rbldnsd: ip6trie:trie: ").contains(": ents=2 tbm="));
    server.wait_for("zones reloaded, time ");
    assert_eq!(server.ask("dummy.nonexisting.zone", "TXT").metadata.response_code, ResponseCode::Refused);
    let zeros = "0.".repeat(27);
    let listed = server.ask(&format!("1.{zeros}d.a.e.d.example.com"), "TXT");
    assert_eq!(listed.answers.len(), 1);
    assert_eq!(listed.answers[0].data.to_string(), "listed");
    assert_eq!(listed.authorities[0].data.to_string(), "ns0.example.org.");
    let begin = Instant::now();
    assert_eq!(server.end(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[test]
fn signals_logs_and_statistics() {
    let site = Site::new();
    site.write("list", ":2:Listed $\n192.0.2.1\n192.0.3\n198.51.0.0/16\n10/8\n");
    let mut server = site.start(&["-l+queries", "-s", "numbers", "-c0", "bl.example:ip4set:list"]);
    assert!(server.wait_for("rbldnsd: ip4set:list: ").ends_with(": e32/24/16/8=1/1/1/1"));
    server.wait_for("zones reloaded, time ");
    server.wait_for("started (1 socket(s), 1 zone(s))");
    let first = server.ask("1.2.0.192.BL.example", "A");
    assert_eq!(first.answers.len(), 1);
    server.ask("2.2.0.192.bl.example", "TXT");
    server.signal("USR1");
    server.wait_for("zone bl.example: tot=2 ok=1 nxd=1 err=0 in=");
    server.wait_for("sec: tot=");
    server.signal("USR2");
    server.wait_for("zone bl.example: tot=2 ");
    server.wait_for("sec: tot=");
    server.signal("USR1");
    server.wait_for("zone bl.example: tot=0 ok=0 nxd=0 err=0 in=0 out=0");

    fs::rename(site.path("queries"), site.path("queries.1")).unwrap();
    site.write("list", "192.0.2.7\n");
    server.signal("HUP");
    server.wait_for("e32/24/16/8=1/0/0/0");
    server.wait_for("zones reloaded");
    assert_eq!(server.ask("7.2.0.192.bl.example", "A").answers.len(), 1);
    assert_eq!(server.end(), Some(0));

    let lines = |file| fs::read_to_string(site.path(file)).unwrap();
    let old = lines("queries.1");
    let old: Vec<&str> = old.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let size = first.to_vec().unwrap().len();
    assert!(old[0].starts_with("127.0.0.1 1.2.0.192.BL.example A IN: NOERROR/1/"), "{old:?} {size}");
    assert!(old[1].starts_with("127.0.0.1 2.2.0.192.bl.example TXT IN: NXDOMAIN/0/"), "{old:?}");
    assert!(lines("queries").contains(" 7.2.0.192.bl.example A IN: NOERROR/1/"));
    let numbers = lines("numbers");
    let shapes: Vec<usize> = numbers.lines().map(|line| line.split(' ').count()).collect();
    assert_eq!(shapes, [1, 3, 3, 1, 3, 3, 1], "{numbers}");
    assert!(numbers.lines().nth(1).unwrap().contains(" bl.example:2:1:1:"), "{numbers}");
}

#[test]
fn a_broken_file_keeps_what_was_loaded() {
    let site = Site::new();
    site.write("list", "192.0.2.1\n");
    let mut server = site.start(&["-c0", "bl.example:ip4set:list"]);
    server.wait_for("zones reloaded");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    fs::remove_file(site.path("list")).unwrap();
    server.signal("HUP");
    server.wait_for("rbldnsd: file list: unable to open file: No such file or directory");
    server.wait_for("what was loaded before stays in use");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    site.write("list", "192.0.2.2\n");
    server.signal("HUP");
    server.wait_for("zones reloaded");
    server.wait_for("zones reloaded");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NXDomain);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn with_q_a_zone_without_its_file_fails_until_it_is_there() {
    let site = Site::new();
    site.write("list", "192.0.2.1\n");
    let arguments = ["-c0", "bl.example:ip4set:list", "lost.example:ip4set:lost"];
    let output = site.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let zone = "rbldnsd: zone lost.example: not all datasets are loaded, zone will not be serviced\n";
    assert!(told.ends_with(&format!("{zone}rbldnsd: zone loading errors, aborting\n")), "{told}");

    let mut server = site.start(&[&["-q"][..], &arguments].concat());
    server.wait_for("zones reloaded");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("1.2.0.192.lost.example"), ResponseCode::ServFail);
    site.write("lost", "192.0.2.1\n");
    server.signal("HUP");
    server.wait_for("ip4set:lost: ");
    server.wait_for("zones reloaded");
    assert_eq!(server.rcode("1.2.0.192.lost.example"), ResponseCode::NoError);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn in_the_background_it_is_found_by_its_pid_file() {
    let site = Site::new();
    site.write("list", "192.0.2.1\n");
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = udp.local_addr().unwrap();
    drop(udp);
    let bind = format!("-b127.0.0.1/{}", address.port());
    let pid = site.path("pid");
    let mut command = Command::new(PROGRAM);
    command.arg("rbldnsd").args(site.account()).args([&*bind, "-c0", "-p"]).arg(&pid).arg("bl.example:ip4set:list");
    let status = command.current_dir(site.0.path()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success());
    let server = Daemon(wait(|| fs::read_to_string(&pid).ok().filter(|pid| pid.ends_with('\n'))));
    let reply = wait(|| ask(address, "1.2.0.192.bl.example", "A"));
    assert_eq!(reply.answers.len(), 1);
    server.signal("TERM");
    wait(|| fs::read_to_string(&pid).ok().filter(String::is_empty));
}

#[test]
fn it_answers_to_its_name_and_prints_usage_and_zones() {
    let site = Site::new();
    let program = site.path("rbldnsd");
    symlink(PROGRAM, &program).unwrap();
    let help = Command::new(&program).arg("-h").output().unwrap();
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.lines().any(|line| line.trim_start().starts_with("-6 ")), "{help}");
    let nothing = Command::new(&program).arg("-n").output().unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    assert_eq!(nothing.stderr, b"rbldnsd: no zone(s) to service specified (-h for help)\n");

    site.write("list", ":2:why\n192.0.2.1\n");
    let mut dump = Command::new(&program);
    dump.args(site.account()).args(["-d", "bl.example:ip4set:list"]).current_dir(site.0.path());
    let dump = dump.output().unwrap();
    assert!(dump.status.success());
    let zone = String::from_utf8(dump.stdout).unwrap();
    assert!(zone.contains("1.2.0.192\tA\t127.0.0.2") && zone.contains("TXT\t\"why\""), "{zone}");
}

/// A folder with lists.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        // root becomes another account, which writes its logs here
        fs::set_permissions(site.0.path(), fs::Permissions::from_mode(0o777)).unwrap();
        site
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Replaces a file at once, as lists are meant to be.
    fn write(&self, file: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(file)).unwrap();
    }

    fn append(&self, file: &str, text: &str) {
        let before = fs::read_to_string(self.path(file)).unwrap();
        self.write(file, &(before + text));
    }

    /// The account to become where root runs the tests.
    fn account(&self) -> &'static [&'static str] {
        if nix::unistd::Uid::effective().is_root() { &["-u65534:65534"] } else { &[] }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("rbldnsd").args(self.account()).args(["-n", "-b", "127.0.0.1/0"]).args(arguments);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Server {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        for pipe in [Box::new(stdout) as Box<dyn std::io::Read + Send>, Box::new(stderr)] {
            let sender = sender.clone();
            thread::spawn(move || {
                BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        let mut server = Server { child, address: (Ipv4Addr::LOCALHOST, 0).into(), lines, seen: Vec::new() };
        let line = server.wait_for("listening on 127.0.0.1/");
        server.address.set_port(line.rsplit('/').next().unwrap().parse().unwrap());
        server
    }
}

/// A running server, ended when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    lines: Receiver<String>,
    /// Lines of either stream that nobody waited for yet: which comes first is not known.
    seen: Vec<String>,
}

impl Server {
    /// Waits for a line, and takes it.
    fn wait_for(&mut self, text: &str) -> String {
        if let Some(at) = self.seen.iter().position(|line| line.contains(text)) {
            return self.seen.remove(at);
        }
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push(line),
                Err(why) => panic!("{text:?}: {why}: {:#?}", self.seen),
            }
        }
    }

    fn ask(&self, name: &str, qtype: &str) -> Message {
        // what arrives before it answers waits in the socket
        ask(self.address, name, qtype).expect("no reply")
    }

    fn rcode(&self, name: &str) -> ResponseCode {
        self.ask(name, "A").metadata.response_code
    }

    fn signal(&self, name: &str) {
        signal(&self.child.id().to_string(), name);
    }

    /// Ends it as a service manager does; its exit code.
    fn end(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that is not a child of ours, ended when dropped.
struct Daemon(String);

impl Daemon {
    fn signal(&self, name: &str) {
        signal(self.0.trim(), name);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", self.0.trim()]).stderr(Stdio::null()).status();
    }
}

fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap().success());
}

fn ask(server: SocketAddr, name: &str, qtype: &str) -> Option<Message> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server).unwrap();
    socket.send(&Query::new(name, type_number(qtype).unwrap()).bytes()).ok()?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).ok()?;
    Some(Message::from_vec(&buffer[..length]).unwrap())
}

/// Waits until there is something.
fn wait<T>(mut get: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < end, "nothing came");
        thread::yield_now();
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_infamy");
const PATIENCE: Duration = Duration::from_secs(20);
