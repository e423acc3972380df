//! Times as rbldnsd's options have them, and times as its messages show them.

/// Seconds, or a number with one of the units `s m h d w`.
pub(super) fn parse_time(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let seconds = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"s" => 1,
        b"m" => 60,
        b"h" => 3600,
        b"d" => 86_400,
        b"w" => 604_800,
        _ => return None,
    };
    number.checked_mul(seconds)
}

/// A Unix time as `20261123 194436`, in UTC.
pub(super) fn show_time(unix: i64) -> String {
    let (days, seconds) = (unix.div_euclid(86_400), unix.rem_euclid(86_400));
    // days since 0000-03-01, so that the leap day is a year's last
    let days = days + 719_468;
    let era = days.div_euclid(DAYS_OF_400_YEARS);
    let day = days.rem_euclid(DAYS_OF_400_YEARS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02} {hour:02}{minute:02}{second:02}")
}

const DAYS_OF_400_YEARS: i64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_units() {
        let read = |text: &str| parse_time(text.as_bytes());
        assert_eq!([read("35m"), read("0"), read("1W"), read("90s")], [Some(2100), Some(0), Some(604_800), Some(90)]);
        assert_eq!([read(""), read("m"), read("1x"), read("1mm"), read("99999999w")], [None; 5]);
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(show_time(0), "19700101 000000");
        assert_eq!(show_time(1_795_463_076), "20261123 194436");
        assert_eq!(show_time(951_782_399), "20000228 235959");
        assert_eq!(show_time(951_782_400), "20000229 000000");
    }
}
