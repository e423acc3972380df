//! The safety stop: a judgement that says too much, or too much else than the one before, is not to be believed.
//!
//! Whoever serves verdicts holds the previous ones then, and reports; a file may have been cut, or a source gone mad.

use std::fmt;

use super::emit::Run;
use super::judgement::Judgement;
use super::states::State;

/// Why a judgement should not be served unseen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Caution {
    /// Too much space is in `suspicious` or `bad`.
    Space {
        /// The part of the announced space.
        share: f64,
    },
    /// Too much of that space came or went since the judgement before.
    Change {
        /// /24s that came or went, for each that was there.
        share: f64,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Space { share } => write!(
                f,
                "{:.3} % of the announced space is suspicious or bad, more than {} %: look before you serve it",
                100.0 * share,
                100.0 * MOST_SPACE
            ),
            Self::Change { share } => write!(
                f,
                "{:.0} % of the suspicious or bad space changed, more than {} %: look before you serve it",
                100.0 * share,
                100.0 * MOST_CHANGE
            ),
        }
    }
}

impl Judgement {
    /// Whether what was judged should be looked at before it is served.
    pub fn caution(&self, runs: &[Run]) -> Option<Caution> {
        let serious = || runs.iter().filter(|run| run.state >= State::Suspicious);
        let space: u64 = serious().map(Run::size).sum();
        let announced = 256.0 * f64::from(self.nodes.root.exposure.max(1));
        let share = space as f64 / announced;
        if share > MOST_SPACE && space >= 256 * u64::from(LEAST_BLOCKS) {
            return Some(Caution::Space { share });
        }
        let mut now: Vec<u32> = serious().flat_map(|run| run.first >> 8..=run.last >> 8).collect();
        now.dedup();
        let before = self.previous.blocks(State::Suspicious);
        if before < LEAST_BLOCKS {
            return None;
        }
        let stayed = now.iter().filter(|&&block| self.previous.state(block) >= State::Suspicious).count() as u32;
        let changed = now.len() as u32 - stayed + before.saturating_sub(stayed);
        let share = f64::from(changed) / f64::from(before);
        (share > MOST_CHANGE).then_some(Caution::Change { share })
    }
}

/// The part of the announced space that may be in `suspicious` or `bad`.
const MOST_SPACE: f64 = 0.001;
/// The part of that space that may come or go from one judgement to the next.
const MOST_CHANGE: f64 = 0.2;
/// Below so many /24s a share says nothing.
const LEAST_BLOCKS: u32 = 100;
