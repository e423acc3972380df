use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// The model: disjoint prefixes in a vector.
struct Model(Vec<Prefix6>);

impl Model {
    /// Takes those entries that overlap none taken before.
    fn of(entries: &[(u128, u8, u32)]) -> Self {
        let mut taken: Vec<Prefix6> = Vec::new();
        for &(bits, length, value) in entries {
            let bits = bits & mask6(length);
            let is_apart = |other: &Prefix6| {
                let common = mask6(length.min(other.length));
                bits & common != other.bits & common
            };
            if taken.iter().all(is_apart) {
                taken.push(Prefix6 { bits, length, value: ValueId(value) });
            }
        }
        taken.sort_by_key(|prefix| prefix.bits);
        Self(taken)
    }

    fn find(&self, address: u128) -> ValueId {
        let holds = |prefix: &&Prefix6| address & mask6(prefix.length) == prefix.bits;
        self.0.iter().find(holds).map_or(ValueId::NONE, |prefix| prefix.value)
    }

    fn any_below(&self, block: Block6) -> bool {
        self.0.iter().any(|prefix| {
            let common = mask6(prefix.length.min(block.length));
            prefix.bits & common == block.bits & common
        })
    }

    /// The content as few prefixes: siblings of one value become their parent until there are none.
    fn reduced(&self) -> Vec<Prefix6> {
        let mut prefixes = self.0.clone();
        let is_pair = |pair: &[Prefix6]| {
            let [left, right] = pair else { return false };
            let above = mask6(left.length.saturating_sub(1));
            left.length > 0
                && left.length == right.length
                && left.value == right.value
                && left.bits & above == right.bits & above
        };
        while let Some(at) = prefixes.windows(2).position(is_pair) {
            prefixes.remove(at + 1);
            prefixes[at].length -= 1;
        }
        prefixes
    }

    fn check(&self, others: &[u128]) {
        let table = Ip6::build(self.0.iter().copied());
        let reduced = self.reduced();
        assert_eq!(table.prefixes().collect::<Vec<_>>(), reduced);
        assert_eq!(table.listed_prefixes(), reduced.len() as u64);
        assert_eq!(table, Ip6::build(reduced.into_iter()), "equal content, equal bytes");
        assert_eq!(table.is_empty(), self.0.is_empty());
        let edges = self.0.iter().flat_map(|prefix| {
            let last = prefix.bits | !mask6(prefix.length);
            [prefix.bits.wrapping_sub(1), prefix.bits, prefix.bits | 1, last, last.wrapping_add(1)]
        });
        for address in edges.chain(others.iter().copied()).chain([0, 1, u128::MAX]) {
            table.prefetch(address);
            table.prefetch_leaf(address);
            assert_eq!(table.find(address), self.find(address), "{address:032x}");
            for length in (0..=128).step_by(4) {
                let block = Block6 { bits: address & mask6(length), length };
                assert_eq!(table.any_below(block), self.any_below(block), "{block:032x?}");
            }
        }
    }
}

/// Numbers that look random and are the same every time (splitmix64).
fn random(seed: u64) -> impl Iterator<Item = u64> + Clone {
    (seed << 40..).map(move |n: u64| {
        let mut bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    })
}

/// /64s as lists have them: a few thousand providers' /32s, customers anywhere in them.
fn customers(count: usize) -> Vec<u64> {
    let mut highs: Vec<u64> = random(1)
        .zip(random(2))
        .map(|(provider, customer)| 0x2000_0000 << 32 | (provider % 4000 * 7919) << 32 | customer >> 32)
        .take(count)
        .collect();
    highs.sort_unstable();
    highs.dedup();
    highs
}

fn networks(highs: &[u64]) -> impl Iterator<Item = Prefix6> + Clone {
    highs.iter().map(|&high| Prefix6 { bits: join(high, 0), length: 64, value: ValueId(1 + high as u32 % 250) })
}

fn entries() -> impl Strategy<Value = Vec<(u128, u8, u32)>> {
    let documentation = 0x2001_0db8_u128 << 96;
    let bits = prop_oneof![
        any::<u128>(),
        any::<u64>().prop_map(move |low| documentation | u128::from(low)),
        (any::<u8>(), any::<u8>()).prop_map(move |(a, b)| documentation | u128::from(a) << 64 | u128::from(b)),
        prop_oneof![0_u128..4, (u128::MAX - 3)..=u128::MAX],
    ];
    let length = prop_oneof![Just(64_u8), Just(128_u8), 44_u8..=72, 0_u8..=128];
    let value = prop_oneof![1_u32..3, 1_u32..300, Just(MAX_VALUES)];
    prop::collection::vec((bits, length, value), 0..80)
}

proptest! {
    #[test]
    fn agrees_with_the_model(mut entries in entries(), others: Vec<u128>) {
        Model::of(&entries).check(&others);
        // short prefixes last, so that they do not push the long ones out
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.1));
        Model::of(&entries).check(&others);
    }
}

#[test]
fn the_whole_space() {
    Model::of(&[(0, 0, 3)]).check(&[9]);
    Model::of(&[(0, 1, 3), (1 << 127, 1, 3)]).check(&[9]);
    Model::of(&[(0, 1, 3), (1 << 127, 1, 4)]).check(&[9]);
}

#[test]
fn an_exclusion_of_one_address_is_a_group() {
    let excluded = 0x2001_0db8_u128 << 96 | 77;
    let siblings: Vec<_> = (1..=128).map(|length| (excluded ^ 1 << (128 - length), length as u8, 6)).collect();
    Model::of(&siblings).check(&[excluded]);
}

#[test]
fn a_large_mixed_list() {
    let highs = customers(300_000);
    let prefixes = highs.iter().enumerate().map(|(index, &high)| match index % 3 {
        0 => Prefix6 { bits: join(high, high), length: 128, value: ValueId(3) },
        _ => Prefix6 { bits: join(high, 0), length: 64, value: ValueId(4) },
    });
    let table = Ip6::build(prefixes.clone());
    for prefix in prefixes {
        assert_eq!(table.find(prefix.bits), prefix.value);
        assert_eq!(table.find(prefix.bits ^ 1).is_listed(), prefix.length == 64);
        for length in (0..=128).step_by(4) {
            assert!(table.any_below(Block6 { bits: prefix.bits & mask6(length), length }));
        }
    }
    for (high, low) in random(5).zip(random(6)).take(10_000) {
        let near = highs[high as usize % highs.len()] + 1;
        assert_eq!(table.find(join(near, low)).is_listed(), highs.binary_search(&near).is_ok_and(|at| at % 3 != 0));
    }
}

#[test]
fn a_million_networks_are_dense() {
    let clustered = customers(1_000_000);
    let mut scattered: Vec<_> = random(3).take(1_000_000).map(|bits| 1 << 61 | bits >> 3).collect();
    scattered.sort_unstable();
    for (highs, limit) in [(clustered, 8.0), (scattered, 12.0)] {
        let table = Ip6::build(networks(&highs));
        let per_listing = table.bytes() as f64 / highs.len() as f64;
        assert!(per_listing < limit, "{per_listing}");
    }
}

#[test]
fn empty_finds_nothing() {
    assert_eq!(Ip6::build([].into_iter()), Ip6::default());
    assert_eq!(Ip6::default().find(0), ValueId::NONE);
    assert!(!Ip6::default().any_below(Block6 { bits: 0, length: 0 }));
}

/// Prints what the figures of the project are taken from.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn figures() {
    for count in [1_000_000, 10_000_000] {
        let highs = customers(count);
        let begin = Instant::now();
        let table = Ip6::build(networks(&highs));
        let build = begin.elapsed();
        let begin = Instant::now();
        let probes = random(7).take(PROBES).map(|n| highs[n as usize % highs.len()] ^ n & 1);
        let found = probes.filter(|&high| table.find(join(high, 5)).is_listed()).count();
        eprintln!(
            "{count}: {:.3} bytes a /64, built in {build:.1?}, {} ns a find; {found}",
            table.bytes() as f64 / highs.len() as f64,
            begin.elapsed().as_nanos() / PROBES as u128,
        );
    }
}

const PROBES: usize = 10_000_000;
