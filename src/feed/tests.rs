//! What the tests of all formats share: a sink that writes down what it is told, and laws that hold for any bytes.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::dnsxl::name::fmt_wire;

/// Writes each statement as one line of text.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) lines: Vec<String>,
    pub(super) numbers: Vec<u64>,
}

impl Notes {
    fn note(&mut self, line: u64, text: String) {
        self.numbers.push(line);
        self.lines.push(text);
    }
}

impl Sink for Notes {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        let (subject, said) = match entry {
            Entry::Ip4 { first, last, said } if first == last => (Ipv4Addr::from(first).to_string(), said),
            Entry::Ip4 { first, last, said } => {
                assert!(first < last);
                (format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)), said)
            }
            Entry::Ip6 { bits, length, said } => {
                assert_eq!(bits & crate::dnsxl::subject::mask6(length), bits);
                (format!("{}/{length}", Ipv6Addr::from(bits)), said)
            }
            Entry::Name { wire, scope, said } => {
                assert!(!wire.is_empty());
                let front = match scope {
                    Scope::Exact => "",
                    Scope::Below => "*.",
                    Scope::Both => ".",
                };
                (front.to_owned() + &name(wire), said)
            }
            Entry::Hash { key, said } => (key.iter().map(|byte| format!("{byte:02x}")).collect(), said),
            Entry::Record { owner, ttl, rtype, rdata } => {
                let ttl = ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string());
                return self.note(line, format!("{} {ttl} {rtype} {}", name(owner), rdata.escape_ascii()));
            }
            Entry::Client { block, action } => {
                let block = match block {
                    ClientBlock::Ip4 { bits, length } => format!("{}/{length}", Ipv4Addr::from(bits)),
                    ClientBlock::Ip6 { bits, length } => format!("{}/{length}", Ipv6Addr::from(bits)),
                };
                let action = match action {
                    Action::Always(value) => said(Said::Listed(value)),
                    action => format!(" {action:?}").to_lowercase(),
                };
                return self.note(line, block + &action);
            }
            Entry::Key { name, key, quota } => {
                assert!(could_be_key(key) && key.to_ascii_lowercase() == key);
                return self.note(line, format!("key {name} {quota}"));
            }
        };
        self.note(line, subject + &self::said(said));
    }

    fn special(&mut self, line: u64, special: Special<'_>) {
        let text = match special {
            Special::Soa(soa) => format!(
                "$SOA {} {} {} {} {} {} {} {}",
                soa.ttl, soa.origin, soa.person, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum
            ),
            Special::Ns(ns) => ns.names.iter().fold(format!("$NS {}", ns.ttl), |text, name| format!("{text} {name}")),
            Special::Ttl(ttl) => format!("$TTL {ttl}"),
            Special::Timestamp { created, expires } => format!("$TIMESTAMP {created} {expires}"),
            Special::Variable { digit, text } => format!("${digit} {}", text.escape_ascii()),
            Special::BaseTemplate(text) => format!("$= {}", text.escape_ascii()),
            Special::MaxRange4(limit) => format!("$MAXRANGE4 {limit}"),
            Special::SharedValue(value) => format!("shared{}", said(Said::Listed(value))),
            Special::Dataset { format, name, under } => {
                let name = name.map_or(String::new(), |name| format!(":{}", name.escape_ascii()));
                under.iter().fold(format!("$DATASET {format:?}{name}"), |text, name| format!("{text} {name}"))
            }
        };
        self.note(line, text);
    }

    fn problem(&mut self, line: u64, problem: LineError) {
        assert!(!problem.to_string().contains(|char: char| char.is_control()));
        self.note(line, format!("? {problem}"));
    }
}

fn name(wire: &[u8]) -> String {
    let mut text = String::new();
    fmt_wire(wire, &mut text).unwrap();
    text
}

fn said(said: Said<'_>) -> String {
    let Said::Listed(value) = said else { return " excluded".to_owned() };
    let mut text = String::new();
    if let Some(a) = value.a {
        write!(text, " {a}").unwrap();
    }
    match value.text {
        Text::Unsaid => {}
        Text::None => text += " no text",
        Text::Template(template) => write!(text, " {:?}", template.escape_ascii().to_string()).unwrap(),
    }
    text
}

/// What a list says, a string for each statement.
pub(super) fn notes_with(format: Format, reading: &Reading, list: impl AsRef<[u8]>) -> Vec<String> {
    let mut notes = Notes::default();
    match parse_bytes(list.as_ref(), format, reading, &mut notes) {
        Ok(()) => {}
        Err(error) => notes.lines.push(format!("! {error}")),
    }
    notes.lines
}

/// The same with the readings' defaults.
pub(super) fn notes(format: Format, list: impl AsRef<[u8]>) -> Vec<String> {
    notes_with(format, &Reading::default(), list)
}

/// Checks lines that each say one thing, or nothing.
pub(super) fn check(format: Format, cases: &[(&str, &str)]) {
    for &(line, said) in cases {
        assert_eq!(notes(format, line).join("; "), said, "{line:?}");
    }
}

/// Checks lines that are problems whose message begins in a certain way.
pub(super) fn check_problems(format: Format, cases: &[(&str, &str)]) {
    for &(line, message) in cases {
        let notes = notes(format, line).join("; ");
        assert!(notes.strip_prefix("? ").is_some_and(|said| said.starts_with(message)), "{line:?}: {notes}");
    }
}

const FORMATS: [Format; 15] = [
    Format::Ip4Set,
    Format::Ip4Tset,
    Format::Ip4Trie,
    Format::Ip6Tset,
    Format::Ip6Trie,
    Format::Dnset,
    Format::Generic,
    Format::Combined,
    Format::Acl,
    Format::Plain,
    Format::Hosts,
    Format::Drop,
    Format::Urlhaus,
    Format::Urls,
    Format::Hashes,
];

/// Bytes that look like a list often enough to get past the first check.
fn listlike() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "[0-9a-f./: !#;*=$\"\\\\-]{0,12}".prop_map(String::into_bytes),
        2 => prop::sample::select(vec![
            "192.0.2.4", "192.0.2.0/24", "2001:db8::/32", "2001:db8:1:2", ".list.example", "*.example", ":2:text $",
            "$DATASET ip4set @", "$DATASET generic a", "$SOA 1d a b 0 1 1 1 1", "$NS 1d a -b", "$TTL 1h", "$1 one",
            "$TIMESTAMP 2020:01:02 +1d", "$MAXRANGE4 /24", "a IN TXT \"a\" \"b\"", "a 5 MX 10 mx", ":refuse", "= ",
            "0.0.0.0 a.example b.example", "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\"}", "http://a.example/%41?b#c",
            "\"1\",\"d\",\"http://192.0.2.1/x\",\"online\"", "900150983cd24fb0d6963f7d28e17f72", "192.0.2.0/24 ; SBL1",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    let end = prop::sample::select(vec!["\n", "\n", " ", "\t", "\r\n", ""]);
    prop::collection::vec((piece, end), 0..12).prop_map(|pieces| {
        pieces.into_iter().flat_map(|(piece, end)| [piece, end.as_bytes().to_vec()].concat()).collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_to_the_end_and_in_order(list in listlike(), host_bits: bool) {
        let key = Some(KeyShape {
            hash: crate::dnsxl::HashKind::Md5,
            alphabet: crate::dnsxl::Alphabet::Hex,
            characters: 32,
        });
        for format in FORMATS {
            for key in [None, key] {
                let reading = Reading { host_bits, key, compression: Compression::Off, ..Reading::default() };
                let mut notes = Notes::default();
                let _ = parse_bytes(&list, format, &reading, &mut notes);
                prop_assert!(notes.numbers.is_sorted());
                let lines = list.split(|&byte| byte == b'\n').count() as u64;
                prop_assert!(notes.numbers.last().is_none_or(|&last| last <= lines));
            }
        }
    }

    #[test]
    fn printed_addresses_are_read_back(a: u32, b: u32, bits: u128, length in 0u8..=128) {
        let (first, last) = (a.min(b), a.max(b));
        let range = format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last));
        let expected = if first == last { Ipv4Addr::from(a).to_string() } else { range.clone() };
        for format in [Format::Ip4Set, Format::Plain] {
            prop_assert_eq!(notes(format, &range), [expected.clone()]);
        }
        let prefix = format!("{}/{length}", Ipv6Addr::from(bits & crate::dnsxl::subject::mask6(length)));
        for format in [Format::Ip6Trie, Format::Plain] {
            // a mapped address is printed with an IPv4 part, which rbldnsd does not read
            if format == Format::Plain || !prefix.contains('.') {
                prop_assert_eq!(notes(format, &prefix), [prefix.clone()]);
            }
        }
    }

    #[test]
    fn printed_names_are_read_back(
        labels in prop::collection::vec(("[a-z0-9]", prop::collection::vec(any::<u8>(), 0..20)), 1..5),
        front in prop::sample::select(vec!["", "*.", ".", "!", "!*."]),
    ) {
        let mut wire = Vec::new();
        for (first, rest) in &labels {
            wire.push(1 + rest.len() as u8);
            wire.extend_from_slice(first.as_bytes());
            wire.extend(rest.to_ascii_lowercase());
        }
        let expected = match front.strip_prefix('!') {
            Some(front) => format!("{front}{} excluded", name(&wire)),
            None => front.to_owned() + &name(&wire),
        };
        prop_assert_eq!(notes(Format::Dnset, front.to_owned() + &name(&wire)), [expected]);
    }
}

/// Takes everything and keeps a sum, so that nothing is optimised away.
#[derive(Default)]
struct Sum(u64);

impl Sink for Sum {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        self.0 += line
            ^ match entry {
                Entry::Ip4 { first, last, .. } => u64::from(first ^ last),
                Entry::Ip6 { bits, .. } => bits as u64,
                Entry::Name { wire, .. } => wire.iter().map(|&byte| u64::from(byte)).sum(),
                Entry::Hash { key, .. } => u64::from(key[0]),
                _ => 1,
            };
    }

    fn special(&mut self, line: u64, _special: Special<'_>) {
        self.0 += line;
    }

    fn problem(&mut self, line: u64, problem: LineError) {
        panic!("{line}: {problem}");
    }
}

/// Run with `cargo test --release --lib feed::tests::speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures: lines a second of each format"]
fn speed() {
    const LINES: u32 = 4_000_000;
    let scattered = |index: u32| index.wrapping_mul(0x9e37_79b1);
    let list = |line: &dyn Fn(u32) -> String| (0..LINES).map(|index| line(scattered(index)) + "\n").collect::<String>();
    let address = |bits: u32| Ipv4Addr::from(bits).to_string();
    let domain = |bits: u32| format!("shop-{bits:x}.{}.example", ["list", "another-list"][bits as usize % 2]);
    let key = KeyShape { hash: crate::dnsxl::HashKind::Sha1, alphabet: crate::dnsxl::Alphabet::Hex, characters: 40 };
    let reading = Reading { key: Some(key), ..Reading::default() };
    let no_key = Reading::default();
    for (what, format, reading, list) in [
        ("ip4set, addresses", Format::Ip4Set, &no_key, list(&address)),
        ("ip4set, values", Format::Ip4Set, &no_key, list(&|bits| address(bits) + " :5:listed, see $")),
        ("ip4tset, addresses", Format::Ip4Tset, &no_key, list(&address)),
        ("ip4trie, /24", Format::Ip4Trie, &no_key, list(&|bits| address(bits & !255) + "/24")),
        ("plain, addresses", Format::Plain, &no_key, list(&address)),
        ("dnset, .name", Format::Dnset, &no_key, list(&|bits| format!(".{}", domain(bits)))),
        ("plain, domains", Format::Plain, &no_key, list(&domain)),
        ("hosts", Format::Hosts, &no_key, list(&|bits| format!("0.0.0.0 {}", domain(bits)))),
        (
            "ip6trie, /64",
            Format::Ip6Trie,
            &no_key,
            list(&|bits| format!("2001:db8:{:x}:{:x}::/64", bits >> 16, bits & 0xffff)),
        ),
        ("urls, by host", Format::Urls, &no_key, list(&|bits| format!("https://{}/a/b?c=d", domain(bits)))),
        ("urls, hashed", Format::Urls, &reading, list(&|bits| format!("https://{}/a/b?c=d", domain(bits)))),
        ("hashes", Format::Hashes, &reading, list(&|bits| format!("{bits:08x}").repeat(5))),
    ] {
        let mut sum = Sum::default();
        let begin = std::time::Instant::now();
        parse_bytes(list.as_bytes(), format, reading, &mut sum).unwrap();
        let seconds = begin.elapsed().as_secs_f64();
        eprintln!(
            "{what:20} {:6.1} M lines/s, {:4.0} MB/s",
            f64::from(LINES) / seconds / 1e6,
            list.len() as f64 / seconds / 1e6
        );
    }
}
