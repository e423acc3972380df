//! Events: a report, a live change, a generation that was published, or a request of somebody who is listed.
//!
//! Invariant: an [`Event`] that passed [`Event::check`] has a bounded size and no control characters in what is shown on
//! one line.

use std::hash::Hasher;
use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};
use twox_hash::XxHash3_64;

use super::super::{Subject, Time};

/// Something that happened, as the log keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The same key with the same content is the same event.
    pub key: Option<IdempotencyKey>,
    /// When it came, a Unix time in seconds. Numbers decide the order, whatever the clock did.
    pub at: i64,
    /// Who did it: a user, a token's name, the program itself.
    pub who: String,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A source named a subject.
    Report(Report),
    /// A listing was added, removed, or a change taken back.
    Change(StoredChange),
    /// A generation was published.
    Generation(Generation),
    /// Somebody asked for a removal.
    Request(RemovalRequest),
}

/// An event with the number that the log gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// Rises with every event, and is never given again.
    pub number: u64,
    /// The event.
    pub event: Event,
}

/// One statement by one source.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When the subject was seen; [`Event::at`], if the source did not say.
    pub time: Time,
    /// Who said it.
    pub source: String,
    /// An address, prefix, domain or URL.
    pub subject: String,
    /// What it did, `spam` or `phishing`; empty if that is not known.
    pub category: String,
    /// How sure the source is, 0–1.
    pub weight: f64,
    /// What the source said besides, for people.
    pub text: Option<String>,
}

/// A change of one subject in one dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredChange {
    /// The dataset.
    pub dataset: String,
    /// The subject in its one canonical spelling, as changes of equal subjects are known by it.
    pub subject: String,
    /// What is changed.
    pub action: Action,
    /// The Unix time in seconds from which it no longer holds; it holds for ever without one.
    pub expires: Option<i64>,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The subject is listed; what is not said is the dataset's.
    Add {
        /// The A record.
        a: Option<Ipv4Addr>,
        /// The TXT template.
        text: Option<String>,
        /// The TTL in seconds.
        ttl: Option<u32>,
    },
    /// The subject is not listed, whatever the dataset says.
    Remove,
    /// An earlier change no longer holds.
    Withdraw {
        /// Its number.
        number: u64,
    },
}

/// A generation that was published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Its own number, which never goes back.
    pub number: u64,
    /// Why it came: a start, a reload, live changes.
    pub cause: String,
    /// What became of each dataset with news.
    pub datasets: Vec<DatasetCount>,
    /// The serial of each zone, by apex.
    pub serials: Vec<(String, u32)>,
    /// What entered, left or changed; at most [`MAX_GENERATION_ENTRIES`], the counts are whole.
    pub entries: Vec<GenerationEntry>,
}

/// A dataset in a generation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatasetCount {
    /// The dataset.
    pub dataset: String,
    /// Its listings in the generation before.
    pub before: u64,
    /// Its listings.
    pub entries: u64,
    /// How many were not there before.
    pub entered: u64,
    /// How many are there no more.
    pub left: u64,
    /// How many have another value.
    pub changed: u64,
}

/// How a subject moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// It was not listed.
    Entered,
    /// It is listed no more.
    Left,
    /// It has another value.
    Changed,
}

impl Moved {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Entered, Self::Left, Self::Changed];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Left => "left",
            Self::Changed => "changed",
        }
    }
}

/// A subject that moved, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationEntry {
    /// The dataset.
    pub dataset: String,
    /// The subject.
    pub subject: String,
    /// Which way.
    pub moved: Moved,
    /// A file and line, a change and its reason, a verdict.
    pub why: String,
}

/// Somebody asks that a subject be listed no more. It changes nothing: an operator decides. [`Event::who`] is the address
/// that it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovalRequest {
    /// What is to be removed, in its one canonical spelling.
    pub subject: String,
    /// Where the one who asks can be answered.
    pub contact: String,
    /// What is said for it.
    pub text: String,
}

/// What makes an event that is sent again the same event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(pub [u8; 16]);

impl IdempotencyKey {
    /// The key of the event at `index` of a request that a client named by `text`; clients do not meet each other.
    pub fn of(who: &str, text: &str, index: u64) -> Self {
        let mut hash = Sha256::new();
        for part in [who.as_bytes(), text.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(index.to_le_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        Self(key)
    }
}

/// Why an event is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// A text that is too long.
    #[error("{field} has {length} bytes: at most {most} are kept")]
    Long {
        /// Which one.
        field: &'static str,
        /// Its length.
        length: usize,
        /// How long it may be.
        most: usize,
    },
    /// A text that must be there is empty.
    #[error("{field} is empty")]
    Empty {
        /// Which one.
        field: &'static str,
    },
    /// A line break or another control character.
    #[error("{field} has a control character")]
    Control {
        /// Which one.
        field: &'static str,
    },
    /// Neither address, prefix, domain nor URL.
    #[error("`{0}` is no address, prefix, domain or URL")]
    Subject(String),
    /// A weight outside of 0 to 1.
    #[error("weight {0} is not from 0 to 1")]
    Weight(String),
    /// Too many subjects that moved.
    #[error("{0} subjects moved: at most {MAX_GENERATION_ENTRIES} are kept by name")]
    Entries(usize),
}

impl Event {
    /// Whether the log can keep it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), EventError> {
        line("who", &self.who, MAX_NAME)?;
        match &self.what {
            What::Report(report) => {
                filled("source", &report.source)?;
                line("source", &report.source, MAX_NAME)?;
                line("category", &report.category, MAX_NAME)?;
                line("subject", &report.subject, MAX_SUBJECT)?;
                long("text", report.text.as_deref().unwrap_or_default(), MAX_TEXT)?;
                if !(0.0..=1.0).contains(&report.weight) {
                    return Err(EventError::Weight(report.weight.to_string()));
                }
                let parsed = Subject::parse(report.subject.as_bytes());
                parsed.map(|_| ()).ok_or_else(|| EventError::Subject(report.subject.clone()))
            }
            What::Change(change) => {
                filled("dataset", &change.dataset)?;
                filled("subject", &change.subject)?;
                line("dataset", &change.dataset, MAX_NAME)?;
                line("subject", &change.subject, MAX_SUBJECT)?;
                if let Action::Add { text: Some(text), .. } = &change.action {
                    line("text", text, MAX_TEXT)?;
                }
                line("reason", change.reason.as_deref().unwrap_or_default(), MAX_TEXT)
            }
            What::Generation(generation) => {
                line("cause", &generation.cause, MAX_TEXT)?;
                let entries = &generation.entries;
                if entries.len() > MAX_GENERATION_ENTRIES {
                    return Err(EventError::Entries(entries.len()));
                }
                entries.iter().try_for_each(|entry| {
                    line("dataset", &entry.dataset, MAX_NAME)?;
                    line("subject", &entry.subject, MAX_SUBJECT)?;
                    line("why", &entry.why, MAX_TEXT)
                })
            }
            What::Request(RemovalRequest { subject, contact, text }) => {
                filled("subject", subject)?;
                line("subject", subject, MAX_SUBJECT)?;
                line("contact", contact, MAX_NAME)?;
                long("text", text, MAX_TEXT)
            }
        }
    }

    /// About how many bytes it takes while it waits.
    pub(super) fn size(&self) -> usize {
        let texts = match &self.what {
            What::Report(report) => {
                let text = report.text.as_ref().map_or(0, String::len);
                report.source.len() + report.subject.len() + report.category.len() + text
            }
            What::Change(change) => {
                let text = match &change.action {
                    Action::Add { text: Some(text), .. } => text.len(),
                    _ => 0,
                };
                change.dataset.len() + change.subject.len() + text + change.reason.as_ref().map_or(0, String::len)
            }
            What::Generation(generation) => {
                let entries = generation.entries.iter();
                let entries = entries.map(|entry| entry.dataset.len() + entry.subject.len() + entry.why.len() + 80);
                entries.sum::<usize>() + 100 * (generation.datasets.len() + generation.serials.len())
            }
            What::Request(RemovalRequest { subject, contact, text }) => subject.len() + contact.len() + text.len(),
        };
        size_of::<Self>() + self.who.len() + texts
    }

    /// What tells an event from another under the same key. What the server fills in when it comes, its time and when it
    /// expires, is not part of it, as it is another one when a client asks again.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = XxHash3_64::with_seed(0);
        let mut put = |text: &str| {
            hash.write(&(text.len() as u64).to_le_bytes());
            hash.write(text.as_bytes());
        };
        put(&self.who);
        match &self.what {
            What::Report(report) => {
                let Report { time, source, subject, category, weight, text } = report;
                let is_said = i64::from(time.0) != self.at;
                [source, subject, category, text.as_deref().unwrap_or_default()].into_iter().for_each(put);
                hash.write(&weight.to_bits().to_le_bytes());
                hash.write(&if is_said { time.0 } else { 0 }.to_le_bytes());
            }
            What::Change(change) => {
                let StoredChange { dataset, subject, action, expires, reason } = change;
                [dataset, subject, reason.as_deref().unwrap_or_default()].into_iter().for_each(&mut put);
                put(&format!("{action:?}"));
                hash.write(&[u8::from(expires.is_some())]);
            }
            What::Generation(generation) => {
                put(&generation.cause);
                hash.write(&generation.number.to_le_bytes());
            }
            What::Request(RemovalRequest { subject, contact, text }) => {
                [subject, contact, text].into_iter().for_each(|text| put(text))
            }
        }
        hash.finish()
    }
}

fn filled(field: &'static str, text: &str) -> Result<(), EventError> {
    if text.is_empty() { Err(EventError::Empty { field }) } else { Ok(()) }
}

fn long(field: &'static str, text: &str, most: usize) -> Result<(), EventError> {
    let length = text.len();
    if length > most { Err(EventError::Long { field, length, most }) } else { Ok(()) }
}

fn line(field: &'static str, text: &str, most: usize) -> Result<(), EventError> {
    long(field, text, most)?;
    if text.chars().any(char::is_control) { Err(EventError::Control { field }) } else { Ok(()) }
}

/// Bytes of the name of a source, category, dataset or person.
pub const MAX_NAME: usize = 255;
/// Bytes of a subject: what browsers and proxies still take as a URL.
pub const MAX_SUBJECT: usize = 2048;
/// Bytes of a text for people: the head of a message, not the message.
pub const MAX_TEXT: usize = 16 << 10;
/// Subjects of one generation that are kept by name: more than anybody reads, and a few MB.
pub const MAX_GENERATION_ENTRIES: usize = 10_000;
