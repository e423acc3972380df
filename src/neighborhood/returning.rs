//! Addresses that come back: bad once, quiet for a month, and more likely than their neighbors to be bad again.
//!
//! A quarter to a third of the addresses that a list takes off it will list again, most of them soon, and those that came
//! and went several times above all (West et al. 2010 saw 45 % listed again). Each such address has a rate of its own,
//! a Poisson regression on its record and on the rate of its /24; it is laid over the block as a guard is. Invariant: an
//! address that any list had in the last 30 days is none, as it is no news; neither is one that is not announced.
//!
//! The rate is the address's own and no part of its block's: what is left of the block keeps its rate for its space.

use super::arrivals::Reader;
use super::judgement::Judgement;
use super::model::{dot, rate};
use super::parameters::{NEW_AFTER_DAYS, RETURN_DAYS, ReturningTerms};
use crate::evidence::{Evidence, Family, Spell, Spell4, Time};

/// An address that may come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Returning {
    /// The address.
    pub(super) address: u32,
    /// Expected arrivals in the next 7 days.
    pub(super) rate: f64,
    /// What its rate is made from.
    pub(super) record: Record,
    /// How many addresses of its /24 may come back, itself included.
    pub(super) of_24: u16,
}

/// The record of an address that may come back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Record {
    /// Arrivals in the last year.
    pub(super) arrivals: u16,
    /// Those of them that ended an absence of 30 days or more.
    returns: u16,
    /// Days since the first of them.
    age: f32,
    /// Days since it was named last.
    pub(super) absent: f32,
}

impl Record {
    /// Reads the spells of one address; none if it is known, or if only sources named it whose word does not generalise.
    pub(super) fn read<S>(spells: &[Spell<S>], reader: &Reader<'_>, at: Time) -> Option<Self> {
        let year = at.days_before(RETURN_DAYS);
        let mut record: Option<Self> = None;
        for said in spells.chunk_by(|a, b| a.source == b.source && a.speech() == b.speech()) {
            if !reader.generalises(said[0].source) {
                continue;
            }
            let mut own: Option<Self> = None;
            let known = said.iter().take_while(|spell| spell.begin <= at);
            for spell in known.filter(|spell| spell.end(at) > year) {
                let since_begin = at.days_since(spell.begin) as f32;
                let returned = own.is_some_and(|own| own.absent - since_begin >= NEW_AFTER_DAYS as f32);
                own = Some(Self {
                    arrivals: own.map_or(0, |own| own.arrivals).saturating_add(1),
                    returns: own.map_or(0, |own| own.returns).saturating_add(u16::from(returned)),
                    age: own.map_or(since_begin, |own| own.age),
                    absent: at.days_since(spell.end(at)) as f32,
                });
            }
            // what copies another list adds nothing: of several sources the one that says most counts
            let join = |a: Self, b: Self| Self {
                arrivals: a.arrivals.max(b.arrivals),
                returns: a.returns.max(b.returns),
                age: a.age.max(b.age),
                absent: a.absent.min(b.absent),
            };
            record = match (record, own) {
                (Some(a), Some(b)) => Some(join(a, b)),
                (a, b) => a.or(b),
            };
        }
        record.filter(|record| record.absent >= NEW_AFTER_DAYS as f32)
    }

    /// The terms, given the rate of the /24 and how many of its addresses may come back.
    pub(super) fn terms(&self, block_rate: f64, of_24: u16) -> ReturningTerms {
        let months = |days: f32| (f64::from(days) / f64::from(NEW_AFTER_DAYS)).max(1.0).ln();
        [
            f64::from(self.arrivals.max(1)).ln(),
            (1.0 + f64::from(self.returns)).ln(),
            months(self.absent),
            months(self.age),
            f64::from(of_24.max(1)).ln(),
            block_rate.max(LEAST_BLOCK_RATE).ln(),
            1.0,
        ]
    }
}

impl Judgement {
    /// Finds the addresses that may come back, ascending.
    pub(super) fn find_returning(&self, evidence: &Evidence) -> Vec<Returning> {
        let mut found = Vec::new();
        let reader = Reader::new(&evidence.sources, self.at);
        for spells in evidence.ip4.chunk_by(|a, b| a.subject >> 8 == b.subject >> 8) {
            let records = records(spells, self.family, &reader, self.at);
            if let Some(&(address, _)) = records.first()
                && let Some(rate) = self.block_rate(address >> 8)
            {
                found.extend(self.rate_returning(&records, rate));
            }
        }
        found
    }

    /// Rates the addresses of a /24 that may come back.
    pub(super) fn rate_returning(&self, records: &[(u32, Record)], block_rate: f64) -> Vec<Returning> {
        let of_24 = records.len() as u16;
        let rated = records.iter().map(|&(address, record)| {
            let terms = record.terms(block_rate, of_24);
            let rate = rate(dot(&self.parameters.coefficients.returning, &terms));
            Returning { address, rate, record, of_24 }
        });
        rated.collect()
    }

    /// Hands on the addresses that may come back with their terms, ascending.
    pub fn each_returning(&self, mut take: impl FnMut(u32, ReturningTerms)) {
        for returning in &*self.returning {
            if let Some(terms) = self.returning_terms(returning) {
                take(returning.address, terms);
            }
        }
    }

    /// The terms of an address that may come back.
    pub(super) fn returning_terms(&self, returning: &Returning) -> Option<ReturningTerms> {
        let block_rate = self.block_rate(returning.address >> 8)?;
        Some(returning.record.terms(block_rate, returning.of_24))
    }

    /// The address that may come back at this place.
    pub(super) fn returning_at(&self, address: u32) -> Option<&Returning> {
        let of_24 = self.returning_in(address >> 8);
        let place = of_24.binary_search_by_key(&address, |returning| returning.address).ok()?;
        Some(&of_24[place])
    }

    /// The rate of a /24; none if it is not judged.
    fn block_rate(&self, block: u32) -> Option<f64> {
        if !self.nodes.counts(block) {
            return None;
        }
        match self.own(block) {
            Some(own) => Some(own.verdict.rate),
            None => {
                let route = self.routes.find4(block << 8, 24)?;
                Some(self.untouched_rate(route, self.nodes.active_around(block)))
            }
        }
    }
}

/// The records of a family's addresses of a /24 that may come back, ascending, from all of its spells.
pub(super) fn records(spells: &[Spell4], family: Family, reader: &Reader<'_>, at: Time) -> Vec<(u32, Record)> {
    let of_address = spells.chunk_by(|a, b| a.subject == b.subject && a.family == b.family);
    let of_family = of_address.filter(|said| said[0].family == family);
    of_family.filter_map(|said| Some((said[0].subject, Record::read(said, reader, at)?))).collect()
}

/// A /24 is taken to have at least this rate.
const LEAST_BLOCK_RATE: f64 = 1e-7;
