//! Evaluation: what a judgement of a time would have caught of what came after it, and what it would have hit.
//!
//! Evidence is cut at a time T; blocks are ranked by it; the test is the addresses that turn bad in the days after T and
//! were not known for it in the month before ([`Outcome`]). Recall is read off the ranking at the space that each
//! baseline lists, so that no one wins by listing more. Invariant: what is after T reaches only the outcome.
//!
//! It does not know how a judgement comes to its rates: a [`Ranking`] is all it takes of one, a fixed order of blocks.

pub mod baselines;
pub mod bootstrap;
pub mod flapping;
pub mod good;
pub mod outcome;
pub mod plot;
pub mod ranking;
pub mod regression;
pub mod states;
pub mod tune;
pub mod week;

pub use baselines::{Baseline, Counted, Counting, Rule};
pub use flapping::Flapping;
pub use good::{Good, Hit};
pub use outcome::Outcome;
pub use ranking::{Ranking, Row};
pub use states::{StateFigure, StateSpace};
pub use week::{Figure, Week, compare};
