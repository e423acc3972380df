//! Evidence: who said what of which subject, and when.
//!
//! Reports (events in a stream) and list histories (from when to when a list had a subject) both become *spells*: a
//! source named a subject from a time to a time. What counts in a neighborhood is a spell's begin, the *arrival*;
//! that a list still has an address says nothing new. Reports that follow each other closely are one spell.
//!
//! Invariant: spells are sorted and disjoint for each subject and source, so that equal statements in any order come to
//! equal evidence. Memory is bounded by the distinct spells, [`SPELL_BYTES`] each for an IPv4 address, and twice that
//! while they are collected; not by how often a thing is said.
//!
//! It decides nothing about a subject: weights, decay and what neighbors come to are the neighborhood's affair.

pub mod arf;
mod columns;
mod error;
mod history;
mod join;
mod mime;
mod plain;
mod report;
mod source;
mod spell;
pub mod store;
mod subject;
mod time;
pub mod xarf;

pub use error::{Problems, StatementError};
pub use history::read_history;
pub use mime::{MAX_MESSAGE, MimeError};
pub use plain::read_plain;
pub use report::{ReportLines, WrittenReport, read_reports};
pub use source::{CATEGORIES, DEFAULT_HALF_LIFE, DEFAULT_TRUST, Family, MAX_SOURCES, Source, SourceId, Sources};
pub use spell::{BlockSpell, NameSpell, SPELL_BYTES, Spell, Spell4, Spell6, join};
pub use subject::Subject;
pub use time::{SECONDS_A_DAY, Time, Written};

use spell::Spells;

/// How a source speaks, which is what a gap in it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// It publishes all that it lists, again and again: what is missing for a day was taken off.
    List,
    /// It tells of events: a week without any is silence.
    Stream,
}

impl Speech {
    /// Seconds without the subject after which it arrives anew.
    fn gap(self) -> u32 {
        match self {
            Self::List => LIST_GAP,
            Self::Stream => STREAM_GAP,
        }
    }
}

/// One statement, as it goes into a [`Collector`].
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// Who said it.
    pub source: SourceId,
    /// What it is about.
    pub family: Family,
    /// Of what it was said.
    pub subject: Subject<'a>,
    /// When the subject was named.
    pub begin: Time,
    /// When it was named last; none while a list still has it.
    pub end: Option<Time>,
    /// How sure the source is of this statement, 0–1.
    pub weight: f64,
    /// How the source speaks.
    pub speech: Speech,
}

/// Takes statements in any order.
#[derive(Debug, Default)]
pub struct Collector {
    /// Who speaks. Readers make sources known that are not.
    pub sources: Sources,
    ip4: Spells<u32>,
    ip6: Spells<u128>,
    blocks4: Spells<(u32, u8)>,
    blocks6: Spells<(u128, u8)>,
    names: Spells<Box<str>>,
}

impl Collector {
    /// Takes statements of these sources, and of others that come up.
    pub fn new(sources: Sources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// Takes a statement.
    pub fn add(&mut self, statement: Statement<'_>) {
        match statement.subject {
            Subject::Ip4 { bits, length: 32 } => self.ip4.add(Spell::new(bits, &statement)),
            Subject::Ip4 { bits, length } => self.blocks4.add(Spell::new((bits, length), &statement)),
            Subject::Ip6 { bits, length: 128 } => self.ip6.add(Spell::new(bits, &statement)),
            Subject::Ip6 { bits, length } => self.blocks6.add(Spell::new((bits, length), &statement)),
            Subject::Name(text) => self.names.add(Spell::new(text.into(), &statement)),
        }
    }

    /// All that was said.
    pub fn build(self) -> Evidence {
        Evidence {
            sources: self.sources,
            ip4: self.ip4.build(),
            ip6: self.ip6.build(),
            blocks4: self.blocks4.build(),
            blocks6: self.blocks6.build(),
            names: self.names.build(),
        }
    }
}

/// What all sources said, sorted by subject, family, source and time.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Who spoke.
    pub sources: Sources,
    /// Of single IPv4 addresses.
    pub ip4: Vec<Spell4>,
    /// Of single IPv6 addresses.
    pub ip6: Vec<Spell6>,
    /// Of IPv4 prefixes shorter than an address: first address and length.
    pub blocks4: Vec<BlockSpell<u32>>,
    /// Of IPv6 prefixes shorter than an address.
    pub blocks6: Vec<BlockSpell<u128>>,
    /// Of domain names and URLs, as they were written.
    pub names: Vec<NameSpell>,
}

/// A list is published at least daily: what is missing for a day was taken off.
const LIST_GAP: u32 = SECONDS_A_DAY;
/// Events stop and go: only after a week without one is the next one news.
const STREAM_GAP: u32 = 7 * SECONDS_A_DAY;

#[cfg(test)]
mod tests;
