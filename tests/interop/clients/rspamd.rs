//! rspamd: the rbl module with its return codes, patterns and hashes, and what it asks to know that a zone is alive.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Lists;
use crate::harness::{Program, free_address};
use crate::snippet::snippet;

#[test]
#[ignore = "needs rspamd, and root for port 53"]
fn rspamd_marks_what_is_listed_and_finds_the_zones_alive() {
    let lists = Lists::serve();
    let rspamd = Rspamd::start(&lists);
    rspamd.every_zone_is_alive();
    let watched = lists.tell("rspamd, monitoring", "all zones alive");
    assert!(watched.contains(&"A 1.0.0.127.bl.example".to_owned()), "{watched:?}");
    let random = watched.iter().any(|asked| asked.ends_with(".dbl.example"));
    assert!(random, "no random label: {watched:?}");

    let good = Mail { client: "192.0.2.77", name: "mail.example.net", content: "http://www.example.net/" };
    let cases: [(&str, Mail, &[&str]); 12] = [
        ("a listed client", Mail { client: "192.0.2.2", ..good }, &["RBL_BL_TRAP", "REP_EXACT"]),
        ("a client of the policy list", Mail { client: "192.0.2.11", ..good }, &["RBL_BL_POLICY"]),
        ("a client with two records", Mail { client: "192.0.2.10", ..good }, &["RBL_BL_POLICY", "RBL_BL_TRAP"]),
        ("a listed IPv6 client", Mail { client: "2001:db8:bad::25", ..good }, &["RBL_BL_TRAP"]),
        ("a client known to be good", Mail { client: "192.0.2.30", ..good }, &["RBL_BL_TRAP", "WL_GOOD"]),
        ("a suspicious block", Mail { client: "192.0.2.40", ..good }, &["REP_BLOCK_SUSPICIOUS"]),
        ("a block to be watched", Mail { client: "192.0.2.41", ..good }, &["REP_BLOCK_WATCH"]),
        ("HELO and reverse name", Mail { name: "mail.spam-example.org", ..good }, &["DBL_HELO", "DBL_RDNS"]),
        ("a URL", Mail { content: "http://www.spam-example.org/x", ..good }, &["DBL_SPAM"]),
        ("another URL", Mail { content: "https://phishing-example.org/login", ..good }, &["DBL_PHISH"]),
        ("an e-mail address", Mail { content: "Fraud@mailbox-example.org", ..good }, &["EBL_FRAUD"]),
        ("nothing listed", good, &[]),
    ];
    for (what, mail, expected) in cases {
        let symbols = rspamd.symbols(mail);
        let asked = lists.tell(&format!("rspamd, {what}"), &symbols.join(" "));
        assert_eq!(symbols, expected, "{what}");
        assert!(asked.len() <= 16, "{asked:?}");
    }
}

/// What is looked at of a mail.
#[derive(Clone, Copy)]
struct Mail {
    client: &'static str,
    /// What the client calls itself, and its reverse zone calls it.
    name: &'static str,
    content: &'static str,
}

/// A running rspamd with the rbl module and nothing else.
struct Rspamd {
    address: SocketAddr,
    log: PathBuf,
    mail: PathBuf,
    program: Program,
}

impl Drop for Rspamd {
    /// Its workers would outlive it, and go on asking.
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.program.id())]).status();
    }
}

impl Rspamd {
    fn start(lists: &Lists) -> Self {
        let folder = lists.path().join("rspamd");
        fs::create_dir(&folder).unwrap();
        // all other top-level domains would take it seconds to read
        fs::write(folder.join("tld"), "net\norg\nexample\n").unwrap();
        fs::write(folder.join("rbl.conf"), snippet("clients.md", "rspamd-rbl")).unwrap();
        fs::write(folder.join("rbl_group.conf"), snippet("clients.md", "rspamd-group")).unwrap();
        let address = free_address();
        let relay = lists.relay.address();
        let text = CONFIG.replace("FOLDER", &folder.display().to_string());
        let text = text.replace("RESOLVER", &relay.to_string()).replace("ADDRESS", &address.to_string());
        fs::write(folder.join("rspamd.conf"), text).unwrap();
        assert!(Command::new("chown").args(["-R", "_rspamd"]).arg(&folder).status().unwrap().success());
        let log = lists.path().join("rspamd.log");
        let mut command = Command::new("rspamd");
        command.process_group(0);
        command.args(["-f", "-i", "-u", "_rspamd", "-g", "_rspamd", "-c"]).arg(folder.join("rspamd.conf"));
        let mut program = Program::start(&mut command, &log);
        program.wait_until(&log, || std::net::TcpStream::connect(address).is_ok());
        Self { address, log, mail: lists.path().join("mail"), program }
    }

    /// Waits until each zone has been asked for what must not be there, and found as it should be.
    fn every_zone_is_alive(&self) {
        let begin = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap();
            let is_alive = |zone: &str| {
                let mut lines = log.lines().filter(|line| line.contains("monitored"));
                lines
                    .any(|line| line.contains(&format!("for {zone} in")) && line.ends_with("no records with this name"))
            };
            let bad = log.lines().find(|line| line.contains("monitored") && line.contains("disable"));
            assert!(bad.is_none(), "{bad:?}");
            if crate::zones::APEXES.iter().all(|zone| is_alive(zone)) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{log}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The symbols of a mail, sorted.
    fn symbols(&self, mail: Mail) -> Vec<String> {
        fs::write(&self.mail, MAIL.replace("CONTENT", mail.content)).unwrap();
        let mut command = Command::new("rspamc");
        command.args(["-h", &self.address.to_string(), "-i", mail.client]);
        command.args(["--helo", mail.name, "--hostname", mail.name]).arg(&self.mail);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("Action: "), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let symbols = text.lines().filter_map(|line| line.strip_prefix("Symbol: ")?.split(' ').next());
        let mut symbols: Vec<String> = symbols.map(str::to_owned).collect();
        symbols.sort();
        symbols
    }
}

/// How long until all zones have been asked for the first time.
const PATIENCE: Duration = Duration::from_secs(40);

const MAIL: &str = "Received: from mail.example.net (mail.example.net [192.0.2.78])
\tby mail.lab.example (Postfix) with ESMTP id 4DNSBL
\tfor <somebody@mail.lab.example>; Fri, 10 Jul 2026 09:00:00 +0000 (UTC)
From: Somebody <somebody@example.net>
To: <somebody@mail.lab.example>
Subject: an offer
Date: Fri, 10 Jul 2026 09:00:00 +0000
Message-ID: <1@mail.example.net>

Look at this: CONTENT
";

const CONFIG: &str = r#"options {
  pidfile = "FOLDER/rspamd.pid";
  tempdir = "FOLDER";
  url_tld = "FOLDER/tld";
  disable_hyperscan = true;
  monitoring_watch_interval = 2s;
  filters = [];
  local_addrs = [];
  dns { nameserver = ["RESOLVER"]; timeout = 1s; retransmits = 2; }
}
logging { type = "console"; level = "info"; debug_modules = ["monitored"]; color = false; }
lang_detection { }
worker "normal" { bind_socket = "ADDRESS"; count = 1; }
actions { reject = 15; add_header = 6; }
modules { path = "/usr/share/rspamd/plugins/rbl.lua"; }
rbl { .include "FOLDER/rbl.conf" }
group "rbl" { .include "FOLDER/rbl_group.conf" }
"#;
