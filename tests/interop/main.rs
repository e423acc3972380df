//! infamy beside real servers and clients: tests that need them are ignored unless asked for.

mod clients;
mod cookies;
mod encrypted;
mod harness;
mod lab;
mod master_file;
mod page;
mod rbldnsd_differential;
mod relay;
mod resolvers;
mod snippet;
mod systemd;
mod watching;
#[path = "../it/wire.rs"]
#[allow(dead_code)]
mod wire;
mod zonemaster;
mod zones;
