//! A ranking: blocks from the one that most likely has the next bad address, and how far down it an address stands.
//!
//! Invariant: rows are ordered by rate over space, then by first address, so that equal rates give equal rankings. No
//! two rows overlap. For a fixed amount of space the front of such a ranking is the best choice there is: the gains of
//! blocks add up, and each costs its own space.

use crate::neighborhood::Judgement;

/// A block, or a part of one, and its rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The first address.
    pub first: u32,
    /// The last address.
    pub last: u32,
    /// Expected new bad addresses in it; only the order matters.
    pub rate: f64,
}

impl Row {
    /// A /24, given as an address shifted right by 8.
    pub fn of_24(block: u32, rate: f64) -> Self {
        Self { first: block << 8, last: block << 8 | 255, rate }
    }

    /// How many addresses it has.
    pub fn space(&self) -> u64 {
        u64::from(self.last - self.first) + 1
    }

    fn density(&self) -> f64 {
        self.rate / self.space() as f64
    }
}

/// Blocks, the best first.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    rows: Vec<Row>,
}

impl Ranking {
    /// Ranks what a judgement says of all space whose rate is above the mean, guards considered.
    pub fn of_judgement(judgement: &Judgement) -> Self {
        let mut rows = Vec::new();
        judgement.each_run(true, |run| {
            // runs of many equal /24s are ranked one by one: they tie
            let (mut first, density) = (run.first, run.rate / run.size() as f64);
            loop {
                let last = run.last.min(first | 255);
                let row = Row { first, last, rate: 0.0 };
                rows.push(Row { rate: density * row.space() as f64, ..row });
                if last == run.last {
                    break;
                }
                first = last + 1;
            }
        });
        Self::new(rows)
    }

    /// Ranks blocks that do not overlap.
    pub fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_unstable_by(|a, b| b.density().total_cmp(&a.density()).then(a.first.cmp(&b.first)));
        Self { rows }
    }

    /// The rows, the best first.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// For each address, in ascending order: how many addresses are listed when the ranking is listed down to the
    /// block that it is in; [`NEVER_REACHED`] if it is in no block.
    pub fn reach(&self, addresses: impl Iterator<Item = u32>) -> Vec<u64> {
        let mut space = 0;
        let mut blocks: Vec<(u32, u32, u64)> = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            space += row.space();
            blocks.push((row.first, row.last, space));
        }
        blocks.sort_unstable();
        let mut at = 0;
        let mut find = |address: u32| {
            while blocks.get(at).is_some_and(|&(_, last, _)| last < address) {
                at += 1;
            }
            let block = blocks.get(at).filter(|&&(first, ..)| first <= address);
            block.map_or(NEVER_REACHED, |&(.., space)| space)
        };
        addresses.map(&mut find).collect()
    }

    /// The rows that are listed when `space` addresses are: as many from the front as fit.
    pub fn within(&self, space: u64) -> &[Row] {
        let mut used = 0;
        let fits = self.rows.iter().take_while(|row| {
            used += row.space();
            used <= space
        });
        let count = fits.count();
        &self.rows[..count]
    }
}

/// How many addresses are reached when `space` addresses are listed.
pub fn hits_within(reach: &[u64], space: u64) -> usize {
    reach.iter().filter(|&&reach| reach <= space).count()
}

/// The reach of an address that no space reaches.
pub const NEVER_REACHED: u64 = u64::MAX;
