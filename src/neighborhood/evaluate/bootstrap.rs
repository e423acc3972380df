//! Intervals: how far a ratio of recalls would move with other networks in the sample.
//!
//! Arrivals come in bursts by network, so whole ASNs are drawn with replacement (a cluster bootstrap; Davison and
//! Hinkley 1997, section 3.8), the same draw for every time and baseline. Invariant: the seed is fixed, so equal input
//! gives equal intervals.

use std::collections::BTreeMap;

use super::outcome::Outcome;

/// The numbers of the ASNs that new addresses stand in, over all times.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    numbers: BTreeMap<u32, usize>,
}

impl Clusters {
    /// Numbers the ASNs of these outcomes.
    pub fn new<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Self {
        let mut numbers = BTreeMap::new();
        for new in outcomes.flat_map(|outcome| &outcome.new) {
            let next = numbers.len();
            numbers.entry(new.asn).or_insert(next);
        }
        Self { numbers }
    }

    /// For each ASN how many of an outcome's addresses are hit by the first, and by the second.
    pub fn count(&self, outcome: &Outcome, hit: impl Fn(usize) -> (bool, bool)) -> Vec<(f64, f64)> {
        let mut counts = vec![(0.0, 0.0); self.numbers.len()];
        for (index, new) in outcome.new.iter().enumerate() {
            let Some(count) = self.numbers.get(&new.asn).and_then(|&number| counts.get_mut(number)) else { continue };
            let (first, second) = hit(index);
            count.0 += f64::from(u8::from(first));
            count.1 += f64::from(u8::from(second));
        }
        counts
    }

    /// For each column, a list of tables by time, the interval of the mean over times of `first / second`.
    pub fn intervals(&self, columns: &[Vec<Vec<(f64, f64)>>]) -> Vec<(f64, f64)> {
        let mut ratios: Vec<Vec<f64>> = vec![Vec::with_capacity(DRAWS); columns.len()];
        let mut random = SplitMix(SEED);
        let mut weights = vec![0.0; self.numbers.len()];
        for _ in 0..DRAWS {
            weights.fill(0.0);
            for _ in 0..weights.len() {
                let drawn = (random.next() >> 33) as usize % weights.len();
                weights[drawn] += 1.0;
            }
            for (column, ratios) in columns.iter().zip(&mut ratios) {
                let of_time = column.iter().map(|table| {
                    let sum = |(a, b): (f64, f64), (&(first, second), weight): (&(f64, f64), &f64)| {
                        (a + weight * first, b + weight * second)
                    };
                    let (first, second) = table.iter().zip(&weights).fold((0.0, 0.0), sum);
                    first / second
                });
                let ratio = of_time.sum::<f64>() / column.len() as f64;
                if ratio.is_finite() {
                    ratios.push(ratio);
                }
            }
        }
        let interval = |mut ratios: Vec<f64>| {
            ratios.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| ratios.get(((ratios.len() as f64 - 1.0) * share).round() as usize).copied();
            (at(TAIL).unwrap_or(f64::NAN), at(1.0 - TAIL).unwrap_or(f64::NAN))
        };
        ratios.into_iter().map(interval).collect()
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// How often is drawn: a percentile at the tail rests on 25 draws.
const DRAWS: usize = 1000;
/// What lies outside of an interval on each side.
const TAIL: f64 = 0.025;
/// Any number.
const SEED: u64 = 20_261_127;
