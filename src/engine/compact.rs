//! Merging parts.
//!
//! # Invariants
//!
//! - A merge is written without any lock: checkpoints, inserts and reads go on. Only putting it in
//!   place takes the checkpoint lock, for one manifest.
//! - The merged part is durable before the manifest that names it, whatever [`Install`] says: what it
//!   replaces was durable for long.
//! - It is put in place only if its inputs are still live and the root that it gives is the one in
//!   the manifest. Inputs are removed once that manifest is durable, and no backup needs them; whoever
//!   reads them goes on with the mapping that he holds. A merge that fails, or that a crash cuts short,
//!   loses itself alone.
//!
//! [`Install`]: crate::config::Install

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::checkpoint::Checkpoints;
use super::shared::{Engine, Job};
use crate::error::{Damage, Error, Result};
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::ids::PartId;
use crate::merkle::{TreeSize, root_at};
use crate::part::{Merged, Part, PartIdentity, PartSet};
use crate::report::Event;
use crate::report::Steps;
use crate::sync;
use crate::sync::Mutex;

/// How long a merge pauses between two looks at whether it still has to.
const PAUSE: Duration = Duration::from_millis(10);

/// Parts of one tree that become one.
struct Merge {
    tree: usize,
    inputs: Vec<Arc<Part>>,
    identity: PartIdentity,
}

impl Engine {
    /// Asks for merges if the policy wants some among the parts of `live`.
    pub(crate) fn request_compaction(&self, live: &Checkpoints) {
        if live.parts.iter().any(|parts| self.merge_of(parts).is_some()) {
            self.jobs.request(Job::Compact);
        }
    }

    /// Merges parts until the policy wants no more merges, or one fails.
    pub(crate) fn compaction_job(&self, waited: Duration) {
        let Some(retry) = self.take_compaction() else { return };
        self.work.lock().compaction.retries += u64::from(retry);
        let mut steps = Steps { wait: waited, ..Steps::default() };
        while let Some(merge) = self.next_merge() {
            let parts = merge.inputs.len();
            let leaves = merge.identity.to - merge.identity.from;
            self.listeners.tell(|| Event::CompactionBegun { parts, leaves });
            // A listener may have forked.
            if !self.process.is_current() {
                std::mem::forget(merge);
                return;
            }
            let started = Instant::now();
            let mut failed = false;
            match self.merge(&merge, &mut steps) {
                Ok(Some(bytes)) => {
                    let duration = started.elapsed();
                    let steps = std::mem::take(&mut steps);
                    self.work.lock().compaction.complete(&steps, bytes);
                    self.upkeep.lock().compaction.succeeded();
                    tracing::info!(parts, leaves, bytes, ?duration, "parts merged");
                    self.listeners.tell(|| Event::CompactionCompleted {
                        parts,
                        leaves,
                        bytes,
                        duration,
                    });
                }
                Ok(None) | Err(Error::Closed) => {
                    self.listeners.tell(|| Event::CompactionAbandoned { parts });
                }
                Err(error) => {
                    self.work.lock().compaction.failed += 1;
                    let retry_in = self.compaction_put_off(&error);
                    tracing::error!(%error, ?retry_in, "merging parts failed; they stay");
                    self.listeners.tell(|| Event::CompactionFailed { parts, error, retry_in });
                    failed = true;
                }
            }
            if !self.process.is_current() {
                // The parts it was made of may be closed by this, which is the parent's business.
                std::mem::forget(merge);
                return;
            }
            if failed {
                return;
            }
        }
    }

    /// Which of a tree's parts are to be merged.
    fn merge_of(&self, parts: &PartSet) -> Option<std::ops::Range<usize>> {
        let leaves = |part: &Arc<Part>| part.reference().to - part.reference().from;
        let leaves: Vec<_> = parts.parts().iter().map(leaves).collect();
        self.settings.compaction.next(&leaves)
    }

    fn next_merge(&self) -> Option<Merge> {
        self.process.check().ok()?;
        self.go_on().ok()?;
        let mut live = self.checkpoints.lock();
        for tree in 0..live.parts.len() {
            let Some(range) = self.merge_of(&live.parts[tree]) else { continue };
            let inputs = live.parts[tree].parts()[range].to_vec();
            let number = PartId(live.next_part);
            let Some(identity) = Merged::identity(&inputs, number) else { continue };
            live.next_part += 1;
            return Some(Merge { tree, inputs, identity });
        }
        None
    }

    /// Neither a store that is being closed nor one that is poisoned starts or ends a merge.
    fn go_on(&self) -> Result<()> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        self.ingest.lock().check()
    }

    /// Called before each step of a merge, with when the last one began. While a checkpoint does not
    /// keep up with inserts the disk is its own: a merge takes a tenth of the time then.
    fn give_way(&self, step: &Mutex<Instant>) -> Result<()> {
        let mut step = step.lock();
        let mut pause = step.elapsed() * 9;
        while !pause.is_zero() && self.ingest.lock().is_behind() {
            self.go_on()?;
            let slice = pause.min(PAUSE);
            std::thread::sleep(slice);
            pause -= slice;
        }
        *step = Instant::now();
        self.go_on()
    }

    /// Merges parts. Tells the bytes of the new one, or nothing if its inputs were no longer live.
    fn merge(&self, merge: &Merge, steps: &mut Steps) -> Result<Option<u64>> {
        let number = merge.identity.number.0;
        let step = Mutex::new(Instant::now());
        let source = Merged { inputs: &merge.inputs, go_on: &|| self.give_way(&step) };
        let made = self.make_part(&merge.identity, &source, true, &|| false, steps);
        let part = made.inspect_err(|_| self.discard(number..number + 1, 0..0))?;
        let bytes = part.reference().len;
        if defect::has(&*self.fs, Defect::InputsRemovedEarly) {
            for input in &merge.inputs {
                let _ = self.fs.remove(input.reference().number.file());
            }
        }
        let built = Instant::now();
        if !self.install(merge, Arc::new(part))? {
            self.discard(number..number + 1, 0..0);
            return Ok(None);
        }
        steps.install = built.elapsed();
        self.retire(merge.inputs.iter().map(|input| input.reference().number.file()));
        steps.release = built.elapsed() - steps.install;
        Ok(Some(bytes))
    }

    /// Puts `part` in the place of the inputs. Tells whether they were still there.
    fn install(&self, merge: &Merge, part: Arc<Part>) -> Result<bool> {
        let number = merge.identity.number.0;
        let mut guard = self.checkpoints.lock();
        let live = &mut *guard;
        let merged = live.parts[merge.tree].merged(&merge.inputs, part);
        let Some(parts) = merged else { return Ok(false) };
        let first_manifest = live.next_manifest;
        let published = self.publish_merge(live, merge, &parts);
        if published.is_err() {
            self.discard(number..number + 1, first_manifest..live.next_manifest);
        }
        published?;
        let columns = &self.trees[merge.tree].columns;
        let archive = Arc::new(parts.clone());
        live.parts[merge.tree] = parts;
        self.count_parts(live);
        let size = live.manifest.trees[merge.tree].size;
        if sync::defect("a merge is installed after the lock was let go") {
            drop(guard);
        }
        columns.archive(size, archive);
        Ok(true)
    }

    fn publish_merge(&self, live: &mut Checkpoints, merge: &Merge, parts: &PartSet) -> Result<()> {
        self.go_on()?;
        let mut next = live.manifest.clone();
        let entry = &mut next.trees[merge.tree];
        let tree = &self.trees[merge.tree];
        let root = root_at(parts, &*tree.hasher, tree.arity, TreeSize(entry.size))?;
        if root != entry.root {
            let path = self.fs.display(merge.identity.number.file());
            let hex = |hash: [u8; 32]| hash.map(|byte| format!("{byte:02x}")).concat();
            return Err(Damage::field(&path, 0, "root", hex(entry.root), hex(root)).into());
        }
        entry.parts = parts.references();
        self.publish(live, next)
    }
}
