//! The program as its operator sees it: started, asked, signalled, ended.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use tempfile::TempDir;

#[test]
fn a_broken_list_keeps_the_last_good_one() {
    let site = Site::new();
    let server = site.start();
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NXDomain);
    assert_eq!(server.rcode("0.192.bl.example"), ResponseCode::NoError, "a name with listings below it exists");
    assert_eq!(server.ask_tcp("1.2.0.192.bl.example", A).answers.len(), 1);
    let first = server.serial("bl.example");

    fs::remove_file(site.list()).unwrap();
    server.signal("HUP");
    server.wait_for("dataset not loaded, the last good one stays");
    server.wait_for("no news");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.serial("bl.example"), first);

    fs::write(site.list(), "192.0.2.2\n").unwrap();
    server.signal("HUP");
    server.wait_for("dataset loaded name=list entries=1 problems=0");
    server.wait_for("reloaded took=");
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NXDomain);
    assert!(server.serial("bl.example") > first);
    assert!(server.end().success());
}

#[test]
fn a_changed_configuration_is_taken_over_or_left() {
    let site = Site::new();
    let server = site.start();
    let serial = server.serial("bl.example");
    site.write_config("[[zone]]\napex = \"second.example\"\ndatasets = [\"list\"]\n");
    server.signal("HUP");
    server.wait_for("configuration taken over");
    assert_eq!(server.rcode("1.2.0.192.second.example"), ResponseCode::NoError);

    site.write_config("[[zone]]\napex = \"third.example\"\ndatasets = [\"lost\"]\n");
    server.signal("HUP");
    server.wait_for("dataset lost: is not defined");
    assert_eq!(server.rcode("1.2.0.192.third.example"), ResponseCode::Refused);
    assert_eq!(server.rcode("1.2.0.192.second.example"), ResponseCode::NoError);

    let lost = "[[dataset]]\nname = \"lost\"\nformat = \"plain\"\nfiles = \"lost\"\n";
    site.write_config(&format!("{lost}[[zone]]\napex = \"third.example\"\ndatasets = [\"lost\"]\n"));
    server.signal("HUP");
    server.wait_for("configuration not taken over");
    assert_eq!(server.rcode("1.2.0.192.second.example"), ResponseCode::NoError);
    assert!(server.serial("bl.example") >= serial);
    assert!(server.end().success());
}

#[test]
fn serials_never_go_back_across_restarts() {
    let site = Site::new();
    let server = site.start();
    fs::write(site.list(), "192.0.2.2\n").unwrap();
    server.signal("HUP");
    server.wait_for("reloaded took=");
    let serial = server.serial("bl.example");
    server.end();
    // an older file than the one that was served
    let old = fs::File::options().append(true).open(site.list()).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000)).unwrap();
    assert_eq!(site.start().serial("bl.example"), serial);
}

#[test]
fn a_compiled_file_is_served_refused_and_replaced() {
    let site = Site::new();
    site.compile("192.0.2.1\n");
    let server = site.start();
    server.wait_for("compiled file verified");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NXDomain);
    let first = server.serial("bl.example");

    let whole = fs::read(site.list()).unwrap();
    for (bytes, why) in [(&whole[..whole.len() - 1], "truncated"), (&flipped(&whole), "corrupt")] {
        site.put(bytes);
        server.signal("HUP");
        let line = server.wait_for("dataset not loaded, the last good one stays");
        assert!(line.contains(why), "{line}");
        assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    }
    site.compile("192.0.2.1 # the same\n");
    server.signal("HUP");
    server.wait_for("no news");
    assert_eq!(server.serial("bl.example"), first);
    site.compile("192.0.2.2\n");
    server.signal("HUP");
    server.wait_for("reloaded took=");
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NXDomain);
    assert!(server.end().success());
}

#[test]
fn what_proves_corrupt_behind_the_first_answers_is_taken_out() {
    let site = Site::new();
    fs::write(site.0.path().join("other"), "192.0.2.9\n").unwrap();
    let other = "[[dataset]]\nname = \"other\"\nformat = \"plain\"\nfiles = \"other\"\n";
    site.write_config(&format!("{other}[[zone]]\napex = \"other.example\"\ndatasets = [\"other\"]\n"));
    site.compile("192.0.2.1\n");
    let whole = fs::read(site.list()).unwrap();
    site.put(&flipped(&whole));
    let server = site.start();
    let line = server.wait_for("NOT SERVED ANY MORE");
    assert!(line.contains("corrupt: the checksum of"), "{line}");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::ServFail);
    assert_eq!(server.rcode("9.2.0.192.other.example"), ResponseCode::NoError);

    // others are reloaded meanwhile
    fs::write(site.0.path().join("other"), "192.0.2.10\n").unwrap();
    server.signal("HUP");
    server.wait_for("dataset not loaded");
    server.wait_for("reloaded took=");
    assert_eq!(server.rcode("10.2.0.192.other.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::ServFail);

    site.put(&whole);
    server.signal("HUP");
    server.wait_for("reloaded took=");
    assert_eq!(server.rcode("1.2.0.192.bl.example"), ResponseCode::NoError);
    assert!(server.end().success());
}

#[test]
fn a_change_is_seen_without_a_signal() {
    let site = Site::new();
    site.write_config("");
    let config = fs::read_to_string(site.config()).unwrap().replace("watch = 0", "watch = \"1s\"");
    fs::write(site.config(), config).unwrap();
    let server = site.start();
    site.put(b"192.0.2.2\n");
    server.wait_for("cause=watch");
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NoError);
    fs::write(site.list(), "192.0.2.3\n").unwrap();
    server.wait_for("cause=watch");
    assert_eq!(server.rcode("3.2.0.192.bl.example"), ResponseCode::NoError);
    // what fails is said once, and not at every glance
    fs::remove_file(site.list()).unwrap();
    server.wait_for("dataset not loaded, the last good one stays");
    thread::sleep(Duration::from_secs(3));
    site.put(b"192.0.2.4\n");
    let seen = server.lines_until("generation published");
    assert!(!seen.iter().any(|line| line.contains("not loaded")), "{seen:?}");
    assert_eq!(server.rcode("4.2.0.192.bl.example"), ResponseCode::NoError);
    assert!(server.end().success());
}

#[test]
fn a_list_that_is_slow_to_read_holds_nothing_up() {
    let site = Site::new();
    fs::write(site.0.path().join("other"), "192.0.2.9\n").unwrap();
    let other = "[[dataset]]\nname = \"other\"\nformat = \"plain\"\nfiles = \"other\"\n";
    site.write_config(&format!("{other}[[zone]]\napex = \"other.example\"\ndatasets = [\"other\"]\n"));
    let server = site.start();
    fs::remove_file(site.list()).unwrap();
    assert!(Command::new("mkfifo").arg(site.list()).status().unwrap().success());
    for _ in 0..64 {
        server.signal("HUP");
    }
    fs::write(site.0.path().join("other"), "192.0.2.10\n").unwrap();
    // whoever opens it to write lets the reader go on: once for the load that waits, once for the one after it
    fs::write(site.list(), "192.0.2.2\n").unwrap();
    server.wait_for("reloaded took=");
    assert_eq!(server.rcode("2.2.0.192.bl.example"), ResponseCode::NoError);
    assert_eq!(server.rcode("10.2.0.192.other.example"), ResponseCode::NoError);
    // a load that waits for a writer does not keep the server from ending
    fs::remove_file(site.list()).unwrap();
    assert!(Command::new("mkfifo").arg(site.list()).status().unwrap().success());
    server.signal("HUP");
    assert!(server.end().success());
}

#[test]
fn a_list_that_lost_most_is_refused_at_a_reload_and_told_at_a_start() {
    let site = Site::new();
    let list =
        |count: u32| (0..count).map(|n| format!("{}\n", Ipv4Addr::from(0x0100_0000 + n * 4))).collect::<String>();
    fs::write(site.list(), list(2000)).unwrap();
    let server = site.start();
    site.put(list(900).as_bytes());
    server.signal("HUP");
    let line = server.wait_for("dataset not loaded, the last good one stays");
    assert!(line.contains("900 entries where 2000 were, a loss of 55 %"), "{line}");
    assert_eq!(server.rcode("60.31.0.1.bl.example"), ResponseCode::NoError);
    server.end();
    let server = Server::start_saying(&site.config(), &["would be refused at a reload"]);
    assert_eq!(server.rcode("60.31.0.1.bl.example"), ResponseCode::NXDomain);
    assert!(server.end().success());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let site = Site::new();
    let server = site.start();
    // what stands in the way of a file stops root too
    fs::create_dir(site.0.path().join("state/generation.new")).unwrap();
    for number in 2..5 {
        site.put(format!("192.0.2.{number}\n").as_bytes());
        server.signal("HUP");
        let seen = server.lines_until("reloaded took=");
        let told = seen.iter().filter(|line| line.contains("state-directory: ")).count();
        assert_eq!(told, usize::from(number == 2), "{seen:?}");
        assert_eq!(server.rcode(&format!("{number}.2.0.192.bl.example")), ResponseCode::NoError);
    }
    let serial = server.serial("bl.example");
    fs::remove_dir(site.0.path().join("state/generation.new")).unwrap();
    site.put(b"192.0.2.9\n");
    server.signal("HUP");
    server.wait_for("can be written again");
    server.wait_for("reloaded took=");
    assert!(server.serial("bl.example") > serial);
    let kept = fs::read_to_string(site.0.path().join("state/serials")).unwrap();
    assert_eq!(kept, format!("bl.example {}\n", server.serial("bl.example")));
    assert_eq!(fs::read_to_string(site.0.path().join("state/generation")).unwrap(), "generation 5\nentries list 1\n");
    assert!(server.end().success());
}

#[test]
fn a_port_in_use_is_one_line() {
    let site = Site::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let config = fs::read_to_string(site.config()).unwrap().replace("127.0.0.1:0", &address.to_string());
    fs::write(site.config(), config).unwrap();
    let output = Command::new(PROGRAM).arg("serve").arg(site.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, format!("error: listen: {address}: address in use: another server listens there\n"));
}

/// A folder with a configuration and a list.
pub(crate) struct Site(pub(crate) TempDir);

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        fs::write(site.list(), "192.0.2.1\n").unwrap();
        fs::create_dir(site.0.path().join("state")).unwrap();
        site.write_config("");
        site
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.path().join("infamy.toml")
    }

    pub(crate) fn list(&self) -> PathBuf {
        self.0.path().join("list")
    }

    pub(crate) fn write_config(&self, more: &str) {
        fs::write(self.config(), CONFIG.to_owned() + more).unwrap();
    }

    /// Puts a compiled file where the list is.
    pub(crate) fn compile(&self, list: &str) {
        let text = self.0.path().join("text");
        fs::write(&text, list).unwrap();
        let mut compile = Command::new(PROGRAM);
        let output = compile.args(["compile", "--format", "plain", "-o"]).args([self.list(), text]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Puts another file where the list is, as everybody should.
    pub(crate) fn put(&self, bytes: &[u8]) {
        let aside = self.0.path().join("aside");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, self.list()).unwrap();
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(&self.config())
    }

    /// Runs a command against the server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(&arguments[..1]).arg("--config").arg(self.config()).args(&arguments[1..]).output().unwrap()
    }

    /// As [`Self::run`], and it must succeed; what it printed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A running server, ended when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    lines: Receiver<String>,
}

impl Server {
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_saying(config, &[])
    }

    /// Starts a server that says this before it listens.
    pub(crate) fn start_saying(config: &Path, said: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM).arg("serve").arg(config).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut server = Self { child, address: (Ipv4Addr::LOCALHOST, 0).into(), lines };
        for text in said {
            server.wait_for(text);
        }
        let line = server.wait_for("listening on ");
        let address = line.split("listening on ").nth(1).unwrap();
        server.address = address.split(' ').next().unwrap().parse().unwrap();
        server.wait_for("ready");
        server
    }

    /// The next line of the log that has this in it.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.lines_until(text).pop().unwrap()
    }

    /// The lines of the log up to the next that has this in it.
    pub(crate) fn lines_until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            seen.push(line);
            if seen.last().unwrap().contains(text) {
                return seen;
            }
        }
        panic!("{text:?} is not in the log: {seen:#?}")
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub(crate) fn end(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    pub(crate) fn ask(&self, name: &str, qtype: u16) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(&query(name, qtype), self.address).unwrap();
        let mut buffer = [0; 1232];
        let length = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    pub(crate) fn ask_tcp(&self, name: &str, qtype: u16) -> Message {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let query = query(name, qtype);
        stream.write_all(&[&(query.len() as u16).to_be_bytes()[..], &query].concat()).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut reply).unwrap();
        Message::from_vec(&reply).unwrap()
    }

    pub(crate) fn rcode(&self, name: &str) -> ResponseCode {
        self.ask(name, A).metadata.response_code
    }

    pub(crate) fn serial(&self, apex: &str) -> u32 {
        match &self.ask(apex, SOA).answers[0].data {
            RData::SOA(soa) => soa.serial,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of which the last byte, which opening has no need of, is another.
fn flipped(whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

pub(crate) fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&[qtype.to_be_bytes(), [0, 1]].concat());
    query
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_infamy");
/// A busy machine takes its time; a right server is never waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const A: u16 = 1;
const SOA: u16 = 6;
const CONFIG: &str = r#"
version = 1

[listen]
addresses = ["127.0.0.1:0"]
udp-workers = 1

[server]
state-directory = "state"
watch = 0

[[dataset]]
name = "list"
format = "plain"
files = "list"

[[zone]]
apex = "bl.example"
datasets = ["list"]
"#;
