//! When checkpoints are made, and which syncs they use.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::report::checkpoint::CheckpointReason;

/// Bytes of log that justify a checkpoint at close. An open replays this much in the time of a few
/// syncs. A part costs three syncs, at least 16 KiB of disk space, and a share of later merges.
const CLOSE_BYTES: u64 = 1 << 20;
/// The most stretches of log that closing leaves without a checkpoint. Each unclean stop leaves a
/// stretch in a segment of its own, however short the stretch is.
const CLOSE_STRETCHES: usize = 2;

/// This many parts of a few leaves take no noticeable time.
const SMALL_PARTS: usize = 8;

/// When the store makes checkpoints automatically. Triggers combine: any single one is enough. Each
/// trigger counts only durable leaves. Under [`FlushPolicy::Manual`](crate::FlushPolicy) durable means
/// flushed by a caller, and the checkpoint ends at the last flush.
///
/// ```
/// use duramen::CheckpointPolicy;
///
/// let policy = CheckpointPolicy::manual().every_leaves(1_000_000)?.on_close(true);
/// # let _ = policy;
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointPolicy {
    leaves: Option<u64>,
    wal_bytes: Option<u64>,
    /// Bytes of log, and the age of the last checkpoint, that together justify one.
    wal_bytes_after: Option<(u64, Duration)>,
    wal_segments: Option<u64>,
    memory_bytes: Option<u64>,
    interval: Option<Duration>,
    /// Bytes of log that justify a checkpoint when the store is closed.
    on_close: Option<u64>,
    small_parts: usize,
}

impl Default for CheckpointPolicy {
    /// A checkpoint when the log reaches 128 MiB, or 32 MiB if the last checkpoint is at least 5 seconds
    /// ago. A checkpoint at close if the log has more than a little. So an open replays little, by a
    /// writer and by every reader beside it, and memory stays bounded. Leaves that come fast are written in
    /// large parts nevertheless.
    fn default() -> Self {
        let wal_bytes_after = Some((32 << 20, Duration::from_secs(5)));
        Self { wal_bytes: Some(128 << 20), wal_bytes_after, ..Self::manual() }
            .on_close_from(CLOSE_BYTES)
    }
}

impl CheckpointPolicy {
    /// No automatic checkpoints. Memory and log grow until the program calls for a checkpoint.
    #[must_use]
    pub fn manual() -> Self {
        Self {
            leaves: None,
            wal_bytes: None,
            wal_bytes_after: None,
            wal_segments: None,
            memory_bytes: None,
            interval: None,
            on_close: None,
            small_parts: SMALL_PARTS,
        }
    }

    /// A checkpoint once this many leaves came since the last one.
    ///
    /// The checkpoint of this trigger, and of the next four, comes earlier if a quarter of
    /// [`max_uncheckpointed_bytes`](crate::Config::max_uncheckpointed_bytes) is reached first. The
    /// reason is then [`Backpressure`](CheckpointReason::Backpressure).
    ///
    /// # Errors
    ///
    /// This call and the next five: [`Config`](crate::Error::Config) for zero, which would mean
    /// checkpoints without end. A policy without the call does not have the trigger.
    pub fn every_leaves(mut self, leaves: u64) -> Result<Self> {
        self.leaves = Some(trigger("every_leaves", leaves)?);
        Ok(self)
    }

    /// A checkpoint once the log since the last checkpoint has this many bytes.
    ///
    /// # Errors
    ///
    /// As [`every_leaves`](Self::every_leaves).
    pub fn wal_bytes(mut self, bytes: u64) -> Result<Self> {
        self.wal_bytes = Some(trigger("wal_bytes", bytes)?);
        Ok(self)
    }

    /// A checkpoint once the log since the last checkpoint has this many bytes and the last checkpoint is at
    /// least this long ago. Each open of the store replays its log. With this trigger the log stays short
    /// under a moderate load, where a checkpoint now and then costs nothing that is noticed. Under a heavy
    /// load [`wal_bytes`](Self::wal_bytes) is reached first.
    ///
    /// # Errors
    ///
    /// As [`every_leaves`](Self::every_leaves), for either value.
    pub fn wal_bytes_after(mut self, bytes: u64, age: Duration) -> Result<Self> {
        let setting = "wal_bytes_after";
        self.wal_bytes_after = Some((trigger(setting, bytes)?, trigger(setting, age)?));
        Ok(self)
    }

    /// A checkpoint once the log since the last checkpoint spans this many segments.
    ///
    /// # Errors
    ///
    /// As [`every_leaves`](Self::every_leaves).
    pub fn wal_segments(mut self, segments: u64) -> Result<Self> {
        self.wal_segments = Some(trigger("wal_segments", segments)?);
        Ok(self)
    }

    /// A checkpoint once the nodes that are only in memory take this many bytes.
    ///
    /// # Errors
    ///
    /// As [`every_leaves`](Self::every_leaves).
    pub fn memory_bytes(mut self, bytes: u64) -> Result<Self> {
        self.memory_bytes = Some(trigger("memory_bytes", bytes)?);
        Ok(self)
    }

    /// A checkpoint once this much time has passed since the last one, if leaves have come. A store
    /// without new leaves makes no checkpoint.
    ///
    /// # Errors
    ///
    /// As [`every_leaves`](Self::every_leaves).
    pub fn interval(mut self, interval: Duration) -> Result<Self> {
        self.interval = Some(trigger("interval", interval)?);
        Ok(self)
    }

    /// Whether closing the store makes a checkpoint if there are leaves since the last one.
    #[must_use]
    pub fn on_close(mut self, yes: bool) -> Self {
        self.on_close = yes.then_some(0);
        self
    }

    /// Closing the store makes a checkpoint in two cases: the log has at least this many bytes since the
    /// last checkpoint, or more than two unclean stops have happened since then. In all other cases
    /// closing flushes the log and records its end, and the next open replays it. So a program that
    /// repeatedly opens a store, inserts a few leaves and closes it does not write a part each time. The
    /// default policy does this from 1 MiB on. An open replays 1 MiB in a few milliseconds.
    #[must_use]
    pub fn on_close_from(mut self, bytes: u64) -> Self {
        self.on_close = Some(bytes);
        self
    }

    /// For how many trees with only a few new leaves (fewer than 64) a checkpoint writes parts. If there
    /// are more such trees, the checkpoint puts their last leaves into the manifest, which it writes
    /// anyway. A later checkpoint puts them into a part. So a block that changes 10,000 trees a little
    /// does not create 10,000 files. 0 puts the leaves of every such tree into the manifest. The default
    /// is 8.
    #[must_use]
    pub fn small_parts(mut self, trees: usize) -> Self {
        self.small_parts = trees;
        self
    }

    pub(crate) fn most_small_parts(&self) -> usize {
        self.small_parts
    }

    /// Whether closing the store makes a checkpoint, always or from some amount of log on.
    #[must_use]
    pub fn is_on_close(&self) -> bool {
        self.on_close.is_some()
    }

    /// Whether closing the store now makes a checkpoint. The log before its open end is in `stretches`
    /// stretches.
    pub(crate) fn is_due_at_close(&self, since: &Since, stretches: usize) -> bool {
        let enough = |least| since.wal_bytes >= least || stretches > CLOSE_STRETCHES;
        since.records > 0 && self.on_close.is_some_and(enough)
    }

    /// Whether checkpoints are made automatically while the store is open.
    pub(crate) fn has_trigger(&self) -> bool {
        let counts = [self.leaves, self.wal_bytes, self.wal_segments, self.memory_bytes];
        self.interval.is_some()
            || self.wal_bytes_after.is_some()
            || counts.iter().any(Option::is_some)
    }

    /// The first trigger that `since` reaches.
    pub(crate) fn due(&self, since: &Since) -> Option<CheckpointReason> {
        let reached = |limit: Option<u64>, value: u64| limit.is_some_and(|limit| value >= limit);
        if since.records == 0 {
            return None;
        }
        if reached(self.leaves, since.leaves) {
            return Some(CheckpointReason::Leaves);
        }
        if reached(self.wal_bytes, since.wal_bytes) {
            return Some(CheckpointReason::WalBytes);
        }
        if self
            .wal_bytes_after
            .is_some_and(|(bytes, age)| since.wal_bytes >= bytes && since.time >= age)
        {
            return Some(CheckpointReason::WalBytes);
        }
        if reached(self.wal_segments, since.wal_segments) {
            return Some(CheckpointReason::WalSegments);
        }
        if reached(self.memory_bytes, since.memory_bytes) {
            return Some(CheckpointReason::Memory);
        }
        self.interval
            .is_some_and(|interval| since.time >= interval)
            .then_some(CheckpointReason::Interval)
    }

    /// The time until a checkpoint is due without anything more.
    pub(crate) fn due_in(&self, since: &Since) -> Option<Duration> {
        let long_enough = self.wal_bytes_after.filter(|(bytes, _)| since.wal_bytes >= *bytes);
        let ages = self.interval.into_iter().chain(long_enough.map(|(_, age)| age));
        ages.min().map(|age| age.saturating_sub(since.time))
    }
}

/// The value of a trigger. Fails for zero.
fn trigger<T: Default + PartialEq>(setting: &'static str, value: T) -> Result<T> {
    if value == T::default() {
        return Err(Error::config(setting, "zero would mean checkpoints without end"));
    }
    Ok(value)
}

/// What has accumulated since the last checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Since {
    /// Leaves, plus trees that were created, sealed or dropped.
    pub(crate) records: u64,
    pub(crate) leaves: u64,
    pub(crate) wal_bytes: u64,
    pub(crate) wal_segments: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) time: Duration,
}

/// Which syncs a checkpoint uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Install {
    /// The part, the directory and the manifest are made durable, one after another, before the log is
    /// truncated.
    #[default]
    Strict,
    /// The part and its directory are not synced before the manifest. This is faster, but only for
    /// stores that can be rebuilt from elsewhere. A power cut shortly after a checkpoint may leave a
    /// manifest without its part. The store then fails to open.
    Fast,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_makes_a_checkpoint_of_much_and_leaves_little_in_the_log() {
        let on = CheckpointPolicy::default();
        let little = Since { records: 1, wal_bytes: CLOSE_BYTES - 1, ..Since::default() };
        assert!(!on.is_due_at_close(&little, CLOSE_STRETCHES));
        let much = Since { wal_bytes: CLOSE_BYTES, ..little };
        for (since, stretches) in [(much, 0), (little, CLOSE_STRETCHES + 1)] {
            assert!(on.is_due_at_close(&since, stretches), "{since:?}");
            assert!(!on.is_due_at_close(&Since { records: 0, ..since }, stretches));
            assert!(!CheckpointPolicy::manual().is_due_at_close(&since, stretches));
            assert!(CheckpointPolicy::manual().on_close(true).is_due_at_close(&since, 0));
        }
    }

    #[test]
    fn each_trigger_alone_is_enough_and_gives_its_own_reason() {
        let second = Duration::from_secs(1);
        let cases = [
            (CheckpointPolicy::manual().every_leaves(10).unwrap(), CheckpointReason::Leaves),
            (CheckpointPolicy::manual().wal_bytes(10).unwrap(), CheckpointReason::WalBytes),
            (
                CheckpointPolicy::manual().wal_bytes_after(10, second).unwrap(),
                CheckpointReason::WalBytes,
            ),
            (CheckpointPolicy::manual().wal_segments(10).unwrap(), CheckpointReason::WalSegments),
            (CheckpointPolicy::manual().memory_bytes(10).unwrap(), CheckpointReason::Memory),
            (CheckpointPolicy::manual().interval(second).unwrap(), CheckpointReason::Interval),
        ];
        let at = |value| Since {
            records: value,
            leaves: value,
            wal_bytes: value,
            wal_segments: value,
            memory_bytes: value,
            time: Duration::from_millis(100 * value),
        };
        for (policy, reason) in cases {
            assert_eq!(policy.due(&at(9)), None, "{reason}");
            assert_eq!(policy.due(&at(10)), Some(reason));
            assert_eq!(policy.due(&Since { records: 0, ..at(10) }), None, "nothing new, {reason}");
            assert_eq!(CheckpointPolicy::manual().due(&at(1000)), None);
        }
    }

    #[test]
    fn a_shorter_log_is_due_only_once_the_last_checkpoint_is_old() {
        let policy = CheckpointPolicy::default();
        let (bytes, age) = (32 << 20, Duration::from_secs(5));
        let since = Since { records: 1, wal_bytes: bytes, time: age, ..Since::default() };
        assert_eq!(policy.due(&since), Some(CheckpointReason::WalBytes));
        assert_eq!(policy.due(&Since { wal_bytes: bytes - 1, ..since }), None);
        assert_eq!(policy.due(&Since { time: age - Duration::from_millis(1), ..since }), None);
        let heavy = Since { wal_bytes: 128 << 20, time: Duration::ZERO, ..since };
        assert_eq!(policy.due(&heavy), Some(CheckpointReason::WalBytes));
        // Without another leaf it is due once the time has come.
        let young = Since { time: Duration::from_secs(2), ..since };
        assert_eq!(policy.due_in(&young), Some(Duration::from_secs(3)));
        assert_eq!(policy.due_in(&Since { wal_bytes: bytes - 1, ..young }), None);
        let often = policy.interval(Duration::from_secs(4)).unwrap();
        assert_eq!(often.due_in(&young), Some(Duration::from_secs(2)));
        assert!(CheckpointPolicy::manual().wal_bytes_after(0, age).is_err());
        assert!(CheckpointPolicy::manual().wal_bytes_after(1, Duration::ZERO).is_err());
    }
}
