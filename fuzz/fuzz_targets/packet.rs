//! Any bytes as a message from the network.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::packet(bytes));
