//! Reports in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| infamy_fuzz::object(bytes));
