//! Why a generation came to be.

use std::fmt;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The program began.
    Start,
    /// SIGHUP.
    Signal,
    /// Somebody asked for a reload.
    Asked {
        /// Who.
        who: String,
    },
    /// Somebody let a dataset's next load through whatever its size.
    Accepted {
        /// Who.
        who: String,
        /// Which dataset.
        dataset: String,
    },
    /// Somebody changed what a dataset lists.
    Changed {
        /// Who.
        who: String,
    },
    /// A change of somebody's ended.
    Expired,
    /// Reports made other verdicts.
    Reported,
    /// Files were seen to have changed.
    Watch,
    /// Time has made other verdicts of the same evidence.
    Verdicts,
    /// A compiled file that was served proved to be corrupt.
    Withdrawal,
}

impl Cause {
    /// Whether somebody asked for it, who wants to hear that nothing came of it.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Start | Self::Signal | Self::Asked { .. } | Self::Accepted { .. })
    }

    /// Whether it is one of many in a short time, which are no line of the log each.
    fn is_live(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Expired | Self::Reported)
    }

    /// What it is.
    fn what(&self) -> String {
        let what = match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Asked { .. } => "reload",
            Self::Accepted { dataset, .. } => return format!("{dataset} accepted"),
            Self::Changed { .. } => "change",
            Self::Expired => "expiry",
            Self::Reported => "reports",
            Self::Watch => "watch",
            Self::Verdicts => "verdicts",
            Self::Withdrawal => "withdrawal",
        };
        what.to_owned()
    }

    /// Who caused it, if it was somebody.
    fn who(&self) -> Option<&str> {
        match self {
            Self::Asked { who } | Self::Accepted { who, .. } | Self::Changed { who } => Some(who),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())?;
        self.who().map_or(Ok(()), |who| write!(f, " by {who}"))
    }
}

/// All reasons of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Causes(Vec<Cause>);

impl Causes {
    /// These, and those of another request that was joined with it; each once.
    pub(super) fn join(&mut self, other: Self) {
        for cause in other.0 {
            if !self.0.contains(&cause) && self.0.len() < MOST_CAUSES {
                self.0.push(cause);
            }
        }
    }

    /// Whether somebody asked.
    pub(super) fn is_asked(&self) -> bool {
        self.0.iter().any(Cause::is_asked)
    }

    /// Whether all of it is live.
    pub(super) fn is_live(&self) -> bool {
        self.0.iter().all(Cause::is_live)
    }

    /// What they are, without who.
    pub(super) fn what(&self) -> String {
        let mut all: Vec<String> = Vec::new();
        for what in self.0.iter().map(Cause::what) {
            if !all.contains(&what) {
                all.push(what);
            }
        }
        all.join(", ")
    }

    /// Who caused it first, if it was somebody.
    pub(super) fn who(&self) -> Option<&str> {
        self.0.iter().find_map(Cause::who)
    }
}

impl From<Cause> for Causes {
    fn from(cause: Cause) -> Self {
        Self(vec![cause])
    }
}

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cause) in self.0.iter().enumerate() {
            write!(f, "{}{cause}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Causes of one generation that are told: of a hundred people who changed something in one moment, the first are enough.
const MOST_CAUSES: usize = 8;
