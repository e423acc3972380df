//! What surrounds an address: the announced prefix, its origin, and what is known of the range.
//!
//! [`Routes`] say which prefix covers an address and which ASN announces it, [`Guards`] which ranges may not, or only
//! in a limited way, inherit from their neighbors, [`Allocations`] whom a registry gave a range to. [`names`] judges what
//! stands around a name.

mod arrivals;
mod bits;
mod caution;
mod delegated;
mod emit;
pub mod evaluate;
mod exact;
mod explain;
mod floods;
mod guards;
mod increment;
mod judgement;
pub mod listings;
mod model;
mod moved;
pub mod names;
mod nodes;
mod parameters;
mod previous;
mod ranges;
mod returning;
mod routes;
mod states;
mod sums;
mod survey;
mod units;
mod worse;

pub use arrivals::{Counts, LEAST_TRUST};
pub use bits::{Bits, prefixes};
pub use caution::Caution;
pub use delegated::{Allocation, Allocations, AllocationsBuilder, Registry};
pub use emit::{Level, Run};
pub use exact::{Exact, exact4, exact6};
pub use explain::{Explanation, NodeEvidence, NodeRate, Term, TermGroup, node_name};
pub use guards::{Class, GoodRange, Guard, GuardRange, Guards, GuardsBuilder};
pub use increment::{Increment, MOST_SUBJECTS, Region, Report, SHORTEST4, SHORTEST6};
pub use judgement::{Judgement, TouchedBlock};
pub use parameters::{
    COUNT_DAYS, Coefficients, HISTORY_DAYS, HORIZON_DAYS, InClouds, LEAF_TERMS, LeafTerms, MOST_UNTOUCHED,
    NEW_AFTER_DAYS, Parameters, RETURN_DAYS, RETURNING_TERMS, ReturningTerms, Shrinkage, TOUCHED_TERMS, Thresholds,
    TouchedTerms, UNTOUCHED_TERMS, UntouchedTerms,
};
pub use previous::Previous;
pub use ranges::Range;
pub use routes::{Route, Route4, Route6, Routes, RoutesBuilder};
pub use states::{State, score};
pub use survey::{NamePaths, Survey, SurveyError, SurveyPlan};
pub use units::{Run6, disjoint6, judge_units};
pub use worse::worse_of;

#[cfg(test)]
mod tests;
