//! What is said over the control interface: requests and answers, as JSON has them.
//!
//! Both ends use these types: the server, and the commands that talk to it. Invariant: a key of a request that is not
//! known is an error, so that no slip of the pen is silent; an answer may get new keys, and those that are there keep their
//! meaning. Times are texts as RFC 3339 has them, in UTC. What a field means is told in the OpenAPI document too.

use std::net::Ipv4Addr;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use crate::evidence::store::{MAX_NAME, MAX_SUBJECT};
use crate::evidence::{Time, Written};

/// A time: written as `"2026-07-12T10:00:00Z"`; seconds since 1970 and dates, which mean their end, are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub Time);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a time: 2026-07-12T10:00:00Z, 2026-07-12 or seconds since 1970")]
        enum Form {
            Seconds(u32),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Seconds(seconds) => Ok(Self(Time(seconds))),
            Form::Text(text) => match Written::parse(text.as_bytes()) {
                Some(written) => Ok(Self(written.end())),
                None => Err(D::Error::invalid_value(Unexpected::Str(&text), &"a time: 2026-07-12T10:00:00Z")),
            },
        }
    }
}

/// What a change does to a dataset's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The subjects are listed, besides what the dataset itself says of them.
    Add,
    /// The subjects are not listed by the dataset.
    Remove,
}

/// A change to a dataset that is to be served at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// What is done.
    pub action: Action,
    /// To which dataset.
    pub dataset: String,
    /// Addresses, prefixes, domains or digests: all of them are changed, or none.
    pub subjects: Vec<String>,
    /// What an A query gets; the dataset's own value otherwise. Only to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Ipv4Addr>,
    /// What a TXT query gets, `$` being the subject; the dataset's own text otherwise. Only to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Seconds; only to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// When it ends; never if neither this nor `lifetime` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<At>,
    /// After how many seconds it ends. The server turns it into `expires` when the request comes in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u32>,
    /// Why, for those who look back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a change. It is durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The changes' numbers, in the order of the subjects.
    pub numbers: Vec<u64>,
    /// Whether it is answered so already. It is within a second, and before this is told if it was asked to wait.
    pub served: bool,
}

/// Which changes are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeQuery {
    /// Of one dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Of one subject, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Also those that have ended or were withdrawn.
    #[serde(default)]
    pub all: bool,
    /// At most how many, the newest first; [`MAX_ROWS`] if it is not written or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A change as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// By which it is withdrawn. A later change has a higher one.
    pub number: u64,
    /// When it was taken.
    pub at: At,
    /// Who asked for it.
    pub who: String,
    /// What it does.
    pub action: Action,
    /// To which dataset.
    pub dataset: String,
    /// Of which subject.
    pub subject: String,
    /// What an A query gets, if it is not the dataset's own.
    pub value: Option<Ipv4Addr>,
    /// What a TXT query gets, if it is not the dataset's own.
    pub text: Option<String>,
    /// Seconds, if it is not the dataset's own.
    pub ttl: Option<u32>,
    /// When it ends.
    pub expires: Option<At>,
    /// When it was withdrawn.
    pub withdrawn: Option<At>,
    /// Why.
    pub reason: Option<String>,
}

/// What became of some reports. They are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many are news.
    pub accepted: u64,
    /// How many were known by their key, and so not taken again.
    pub known: u64,
}

/// What became of all reports of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// How many are news.
    pub accepted: u64,
    /// How many had come before under the same Idempotency-Key, and were not taken again.
    pub known: u64,
    /// How many were not taken.
    pub refused: u64,
    /// The first of those that were not taken, at most [`MAX_TOLD`].
    pub problems: Vec<LineProblem>,
}

/// Why a report was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// The line, or the report's place in an array, counted from one.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether it is done; otherwise it is under way, or waits for the one that is.
    pub done: bool,
    /// The generation that is served.
    pub generation: u64,
    /// Why a configuration was not taken over, and the one before stays; none if it was, or says the same.
    pub configuration: Option<String>,
    /// Datasets that were not loaded, and of which the last good one stays, with the reason.
    pub failures: Vec<Failure>,
    /// Encrypted doors whose certificate could not be read again, and of which the one before stays.
    pub certificates: Vec<CertificateFailure>,
    /// Tables of the configuration that are not served as they are written before there is a restart: `[listen]`.
    pub restart: Vec<String>,
}

/// A certificate that could not be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFailure {
    /// `tls`, `https` or `quic`.
    pub door: String,
    /// Why, with the path.
    pub reason: String,
}

/// A dataset that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The dataset.
    pub dataset: String,
    /// Why, with path and line.
    pub reason: String,
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process id.
    pub pid: u32,
    /// When it began.
    pub started: At,
    /// The generation that is served.
    pub generation: u64,
    /// Since when.
    pub published: At,
    /// Why it came to be.
    pub cause: String,
    /// The load that is under way.
    pub loading: Option<Loading>,
    /// All datasets, in the order of the configuration.
    pub datasets: Vec<DatasetStatus>,
    /// All zones, in the order of the configuration.
    pub zones: Vec<ZoneStatus>,
    /// What the encrypted doors prove themselves with.
    pub certificates: Vec<CertificateStatus>,
    /// What was held back or lost.
    pub held: Held,
    /// Where reports and changes are kept; none if they are not taken.
    pub store: Option<StoreStatus>,
}

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// Which dataset.
    pub dataset: String,
    /// Since when.
    pub since: At,
    /// Bytes of its files that were read.
    pub bytes: u64,
    /// Bytes that there are, if that is known.
    pub of_bytes: Option<u64>,
    /// Lines that were read.
    pub lines: u64,
}

/// How a dataset is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetStatus {
    /// Its name.
    pub name: String,
    /// How many entries it was loaded from.
    pub entries: u64,
    /// When it was loaded, which is when its content changed last; none if it never was.
    pub loaded: Option<At>,
    /// When the newest of its files was written that were last read without an error, whether or not they said anything
    /// new; when it was made if it has none.
    pub as_of: Option<At>,
    /// Live changes to it.
    pub changes: u64,
    /// When the next of them ends.
    pub next_expiry: Option<At>,
    /// How many loads failed since the start.
    pub failures: u64,
    /// Why the last load failed; none if it did not.
    pub error: Option<String>,
}

/// How a zone is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneStatus {
    /// Its apex.
    pub apex: String,
    /// Its serial.
    pub serial: u32,
}

/// How the certificate of an encrypted door is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// `tls`, `https` or `quic`.
    pub door: String,
    /// When the one that is served ends; none if it cannot be told.
    pub expires: Option<At>,
    /// How many times it could not be read again since the start.
    pub failures: u64,
    /// Why it could not be the last time; none if it could.
    pub error: Option<String>,
}

/// What was held back or lost since the start, and what cookies showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Replies that were one too many of their kind and not sent; in a dry run, that would not have been.
    pub rate_limited: u64,
    /// Replies that were one too many of their kind, and in whose place a short one was sent.
    pub slipped: u64,
    /// Queries beyond the quota of their client or key.
    pub over_quota: u64,
    /// Queries with a good DNS Cookie.
    pub cookies_good: u64,
    /// Queries with one that is not ours, too old or of another address.
    pub cookies_bad: u64,
    /// Records of the query log and of dnstap that were lost.
    pub lost_records: u64,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// The file.
    pub path: String,
    /// Events that wait to be durable.
    pub waiting: u64,
    /// What keeps it from writing; none if nothing does.
    pub error: Option<String>,
}

/// What queries came to since the process began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// By zone, transport, type and result: those that there were.
    pub queries: Vec<QueryCount>,
    /// How long they took, by transport.
    pub durations: Vec<Durations>,
}

/// How many queries were alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryCount {
    /// The zone's apex; none outside every zone.
    pub zone: Option<String>,
    /// `udp`, `tcp`, `tls`, `https` or `quic`.
    pub transport: String,
    /// The type, if it is one of those that are told apart, `none` or `other`.
    pub qtype: String,
    /// `listed`, `unlisted`, `ent`, `other`, `refused`, `error` or `dropped`.
    pub result: String,
    /// How many.
    pub count: u64,
}

/// How long queries took that came by one transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    /// `udp`, `tcp`, `tls`, `https` or `quic`.
    pub transport: String,
    /// All of them together, in seconds.
    pub seconds: f64,
    /// How many took how long.
    pub buckets: Vec<Bucket>,
}

/// Queries that took about as long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Seconds at most, and more than in the bucket before; none in the last.
    pub up_to: Option<f64>,
    /// How many.
    pub count: u64,
}

/// What is to be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffQuery {
    /// Of one dataset; otherwise of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The generation before the first that is told; the one before `to` if it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The last generation that is told; the one that is served if it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// At most how many entries; [`MAX_ROWS`] if it is not written or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What changed from one generation to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// The generation before.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The generations behind `from` and up to `to`, in order.
    pub generations: Vec<GenerationRecord>,
    /// What entered, left or changed, generation by generation.
    pub entries: Vec<DiffEntry>,
    /// Whether there is more than `entries` has; the counts of `generations` are whole.
    pub truncated: bool,
}

/// A generation as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// Its number.
    pub number: u64,
    /// When it was published.
    pub at: At,
    /// Why it came to be.
    pub cause: String,
    /// Who asked for it; none if nobody did.
    pub who: Option<String>,
    /// The datasets that are other than before.
    pub datasets: Vec<DatasetCounts>,
}

/// What became of a dataset in a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetCounts {
    /// The dataset.
    pub name: String,
    /// Listings before.
    pub before: u64,
    /// Listings now.
    pub after: u64,
    /// How many entered; none if it is not known.
    pub entered: Option<u64>,
    /// How many left; none if it is not known.
    pub left: Option<u64>,
    /// How many have another value; none if it is not known.
    pub changed: Option<u64>,
}

/// One subject that entered, left or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffEntry {
    /// In which generation.
    pub generation: u64,
    /// Of which dataset.
    pub dataset: String,
    /// What became of it.
    pub change: Movement,
    /// The subject.
    pub subject: String,
    /// Why: a file and line, who changed it and for what reason, or a verdict; none if it is not known.
    pub why: Option<String>,
}

/// What became of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Movement {
    /// It is listed, and was not.
    Entered,
    /// It was listed, and is not.
    Left,
    /// It has another value.
    Changed,
}

/// What is wanted of the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceQuery {
    /// An address, a prefix, a domain or a URL; all that is inside or below it is told.
    pub subject: String,
    /// Reports from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<At>,
    /// At most how many, the newest first; [`MAX_ROWS`] if it is not written or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Who said what of it, the newest first.
    pub reports: Vec<EvidenceRecord>,
    /// Live changes about it, the newest first.
    pub changes: Vec<ChangeRecord>,
    /// Whether there is more.
    pub truncated: bool,
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// When it was seen.
    pub time: At,
    /// Who says so.
    pub source: String,
    /// Of which subject.
    pub subject: String,
    /// What was seen.
    pub category: String,
    /// 0–1.
    pub weight: f64,
}

/// What is to be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupQuery {
    /// An address, a domain, a URL, an e-mail address or a hash.
    pub subject: String,
}

/// Whether an answer is wanted when it is done or when it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// Whether to wait until it is served.
    #[serde(default)]
    pub wait: bool,
}

/// How many subjects one change may have: more of them are a list, which belongs into a file.
pub const MAX_SUBJECTS: usize = 1000;
/// How many rows an answer may have; what is more is asked for piece by piece.
pub const MAX_ROWS: usize = 10_000;
/// How many refused reports are told one by one: enough to see what is wrong with a stream.
pub const MAX_TOLD: usize = 100;
