//! Numbers with their nouns, for messages that people read.

use core::fmt;

/// A number with its noun: `1 leaf`, `2 leaves`.
///
/// ```
/// use duramen::inspect::count;
///
/// assert_eq!(count(1_u64, "leaf", "leaves").to_string(), "1 leaf");
/// assert_eq!(count(0_usize, "leaf", "leaves").to_string(), "0 leaves");
/// ```
pub fn count<'a, N>(number: N, one: &'a str, many: &'a str) -> Count<'a, N>
where
    N: Copy + fmt::Display + TryInto<u8>,
{
    let noun = if number.try_into().is_ok_and(|number: u8| number == 1) { one } else { many };
    Count { number, noun }
}

/// What [`count`] returns, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Count<'a, N> {
    number: N,
    noun: &'a str,
}

impl<N: fmt::Display> fmt::Display for Count<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.noun)
    }
}

/// A number of leaves.
pub(crate) fn leaves<N: Copy + fmt::Display + TryInto<u8>>(number: N) -> Count<'static, N> {
    count(number, "leaf", "leaves")
}

/// A number of bytes.
pub(crate) fn bytes<N: Copy + fmt::Display + TryInto<u8>>(number: N) -> Count<'static, N> {
    count(number, "byte", "bytes")
}

/// A number of hashes.
pub(crate) fn hashes<N: Copy + fmt::Display + TryInto<u8>>(number: N) -> Count<'static, N> {
    count(number, "hash", "hashes")
}

/// The numbers from `first` up to, not including, `end`, with their noun: `leaf 7`, `leaves 7 to 9`,
/// `no leaves`.
///
/// ```
/// use duramen::inspect::span;
///
/// assert_eq!(span(7..8, "leaf", "leaves").to_string(), "leaf 7");
/// assert_eq!(span(7..10, "leaf", "leaves").to_string(), "leaves 7 to 9");
/// assert_eq!(span(7..7, "leaf", "leaves").to_string(), "no leaves");
/// ```
#[must_use]
pub const fn span<'a>(numbers: core::ops::Range<u64>, one: &'a str, many: &'a str) -> Span<'a> {
    Span { first: numbers.start, end: numbers.end, one, many }
}

/// What [`span`] returns, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    first: u64,
    end: u64,
    one: &'a str,
    many: &'a str,
}

impl fmt::Display for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, end, one, many } = self;
        match end.saturating_sub(*first) {
            0 => write!(f, "no {many}"),
            1 => write!(f, "{one} {first}"),
            _ => write!(f, "{many} {first} to {}", end - 1),
        }
    }
}

/// A moment in UTC, to the second: `2026-11-26T10:05:18Z`. `milliseconds` count from the start of 1970.
pub(crate) const fn utc(milliseconds: u64) -> Utc {
    Utc(milliseconds / 1000)
}

/// A moment in UTC, to the second. Moments before 1970 are shown as its start.
#[cfg(feature = "std")]
pub(crate) fn moment(at: std::time::SystemTime) -> Utc {
    let since = at.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    utc(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What [`utc`](crate::inspect::utc) returns, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Utc(u64);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (self.0 / 86_400, self.0 % 86_400);
        // Years of this count begin in March, so that a leap day is the last of its year. 400 of them have
        // 146,097 days, and 719,468 days are before 1970.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march = (5 * day + 2) / 153;
        let day = day - (153 * march + 2) / 5 + 1;
        let month = if march < 10 { march + 3 } else { march - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn moments_have_the_date_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_687_518, "2026-11-26T10:05:18Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds * 1000 + 999).to_string(), text);
        }
    }

    #[test]
    fn one_thing_and_no_other_number_has_the_singular() {
        for (number, text) in [(0_u64, "0 leaves"), (1, "1 leaf"), (2, "2 leaves")] {
            assert_eq!(leaves(number).to_string(), text);
        }
        // No number is taken for 1 by its low byte.
        for number in [257, u64::MAX, 1 << 32 | 1] {
            assert_eq!(bytes(number).to_string(), alloc::format!("{number} bytes"));
        }
        assert_eq!(hashes(1_usize).to_string(), "1 hash");
    }
}
