//! Verdicts as statements of a dataset.
//!
//! Invariant: a text is one of a node and not one of an address, so that a block of any size costs one value.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::super::names::{Level as NameLevel, NameVerdict};
use super::super::survey::Survey;
use super::super::{Bits, Class, Exact, Level, State, prefixes};
use super::lay::{Layer, lay};
use super::text;
use crate::dataset::DEFAULT_ADDRESS;
use crate::dnsxl::Name;
use crate::evidence::Family;
use crate::feed::{Entry, Said, Scope, Sink, Text, Value};

/// Addresses and names that were reported themselves.
pub(super) fn exact(survey: &Survey, sink: &mut dyn Sink) {
    let mut values = Values::default();
    let mut layers4 = Vec::new();
    for exact in &survey.exact4 {
        let value = values.intern(DEFAULT_ADDRESS, text::exact(exact));
        layers4.push(layer(exact.first, exact.length, strength_of_exact(exact), value));
    }
    let mut layers6 = Vec::new();
    for exact in &survey.exact6 {
        let value = values.intern(DEFAULT_ADDRESS, text::exact(exact));
        layers6.push(layer(exact.first, exact.length, strength_of_exact(exact), value));
    }
    values.emit4(layers4, sink);
    values.emit6(layers6, sink);
    let names = survey.names.listed().filter(|verdict| verdict.level == NameLevel::Exact);
    emit_names(names, |_| DEFAULT_ADDRESS, &survey.names.exempt, sink);
}

/// Blocks in a state, by one family or by the worse of both.
pub(super) fn states(survey: &Survey, family: Option<Family>, sink: &mut dyn Sink) {
    let mut values = Values::default();
    let (mut layers4, mut layers6) = (Vec::new(), Vec::new());
    for family in Family::ALL.into_iter().filter(|one| family.is_none_or(|wanted| wanted == *one)) {
        for run in &survey.runs[family.index()] {
            let Some(a) = code(run.state, run.class) else { continue };
            let value = values.intern(a, text::state(run, family));
            layers4.push(Layer { first: run.first, last: run.last, strength: run.state as u32, value });
        }
        for run in &survey.runs6[family.index()] {
            let Some(a) = code(run.state, run.class) else { continue };
            let value = values.intern(a, text::state6(run, family));
            layers6.push(Layer { first: run.first, last: run.last, strength: run.state as u32, value });
        }
    }
    values.emit4(layers4, sink);
    values.emit6(layers6, sink);
}

/// Everything that has a score: of all that speak of a subject the highest, and of equal ones the most specific.
pub(super) fn scores(survey: &Survey, sink: &mut dyn Sink) {
    let mut values = Values::default();
    let (mut layers4, mut layers6) = (Vec::new(), Vec::new());
    for exact in survey.exact4.iter().filter(|exact| exact.score() >= LEAST) {
        let value = values.intern(scored(Level::Exact, exact.score()), text::exact(exact));
        layers4.push(layer(exact.first, exact.length, strength(Level::Exact, exact.score()), value));
    }
    for exact in survey.exact6.iter().filter(|exact| exact.score() >= LEAST) {
        let value = values.intern(scored(Level::Exact, exact.score()), text::exact(exact));
        layers6.push(layer(exact.first, exact.length, strength(Level::Exact, exact.score()), value));
    }
    for family in Family::ALL {
        for run in survey.runs[family.index()].iter().filter(|run| run.score() >= LEAST) {
            let value = values.intern(scored(run.level, run.score()), text::score(run, family));
            let strength = strength(run.level, run.score());
            layers4.push(Layer { first: run.first, last: run.last, strength, value });
        }
        for run in survey.runs6[family.index()].iter().filter(|run| run.score >= LEAST) {
            let value = values.intern(scored(run.level, run.score), text::score6(run, family));
            layers6.push(Layer { first: run.first, last: run.last, strength: strength(run.level, run.score), value });
        }
    }
    values.emit4(layers4, sink);
    values.emit6(layers6, sink);
    let a = |verdict: &NameVerdict| Ipv4Addr::new(127, 0, verdict.level as u8, verdict.score());
    emit_names(survey.names.listed(), a, &survey.names.exempt, sink);
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

fn strength(level: Level, score: u8) -> u32 {
    u32::from(score) << 4 | (15 - level as u32)
}

fn strength_of_exact<A: Bits>(exact: &Exact<A>) -> u32 {
    u32::from(exact.score()) << 8 | u32::from(exact.length)
}

fn layer<A: Bits>(first: A, length: u8, strength: u32, value: u32) -> Layer<A> {
    Layer { first, last: first.last_of(length), strength, value }
}

/// Names with all below them, except that what is said of a host holds for the host alone.
fn emit_names<'v>(
    verdicts: impl Iterator<Item = &'v NameVerdict>,
    a: impl Fn(&NameVerdict) -> Ipv4Addr,
    exempt: &[Box<str>],
    sink: &mut dyn Sink,
) {
    let mut has_any = false;
    for verdict in verdicts {
        let Ok(name) = Name::parse(verdict.name.as_bytes()) else { continue };
        let text = verdict.to_string();
        let value = Value { a: Some(a(verdict)), text: Text::Template(text.as_bytes()) };
        let scope = if verdict.level == NameLevel::Host { Scope::Exact } else { Scope::Both };
        sink.entry(0, Entry::Name { wire: name.as_wire(), scope, said: Said::Listed(value) });
        has_any = true;
    }
    for name in exempt.iter().filter(|_| has_any).filter_map(|name| Name::parse(name.as_bytes()).ok()) {
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
