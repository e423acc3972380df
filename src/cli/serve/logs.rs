//! The query log and dnstap of the running server.

use std::sync::Arc;

use anyhow::Context;

use crate::config::Config;
use crate::query_log::{Dnstap, News, QueryLog, Tell, Watch};

/// Starts what the configuration has of them; none if it has neither. Their paths are seen after a chroot.
pub(super) fn start(config: &Config) -> anyhow::Result<Option<Arc<Watch>>> {
    let log = match config.query_log.clone() {
        Some(mut spec) => {
            spec.path = spec.path.map(|path| config.confined(&path)).transpose()?;
            spec.try_open().with_context(|| {
                let path = spec.path.as_ref().map(|path| path.display().to_string());
                format!("[query-log] file: {}", path.unwrap_or_default())
            })?;
            Some(QueryLog::start(&spec, tell("query log")).context("starting a thread")?)
        }
        None => None,
    };
    let dnstap = match config.dnstap.clone() {
        Some(mut spec) => {
            spec.socket = config.confined(&spec.socket)?;
            Some(Dnstap::start(&spec, tell("dnstap")).context("starting a thread")?)
        }
        None => None,
    };
    let is_off = log.is_none() && dnstap.is_none();
    Ok((!is_off).then(|| Arc::new(Watch { log, dnstap })))
}

fn tell(what: &'static str) -> Tell {
    Box::new(move |name, news| match news {
        News::Fails { doing, why } => {
            tracing::warn!(
                "{what}: {doing} {name}: {why}; records are lost until it can be done, and it is tried again"
            );
        }
        News::Again { lost } => tracing::info!("{what}: {name} is written again, {lost} records were lost"),
    })
}
