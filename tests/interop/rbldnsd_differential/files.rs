//! Random zone files of every type, and what they are about, so that questions can come near it.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::dice::Dice;

/// A dataset's text, and the subjects that its lines name.
#[derive(Debug, Default)]
pub(super) struct Generated {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) subjects: Subjects,
}

/// What a zone's files name; edges and not all that lies between.
#[derive(Clone, Debug, Default)]
pub(super) struct Subjects {
    pub(super) ip4: Vec<u32>,
    pub(super) ip6: Vec<u128>,
    pub(super) names: Vec<String>,
    /// Names of `combined` sections.
    pub(super) places: Vec<String>,
    pub(super) has_ip4: bool,
    pub(super) is_combined: bool,
    pub(super) has_soa: bool,
    pub(super) has_ns: bool,
}

impl Subjects {
    pub(super) fn join(&mut self, other: &Self) {
        self.ip4.extend(&other.ip4);
        self.ip6.extend(&other.ip6);
        self.names.extend(other.names.iter().cloned());
        self.places.extend(other.places.iter().cloned());
        self.has_ip4 |= other.has_ip4;
        self.is_combined |= other.is_combined;
        self.has_soa |= other.has_soa;
        self.has_ns |= other.has_ns;
    }

    fn range4(&mut self, first: u32, last: u32) {
        self.ip4.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1), first / 2 + last / 2]);
    }

    fn prefix6(&mut self, bits: u128, length: u32) {
        let host = if length == 0 { u128::MAX } else { !(u128::MAX << (128 - length)) };
        let (first, last) = (bits & !host, bits | host);
        self.ip6.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1), first | (host / 3)]);
    }
}

/// A dataset of a random type, as the texts of one or two files.
pub(super) fn dataset(dice: &mut Dice) -> (Generated, Vec<String>) {
    let kind = dice.pick(&[
        "ip4set", "ip4set", "ip4tset", "ip4trie", "ip6trie", "ip6tset", "dnset", "dnset", "generic", "combined",
    ]);
    let mut made = file(dice, kind, true);
    let mut texts = vec![made.text.clone()];
    if dice.chance(20) {
        // rbldnsd takes specials in front of a later file's first section for the last section before
        let more = file(dice, kind, kind != "combined");
        made.subjects.join(&more.subjects);
        texts.push(more.text);
    }
    (made, texts)
}

fn file(dice: &mut Dice, kind: &'static str, has_specials: bool) -> Generated {
    let mut made = Generated { kind, ..Generated::default() };
    if has_specials {
        specials(dice, &mut made);
    }
    if kind == "combined" {
        made.subjects.is_combined = true;
        combined(dice, &mut made);
    } else {
        lines(dice, kind, &mut made);
    }
    if dice.chance(10) {
        // the last line without its end
        made.text.pop();
    }
    made
}

fn combined(dice: &mut Dice, made: &mut Generated) {
    for _ in 0..=dice.below(3) {
        let kind = dice.pick(&["ip4set", "ip4tset", "ip4trie", "ip6trie", "ip6tset", "dnset", "generic"]);
        let mut places = vec![*dice.pick_of(&["@", "a", "b", "x.y", "deep.a", "1", "com"])];
        if dice.chance(40) {
            places.push(*dice.pick_of(&["@", "a", "c", "z.y", "2.1"]));
        }
        let name = if dice.chance(30) { ":name" } else { "" };
        let _ = writeln!(made.text, "$DATASET {kind}{name} {}", places.join(" "));
        made.subjects.places.extend(places.iter().filter(|place| **place != "@").map(|place| (*place).to_owned()));
        if dice.chance(20) {
            let _ = writeln!(made.text, "$TTL {}", dice.pick(&["5", "1h", "77"]));
        }
        lines(dice, kind, made);
    }
}

fn specials(dice: &mut Dice, made: &mut Generated) {
    if dice.chance(10) {
        made.text.push_str("$TTL 900\n");
    }
    if dice.chance(70) {
        let ttl = dice.pick(&["0", "10", "1h", "9000"]);
        let serial = dice.pick(&["0", "7"]);
        let minimum = dice.pick(&["60", "1h", "20000"]);
        let _ = writeln!(made.text, "$SOA {ttl} Ns.Example. host.example {serial} 1h 2h 3d {minimum}");
        made.subjects.has_soa = true;
    }
    if dice.chance(60) {
        let names =
            dice.pick(&["ns1.example", "ns1.example ns2.example.", "-off.example ns3.example", "a.z0.test ns.z1.test"]);
        let _ = writeln!(made.text, "$NS {} {names}", dice.pick(&["0", "1d", "300"]));
        made.subjects.has_ns = true;
    }
    for (chance, line) in [
        (25, "$TTL 600"),
        (10, "$ttl 1h"),
        (15, "$1 one $ text"),
        (15, "#$2 two $1"),
        (8, ";$= base $= ($) $1"),
        (5, ":$= Other $$ $="),
        (5, "$FOO bar"),
        (3, "$TIMESTAMP 2020:01:01 2021-01-01"),
        (3, "$TIMESTAMP 20200101 +30000d"),
        (2, "$TIMESTAMP 2037:01:01"),
        (4, "$MAXRANGE4 /16"),
        (5, "# comment"),
    ] {
        if dice.chance(chance) {
            made.text.push_str(line);
            made.text.push('\n');
        }
    }
}

fn lines(dice: &mut Dice, kind: &'static str, made: &mut Generated) {
    made.subjects.has_ip4 |= kind.starts_with("ip4");
    // `::bad` is a bad default anywhere else
    made.subjects.ip6.extend((kind == "ip6trie").then_some(0xbad));
    for _ in 0..1 + dice.below(14) {
        if dice.chance(12) && kind != "generic" {
            let _ = writeln!(made.text, "{}", dice.pick(DEFAULTS));
        }
        if dice.chance(3) {
            made.text.push_str(dice.pick(&[
                "",
                "   ",
                "# x",
                "; x",
                "nonsense!",
                "1.2.3.4.5",
                "!",
                ":0:zero",
                "::x",
                "300.1.1.1",
            ]));
            made.text.push('\n');
            // in a list of names these are names
            made.subjects.names.extend(["nonsense!", "1.2.3.4.5", "300.1.1.1"].map(str::to_owned));
        }
        let mark = if kind != "generic" && kind != "ip4tset" && dice.chance(20) { "!" } else { "" };
        let key = match kind {
            "ip4set" => ip4set(dice, &mut made.subjects),
            "ip4trie" => prefix4(dice, &mut made.subjects),
            "ip4tset" => address4(dice, &mut made.subjects),
            "ip6trie" => prefix6(dice, &mut made.subjects),
            "ip6tset" => half6(dice, &mut made.subjects, !mark.is_empty()),
            "dnset" => dnset(dice, &mut made.subjects),
            _ => generic(dice, &mut made.subjects),
        };
        let value = if kind == "generic" || dice.chance(45) { "" } else { dice.pick(VALUES) };
        let _ = writeln!(made.text, "{mark}{key}{value}");
    }
}

fn octet(dice: &mut Dice) -> u8 {
    *dice.pick_of(&[0, 1, 1, 2, 3, 4, 10, 127, 128, 254, 255])
}

fn any4(dice: &mut Dice) -> u32 {
    u32::from_be_bytes([
        *dice.pick_of(&[1, 1, 10, 127, 255, 0]),
        *dice.pick_of(&[0, 1, 2, 255]),
        octet(dice),
        octet(dice),
    ])
}

fn address4(dice: &mut Dice, subjects: &mut Subjects) -> String {
    let address = any4(dice);
    subjects.range4(address, address);
    Ipv4Addr::from(address).to_string()
}

/// The first octets of an address as text.
fn short4(bits: u32, octets: u32) -> String {
    let all = bits.to_be_bytes();
    let text: Vec<String> = all[..octets as usize].iter().map(u8::to_string).collect();
    text.join(".")
}

fn prefix4(dice: &mut Dice, subjects: &mut Subjects) -> String {
    if dice.chance(30) {
        return address4(dice, subjects);
    }
    let length = *dice.pick_of(&[1, 7, 8, 9, 15, 16, 17, 20, 23, 24, 25, 29, 30, 31, 32, 0]);
    let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
    let bits = any4(dice) & mask;
    subjects.range4(bits, bits | !mask);
    match dice.below(5) {
        // with host bits, which only -e takes
        4 => format!("{}/{length}", Ipv4Addr::from(bits | any4(dice) & !mask)),
        0 if length == 16 || length == 24 => short4(bits, length / 8),
        1 if length > 0 => format!("{}/{length}", short4(bits, length.div_ceil(8))),
        _ => format!("{}/{length}", Ipv4Addr::from(bits)),
    }
}

fn ip4set(dice: &mut Dice, subjects: &mut Subjects) -> String {
    if dice.chance(60) {
        return prefix4(dice, subjects);
    }
    let (one, other) = (any4(dice), any4(dice));
    match dice.below(4) {
        0 => {
            let (first, last) = (one.min(other), one.max(other));
            subjects.range4(first, last);
            format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last))
        }
        1 => {
            let last = one & 0xffff_ff00 | other & 0xff;
            subjects.range4(one.min(last), one.max(last));
            format!("{}-{}", Ipv4Addr::from(one.min(last)), one.max(last) & 0xff)
        }
        2 => {
            let (first, last) = (one.min(other) & 0xffff_0000, one.max(other) | 0xffff);
            subjects.range4(first, last);
            format!("{}-{}", short4(first, 2), short4(last, 2))
        }
        _ => {
            let first = one & 0xffff_ff00;
            let last = one & 0xffff_0000 | other & 0xff00 | 0xff;
            if last < first {
                subjects.range4(one, one);
                return Ipv4Addr::from(one).to_string();
            }
            subjects.range4(first, last);
            format!("{}-{}", short4(first, 3), last >> 8 & 0xff)
        }
    }
}

fn word6(dice: &mut Dice) -> u16 {
    *dice.pick_of(&[0, 0, 1, 2, 0xdead, 0xffff, 0x8000])
}

fn any6(dice: &mut Dice) -> u128 {
    let mut words = [0_u16; 8].map(|_| word6(dice));
    words[0] = *dice.pick_of(&[0x2001, 0x2001, 0x2002, 0xfe80]);
    let bits = words.iter().fold(0, |bits: u128, &word| bits << 16 | u128::from(word));
    match dice.below(6) {
        // mapped and 6to4 addresses
        0 => 0xffff_0000_0000 | u128::from(any4(dice)),
        1 => 0x2002 << 112 | u128::from(any4(dice)) << 80 | bits & 0xffff,
        _ => bits,
    }
}

fn prefix6(dice: &mut Dice, subjects: &mut Subjects) -> String {
    let length = *dice.pick_of(&[128, 128, 64, 48, 32, 16, 127, 65, 63, 33, 96, 4, 1, 0]);
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    let bits = any6(dice) & mask;
    subjects.prefix6(bits, length);
    match dice.below(4) {
        0 if length == 128 => Ipv6Addr::from(bits).to_string(),
        1 if length.is_multiple_of(16) && length > 16 && length < 128 => {
            let words: Vec<String> =
                (0..length / 16).map(|word| format!("{:x}", bits >> (112 - 16 * word) & 0xffff)).collect();
            format!("{}/{length}", words.join(":"))
        }
        2 => format!("{}/{length}", Ipv6Addr::from(bits).to_string().to_uppercase()),
        3 if dice.chance(30) => format!("{}/{length}", Ipv6Addr::from(bits | any6(dice) & !mask)),
        _ => format!("{}/{length}", Ipv6Addr::from(bits)),
    }
}

fn half6(dice: &mut Dice, subjects: &mut Subjects, excluded: bool) -> String {
    let bits = any6(dice);
    if excluded {
        subjects.prefix6(bits, 128);
        return Ipv6Addr::from(bits).to_string();
    }
    subjects.prefix6(bits, 64);
    let words: Vec<String> = (0..4).map(|word| format!("{:x}", bits >> (112 - 16 * word) & 0xffff)).collect();
    words.join(":")
}

pub(super) fn name(dice: &mut Dice) -> String {
    let labels: Vec<&str> = (0..1 + dice.below(4))
        .map(|_| dice.pick(&["a", "b", "c", "com", "org", "www", "x1", "1", "2", "test"]))
        .collect();
    labels.join(".")
}

fn dnset(dice: &mut Dice, subjects: &mut Subjects) -> String {
    let name = name(dice);
    subjects.names.push(name.clone());
    let written = match dice.below(8) {
        0 => name.to_uppercase(),
        1 => format!("{name}."),
        2 => name.replacen('a', "\\097", 1),
        _ => name,
    };
    format!("{}{written}", dice.pick(&["", "", ".", ".", "*."]))
}

fn generic(dice: &mut Dice, subjects: &mut Subjects) -> String {
    let name = if dice.chance(25) { "@".to_owned() } else { name(dice) };
    if name != "@" {
        subjects.names.push(name.clone());
    }
    let ttl = dice.pick(&["", "", "5 ", "1h ", "0 "]);
    let class = dice.pick(&["", "", "IN "]);
    let data = dice.pick(&[
        "A 127.0.0.2",
        "A 10.2.3.4",
        "a 1.2",
        "TXT text here",
        "TXT \"quoted text\"",
        "txt \"one\" two",
        "MX 10 mx.example.",
        "MX 5 Mail.z0.test",
        "A x",
    ]);
    format!("{name} {ttl}{class}{data}")
}

/// An access list that names loopback addresses.
pub(super) fn acl(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..1 + dice.below(5) {
        let key =
            dice.pick(&["127.0.0.1", "127.0.0.2", "127.0.0.0/30", "127/8", "0/0", "::1", "0::/0", "10/8", "127.0.0.3"]);
        let action = dice.pick(&[
            ":ignore",
            ":refuse",
            ":empty",
            ":pass",
            "=pass",
            ":3:listed $",
            ":=refuse",
            " :4: always $1 $$",
            ":blackhole",
        ]);
        let _ = writeln!(text, "{key} {action}");
    }
    text
}

const DEFAULTS: &[&str] = &[
    ":127.0.0.2:Listed, see http://ex/?$",
    ":2:$",
    ":3:",
    ":4",
    ":10.20.30.40:any $1",
    ":5:text with $= and $2",
    ":0:bad",
    "::bad",
    ": 6 : spaced",
    ":1.2:two",
    ":300:bad",
];

const VALUES: &[&str] = &[
    " :5",
    " :6:",
    " own text",
    " own $ text $1 $9 $$",
    " :10.20.30.40:text $",
    ":9:glued $",
    "\t:7: tabbed",
    " =opted out $",
    " =opted $= out $",
    " # comment",
    " ; comment",
    " :8: # text",
    " :0:bad",
    " ::bad",
    " :1.2.3:three",
    " $=",
    " $",
    " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx$ yy",
];
