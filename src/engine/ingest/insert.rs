//! Appends leaves, and requests flushes.
//!
//! # Invariants
//!
//! - The hash function is foreign code, and its threads may be busy elsewhere. A thread hashes nodes without the
//!   lock, after it has inserted the batch. No insert waits for the hashing, and a panic there undoes nothing.
//! - A batch is refused before any of it is published, or published whole, in all its trees.

use std::ops::Range;
use std::sync::Arc;

use super::addition::Addition;
use super::room::{Demand, Trees};
use super::state::{Ingest, Written};
use crate::column::LeafWriter;
use crate::config::FlushPolicy;
use crate::durability::DurabilityToken;
use crate::engine::Fixed;
use crate::engine::shared::Engine;
use crate::engine::tree::BATCH_FROM;
use crate::error::Result;
use crate::ids::{Seq, TreeId};
use crate::mark::MarkName;
use crate::merkle::Hash;
use crate::sync;
use crate::sync::MutexGuard;

/// So many bytes of records are flushed before the interval ends: 8 MiB. Otherwise the disk would idle and then
/// get everything at once.
const HURRY_BYTES: u64 = 8 << 20;

/// Whether an insert may wait for room, and whether it ends at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    /// Waits for room. The flush policy and other callers decide when it becomes durable.
    Insert,
    /// As `Insert`, but is refused where it would have to wait.
    Try,
    /// As `Insert`, and names a point at its end. The caller requests the flush.
    Durable,
}

/// Batches of at least so many bytes of leaves and entries are copied without the lock: 1 MiB.
pub(super) const LARGE_FROM: u64 =
    if cfg!(duramen_loom) { 5 * size_of::<Hash>() as u64 } else { 1 << 20 };

/// A large batch that its thread is copying. Returns the writers of its trees however it ends.
struct Large<'a> {
    engine: &'a Engine,
    written: Vec<Written>,
}

impl<'a> Large<'a> {
    /// Publishes the copied leaves. Fails if the store has ended meanwhile, or a tree was sealed or dropped.
    fn publish(mut self) -> Result<MutexGuard<'a, Ingest>> {
        let written = std::mem::take(&mut self.written);
        self.end(written)
    }

    fn end(&self, written: Vec<Written>) -> Result<MutexGuard<'a, Ingest>> {
        let mut ingest = self.engine.inflow.lock();
        let ended = ingest.end_large(written);
        if ingest.waiting > 0 {
            self.engine.inflow.wake();
        }
        ended.map(|()| ingest)
    }
}

impl Drop for Large<'_> {
    fn drop(&mut self) {
        let mut written = std::mem::take(&mut self.written);
        if written.is_empty() {
            return;
        }
        // Copying has panicked: nothing is published.
        written.iter_mut().for_each(|written| (written.count, written.entry_bytes) = (0, 0));
        drop(self.end(written));
    }
}

/// How an insert notifies the flusher.
enum Signal {
    Nothing,
    Dirty,
    Hurry(Seq),
    Spill,
}

impl Engine {
    /// Hashes a tree after a batch of `leaves` leaves, if the batch is large enough to be worth it.
    #[inline(always)]
    pub(super) fn hash_large(&self, tree: &Fixed, leaves: usize) {
        if leaves >= BATCH_FROM {
            self.hash(tree);
        }
    }

    #[cold]
    fn hash(&self, tree: &Fixed) {
        let Some(tree) = self.catalog.tree(tree.id()) else { return };
        if !sync::returns(|| tree.hash_if_free()) {
            // The next caller that needs the nodes hashes them again, and gets the panic.
            tracing::error!("the hash function panicked");
        }
    }

    /// Appends leaves to a tree as one batch: after a crash all of them are there or none. Returns the index of
    /// the first and the batch's sequence number. The leaves are visible when this returns, and durable once the
    /// log is durable up to that number.
    pub(crate) fn insert(&self, addition: Addition<'_>, how: Intake) -> Result<(u64, Seq)> {
        let Addition { tree, leaves, .. } = addition;
        addition.check()?;
        let large = addition.bytes() >= LARGE_FROM;
        let trees = || vec![tree.name().clone()];
        let mut ingest = self.enter(how, large, || addition.node_bytes(), &trees)?;
        let first;
        if large {
            first = ingest.check_tree(tree)?;
            ingest = self.append_large(ingest, &[addition], None)?;
        } else {
            first = ingest.append(&addition)?;
        }
        if leaves.is_empty() {
            return Ok((first, Seq(0)));
        }
        let seq = self.leave(ingest, how);
        self.hash_large(tree, leaves.len());
        Ok((first, seq))
    }

    /// Appends leaves to several trees at one moment, and marks it. Each tree has one addition. A reader of all trees
    /// together sees all of the leaves or none, and so does the next open after a crash, with the mark. Returns the
    /// range of indexes of each addition, in order.
    pub(crate) fn insert_all(
        &self,
        additions: &[Addition<'_>],
        mark: Option<&MarkName>,
        how: Intake,
    ) -> Result<(Vec<Range<u64>>, DurabilityToken)> {
        additions.iter().try_for_each(Addition::check)?;
        let large = additions.iter().map(Addition::bytes).sum::<u64>() >= LARGE_FROM;
        let bytes = || additions.iter().map(Addition::node_bytes).fold(0, u64::saturating_add);
        let trees = || additions.iter().map(|addition| addition.tree.name().clone()).collect();
        let mut ingest = self.enter(how, large, bytes, &trees)?;
        let mut ranges = Vec::with_capacity(additions.len());
        for Addition { tree, leaves, .. } in additions {
            let first = ingest.check_tree(tree)?;
            ranges.push(first..first + leaves.len() as u64);
        }
        if let Some(mark) = mark {
            ingest.check_mark(mark)?;
        } else if additions.iter().all(|addition| addition.leaves.is_empty()) {
            return Ok((ranges, self.token(Seq(0))));
        }
        if large {
            ingest = self.append_large(ingest, additions, mark)?;
        } else {
            for addition in additions {
                ingest.append(addition)?;
            }
        }
        if let Some(mark) = mark {
            ingest.mark(mark)?;
        }
        let seq = self.leave(ingest, how);
        additions.iter().for_each(|addition| self.hash_large(addition.tree, addition.leaves.len()));
        let ends = additions.iter().zip(&ranges).filter(|(_, range)| !range.is_empty());
        let ends = ends.map(|(addition, range)| (addition.tree.id(), range.end)).collect();
        Ok((ranges, self.token_of_leaves(seq, ends)))
    }

    /// Copies and publishes a large batch, which will set the mark `mark`. Releases the lock while it copies.
    pub(super) fn append_large<'a, 'b>(
        &'a self,
        mut ingest: MutexGuard<'a, Ingest>,
        additions: &'b [Addition<'b>],
        mark: Option<&MarkName>,
    ) -> Result<MutexGuard<'a, Ingest>> {
        let trees: Vec<_> = additions.iter().map(|addition| addition.tree).collect();
        let writers = ingest.begin_large(&trees, mark);
        drop(ingest);
        let with = |(addition, writer): (&'b Addition<'b>, Option<LeafWriter>)| {
            let (count, entry_bytes) = (addition.leaves.len() as u64, addition.entry_bytes());
            let tree = Arc::clone(addition.tree);
            Some((addition, Written { tree, writer: writer?, count, entry_bytes }))
        };
        let with = additions.iter().zip(writers).filter_map(with);
        let (additions, written): (Vec<&Addition<'_>>, Vec<_>) = with.unzip();
        let mut large = Large { engine: self, written };
        // All trees are different, and no other thread has their writers.
        for (Written { writer, .. }, addition) in large.written.iter_mut().zip(additions) {
            match addition.entries {
                [] => writer.write(addition.leaves),
                entries => writer.write_entries(addition.leaves, entries),
            }
        }
        large.publish()
    }

    /// Has the store accept nothing more, or accept again. Returns when no insert is under way.
    pub(crate) fn set_read_only(&self, yes: bool) -> Result<()> {
        self.check_may_wait_for_all("set_read_only")?;
        self.inflow.set_read_only(yes)
    }

    /// Whether the store accepts nothing until that is taken back.
    pub(crate) fn is_read_only(&self) -> bool {
        self.inflow.is_read_only()
    }

    /// Takes the insertion lock for an insert of `bytes` bytes into `trees`, once there is room for it.
    #[inline(always)]
    pub(super) fn enter(
        &self,
        how: Intake,
        large: bool,
        bytes: impl FnOnce() -> u64,
        trees: Trees<'_>,
    ) -> Result<MutexGuard<'_, Ingest>> {
        let ingest = self.inflow.lock();
        ingest.check()?;
        if ingest.presses() || large {
            return self.enter_under_pressure(ingest, how, Demand { bytes: bytes(), large }, trees);
        }
        Ok(ingest)
    }

    /// Admits an insert that has to check the limits, or that is a large batch.
    #[cold]
    fn enter_under_pressure<'a>(
        &'a self,
        ingest: MutexGuard<'a, Ingest>,
        how: Intake,
        demand: Demand,
        trees: Trees<'_>,
    ) -> Result<MutexGuard<'a, Ingest>> {
        ingest.check_accepts()?;
        match how {
            Intake::Insert | Intake::Durable => self.wait_for_admission(ingest, demand, trees),
            Intake::Try => self.try_admit(ingest, demand),
        }
    }

    /// Releases the insertion lock after an insert or a record was accepted, and notifies the flusher. Returns the
    /// sequence number of what was accepted.
    #[inline(always)]
    pub(super) fn leave(&self, mut ingest: MutexGuard<'_, Ingest>, how: Intake) -> Seq {
        let signal = match how {
            Intake::Insert | Intake::Try => self.signal(&mut ingest),
            Intake::Durable => {
                ingest.name_point();
                Signal::Nothing
            }
        };
        let seq = ingest.accepted().seq;
        drop(ingest);
        match signal {
            Signal::Nothing => {}
            Signal::Dirty => self.log.dirty(),
            Signal::Hurry(seq) => self.log.request(seq),
            Signal::Spill => self.log.spill(),
        }
        seq
    }

    /// Returns when everything inserted before the call is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        let seq = self.name_point("flush")?;
        self.flush_to(seq, "flush")
    }

    /// Requests a flush of everything inserted before the call. The token resolves once that is durable.
    pub(crate) fn flush_soon(&self) -> Result<DurabilityToken> {
        let mut ingest = self.inflow.lock();
        ingest.check()?;
        let seq = ingest.name_point();
        drop(ingest);
        self.log.request(seq);
        Ok(self.token(seq))
    }

    /// Names a point after everything inserted so far, for a caller of `call` that will wait until it is durable.
    fn name_point(&self, call: &'static str) -> Result<Seq> {
        let mut ingest = self.inflow.lock();
        ingest.check()?;
        if ingest.accepted().seq > self.log.durable() {
            self.log.refuse_on_flusher(call)?;
        }
        Ok(ingest.name_point())
    }

    /// Returns when the last point is durable: under [`FlushPolicy::Manual`] the last point that a caller named,
    /// otherwise the end of everything inserted before the call.
    pub(crate) fn flush_point(&self) -> Result<()> {
        let ingest = self.inflow.lock();
        ingest.check()?;
        let seq = ingest.point();
        drop(ingest);
        self.flush_to(seq, "flush")
    }

    /// Returns when everything up to `seq` is durable, for a caller of `call`. `seq` is a point or lies before
    /// one.
    pub(crate) fn flush_to(&self, seq: Seq, call: &'static str) -> Result<()> {
        self.log.flush_to(seq, call)
    }

    /// Resolves once everything accepted so far is durable.
    pub(crate) fn token_now(&self) -> DurabilityToken {
        self.token(self.inflow.last())
    }

    /// Resolves once more is durable than now.
    pub(crate) fn token_of_next(&self) -> DurabilityToken {
        self.token(Seq(self.log.durable().0.saturating_add(1)))
    }

    /// Resolves once everything up to `seq` is durable.
    #[inline]
    pub(crate) fn token(&self, seq: Seq) -> DurabilityToken {
        self.log.token(seq)
    }

    /// As [`token`](Self::token), for a leaf that the tree `id` has below `end`: says so if it was dropped by a rewind.
    #[inline]
    pub(crate) fn token_of_leaf(&self, seq: Seq, id: TreeId, end: u64) -> DurabilityToken {
        self.log.token(seq).of_leaf(id, end)
    }

    /// As [`token_of_leaf`](Self::token_of_leaf), for leaves of several trees.
    pub(crate) fn token_of_leaves(&self, seq: Seq, ends: Vec<(TreeId, u64)>) -> DurabilityToken {
        match ends[..] {
            [] => self.token(seq),
            [(id, end)] => self.token_of_leaf(seq, id, end),
            _ => self.token(seq).of_leaves(ends),
        }
    }

    #[inline(always)]
    fn signal(&self, ingest: &mut Ingest) -> Signal {
        let uncut = ingest.uncut_bytes();
        match self.settings.flush {
            FlushPolicy::Interval { .. } if uncut >= HURRY_BYTES => {
                if std::mem::replace(&mut ingest.hurried, true) {
                    return Signal::Nothing;
                }
                Signal::Hurry(ingest.accepted().seq)
            }
            FlushPolicy::Interval { .. } => {
                if std::mem::replace(&mut ingest.notified, true) {
                    return Signal::Nothing;
                }
                Signal::Dirty
            }
            FlushPolicy::Manual => {
                let early = uncut >= self.settings.spill_bytes();
                if early && !std::mem::replace(&mut ingest.hurried, true) {
                    return Signal::Spill;
                }
                Signal::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::config::{CheckpointPolicy, Config};
    use crate::engine::{Tree, Wanted};
    use crate::error::{Error, Limit};
    use crate::merkle::{Arity, Blake3, TreeName};
    use crate::sync::JoinHandle;

    fn open(dir: &tempfile::TempDir) -> (Arc<Engine>, JoinHandle<()>) {
        let config = Config::new(dir.path())
            .flush_policy(FlushPolicy::Interval { within: Duration::from_millis(1) })
            .checkpoint_policy(CheckpointPolicy::manual());
        let name = TreeName::main();
        let (hasher, arity, entries) = (Arc::new(Blake3), Arity::Four, None);
        let wanted = Wanted { name, hasher, arity, entries, indexed: false, origin: None };
        crate::engine::open(&config, Some(&wanted)).unwrap()
    }

    fn tree(engine: &Engine) -> Arc<Tree> {
        engine.slot(&TreeName::main()).unwrap().tree().unwrap()
    }

    fn begin(engine: &Engine) -> Large<'_> {
        let tree = Arc::clone(&tree(engine).fixed);
        let mut writers = engine.inflow.lock().begin_large(&[&tree], None);
        let mut writer = writers.pop().flatten().unwrap();
        writer.write(&[[8; 32]; 3]);
        Large { engine, written: vec![Written { tree, writer, count: 3, entry_bytes: 0 }] }
    }

    fn wait_until_one_waits(engine: &Engine) {
        while engine.inflow.lock().waiting == 0 {
            thread::sleep(Duration::from_micros(10));
        }
    }

    /// Whether a thread ends by itself.
    fn returns_soon<T>(thread: &thread::ScopedJoinHandle<'_, T>) -> bool {
        let started = std::time::Instant::now();
        while !thread.is_finished() && started.elapsed() < Duration::from_secs(30) {
            thread::sleep(Duration::from_millis(1));
        }
        thread.is_finished()
    }

    fn insert(engine: &Engine, how: Intake) -> Result<(u64, Seq)> {
        let addition = Addition { tree: &tree(engine).fixed, leaves: &[[7; 32]], entries: &[] };
        engine.insert(addition, how)
    }

    #[test]
    fn while_a_large_batch_is_copied_inserts_wait_and_a_flush_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        for given_up in [true, false] {
            let (before, _) = insert(&engine, Intake::Insert).unwrap();
            let batch = begin(&engine);
            let refused = insert(&engine, Intake::Try).unwrap_err();
            let large = Limit::LargeBatch;
            assert!(matches!(refused, Error::WouldBlock { limit, .. } if limit == large));
            engine.flush().unwrap();
            thread::scope(|threads| {
                let after = threads.spawn(|| insert(&engine, Intake::Insert).unwrap().0);
                wait_until_one_waits(&engine);
                let count = if given_up {
                    // As by a panic.
                    drop(batch);
                    0
                } else {
                    drop(batch.publish().unwrap());
                    3
                };
                let first = before + 1 + count;
                assert_eq!(after.join().unwrap(), first);
            });
        }
        engine.flush().unwrap();
        engine.close(flusher).unwrap();
    }

    #[test]
    fn a_store_that_is_closed_while_a_large_batch_is_copied_has_nothing_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, flusher) = open(&dir);
        insert(&engine, Intake::Insert).unwrap();
        // Closing then writes nothing, so only closing itself can wake the insert.
        engine.flush().unwrap();
        let batch = begin(&engine);
        thread::scope(|threads| {
            let after = threads.spawn(|| insert(&engine, Intake::Insert));
            wait_until_one_waits(&engine);
            engine.close(flusher).unwrap();
            let woken = returns_soon(&after);
            engine.inflow.wake();
            assert!(matches!(after.join().unwrap(), Err(Error::Closed)));
            assert!(woken, "an insert waits in a store that is closed");
        });
        assert!(matches!(batch.publish(), Err(Error::Closed)));
        assert_eq!(tree(&engine).columns.leaves(), 1);
        drop(engine);
        let (engine, flusher) = open(&dir);
        assert_eq!(tree(&engine).columns.leaves(), 1);
        engine.close(flusher).unwrap();
    }
}
