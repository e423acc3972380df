//! Verdicts as statements of a dataset.
//!
//! Invariant: a text is one of a node and not one of an address, so that a block of any size costs one value.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::super::names::{Level as NameLevel, NameVerdict};
use super::super::survey::Survey;
use super::super::{Bits, Class, Exact, Level, Run, Run6, State, prefixes};
use super::Emission;
use super::lay::{Layer, lay};
use super::text;
use crate::dataset::DEFAULT_ADDRESS;
use crate::dnsxl::Name;
use crate::evidence::Family;
use crate::feed::{Entry, Said, Scope, Sink, Text, Value};

/// A survey's verdicts as a dataset says them.
pub(in super::super) fn emit(survey: &Survey, emission: Emission, sink: &mut dyn Sink) {
    let mut painting = Painting::new(emission);
    survey.exact4.iter().for_each(|exact| painting.exact4(exact));
    survey.exact6.iter().for_each(|exact| painting.exact6(exact));
    for family in Family::ALL {
        survey.runs[family.index()].iter().for_each(|run| painting.run4(run, family));
        survey.runs6[family.index()].iter().for_each(|run| painting.run6(run, family));
    }
    painting.emit(sink);
    let names = survey.names.listed().map(|verdict| (&*verdict.name, verdict));
    emit_names(names, emission, survey.names.exempt.iter().map(|name| &**name), sink);
}

/// Verdicts on addresses on their way to disjoint runs: of all that speak of an address the strongest holds, and of
/// equally strong ones the most specific.
pub(super) struct Painting {
    emission: Emission,
    values: Values,
    layers4: Vec<Layer<u32>>,
    layers6: Vec<Layer<u128>>,
}

impl Painting {
    pub(super) fn new(emission: Emission) -> Self {
        Self { emission, values: Values::default(), layers4: Vec::new(), layers6: Vec::new() }
    }

    pub(super) fn exact4(&mut self, exact: &Exact<u32>) {
        if let Some((value, strength)) = self.exact(exact) {
            self.layers4.push(layer(exact.first, exact.length, strength, value));
        }
    }

    pub(super) fn exact6(&mut self, exact: &Exact<u128>) {
        if let Some((value, strength)) = self.exact(exact) {
            self.layers6.push(layer(exact.first, exact.length, strength, value));
        }
    }

    pub(super) fn run4(&mut self, run: &Run, family: Family) {
        let (a, rank, text) = match self.emission {
            Emission::Verdicts(wanted) if wanted.is_none_or(|wanted| wanted == family) => {
                let Some(a) = code(run.state, run.class) else { return };
                (a, run.state as u32, text::state(run, family))
            }
            Emission::Score if run.score() >= LEAST => {
                let (level, score) = (run.level, run.score());
                (scored(level, score), rank(level, score), text::score(run, family))
            }
            _ => return,
        };
        let (value, strength) = (self.values.intern(a, text), strength(rank, 0, family));
        self.layers4.push(Layer { first: run.first, last: run.last, strength, value });
    }

    pub(super) fn run6(&mut self, run: &Run6, family: Family) {
        let (a, rank, text) = match self.emission {
            Emission::Verdicts(wanted) if wanted.is_none_or(|wanted| wanted == family) => {
                let Some(a) = code(run.state, run.class) else { return };
                (a, run.state as u32, text::state6(run, family))
            }
            Emission::Score if run.score >= LEAST => {
                (scored(run.level, run.score), rank(run.level, run.score), text::score6(run, family))
            }
            _ => return,
        };
        let (value, strength) = (self.values.intern(a, text), strength(rank, 0, family));
        self.layers6.push(Layer { first: run.first, last: run.last, strength, value });
    }

    /// The value and strength of what was reported itself, where the dataset says that.
    fn exact<A: Bits>(&mut self, exact: &Exact<A>) -> Option<(u32, u32)> {
        let (a, rank) = match self.emission {
            Emission::Exact => (DEFAULT_ADDRESS, exact.score().into()),
            Emission::Score if exact.score() >= LEAST => {
                (scored(Level::Exact, exact.score()), rank(Level::Exact, exact.score()))
            }
            _ => return None,
        };
        let value = self.values.intern(a, text::exact(exact));
        Some((value, strength(rank, exact.length, exact.family)))
    }

    /// Leaves of everything what is within some addresses.
    pub(super) fn clip4(&mut self, first: u32, last: u32) {
        clip(&mut self.layers4, first, last);
    }

    /// As [`Self::clip4`], of IPv6.
    pub(super) fn clip6(&mut self, first: u128, last: u128) {
        clip(&mut self.layers6, first, last);
    }

    pub(super) fn emit(self, sink: &mut dyn Sink) {
        let Self { values, layers4, layers6, .. } = self;
        values.emit4(layers4, sink);
        values.emit6(layers6, sink);
    }
}

fn clip<A: Bits>(layers: &mut Vec<Layer<A>>, first: A, last: A) {
    layers.retain_mut(|layer| {
        (layer.first, layer.last) = (layer.first.max(first), layer.last.min(last));
        layer.first <= layer.last
    });
}

/// The address of a state, with a bit for the class that caps it; none without a state.
pub fn code(state: State, class: Class) -> Option<Ipv4Addr> {
    let state = match state {
        State::Bad | State::Exact => 2,
        State::Suspicious => 3,
        State::Watch => 4,
        State::None => return None,
    };
    let class = match class {
        Class::Cloud => 16,
        Class::Pool => 32,
        Class::Shared => 64,
        Class::Never | Class::Research | Class::ResolverMixed | Class::Normal => 0,
    };
    Some(Ipv4Addr::new(127, 0, 8, state + class))
}

fn scored(level: Level, score: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, level as u8, score)
}

/// Of two scores the higher goes before, of equal ones that of the more specific level.
fn rank(level: Level, score: u8) -> u32 {
    u32::from(score) << 4 | (15 - level as u32)
}

/// What is ranked higher is stronger; then what was reported of less; then HOST. No two that speak of an address are
/// equally strong, or it would matter what else there is.
fn strength(rank: u32, length: u8, family: Family) -> u32 {
    rank << 9 | u32::from(length) << 1 | family as u32
}

fn layer<A: Bits>(first: A, length: u8, strength: u32, value: u32) -> Layer<A> {
    Layer { first, last: first.last_of(length), strength, value }
}

/// Verdicts as a dataset says them of these names: with all below them, except that what is said of a host holds for the
/// host alone.
pub(super) fn emit_names<'v>(
    verdicts: impl Iterator<Item = (&'v str, &'v NameVerdict)>,
    emission: Emission,
    exempt: impl IntoIterator<Item = &'v str>,
    sink: &mut dyn Sink,
) {
    let mut has_any = false;
    for (name, verdict) in verdicts {
        let a = match emission {
            Emission::Exact if verdict.level == NameLevel::Exact => DEFAULT_ADDRESS,
            Emission::Score => Ipv4Addr::new(127, 0, verdict.level as u8, verdict.score()),
            _ => continue,
        };
        let Ok(name) = Name::parse(name.as_bytes()) else { continue };
        let text = verdict.to_string();
        let value = Value { a: Some(a), text: Text::Template(text.as_bytes()) };
        let scope = if verdict.level == NameLevel::Host { Scope::Exact } else { Scope::Both };
        sink.entry(0, Entry::Name { wire: name.as_wire(), scope, said: Said::Listed(value) });
        has_any = true;
    }
    for name in exempt.into_iter().filter(|_| has_any).filter_map(|name| Name::parse(name.as_bytes()).ok()) {
        sink.entry(0, Entry::Name { wire: name.as_wire(), scope: Scope::Both, said: Said::Excluded });
    }
}

/// The distinct values of a dataset, by number.
#[derive(Default)]
struct Values {
    all: Vec<(Ipv4Addr, String)>,
    numbers: HashMap<(Ipv4Addr, String), u32>,
}

impl Values {
    fn intern(&mut self, a: Ipv4Addr, text: String) -> u32 {
        // runs of one node follow each other
        if self.all.last().is_some_and(|last| last.0 == a && last.1 == text) {
            return self.all.len() as u32 - 1;
        }
        let next = self.all.len() as u32;
        *self.numbers.entry((a, text)).or_insert_with_key(|value| {
            self.all.push(value.clone());
            next
        })
    }

    fn said(&self, value: u32) -> Said<'_> {
        let (a, text) = &self.all[value as usize];
        Said::Listed(Value { a: Some(*a), text: Text::Template(text.as_bytes()) })
    }

    fn emit4(&self, layers: Vec<Layer<u32>>, sink: &mut dyn Sink) {
        lay(layers, |first, last, value| sink.entry(0, Entry::Ip4 { first, last, said: self.said(value) }));
    }

    fn emit6(&self, layers: Vec<Layer<u128>>, sink: &mut dyn Sink) {
        lay(layers, |first, last, value| {
            for (bits, length) in prefixes(first, last) {
                sink.entry(0, Entry::Ip6 { bits, length, said: self.said(value) });
            }
        });
    }
}

/// The lowest score that is listed: below, an answer is NXDOMAIN.
const LEAST: u8 = 25;
