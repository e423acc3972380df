//! The sink that loads: statements of all files of a dataset, by section, until they are resolved.
//!
//! Invariant: nothing is decided here that depends on what is still to come; that is left to when all is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocks::{self, Statement};
use super::clients::{ClientAction, Clients};
use super::keys::Keys;
use super::never::{self, NeverList};
use super::rules::{self, Cut};
use super::section::{CollectedAction, Section};
use super::spelling::SpeltNames;
use super::tally::Tally;
use super::values::{Defaults, ListId, Lists, Met, TooManyValues};
use super::{MAX_PROBLEMS, Part, Problem, Reason, Report, Spec, Spelling};
use crate::dnsxl::Name;
use crate::feed::{self, Action, ClientBlock, Entry, Format, LineError, NsLine, Said, Scope, Sink, SoaLine, Special};
use crate::table::{Hashes, Names, Table, ValueId};

/// Collects the statements of a dataset's files.
///
/// Threads that collect side by side write to theirs with every line, so no two share a cache line, nor the pair of them
/// that processors fetch together.
#[repr(align(128))]
pub(super) struct Collector<'s> {
    spec: &'s Spec,
    never: &'s NeverList,
    /// How many threads may work for it.
    threads: usize,
    common: Section,
    sections: Vec<Section>,
    files: Vec<File>,
    /// The last line of the current file that said anything.
    last_line: u64,
    /// Whether statements go to the common part: before the first `$DATASET` of a `combined` file.
    in_common: bool,
    /// The keys, if it is a file of keys.
    pub(super) keys: Keys,
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

#[derive(Clone)]
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

impl<'s> Collector<'s> {
    pub(super) fn new(spec: &'s Spec, never: &'s NeverList, threads: usize) -> Self {
        let common = Section::new(spec.format, vec![Name::default()], spec.defaults.clone());
        Self {
            spec,
            never,
            threads,
            common,
            sections: Vec::new(),
            files: Vec::new(),
            last_line: 0,
            in_common: true,
            keys: Keys::default(),
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

    /// Collectors for threads that parse shares of the current file.
    pub(super) fn helpers(&self) -> Vec<Self> {
        // one thread alone does without
        let count = if self.threads > 1 { self.threads } else { 0 };
        let helper = |_| {
            let mut helper = Self::new(self.spec, self.never, 1);
            helper.files.extend(self.files.last().cloned());
            helper
        };
        (0..count).map(helper).collect()
    }

    /// Takes over what helpers collected of the current file, as if it had been read by one thread.
    pub(super) fn absorb(&mut self, helpers: Vec<Self>) {
        if helpers.is_empty() {
            return;
        }
        let path = self.path();
        let is_earlier = |problem: &Problem| !Arc::ptr_eq(&problem.path, &path);
        let earlier = self.report.problems.partition_point(is_earlier);
        for helper in helpers {
            self.report.entries += helper.report.entries;
            self.report.total += helper.report.total;
            self.report.problems.extend(helper.report.problems);
            self.last_line = self.last_line.max(helper.last_line);
            self.too_many_values |= helper.too_many_values;
            for (mine, theirs) in [(&mut self.bad_line, helper.bad_line), (&mut self.everything, helper.everything)] {
                let first = |mine: &Problem, theirs: &Problem| is_earlier(mine) || mine.line <= theirs.line;
                if let Some(theirs) = theirs
                    && !mine.as_ref().is_some_and(|mine| first(mine, &theirs))
                {
                    *mine = Some(theirs);
                }
            }
            self.too_many_values |= self.common.absorb(helper.common).is_err();
        }
        self.report.problems[earlier..].sort_by_key(|problem| problem.line);
        self.report.problems.truncate(MAX_PROBLEMS);
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
        let (said, at) = (self.met(said), self.at(line));
        let section = self.section();
        if is_listed && first == last && never::is_test_entry(first) {
            section.ip4_tests.push(first);
        }
        section.ip4.push(first, last, said, at);
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
        let (said, at) = (self.met(said), self.at(line));
        let section = self.section();
        if is_listed && length == 128 && never::is_mapped_test_entry(bits) {
            section.ip6_tests.push(bits);
        }
        section.ip6.push(bits, last, said, at);
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
        mut spelt: Option<&mut dyn FnMut(Spelling)>,
    ) -> Result<(Vec<Part>, Option<Clients>), TooManyValues> {
        let combined = self.common.format == Format::Combined;
        let common =
            std::mem::replace(&mut self.common, Section::new(Format::Combined, Vec::new(), Defaults::default()));
        let sections = std::mem::take(&mut self.sections);
        let mut parts = Vec::new();
        let mut clients = None;
        for section in (!combined).then_some(common).into_iter().chain(sections) {
            match section.format {
                Format::Acl => clients = Some(self.resolve_clients(section)?),
                // there is nothing to resolve, and nothing that a zone could list
                Format::Keys => {}
                _ => parts.push(self.resolve(section, &mut spelt)?),
            }
        }
        Ok((parts, clients))
    }

    fn resolve(
        &mut self,
        mut section: Section,
        spelt: &mut Option<&mut dyn FnMut(Spelling)>,
    ) -> Result<Part, TooManyValues> {
        let mut lists = Lists::default();
        let holds = section.holds(self.spec.reading.key);
        let mut tally = Tally::new(section.format);
        tally.name = section.name;
        section.ip4_tests.sort_unstable();
        section.ip6_tests.sort_unstable();
        let (never4, never6) = (self.never.ip4(), self.never.ip6());
        let cut4 = Cut::new(&never4, &section.ip4_tests);
        let repeated4 = section.ip4.settle(section.format, cut4, &mut lists, self.threads, &mut tally);
        self.report_repeated(&repeated4, &[]);
        let cut6 = Cut::new(&never6, &section.ip6_tests);
        let repeated6 = section.ip6.settle(cut6, &mut lists, self.threads, &mut tally);
        if section.format == Format::Ip6Trie {
            self.report_repeated(&[], &repeated6);
        }
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
        let mut encoded = section.values.encode(&section.defaults);
        if let Some(Met(shared)) = section.shared {
            // whatever its lines said, a list of one value has that
            let shared = encoded[shared as usize].clone();
            encoded.fill(shared);
        }
        let (values, ids) = lists.finish(&encoded)?;
        let id = |list| ids.of(list);
        let table = Table {
            ip4: section.ip4.build(id),
            ip6: section.ip6.build(id),
            names: Names::build(keys.iter().map(|(wire, key)| (wire, key.numbered(id)))),
            hashes: Hashes::build(hashes.iter().map(|(key, list)| (key, id(Some(list))))),
        };
        tally.records = records.len() as u64;
        tally.bytes = table.bytes() + values.bytes() + records.bytes();
        self.report.tallies.push(tally);
        if let Some(spelt) = spelt {
            spelt(Spelling { keys: SpeltNames::of(&keys), hashes, ids });
        }
        Ok(Part { under: section.under, holds, table, values, records })
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
        let (ip4, ip6) = (rules::table4(runs4.iter().copied(), id), rules::table6(runs6.into_iter(), id));
        let table = Table { ip4, ip6, ..Table::default() };
        let mut lists = Lists::default();
        let always = |action: &CollectedAction| match action {
            CollectedAction::Always(met) => Some(lists.of_one(*met)),
            CollectedAction::Is(_) => None,
        };
        let always: Vec<Option<ListId>> = section.actions.iter().map(always).collect();
        let (values, ids) = lists.finish(&section.values.encode(&section.defaults))?;
        let resolved = section.actions.iter().zip(always).map(|(action, list)| match action {
            CollectedAction::Is(action) => *action,
            CollectedAction::Always(_) => ClientAction::Always(ids.of(list)),
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
            Entry::Key { name, key, quota } => {
                if let Some(reason) = self.keys.push(&self.spec.name, name, key, quota) {
                    self.report(line, reason);
                }
            }
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
