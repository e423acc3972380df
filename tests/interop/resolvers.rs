//! Resolvers that minimise what they ask (RFC 9156), and take an NXDOMAIN on the way at its word (RFC 8020): whatever is
//! listed must be found through them. Where the names above a listing are NXDOMAIN, they find nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{Program, free_address};
use crate::lab::{self, Infamy, Lists, resolve, subjects};

#[test]
#[ignore = "needs unbound"]
fn unbound_with_strict_minimisation_finds_every_listing() {
    let folder = lab::folder();
    let (server, resolver) = lab::two_free_addresses();
    let lists = Lists::new(subjects(), 1);
    let infamy = Infamy::serve(server, ZONE, &lists.write(folder.path()), folder.path());
    let _unbound = start_unbound(resolver, server, folder.path());
    every_listing_is_found(resolver, &lists, &infamy);
}

#[test]
#[ignore = "needs named, and root for port 53, the only one that a static-stub zone can have"]
fn bind_with_strict_minimisation_finds_every_listing() {
    assert!(lab::is_root(), "run this test as root");
    let folder = lab::folder();
    // not an address that a resolver of the machine would take
    let server: SocketAddr = "127.0.0.153:53".parse().unwrap();
    let resolver = free_address();
    let lists = Lists::new(subjects(), 2);
    let infamy = Infamy::serve(server, ZONE, &lists.write(folder.path()), folder.path());
    let _named = start_named(resolver, server, folder.path());
    every_listing_is_found(resolver, &lists, &infamy);
}

fn every_listing_is_found(resolver: SocketAddr, lists: &Lists, infamy: &Infamy) {
    for (listed, unlisted) in lists.listed.iter().zip(&lists.unlisted) {
        let found = resolve(resolver, &format!("{listed}.{ZONE}"));
        assert_eq!(found, (0, vec!["127.0.0.2".to_owned()]), "{listed}");
        let found = resolve(resolver, &format!("{unlisted}.{ZONE}"));
        assert_eq!(found, (3, Vec::new()), "{unlisted}");
    }
    let asked = infamy.asked();
    let whole = |name: &&String| {
        let name = name.strip_suffix(&format!(".{ZONE}")).unwrap_or_default();
        lists.listed.iter().chain(&lists.unlisted).any(|subject| subject == name)
    };
    let minimised = asked.len() - asked.iter().filter(whole).count();
    assert!(minimised > lists.listed.len() / 2, "only {minimised} of {} queries were minimised", asked.len());
}

/// Starts unbound with a stub zone; `resolver` is where it listens.
pub(crate) fn start_unbound(resolver: SocketAddr, server: SocketAddr, folder: &Path) -> Program {
    let config = folder.join("unbound.conf");
    let text = format!(
        r#"server:
  interface: {ip}@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  do-ip6: no
  module-config: "iterator"
  qname-minimisation: yes
  qname-minimisation-strict: yes
remote-control:
  control-enable: no
stub-zone:
  name: "{ZONE}"
  stub-addr: {server_ip}@{server_port}
"#,
        ip = resolver.ip(),
        port = resolver.port(),
        folder = folder.display(),
        server_ip = server.ip(),
        server_port = server.port(),
    );
    fs::write(&config, text).unwrap();
    let log = folder.join("unbound.log");
    let mut unbound = Program::start(Command::new("/usr/sbin/unbound").arg("-d").arg("-c").arg(&config), &log);
    unbound.wait_until(&log, || is_up(resolver));
    unbound
}

fn start_named(resolver: SocketAddr, server: SocketAddr, folder: &Path) -> Program {
    let config = folder.join("named.conf");
    let text = format!(
        r#"options {{
  directory "{folder}";
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  dnssec-validation no;
  recursion yes;
  allow-query {{ 127.0.0.0/8; }};
  qname-minimization strict;
  empty-zones-enable no;
}};
controls {{ }};
zone "{ZONE}" {{ type static-stub; server-addresses {{ {server}; }}; }};
"#,
        folder = folder.display(),
        port = resolver.port(),
        ip = resolver.ip(),
        server = server.ip(),
    );
    fs::write(&config, text).unwrap();
    let log = folder.join("named.log");
    let mut named = Program::start(Command::new("/usr/sbin/named").args(["-g", "-4", "-n1", "-c"]).arg(&config), &log);
    named.wait_until(&log, || is_up(resolver));
    named
}

/// Whether the resolver answers at all.
fn is_up(resolver: SocketAddr) -> bool {
    let query = crate::wire::Query { flags: crate::wire::RD, ..crate::wire::Query::new(ZONE, crate::wire::TYPE_A) };
    crate::harness::ask(resolver, &query.bytes()).is_some()
}

/// A name that no resolver has built in.
pub(crate) const ZONE: &str = "bl.lab.example";
