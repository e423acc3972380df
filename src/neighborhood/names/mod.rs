//! Names that are bad by what was reported at and below them: URL → host → registrable domain.
//!
//! Invariant: evidence about a tenant never reaches the landlord. A name that the Public Suffix List or the overlay of
//! platforms calls a suffix gets no verdict of its own, only a *hazard*: how many of its tenants are bad. A known-safe
//! name gets nothing by generalisation, however much is reported below it.
//!
//! - [`Suffixes`] splits a host into tenant and landlord,
//! - [`Popularity`] and [`KnownSafe`] say how much it takes before a whole domain is held against its owner,
//! - [`NameEvidence`] keeps reports at the most specific expression of a URL (Google Safe Browsing, "URLs and hashing"),
//! - [`Observations`] say which names an address has been seen under,
//! - [`judge`] comes from these to a [`NameJudgement`]: verdicts about names, and arrivals for the tree of addresses.
//!
//! Not done: nothing is fetched, no name is resolved, and a name that nobody reported never gets a verdict by the
//! company it keeps (J. Chan's rule): an address or a name server only lifts what was reported.

mod evidence;
mod explain;
mod hazard;
mod judge;
mod lines;
mod moved;
mod observations;
mod popularity;
pub mod rules;
mod suffixes;
mod verdict;

pub use evidence::{NameEvidence, Statement, SubjectError};
pub use explain::{NameExplanation, Step, StepTerm};
pub use judge::{AddressFacts, Facts, NameFacts, NameJudgement, NoAddressFacts, host_arrivals, judge};
pub use lines::ListError;
pub use moved::{MovedNames, Told};
pub use observations::{Observations, WINDOW_DAYS};
pub use popularity::{KnownSafe, Popularity, RankClass};
pub use suffixes::{Kind, Split, Suffixes};
pub use verdict::{HostArrival, LEAST_SCORE, Level, Lift, MAX_LIFT, NameVerdict, Outcome, Term};

#[cfg(test)]
mod tests;
