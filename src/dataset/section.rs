//! A section: what one format's rules hold for, the whole dataset or what follows a `$DATASET` line of a `combined` one.
//!
//! Invariant: what is in a section is resolved together and with nothing else; exclusions and defaults act within it.

use super::Holds;
use super::blocks::Statement;
use super::clients::ClientAction;
use super::hashes::HashStatements;
use super::names::NameStatements;
use super::records::RecordStatements;
use super::rules::{Statements4, Statements6};
use super::values::{Collected, Defaults, Met, TooManyValues};
use crate::dnsxl::Name;
use crate::dnsxl::key::KeyShape;
use crate::feed::Format;

/// Statements that are resolved together.
pub(super) struct Section {
    pub(super) format: Format,
    pub(super) name: Option<Box<str>>,
    pub(super) under: Vec<Name>,
    pub(super) defaults: Defaults,
    pub(super) shared: Option<Met>,
    pub(super) values: Collected,
    pub(super) ip4: Statements4,
    pub(super) ip4_tests: Vec<u32>,
    pub(super) ip6: Statements6,
    pub(super) ip6_tests: Vec<u128>,
    pub(super) names: NameStatements,
    pub(super) hashes: HashStatements,
    pub(super) records: RecordStatements,
    pub(super) clients4: Vec<Statement<u32>>,
    pub(super) clients6: Vec<Statement<u128>>,
    pub(super) actions: Vec<CollectedAction>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CollectedAction {
    Is(ClientAction),
    Always(Met),
}

impl Section {
    pub(super) fn new(format: Format, under: Vec<Name>, defaults: Defaults) -> Self {
        Self {
            format,
            name: None,
            under,
            defaults,
            shared: None,
            values: Collected::default(),
            ip4: Statements4::of_ip4(format),
            ip4_tests: Vec::new(),
            ip6: Statements6::of_ip6(format),
            ip6_tests: Vec::new(),
            names: NameStatements::default(),
            hashes: HashStatements::default(),
            records: RecordStatements::default(),
            clients4: Vec::new(),
            clients6: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Takes over what a helper collected for it.
    pub(super) fn absorb(&mut self, helper: Self) -> Result<(), TooManyValues> {
        let numbers = self.values.absorb(&helper.values)?;
        // the first helper's values mostly have the same numbers here, and what it collected is moved as it is
        let same = (0..).zip(&numbers).all(|(number, met)| met.0 == number);
        let met = |met: Met| numbers.get(met.0 as usize).copied().unwrap_or(met);
        if same && self.ip4.is_empty() {
            self.ip4 = helper.ip4;
        } else {
            self.ip4.absorb(helper.ip4, met);
        }
        self.ip4_tests.extend(helper.ip4_tests);
        if same && self.ip6.is_empty() {
            self.ip6 = helper.ip6;
        } else {
            self.ip6.absorb(helper.ip6, met);
        }
        self.ip6_tests.extend(helper.ip6_tests);
        if same && self.names.is_empty() {
            self.names = helper.names;
        } else {
            self.names.absorb(helper.names, met);
        }
        if same && self.hashes.is_empty() {
            self.hashes = helper.hashes;
        } else {
            self.hashes.absorb(helper.hashes, met);
        }
        debug_assert!(helper.records.is_empty() && helper.actions.is_empty(), "these formats are read by one thread");
        Ok(())
    }

    /// What the section is about: what its format says, or, where the format leaves it open, what it has.
    pub(super) fn holds(&self, key: Option<KeyShape>) -> Holds {
        let is = |formats: &[Format]| formats.contains(&self.format);
        Holds {
            ip4: is(&[Format::Ip4Set, Format::Ip4Tset, Format::Ip4Trie]) || !self.ip4.is_empty(),
            ip6: is(&[Format::Ip6Trie, Format::Ip6Tset]) || !self.ip6.is_empty(),
            names: is(&[Format::Dnset, Format::Hosts]) || !self.names.is_empty(),
            hashes: key,
        }
    }
}
