//! Which entries of a tree are erased, since when and why. Pure.
//!
//! # Invariants
//!
//! - An entry that is erased keeps the cause that erased it first. Nothing is taken back.
//! - The stretches rise and do not overlap. Those that touch each other have different causes. Each cause
//!   has a stretch. So equal sets with equal causes have one spelling.
//! - A value never changes: an erasure makes another one.

use std::ops::Range;
use std::time::SystemTime;

use super::erasure::Cause;
use crate::codec::{Decoder, Encoder};

/// Some entries that were erased together: when, why, and which.
///
/// Entries that an earlier erasure has erased already are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erasure {
    /// The moment of the call, to the millisecond, by the clock of the machine.
    pub at: SystemTime,
    /// The reason that the caller gave.
    pub reason: String,
    /// The erased entries, in order.
    pub ranges: Vec<Range<u64>>,
}

impl Erasure {
    /// The number of erased entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }
}

/// Adjacent entries that one erasure has erased.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    start: u64,
    end: u64,
    /// The position of the cause in the list.
    cause: usize,
    /// How many entries the stretches before have.
    before: u64,
}

/// The erased entries of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Erasures {
    causes: Vec<Cause>,
    stretches: Vec<Stretch>,
}

impl Erasures {
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// How many entries are erased.
    pub(crate) fn count(&self) -> u64 {
        self.stretches.last().map_or(0, |last| last.before + (last.end - last.start))
    }

    /// How many ranges the set is stored as.
    pub(crate) fn ranges(&self) -> u64 {
        self.stretches.len() as u64
    }

    /// One beyond the last erased entry, or 0.
    pub(crate) fn end(&self) -> u64 {
        self.stretches.last().map_or(0, |last| last.end)
    }

    /// The first stretch that ends behind `index`.
    fn from(&self, index: u64) -> usize {
        self.stretches.partition_point(|stretch| stretch.end <= index)
    }

    /// When and why entry `index` was erased. `None` if it was not. O(log ranges).
    pub(crate) fn cause(&self, index: u64) -> Option<&Cause> {
        let stretch = self.stretches.get(self.from(index))?;
        (stretch.start <= index).then(|| self.causes.get(stretch.cause)).flatten()
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        self.next(index).is_some_and(|next| next == index)
    }

    /// The first erased entry from `index` on.
    pub(crate) fn next(&self, index: u64) -> Option<u64> {
        self.stretches.get(self.from(index)).map(|stretch| stretch.start.max(index))
    }

    /// How many entries below `index` are erased.
    fn below(&self, index: u64) -> u64 {
        match self.stretches.get(self.from(index)) {
            None => self.count(),
            Some(stretch) => stretch.before + index.saturating_sub(stretch.start),
        }
    }

    /// How many entries of `range` are erased. O(log ranges).
    pub(crate) fn count_in(&self, range: Range<u64>) -> u64 {
        self.below(range.end.max(range.start)) - self.below(range.start)
    }

    /// Whether every entry that is erased in `other` is erased here as well. O(ranges of `other` · log ranges).
    pub(crate) fn has_all_of(&self, other: &Self) -> bool {
        other
            .stretches
            .iter()
            .all(|stretch| self.count_in(stretch.start..stretch.end) == stretch.end - stretch.start)
    }

    /// This set with `ranges` erased because of `cause`, as far as they are not erased already. `None` if all
    /// of them are. `ranges` are in order. O(all ranges).
    pub(crate) fn with(&self, ranges: &[Range<u64>], cause: Cause) -> Option<Self> {
        let mut all = Self { causes: self.causes.clone(), stretches: Vec::new() };
        // What is erased at one moment for one reason is one erasure, whatever the number of calls.
        let number = match all.causes.iter().position(|known| *known == cause) {
            Some(number) => number,
            None => {
                all.causes.push(cause);
                all.causes.len() - 1
            }
        };
        let mut before = self.stretches.iter().peekable();
        let mut fresh = false;
        for range in ranges {
            // A stretch that an earlier range has reached may reach into this one.
            let mut at = range.start.max(all.end());
            while at < range.end {
                match before.peek() {
                    Some(known) if known.start <= at => {
                        at = at.max(known.end);
                        all.push(known.start..known.end, known.cause);
                        before.next();
                    }
                    known => {
                        let end = known.map_or(range.end, |known| range.end.min(known.start));
                        all.push(at..end, number);
                        fresh = true;
                        at = end;
                    }
                }
            }
        }
        before.for_each(|known| all.push(known.start..known.end, known.cause));
        fresh.then_some(all)
    }

    /// The erased entries below `size`.
    pub(crate) fn cut(&self, size: u64) -> Self {
        self.within(0..size)
    }

    /// The erased entries from `index` on.
    pub(crate) fn behind(&self, index: u64) -> Self {
        self.within(index..u64::MAX)
    }

    /// Whether an entry below `index` is erased.
    pub(crate) fn has_below(&self, index: u64) -> bool {
        self.stretches.first().is_some_and(|first| first.start < index)
    }

    /// The erased entries of `range`.
    fn within(&self, range: Range<u64>) -> Self {
        let meets = |stretch: &&Stretch| stretch.start < range.end && stretch.end > range.start;
        let below = || self.stretches.iter().filter(meets);
        let mut all = Self::default();
        let mut used = vec![false; self.causes.len()];
        for stretch in below() {
            if let Some(used) = used.get_mut(stretch.cause) {
                *used = true;
            }
        }
        // The new number of each cause that is left. The order of the causes stays.
        let mut numbers = vec![None; self.causes.len()];
        for (at, cause) in self.causes.iter().enumerate().filter(|(at, _)| used[*at]) {
            numbers[at] = Some(all.causes.len());
            all.causes.push(cause.clone());
        }
        for stretch in below() {
            if let Some(number) = numbers.get(stretch.cause).copied().flatten() {
                let (start, end) = (stretch.start.max(range.start), stretch.end.min(range.end));
                all.push(start..end, number);
            }
        }
        all
    }

    fn push(&mut self, range: Range<u64>, cause: usize) {
        if let Some(last) = self.stretches.last_mut()
            && (last.end, last.cause) == (range.start, cause)
        {
            last.end = range.end;
            return;
        }
        let before = self.count();
        self.stretches.push(Stretch { start: range.start, end: range.end, cause, before });
    }

    /// All erasures, oldest first.
    pub(crate) fn list(&self) -> Vec<Erasure> {
        let erasure = |cause: &Cause| {
            let (at, reason) = (cause.time(), cause.reason.to_string());
            Erasure { at, reason, ranges: Vec::new() }
        };
        let mut all: Vec<_> = self.causes.iter().map(erasure).collect();
        for stretch in &self.stretches {
            if let Some(erasure) = all.get_mut(stretch.cause) {
                erasure.ranges.push(stretch.start..stretch.end);
            }
        }
        // Those of a copy were inserted in the order of their entries.
        all.sort_by_key(|erasure| erasure.at);
        all
    }

    /// Appends the set as a manifest has it.
    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.varint(self.causes.len() as u64).varint(self.stretches.len() as u64);
        for Cause { at, reason } in &self.causes {
            out.u64(*at).u16(u16::try_from(reason.len()).unwrap_or(u16::MAX));
            out.bytes(reason.as_bytes());
        }
        let mut end = 0;
        for stretch in &self.stretches {
            out.varint(stretch.start - end).varint(stretch.end - stretch.start - 1);
            out.varint(stretch.cause as u64);
            end = stretch.end;
        }
    }

    /// Reads a set from the front. `None` if [`encode`](Self::encode) would not write it. Memory grows with the
    /// bytes that are present.
    pub(crate) fn decode(fields: &mut Decoder<'_>) -> Option<Self> {
        let (causes, stretches) = (fields.varint()?, fields.varint()?);
        let mut all = Self::default();
        for _ in 0..causes {
            let at = fields.u64()?;
            let len = usize::from(fields.u16()?);
            all.causes.push(Cause::read(at, fields.bytes(len)?)?);
        }
        let mut used = vec![false; all.causes.len()];
        let (mut end, mut last) = (0_u64, None);
        for _ in 0..stretches {
            let (gap, more) = (fields.varint()?, fields.varint()?);
            let cause = usize::try_from(fields.varint()?).ok()?;
            let start = end.checked_add(gap)?;
            end = start.checked_add(more)?.checked_add(1)?;
            if gap == 0 && last == Some(cause) {
                return None;
            }
            *used.get_mut(cause)? = true;
            last = Some(cause);
            all.push(start..end, cause);
        }
        used.into_iter().all(|used| used).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::erasure::in_order;
    use super::*;

    fn cause(number: u64) -> Cause {
        Cause { at: number, reason: format!("number {number}").into() }
    }

    /// What a set is by its definition: the number of the first cause of each erased entry.
    type Slow = BTreeMap<u64, u64>;

    fn compare(set: &Erasures, slow: &Slow) {
        assert_eq!((set.count(), set.is_empty()), (slow.len() as u64, slow.is_empty()));
        assert_eq!(set.end(), slow.last_key_value().map_or(0, |(last, _)| last + 1));
        for index in 0..80 {
            assert_eq!(set.cause(index).map(|cause| cause.at), slow.get(&index).copied());
            assert_eq!(set.has(index), slow.contains_key(&index));
            assert_eq!(set.next(index), slow.range(index..).next().map(|(next, _)| *next));
            for end in [index, index + 1, index + 7, 80, u64::MAX] {
                let expected = slow.range(index..end).count() as u64;
                assert_eq!(set.count_in(index..end), expected, "{index}..{end}");
            }
        }
        let mut listed = Slow::new();
        let mut ranges = 0;
        for erasure in set.list() {
            let at = erasure.at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            ranges += erasure.ranges.len() as u64;
            assert_eq!(erasure.entries(), erasure.ranges.iter().cloned().flatten().count() as u64);
            for index in erasure.ranges.into_iter().flatten() {
                assert_eq!(listed.insert(index, u64::try_from(at.as_millis()).unwrap()), None);
            }
        }
        assert_eq!((listed, ranges), (slow.clone(), set.ranges()));
    }

    fn encoded(set: &Erasures) -> Vec<u8> {
        let mut out = Encoder::default();
        set.encode(&mut out);
        out.0
    }

    proptest! {
        #[test]
        fn a_set_is_what_it_is_by_its_definition_and_read_back_as_written(
            steps in proptest::collection::vec(
                proptest::collection::vec((0..60_u64, 1..12_u64), 1..5),
                0..8,
            ),
        ) {
            let (mut set, mut slow) = (Erasures::default(), Slow::new());
            for (number, step) in (0..).zip(steps) {
                let ranges = in_order(step.iter().map(|(start, len)| *start..start + len)).unwrap();
                let known = slow.len();
                for index in ranges.iter().cloned().flatten() {
                    slow.entry(index).or_insert(number);
                }
                match set.with(&ranges, cause(number)) {
                    Some(after) => set = after,
                    None => prop_assert_eq!(known, slow.len()),
                }
                compare(&set, &slow);
            }
            let bytes = encoded(&set);
            let mut fields = Decoder(&bytes);
            prop_assert_eq!(Erasures::decode(&mut fields), Some(set));
            prop_assert_eq!(fields.remaining(), 0);
            for len in 0..bytes.len() {
                prop_assert_eq!(Erasures::decode(&mut Decoder(&bytes[..len])), None);
            }
        }
    }

    #[test]
    fn what_is_erased_at_one_moment_for_one_reason_is_one_erasure() {
        let set = Erasures::default().with(&[0..1, 2..3, 6..7], cause(7)).unwrap();
        let set = set.with(&[1..2, 3..5], cause(7)).unwrap();
        let [one] = &set.list()[..] else { panic!("{set:?}") };
        assert_eq!(one.ranges, [0..5, 6..7]);
        assert_eq!((set.ranges(), set.count(), set.count_in(1..7)), (2, 6, 5));
        let bytes = encoded(&set);
        assert_eq!(Erasures::decode(&mut Decoder(&bytes)), Some(set));
    }

    #[test]
    fn a_set_that_no_store_writes_is_refused() {
        let right = |causes: u64, stretches: &[[u64; 3]]| {
            let mut out = Encoder::default();
            out.varint(causes).varint(stretches.len() as u64);
            for _ in 0..causes {
                out.u64(7).u16(2).bytes(b"ab");
            }
            for [gap, more, cause] in stretches {
                out.varint(*gap).varint(*more).varint(*cause);
            }
            Erasures::decode(&mut Decoder(&out.0)).is_some()
        };
        assert!(right(0, &[]));
        assert!(right(2, &[[0, 3, 1], [0, 0, 0], [1, 0, 0]]));
        assert!(!right(1, &[]), "a cause without an entry");
        assert!(!right(1, &[[0, 0, 1]]), "an entry without a cause");
        assert!(!right(1, &[[0, 0, 0], [0, 0, 0]]), "one range in two");
        assert!(!right(1, &[[9, u64::MAX, 0]]), "beyond all numbers");
    }
}
