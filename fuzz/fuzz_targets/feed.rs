//! Any bytes as a list file of any format.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::feed(bytes));
