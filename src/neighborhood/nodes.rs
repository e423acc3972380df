//! The nodes of the tree: /28, /24, announced prefix, ASN, and everything; for each what its addresses come to.
//!
//! Exposure is counted in announced /24s. Only nodes with evidence are kept, but for two numbers a
//! route; dense arrays and merges of sorted ones take the place of trees.
//!
//! Invariant: everything is sorted by address; a block's leaves stand together and in the same order as the blocks.
//! Addresses that nobody announces, and those whose guard says that they do not count, are in no sum, nor is a /24
//! wholly under such a guard in any exposure.

use super::arrivals::{self, Counts, Known};
use super::floods;
use super::guards::{Class, GuardRange, Guards};
use super::model::{Above, Surroundings};
use super::routes::Routes;
use super::sums::{Decayed, Sums, a_ln_a};
use crate::evidence::{Evidence, Family, Time};

/// A /24 with history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// The address shifted right by 8.
    pub(super) block: u32,
    /// The route around it, by index.
    pub(super) route: u32,
    /// Its first leaf.
    pub(super) leaf: u32,
    pub(super) decayed: Decayed<u32>,
    /// The weeks with an arrival, counted back.
    pub(super) weeks: u32,
    /// Distinct addresses in the history.
    pub(super) addresses: u16,
    pub(super) counts: Counts,
}

/// A /28 with history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The address shifted right by 4.
    pub(super) leaf: u32,
    pub(super) d14: u32,
    pub(super) d60: u32,
    /// Arrivals in the history.
    pub(super) arrivals: u32,
    /// Distinct addresses in the history.
    pub(super) addresses: u8,
    /// Addresses that were listed in the last 30 days.
    pub(super) recent: u8,
}

/// An announced prefix with history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prefix {
    /// The route, by index.
    pub(super) route: u32,
    pub(super) sums: Sums,
    /// /24s with history.
    pub(super) active: u32,
    /// Σ a ln a over its /24s, of a_60, in parts as sums are: what its entropy is made of.
    pub(super) a_ln_a: i64,
    pub(super) counts: Counts,
}

impl Prefix {
    /// One without history yet.
    pub(super) fn new(route: u32) -> Self {
        Self { route, sums: Sums::default(), active: 0, a_ln_a: 0, counts: Counts::default() }
    }

    pub(super) fn add(&mut self, block: &Block) {
        self.sums.add(&block.decayed);
        self.active += 1;
        self.a_ln_a += a_ln_a(block.decayed.d60);
        self.counts.add(&block.counts);
    }

    /// Takes back what [`Self::add`] added, but for the days and groups, which others may have had too.
    pub(super) fn take_back(&mut self, block: &Block) {
        self.sums.take_back(&block.decayed);
        self.active -= 1;
        self.a_ln_a -= a_ln_a(block.decayed.d60);
        self.counts.take_back(&block.counts);
    }
}

/// An ASN.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asn {
    pub(super) asn: u32,
    /// Announced /24s.
    pub(super) exposure: u32,
    pub(super) sums: Sums,
    /// /24s with history.
    pub(super) active: u32,
    /// Prefixes with history.
    pub(super) active_prefixes: u32,
    pub(super) counts: Counts,
}

impl Asn {
    pub(super) fn add(&mut self, block: &Block) {
        self.sums.add(&block.decayed);
        self.active += 1;
        self.counts.add(&block.counts);
    }

    /// As [`Prefix::take_back`].
    pub(super) fn take_back(&mut self, block: &Block) {
        self.sums.take_back(&block.decayed);
        self.active -= 1;
        self.counts.take_back(&block.counts);
    }
}

/// All nodes of a family at a time.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    pub(super) blocks: Vec<Block>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) prefixes: Vec<Prefix>,
    /// For each route, its place in `prefixes`, or [`NO_PREFIX`].
    prefix_of: Vec<u32>,
    /// For each route, the announced /24s whose longest route it is.
    pub(super) exposures: Vec<u32>,
    /// For each route, its place in `asns`.
    asn_of: Vec<u32>,
    pub(super) asns: Vec<Asn>,
    /// Everything: the sums, and the announced /24s.
    pub(super) root: Asn,
    active: Active,
    /// /24s, first and last, that are in no exposure.
    uncounted: Vec<(u32, u32)>,
}

impl Nodes {
    /// Sums up the evidence of a family at a time.
    pub(super) fn sum(evidence: &Evidence, family: Family, routes: &Routes, guards: &Guards, at: Time) -> Self {
        let (blocks, leaves) = sum_blocks(evidence, family, guards, at);
        let mut nodes = Self {
            blocks: Vec::with_capacity(blocks.len()),
            leaves: Vec::with_capacity(leaves.len()),
            prefixes: Vec::new(),
            prefix_of: vec![NO_PREFIX; routes.routes4().len()],
            exposures: vec![0; routes.routes4().len()],
            asn_of: Vec::with_capacity(routes.routes4().len()),
            asns: Vec::new(),
            root: Asn::default(),
            active: Active::default(),
            uncounted: uncounted(guards),
        };
        nodes.take_asns(routes);
        nodes.place(blocks, &leaves, routes);
        nodes.sum_up(routes);
        nodes
    }

    fn take_asns(&mut self, routes: &Routes) {
        let mut numbers: Vec<u32> = routes.routes4().iter().map(|route| route.asn).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let place = |asn| numbers.binary_search(&asn).expect("the numbers are those of the routes") as u32;
        self.asn_of.extend(routes.routes4().iter().map(|route| place(route.asn)));
        self.asns = numbers.iter().map(|&asn| Asn { asn, ..Asn::default() }).collect();
    }

    /// Counts exposures, and keeps of the blocks those that somebody announces.
    fn place(&mut self, blocks: Vec<Block>, leaves: &[Leaf], routes: &Routes) {
        let mut blocks = blocks.into_iter().peekable();
        let (exposures, uncounted) = (&mut self.exposures, &self.uncounted);
        each_run(routes, uncounted, |first, last, route| {
            exposures[route] += last - first + 1;
            while blocks.next_if(|block| block.block < first).is_some() {}
            while let Some(mut block) = blocks.next_if(|block| block.block <= last) {
                block.route = route as u32;
                let begin = block.leaf as usize;
                block.leaf = self.leaves.len() as u32;
                let own = leaves[begin..].iter().take_while(|leaf| leaf.leaf >> 4 == block.block);
                self.leaves.extend(own.cloned());
                self.active.set(block.block);
                self.blocks.push(block);
            }
        });
    }

    fn sum_up(&mut self, routes: &Routes) {
        for (route, &exposure) in self.exposures.iter().enumerate() {
            self.asns[self.asn_of[route] as usize].exposure += exposure;
            self.root.exposure += exposure;
        }
        for block in &self.blocks {
            let asn = &mut self.asns[self.asn_of[block.route as usize] as usize];
            let place = &mut self.prefix_of[block.route as usize];
            if *place == NO_PREFIX {
                *place = self.prefixes.len() as u32;
                self.prefixes.push(Prefix::new(block.route));
                asn.active_prefixes += 1;
            }
            let prefix = &mut self.prefixes[*place as usize];
            prefix.add(block);
            for node in [asn, &mut self.root] {
                node.add(block);
            }
        }
        debug_assert_eq!(routes.routes4().len(), self.exposures.len());
    }

    /// The prefix node of a route, if it has history.
    pub(super) fn prefix(&self, route: usize) -> Option<&Prefix> {
        self.prefixes.get(self.prefix_of[route] as usize)
    }

    /// Where the prefix node of a route stands; behind the last one if it has none.
    pub(super) fn prefix_index(&self, route: usize) -> usize {
        self.prefix_of[route] as usize
    }

    /// Where the ASN of a route stands.
    pub(super) fn asn_index(&self, route: usize) -> usize {
        self.asn_of[route] as usize
    }

    /// The ASN of a route.
    pub(super) fn asn(&self, route: usize) -> &Asn {
        &self.asns[self.asn_index(route)]
    }

    /// What is above a /24 of a route, and how many /24s around it have history.
    pub(super) fn surroundings(&self, routes: &Routes, route: usize, around: (u32, u32)) -> Surroundings {
        let above = |node: &Asn| Above { sums: node.sums, exposure: node.exposure, active: node.active };
        let prefix = self.prefix(route);
        Surroundings {
            length: routes.routes4()[route].length,
            exposure: self.exposures[route],
            prefix: prefix.map_or_else(Sums::default, |prefix| prefix.sums),
            a_ln_a: prefix.map_or(0, |prefix| prefix.a_ln_a),
            asn: above(self.asn(route)),
            root: above(&self.root),
            outside: (0, 0),
            around,
        }
    }

    /// As [`Self::surroundings`] of this /24, with what stands around it.
    pub(super) fn surroundings_of(&self, routes: &Routes, route: usize, block: u32) -> Surroundings {
        let outside = self.around(block).iter().filter(|other| other.block >> 2 != block >> 2);
        let outside = outside.fold((0u64, 0u64), |(d14, d60), other| {
            (d14 + u64::from(other.decayed.d14), d60 + u64::from(other.decayed.d60))
        });
        Surroundings { outside, ..self.surroundings(routes, route, self.active_around(block)) }
    }

    /// The leaves of a block.
    pub(super) fn leaves_of(&self, index: usize) -> &[Leaf] {
        let begin = self.blocks[index].leaf as usize;
        let end = self.blocks.get(index + 1).map_or(self.leaves.len(), |next| next.leaf as usize);
        &self.leaves[begin..end]
    }

    /// Where a /24 stands if it has history.
    pub(super) fn find(&self, block: u32) -> Option<usize> {
        self.blocks.binary_search_by_key(&block, |node| node.block).ok()
    }

    /// Whether a /24 is in an exposure if it is announced.
    pub(super) fn counts(&self, block: u32) -> bool {
        let behind = self.uncounted.partition_point(|range| range.0 <= block);
        self.uncounted[..behind].last().is_none_or(|range| range.1 < block)
    }

    /// The blocks with history of the /20 around a /24.
    fn around(&self, block: u32) -> &[Block] {
        let begin = self.blocks.partition_point(|node| node.block >> 4 < block >> 4);
        let inside = self.blocks[begin..].iter().take(16).take_while(|node| node.block >> 4 == block >> 4).count();
        &self.blocks[begin..begin + inside]
    }

    /// How many /24s with history are among the three others of a /24's /22, and in the rest of its /20.
    pub(super) fn active_around(&self, block: u32) -> (u32, u32) {
        let whole = self.active.of_20(block);
        let of_22 = whole >> (block & 12) & 15;
        let own = u32::from(whole >> (block & 15) & 1);
        (of_22.count_ones() - own, whole.count_ones() - of_22.count_ones())
    }

    /// Hands on the runs of announced /24s that are in an exposure: first, last, route.
    pub(super) fn each_run(&self, routes: &Routes, take: impl FnMut(u32, u32, usize)) {
        each_run(routes, &self.uncounted, take);
    }
}

/// Which /24s have history: a bit each.
#[derive(Clone, Debug)]
struct Active(Vec<u16>);

impl Default for Active {
    fn default() -> Self {
        Self(vec![0; 1 << 20])
    }
}

impl Active {
    fn set(&mut self, block: u32) {
        self.0[(block >> 4) as usize] |= 1 << (block & 15);
    }

    /// The 16 bits of the /20 around a /24.
    fn of_20(&self, block: u32) -> u16 {
        self.0[(block >> 4) as usize]
    }
}

/// Sums up addresses to leaves and blocks, whether announced or not.
fn sum_blocks(evidence: &Evidence, family: Family, guards: &Guards, at: Time) -> (Vec<Block>, Vec<Leaf>) {
    let mut summing = Summing::new(guards, at, 0);
    let floods = floods::flooded(evidence, at);
    let mut floods = floods.into_iter().peekable();
    arrivals::each_address(evidence, family, at, |address, known| {
        while floods.next_if(|flood| flood.0 < address >> 16).is_some() {}
        let flooding = floods.peek().filter(|flood| flood.0 == address >> 16).map_or(0, |flood| flood.1);
        summing.add(address, known, flooding);
    });
    (summing.blocks, summing.leaves)
}

/// Addresses, ascending, on their way to leaves and blocks.
pub(super) struct Summing<'g> {
    blocks: Vec<Block>,
    leaves: Vec<Leaf>,
    /// The guards from the last address on.
    guards: &'g [GuardRange<u32>],
    at: Time,
    voices: Voices,
}

impl<'g> Summing<'g> {
    /// Nothing yet; the addresses to come are not below `first`.
    pub(super) fn new(guards: &'g Guards, at: Time, first: u32) -> Self {
        let ranges = guards.ranges4();
        let guards = &ranges[ranges.partition_point(|range| range.last < first)..];
        Self { blocks: Vec::new(), leaves: Vec::new(), guards, at, voices: Voices::default() }
    }

    /// The one block that all addresses were in; none if none of them counts.
    pub(super) fn into_block(mut self) -> Option<(Block, Vec<Leaf>)> {
        self.blocks.pop().map(|block| (block, self.leaves))
    }

    /// Takes an address; some groups, a bit each, flood its network and attest nothing there.
    pub(super) fn add(&mut self, address: u32, known: &Known, flooding: u64) {
        while let [range, rest @ ..] = self.guards
            && range.last < address
        {
            self.guards = rest;
        }
        if self.guards.first().is_some_and(|range| range.first <= address && !counts(range.value.class)) {
            return;
        }
        let Self { blocks, leaves, voices, .. } = self;
        let counts = known.counts.without(flooding);
        let decayed = Decayed::of(known, self.at);
        if leaves.last().is_none_or(|leaf| leaf.leaf != address >> 4) {
            leaves.push(Leaf { leaf: address >> 4, d14: 0, d60: 0, arrivals: 0, addresses: 0, recent: 0 });
        }
        if blocks.last().is_none_or(|block| block.block != address >> 8) {
            blocks.push(Block {
                block: address >> 8,
                route: 0,
                leaf: leaves.len() as u32 - 1,
                decayed: Decayed::default(),
                weeks: 0,
                addresses: 0,
                counts: Counts::default(),
            });
            voices.clear();
        }
        if let (Some(leaf), Some(block)) = (leaves.last_mut(), blocks.last_mut()) {
            leaf.d14 += decayed.d14;
            leaf.d60 += decayed.d60;
            leaf.arrivals += known.arrivals;
            leaf.addresses += 1;
            leaf.recent += u8::from(known.is_recent);
            block.decayed.add(&decayed);
            block.weeks |= known.weeks;
            block.addresses += 1;
            block.counts.add(&counts);
            block.counts.sole = block.counts.sole.max(voices.hear(&counts));
        }
    }
}

/// How many addresses of a block each group alone named.
#[derive(Default)]
struct Voices(Vec<(u64, u32)>);

impl Voices {
    fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts an address; how many the group has that alone named it, or 0.
    fn hear(&mut self, counts: &Counts) -> u32 {
        let Some(group) = counts.sole_group() else { return 0 };
        let at = self.0.iter().position(|&(known, _)| known == group).unwrap_or_else(|| {
            self.0.push((group, 0));
            self.0.len() - 1
        });
        self.0[at].1 += 1;
        self.0[at].1
    }
}

/// Whether reports of an address of this class count in its neighborhood.
pub(super) fn counts(class: Class) -> bool {
    !matches!(class, Class::Never | Class::Research)
}

/// The /24s wholly under guards that do not count: first and last, ascending and disjoint.
fn uncounted(guards: &Guards) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for range in guards.ranges4().iter().filter(|range| !counts(range.value.class)) {
        let (first, end) = (u64::from(range.first), u64::from(range.last) + 1);
        match ranges.last_mut() {
            Some(last) if last.1 == first => last.1 = end,
            _ => ranges.push((first, end)),
        }
    }
    let blocks = ranges.into_iter().map(|(first, end)| (first.div_ceil(256), end / 256));
    blocks.filter(|(first, end)| first < end).map(|(first, end)| (first as u32, end as u32 - 1)).collect()
}

/// Hands on the runs of announced /24s without the uncounted ones.
fn each_run(routes: &Routes, uncounted: &[(u32, u32)], mut take: impl FnMut(u32, u32, usize)) {
    let mut at = 0;
    for (first, last, route) in routes.runs_24() {
        while uncounted.get(at).is_some_and(|range| range.1 < first) {
            at += 1;
        }
        let mut next = first;
        for &(hole_first, hole_last) in uncounted[at..].iter().take_while(|range| range.0 <= last) {
            if next < hole_first {
                take(next, hole_first - 1, route);
            }
            next = hole_last + 1;
        }
        if next <= last {
            take(next, last, route);
        }
    }
}

/// Stands for no prefix node.
const NO_PREFIX: u32 = u32::MAX;
