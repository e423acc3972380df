//! Verdicts about names, and what they were come to by.

use std::fmt;
use std::net::IpAddr;

use super::popularity::RankClass;
use crate::evidence::Time;

/// What a verdict is about. The numbers are those of score zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The name itself was reported.
    Exact = 1,
    /// A host, by the URLs at it.
    Host = 6,
    /// A registrable domain and all below it, by the hosts and URLs in it.
    Domain = 7,
    /// A suffix, by its tenants: how dangerous the company is, and not what the name has done.
    Hazard = 8,
}

impl Level {
    /// The word for texts.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Host => "host",
            Self::Domain => "domain",
            Self::Hazard => "hazard",
        }
    }
}

/// One name with everything that its verdict, or the lack of one, was come to by.
#[derive(Clone, Debug, PartialEq)]
pub struct NameVerdict {
    /// The name in lower case.
    pub name: Box<str>,
    /// What it is judged as.
    pub level: Level,
    /// How many URLs were reported at or below it; of a suffix, how many bad tenants it has.
    pub urls: u32,
    /// How many hosts something was reported at; of a suffix, how many tenants were seen.
    pub hosts: u32,
    /// What each group says, by the groups' names. A hazard has none.
    pub terms: Vec<Term>,
    /// What the company it keeps makes of it: the factor on the odds, and whose it is.
    pub lift: Option<Lift>,
    /// Its rank among popular names.
    pub rank: Option<u32>,
    /// The probability that it is bad, 0–1.
    pub probability: f64,
    /// What follows.
    pub outcome: Outcome,
}

/// What one group says of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// The group.
    pub group: Box<str>,
    /// How far it is trusted, 0–1.
    pub trust: f64,
    /// Its latest report.
    pub last: Time,
    /// The trust, decayed since.
    pub value: f64,
}

/// A bad address or name server that a reported name is at.
#[derive(Clone, Debug, PartialEq)]
pub struct Lift {
    /// The factor on the odds, 1–[`MAX_LIFT`].
    pub factor: f64,
    /// The address, or the registrable domain of the name server.
    pub by: Box<str>,
}

/// What follows from the evidence about a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// A verdict, until this time if nothing is added.
    Listed {
        /// When its score falls below [`LEAST_SCORE`].
        until: Time,
    },
    /// Too little was reported for its class.
    NotEnough {
        /// The class of the domain.
        class: RankClass,
    },
    /// Reports that anybody can forge, or of a source that is not trusted, need a second group.
    NotConfirmed,
    /// The evidence has faded.
    Faded,
    /// The operator vouches for this name.
    KnownSafe {
        /// The name that is on the list.
        by: Box<str>,
    },
    /// Too many people use it for anything but a person's decision.
    Popular,
    /// A verdict about a name above it says as much.
    Covered,
}

/// What bad names make of the address that they are at: evidence of the HOST family.
#[derive(Clone, Debug, PartialEq)]
pub struct HostArrival {
    /// The address.
    pub address: IpAddr,
    /// The latest report of one of its names.
    pub time: Time,
    /// The evidence of its bad names, shared by all its names: 0–1.
    pub weight: f64,
    /// Who reported them.
    pub groups: Vec<Box<str>>,
    /// How many bad registrable domains it has.
    pub bad: u32,
    /// How many registrable domains it has.
    pub domains: u32,
}

impl NameVerdict {
    /// The score: 0–100.
    pub fn score(&self) -> u8 {
        score(self.probability)
    }

    /// Whether it is a verdict that is served.
    pub fn is_listed(&self) -> bool {
        matches!(self.outcome, Outcome::Listed { .. })
    }

    /// The latest report.
    pub fn last(&self) -> Option<Time> {
        self.terms.iter().map(|term| term.last).max()
    }
}

/// The text of a TXT record: one string of at most 255 printable bytes. Times are absolute, so that it changes with news
/// alone.
impl fmt::Display for NameVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S={} level={}", self.score(), self.level.word())?;
        match self.level {
            Level::Hazard => write!(f, " bad-tenants={} tenants={}", self.urls, self.hosts)?,
            _ => write!(f, " urls={} hosts={} groups={}", self.urls, self.hosts, self.terms.len())?,
        }
        if let Some(lift) = &self.lift {
            write!(f, " lift={:.1} by={}", lift.factor, lift.by)?;
        }
        if let Some(last) = self.last() {
            write!(f, " last={}", last.to_hour())?;
        }
        if let Outcome::Listed { until } = self.outcome {
            write!(f, " until={}", until.to_date())?;
        }
        // last, as the longest names are what a character-string cuts
        write!(f, " node={}", self.name)
    }
}

/// A probability as a score.
pub(super) fn score(probability: f64) -> u8 {
    (100.0 * probability).round().clamp(0.0, 100.0) as u8
}

/// A name scores from here on; below it is not listed.
pub const LEAST_SCORE: u8 = 25;
/// The most that an address or name server does to the odds of a name.
pub const MAX_LIFT: f64 = 10.0;
