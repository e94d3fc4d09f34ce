//! The limits at which inserts are slowed down or stopped. Pure.
//!
//! # Invariants
//!
//! - Below [`Limits::gate`] there is no pressure: an insert makes two comparisons.
//! - Long before a limit inserts are slowed down to the rate at which room is made. At the limit they stop. The
//!   work that makes room is requested where the slowing begins.
//! - How much inserts are slowed down follows from the bytes that are not *written* yet. A checkpoint frees memory
//!   all at once, at its end. If the pace followed from memory alone, inserts would come in bursts and stop in
//!   between.

use std::time::Duration;

use super::tally::Tally;
use crate::config::Config;
use crate::error::Limit;

/// The limits of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of records that may wait for the log.
    pub(crate) unflushed: u64,
    /// Bytes of nodes that may wait for a checkpoint.
    pub(crate) uncheckpointed: Option<u64>,
    /// Parts that one tree may have.
    pub(crate) parts: Option<u64>,
}

impl Limits {
    /// The limits in `config`.
    pub(crate) fn of(config: &Config) -> Self {
        let parts = config.compaction.parts_limit();
        let (unflushed, uncheckpointed) = (config.unflushed_limit(), config.uncheckpointed_limit());
        Self { unflushed, uncheckpointed, parts }
    }
}

/// What counts against the limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// What the store has accepted.
    pub(crate) accepted: Tally,
    /// What the log has.
    pub(crate) written: Tally,
    /// What the last checkpoint has.
    pub(crate) checkpointed: Tally,
    /// Bytes of nodes that the checkpoint under way has written.
    pub(crate) copied: u64,
    /// The largest number of parts of any tree.
    pub(crate) parts: u64,
    /// Whether a new checkpoint would have more than the last one. False under
    /// [`FlushPolicy::Manual`](crate::FlushPolicy) until a caller names a point after the last checkpoint.
    pub(crate) relief: bool,
}

impl Held {
    /// Bytes of records that the log does not have.
    fn unflushed(&self) -> u64 {
        self.accepted.record_bytes_since(self.written)
    }

    /// Bytes of nodes that no checkpoint has.
    fn memory(&self) -> u64 {
        self.accepted.node_bytes_since(self.checkpointed)
    }
}

/// The amounts from which on an insert has to check the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    records: u64,
    nodes: u64,
}

impl Gate {
    /// Whether `accepted` has reached the gate.
    #[inline]
    pub(crate) fn is_reached(self, accepted: &Tally) -> bool {
        accepted.records >= self.records || accepted.nodes >= self.nodes
    }
}

/// What an insert has to do because of the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pressure {
    Nothing,
    /// Slow down. The share is 0 where the slowing begins and 1 where it is greatest.
    Slow(Limit, f64),
    /// Wait.
    Full {
        limit: Limit,
        held: u64,
        allowed: u64,
    },
}

/// Where slowing down for too many parts begins.
const fn soft(limit: u64) -> u64 {
    limit - limit / 4
}

const fn max1(limit: u64) -> u64 {
    if limit == 0 { 1 } else { limit }
}

/// Where slowing down begins for bytes that are not written yet.
const fn unwritten_soft(limit: u64) -> u64 {
    max1(limit / 4)
}

/// Where inserts are slowest. While a checkpoint writes these bytes, as many again may be inserted before it ends.
const fn unwritten_most(limit: u64) -> u64 {
    max1(limit / 2)
}

impl Limits {
    /// The gate from which on an insert has to check the limits.
    pub(crate) fn gate(&self, held: &Held) -> Gate {
        if self.parts.is_some_and(|limit| held.parts >= soft(limit)) {
            return Gate { records: 0, nodes: 0 };
        }
        let records = held.written.records.saturating_add(self.unflushed);
        let nodes = self.uncheckpointed.map_or(u64::MAX, |limit| {
            let from = if held.relief { unwritten_soft(limit) } else { limit };
            held.checkpointed.nodes_after(from)
        });
        Gate { records, nodes }
    }

    /// Whether a checkpoint would relieve inserts.
    pub(crate) fn wants_checkpoint(&self, held: &Held) -> bool {
        held.relief
            && self.uncheckpointed.is_some_and(|limit| held.memory() >= unwritten_soft(limit))
    }

    /// Whether a checkpoint under way falls behind and should have the disk for itself. False while there are so
    /// many parts that merging them is as urgent.
    pub(crate) fn is_behind(&self, held: &Held) -> bool {
        let unwritten = held.memory().saturating_sub(held.copied);
        held.copied > 0
            && self.uncheckpointed.is_some_and(|limit| unwritten >= unwritten_soft(limit))
            && self.parts.is_none_or(|limit| held.parts < soft(limit))
    }

    pub(crate) fn pressure(&self, held: &Held) -> Pressure {
        let unflushed = held.unflushed();
        if unflushed >= self.unflushed {
            let (limit, allowed) = (Limit::UnflushedBytes, self.unflushed);
            return Pressure::Full { limit, held: unflushed, allowed };
        }
        let memory = held.memory();
        let full = |limit, held, allowed: Option<u64>| {
            let allowed = allowed.filter(|allowed| held >= *allowed)?;
            Some(Pressure::Full { limit, held, allowed })
        };
        let slow = |limit, held: u64, from: u64, to: u64| {
            let share = share(held.checked_sub(from)?, to.saturating_sub(from)).min(1.0);
            Some((limit, share))
        };
        let most = if held.relief { Limit::UncheckpointedBytes } else { Limit::UnnamedBytes };
        if let Some(full) = full(most, memory, self.uncheckpointed)
            .or_else(|| full(Limit::Parts, held.parts, self.parts))
        {
            return full;
        }
        let unwritten = memory.saturating_sub(held.copied);
        let memory = self.uncheckpointed.filter(|_| held.relief).and_then(|limit| {
            let (from, to) = (unwritten_soft(limit), unwritten_most(limit));
            slow(Limit::UncheckpointedBytes, unwritten, from, to)
        });
        let parts = self.parts.and_then(|limit| slow(Limit::Parts, held.parts, soft(limit), limit));
        let worst = memory.into_iter().chain(parts).max_by(|(_, a), (_, b)| a.total_cmp(b));
        worst.map_or(Pressure::Nothing, |(limit, share)| Pressure::Slow(limit, share))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio that sets a pace")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// How long inserting `bytes` should take while checkpoints write `drain` bytes per second. The pace is a tenth
/// faster than the drain where the slowing begins, and half as fast where it is greatest. It starts so near the
/// drain that a long load runs at one rate instead of ever slower.
#[expect(clippy::cast_precision_loss, reason = "a pace")]
pub(crate) fn pace(bytes: u64, drain: u64, share: f64) -> Duration {
    let rate = drain.max(1) as f64 * (1.1 - 0.6 * share);
    Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(LONGEST_PACE).min(LONGEST_PACE)
}

/// The longest time for which an insert is slowed down at once.
pub(crate) const LONGEST_PACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::Arity;

    /// What a tree of this arity has accepted.
    fn tally(arity: Arity, leaves: u64) -> Tally {
        let mut tally = Tally::default();
        tally.add_leaves(arity, leaves, 0);
        tally
    }

    /// What a tree of arity 2 holds after so many leaves.
    fn held(accepted: u64, written: u64, checkpointed: u64) -> Held {
        let of = |leaves| tally(Arity::Two, leaves);
        let (accepted, written, checkpointed) = (of(accepted), of(written), of(checkpointed));
        Held { accepted, written, checkpointed, copied: 0, parts: 0, relief: true }
    }

    proptest! {
        #[test]
        fn below_the_gate_nothing_presses_and_at_it_something_does(
            unflushed in 1..10_000_u64,
            uncheckpointed in proptest::option::of(1..10_000_u64),
            parts in proptest::option::of(1..20_u64),
            written in 0..300_u64,
            behind in 0..300_u64,
            have in 0..25_u64,
            arities in proptest::collection::vec(0..4_usize, 700),
            relief in proptest::bool::ANY,
        ) {
            let limits = Limits { unflushed, uncheckpointed, parts };
            let mut accepted = tally(Arity::Eight, written);
            let checkpointed = tally(Arity::Eight, written.saturating_sub(behind));
            let base = Held {
                accepted, written: accepted, checkpointed, copied: 0, parts: have, relief,
            };
            // Leaves of trees of any arity, in any order.
            for arity in arities {
                let held = Held { accepted, ..base };
                let presses = limits.pressure(&held) != Pressure::Nothing;
                let reached = limits.gate(&held).is_reached(&accepted);
                prop_assert_eq!(presses, reached, "{:?} {:?}", limits, held);
                let relieved = Held { copied: have * 1000, ..held };
                prop_assert!(presses || limits.pressure(&relieved) == Pressure::Nothing);
                accepted.add_leaves(Arity::ALL[arity], 1, 0);
            }
        }

        #[test]
        fn the_pace_falls_from_a_tenth_above_the_drain_to_half_of_it(share in 0.0..1.0_f64) {
            let second = |share| pace(1 << 20, 1 << 24, share).as_secs_f64() * 16.0;
            prop_assert!((second(0.0) - 1.0 / 1.1).abs() < 1e-6);
            prop_assert!((second(1.0 / 6.0) - 1.0).abs() < 1e-6);
            prop_assert!(second(share) >= second(0.0) - 1e-6);
            // No insert waits longer than a tenth of a second at a time.
            prop_assert!(second(share) <= 1.6 + 1e-6);
        }
    }

    #[test]
    fn the_limit_that_is_reached_is_named_with_what_is_held() {
        let limits = Limits { unflushed: 320, uncheckpointed: Some(1024), parts: Some(8) };
        let pressure = |accepted, written, checkpointed, parts| {
            limits.pressure(&Held { parts, ..held(accepted, written, checkpointed) })
        };
        let slow = |share| Pressure::Slow(Limit::UncheckpointedBytes, share);
        assert_eq!(pressure(3, 0, 0, 0), Pressure::Nothing);
        assert_eq!(pressure(4, 0, 0, 0), slow(0.0));
        assert_eq!(pressure(6, 0, 0, 0), slow(0.5));
        assert_eq!(pressure(15, 15, 0, 0), slow(1.0));
        let full = |limit, held, allowed| Pressure::Full { limit, held, allowed };
        assert_eq!(pressure(10, 0, 9, 0), full(Limit::UnflushedBytes, 320, 320));
        assert_eq!(pressure(16, 16, 0, 0), full(Limit::UncheckpointedBytes, 1024, 1024));
        assert_eq!(pressure(10, 10, 10, 8), full(Limit::Parts, 8, 8));
        assert_eq!(pressure(10, 10, 10, 6), Pressure::Slow(Limit::Parts, 0.0));
        assert_eq!(pressure(10, 10, 10, 5), Pressure::Nothing);
    }

    #[test]
    fn what_no_checkpoint_may_hold_slows_nobody_down_and_is_refused_at_the_limit() {
        let limits = Limits { unflushed: 9999, uncheckpointed: Some(1024), parts: None };
        let held = |leaves| Held { relief: false, ..held(leaves, leaves, 0) };
        assert_eq!(limits.pressure(&held(15)), Pressure::Nothing);
        let full = Pressure::Full { limit: Limit::UnnamedBytes, held: 1024, allowed: 1024 };
        assert_eq!(limits.pressure(&held(16)), full);
        assert!(!limits.wants_checkpoint(&held(16)));
    }

    #[test]
    fn merges_give_way_to_a_checkpoint_under_way_that_has_not_kept_up_unless_parts_are_too_many() {
        let limits = Limits { unflushed: 9999, uncheckpointed: Some(1024), parts: Some(8) };
        let behind = |leaves, copied, parts| {
            limits.is_behind(&Held { copied, parts, ..held(leaves, leaves, 0) })
        };
        assert!(behind(8, 64, 0) && behind(20, 64, 5));
        assert!(!behind(8, 0, 0), "no checkpoint is under way");
        assert!(!behind(8, 8 * 64 - 255, 0), "it keeps up");
        assert!(!behind(8, 64, 6), "merging is as urgent");
    }

    #[test]
    fn what_a_checkpoint_has_written_slows_nobody_down_but_counts_up_to_the_limit() {
        let limits = Limits { unflushed: 9999, uncheckpointed: Some(1024), parts: None };
        let held = |leaves, copied| limits.pressure(&Held { copied, ..held(leaves, leaves, 0) });
        assert_eq!(held(14, 14 * 64 - 255), Pressure::Nothing);
        assert_eq!(held(14, 14 * 64 - 256), Pressure::Slow(Limit::UncheckpointedBytes, 0.0));
        assert!(matches!(held(16, 16 * 64), Pressure::Full { .. }));
    }
}
