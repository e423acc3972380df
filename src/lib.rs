//! infamy answers DNS queries about the reputation of addresses and names.

pub mod dnsxl;
pub mod feed;
pub mod table;
