//! What can be wrong with a configuration, and where.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::values::SECONDS_FORMS;
use crate::cookie::MAX_SECRETS;
use crate::dnsxl::name::NameError;
use crate::feed::QuotaError;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {}", path.display(), reason(why))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: io::Error,
    },
    /// The file is not UTF-8.
    #[error("{}: is no text in UTF-8, as TOML is", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The text is no TOML, or a key or value in it is not one that there is.
    #[error("{place}: {what}")]
    Syntax {
        /// Where.
        place: Place,
        /// The key and what is wrong with it.
        what: String,
    },
    /// The values do not go together.
    #[error("{place}: {problem}")]
    Wrong {
        /// Where.
        place: Place,
        /// What is wrong.
        problem: Problem,
    },
    /// A file of secrets cannot be used.
    #[error("{place}: cookies: secrets: {}: {why}", path.display())]
    Secrets {
        /// Where it is named.
        place: Place,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// After the chroot the file would be out of reach.
    #[error("{}: is not below the chroot {}: move it there, as it is read after the change of root", path.display(), root.display())]
    OutsideRoot {
        /// The file.
        path: PathBuf,
        /// The new root.
        root: PathBuf,
    },
}

/// What the system says, and how to mend it.
fn reason(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::NotFound => "no such file; `infamy example` prints one to begin with".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory; name the file in it".to_owned(),
        _ => why.to_string(),
    }
}

/// A line of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from one; none where the whole file is meant.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// What does not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The one required key.
    #[error("version: missing; write `version = 1` in the first line")]
    NoVersion,
    /// A version that this program does not know.
    #[error("version: {found} is not known here; this program reads `version = 1`")]
    Version {
        /// What is written.
        found: String,
    },
    /// Two of one kind have one name.
    #[error("{kind} {name}: defined twice, first in line {first}; rename one or join them")]
    Twice {
        /// `dataset` or `zone`.
        kind: &'static str,
        /// The name.
        name: String,
        /// Where the first stands.
        first: usize,
    },
    /// A name that cannot be a dataset's.
    #[error("dataset {name:?}: a name is letters, digits, `-`, `_` and `.`")]
    DatasetName {
        /// The name.
        name: String,
    },
    /// No file is named.
    #[error("dataset {dataset}: files: names none; write files = \"lists/{dataset}\"")]
    NoFiles {
        /// The dataset.
        dataset: String,
    },
    /// The format is neither named nor recognised.
    #[error("dataset {dataset}: format: {path} has no mark by which to tell it; name one of {formats}")]
    NoFormat {
        /// The dataset.
        dataset: String,
        /// The first file.
        path: String,
        /// All there are.
        formats: String,
    },
    /// The first file, whose format is to be recognised, cannot be read.
    #[error("dataset {dataset}: {why}; where a file comes later, name its format")]
    Unreadable {
        /// The dataset.
        dataset: String,
        /// What the system says.
        why: String,
    },
    /// A compiled file beside others.
    #[error("dataset {dataset}: files: {path} is a compiled file and so a whole dataset; name it alone")]
    CompiledBeside {
        /// The dataset.
        dataset: String,
        /// The compiled file.
        path: String,
    },
    /// A key that says how lists are read, where there is nothing to read.
    #[error("dataset {dataset}: {key}: its file is compiled, and this was settled then; leave it out")]
    CompiledIn {
        /// The dataset.
        dataset: String,
        /// The key.
        key: &'static str,
    },
    /// A key that the dataset's format has no use for.
    #[error("dataset {dataset}: {key}: means nothing in format {format}; it is for {formats}")]
    NotForFormat {
        /// The dataset.
        dataset: String,
        /// The key.
        key: &'static str,
        /// The dataset's format.
        format: &'static str,
        /// Where the key means something.
        formats: &'static str,
    },
    /// A key that the dataset's kind has no use for.
    #[error("dataset {dataset}: {key}: means nothing for this kind of dataset")]
    NotForKind {
        /// The dataset.
        dataset: String,
        /// The key.
        key: &'static str,
    },
    /// A list of hashes without a key.
    #[error("dataset {dataset}: key: missing; write key = {{ hash = \"sha1\" }}, or md5 or sha256")]
    NoKey {
        /// The dataset.
        dataset: String,
    },
    /// A key with more characters than its hash gives or a label holds.
    #[error("dataset {dataset}: key: {characters} characters; 1 to {most} are possible")]
    KeyLength {
        /// The dataset.
        dataset: String,
        /// What is written.
        characters: u8,
        /// The most.
        most: usize,
    },
    /// An apex that is the root.
    #[error("zone: apex: is the root; name a domain of yours")]
    RootApex,
    /// A zone without data.
    #[error("zone {zone}: datasets: names none; write datasets = [\"NAME\"]")]
    NoDatasets {
        /// The zone.
        zone: String,
    },
    /// A dataset that is not defined.
    #[error("{by}: dataset {name}: is not defined; there {}", there(known))]
    Missing {
        /// Who names it.
        by: String,
        /// Its name.
        name: String,
        /// The datasets there are.
        known: Vec<String>,
    },
    /// An access list where a list belongs.
    #[error("zone {zone}: datasets: {name} is an access list (format acl); write access = \"{name}\"")]
    AccessAsList {
        /// The zone.
        zone: String,
        /// The dataset.
        name: String,
    },
    /// A list where an access list belongs.
    #[error("{by}: access: {name} is not of format acl")]
    ListAsAccess {
        /// Who names it.
        by: String,
        /// The dataset.
        name: String,
    },
    /// Keys where a list belongs.
    #[error("zone {zone}: datasets: {name} is a file of keys (format keys); write keys = \"{name}\"")]
    KeysAsList {
        /// The zone.
        zone: String,
        /// The dataset.
        name: String,
    },
    /// Something else where keys belong.
    #[error("{by}: keys: {name} is not of format keys")]
    ListAsKeys {
        /// Who names it.
        by: String,
        /// The dataset.
        name: String,
    },
    /// A bound that is out of bounds itself.
    #[error("rate-limit: {key}: write {range}")]
    RateLimit {
        /// The key.
        key: &'static str,
        /// What may be written.
        range: String,
    },
    /// No secret, or more than are taken.
    #[error("cookies: secrets: there are {found}; write 1 to {MAX_SECRETS}, the one in use first, or no file")]
    Secrets {
        /// How many there are.
        found: usize,
    },
    /// An allow list without subjects.
    #[error("zone {zone}: allow: {name} lists no addresses, names or hashes: name a list that does")]
    NothingToAllow {
        /// The zone.
        zone: String,
        /// The dataset.
        name: String,
    },
    /// One dataset at one place twice.
    #[error("zone {zone}: datasets: {name} stands there twice under the same name")]
    PlacedTwice {
        /// The zone.
        zone: String,
        /// The dataset.
        name: String,
    },
    /// Nothing to listen on.
    #[error("listen: addresses: is empty; write addresses = [\"127.0.0.1:5300\"]")]
    NoAddresses,
    /// One address twice.
    #[error("listen: {address} is named twice")]
    AddressTwice {
        /// The address.
        address: String,
    },
    /// A store that would keep nothing.
    #[error("retention: {key}: is 0, so that nothing would be kept; write at least 1")]
    KeepsNothing {
        /// The key.
        key: &'static str,
    },
    /// A number that would switch the whole off.
    #[error("{section}: {key}: is 0, so that nobody could connect; write at least 1")]
    NoRoom {
        /// The section.
        section: &'static str,
        /// The key.
        key: &'static str,
    },
    /// TCP without anybody who may ask.
    #[error("control: addresses: TCP needs tokens; write tokens = \"FILE\", with lines `name token` in it")]
    NoTokens,
    /// A page's URL with a path, or none at all.
    #[error("page: url: {url:?} is no origin; write url = \"https://lists.example\"")]
    PageUrl {
        /// What is written.
        url: String,
    },
    /// A text of the page that is no line.
    #[error("page: {key}: is empty, has a line break, or more than {most} bytes; write one short line")]
    PageLine {
        /// The key.
        key: &'static str,
        /// The most bytes.
        most: usize,
    },
    /// Facts of a source that cannot be.
    #[error("source {name:?}: needs a name, a trust above 0 and up to 1, and a half-life above 0")]
    SourceFacts {
        /// The source.
        name: String,
    },
    /// Thresholds that do not rise with their states.
    #[error("neighborhood.lift: needs 0 < watch ≤ suspicious ≤ bad and 0 < leave ≤ 1")]
    Lifts,
    /// A coefficient of a term that there is not, or one that is no number.
    #[error("neighborhood.{part}: {name}: is no term with a number; there are {known}")]
    Term {
        /// The table.
        part: &'static str,
        /// The term.
        name: String,
        /// All there are.
        known: String,
    },
    /// A group without a user.
    #[error("server: group: means nothing without a user; write user = \"…\" too")]
    GroupAlone,
}

fn there(known: &[String]) -> String {
    match known {
        [] => "are none: write a [[dataset]]".to_owned(),
        [one] => format!("is {one}"),
        _ => format!("are {}", known.join(", ")),
    }
}

/// Something that is allowed, and rarely meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A configuration while it is read, for the places of what is wrong in it.
pub(super) struct Source<'s> {
    pub(super) path: &'s Path,
    pub(super) text: &'s str,
}

impl Source<'_> {
    /// The number of the line that a byte of the text is in.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }

    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        Place { path: self.path.to_owned(), line: Some(self.line(span.start)) }
    }

    /// What the TOML parser or a value in it complains of, with the key of its line in front.
    pub(super) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let Some(span) = error.span() else {
            return ConfigError::Syntax { place: self.whole(), what: message };
        };
        let line = self.text.lines().nth(self.line(span.start) - 1).unwrap_or_default();
        let what = match key_of(line) {
            Some(key) if !message.contains(&format!("`{key}`")) => format!("{key}: {message}"),
            _ => message,
        };
        ConfigError::Syntax { place: self.place(&span), what }
    }

    pub(super) fn wrong(&self, span: &Range<usize>, problem: Problem) -> ConfigError {
        ConfigError::Wrong { place: self.place(span), problem }
    }

    /// The same of a key of a section, as `listen.tls`; of the section, if the key is not written, or of the whole file.
    pub(super) fn wrong_key(&self, section: &str, key: &str, problem: Problem) -> ConfigError {
        ConfigError::Wrong { place: self.place_of(section, key), problem }
    }

    pub(super) fn place_of(&self, section: &str, key: &str) -> Place {
        let Ok(document) = DeTable::parse(self.text) else { return self.whole() };
        let (mut place, mut table) = (self.whole(), document.get_ref());
        for part in section.split('.').chain([key]) {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == part) else { break };
            place = self.place(&name.span());
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        place
    }

    pub(super) fn whole(&self) -> Place {
        Place { path: self.path.to_owned(), line: None }
    }
}

/// The key that a line gives a value to.
fn key_of(line: &str) -> Option<&str> {
    let key = line.split_once('=')?.0.trim();
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!key.is_empty() && key.bytes().all(is_bare)).then_some(key)
}

/// What is wrong with a value that is written as a text; told with its place by the parser around it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// No number of seconds, or too many.
    #[error("`{0}` is no time: {SECONDS_FORMS}")]
    Seconds(String),
    /// No share of a hundred.
    #[error("`{0}` is no share: write \"50%\", or \"off\"")]
    Percent(String),
    /// A format that there is not, and those that there are.
    #[error("`{0}` is no format: there are {1}")]
    Format(String, String),
    /// No domain name.
    #[error("`{0}` is no domain name: {1}")]
    Name(String, NameError),
    /// No date or time.
    #[error("`{0}` is no time: write 2026-07-12 or 2026-07-12T10:00:00Z")]
    When(String),
    /// No quota.
    #[error("`{0}`: {1}")]
    Quota(String, QuotaError),
    /// No address or prefix.
    #[error("`{0}` is no address or prefix: write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")]
    Net(String),
}
