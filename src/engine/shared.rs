//! What all threads of a store share.
//!
//! # Locks
//!
//! Taken in this order, and none of them across I/O but `checkpoints`:
//!
//! 1. `checkpoints`: one checkpoint at a time, and merges while they are installed. Nothing that
//!    inserts, flushes or reads takes it.
//! 2. The names of trees, in `catalog`, and then the lock of one tree that is not loaded yet, which is held while
//!    its parts are opened.
//! 3. The insertion lock, in `inflow`: assigns indexes. Held for the copy of a leaf or a small batch.
//! 4. `upkeep`: what is requested automatically. Taken before those inside control and jobs.
//! 5. `marks`, `holds`, and the locks inside columns, trees and the log side: for a few words.
//!
//! # Waiting
//!
//! Wait order: the flusher waits for no other thread of the store; workers wait only for the flusher;
//! callers of the store may wait for both. All of them call listeners and wakers, without a lock held. A
//! call from those that would have to wait against this order fails ([`Error::WouldWaitForItself`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::background::Background;
use super::catalog::Catalog;
use super::checkpoint::{Checkpoints, Marks};
use super::hold::Holds;
use super::ingest::Inflow;
use super::log::LogSide;
use super::stats::Counters;
use super::upkeep::Upkeep;
use crate::config::Backoff;
use crate::config::Config;
use crate::config::FlushPolicy;
use crate::config::{CheckpointPolicy, CompactionPolicy, Install, ReadMode};
use crate::error::{Error, Result};
use crate::fs::{FileSystem, StoreLock};
use crate::ids::StoreId;
use crate::report::recovery::RecoveryReport;
use crate::report::{Event, Listeners};
use crate::sync::Mutex;
use crate::sync::process::Process;

/// A store in operation.
pub(crate) struct Engine {
    /// The process that has the threads. In a forked child no lock is taken and no file is touched.
    pub(crate) process: Process,
    pub(crate) fs: Arc<dyn FileSystem>,
    /// For messages.
    pub(crate) path: PathBuf,
    pub(crate) store: StoreId,
    pub(crate) counters: Counters,
    pub(crate) report: RecoveryReport,
    pub(crate) settings: Settings,
    pub(super) catalog: Catalog,
    pub(super) inflow: Inflow,
    pub(super) log: LogSide,
    pub(super) background: Background,
    pub(crate) marks: Mutex<Marks>,
    pub(crate) checkpoints: Mutex<Checkpoints>,
    pub(crate) holds: Mutex<Holds>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) listeners: Listeners,
    /// Held until the store is closed.
    pub(crate) lock: Mutex<Option<Box<dyn StoreLock>>>,
}

/// The part of the configuration that is needed while the store runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) flush: FlushPolicy,
    pub(crate) checkpoint: CheckpointPolicy,
    pub(crate) install: Install,
    pub(crate) read_mode: ReadMode,
    pub(crate) compaction: CompactionPolicy,
    pub(crate) merge_at_close: u64,
    pub(crate) backoff: Backoff,
    pub(crate) max_unflushed_bytes: u64,
    pub(crate) group_bytes: u64,
    pub(crate) backpressure_wait: Option<Duration>,
}

impl Settings {
    /// From so many bytes on that the log does not have they are handed to the operating system under
    /// [`FlushPolicy::Manual`].
    pub(super) fn spill_bytes(&self) -> u64 {
        self.max_unflushed_bytes / 2
    }
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            flush: config.flush,
            checkpoint: config.checkpoint.clone(),
            install: config.install,
            read_mode: config.read_mode,
            compaction: config.compaction,
            merge_at_close: config.merge_at_close,
            backoff: config.backoff,
            max_unflushed_bytes: config.max_unflushed_bytes,
            group_bytes: config.group_bytes,
            backpressure_wait: config.backpressure_wait,
        }
    }
}

impl Engine {
    /// Refuses `call`, which may have to wait for the flusher, on the flusher's own thread and in a forked
    /// child.
    pub(crate) fn may_wait(&self, call: &'static str) -> Result<()> {
        self.process.check()?;
        self.log.refuse_here(call)
    }

    /// Refuses `call`, which waits for all threads of the store, on each of them.
    pub(crate) fn may_wait_for_all(&self, call: &'static str) -> Result<()> {
        self.may_wait(call)?;
        if self.background.is_here() {
            return Err(Error::WouldWaitForItself { call, thread: "worker" });
        }
        Ok(())
    }

    /// Ends all writing if `error` says that the directory is not the one that was opened any more: what
    /// would be published there is not what the path leads to.
    pub(super) fn poison_if_displaced(&self, error: &Error) {
        if matches!(error, Error::Displaced(_)) {
            self.poison(error.clone());
        }
    }

    /// Ends all writing: nothing was, or will be, acknowledged beyond the watermark.
    pub(crate) fn poison(&self, error: Error) {
        let error = Error::poisoned(&Arc::new(error));
        // Both under one lock: after an insert was refused every token has its answer, and after a token
        // was answered inserts are refused.
        let ending = self.inflow.end(error.clone(), || self.log.begin_end(error.clone()));
        let Some(ending) = ending else { return };
        ending.wake();
        // A waker may have forked.
        if self.process.is_current() {
            self.listeners.tell(|| Event::Poisoned { error });
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("catalog", &self.catalog)
            .field("durable", &self.log.durable())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Wanted;
    use crate::ids::Seq;
    use crate::merkle::{Arity, Blake3, TreeName};
    use crate::sync::JoinHandle;

    fn open(config: &Config) -> Result<(Arc<Engine>, JoinHandle<()>)> {
        let name = TreeName::main();
        let wanted = Wanted { name, hasher: Arc::new(Blake3), arity: Arity::Four };
        super::super::open(config, Some(&wanted))
    }

    #[test]
    fn an_insert_that_waits_for_a_worker_that_could_not_be_started_gets_room_later() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path())
            .flush_policy(FlushPolicy::Interval(Duration::from_millis(1)))
            .checkpoint_policy(CheckpointPolicy::manual())
            .max_uncheckpointed_bytes(1 << 10)
            .backpressure_wait(Duration::from_secs(60));
        let (engine, flusher) = open(&config).unwrap();
        let tree = Arc::clone(engine.slot(&TreeName::main()).unwrap().tree().unwrap());
        // Those that this thread would start; the flusher tries later.
        crate::sync::FAILING_SPAWNS.set(usize::MAX);
        for _ in 0..200 {
            engine.insert(&tree, &[[1; 32]], super::super::Intake::Insert).unwrap();
        }
        crate::sync::FAILING_SPAWNS.set(0);
        engine.close(flusher).unwrap();
    }

    #[test]
    fn nobody_is_refused_by_a_poisoned_store_before_its_tokens_have_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path()).flush_policy(FlushPolicy::Manual);
        let (engine, flusher) = open(&config).unwrap();
        std::thread::scope(|threads| {
            engine.log.undisturbed(|| {
                threads.spawn(|| engine.poison(Error::Closed));
                // Until it waits for the watermark, with the lock that every insert takes: others hold that for
                // moments.
                let mut held = 0;
                while held < 1000 {
                    held += 1;
                    if let Some(checked) = engine.inflow.check_if_free() {
                        assert!(checked.is_ok(), "refused while tokens have no answer");
                        held = 0;
                    }
                    std::thread::sleep(Duration::from_micros(10));
                }
            });
        });
        assert!(engine.inflow.check().is_err());
        assert!(engine.token(Seq(1)).wait().is_err());
        drop(engine.close(flusher));
    }
}
