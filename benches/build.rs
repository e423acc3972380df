//! From what is in order to what is served: building a table from its canonical form, and opening a compiled file.
//!
//! `cargo bench --bench build`. Parsing and settling are not in it: `load` has the whole way from a list's text.

#![allow(missing_docs, reason = "criterion_group! makes a public function without a word on it")]

#[path = "common/mod.rs"]
mod common;

use std::hint::black_box;

use common::List;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use infamy::dataset::{self, Spec, compiled};
use infamy::dnsxl::Name;
use infamy::table::{Hashes, Ip4, Ip6, NameKey, Names, Prefix6, Run4, ValueId};

fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    for keys in SIZES {
        group.throughput(Throughput::Elements(keys));
        let id = |what| BenchmarkId::new(what, format!("{}M", keys / 1_000_000));

        let mut runs: Vec<Run4> = (0..keys)
            .map(|n| Run4 { first: common::address4(n), last: common::address4(n), value: value(n) })
            .collect();
        runs.sort_unstable_by_key(|run| run.first);
        group.bench_function(id("ip4"), |bencher| bencher.iter(|| black_box(Ip4::build(runs.iter().copied()))));
        drop(runs);

        let mut networks: Vec<u64> = (0..keys).map(common::network6).collect();
        networks.sort_unstable();
        networks.dedup();
        let prefixes =
            networks.iter().map(|&network| Prefix6 { bits: u128::from(network) << 64, length: 64, value: ONE });
        group.bench_function(id("ip6"), |bencher| bencher.iter(|| black_box(Ip6::build(prefixes.clone()))));
        drop(networks);

        let names: Vec<Name> = (0..keys).map(|n| Name::parse(common::domain(n).as_bytes()).expect("a name")).collect();
        let said = |wire| (wire, NameKey { here: ONE, here_depth: 2, below: ONE, below_depth: 2, deeper: false });
        let keyed = names.iter().map(|name| said(name.as_wire()));
        group.bench_function(id("names"), |bencher| bencher.iter(|| black_box(Names::build(keyed.clone()))));
        drop(names);

        let digests: Vec<[u8; 16]> = (0..keys).map(common::digest).collect();
        let hashes = digests.iter().map(|digest| (&digest[..], ONE));
        group.bench_function(id("hashes"), |bencher| bencher.iter(|| black_box(Hashes::build(hashes.clone()))));
    }
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    let folder = tempfile::tempdir().expect("a folder for the lists");
    for list in [List::Ip4Values, List::Dnset] {
        let text = folder.path().join("list");
        list.write(&text, SIZES[0]).expect("the list can be written");
        let spec = list.spec(&text);
        let (dataset, _) = dataset::load(&spec, &common::never(), 0).expect("the list can be loaded");
        let file = folder.path().join("compiled");
        compiled::write(&dataset, spec.format, &file).expect("the dataset can be written");
        let spec = Spec { files: vec![file], ..spec };
        let open = || dataset::open(&spec, &common::never(), 0).expect("it can be opened").expect("it is compiled").0;
        group.bench_function(format!("{list:?}"), |bencher| bencher.iter(|| black_box(open())));
        let dataset = open();
        group.bench_function(format!("{list:?}, verify"), |bencher| {
            bencher.iter(|| dataset.verify().expect("it is whole"))
        });
    }
    group.finish();
}

fn value(index: u64) -> ValueId {
    ValueId(common::value(index).into())
}

const ONE: ValueId = ValueId(1);
const SIZES: [u64; 1] = [1_000_000];

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(2));
    targets = build, open
}
criterion_main!(benches);
