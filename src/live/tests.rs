//! The layers against a list of changes of which the longest that covers a subject decides, and the latest on ties.

use std::collections::BTreeSet;

use arrayvec::ArrayVec;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::dataset::{Defaults, Holds, NeverList};
use crate::dnsxl::key::{Alphabet, HashKind, KeyShape};
use crate::dnsxl::subject::{mask4, mask6};
use crate::dnsxl::{Block4, Block6, Name, QueryName};
use crate::feed::Scope;

const SHAPE: KeyShape = KeyShape { hash: HashKind::Md5, alphabet: Alphabet::Hex, characters: 8 };
const ALL: Kinds = Kinds { holds: Holds { ip4: true, ip6: true, names: true, hashes: None }, scope: Scope::Both };

fn by() -> By {
    By { who: "tester".into(), at: 1, reason: None }
}

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

fn parse(text: &str) -> Result<Subject, SubjectError> {
    Subject::parse(text, &ALL, &NeverList::with_own(&[]))
}

fn changes() -> Changes {
    Changes::new(Defaults::default(), NeverList::empty())
}

fn change(text: &str, effect: Effect) -> Change {
    Change { subject: parse(text).unwrap(), effect, expires: None, by: by() }
}

fn add(octet: u8) -> Effect {
    Effect::add(OwnedValue { a: Some([127, 0, 0, octet].into()), ..OwnedValue::default() })
}

/// A subject that a query can be about.
#[derive(Clone, Debug)]
enum Full {
    Ip4(u32),
    Ip6(u128),
    Name(Name),
    Hash(Subject),
}

/// The plain rule.
#[derive(Default)]
struct Naive(Vec<Held>);

impl Naive {
    fn apply(&mut self, number: u64, change: &Change) {
        if self.0.iter().any(|held| held.change.subject == change.subject && held.number >= number) {
            return;
        }
        self.0.retain(|held| held.change.subject != change.subject);
        self.0.push(Held { number, change: change.clone() });
    }

    fn decides(&self, full: &Full) -> Option<&Held> {
        let covering = self.0.iter().filter(|held| covers(&held.change.subject, full));
        covering.max_by_key(|held| (held.change.subject.rank(), held.number))
    }

    /// The subjects at which something may begin or end to be listed.
    fn edges(&self, all: &[Full]) -> Vec<Full> {
        let of_ip4 = |bits: u32, last: u32| [bits, last, bits.wrapping_sub(1), last.wrapping_add(1)].map(Full::Ip4);
        let of_ip6 = |bits: u128, last: u128| [bits, last, bits.wrapping_sub(1), last.wrapping_add(1)].map(Full::Ip6);
        let mut edges = all.to_vec();
        let below = |name: &Name| Full::Name(self::name("new").under(name).unwrap());
        edges.extend(all.iter().filter_map(|full| if let Full::Name(name) = full { Some(below(name)) } else { None }));
        for held in &self.0 {
            match &held.change.subject {
                &Subject::Ip4 { bits, length } => edges.extend(of_ip4(bits, bits | !mask4(length))),
                &Subject::Ip6 { bits, length } => edges.extend(of_ip6(bits, bits | !mask6(length))),
                Subject::Name { name, .. } => {
                    edges.push(Full::Name(name.clone()));
                    edges.push(below(name));
                }
                Subject::Hash { .. } => {}
            }
        }
        edges
    }
}

fn covers(subject: &Subject, full: &Full) -> bool {
    match (subject, full) {
        (Subject::Ip4 { bits, length }, Full::Ip4(address)) => address & mask4(*length) == *bits,
        (Subject::Ip6 { bits, length }, Full::Ip6(address)) => address & mask6(*length) == *bits,
        (Subject::Name { name, scope }, Full::Name(full)) => match full == name {
            true => *scope != Scope::Below,
            false => *scope != Scope::Exact && full.is_at_or_below(name),
        },
        (Subject::Hash { .. }, Full::Hash(full)) => subject == full,
        _ => false,
    }
}

/// What a layer decides, with what is told of it.
fn decided(layer: Option<&Layer>, full: &Full) -> Option<(bool, BTreeSet<Option<Ipv4Addr>>, u8, i64)> {
    let layer = layer?;
    let found = match full {
        Full::Ip4(address) => layer.ip4(*address),
        Full::Ip6(address) => layer.ip6(*address),
        Full::Name(name) => layer.name(QueryName::from(name).labels()),
        Full::Hash(Subject::Hash { key, .. }) => layer.hash(key.as_bytes()),
        Full::Hash(_) => None,
    };
    let Decided { hides, values, is_recent, depth, expires } = found?;
    let values = layer.values(is_recent).list(values).map(|value| value.a).collect();
    Some((hides, values, depth, expires))
}

fn expected(naive: &Naive, full: &Full) -> Option<(bool, BTreeSet<Option<Ipv4Addr>>, u8, i64)> {
    let Change { subject, effect, expires, .. } = &naive.decides(full)?.change;
    let depth = if matches!(full, Full::Name(_)) { subject.rank() } else { 0 };
    let says = effect.hides || !effect.values.is_empty();
    let values = effect.values.iter().map(|value| value.a).collect();
    says.then(|| (effect.hides, values, depth, expires.unwrap_or(i64::MAX)))
}

#[derive(Clone, Debug)]
enum Step {
    Apply {
        subject: Subject,
        effect: Effect,
        expires: Option<i64>,
    },
    /// Under a number that has been given before.
    Late {
        number: u64,
        subject: Subject,
    },
    Withdraw(u64),
    Expire(i64),
    BeginFold,
    TakeFold,
    GiveUpFold,
}

fn subjects() -> impl Strategy<Value = Subject> {
    let ip4 = (any::<u32>(), prop::sample::select(vec![1_u8, 8, 15, 16, 24, 30, 31, 32]))
        .prop_map(|(bits, length)| Subject::Ip4 { bits: (bits & 0x8001_0103) & mask4(length), length });
    let ip6 = (any::<u128>(), prop::sample::select(vec![1_u8, 32, 63, 64, 65, 127, 128])).prop_map(|(bits, length)| {
        Subject::Ip6 { bits: bits & (1 << 127 | 3 << 64 | 1 << 63 | 3) & mask6(length), length }
    });
    let scope = prop::sample::select(vec![Scope::Exact, Scope::Below, Scope::Both]);
    let names = (names(), scope).prop_map(|(name, scope)| Subject::Name { name, scope });
    prop_oneof![3 => ip4, 2 => ip6, 3 => names, 1 => hashes()]
}

fn names() -> impl Strategy<Value = Name> {
    vec(prop::sample::select(vec!["a", "b"]), 1..4).prop_map(|labels| name(&labels.join(".")))
}

fn hashes() -> impl Strategy<Value = Subject> {
    (0_u8..3).prop_map(|byte| Subject::Hash { key: SHAPE.cut(&[byte; 16]), shape: SHAPE })
}

fn effects() -> impl Strategy<Value = Effect> {
    let values = vec(1_u8..5, 0..3).prop_map(|octets| {
        let value = |octet: u8| OwnedValue { a: Some([127, 0, 0, octet].into()), ..OwnedValue::default() };
        octets.into_iter().map(value).collect::<Box<[_]>>()
    });
    (any::<bool>(), values).prop_map(|(hides, values)| Effect { hides, values })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let expires = prop::option::weighted(0.3, 0_i64..50);
    let step = prop_oneof![
        8 => (subjects(), effects(), expires).prop_map(|(subject, effect, expires)| {
            Step::Apply { subject, effect, expires }
        }),
        1 => (0_u64..40, subjects()).prop_map(|(number, subject)| Step::Late { number, subject }),
        3 => (0_u64..40).prop_map(Step::Withdraw),
        1 => (0_i64..50).prop_map(Step::Expire),
        2 => Just(Step::BeginFold),
        2 => Just(Step::TakeFold),
        1 => Just(Step::GiveUpFold),
    ];
    vec(step, 0..40)
}

fn fulls() -> Vec<Full> {
    let ip4 = (0..2_u32).flat_map(|a| [0, 1, 2, 3, 0x100, 0x101, 0x1_0000, 0x1_0103].map(|b| Full::Ip4(a << 31 | b)));
    let ip6 = (0..4_u128).flat_map(|a| [0, 1, 2, 3, 1 << 63].map(|b| Full::Ip6(a << 64 | b)));
    let labels = ["a", "b", "c"];
    let one = labels.map(str::to_owned).to_vec();
    let longer = |from: &[String]| -> Vec<String> {
        from.iter().flat_map(|name| labels.map(|label| format!("{label}.{name}"))).collect()
    };
    let (two, three) = (longer(&one), longer(&longer(&one)));
    let names = [one, two, longer(&three), three].concat().into_iter().map(|text| Full::Name(name(&text)));
    let hashes = (0..4_u8).map(|byte| Full::Hash(Subject::Hash { key: SHAPE.cut(&[byte; 16]), shape: SHAPE }));
    ip4.chain(ip6).chain(names).chain(hashes).collect()
}

/// Whether what exists below names is right: never too little, and, where nothing is out of date, never too much.
fn check_below(naive: &Naive, layer: &Layer, is_exact: bool, all: &[Full]) -> Result<(), TestCaseError> {
    let lists = |full: &Full| naive.decides(full).is_some_and(|held| !held.change.effect.values.is_empty());
    let listed: Vec<Full> = naive.edges(all).into_iter().filter(lists).collect();
    let check = |found: bool, any: bool, what: &dyn std::fmt::Debug| {
        prop_assert!(
            if is_exact { found == any } else { found || !any },
            "below {:?}: {} and not {}",
            what,
            found,
            any
        );
        Ok(())
    };
    for full in all {
        match full {
            Full::Ip4(address) => {
                for length in [0, 8, 16, 24] {
                    let block = Block4 { bits: address & mask4(length), length };
                    let inside = |full: &Full| covers(&block.into(), full);
                    check(layer.any_below_ip4(block), listed.iter().any(inside), &block)?;
                }
            }
            Full::Ip6(address) => {
                for length in [0, 4, 64, 68, 124] {
                    let block = Block6 { bits: address & mask6(length), length };
                    let inside = |full: &Full| covers(&block.into(), full);
                    check(layer.any_below_ip6(block), listed.iter().any(inside), &block)?;
                }
            }
            Full::Name(above) => {
                let inside =
                    |full: &Full| matches!(full, Full::Name(name) if name != above && name.is_at_or_below(above));
                let found = layer.any_below_name(QueryName::from(above).labels());
                check(found, listed.iter().any(inside), above)?;
            }
            Full::Hash(_) => {}
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_longest_change_decides_whatever_was_folded(steps in steps()) {
        let (mut changes, mut naive, all) = (changes(), Naive::default(), fulls());
        let (mut number, mut fold) = (0, None);
        for step in steps {
            match step {
                Step::Apply { subject, effect, expires } => {
                    number += 1;
                    let change = Change { subject, effect, expires, by: by() };
                    changes.apply(number, change.clone()).unwrap();
                    naive.apply(number, &change);
                }
                Step::Late { number: late, subject } => {
                    // a number means one change for ever, so that it comes again as it was or not at all
                    let change = Change { subject, effect: add(9), expires: None, by: by() };
                    if late <= number && !naive.0.iter().any(|held| held.number == late) {
                        changes.apply(late, change.clone()).unwrap();
                        naive.apply(late, &change);
                    }
                }
                Step::Withdraw(number) => {
                    let known = naive.0.iter().any(|held| held.number == number);
                    prop_assert_eq!(changes.withdraw(number), known);
                    naive.0.retain(|held| held.number != number);
                }
                Step::Expire(now) => {
                    let ends = |held: &Held| held.change.expires.is_some_and(|expires| expires <= now);
                    prop_assert_eq!(changes.expire(now), naive.0.iter().any(ends));
                    naive.0.retain(|held| !ends(held));
                }
                Step::BeginFold => {
                    if let Some(begun) = changes.begin_fold_at(1) {
                        prop_assert!(fold.is_none());
                        fold = Some(begun);
                    }
                }
                Step::TakeFold => {
                    if let Some(fold) = fold.take() {
                        changes.take_fold(fold.build().unwrap());
                    }
                }
                Step::GiveUpFold => {
                    if fold.take().is_some() {
                        changes.give_up_fold();
                    }
                }
            }
            prop_assert_eq!(changes.next_expiry(), naive.0.iter().filter_map(|held| held.change.expires).min());
            prop_assert_eq!(changes.len(), naive.0.len());
            let layer = changes.layer().unwrap();
            prop_assert_eq!(layer.is_some(), !naive.0.is_empty());
            for full in naive.edges(&all) {
                prop_assert_eq!(decided(layer.as_deref(), &full), expected(&naive, &full), "{:?}", full);
                let subject = match &full {
                    Full::Ip4(bits) => Subject::Ip4 { bits: *bits, length: 32 },
                    Full::Ip6(bits) => Subject::Ip6 { bits: *bits, length: 128 },
                    Full::Name(name) => Subject::Name { name: name.clone(), scope: Scope::Exact },
                    Full::Hash(subject) => subject.clone(),
                };
                prop_assert_eq!(changes.find(&subject), naive.decides(&full), "{:?}", full);
            }
            if let Some(layer) = layer {
                check_below(&naive, &layer, changes.has_one_level(), &all)?;
            }
        }
    }

    #[test]
    fn a_subject_is_read_again_as_it_is_written(subject in subjects()) {
        let hashes = Kinds { holds: Holds { hashes: Some(SHAPE), ..Holds::default() }, ..ALL };
        let kinds = if matches!(subject, Subject::Hash { .. }) { &hashes } else { &ALL };
        prop_assert_eq!(Subject::parse(&subject.to_string(), kinds, &NeverList::empty()), Ok(subject));
    }
}

#[test]
fn subjects_are_read_as_a_plain_list_reads_them() {
    let of_name = |text: &str, scope| Subject::Name { name: name(text), scope };
    for (text, subject) in [
        ("192.0.2.7", Subject::Ip4 { bits: 0xc000_0207, length: 32 }),
        ("192.0.2.7/24", Subject::Ip4 { bits: 0xc000_0200, length: 24 }),
        ("192.0.2.0-192.0.2.255", Subject::Ip4 { bits: 0xc000_0200, length: 24 }),
        ("::ffff:192.0.2.7", Subject::Ip4 { bits: 0xc000_0207, length: 32 }),
        ("::ffff:192.0.2.0/120", Subject::Ip4 { bits: 0xc000_0200, length: 24 }),
        ("2001:DB8::/32", Subject::Ip6 { bits: 0x2001_0db8 << 96, length: 32 }),
        ("Spam.Example.", of_name("spam.example", Scope::Both)),
        (".spam.example", of_name("spam.example", Scope::Both)),
        ("*.spam.example", of_name("spam.example", Scope::Below)),
        ("=spam.example", of_name("spam.example", Scope::Exact)),
        ("b\u{fc}cher.example", of_name("xn--bcher-kva.example", Scope::Both)),
        ("https://spam.example:8080/x?y", of_name("spam.example", Scope::Both)),
        ("http://192.0.2.7/x", Subject::Ip4 { bits: 0xc000_0207, length: 32 }),
        ("127.0.0.2", Subject::Ip4 { bits: 0x7f00_0002, length: 32 }),
    ] {
        assert_eq!(parse(text), Ok(subject), "{text}");
    }
}

#[test]
fn what_is_no_subject_or_must_not_be_changed_is_told() {
    for (text, why) in [
        ("", "is no subject: write an address"),
        ("192.0.2.7 x", "is no subject"),
        ("!192.0.2.7", "is no subject"),
        ("# x", "is no subject"),
        ("192.0.2.7\n192.0.2.8", "is no subject"),
        ("=192.0.2.7", "is no subject"),
        ("word", "is a single word"),
        ("192.0.2.256", "is no address"),
        ("192.0.2.1-192.0.2.4", "a range that is no prefix"),
        ("0.0.0.0/0", "0.0.0.0/0 is every address: refused"),
        ("::/0", "::/0 is every address: refused"),
        ("127.0.0.1", "127.0.0.1 is on the never-list: loopback"),
        ("10.1.0.0/16", "10.1.0.0/16 is on the never-list: private"),
        ("::ffff:8.8.8.8", "8.8.8.8 is on the never-list: public resolver"),
        (".invalid", ".invalid is on the never-list"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let ip4 = Kinds { holds: Holds { ip4: true, ..Holds::default() }, ..ALL };
    for text in ["spam.example", "2001:db8::1"] {
        let error = Subject::parse(text, &ip4, &NeverList::empty()).unwrap_err();
        assert_eq!(error.to_string(), format!("{text}: the dataset holds IPv4 addresses: change another dataset"));
    }
}

#[test]
fn a_list_of_hashes_is_told_a_key_or_what_to_hash() {
    let kinds = Kinds { holds: Holds { hashes: Some(SHAPE), ..Holds::default() }, ..ALL };
    let parse = |text: &str| Subject::parse(text, &kinds, &NeverList::empty()).map(|subject| subject.to_string());
    let of = |hashed: &str| Subject::Hash { key: SHAPE.hash(hashed.as_bytes()), shape: SHAPE }.to_string();
    for (text, hashed) in [
        ("HTTP://Spam.example:80/a b", "spam.example/a%20b"),
        ("spam.example/a", "spam.example/a"),
        ("Someone@Spam.Example", "someone@spam.example"),
        ("Spam.example", "spam.example"),
    ] {
        assert_eq!(parse(text), Ok(of(hashed)), "{text}");
    }
    assert_eq!(parse("900150983CD24FB0d6963f7d28e17f72").as_deref(), Ok("90015098"), "MD5 of abc");
    assert_eq!(parse("90015098").as_deref(), Ok("90015098"));
    for wrong in ["abc", "@spam.example", "a b@spam.example", ""] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_no_list_may_list_is_cut_out_of_a_wider_addition() {
    let mut changes = Changes::new(Defaults::default(), NeverList::with_own(&[]));
    changes.apply(1, change("8.8.8.0/24", add(2))).unwrap();
    changes.apply(2, change("127.0.0.3", add(3))).unwrap();
    for fold in [false, true] {
        if let Some(begun) = fold.then(|| changes.begin_fold_at(1).unwrap()) {
            changes.take_fold(begun.build().unwrap());
        }
        let layer = changes.layer().unwrap().unwrap();
        assert!(layer.ip4(0x0808_0807).is_some() && layer.ip4(0x0808_0809).is_some());
        assert_eq!(layer.ip4(0x0808_0808), None);
        assert!(layer.ip4(0x7f00_0003).is_some(), "a test entry may be listed");
    }
}

#[test]
fn values_take_what_they_leave_open_from_the_dataset() {
    let text: Box<[u8]> = (*b"see https://list.example/$").into();
    let defaults = Defaults { a: [127, 0, 0, 7].into(), text: Some(text), ttl: Some(30), ..Defaults::default() };
    let mut changes = Changes::new(defaults, NeverList::empty());
    changes.apply(1, change("192.0.2.1", Effect::add(OwnedValue::default()))).unwrap();
    let own = OwnedValue { a: Some([127, 0, 0, 9].into()), text: Some((*b"own $ $$5").into()), ttl: Some(5) };
    changes.apply(2, change("192.0.2.2", Effect::replace([own]))).unwrap();
    let layer = changes.layer().unwrap().unwrap();
    let told = |address: u32| {
        let found = layer.ip4(address).unwrap();
        let value = layer.values(found.is_recent).list(found.values).next().unwrap();
        let mut text = ArrayVec::new();
        value.text.unwrap().render(b"SUBJECT", &mut text);
        (value.a.unwrap().octets()[3], value.ttl, String::from_utf8(text.to_vec()).unwrap())
    };
    assert_eq!(told(0xc000_0201), (7, Some(30), "see https://list.example/SUBJECT".to_owned()));
    assert_eq!(told(0xc000_0202), (9, Some(5), "own SUBJECT $5".to_owned()));
}

#[test]
fn an_older_change_does_not_take_the_place_of_a_newer_one() {
    let mut changes = changes();
    changes.apply(7, change("192.0.2.1", add(7))).unwrap();
    changes.apply(3, change("192.0.2.1", add(3))).unwrap();
    changes.apply(7, change("192.0.2.1", add(7))).unwrap();
    assert_eq!(changes.iter().map(|held| held.number).collect::<Vec<_>>(), [7]);
    assert!(!changes.withdraw(3) && changes.withdraw(7) && changes.is_empty());
    assert!(changes.layer().unwrap().is_none());
}

#[test]
fn a_layer_stays_the_same_until_something_changes() {
    let mut changes = changes();
    changes.apply(1, change("192.0.2.1", add(1))).unwrap();
    let first = changes.layer().unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &changes.layer().unwrap().unwrap()));
    changes.apply(2, change("192.0.2.2", add(1))).unwrap();
    assert!(!Arc::ptr_eq(&first, &changes.layer().unwrap().unwrap()));
    assert!(first.ip4(0xc000_0202).is_none(), "a layer never changes");
}

/// Prints how long building takes; `cargo test --release --lib live:: -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute: prints times"]
fn building_layers_takes_as_long() {
    let mut changes = changes();
    let timed = |what: &str, begun: std::time::Instant| eprintln!("{what}: {:?}", begun.elapsed());
    let subject = |n: u32| match n % 4 {
        0 => Subject::Name { name: name(&format!("n{n}.example")), scope: Scope::Both },
        1 => Subject::Ip6 { bits: u128::from(n.wrapping_mul(0x9e37_79b9)) << 64, length: 64 },
        _ => Subject::Ip4 { bits: n.wrapping_mul(0x9e37_79b9), length: 32 },
    };
    let apply = |changes: &mut Changes, range: std::ops::Range<u32>| {
        for n in range {
            let expires = Some(2_000_000_000 + i64::from(n / 100));
            let change = Change { subject: subject(n), effect: add((n % 250) as u8), expires, by: by() };
            changes.apply(n.into(), change).unwrap();
        }
    };
    let begun = std::time::Instant::now();
    apply(&mut changes, 0..1_000_000);
    timed("1,000,000 changes applied", begun);
    let begun = std::time::Instant::now();
    let fold = changes.begin_fold().unwrap();
    timed("a fold of them begun", begun);
    let begun = std::time::Instant::now();
    let folded = fold.build().unwrap();
    timed("built", begun);
    changes.take_fold(folded);
    apply(&mut changes, 1_000_000..1_000_000 + FOLD_AT as u32);
    let begun = std::time::Instant::now();
    let layer = changes.layer().unwrap().unwrap();
    timed("a layer with FOLD_AT recent changes", begun);
    eprintln!("{} bytes", layer.bytes());
}
