//! Years, months and days out of Unix time, and back; written and read as RFC 3339 has it, in UTC.
//!
//! The proleptic Gregorian calendar, without leap seconds, as POSIX counts. Both directions count years from
//! the first of March, so that the leap day is the last of a year, and in cycles of 400 years, which all
//! have 146,097 days; and the months from March begin on day (153 m + 2) / 5.
//!
//! Source: RFC 3339 §5.6; the formulae follow H. Hinnant, "chrono-compatible low-level date algorithms".

use core::fmt;

const NS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Days in 400 years.
const CYCLE_DAYS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// A moment, in UTC. What [`DateTime::new`] and the others give is a date that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    year: i32,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
}

pub const fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// 28 to 31; 0 for what is no month.
pub const fn days_in_month(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + is_leap(year) as u8,
        1..=12 => 31,
        _ => 0,
    }
}

impl DateTime {
    /// `None` for a date or a time that does not exist; there is no second 60 here, and no year past four
    /// digits.
    pub const fn new(year: i32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<Self> {
        let is_date = matches!(year, 0..=9999) && day >= 1 && day <= days_in_month(year, month);
        if !is_date || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        Some(Self { year, month, day, hour, minute, second, nanosecond: 0 })
    }

    /// Any: from 1677 to 2262.
    pub const fn from_unix_ns(unix_ns: i64) -> Self {
        let seconds = unix_ns.div_euclid(NS);
        let days = seconds.div_euclid(DAY_SECONDS) + EPOCH_DAYS;
        let of_day = seconds.rem_euclid(DAY_SECONDS) as u32;
        let day_of_cycle = days.rem_euclid(CYCLE_DAYS);
        // Leap days before this one, taken out: every 4 years (1,460 days in), not every 100, every 400.
        let year_of_cycle =
            (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = days.div_euclid(CYCLE_DAYS) * 400 + year_of_cycle + (month <= 2) as i64;
        Self {
            year: year as i32,
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            nanosecond: unix_ns.rem_euclid(NS) as u32,
        }
    }

    /// Whole seconds since 1970.
    pub const fn unix_seconds(&self) -> i64 {
        let year = self.year as i64 - (self.month <= 2) as i64;
        let month_from_march = (self.month as i64 + 9) % 12;
        let year_of_cycle = year.rem_euclid(400);
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day as i64 - 1;
        let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
        let days = year.div_euclid(400) * CYCLE_DAYS + day_of_cycle - EPOCH_DAYS;
        days * DAY_SECONDS + self.hour as i64 * 3600 + self.minute as i64 * 60 + self.second as i64
    }

    /// `None` outside what 64 bits of nanoseconds reach, 1677 to 2262.
    pub const fn unix_ns(&self) -> Option<i64> {
        let ns = self.unix_seconds() as i128 * NS as i128 + self.nanosecond as i128;
        if ns < i64::MIN as i128 || ns > i64::MAX as i128 { None } else { Some(ns as i64) }
    }

    /// Reads `2024-02-29T12:34:56Z`; also with a blank for the T, with a fraction of a second (digits past
    /// the ninth are dropped), and without the Z. Other time zones are refused.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let bytes: &[u8; 19] = whole.as_bytes().try_into().ok()?;
        for (at, allowed) in [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")] {
            if !allowed.as_bytes().contains(&bytes[at]) {
                return None;
            }
        }
        let two = |at: usize| decimal(&bytes[at..at + 2]).map(|number| number as u8);
        let year = decimal(&bytes[..4])? as i32;
        let mut date = Self::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?)?;
        if let Some(fraction) = fraction {
            let digits = &fraction.as_bytes()[..fraction.len().min(9)];
            if digits.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            date.nanosecond = decimal(digits)? * 10u32.pow(9 - digits.len() as u32);
        }
        Some(date)
    }

    pub const fn year(&self) -> i32 {
        self.year
    }

    /// Month and day, from 1.
    pub const fn month_day(&self) -> (u8, u8) {
        (self.month, self.day)
    }

    /// Hour, minute, second.
    pub const fn time(&self) -> (u8, u8, u8) {
        (self.hour, self.minute, self.second)
    }

    pub const fn nanosecond(&self) -> u32 {
        self.nanosecond
    }
}

/// At most nine digits, and nothing else.
fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

/// RFC 3339. A precision, as in `{:.3}`, is the number of digits after the second, at most nine; without one
/// there are none.
impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, nanosecond } = *self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if let digits @ 1.. = f.precision().unwrap_or(0).min(9) {
            let shown = nanosecond / 10u32.pow(9 - digits as u32);
            write!(f, ".{shown:0digits$}")?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (2_147_483_647, "2038-01-19T03:14:07Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (9_223_372_036, "2262-04-11T23:47:16Z"),
            (-9_223_372_036, "1677-09-21T00:12:44Z"),
        ] {
            assert_eq!(DateTime::from_unix_ns(seconds * NS).to_string(), text);
            assert_eq!(DateTime::parse(text).unwrap().unix_seconds(), seconds);
        }
        assert_eq!(DateTime::from_unix_ns(i64::MIN).year(), 1677);
        assert_eq!(DateTime::from_unix_ns(i64::MAX).unix_ns(), Some(i64::MAX));
    }

    /// Day by day through all that 64 bits of nanoseconds reach, with a calendar that is turned by hand.
    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1678, 1, 1);
        let mut seconds = -9_214_560_000;
        while year < 2262 {
            let date = DateTime::from_unix_ns(seconds * NS);
            assert_eq!((date.year, date.month, date.day), (year, month, day));
            assert_eq!((date.time(), date.nanosecond), ((0, 0, 0), 0));
            assert_eq!(date.unix_seconds(), seconds);
            seconds += DAY_SECONDS;
            day += 1;
            let leap = year % 400 == 0 || year % 4 == 0 && year % 100 != 0;
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            if day > days[usize::from(month - 1)] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn any_moment_there_and_back() {
        let mut random = Random::new(41);
        for _ in 0..100_000 {
            let ns = random.next_u64() as i64;
            let date = DateTime::from_unix_ns(ns);
            assert_eq!(date.unix_ns(), Some(ns));
            assert_eq!(DateTime::parse(&format!("{date:.9}")), Some(date));
        }
    }

    #[test]
    fn digits_after_the_second_are_as_many_as_asked() {
        let date = DateTime::from_unix_ns(1_234_567_890_012_345_678);
        assert_eq!(format!("{date}"), "2009-02-13T23:31:30Z");
        assert_eq!(format!("{date:.3}"), "2009-02-13T23:31:30.012Z");
        assert_eq!(format!("{date:.12}"), "2009-02-13T23:31:30.012345678Z");
    }

    #[test]
    fn what_a_user_may_type() {
        let right = DateTime::new(2024, 2, 29, 12, 34, 56);
        assert!(right.is_some());
        for text in ["2024-02-29T12:34:56Z", "2024-02-29 12:34:56", "2024-02-29t12:34:56z"] {
            assert_eq!(DateTime::parse(text), right, "{text}");
        }
        let fraction = DateTime::parse("2024-02-29T12:34:56.5Z").unwrap();
        assert_eq!(fraction.nanosecond(), 500_000_000);
        let fraction = DateTime::parse("2024-02-29T12:34:56.12345678999").unwrap();
        assert_eq!(fraction.nanosecond(), 123_456_789);
        for text in [
            "",
            "Z",
            "2024-02-29",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-00-01T00:00:00Z",
            "2024-01-00T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1x",
            "2024-01-01T00:00:00+01:00",
            "2024_01-01T00:00:00Z",
            "2024-01-01T00:00:0\u{e9}",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00ZZ",
        ] {
            assert_eq!(DateTime::parse(text), None, "{text}");
        }
        assert_eq!(DateTime::new(2300, 1, 1, 0, 0, 0).unwrap().unix_ns(), None);
        assert_eq!(DateTime::new(10_000, 1, 1, 0, 0, 0), None);
    }
}
