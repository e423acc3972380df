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
    /// Parses words: `N/s`, `N/d`, or `unlimited` alone; none if there is another word, a part twice, or a number of 0.
    pub fn parse(text: &str) -> Option<Self> {
        let mut quota = Self::default();
        for word in text.split_ascii_whitespace() {
            if word == "unlimited" && quota == Self::default() {
                quota = Self { per_second: Some(UNLIMITED), per_day: Some(UNLIMITED) };
                continue;
            }
            let (number, unit) = word.split_once('/')?;
            let part = match unit {
                "s" | "second" => &mut quota.per_second,
                "d" | "day" => &mut quota.per_day,
                _ => return None,
            };
            let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|&number| is_number && number > 0)?;
            if part.replace(number).is_some() {
                return None;
            }
        }
        Some(quota)
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

/// How a quota is written.
pub const QUOTA_FORMS: &str = "`N/s`, `N/d`, both, or `unlimited`";
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
        for text in
            ["100", "100/h", "0/s", "-1/s", "+1/s", "5/s 6/s", "5/s unlimited", "unlimited 5/s", "99999999999/s"]
        {
            assert_eq!(Quota::parse(text), None, "{text}");
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
