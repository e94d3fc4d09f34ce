//! What all threads of a store share.
//!
//! # Invariants
//!
//! - Every lock of what a store holds is private to one of its five components: only methods of the component take it.
//!   Outside of them are two locks that guard no state of theirs: `rewinding` lets one rewind or prune run at a time, and
//!   `lock` holds the lock of the directory until the store is closed.
//! - Callers reach the engine only through [`Shared::engine`](crate::shared::Shared::engine), which refuses a forked
//!   child. So no method here checks that again, except after it has called foreign code.
//!
//! # Locks
//!
//! A thread takes locks in this order of their owners. It holds only the first, and the lock of a tree that it
//! loads, across I/O:
//!
//! 0. `rewinding`, which a rewind holds while it loads trees and waits for a large batch and the flusher, and a prune while it
//!    installs what it left. No thread waits for a job of a worker while it holds it, since workers prune too.
//! 1. [`Keeper`]: the lock of the thread that writes indexes, which is held across their I/O, then the checkpoint lock.
//! 2. [`Catalog`]: the lock of one tree that is not loaded yet, which is held while its parts are opened, and then the names
//!    of trees, which are held for a few words and one record.
//! 3. [`Inflow`]: the insertion lock, held while a leaf or a small batch is copied.
//! 4. [`Keeper`] again: the lock of what is requested and retried.
//! 5. [`LogSide`] and [`Background`], and the locks inside trees and columns, held for a few words.
//!
//! # Waiting
//!
//! Wait order: the flusher waits for no other thread of the store; workers wait only for the flusher;
//! callers of the store may wait for both. All of them call listeners and wakers, and hold no lock meanwhile. If a
//! listener or a waker makes a call that would have to wait against this order, the call fails
//! ([`Error::WouldWaitForItself`]).

use std::path::PathBuf;
use std::sync::Arc;

use super::background::Background;
use super::catalog::Catalog;
use super::counters::Counters;
use super::gate::Gate;
use super::ingest::Inflow;
use super::keeper::Keeper;
use super::log::LogSide;
use super::settings::Settings;
use super::status_file::StatusFile;
use crate::error::{Error, Result};
use crate::fs::{FileSystem, StoreLock};
use crate::ids::StoreId;
use crate::report::Event;
use crate::report::recovery::RecoveryReport;
use crate::sync::Mutex;
use crate::sync::process::Process;

/// A store in operation: five components with private locks, and constants.
pub(crate) struct Engine {
    /// The trees, and how they are loaded.
    pub(super) catalog: Catalog,
    /// The insertion lock, and what was inserted and not cut yet.
    pub(super) inflow: Inflow,
    /// The requests to the flusher, and what is durable.
    pub(super) log: LogSide,
    /// The manifest in force, and the state of checkpoints and merges.
    pub(super) keeper: Keeper,
    /// The workers.
    pub(super) background: Background,

    /// The process that has the threads. A forked child takes no lock and touches no file.
    pub(super) process: Process,
    pub(super) fs: Arc<dyn FileSystem>,
    /// For messages.
    pub(super) path: PathBuf,
    pub(super) store: StoreId,
    pub(super) settings: Settings,
    /// The listeners.
    pub(super) gate: Gate,
    pub(super) counters: Counters,
    /// Held by the thread that rewinds trees. Taken before any other lock, and held while it waits for the flusher.
    pub(super) rewinding: Mutex<()>,
    /// What recovery found.
    pub(super) report: RecoveryReport,
    /// The indexes of parts with a number below this may have lost bytes in a power cut.
    pub(super) doubted_indexes: u64,
    /// What other processes read.
    pub(super) status: Option<StatusFile>,
    /// Held until the store is closed.
    pub(super) lock: Mutex<Option<Box<dyn StoreLock>>>,
}

impl Engine {
    /// The process that has the store's threads.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// What recovery found.
    pub(crate) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Fails on the flusher's own thread, where `call` would wait for itself.
    pub(crate) fn check_may_wait(&self, call: &'static str) -> Result<()> {
        self.log.refuse_on_flusher(call)
    }

    /// Fails on every thread of the store, where `call` would wait for itself.
    pub(crate) fn check_may_wait_for_all(&self, call: &'static str) -> Result<()> {
        self.check_may_wait(call)?;
        if self.background.is_here() {
            return Err(Error::WouldWaitForItself { call, thread: "worker" });
        }
        Ok(())
    }

    /// Ends all writing if a call under the checkpoint lock found another directory in the store's place. The
    /// caller must have released that lock, because a listener of the event may make a checkpoint itself.
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

    /// Ends all writing if `error` says that the path leads to another directory than the one that was opened, where
    /// nothing published in the old one would be found, or that memory has changed by itself.
    ///
    /// # Errors
    ///
    /// As [`poison`](Self::poison).
    pub(super) fn poison_if_fatal(&self, error: &Error) -> Result<()> {
        if matches!(error, Error::Displaced(_) | Error::MemoryChanged { .. }) {
            self.poison(error.clone())?;
        }
        Ok(())
    }

    /// Ends all writing. The store has acknowledged nothing beyond the watermark, and never will.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this is, or has become, a forked child.
    pub(super) fn poison(&self, error: Error) -> Result<()> {
        self.process.check()?;
        let error = Error::poisoned(&Arc::new(error));
        // Both ends happen under one lock: once an insert is refused every token has its answer, and once a token
        // has an error inserts are refused.
        let ending = self.inflow.end(error.clone(), || self.log.begin_end(error.clone()));
        let Some(ending) = ending else { return Ok(()) };
        self.log.report_change();
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
        let (hasher, arity, entries) = (Arc::new(Blake3), Arity::Four, None);
        let wanted = Wanted { name, hasher, arity, entries, indexed: false, origin: None };
        super::super::open(config, Some(&wanted))
    }

    /// A store in which inserts soon wait for a checkpoint.
    fn narrow(dir: &std::path::Path) -> (Arc<Engine>, JoinHandle<()>) {
        let config = Config::new(dir)
            .flush_policy(FlushPolicy::Interval { within: Duration::from_millis(1) })
            .checkpoint_policy(CheckpointPolicy::manual())
            .max_uncheckpointed_bytes(1 << 10)
            .unwrap()
            .backpressure_wait(Duration::from_secs(60));
        open(&config).unwrap()
    }

    fn insert(engine: &Engine, leaves: u8) {
        let tree = engine.slot(&TreeName::main()).unwrap().tree().unwrap();
        for leaf in 0..leaves {
            let addition =
                crate::engine::Addition { tree: &tree.fixed, leaves: &[[leaf; 32]], entries: &[] };
            engine.insert(addition, super::super::Intake::Insert).unwrap();
        }
    }

    #[test]
    fn an_insert_that_waits_for_a_worker_that_could_not_be_started_gets_room_later() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = narrow(dir.path());
        // Starts of workers fail on this thread only; the flusher retries them.
        crate::sync::FAILING_SPAWNS.set(usize::MAX);
        insert(&engine, 200);
        crate::sync::FAILING_SPAWNS.set(0);
        engine.close(flusher).unwrap();
    }

    #[test]
    fn an_insert_makes_room_itself_where_no_worker_can_ever_be_started() {
        let dir = tempfile::tempdir().unwrap();
        crate::sync::CHILDLESS_SPAWNS.set(true);
        let (engine, flusher) = narrow(dir.path());
        crate::sync::FAILING_SPAWNS.set(usize::MAX);
        insert(&engine, 100);
        assert!(engine.background.counts().1 == 0 && engine.background.is_short());
        engine.close(flusher).unwrap();
        crate::sync::FAILING_SPAWNS.set(0);
        crate::sync::CHILDLESS_SPAWNS.set(false);
        let (engine, flusher) = narrow(dir.path());
        assert_eq!(engine.slot(&TreeName::main()).unwrap().tree().unwrap().columns.leaves(), 100);
        engine.close(flusher).unwrap();
    }

    #[test]
    fn the_last_number_that_a_tree_can_have_is_followed_by_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&Config::new(dir.path())).unwrap();
        let make = |id: u64| {
            let name = TreeName::new("other").unwrap();
            let (hasher, arity) = (Arc::new(Blake3), Arity::Four);
            let (entries, indexed, origin) = (None, false, None);
            engine.catalog.make(id, &Wanted { name, hasher, arity, entries, indexed, origin })
        };
        assert_eq!(make(u64::from(u32::MAX)).unwrap().0.id().0, u32::MAX);
        let refused = make(u64::from(u32::MAX) + 1).unwrap_err();
        assert!(matches!(refused, Error::TooManyTrees { .. }), "{refused}");
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
                // Loops until the other thread waits for the watermark under the insertion lock. All other threads
                // hold that lock only for moments.
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
