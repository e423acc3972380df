//! The lists that the documentation's configurations ask about, and an infamy that serves them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Program, ask};
use crate::wire::{Query, TYPE_SOA};

/// A running infamy that serves the documentation's zones, and nobody else's queries.
pub(crate) struct Zones {
    _program: Program,
}

impl Zones {
    /// Starts it at an address.
    pub(crate) fn serve(address: SocketAddr, folder: &Path) -> Self {
        for (name, text) in FILES {
            // three reasons that do not fit 512 bytes together
            fs::write(folder.join(name), text.replace("LONG", &"reason ".repeat(30))).unwrap();
        }
        let config = folder.join("infamy.toml");
        fs::write(&config, CONFIG.replace("ADDRESS", &address.to_string())).unwrap();
        let log = folder.join("infamy.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
        let mut program = Program::start(command.arg("serve").arg(&config), &log);
        let probe = Query::new("bl.example", TYPE_SOA).bytes();
        program.wait_until(&log, || ask(address, &probe).is_some());
        Self { _program: program }
    }
}

/// Where [`Zones::serve`] has written the configuration.
pub(crate) fn config(folder: &Path) -> PathBuf {
    folder.join("infamy.toml")
}

/// An address of loopback whose port 53 is free: the only port that many clients and resolvers can ask.
pub(crate) fn free_port_53() -> SocketAddr {
    let mut seed = std::process::id();
    loop {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, a, b, c] = (seed ^ seed >> 16).to_be_bytes();
        // not where a resolver of the machine or another test has its own
        let address = SocketAddr::from((Ipv4Addr::new(127, a | 0x40, b, c | 1), 53));
        let is_free = UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok();
        if is_free {
            return address;
        }
    }
}

/// The zones that [`Zones::serve`] has.
pub(crate) const APEXES: &[&str] = &["bl.example", "dbl.example", "wl.example", "ebl.example", "score.example"];

/// The lists hold documentation's addresses, and loopback ones for clients that can only come from there.
const CONFIG: &str = r#"version = 1

[listen]
addresses = ["ADDRESS"]
udp-workers = 1

[never-list]
enabled = false

[[dataset]]
name = "senders"
format = "ip4set"
files = "senders"

[[dataset]]
name = "senders6"
format = "ip6trie"
files = "senders6"

[[zone]]
apex = "bl.example"
datasets = ["senders", "senders6"]

[[dataset]]
name = "domains"
format = "dnset"
files = "domains"

[[zone]]
apex = "dbl.example"
datasets = ["domains"]

[[dataset]]
name = "good"
format = "ip4set"
files = "good"

[[zone]]
apex = "wl.example"
datasets = ["good"]

[[dataset]]
name = "addresses"
format = "hashes"
files = "addresses"
key = { hash = "sha1" }
value = "127.0.3.2"
text = "Address used for fraud"

[[zone]]
apex = "ebl.example"
datasets = ["addresses"]

[[dataset]]
name = "scores"
format = "ip4set"
files = "scores"

[[zone]]
apex = "score.example"
datasets = ["scores"]
"#;

const FILES: [(&str, &str); 6] = [
    (
        "senders",
        "127.0.0.66 :127.0.0.2:Trap hit, see https://bl.example/q/$
127.0.0.67 :127.0.0.99:Of a kind that nobody rejects
127.0.0.70 :127.0.0.2:On both lists
192.0.2.2 :127.0.0.2:Trap hit, see https://bl.example/q/$
192.0.2.11 :127.0.0.11:Dynamic range
192.0.2.10 :127.0.0.2:Trap hit
192.0.2.10 :127.0.0.10:Policy
192.0.2.30 :127.0.0.2:On both lists
198.51.100.0/24 :127.0.0.4:Network
192.0.2.250 :127.0.0.2:one LONG
192.0.2.250 :127.0.0.3:two LONG
192.0.2.250 :127.0.0.4:three LONG
",
    ),
    ("senders6", ":127.0.0.2:Trap hit, see https://bl.example/q/$\n2001:db8:bad::/48\n"),
    (
        "domains",
        ":127.0.1.2:Spam domain, see https://dbl.example/q/$
.spam-example.org
phishing-example.org :127.0.1.4:Phishing
",
    ),
    ("good", ":127.0.10.2:Known good\n127.0.0.70\n192.0.2.30\n"),
    // SHA-1 of fraud@mailbox-example.org
    ("addresses", "304f4d2fa20fd9dadd6649094e70f513cc680842\n"),
    ("scores", "192.0.2.2 :127.0.1.90:\n192.0.2.40 :127.0.3.60:\n192.0.2.41 :127.0.4.30:\n"),
];
