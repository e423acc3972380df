//! `infamy report`: tells a running server what was seen of subjects, by the word or by the file.
//!
//! A file is sent while it is read, of any length; what is in it is told by its first bytes if it is not named.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use hyper::Method;
use serde::Serialize;
use serde::de::IgnoredAny;

use super::control::Server;
use super::{count, print};
use crate::evidence::Written;
use crate::evidence::xarf::is_xarf;
use crate::http::api::{At, Reported};
use crate::http::client::{Client, Content, PATIENCE};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["subjects", "file"])))]
pub(super) struct Arguments {
    /// Addresses, prefixes, domains or URLs
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// Who says so
    #[arg(long, value_name = "NAME", required_unless_present = "file", conflicts_with = "file")]
    source: Option<String>,
    /// What was seen: spam, phishing, brute-force …
    #[arg(long, value_name = "WORD", conflicts_with = "file")]
    category: Option<String>,
    /// When it was seen, if not now
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "file")]
    time: Option<At>,
    /// How sure the source is, 0 to 1
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    weight: f64,
    /// Reports as CSV or JSON lines, or one by mail (ARF) or as XARF; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What is in FILE, if its first bytes do not tell
    #[arg(long, requires = "file")]
    format: Option<Format>,
    /// With the same key a file can be sent again: what came before is not taken twice
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// What reports are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
    /// One JSON object, of XARF too, or an array of them
    Json,
    /// A message with a feedback report in it
    Arf,
}

impl Format {
    /// Tells it by the first bytes of a file.
    fn of(begin: &[u8]) -> Self {
        let begin = begin.trim_ascii_start();
        let line = begin.split(|&byte| byte == b'\n').next().unwrap_or_default();
        match begin.first() {
            Some(b'{') if serde_json::from_slice::<IgnoredAny>(line).is_ok() && !is_xarf(line) => Self::Jsonl,
            Some(b'{' | b'[') => Self::Json,
            _ if is_header(line) => Self::Arf,
            _ => Self::Csv,
        }
    }
}

/// Whether a line is a header field of a message: `Received: …`.
fn is_header(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    name > 0 && line.get(name) == Some(&b':')
}

/// A report in words.
#[derive(Serialize)]
struct Words<'a> {
    subject: &'a str,
    source: &'a str,
    category: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<At>,
    weight: f64,
}

/// Reports; one that is not taken is an error.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.server.client()?;
    let key = arguments.key.as_deref();
    let (reported, place) = match &arguments.file {
        Some(path) => (send_file(&client, path, arguments.format, key)?, path.display().to_string()),
        None => (send_words(&client, arguments, key)?, "report".to_owned()),
    };
    let Reported { accepted, known, refused, problems } = reported;
    for problem in &problems {
        eprintln!("{place}:{}: {}", problem.line, problem.reason);
    }
    if refused > 0 {
        let refused = count(refused, "report", "reports");
        bail!("{place}: {refused} not taken, {accepted} taken, {known} known before");
    }
    print(&format!("{} taken, {known} known before\n", count(accepted, "report", "reports")))
}

fn send_words(client: &Client, arguments: &Arguments, key: Option<&str>) -> anyhow::Result<Reported> {
    let words = |subject| Words {
        subject,
        source: arguments.source.as_deref().unwrap_or_default(),
        category: arguments.category.as_deref().unwrap_or_default(),
        time: arguments.time,
        weight: arguments.weight,
    };
    let all: Vec<Words<'_>> = arguments.subjects.iter().map(|subject| words(subject)).collect();
    send_whole(client, JSON, serde_json::to_vec(&all)?, key)
}

fn send_whole(client: &Client, kind: &'static str, body: Vec<u8>, key: Option<&str>) -> anyhow::Result<Reported> {
    Ok(client.send(Method::POST, PATH, Content::Whole(kind, body), key, PATIENCE)?)
}

fn send_file(client: &Client, path: &Path, format: Option<Format>, key: Option<&str>) -> anyhow::Result<Reported> {
    let failed = || path.display().to_string();
    let input: Box<dyn Read + Send> = match path == Path::new("-") {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).with_context(failed)?),
    };
    let mut input = BufReader::with_capacity(BEGIN, input);
    let format = match format {
        Some(format) => format,
        None => Format::of(input.fill_buf().with_context(failed)?),
    };
    let kind = match format {
        Format::Csv => return Ok(client.stream(PATH, "text/csv", key, input)?),
        Format::Jsonl => return Ok(client.stream(PATH, "application/x-ndjson", key, input)?),
        Format::Json => JSON,
        Format::Arf => "message/rfc822",
    };
    let mut body = Vec::new();
    input.take(MOST + 1).read_to_end(&mut body).with_context(failed)?;
    if body.len() as u64 > MOST {
        bail!("{}: longer than {MOST} bytes: write one report a line", path.display());
    }
    send_whole(client, kind, body, key)
}

fn parse_time(text: &str) -> Result<At, String> {
    let written = Written::parse(text.as_bytes());
    written.map(|written| At(written.end())).ok_or_else(|| "write 2026-07-12 or 2026-07-12T10:00:00Z".to_owned())
}

const PATH: &str = "/v1/reports";
/// What a file is told by, in bytes: its first line, unless that is very long.
const BEGIN: usize = 64 * 1024;
/// What is not sent line by line has at most as many bytes, as the server takes.
const MOST: u64 = 4 * 1024 * 1024;
const JSON: &str = "application/json";
