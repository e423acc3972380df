//! Statements that stand in no list: a dataset of verdicts is made from evidence, and one of origins from routes.
//!
//! Invariant: an emitter says the same at the same time from the same files, so that a dataset made of it changes with
//! news alone. What it says goes the way that a list's lines go: same checks, same canonical form, same table.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Holds;
use crate::dnsxl::Name;
use crate::feed::{Scope, Sink};

/// Makes the statements of a dataset.
pub trait Emit: fmt::Debug + Send + Sync {
    /// What it is made from, in words; two emitters of one description say the same.
    fn description(&self) -> String;

    /// The files that it is made from: if one of them changes, it is asked again.
    fn files(&self) -> Vec<PathBuf>;

    /// From now on its files are seen from inside of a new root.
    ///
    /// # Errors
    ///
    /// The first file for which `inside` has no path.
    fn confine(&self, inside: &dyn Fn(&Path) -> Option<PathBuf>) -> Result<(), PathBuf>;

    /// After how many seconds it says something else without any change of a file; never, if none.
    fn interval(&self) -> Option<i64>;

    /// Which kinds of subject it is about, whether or not it lists any now.
    fn holds(&self) -> Holds;

    /// What its statements say of a subject.
    fn says(&self) -> Says {
        Says::Itself
    }

    /// Hands on every statement, as things are at a Unix time in seconds.
    ///
    /// # Errors
    ///
    /// What it is made from cannot be read or used.
    fn emit(&self, now: i64, sink: &mut dyn Sink) -> Result<(), EmitError>;

    /// Takes reports, whose numbers ascend, as they come while the dataset is served; those that it has taken before it
    /// knows by their numbers. Most emitters do not change with reports.
    fn report(&self, _reports: &[Reported<'_>], _now: i64) {}

    /// What it says anew since a change, or since it was asked to emit, if `since` is 0.
    fn revise(&self, _since: u64) -> Revisions {
        Revisions::default()
    }

    /// Keeps what the next start of the program goes by; called once what was emitted is served.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    fn keep(&self) -> io::Result<()> {
        Ok(())
    }

    /// What there is to tell of the last time: lines that were left out, verdicts that were not believed.
    fn notes(&self) -> Vec<String>;

    /// Why a subject is listed, or is not.
    ///
    /// # Errors
    ///
    /// As [`Self::emit`].
    fn explain(&self, now: i64, subject: &Asked) -> Result<Option<Reasons>, EmitError>;
}

/// What statements say of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// It is listed itself.
    Itself,
    /// In which state its surroundings are: 127.0.8.2 and so on.
    Around,
    /// How likely it is bad, by itself or its surroundings: 127.0.level.score.
    Score,
    /// Who announces it.
    Origin,
}

/// What somebody says of a subject while an emitter's dataset is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reported<'r> {
    /// The number that its store gave it, ascending from 1.
    pub number: u64,
    /// When it came up, in seconds since 1970.
    pub time: u32,
    /// Who says so.
    pub source: &'r str,
    /// An address, a prefix, a name or a URL.
    pub subject: &'r str,
    /// What the subject did.
    pub category: &'r str,
    /// How sure the source is, 0–1.
    pub weight: f64,
}

/// What an emitter says of a part of its subjects: this and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The part. What was said of it before, and of anything in it, no longer holds.
    pub extent: Extent,
    /// What is listed in it, disjoint addresses, or names of which the deepest decides.
    pub listings: Vec<(Extent, Listing)>,
}

/// Revisions since a change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revisions {
    /// In the order of their last change, each part once.
    pub all: Vec<Revision>,
    /// The number of the last change.
    pub until: u64,
    /// Whether the emitter has taken as much as it can, and is to be asked to emit soon.
    pub wants_emission: bool,
}

/// The subjects that something is said of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// An IPv4 prefix.
    Ip4 {
        /// The first address.
        first: u32,
        /// The prefix length.
        length: u8,
    },
    /// An IPv6 prefix.
    Ip6 {
        /// The first address.
        first: u128,
        /// The prefix length.
        length: u8,
    },
    /// A name, names below it, or both.
    Name {
        /// The name.
        name: Name,
        /// Which are meant.
        scope: Scope,
    },
}

/// What is said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// They are listed with this address, and this template of a text.
    Listed {
        /// The address.
        a: Ipv4Addr,
        /// The template.
        text: String,
    },
    /// They are not.
    Excluded,
}

/// Why an emitter has nothing to say.
pub type EmitError = Box<dyn Error + Send + Sync>;

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An address.
    Address(IpAddr),
    /// A domain name in lower case.
    Name(String),
}

/// Why a subject is listed, or is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasons {
    /// What the verdict is about: the block, or the name.
    pub node: String,
    /// For people: lines.
    pub text: String,
    /// For programs: all of it.
    pub json: serde_json::Value,
}

/// An emitter, shared by all that is made of it.
#[derive(Clone, Debug)]
pub struct Emitted(pub Arc<dyn Emit>);

impl PartialEq for Emitted {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.description() == other.0.description()
    }
}
