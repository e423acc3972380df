//! `infamy accept`: a running server takes the next load of a dataset that it refused for its size.

use std::process::ExitCode;

use super::control::{self, Server};
use super::print;
use crate::http::client::escape;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The dataset
    dataset: String,
    /// Does not wait until it is loaded
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    server: Server,
}

/// Accepts one load, and has it done.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/datasets/{}/accept", escape(&arguments.dataset));
    print(&control::reload(&arguments.server.client()?, &path, !arguments.no_wait)?)
}
