//! infamy beside real servers and clients: tests that need them are ignored unless asked for.

mod harness;
mod lab;
mod mail;
mod master_file;
mod rbldnsd_differential;
mod resolvers;
#[path = "../it/wire.rs"]
#[allow(dead_code)]
mod wire;
