//! Registrable domains that something was reported at since a judgement, judged anew each for itself.
//!
//! Invariant: a domain and its hosts get the verdicts that a full judgement with these reports gives them, as long as
//! what others bring about is what it was: addresses and name servers that lift it, whether two trusted groups report
//! names at all, suffixes' hazards. Those wait for the next full judgement, and so does what is reported at a suffix.

use std::collections::HashMap;
use std::net::IpAddr;

use super::evidence::{NameEvidence, Place, Statement};
use super::judge::{Facts, NameJudgement, judge_domain};
use super::popularity::ancestors;
use super::verdict::{Level, NameVerdict};
use crate::evidence::Time;

/// The domains that something was reported at.
#[derive(Debug)]
pub struct MovedNames {
    domains: HashMap<Box<str>, Domain>,
    /// Reads subjects, and keeps nothing.
    reader: NameEvidence,
}

#[derive(Debug)]
struct Domain {
    /// All reports at its hosts, earlier ones included.
    evidence: NameEvidence,
    /// Sorted by name and level.
    verdicts: Vec<NameVerdict>,
}

/// What a report of a name or URL is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// This registrable domain, whose verdicts are to be made anew.
    Domain(Box<str>),
    /// An address.
    Address(IpAddr),
    /// Something that waits for the next full judgement, or that is no name.
    Nothing,
}

impl Default for MovedNames {
    fn default() -> Self {
        Self { domains: HashMap::new(), reader: NameEvidence::until(Time(0)) }
    }
}

impl MovedNames {
    /// Takes a report. `known` is the evidence of before, and `hosts` its hosts by their registrable domain.
    pub fn hear(
        &mut self,
        known: &NameEvidence,
        hosts: &HashMap<Box<str>, Vec<Box<str>>>,
        facts: Facts<'_>,
        (subject, statement): (&str, Statement<'_>),
    ) -> Told {
        let host = match self.reader.place(subject) {
            Ok(Place::Host(host)) => host,
            Ok(Place::Address(address)) => return Told::Address(address),
            Err(_) => return Told::Nothing,
        };
        let Some(name) = facts.suffixes.split(&host).registrable else { return Told::Nothing };
        if !self.domains.contains_key(name) {
            let of_domain = hosts.get(name).map(Vec::as_slice).unwrap_or_default();
            let domain = Domain { evidence: known.of_hosts(of_domain), verdicts: Vec::new() };
            self.domains.insert(name.into(), domain);
        }
        if let Some(domain) = self.domains.get_mut(name) {
            // it was read before
            let _ = domain.evidence.add(subject, statement);
        }
        Told::Domain(name.into())
    }

    /// Makes the verdicts of a domain.
    pub fn judge(&mut self, name: &str, facts: Facts<'_>, before: &NameJudgement) {
        if let Some(domain) = self.domains.get_mut(name) {
            domain.verdicts = judge_domain(&domain.evidence, facts, before);
        }
    }

    /// The verdicts on a domain and its hosts, if something was reported there.
    pub fn of_domain(&self, name: &str) -> Option<&[NameVerdict]> {
        self.domains.get(name).map(|domain| &domain.verdicts[..])
    }
}

impl NameJudgement {
    /// The verdicts on a domain and these of its hosts, sorted by name and level.
    pub fn of_domain(&self, name: &str, hosts: &[Box<str>]) -> Vec<NameVerdict> {
        let mut names: Vec<&str> = hosts.iter().map(|host| &**host).chain([name]).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().flat_map(|name| self.of(name)).cloned().collect()
    }

    /// The verdict of a wider name that holds for this one and all below it; none if there is none, or if this one is
    /// exempt from it.
    pub fn above(&self, name: &str) -> Option<&NameVerdict> {
        let is_exempt = |name: &str| self.exempt.binary_search_by(|exempt| (**exempt).cmp(name)).is_ok();
        for name in ancestors(name) {
            if is_exempt(name) {
                return None;
            }
            let wide = self.of(name).iter().find(|verdict| verdict.is_listed() && verdict.level != Level::Host);
            if wide.is_some() {
                return wide;
            }
        }
        None
    }
}
