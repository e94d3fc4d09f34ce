//! Which leaves a tree keeps by itself. Pure.
//!
//! # Invariants
//!
//! - What any rule keeps stays.
//! - For each leaf that is dropped at most one is written again, but for the leaves of one tile. Each prune drops at least an
//!   eighth of what it keeps.

use std::ops::Range;
use std::time::Duration;

use crate::error::{Error, Result};

/// A prune by policy drops at least this part of the leaves that stay.
const LEAST: u64 = 8;

/// Which leaves a tree keeps: the others are [pruned](crate::DynAccumulator::prune) in the background, after a checkpoint. What any
/// of the rules keeps stays, so a policy without rules, the default, keeps everything.
///
/// A prune runs once it drops at least an eighth of what it keeps, and writes no more leaves again than it drops. So a tree keeps
/// more than it must: where its parts are large, somewhat more than twice as much. Inserts never wait for it.
/// Closing does not wait for a prune either: one that has begun is given up, and the next opening begins it again.
///
/// ```
/// use std::time::Duration;
/// use duramen::RetentionPolicy;
///
/// // A million leaves, those of the last week, and all from the hundredth last mark on.
/// let policy = RetentionPolicy::keep_all()
///     .newest(1_000_000)
///     .younger_than(Duration::from_secs(7 * 24 * 3600))?
///     .marks(100)?;
/// # let _ = policy;
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RetentionPolicy {
    newest: Option<u64>,
    age: Option<Duration>,
    marks: Option<usize>,
}

/// What is known of a tree that a policy looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<'a> {
    /// The first leaf that it has.
    pub(crate) base: u64,
    /// Its leaves in the last checkpoint.
    pub(crate) size: u64,
    /// The leaves of each of its parts.
    pub(crate) parts: &'a [Range<u64>],
    /// Its sizes at the marks, oldest first.
    pub(crate) marked: &'a [u64],
    /// How many leaves are older than the policy keeps them.
    pub(crate) old: u64,
    /// Whether it is published as tiles.
    pub(crate) has_tiles: bool,
}

impl RetentionPolicy {
    /// Nothing is dropped.
    #[must_use]
    pub fn keep_all() -> Self {
        Self::default()
    }

    /// Keeps the newest `leaves` leaves.
    #[must_use]
    pub fn newest(self, leaves: u64) -> Self {
        Self { newest: Some(leaves), ..self }
    }

    /// Keeps the leaves that were inserted less than `age` ago. Checkpoints note how many leaves the tree has, so leaves stay until
    /// the checkpoint behind them is this old, and a thirty-second of the time longer.
    ///
    /// The time is that of the system's clock. If that goes back, leaves stay longer. If it jumps ahead, they go early. Without this
    /// rule no times are noted. So leaves from before count from the first checkpoint of their tree with it, and a tree that gets no
    /// more leaves, and had no such checkpoint, keeps them.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) for zero, which would keep nothing.
    pub fn younger_than(self, age: Duration) -> Result<Self> {
        if age.is_zero() {
            return Err(Error::config("younger_than", "no leaf is younger than 0"));
        }
        Ok(Self { age: Some(age), ..self })
    }

    /// Keeps what the newest `marks` [marks](crate::Store::mark) need: the tree can be read and rewound at each of them. While the
    /// store has fewer marks, everything is kept.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::Error::Config) for zero, which would keep nothing.
    pub fn marks(self, marks: usize) -> Result<Self> {
        if marks == 0 {
            return Err(Error::config("marks", "0 marks need nothing"));
        }
        Ok(Self { marks: Some(marks), ..self })
    }

    /// Whether anything can be dropped.
    pub(crate) fn has_rules(&self) -> bool {
        *self != Self::default()
    }

    /// Whether leaves are kept for marks.
    pub(crate) fn keeps_marks(&self) -> bool {
        self.marks.is_some()
    }

    /// How long leaves are kept, if for a time.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.age
    }

    /// The first leaf that must stay.
    fn bound(&self, tree: &Kept<'_>) -> u64 {
        let newest = self.newest.map(|newest| tree.size.saturating_sub(newest));
        let age = self.age.map(|_| tree.old);
        let marks = self.marks.map(|marks| {
            let at = tree.marked.len().checked_sub(marks);
            // A rewind may have left marks with more leaves below ones with fewer.
            at.and_then(|at| tree.marked[at..].iter().min().copied()).unwrap_or(0)
        });
        let bound = [newest, age, marks].into_iter().flatten().min().unwrap_or(0);
        bound.min(tree.size)
    }

    /// The leaf below which the tree is to be pruned now, if it is.
    pub(crate) fn cut(&self, tree: &Kept<'_>) -> Option<u64> {
        let mut cut = self.bound(tree);
        if let Some(part) = tree.parts.iter().find(|part| part.start < cut && cut < part.end) {
            let start = part.start.max(tree.base);
            if cut.saturating_sub(start) < part.end - cut {
                cut = start;
            }
        }
        if tree.has_tiles {
            // So that bundles of entries stay whole.
            cut -= cut % 256;
        }
        let (gone, left) = (cut.saturating_sub(tree.base), tree.size - cut);
        (gone > 0 && gone >= left / LEAST).then_some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<'a>(base: u64, size: u64, parts: &'a [Range<u64>], marked: &'a [u64]) -> Kept<'a> {
        Kept { base, size, parts, marked, old: 0, has_tiles: false }
    }

    #[test]
    fn what_any_rule_keeps_stays() {
        let all = RetentionPolicy::keep_all();
        assert!(!all.has_rules());
        let tree = Kept { old: 600, ..kept(0, 1000, &[], &[100, 500, 900]) };
        let cut = |policy: RetentionPolicy| policy.cut(&tree);
        assert_eq!(cut(all.clone()), None);
        assert_eq!(cut(all.clone().newest(10)), Some(990));
        assert_eq!(cut(all.clone().newest(0)), Some(1000));
        assert_eq!(cut(all.clone().newest(2000)), None);
        let age = Duration::from_secs(1);
        assert_eq!(cut(all.clone().younger_than(age).unwrap()), Some(600));
        assert_eq!(cut(all.clone().marks(1).unwrap()), Some(900));
        assert_eq!(cut(all.clone().marks(2).unwrap()), Some(500));
        assert_eq!(cut(all.clone().marks(3).unwrap()), None, "100 is less than an eighth of 900");
        assert_eq!(cut(all.clone().marks(4).unwrap()), None);
        let both = all.clone().newest(10).younger_than(age).unwrap();
        assert_eq!(cut(both.clone()), Some(600));
        assert_eq!(cut(both.marks(2).unwrap()), Some(500));
        assert!(all.clone().marks(0).is_err() && all.younger_than(Duration::ZERO).is_err());
    }

    #[test]
    fn no_more_is_written_again_than_is_dropped() {
        let policy = RetentionPolicy::keep_all().newest(100);
        let cut = |size: u64| policy.cut(&kept(0, size, &[0..1000, 1000..size], &[]));
        // 950 leaves of the first part can go, and 50 are written again.
        assert_eq!(cut(1050), Some(950));
        // 140 of the 240 leaves of the second part are more than half, 99 of 199 are not.
        assert_eq!(cut(1240), Some(1140));
        assert_eq!(cut(1199), Some(1000));
        assert_eq!(cut(2100), Some(2000));
        // 60 of a part of 200 are not worth it, the part before is.
        assert_eq!(policy.cut(&kept(0, 360, &[0..200, 200..400], &[])), Some(200));
        // From the base on.
        let part = std::slice::from_ref(&(200..400));
        assert_eq!(policy.cut(&kept(200, 340, part, &[])), None);
        assert_eq!(policy.cut(&kept(200, 410, part, &[])), Some(310));
    }

    #[test]
    fn a_tree_with_tiles_is_cut_between_bundles() {
        let policy = RetentionPolicy::keep_all().newest(1000);
        let tree = Kept { has_tiles: true, ..kept(0, 10_000, &[], &[]) };
        assert_eq!(policy.cut(&tree), Some(9000 - 9000 % 256));
        let tree = Kept { has_tiles: true, ..kept(8960, 10_010, &[], &[]) };
        assert_eq!(policy.cut(&tree), None);
    }
}
