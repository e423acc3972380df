//! Which address answered for which name, and which name server: what passive DNS saw.
//!
//! `host,ip,time`, by commas or tabs; in the place of the address there may be the name of a name server. Invariant: what
//! was seen after the time of judgement, or too long before it, is not read.
//!
//! Memory: about 150 bytes for each distinct pair.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use super::lines::{ListError, each, parse_host};
use super::suffixes::Suffixes;
use crate::evidence::{Time, Written};
use crate::feed::{Excerpt, LineError, Skipped};

/// What was seen until one time.
#[derive(Debug)]
pub struct Observations {
    until: Time,
    /// Registrable domains by their number.
    domains: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u32>,
    by_place: BTreeMap<Place, BTreeSet<u32>>,
    /// Where each host, and each domain by its name servers, is.
    places: HashMap<Box<str>, BTreeSet<Place>>,
    /// How many registrable domains each suffix has.
    tenants: HashMap<Box<str>, u32>,
}

/// What names have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// An address that they resolve to.
    Address(IpAddr),
    /// The registrable domain of a name server.
    Server(Box<str>),
}

impl Observations {
    /// Nothing yet; what was seen after `until` will not be read, nor what was seen more than [`WINDOW_DAYS`] before.
    pub fn until(until: Time) -> Self {
        Self {
            until,
            domains: Vec::new(),
            numbers: HashMap::new(),
            by_place: BTreeMap::new(),
            places: HashMap::new(),
            tenants: HashMap::new(),
        }
    }

    /// Takes the lines of a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn add_file(&mut self, path: &Path, suffixes: &Suffixes) -> Result<Skipped, ListError> {
        Ok(each(path, |line| {
            let mut columns = line.split([',', '\t']).map(str::trim);
            let (Some(host), Some(at), Some(time)) = (columns.next(), columns.next(), columns.next()) else {
                return Err(LineError::Form { form: FORM });
            };
            // a header
            if (host, time) == ("host", "time") {
                return Ok(());
            }
            let time = Written::parse(time.as_bytes()).ok_or(LineError::Form { form: FORM })?;
            let host = parse_host(host)?;
            match time.until(self.until) {
                Some(time) => self.add(&host, at, time, suffixes),
                None => Ok(()),
            }
        })?)
    }

    /// Takes one observation: a host in lower case, and an address or name server.
    ///
    /// # Errors
    ///
    /// `at` is neither.
    pub fn add(&mut self, host: &str, at: &str, time: Time, suffixes: &Suffixes) -> Result<(), LineError> {
        let place = match at.parse::<IpAddr>() {
            Ok(address) => Place::Address(address.to_canonical()),
            Err(_) => {
                let server =
                    parse_host(at).map_err(|_| LineError::NoSubject { found: Excerpt::word(at.as_bytes()) })?;
                let split = suffixes.split(&server);
                Place::Server(split.registrable.unwrap_or(split.suffix).into())
            }
        };
        let split = suffixes.split(host);
        // what is seen at a suffix itself says nothing about tenants
        let Some(domain) = split.registrable else { return Ok(()) };
        if time > self.until || time < self.until.days_before(WINDOW_DAYS) {
            return Ok(());
        }
        let next = self.domains.len() as u32;
        let number = *self.numbers.entry(domain.into()).or_insert(next);
        if number == next {
            self.domains.push(domain.into());
            *self.tenants.entry(split.suffix.into()).or_default() += 1;
        }
        self.by_place.entry(place.clone()).or_default().insert(number);
        // a name server serves the whole domain
        let at = if matches!(place, Place::Server(_)) { domain } else { host };
        self.places.entry(at.into()).or_default().insert(place);
        Ok(())
    }

    /// How many registrable domains were seen below a suffix.
    pub(super) fn tenants(&self, suffix: &str) -> u32 {
        self.tenants.get(suffix).copied().unwrap_or(0)
    }

    /// How many registrable domains were seen.
    pub(super) fn domains(&self) -> usize {
        self.domains.len()
    }

    pub(super) fn has_seen(&self, domain: &str) -> bool {
        self.numbers.contains_key(domain)
    }

    /// Where a host is.
    pub(super) fn places(&self, host: &str) -> impl Iterator<Item = &Place> {
        self.places.get(host).into_iter().flatten()
    }

    /// The registrable domains of one place.
    pub(super) fn domains_at(&self, place: &Place) -> Option<impl ExactSizeIterator<Item = &str>> {
        let numbers = self.by_place.get(place)?;
        Some(numbers.iter().map(|&number| &*self.domains[number as usize]))
    }

    /// The registrable domains of each place, in the order of places.
    pub(super) fn by_place(&self) -> impl Iterator<Item = (&Place, impl ExactSizeIterator<Item = &str>)> {
        self.by_place
            .iter()
            .map(|(place, numbers)| (place, numbers.iter().map(|&number| &*self.domains[number as usize])))
    }
}

/// Addresses change hands: an observation says something for so many days.
pub const WINDOW_DAYS: u32 = 90;
const FORM: &str = "host,ip,time";
