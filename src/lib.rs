//! infamy answers DNS queries about the reputation of addresses and names.

pub mod answer;
pub mod dnsxl;
pub mod feed;
pub mod server;
pub mod snapshot;
pub mod table;
pub mod zone;
