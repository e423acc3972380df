//! `infamy reload`: a running server reads what has changed, as after SIGHUP, and says what became of it.

use std::process::ExitCode;

use super::control::{self, Server};
use super::print;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Does not wait until it is done
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    server: Server,
}

/// Reloads; a dataset or a certificate that could not be loaded is an error, though its last good state is served on.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    print(&control::reload(&arguments.server.client()?, "/v1/reload", !arguments.no_wait)?)
}
