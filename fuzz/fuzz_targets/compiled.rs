//! Compiled files with anything in them, their checksums right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::open(bytes));
