//! infamy from the outside, as one integration crate: answers by RFC section, packets, doors, processes.

mod oracle;
mod rfc8906;
mod scenarios;
mod script;
mod transport;
mod wire;
mod world;
