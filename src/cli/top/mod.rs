//! `infamy top`: what a running server is asked, second by second.
//!
//! On a terminal it is a screen of its own, which q and Ctrl-C leave as it was before. Otherwise it prints the same as
//! plain text, a blank line after each. Invariant: it only asks; nothing in the server is reset by it.

mod screen;
mod view;

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::control::Server;
use crate::config::spec::Seconds;
use crate::http::api::{Status, Traffic};
use crate::http::client::{Client, ClientError};
use screen::Screen;
use view::Size;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How long to count for each picture
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Ends after so many pictures
    #[arg(long, value_name = "NUMBER")]
    count: Option<NonZeroU32>,
    #[command(flatten)]
    server: Server,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let seconds = Seconds::parse(text).ok().filter(|seconds| seconds.0 > 0);
    seconds.map(|seconds| Duration::from_secs(seconds.0.into())).ok_or_else(|| "write 1s, 10s or 1m".to_owned())
}

/// What the server said, and when.
struct Reading {
    at: Instant,
    status: Status,
    traffic: Traffic,
}

impl Reading {
    fn take(client: &Client) -> Result<Self, ClientError> {
        let status = client.get("/v1/status", &())?;
        let traffic = client.get("/v1/traffic", &())?;
        Ok(Self { at: Instant::now(), status, traffic })
    }
}

/// Shows pictures until it is told to end.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.server.client()?;
    let first = Reading::take(&client)?;
    let pictures = arguments.count.map_or(u32::MAX, NonZeroU32::get);
    match io::stdout().is_terminal() {
        true => on_screen(&client, first, arguments.interval, pictures)?,
        false => as_text(&client, first, arguments.interval, pictures)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(client: &Client, mut before: Reading, interval: Duration, pictures: u32) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for _ in 0..pictures {
        thread::sleep(interval);
        let after = Reading::take(client)?;
        out.write_all(view::picture(&before, &after, Size::UNBOUNDED).as_bytes())?;
        out.write_all(b"\n")?;
        out.flush()?;
        before = after;
    }
    Ok(())
}

/// A server that goes away is waited for: whoever looks wants to see it come back.
fn on_screen(client: &Client, mut before: Reading, interval: Duration, pictures: u32) -> anyhow::Result<()> {
    let screen = Screen::open()?;
    screen.show("counting …\n")?;
    let mut shown = 0;
    while shown < pictures {
        if screen.is_left_within(interval)? {
            break;
        }
        match Reading::take(client) {
            Ok(after) => {
                screen.show(&view::picture(&before, &after, screen.size()))?;
                before = after;
                shown += 1;
            }
            Err(error) => screen.show(&format!("{error}\n\nasking again; q ends\n"))?,
        }
    }
    Ok(())
}
