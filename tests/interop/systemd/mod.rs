//! The packages as Debian installs them and systemd runs them, each test on a machine of its own.
//!
//! They are made by `packaging/deb/build`, and have to be there.

mod machine;

use std::fs;
use std::path::Path;

use machine::Machine;

const CONFIGURATION: &str = r#"
version = 1
[server]
state-directory = "/var/lib/infamy"
[listen]
addresses = ["127.0.0.1:53"]
[[dataset]]
name = "traps"
format = "ip4set"
files = "/etc/infamy/traps"
[[zone]]
apex = "bl.example"
datasets = ["traps"]
"#;

const EVERYTHING: &str = r#"
version = 1
[server]
state-directory = "/var/lib/infamy"
[listen]
addresses = ["127.0.0.1:53"]
[listen.tls]
addresses = ["127.0.0.1:853"]
certificate = "chain"
key = "key"
[listen.https]
addresses = ["127.0.0.1:443"]
certificate = "chain"
key = "key"
[listen.quic]
addresses = ["127.0.0.1:853"]
certificate = "chain"
key = "key"
[cookies]
enabled = true
[control]
addresses = ["127.0.0.1:8053"]
tokens = "tokens"
metrics = ["127.0.0.1:9153"]
[page]
addresses = ["127.0.0.1:8080"]
[query-log]
file = "/var/log/infamy/queries.log"
[[dataset]]
name = "traps"
format = "ip4set"
files = "traps"
[[dataset]]
name = "customers"
format = "keys"
files = "keys"
[[zone]]
apex = "bl.example"
datasets = ["traps"]
keys = "customers"
"#;

#[test]
#[ignore = "needs root, systemd-container and the packages"]
fn the_service_starts_reloads_and_comes_back() {
    let machine = with_infamy();
    // nothing to serve yet, and that is no failure
    let state = machine.must("systemctl show -p ActiveState -p Result infamy");
    assert_eq!(state, "Result=success\nActiveState=inactive");

    machine.write("/etc/infamy/infamy.toml", CONFIGURATION);
    machine.write("/etc/infamy/traps", "127.0.0.2\n192.0.2.1\n");
    machine.must("systemctl start infamy");
    // it is said to have started once it answers
    assert_eq!(answer(&machine, "1.2.0.192.bl.example"), "127.0.0.2");
    assert_eq!(answer(&machine, "2.2.0.192.bl.example"), "");
    let process = "/proc/$(systemctl show -P MainPID infamy)/status";
    let rights = machine.must(&format!("grep -E '^(Cap(Eff|Bnd)|NoNewPrivs|Seccomp):' {process} | tr '\\t' ' '"));
    assert_eq!(rights, "CapEff: 0000000000000400\nCapBnd: 0000000000000400\nNoNewPrivs: 1\nSeccomp: 2");
    machine.must(&format!("grep -E '^Uid:' {process} | grep -vw 0"));
    // from 0, the best, to 10
    let exposure = machine.must("systemd-analyze security --no-pager infamy | grep -o 'level for .*: [0-9.]*'");
    let exposure: f64 = exposure.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(exposure < 2.0, "{exposure}");

    machine.write("/etc/infamy/traps", "127.0.0.2\n192.0.2.1\n192.0.2.2\n");
    machine.must("systemctl reload infamy");
    machine.until(&dig("2.2.0.192.bl.example"), "127.0.0.2");
    // a configuration that cannot be is told, and the one before stays
    machine.write("/etc/infamy/infamy.toml", CONFIGURATION.replace("ip4set", "ip5set"));
    machine.must("systemctl reload infamy");
    machine.until("journalctl -u infamy | grep -c 'infamy.toml:9'", "1");
    assert_eq!(answer(&machine, "2.2.0.192.bl.example"), "127.0.0.2");
    machine.write("/etc/infamy/infamy.toml", CONFIGURATION);

    machine.must("infamy add 192.0.2.3 --dataset traps --reason trap --wait --config /etc/infamy/infamy.toml");
    machine.must("systemctl kill --signal KILL infamy");
    machine.until("systemctl show -P NRestarts infamy", "1");
    machine.until(&dig("3.2.0.192.bl.example"), "127.0.0.2");

    machine.write("/etc/systemd/system/infamy.service.d/soon.conf", "[Service]\nWatchdogSec=2s\n");
    machine.must("systemctl daemon-reload && systemctl restart infamy");
    // it hangs, and systemd notices that it says nothing
    machine.must("systemctl kill --signal STOP infamy");
    machine.until("systemctl show -P NRestarts infamy", "1");
    machine.until(&dig("3.2.0.192.bl.example"), "127.0.0.2");

    machine.must("systemctl stop infamy");
    let end = machine.must("systemctl show -p ActiveState -p Result -p ExecMainStatus infamy");
    assert_eq!(end, "Result=success\nExecMainStatus=0\nActiveState=inactive");
    machine.must("apt-get purge -y infamy");
    machine.must("test -e /etc/infamy/infamy.toml && ! test -e /usr/bin/infamy");
}

/// What a server may have open and write, within what its unit allows.
#[test]
#[ignore = "needs root, systemd-container and the packages"]
fn the_service_has_all_it_may_be_configured_to() {
    let machine = with_infamy();
    machine.write("/etc/infamy/infamy.toml", EVERYTHING);
    machine.write("/etc/infamy/traps", "127.0.0.2\n192.0.2.1\n");
    machine.write("/etc/infamy/keys", "acme 0123456789abcdef\n");
    machine.write("/etc/infamy/tokens", "admin 0123456789abcdef\n");
    machine
        .must("cd /etc/infamy && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out chain -subj /CN=localhost");
    // as the documents have it: what nobody else may read is the group's
    machine.must("cd /etc/infamy && chgrp infamy keys tokens key && chmod 640 keys tokens key");
    machine.must("systemctl start infamy");
    for transport in ["+notcp", "+tcp", "+tls", "+https", "+quic"] {
        let name = "1.2.0.192.0123456789abcdef.bl.example";
        assert_eq!(machine.must(&format!("kdig +short {transport} @127.0.0.1 {name}")), "127.0.0.2", "{transport}");
    }
    machine.until("jq -r .name /var/log/infamy/queries.log | sort -u", "1.2.0.192.[acme].bl.example");
    let authorization = "authorization: Bearer 0123456789abcdef";
    let status = format!("curl -sf -H '{authorization}' http://127.0.0.1:8053/v1/status | jq .generation");
    assert_eq!(machine.must(&status), "1");
    machine.must("curl -sf http://127.0.0.1:8080/q/192.0.2.1 | grep -q 192.0.2.1");
    machine.must("curl -sf http://127.0.0.1:9153/metrics | promtool check metrics");
    // whatever it says, it says once it has begun
    let warnings = machine.must("journalctl -u infamy | grep -c -E ' (WARN|ERROR) ' || true");
    assert_eq!(warnings, "0", "{}", machine.must("journalctl -u infamy"));
    for file in ["/var/lib/infamy/evidence.db", "/var/log/infamy/queries.log"] {
        assert_eq!(machine.must(&format!("stat -c '%U %a' {file}")), "infamy 640", "{file}");
    }
    // the log is moved away, and a new one begun
    machine.must("logrotate --force /etc/logrotate.d/infamy");
    // what is asked before the signal has come is in the old one
    let ask = "kdig +short @127.0.0.1 2.2.0.192.0123456789abcdef.bl.example";
    machine.until(&format!("{ask}; jq -r .name /var/log/infamy/queries.log | sort -u"), "2.2.0.192.[acme].bl.example");
}

#[test]
#[ignore = "needs root, systemd-container and the packages"]
fn with_the_socket_unit_a_restart_loses_no_query() {
    let machine = with_infamy();
    machine
        .write("/etc/infamy/infamy.toml", CONFIGURATION.replace("[\"127.0.0.1:53\"]", "[\"0.0.0.0:53\", \"[::]:53\"]"));
    machine.write("/etc/infamy/traps", "127.0.0.2\n192.0.2.1\n");
    machine.must("cp /usr/share/doc/infamy/examples/infamy.socket /etc/systemd/system/");
    machine.must("systemctl enable --now infamy.socket");
    assert_eq!(machine.must("systemctl show -P ActiveState infamy"), "inactive");
    assert_eq!(answer(&machine, "1.2.0.192.bl.example"), "127.0.0.2");
    let over_tcp = machine.must("dig +tcp +short @::1 1.2.0.192.bl.example");
    assert_eq!(over_tcp, "127.0.0.2");

    let asking = "for number in $(seq 200); do dig +tries=1 +time=10 +short @127.0.0.1 1.2.0.192.bl.example; done";
    let counted = machine.must(&format!(
        "({asking} >/root/answers) & for number in 1 2 3; do systemctl restart infamy; done; wait; sort /root/answers | uniq -c"
    ));
    assert_eq!(counted, "200 127.0.0.2");
}

#[test]
#[ignore = "needs root, rbldnsd, systemd-container and the packages"]
fn debians_rbldnsd_is_taken_over_as_it_is() {
    let machine = with_rbldnsd();
    let before = answers(&machine);

    install(&machine, &["infamy", "infamy-rbldnsd"]);
    assert_eq!(machine.must("systemctl is-active rbldnsd.socket"), "active");
    assert_infamy(&machine, "/usr/bin/infamy");
    assert_eq!(answers(&machine), before);
    // as a later version does it
    install(&machine, &["infamy", "infamy-rbldnsd"]);
    assert_eq!(machine.must("systemctl is-active rbldnsd.socket"), "active");
    assert_infamy(&machine, "/usr/bin/infamy");
    assert_eq!(answers(&machine), before);

    // a reload reaches all, as it did
    machine.write("/var/lib/rbldns/names", NAMES.to_owned() + ".mall.example\n");
    machine.must("systemctl reload rbldnsd");
    machine.until("dig +short @127.0.0.3 mall.example.names.example", "127.0.0.9");
    machine.must("apt-get remove -y infamy-rbldnsd");
    machine.must("test -e /etc/default/rbldnsd && test -e /var/lib/rbldns/traps");
    assert_eq!(machine.run("systemctl is-active rbldnsd@my-names").stdout, b"inactive\n");
}

#[test]
#[ignore = "needs root, rbldnsd and systemd-container"]
fn under_debians_units_nothing_changes_but_the_binary() {
    let machine = with_rbldnsd();
    let before = answers(&machine);
    machine.write("/root/infamy", fs::read(env!("CARGO_BIN_EXE_infamy")).unwrap());
    machine.must("install -m 755 /root/infamy /usr/sbin/rbldnsd && systemctl restart rbldnsd rbldnsd@my-names");
    assert_infamy(&machine, "/usr/sbin/rbldnsd");
    assert_eq!(answers(&machine), before);
    machine.must("systemctl stop rbldnsd.socket rbldnsd rbldnsd@my-names");
    assert_eq!(machine.must("systemctl show -P Result rbldnsd rbldnsd@my-names"), "success\n\nsuccess");
}

/// A machine with infamy's package, and nothing at port 53.
fn with_infamy() -> Machine {
    let machine = Machine::boot();
    machine.must("systemctl stop rbldnsd.socket rbldnsd.service");
    install(&machine, &["infamy"]);
    machine
}

/// A machine as an operator of rbldnsd has it: an instance with sockets of systemd's, and one that has its own.
fn with_rbldnsd() -> Machine {
    let machine = Machine::boot();
    machine.write("/etc/default/rbldnsd", DEFAULTS);
    machine.write("/etc/systemd/system/rbldnsd.socket.d/here.conf", SOCKET);
    machine.write("/var/lib/rbldns/traps", "$SOA 300 ns.example. hostmaster.example. 7 1h 15m 10d 5m\n192.0.2.1\n");
    machine.write("/var/lib/rbldns/names", NAMES);
    machine.must("install -o rbldns /dev/null /var/lib/rbldns/queries");
    machine.must("systemctl daemon-reload && systemctl stop rbldnsd.service rbldnsd.socket");
    machine.must("systemctl enable rbldnsd.service rbldnsd.socket rbldnsd@my-names.service");
    machine.must("systemctl start rbldnsd.socket rbldnsd@my-names");
    machine
}

/// What is answered from both instances.
fn answers(machine: &Machine) -> [String; 6] {
    [
        "@127.0.0.1 1.2.0.192.bl.example A",
        "@127.0.0.1 1.2.0.192.bl.example TXT",
        "@127.0.0.1 2.2.0.192.bl.example A",
        "@127.0.0.1 bl.example SOA",
        "@127.0.0.3 www.shop.example.names.example A",
        "@127.0.0.3 www.shop.example.names.example TXT",
    ]
    .map(|question| {
        machine.must(&format!("dig +norecurse +noedns +noall +comments +answer {question} | grep -v '; <<>>\\|id:'"))
    })
}

/// Both instances are infamy, without root's rights, and what they are asked is written where it was.
fn assert_infamy(machine: &Machine, program: &str) {
    for unit in ["rbldnsd.service", "rbldnsd@my-names.service"] {
        machine.until(&format!("systemctl is-active {unit}"), "active");
        let process = format!("/proc/$(systemctl show -P MainPID {unit})");
        assert_eq!(machine.must(&format!("readlink {process}/exe")), program, "{unit}");
        assert_eq!(machine.must(&format!("stat -c %U {process}")), "rbldns", "{unit}");
    }
    machine.must("truncate -s 0 /var/lib/rbldns/queries");
    machine.must("dig +short @127.0.0.3 www.shop.example.names.example A");
    machine.until("grep -c www.shop.example.names.example /var/lib/rbldns/queries", "1");
}

const DEFAULTS: &str = r#"
RBLDNSD="- -r /var/lib/rbldns -b 127.0.0.9 bl.example:ip4set:traps
my-names $UNSET -r /var/lib/rbldns -b 127.0.0.3 -l +queries names.example:dnset:names
"
"#;

const NAMES: &str = ":127.0.0.9:Name $\n.shop.example\n";

/// As an operator says what addresses the sockets have.
const SOCKET: &str = "[Socket]\nListenDatagram=\nListenDatagram=127.0.0.1:53\n";

/// Installs packages as an operator does who was given the files.
fn install(machine: &Machine, packages: &[&str]) {
    let mut files = String::new();
    for package in packages {
        let inside = format!("/root/{package}.deb");
        machine.write(&inside, fs::read(built(package)).unwrap());
        files = format!("{files} {inside}");
    }
    machine.must(&format!("apt-get install -y --reinstall --no-install-recommends {files}"));
}

fn built(package: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian");
    let beginning = format!("{package}_{}-", env!("CARGO_PKG_VERSION"));
    let mut entries = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap());
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(&beginning));
    found.unwrap_or_else(|| panic!("{}: no {beginning}*.deb: run packaging/deb/build", folder.display())).path()
}

fn dig(name: &str) -> String {
    format!("dig +short +tries=1 @127.0.0.1 {name}")
}

fn answer(machine: &Machine, name: &str) -> String {
    machine.must(&dig(name))
}
