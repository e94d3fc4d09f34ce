//! What all threads of a store share.
//!
//! # Invariants
//!
//! - Every lock of a store belongs to one of its five parts and is private to that: only calls of the part take
//!   it. What is not in a part never changes, or guards nothing.
//!
//! # Locks
//!
//! Taken in this order of their owners, and none of them across I/O but the first:
//!
//! 1. [`Keeper`]: the checkpoint lock.
//! 2. [`Catalog`]: the names of trees, and then the lock of one tree that is not loaded yet, which is held while
//!    its parts are opened.
//! 3. [`Inflow`]: the insertion lock. Held for the copy of a leaf or a small batch.
//! 4. [`Keeper`] again: what is requested and retried, before what is requested of the next two.
//! 5. [`LogSide`] and [`Background`], and the locks inside trees and columns: for a few words.
//!
//! # Waiting
//!
//! Wait order: the flusher waits for no other thread of the store; workers wait only for the flusher;
//! callers of the store may wait for both. All of them call listeners and wakers, without a lock held. A
//! call from those that would have to wait against this order fails ([`Error::WouldWaitForItself`]).

use std::path::PathBuf;
use std::sync::Arc;

use super::background::Background;
use super::catalog::Catalog;
use super::gate::Gate;
use super::ingest::Inflow;
use super::keeper::Keeper;
use super::log::LogSide;
use super::settings::Settings;
use super::stats::Counters;
use crate::error::{Error, Result};
use crate::fs::{FileSystem, StoreLock};
use crate::ids::StoreId;
use crate::report::Event;
use crate::report::recovery::RecoveryReport;
use crate::sync::Mutex;
use crate::sync::process::Process;

/// A store in operation: five parts, each of which keeps its locks to itself, and what is constant.
pub(crate) struct Engine {
    /// Its trees: which there are, and how they are loaded.
    pub(super) catalog: Catalog,
    /// What comes in, up to the cut.
    pub(super) inflow: Inflow,
    /// What is requested of the flusher, and what is durable.
    pub(super) log: LogSide,
    /// The manifest in force, and what changes it.
    pub(super) keeper: Keeper,
    /// The workers.
    pub(super) background: Background,

    /// The process that has the threads. In a forked child no lock is taken and no file is touched.
    pub(super) process: Process,
    pub(super) fs: Arc<dyn FileSystem>,
    /// For messages.
    pub(super) path: PathBuf,
    pub(super) store: StoreId,
    pub(super) settings: Settings,
    /// Its listeners.
    pub(super) gate: Gate,
    pub(super) counters: Counters,
    /// What was found at opening.
    pub(super) report: RecoveryReport,
    /// Held until the store is closed.
    pub(super) lock: Mutex<Option<Box<dyn StoreLock>>>,
}

impl Engine {
    /// The process that has its threads.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// What was found at opening.
    pub(crate) fn report(&self) -> &RecoveryReport {
        &self.report
    }

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

    /// Ends all writing if a call under the checkpoint lock found another directory in the store's place. To be
    /// called when that lock has been released: a listener that hears of it may ask for a checkpoint itself.
    ///
    /// # Errors
    ///
    /// As [`poison`](Self::poison).
    pub(super) fn poison_if_noted(&self) -> Result<()> {
        match self.keeper.take_displaced() {
            Some(error) => self.poison(error),
            None => Ok(()),
        }
    }

    /// Ends all writing if `error` says that the directory is not the one that was opened any more: what
    /// would be published there is not what the path leads to.
    ///
    /// # Errors
    ///
    /// As [`poison`](Self::poison).
    pub(super) fn poison_if_displaced(&self, error: &Error) -> Result<()> {
        if matches!(error, Error::Displaced(_)) {
            self.poison(error.clone())?;
        }
        Ok(())
    }

    /// Ends all writing: nothing was, or will be, acknowledged beyond the watermark.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this is, or has become, a forked child.
    pub(super) fn poison(&self, error: Error) -> Result<()> {
        self.process.check()?;
        let error = Error::poisoned(&Arc::new(error));
        // Both under one lock: after an insert was refused every token has its answer, and after a token
        // was answered inserts are refused.
        let ending = self.inflow.end(error.clone(), || self.log.begin_end(error.clone()));
        let Some(ending) = ending else { return Ok(()) };
        ending.wake()?;
        self.gate.tell(|| Event::Poisoned { error })
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
    use std::time::Duration;

    use super::*;
    use crate::config::{CheckpointPolicy, Config, FlushPolicy};
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
                threads.spawn(|| engine.poison(Error::Closed).unwrap());
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
