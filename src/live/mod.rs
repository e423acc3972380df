//! The live layer: what was added to a dataset or removed from it since its files were read.
//!
//! A [`Change`] says of a subject that the dataset's own answer about it holds or is hidden, and which values it has
//! besides. Of all changes that cover a subject the longest decides alone; of two about the very same subject the later
//! one is left. [`Changes`] keeps a dataset's, and makes an immutable [`Layer`] of them, which a zone lays over the
//! dataset's table:
//!
//! ```text
//! no change          what the dataset says
//! Add      (false, values)   what the dataset says, and the values
//! Remove   (true, none)      nothing
//! Replace  (true, values)    the values
//! ```
//!
//! A layer is two levels, each of the table's own structures: `folded`, large and built aside, and `recent`, small and
//! built anew for every layer. Both are asked, and of what they find the longer subject decides. Invariant: a level
//! keeps the length of every subject with what it says, and `recent` has every subject that was touched since the fold
//! was begun, so that what is out of date in `folded` is never longer than what `recent` has.
//!
//! Nothing here keeps anything beyond the process, and the time is an argument: changes are numbered and kept elsewhere.

mod changes;
mod layer;
mod level;
mod subject;

use std::net::Ipv4Addr;
use std::sync::Arc;

pub use changes::{Changes, FOLD_AT, Fold, Folded, Full, Held, MAX_CHANGES};
pub use layer::{Decided, Layer};
pub use subject::{Kinds, Subject, SubjectError};

/// A change of what a dataset lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about.
    pub subject: Subject,
    /// What becomes of it.
    pub effect: Effect,
    /// When it ends, as a Unix time in seconds: from that second on it is as if it had never been.
    pub expires: Option<i64>,
    /// Whose it is.
    pub by: By,
}

/// What becomes of a subject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Effect {
    /// Whether what the dataset itself lists of it is hidden.
    pub hides: bool,
    /// What is listed of it besides.
    pub values: Box<[OwnedValue]>,
}

impl Effect {
    /// A value besides what the dataset says.
    pub fn add(value: OwnedValue) -> Self {
        Self { hides: false, values: [value].into() }
    }

    /// Nothing is listed.
    pub fn remove() -> Self {
        Self { hides: true, values: [].into() }
    }

    /// These values, in the place of what the dataset says.
    pub fn replace(values: impl Into<Box<[OwnedValue]>>) -> Self {
        Self { hides: true, values: values.into() }
    }
}

/// A value of a live listing; what it leaves open is as the dataset's defaults say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnedValue {
    /// What an A query gets.
    pub a: Option<Ipv4Addr>,
    /// What a TXT query gets: a template as in a list, in which `$` is the subject.
    pub text: Option<Box<[u8]>>,
    /// Seconds; at most [`MAX_LIVE_TTL`] in any case.
    pub ttl: Option<u32>,
}

/// Whose a change is: what is told of it, and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// Who made it.
    pub who: Arc<str>,
    /// When, as a Unix time in seconds.
    pub at: i64,
    /// Why, in the words of who made it.
    pub reason: Option<Arc<str>>,
}

/// Seconds: what changed once may change back, and a resolver's cache is to hear of it soon.
pub const MAX_LIVE_TTL: u32 = 60;
/// Layers over one dataset: what new evidence changes of its verdicts, and over that what people change.
pub const MAX_LAYERS: usize = 2;

#[cfg(test)]
mod tests;
