//! The judgement of a family at a time: a rate for every announced /24, a lift, and states.
//!
//! It is immutable, and holds what its answers can be recomputed from. Invariant: equal evidence, routes, guards,
//! parameters and time give equal judgements, bit for bit; what happened after the time is not looked at. The mean of
//! the lift over announced space is 1, so that a lift is free of how much a feed reports.

use std::sync::Arc;

use super::guards::Guards;
use super::model;
use super::moved::Moved;
use super::nodes::{Asn, Nodes};
use super::parameters::{LeafTerms, MOST_UNTOUCHED, Parameters, TouchedTerms, UntouchedTerms};
use super::previous::Previous;
use super::returning::Returning;
use super::routes::Routes;
use super::states::{Rules, State};
use super::{Counts, arrivals};
use crate::evidence::{Evidence, Family, Time};

/// The judgement of a family at a time.
///
/// What was judged is shared, so that a judgement that reports have moved costs only what they moved.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Whose evidence.
    pub family: Family,
    /// What is known is what was known then.
    pub at: Time,
    /// Which prefixes are announced.
    pub routes: Arc<Routes>,
    /// What may not inherit.
    pub guards: Arc<Guards>,
    /// The numbers of the method.
    pub parameters: Parameters,
    pub(super) nodes: Arc<Nodes>,
    /// For each of the nodes' blocks.
    pub(super) verdicts: Arc<Vec<BlockVerdict>>,
    /// For each route, the rate of one of its /24s without history and with nothing around it.
    pub(super) untouched: Arc<Vec<f64>>,
    /// For each of the nodes' prefixes: mean lift and state.
    pub(super) prefixes: Arc<Vec<(f64, State)>>,
    /// For each of the nodes' ASNs.
    pub(super) asns: Arc<Vec<(f64, State)>>,
    /// The mean rate of an announced /24.
    pub(super) mean: f64,
    /// Trusted groups that feed the family.
    pub(super) groups: u32,
    pub(super) previous: Arc<Previous>,
    /// Addresses that may come back, ascending.
    pub(super) returning: Arc<Vec<Returning>>,
    factors: Factors,
    /// What has changed since.
    pub(super) moved: Moved,
}

/// What is judged of a /24 with history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BlockVerdict {
    /// Expected new bad addresses in the next 7 days.
    pub(super) rate: f64,
    pub(super) state: State,
}

impl Judgement {
    /// Judges a family of the evidence at a time. States of the `previous` judgement are left later than they are
    /// entered.
    pub fn judge(
        evidence: &Evidence,
        family: Family,
        routes: &Arc<Routes>,
        guards: &Arc<Guards>,
        parameters: &Parameters,
        at: Time,
        previous: &Arc<Previous>,
    ) -> Self {
        let nodes = Nodes::sum(evidence, family, routes, guards, at);
        let groups = nodes.root.counts.groups_among(arrivals::trusted_groups(&evidence.sources));
        let mut judgement = Self {
            family,
            at,
            routes: Arc::clone(routes),
            guards: Arc::clone(guards),
            parameters: parameters.clone(),
            nodes: Arc::new(nodes),
            verdicts: Arc::default(),
            untouched: Arc::default(),
            prefixes: Arc::default(),
            asns: Arc::default(),
            mean: 0.0,
            groups,
            previous: Arc::clone(previous),
            returning: Arc::default(),
            factors: Factors::new(parameters),
            moved: Moved::default(),
        };
        if judgement.nodes.root.sums.d120 > 0 {
            judgement.rate();
            judgement.decide();
            judgement.returning = Arc::new(judgement.find_returning(evidence));
        }
        judgement
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules { thresholds: &self.parameters.thresholds, groups: self.groups }
    }

    /// Whether there is no evidence at all, so that no rate can be said.
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    /// The mean rate of an announced /24, which has lift 1.
    pub fn mean_rate(&self) -> f64 {
        self.mean
    }

    /// How many times the mean a rate of so many /24s is.
    pub(super) fn lift(&self, rate: f64, blocks: f64) -> f64 {
        if self.mean > 0.0 { rate / blocks / self.mean } else { 0.0 }
    }

    /// The rate of a /24 without history of a route, given how many /24s around it have one.
    ///
    /// Only two terms of a route's /24s differ, so there is one sum a route and not one a block.
    pub(super) fn untouched_rate(&self, route: usize, around: (u32, u32)) -> f64 {
        (self.untouched[route] * self.factors.of(around)).min(MOST_UNTOUCHED)
    }

    fn rate(&mut self) {
        let coefficients = &self.parameters.coefficients;
        let verdicts = self.nodes.blocks.iter().map(|block| {
            let rate = self.model(block.block, block.route as usize).rate(block);
            BlockVerdict { rate, state: State::None }
        });
        let verdicts: Vec<BlockVerdict> = verdicts.collect();
        let untouched = (0..self.routes.routes4().len()).map(|route| {
            if self.nodes.exposures[route] > 0 {
                let model = self.model_in(self.nodes.surroundings(&self.routes, route, (0, 0)));
                model::rate(model::dot(&coefficients.untouched, &model.untouched_terms(None)))
            } else {
                0.0
            }
        });
        let untouched = untouched.collect();
        (self.verdicts, self.untouched) = (Arc::new(verdicts), Arc::new(untouched));
    }

    /// Sums rates up to means, and comes to states.
    fn decide(&mut self) {
        let mut sums = vec![0.0; self.routes.routes4().len()];
        let mut next = 0;
        self.nodes.each_run(&self.routes, |first, last, route| {
            let sum = &mut sums[route];
            self.each_piece(first, last, &mut next, |piece_first, piece_last, piece| {
                *sum += match piece {
                    Piece::Touched(index) => self.verdicts[index].rate,
                    Piece::Untouched(around) => {
                        f64::from(piece_last - piece_first + 1) * self.untouched_rate(route, around)
                    }
                };
            });
        });
        self.mean = sums.iter().sum::<f64>() / f64::from(self.nodes.root.exposure.max(1));
        let mut asn_sums = vec![0.0; self.nodes.asns.len()];
        for (route, sum) in sums.iter().enumerate() {
            asn_sums[self.nodes.asn_index(route)] += sum;
        }
        let rules = self.rules();
        let verdicts = self.nodes.blocks.iter().zip(&*self.verdicts).map(|(block, &BlockVerdict { rate, .. })| {
            let before = self.previous.state(block.block);
            BlockVerdict { rate, state: rules.block(self.lift(rate, 1.0), &block.counts, before) }
        });
        let verdicts = verdicts.collect();
        let prefixes = self.nodes.prefixes.iter().map(|prefix| {
            let route = prefix.route as usize;
            let exposure = self.nodes.exposures[route];
            let lift = self.lift(sums[route], f64::from(exposure));
            (lift, rules.prefix(lift, prefix, self.routes.routes4()[route].length, exposure))
        });
        let prefixes = prefixes.collect();
        let judge_asn = |(asn, sum): (&Asn, &f64)| {
            let lift = self.lift(*sum, f64::from(asn.exposure.max(1)));
            (lift, rules.asn(lift, asn))
        };
        let asns = self.nodes.asns.iter().zip(&asn_sums).map(judge_asn).collect();
        (self.prefixes, self.asns) = (Arc::new(prefixes), Arc::new(asns));
        self.verdicts = Arc::new(verdicts);
    }

    /// Hands on the pieces of a run of announced /24s: each block with history, and runs of those without that are
    /// equal. `next` is the first block with history that may be in the run, and is moved behind it.
    pub(super) fn each_piece(&self, first: u32, last: u32, next: &mut usize, mut take: impl FnMut(u32, u32, Piece)) {
        let blocks = &self.nodes.blocks;
        while blocks.get(*next).is_some_and(|block| block.block < first) {
            *next += 1;
        }
        let mut at = first;
        while at <= last {
            let touched = blocks.get(*next).map_or(u32::MAX, |block| block.block);
            if at == touched {
                take(at, at, Piece::Touched(*next));
                *next += 1;
                at += 1;
                continue;
            }
            // up to the next /20 with history everything is alike; within one, each /24 for itself
            let own_20 = *next > 0 && blocks[*next - 1].block >> 4 == at >> 4;
            let end = if own_20 || touched >> 4 == at >> 4 {
                at
            } else if touched == u32::MAX {
                last
            } else {
                last.min((touched >> 4 << 4) - 1)
            };
            take(at, end, Piece::Untouched(self.nodes.active_around(at)));
            at = end + 1;
        }
    }

    /// Every /24 with history: what a fit needs to know.
    pub fn touched(&self) -> impl Iterator<Item = TouchedBlock> {
        self.nodes.blocks.iter().zip(&*self.verdicts).map(|(block, verdict)| TouchedBlock {
            block: block.block,
            route: block.route as usize,
            rate: verdict.rate,
            state: verdict.state,
            counts: block.counts,
            terms: self.model(block.block, block.route as usize).touched_terms(block),
        })
    }

    /// Hands on every /24 with history, its rate, and its /28s with their terms.
    pub fn each_block_with_leaves(&self, mut take: impl FnMut(u32, f64, &[(u32, LeafTerms)])) {
        let mut leaves = Vec::new();
        for (index, (block, verdict)) in self.nodes.blocks.iter().zip(&*self.verdicts).enumerate() {
            leaves.clear();
            leaves.extend(self.nodes.leaves_of(index).iter().map(|leaf| (leaf.leaf, model::leaf_terms(block, leaf))));
            take(block.block, verdict.rate, &leaves);
        }
    }

    /// Hands on every announced /24 without history, in runs that are alike: first, last, rate of one of them, terms.
    /// Terms are made for those runs that `wants` them.
    pub fn each_untouched(
        &self,
        mut wants: impl FnMut(u32, u32) -> bool,
        mut take: impl FnMut(u32, u32, f64, Option<UntouchedTerms>),
    ) {
        // without evidence nothing has a rate
        if self.untouched.is_empty() {
            return;
        }
        let mut next = 0;
        self.nodes.each_run(&self.routes, |first, last, route| {
            self.each_piece(first, last, &mut next, |first, last, piece| {
                if let Piece::Untouched(around) = piece {
                    let model = || self.model_in(self.nodes.surroundings(&self.routes, route, around));
                    let terms = wants(first, last).then(|| model().untouched_terms(None));
                    take(first, last, self.untouched_rate(route, around), terms);
                }
            });
        });
    }
}

/// A /24 with history, and what its rate was made of.
#[derive(Clone, Debug)]
pub struct TouchedBlock {
    /// The address shifted right by 8.
    pub block: u32,
    /// The route around it, by index.
    pub route: usize,
    /// Expected new bad addresses in the next 7 days.
    pub rate: f64,
    /// Its state, before any guard.
    pub state: State,
    /// Its evidence of the last 45 days.
    pub counts: Counts,
    /// The terms; names in [`super::TOUCHED_TERMS`].
    pub terms: TouchedTerms,
}

/// A part of a run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    /// The block with this number.
    Touched(usize),
    /// Blocks without history, with how many in the rest of their /22 and /20 that have one.
    Untouched((u32, u32)),
}

/// What the number of /24s with history around one without multiplies its rate by.
#[derive(Clone, Debug)]
struct Factors {
    of_22: [f64; 4],
    of_20: [f64; 13],
}

impl Factors {
    fn new(parameters: &Parameters) -> Self {
        let [.., c22, c20, _, _, _] = parameters.coefficients.untouched;
        let power = |count: usize, coefficient: f64| (1.0 + count as f64).powf(coefficient);
        Self {
            of_22: std::array::from_fn(|count| power(count, c22)),
            of_20: std::array::from_fn(|count| power(count, c20)),
        }
    }

    fn of(&self, (of_22, of_20): (u32, u32)) -> f64 {
        self.of_22[of_22 as usize] * self.of_20[of_20 as usize]
    }
}
