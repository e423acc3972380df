//! Live changes and allow lists as they are answered: zones with layers, against the same zones without.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use infamy::answer::Transport;
use infamy::dataset::{Defaults, NeverList};
use infamy::dnsxl::Name;
use infamy::dnsxl::key::{Alphabet, HashKind, KeyShape};
use infamy::feed::{Format, Scope};
use infamy::live::{By, Change, Changes, Effect, Kinds, Layer, OwnedValue, Subject};
use infamy::reload::Store;
use infamy::zone::{Choice, TestEntries, UnixTime};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::wire::{Message, Query, TYPE_A, TYPE_TXT};
use crate::world::{self, NOW, World, ZONE_TTL};

#[test]
fn an_addition_joins_a_removal_hides_and_the_longest_change_decides() {
    let mut store = one(Format::Plain, "192.0.2.0/24\nspam.example\n2001:db8::/32\n");
    lay(&mut store, 0, &[("192.0.2.0/25", remove()), ("192.0.2.7", add(7)), ("198.51.100.0/24", add(8))]);
    assert_eq!(answers(&mut store, "200.2.0.192"), ["2"]);
    assert_eq!(answers(&mut store, "1.2.0.192"), [""; 0], "removed");
    assert_eq!(answers(&mut store, "7.2.0.192"), ["2", "7"], "the longest decides alone, and joins");
    assert_eq!(answers(&mut store, "9.100.51.198"), ["8"]);
    assert_eq!(rcode(&mut store, "100.51.198"), 0, "there is something below");
    assert_eq!(rcode(&mut store, "101.51.198"), 3);
    assert_eq!(answers(&mut store, "spam.example"), ["2"]);
    lay(&mut store, 0, &[(".spam.example", remove()), ("=good.spam.example", replace(&[3, 4]))]);
    assert_eq!(answers(&mut store, "spam.example"), [""; 0]);
    assert_eq!(answers(&mut store, "x.spam.example"), [""; 0]);
    assert_eq!(answers(&mut store, "good.spam.example"), ["3", "4"]);
    assert_eq!(rcode(&mut store, "spam.example"), 0, "there is something below");
    assert_eq!(answers(&mut store, "1.2.0.192"), ["2"], "the layer before is gone");
    lay(&mut store, 0, &[("2001:db8:1::/48", remove()), ("2001:db8:1::5", add(6))]);
    let ip6 = |last: &str| format!("{last}{}1.0.0.0.8.b.d.0.1.0.0.2", "0.".repeat(19));
    assert_eq!(answers(&mut store, &ip6("5.")), ["2", "6"]);
    assert_eq!(answers(&mut store, &ip6("6.")), [""; 0]);
}

#[test]
fn a_live_listing_lives_for_a_minute_and_not_beyond_its_end() {
    let mut store = one(Format::Plain, "192.0.2.0/24\n");
    let mut changes = changes();
    let ends = |seconds: i64| Some(NOW.0 + seconds);
    for (number, (subject, expires, ttl)) in (1..).zip([
        ("198.51.100.1", None, None),
        ("198.51.100.2", ends(30), None),
        ("198.51.100.3", ends(0), None),
        ("198.51.100.4", ends(3600), Some(7)),
        ("192.0.2.5", ends(20), None),
    ]) {
        let value = OwnedValue { ttl, ..OwnedValue::default() };
        changes.apply(number, Change { expires, ..change(subject, Effect::add(value)) }).unwrap();
    }
    store.lay(0, changes.layer().unwrap().into_iter().collect());
    let mut ttl = |name: &str| ask(&mut store, name, TYPE_A).sections[0][0].ttl;
    assert_eq!(ttl("1.100.51.198"), 60);
    assert_eq!(ttl("2.100.51.198"), 30);
    assert_eq!(ttl("3.100.51.198"), 1, "what has ended and is still there is not cached");
    assert_eq!(ttl("4.100.51.198"), 7);
    assert_eq!(ttl("5.2.0.192"), 20, "one set has one TTL");
    assert_eq!(ttl("6.2.0.192"), ZONE_TTL);
}

#[test]
fn a_text_names_the_subject_as_in_a_list() {
    let mut store = one(Format::Plain, "");
    let text = |text: &str| Effect::add(OwnedValue { text: Some(text.as_bytes().into()), ..OwnedValue::default() });
    lay(&mut store, 0, &[("192.0.2.0/24", text("net $")), (".spam.example", text("name $"))]);
    let mut text = |name: &str| ask(&mut store, name, TYPE_TXT).sections[0][0].data.clone();
    assert_eq!(text("7.2.0.192"), "\"net 192.0.2.7\"");
    assert_eq!(text("www.spam.example"), "\"name spam.example\"");
}

#[test]
fn an_empty_list_is_about_what_is_added_to_it() {
    let mut world = World::new();
    let list = world.dataset("list", Format::Plain, "");
    world.zone("bl.example", &[(list, ".")]);
    let (_, mut store) = world.store();
    assert_eq!(rcode(&mut store, "2.0.0.127"), 3);
    lay(&mut store, 0, &[("192.0.2.1", add(9))]);
    assert_eq!(answers(&mut store, "2.0.0.127"), ["2"], "RFC 5782, section 5");
    assert_eq!(answers(&mut store, &mapped("192.0.2.1")), ["9"], "beside IPv4, a mapped address is that one");
    lay(&mut store, 0, &[("127.0.0.2", add(9)), ("spam.example", add(3))]);
    assert_eq!(answers(&mut store, "2.0.0.127"), ["9"], "the data is not silent");
    assert_eq!(answers(&mut store, "test"), ["2"]);
    lay(&mut store, 0, &[("127.0.0.2", remove())]);
    assert_eq!(rcode(&mut store, "2.0.0.127"), 3, "nothing is about IPv4 now");
}

#[test]
fn a_test_entry_that_is_removed_is_the_zones() {
    let mut world = World::new();
    let list = world.dataset("list", Format::Plain, "127.0.0.2\n192.0.2.1\n");
    world.plan.datasets[list].defaults.a = [127, 0, 0, 5].into();
    world.zone("bl.example", &[(list, ".")]);
    let (_, mut store) = world.store();
    assert_eq!(answers(&mut store, "2.0.0.127"), ["5"]);
    lay(&mut store, 0, &[("127.0.0.2", remove())]);
    assert_eq!(answers(&mut store, "2.0.0.127"), ["2"]);
}

#[test]
fn of_several_parts_the_first_lists_and_all_hide() {
    let mut world = World::new();
    let text =
        "$DATASET dnset:n names\nspam.example\n$DATASET ip4set:a one\n192.0.2.1\n$DATASET ip4set:b two\n192.0.2.1\n";
    let list = world.dataset("list", Format::Combined, text);
    world.zone("bl.example", &[(list, "."), (list, "again")]).spec.test_entries = TestEntries::AsWritten;
    let (_, mut store) = world.store();
    lay(&mut store, 0, &[("198.51.100.1", add(7)), ("192.0.2.1", remove())]);
    assert_eq!(answers(&mut store, "1.100.51.198.one"), ["7"]);
    assert_eq!(answers(&mut store, "1.100.51.198.one.again"), ["7"]);
    assert_eq!(answers(&mut store, "1.100.51.198.two"), [""; 0]);
    assert_eq!(answers(&mut store, "1.100.51.198.names"), [""; 0]);
    for place in ["one", "two", "one.again", "two.again"] {
        assert_eq!(answers(&mut store, &format!("1.2.0.192.{place}")), [""; 0], "{place}");
    }
}

#[test]
fn choices_count_a_change_as_the_datasets_own() {
    let build = |choice| {
        let mut world = World::new();
        let first = world.dataset("first", Format::Plain, "192.0.2.1\n");
        let second = world.dataset("second", Format::Plain, "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
        world.plan.datasets[second].defaults.a = [127, 0, 0, 8].into();
        world.zone("bl.example", &[(first, "."), (second, ".")]).spec.choice = choice;
        let (_, mut store) = world.store();
        lay(&mut store, 0, &[("192.0.2.1", remove()), ("192.0.2.2", add(4))]);
        store
    };
    let mut one = build(Choice::One);
    assert_eq!(answers(&mut one, "1.2.0.192"), ["8"], "the first lists it no more");
    assert_eq!(answers(&mut one, "2.2.0.192"), ["4"]);
    assert_eq!(answers(&mut build(Choice::Or), "2.2.0.192"), ["12"]);
    assert_eq!(answers(&mut build(Choice::All), "2.2.0.192"), ["4", "8"]);
}

#[test]
fn a_layer_lies_over_the_one_below_it() {
    let mut store = one(Format::Plain, "192.0.2.0/24\n");
    let lower = layer(&[("192.0.2.0/24", replace(&[5])), ("198.51.100.1", add(6)), ("192.0.2.8", remove())]);
    let upper = layer(&[("192.0.2.0/28", remove()), ("192.0.2.200", add(7)), ("198.51.100.1", replace(&[8]))]);
    store.lay(0, vec![lower, upper]);
    assert_eq!(answers(&mut store, "1.2.0.192"), [""; 0], "the upper one hides what the longer one below says");
    assert_eq!(answers(&mut store, "8.2.0.192"), [""; 0]);
    assert_eq!(answers(&mut store, "100.2.0.192"), ["5"]);
    assert_eq!(answers(&mut store, "200.2.0.192"), ["5", "7"]);
    assert_eq!(answers(&mut store, "1.100.51.198"), ["8"]);
}

#[test]
fn serials_move_with_live_changes() {
    let mut store = one(Format::Plain, "192.0.2.0/24\n");
    let serial = |store: &mut Store| store.snapshot().unwrap().zones()[0].soa.serial;
    let first = serial(&mut store);
    lay(&mut store, 0, &[("192.0.2.1", remove())]);
    let second = serial(&mut store);
    assert!(second > first);
    assert_eq!(serial(&mut store), second);
}

#[test]
fn what_is_allowed_is_listed_by_nothing() {
    let key = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 32 };
    let mut world = World::new();
    let list = world.dataset("list", Format::Plain, "192.0.2.0/24\n127.0.0.2\n.example\n2001:db8::/32\n");
    let hashes = world.dataset("hashes", Format::Hashes, "5d41402abc4b2a76b9719d911017c592\n");
    let good = world.dataset("good", Format::Plain, "192.0.2.16/28\n127.0.0.0/8\n.good.example\n2001:db8::7\n");
    let keys = world.dataset("keys", Format::Hashes, "5d41402abc4b2a76b9719d911017c592\n");
    for index in [hashes, keys] {
        world.plan.datasets[index].reading.key = Some(key);
    }
    world.zone("bl.example", &[(list, "."), (list, "sub"), (hashes, ".")]).allow = vec![good, keys];
    world.zone("all.example", &[(list, "."), (hashes, ".")]);
    let (_, mut store) = world.store();
    lay(&mut store, list, &[("192.0.2.17", add(9)), ("a.good.example", add(9)), ("198.51.100.0/24", add(9))]);
    let ip6 = |last: char| format!("{last}.{}8.b.d.0.1.0.0.2", "0.".repeat(23));
    for name in [
        "17.2.0.192",
        "17.2.0.192.sub",
        "a.good.example",
        "good.example",
        &ip6('7'),
        "5d41402abc4b2a76b9719d911017c592",
    ] {
        assert_eq!(answers(&mut store, name), [""; 0], "{name}");
        let in_other = ask_at(&mut store, name.trim_end_matches(".sub"), "all.example", TYPE_A);
        assert!(!in_other.sections[0].is_empty(), "{name}: another zone has no such list");
    }
    assert_eq!(answers(&mut store, &mapped("192.0.2.17")), [""; 0], "nor in another form");
    for (name, octet) in [("1.2.0.192", "2"), ("bad.example", "2"), (&ip6('8'), "2"), ("2.0.0.127", "2"), ("test", "2")]
    {
        assert_eq!(answers(&mut store, name), [octet], "{name}");
    }
    assert_eq!(answers(&mut store, "7.100.51.198"), ["9"]);
    lay(&mut store, good, &[("198.51.100.7", add(2)), ("192.0.2.17", remove())]);
    assert_eq!(answers(&mut store, "7.100.51.198"), [""; 0], "what is added to an allow list is allowed");
    assert_eq!(answers(&mut store, "17.2.0.192"), ["2", "9"], "and no more, when it is removed from there");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(world::cases(60)) })]

    /// What is listed is what the same zone without changes lists, as the longest change leaves it; and names above
    /// listings exist.
    #[test]
    fn answers_are_the_lists_with_the_longest_change_laid_over(
        lines in vec((0_u8..4, 0_u8..16, prop::sample::select(vec![24_u8, 28, 30, 32])), 0..6),
        names in vec((prop::sample::select(vec!["", ".", "*."]), name_strategy()), 0..5),
        changes in vec((any_subject(), any::<bool>(), vec(3_u8..6, 0..3)), 0..10),
    ) {
        let mut text: String = lines.iter().map(|(c, d, length)| format!("192.0.{c}.{}/{length}\n", d * 16)).collect();
        names.iter().for_each(|(mark, name)| text += &format!("{}{name}\n", if mark.is_empty() { "." } else { mark }));
        let mut store = one(Format::Plain, &text);
        let plain = store.snapshot().unwrap();
        let mut naive: Vec<(Subject, Effect)> = Vec::new();
        let mut all = self::changes();
        for (number, (subject, hides, octets)) in (1..).zip(changes) {
            let effect = Effect { hides, values: octets.iter().map(|octet| value(*octet)).collect() };
            naive.retain(|(known, _)| *known != subject);
            naive.push((subject.clone(), effect.clone()));
            all.apply(number, Change { subject, effect, expires: None, by: by() }).unwrap();
        }
        store.lay(0, all.layer().unwrap().into_iter().collect());
        let live = store.snapshot().unwrap();
        let mut listed = Vec::new();
        let addresses: Vec<(String, Full)> = (0..5_u8).flat_map(|c| (0..64_u8).map(move |d| {
            let d = d.wrapping_mul(4).wrapping_add(d % 3);
            (format!("{d}.{c}.0.192"), Full::Address(u32::from_be_bytes([192, 0, c, d])))
        })).collect();
        let names = ["a", "b", "x", "a.a", "b.a", "x.b", "a.b.a", "x.a.a", "b.x.a"]
            .map(|name| (format!("{name}.example"), Full::Name(self::name(&format!("{name}.example")))));
        for (text, full) in addresses.iter().chain(&names) {
            let before = octets(&ask_in(&plain, text, "bl.example", TYPE_A));
            // later changes stand behind earlier ones, and of equal lengths the last is taken
            let decides = naive.iter().filter(|(subject, _)| full.is_covered_by(subject)).max_by_key(|(subject, _)| rank(subject));
            let mut expected: BTreeSet<String> = before.into_iter().collect();
            if let Some((_, effect)) = decides {
                if effect.hides {
                    expected.clear();
                }
                expected.extend(effect.values.iter().map(|value| value.a.unwrap().octets()[3].to_string()));
            }
            let answer = ask_in(&live, text, "bl.example", TYPE_A);
            let found: BTreeSet<String> = octets(&answer).into_iter().collect();
            prop_assert_eq!(&found, &expected, "{} with {:?} in\n{}", text, naive, store_text(&lines));
            prop_assert_eq!(answer.rcode() == 0 || expected.is_empty(), true);
            if !expected.is_empty() {
                listed.push(text.clone());
            }
        }
        for name in listed {
            let mut above = &*name;
            while let Some((_, rest)) = above.split_once('.') {
                above = rest;
                prop_assert_eq!(ask_in(&live, above, "bl.example", TYPE_A).rcode(), 0, "{} above {}", above, name);
            }
        }
    }
}

/// A subject that a query is about.
#[derive(Debug)]
enum Full {
    Address(u32),
    Name(Name),
}

impl Full {
    fn is_covered_by(&self, subject: &Subject) -> bool {
        match (self, subject) {
            (Self::Address(address), Subject::Ip4 { bits, length }) => {
                (address ^ bits).leading_zeros() >= (*length).into()
            }
            (Self::Name(full), Subject::Name { name, scope }) => match full == name {
                true => *scope != Scope::Below,
                false => *scope != Scope::Exact && full.is_at_or_below(name),
            },
            _ => false,
        }
    }
}

fn rank(subject: &Subject) -> usize {
    match subject {
        Subject::Ip4 { length, .. } | Subject::Ip6 { length, .. } => (*length).into(),
        Subject::Name { name, .. } => name.label_count(),
        Subject::Hash { .. } => 0,
    }
}

fn name_strategy() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b"]), 1..3).prop_map(|labels| labels.join(".") + ".example")
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let addresses = (0_u8..4, any::<u8>(), prop::sample::select(vec![22_u8, 24, 27, 30, 31, 32]))
        .prop_map(|(c, d, length)| format!("192.0.{c}.{d}/{length}"));
    let names =
        (prop::sample::select(vec!["=", ".", "*."]), name_strategy()).prop_map(|(mark, name)| mark.to_owned() + &name);
    prop_oneof![addresses, names].prop_map(|text| subject(&text))
}

fn store_text(lines: &[(u8, u8, u8)]) -> String {
    format!("{lines:?}")
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn by() -> By {
    By { who: "tester".into(), at: NOW.0, reason: None }
}

fn value(octet: u8) -> OwnedValue {
    OwnedValue { a: Some([127, 0, 0, octet].into()), ..OwnedValue::default() }
}

fn add(octet: u8) -> Effect {
    Effect::add(value(octet))
}

fn replace(octets: &[u8]) -> Effect {
    Effect::replace(octets.iter().map(|octet| value(*octet)).collect::<Vec<_>>())
}

fn remove() -> Effect {
    Effect::remove()
}

fn subject(text: &str) -> Subject {
    let (list, store) = {
        let mut world = World::new();
        let list = world.dataset("list", Format::Plain, "");
        (list, world.store().1)
    };
    let kinds = Kinds::of(&store.plan().datasets[list], None);
    Subject::parse(text, &kinds, &NeverList::empty()).unwrap()
}

fn change(text: &str, effect: Effect) -> Change {
    Change { subject: subject(text), effect, expires: None, by: by() }
}

fn changes() -> Changes {
    Changes::new(Defaults::default(), NeverList::empty())
}

fn layer(all: &[(&str, Effect)]) -> Arc<Layer> {
    let mut changes = changes();
    for (number, (text, effect)) in (1..).zip(all) {
        changes.apply(number, change(text, effect.clone())).unwrap();
    }
    changes.layer().unwrap().unwrap()
}

fn lay(store: &mut Store, dataset: usize, all: &[(&str, Effect)]) {
    store.lay(dataset, vec![layer(all)]);
}

/// One list in one zone.
fn one(format: Format, text: &str) -> Store {
    let mut world = World::new();
    let list = world.dataset("list", format, text);
    world.zone("bl.example", &[(list, ".")]).spec.test_entries = TestEntries::AsWritten;
    let (problems, store) = world.store();
    assert_eq!(problems, [""; 0]);
    store
}

fn ask_in(snapshot: &infamy::snapshot::Snapshot, name: &str, zone: &str, qtype: u16) -> Message {
    let query = Query::new(&format!("{name}.{zone}"), qtype).bytes();
    let client = IpAddr::from([198, 51, 100, 7]);
    let reply = world::ask(snapshot, &query, client, Transport::Stream, UnixTime(NOW.0)).unwrap();
    Message::read(&reply).unwrap()
}

fn ask_at(store: &mut Store, name: &str, zone: &str, qtype: u16) -> Message {
    ask_in(&store.snapshot().unwrap(), name, zone, qtype)
}

fn ask(store: &mut Store, name: &str, qtype: u16) -> Message {
    ask_at(store, name, "bl.example", qtype)
}

fn rcode(store: &mut Store, name: &str) -> u16 {
    ask(store, name, TYPE_A).rcode()
}

/// The last octets of the A records that are answered, sorted.
fn answers(store: &mut Store, name: &str) -> Vec<String> {
    octets(&ask(store, name, TYPE_A))
}

fn octets(message: &Message) -> Vec<String> {
    let last = |data: &str| data.rsplit('.').next().unwrap().to_owned();
    let mut all: Vec<String> = message.sections[0].iter().map(|record| last(&record.data)).collect();
    all.sort_by_key(|octet| octet.parse::<u8>().unwrap());
    all
}

/// The labels that ask about an IPv4 address in IPv6 form.
fn mapped(address: &str) -> String {
    let bits = address.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().to_bits();
    (0..32).map(|index| format!("{:x}", bits >> (4 * index) & 0xf)).collect::<Vec<_>>().join(".")
}
