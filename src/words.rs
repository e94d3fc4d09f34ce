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

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

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
