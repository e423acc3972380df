//! The program: dispatches to what it was called for.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let called = arguments.next().unwrap_or_default();
    let is_rbldnsd = Path::new(&called).file_name() == Some(OsStr::new("rbldnsd"));
    if is_rbldnsd || arguments.next().is_some_and(|command| command == "rbldnsd") {
        return infamy::rbldnsd::run(arguments);
    }
    ExitCode::FAILURE
}
