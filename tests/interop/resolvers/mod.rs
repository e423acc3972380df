//! Resolvers, each with the configuration that `docs/resolvers.md` prints: what is listed is found through it, what is
//! not is NXDOMAIN, and `infamy doctor` tells what is wrong where something is.

mod programs;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{self, Program};
use crate::lab::{self, Infamy, Lists, resolve, subjects};
use crate::relay::Relay;
use crate::snippet::with_server;
use crate::wire::{Message, Query, RD, TC, TYPE_A, TYPE_AAAA, TYPE_TXT};
use crate::zones::{self, Zones};
use programs::{Kind, Running};

#[test]
#[ignore = "needs unbound, and root for port 53"]
fn unbound_with_strict_minimisation_finds_every_listing() {
    let strict = "server:\n  qname-minimisation-strict: yes\n";
    every_listing_is_found(Kind::Unbound, &["unbound-stub"], strict, 1);
}

#[test]
#[ignore = "needs bind9, and root for port 53, the only one that a static-stub zone can have"]
fn bind_with_strict_minimisation_finds_every_listing() {
    every_listing_is_found(Kind::Bind, &["bind-static-stub", "bind-insecure"], "qname-minimization strict;\n", 2);
}

#[test]
#[ignore = "needs unbound, and root for port 53"]
fn lists_get_through_unbound() {
    lists_get_through(Kind::Unbound, &["unbound-stub"], "server:\n  qname-minimisation-strict: yes\n");
    lists_get_through(Kind::Unbound, &["unbound-forward"], "");
}

#[test]
#[ignore = "needs bind9, and root for port 53"]
fn lists_get_through_bind() {
    lists_get_through(Kind::Bind, &["bind-static-stub", "bind-insecure"], "qname-minimization strict;\n");
    lists_get_through(Kind::Bind, &["bind-forward", "bind-insecure"], "");
}

#[test]
#[ignore = "needs knot-resolver, and root for port 53"]
fn lists_get_through_knot_resolver() {
    lists_get_through(Kind::Knot, &["knot-stub"], "");
    lists_get_through(Kind::Knot, &["knot-forward"], "");
}

#[test]
#[ignore = "needs pdns-recursor, and root for port 53"]
fn lists_get_through_powerdns_recursor() {
    lists_get_through(Kind::PowerDns, &["powerdns-forward", "powerdns-insecure"], "");
}

#[test]
#[ignore = "needs dnsmasq, and root for port 53"]
fn lists_get_through_dnsmasq() {
    lists_get_through(Kind::Dnsmasq, &["dnsmasq-server"], "");
}

#[test]
#[ignore = "needs dnsdist, and root for port 53"]
fn lists_get_through_dnsdist() {
    lists_get_through(Kind::Dnsdist, &["dnsdist-pool"], "");
}

#[test]
#[ignore = "needs unbound, bind9, knot-resolver, dnsmasq, and root for port 53"]
fn filters_against_rebinding_are_found_and_mended() {
    let cases = [
        (Kind::Unbound, &["unbound-stub"][..], "server:\n  private-address: 127.0.0.0/8\n", "unbound-rebinding", 0),
        (
            Kind::Bind,
            &["bind-forward", "bind-insecure"],
            "deny-answer-addresses { 127.0.0.0/8; };\n",
            "bind-rebinding",
            2,
        ),
        (Kind::Knot, &["knot-stub"], "modules.load('rebinding < iterate')\n", "knot-rebinding", 5),
        (Kind::Dnsmasq, &["dnsmasq-server"], "stop-dns-rebind\n", "dnsmasq-rebinding", 0),
    ];
    for (kind, printed, filter, mend, broken) in cases {
        let place = Place::new();
        let resolver = place.start(kind, printed, filter);
        let found = resolve(resolver.address, "2.2.0.192.bl.example");
        eprintln!("{kind:?}, with its filter: {found:?}");
        assert_eq!(found, (broken, Vec::new()), "{kind:?}");
        let told = place.doctor(resolver.address, 1);
        assert!(told.contains("trouble  A 2.0.0.127.bl.example: ") && told.contains("TXT is there"), "{told}");
        assert_eq!(told.matches("trouble  ").count(), 1, "{told}");
        drop(resolver);
        // the exception is part of the filter's own statement in BIND
        let filter = if kind == Kind::Bind { "" } else { filter };
        let resolver = place.start(kind, &[&[mend], printed].concat(), filter);
        assert_eq!(resolve(resolver.address, "2.2.0.192.bl.example"), (0, vec!["127.0.0.2".to_owned()]), "{kind:?}");
        place.doctor(resolver.address, 0);
    }
}

#[test]
#[ignore = "needs unbound, bind9, knot-resolver, and root for port 53"]
fn islands_without_signatures_are_found_and_mended() {
    let cases = [
        (Kind::Unbound, &["unbound-stub"][..], "server:\n  trust-anchor: \"example. DS 12345 8 2 DIGEST\"\n"),
        // its frame has the anchor
        (Kind::Bind, &["bind-forward", "bind-insecure"], ""),
        (Kind::Knot, &["knot-forward"], "trust_anchors.add('example. 3600 IN DS 12345 8 2 DIGEST')\n"),
    ];
    for (kind, mended, anchor) in cases {
        let place = Place::new();
        let anchor = anchor.replace("DIGEST", &"ab".repeat(32));
        let resolver = place.start_without(kind, mended, &anchor, INSECURE);
        let told = place.doctor(resolver.address, 1);
        assert!(told.contains("trouble  SOA bl.example: SERVFAIL"), "{kind:?}: {told}");
        assert!(told.contains("the resolver validates"), "{kind:?}: {told}");
        drop(resolver);
        let resolver = place.start(kind, mended, &anchor);
        place.doctor(resolver.address, 0);
    }
}

#[test]
#[ignore = "needs rbldnsd, unbound, and root for port 53"]
fn a_server_that_denies_the_names_above_a_listing_is_told() {
    let folder = lab::folder();
    let list = folder.path().join("list");
    std::fs::write(&list, "$SOA 300 ns.lab.example hostmaster.lab.example 0 600 300 86400 300\n127.0.0.2\n").unwrap();
    let (server, log) = (zones::free_port_53(), folder.path().join("rbldnsd.log"));
    let mut command = Command::new("/usr/sbin/rbldnsd");
    command.args(["-n", "-u", "nobody", "-b"]).arg(format!("{}/{}", server.ip(), server.port()));
    let mut rbldnsd = Program::start(command.arg(format!("{ZONE}:ip4set:{}", list.display())), &log);
    let probe = Query::new(ZONE, TYPE_A).bytes();
    rbldnsd.wait_until(&log, || harness::ask(server, &probe).is_some());
    let examine = |own: &str| {
        let resolver = start(Kind::Unbound, &["unbound-stub"], own, &[], server, folder.path());
        let told = doctor(resolver.address, &format!("--server={server}"), 1);
        assert!(told.contains("does not exist (RFC 8020)"), "{told}");
        told
    };
    let told = examine("server:\n  qname-minimisation-strict: yes\n");
    assert!(told.contains("trouble  A 2.0.0.127.bl.example: NXDOMAIN"), "{told}");
    let told = examine("server:\n  qname-minimisation: no\n");
    assert!(told.contains("ok       A 2.0.0.127.bl.example: 127.0.0.2"), "{told}");
    assert!(told.contains("trouble  A 127.bl.example: NXDOMAIN"), "{told}");
}

#[test]
#[ignore = "needs root for port 53"]
fn a_resolver_without_tcp_is_told() {
    let place = Place::new();
    let relay = Relay::as_resolver(zones::free_port_53(), place.relay.address(), zones::APEXES);
    let told = place.doctor(relay.address(), 1);
    assert!(told.contains("trouble  SOA bl.example over TCP: "), "{told}");
    assert_eq!(told.matches("trouble  ").count(), 1, "{told}");
}

/// A program that minimises what it asks finds all of many listings, and nothing else.
fn every_listing_is_found(kind: Kind, printed: &[&str], own: &str, seed: u64) {
    assert!(lab::is_root(), "run this test as root: the printed configurations ask port 53");
    let folder = lab::folder();
    let server = zones::free_port_53();
    let lists = Lists::new(subjects(), seed);
    let infamy = Infamy::serve(server, ZONE, &lists.write(folder.path()), folder.path());
    let resolver = start(kind, printed, own, &[], server, folder.path());
    for (listed, unlisted) in lists.listed.iter().zip(&lists.unlisted) {
        let found = resolve(resolver.address, &format!("{listed}.{ZONE}"));
        assert_eq!(found, (0, vec!["127.0.0.2".to_owned()]), "{listed}");
        let found = resolve(resolver.address, &format!("{unlisted}.{ZONE}"));
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

/// Everything that a mail client may ask goes through, and the doctor has nothing to tell.
fn lists_get_through(kind: Kind, printed: &[&str], own: &str) {
    let place = Place::new();
    let resolver = place.start(kind, printed, own);
    place.relay.take();
    let ask = |name: &str, qtype| {
        let reply = ask(resolver.address, name, qtype, "udp");
        let asked = place.relay.take();
        let answers: Vec<String> = reply.sections[0].iter().map(ToString::to_string).collect();
        eprintln!(
            "{kind:?} {printed:?}, {name}: RCODE {}, {answers:?}\n    {} queries: {}",
            reply.rcode(),
            asked.len(),
            asked.join(", ")
        );
        reply
    };
    let listed = ask("2.2.0.192.bl.example", TYPE_A);
    assert_eq!((listed.rcode(), &*listed.sections[0][0].data), (0, "127.0.0.2"));
    let text = ask("2.2.0.192.bl.example", TYPE_TXT);
    assert_eq!(text.sections[0][0].data, "\"Trap hit, see https://bl.example/q/192.0.2.2\"");
    let aaaa = ask("2.2.0.192.bl.example", TYPE_AAAA);
    assert_eq!((aaaa.rcode(), aaaa.sections[0].len()), (0, 0));
    let above = ask("2.0.192.bl.example", TYPE_A);
    assert_eq!((above.rcode(), above.sections[0].len()), (0, 0), "an empty non-terminal exists");
    let inside = ask("77.100.51.198.bl.example", TYPE_A);
    assert_eq!(inside.sections[0][0].data, "127.0.0.4");
    let six = format!("{}bl.example", "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.b.0.8.b.d.0.1.0.0.2.");
    assert_eq!(ask(&six, TYPE_A).sections[0][0].data, "127.0.0.2");
    let unlisted = ask("3.2.0.192.bl.example", TYPE_A);
    assert_eq!((unlisted.rcode(), unlisted.sections[0].len()), (3, 0));

    // what does not fit is cut, says so, and is whole over TCP
    let cut = ask("250.2.0.192.bl.example", TYPE_TXT);
    assert!(cut.has(TC), "{cut:?}");
    let whole = self::ask(resolver.address, "250.2.0.192.bl.example", TYPE_TXT, "tcp");
    assert_eq!((whole.rcode(), whole.sections[0].len()), (0, 3));
    place.doctor(resolver.address, 0);
}

/// The documentation's zones behind a relay that counts, and a folder.
struct Place {
    _zones: Zones,
    relay: Relay,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        assert!(lab::is_root(), "run this test as root: the printed configurations ask port 53");
        let folder = lab::folder();
        let server = lab::two_free_addresses().0;
        let zones = Zones::serve(server, folder.path());
        Self { _zones: zones, relay: Relay::in_front(zones::free_port_53(), server), folder }
    }

    /// Starts a resolver with printed configurations, and lines of the test's own.
    fn start(&self, kind: Kind, printed: &[&str], own: &str) -> Running {
        self.start_without(kind, printed, own, &[])
    }

    /// As [`Self::start`], with lines of what is printed left out.
    fn start_without(&self, kind: Kind, printed: &[&str], own: &str, left_out: &[&str]) -> Running {
        start(kind, printed, own, left_out, self.relay.address(), self.folder.path())
    }

    /// What the doctor tells of a resolver; it has to exit with that code.
    fn doctor(&self, resolver: SocketAddr, code: i32) -> String {
        doctor(resolver, &format!("--config={}", zones::config(self.folder.path()).display()), code)
    }
}

/// Starts a resolver with what is printed, save lines that contain one of `left_out`.
fn start(kind: Kind, printed: &[&str], own: &str, left_out: &[&str], server: SocketAddr, folder: &Path) -> Running {
    let is_kept = |line: &&str| !left_out.iter().any(|word| line.contains(word));
    let (mut text, mut own) = (String::new(), own.to_owned());
    for name in printed {
        let snippet = with_server("resolvers.md", name, server);
        let place = if kind.has_own_place(name) { &mut own } else { &mut text };
        place.extend(snippet.lines().filter(is_kept).flat_map(|line| [line, "\n"]));
    }
    programs::start(kind, &text, &own, server, folder)
}

/// Runs `infamy doctor` for [`ZONE`], with an option that says where the list's server is.
fn doctor(resolver: SocketAddr, server: &str, code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_infamy"));
    command.args(["doctor", &format!("--resolver={resolver}"), server, ZONE]);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("$ infamy doctor --resolver={resolver} {server} {ZONE}\n{told}");
    assert_eq!(output.status.code(), Some(code), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Asks over a transport of [`lab`], without EDNS.
fn ask(resolver: SocketAddr, name: &str, qtype: u16, transport: &str) -> Message {
    let query = Query { flags: RD, ..Query::new(name, qtype) };
    let reply = match transport {
        "udp" => lab::ask_patiently(resolver, &query.bytes()),
        _ => lab::ask_tcp(resolver, &query.bytes()),
    };
    Message::read(&reply).unwrap()
}

/// What says that a zone is unsigned, in the configurations that are printed.
const INSECURE: &[&str] = &["domain-insecure", "set_insecure", "validate-except"];
/// A name that no resolver has built in.
const ZONE: &str = "bl.example";
