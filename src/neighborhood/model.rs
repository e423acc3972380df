//! The additive model: how many new bad addresses a /24 will have in the next 7 days.
//!
//! The logarithm of the rate is a sum of named terms times coefficients (Poisson regression); shrunk rates with
//! leave-one-out parents are among the terms. Blocks with history have twelve terms, those without eight, and a /24's
//! rate is shared among its /28s by seven more. As it is a sum it can be printed, and what is printed is what judged:
//! both call the functions here.
//!
//! Invariant: a rate is positive and finite for any evidence; no logarithm of 0 is taken.

use super::nodes::{Block, Leaf};
use super::parameters::{Coefficients, LeafTerms, MOST_UNTOUCHED, Parameters, Shrinkage, TouchedTerms, UntouchedTerms};
use super::sums::{Decayed, SCALE, Sums, a_ln_a, unscaled};

/// What terms are made from besides the block: what is above and around it.
///
/// The numbers are copied from the nodes, so that a block can be judged as if it were the only one that has moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    /// The length of the announced prefix.
    pub(super) length: u8,
    /// Announced /24s of the prefix.
    pub(super) exposure: u32,
    /// The sums of the prefix; zero if it has no history.
    pub(super) prefix: Sums,
    /// See [`Prefix::a_ln_a`](super::nodes::Prefix).
    pub(super) a_ln_a: i64,
    pub(super) asn: Above,
    pub(super) root: Above,
    /// a_14 and a_60 of the rest of the /20, without the /22, which a /24 shares too much with.
    pub(super) outside: (u64, u64),
    /// /24s with history: others of the /22, and in the rest of the /20.
    pub(super) around: (u32, u32),
}

/// The sums of an ASN, or of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Above {
    pub(super) sums: Sums,
    /// Announced /24s.
    pub(super) exposure: u32,
    /// /24s with history.
    pub(super) active: u32,
}

impl Surroundings {
    /// As they are with another history of the one block that is judged, everything else being as it was.
    pub(super) fn moved(mut self, before: Option<&Block>, now: Option<&Block>) -> Self {
        for node in [&mut self.asn, &mut self.root] {
            if let Some(block) = before {
                node.sums.take_back(&block.decayed);
                node.active -= 1;
            }
            if let Some(block) = now {
                node.sums.add(&block.decayed);
                node.active += 1;
            }
        }
        if let Some(block) = before {
            self.prefix.take_back(&block.decayed);
            self.a_ln_a -= a_ln_a(block.decayed.d60);
        }
        if let Some(block) = now {
            self.prefix.add(&block.decayed);
            self.a_ln_a += a_ln_a(block.decayed.d60);
        }
        self
    }
}

/// What makes terms.
#[derive(Clone, Copy)]
pub(super) struct Model<'j> {
    pub(super) surroundings: Surroundings,
    pub(super) parameters: &'j Parameters,
}

/// The shrunk rates above a /24: expected decayed arrivals per /24.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AsnRates {
    pub(super) d1: f64,
    pub(super) d14: f64,
    pub(super) d60: f64,
    pub(super) d120: f64,
}

impl Model<'_> {
    /// The rates of the ASN, each drawn to that of everything.
    pub(super) fn asn_rates(&self) -> AsnRates {
        self.asn_rates_without(&Decayed::default())
    }

    /// As [`Self::asn_rates`], of all but one of its blocks.
    fn asn_rates_without(&self, own: &Decayed<u32>) -> AsnRates {
        let Surroundings { asn, root, .. } = &self.surroundings;
        let strength = self.parameters.shrinkage.asn;
        let exposure = f64::from(asn.exposure);
        let rate = |of_asn: u64, all: u64, own: u32| {
            let base = unscaled(all - u64::from(own)) / f64::from(root.exposure.max(1));
            (unscaled(of_asn - u64::from(own)) + strength * base) / (exposure + strength)
        };
        AsnRates {
            d1: rate(asn.sums.d1, root.sums.d1, own.d1),
            d14: rate(asn.sums.d14, root.sums.d14, own.d14),
            d60: rate(asn.sums.d60, root.sums.d60, own.d60),
            d120: rate(asn.sums.d120, root.sums.d120, own.d120),
        }
    }

    /// The rate of the prefix, drawn to its ASN's.
    pub(super) fn prefix_rate(&self, asn: &AsnRates) -> f64 {
        let strength = self.parameters.shrinkage.prefix;
        let Surroundings { prefix, exposure, .. } = &self.surroundings;
        (unscaled(prefix.d120) + strength * asn.d120) / (f64::from(*exposure) + strength)
    }

    /// The rate of a /24, drawn to its prefix's.
    pub(super) fn block_rate(&self, own: u32, prefix_rate: f64) -> f64 {
        let strength = self.parameters.shrinkage.block;
        (unscaled(own) + strength * prefix_rate) / (1.0 + strength)
    }

    /// The rate of the prefix without one of its /24s, drawn to its ASN's.
    fn siblings_rate(&self, own: u32, asn: &AsnRates) -> f64 {
        let Shrinkage { siblings: strength, .. } = self.parameters.shrinkage;
        let Surroundings { prefix, exposure, .. } = &self.surroundings;
        let others = unscaled(prefix.d14 - u64::from(own));
        (others + strength * asn.d14) / (f64::from(exposure.saturating_sub(1)) + strength)
    }

    /// The terms of a /24 with history.
    pub(super) fn touched_terms(&self, block: &Block) -> TouchedTerms {
        let Surroundings { length, exposure, outside: (b14, b60), .. } = self.surroundings;
        let asn = self.asn_rates();
        let decayed = &block.decayed;
        [
            log(self.block_rate(decayed.d120, self.prefix_rate(&asn))),
            ((unscaled(decayed.d7) + 0.3) / (unscaled(decayed.d30) + 0.6)).ln(),
            (1.0 + f64::from(block.addresses)).ln(),
            ((unscaled(decayed.new7) + 0.1) / (unscaled(decayed.d7) + 0.1)).ln(),
            (1.0 + 2.0 * unscaled(b60)).ln(),
            (1.0 + f64::from(block.weeks.count_ones())).ln(),
            (1.0 + 4.0 * unscaled(b14)).ln(),
            f64::from(u8::from(length == 24)),
            log(asn.d60),
            log(asn.d1),
            log(self.siblings_rate(decayed.d14, &asn)),
            f64::from(exposure.max(1)).ln(),
            1.0,
        ]
    }

    /// The terms of a /24 without history. `own` is a /24 with history that is to be taken as if it had none.
    pub(super) fn untouched_terms(&self, own: Option<&Block>) -> UntouchedTerms {
        let Surroundings { length, asn: node, around: (of_22, of_20), .. } = self.surroundings;
        let decayed = own.map_or_else(Decayed::default, |block| block.decayed);
        let asn = self.asn_rates_without(&decayed);
        let active = node.active - u32::from(own.is_some());
        [
            ((f64::from(active) + 1.0) / (f64::from(node.exposure) + 50.0)).ln(),
            log(asn.d60),
            log(asn.d1),
            log(self.siblings_rate(decayed.d14, &asn)),
            (1.0 + f64::from(of_22)).ln(),
            (1.0 + f64::from(of_20)).ln(),
            (f64::from(length) - 20.0) / 4.0,
            self.entropy(decayed.d60),
            1.0,
        ]
    }

    /// How evenly the prefix's evidence is spread over its /24s, one of them left out: −Σ q ln q.
    fn entropy(&self, own: u32) -> f64 {
        let Surroundings { prefix, a_ln_a: all_a_ln_a, .. } = &self.surroundings;
        let rest = prefix.d60 - u64::from(own);
        if rest == 0 {
            return 0.0;
        }
        let all = unscaled(rest);
        let a_ln_a = (all_a_ln_a - a_ln_a(own)) as f64 / SCALE;
        (all.ln() - a_ln_a / all).max(0.0)
    }

    /// The terms of a /24 with history: as if it had none, if that comes to more. A first report of a block in bad
    /// company must not lower what is to be expected of it.
    pub(super) fn terms(&self, block: &Block) -> Terms {
        let coefficients = &self.parameters.coefficients;
        let touched = self.touched_terms(block);
        let untouched = self.untouched_terms(Some(block));
        if untouched_rate(coefficients, &untouched) > touched_rate(coefficients, &touched) {
            Terms::Untouched(untouched)
        } else {
            Terms::Touched(touched)
        }
    }

    /// The rate of a /24 with history.
    pub(super) fn rate(&self, block: &Block) -> f64 {
        let coefficients = &self.parameters.coefficients;
        match self.terms(block) {
            Terms::Touched(terms) => touched_rate(coefficients, &terms),
            Terms::Untouched(terms) => untouched_rate(coefficients, &terms),
        }
    }
}

/// The share of each /28 in its /24: of those with history in their order, and of each of the others.
pub(super) fn shares(coefficients: &LeafTerms, block: &Block, leaves: &[Leaf]) -> (Vec<f64>, f64) {
    let weights: Vec<f64> = leaves.iter().map(|leaf| dot(coefficients, &leaf_terms(block, leaf)).exp()).collect();
    let others = LEAVES_A_BLOCK - weights.len() as f64;
    let all = weights.iter().sum::<f64>() + others;
    (weights.iter().map(|weight| weight / all).collect(), 1.0 / all)
}

/// The terms of a /28 with history.
pub(super) fn leaf_terms(block: &Block, leaf: &Leaf) -> LeafTerms {
    let room = (LEAF_ADDRESSES - f64::from(leaf.recent)).max(0.5) / LEAF_ADDRESSES;
    let share = |own: u32, all: u32| ((LEAVES_A_BLOCK * unscaled(own) + 1.0) / (unscaled(all) + 1.0)).ln();
    [
        1.0,
        (1.0 + f64::from(leaf.addresses)).ln(),
        room.ln(),
        (1.0 + f64::from(block.addresses)).ln(),
        share(leaf.d60, block.decayed.d60),
        share(leaf.d14, block.decayed.d14),
        (f64::from(leaf.arrivals) / f64::from(leaf.addresses.max(1))).ln(),
    ]
}

/// The terms that a block is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Terms {
    /// As a block with history.
    Touched(TouchedTerms),
    /// As one without.
    Untouched(UntouchedTerms),
}

/// The rate of a /24 with history.
pub(super) fn touched_rate(coefficients: &Coefficients, terms: &TouchedTerms) -> f64 {
    rate(dot(&coefficients.touched, terms))
}

/// The rate of a /24 without history, [`MOST_UNTOUCHED`] at most.
pub(super) fn untouched_rate(coefficients: &Coefficients, terms: &UntouchedTerms) -> f64 {
    rate(dot(&coefficients.untouched, terms)).min(MOST_UNTOUCHED)
}

/// Coefficients times terms, in their order.
pub(super) fn dot<const N: usize>(coefficients: &[f64; N], terms: &[f64; N]) -> f64 {
    coefficients.iter().zip(terms).map(|(coefficient, term)| coefficient * term).sum()
}

pub(super) fn rate(logarithm: f64) -> f64 {
    logarithm.clamp(LOG_LEAST, LOG_MOST).exp()
}

/// The logarithm of a rate that may be 0.
fn log(rate: f64) -> f64 {
    rate.max(LEAST_RATE).ln()
}

/// The /28s of a /24.
pub(super) const LEAVES_A_BLOCK: f64 = 16.0;
/// The addresses of a /28.
const LEAF_ADDRESSES: f64 = 16.0;
/// A shrunk rate below this is none: it comes of a family that nobody reported on lately.
const LEAST_RATE: f64 = 1e-9;
/// The bounds of a rate's logarithm, as in the fit.
const LOG_LEAST: f64 = -25.0;
/// See [`LOG_LEAST`].
const LOG_MOST: f64 = 8.0;
