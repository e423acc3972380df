//! What was reported of names and URLs, kept at the most specific expression.
//!
//! An expression is a host with the path and query of a URL in canonical form, without scheme, user and port; a report
//! of a domain is one about the host itself. Invariant: of several reports by one group the latest arrival is kept, so
//! presence on a list weighs no more than one report, and the order in which reports come does not matter.
//!
//! Memory: an expression costs its text and about 120 bytes, whatever the number of reports.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::lines::parse_host;
use super::suffixes::Suffixes;
use crate::dnsxl::url::{CanonicalUrl, Host, UrlError};
use crate::evidence::{Evidence, Time};
use crate::feed::LineError;

/// What is known of a report besides its subject.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statement<'s> {
    /// Sources that copy each other are one group.
    pub group: &'s str,
    /// How likely the source is right, 0–1.
    pub trust: f64,
    /// Whether somebody else can make the source say it: such a report is about its subject and nothing around it.
    pub spoofable: bool,
    /// When it came up.
    pub time: Time,
}

/// Reports of names and URLs up to one time.
#[derive(Debug)]
pub struct NameEvidence {
    until: Time,
    groups: Vec<String>,
    pub(super) hosts: HashMap<Box<str>, HostEvidence>,
    addresses: Vec<(IpAddr, String, Time)>,
    url: CanonicalUrl,
}

/// Why a report's subject is neither a name nor a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// A URL that cannot be brought into canonical form.
    #[error("no URL: {0}")]
    Url(#[from] UrlError),
    /// No name.
    #[error(transparent)]
    Name(#[from] LineError),
    /// An address belongs to the other tree.
    #[error("an address, not a name")]
    Address,
}

/// What a report of a name or URL is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A host in lower case.
    Host(String),
    /// The literal address of a URL.
    Address(IpAddr),
}

/// What was reported at one host.
#[derive(Clone, Debug, Default)]
pub(super) struct HostEvidence {
    /// Reports of the host itself.
    pub(super) own: Arrivals,
    /// Reports of URLs at it, by path and query.
    pub(super) urls: BTreeMap<Box<str>, Arrivals>,
}

/// The latest arrival of each group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Arrivals(pub(super) Vec<Arrival>);

/// A group's latest report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arrival {
    /// An index into the evidence's groups.
    pub(super) group: u16,
    pub(super) spoofable: bool,
    pub(super) trust: f64,
    pub(super) last: Time,
}

impl Arrivals {
    /// Takes a report; of one group the latest and, of equal times, the best trusted stays.
    pub(super) fn add(&mut self, new: Arrival) {
        match self.0.iter_mut().find(|known| (known.group, known.spoofable) == (new.group, new.spoofable)) {
            Some(known) if (known.last, known.trust) < (new.last, new.trust) => *known = new,
            Some(_) => {}
            None => self.0.push(new),
        }
    }

    pub(super) fn add_all(&mut self, others: &Self, is_wanted: impl Fn(&Arrival) -> bool) {
        others.0.iter().filter(|arrival| is_wanted(arrival)).for_each(|arrival| self.add(*arrival));
    }

    pub(super) fn last(&self) -> Option<Time> {
        self.0.iter().map(|arrival| arrival.last).max()
    }
}

/// Whether a subject is a URL, and not a name alone.
fn is_url(subject: &str) -> bool {
    subject.contains(['/', '?', ':'])
}

impl NameEvidence {
    /// Nothing yet; reports after `until` will not be read.
    pub fn until(until: Time) -> Self {
        Self { until, groups: Vec::new(), hosts: HashMap::new(), addresses: Vec::new(), url: CanonicalUrl::default() }
    }

    /// What was said of names in all evidence until `until`, and how many subjects are none.
    pub fn of(evidence: &Evidence, until: Time) -> (Self, u64) {
        let mut names = Self::until(until);
        let mut wrong = 0;
        for spell in evidence.names.iter().filter(|spell| spell.begin <= until) {
            let source = evidence.sources.get(spell.source);
            let trust = source.trust * spell.weight();
            let (group, spoofable, time) = (&*source.group, source.spoofable, spell.last_said(until));
            wrong += u64::from(names.add(&spell.subject, Statement { group, trust, spoofable, time }).is_err());
        }
        (names, wrong)
    }

    /// What a subject is about. The path of a URL is then that of the last subject.
    pub(super) fn place(&mut self, subject: &str) -> Result<Place, SubjectError> {
        let subject = subject.trim();
        if is_url(subject) {
            self.url.parse(subject.as_bytes())?;
            return match self.url.host() {
                Host::Address(address) => Ok(Place::Address(address)),
                Host::Name(name) => Ok(Place::Host(parse_host(&String::from_utf8_lossy(name))?)),
            };
        }
        let host = parse_host(subject.strip_prefix("*.").unwrap_or(subject))?;
        if host.parse::<IpAddr>().is_ok() { Err(SubjectError::Address) } else { Ok(Place::Host(host)) }
    }

    /// Takes a report of a domain or URL.
    ///
    /// A URL at a literal address is one about the address: see [`Self::addresses`].
    ///
    /// # Errors
    ///
    /// The subject is none.
    pub fn add(&mut self, subject: &str, statement: Statement<'_>) -> Result<(), SubjectError> {
        let place = self.place(subject)?;
        if statement.time > self.until {
            return Ok(());
        }
        let host = match place {
            Place::Host(host) => host,
            Place::Address(address) => {
                self.addresses.push((address, statement.group.to_owned(), statement.time));
                return Ok(());
            }
        };
        let Statement { trust, spoofable, time, .. } = statement;
        let arrival = Arrival { group: self.group(statement.group), spoofable, trust, last: time };
        let evidence = self.hosts.entry(host.into()).or_default();
        if is_url(subject.trim()) {
            let path = String::from_utf8_lossy(self.url.path_and_query());
            match evidence.urls.get_mut(&*path) {
                Some(arrivals) => arrivals.add(arrival),
                None => {
                    evidence.urls.insert(path.into(), Arrivals(vec![arrival]));
                }
            }
        } else {
            evidence.own.add(arrival);
        }
        Ok(())
    }

    /// What was reported at some hosts alone.
    pub(super) fn of_hosts(&self, hosts: &[Box<str>]) -> Self {
        let of_host = |host: &str| Some((host.into(), self.hosts.get(host)?.clone()));
        let hosts = hosts.iter().filter_map(|host| of_host(host)).collect();
        Self { groups: self.groups.clone(), hosts, ..Self::until(self.until) }
    }

    /// The hosts that something was reported at, by their registrable domain.
    pub fn by_domain(&self, suffixes: &Suffixes) -> HashMap<Box<str>, Vec<Box<str>>> {
        let mut domains: HashMap<Box<str>, Vec<Box<str>>> = HashMap::new();
        for host in self.hosts.keys() {
            if let Some(domain) = suffixes.split(host).registrable {
                domains.entry(domain.into()).or_default().push(host.clone());
            }
        }
        domains
    }

    /// Reports of URLs at literal addresses, which belong to the HOST family of addresses: address, group, time.
    pub fn addresses(&self) -> impl Iterator<Item = (IpAddr, &str, Time)> {
        self.addresses.iter().map(|(address, group, time)| (*address, &**group, *time))
    }

    /// How many hosts something was reported at.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Up to when reports were read.
    pub fn end(&self) -> Time {
        self.until
    }

    /// What a group is called.
    pub(super) fn group_name(&self, group: u16) -> &str {
        &self.groups[usize::from(group)]
    }

    fn group(&mut self, name: &str) -> u16 {
        let known = self.groups.iter().position(|group| group == name);
        // sources are numbered by 16 bits before they come here
        known.unwrap_or_else(|| {
            self.groups.push(name.to_owned());
            self.groups.len() - 1
        }) as u16
    }
}
