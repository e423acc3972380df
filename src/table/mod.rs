//! The dense, read-only structures that hold what is listed.
//!
//! A table answers two questions: *which value has this subject* and *is anything listed below this partial name*.
//! Exclusions, times, zones and files are not in it: a dataset resolves them before it builds a table.
//!
//! Every structure is flat arrays of cache lines, with no object of its own for an entry, and equal content gives
//! equal bytes whatever the order of the list files was. Two ideas carry all four:
//!
//! - *Ordered* subjects, addresses, become points in leaves of one line ([`ip4`], [`ip6`]). They differ in what stands
//!   above the leaves: a bit a slot for IPv4, whose space is small; a tree for IPv6, whose space is not.
//! - *Unordered* subjects, names and digests, become fingerprints in lines that a hash finds ([`name`], [`hash`]).
//!
//! Any of them can be written to a compiled file (`file.rs`) as it is and used from there: an array is a window of memory
//! that was filled here or mapped (`memory.rs`).
//!
//! Each is built in bulk from an iterator that is read more than once, so that building needs little memory beside
//! the result, and never changes afterwards. Lookups check every bound, and what is `unsafe` stands in `memory.rs`.
//!
//! For a batch of queries each has `prefetch` functions, which ask for the lines that a lookup is going to read and do
//! not wait for them. They decide nothing: a lookup that was not announced finds the same.

mod bucket;
pub(crate) mod file;
pub mod hash;
pub mod ip4;
pub mod ip6;
mod leaf;
mod line;
pub(crate) mod memory;
pub mod name;

pub use file::{Access, Compiled, CompiledError};
pub(crate) use file::{Kind, Malformed, Place, Sections};
pub use hash::Hashes;
pub use ip4::{Ip4, Run4};
pub use ip6::{Ip6, Prefix6};
pub use name::{FoundName, NameHashes, NameKey, Names};

/// All that a dataset lists, by kind of subject. The default lists nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The listed IPv4 addresses.
    pub ip4: Ip4,
    /// The listed IPv6 prefixes.
    pub ip6: Ip6,
    /// The listed names.
    pub names: Names,
    /// The listed digests.
    pub hashes: Hashes,
}

impl Table {
    /// Memory in bytes, of the heap or of a mapped file.
    pub fn bytes(&self) -> usize {
        self.ip4.bytes() + self.ip6.bytes() + self.names.bytes() + self.hashes.bytes()
    }

    /// Adds the sections of all structures.
    pub(crate) fn write<'s>(&'s self, place: Place, out: &mut Sections<'s>) {
        self.ip4.write(place, out);
        self.ip6.write(place, out);
        self.names.write(place, out);
        self.hashes.write(place, out);
    }

    /// Opens what [`Self::write`] wrote.
    pub(crate) fn open(file: &Compiled, place: Place) -> Result<Self, Malformed> {
        Ok(Self {
            ip4: Ip4::open(file, place)?,
            ip6: Ip6::open(file, place)?,
            names: Names::open(file, place)?,
            hashes: Hashes::open(file, place)?,
        })
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.ip4.is_empty() && self.ip6.is_empty() && self.names.is_empty() && self.hashes.is_empty()
    }
}

/// What is listed of a subject: an index into the interned values of the same part of a dataset. 0: not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// Not listed.
    pub const NONE: Self = Self(0);

    /// Whether this is a listing.
    pub fn is_listed(self) -> bool {
        self != Self::NONE
    }
}

/// The most distinct values of one table: an id fits 24 bits.
pub const MAX_VALUES: u32 = (1 << 24) - 1;
