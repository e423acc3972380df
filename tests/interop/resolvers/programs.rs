//! The programs: a configuration around what is printed, so that they run on a port of loopback and ask nobody else.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{self, Program, free_address};
use crate::wire::{Query, RD, TYPE_A};

/// A resolver program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unbound,
    Bind,
    Knot,
    PowerDns,
    Dnsmasq,
    Dnsdist,
}

/// A resolver that runs.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    log: PathBuf,
    _program: Program,
}

impl Drop for Running {
    /// What it said is told with what the test has to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

impl Kind {
    /// Whether a printed configuration goes where the test's own lines go: into BIND's options, PowerDNS' Lua.
    pub(super) fn has_own_place(self, printed: &str) -> bool {
        match self {
            Self::Bind => !matches!(printed, "bind-static-stub" | "bind-forward"),
            Self::PowerDns => printed == "powerdns-insecure",
            _ => false,
        }
    }

    /// The frame in which `OWN` and `PRINTED` are to be put.
    fn frame(self) -> &'static str {
        match self {
            Self::Unbound => UNBOUND,
            Self::Bind => BIND,
            Self::Knot => KNOT,
            Self::PowerDns => POWERDNS,
            Self::Dnsmasq => DNSMASQ,
            Self::Dnsdist => DNSDIST,
        }
    }
}

/// Starts a resolver; `own` are lines of the test's own.
pub(super) fn start(kind: Kind, printed: &str, own: &str, server: SocketAddr, folder: &Path) -> Running {
    let address = free_address();
    let folder = tempfile::tempdir_in(folder).unwrap().keep();
    let config = folder.join("recursor.conf");
    let text = kind.frame().replace("OWN\n", own).replace("PRINTED\n", printed);
    let text = text.replace("FOLDER", &folder.display().to_string()).replace("SERVER", &server.ip().to_string());
    let text = text.replace("PORT", &address.port().to_string()).replace("ADDRESS", &address.ip().to_string());
    fs::write(&config, text).unwrap();
    let mut command = match kind {
        Kind::Unbound => program("/usr/sbin/unbound", &["-d", "-c"]),
        Kind::Bind => program("/usr/sbin/named", &["-g", "-4", "-n1", "-c"]),
        Kind::Knot => program("/usr/sbin/kresd", &["-n", "-c"]),
        Kind::PowerDns => program("/usr/sbin/pdns_recursor", &[]),
        Kind::Dnsmasq => program("/usr/sbin/dnsmasq", &["-k", "-C"]),
        Kind::Dnsdist => program("/usr/bin/dnsdist", &["--supervised", "-C"]),
    };
    match kind {
        Kind::PowerDns => {
            fs::write(folder.join("lua"), own).unwrap();
            command.arg(format!("--config-dir={}", folder.display()))
        }
        Kind::Knot => command.arg(&config).arg(&folder),
        Kind::Bind => {
            let hints = format!(". 3600 NS root.invalid.\nroot.invalid. 3600 A {}\n", server.ip());
            fs::write(folder.join("hints"), hints).unwrap();
            command.arg(&config)
        }
        _ => command.arg(&config),
    };
    let log = folder.join("log");
    let mut program = Program::start(&mut command, &log);
    let probe = Query { flags: RD, ..Query::new("bl.example", TYPE_A) }.bytes();
    program.wait_until(&log, || harness::ask(address, &probe).is_some());
    Running { address, log, _program: program }
}

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    command
}

/// All that is not the lists' goes to their server too, which refuses it at once.
const UNBOUND: &str = r#"server:
  interface: ADDRESS@PORT
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "FOLDER"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  do-ip6: no
OWN
PRINTED
forward-zone:
  name: "."
  forward-addr: SERVER@53
remote-control:
  control-enable: no
"#;

const BIND: &str = r#"options {
  directory "FOLDER";
  listen-on port PORT { ADDRESS; };
  listen-on-v6 { none; };
  pid-file "FOLDER/named.pid";
  session-keyfile "FOLDER/session.key";
  dnssec-validation yes;
  recursion yes;
  allow-query { 127.0.0.0/8; };
  empty-zones-enable no;
OWN
};
controls { };
trust-anchors { "example." static-ds 12345 8 2 "abababababababababababababababababababababababababababababababab"; };
zone "." { type hint; file "FOLDER/hints"; };
PRINTED
"#;

const KNOT: &str = r#"net.listen('ADDRESS', PORT, { kind = 'dns' })
cache.size = 10 * MB
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('priming')
modules.unload('detect_time_skew')
trust_anchors.remove('.')
OWN
PRINTED
policy.add(policy.all(policy.FORWARD('SERVER@53')))
"#;

const POWERDNS: &str = "local-address=ADDRESS
local-port=PORT
socket-dir=FOLDER
allow-from=127.0.0.0/8
dont-query=
daemon=no
security-poll-suffix=
hint-file=no
lua-config-file=FOLDER/lua
PRINTED
";

const DNSMASQ: &str = "listen-address=ADDRESS
port=PORT
bind-interfaces
no-resolv
no-hosts
OWN
PRINTED
";

const DNSDIST: &str = r#"setLocal("ADDRESS:PORT")
setACL("127.0.0.0/8")
setSecurityPollSuffix("")
newServer({address="SERVER:53"})
PRINTED
"#;
