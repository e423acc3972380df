//! infamy from the outside: one integration crate.

mod rfc8906;
mod scenarios;
mod script;
mod transport;
mod wire;
mod world;
