//! What became of the blocks in a state: how many saw a new bad address.
//!
//! Invariant: a /24 counts once, in the worst state that a part of it is in, guards considered.

use super::good::merged;
use super::outcome::Outcome;
use crate::neighborhood::{Judgement, State};

/// The /24s in a state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateFigure {
    /// The state.
    pub state: State,
    /// How many /24s are in it.
    pub blocks: usize,
    /// How many addresses are.
    pub space: u64,
    /// How many of the /24s saw a new bad address.
    pub confirmed: usize,
    /// How many new bad addresses they saw.
    pub caught: usize,
}

/// The space of a judgement that is in a state.
#[derive(Clone, Debug, Default)]
pub struct StateSpace {
    /// First and last address and state, ascending and disjoint.
    runs: Vec<(u32, u32, State)>,
}

impl StateSpace {
    /// Paints a judgement.
    pub fn of_judgement(judgement: &Judgement) -> Self {
        let mut runs = Vec::new();
        judgement.each_run(false, |run| runs.push((run.first, run.last, run.state)));
        Self { runs }
    }

    /// The /24s in a state, each with the worst: an address shifted right by 8, and the state.
    pub fn blocks(&self) -> Vec<(u32, State)> {
        let mut blocks: Vec<(u32, State)> = Vec::new();
        for &(first, last, state) in &self.runs {
            for block in first >> 8..=last >> 8 {
                match blocks.last_mut() {
                    Some(known) if known.0 == block => known.1 = known.1.max(state),
                    _ => blocks.push((block, state)),
                }
            }
        }
        blocks
    }

    /// The addresses in a state that is at least this, ascending and disjoint.
    pub fn ranges(&self, least: State) -> Vec<(u32, u32)> {
        let runs = self.runs.iter().filter(|&&(.., state)| state >= least);
        merged(runs.map(|&(first, last, _)| (first, last)).collect())
    }

    /// What became of each state's blocks.
    pub fn figures(&self, outcome: &Outcome) -> Vec<StateFigure> {
        let blocks = self.blocks();
        let of_state = |state: State| {
            let seen = blocks.iter().filter(|&&(_, of)| of == state);
            let seen: Vec<usize> = seen.map(|&(block, _)| outcome.count_within(block << 8, block << 8 | 255)).collect();
            let runs = self.runs.iter().filter(|&&(.., of)| of == state);
            StateFigure {
                state,
                blocks: seen.len(),
                space: runs.map(|&(first, last, _)| u64::from(last - first) + 1).sum(),
                confirmed: seen.iter().filter(|seen| **seen > 0).count(),
                caught: seen.iter().sum(),
            }
        };
        [State::Bad, State::Suspicious, State::Watch].map(of_state).to_vec()
    }
}
