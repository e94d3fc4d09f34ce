//! The settings that a running store needs.

use std::time::Duration;

use crate::config::Backoff;
use crate::config::Config;
use crate::config::FlushPolicy;
use crate::config::{CheckpointPolicy, CompactionPolicy, Install, ReadMode, Retention};

/// The part of the configuration that is needed while the store runs.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) flush: FlushPolicy,
    pub(super) claim_idle: Option<Duration>,
    pub(super) checkpoint: CheckpointPolicy,
    pub(super) install: Install,
    pub(super) read_mode: ReadMode,
    pub(super) compaction: CompactionPolicy,
    pub(super) merge_at_close: u64,
    pub(super) retention: Retention,
    pub(super) backoff: Backoff,
    pub(super) max_unflushed_bytes: u64,
    pub(super) group_bytes: u64,
    pub(super) backpressure_wait: Option<Duration>,
}

impl Settings {
    /// Under [`FlushPolicy::Manual`] records are written without a sync once so many bytes wait for the log.
    pub(super) fn spill_bytes(&self) -> u64 {
        self.max_unflushed_bytes / 2
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            flush: config.flush,
            claim_idle: config.claim_idle,
            checkpoint: config.checkpoint.clone(),
            install: config.install,
            read_mode: config.read_mode,
            compaction: config.compaction,
            merge_at_close: config.merge_at_close,
            retention: config.retention.clone(),
            backoff: config.backoff,
            max_unflushed_bytes: config.unflushed_limit(),
            group_bytes: config.group_limit(),
            backpressure_wait: config.backpressure_wait,
        }
    }
}
