//! How much a load may differ from the one before: a feed that broke looks like a list of which most is gone.
//!
//! Invariant: what is compared are entries, as `min-entries` counts them; a list that was small, or of which nothing is
//! known, has no bounds.

/// By how much of a hundred a dataset may shrink and grow from one load to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most that may be lost, of a hundred; any loss, if none.
    pub max_shrink: Option<u32>,
    /// The most that may be added, of a hundred; any growth, if none.
    pub max_growth: Option<u32>,
}

/// A load that is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{after} entries where {before} were, {} {percent} % with {most} % allowed ({key})", verb(*.after < *.before))]
pub struct OutOfBounds {
    /// Entries of the load before.
    pub before: u64,
    /// Entries of this load.
    pub after: u64,
    /// What was lost or added of a hundred, rounded down.
    pub percent: u64,
    /// What may be.
    pub most: u32,
    /// The key that says so.
    pub key: &'static str,
}

fn verb(has_shrunk: bool) -> &'static str {
    if has_shrunk { "a loss of" } else { "a growth of" }
}

impl Bounds {
    /// Without bounds.
    pub const NONE: Self = Self { max_shrink: None, max_growth: None };

    /// Whether a dataset may go from so many entries to so many.
    ///
    /// # Errors
    ///
    /// It loses or gains more than it may.
    pub fn check(&self, before: u64, after: u64) -> Result<(), OutOfBounds> {
        if before < FEWEST {
            return Ok(());
        }
        let (limit, key) =
            if after < before { (self.max_shrink, "max-shrink") } else { (self.max_growth, "max-growth") };
        let Some(most) = limit else { return Ok(()) };
        // in 128 bits nothing overflows
        let moved = u128::from(before.abs_diff(after)) * 100;
        if moved <= u128::from(before) * u128::from(most) {
            return Ok(());
        }
        let percent = u64::try_from(moved / u128::from(before)).unwrap_or(u64::MAX);
        Err(OutOfBounds { before, after, percent, most, key })
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { max_shrink: Some(MAX_SHRINK), max_growth: None }
    }
}

/// What a list may lose of a hundred: half of a list rarely repents in one day. Growth has no bound unless one is set, since
/// nobody knows how large a list is meant to become, and a refused list goes stale.
pub const MAX_SHRINK: u32 = 50;
/// Smaller lists come and go by half on a quiet day.
pub const FEWEST: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_may_go_and_no_more() {
        let bounds = Bounds::default();
        assert_eq!(bounds.check(1000, 500), Ok(()));
        let refused = bounds.check(1000, 499).unwrap_err();
        assert_eq!(refused.to_string(), "499 entries where 1000 were, a loss of 50 % with 50 % allowed (max-shrink)");
        assert_eq!(bounds.check(999, 0), Ok(()), "small lists come and go");
        assert_eq!(bounds.check(1000, u64::MAX), Ok(()));
        assert!(bounds.check(u64::MAX, 0).is_err());
        assert_eq!(Bounds::NONE.check(u64::MAX, 0), Ok(()));
    }

    #[test]
    fn growth_is_bounded_where_it_is_asked() {
        let bounds = Bounds { max_growth: Some(100), ..Bounds::default() };
        assert_eq!(bounds.check(1000, 2000), Ok(()));
        assert!(bounds.check(1000, 2001).unwrap_err().to_string().contains("a growth of 100 % with 100 % allowed"));
        assert_eq!(bounds.check(1000, 1000), Ok(()));
    }
}
