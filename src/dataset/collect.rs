//! The sink that loads: statements of all files of a dataset, by section, until they are resolved.
//!
//! A section is what one format's rules hold for: the whole dataset, or what follows a `$DATASET` line of a `combined`
//! one. Exclusions act within their section only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::{self, Run, Statement};
use super::clients::{ClientAction, Clients};
use super::hashes::HashStatements;
use super::names::NameStatements;
use super::never::{self, NeverList};
use super::records::RecordStatements;
use super::tally::Tally;
use super::values::{Collected, Defaults, ListId, Lists, Met, TooManyValues};
use super::{Holds, Part, Problem, Reason, Report, Spec, Spelling};
use crate::dnsxl::Name;
use crate::dnsxl::key::KeyShape;
use crate::feed::{self, Action, ClientBlock, Entry, Format, LineError, NsLine, Said, Scope, Sink, SoaLine, Special};
use crate::table::{Hashes, Ip4, Ip6, Names, Prefix6, Run4, Table, ValueId};

/// Collects the statements of a dataset's files.
pub(super) struct Collector<'s> {
    spec: &'s Spec,
    never: &'s NeverList,
    common: Section,
    sections: Vec<Section>,
    files: Vec<File>,
    /// The last line of the current file that said anything.
    last_line: u64,
    /// Whether statements go to the common part: before the first `$DATASET` of a `combined` file.
    in_common: bool,
    /// What the whole dataset says of the zone.
    pub(super) head: Head,
    pub(super) report: Report,
    /// The first line that is wrong.
    pub(super) bad_line: Option<Problem>,
    /// The most addresses of an IPv4 entry, for the files that follow.
    pub(super) max_range4: Option<u64>,
    /// Set when a value could not be numbered any more.
    pub(super) too_many_values: bool,
    /// An entry that lists every address there is.
    pub(super) everything: Option<Problem>,
}

struct File {
    path: Arc<Path>,
    /// How many lines the files before this one had.
    base: u64,
}

/// What specials say of a zone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// The first `$SOA`.
    pub soa: Option<SoaLine>,
    /// The first `$NS`.
    pub ns: Option<NsLine>,
    /// The latest creation time of `$TIMESTAMP`, as a Unix time.
    pub created: Option<i64>,
    /// The earliest expiry of `$TIMESTAMP`, as a Unix time.
    pub expires: Option<i64>,
}

/// Statements that are resolved together.
struct Section {
    format: Format,
    name: Option<Box<str>>,
    under: Vec<Name>,
    defaults: Defaults,
    shared: Option<Met>,
    values: Collected,
    ip4: Vec<Statement<u32>>,
    ip4_tests: Vec<u32>,
    ip6: Vec<Statement<u128>>,
    ip6_tests: Vec<u128>,
    names: NameStatements,
    hashes: HashStatements,
    records: RecordStatements,
    clients4: Vec<Statement<u32>>,
    clients6: Vec<Statement<u128>>,
    actions: Vec<CollectedAction>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CollectedAction {
    Is(ClientAction),
    Always(Met),
}

impl Section {
    fn new(format: Format, under: Vec<Name>, defaults: Defaults) -> Self {
        Self {
            format,
            name: None,
            under,
            defaults,
            shared: None,
            values: Collected::default(),
            ip4: Vec::new(),
            ip4_tests: Vec::new(),
            ip6: Vec::new(),
            ip6_tests: Vec::new(),
            names: NameStatements::default(),
            hashes: HashStatements::default(),
            records: RecordStatements::default(),
            clients4: Vec::new(),
            clients6: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// What the section is about: what its format says, or, where the format leaves it open, what it has.
    fn holds(&self, key: Option<KeyShape>) -> Holds {
        let is = |formats: &[Format]| formats.contains(&self.format);
        Holds {
            ip4: is(&[Format::Ip4Set, Format::Ip4Tset, Format::Ip4Trie]) || !self.ip4.is_empty(),
            ip6: is(&[Format::Ip6Trie, Format::Ip6Tset]) || !self.ip6.is_empty(),
            names: is(&[Format::Dnset, Format::Hosts]) || !self.names.is_empty(),
            hashes: key,
        }
    }
}

impl<'s> Collector<'s> {
    pub(super) fn new(spec: &'s Spec, never: &'s NeverList) -> Self {
        let common = Section::new(spec.format, vec![Name::default()], spec.defaults.clone());
        Self {
            spec,
            never,
            common,
            sections: Vec::new(),
            files: Vec::new(),
            last_line: 0,
            in_common: true,
            head: Head::default(),
            report: Report::default(),
            bad_line: None,
            max_range4: None,
            too_many_values: false,
            everything: None,
        }
    }

    /// What follows is read from this file.
    pub(super) fn begin_file(&mut self, path: &Path) {
        let base = self.files.last().map_or(0, |file| file.base) + self.last_line;
        self.files.push(File { path: path.into(), base });
        self.last_line = 0;
        self.in_common = true;
    }

    fn section(&mut self) -> &mut Section {
        match self.sections.last_mut() {
            Some(section) if !self.in_common => section,
            _ => &mut self.common,
        }
    }

    fn path(&self) -> Arc<Path> {
        self.files.last().map_or_else(|| PathBuf::new().into(), |file| file.path.clone())
    }

    /// The line's number through all files; past 2^32 lines the order of equal prefixes is lost, and nothing else.
    fn at(&self, line: u64) -> u32 {
        u32::try_from(self.files.last().map_or(0, |file| file.base) + line).unwrap_or(u32::MAX)
    }

    /// The file and line of a number that [`Self::at`] gave.
    fn place(&self, at: u32) -> (Arc<Path>, u64) {
        let at = u64::from(at);
        let index = self.files.partition_point(|file| file.base < at).saturating_sub(1);
        self.files.get(index).map_or_else(|| (PathBuf::new().into(), at), |file| (file.path.clone(), at - file.base))
    }

    fn report(&mut self, line: u64, reason: Reason) {
        let path = self.path();
        self.report.push(Problem { path, line, reason });
    }

    /// A TTL within the dataset's bounds; 0, which is the zone's own, stays.
    fn bounded(&self, ttl: u32) -> u32 {
        let bounds = &self.spec.ttl_bounds;
        if ttl == 0 { 0 } else { ttl.clamp(*bounds.start(), *bounds.end()) }
    }

    /// The TTL of an SOA or NS record: its own, or that of a `$TTL` in front of it, or 0, which is the zone's.
    fn zone_ttl(&mut self, own: u32) -> u32 {
        if own == 0 { self.section().defaults.ttl.unwrap_or(0) } else { self.bounded(own) }
    }

    /// The number of a listing's value; `None` for an exclusion.
    fn met(&mut self, said: Said<'_>) -> Option<Met> {
        let Said::Listed(value) = said else { return None };
        self.intern(value)
    }

    fn intern(&mut self, value: feed::Value<'_>) -> Option<Met> {
        let met = self.section().values.intern(value).ok();
        self.too_many_values |= met.is_none();
        met
    }

    fn ip4(&mut self, line: u64, first: u32, last: u32, said: Said<'_>) {
        let is_listed = said != Said::Excluded;
        if is_listed {
            if let Some(what) = self.never.forbids_ip4(first, last) {
                let reason = Reason::Never { subject: never::range4_text(first, last), what: what.to_owned() };
                return self.report(line, reason);
            }
            if (first, last) == (0, u32::MAX) {
                self.lists_everything(line, "0.0.0.0/0");
            }
        }
        let statement = Statement { first, last, said: self.met(said), at: self.at(line) };
        let section = self.section();
        if is_listed && first == last && never::is_test_entry(first) {
            section.ip4_tests.push(first);
        }
        section.ip4.push(statement);
    }

    fn ip6(&mut self, line: u64, bits: u128, length: u8, said: Said<'_>) {
        let last = bits | !crate::dnsxl::subject::mask6(length);
        let is_listed = said != Said::Excluded;
        if is_listed {
            if let Some(what) = self.never.forbids_ip6(bits, last) {
                let reason = Reason::Never { subject: never::prefix6_text(bits, length), what: what.to_owned() };
                return self.report(line, reason);
            }
            if length == 0 {
                self.lists_everything(line, "::/0");
            }
        }
        let statement = Statement { first: bits, last, said: self.met(said), at: self.at(line) };
        let section = self.section();
        if is_listed && length == 128 && never::is_mapped_test_entry(bits) {
            section.ip6_tests.push(bits);
        }
        section.ip6.push(statement);
    }

    fn lists_everything(&mut self, line: u64, what: &'static str) {
        let path = self.path();
        self.everything.get_or_insert(Problem { path, line, reason: Reason::Everything { what } });
    }

    fn name(&mut self, line: u64, wire: &[u8], scope: Scope, said: Said<'_>) {
        if said != Said::Excluded && scope != Scope::Below && self.never.forbids_name(wire) {
            let subject = Name::from_wire(wire).map_or_else(|_| String::new(), |name| name.to_string());
            return self.report(line, Reason::Never { subject, what: "RFC 5782's INVALID".to_owned() });
        }
        let said = self.met(said);
        self.section().names.push(wire, scope, said);
    }

    fn client(&mut self, line: u64, block: ClientBlock, action: Action<'_>) {
        let action = match action {
            Action::Ignore => CollectedAction::Is(ClientAction::Ignore),
            Action::Refuse => CollectedAction::Is(ClientAction::Refuse),
            Action::Empty => CollectedAction::Is(ClientAction::Empty),
            Action::Pass => CollectedAction::Is(ClientAction::Pass),
            Action::Always(value) => match self.intern(value) {
                Some(met) => CollectedAction::Always(met),
                None => return,
            },
        };
        let at = self.at(line);
        let section = self.section();
        let index = section.actions.iter().position(|&known| known == action).unwrap_or_else(|| {
            section.actions.push(action);
            section.actions.len() - 1
        });
        let said = Some(Met(index as u32));
        match block {
            ClientBlock::Ip4 { bits, length } => {
                let last = bits | !crate::dnsxl::subject::mask4(length);
                section.clients4.push(Statement { first: bits, last, said, at });
            }
            ClientBlock::Ip6 { bits, length } => {
                let last = bits | !crate::dnsxl::subject::mask6(length);
                section.clients6.push(Statement { first: bits, last, said, at });
            }
        }
    }

    /// Resolves every section into a part; `spelt` sees, for each of them in order, what its table does not keep.
    pub(super) fn finish(
        &mut self,
        mut spelt: impl FnMut(Spelling),
    ) -> Result<(Vec<Part>, Option<Clients>), TooManyValues> {
        let combined = self.common.format == Format::Combined;
        let common =
            std::mem::replace(&mut self.common, Section::new(Format::Combined, Vec::new(), Defaults::default()));
        let sections = std::mem::take(&mut self.sections);
        let mut parts = Vec::new();
        let mut clients = None;
        for section in (!combined).then_some(common).into_iter().chain(sections) {
            if section.format == Format::Acl {
                clients = Some(self.resolve_clients(section)?);
            } else {
                let (part, spelling) = self.resolve(section)?;
                parts.push(part);
                spelt(spelling);
            }
        }
        Ok((parts, clients))
    }

    fn resolve(&mut self, mut section: Section) -> Result<(Part, Spelling), TooManyValues> {
        let mut lists = Lists::default();
        let holds = section.holds(self.spec.reading.key);
        if let Some(shared) = section.shared {
            let listings4 = section.ip4.iter_mut().map(|statement| &mut statement.said);
            let listings6 = section.ip6.iter_mut().map(|statement| &mut statement.said);
            listings4.chain(listings6).flatten().for_each(|met| *met = shared);
        }
        let mut tally = Tally::new(section.format);
        tally.name = section.name;
        (tally.prefixes4, tally.prefixes6) = (section.ip4.len() as u64, section.ip6.len() as u64);
        tally.excluded6 = section.ip6.iter().filter(|statement| statement.said.is_none()).count() as u64;
        let (runs4, repeated4) = match section.format {
            Format::Ip4Set | Format::Ip4Tset => {
                let (runs, entries) = blocks::by_octet_class(section.ip4, &mut lists);
                tally.octet_classes = entries;
                (runs, Vec::new())
            }
            Format::Ip4Trie => blocks::longest_prefix(section.ip4, &mut lists),
            _ => (blocks::exclusion_wins(section.ip4, &mut lists), Vec::new()),
        };
        tally.prefixes4 -= repeated4.len() as u64;
        self.report_repeated(&repeated4, &[]);
        let (runs6, repeated6) = match section.format {
            Format::Ip6Trie | Format::Ip6Tset => blocks::longest_prefix(section.ip6, &mut lists),
            _ => (blocks::exclusion_wins(section.ip6, &mut lists), Vec::new()),
        };
        tally.prefixes6 -= repeated6.len() as u64;
        if section.format == Format::Ip6Trie {
            self.report_repeated(&[], &repeated6);
        }
        section.ip4_tests.sort_unstable();
        section.ip6_tests.sort_unstable();
        let runs4 = blocks::listed_outside(&runs4, &self.never.ip4(), &section.ip4_tests);
        let runs6 = blocks::listed_outside(&runs6, &self.never.ip6(), &section.ip6_tests);
        if !section.names.is_empty() {
            self.never.names().iter().for_each(|name| section.names.push(name.as_wire(), Scope::Both, None));
        }
        let keys = section.names.resolve(&mut lists);
        (tally.names, tally.wildcards) = (keys.exact, keys.below);
        let hashes = section.hashes.resolve(&mut lists);
        let (records, left_out) = section.records.resolve();
        for at in left_out {
            self.report_at(at, Reason::CnameWithOther);
        }
        let (values, ids) = lists.finish(&section.values.encode(&section.defaults))?;
        let id = |list: Option<ListId>| list.map_or(ValueId::NONE, |list| ids[list.0 as usize]);
        let table = Table {
            ip4: table4(&runs4, id),
            ip6: table6(&runs6, id),
            names: Names::build(keys.iter().map(|(wire, key)| (wire, key.numbered(id)))),
            hashes: Hashes::build(hashes.iter().map(|(key, list)| (key, id(Some(list))))),
        };
        tally.records = records.len() as u64;
        tally.bytes = table.bytes() + values.bytes() + records.bytes();
        self.report.tallies.push(tally);
        let part = Part { under: section.under, holds, table, values, records };
        Ok((part, Spelling { keys, hashes, ids }))
    }

    /// Resolves an access list.
    fn resolve_clients(&mut self, section: Section) -> Result<Clients, TooManyValues> {
        let mut painted = Lists::default();
        let mut tally = Tally::new(Format::Acl);
        (tally.prefixes4, tally.prefixes6) = (section.clients4.len() as u64, section.clients6.len() as u64);
        let (runs4, repeated4) = blocks::longest_prefix(section.clients4, &mut painted);
        let (runs6, repeated6) = blocks::longest_prefix(section.clients6, &mut painted);
        tally.prefixes4 -= repeated4.len() as u64;
        tally.prefixes6 -= repeated6.len() as u64;
        self.report_repeated(&repeated4, &repeated6);
        // here a table's value is the number of an action, counted from one
        let id = |list: Option<ListId>| list.map_or(ValueId::NONE, |list| ValueId(painted.first(list).0 + 1));
        let table = Table { ip4: table4(&runs4, id), ip6: table6(&runs6, id), ..Table::default() };
        let mut lists = Lists::default();
        let always = |action: &CollectedAction| match action {
            CollectedAction::Always(met) => Some(lists.intern(&mut vec![*met])),
            CollectedAction::Is(_) => None,
        };
        let always: Vec<Option<ListId>> = section.actions.iter().map(always).collect();
        let (values, ids) = lists.finish(&section.values.encode(&section.defaults))?;
        let resolved = section.actions.iter().zip(always).filter_map(|(action, list)| match action {
            CollectedAction::Is(action) => Some(*action),
            CollectedAction::Always(_) => Some(ClientAction::Always(ids[list?.0 as usize])),
        });
        tally.bytes = table.bytes() + values.bytes();
        self.report.tallies.push(tally);
        Ok(Clients { table, actions: resolved.collect(), values })
    }

    fn report_repeated(&mut self, repeated4: &[Statement<u32>], repeated6: &[Statement<u128>]) {
        for statement in repeated4 {
            let length = (statement.first ^ statement.last).leading_zeros() as u8;
            let subject = never::prefix4_text(statement.first, length);
            self.report_at(statement.at, Reason::Repeated { subject });
        }
        for statement in repeated6 {
            let length = (statement.first ^ statement.last).leading_zeros() as u8;
            let subject = never::prefix6_text(statement.first, length);
            self.report_at(statement.at, Reason::Repeated { subject });
        }
    }

    fn report_at(&mut self, at: u32, reason: Reason) {
        let (path, line) = self.place(at);
        self.report.push(Problem { path, line, reason });
    }
}

fn table4(runs: &[Run<u32>], id: impl Fn(Option<ListId>) -> ValueId + Copy) -> Ip4 {
    Ip4::build(runs.iter().map(|run| Run4 { first: run.first, last: run.last, value: id(run.list) }))
}

fn table6(runs: &[Run<u128>], id: impl Fn(Option<ListId>) -> ValueId + Copy) -> Ip6 {
    Ip6::build(runs.iter().flat_map(move |run| {
        let value = id(run.list);
        blocks::prefixes(run.first, run.last).map(move |(bits, length)| Prefix6 { bits, length, value })
    }))
}

impl Sink for Collector<'_> {
    fn entry(&mut self, line: u64, entry: Entry<'_>) {
        self.report.entries += 1;
        self.last_line = line;
        match entry {
            Entry::Ip4 { first, last, said } => self.ip4(line, first, last, said),
            Entry::Ip6 { bits, length, said } => self.ip6(line, bits, length, said),
            Entry::Name { wire, scope, said } => self.name(line, wire, scope, said),
            Entry::Hash { key, said } => {
                let said = self.met(said);
                self.section().hashes.push(key, said);
            }
            Entry::Record { owner, ttl, rtype, rdata } => {
                // unlike a listing's, a record's TTL is that of the last `$TTL` in front of it (RFC 2308, section 4)
                let ttl = ttl.map(|ttl| self.bounded(ttl)).or_else(|| self.section().defaults.ttl);
                let at = self.at(line);
                self.section().records.push(owner, ttl, rtype, rdata, at);
            }
            Entry::Client { block, action } => self.client(line, block, action),
        }
    }

    fn special(&mut self, _line: u64, special: Special<'_>) {
        match special {
            Special::Soa(soa) => {
                let ttl = self.zone_ttl(soa.ttl);
                self.head.soa.get_or_insert(SoaLine { ttl, ..soa });
            }
            Special::Ns(ns) => {
                let ttl = self.zone_ttl(ns.ttl);
                // a line of which every name is commented out says nothing
                if !ns.names.is_empty() {
                    self.head.ns.get_or_insert(NsLine { ttl, ..ns });
                }
            }
            Special::Ttl(ttl) => self.section().defaults.ttl = Some(self.bounded(ttl)).filter(|&ttl| ttl != 0),
            Special::Timestamp { created, expires } => {
                let given = |time: i64| (time != 0).then_some(time);
                self.head.created = self.head.created.max(given(created));
                self.head.expires = match (self.head.expires, given(expires)) {
                    (Some(known), Some(new)) => Some(known.min(new)),
                    (known, new) => known.or(new),
                };
            }
            Special::Variable { digit, text } => {
                self.section().defaults.variables[usize::from(digit)].get_or_insert_with(|| text.into());
            }
            Special::BaseTemplate(text) => {
                self.section().defaults.base.get_or_insert_with(|| text.into());
            }
            Special::MaxRange4(limit) => {
                self.max_range4 = Some(self.max_range4.map_or(limit, |known| known.min(limit)));
            }
            Special::SharedValue(value) => {
                let met = self.intern(value);
                let section = self.section();
                section.shared = section.shared.or(met);
            }
            Special::Dataset { format, name, under } => {
                let defaults = self.common.defaults.clone();
                let name = name.map(|name| String::from_utf8_lossy(name).into());
                self.sections.push(Section { name, ..Section::new(format, under, defaults) });
                self.in_common = false;
            }
        }
    }

    fn problem(&mut self, line: u64, problem: LineError) {
        let problem = Problem { path: self.path(), line, reason: Reason::Line(problem) };
        self.bad_line.get_or_insert_with(|| problem.clone());
        self.report.push(problem);
    }
}
