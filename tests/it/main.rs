//! infamy from the outside: one integration crate.

mod scenarios;
mod script;
mod transport;
mod wire;
mod world;
