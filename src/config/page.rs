//! `[page]`: where the lookup page is, and what it says of itself.
//!
//! Invariant: what is written there is shown to anybody, so that it is checked to be what it should be: an origin, a
//! mailbox or URL, one line.

use std::net::SocketAddr;

use serde::Deserialize;

use super::error::{ConfigError, Problem, Source};
use super::spec::{Net, Seconds};
use crate::http::page::Listen;

/// `[page]`: the lookup page.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PageSpec {
    /// For TCP.
    pub addresses: Vec<SocketAddr>,
    /// How it is reached from outside.
    pub url: Option<String>,
    /// What it is called.
    pub name: String,
    /// Where its operator can be asked.
    pub contact: Option<String>,
    /// Whether visitors may ask for a removal.
    pub removal: RemovalSpec,
    /// How soon the same removal may be asked for again.
    pub cooldown: Seconds,
    /// Whose word about the addresses of others is believed.
    pub proxies: Vec<Net>,
    /// Requests a minute of one client.
    pub requests: u32,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one client.
    pub connections_per_client: usize,
}

/// What becomes of a removal that a visitor asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemovalSpec {
    /// It is kept for the operator.
    #[default]
    Ask,
    /// There is no form.
    Off,
}

impl Default for PageSpec {
    fn default() -> Self {
        let Listen { name, cooldown, requests, connections, connections_per_client, .. } = Listen::default();
        Self {
            addresses: Vec::new(),
            url: None,
            name,
            contact: None,
            removal: RemovalSpec::default(),
            cooldown: Seconds(cooldown),
            proxies: Vec::new(),
            requests,
            connections,
            connections_per_client,
        }
    }
}

/// Checks `[page]`.
pub(super) fn check(spec: &PageSpec, source: &Source<'_>) -> Result<Listen, ConfigError> {
    let wrong = |key, problem| Err(source.wrong_key("page", key, problem));
    let limits = [
        ("requests", spec.requests as usize),
        ("connections", spec.connections),
        ("connections-per-client", spec.connections_per_client),
    ];
    if let Some((key, _)) = limits.into_iter().find(|(_, limit)| *limit == 0) {
        return wrong(key, Problem::NoRoom { section: "page", key });
    }
    if let Some(url) = spec.url.as_ref().filter(|url| !is_origin(url)) {
        return wrong("url", Problem::PageUrl { url: url.clone() });
    }
    let texts = [("name", Some(&spec.name)), ("contact", spec.contact.as_ref())];
    let is_line = |text: &str| !text.trim().is_empty() && text.len() <= MAX_LINE && !text.contains(char::is_control);
    if let Some((key, _)) = texts.into_iter().find(|(_, text)| text.is_some_and(|text| !is_line(text))) {
        return wrong(key, Problem::PageLine { key, most: MAX_LINE });
    }
    let PageSpec { addresses, url, name, contact, requests, connections, connections_per_client, .. } = spec.clone();
    Ok(Listen {
        addresses,
        url,
        name,
        contact,
        removal: spec.removal == RemovalSpec::Ask,
        cooldown: spec.cooldown.0,
        proxies: spec.proxies.iter().map(|net| net.0).collect(),
        requests,
        connections,
        connections_per_client,
    })
}

/// Whether a text is a scheme, a host and perhaps a port, and nothing besides.
fn is_origin(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_host))
}

/// The longest name or contact in bytes: one line of a page.
const MAX_LINE: usize = 200;
