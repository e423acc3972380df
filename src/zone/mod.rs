//! A zone: an apex, its SOA and NS, and the ordered datasets that are asked below it.
//!
//! Invariant: a zone is made once for a generation, with everything an answer needs already in wire form, and never
//! changes. It decides nothing: that is the answer's affair.

mod access;
mod build;
mod placed;

pub use access::{Access, Account, Admission, Applied, Meter, Permit, Refusal, RefuseWith, Standing, Terms};
pub use build::{
    DEFAULT_EXPIRE, DEFAULT_MINIMUM, DEFAULT_REFRESH, DEFAULT_RETRY, Input, MAX_PARTS, TEST_IP4, TEST_IP6, TEST_NAME,
    TestEntries, ZoneError, ZoneSpec, build,
};
pub use placed::{Listed, Placed, Teller};

use crate::dnsxl::Name;

/// Seconds since 1970-01-01T00:00:00Z. The core takes the time as an argument and never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);

/// A zone of one generation. A clone shares its datasets.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The apex, in lower case.
    pub apex: Name,
    /// How many labels the apex has.
    pub apex_labels: usize,
    /// Which one it is of all zones that were ever served, counted from 0: the same one in every generation.
    pub number: u32,
    /// The SOA record.
    pub soa: Soa,
    /// The name servers.
    pub ns: NsSet,
    /// Seconds, for values that do not say.
    pub ttl: u32,
    /// The datasets' parts in the order they are asked.
    pub placed: Vec<Placed>,
    /// Whether a part's table is large.
    pub is_large: bool,
    /// What several datasets that list one subject come to.
    pub choice: Choice,
    /// Parts whose subjects are never listed here, whatever lists them.
    pub allow: Vec<Placed>,
    /// Who may ask.
    pub access: Access,
    /// Whether positive answers carry the NS records in the authority section.
    pub ns_in_authority: bool,
    /// Whether records of a part delegate names below the apex.
    pub has_cuts: bool,
    /// The apexes of zones below this one, relative to it: the names above them exist.
    pub children: Vec<Name>,
    /// When the data is too old to be served.
    pub expires: Option<UnixTime>,
    /// Set while some dataset of the zone has never been loaded: every answer is SERVFAIL.
    pub unavailable: bool,
}

/// An SOA record (RFC 1035, section 3.3.13) in wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Seconds.
    pub ttl: u32,
    /// Seconds: the TTL of negative answers, the lesser of the record's TTL and its MINIMUM (RFC 2308, section 5).
    pub negative_ttl: u32,
    /// The serial, as in the data.
    pub serial: u32,
    /// The data in wire form, names uncompressed.
    pub rdata: Box<[u8]>,
}

/// The NS records of an apex in wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NsSet {
    /// Seconds.
    pub ttl: u32,
    /// The names in wire form with their root bytes.
    pub names: Vec<Box<[u8]>>,
}

/// What several datasets that list one subject come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The union of their values.
    #[default]
    All,
    /// The values of the first dataset in order that lists the subject.
    One,
    /// One address, the OR of the low 24 bits of all, and one text, all of them joined by `; `.
    Or,
}
