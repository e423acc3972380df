//! The program: its arguments go in, its exit code comes out.

use std::process::ExitCode;

fn main() -> ExitCode {
    infamy::cli::main(std::env::args_os())
}
