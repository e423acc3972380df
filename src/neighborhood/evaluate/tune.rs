//! Coefficients of one's own: fitted on weekly windows, and taken only if they foresee a week that they never saw better
//! than those that are shipped.
//!
//! Each window is a judgement and the [`Outcome`] of the week after it. Four regressions: /24s with history; those
//! without, of which all that saw a new address count and a sample of the rest for all; /28s within their /24; addresses
//! that come back. Invariant: the sample depends on the addresses alone, so equal input gives equal coefficients.

use super::bootstrap::SplitMix;
use super::outcome::Outcome;
use super::regression::{Sample, fit};
use crate::neighborhood::{Coefficients, Judgement, LEAF_TERMS, RETURNING_TERMS, TOUCHED_TERMS, UNTOUCHED_TERMS};

/// What windows come to.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    touched: Vec<Sample<{ TOUCHED_TERMS.len() + 1 }>>,
    untouched: Vec<Sample<{ UNTOUCHED_TERMS.len() + 1 }>>,
    leaf: Vec<Sample<{ LEAF_TERMS.len() + 1 }>>,
    returning: Vec<Sample<{ RETURNING_TERMS.len() + 1 }>>,
}

impl Samples {
    /// Takes a window: a judgement, and what came after it.
    pub fn add(&mut self, judgement: &Judgement, outcome: &Outcome) {
        let seen = |block: u32| outcome.count_within(block << 8, block << 8 | 255);
        for block in judgement.touched() {
            let label = seen(block.block).min(MOST_A_BLOCK) as f32;
            self.touched.push(Sample { terms: narrow(&block.terms), label, weight: 1.0, offset: 0.0 });
        }
        let untouched = &mut self.untouched;
        let is_drawn =
            |block: u32| SplitMix(u64::from(block) ^ u64::from(outcome.at.0) << 32).next().is_multiple_of(ONE_OF);
        let is_sample = |block: u32, seen: usize| seen > 0 || is_drawn(block);
        judgement.each_untouched(
            |first, last| (first..=last).any(|block| is_sample(block, seen(block))),
            |first, last, _, terms| {
                let Some(terms) = terms else { return };
                for block in first..=last {
                    let seen = seen(block);
                    if is_sample(block, seen) {
                        let weight = if seen > 0 { 1.0 } else { ONE_OF as f32 };
                        let label = seen.min(MOST_A_BLOCK) as f32;
                        untouched.push(Sample { terms: narrow(&terms), label, weight, offset: 0.0 });
                    }
                }
            },
        );
        self.add_leaves(judgement, outcome);
        let returning = &mut self.returning;
        judgement.each_returning(|address, terms| {
            let label = outcome.count_within(address, address) as f32;
            let is_drawn = SplitMix(u64::from(address)).next().is_multiple_of(ONE_RETURNING_OF);
            if label > 0.0 || is_drawn {
                let weight = if label > 0.0 { 1.0 } else { ONE_RETURNING_OF as f32 };
                returning.push(Sample { terms: narrow(&terms), label, weight, offset: 0.0 });
            }
        });
    }

    fn add_leaves(&mut self, judgement: &Judgement, outcome: &Outcome) {
        judgement.each_block_with_leaves(|block, rate, leaves| {
            if rate < LEAST_SPLIT {
                return;
            }
            let offset = (rate / 16.0).ln() as f32;
            let mut rest = outcome.count_within(block << 8, block << 8 | 255);
            for (leaf, terms) in leaves {
                let seen = outcome.count_within(leaf << 4, leaf << 4 | 15);
                rest -= seen;
                let mut with_intercept = [1.0; LEAF_TERMS.len() + 1];
                with_intercept[..LEAF_TERMS.len()].copy_from_slice(&narrow(terms));
                let label = seen.min(MOST_A_LEAF) as f32;
                self.leaf.push(Sample { terms: with_intercept, label, weight: 1.0, offset });
            }
            let empty = 16 - leaves.len();
            if empty > 0 {
                let mut terms = [0.0; LEAF_TERMS.len() + 1];
                terms[LEAF_TERMS.len()] = 1.0;
                let label = rest as f32 / empty as f32;
                self.leaf.push(Sample { terms, label, weight: empty as f32, offset });
            }
        });
    }

    /// How many observations there are: of /24s with history, of those without, of /28s, of addresses.
    pub fn sizes(&self) -> [usize; 4] {
        [self.touched.len(), self.untouched.len(), self.leaf.len(), self.returning.len()]
    }

    /// Fits all coefficients.
    pub fn fit(&self) -> Coefficients {
        let leaf = fit(&self.leaf, LEAF_RIDGE);
        Coefficients {
            touched: fit(&self.touched, RIDGE),
            untouched: fit(&self.untouched, RIDGE),
            // shares sum to one, so what they have in common is nothing
            leaf: std::array::from_fn(|index| leaf[index]),
            returning: fit(&self.returning, RIDGE),
        }
    }
}

fn narrow<const N: usize>(terms: &[f64; N]) -> [f32; N] {
    terms.map(|term| term as f32)
}

/// A burst in one block is one event, so a block counts for at most so many new addresses.
const MOST_A_BLOCK: usize = 10;
/// The same of a /28.
const MOST_A_LEAF: usize = 8;
/// Of the /24s without history that saw nothing new one of so many is looked at.
const ONE_OF: u64 = 83;
/// Of the addresses that did not come back one of so many.
const ONE_RETURNING_OF: u64 = 10;
/// /24s with less than this rate teach nothing about their /28s.
const LEAST_SPLIT: f64 = 0.02;
/// The ridge of blocks and addresses.
const RIDGE: f64 = 30.0;
/// The ridge of /28s.
const LEAF_RIDGE: f64 = 10.0;
/// What is tried to be added to the intercept of /24s without history: they are fewer after a wave than during it.
pub const INTERCEPT_SHIFTS: [f64; 5] = [0.0, -0.2, -0.4, -0.7, -1.0];
