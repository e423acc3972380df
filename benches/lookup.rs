//! One lookup: `find` and `any_below` of every kind of table, beside what else one might use, and `respond` from bytes
//! to bytes.
//!
//! `cargo bench --bench lookup` asks tables of 1 M and 10 M listings; with `INFAMY_BENCH_LARGE` set also of 100 M
//! addresses, which takes minutes and some gigabytes. Queries are made up beforehand and come in no order, so that every
//! lookup in a large table waits for memory; `batch` is what the UDP loop does, 32 queries at once.

#![allow(missing_docs, reason = "criterion_group! makes a public function without a word on it")]

#[path = "common/mod.rs"]
mod common;

use std::hint::black_box;
use std::net::Ipv4Addr;

use common::List;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use infamy::answer::{Outcome, Transport, respond};
use infamy::dataset::{self, Dataset};
use infamy::dnsxl::{Block4, Name, QueryName};
use infamy::reload::{Cookies, Plan, Store, ZonePlan};
use infamy::snapshot::{Snapshot, Version};
use infamy::table::{Ip4, Run4, ValueId};
use infamy::zone::{Choice, TestEntries, UnixTime, ZoneSpec};
use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;

fn sizes() -> Vec<u64> {
    let large = std::env::var_os("INFAMY_BENCH_LARGE").is_some();
    [1_000_000, 10_000_000].into_iter().chain(large.then_some(100_000_000)).collect()
}

/// Indices of listed subjects, of others, or of both, in no order.
fn indices(listings: u64, hits: u64) -> impl Iterator<Item = u64> {
    (0..QUERIES as u64).map(move |number| {
        let random = common::mix(number ^ 0x9999_0000_0000);
        let is_hit = random % 100 < hits;
        if is_hit { (random >> 8) % listings } else { listings + (random >> 8) % MISSES }
    })
}

/// Runs `ask` for one query after the other.
fn measure<Q>(group: &mut Group<'_>, what: &str, listings: u64, hits: u64, queries: &[Q], mut ask: impl FnMut(&Q)) {
    let mut next = queries.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new(what, format!("{}M/{hits}%", listings / 1_000_000)), |bencher| {
        bencher.iter(|| {
            if let Some(query) = next.next() {
                ask(query);
            }
        });
    });
}

fn ip4(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ip4");
    for listings in sizes() {
        let mut listed: Vec<(u32, u8)> = (0..listings).map(|n| (common::address4(n), common::value(n))).collect();
        listed.sort_unstable();
        let table = Ip4::build(listed.iter().map(|&(address, value)| Run4 {
            first: address,
            last: address,
            value: ValueId(value.into()),
        }));
        for hits in SHARES {
            let queries: Vec<u32> = indices(listings, hits).map(common::address4).collect();
            measure(&mut group, "find", listings, hits, &queries, |&address| _ = black_box(table.find(address)));
            let blocks: Vec<Block4> =
                queries.iter().map(|address| Block4 { bits: address & 0xffff_ff00, length: 24 }).collect();
            measure(&mut group, "any_below", listings, hits, &blocks, |&block| _ = black_box(table.any_below(block)));
            let batches: Vec<&[u32]> = queries.chunks(BATCH).collect();
            let mut next = batches.iter().cycle();
            group.throughput(Throughput::Elements(BATCH as u64));
            let id = BenchmarkId::new("batch of 32", format!("{}M/{hits}%", listings / 1_000_000));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let Some(batch) = next.next() else { return };
                    batch.iter().for_each(|&address| table.prefetch(address));
                    batch.iter().for_each(|&address| table.prefetch_leaf(address));
                    batch.iter().for_each(|&address| _ = black_box(table.find(address)));
                });
            });
            measure(&mut group, "binary search", listings, hits, &queries, |&address| {
                _ = black_box(listed.binary_search_by_key(&address, |&(address, _)| address));
            });
        }
        drop(table);
        if listings > LARGEST_OF_OTHERS {
            continue;
        }
        let map: HashMap<u32, u8> = listed.iter().copied().collect();
        for hits in SHARES {
            let queries: Vec<u32> = indices(listings, hits).map(common::address4).collect();
            measure(&mut group, "hashbrown", listings, hits, &queries, |address| _ = black_box(map.get(address)));
        }
        drop(map);
        let net = |address: u32| Ipv4Net::from(Ipv4Addr::from(address));
        let trie: PrefixMap<Ipv4Net, u8> = listed.iter().map(|&(address, value)| (net(address), value)).collect();
        for hits in SHARES {
            let queries: Vec<Ipv4Net> = indices(listings, hits).map(|n| net(common::address4(n))).collect();
            measure(&mut group, "prefix-trie", listings, hits, &queries, |net| _ = black_box(trie.get_lpm(net)));
        }
    }
    group.finish();
}

/// A list of so many lines, loaded.
fn load(list: List, listings: u64) -> Dataset {
    let folder = tempfile::tempdir().expect("a folder for the list");
    let path = folder.path().join("list");
    list.write(&path, listings).expect("the list can be written");
    dataset::load(&list.spec(&path), &common::never(), 0).expect("the list can be loaded").0
}

fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("names");
    for listings in [1_000_000, 10_000_000] {
        let dataset = load(List::Dnset, listings);
        let table = &dataset.parts[0].table.names;
        for hits in SHARES {
            let name = |n| QueryName::from(&Name::parse(common::domain(n).as_bytes()).expect("a domain is a name"));
            let queries: Vec<QueryName> = indices(listings, hits).take(FEWER).map(name).collect();
            measure(&mut group, "find", listings, hits, &queries, |name| _ = black_box(table.find(name.labels())));
        }
    }
    group.finish();
}

fn ip6(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ip6");
    for listings in [1_000_000, 10_000_000] {
        let dataset = load(List::Ip6, listings);
        let table = &dataset.parts[0].table.ip6;
        for hits in SHARES {
            let address = |n| u128::from(common::network6(n)) << 64 | u128::from(n);
            let queries: Vec<u128> = indices(listings, hits).map(address).collect();
            measure(&mut group, "find", listings, hits, &queries, |&address| _ = black_box(table.find(address)));
        }
    }
    group.finish();
}

fn hashes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hashes");
    let listings = 1_000_000;
    let dataset = load(List::Hashes, listings);
    let table = &dataset.parts[0].table.hashes;
    for hits in SHARES {
        let queries: Vec<[u8; 16]> = indices(listings, hits).map(common::digest).collect();
        measure(&mut group, "find", listings, hits, &queries, |digest| _ = black_box(table.find(digest)));
    }
    group.finish();
}

/// A zone of addresses and one of names.
fn snapshot(listings: u64) -> Snapshot {
    let folder = tempfile::tempdir().expect("a folder for the lists");
    let (mut datasets, mut zones) = (Vec::new(), Vec::new());
    for (index, (list, apex)) in [(List::Ip4Values, "bl.example"), (List::Dnset, "dbl.example")].into_iter().enumerate()
    {
        let path = folder.path().join(apex);
        list.write(&path, listings).expect("the list can be written");
        datasets.push(list.spec(&path));
        let spec = ZoneSpec {
            apex: Name::parse(apex.as_bytes()).expect("an apex is a name"),
            soa: None,
            ns: None,
            own_addresses: Vec::new(),
            least_serial: 0,
            ttl: 2100,
            choice: Choice::All,
            ns_in_authority: false,
            test_entries: TestEntries::Synthesised,
            others: Vec::new(),
        };
        zones.push(ZonePlan {
            spec,
            datasets: vec![(index, Name::default())],
            allow: Vec::new(),
            access: None,
            keys: None,
            terms: Default::default(),
        });
    }
    let plan = Plan {
        datasets,
        zones,
        access: None,
        never: common::never(),
        version: Version::Refused,
        cookies: Cookies::Off,
    };
    let mut store = Store::new(plan);
    for event in store.load(NOW) {
        event.result.expect("the lists can be loaded");
    }
    store.snapshot().expect("the zones can be built")
}

fn respond_to(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("respond");
    for listings in [1_000_000, 10_000_000] {
        let snapshot = snapshot(listings);
        for hits in SHARES {
            let address = |n| {
                let [a, b, c, d] = common::address4(n).to_be_bytes();
                query(&format!("{d}.{c}.{b}.{a}.bl.example"))
            };
            let name = |n| query(&format!("{}.dbl.example", common::domain(n)));
            let of_addresses: Vec<Vec<u8>> = indices(listings, hits).take(FEWER).map(address).collect();
            let of_names: Vec<Vec<u8>> = indices(listings, hits).take(FEWER).map(name).collect();
            for (what, queries) in [("address", of_addresses), ("name", of_names)] {
                let mut out = [0; 1232];
                measure(&mut group, what, listings, hits, &queries, |query| {
                    let outcome = respond(&snapshot, query, CLIENT.into(), Transport::Udp, NOW, &mut out);
                    assert!(matches!(black_box(outcome), Outcome::Reply { .. }));
                });
            }
        }
    }
    group.finish();
}

/// A query for A, with RD.
fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(Name::parse(name.as_bytes()).expect("a query has a name").as_wire());
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

type Group<'g> = criterion::BenchmarkGroup<'g, criterion::measurement::WallTime>;

/// So many that they and what they meet fit no second-level cache.
const QUERIES: usize = 1 << 21;
/// As many names: they are large themselves.
const FEWER: usize = 1 << 17;
/// Misses are drawn from so many indices behind the listed ones.
const MISSES: u64 = 1 << 30;
/// Percent of queries that are listed.
const SHARES: [u64; 3] = [0, 20, 100];
/// As many as the UDP loop takes at a time.
const BATCH: usize = 32;
/// A trie of 100 M prefixes takes several gigabytes.
const LARGEST_OF_OTHERS: u64 = 10_000_000;
const CLIENT: Ipv4Addr = Ipv4Addr::LOCALHOST;
const NOW: UnixTime = UnixTime(1_800_000_000);

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(700));
    targets = ip4, names, ip6, hashes, respond_to
}
criterion_main!(benches);
