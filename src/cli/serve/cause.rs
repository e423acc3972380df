//! Why a generation came to be.

use std::fmt;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The program began.
    Start,
    /// SIGHUP.
    Signal,
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
        matches!(self, Self::Start | Self::Signal)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Watch => "watch",
            Self::Verdicts => "verdicts",
            Self::Withdrawal => "withdrawal",
        })
    }
}

/// All reasons of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Causes(Vec<Cause>);

impl Causes {
    /// These, and those of another request that was joined with it; each once.
    pub(super) fn join(&mut self, other: Self) {
        let new = other.0.into_iter().filter(|cause| !self.0.contains(cause)).collect::<Vec<_>>();
        self.0.extend(new);
    }

    /// Whether somebody asked.
    pub(super) fn is_asked(&self) -> bool {
        self.0.iter().any(Cause::is_asked)
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
