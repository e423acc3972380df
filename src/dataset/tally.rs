//! How much a load brought, by the measures that the format's own users count in.
//!
//! Invariant: duplicates count once, exclusions count as entries. The figures are for people; nothing is decided by them.

use crate::feed::Format;

/// What one section of a dataset came to; a dataset of any format but `combined` is one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The section's format.
    pub format: Format,
    /// The name that a `$DATASET` line gave it.
    pub name: Option<Box<str>>,
    /// IPv4 entries of an `ip4set` by octet class: /8, /16, /24, /32.
    pub octet_classes: [u64; 4],
    /// IPv4 prefixes or addresses of any other format.
    pub prefixes4: u64,
    /// IPv6 prefixes.
    pub prefixes6: u64,
    /// Those of them that are excluded.
    pub excluded6: u64,
    /// Names that are listed or excluded themselves.
    pub names: u64,
    /// Names of which all names below are.
    pub wildcards: u64,
    /// Resource records.
    pub records: u64,
    /// Heap bytes of what is served.
    pub bytes: usize,
}

impl Tally {
    /// A section that nothing has been counted of.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            name: None,
            octet_classes: [0; 4],
            prefixes4: 0,
            prefixes6: 0,
            excluded6: 0,
            names: 0,
            wildcards: 0,
            records: 0,
            bytes: 0,
        }
    }
}
