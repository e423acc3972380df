//! IPv6: blocks by counts of units, since nobody knows how many addresses are in use.
//!
//! The unit is the /64, the least that a host gets. A block's exposure is the units that were ever observed in it, at
//! least a floor; its score is a lower bound of the share of them that is bad. As no IPv6 feed was there to calibrate
//! with, a block is `watch` at most and has no lift.
//!
//! Invariant: runs are ascending and disjoint, and each address has the verdict of the most specific node that has one.

use super::arrivals::{Counts, Reader};
use super::bits::Bits;
use super::emit::{Level, cap};
use super::guards::{Class, Guards};
use super::nodes::counts;
use super::parameters::InClouds;
use super::routes::Routes;
use super::states::State;
use crate::evidence::{Evidence, Family, Time};

/// IPv6 addresses with one verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run6 {
    /// The first address.
    pub first: u128,
    /// The last address.
    pub last: u128,
    /// The state, guards considered.
    pub state: State,
    /// The score: a lower bound of the share of units that are bad, in hundredths.
    pub score: u8,
    /// The level of the node that says so.
    pub level: Level,
    /// The node's prefix.
    pub node: (u128, u8),
    /// The guard's class.
    pub class: Class,
    /// Its evidence of the last 45 days.
    pub counts: Counts,
    /// Which ASN announces the addresses; 0 if none does.
    pub asn: u32,
}

/// A block while it is summed up.
#[derive(Clone, Copy, Debug)]
struct Node {
    first: u128,
    length: u8,
    counts: Counts,
    /// Bad units.
    units: u32,
    /// Bad units in the /56s or /48s that it is made of: how many of these there are.
    parts: u32,
}

/// Judges the IPv6 blocks of a family at a time.
pub fn judge_units(evidence: &Evidence, family: Family, routes: &Routes, guards: &Guards, at: Time) -> Vec<Run6> {
    let mut reader = Reader::new(&evidence.sources, at);
    let mut addresses: Vec<Node> = Vec::new();
    for said in evidence.ip6.chunk_by(|a, b| a.subject == b.subject && a.family == b.family) {
        let address = said[0].subject;
        if said[0].family == family
            && counts(guards.class6(address))
            && let Some(known) = reader.read(said)
            && known.counts.addresses > 0
        {
            addresses.push(Node { first: address, length: 128, counts: known.counts, units: 0, parts: 1 });
        }
    }
    let mut units = sum(&addresses, |address| (address.masked(64), 64));
    units.iter_mut().for_each(|unit| (unit.units, unit.parts) = (1, 1));
    let small = sum(&units, |first| (first.masked(56), 56));
    let large = sum_parts(&units, &small, |first| (first.masked(48), 48));
    let announced = |first: u128| {
        let route = routes.find6(first, 48).map(|route| &routes.routes6()[route]);
        route.map_or((first, 129), |route| (route.first, route.length))
    };
    let announced = sum_parts(&units, &large, announced);
    let announced = announced.into_iter().filter(|node| node.length < 48);
    // the widest first, so that what is painted later is more specific
    let mut nodes: Vec<(Node, Level)> = announced.map(|node| (node, Level::Prefix)).collect();
    nodes.extend(large.into_iter().chain(small).map(|node| (node, Level::Block)));
    nodes.extend(units.into_iter().map(|node| (node, Level::Leaf)));
    let runs = nodes.into_iter().filter(|(node, _)| is_watched(node)).map(|(node, level)| Run6 {
        first: node.first,
        last: node.first.last_of(node.length),
        state: State::Watch,
        score: score(&node),
        level,
        node: (node.first, node.length),
        class: Class::Normal,
        counts: node.counts,
        asn: routes.find6(node.first, 64).map_or(0, |route| routes.routes6()[route].asn),
    });
    guarded(disjoint6(runs.collect()), guards)
}

/// Sums nodes up to those around them, ascending. What belongs together need not stand together, as a route may lie
/// within another.
fn sum(nodes: &[Node], around: impl Fn(u128) -> (u128, u8)) -> Vec<Node> {
    let placed = nodes.iter().map(|node| {
        let (first, length) = around(node.first);
        Node { first, length, parts: 1, ..*node }
    });
    let mut placed: Vec<Node> = placed.collect();
    placed.sort_by_key(|node| (node.first, node.length));
    placed.dedup_by(|next, last| {
        let is_same = (next.first, next.length) == (last.first, last.length);
        if is_same {
            last.counts.add(&next.counts);
            last.units += next.units;
            last.parts += next.parts;
        }
        is_same
    });
    placed
}

/// As [`sum`] of the units, with the number of `parts` in each.
fn sum_parts(units: &[Node], parts: &[Node], around: impl Fn(u128) -> (u128, u8) + Copy) -> Vec<Node> {
    let mut out = sum(units, around);
    let mut of_parts = sum(parts, around).into_iter();
    for node in &mut out {
        let same = of_parts.find(|other| (other.first, other.length) == (node.first, node.length));
        node.parts = same.map_or(0, |other| other.parts);
    }
    out
}

/// Whether a block's counts are enough for `watch`.
fn is_watched(node: &Node) -> bool {
    let groups = node.counts.groups();
    match node.length {
        64 => node.counts.addresses >= UNIT_ADDRESSES || groups >= 2,
        56 => node.units >= SMALL_UNITS && groups >= 2,
        48 => (node.parts >= LARGE_PARTS || node.units >= LARGE_UNITS) && groups >= 2,
        _ => node.units >= PREFIX_UNITS && node.parts >= PREFIX_PARTS && groups >= 3,
    }
}

/// The lower bound of the share of bad units, in hundredths.
fn score(node: &Node) -> u8 {
    let floor = match node.length {
        64 => 1,
        56 => 4,
        48 => 16,
        _ => 64,
    };
    let observed = f64::from(node.units.max(floor));
    let share = f64::from(node.units) / observed;
    (100.0 * lower_bound(share, observed)).round().min(f64::from(State::Watch.most_score())) as u8
}

/// The 5 % lower bound of a share of `count` (Wilson's score interval).
fn lower_bound(share: f64, count: f64) -> f64 {
    let square = Z * Z;
    let middle = share + square / (2.0 * count);
    let spread = Z * (share * (1.0 - share) / count + square / (4.0 * count * count)).sqrt();
    ((middle - spread) / (1.0 + square / count)).max(0.0)
}

/// Paints runs over each other in the order of their levels, the most specific last.
pub fn disjoint6(mut runs: Vec<Run6>) -> Vec<Run6> {
    // a run's end is found behind those of the runs inside of it
    runs.sort_by_key(|run| (run.first, std::cmp::Reverse(run.last), std::cmp::Reverse(run.level)));
    let mut out: Vec<Run6> = Vec::with_capacity(runs.len());
    let mut open: Vec<Run6> = Vec::new();
    let mut next = 0u128;
    let close = |open: &mut Vec<Run6>, next: &mut u128, until: Option<u128>, out: &mut Vec<Run6>| {
        while let Some(inner) = open.last() {
            let (begin, end) = (inner.first.max(*next), until.map_or(inner.last, |until| inner.last.min(until)));
            if begin <= end {
                out.push(Run6 { first: begin, last: end, ..*inner });
            }
            if until.is_some_and(|until| until < inner.last) {
                *next = end.saturating_add(1).max(*next);
                return;
            }
            *next = inner.last.saturating_add(1).max(*next);
            open.pop();
        }
    };
    for run in runs {
        if let Some(before) = run.first.predecessor() {
            close(&mut open, &mut next, Some(before), &mut out);
        }
        next = next.max(run.first);
        open.push(run);
    }
    close(&mut open, &mut next, None, &mut out);
    out
}

/// Cuts runs at guards.
fn guarded(runs: Vec<Run6>, guards: &Guards) -> Vec<Run6> {
    let mut out = Vec::with_capacity(runs.len());
    for run in runs {
        let ranges = guards.ranges6();
        let begin = ranges.partition_point(|range| range.last < run.first);
        let mut next = Some(run.first);
        let mut part = |first: u128, last: u128, class: Class| {
            let state = cap(run.state, class, InClouds::Watch);
            if state > State::None {
                out.push(Run6 { first, last, state, class, ..run });
            }
        };
        for range in ranges[begin..].iter().take_while(|range| range.first <= run.last) {
            if let Some(first) = next.filter(|&first| first < range.first) {
                part(first, range.first - 1, Class::Normal);
            }
            part(range.first.max(run.first), range.last.min(run.last), range.value.class);
            next = range.last.min(run.last).successor();
        }
        if let Some(first) = next.filter(|&first| first <= run.last) {
            part(first, run.last, Class::Normal);
        }
    }
    out
}

/// Addresses of a /64 that `watch` takes from one group.
const UNIT_ADDRESSES: u32 = 2;
/// Bad units of a /56 that `watch` takes.
const SMALL_UNITS: u32 = 3;
/// Bad /56s of a /48 that `watch` takes, or else [`LARGE_UNITS`].
const LARGE_PARTS: u32 = 3;
/// Bad units of a /48 that `watch` takes, or else [`LARGE_PARTS`].
const LARGE_UNITS: u32 = 8;
/// Bad units of an announced prefix that `watch` takes.
const PREFIX_UNITS: u32 = 50;
/// Bad /48s that they must be spread over.
const PREFIX_PARTS: u32 = 8;
/// The quantile of a 5 % lower bound.
const Z: f64 = 1.645;
