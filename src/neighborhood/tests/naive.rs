//! The model as its definition reads: maps, loops over everything, a term at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Of each announced /24 the rate, and of each /28 in it its part of that.
pub(super) struct Naive {
    pub(super) blocks: BTreeMap<u32, f64>,
    pub(super) leaves: BTreeMap<u32, f64>,
}

struct Address {
    age: f64,
    weight: f64,
    is_new: bool,
    arrivals: u32,
    weeks: BTreeSet<u32>,
    is_recent: bool,
}

/// What is known of an address, from the spells of all sources.
fn address(spells: &[(usize, u32, Option<u32>)]) -> Option<Address> {
    let sources = sources();
    let known = |day: Option<u32>| day.filter(|&day| day <= TODAY).unwrap_or(TODAY);
    let spells: Vec<_> = spells.iter().filter(|spell| spell.1 <= TODAY).copied().collect();
    let arrivals: Vec<_> = spells.iter().filter(|spell| TODAY - spell.1 < HISTORY_DAYS).copied().collect();
    let last = arrivals.iter().map(|spell| spell.1).max()?;
    let mut is_new = true;
    for source in 0..sources.len() {
        let own: Vec<_> = spells.iter().filter(|spell| spell.0 == source).collect();
        let Some(newest) = own.iter().map(|spell| spell.1).max().filter(|&day| TODAY - day < HISTORY_DAYS) else {
            continue;
        };
        is_new &= own.iter().all(|spell| spell.1 == newest || known(spell.2) + NEW_AFTER_DAYS < newest);
    }
    let mut doubt = 1.0;
    for group in ["a", "b", "weak"] {
        let said = arrivals.iter().filter(|spell| sources[spell.0].group == group);
        let heard = said.map(|spell| sources[spell.0].trust * 0.5f64.powf(f64::from(last - spell.1) / 14.0));
        doubt *= 1.0 - heard.fold(0.0, f64::max);
    }
    Some(Address {
        age: f64::from(TODAY - last),
        weight: (1.0 - doubt) / 0.6,
        is_new,
        arrivals: arrivals.len() as u32,
        weeks: arrivals.iter().map(|spell| (TODAY - spell.1) / 7).collect(),
        is_recent: sources.iter().enumerate().any(|(source, _)| {
            let own = arrivals.iter().filter(|spell| spell.0 == source);
            own.max_by_key(|spell| spell.1).is_some_and(|spell| TODAY - known(spell.2) <= 30)
        }),
    })
}

/// A decayed arrival, as exactly as sums keep it.
fn decayed(address: &Address, half_life: f64) -> f64 {
    (address.weight * 0.5f64.powf(address.age / half_life) * 4_194_304.0).round() / 4_194_304.0
}

pub(super) fn rates(case: &Case) -> Naive {
    let coefficients = Coefficients::default();
    // the longest route of each announced /24
    let mut route_of: BTreeMap<u32, (u32, u8, u32)> = BTreeMap::new();
    for &(first, length, asn) in case.routes.iter().filter(|route| route.1 <= 24) {
        for block in first >> 8..(first >> 8) + (1 << (24 - length)) {
            let longest = route_of.entry(block).or_insert((first, length, asn));
            if length > longest.1 {
                *longest = (first, length, asn);
            }
        }
    }
    let mut spells: BTreeMap<u32, Vec<(usize, u32, Option<u32>)>> = BTreeMap::new();
    for &(bits, source, listed, removed) in &case.spells {
        spells.entry(bits).or_default().push((source, listed, removed));
    }
    let mut known: BTreeMap<u32, Address> = BTreeMap::new();
    for (bits, spells) in &spells {
        if route_of.contains_key(&(bits >> 8))
            && let Some(address) = address(spells)
        {
            known.insert(*bits, address);
        }
    }
    let sum = |half_life: f64, wants: &dyn Fn(u32) -> bool| -> f64 {
        known.iter().filter(|(bits, _)| wants(**bits)).map(|(_, address)| decayed(address, half_life)).sum()
    };
    let route = |bits: u32| route_of[&(bits >> 8)];
    let all = route_of.len() as f64;
    let touched: BTreeSet<u32> = known.keys().map(|bits| bits >> 8).collect();
    let mut naive = Naive { blocks: BTreeMap::new(), leaves: BTreeMap::new() };
    for (&block, &own_route) in &route_of {
        let (_, length, asn) = own_route;
        let of_prefix = route_of.values().filter(|route| **route == own_route).count() as f64;
        let of_asn = route_of.values().filter(|route| route.2 == asn).count() as f64;
        let rate_asn = |half_life| {
            (sum(half_life, &|bits| route(bits).2 == asn) + 195.0 * sum(half_life, &|_| true) / all) / (of_asn + 195.0)
        };
        let in_prefix = |bits: u32| route(bits) == own_route;
        let rate_prefix = (sum(120.0, &in_prefix) + 0.8 * rate_asn(120.0)) / (of_prefix + 0.8);
        let own = |half_life| sum(half_life, &|bits| bits >> 8 == block);
        let siblings = |half_life| {
            (sum(half_life, &|bits| in_prefix(bits) && bits >> 8 != block) + 4.0 * rate_asn(half_life))
                / (of_prefix - 1.0 + 4.0)
        };
        let log = |rate: f64| rate.max(1e-9).ln();
        let outside = |half_life| sum(half_life, &|bits| bits >> 12 == block >> 4 && bits >> 10 != block >> 2);
        // as if the block had no history, whether it has one or not
        let as_untouched = {
            let others = |wants: &dyn Fn(u32) -> bool| {
                touched.iter().filter(|other| **other != block && wants(**other)).count() as f64
            };
            let is_other = |bits: u32| bits >> 8 != block;
            let rate_asn = |half_life| {
                let everything = sum(half_life, &is_other) / all;
                (sum(half_life, &|bits| is_other(bits) && route(bits).2 == asn) + 195.0 * everything) / (of_asn + 195.0)
            };
            let in_rest = |bits: u32| is_other(bits) && in_prefix(bits);
            let rest60 = sum(60.0, &in_rest);
            let blocks = touched.iter().filter(|other| **other != block && route_of[other] == own_route);
            let parts = blocks.map(|other| sum(60.0, &|bits| bits >> 8 == *other) / rest60);
            let entropy: f64 = parts.filter(|part| *part > 0.0).map(|part| -part * part.ln()).sum();
            let siblings = (sum(14.0, &in_rest) + 4.0 * rate_asn(14.0)) / (of_prefix - 1.0 + 4.0);
            let terms = [
                ((others(&|other| route_of[&other].2 == asn) + 1.0) / (of_asn + 50.0)).ln(),
                log(rate_asn(60.0)),
                log(rate_asn(1.0)),
                log(siblings),
                (1.0 + others(&|other| other >> 2 == block >> 2)).ln(),
                (1.0 + others(&|other| other >> 4 == block >> 4 && other >> 2 != block >> 2)).ln(),
                (f64::from(length) - 20.0) / 4.0,
                entropy,
                1.0,
            ];
            let sum =
                terms.iter().zip(coefficients.untouched).map(|(term, coefficient)| term * coefficient).sum::<f64>();
            sum.exp().min(0.05)
        };
        let rate = if touched.contains(&block) {
            let addresses = known.iter().filter(|(bits, _)| *bits >> 8 == block).map(|(_, address)| address);
            let addresses: Vec<&Address> = addresses.collect();
            let new7: f64 =
                addresses.iter().filter(|address| address.is_new).map(|address| decayed(address, 7.0)).sum();
            let weeks: BTreeSet<u32> = addresses.iter().flat_map(|address| &address.weeks).copied().collect();
            let terms = [
                log((own(120.0) + 1.2 * rate_prefix) / 2.2),
                ((own(7.0) + 0.3) / (own(30.0) + 0.6)).ln(),
                (1.0 + addresses.len() as f64).ln(),
                ((new7 + 0.1) / (own(7.0) + 0.1)).ln(),
                (1.0 + 2.0 * outside(60.0)).ln(),
                (1.0 + weeks.len() as f64).ln(),
                (1.0 + 4.0 * outside(14.0)).ln(),
                if length == 24 { 1.0 } else { 0.0 },
                log(rate_asn(60.0)),
                log(rate_asn(1.0)),
                log(siblings(14.0)),
                of_prefix.ln(),
                1.0,
            ];
            terms
                .iter()
                .zip(coefficients.touched)
                .map(|(term, coefficient)| term * coefficient)
                .sum::<f64>()
                .exp()
                .max(as_untouched)
        } else {
            as_untouched
        };
        naive.blocks.insert(block, rate);
        let weights: Vec<f64> =
            (block << 4..(block + 1) << 4).map(|leaf| weight(leaf, &known, &coefficients)).collect();
        let all: f64 = weights.iter().sum();
        for (leaf, weight) in (block << 4..).zip(&weights) {
            naive.leaves.insert(leaf, rate * weight / all);
        }
    }
    naive
}

/// What a /28 has of its /24, before it is divided by what all of them have.
fn weight(leaf: u32, known: &BTreeMap<u32, Address>, coefficients: &Coefficients) -> f64 {
    let of = |shift: u32, place: u32| -> Vec<&Address> {
        known.iter().filter(|(bits, _)| *bits >> shift == place).map(|(_, address)| address).collect()
    };
    let (own, block) = (of(4, leaf), of(8, leaf >> 4));
    if own.is_empty() {
        return 1.0;
    }
    let sum = |all: &[&Address], half_life| all.iter().map(|address| decayed(address, half_life)).sum::<f64>();
    let recent = own.iter().filter(|address| address.is_recent).count() as f64;
    let share = |half_life| ((16.0 * sum(&own, half_life) + 1.0) / (sum(&block, half_life) + 1.0)).ln();
    let terms = [
        1.0,
        (1.0 + own.len() as f64).ln(),
        ((16.0 - recent).max(0.5) / 16.0).ln(),
        (1.0 + block.len() as f64).ln(),
        share(60.0),
        share(14.0),
        (f64::from(own.iter().map(|address| address.arrivals).sum::<u32>()) / own.len() as f64).ln(),
    ];
    terms.iter().zip(coefficients.leaf).map(|(term, coefficient)| term * coefficient).sum::<f64>().exp()
}
