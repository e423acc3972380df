//! `-d`: all zones as master files on stdout.
//!
//! Invariant: stdout has the files and nothing else. A zone that cannot be read whole is not written in part, and makes
//! the exit code a failure; the others are written all the same.

use std::io::{self, BufWriter, Write};

use super::StartError;
use super::announce::{show_error, show_report};
use super::log::Log;
use crate::export::{self, ExportError, Source};
use crate::reload::Plan;
use crate::zone::UnixTime;

/// Writes the zones of a plan.
pub(super) fn dump(plan: &Plan, now: UnixTime, log: &Log) -> Result<(), StartError> {
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let mut fails = false;
    for zone in &plan.zones {
        let apex = &zone.spec.apex;
        match Source::load(plan, apex, now, |_| Vec::new()) {
            Ok(source) => {
                for (dataset, report) in &source.reports {
                    show_report(&plan.datasets[*dataset].name, report).iter().for_each(|warning| log.warning(warning));
                }
                let notes = source.write_master_file(export::Options { expand: false }, &mut out);
                for note in notes.map_err(StartError::Output)? {
                    log.warning(format_args!("zone {apex}: {note}"));
                }
            }
            Err(error) => {
                fails = true;
                match &error {
                    ExportError::Load { source, .. } => log.error(show_error(source)),
                    error => log.error(error),
                }
                log.error(format_args!("zone {apex}: not all datasets are loaded, zone will not be dumped"));
            }
        }
    }
    out.flush().map_err(StartError::Output)?;
    if fails { Err(StartError::Loading) } else { Ok(()) }
}

/// Bytes that are written at a time.
const BUFFER: usize = 64 << 10;
