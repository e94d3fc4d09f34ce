//! How much a store holds in memory: one number, and the limits that follow from it.

use super::Config;
use crate::error::{Error, Result};

/// The default limit of bytes that may wait for a checkpoint, if the policy makes checkpoints automatically.
const UNCHECKPOINTED: u64 = 1 << 30;

/// The least memory that a store can be held to.
const LEAST_MEMORY: u64 = 16 << 20;

/// Which part of the memory that a store may hold is for leaves that wait for the log, and which for nodes that wait
/// for a checkpoint.
const UNFLUSHED_PART: u64 = 8;
const UNCHECKPOINTED_PART: u64 = 2;

impl Config {
    /// How much memory the store holds, about. It lowers the limits that are higher: of leaves that wait for the log
    /// ([`max_unflushed_bytes`](Self::max_unflushed_bytes)) to an eighth of it, and of nodes that wait for a checkpoint
    /// ([`max_uncheckpointed_bytes`](Self::max_uncheckpointed_bytes)) to half of it, also under a checkpoint policy
    /// without triggers. So checkpoints are made, and inserts wait, long before it is reached. The rest is for the
    /// buffers of the log, of checkpoints and of merges, for indexes of recent leaves, and for what is read.
    ///
    /// Not bounded are: one batch that is larger than it, what callers hold (proofs, entries, snapshots of dropped
    /// trees), and, while a store is opened, the leaves since the last checkpoint that a process without this limit left
    /// in the log. Mapped parts and the page cache are the system's, which takes them back. Default: no bound.
    ///
    /// ```
    /// use duramen::Config;
    ///
    /// let config = Config::new("some/directory").max_memory(256 << 20)?;
    /// # let _ = config;
    /// # Ok::<(), duramen::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for less than 16 MiB, in which no store works.
    pub fn max_memory(mut self, bytes: u64) -> Result<Self> {
        if bytes < LEAST_MEMORY {
            let reason = format!("{bytes} is less than {LEAST_MEMORY}");
            return Err(Error::config("max_memory", reason));
        }
        self.max_memory = Some(bytes);
        Ok(self)
    }

    /// A limit that is at most this part of the memory that the store may hold.
    fn bounded(&self, limit: u64, part: u64) -> u64 {
        self.max_memory.map_or(limit, |memory| limit.min(memory / part))
    }

    /// How many bytes of leaves may wait for the log.
    pub(crate) fn unflushed_limit(&self) -> u64 {
        self.bounded(self.max_unflushed_bytes, UNFLUSHED_PART)
    }

    /// How many bytes of nodes may wait for a checkpoint.
    pub(crate) fn uncheckpointed_limit(&self) -> Option<u64> {
        let set = self.max_uncheckpointed_bytes;
        let set = set.or_else(|| self.checkpoint.has_trigger().then_some(UNCHECKPOINTED));
        match (set, self.max_memory) {
            (Some(limit), _) => Some(self.bounded(limit, UNCHECKPOINTED_PART)),
            (None, memory) => memory.map(|memory| memory / UNCHECKPOINTED_PART),
        }
    }

    /// A group of the log with at least this many bytes of leaves is written in pieces.
    pub(crate) fn group_limit(&self) -> u64 {
        self.bounded(self.group_bytes, UNFLUSHED_PART)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CheckpointPolicy;

    #[test]
    fn one_number_lowers_every_limit_that_is_higher() {
        let limits = |config: &Config| {
            let (unflushed, nodes) = (config.unflushed_limit(), config.uncheckpointed_limit());
            (unflushed, nodes, config.group_limit())
        };
        let plain = Config::new("x");
        assert_eq!(limits(&plain), (64 << 20, Some(1 << 30), 32 << 20));
        let manual = plain.clone().checkpoint_policy(CheckpointPolicy::manual());
        assert_eq!(limits(&manual).1, None);
        let small = plain.clone().max_memory(128 << 20).unwrap();
        assert_eq!(limits(&small), (16 << 20, Some(64 << 20), 16 << 20));
        let small = manual.max_memory(128 << 20).unwrap();
        assert_eq!(limits(&small), (16 << 20, Some(64 << 20), 16 << 20));
        let smaller = small.max_uncheckpointed_bytes(1 << 20).unwrap();
        assert_eq!(limits(&smaller).1, Some(1 << 20));
        let large = plain.clone().max_memory(u64::MAX).unwrap();
        assert_eq!(limits(&large), limits(&plain));
        assert!(plain.max_memory((16 << 20) - 1).is_err());
    }
}
