//! RFC 8020 and RFC 9156 for lists made by chance: a name exists if and only if something is listed at or below it.
//!
//! What is listed is read off the server's own answers for whole subjects; where a list can change from one subject to
//! the next is known from its lines, so that a few whole subjects below a name tell of all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use infamy::answer::Transport;
use infamy::feed::Format;
use infamy::snapshot::Snapshot;
use infamy::zone::TestEntries;
use proptest::prelude::*;

use crate::wire::{Message, Query, TYPE_A};
use crate::world::{self, NOW, World};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(world::cases(150)) })]

    #[test]
    fn octets_exist_where_an_address_below_them_is_listed(
        lines in proptest::collection::vec((0_usize..6, any::<u32>(), 1_u8..=32, any::<bool>()), 1..8),
        is_trie in any::<bool>(),
        chance in any::<u32>(),
    ) {
        // few bases, so that blocks nest
        let base = |index: usize| [0x0102_0304, 0x0102_0380, 0x0102_ff00, 0x0900_0000, 0xfffe_fdfc, 0x0102_0000][index];
        let blocks: Vec<(u32, u8, bool)> = lines.iter().map(|&(index, noise, length, is_excluded)| {
            let mask = u32::MAX << (32 - length);
            ((base(index) ^ noise & 0x0000_0101) & mask, length, is_excluded)
        }).collect();
        let text: String = blocks.iter().map(|(bits, length, is_excluded)| {
            format!("{}{}/{length}\n", if *is_excluded { "!" } else { "" }, Ipv4Addr::from(*bits))
        }).collect();
        let snapshot = snapshot(if is_trie { Format::Ip4Trie } else { Format::Ip4Set }, &text);
        let mut points = vec![chance];
        for (bits, length, _) in &blocks {
            let last = bits | !(u32::MAX << (32 - length));
            points.extend([*bits, last, bits.wrapping_sub(1), last.wrapping_add(1)]);
        }
        // `0` and `2` are nibbles above mapped and 6to4 addresses too, and exist as such
        for &point in points.iter().filter(|&&point| !matches!(point >> 24, 0 | 2)) {
            for octets in 1..=3_u32 {
                let shift = 32 - 8 * octets;
                let first = point >> shift << shift;
                let inside = points.iter().copied().filter(|other| other >> shift == point >> shift);
                let is_listed = |address: u32| rcode(&snapshot, &reversed4(address, 4)) == 0;
                let exists = is_listed(first) || inside.into_iter().any(is_listed);
                let name = reversed4(point, octets);
                prop_assert_eq!(rcode(&snapshot, &name) == 0, exists, "{} in\n{}", name, text);
            }
        }
    }

    #[test]
    fn nibbles_exist_where_an_address_below_them_is_listed(
        lines in proptest::collection::vec((0_usize..5, any::<u128>(), 1_u8..=128, any::<bool>()), 1..8),
        chance in any::<u128>(),
    ) {
        let base = |index: usize| [
            0x2001_0db8_0001_0002_0003_0004_0005_0006,
            0x2001_0db8_0001_0002_0003_0004_0005_ffff,
            0x2001_0db8_ffff_0000_0000_0000_0000_0000,
            0,
            u128::MAX,
        ][index];
        let blocks: Vec<(u128, u8, bool)> = lines.iter().map(|&(index, noise, length, is_excluded)| {
            let mask = u128::MAX << (128 - length);
            ((base(index) ^ noise & (1 << 64 | 1)) & mask, length, is_excluded)
        }).collect();
        let text: String = blocks.iter().map(|(bits, length, is_excluded)| {
            let words = Ipv6Addr::from(*bits).segments().map(|word| format!("{word:x}")).join(":");
            format!("{}{words}/{length}\n", if *is_excluded { "!" } else { "" })
        }).collect();
        let snapshot = snapshot(Format::Ip6Trie, &text);
        let mut points = vec![chance];
        for (bits, length, _) in &blocks {
            let last = bits | !(u128::MAX << (128 - length));
            points.extend([*bits, last, bits.wrapping_sub(1), last.wrapping_add(1)]);
        }
        for &point in &points {
            for nibbles in 1..=31_u32 {
                let shift = 128 - 4 * nibbles;
                let first = point >> shift << shift;
                let inside = points.iter().copied().filter(|other| other >> shift == point >> shift);
                let is_listed = |address: u128| rcode(&snapshot, &reversed6(address, 32)) == 0;
                let exists = is_listed(first) || inside.into_iter().any(is_listed);
                let name = reversed6(point, nibbles);
                prop_assert_eq!(rcode(&snapshot, &name) == 0, exists, "{} in\n{}", name, text);
            }
        }
    }

    #[test]
    fn names_exist_where_a_name_at_or_below_them_has_an_address(
        lines in proptest::collection::vec((proptest::collection::vec("[ab]", 1..5), 0_u8..6), 1..8),
    ) {
        let text: String = lines.iter().map(|(labels, kind)| {
            let front = ["", "*.", ".", "!", "!*.", "!."][usize::from(*kind)];
            format!("{front}{}\n", labels.join("."))
        }).collect();
        let snapshot = snapshot(Format::Dnset, &text);
        // all names of up to five labels, of which the lines have at most four; `c` stands for whatever they have not
        let mut names: Vec<Vec<&str>> = vec![Vec::new()];
        for depth in 0..5 {
            let longer = names.iter().filter(|name| name.len() == depth).flat_map(|name| {
                ["a", "b", "c"].map(|label| [&[label][..], name].concat())
            });
            let longer: Vec<_> = longer.collect();
            names.extend(longer);
        }
        let answers: Vec<(String, u16, bool)> = names[1..].iter().map(|name| {
            let name = name.join(".");
            let (rcode, is_listed) = ask(&snapshot, &name);
            (name, rcode, is_listed)
        }).collect();
        for (name, rcode, _) in answers.iter().filter(|(name, ..)| name.len() < 9) {
            let below = format!(".{name}");
            let exists = answers.iter().any(|(other, _, listed)| *listed && (other == name || other.ends_with(&below)));
            prop_assert_eq!(*rcode == 0, exists, "{} in\n{}", name, text);
        }
    }
}

fn snapshot(format: Format, text: &str) -> Snapshot {
    let mut world = World::new();
    let list = world.dataset("list", format, text);
    world.zone("bl.example", &[(list, ".")]).spec.test_entries = TestEntries::AsWritten;
    // lines that say the same are reported, and do no harm
    world.load().1
}

/// The last `octets` labels of an address's name: its first octets.
fn reversed4(address: u32, octets: u32) -> String {
    let labels: Vec<String> = (4 - octets..4).map(|at| (address >> (8 * at) & 0xff).to_string()).collect();
    labels.join(".")
}

fn reversed6(address: u128, nibbles: u32) -> String {
    let labels: Vec<String> = (32 - nibbles..32).map(|at| format!("{:x}", address >> (4 * at) & 0xf)).collect();
    labels.join(".")
}

fn rcode(snapshot: &Snapshot, name: &str) -> u16 {
    ask(snapshot, name).0
}

/// The RCODE for A records, and whether there are any.
fn ask(snapshot: &Snapshot, name: &str) -> (u16, bool) {
    let query = Query::new(&format!("{name}.bl.example"), TYPE_A).bytes();
    let reply = Message::read(&world::ask(snapshot, &query, CLIENT, Transport::Udp, NOW).unwrap()).unwrap();
    (reply.rcode(), !reply.sections[0].is_empty())
}

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
