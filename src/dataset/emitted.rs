//! Statements that stand in no list: a dataset of verdicts is made from evidence, and one of origins from routes.
//!
//! Invariant: an emitter says the same at the same time from the same files, so that a dataset made of it changes with
//! news alone. What it says goes the way that a list's lines go: same checks, same canonical form, same table.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Holds;
use crate::feed::Sink;

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

    /// Hands on every statement, as things are at a Unix time in seconds.
    ///
    /// # Errors
    ///
    /// What it is made from cannot be read or used.
    fn emit(&self, now: i64, sink: &mut dyn Sink) -> Result<(), EmitError>;

    /// What there is to tell of the last time: lines that were left out, verdicts that were not believed.
    fn notes(&self) -> Vec<String>;

    /// Why a subject is listed, or is not.
    ///
    /// # Errors
    ///
    /// As [`Self::emit`].
    fn explain(&self, now: i64, subject: &Asked) -> Result<Option<Reasons>, EmitError>;
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
