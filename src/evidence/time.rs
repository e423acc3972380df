//! Times as reports and list histories write them: UTC seconds, or a whole day.
//!
//! Invariant: a time that no calendar has is none, and so is one before 1970 or after 2106, which 32 bits do not hold.
//! There is no clock here.

use std::fmt;

/// A time in seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u32);

impl Time {
    /// The last second of a day; the day is counted from 1970-01-01.
    pub fn end_of_day(day: u32) -> Self {
        Self(day.saturating_mul(SECONDS_A_DAY).saturating_add(SECONDS_A_DAY - 1))
    }

    /// The day, counted from 1970-01-01.
    pub fn day(self) -> u32 {
        self.0 / SECONDS_A_DAY
    }

    /// Days from `earlier` until this, fractions included; 0 if `earlier` is later.
    pub fn days_since(self, earlier: Self) -> f64 {
        f64::from(self.0.saturating_sub(earlier.0)) / f64::from(SECONDS_A_DAY)
    }

    /// The time so many days before, or 1970.
    pub fn days_before(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days.saturating_mul(SECONDS_A_DAY)))
    }

    /// The hour with its date, `2026-07-12T10Z`: as fine as an answer's text is.
    pub fn to_hour(self) -> String {
        format!("{}T{:02}Z", Date(self.day()), self.0 % SECONDS_A_DAY / 3600)
    }

    /// The date, `2026-07-12`.
    pub fn to_date(self) -> String {
        Date(self.day()).to_string()
    }
}

/// RFC 3339: `2026-07-12T10:00:00Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0 % SECONDS_A_DAY;
        write!(f, "{}T{:02}:{:02}:{:02}Z", Date(self.day()), second / 3600, second / 60 % 60, second % 60)
    }
}

/// A time as it is written: as exactly as whoever wrote it knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Some time of this day, counted from 1970-01-01.
    Day(u32),
    /// This second.
    Second(Time),
}

impl Written {
    /// Parses `2026-07-12`, `2026-07-12T10:00:00Z` with or without seconds, fraction and offset, a blank instead of the
    /// `T`, or seconds since 1970. A time without an offset is UTC.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() >= SHORTEST_SECONDS && text.iter().all(u8::is_ascii_digit) {
            return seconds(text).map(|second| Self::Second(Time(second)));
        }
        let (date, rest) = text.split_at_checked(10)?;
        let day = parse_date(date)?;
        let [b'T' | b't' | b' ', rest @ ..] = rest else { return rest.is_empty().then_some(Self::Day(day)) };
        let (clock, rest) = rest.split_at_checked(5)?;
        let [h1, h2, b':', m1, m2] = *clock else { return None };
        let (hour, minute) = (two(h1, h2)?, two(m1, m2)?);
        let (second, rest) = match rest {
            [b':', s1, s2, rest @ ..] => (two(*s1, *s2)?, rest),
            _ => (0, rest),
        };
        let rest = match rest {
            [b'.', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                (digits > 0).then(|| &rest[digits..])?
            }
            _ => rest,
        };
        // a leap second is the last one of its minute
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let local = i64::from(day) * i64::from(SECONDS_A_DAY) + i64::from(hour * 3600 + minute * 60 + second.min(59));
        u32::try_from(local - offset(rest)?).ok().map(|second| Self::Second(Time(second)))
    }

    /// When this was, as far as it is known at a time: a day is taken as its end or, while it lasts, as now. None if it
    /// is yet to come.
    pub fn until(self, at: Time) -> Option<Time> {
        match self {
            Self::Day(day) if day <= at.day() => Some(Time::end_of_day(day).min(at)),
            Self::Second(time) if time <= at => Some(time),
            _ => None,
        }
    }

    /// The first second that is meant.
    pub fn start(self) -> Time {
        match self {
            Self::Day(day) => Time(day.saturating_mul(SECONDS_A_DAY)),
            Self::Second(time) => time,
        }
    }

    /// The last second that is meant.
    pub fn end(self) -> Time {
        match self {
            Self::Day(day) => Time::end_of_day(day),
            Self::Second(time) => time,
        }
    }
}

/// The offset from UTC, seconds; none written is UTC.
fn offset(text: &[u8]) -> Option<i64> {
    match *text {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            let seconds = (hours <= 23 && minutes <= 59).then(|| i64::from(hours * 3600 + minutes * 60))?;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn seconds(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| value.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// The day of `2026-07-12`, counted from 1970-01-01.
fn parse_date(text: &[u8]) -> Option<u32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let (year, month, day) = (two(y1, y2)? * 100 + two(y3, y4)?, two(m1, m2)?, two(d1, d2)?);
    let is_day = (1970..=LAST_YEAR).contains(&year) && (1..=12).contains(&month);
    if !is_day || !(1..=length_of_month(year, month)).contains(&day) {
        return None;
    }
    Some(days_before_year(year) + (1..month).map(|month| length_of_month(year, month)).sum::<u32>() + day - 1)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn length_of_month(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 until a year begins.
fn days_before_year(year: u32) -> u32 {
    let leap_days = |year: u32| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

/// A day, written as its date.
struct Date(u32);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut year = 1970 + self.0 / 366;
        while days_before_year(year + 1) <= self.0 {
            year += 1;
        }
        let mut day = self.0 - days_before_year(year);
        let mut month = 1;
        while day >= length_of_month(year, month) {
            day -= length_of_month(year, month);
            month += 1;
        }
        write!(f, "{year:04}-{month:02}-{:02}", day + 1)
    }
}

/// A day, leap seconds aside.
pub const SECONDS_A_DAY: u32 = 86_400;
/// The last year that 32 bits of seconds hold whole.
const LAST_YEAR: u32 = 2105;
/// Seconds since 1970 have at least as many digits; a year alone has fewer, and is no time.
const SHORTEST_SECONDS: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_written_in_many_ways() {
        let second = |text: &str| match Written::parse(text.as_bytes()) {
            Some(Written::Second(time)) => time.0,
            other => panic!("{text}: {other:?}"),
        };
        for same in [
            "2026-07-12T10:20:30Z",
            "2026-07-12 10:20:30",
            "2026-07-12t10:20:30.25z",
            "2026-07-12T12:20:30+02:00",
            "2026-07-12T05:50:30-0430",
            "1783851630",
        ] {
            assert_eq!(second(same), 1_783_851_630, "{same}");
        }
        assert_eq!(second("2026-07-12T10:20Z") + 30, 1_783_851_630);
        assert_eq!(Written::parse(b"1970-01-02"), Some(Written::Day(1)));
        assert_eq!(Time(1_783_851_630).to_string(), "2026-07-12T10:20:30Z");
        assert_eq!(Time(1_783_851_630).to_hour(), "2026-07-12T10Z");
    }

    #[test]
    fn what_no_calendar_has_is_no_time() {
        for wrong in [
            "",
            "2026",
            "2026-07",
            "2026-7-1",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "1969-12-31",
            "2106-01-01",
            "2026-07-12T",
            "2026-07-12T24:00",
            "2026-07-12T10:00:00.",
            "2026-07-12T10:00:00+2",
            "2026-07-12x",
            "99999999999",
            "12-07-2026",
        ] {
            assert_eq!(Written::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_is_its_end_or_while_it_lasts_now() {
        let noon = Time(SECONDS_A_DAY * 20 + SECONDS_A_DAY / 2);
        assert_eq!(Written::Day(19).until(noon), Some(Time::end_of_day(19)));
        assert_eq!(Written::Day(20).until(noon), Some(noon));
        assert_eq!(Written::Day(21).until(noon), None);
        assert_eq!(Written::Second(Time(noon.0 + 1)).until(noon), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed_back(second in 0u32..4_291_747_200) {
            let time = Time(second);
            prop_assert_eq!(Written::parse(time.to_string().as_bytes()), Some(Written::Second(time)));
            prop_assert_eq!(Written::parse(time.to_date().as_bytes()), Some(Written::Day(time.day())));
        }

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Written::parse(&bytes);
        }
    }
}
