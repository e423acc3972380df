//! infamy beside real servers and clients: tests that need them are ignored unless asked for.

mod harness;
mod rbldnsd_differential;
