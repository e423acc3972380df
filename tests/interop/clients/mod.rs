//! Mail clients, each with the configuration that `docs/clients.md` prints: the listed is rejected or marked, the
//! unlisted is not. What was said and how much was asked is in each test's output.

mod dig;
mod exim;
mod postfix;
mod rspamd;
mod spamassassin;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::lab;
use crate::relay::Relay;
use crate::zones::{self, Zones};

/// Lists, and what a client asks in a resolver's place.
struct Lists {
    _zones: Zones,
    server: SocketAddr,
    relay: Relay,
    folder: TempDir,
}

impl Lists {
    /// Serves the documentation's zones; the relay's port is 53.
    fn serve() -> Self {
        assert!(lab::is_root(), "run this test as root: port 53 is the only one that its client can ask");
        let folder = lab::folder();
        let server = zones::free_port_53();
        let zones = Zones::serve(server, folder.path());
        let relay = Relay::as_resolver(zones::free_port_53(), server, zones::APEXES);
        Self { _zones: zones, server, relay, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Tells what became of a mail, and what was asked for it; the queries.
    fn tell(&self, what: &str, verdict: &str) -> Vec<String> {
        let asked = self.relay.take();
        eprintln!("{what}: {verdict}\n    {} queries: {}", asked.len(), asked.join(", "));
        asked
    }
}

/// A command in a mount namespace of its own, in which `/etc/resolv.conf` names the resolver.
fn with_resolver(resolver: SocketAddr, folder: &Path) -> Command {
    let text = format!("nameserver {}\n", resolver.ip());
    with_etc(&[("resolv.conf", text)], folder)
}

/// A command in a mount namespace of its own, in which files of `/etc` say something else; program and arguments are
/// to be added.
fn with_etc(files: &[(&str, String)], folder: &Path) -> Command {
    let mut script = String::from("set -e; ");
    for (name, text) in files {
        let path = folder.join(format!("etc-{name}"));
        fs::write(&path, text).unwrap();
        script += &format!("mount --bind {} /etc/{name}; ", path.display());
    }
    script += "exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]);
    command
}
