//! How much somebody may ask: `100/s 200000/d`.
//!
//! Invariant: a part that nobody wrote bounds nothing, and can be told from one that was written as without bounds.

use std::fmt;

/// How many queries are answered as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// In one second of the clock; none where nothing is written.
    pub per_second: Option<u32>,
    /// In one day of UTC; none where nothing is written.
    pub per_day: Option<u32>,
}

impl Quota {
    /// Parses words: `N/s`, `N/d`, or `unlimited` alone.
    ///
    /// # Errors
    ///
    /// Another word, a part twice, or a number of 0. What stands there is not told: it may be a secret in a wrong place.
    pub fn parse(text: &str) -> Result<Self, QuotaError> {
        let mut quota = Self::default();
        let words = text.split_ascii_whitespace();
        if words.clone().any(|word| word == "unlimited") {
            let is_alone = words.count() == 1;
            let unlimited = Self { per_second: Some(UNLIMITED), per_day: Some(UNLIMITED) };
            return if is_alone { Ok(unlimited) } else { Err(QuotaError::UnlimitedBeside) };
        }
        for word in words {
            let (number, unit) = word.split_once('/').ok_or(QuotaError::Word)?;
            let (part, unit) = match unit {
                "s" | "second" => (&mut quota.per_second, "second"),
                "d" | "day" => (&mut quota.per_day, "day"),
                _ => return Err(QuotaError::Unit),
            };
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|_| is_number).ok_or(QuotaError::Number)?;
            if number == 0 {
                return Err(QuotaError::Zero);
            }
            if part.replace(number).is_some() {
                return Err(QuotaError::Twice { unit });
            }
        }
        Ok(quota)
    }

    /// This quota, and another one's parts where this one has none.
    pub fn or(self, other: Self) -> Self {
        Self { per_second: self.per_second.or(other.per_second), per_day: self.per_day.or(other.per_day) }
    }

    /// Whether it bounds anything.
    pub fn is_bound(self) -> bool {
        [self.per_second, self.per_day].into_iter().flatten().any(|most| most != UNLIMITED)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.per_second, "s"), (self.per_day, "d")];
        let mut written = parts.into_iter().filter_map(|(most, unit)| Some((most.filter(|&m| m != UNLIMITED)?, unit)));
        match written.next() {
            None => f.write_str("unlimited"),
            Some((most, unit)) => {
                write!(f, "{most}/{unit}")?;
                written.try_for_each(|(most, unit)| write!(f, " {most}/{unit}"))
            }
        }
    }
}

/// What is wrong with a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// A word without a `/`.
    #[error("no quota: write {QUOTA_FORMS}")]
    Word,
    /// Another unit than the two.
    #[error("a quota by something else than the second or the day: write {QUOTA_FORMS}")]
    Unit,
    /// No number, or one that is too large.
    #[error("a quota without a number from 1 to {}: write {QUOTA_FORMS}", u32::MAX)]
    Number,
    /// Nobody could ask.
    #[error("a quota of 0: write 1 or more, or take the line out if nobody is to ask")]
    Zero,
    /// One unit twice.
    #[error("two quotas by the {unit}: write one")]
    Twice {
        /// Which.
        unit: &'static str,
    },
    /// Bounds, and that there are none.
    #[error("`unlimited` beside something else: write {QUOTA_FORMS}")]
    UnlimitedBeside,
}

/// How a quota is written.
const QUOTA_FORMS: &str = "`N/s`, `N/d`, both, or `unlimited`";
/// A number that nobody reaches.
const UNLIMITED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_written_by_the_second_and_by_the_day() {
        for (text, shown) in [
            ("100/s 200000/d", "100/s 200000/d"),
            ("7/day", "7/d"),
            (" 3/second ", "3/s"),
            ("", "unlimited"),
            ("unlimited", "unlimited"),
        ] {
            assert_eq!(Quota::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, wrong) in [
            ("100", QuotaError::Word),
            ("100/h", QuotaError::Unit),
            ("0/s", QuotaError::Zero),
            ("-1/s", QuotaError::Number),
            ("+1/s", QuotaError::Number),
            ("/d", QuotaError::Number),
            ("99999999999/s", QuotaError::Number),
            ("5/s 6/second", QuotaError::Twice { unit: "second" }),
            ("5/s unlimited", QuotaError::UnlimitedBeside),
            ("unlimited 5/s", QuotaError::UnlimitedBeside),
        ] {
            assert_eq!(Quota::parse(text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn what_is_written_goes_before_what_others_have() {
        let default = Quota::parse("10/s 100/d").unwrap();
        assert_eq!(Quota::parse("20/s").unwrap().or(default), Quota::parse("20/s 100/d").unwrap());
        assert!(!Quota::parse("unlimited").unwrap().or(default).is_bound());
        assert!(!Quota::default().is_bound() && Quota::default().or(default).is_bound());
    }
}
