//! Messages with a report in them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::message(bytes));
