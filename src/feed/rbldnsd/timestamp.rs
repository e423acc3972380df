//! `$TIMESTAMP`: when the data was made, and when it is too old.
//!
//! Times are UTC, from 1970 to 2038; fields are parted by `:`, `-` or nothing. Invariant: a time that no calendar has
//! is none. Whether one is past or in the future is not asked here: there is no clock.

use super::super::text::{split_word, words};
use super::special::parse_time;

/// When the data was made and when it expires; 0 where not given.
pub(super) fn parse(text: &[u8]) -> Option<(i64, i64)> {
    if words(text).count() > 2 {
        return None;
    }
    let (created, expires) = split_word(text);
    let created = parse_one(created)?;
    let expires = match expires {
        [] => 0,
        // counted from when the data was made, which then must be known
        [b'+', time @ ..] => match parse_time(time)? {
            0 => return None,
            _ if created == 0 => return None,
            seconds => created + i64::from(seconds),
        },
        time => parse_one(time)?,
    };
    Some((created, expires))
}

fn parse_one(text: &[u8]) -> Option<i64> {
    if matches!(text, b"0" | b"-") {
        return Some(0);
    }
    let (year, mut rest) = text.split_at_checked(4)?;
    let year = field(year, FIRST_YEAR, LAST_YEAR)?;
    let mut next = |least, most| {
        if let [b':' | b'-', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return Some(None);
        }
        let digits = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = rest.split_at(digits);
        rest = after;
        field(digits, least, most).map(Some)
    };
    let month = next(1, 12)??;
    let day = next(1, 31)??;
    let hour = next(0, 23)?.unwrap_or(0);
    let minute = next(0, 59)?.unwrap_or(0);
    let second = next(0, 59)?.unwrap_or(0);
    let leap = year % 4 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !rest.is_empty() || day > length {
        return None;
    }
    // from 1970 to 2038 every fourth year is a leap year
    let leap_days = (year - 1969) / 4 + i64::from(leap && month > 2);
    let days = (year - 1970) * 365 + leap_days + DAYS_BEFORE[month as usize - 1] + day - 1;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn field(digits: &[u8], least: i64, most: i64) -> Option<i64> {
    let value = i64::from(super::super::text::number(digits)?);
    (least..=most).contains(&value).then_some(value)
}

/// rbldnsd's limits: the times that 32 bits held.
const FIRST_YEAR: i64 = 1970;
/// See [`FIRST_YEAR`].
const LAST_YEAR: i64 = 2038;
/// The days of a common year before each month.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_of_the_calendar() {
        assert_eq!(parse(b"2037:01:02"), Some((2_114_467_200, 0)));
        assert_eq!(parse(b"1970:01:01"), Some((0, 0)));
        assert_eq!(parse(b"2020:02:29 +1d"), Some((1_582_934_400, 1_583_020_800)));
        assert_eq!(parse(b"2020:03:01:00:00:01"), Some((1_583_020_801, 0)));
        for same in ["2020-01-02-03", "2020:1:2:3", "2020010203", "2020:01-02:03:", "2020:01:02:03:00:00"] {
            assert_eq!(parse(same.as_bytes()), Some((1_577_934_000, 0)), "{same}");
        }
        assert_eq!(parse(b"0 2020:01:02"), Some((0, 1_577_923_200)));
        assert_eq!(parse(b"- -"), Some((0, 0)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for wrong in [
            "",
            "2020",
            "2020:01",
            "2020:13:01",
            "2019:02:29",
            "2020:04:31",
            "2020:00:01",
            "1969:01:01",
            "2039:01:01",
            "2020:01:02:24",
            "2020:01:02:23:60",
            "2020:01:02:23:59:60",
            "2020:01:02T03",
            "2020:01:02::03",
            "2020:1:2:3:4:5:6",
            "0 +1d",
            "- +1d",
            "2020:01:02 +",
            "2020:01:02 + 1d",
            "2020:01:02 +0",
            "2020:01:02 1d",
            "2020:01:02 2021:01:02 x",
            "00",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
