//! Sources: who says something, how far that is trusted, and which sources are one voice.
//!
//! Invariant: sources are numbered in the order in which they came up, groups in the order of their names' first use, so
//! equal input gives equal numbers. Sources that copy each other are one *group*, and a group counts once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a source's reports are about. Neighborhoods differ by it (Collins et al. 2007, Moura et al. 2014): who sends is
/// not who hosts, and the two are judged apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Spam, scanning, brute force.
    #[default]
    Send,
    /// Phishing, malware and its command: what is hosted.
    Host,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Send, Self::Host];

    /// The family's number, as an index.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Send => "send",
            Self::Host => "host",
        })
    }
}

/// Who says something.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What reports call it.
    pub name: String,
    /// The voice that it is part of.
    pub group: String,
    /// How likely it is right, 0–1.
    pub trust: f64,
    /// What it reports on, whatever its reports' categories say; none lets the categories tell.
    pub family: Option<Family>,
    /// Whether a third party can make it name an address of its choice, as with unanswered UDP.
    pub spoofable: bool,
    /// How many days it takes until one of its reports of a single address counts half.
    pub half_life: f64,
}

impl Source {
    /// A source of which only the name is known.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            group: name.to_owned(),
            trust: DEFAULT_TRUST,
            family: None,
            spoofable: false,
            half_life: DEFAULT_HALF_LIFE,
        }
    }
}

/// The number of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

/// The sources there are, and which categories of reports belong to which family.
#[derive(Clone, Debug)]
pub struct Sources {
    all: Vec<Source>,
    /// The number of each source's group.
    group_of: Vec<u16>,
    groups: usize,
    // trees, as they are asked for every report: a few comparisons of short names cost less than a keyed hash
    by_name: BTreeMap<String, SourceId>,
    categories: BTreeMap<String, Family>,
}

impl Default for Sources {
    fn default() -> Self {
        let categories = CATEGORIES.iter().map(|&(name, family)| (name.to_owned(), family)).collect();
        Self { all: Vec::new(), group_of: Vec::new(), groups: 0, by_name: BTreeMap::new(), categories }
    }
}

impl Sources {
    /// Makes a source known, or replaces what was known of it. None if there are [`MAX_SOURCES`] already.
    pub fn add(&mut self, source: Source) -> Option<SourceId> {
        let id = match self.by_name.get(&source.name) {
            Some(&id) => id,
            None if self.all.len() >= MAX_SOURCES => return None,
            None => {
                let id = SourceId(self.all.len() as u16);
                self.by_name.insert(source.name.clone(), id);
                self.all.push(source.clone());
                self.group_of.push(0);
                id
            }
        };
        self.all[usize::from(id.0)] = source;
        self.number_groups();
        Some(id)
    }

    /// The source of this name; one that is not known yet becomes its own group with the default trust. None if there
    /// are [`MAX_SOURCES`] already.
    pub fn find_or_add(&mut self, name: &str) -> Option<SourceId> {
        self.by_name.get(name).copied().or_else(|| self.add(Source::named(name)))
    }

    /// Puts a category into a family.
    pub fn set_category(&mut self, category: &str, family: Family) {
        self.categories.insert(category.to_ascii_lowercase(), family);
    }

    /// A source by its number.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.all[usize::from(id.0)]
    }

    /// The number of a source's group, from 0.
    pub fn group(&self, id: SourceId) -> usize {
        usize::from(self.group_of[usize::from(id.0)])
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// All of them in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.all.iter()
    }

    /// The family of a report: its source's, else its category's, else SEND.
    pub fn family(&self, id: SourceId, category: &str) -> Family {
        let by_category =
            || self.categories.get(category).or_else(|| self.categories.get(&category.to_ascii_lowercase()));
        self.get(id).family.or_else(|| by_category().copied()).unwrap_or_default()
    }

    fn number_groups(&mut self) {
        let mut numbers: HashMap<&str, u16> = HashMap::new();
        for (source, group) in self.all.iter().zip(&mut self.group_of) {
            let next = numbers.len() as u16;
            *group = *numbers.entry(&source.group).or_insert(next);
        }
        self.groups = numbers.len();
    }
}

/// Trust in a source of which nothing is said: a honeypot's list. One address that a single such source named is the
/// unit of weight in a neighborhood.
pub const DEFAULT_TRUST: f64 = 0.6;
/// Days until a report of a single address counts half, if nothing is said of its source.
pub const DEFAULT_HALF_LIFE: f64 = 14.0;
/// Sources are people and lists, not their subjects: a file that names more has its columns mixed up.
pub const MAX_SOURCES: usize = 4096;
/// What the categories of reports are about, unless the configuration says otherwise. What is not here is SEND.
pub const CATEGORIES: [(&str, Family); 24] = [
    ("spam", Family::Send),
    ("scan", Family::Send),
    ("scanner", Family::Send),
    ("recon", Family::Send),
    ("brute-force", Family::Send),
    ("bruteforce", Family::Send),
    ("ssh", Family::Send),
    ("intrusion", Family::Send),
    ("exploit", Family::Send),
    ("ddos", Family::Send),
    ("bot", Family::Send),
    ("botnet node", Family::Send),
    ("abuse", Family::Send),
    ("proxy", Family::Send),
    ("phish", Family::Host),
    ("phishing", Family::Host),
    ("malware", Family::Host),
    ("malware-hosting", Family::Host),
    ("dropper host", Family::Host),
    ("c2", Family::Host),
    ("cnc", Family::Host),
    ("botnet-cc", Family::Host),
    ("scam", Family::Host),
    ("fraud", Family::Host),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_of_one_group_have_one_number() {
        let mut sources = Sources::default();
        let a = sources.find_or_add("a").unwrap();
        let b = sources.add(Source { group: "a".to_owned(), ..Source::named("b") }).unwrap();
        let c = sources.find_or_add("c").unwrap();
        assert_eq!([a, b, c].map(|id| sources.group(id)), [0, 0, 1]);
        assert_eq!(sources.groups(), 2);
        assert_eq!(sources.find_or_add("b"), Some(b));
    }

    #[test]
    fn a_sources_own_family_goes_before_its_categories() {
        let mut sources = Sources::default();
        let any = sources.find_or_add("any").unwrap();
        let host = sources.add(Source { family: Some(Family::Host), ..Source::named("host") }).unwrap();
        assert_eq!(sources.family(any, "Phishing"), Family::Host);
        assert_eq!(sources.family(any, "never heard of"), Family::Send);
        assert_eq!(sources.family(host, "spam"), Family::Host);
        sources.set_category("spam", Family::Host);
        assert_eq!(sources.family(any, "spam"), Family::Host);
    }
}
