//! What surrounds an address: the announced prefix, its origin, and what is known of the range.
//!
//! [`Routes`] say which prefix covers an address and which ASN announces it, [`Guards`] which ranges may not, or only
//! in a limited way, inherit from their neighbors, [`Allocations`] whom a registry gave a range to. [`names`] judges what
//! stands around a name.

mod bits;
mod delegated;
mod guards;
pub mod names;
mod ranges;
mod routes;

pub use bits::{Bits, prefixes};
pub use delegated::{Allocation, Allocations, AllocationsBuilder, Registry};
pub use guards::{Class, GoodRange, Guard, GuardRange, Guards, GuardsBuilder};
pub use ranges::Range;
pub use routes::{Route, Route4, Route6, Routes, RoutesBuilder};
