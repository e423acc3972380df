//! Any bytes at the HTTP doors.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::http(bytes));
