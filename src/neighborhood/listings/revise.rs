//! What a dataset says anew of the regions that reports touched.
//!
//! Invariant: what is said of a region is what a survey with these reports would say there, whatever was said before.

use std::collections::BTreeSet;

use super::super::names::{Level, NameVerdict};
use super::super::{Bits, Increment, Region, SHORTEST6, prefixes};
use super::Emission;
use super::verdicts::{Painting, emit_names};
use crate::dataset::{Extent, Listing, Revision};
use crate::dnsxl::Name;
use crate::evidence::Family;
use crate::feed::{Entry, LineError, Said, Scope, Sink, Special, Text, Value};

/// What a dataset says of a region, now or, if not `is_now`, as the survey had it. None if DNS has no such name.
pub(in super::super) fn revision(
    increment: &Increment,
    emission: Emission,
    region: &Region,
    is_now: bool,
) -> Option<Revision> {
    let mut said = Statements::default();
    let mut painting = Painting::new(emission);
    let extent = match *region {
        Region::Ip4(block) => {
            increment.exact4_in(block, is_now).iter().for_each(|exact| painting.exact4(exact));
            for family in Family::ALL {
                let judgement = match is_now {
                    true => increment.judgement(family),
                    false => &increment.survey().judgements[family.index()],
                };
                judgement.each_run_of_block(block, false, |run| painting.run4(&run, family));
            }
            painting.clip4(block << 8, block << 8 | 255);
            Extent::Ip4 { first: block << 8, length: 24 }
        }
        Region::Ip6(first) => {
            let last = first.last_of(SHORTEST6);
            increment.exact6_in(first, is_now).iter().for_each(|exact| painting.exact6(exact));
            for family in Family::ALL {
                let runs = &increment.survey().runs6[family.index()];
                let begin = runs.partition_point(|run| run.last < first);
                let inside = runs[begin..].iter().take_while(|run| run.first <= last);
                inside.for_each(|run| painting.run6(run, family));
            }
            painting.clip6(first, last);
            Extent::Ip6 { first, length: SHORTEST6 }
        }
        Region::Domain(ref domain) => {
            of_domain(increment, emission, domain, is_now, &mut said);
            Extent::Name { name: Name::parse(domain.as_bytes()).ok()?, scope: Scope::Both }
        }
    };
    painting.emit(&mut said);
    Some(Revision { extent, listings: said.0 })
}

/// What is said of a domain and its hosts.
fn of_domain(increment: &Increment, emission: Emission, domain: &str, is_now: bool, sink: &mut dyn Sink) {
    let survey = increment.survey();
    let hosts = survey.hosts.get(domain).map(Vec::as_slice).unwrap_or_default();
    let moved = increment.names().of_domain(domain).filter(|_| is_now).map(<[NameVerdict]>::to_vec);
    let verdicts = moved.unwrap_or_else(|| survey.names.of_domain(domain, hosts));
    let is_wide = |verdict: &NameVerdict| verdict.is_listed() && verdict.level != Level::Host;
    let has_own = verdicts.iter().any(|verdict| *verdict.name == *domain && is_wide(verdict));
    // what holds for all below a wider name goes on to hold where nothing more is said
    let above = survey.names.above(domain).filter(|_| !has_own).map(|above| (domain, above));
    let listed = verdicts.iter().filter(|verdict| verdict.is_listed()).map(|verdict| (&*verdict.name, verdict));
    let is_below = |name: &str| name.strip_suffix(domain).is_some_and(|labels| labels.ends_with('.'));
    let safe = survey.name_facts.safe.names().filter(|_| has_own);
    let exempt = survey.names.exempt.iter().map(|name| &**name).chain(safe).filter(|name| is_below(name));
    let exempt = exempt.filter(|name| !verdicts.iter().any(|verdict| *verdict.name == **name && is_wide(verdict)));
    let exempt: BTreeSet<&str> = exempt.collect();
    emit_names(above.into_iter().chain(listed), emission, exempt, sink);
}

/// Keeps statements instead of building a table of them.
#[derive(Default)]
pub(in super::super) struct Statements(pub(in super::super) Vec<(Extent, Listing)>);

impl Sink for Statements {
    fn entry(&mut self, _line: u64, entry: Entry<'_>) {
        let (extents, said): (Vec<Extent>, Said<'_>) = match entry {
            Entry::Ip4 { first, last, said } => {
                (prefixes(first, last).map(|(first, length)| Extent::Ip4 { first, length }).collect(), said)
            }
            Entry::Ip6 { bits, length, said } => (vec![Extent::Ip6 { first: bits, length }], said),
            Entry::Name { wire, scope, said } => {
                (Name::from_wire(wire).map(|name| Extent::Name { name, scope }).into_iter().collect(), said)
            }
            // no verdict is about digests, records, clients or keys
            Entry::Hash { .. } | Entry::Record { .. } | Entry::Client { .. } | Entry::Key { .. } => return,
        };
        let listing = match said {
            Said::Listed(Value { a: Some(a), text: Text::Template(text) }) => {
                Listing::Listed { a, text: String::from_utf8_lossy(text).into_owned() }
            }
            // every verdict has both
            Said::Listed(_) => return,
            Said::Excluded => Listing::Excluded,
        };
        self.0.extend(extents.into_iter().map(|extent| (extent, listing.clone())));
    }

    fn special(&mut self, _line: u64, _special: Special<'_>) {}

    fn problem(&mut self, _line: u64, _problem: LineError) {}
}
