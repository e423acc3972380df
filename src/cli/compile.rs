//! `infamy compile`: the files of one dataset become one file that `serve` opens without reading it.
//!
//! Invariant: the file that is named is whole or as it was before. What is printed is what `check` prints of a dataset,
//! and a line for the file; lines that were left out do not change the exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use toml::{Table, Value};

use super::check::print_problems;
use super::{FAILURE, count, load};
use crate::config::Config;
use crate::dataset::compiled;
use crate::reload::{Plan, Store};
use crate::table::{Access, Compiled};

#[derive(Debug, clap::Args)]
#[command(override_usage = "infamy compile [--config CONFIG] DATASET -o FILE
       infamy compile --format FORMAT [OPTIONS] LIST… -o FILE
       infamy compile --verify FILE…")]
pub(super) struct Arguments {
    /// The configuration that says what DATASET is made of
    #[arg(long, value_name = "CONFIG", conflicts_with_all = ["format", "verify"])]
    config: Option<PathBuf>,
    /// The compiled file
    #[arg(short, long, value_name = "FILE", required_unless_present = "verify")]
    output: Option<PathBuf>,
    /// Checks compiled files instead: every byte of them
    #[arg(long, conflicts_with_all = ["output", "format"])]
    verify: bool,
    #[command(flatten)]
    list: List,
    /// A dataset of the configuration, or files
    #[arg(required = true, value_name = "DATASET|LIST|FILE")]
    names: Vec<PathBuf>,
}

/// A dataset without a configuration; what the keys of `[[dataset]]` are.
#[derive(Debug, clap::Args)]
struct List {
    /// Compiles these LISTs of this format, by the keys of [[dataset]] that follow; see `infamy example`
    #[arg(long)]
    format: Option<String>,
    /// exact, below or both
    #[arg(long, requires = "format")]
    r#match: Option<String>,
    /// What an A query gets where a list says nothing else
    #[arg(long, requires = "format", value_name = "ADDRESS")]
    value: Option<String>,
    /// What a TXT query gets where a list says nothing else
    #[arg(long, requires = "format")]
    text: Option<String>,
    /// The TTL, if it is not the zone's
    #[arg(long, requires = "format")]
    ttl: Option<String>,
    /// The keys of hashes: HASH[:ALPHABET[:CHARACTERS]]
    #[arg(long, requires = "format")]
    key: Option<String>,
    /// Accepts prefixes with bits behind their length
    #[arg(long, requires = "format")]
    host_bits: bool,
    /// Leaves out what URLhaus marks offline
    #[arg(long, requires = "format")]
    online_only: bool,
    /// Fails if a line is wrong, where it would be left out
    #[arg(long, requires = "format")]
    refuse_bad_lines: bool,
    /// Fails if there are fewer entries
    #[arg(long, requires = "format", value_name = "NUMBER")]
    min_entries: Option<u32>,
    /// Lists what no list may list, too
    #[arg(long, requires = "format")]
    no_never_list: bool,
}

/// Compiles, or verifies what was compiled.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(output) = &arguments.output else {
        for path in &arguments.names {
            verify(&mut out, path)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let plan = plan(arguments)?;
    let before = output.canonicalize().ok();
    let is_output = |list: &PathBuf| before.is_some() && list.canonicalize().ok() == before;
    if plan.datasets[0].files.iter().any(is_output) {
        bail!("{}: is one of the lists: name another file for what they are compiled to", output.display());
    }
    let mut store = Store::new(plan);
    let (mut entries, mut failures) = (0, 0);
    for event in load::load(&mut store) {
        failures += print_problems(&mut out, store.plan(), &event)?;
        entries += event.result.map_or(0, |loaded| loaded.report.entries);
    }
    let Some(dataset) = store.dataset(0).filter(|_| failures == 0) else { return Ok(ExitCode::from(FAILURE)) };
    compiled::write(dataset, store.plan().datasets[0].format, output)?;
    let bytes = output.metadata().with_context(|| output.display().to_string())?.len();
    writeln!(out, "{}: {}, {bytes} bytes", output.display(), count(entries, "entry", "entries"))?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a whole compiled file.
fn verify(out: &mut impl Write, path: &Path) -> anyhow::Result<()> {
    let file = Compiled::open(path, Access::Map)?;
    file.verify()?;
    compiled::open(&file, "")?;
    writeln!(out, "{}: whole, {} bytes", path.display(), file.length())?;
    Ok(())
}

/// The dataset that is meant, alone.
fn plan(arguments: &Arguments) -> anyhow::Result<Plan> {
    let config = match &arguments.list.format {
        Some(format) => Config::parse(&arguments.list.written(format, &arguments.names), Path::new("options"))?,
        None => load::config(arguments.config.as_deref())?,
    };
    let mut plan = load::open_to_all(&config);
    plan.zones.clear();
    if arguments.list.format.is_none() {
        let [name] = &*arguments.names else {
            bail!(
                "{} names: one dataset is compiled into one file; for files, name their --format",
                arguments.names.len()
            )
        };
        plan.datasets.retain(|dataset| *dataset.name == *name.as_os_str());
        if plan.datasets.is_empty() {
            let (path, name) = (config.path.display(), name.display());
            bail!("{path}: dataset {name}: not defined here; for files, name their --format");
        }
    }
    Ok(plan)
}

impl List {
    /// The configuration that says the same, so that one set of rules holds for both.
    fn written(&self, format: &str, files: &[PathBuf]) -> String {
        let text = |text: &str| Value::String(text.to_owned());
        let mut dataset = Table::new();
        dataset.insert("name".to_owned(), text("list"));
        dataset.insert("format".to_owned(), text(format));
        let files = files.iter().map(|path| text(&path.to_string_lossy())).collect();
        dataset.insert("files".to_owned(), Value::Array(files));
        let texts = [("match", &self.r#match), ("value", &self.value), ("text", &self.text), ("ttl", &self.ttl)];
        for (key, value) in texts {
            if let Some(value) = value {
                dataset.insert(key.to_owned(), text(value));
            }
        }
        if let Some(key) = &self.key {
            let mut table = Table::new();
            for (part, value) in ["hash", "alphabet", "characters"].iter().zip(key.split(':')) {
                let number = value.parse().ok().filter(|_| *part == "characters").map(Value::Integer);
                table.insert((*part).to_owned(), number.unwrap_or_else(|| text(value)));
            }
            dataset.insert("key".to_owned(), Value::Table(table));
        }
        dataset.insert("host-bits".to_owned(), Value::Boolean(self.host_bits));
        dataset.insert("online-only".to_owned(), Value::Boolean(self.online_only));
        dataset.insert("never-list".to_owned(), Value::Boolean(!self.no_never_list));
        dataset.insert("bad-lines".to_owned(), text(if self.refuse_bad_lines { "refuse" } else { "skip" }));
        if let Some(least) = self.min_entries {
            dataset.insert("min-entries".to_owned(), Value::Integer(least.into()));
        }
        let mut config = Table::new();
        config.insert("version".to_owned(), Value::Integer(1));
        config.insert("dataset".to_owned(), Value::Array(vec![Value::Table(dataset)]));
        config.to_string()
    }
}
