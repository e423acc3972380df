//! Flapping: blocks that enter a set, leave it and enter it again within a month.
//!
//! Invariant: sets come in the order of their times; a block that is in the first one has entered there.

use std::collections::HashMap;

/// Counts entries over a row of sets.
#[derive(Clone, Debug, Default)]
pub struct Flapping {
    /// For each /24, as an address shifted right by 8: how often it entered, and the last set that had it.
    entries: HashMap<u32, (u32, usize)>,
    sets: usize,
    sizes: usize,
}

impl Flapping {
    /// Takes the set of the next time, each block once.
    pub fn add(&mut self, blocks: impl Iterator<Item = u32>) {
        self.sets += 1;
        for block in blocks {
            self.sizes += 1;
            let (entries, last) = self.entries.entry(block).or_default();
            if *last + 1 != self.sets || *entries == 0 {
                *entries += 1;
            }
            *last = self.sets;
        }
    }

    /// How many blocks entered more than once.
    pub fn again(&self) -> usize {
        self.entries.values().filter(|(entries, _)| *entries > 1).count()
    }

    /// The mean size of a set.
    pub fn mean_size(&self) -> f64 {
        self.sizes as f64 / self.sets.max(1) as f64
    }

    /// Blocks that entered more than once as a share of the mean set.
    pub fn share(&self) -> f64 {
        if self.sizes == 0 { 0.0 } else { self.again() as f64 / self.mean_size() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_comes_back_is_counted_once() {
        let mut flapping = Flapping::default();
        for set in [&[1, 2][..], &[1], &[1, 2, 3], &[1, 3], &[1, 2]] {
            flapping.add(set.iter().copied());
        }
        assert_eq!(flapping.again(), 1);
        assert!((flapping.mean_size() - 2.0).abs() < 1e-9);
        assert!((flapping.share() - 0.5).abs() < 1e-9);
    }
}
