//! What is known of a subject, as far as visitors may know it; the form of the JSON twin too.
//!
//! Invariant: no path, no line, no name of a source or of a person is in it. A key that is there keeps its meaning, and
//! others may be added. Times are texts as RFC 3339 has them, or shorter.

use serde::Serialize;

use super::super::api::At;

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The subject.
    #[serde(flatten)]
    pub subject: Subject,
    /// Whether a list has the subject itself.
    pub listed: bool,
    /// The strongest that any zone says of it.
    pub standing: Standing,
    /// The generation that was asked.
    pub generation: u64,
    /// When it was looked up.
    pub at: At,
    /// What each zone answers.
    pub zones: Vec<InZone>,
    /// What an IPv4 address stands among.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub around: Option<Around>,
    /// What evidence comes to.
    pub verdicts: Vec<Verdict>,
}

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// In its canonical spelling, of ASCII alone but for mailboxes and URLs.
    #[serde(rename = "subject")]
    pub text: String,
    /// As people write it, if that is another spelling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicode: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// What a subject is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An IPv4 or IPv6 address.
    Address,
    /// A domain name, or a hash.
    Domain,
    /// A URL.
    Url,
    /// An e-mail address.
    Mailbox,
}

/// The text is nothing that a list can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("This is no address, domain, URL or e-mail address. Write it like 192.0.2.1, 2001:db8::1 or example.com.")]
pub struct NoSubject;

/// What is said of a subject, the strongest last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing.
    #[default]
    None,
    /// What stands around it is watched.
    Watch,
    /// Much speaks against what stands around it.
    Suspicious,
    /// More often than not it brings something new within a week.
    Bad,
    /// It is listed itself.
    Listed,
}

impl Standing {
    /// All of them, the strongest first.
    pub const ALL: [Self; 5] = [Self::Listed, Self::Bad, Self::Suspicious, Self::Watch, Self::None];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Watch => "watch",
            Self::Suspicious => "suspicious",
            Self::Bad => "bad",
            Self::Listed => "listed",
        }
    }
}

/// What a zone says of its subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// What is listed itself.
    List,
    /// What is said of a subject for what stands around it.
    Verdicts,
    /// What announces an address, and nothing about it.
    Origin,
}

/// What one zone answers, by one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InZone {
    /// The apex, or the name below it that was asked.
    pub zone: String,
    /// What it says of its subjects.
    pub role: Role,
    /// What it says of this one.
    pub standing: Standing,
    /// `NOERROR`, `NODATA`, `NXDOMAIN`, `SERVFAIL`, `REFUSED`.
    pub status: &'static str,
    /// The addresses it answers.
    pub a: Vec<String>,
    /// The texts it answers.
    pub txt: Vec<String>,
    /// Why.
    pub why: Vec<Reason>,
}

/// A reason for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// As `infamy lookup --json` has it: `listing`, `exclusion`, `verdict`, `live`, `allowed`, …
    pub kind: &'static str,
    /// The dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// What the dataset speaks of: the subject, or what it is within.
    pub entry: String,
    /// Since when, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// When it was seen last, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Until when, if nothing is added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// The addresses around one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Around {
    /// The first address of its /24.
    #[serde(skip)]
    pub first: u32,
    /// The /24.
    pub block: String,
    /// What is said of each of its 256 addresses, in their order.
    pub standings: Vec<Standing>,
    /// The announced prefix around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The ASN that announces it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
}

/// What evidence comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// `send`, `host` or `name`.
    pub about: String,
    /// `none`, `watch`, `suspicious`, `bad`.
    pub state: String,
    /// 0–100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// The node that has the state.
    pub node: String,
    /// How many times the mean rate of an announced block it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lift: Option<f64>,
    /// The rule that the state comes by, or what is missing.
    pub rule: String,
    /// When the state is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<String>,
    /// What was reported of the node in the last 45 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What stands around the subject, the nearest first.
    pub chain: Vec<Node>,
    /// What the logarithm of the lift is made of.
    pub terms: Vec<TermSum>,
    /// Sentences for people.
    pub told: Vec<String>,
}

/// Evidence of the last 45 days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Evidence {
    /// Distinct addresses.
    pub reports: u32,
    /// Distinct days.
    pub days: u32,
    /// Distinct groups of sources.
    pub groups: u32,
    /// The last arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// What stands around a subject, or the subject.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// A prefix, `AS64496`, a name.
    pub node: String,
    /// What it is.
    pub what: String,
    /// What is known of it.
    pub known: String,
    /// How many times the mean it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
}

/// Terms of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct TermSum {
    /// The kind.
    pub name: String,
    /// What the terms come to together.
    pub sum: f64,
}
