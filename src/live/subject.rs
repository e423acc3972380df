//! What a change is about, and how that is written.
//!
//! The text is what a line of a plain list would say: an address, a prefix, a domain, or a URL for its host. In a list of
//! hashes it is a digest or a key, or the URL, mailbox or domain that is to be hashed. Invariant: [`Subject`]'s own text,
//! read again for the same dataset, is the same subject.

use std::fmt;
use std::net::Ipv6Addr;

use crate::dataset::never::{prefix4_text, prefix6_text};
use crate::dataset::{Dataset, Emitted, Holds, NeverList, Spec};
use crate::dnsxl::key::{Key, KeyShape};
use crate::dnsxl::subject::{mask4, mask6};
use crate::dnsxl::url::CanonicalUrl;
use crate::dnsxl::{Block4, Block6, Name};
use crate::feed::{self, Compression, Entry, Format, LineError, Reading, Scope, Sink, Special};

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An IPv4 address or prefix; bits past the length are zero.
    Ip4 {
        /// The address bits.
        bits: u32,
        /// How many bits are given, 0–32.
        length: u8,
    },
    /// An IPv6 address or prefix; bits past the length are zero.
    Ip6 {
        /// The address bits.
        bits: u128,
        /// How many bits are given, 0–128.
        length: u8,
    },
    /// A domain name.
    Name {
        /// The name in lower case.
        name: Name,
        /// Whether the name itself is meant, what is below it, or both.
        scope: Scope,
    },
    /// A key of a list of hashes.
    Hash {
        /// The key.
        key: Key,
        /// How it is spelt.
        shape: KeyShape,
    },
}

/// Which subjects a dataset can be told of, and how their text is read.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// The kinds.
    pub holds: Holds,
    /// What a bare domain means.
    pub scope: Scope,
}

impl Kinds {
    /// Those of a dataset, whether or not it lists any of them now: what a line of its lists could say.
    pub fn of(spec: &Spec, dataset: Option<&Dataset>) -> Self {
        let mut holds = Holds { hashes: spec.reading.key, ..Holds::default() };
        // hosts and exact names are what these lists are of; everywhere else a domain means what is below it too
        let mut scope = Scope::Both;
        match spec.format {
            _ if spec.emitted.is_some() || holds.hashes.is_some() => {}
            Format::Ip4Set | Format::Ip4Tset | Format::Ip4Trie => holds.ip4 = true,
            Format::Ip6Tset | Format::Ip6Trie => holds.ip6 = true,
            Format::Drop => (holds.ip4, holds.ip6) = (true, true),
            Format::Plain => (holds.ip4, holds.ip6, holds.names) = (true, true, true),
            Format::Urls | Format::Urlhaus => {
                (holds.ip4, holds.ip6, holds.names) = (true, true, true);
                scope = Scope::Exact;
            }
            Format::Dnset | Format::Hosts => (holds.names, scope) = (true, Scope::Exact),
            // what its sections are about is known once it is loaded
            Format::Combined if dataset.is_none() => {
                (holds.ip4, holds.ip6, holds.names) = (true, true, true);
                scope = Scope::Exact;
            }
            Format::Combined => scope = Scope::Exact,
            Format::Generic | Format::Acl | Format::Hashes | Format::Keys => {}
        }
        let of_parts = dataset.into_iter().flat_map(|dataset| &dataset.parts).map(|part| part.holds);
        let of_emitter = spec.emitted.iter().map(|Emitted(emitter)| emitter.holds());
        for more in of_parts.chain(of_emitter) {
            holds.ip4 |= more.ip4;
            holds.ip6 |= more.ip6;
            holds.names |= more.names;
            holds.hashes = holds.hashes.or(more.hashes);
        }
        Self { holds, scope: spec.reading.scope.unwrap_or(scope) }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holds { ip4, ip6, names, hashes } = self.holds;
        let all = [(ip4, "IPv4 addresses"), (ip6, "IPv6 addresses"), (names, "names"), (hashes.is_some(), "hashes")];
        let held: Vec<&str> = all.into_iter().filter(|(holds, _)| *holds).map(|(_, what)| what).collect();
        match held.is_empty() {
            true => f.write_str("nothing that a live change could be about"),
            false => f.write_str(&held.join(", ")),
        }
    }
}

impl Subject {
    /// Reads a subject for a dataset that can be told of `kinds`, and says whether it may be changed at all.
    ///
    /// `=` in front of a domain means the name alone, `*.` what is below it, `.` both, and without any of them it means
    /// what it does in the dataset's lists.
    ///
    /// # Errors
    ///
    /// What is no subject, or one of another kind; what is on the never-list; every address there is.
    pub fn parse(text: &str, kinds: &Kinds, never: &NeverList) -> Result<Self, SubjectError> {
        let subject = match kinds.holds.hashes {
            Some(shape) => Self::Hash { key: key_of(text, shape)?, shape },
            None => Self::parse_entry(text, kinds)?,
        };
        let is_held = match &subject {
            Self::Ip4 { .. } => kinds.holds.ip4,
            Self::Ip6 { .. } => kinds.holds.ip6,
            Self::Name { .. } => kinds.holds.names,
            Self::Hash { .. } => true,
        };
        if !is_held {
            return Err(SubjectError::Kind { text: text.to_owned(), held: kinds.to_string() });
        }
        subject.check(never)?;
        Ok(subject)
    }

    /// Whether it may be changed.
    ///
    /// # Errors
    ///
    /// What is on the never-list; every address there is.
    pub fn check(&self, never: &NeverList) -> Result<(), SubjectError> {
        let what = match *self {
            Self::Ip4 { length: 0, .. } => return Err(SubjectError::Everything { what: "0.0.0.0/0" }),
            Self::Ip6 { length: 0, .. } => return Err(SubjectError::Everything { what: "::/0" }),
            Self::Ip4 { bits, length } => never.forbids_ip4(bits, bits | !mask4(length)),
            Self::Ip6 { bits, length } => never.forbids_ip6(bits, bits | !mask6(length)),
            Self::Name { ref name, .. } => never.forbids_name(name.as_wire()).then_some("RFC 5782's INVALID"),
            Self::Hash { .. } => None,
        };
        match what {
            Some(what) => Err(SubjectError::Never { subject: self.to_string(), what: what.to_owned() }),
            None => Ok(()),
        }
    }

    fn parse_entry(text: &str, kinds: &Kinds) -> Result<Self, SubjectError> {
        let wrong = |why| SubjectError::NoSubject { text: text.to_owned(), why };
        // a line of a list may have more than its subject, and would be taken for less than it says
        let is_more = |byte: u8| byte.is_ascii_whitespace() || byte.is_ascii_control() || b"#;".contains(&byte);
        if text.bytes().any(is_more) || text.starts_with(['!', '/']) || text.is_empty() {
            return Err(wrong(None));
        }
        let (line, scope) = match text.strip_prefix('=') {
            Some(name) => (format!(".{name}"), Some(Scope::Exact)),
            None => (text.to_owned(), None),
        };
        let format = if line.contains("://") { Format::Urls } else { Format::Plain };
        let reading = Reading { scope: Some(kinds.scope), compression: Compression::Off, ..Reading::default() };
        let mut one = One { with_ip4: kinds.holds.ip4, found: None };
        feed::parse_bytes(line.as_bytes(), format, &reading, &mut one).map_err(|_| wrong(None))?;
        match one.found {
            Some(Found::Subject(Self::Name { name, scope: written })) => {
                Ok(Self::Name { name, scope: scope.unwrap_or(written) })
            }
            Some(Found::Subject(subject)) => Ok(subject),
            Some(Found::Range) => Err(SubjectError::Range { text: text.to_owned() }),
            Some(Found::Problem(problem)) => Err(wrong(Some(problem))),
            None => Err(wrong(None)),
        }
    }

    /// What a part of it is about that one value can stand for: a domain with all below it is two.
    pub(super) fn places(&self) -> impl Iterator<Item = Self> + use<> {
        let of_name = |name: &Name, scope| Self::Name { name: name.clone(), scope };
        match self {
            Self::Name { name, scope: Scope::Both } => {
                [Some(of_name(name, Scope::Exact)), Some(of_name(name, Scope::Below))]
            }
            other => [Some(other.clone()), None],
        }
        .into_iter()
        .flatten()
    }

    /// For a place, the other subject that has it as a part.
    pub(super) fn whole(&self) -> Option<Self> {
        match self {
            Self::Name { name, .. } => Some(Self::Name { name: name.clone(), scope: Scope::Both }),
            _ => None,
        }
    }

    /// For a place, the next wider one that has all of it.
    pub(super) fn above(&self) -> Option<Self> {
        match self {
            Self::Ip4 { bits, length } => {
                let length = length.checked_sub(1)?;
                Some(Self::Ip4 { bits: bits & mask4(length), length })
            }
            Self::Ip6 { bits, length } => {
                let length = length.checked_sub(1)?;
                Some(Self::Ip6 { bits: bits & mask6(length), length })
            }
            Self::Name { name, .. } if !name.is_root() => Some(Self::Name { name: name.parent(), scope: Scope::Below }),
            Self::Name { .. } | Self::Hash { .. } => None,
        }
    }

    /// How long it is: of those that cover one subject, the greater decides.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Ip4 { length, .. } | Self::Ip6 { length, .. } => *length,
            // a name has at most 127 labels
            Self::Name { name, .. } => name.label_count() as u8,
            Self::Hash { .. } => 0,
        }
    }
}

impl From<Block4> for Subject {
    fn from(Block4 { bits, length }: Block4) -> Self {
        Self::Ip4 { bits, length }
    }
}

impl From<Block6> for Subject {
    fn from(Block6 { bits, length }: Block6) -> Self {
        Self::Ip6 { bits, length }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip4 { bits, length: 32 } => write!(f, "{}", std::net::Ipv4Addr::from(*bits)),
            Self::Ip4 { bits, length } => f.write_str(&prefix4_text(*bits, *length)),
            Self::Ip6 { bits, length: 128 } => write!(f, "{}", Ipv6Addr::from(*bits)),
            Self::Ip6 { bits, length } => f.write_str(&prefix6_text(*bits, *length)),
            Self::Name { name, scope } => {
                let mark = match scope {
                    Scope::Exact => "=",
                    Scope::Below => "*.",
                    Scope::Both => ".",
                };
                write!(f, "{mark}{name}")
            }
            Self::Hash { key, shape } => {
                let mut label = Vec::new();
                shape.write_label(key, &mut label);
                f.write_str(&String::from_utf8_lossy(&label))
            }
        }
    }
}

/// The key that a text has in a list of hashes.
fn key_of(text: &str, shape: KeyShape) -> Result<Key, SubjectError> {
    let wrong = || SubjectError::NoSubject { text: text.to_owned(), why: None };
    if let Some(key) = shape.read_label(text.as_bytes()).or_else(|| shape.read_digest(text.as_bytes())) {
        return Ok(key);
    }
    if text.contains("://") || text.contains('/') {
        return CanonicalUrl::of(text.as_bytes()).map(|url| shape.hash(url.hashed())).map_err(|_| wrong());
    }
    let host = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let is_domain = Name::parse(host.as_bytes()).is_ok_and(|name| name.label_count() > 1);
    let is_text = |byte: u8| byte.is_ascii_graphic() || !byte.is_ascii();
    if !is_domain || text.starts_with('@') || !text.bytes().all(is_text) {
        return Err(wrong());
    }
    Ok(shape.hash(text.to_lowercase().as_bytes()))
}

/// The sink that takes the one line of a subject.
struct One {
    /// Whether IPv4 addresses in IPv6 form are those.
    with_ip4: bool,
    found: Option<Found>,
}

enum Found {
    Subject(Subject),
    Range,
    Problem(LineError),
}

impl Sink for One {
    fn entry(&mut self, _line: u64, entry: Entry<'_>) {
        let subject = match entry {
            Entry::Ip4 { first, last, .. } => {
                let length = (first ^ last).leading_zeros() as u8;
                let is_prefix = first & !mask4(length) == 0 && last | mask4(length) == u32::MAX;
                match is_prefix {
                    true => Subject::Ip4 { bits: first, length },
                    false => return self.found = Some(Found::Range),
                }
            }
            Entry::Ip6 { bits, length, .. } => {
                let mapped = Block6 { bits, length }.mapped().filter(|_| length >= MAPPED_LENGTH && self.with_ip4);
                mapped.map_or(Subject::Ip6 { bits, length }, Subject::from)
            }
            Entry::Name { wire, scope, .. } => match Name::from_wire(wire) {
                Ok(name) => Subject::Name { name, scope },
                Err(_) => return,
            },
            Entry::Hash { .. } | Entry::Record { .. } | Entry::Client { .. } | Entry::Key { .. } => return,
        };
        self.found = Some(Found::Subject(subject));
    }

    fn special(&mut self, _line: u64, _special: Special<'_>) {}

    fn problem(&mut self, _line: u64, problem: LineError) {
        self.found = Some(Found::Problem(problem));
    }
}

/// Why a subject cannot be changed live.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// The text is no subject.
    #[error("{text:?} is no subject: {}", .why.as_ref().map_or_else(|| FORMS.to_owned(), ToString::to_string))]
    NoSubject {
        /// What was written.
        text: String,
        /// What the reader of lists has to say.
        why: Option<LineError>,
    },
    /// A range that is not one prefix.
    #[error("{text}: a range that is no prefix: change the prefixes that it is made of")]
    Range {
        /// What was written.
        text: String,
    },
    /// The dataset is not about such subjects.
    #[error("{text}: the dataset holds {held}: change another dataset")]
    Kind {
        /// What was written.
        text: String,
        /// What the dataset holds.
        held: String,
    },
    /// On the never-list.
    #[error("{subject} is on the never-list: {what}: no list has it, so that there is nothing to change")]
    Never {
        /// The subject.
        subject: String,
        /// What it is.
        what: String,
    },
    /// Every address there is.
    #[error("{what} is every address: refused; name what is meant")]
    Everything {
        /// The prefix.
        what: &'static str,
    },
}

/// The prefix length of `::ffff:0:0/96`.
const MAPPED_LENGTH: u8 = 96;
const FORMS: &str = "write an address, a prefix, a domain or a URL, or for a list of hashes what is to be hashed";
