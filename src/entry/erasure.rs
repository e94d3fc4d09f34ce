//! One erasure: which entries a caller has erased, when and why. Pure.
//!
//! # Invariants
//!
//! - The ranges of an erasure rise, are not empty, and neither overlap nor touch each other. So a set of
//!   entries has one spelling.
//! - An erasure has at least one range, and no more than fit one group of the log.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::codec::{Decoder, Encoder};

/// The most ranges of one erasure.
pub(crate) const MOST_RANGES: usize = 1 << 16;
/// The most ranges of a store, over all its trees.
pub(crate) const MOST_OF_STORE: u64 = 1 << 20;
/// The longest reason, in bytes.
pub(crate) const LONGEST_REASON: usize = 1024;
/// The end of the year 9999, in milliseconds since the start of 1970. No erasure is later.
const LAST_MOMENT: u64 = 253_402_300_799_999;

/// When and why entries were erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    /// Milliseconds since the start of 1970.
    pub(crate) at: u64,
    pub(crate) reason: Arc<str>,
}

impl Cause {
    /// An erasure at this moment.
    pub(crate) fn now(reason: &str) -> Self {
        Self::at(SystemTime::now(), reason)
    }

    /// An erasure at `moment`, to the millisecond. One before 1970 is one at its start.
    pub(crate) fn at(moment: SystemTime, reason: &str) -> Self {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(LAST_MOMENT).min(LAST_MOMENT);
        Self { at, reason: reason.into() }
    }

    /// The moment.
    pub(crate) fn time(&self) -> SystemTime {
        let since = Duration::from_millis(self.at);
        SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The moment and the reason as a file has them. `None` if no erasure has such values.
    pub(crate) fn read(at: u64, reason: &[u8]) -> Option<Self> {
        let reason = str::from_utf8(reason).ok().filter(|reason| reason_fault(reason).is_none())?;
        (at <= LAST_MOMENT).then(|| Self { at, reason: reason.into() })
    }
}

/// What is wrong with a reason.
pub(crate) fn reason_fault(reason: &str) -> Option<String> {
    if reason.len() > LONGEST_REASON {
        let len = reason.len();
        return Some(format!("it has {len} bytes; at most {LONGEST_REASON} are possible"));
    }
    let control = reason.chars().find(|character| character.is_control())?;
    Some(format!("it has the control character U+{:04X}", u32::from(control)))
}

/// These ranges in order, those that overlap or touch each other as one. `None` if there is none, or if one
/// of them is empty.
pub(crate) fn in_order(ranges: impl IntoIterator<Item = Range<u64>>) -> Option<Vec<Range<u64>>> {
    let mut ranges: Vec<_> = ranges.into_iter().collect();
    if ranges.is_empty() || ranges.iter().any(Range::is_empty) {
        return None;
    }
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|later, earlier| {
        let joined = later.start <= earlier.end;
        if joined {
            earlier.end = earlier.end.max(later.end);
        }
        joined
    });
    Some(ranges)
}

/// The payload of a record in the log: the length of the reason, the reason, and the ranges.
pub(crate) fn encode(ranges: &[Range<u64>], reason: &str) -> Vec<u8> {
    let mut out = Encoder::default();
    out.u16(u16::try_from(reason.len()).unwrap_or(u16::MAX)).bytes(reason.as_bytes());
    let mut end = 0;
    for range in ranges {
        out.varint(range.start - end).varint(range.end - range.start - 1);
        end = range.end;
    }
    out.0
}

/// Reads `count` ranges and the reason from a payload. `None` if [`encode`] would not write it.
pub(crate) fn decode(payload: &[u8], count: u64) -> Option<(Vec<Range<u64>>, &[u8])> {
    let mut fields = Decoder(payload);
    let len = usize::from(fields.u16()?);
    let reason = fields.bytes(len)?;
    let count = usize::try_from(count).ok().filter(|count| (1..=MOST_RANGES).contains(count))?;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut end: u64 = 0;
    for _ in 0..count {
        let (gap, more) = (fields.varint()?, fields.varint()?);
        if gap == 0 && !ranges.is_empty() {
            return None;
        }
        let start = end.checked_add(gap)?;
        end = start.checked_add(more)?.checked_add(1)?;
        ranges.push(start..end);
    }
    (fields.remaining() == 0).then_some((ranges, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_any_order_become_one_spelling() {
        let ranges = [7..9, 0..1, 3..5, 4..6, 6..7, 20..21];
        assert_eq!(in_order(ranges), Some(vec![0..1, 3..9, 20..21]));
        assert_eq!(in_order([]), None);
        #[expect(clippy::reversed_empty_ranges, reason = "what a caller may pass")]
        for wrong in [3..3, 5..3] {
            assert_eq!(in_order([0..1, wrong]), None);
        }
    }

    #[test]
    fn an_erasure_is_read_back_as_it_was_written_and_no_prefix_of_it_is() {
        let ranges = [0..1, 2..300, 1 << 40..1 << 41, u64::MAX - 1..u64::MAX];
        let bytes = encode(&ranges, "as asked for");
        assert_eq!(decode(&bytes, 4), Some((ranges.to_vec(), &b"as asked for"[..])));
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], 4), None, "{len}");
        }
        for count in [0, 3, 5, u64::MAX] {
            assert_eq!(decode(&bytes, count), None, "{count}");
        }
    }

    #[test]
    fn ranges_that_touch_each_other_or_end_beyond_all_numbers_are_refused() {
        let payload = |numbers: &[u64]| {
            let mut out = Encoder::default();
            out.u16(0);
            for number in numbers {
                out.varint(*number);
            }
            out.0
        };
        assert_eq!(decode(&payload(&[5, 0, 1, 0]), 2), Some((vec![5..6, 7..8], &[][..])));
        assert_eq!(decode(&payload(&[5, 0, 0, 0]), 2), None);
        assert_eq!(decode(&payload(&[u64::MAX, 0]), 1), None);
        assert_eq!(decode(&payload(&[1, u64::MAX - 1]), 1), None);
    }

    #[test]
    fn a_reason_has_a_bound_and_no_control_characters() {
        assert_eq!(reason_fault(""), None);
        assert_eq!(reason_fault(&"ä".repeat(512)), None);
        assert!(reason_fault(&"a".repeat(1025)).unwrap().contains("1025"));
        assert!(reason_fault("a\nb").unwrap().contains("U+000A"));
        assert!(reason_fault("\u{9b}").is_some());
        assert_eq!(Cause::read(LAST_MOMENT + 1, b""), None);
        assert_eq!(Cause::read(0, b"\xff"), None);
    }
}
