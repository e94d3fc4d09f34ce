//! Which entries of a tree a caller names. Pure.

use std::ops::Range;

use crate::merkle::LeafIndex;

/// Entries of a tree: those of an index, of a range, or of several of either, in any order.
///
/// ```
/// use duramen::EntryRanges;
///
/// let some: [EntryRanges; 4] =
///     [7.into(), (3..5).into(), vec![0..2, 9..10].into(), [4, 0, 1].into()];
/// let odd: EntryRanges = (0..100_u64).filter(|index| index % 2 == 1).collect();
/// assert_eq!(odd, (0..50_u64).map(|half| 2 * half + 1).collect());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryRanges(Vec<Range<u64>>);

impl EntryRanges {
    pub(crate) fn into_ranges(self) -> Vec<Range<u64>> {
        self.0
    }
}

/// The entry `index` alone. No tree has the last number.
fn one(index: u64) -> Range<u64> {
    index..index.saturating_add(1)
}

impl From<u64> for EntryRanges {
    fn from(index: u64) -> Self {
        Self(vec![one(index)])
    }
}

impl From<LeafIndex> for EntryRanges {
    fn from(index: LeafIndex) -> Self {
        index.get().into()
    }
}

impl From<Range<u64>> for EntryRanges {
    fn from(range: Range<u64>) -> Self {
        Self(vec![range])
    }
}

impl From<Vec<Range<u64>>> for EntryRanges {
    fn from(ranges: Vec<Range<u64>>) -> Self {
        Self(ranges)
    }
}

impl From<&[Range<u64>]> for EntryRanges {
    fn from(ranges: &[Range<u64>]) -> Self {
        Self(ranges.to_vec())
    }
}

impl<const N: usize> From<[Range<u64>; N]> for EntryRanges {
    fn from(ranges: [Range<u64>; N]) -> Self {
        Self(ranges.into())
    }
}

impl From<&[u64]> for EntryRanges {
    fn from(indexes: &[u64]) -> Self {
        indexes.iter().copied().collect()
    }
}

impl From<Vec<u64>> for EntryRanges {
    fn from(indexes: Vec<u64>) -> Self {
        indexes.into_iter().collect()
    }
}

impl<const N: usize> From<[u64; N]> for EntryRanges {
    fn from(indexes: [u64; N]) -> Self {
        indexes.into_iter().collect()
    }
}

impl FromIterator<Range<u64>> for EntryRanges {
    fn from_iter<T: IntoIterator<Item = Range<u64>>>(ranges: T) -> Self {
        Self(ranges.into_iter().collect())
    }
}

impl FromIterator<u64> for EntryRanges {
    fn from_iter<T: IntoIterator<Item = u64>>(indexes: T) -> Self {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for index in indexes {
            match ranges.last_mut() {
                // Indexes that rise by one take one range.
                Some(last) if last.end == index => last.end = index.saturating_add(1),
                _ => ranges.push(one(index)),
            }
        }
        Self(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_that_follow_on_each_other_are_one_range() {
        let ranges = |indexes: &[u64]| EntryRanges::from(indexes).into_ranges();
        assert_eq!(ranges(&[]), []);
        assert_eq!(ranges(&[3, 4, 5, 9, 8, 8]), [3..6, 9..10, 8..9, 8..9]);
        assert!(ranges(&[u64::MAX])[0].is_empty());
        assert!(EntryRanges::from(u64::MAX).into_ranges()[0].is_empty());
    }
}
