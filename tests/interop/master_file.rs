//! What `infamy dump` writes, loaded by other servers: they answer every listed subject and its neighbors as we do.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use hickory_proto::op::{Message, ResponseCode};
use infamy::answer::{Outcome, Transport, respond};
use infamy::dataset::{BadLines, Defaults, NeverList, Spec};
use infamy::dnsxl::{Alphabet, HashKind, KeyShape, Name};
use infamy::export::{Options, Source};
use infamy::feed::{Format, NsLine, Reading};
use infamy::reload::{Cookies, Plan, Store, ZonePlan};
use infamy::snapshot::{Snapshot, Version};
use infamy::zone::{Choice, TestEntries, UnixTime, ZoneSpec};

use crate::harness::{Program, ask, free_address};

#[test]
#[ignore = "needs NSD"]
fn nsd_answers_the_same() {
    let lists = Lists::write();
    let address = free_address();
    let folder = lists.path().display();
    let mut config = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n port: {port}\n username: \"\"\n zonesdir: \"{folder}\"\n database: \"\"\n \
         pidfile: \"{folder}/nsd.pid\"\n xfrdfile: \"{folder}/xfrd\"\n zonelistfile: \"{folder}/zones\"\n \
         xfrdir: \"{folder}\"\n server-count: 1\n rrl-ratelimit: 0\n rrl-whitelist-ratelimit: 0\n\
         remote-control:\n control-enable: no\n",
        port = address.port()
    );
    for apex in lists.apexes() {
        writeln!(config, "zone:\n name: {apex}\n zonefile: \"{apex}.zone\"").unwrap();
    }
    fs::write(lists.path().join("nsd.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/nsd");
    command.arg("-d").arg("-c").arg(lists.path().join("nsd.conf"));
    lists.compare(&mut command, address);
}

#[test]
#[ignore = "needs BIND"]
fn bind_answers_the_same() {
    let lists = Lists::write();
    let address = free_address();
    let folder = lists.path().display();
    let mut config = format!(
        "options {{ directory \"{folder}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;\n\
         pid-file \"{folder}/named.pid\"; session-keyfile \"{folder}/session.key\"; dnssec-validation no;\n\
         check-names primary ignore; notify no; }};\ncontrols {{ }};\n",
        address.port()
    );
    for apex in lists.apexes() {
        writeln!(config, "zone \"{apex}\" {{ type primary; file \"{folder}/{apex}.zone\"; }};").unwrap();
    }
    fs::write(lists.path().join("named.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/named");
    command.args(["-g", "-n", "1", "-c"]).arg(lists.path().join("named.conf"));
    lists.compare(&mut command, address);
}

#[test]
#[ignore = "needs Knot DNS"]
fn knot_answers_the_same() {
    let lists = Lists::write();
    let address = free_address();
    let folder = lists.path().display();
    let mut config = format!(
        "server:\n  listen: 127.0.0.1@{}\n  rundir: \"{folder}\"\ndatabase:\n  storage: \"{folder}\"\n\
         log:\n  - target: stderr\n    any: info\nzone:\n",
        address.port()
    );
    for apex in lists.apexes() {
        writeln!(config, "  - domain: {apex}\n    storage: \"{folder}\"\n    file: \"{apex}.zone\"").unwrap();
    }
    fs::write(lists.path().join("knot.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/knotd");
    command.arg("-c").arg(lists.path().join("knot.conf"));
    lists.compare(&mut command, address);
}

#[test]
#[ignore = "needs BIND's named-checkzone and NSD's nsd-checkzone"]
fn checkers_accept_every_zone() {
    let lists = Lists::write();
    for apex in lists.apexes() {
        let file = lists.path().join(format!("{apex}.zone"));
        let mut bind = Command::new("/usr/bin/named-checkzone");
        bind.args(["-k", "fail", "-i", "local"]).arg(&apex).arg(&file);
        let mut nsd = Command::new("/usr/sbin/nsd-checkzone");
        nsd.arg(&apex).arg(&file);
        for mut command in [bind, nsd] {
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("warning"), "{command:?}: {said}");
        }
    }
}

/// Zones of every kind, as we serve them and as master files, and what to ask.
struct Lists {
    folder: tempfile::TempDir,
    snapshot: Snapshot,
    plan: Plan,
    /// Names with their apexes, each in its own form.
    questions: Vec<String>,
}

impl Lists {
    fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = Plan {
            datasets: Vec::new(),
            zones: Vec::new(),
            access: None,
            never: NeverList::empty(),
            version: Version::Refused,
            cookies: Cookies::Off,
        };
        let mut random = Random(0x1f2e_3d4c_5b6a_7988);
        let mut questions = Vec::new();
        for (apex, choice, lists) in zones(&mut random) {
            let first = plan.datasets.len();
            for Listed { format, text, subjects } in lists {
                let path = folder.path().join(format!("{apex}.{}", plan.datasets.len()));
                fs::write(&path, text).unwrap();
                plan.datasets.push(dataset(format, &path));
                questions.extend(subjects.iter().map(|subject| format!("{subject}.{apex}")));
            }
            let datasets = (first..plan.datasets.len()).map(|index| (index, Name::default())).collect();
            plan.zones.push(ZonePlan {
                spec: zone(apex, choice),
                datasets,
                allow: Vec::new(),
                access: None,
                keys: None,
                terms: Default::default(),
            });
        }
        for zone in &plan.zones {
            let apex = &zone.spec.apex;
            let source = Source::load(&plan, apex, UnixTime(0), |_| Vec::new()).unwrap();
            let mut file = fs::File::create(folder.path().join(format!("{apex}.zone"))).unwrap();
            let notes = source.write_master_file(Options::default(), &mut file).unwrap();
            assert_eq!(notes, [], "{apex}");
        }
        let mut store = Store::new(plan.clone());
        assert!(store.load(UnixTime(0)).iter().all(|event| event.result.is_ok()));
        let snapshot = store.snapshot().unwrap();
        Self { folder, snapshot, plan, questions }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn apexes(&self) -> impl Iterator<Item = String> {
        self.plan.zones.iter().map(|zone| zone.spec.apex.to_string())
    }

    /// Starts a server and asks it everything, A and TXT.
    fn compare(&self, command: &mut Command, address: SocketAddr) {
        let log = self.path().join("log");
        let mut program = Program::start(command, &log);
        program.wait_until(&log, || {
            let is_loaded = |apex: String| {
                let reply = ask(address, &query(&apex, SOA));
                reply.is_some_and(|reply| Message::from_vec(&reply).is_ok_and(|reply| reply.answers.len() == 1))
            };
            self.apexes().all(is_loaded)
        });
        let (mut listed, mut excluded) = (0, 0);
        for name in &self.questions {
            for qtype in [A, TXT] {
                let query = query(name, qtype);
                let theirs = (0..5).find_map(|_| ask(address, &query)).unwrap_or_else(|| panic!("{name}: no reply"));
                let (ours, theirs) = (self.answer(&query), read(&theirs));
                listed += usize::from(!ours.1.is_empty());
                if ours.0 == ResponseCode::NXDomain && theirs == (ResponseCode::NoError, BTreeSet::new()) {
                    // the one difference: an excluded name under a wildcard is there
                    assert!(name.contains("names.") || name.contains("mixed."), "{name} {qtype}");
                    excluded += 1;
                    continue;
                }
                assert_eq!(ours, theirs, "{name} {qtype}");
            }
        }
        eprintln!("{} questions, {listed} with answers, {excluded} excluded names", 2 * self.questions.len());
        assert!(listed > self.questions.len() / 2);
    }

    fn answer(&self, query: &[u8]) -> (ResponseCode, BTreeSet<Vec<u8>>) {
        let mut out = vec![0; 65_535];
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        match respond(&self.snapshot, query, client, Transport::Udp, UnixTime(0), &mut out) {
            Outcome::Reply { length, .. } => read(&out[..length]),
            Outcome::Drop(why) => panic!("{why:?}"),
        }
    }
}

/// The RCODE and the data of the answers.
fn read(reply: &[u8]) -> (ResponseCode, BTreeSet<Vec<u8>>) {
    let reply = Message::from_vec(reply).unwrap();
    let data = |record: &hickory_proto::rr::Record| format!("{} {:?}", record.ttl, record.data).into_bytes();
    (reply.metadata.response_code, reply.answers.iter().map(data).collect())
}

fn query(name: &str, qtype: u8) -> Vec<u8> {
    let mut query = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    Name::parse(name.as_bytes()).unwrap().write_wire(&mut query);
    query.extend([0, qtype, 0, 1]);
    query
}

fn dataset(format: Format, path: &Path) -> Spec {
    let key = KeyShape { hash: HashKind::Sha1, alphabet: Alphabet::ZBase32, characters: 32 };
    Spec {
        name: path.display().to_string(),
        format,
        files: vec![path.to_owned()],
        emitted: None,
        reading: Reading { key: (format == Format::Hashes).then_some(key), ..Reading::default() },
        defaults: Defaults::default(),
        bad_lines: BadLines::Refuse,
        min_entries: 1,
        bounds: infamy::dataset::Bounds::NONE,
        ttl_bounds: 0..=u32::MAX,
        heeds_never_list: false,
    }
}

fn zone(apex: &str, choice: Choice) -> ZoneSpec {
    ZoneSpec {
        apex: Name::parse(apex.as_bytes()).unwrap(),
        soa: None,
        ns: Some(NsLine { ttl: 3600, names: vec![Name::parse(b"ns.elsewhere.test").unwrap()] }),
        own_addresses: Vec::new(),
        least_serial: 1,
        ttl: 2100,
        choice,
        ns_in_authority: false,
        test_entries: TestEntries::Synthesised,
        others: Vec::new(),
    }
}

/// One list, and subjects in and beside its entries.
struct Listed {
    format: Format,
    text: String,
    subjects: Vec<String>,
}

/// The zones by apex; `names` and `mixed` have exclusions of names.
fn zones(random: &mut Random) -> Vec<(&'static str, Choice, Vec<Listed>)> {
    let mut mixed = vec![list4(random, Format::Ip4Set), list6(random), names(random)];
    mixed.push(records(random));
    let both = |random: &mut Random| vec![list4(random, Format::Ip4Trie), list4(random, Format::Ip4Set)];
    vec![
        ("set.test", Choice::All, vec![list4(random, Format::Ip4Set)]),
        ("trie.test", Choice::All, vec![list4(random, Format::Ip4Trie)]),
        ("six.test", Choice::All, vec![list6(random)]),
        ("names.test", Choice::All, vec![names(random)]),
        ("mixed.test", Choice::All, mixed),
        ("all.test", Choice::All, both(random)),
        ("one.test", Choice::One, both(random)),
        ("or.test", Choice::Or, both(random)),
        ("records.test", Choice::All, vec![records(random)]),
        ("digests.test", Choice::All, vec![digests(random)]),
        ("combined.test", Choice::All, vec![combined(random)]),
    ]
}

/// A value; with `$` where it comes out exactly.
fn value(random: &mut Random, is_exact: bool) -> &'static str {
    let values = [":2:", ":3:why \"quoted\" \\ ;", ":4:other (text)", ":9", ":5:see https://x.test/?$", ":6:$: \u{e9}"];
    values[random.below(if is_exact { 6 } else { 4 }) as usize]
}

fn mark(random: &mut Random) -> &'static str {
    if random.below(5) == 0 { "!" } else { "" }
}

/// Addresses and ranges that meet: few networks, with digits that are nibbles too.
fn list4(random: &mut Random, format: Format) -> Listed {
    let (mut text, mut subjects) = (String::new(), Vec::new());
    for _ in 0..300 {
        let [a, b, c] = [random.of(&[2, 9, 192, 203]), random.of(&[0, 1, 9, 100, 255]), random.of(&[0, 2, 9, 10, 77])];
        let address = u32::from_be_bytes([a, b, c, random.below(256) as u8]);
        let length = random.of(&[32, 32, 32, 31, 30, 28, 26, 24, 24, 23, 20, 17, 16]);
        let mask = u32::MAX << (32 - u32::from(length));
        let (first, last) = (address & mask, address | !mask);
        let (mark, value) = (mark(random), value(random, length == 32));
        writeln!(text, "{mark}{}/{length} {value}", Ipv4Addr::from(first)).unwrap();
        let inside = first + random.below(u64::from(last - first) + 1) as u32;
        let near = [first, last, inside, first.wrapping_sub(1), last.wrapping_add(1), address ^ 0x0100, address ^ 1];
        subjects.extend(near.map(name4));
    }
    Listed { format, text, subjects }
}

fn list6(random: &mut Random) -> Listed {
    let (mut text, mut subjects) = (String::new(), Vec::new());
    for _ in 0..150 {
        let tail = u128::from(random.next()) << 64 | u128::from(random.next());
        let address = 0x2001_0db8_u128 << 96 | (tail & 0x0001_000f_0000_0003_0000_0000);
        let address = address | if random.below(2) == 0 { tail & 0xff } else { tail & u128::from(u64::MAX) };
        let length = random.of(&[128, 128, 128, 127, 113, 65, 64, 64, 56, 48, 46, 33, 32]);
        let mask = u128::MAX << (128 - u32::from(length));
        let (first, last) = (address & mask, address | !mask);
        let (mark, value) = (mark(random), value(random, length == 128));
        writeln!(text, "{mark}{}/{length} {value}", Ipv6Addr::from(first)).unwrap();
        let near = [first, last, first.wrapping_sub(1), last.wrapping_add(1), address, address ^ 1, address ^ 1 << 70];
        subjects.extend(near.map(name6));
    }
    Listed { format: Format::Ip6Trie, text, subjects }
}

fn names(random: &mut Random) -> Listed {
    let (mut text, mut subjects) = (String::new(), Vec::new());
    for _ in 0..300 {
        let name = a_name(random);
        let scope = ["", ".", "*."][random.below(3) as usize];
        writeln!(text, "{}{scope}{name} {}", mark(random), value(random, true)).unwrap();
        subjects.extend([format!("x.{name}"), format!("y.x.{name}"), format!("a.{name}"), name]);
    }
    Listed { format: Format::Dnset, text, subjects }
}

fn a_name(random: &mut Random) -> String {
    let labels = ["a", "bb", "c-c", "d", "mail", "xn--bcher-kva", "7"];
    let mut name = ["com", "net", "co.uk"][random.below(3) as usize].to_owned();
    for _ in 0..1 + random.below(4) {
        name = format!("{}.{name}", labels[random.below(labels.len() as u64) as usize]);
    }
    name
}

fn records(random: &mut Random) -> Listed {
    let (mut text, mut subjects) = (String::new(), Vec::new());
    for index in 0..60 {
        let name = a_name(random);
        let data = ["A 192.0.2.7", "A 192.0.2.8", "TXT \"a \"b\" \\ c\"", "MX 10 mail.test", "AAAA 2001:db8::1"];
        writeln!(text, "{name} {}", data[random.below(5) as usize]).unwrap();
        writeln!(text, "r{index} 60 CAA 0 issue \"ca.test; x=\\\"y\\\"\"\nr{index} SRV 1 2 3 srv.test").unwrap();
        subjects.extend([format!("x.{name}"), name, format!("r{index}")]);
    }
    Listed { format: Format::Generic, text, subjects }
}

fn digests(random: &mut Random) -> Listed {
    let key = KeyShape { hash: HashKind::Sha1, alphabet: Alphabet::ZBase32, characters: 32 };
    let (mut text, mut subjects) = (String::new(), Vec::new());
    for _ in 0..200 {
        let subject = random.next().to_string();
        for (subject, is_listed) in [(subject.clone(), true), (subject + "x", false)] {
            let mut label = Vec::new();
            key.write_label(&key.hash(subject.as_bytes()), &mut label);
            let label = String::from_utf8(label).unwrap();
            if is_listed {
                writeln!(text, "{label}").unwrap();
            }
            subjects.push(label);
        }
    }
    Listed { format: Format::Hashes, text, subjects }
}

/// Sections at the apex and below names of their own, some inside others.
fn combined(random: &mut Random) -> Listed {
    let (ip4, ip6) = (list4(random, Format::Ip4Trie), list6(random));
    let text = format!("$DATASET ip4trie @ v4\n{}$DATASET ip6trie six.v4 v6\n{}", ip4.text, ip6.text);
    let mut subjects: Vec<String> = ip4.subjects.iter().flat_map(|name| [name.clone(), format!("{name}.v4")]).collect();
    subjects.extend(ip6.subjects.iter().flat_map(|name| [format!("{name}.six.v4"), format!("{name}.v6")]));
    Listed { format: Format::Combined, text, subjects }
}

fn name4(address: u32) -> String {
    let [a, b, c, d] = address.to_be_bytes();
    format!("{d}.{c}.{b}.{a}")
}

fn name6(address: u128) -> String {
    let nibbles: Vec<String> = (0..32).map(|index| format!("{:x}", address >> (4 * index) & 0xf)).collect();
    nibbles.join(".")
}

/// Numbers that are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 32) % end
    }

    fn of(&mut self, choices: &[u8]) -> u8 {
        choices[self.below(choices.len() as u64) as usize]
    }
}

const A: u8 = 1;
const SOA: u8 = 6;
const TXT: u8 = 16;
