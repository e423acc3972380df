//! `infamy withdraw`: a running server forgets changes that were made live, as if they had never been.

use std::fmt::Write;
use std::process::ExitCode;

use hyper::Method;

use super::control::{Server, send};
use super::print;
use crate::http::api::Changed;
use crate::http::client::Content;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The changes' numbers, as `add` and `remove` have told them
    #[arg(required = true, value_name = "NUMBER")]
    numbers: Vec<u64>,
    /// Waits until it is answered so
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

/// Withdraws the changes, one by one.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.server.client()?;
    let mut lines = String::new();
    for number in &arguments.numbers {
        let path = format!("/v1/changes/{number}");
        send::<Changed>(&client, Method::DELETE, &path, Content::None, arguments.wait)?;
        writeln!(lines, "change {number} withdrawn")?;
    }
    print(&lines)
}
