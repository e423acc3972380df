//! infamy answers DNS queries about the reputation of addresses and names.

pub mod answer;
pub mod cli;
pub mod config;
pub mod dataset;
pub mod dnsxl;
pub mod feed;
pub mod rbldnsd;
pub mod reload;
pub mod server;
pub mod snapshot;
pub mod table;
pub mod zone;
