//! infamy answers DNS queries about the reputation of addresses and names.

pub mod dnsxl;
pub mod table;
