//! Reports between two surveys: what is said of a subject moves at once what is listed of it and around it.
//!
//! An [`Increment`] stands beside a [`Survey`] and keeps of the reports only what they say of each subject, its earlier
//! spells included, so that a report is a new arrival or a part of the last one by the rule of all evidence. What they
//! come to is reckoned as of the survey's time: a report of later is one of that instant, but is told with its own time.
//!
//! Invariant: whatever the order of the reports, and if some come twice, the increment is the same; after reports of one
//! /24 it says of it what a full judgement of all evidence at the survey's time says, at the same mean.
//!
//! Left to the next survey: what reports do to verdicts of others (rates above a /24, prefixes' and ASNs' states, blocks
//! near by), prefixes reported that are shorter than [`SHORTEST4`] or [`SHORTEST6`], IPv6 blocks, hazards, and what
//! addresses and names know of each other.

mod listed;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::arrivals::{Reader, trusted_groups};
use super::exact::{Exact, listed};
use super::floods::Named;
use super::moved::History;
use super::names::{self, MovedNames};
use super::nodes::Summing;
use super::returning::records;
use super::survey::{Survey, by_names};
use super::{Bits, Guards, Judgement, Previous, State};
use crate::evidence::{Family, Sources, Speech, Spell, Spell4, Statement, Subject, Time};
use listed::Listed;
use told::{Told, range, told};

/// What somebody says of a subject.
#[derive(Clone, Copy, Debug)]
pub struct Report<'r> {
    /// When it came up.
    pub time: Time,
    /// Who says so.
    pub source: &'r str,
    /// Of what: an address, a prefix, a name, a URL.
    pub subject: &'r str,
    /// What it did.
    pub category: &'r str,
    /// How sure the source is, 0–1.
    pub weight: f64,
}

/// What is answered anew after a report.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Region {
    /// A /24, shifted right by 8.
    Ip4(u32),
    /// The first address of a /48.
    Ip6(u128),
    /// A registrable domain.
    Domain(Box<str>),
}

impl Region {
    /// The /24 that it is.
    fn block(&self) -> Option<u32> {
        match *self {
            Self::Ip4(block) => Some(block),
            Self::Ip6(_) | Self::Domain(_) => None,
        }
    }
}

/// What reports have changed since a survey.
#[derive(Debug)]
pub struct Increment {
    survey: Arc<Survey>,
    sources: Sources,
    /// The groups whose word is trusted, a bit each.
    trusted: u64,
    judgements: [Judgement; 2],
    told4: BTreeMap<u32, Told<u32>>,
    told6: BTreeMap<u128, Told<u128>>,
    blocks4: BTreeMap<(u32, u8), Told<(u32, u8)>>,
    blocks6: BTreeMap<(u128, u8), Told<(u128, u8)>>,
    told_names: BTreeMap<Box<str>, Told<Box<str>>>,
    names: MovedNames,
    exact4: Listed<u32>,
    exact6: Listed<u128>,
    /// Of networks in which something was said: who names how much of them.
    floods: HashMap<u32, Named>,
    /// Addresses whose verdicts are to be made.
    pending: BTreeSet<u32>,
    /// Domains likewise.
    pending_domains: BTreeSet<Box<str>>,
    regions: Regions,
    is_full: bool,
}

/// Regions in the order of their last change.
#[derive(Clone, Debug, Default)]
struct Regions {
    by_number: BTreeMap<u64, Region>,
    numbers: HashMap<Region, u64>,
    last: u64,
}

impl Regions {
    fn touch(&mut self, region: Region) {
        self.last += 1;
        if let Some(before) = self.numbers.insert(region.clone(), self.last) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.last, region);
    }
}

impl Increment {
    /// Nothing has been said since the survey. Changes are numbered from the one behind `number`.
    pub fn begin(survey: Arc<Survey>, number: u64) -> Self {
        let judgements = Family::ALL.map(|family| {
            let mut judgement = survey.judgements[family.index()].clone();
            // what a survey after this one would go by
            judgement.previous = Arc::new(Previous::of_runs(&survey.runs[family.index()]));
            judgement
        });
        let sources = survey.evidence.sources.clone();
        Self {
            trusted: trusted_groups(&sources),
            sources,
            judgements,
            told4: BTreeMap::new(),
            told6: BTreeMap::new(),
            blocks4: BTreeMap::new(),
            blocks6: BTreeMap::new(),
            told_names: BTreeMap::new(),
            names: MovedNames::default(),
            exact4: Listed::new(&survey.exact4, REGION4),
            exact6: Listed::new(&survey.exact6, SHORTEST6),
            survey,
            floods: HashMap::new(),
            pending: BTreeSet::new(),
            pending_domains: BTreeSet::new(),
            regions: Regions { last: number, ..Regions::default() },
            is_full: false,
        }
    }

    /// The survey that it stands beside.
    pub fn survey(&self) -> &Arc<Survey> {
        &self.survey
    }

    /// The judgement of a family with what has moved.
    pub fn judgement(&self, family: Family) -> &Judgement {
        &self.judgements[family.index()]
    }

    /// What is said of names in domains that something was reported at.
    pub fn names(&self) -> &MovedNames {
        &self.names
    }

    /// The number of the last change.
    pub fn number(&self) -> u64 {
        self.regions.last
    }

    /// The regions that were touched after a change, in the order of their last one.
    pub fn touched_after(&self, number: u64) -> impl Iterator<Item = &Region> {
        self.regions.by_number.range(number.saturating_add(1)..).map(|(_, region)| region)
    }

    /// The states that a survey after this one goes by, of each family.
    pub fn previous(&self) -> [Arc<Previous>; 2] {
        Family::ALL.map(|family| {
            let mut states = Vec::new();
            let mut take = |first: u32, last: u32, state: State| {
                if first <= last {
                    states.push((first, last, state));
                }
            };
            let moved: BTreeSet<u32> = self.regions.numbers.keys().filter_map(Region::block).collect();
            for run in &self.survey.runs[family.index()] {
                let (mut first, last) = (run.first >> 8, run.last >> 8);
                for &block in moved.range(first..=last) {
                    if first < block {
                        take(first, block - 1, run.state);
                    }
                    first = block + 1;
                }
                take(first, last, run.state);
            }
            for &block in &moved {
                self.judgement(family).each_run_of_block(block, false, |run| take(block, block, run.state));
            }
            Arc::new(Previous::of(states))
        })
    }

    /// Whether so much has been said that some of it waits for the next survey, which had better be soon.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Takes reports, and makes the verdicts that they move. What has no meaning, and what says that it comes from
    /// after `now`, is as if it had been said now, or not at all.
    pub fn report<'r>(&mut self, reports: impl IntoIterator<Item = Report<'r>>, now: Time) {
        for report in reports {
            self.hear(&report, now);
        }
        self.settle();
    }

    fn hear(&mut self, report: &Report<'_>, now: Time) {
        let Some(subject) = Subject::parse(report.subject.as_bytes()) else { return };
        let known = self.sources.count();
        let Some(source) = self.sources.find_or_add(report.source) else { return };
        if self.sources.count() > known {
            self.trusted = trusted_groups(&self.sources);
        }
        let family = self.sources.family(source, report.category);
        let time = report.time.min(now);
        let begin = time.min(self.survey.at);
        let (weight, speech) = (report.weight, Speech::Stream);
        let statement = Statement { source, family, subject, begin, end: Some(begin), weight, speech };
        match subject {
            Subject::Ip4 { bits, length: 32 } => self.hear4(bits, &statement, time),
            Subject::Ip4 { bits, length } if length >= SHORTEST4 => self.hear_block4((bits, length), &statement, time),
            Subject::Ip6 { bits, length: 128 } => self.hear6(bits, &statement, time),
            Subject::Ip6 { bits, length } if length >= SHORTEST6 => self.hear_block6((bits, length), &statement, time),
            Subject::Ip4 { .. } | Subject::Ip6 { .. } => {}
            Subject::Name(text) => self.hear_name(text, &statement, time),
        }
    }

    fn guards(&self) -> &Guards {
        &self.judgements[0].guards
    }

    /// Whether another subject can be remembered.
    fn has_room(&mut self) -> bool {
        let addresses = self.told4.len() + self.told6.len();
        let told = addresses + self.blocks4.len() + self.blocks6.len() + self.told_names.len();
        self.is_full |= told.max(self.regions.numbers.len()) >= MOST_SUBJECTS;
        !self.is_full
    }

    fn hear4(&mut self, address: u32, statement: &Statement<'_>, time: Time) {
        if !self.told4.contains_key(&address) && !self.has_room() {
            return;
        }
        let (survey, at) = (Arc::clone(&self.survey), self.survey.at);
        let network = self.floods.entry(address >> 16).or_insert_with(|| {
            let in_network = range(&survey.evidence.ip4, &(address & !0xffff), &(address | 0xffff));
            Named::of(in_network, &survey.evidence.sources, at)
        });
        let told = told(&mut self.told4, address, &survey.evidence.ip4);
        let flooding = network.mask();
        network.take_back(&told.spells, &self.sources, at);
        told.hear(Spell::new(address, statement), time);
        network.add(&told.spells, &self.sources, at);
        self.pending.insert(address);
        if network.mask() != flooding {
            // what a group says in a network it floods is worth less, whenever it said so
            let in_network = self.told4.range(address & !0xffff..=address | 0xffff);
            self.pending.extend(in_network.map(|(&address, _)| address));
        }
    }

    fn hear_block4(&mut self, (bits, length): (u32, u8), statement: &Statement<'_>, time: Time) {
        if !self.blocks4.contains_key(&(bits, length)) && !self.has_room() {
            return;
        }
        let class = self.guards().class4(bits);
        let told = told(&mut self.blocks4, (bits, length), &self.survey.evidence.blocks4);
        told.hear(Spell::new((bits, length), statement), time);
        let all = listed(&told.spells, |&block| block, |_, _| class, &self.sources, &[], self.survey.at);
        self.exact4.set((bits, length), told.dated(all));
        for block in bits >> 8..=bits.last_of(length) >> 8 {
            self.regions.touch(Region::Ip4(block));
        }
    }

    fn hear6(&mut self, address: u128, statement: &Statement<'_>, time: Time) {
        if !self.told6.contains_key(&address) && !self.has_room() {
            return;
        }
        let class = self.guards().class6(address);
        let told = told(&mut self.told6, address, &self.survey.evidence.ip6);
        told.hear(Spell::new(address, statement), time);
        let all = listed(&told.spells, |&address| (address, 128), |_, _| class, &self.sources, &[], self.survey.at);
        self.exact6.set((address, 128), told.dated(all));
        self.regions.touch(Region::Ip6(address.masked(SHORTEST6)));
    }

    fn hear_block6(&mut self, (bits, length): (u128, u8), statement: &Statement<'_>, time: Time) {
        if !self.blocks6.contains_key(&(bits, length)) && !self.has_room() {
            return;
        }
        let class = self.guards().class6(bits);
        let told = told(&mut self.blocks6, (bits, length), &self.survey.evidence.blocks6);
        told.hear(Spell::new((bits, length), statement), time);
        let all = listed(&told.spells, |&block| block, |_, _| class, &self.sources, &[], self.survey.at);
        self.exact6.set((bits, length), told.dated(all));
        self.regions.touch(Region::Ip6(bits.masked(SHORTEST6)));
    }

    fn hear_name(&mut self, text: &str, statement: &Statement<'_>, time: Time) {
        let has_room = self.told_names.contains_key(text) || self.has_room();
        if !has_room {
            return;
        }
        let survey = Arc::clone(&self.survey);
        let told = told(&mut self.told_names, text.into(), &survey.evidence.names);
        told.hear(Spell::new(text.into(), statement), time);
        let spoken = told.spells.iter().filter(|spell| spell.source == statement.source);
        let mut addresses = BTreeSet::new();
        for spell in spoken {
            let source = self.sources.get(spell.source);
            let (trust, time) = (source.trust * spell.weight(), spell.last_said(survey.at));
            let said = names::Statement { group: &source.group, trust, spoofable: source.spoofable, time };
            match self.names.hear(&survey.name_evidence, &survey.hosts, survey.name_facts.facts(), (text, said)) {
                names::Told::Domain(domain) => {
                    self.pending_domains.insert(domain);
                }
                names::Told::Address(address) => {
                    addresses.insert((address, source.group.clone(), time));
                }
                names::Told::Nothing => {}
            }
        }
        // a URL at a literal address is one about the address
        for (address, group, begin) in addresses {
            let Some(source) = by_names(&self.sources, &group).and_then(|source| self.sources.add(source)) else {
                continue;
            };
            let (family, end) = (Family::Host, Some(begin));
            let statement = Statement { source, family, begin, end, weight: 1.0, ..*statement };
            match address {
                IpAddr::V4(address) => self.hear4(address.into(), &statement, time),
                IpAddr::V6(address) => self.hear6(address.into(), &statement, time),
            }
        }
    }

    /// Makes the verdicts of what reports came of.
    fn settle(&mut self) {
        let pending: Vec<u32> = std::mem::take(&mut self.pending).into_iter().collect();
        for of_block in pending.chunk_by(|a, b| a >> 8 == b >> 8) {
            of_block.iter().for_each(|&address| self.list(address));
            self.judge(of_block[0] >> 8);
            self.regions.touch(Region::Ip4(of_block[0] >> 8));
        }
        for domain in std::mem::take(&mut self.pending_domains) {
            self.names.judge(&domain, self.survey.name_facts.facts(), &self.survey.names);
            self.regions.touch(Region::Domain(domain));
        }
    }

    /// What is listed of an address itself.
    fn list(&mut self, address: u32) {
        let Some(told) = self.told4.get(&address) else { return };
        let floods: Vec<usize> =
            self.floods.get(&(address >> 16)).map_or_else(Vec::new, |named| named.flooding().collect());
        let class = self.guards().class4(address);
        let all = listed(&told.spells, |&address| (address, 32), |_, _| class, &self.sources, &floods, self.survey.at);
        self.exact4.set((address, 32), told.dated(all));
    }

    /// Judges a /24 anew.
    fn judge(&mut self, block: u32) {
        let (first, last, at) = (block << 8, block << 8 | 255, self.survey.at);
        let mut spells: Vec<Spell4> = Vec::new();
        let mut told = self.told4.range(first..=last).peekable();
        for said in range(&self.survey.evidence.ip4, &first, &last).chunk_by(|a, b| a.subject == b.subject) {
            while let Some((_, told)) = told.next_if(|told| *told.0 < said[0].subject) {
                spells.extend_from_slice(&told.spells);
            }
            match told.next_if(|told| *told.0 == said[0].subject) {
                Some((_, told)) => spells.extend_from_slice(&told.spells),
                None => spells.extend_from_slice(said),
            }
        }
        told.for_each(|(_, told)| spells.extend_from_slice(&told.spells));
        let flooding = self.floods.get(&(block >> 8)).map_or(0, Named::mask);
        for family in Family::ALL {
            let mut reader = Reader::new(&self.sources, at);
            let judgement = &mut self.judgements[family.index()];
            let mut summing = Summing::new(&judgement.guards, at, first);
            let mut has_any = false;
            for said in spells.chunk_by(|a, b| a.subject == b.subject && a.family == b.family) {
                if said[0].family == family {
                    has_any = true;
                    let Some(mut known) = reader.read(said) else { continue };
                    let told = self.told4.get(&said[0].subject).filter(|_| known.counts.last() == Some(at));
                    if let Some(told) = told {
                        known.counts.arrived(told.latest[family.index()]);
                    }
                    summing.add(said[0].subject, &known, flooding);
                }
            }
            if !has_any {
                continue;
            }
            let own = summing.into_block();
            let records = records(&spells, family, &reader, at);
            judgement.move_block(block, History { own, records }, self.trusted);
        }
    }
}

/// What is listed in a region, as it is now or as it was at the survey.
impl Increment {
    /// What is listed of a /24 itself, of what is in it and of what is around it.
    pub(super) fn exact4_in(&self, block: u32, is_now: bool) -> Vec<Exact<u32>> {
        self.exact4.within(&self.survey.exact4, block << 8, REGION4, is_now)
    }

    /// As [`Self::exact4_in`], of a /48.
    pub(super) fn exact6_in(&self, first: u128, is_now: bool) -> Vec<Exact<u128>> {
        self.exact6.within(&self.survey.exact6, first, SHORTEST6, is_now)
    }

    /// What is listed of an address itself, or of a prefix around it.
    pub(super) fn exact4_at(&self, address: u32) -> impl Iterator<Item = Exact<u32>> {
        let covers = move |exact: &Exact<u32>| exact.first == address.masked(exact.length);
        self.exact4_in(address >> 8, true).into_iter().filter(covers)
    }

    /// As [`Self::exact4_at`], of IPv6.
    pub(super) fn exact6_at(&self, address: u128) -> impl Iterator<Item = Exact<u128>> {
        let covers = move |exact: &Exact<u128>| exact.first == address.masked(exact.length);
        self.exact6_in(address.masked(SHORTEST6), true).into_iter().filter(covers)
    }
}

/// IPv4 is answered anew by the /24.
const REGION4: u8 = 24;
/// A reported prefix of so many bits and more is listed at once; one of a larger network is a person's decision, and can
/// wait for the next survey.
pub const SHORTEST4: u8 = 16;
/// As [`SHORTEST4`], and the regions of IPv6 are so large.
pub const SHORTEST6: u8 = 48;
/// So many subjects are remembered, at about 200 bytes each; what is said of others waits for the next survey. An hour of
/// a large feed brings fewer that are new.
pub const MOST_SUBJECTS: usize = 1 << 18;
