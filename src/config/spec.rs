//! The configuration as it is written: every key there is, with its default.
//!
//! Invariant: nothing is decided here. A value that cannot be meant in any configuration is refused while it is read;
//! what depends on other keys is `check`'s affair. The keys are explained in the annotated example.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

pub use super::abuse::{CookieSpec, RateLimitSpec};
use super::error::{ConfigError, Problem, Source};
pub use super::neighborhood::{EvidenceSpec, LiftSpec, NeighborhoodSpec, SourceSpec};
pub use super::page::{PageSpec, RemovalSpec};
pub use super::values::{FormatName, Mailbox, Name, Net, OneOrMany, Percent, Placement, QuotaText, Seconds};
pub use super::verdicts::{Families, Form, Kind, NamesSpec, When};
use crate::evidence::store;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Spec {
    /// What the keys mean; the defaults belong to it.
    pub version: u32,
    /// `[listen]`
    #[serde(default)]
    pub listen: Listen,
    /// `[limits]`
    #[serde(default)]
    pub limits: Limits,
    /// `[rate-limit]`
    #[serde(default)]
    pub rate_limit: RateLimitSpec,
    /// `[cookies]`
    #[serde(default)]
    pub cookies: CookieSpec,
    /// `[server]`
    #[serde(default)]
    pub server: Server,
    /// `[control]`
    #[serde(default)]
    pub control: Control,
    /// `[query-log]`
    #[serde(default)]
    pub query_log: QueryLog,
    /// `[dnstap]`
    #[serde(default)]
    pub dnstap: Dnstap,
    /// `[page]`
    #[serde(default)]
    pub page: PageSpec,
    /// `[retention]`
    #[serde(default)]
    pub retention: Retention,
    /// `[never-list]`
    #[serde(default)]
    pub never_list: NeverList,
    /// `[evidence]`
    #[serde(default)]
    pub evidence: EvidenceSpec,
    /// `[neighborhood]`
    #[serde(default)]
    pub neighborhood: NeighborhoodSpec,
    /// `[[dataset]]`
    #[serde(default)]
    pub dataset: Vec<Dataset>,
    /// `[[zone]]`
    #[serde(default)]
    pub zone: Vec<Zone>,
}

/// `[listen]`: where queries come in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Listen {
    /// For UDP and TCP.
    pub addresses: Vec<SocketAddr>,
    /// Threads for each address; 0 is one for every processor.
    pub udp_workers: usize,
    /// `[listen.tls]`: DNS over TLS.
    pub tls: Option<Encrypted>,
    /// `[listen.https]`: DNS over HTTPS.
    pub https: Option<Encrypted>,
    /// `[listen.quic]`: DNS over QUIC.
    pub quic: Option<Encrypted>,
}

/// An encrypted door.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Encrypted {
    /// Usually with port 853, or 443 for HTTPS.
    pub addresses: Vec<SocketAddr>,
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// `[limits]`: what connections may hold.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// Open connections.
    pub tcp_connections: usize,
    /// Open connections of one client.
    pub tcp_connections_per_client: usize,
    /// Queries that one connection over HTTPS or QUIC has under way.
    pub streams_per_connection: usize,
    /// How long a connection may go without a query.
    pub tcp_idle: Seconds,
}

/// `[server]`: the process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Server {
    /// Whose privileges are kept once the sockets are open.
    pub user: Option<String>,
    /// The group, if it is not the user's.
    pub group: Option<String>,
    /// The folder that becomes `/`.
    pub chroot: Option<PathBuf>,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where the serials are kept.
    pub state_directory: Option<PathBuf>,
    /// How often it is looked whether lists have changed; never, if 0.
    pub watch: Seconds,
    /// What `version.bind` gets.
    pub version_text: Option<String>,
    /// The access list for all zones.
    pub access: Option<Spanned<String>>,
}

/// `[control]`: how the running server is told what to do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Control {
    /// The Unix socket, if it is not the one in the state directory; empty if there is to be none.
    pub socket: Option<PathBuf>,
    /// For TCP.
    pub addresses: Vec<SocketAddr>,
    /// By which names it may be asked over TCP.
    pub hosts: Vec<String>,
    /// Who may ask over TCP.
    pub tokens: Option<PathBuf>,
    /// For TCP where there are metrics and nothing else.
    pub metrics: Vec<SocketAddr>,
    /// Where reports and changes are kept, if not in the state directory.
    pub store: Option<PathBuf>,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one client.
    pub connections_per_client: usize,
}

/// `[query-log]`: a line for queries.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct QueryLog {
    /// The file; there is no log without one.
    pub file: Option<PathBuf>,
    /// How lines are written.
    pub format: LogFormat,
    /// One query in so many is told.
    pub sample: NonZeroU32,
}

/// How the lines of a query log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// A JSON object.
    Json,
    /// As rbldnsd does.
    Rbldnsd,
}

/// `[dnstap]`: queries and replies for a collector.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Dnstap {
    /// The collector's Unix socket; nothing is told without one.
    pub socket: Option<PathBuf>,
    /// Which server this is.
    pub identity: Option<String>,
    /// One query in so many is told.
    pub sample: NonZeroU32,
}

/// `[retention]`: how long the store keeps what was said.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retention {
    /// Reports, from when they came in.
    pub reports: Seconds,
    /// The most reports, the latest.
    pub most_reports: u64,
    /// Generations, requests for a removal, and changes that hold no more.
    pub audit: Seconds,
}

/// `[never-list]`: what no dataset may list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NeverList {
    /// Whether there is one.
    pub enabled: bool,
    /// What it has besides the built-in ranges.
    pub own: Vec<Net>,
}

/// `[[dataset]]`: files that are loaded as one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dataset {
    /// What zones call it.
    pub name: Spanned<String>,
    /// The format of its files; recognised if it is not named.
    pub format: Option<FormatName>,
    /// What it is made from.
    #[serde(default)]
    pub kind: Kind,
    /// Its files.
    #[serde(default)]
    pub files: OneOrMany,
    /// The family that verdicts are of.
    pub family: Option<Families>,
    /// How origins are written.
    pub form: Option<Form>,
    /// Which names a domain means.
    pub r#match: Option<Match>,
    /// What an A query gets.
    #[serde(default = "default_value")]
    pub value: Ipv4Addr,
    /// What a TXT query gets; with `$=` in it, the template around the entries' own texts.
    pub text: Option<String>,
    /// The TTL, if it is not the zone's.
    pub ttl: Option<Seconds>,
    /// What becomes of a wrong line.
    #[serde(default)]
    pub bad_lines: BadLines,
    /// The fewest entries of a whole load.
    #[serde(default = "default_min_entries")]
    pub min_entries: u64,
    /// The most of its entries that one load may lose.
    #[serde(default = "default_max_shrink")]
    pub max_shrink: Percent,
    /// The most that one load may gain.
    #[serde(default)]
    pub max_growth: Percent,
    /// The keys of a list of hashes.
    pub key: Option<Key>,
    /// Whether rbldnsd's formats accept prefixes with bits behind their length.
    #[serde(default)]
    pub host_bits: bool,
    /// Whether `urlhaus` entries that are offline are left out.
    #[serde(default)]
    pub online_only: bool,
    /// Whether the never-list holds for it.
    #[serde(default = "yes")]
    pub never_list: bool,
    /// How a compiled file comes into memory.
    #[serde(default)]
    pub memory: Memory,
}

/// How a compiled file comes into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Memory {
    /// It is mapped, and shared with other processes.
    #[default]
    Map,
    /// It is copied, and may be written over.
    Copy,
}

/// Which names a domain in a list means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// The name alone.
    Exact,
    /// All names below it.
    Below,
    /// Both.
    Both,
}

/// What becomes of a wrong line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BadLines {
    /// It is reported and left out.
    #[default]
    Skip,
    /// It fails the load.
    Refuse,
}

/// The keys of a list of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Key {
    /// The hash function.
    pub hash: Hash,
    /// How a label spells a digest.
    #[serde(default)]
    pub alphabet: Alphabet,
    /// How many characters of the spelling a label has; as many as there are, if none is written.
    pub characters: Option<u8>,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// 128 bits.
    Md5,
    /// 160 bits.
    Sha1,
    /// 256 bits.
    Sha256,
}

/// How a label spells a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// Four bits a character.
    #[default]
    Hex,
    /// RFC 4648.
    Base32,
    /// rspamd's.
    Zbase32,
}

/// `[[zone]]`: what is answered below one name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Zone {
    /// The name.
    pub apex: Spanned<Name>,
    /// The SOA record.
    pub soa: Option<Soa>,
    /// The name servers.
    pub ns: Option<Vec<Name>>,
    /// The TTL of listings that say nothing else.
    #[serde(default = "default_ttl")]
    pub ttl: Seconds,
    /// What several datasets that list one subject come to.
    #[serde(default)]
    pub choice: Choice,
    /// The datasets in the order they are asked.
    pub datasets: Vec<Spanned<Placement>>,
    /// The datasets whose subjects it never lists.
    #[serde(default)]
    pub allow: Vec<Spanned<String>>,
    /// The zone's access list.
    pub access: Option<Spanned<String>>,
    /// The keys by which others may ask.
    pub keys: Option<Spanned<String>>,
    /// What whoever may not ask gets.
    #[serde(default)]
    pub refuse_with: RefuseWith,
    /// How much a client may ask that has no key and no place on the access list.
    #[serde(default)]
    pub quota: QuotaText,
    /// How much may be asked with a key of which the file does not say.
    #[serde(default)]
    pub key_quota: QuotaText,
    /// Whether positive answers carry the NS records.
    #[serde(default)]
    pub ns_in_authority: bool,
    /// Whether RFC 5782's test entries are put in.
    #[serde(default = "yes")]
    pub test_entries: bool,
}

/// A SOA record; what it leaves out has a sensible value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Soa {
    /// The primary; the first name server if none is written.
    pub mname: Option<Name>,
    /// The mailbox; `hostmaster` at the apex if none is written.
    pub rname: Option<Mailbox>,
    /// The serial; 0 is that of the data.
    #[serde(default)]
    pub serial: u32,
    /// How often secondaries ask.
    #[serde(default = "default_refresh")]
    pub refresh: Seconds,
    /// How soon they ask again.
    #[serde(default = "default_retry")]
    pub retry: Seconds,
    /// How long they answer without the primary.
    #[serde(default = "default_expire")]
    pub expire: Seconds,
    /// How long a resolver believes that something is not listed.
    #[serde(default = "default_minimum")]
    pub minimum: Seconds,
    /// The record's TTL, if it is not the zone's.
    pub ttl: Option<Seconds>,
}

/// What several datasets that list one subject come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The union of their values.
    #[default]
    All,
    /// The values of the first that lists it.
    One,
    /// One address, the OR of all, and one text, all of them joined.
    Or,
}

/// What whoever may not ask gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefuseWith {
    /// REFUSED.
    #[default]
    Refused,
    /// NXDOMAIN.
    Nxdomain,
    /// No reply.
    Drop,
    /// 127.255.255.252, .254 or .255, and a text.
    Code,
}

impl Spec {
    /// Reads the text of a configuration.
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, ConfigError> {
        // the version first: another one has other keys, and the wrong version is what is to be told then
        let keys: BTreeMap<String, Spanned<toml::Value>> =
            toml::from_str(source.text).map_err(|error| source.syntax(&error))?;
        match keys.get("version") {
            None => return Err(ConfigError::Wrong { place: source.whole(), problem: Problem::NoVersion }),
            Some(version) if *version.get_ref() != toml::Value::Integer(VERSION) => {
                let found = version.get_ref().to_string();
                return Err(source.wrong(&version.span(), Problem::Version { found }));
            }
            Some(_) => {}
        }
        toml::from_str(source.text).map_err(|error| source.syntax(&error))
    }

    /// The tables that differ in what is only done at the start of the process.
    pub(super) fn of_process_otherwise_in(&self, other: &Self) -> Vec<&'static str> {
        let of_server = |spec: &Self| {
            let Server { user, group, chroot, pid_file, state_directory, .. } = spec.server.clone();
            ([user, group], [chroot, pid_file, state_directory])
        };
        let tables = [
            ("[listen]", self.listen != other.listen),
            ("[limits]", self.limits != other.limits),
            ("[rate-limit]", self.rate_limit != other.rate_limit),
            ("[control]", self.control != other.control),
            ("[page]", self.page != other.page),
            ("[query-log]", self.query_log != other.query_log),
            ("[dnstap]", self.dnstap != other.dnstap),
            ("[server]", of_server(self) != of_server(other)),
        ];
        tables.into_iter().filter(|(_, differs)| *differs).map(|(table, _)| table).collect()
    }
}

impl Default for Listen {
    fn default() -> Self {
        let everywhere = ["0.0.0.0:53", "[::]:53"].map(|address| address.parse().expect("an address and a port"));
        Self { addresses: everywhere.into(), udp_workers: 0, tls: None, https: None, quic: None }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let limits = crate::server::Limits::default();
        Self {
            tcp_connections: limits.connections,
            tcp_connections_per_client: limits.connections_per_client,
            streams_per_connection: limits.streams,
            tcp_idle: Seconds(limits.idle.as_secs() as u32),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            user: None,
            group: None,
            chroot: None,
            pid_file: None,
            state_directory: None,
            // a list is answered from within seconds, and a glance is one system call a file
            watch: Seconds(2),
            version_text: None,
            access: None,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        let crate::http::Limits { connections, connections_per_client, .. } = crate::http::Limits::default();
        Self {
            socket: None,
            addresses: Vec::new(),
            hosts: Vec::new(),
            tokens: None,
            metrics: Vec::new(),
            store: None,
            connections,
            connections_per_client,
        }
    }
}

impl Default for QueryLog {
    fn default() -> Self {
        Self { file: None, format: LogFormat::Json, sample: NonZeroU32::MIN }
    }
}

impl Default for Dnstap {
    fn default() -> Self {
        Self { socket: None, identity: None, sample: NonZeroU32::MIN }
    }
}

impl Default for Retention {
    fn default() -> Self {
        let store::Retention { report_age, reports, audit_age } = store::Retention::default();
        Self { reports: Seconds(report_age), most_reports: reports, audit: Seconds(audit_age) }
    }
}

impl Default for NeverList {
    fn default() -> Self {
        Self { enabled: true, own: Vec::new() }
    }
}

fn yes() -> bool {
    true
}

pub(super) fn default_value() -> Ipv4Addr {
    crate::dataset::DEFAULT_ADDRESS
}

/// An empty list is rarely meant.
fn default_min_entries() -> u64 {
    1
}

fn default_max_shrink() -> Percent {
    Percent(Some(crate::dataset::bounds::MAX_SHRINK))
}

/// Long enough to spare queries, short enough for a removal to be felt.
fn default_ttl() -> Seconds {
    Seconds(300)
}

fn default_refresh() -> Seconds {
    Seconds(crate::zone::DEFAULT_REFRESH)
}

fn default_retry() -> Seconds {
    Seconds(crate::zone::DEFAULT_RETRY)
}

fn default_expire() -> Seconds {
    Seconds(crate::zone::DEFAULT_EXPIRE)
}

fn default_minimum() -> Seconds {
    Seconds(crate::zone::DEFAULT_MINIMUM)
}

/// The version that this program reads.
const VERSION: i64 = 1;
