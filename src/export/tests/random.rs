//! Random zones of all kinds: the file must answer as we do.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::evaluate::{MasterFile, Said};
use super::*;
use crate::answer::{Outcome, Transport, respond};
use crate::dataset::Holds;
use crate::feed::Scope;
use crate::live::{By, Change, Effect, Kinds, OwnedValue};
use crate::reload::Store;
use crate::snapshot::Snapshot;

/// What we answer, as the file would have it; nothing for NXDOMAIN.
fn answered(snapshot: &Snapshot, name: &str, rtype: u16) -> Option<BTreeSet<String>> {
    let mut query = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    Name::parse(format!("{name}.bl.example").as_bytes()).unwrap().write_wire(&mut query);
    query.extend([0, rtype as u8, 0, 1]);
    let mut out = vec![0; 65_535];
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let outcome = respond(snapshot, &query, client, Transport::Stream, UnixTime(0), &mut out);
    let Outcome::Reply { length, summary } = outcome else { panic!("no reply") };
    if summary.rcode == 3 {
        return None;
    }
    assert_eq!(summary.rcode, 0, "{name}");
    let mut rest = &out[query.len()..length];
    let mut data = BTreeSet::new();
    for _ in 0..summary.answers {
        // a pointer to the question, type, class, TTL, length
        let end = 12 + usize::from(u16::from_be_bytes([rest[10], rest[11]]));
        let mut text = String::new();
        rdata::write_record(rtype, &rest[12..end], &mut text).unwrap();
        data.insert(text.split_once('\t').unwrap().1.to_owned());
        rest = &rest[end..];
    }
    Some(data)
}

/// Compares the file with the answers at subjects in their own forms.
fn compare(lists: &[(Format, String)], subjects: &[String], choice: Choice, tests: TestEntries, options: Options) {
    compare_with(lists, &[], &[], subjects, choice, tests, options);
}

/// The same, with lists of what is allowed, and live changes over all lists in turn.
fn compare_with(
    lists: &[(Format, String)],
    allow: &[(Format, String)],
    live: &[(String, Effect)],
    subjects: &[String],
    choice: Choice,
    tests: TestEntries,
    options: Options,
) {
    let folder = tempfile::tempdir().unwrap();
    let borrowed: Vec<(Format, &str)> =
        lists.iter().chain(allow).map(|(format, text)| (*format, text.as_str())).collect();
    let mut plan = plan(folder.path(), &borrowed, choice);
    plan.zones[0].datasets.truncate(lists.len());
    plan.zones[0].allow = (lists.len()..borrowed.len()).collect();
    plan.zones[0].spec.test_entries = tests;
    let changes = |dataset: usize| -> Vec<Changes> {
        let mut changes = Changes::new(Defaults::default(), NeverList::empty());
        let kinds = Kinds { holds: Holds { ip4: true, ip6: true, names: true, hashes: None }, scope: Scope::Both };
        for (number, (text, effect)) in (0..).zip(live).skip(dataset).step_by(borrowed.len()) {
            let subject = Subject::parse(text, &kinds, &NeverList::empty()).unwrap();
            let by = By { who: "test".into(), at: 0, reason: None };
            changes.apply(number, Change { subject, effect: effect.clone(), expires: None, by }).unwrap();
        }
        vec![changes]
    };
    let (text, _) = written_with(&plan, options, changes);
    let file = MasterFile::read(&text);
    let mut store = Store::new(plan);
    store.load(UnixTime(0));
    for dataset in 0..borrowed.len() {
        let layers = changes(dataset).iter_mut().filter_map(|changes| changes.layer().unwrap()).collect();
        store.lay(dataset, layers);
    }
    let snapshot = store.snapshot().unwrap();
    // an excluded name under a wildcard is there, and has nothing
    let has_names = lists.iter().chain(allow).any(|(format, _)| matches!(format, Format::Dnset | Format::Combined))
        || live.iter().any(|(text, _)| text.starts_with(['=', '*']) || text.starts_with('.'));
    for subject in subjects {
        for (rtype, mnemonic) in [(1, "A"), (16, "TXT")] {
            let theirs = file.ask(subject, mnemonic);
            let ours = answered(&snapshot, subject, rtype);
            let is_same = match &ours {
                // above what is allowed or removed nothing need be there, and something may
                Some(data) if data.is_empty() && theirs == Said::NxDomain => !allow.is_empty() || !live.is_empty(),
                Some(data) => matches!(&theirs, Said::Data(found) if found == data),
                None => theirs == Said::NxDomain || has_names && theirs == Said::Data(BTreeSet::new()),
            };
            assert!(
                is_same,
                "{subject} {mnemonic}: {ours:?} and {theirs:?}\n{lists:?} but {allow:?} and {live:?}\n{text}"
            );
        }
    }
}

fn name4(address: u32) -> String {
    let [a, b, c, d] = address.to_be_bytes();
    format!("{d}.{c}.{b}.{a}")
}

fn name6(address: u128) -> String {
    let nibbles = (0..32).map(|index| format!("{:x}", address >> (4 * index) & 0xf));
    nibbles.collect::<Vec<_>>().join(".")
}

/// Values; those with `$` only where it comes out exactly.
fn value(is_exact: bool) -> impl Strategy<Value = &'static str> {
    let plain = prop_oneof![Just(""), Just(":3:why"), Just(":4:"), Just(":5:\"q\" \\ ;"), Just(":2:other")];
    if is_exact { prop_oneof![plain, Just(":2:see $"), Just(":6:$ and $")].boxed() } else { plain.boxed() }
}

fn address4() -> impl Strategy<Value = u32> {
    let octet = || prop_oneof![Just(0_u8), Just(1), Just(9), Just(10), Just(255), any::<u8>()];
    let first = prop_oneof![Just(1_u8), Just(192), Just(9)];
    (first, octet(), octet(), octet()).prop_map(|(a, b, c, d)| u32::from_be_bytes([a, b, c, d]))
}

fn address6() -> impl Strategy<Value = u128> {
    let nibble = prop_oneof![8 => Just(0_u8), 1 => Just(1), 1 => Just(15)];
    (1_u128..3, proptest::collection::vec(nibble, 31))
        .prop_map(|(first, nibbles)| nibbles.iter().fold(first, |bits, nibble| bits << 4 | u128::from(*nibble)))
}

/// A list, and subjects in and beside its entries.
type Listed = (Format, String, Vec<String>);

fn list4(expand: bool) -> impl Strategy<Value = Listed> {
    let length = prop_oneof![3 => Just(32_u32), 2 => 22_u32..32, 2 => Just(24), 1 => Just(16), 1 => 12_u32..24];
    let length = if expand { (24_u32..=32).boxed() } else { length.boxed() };
    let entry = (address4(), length).prop_flat_map(move |(address, length)| {
        let mask = u32::MAX << (32 - length);
        (Just(address & mask), Just(length), proptest::bool::weighted(0.2), value(expand || length == 32))
    });
    (any::<bool>(), proptest::collection::vec(entry, 1..8)).prop_map(|(is_set, entries)| {
        let (mut text, mut subjects) = (String::new(), Vec::new());
        for (bits, length, excluded, value) in entries {
            let mark = if excluded { "!" } else { "" };
            text += &format!("{mark}{}/{length} {value}\n", Ipv4Addr::from(bits));
            let last = bits | u32::MAX.checked_shr(length).unwrap_or(0);
            let probes = [bits, last, bits.wrapping_sub(1), last.wrapping_add(1), bits / 2 + last / 2, bits ^ 0x0100];
            subjects.extend(probes.map(name4));
        }
        (if is_set { Format::Ip4Set } else { Format::Ip4Trie }, text, subjects)
    })
}

fn list6() -> impl Strategy<Value = Listed> {
    let length = prop_oneof![3 => Just(128_u32), 2 => Just(64), 1 => 14_u32..40, 1 => 40_u32..128];
    let entry = (address6(), length).prop_flat_map(|(address, length)| {
        let mask = u128::MAX << (128 - length);
        (Just(address & mask), Just(length), proptest::bool::weighted(0.2), value(length == 128))
    });
    proptest::collection::vec(entry, 1..6).prop_map(|entries| {
        let (mut text, mut subjects) = (String::new(), Vec::new());
        for (bits, length, excluded, value) in entries {
            let mark = if excluded { "!" } else { "" };
            text += &format!("{mark}{}/{length} {value}\n", Ipv6Addr::from(bits));
            let last = bits | u128::MAX.checked_shr(length).unwrap_or(0);
            let probes = [bits, last, bits.wrapping_sub(1), last.wrapping_add(1), bits / 2 + last / 2, bits ^ 0x0100];
            // mapped and 6to4 addresses are not in a file
            let is_own = |&bits: &u128| bits >> 32 != 0xffff && bits >> 112 != 0x2002;
            subjects.extend(probes.into_iter().filter(is_own).map(name6));
        }
        (Format::Ip6Trie, text, subjects)
    })
}

fn name() -> impl Strategy<Value = String> {
    let label = prop_oneof![Just("a"), Just("b"), Just("c.d"), Just("1"), Just("test"), Just("192")];
    proptest::collection::vec(label, 1..5).prop_map(|labels| labels.join("."))
}

/// Domain names end in no number, and what does is in an address's wildcard or not as it comes.
fn is_domain(name: &str) -> bool {
    name.ends_with(|last: char| last.is_ascii_alphabetic())
}

fn list_of_names() -> impl Strategy<Value = Listed> {
    let mark = prop_oneof![Just(""), Just("."), Just("*."), Just("!"), Just("!."), Just("!*.")];
    let entry = (mark, name(), value(true));
    let lists = (proptest::collection::vec(entry, 1..8), proptest::collection::vec(name(), 6));
    lists.prop_map(|(entries, mut subjects)| {
        let mut text = String::new();
        for (mark, name, value) in entries {
            text += &format!("{mark}{name} {value}\n");
            subjects.extend([format!("x.{name}"), format!("y.x.{name}"), format!("a.{name}"), name]);
        }
        subjects.retain(|name| is_domain(name));
        (Format::Dnset, text, subjects)
    })
}

fn records() -> impl Strategy<Value = Listed> {
    let data = prop_oneof![Just("A 192.0.2.7"), Just("60 A 192.0.2.8"), Just("TXT \"some \"text\""), Just("MX 1 a.b")];
    proptest::collection::vec((name(), data), 1..4).prop_map(|entries| {
        let (mut text, mut subjects) = (String::new(), Vec::new());
        for (name, data) in entries {
            text += &format!("{name} {data}\n");
            subjects.extend([format!("x.{name}"), name]);
        }
        subjects.retain(|name| is_domain(name));
        (Format::Generic, text, subjects)
    })
}

/// Addresses and names in sections of one list, below names of their own.
fn sections() -> impl Strategy<Value = Listed> {
    (list4(false), list_of_names()).prop_map(|((format, text, subjects4), (_, names, subjects))| {
        let format = if format == Format::Ip4Set { "ip4set" } else { "ip4trie" };
        let text = format!("$DATASET {format} @ zz\n{text}$DATASET dnset b.zz c\n{names}");
        let mut all: Vec<String> = subjects4.iter().flat_map(|name| [format!("{name}.zz"), name.clone()]).collect();
        all.extend(subjects.iter().flat_map(|name| [format!("{name}.b.zz"), format!("{name}.c")]));
        (Format::Combined, text, all)
    })
}

/// A live change, with subjects in and beside it.
fn change() -> impl Strategy<Value = (String, Effect, Vec<String>)> {
    let ip4 = (address4(), prop_oneof![Just(32_u32), Just(24), 16_u32..32]).prop_map(|(address, length)| {
        let bits = address & u32::MAX << (32 - length);
        let last = bits | u32::MAX.checked_shr(length).unwrap_or(0);
        let subjects = [bits, last, bits.wrapping_sub(1), last.wrapping_add(1), bits ^ 0x0100].map(name4);
        (format!("{}/{length}", Ipv4Addr::from(bits)), subjects.to_vec())
    });
    let ip6 = (address6(), prop_oneof![Just(128_u32), Just(64), 16_u32..128]).prop_map(|(address, length)| {
        let bits = address & u128::MAX << (128 - length);
        let last = bits | u128::MAX.checked_shr(length).unwrap_or(0);
        let is_own = |&bits: &u128| bits >> 32 != 0xffff && bits >> 112 != 0x2002;
        let subjects = [bits, last, bits.wrapping_sub(1), last.wrapping_add(1)].into_iter().filter(is_own).map(name6);
        (format!("{}/{length}", Ipv6Addr::from(bits)), subjects.collect())
    });
    let names = (prop_oneof![Just("="), Just("."), Just("*.")], name().prop_filter("a domain", |name| is_domain(name)))
        .prop_map(|(mark, name)| {
            let subjects = [format!("x.{name}"), format!("y.x.{name}"), format!("a.{name}"), name.clone()];
            (format!("{mark}{name}"), subjects.to_vec())
        });
    let values = prop_oneof![Just(None), Just(Some("live")), Just(Some("=plain"))].prop_map(|text| {
        let text = text.map(|text| text.as_bytes().into());
        OwnedValue { a: Some([127, 0, 0, 40].into()), text, ttl: None }
    });
    let effect = (any::<bool>(), proptest::collection::vec(values, 0..2))
        .prop_map(|(hides, values)| Effect { hides, values: values.into() });
    (prop_oneof![3 => ip4, 1 => ip6, 3 => names], effect)
        .prop_map(|((text, subjects), effect)| (text, effect, subjects))
}

fn zone() -> impl Strategy<Value = (Vec<(Format, String)>, Vec<String>)> {
    let list = prop_oneof![
        3 => list4(false).boxed(),
        3 => list6().boxed(),
        3 => list_of_names().boxed(),
        1 => records().boxed(),
        1 => sections().boxed(),
    ];
    proptest::collection::vec(list, 1..4).prop_map(|lists| {
        let mut subjects: Vec<String> = lists.iter().flat_map(|list| list.2.clone()).collect();
        subjects.extend([name4(0x7f00_0002), "test".to_owned()]);
        (lists.into_iter().map(|(format, text, _)| (format, text)).collect(), subjects)
    })
}

proptest! {
    #[test]
    fn a_master_file_answers_as_we_do(
        (lists, subjects) in zone(),
        choice in prop_oneof![Just(Choice::All), Just(Choice::One), Just(Choice::Or)],
        synthesised: bool,
    ) {
        let tests = if synthesised { TestEntries::Synthesised } else { TestEntries::AsWritten };
        compare(&lists, &subjects, choice, tests, Options::default());
    }

    #[test]
    fn a_master_file_leaves_out_what_is_allowed(
        (lists, subjects) in zone(),
        allow in proptest::collection::vec(prop_oneof![list4(false), list6(), list_of_names()], 1..3),
        choice in prop_oneof![Just(Choice::All), Just(Choice::One), Just(Choice::Or)],
        synthesised: bool,
    ) {
        let tests = if synthesised { TestEntries::Synthesised } else { TestEntries::AsWritten };
        let subjects: Vec<String> = subjects.into_iter().chain(allow.iter().flat_map(|list| list.2.clone())).collect();
        let allow: Vec<_> = allow.into_iter().map(|(format, text, _)| (format, text)).collect();
        compare_with(&lists, &allow, &[], &subjects, choice, tests, Options::default());
    }

    #[test]
    fn a_master_file_has_live_changes_in_it(
        (lists, subjects) in zone(),
        allow in proptest::option::weighted(0.3, prop_oneof![list4(false), list_of_names()]),
        changes in proptest::collection::vec(change(), 1..8),
        choice in prop_oneof![Just(Choice::All), Just(Choice::One), Just(Choice::Or)],
        synthesised: bool,
    ) {
        let tests = if synthesised { TestEntries::Synthesised } else { TestEntries::AsWritten };
        let mut all = subjects;
        changes.iter().for_each(|(_, _, subjects)| all.extend(subjects.clone()));
        let live: Vec<_> = changes.into_iter().map(|(text, effect, _)| (text, effect)).collect();
        let allow: Vec<_> = allow.into_iter().map(|(format, text, subjects)| {
            all.extend(subjects);
            (format, text)
        }).collect();
        compare_with(&lists, &allow, &live, &all, choice, tests, Options::default());
    }

    #[test]
    fn an_expanded_file_has_every_text_exactly(lists in proptest::collection::vec(list4(true), 1..3)) {
        let subjects: Vec<String> = lists.iter().flat_map(|list| list.2.clone()).collect();
        let lists: Vec<_> = lists.into_iter().map(|(format, text, _)| (format, text)).collect();
        compare(&lists, &subjects, Choice::All, TestEntries::AsWritten, Options { expand: true });
    }
}
