//! Any bytes as a list that is loaded, placed in a zone and asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::load(bytes));
