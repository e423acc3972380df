use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// The model: runs in a vector, searched from the front.
struct Model(Vec<Run4>);

impl Model {
    /// Paints entries over each other, later ones on top; an entry without a value is an exclusion.
    fn painted(entries: &[(u32, u8, u32)]) -> Self {
        let mut edges: Vec<u64> = vec![0];
        let bounds = |&(bits, length, _): &(u32, u8, u32)| {
            let first = bits & mask4(length);
            (u64::from(first), u64::from(first | !mask4(length)))
        };
        for entry in entries {
            let (first, last) = bounds(entry);
            edges.extend([first, last + 1]);
        }
        edges.sort_unstable();
        edges.dedup();
        let mut runs: Vec<Run4> = Vec::new();
        for (index, &edge) in edges.iter().enumerate() {
            let top = entries.iter().rev().find(|entry| {
                let (first, last) = bounds(entry);
                (first..=last).contains(&edge)
            });
            let end = edges.get(index + 1).map_or(1 << 32, |&next| next) - 1;
            if let Some(&(_, _, value @ 1..)) = top {
                runs.push(Run4 { first: edge as u32, last: end as u32, value: ValueId(value) });
            }
        }
        Self(runs)
    }

    fn find(&self, address: u32) -> ValueId {
        let at = self.0.partition_point(|run| run.last < address);
        self.0.get(at).filter(|run| run.first <= address).map_or(ValueId::NONE, |run| run.value)
    }

    fn any_below(&self, block: Block4) -> bool {
        let at = self.0.partition_point(|run| run.last < block.bits);
        self.0.get(at).is_some_and(|run| run.first <= block.bits | !mask4(block.length))
    }

    fn merged(&self) -> Vec<Run4> {
        let mut merged: Vec<Run4> = Vec::new();
        for &run in &self.0 {
            match merged.last_mut() {
                Some(last) if last.value == run.value && last.last + 1 == run.first => last.last = run.last,
                _ => merged.push(run),
            }
        }
        merged
    }

    /// Compares everything at and around every edge, and at some other addresses.
    fn check(&self, others: &[u32]) {
        let table = Ip4::build(self.0.iter().copied());
        let merged = self.merged();
        assert_eq!(table.runs().collect::<Vec<_>>(), merged);
        assert_eq!(table, Ip4::build(merged.into_iter()), "equal content, equal bytes");
        assert_eq!(table.listed(), self.0.iter().map(|run| u64::from(run.last - run.first) + 1).sum::<u64>());
        assert_eq!(table.is_empty(), self.0.is_empty());
        let edges = self.0.iter().flat_map(|run| {
            [run.first.wrapping_sub(1), run.first, run.first / 2 + run.last / 2, run.last, run.last.wrapping_add(1)]
        });
        for address in edges.chain(others.iter().copied()).chain([0, 1, u32::MAX]) {
            table.prefetch(address);
            table.prefetch_leaf(address);
            assert_eq!(table.find(address), self.find(address), "{address:08x}");
            for length in 0..=32 {
                let block = Block4 { bits: address & mask4(length), length };
                assert_eq!(table.any_below(block), self.any_below(block), "{block:08x?}");
            }
            assert!(lines_touched(&table, address) <= 3);
        }
    }
}

fn lines_touched(table: &Ip4, address: u32) -> usize {
    let mut lines = 0;
    table.leaf(address, |_| lines += 1);
    lines
}

/// A list of single addresses, each with a value of its own choice.
fn singles(addresses: impl IntoIterator<Item = u32>, values: u32) -> Model {
    let mut addresses: Vec<_> = addresses.into_iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    let run = |address: u32| Run4 { first: address, last: address, value: ValueId(1 + address % 977 % values) };
    Model(addresses.into_iter().map(run).collect())
}

/// Numbers that look random and are the same every time (splitmix64).
fn random(seed: u64) -> impl Iterator<Item = u32> + Clone {
    (seed << 40..).map(move |n: u64| {
        let mut bits = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ bits >> 31) as u32
    })
}

fn entries() -> impl Strategy<Value = Vec<(u32, u8, u32)>> {
    let anywhere = any::<u32>();
    let in_a_16 = any::<u16>().prop_map(|low| 0xc000_0000 | u32::from(low));
    let in_a_24 = any::<u8>().prop_map(|low| 0xc000_0200 | u32::from(low));
    let at_an_edge = prop_oneof![0_u32..4, (u32::MAX - 3)..=u32::MAX];
    let bits = prop_oneof![anywhere, in_a_16, in_a_24, at_an_edge];
    let length = prop_oneof![Just(32_u8), 24_u8..=32, 0_u8..=32];
    let value = prop_oneof![0_u32..4, 0_u32..300, Just(MAX_VALUES)];
    prop::collection::vec((bits, length, value), 0..120)
}

proptest! {
    #[test]
    fn agrees_with_the_model(entries in entries(), others: Vec<u32>) {
        Model::painted(&entries).check(&others);
    }

    #[test]
    fn agrees_in_one_block(lows in prop::collection::vec(0_u32..4096, 0..600), values in 1_u32..900) {
        singles(lows.iter().map(|low| 0x0a00_0000 | low), values).check(&[0x0a00_1000, 0x0b00_0000]);
    }
}

#[test]
fn the_whole_space() {
    Model::painted(&[(0, 0, 5)]).check(&[77]);
    Model::painted(&[(0, 0, 5), (0x7f00_0001, 32, 0), (0, 32, 0), (u32::MAX, 32, 0)]).check(&[77]);
}

#[test]
fn every_address_of_a_slot_differs() {
    // fills forks, makes slots narrower, and leaves the space behind a fork empty
    singles(0x0a00_0000..0x0a00_0100, 900).check(&[]);
    singles(0x0a00_0000..0x0a01_0000, 900).check(&[]);
    singles(u32::MAX - 700..=u32::MAX, 900).check(&[]);
    singles((0..40_000).map(|n| n * 2), 1).check(&[]);
    let dense = Model((0..5000).map(|n| Run4 { first: n, last: n, value: ValueId(MAX_VALUES - n) }).collect());
    dense.check(&[5000, 6000]);
}

#[test]
fn a_run_goes_on_behind_a_fork() {
    let mut model = singles((0..300).map(|n| 0x0a00_0000 + 2 * n), 900);
    model.0.push(Run4 { first: 0x0a00_0300, last: 0x0b12_3456, value: ValueId(9) });
    model.0.push(Run4 { first: 0x0b12_3457, last: 0x0b12_3460, value: ValueId(10) });
    model.check(&[0x0a10_0000, 0x0b00_0000, 0x0b12_3461]);
}

#[test]
fn a_large_mixed_list() {
    let hosts = random(1).take(150_000);
    let crowd = random(2).take(60_000).map(|bits| 0xc633_0000 | bits & 0x3_ffff);
    let mut model = singles(hosts.chain(crowd), 200);
    // every 50th address becomes a range up to the next one
    for index in (0..model.0.len() - 1).step_by(50) {
        model.0[index].last = model.0[index + 1].first - 1;
    }
    model.check(&random(3).take(1000).collect::<Vec<_>>());
}

#[test]
fn small_lists_are_small() {
    assert_eq!(Ip4::build([].into_iter()), Ip4::default());
    assert_eq!(Ip4::default().find(0), ValueId::NONE);
    assert!(!Ip4::default().any_below(Block4 { bits: 0, length: 0 }));
    let scattered = singles(random(4).take(100), 100);
    let crowded = singles(random(4).take(100).map(|bits| bits & 0x1ff), 100);
    for model in [scattered, crowded] {
        let table = Ip4::build(model.0.iter().copied());
        assert!(table.bytes() <= 2048, "{}", table.bytes());
    }
}

#[test]
fn a_million_hosts_are_dense_and_two_lines_away() {
    let model = singles(random(5).take(1_000_000), 250);
    let table = Ip4::build(model.0.iter().copied());
    let per_listing = table.bytes() as f64 / table.listed() as f64;
    assert!(per_listing < 4.75, "{per_listing}");
    let lines: Vec<_> = random(6).take(100_000).map(|address| lines_touched(&table, address)).collect();
    assert!(lines.iter().all(|&lines| lines <= 3));
    assert!(lines.iter().filter(|&&lines| lines > 2).count() <= 1000);
    // a single value, as most lists have
    let table = Ip4::build(model.0.iter().map(|run| Run4 { value: ValueId(1), ..*run }));
    let per_listing = table.bytes() as f64 / table.listed() as f64;
    assert!(per_listing < 4.0, "{per_listing}");
}

/// Prints what the figures of the project are taken from.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn figures() {
    for count in [10_000, 1_000_000, 10_000_000, 100_000_000] {
        let mut addresses: Vec<u32> = random(7).take(count).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let runs = addresses.iter().map(|&a| Run4 { first: a, last: a, value: ValueId(1 + a % 977 % 250) });
        let begin = Instant::now();
        let table = Ip4::build(runs);
        let build = begin.elapsed();
        let begin = Instant::now();
        let found = random(9).take(PROBES).filter(|&address| table.find(address).is_listed()).count();
        let find = begin.elapsed();
        let begin = Instant::now();
        // each probe waits for the one before it, as a single query does
        let mut last = 0;
        for address in random(11).take(PROBES) {
            last = table.find(address ^ last).0;
        }
        let serial = begin.elapsed();
        let begin = Instant::now();
        for address in random(13).take(PROBES / BATCH) {
            let batch: [u32; BATCH] = std::array::from_fn(|n| (address ^ last).wrapping_mul(2 * n as u32 + 1));
            batch.iter().for_each(|&address| table.prefetch(address));
            batch.iter().for_each(|&address| table.prefetch_leaf(address));
            last = batch.iter().fold(0, |last, &address| last ^ table.find(address).0);
        }
        let batched = begin.elapsed();
        eprintln!(
            "{count}: {:.3} bytes a listing, built in {build:.1?}; ns a find: {}, one after another {}, in announced \
             batches {}; {found} {last}",
            table.bytes() as f64 / table.listed() as f64,
            find.as_nanos() / PROBES as u128,
            serial.as_nanos() / PROBES as u128,
            batched.as_nanos() / PROBES as u128,
        );
    }
}

const PROBES: usize = 10_000_000;
const BATCH: usize = 32;
