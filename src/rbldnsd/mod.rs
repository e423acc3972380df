//! rbldnsd's own command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs with rbldnsd's arguments, the name of the program not among them.
pub fn run(_args: impl Iterator<Item = OsString>) -> ExitCode {
    eprintln!("error: rbldnsd: not in this build; `infamy serve` takes a configuration");
    ExitCode::from(2)
}
