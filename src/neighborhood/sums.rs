//! Sums of decayed arrivals, `a_h = Σ w·2^(−age/h)`, as integers of [`SCALE`] parts.
//!
//! Invariant: the order of addition does not matter, and what was added can be taken back without a trace.

use super::arrivals::Known;
use crate::evidence::Time;

/// Decayed arrivals of a block, one for each half-life; see [`SCALE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decayed<N> {
    pub(super) d1: N,
    pub(super) d7: N,
    pub(super) d14: N,
    pub(super) d30: N,
    pub(super) d60: N,
    pub(super) d120: N,
    /// With the half-life of 7 days, of new addresses alone.
    pub(super) new7: N,
}

impl Decayed<u32> {
    /// Of a single address.
    pub(super) fn of(known: &Known, at: Time) -> Self {
        let age = at.days_since(known.arrival);
        // most other half-lives are squares of these two
        let (d120, d14) = ((-age / 120.0).exp2(), (-age / 14.0).exp2());
        let (d60, d7) = (d120 * d120, d14 * d14);
        let fixed = |part: f64| (part * known.weight * SCALE).round() as u32;
        Self {
            d1: fixed((-age).exp2()),
            d7: fixed(d7),
            d14: fixed(d14),
            d30: fixed(d60 * d60),
            d60: fixed(d60),
            d120: fixed(d120),
            new7: if known.is_new { fixed(d7) } else { 0 },
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.d1 += other.d1;
        self.d7 += other.d7;
        self.d14 += other.d14;
        self.d30 += other.d30;
        self.d60 += other.d60;
        self.d120 += other.d120;
        self.new7 += other.new7;
    }
}

/// The sums that nodes above a /24 have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) d1: u64,
    pub(super) d14: u64,
    pub(super) d60: u64,
    pub(super) d120: u64,
}

impl Sums {
    pub(super) fn add(&mut self, block: &Decayed<u32>) {
        self.d1 += u64::from(block.d1);
        self.d14 += u64::from(block.d14);
        self.d60 += u64::from(block.d60);
        self.d120 += u64::from(block.d120);
    }

    pub(super) fn take_back(&mut self, block: &Decayed<u32>) {
        self.d1 -= u64::from(block.d1);
        self.d14 -= u64::from(block.d14);
        self.d60 -= u64::from(block.d60);
        self.d120 -= u64::from(block.d120);
    }
}

/// a ln a in parts.
pub(super) fn a_ln_a(sum: u32) -> i64 {
    let a = unscaled(sum);
    if a > 0.0 { (a * a.ln() * SCALE).round() as i64 } else { 0 }
}

/// A sum as a number of addresses.
pub(super) fn unscaled(sum: impl Into<u64>) -> f64 {
    sum.into() as f64 / SCALE
}

/// An address is so many parts of a sum: a /24 of the weightiest addresses fits 32 bits, and the part of one that
/// arrived a half-life of a day ago three weeks before is not yet lost.
pub(super) const SCALE: f64 = (1 << 22) as f64;
