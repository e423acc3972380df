//! `[control]` and `[retention]`: where the running server is told what to do, and where and how long what it is told is
//! kept.
//!
//! Invariant: who can connect over TCP without being known can do nothing, so that there are no addresses without tokens,
//! save those where there are metrics and nothing else.

use std::path::{Path, PathBuf};

use super::check::at;
use super::error::{ConfigError, Problem, Source, Warning};
use super::spec::{self, Spec};
use crate::evidence::store::Retention;
use crate::http::{Limits, Listen};

/// What the two come to.
pub(super) struct Control {
    pub(super) listen: Listen,
    pub(super) store: Option<PathBuf>,
    pub(super) retention: Retention,
    pub(super) warning: Option<Warning>,
}

/// Checks the two.
pub(super) fn check(spec: &Spec, source: &Source<'_>) -> Result<Control, ConfigError> {
    let wrong = |section, key, problem| Err(source.wrong_key(section, key, problem));
    let spec::Control { socket, addresses, hosts, tokens, metrics, store, connections, connections_per_client } =
        &spec.control;
    for (key, limit) in [("connections", *connections), ("connections-per-client", *connections_per_client)] {
        if limit == 0 {
            return wrong("control", key, Problem::NoRoom { section: "control", key });
        }
    }
    if !addresses.is_empty() && tokens.is_none() {
        return wrong("control", "addresses", Problem::NoTokens);
    }
    let spec::Retention { reports, most_reports, audit } = &spec.retention;
    let kept = [("reports", reports.0.into()), ("most-reports", *most_reports), ("audit", audit.0.into())];
    if let Some((key, _)) = kept.into_iter().find(|(_, most)| *most == 0) {
        return wrong("retention", key, Problem::KeepsNothing { key });
    }
    let state = spec.server.state_directory.as_deref();
    let in_state = |name: &str| state.map(|directory| at(source, &directory.join(name)));
    let socket = match socket.as_deref() {
        None => in_state(SOCKET),
        Some(path) if path == Path::new("") => None,
        Some(path) => Some(at(source, path)),
    };
    let open = addresses.iter().find(|address| !address.ip().is_loopback());
    let warning = open.map(|address| {
        let what =
            format!("control: {address} is not loopback, and tokens go over it as they are; use a proxy that encrypts");
        Warning { place: source.place_of("control", "addresses"), what }
    });
    Ok(Control {
        listen: Listen {
            socket,
            addresses: addresses.clone(),
            hosts: hosts.clone(),
            tokens: tokens.as_deref().map(|path| at(source, path)),
            metrics: metrics.clone(),
            limits: Limits {
                connections: *connections,
                connections_per_client: *connections_per_client,
                ..Limits::default()
            },
        },
        retention: Retention { report_age: reports.0, reports: *most_reports, audit_age: audit.0 },
        store: store.as_deref().map(|path| at(source, path)).or_else(|| in_state(STORE)),
        warning,
    })
}

/// The Unix socket's name in the state directory.
const SOCKET: &str = "infamy.sock";
/// The store's name in the state directory.
const STORE: &str = "evidence.db";
