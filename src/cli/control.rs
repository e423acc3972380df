//! The running server, as the commands that talk to it find and ask it.
//!
//! Invariant: a command knows of the server what it is told over the control interface, and reads no list.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hyper::Method;

use super::config_path;
use crate::config::Config;
use crate::config::spec::Seconds;
use crate::evidence::Written;
use crate::http::api::{Action, At, ChangeRequest, Changed, Reloaded};
use crate::http::client::{Client, Content, PATIENCE, PATIENCE_TO_SERVE, Target, read_token};

/// Which server is meant.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The configuration of the server, which says where it listens
    #[arg(long, value_name = "CONFIG")]
    config: Option<PathBuf>,
    /// Where it listens, if not where the configuration says: http://HOST:PORT, or the path of its socket
    #[arg(long, value_name = "URL|PATH", conflicts_with = "config")]
    control: Option<String>,
    /// A file with a token alone, which is needed over TCP
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Server {
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let target = match &self.control {
            Some(text) => Target::parse(text).context("--control")?,
            None => self.configured()?,
        };
        let read = |path: &PathBuf| read_token(path).with_context(|| path.display().to_string());
        let token = self.token_file.as_ref().map(read).transpose()?;
        if token.is_none() && matches!(target, Target::Address(_)) {
            bail!("{target}: a token is needed over TCP: name a file with one by --token-file");
        }
        Ok(Client::new(target, token)?)
    }

    fn configured(&self) -> anyhow::Result<Target> {
        let path = config_path(self.config.as_deref())?;
        let control = Config::open(&path)?.control;
        let socket = control.socket.map(Target::Socket);
        let address = || control.addresses.first().map(|address| Target::Address(address.to_string()));
        socket.or_else(address).with_context(|| {
            let path = path.display();
            format!(
                "{path}: control: the server listens nowhere; set state-directory of [server], or socket of [control]"
            )
        })
    }
}

/// What changes have in common.
#[derive(Debug, Args)]
pub(super) struct Change {
    /// The dataset that is changed
    #[arg(long, value_name = "DATASET")]
    pub(super) dataset: String,
    /// When it ends: a time from now on, as 3d or 12h, or a date or time
    #[arg(long, value_name = "TIME", value_parser = parse_end)]
    expires: Option<End>,
    /// Why, for those who look back
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Waits until it is answered so
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    pub(super) server: Server,
}

/// When a change ends.
#[derive(Clone, Copy, Debug)]
enum End {
    At(At),
    After(u32),
}

fn parse_end(text: &str) -> Result<End, String> {
    let after = Seconds::parse(text).ok().map(|seconds| End::After(seconds.0));
    let at = || Written::parse(text.as_bytes()).map(|written| End::At(At(written.end())));
    // nine digits and more are seconds since 1970
    let is_epoch = text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    let end = if is_epoch { at() } else { after.or_else(at) };
    end.ok_or_else(|| "write 3d, 12h, 2026-07-12 or 2026-07-12T10:00:00Z".to_owned())
}

impl Change {
    /// What is asked of the server; what is only said of additions is left out.
    pub(super) fn request(&self, action: Action, subjects: &[String]) -> ChangeRequest {
        let (expires, lifetime) = match self.expires {
            None => (None, None),
            Some(End::At(at)) => (Some(at), None),
            Some(End::After(seconds)) => (None, Some(seconds)),
        };
        ChangeRequest {
            action,
            dataset: self.dataset.clone(),
            subjects: subjects.to_vec(),
            value: None,
            text: None,
            ttl: None,
            expires,
            lifetime,
            reason: self.reason.clone(),
        }
    }

    pub(super) fn send(&self, request: &ChangeRequest) -> anyhow::Result<Changed> {
        let content = Content::Whole("application/json", serde_json::to_vec(request)?);
        Ok(send(&self.server.client()?, Method::POST, "/v1/changes", content, self.wait)?)
    }
}

/// Sends what the server may be waited for.
pub(super) fn send<T: serde::de::DeserializeOwned>(
    client: &Client,
    method: Method,
    path: &str,
    content: Content,
    wait: bool,
) -> Result<T, crate::http::client::ClientError> {
    match wait {
        true => client.send(method, &format!("{path}?wait=true"), content, None, PATIENCE_TO_SERVE),
        false => client.send(method, path, content, None, PATIENCE),
    }
}

/// Has lists loaded, and says what became of it.
pub(super) fn reload(client: &Client, path: &str, wait: bool) -> anyhow::Result<String> {
    let reloaded: Reloaded = send(client, Method::POST, path, Content::None, wait)?;
    let Reloaded { done, generation, configuration, failures, certificates, restart } = reloaded;
    restart.iter().for_each(|table| eprintln!("warning: {table} changed: restart to have it"));
    let configuration = configuration.iter().map(|why| format!("configuration: {why}"));
    let certificates = certificates.iter().map(|failure| format!("certificate {}: {}", failure.door, failure.reason));
    let failures = failures.iter().map(|failure| format!("dataset {}: {}", failure.dataset, failure.reason));
    let mut errors: Vec<String> = configuration.chain(certificates).chain(failures).collect();
    let Some(last) = errors.pop() else {
        return Ok(match done {
            true => format!("done, generation {generation} is served\n"),
            false => format!("under way, generation {generation} is served\n"),
        });
    };
    errors.iter().for_each(|error| eprintln!("error: {error}"));
    bail!(last)
}

/// How often a status is looked at that is watched.
pub(super) const GLANCE: Duration = Duration::from_secs(1);
