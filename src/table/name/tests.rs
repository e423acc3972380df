use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::dnsxl::{Name, QueryName};

/// The model: a map from wire names, searched from the longest suffix.
type Model = BTreeMap<Vec<u8>, NameKey>;

fn build(model: &Model) -> Names {
    Names::build(model.iter().map(|(wire, key)| (&**wire, *key)))
}

fn find(model: &Model, labels: Labels<'_>) -> FoundName {
    let count = labels.count();
    let Some((depth, key)) = (0..=count).rev().find_map(|n| Some((n, model.get(labels.suffix(n))?))) else {
        return FoundName::default();
    };
    let is_key = depth == count;
    let (value, depth) = if is_key { (key.here, key.here_depth) } else { (key.below, key.below_depth) };
    let depth = if value.is_listed() { depth } else { 0 };
    FoundName { value, depth, any_below: key.below.is_listed() || is_key && key.deeper }
}

fn check(names: &Names, model: &Model, wire: &[u8]) {
    let query = QueryName::from(&Name::from_wire(wire).unwrap());
    let expected = find(model, query.labels());
    assert_eq!(names.find(query.labels()), expected, "{query:?}");
    let hashes = names.hashes(query.labels());
    names.prefetch(&hashes);
    assert_eq!(names.find_hashed(query.labels(), &hashes), expected, "{query:?}, announced");
}

/// Names of few short labels, so that they have much in common.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof!["[ab]", "[a-c]{1,2}", "[a-z0-9]{1,63}"];
    prop::collection::vec(label, 0..5).prop_map(|labels| {
        labels.iter().flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).collect()
    })
}

fn key() -> impl Strategy<Value = NameKey> {
    let value = || prop_oneof![Just(0_u32), 1_u32..4, Just(MAX_VALUES)].prop_map(ValueId);
    (value(), any::<u8>(), value(), any::<u8>(), any::<bool>()).prop_map(
        |(here, here_depth, below, below_depth, deeper)| NameKey { here, here_depth, below, below_depth, deeper },
    )
}

/// Closes keys under parents and brings depths into range.
fn close(keys: Vec<(Vec<u8>, NameKey)>) -> Model {
    let mut model = Model::new();
    for (wire, key) in keys {
        let name = Name::from_wire(&wire).unwrap();
        let depth = name.label_count() as u8;
        let within = |of: u8| if of <= depth { of.max(1).min(depth) } else { 1 + of % depth.max(1) }.min(depth);
        let key = NameKey { here_depth: within(key.here_depth), below_depth: within(key.below_depth), ..key };
        model.insert(wire, key);
        let mut ancestor = name;
        while !ancestor.is_root() {
            ancestor = ancestor.parent();
            model.entry(ancestor.as_wire().to_vec()).or_insert_with(|| NameKey { deeper: true, ..NameKey::default() });
        }
    }
    model
}

proptest! {
    #[test]
    fn agrees_with_the_model(
        keys in prop::collection::vec((wire(), key()), 0..60),
        others in prop::collection::vec(wire(), 0..60),
    ) {
        let model = close(keys);
        let names = build(&model);
        prop_assert_eq!(names.is_empty(), model.is_empty());
        for wire in model.keys().chain(&others) {
            check(&names, &model, wire);
            let below = [b"\x01a\x03xyz", &**wire].concat();
            if below.len() <= name::MAX_WIRE {
                check(&names, &model, &below);
                check(&names, &model, &below[2..]);
            }
        }
        let backwards = model.iter().rev().map(|(wire, key)| (&**wire, *key));
        prop_assert_eq!(Names::build(backwards), names);
    }
}

/// Wire names of two labels: `n<number>` under `zone`.
fn numbered(numbers: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    numbers.map(|number| {
        let label = format!("name{number:06}");
        [&[label.len() as u8], label.as_bytes(), b"\x04zone"].concat()
    })
}

fn whole(wire: Vec<u8>, value: u32) -> (Vec<u8>, NameKey) {
    let (value, depth) = (ValueId(value), name::labels(&wire).count() as u8);
    (wire, NameKey { here: value, here_depth: depth, below: value, below_depth: depth, deeper: false })
}

#[test]
fn fingerprints_that_meet_are_reseeded() {
    let model = close(numbered(0..200).map(|wire| whole(wire, 1)).collect());
    let keys = model.iter().map(|(wire, key)| (&**wire, *key));
    let names = Names::build_masked(keys.clone(), 0xff);
    assert_ne!(names.seed, Names::build(keys).seed);
    model.keys().for_each(|wire| check(&names, &model, wire));
    numbered(200..400).for_each(|wire| check(&names, &model, &wire));
}

#[test]
fn a_name_given_twice_ends() {
    let keys = [(&b""[..], NameKey::default()), (&b"\x01a"[..], whole(b"\x01a".to_vec(), 1).1)];
    let twice = [keys[0], keys[1], keys[1]];
    assert_eq!(Names::build(twice.into_iter()).listed(), 2);
}

#[test]
fn every_name_may_have_its_own_value() {
    // more combinations than 16 bits count
    let model = close(numbered(0..70_000).zip(1..).map(|(wire, value)| whole(wire, value)).collect());
    let names = build(&model);
    model.keys().for_each(|wire| check(&names, &model, wire));
    numbered(70_000..71_000).for_each(|wire| check(&names, &model, &wire));
    assert_eq!(names.listed(), 70_000);
    let per_name = names.bytes() as f64 / 70_000.0;
    assert!(per_name < 28.0, "{per_name}");
}

#[test]
fn names_are_dense() {
    let model = close(numbered(0..1_000_000).zip(0..).map(|(wire, value)| whole(wire, 1 + value % 250)).collect());
    let names = build(&model);
    let per_name = names.bytes() as f64 / 1_000_000.0;
    assert!(per_name < 15.2, "{per_name}");
    assert_eq!(names.listed(), 1_000_000);
    model.keys().step_by(101).for_each(|wire| check(&names, &model, wire));
}

#[test]
fn small_sets_are_small() {
    assert_eq!(build(&Model::new()), Names::default());
    assert_eq!(Names::default().bytes(), 0);
    let names = build(&close(numbered(0..5).map(|wire| whole(wire, 1)).collect()));
    assert!(names.bytes() < 200, "{}", names.bytes());
}

/// Fixed-width names `<number in hexadecimal>.d<0–255>` back to back, with their parents and the root.
struct Blob(Vec<u8>);

impl Blob {
    fn new(count: u32) -> Self {
        let mut blob = Vec::with_capacity(count as usize * BLOB_NAME);
        for number in 0..count {
            let scattered = number.wrapping_mul(2_654_435_769);
            blob.extend(format!("\x08{scattered:08x}\x03d{:02x}", scattered % 256).bytes());
        }
        Self(blob)
    }

    fn keys(&self) -> impl Iterator<Item = (&[u8], NameKey)> + Clone {
        let one = ValueId(1);
        let whole = NameKey { here: one, here_depth: 2, below: one, below_depth: 2, deeper: false };
        let ancestor = NameKey { deeper: true, ..NameKey::default() };
        // the last label has 256 forms
        let mut seen: Vec<_> = self.0.chunks_exact(BLOB_NAME).take(4096).map(|wire| &wire[9..]).collect();
        seen.sort_unstable();
        seen.dedup();
        let names = self.0.chunks_exact(BLOB_NAME).map(move |wire| (wire, whole));
        names.chain(seen.into_iter().chain([&[][..]]).map(move |wire| (wire, ancestor)))
    }
}

/// Prints what the figures of the project are taken from.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn figures() {
    for count in [1_000_000, 10_000_000, 100_000_000] {
        let blob = Blob::new(count);
        let begin = Instant::now();
        let names = Names::build(blob.keys());
        let build = begin.elapsed();
        let queries: Vec<_> = (0..PROBES)
            .map(|n| {
                let at = n.wrapping_mul(11_400_714_819_323_198_485) % count as usize * BLOB_NAME;
                let mut wire = blob.0[at..at + BLOB_NAME].to_vec();
                // half of them are not listed
                wire[1] = if n % 2 == 0 { wire[1] } else { b'x' };
                QueryName::from(&Name::from_wire(&wire).unwrap())
            })
            .collect();
        let begin = Instant::now();
        let found = queries.iter().filter(|query| names.find(query.labels()).value.is_listed()).count();
        eprintln!(
            "{count}: {:.3} bytes a name, built in {build:.1?}, {} ns a find; {found}",
            names.bytes() as f64 / f64::from(count),
            begin.elapsed().as_nanos() / PROBES as u128,
        );
    }
}

const BLOB_NAME: usize = 13;
const PROBES: usize = 1_000_000;
