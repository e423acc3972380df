//! What reads dnstap and metrics elsewhere: fstrm_capture and dnstap-ldns, promtool.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Program, ask};
use crate::lab::{ask_patiently, ask_tcp};
use crate::wire::{Query, TYPE_A, TYPE_TXT};

const ZONE: &str = "bl.example";

/// A running `infamy serve`, and where it and its metrics are.
struct Infamy {
    program: Program,
    address: SocketAddr,
    metrics: SocketAddr,
}

impl Infamy {
    fn serve(folder: &TempDir, more: &str) -> Self {
        let (address, metrics) = crate::lab::two_free_addresses();
        let config = folder.path().join("infamy.toml");
        fs::write(folder.path().join("list"), "192.0.2.1\n").unwrap();
        let text = format!(
            "version = 1\n[listen]\naddresses = [\"{address}\"]\nudp-workers = 2\n[control]\nmetrics = [\"{metrics}\"]\n\
             [[dataset]]\nname = \"list\"\nformat = \"plain\"\nfiles = \"list\"\n\
             [[zone]]\napex = \"{ZONE}\"\ndatasets = [\"list\"]\n{more}"
        );
        fs::write(&config, text).unwrap();
        let log = folder.path().join("infamy.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        let mut program = Program::start(command.arg("serve").arg(config), &log);
        program.wait_until(&log, || {
            TcpStream::connect(metrics).is_ok() && fs::read_to_string(&log).is_ok_and(|text| text.contains("ready"))
        });
        Self { program, address, metrics }
    }

    fn scrape(&self) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

#[test]
#[ignore = "needs fstrm-bin and dnstap-ldns"]
fn dnstap_is_read_by_fstrm_capture_and_dnstap_ldns() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, taps) = (folder.path().join("tap.sock"), folder.path().join("taps"));
    let capture_log = folder.path().join("capture.log");
    let capture = || {
        let mut command = Command::new("fstrm_capture");
        command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(&socket).arg("-w").arg(&taps);
        let mut program = Program::start(&mut command, &capture_log);
        program.wait_until(&capture_log, || socket.exists());
        program
    };
    // infamy first: a collector may come later
    let more = format!("[dnstap]\nsocket = \"{}\"\nidentity = \"ns1\"\n", socket.display());
    let mut infamy = Infamy::serve(&folder, &more);
    let log = folder.path().join("infamy.log");
    infamy.program.wait_until(&log, || fs::read_to_string(&log).unwrap().contains("dnstap: connecting to"));
    let collector = capture();
    infamy.program.wait_until(&log, || fs::read_to_string(&log).unwrap().contains("is written again"));

    let listed = Query::new(&format!("1.2.0.192.{ZONE}"), TYPE_A).bytes();
    let unlisted = Query::new(&format!("2.2.0.192.{ZONE}"), TYPE_TXT).bytes();
    let outside = Query::new("www.elsewhere.example", TYPE_A).bytes();
    for _ in 0..20 {
        ask_patiently(infamy.address, &listed);
        ask_patiently(infamy.address, &unlisted);
    }
    ask_tcp(infamy.address, &outside);
    // what waits is sent at the end, and the end is agreed upon
    assert!(infamy.program.end());
    collector.end();
    let told = until_told(&taps, 82);
    let count = |text: &str| told.lines().filter(|line| line.contains(text)).count();
    let quiet = read(&taps, "-q");
    assert_eq!(count("type: AUTH_QUERY"), 41, "{quiet}");
    assert_eq!(count("type: AUTH_RESPONSE"), 41, "{quiet}");
    assert_eq!(count("identity: \"ns1\""), 82);
    assert_eq!(count("version: \"infamy "), 82);
    assert_eq!(count("query_address: \"127.0.0.1\""), 82, "{told}");
    assert_eq!((count("socket_protocol: UDP"), count("socket_protocol: TCP")), (80, 2), "{told}");
    assert_eq!(count("query_zone: \"bl.example.\""), 80, "{told}");
    assert_eq!(count("rcode: NXDOMAIN"), 20, "{told}");
    assert_eq!(count("rcode: REFUSED"), 1, "{told}");
    assert!(told.contains("1.2.0.192.bl.example.\t300\tIN\tA\t127.0.0.2"), "{told}");
}

fn read(taps: &Path, form: &str) -> String {
    let output = Command::new("dnstap-ldns").arg(form).arg("-r").arg(taps).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is in the file in YAML, once there are so many messages, or after a while.
fn until_told(taps: &Path, messages: usize) -> String {
    let mut told = String::new();
    for _ in 0..500 {
        told = read(taps, "-y");
        if told.matches("type: AUTH_").count() >= messages {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    told
}

#[test]
#[ignore = "needs prometheus"]
fn metrics_pass_promtool() {
    let folder = tempfile::tempdir().unwrap();
    let infamy = Infamy::serve(&folder, "[query-log]\nfile = \"queries.log\"\n");
    for qtype in [TYPE_A, TYPE_TXT, 99] {
        ask_patiently(infamy.address, &Query::new(&format!("1.2.0.192.{ZONE}"), qtype).bytes());
        ask(infamy.address, &Query::new("www.elsewhere.example", qtype).bytes());
    }
    ask_tcp(infamy.address, &Query::new(ZONE, TYPE_A).bytes());
    let text = infamy.scrape();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{text}");
}

#[test]
#[ignore = "needs prometheus"]
fn the_alerts_of_the_documentation_pass_promtool() {
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).unwrap();
    let rules = documentation.split("```\n").find(|block| block.starts_with("groups:\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    fs::write(&path, rules).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = format!("{} rules found", rules.matches("- alert: ").count());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&found), "{output:?}");
}
