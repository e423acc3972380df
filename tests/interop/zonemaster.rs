//! Zonemaster, the registries' checker of delegations, over a zone that infamy serves: from level NOTICE on it says
//! nothing but what is said of every server on loopback.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::harness::{Program, ask};
use crate::lab::{folder, is_root};
use crate::wire::{Query, TYPE_SOA};
use crate::zones::free_port_53;

#[test]
#[ignore = "needs zonemaster-cli, and root for port 53"]
fn a_zone_has_no_fault() {
    assert!(is_root(), "run this test as root: port 53 is the only one that Zonemaster asks");
    let folder = folder();
    let first = free_port_53();
    let IpAddr::V4(ip) = first.ip() else { panic!("loopback is IPv4 here") };
    // another network, as name servers should not all be in one
    let [a, b, c, d] = ip.octets();
    let second = SocketAddr::from((Ipv4Addr::new(a, b ^ 0x20, c, d), 53));
    let servers = [first, second];
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("list", ":127.0.0.2:Trap hit, see https://bl.example/q/$\n192.0.2.1\n198.51.100.0/24\n");
    let [first, second] = servers.map(|server| server.ip());
    write("records", &format!("ns1 A {first}\nns2 A {second}\n@ MX 10 ns1.bl.example\n"));
    let config = folder.path().join("infamy.toml");
    let text = format!(
        "version = 1\n[listen]\naddresses = [\"{}\", \"{}\"]\nudp-workers = 1\n[never-list]\nenabled = false\n\
         [[dataset]]\nname = \"list\"\nformat = \"ip4set\"\nfiles = \"list\"\n\
         [[dataset]]\nname = \"records\"\nformat = \"generic\"\nfiles = \"records\"\n\
         [[zone]]\napex = \"bl.example\"\ndatasets = [\"list\", \"records\"]\n\
         ns = [\"ns1.bl.example\", \"ns2.bl.example\"]\n\
         soa = {{ minimum = \"5m\" }}\n",
        servers[0], servers[1]
    );
    fs::write(&config, text).unwrap();
    let log = folder.path().join("infamy.log");
    let mut program = Program::start(Command::new(env!("CARGO_BIN_EXE_infamy")).arg("serve").arg(&config), &log);
    let probe = Query::new("bl.example", TYPE_SOA).bytes();
    program.wait_until(&log, || servers.iter().all(|server| ask(*server, &probe).is_some()));

    let mut zonemaster = Command::new("zonemaster-cli");
    zonemaster.args(["--no-ipv6", "--level=NOTICE", "--no-progress", "--no-time", "--raw"]);
    zonemaster
        .arg(format!("--ns=ns1.bl.example/{first}"))
        .arg(format!("--ns=ns2.bl.example/{second}"))
        .arg("bl.example");
    let output = zonemaster.output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    eprintln!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    let faults: Vec<_> = printed.lines().filter(|line| !ALLOWED.iter().any(|tag| line.contains(tag))).collect();
    assert_eq!(faults, [""; 0]);
    // it has come to the end, and looked at what it was given
    assert!(printed.contains("NAMESERVER_IP_PRIVATE_NETWORK"), "{printed}");
}

/// What is true of every server on loopback, which has neither names nor IPv6 there, and of every zone without DNSSEC.
const ALLOWED: &[&str] = &[
    "NAMESERVER_IP_PRIVATE_NETWORK   name=Loopback;",
    "NAMESERVER_IP_WITHOUT_REVERSE   ns_ip=127.",
    "NO_IPV6_NS_CHILD   count=0;",
    "NO_IPV6_NS_DEL   count=0;",
    "NEITHER_DNSKEY_NOR_DS   child=127.",
    "NOT_SIGNED   zone=bl.example",
];
