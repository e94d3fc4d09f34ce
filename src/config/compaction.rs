//! Which parts are merged. Pure.
//!
//! # Invariants
//!
//! - Merged parts are neighbours, so the new part covers their leaves without a gap.
//! - A merge of one tier produces a part of a higher tier. So each leaf is copied at most once per tier,
//!   except by merges that keep the number of parts bounded.

use std::ops::Range;

use crate::error::{Error, Result};

/// Whether small parts are merged into larger ones in the background, and when.
///
/// The *tier* of a part is the logarithm of its leaves, to the base of the fan-in. Every merge that is
/// not made leaves readers one more part to search. Merging copies each leaf about once per tier.
///
/// ```
/// use duramen::CompactionPolicy;
///
/// let policy = CompactionPolicy::tiered(8)?.max_parts(2000)?;
/// assert!(CompactionPolicy::tiered(1).is_err());
/// # let _ = policy;
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompactionPolicy {
    /// Parts stay as the checkpoints wrote them.
    Off,
    /// Neighbouring parts are merged once there are more than `fan_in` of one tier, or more than twelve
    /// times as many in total. Made by [`tiered`](Self::tiered).
    #[non_exhaustive]
    Tiered {
        /// The most parts of one tier. At least 2.
        fan_in: u32,
        /// The number of parts at which inserts wait. See [`max_parts`](Self::max_parts).
        most_parts: u64,
    },
}

impl Default for CompactionPolicy {
    /// Parts are merged once there are more than four of one tier.
    fn default() -> Self {
        Self::of(4)
    }
}

/// The limit of the total number of parts, as a multiple of the limit of one tier.
const MOST_TIERS: usize = 12;

impl CompactionPolicy {
    /// Parts are merged once there are more than `fan_in` of one tier.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) if `fan_in` is less than 2: such a merge would have one part.
    pub fn tiered(fan_in: u32) -> Result<Self> {
        if fan_in < 2 {
            return Err(Error::config(
                "tiered",
                format!("{fan_in} is less than the two parts of a merge"),
            ));
        }
        Ok(Self::of(fan_in))
    }

    /// How many parts there may be before inserts wait for merges. Inserts slow down from three quarters
    /// of the limit on. The limit has no effect while merges fail permanently, because nothing would
    /// reduce the number of parts. Default: 1000, or twice the number that merging may leave if that is
    /// more.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) if three quarters of the limit are not more than merging may
    /// leave, which is twelve times the fan-in, or if the policy is [`Off`](Self::Off).
    pub fn max_parts(self, parts: u64) -> Result<Self> {
        const SETTING: &str = "max_parts";
        let Self::Tiered { fan_in, .. } = self else {
            return Err(Error::config(
                SETTING,
                format!("{parts} parts, but the policy merges none"),
            ));
        };
        let most = most_after_merges(fan_in);
        if parts - parts / 4 <= most {
            let reason = format!(
                "inserts slow down from three quarters of {parts} on, and merging parts by {fan_in} may \
                 leave {most}"
            );
            return Err(Error::config(SETTING, reason));
        }
        Ok(Self::Tiered { fan_in, most_parts: parts })
    }

    /// Merges by `fan_in`, which must be at least 2, with the default limit.
    fn of(fan_in: u32) -> Self {
        let most_parts = most_after_merges(fan_in).saturating_mul(2).max(1000);
        Self::Tiered { fan_in, most_parts }
    }

    /// How many parts there may be before inserts wait. `None` for no limit.
    pub(crate) fn parts_limit(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Tiered { most_parts, .. } => Some(most_parts),
        }
    }

    /// The parts to merge next. `leaves` has the number of leaves of each part, oldest first.
    pub(crate) fn next(self, leaves: &[u64]) -> Option<Range<usize>> {
        let Self::Tiered { fan_in, .. } = self else { return None };
        let base = u64::from(fan_in.max(2));
        let most = usize::try_from(base).unwrap_or(usize::MAX);
        let tiers: Vec<u32> = leaves.iter().map(|leaves| leaves.max(&1).ilog(base)).collect();
        let highest = tiers.iter().max().copied().unwrap_or(0);
        (0..=highest).find_map(|tier| crowded(&tiers, tier, most)).or_else(|| self.excess(leaves))
    }

    /// The parts to merge because there are too many in total: the smallest ones.
    pub(crate) fn excess(self, leaves: &[u64]) -> Option<Range<usize>> {
        let Self::Tiered { fan_in, .. } = self else { return None };
        let fan_in = usize::try_from(fan_in.max(2)).unwrap_or(usize::MAX);
        let too_many = leaves.len() > fan_in.saturating_mul(MOST_TIERS);
        too_many.then(|| cheapest(leaves, fan_in.saturating_add(1))).flatten()
    }
}

/// The most parts that can be left after all wanted merges.
fn most_after_merges(fan_in: u32) -> u64 {
    u64::from(fan_in) * MOST_TIERS as u64
}

/// The first run of parts up to `tier` with more than `most` parts of that tier.
fn crowded(tiers: &[u32], tier: u32, most: usize) -> Option<Range<usize>> {
    let mut start = 0;
    while start < tiers.len() {
        let len = tiers[start..].iter().take_while(|other| **other <= tier).count();
        let stretch = &tiers[start..start + len];
        if stretch.iter().filter(|other| **other == tier).count() > most {
            return Some(start..start + len);
        }
        start += len + 1;
    }
    None
}

/// The `count` neighbours with the fewest leaves in total.
fn cheapest(leaves: &[u64], count: usize) -> Option<Range<usize>> {
    let sum = |at: &usize| leaves[*at..at + count].iter().map(|n| u128::from(*n)).sum::<u128>();
    let at = (0..=leaves.len().checked_sub(count)?).min_by_key(sum)?;
    Some(at..at + count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FOUR: CompactionPolicy = CompactionPolicy::Tiered { fan_in: 4, most_parts: 1000 };

    #[test]
    fn four_parts_of_a_tier_stay_and_the_fifth_has_them_merged() {
        assert_eq!(FOUR.next(&[]), None);
        assert_eq!(FOUR.next(&[1; 4]), None);
        assert_eq!(FOUR.next(&[1; 5]), Some(0..5));
        assert_eq!(FOUR.next(&[100, 5, 1, 1, 1, 1]), None);
        assert_eq!(FOUR.next(&[100, 5, 1, 1, 1, 1, 1]), Some(2..7));
        assert_eq!(FOUR.next(&[5, 1, 5, 5, 1, 5, 5]), Some(0..7), "smaller ones between them too");
        assert_eq!(CompactionPolicy::tiered(2).unwrap().next(&[9, 1, 1, 1]), Some(1..4));
        assert_eq!(CompactionPolicy::Off.next(&[1; 1000]), None);
    }

    #[test]
    fn the_lowest_crowded_tier_comes_first() {
        assert_eq!(FOUR.next(&[16, 16, 16, 16, 16, 1, 1, 1, 1, 1]), Some(5..10));
    }

    proptest! {
        #[test]
        fn merging_ends_with_a_few_dozen_parts_of_the_same_leaves_and_copies_each_leaf_seldom(
            checkpoints in proptest::collection::vec((0..20_u32).prop_map(|bits| 1_u64 << bits), 1..400),
            fan_in in 2..6_u32,
        ) {
            let policy = CompactionPolicy::tiered(fan_in).unwrap();
            let mut parts = Vec::new();
            let mut copied = 0_u64;
            for leaves in &checkpoints {
                parts.push(*leaves);
                while let Some(range) = policy.next(&parts) {
                    prop_assert!(range.len() > 1);
                    let merged = parts[range.clone()].iter().sum();
                    copied += merged;
                    parts.splice(range, [merged]);
                }
                prop_assert!(parts.len() <= MOST_TIERS * fan_in as usize);
            }
            let all: u64 = checkpoints.iter().sum();
            prop_assert_eq!(parts.iter().sum::<u64>(), all);
            let tiers = u64::from(all.ilog(u64::from(fan_in))) + 1;
            prop_assert!(copied <= all * tiers, "{} of {} in {} tiers", copied, all, tiers);
        }
    }
}
