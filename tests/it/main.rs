//! infamy from the outside: one integration crate.

mod transport;
