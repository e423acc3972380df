//! `infamy status`: how a running server is.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;

use super::control::{GLANCE, Server};
use super::{count, now};
use crate::http::api::{At, CertificateStatus, DatasetStatus, Held, Loading, Status};
use crate::http::client::Client;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Goes on, once a second
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    server: Server,
}

/// Prints the status, once or until it is ended.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.server.client()?;
    let mut out = io::stdout().lock();
    let is_screen = arguments.watch && !arguments.json && out.is_terminal();
    loop {
        let text = text(&client, arguments.json)?;
        if is_screen {
            out.write_all(CLEAR)?;
        }
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if !arguments.watch {
            return Ok(ExitCode::SUCCESS);
        }
        thread::sleep(GLANCE);
    }
}

fn text(client: &Client, json: bool) -> anyhow::Result<String> {
    let status: Status = client.get("/v1/status", &())?;
    if json {
        return Ok(serde_json::to_string(&status)? + "\n");
    }
    let Status { version, pid, started, generation, published, cause, loading, .. } = status;
    let Status { datasets, zones, certificates, held, store, .. } = status;
    let mut text = String::new();
    writeln!(text, "infamy {version}, process {pid}, since {}", started.0)?;
    writeln!(text, "generation {generation} since {}: {cause}", published.0)?;
    if let Some(loading) = loading {
        writeln!(text, "loading {}", progress(&loading))?;
    }
    datasets.iter().try_for_each(|dataset| writeln!(text, "dataset {}: {}", dataset.name, of_dataset(dataset)))?;
    zones.iter().try_for_each(|zone| writeln!(text, "zone {}: serial {}", zone.apex, zone.serial))?;
    let of_certificate = |certificate| of_certificate(certificate, now().0);
    certificates.iter().try_for_each(|certificate| {
        writeln!(text, "certificate {}: {}", certificate.door, of_certificate(certificate))
    })?;
    writeln!(text, "{}", of_held(held))?;
    if let Some(store) = store {
        let state = store.error.map_or_else(|| format!("{} waiting", store.waiting), |error| format!("fails: {error}"));
        writeln!(text, "store {}: {state}", store.path)?;
    }
    Ok(text)
}

fn progress(loading: &Loading) -> String {
    let Loading { dataset, since, bytes, of_bytes, lines } = loading;
    let whole = of_bytes.map_or_else(String::new, |whole| format!(" of {whole}"));
    format!("{dataset} since {}: {bytes}{whole} bytes, {}", since.0, count(*lines, "line", "lines"))
}

fn of_dataset(dataset: &DatasetStatus) -> String {
    let DatasetStatus { entries, loaded, as_of, changes, next_expiry, failures, error, .. } = dataset;
    let mut parts = vec![count(*entries, "entry", "entries")];
    parts.push(loaded.map_or_else(|| "never loaded".to_owned(), |at| format!("loaded {}", at.0)));
    parts.extend(as_of.map(|at| format!("as of {}", at.0)));
    if *changes > 0 {
        let end = next_expiry.map_or_else(String::new, |at| format!(", the next ends {}", at.0));
        parts.push(count(*changes, "live change", "live changes") + &end);
    }
    if let Some(error) = error {
        parts.push(format!("failed {}, last: {error}", count(*failures, "time", "times")));
    }
    parts.join(", ")
}

fn of_certificate(certificate: &CertificateStatus, now: i64) -> String {
    let CertificateStatus { expires, failures, error, .. } = certificate;
    let is_over = |expires: &At| i64::from(expires.0.0) <= now;
    let mut text = match expires {
        Some(expires) if is_over(expires) => format!("EXPIRED {}", expires.0),
        Some(expires) => format!("expires {}", expires.0),
        None => "nobody knows when it expires".to_owned(),
    };
    if let Some(error) = error {
        text += &format!(", not read again {}, last: {error}", count(*failures, "time", "times"));
    }
    text
}

fn of_held(held: Held) -> String {
    let Held { rate_limited, slipped, over_quota, cookies_good, cookies_bad, lost_records } = held;
    format!(
        "limits: {} dropped, {slipped} slipped, {} over quota, cookies {cookies_good} good and {cookies_bad} bad, {} lost",
        count(rate_limited, "reply", "replies"),
        count(over_quota, "query", "queries"),
        count(lost_records, "log record", "log records"),
    )
}

/// Empties a terminal, and goes to its first line.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";
