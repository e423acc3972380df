//! RFC 9018: one secret, four servers. NSD, Knot DNS, BIND and infamy make the same cookie in the same second, and each takes
//! what another made; and clients of two of them do as they should.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Program, ask, free_address};
use crate::lab;
use crate::wire::{Message, Opt, Query, TYPE_SOA};

const NEEDS: &str = "needs nsd, knotd, named, dig and kdig: `.ci/run` installs them";

#[test]
#[ignore = "needs nsd, knotd, named, dig and kdig: `.ci/run` installs them"]
fn servers_that_share_a_secret_share_their_cookies() {
    let folder = lab::folder();
    let servers = start_all(folder.path());
    let (infamy, others) = servers.split_first().expect("four servers");
    for other in others {
        same_bytes(infamy, other);
        takes(infamy, other);
        takes(other, infamy);
        takes_no_other(other);
    }
    takes_no_other(infamy);
}

#[test]
#[ignore = "needs nsd, knotd, named, dig and kdig: `.ci/run` installs them"]
fn clients_have_their_cookies_and_keep_them() {
    let folder = lab::folder();
    let infamy = Server::infamy(folder.path());
    let port = infamy.address.port().to_string();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["@127.0.0.1", "-p", &port]).args(arguments);
        let output = command.output().unwrap_or_else(|why| panic!("{program}: {why}; {NEEDS}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let dig = run("dig", &["+cookie=0102030405060708", "bl.example", "SOA"]);
    assert!(
        dig.contains("status: NOERROR") && dig.contains("; COOKIE: 0102030405060708") && dig.contains("(good)"),
        "{dig}"
    );
    let cookie = dig.split("; COOKIE: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let again = run("dig", &[&format!("+cookie={cookie}"), "bl.example", "SOA"]);
    assert!(again.contains(&format!("; COOKIE: {cookie} (good)")), "{again}");
    let kdig = run("kdig", &["+cookie=0102030405060708", "bl.example", "SOA"]);
    assert!(kdig.contains("status: NOERROR") && kdig.contains("COOKIE: 0102030405060708"), "{kdig}");
    let malformed = run("dig", &["+ednsopt=10:010203", "+nocookie", "bl.example", "SOA"]);
    assert!(malformed.contains("status: FORMERR"), "{malformed}");
    let only = run("dig", &["+header-only", "+cookie=0102030405060708"]);
    assert!(only.contains("status: NOERROR") && only.contains("QUERY: 0") && only.contains("(good)"), "{only}");
}

/// Both make the same cookie, once they are asked in the same second.
fn same_bytes(one: &Server, other: &Server) {
    let begin = Instant::now();
    loop {
        let cookies = [one, other].map(|server| server.cookie(&CLIENT).1);
        if cookies[0][12..16] == cookies[1][12..16] {
            assert_eq!(cookies[0], cookies[1], "{} and {}", one.name, other.name);
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{} and {} never met in one second", one.name, other.name);
    }
}

/// A cookie that one made is good to the other: it is given back as it is, although another one would be made by then; BIND
/// gives another one all the same, and lets no cookie pass that is not good.
fn takes(taker: &Server, maker: &Server) {
    let made = maker.cookie(&CLIENT).1;
    wait_for_another_second(taker, &made);
    let (rcode, given) = taker.cookie(&made);
    assert_eq!(rcode, 0, "{} takes what {} made", taker.name, maker.name);
    assert!(given == made || taker.name == "named", "{} takes what {} made", taker.name, maker.name);
}

/// A cookie with one bit changed is replaced.
fn takes_no_other(server: &Server) {
    let mut forged = server.cookie(&CLIENT).1;
    wait_for_another_second(server, &forged);
    forged[23] ^= 1;
    let (rcode, given) = server.cookie(&forged);
    assert_ne!(given, forged, "{}", server.name);
    assert_eq!(rcode == BADCOOKIE, matches!(server.name, "knot" | "named"), "{}: {rcode}", server.name);
}

fn wait_for_another_second(server: &Server, made: &[u8]) {
    let begin = Instant::now();
    while server.cookie(&CLIENT).1[12..16] == made[12..16] {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server with the secret, and a zone `bl.example`.
struct Server {
    name: &'static str,
    address: SocketAddr,
    _program: Program,
}

fn start_all(folder: &Path) -> Vec<Server> {
    fs::write(folder.join("zone"), ZONE).unwrap();
    let mut servers = vec![Server::infamy(folder)];
    servers.extend(OTHERS.map(|(name, program, arguments, config)| {
        let text = |address: SocketAddr| {
            let text = config.replace("FOLDER", &folder.display().to_string()).replace("SECRET", SECRET);
            text.replace("ADDRESS", "127.0.0.1").replace("PORT", &address.port().to_string())
        };
        Server::start(name, folder, text, |config| {
            let mut command = Command::new(program);
            command.args(arguments).arg(config);
            command
        })
    }));
    servers
}

impl Server {
    fn infamy(folder: &Path) -> Self {
        fs::write(folder.join("list"), "192.0.2.1\n").unwrap();
        fs::write(folder.join("secret"), format!("{SECRET}\n")).unwrap();
        fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = |address: SocketAddr| INFAMY.replace("ADDRESS", &address.to_string());
        Self::start("infamy", folder, text, |config| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
            command.arg("serve").arg(config);
            command
        })
    }

    fn start(
        name: &'static str,
        folder: &Path,
        config: impl Fn(SocketAddr) -> String,
        command: impl Fn(&Path) -> Command,
    ) -> Self {
        let address = free_address();
        let path = folder.join(format!("{name}.conf"));
        fs::write(&path, config(address)).unwrap();
        let log = folder.join(format!("{name}.log"));
        let mut program = Program::start(&mut command(&path), &log);
        let probe = Query::new("bl.example", TYPE_SOA).bytes();
        program.wait_until(&log, || ask(address, &probe).is_some());
        Self { name, address, _program: program }
    }

    /// Sends a cookie; the RCODE, and the cookie that comes back.
    fn cookie(&self, sent: &[u8]) -> (u16, Vec<u8>) {
        let options = [&[0, 10, 0, sent.len() as u8][..], sent].concat();
        let query = Query { edns: Some(Opt { options, ..Opt::of_size(1232) }), ..Query::new("bl.example", TYPE_SOA) };
        let begin = Instant::now();
        let reply = loop {
            if let Some(reply) = ask(self.address, &query.bytes()) {
                break reply;
            }
            assert!(begin.elapsed() < PATIENCE, "{} does not answer", self.name);
        };
        let message = Message::read(&reply).unwrap();
        let options = message.opt.as_ref().map(|opt| opt.options.clone()).unwrap_or_default();
        assert_eq!(options.get(..4), Some(&[0, 10, 0, 24][..]), "{}: {message:?}", self.name);
        (message.rcode(), options[4..].to_vec())
    }
}

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const CLIENT: [u8; 8] = [0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57];
const BADCOOKIE: u16 = 23;
const PATIENCE: Duration = Duration::from_secs(20);

const INFAMY: &str = r#"version = 1

[listen]
addresses = ["ADDRESS"]
udp-workers = 1

[cookies]
secrets = "secret"

[[dataset]]
name = "list"
format = "plain"
files = "list"

[[zone]]
apex = "bl.example"
datasets = ["list"]
ns = ["ns.example"]
"#;

const ZONE: &str = "$TTL 300\n@ SOA ns.example. hostmaster.example. 1 3600 600 86400 300\n@ NS ns.example.\n";

/// Name, program, arguments in front of the configuration's path, configuration.
const OTHERS: [(&str, &str, &[&str], &str); 3] = [
    (
        "nsd",
        "/usr/sbin/nsd",
        &["-d", "-c"],
        r#"server:
  ip-address: ADDRESS@PORT
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "FOLDER"
  database: ""
  pidfile: "FOLDER/nsd.pid"
  xfrdfile: "FOLDER/nsd.xfrd"
  zonelistfile: "FOLDER/nsd.zones"
  xfrdir: "FOLDER"
  answer-cookie: yes
  cookie-secret: "SECRET"
remote-control:
  control-enable: no
zone:
  name: "bl.example"
  zonefile: "FOLDER/zone"
"#,
    ),
    (
        "knot",
        "/usr/sbin/knotd",
        &["-c"],
        r#"server:
  listen: ADDRESS@PORT
  rundir: "FOLDER"
  udp-workers: 1
  tcp-workers: 1
database:
  storage: "FOLDER/knot"
mod-cookies:
  - id: shared
    secret: 0xSECRET
template:
  - id: default
    storage: "FOLDER"
    global-module: mod-cookies/shared
zone:
  - domain: bl.example
    file: "FOLDER/zone"
"#,
    ),
    (
        "named",
        "/usr/sbin/named",
        &["-g", "-4", "-n1", "-c"],
        r#"options {
  directory "FOLDER";
  listen-on port PORT { ADDRESS; };
  listen-on-v6 { none; };
  pid-file "FOLDER/named.pid";
  session-keyfile "FOLDER/session.key";
  recursion no;
  answer-cookie yes;
  require-server-cookie yes;
  cookie-algorithm siphash24;
  cookie-secret "SECRET";
};
controls { };
zone "bl.example" { type primary; file "FOLDER/zone"; };
"#,
    ),
];
