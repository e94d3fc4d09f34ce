//! Decides which trees get a part in a checkpoint, and which keep their last leaves in the manifest. Pure.
//!
//! A part takes a file, two syncs and 16 KiB, however few leaves it has. A leaf in the manifest takes 32 bytes,
//! in this manifest and in every later one until it goes into a part.
//!
//! # Invariants
//!
//! - All leaves of a tree behind its parts are in one place: in a new part or in the manifest.
//! - The leaves in a manifest have a bound for each tree, and another for all trees together.

/// A tree with at least so many leaves behind its parts gets a part.
pub(super) const PART_FROM: u64 = 64;
/// The most leaves that a manifest has: 8 MiB.
const MOST: u64 = (8 << 20) / 32;

/// Which of these trees get a part. Tree `i` has `rests[i]` leaves behind its parts. All other trees together have
/// `kept` leaves in the manifest. If at most `small_parts` of these trees have only a few leaves, each of those
/// gets a part too. O(n log n).
pub(super) fn with_part(rests: &[u64], kept: u64, small_parts: usize) -> Vec<bool> {
    let mut with_part: Vec<_> = rests.iter().map(|rest| *rest >= PART_FROM).collect();
    let small = |at: &usize| (1..PART_FROM).contains(&rests[*at]);
    let mut small: Vec<_> = (0..rests.len()).filter(small).collect();
    if small.len() <= small_parts {
        small.into_iter().for_each(|at| with_part[at] = true);
        return with_part;
    }
    // Largest first, which reaches the bound with the fewest parts.
    small.sort_by_key(|at| std::cmp::Reverse(rests[*at]));
    let mut all = small.iter().map(|at| rests[*at]).fold(kept, u64::saturating_add);
    for at in small {
        if all <= MOST {
            break;
        }
        all -= rests[at];
        with_part[at] = true;
    }
    with_part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_small_trees_get_parts_and_many_stay_in_the_manifest() {
        assert_eq!(with_part(&[1, 0, 63], 0, 2), [true, false, true]);
        assert_eq!(with_part(&[1, 0, 63], 0, 1), [false; 3]);
        assert_eq!(with_part(&[1, 64, 63, 1 << 40], 0, 1), [false, true, false, true]);
        assert_eq!(with_part(&[1], 0, 0), [false]);
        assert!(with_part(&[], 0, 0).is_empty());
    }

    #[test]
    fn the_leaves_in_a_manifest_have_a_bound_and_the_longest_tails_go_first() {
        let rests: Vec<u64> = (0..20_000).map(|at| at % PART_FROM).collect();
        for kept in [0, MOST / 2, MOST, u64::MAX] {
            let with_part = with_part(&rests, kept, 8);
            let tails = rests.iter().zip(&with_part).filter(|(_, part)| !**part);
            let longest = tails.clone().map(|(rest, _)| *rest).max().unwrap();
            let sum: u64 = tails.map(|(rest, _)| rest).sum();
            assert!(sum <= MOST.saturating_sub(kept), "{sum} beside {kept}");
            let parts = rests.iter().zip(&with_part).filter(|(_, part)| **part);
            assert!(parts.clone().all(|(rest, _)| *rest >= longest && *rest > 0));
            // There is no part more than necessary.
            let least = parts.map(|(rest, _)| *rest).min().unwrap();
            assert!(kept > MOST || sum + least > MOST - kept);
        }
    }
}
