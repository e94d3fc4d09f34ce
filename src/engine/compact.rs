//! Merges parts.
//!
//! # Invariants
//!
//! - A worker writes a merge without any lock, so checkpoints, inserts and reads continue. Only the install takes
//!   the checkpoint lock, for one manifest.
//! - The merged part is durable before the manifest that names it, whatever [`Install`] says, because its inputs
//!   may have been durable for long.
//! - A merge is installed only if its inputs are still live and its root is the one in the manifest, and only in the state of
//!   the tree that is in use: the state since a rewind would go on with the inputs. If a rewind replaces the state just
//!   after that was looked at, the next checkpoint takes the parts from the manifest, because it cuts the tree.
//! - Nothing is merged between a rewind and the checkpoint that cuts the parts: a part has what was dropped until then.
//! - The inputs are removed once the new manifest is durable and no backup needs them. Readers keep the mappings that they
//!   have. A merge that fails, or that a crash interrupts, loses only its own work.
//! - The number of parts is bounded however short the runs of the store are. A small merge starts at once, and is
//!   completed even if the store closes. Closing makes the remaining small merges, and merges the smallest parts
//!   of a tree that still has too many. A large merge starts only once the store has been open for as long as the
//!   merge may take: closing abandons it, and a store that has been open so long is likely to stay open as long
//!   again.
//!
//! [`Install`]: crate::config::Install

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background::Job;
use super::holds::Retired;
use super::keeper::{Given, Live};
use super::shared::Engine;
use super::tree::Tree;
use crate::directory::manifest::TreeEntry;
use crate::entry::Erasures;
use crate::error::{Damage, Error, Result};
use crate::fs::Access;
use crate::fs::wipe::overwrite;
use crate::mutant::mutant;
use crate::part::{Merged, Part, PartEntries, PartIdentity, PartRef, PartSet, Publisher};
use crate::report::Event;
use crate::report::Steps;
use crate::sync;
use crate::sync::Mutex;

/// The longest pause of a merge between two checks whether it has to pause longer.
const PAUSE: Duration = Duration::from_millis(10);

/// A large merge starts once the store has been open for one second per so many bytes of its inputs.
const BYTES_PER_SECOND: u64 = 256 << 20;

/// Parts of one tree to be merged into one, or one part to be written again.
pub(super) struct Merge {
    tree: Arc<Tree>,
    pub(super) inputs: Vec<Arc<Part>>,
    identity: PartIdentity,
    /// The entries that are erased in the manifest in force. A crash takes none of them back.
    erasures: Arc<Erasures>,
    /// Whether the merge is completed even if the store closes.
    to_the_end: bool,
}

/// How a merge ended.
pub(super) enum Outcome {
    Merged,
    /// The inputs were no longer live, or the store closes.
    Abandoned,
    Failed(Error),
}

impl Merge {
    /// The total length of the inputs.
    pub(super) fn bytes(&self) -> u64 {
        bytes_of(&self.inputs)
    }

    /// Whether `input` has an entry that the merged part leaves out.
    #[cfg(duramen_mutants)]
    fn unfiltered(&self, input: &Part) -> bool {
        let part = input.reference();
        self.erasures.count_in(part.from..part.to) > part.erased
    }

    #[cfg(not(duramen_mutants))]
    fn unfiltered(&self, _: &Part) -> bool {
        false
    }

    /// The number of the merged part, and `manifests`.
    fn given(&self, manifests: Range<u64>) -> Given {
        let number = self.identity.number.0;
        Given { manifests, parts: number..number + 1 }
    }
}

/// The total length of the files of `parts`.
fn bytes_of(parts: &[Arc<Part>]) -> u64 {
    parts.iter().map(|part| part.reference().len).fold(0, u64::saturating_add)
}

/// The number of leaves of each part.
fn leaves_of(parts: &PartSet) -> Vec<u64> {
    let leaves = |part: &Arc<Part>| part.reference().to - part.reference().from;
    parts.parts().iter().map(leaves).collect()
}

impl Engine {
    /// Whether `parts`, which a state of a tree reads, are those of its entry in the manifest, as a whole: no rewind waits
    /// for a checkpoint that cuts them. Otherwise a merge would bring back what the rewind dropped.
    pub(super) fn is_in_force(&self, parts: &PartSet, entry: &TreeEntry) -> bool {
        let is_whole = parts.is_whole() || mutant!(&*self.fs, MergedOverCut);
        is_whole && parts.references() == entry.parts
    }
}

/// A merge of the parts `range` of a tree, with a new part number. `None` if the tree was rewound since the manifest in
/// force.
pub(super) fn begin(
    engine: &Engine,
    live: &mut Live,
    tree: Arc<Tree>,
    range: Range<usize>,
    to_the_end: bool,
) -> Option<Merge> {
    let parts = tree.parts();
    let entry = live.manifest().tree(tree.id())?;
    if !engine.is_in_force(&parts, entry) {
        // The tree was rewound, and the next checkpoint cuts its parts.
        return None;
    }
    let erasures = Arc::clone(&entry.erasures);
    let inputs = parts.parts().get(range)?.to_vec();
    let identity = Merged::identity(&inputs, live.number_part())?;
    Some(Merge { tree, inputs, identity, erasures, to_the_end })
}

impl Engine {
    /// Requests merges and prunes if the policies want some.
    pub(super) fn request_compaction(&self) {
        if self.settings.retention.has_rules()
            || self.catalog.awake().iter().any(|tree| self.merge_of(&tree.parts()).is_some())
        {
            self.request_job(Job::Compact);
        }
    }

    /// Prunes trees, so that nothing is merged that goes, and merges parts, until the policies want no more or something fails.
    pub(super) fn compaction_job(&self, waited: Duration) {
        let Some(retry) = self.keeper.upkeep().take_compaction() else { return };
        if self.prune_by_policy().is_err() {
            return;
        }
        self.background.count(|work| work.compaction.retries += u64::from(retry));
        let mut wait = waited;
        // A compaction that has the turn requests this job again when it ends.
        while let Some(turn) = self.keeper.alone().try_begin()
            && let Some(merge) = self.next_merge()
        {
            let done = self.run_merge(merge, std::mem::take(&mut wait));
            if done.is_err() {
                // In a forked child the turn is the parent's.
                std::mem::forget(turn);
                return;
            }
            if matches!(done, Ok(Outcome::Failed(_))) {
                return;
            }
        }
    }

    /// Makes the remaining small merges when the store has no other thread any more, and merges the smallest parts
    /// of a tree that still has too many. A failure is reported and its merge left to the next run. The caller has
    /// the turn.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this has become a forked child.
    pub(super) fn merge_at_close(&self) -> Result<()> {
        if self.keeper.upkeep().take_compaction().is_none() {
            return Ok(());
        }
        let mut left = self.settings.merge_at_close;
        while let Some(merge) = self.last_merge(left) {
            left = left.saturating_sub(bytes_of(&merge.inputs));
            if let Outcome::Failed(_) = self.run_merge(merge, Duration::ZERO)? {
                break;
            }
        }
        Ok(())
    }

    /// Does `merge` and reports how it ended. After a failure no other merge should follow now.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) if this has become a forked child.
    pub(super) fn run_merge(&self, mut merge: Merge, wait: Duration) -> Result<Outcome> {
        let done = self.merge_with_events(&mut merge, wait);
        if done.is_err() {
            // In a forked child. Dropping the merge may close its inputs, which belong to the parent.
            std::mem::forget(merge);
        }
        done
    }

    /// As [`run_merge`](Self::run_merge). Fails only in a forked child.
    fn merge_with_events(&self, merge: &mut Merge, wait: Duration) -> Result<Outcome> {
        let mut steps = Steps { wait, ..Steps::default() };
        let parts = merge.inputs.len();
        let leaves = merge.identity.to - merge.identity.from;
        let name = merge.tree.name().clone();
        let tree = || name.clone();
        self.gate.tell(|| Event::CompactionBegun { tree: tree(), parts, leaves })?;
        let started = Instant::now();
        let merged = self.merge(merge, &mut steps);
        if !matches!(merged, Err(Error::Forked { .. })) {
            self.poison_if_noted()?;
        }
        match merged {
            Ok(Some(bytes)) => {
                let duration = started.elapsed();
                self.background.count(|work| work.compaction.complete(&steps, bytes));
                merge.tree.activity.merged(bytes);
                self.keeper.upkeep().compaction_succeeded();
                tracing::info!(tree = %name, parts, leaves, bytes, ?duration, "parts merged");
                self.gate.tell(|| Event::CompactionCompleted {
                    tree: tree(),
                    parts,
                    leaves,
                    bytes,
                    duration,
                })?;
                Ok(Outcome::Merged)
            }
            Ok(None) | Err(Error::Closed) => {
                self.gate.tell(|| Event::CompactionAbandoned { tree: tree(), parts })?;
                Ok(Outcome::Abandoned)
            }
            Err(forked @ Error::Forked { .. }) => Err(forked),
            Err(error) => {
                self.poison_if_fatal(&error)?;
                self.background.count(|work| work.compaction.failed += 1);
                merge.tree.activity.merge_failed();
                let retry_in = self.compaction_failed(&error);
                tracing::error!(%error, tree = %name, ?retry_in, "merging parts failed; they stay");
                let failed = || {
                    let error = error.clone();
                    Event::CompactionFailed { tree: tree(), parts, error, retry_in }
                };
                self.gate.tell(failed)?;
                Ok(Outcome::Failed(error))
            }
        }
    }

    /// Which parts of a tree the policy wants merged.
    fn merge_of(&self, parts: &PartSet) -> Option<Range<usize>> {
        self.settings.compaction.next(&leaves_of(parts))
    }

    /// The next merge for a worker.
    fn next_merge(&self) -> Option<Merge> {
        self.check_continues(false).ok()?;
        let mut live = self.keeper.lock();
        let mut later = None;
        for tree in self.catalog.awake() {
            let parts = tree.parts();
            let Some(range) = self.merge_of(&parts) else { continue };
            let bytes = bytes_of(&parts.parts()[range.clone()]);
            let small = bytes <= self.settings.merge_at_close;
            let takes = Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND);
            let wait = match small {
                true => Duration::ZERO,
                false => takes.saturating_sub(self.background.age()),
            };
            if wait.is_zero() {
                match begin(self, &mut live, tree, range, small) {
                    Some(merge) => return Some(merge),
                    None => continue,
                }
            }
            later = Some(later.map_or(wait, |later: Duration| later.min(wait)));
        }
        drop(live);
        if let Some(wait) = later {
            self.keeper.upkeep().merge_later(wait, &self.log);
        }
        None
    }

    /// The next merge while the store closes: one that the policy wants, of at most `most` bytes, or the smallest
    /// parts of a tree that has too many.
    fn last_merge(&self, most: u64) -> Option<Merge> {
        let mut live = self.keeper.lock();
        for tree in self.catalog.awake() {
            let parts = &tree.parts();
            let fits = |range: &Range<usize>| bytes_of(&parts.parts()[range.clone()]) <= most;
            let wanted = self.merge_of(parts).filter(fits);
            let excess = || self.settings.compaction.excess(&leaves_of(parts));
            if let Some(range) = wanted.or_else(excess)
                && let Some(merge) = begin(self, &mut live, Arc::clone(&tree), range, true)
            {
                return Some(merge);
            }
        }
        None
    }

    /// Fails if a merge must not start or continue: in a poisoned store, and in a closing store unless the merge
    /// goes `to_the_end`.
    pub(super) fn check_continues(&self, to_the_end: bool) -> Result<()> {
        if self.background.is_closing() && !to_the_end {
            return Err(Error::Closed);
        }
        match self.inflow.check() {
            Err(Error::Closed) if to_the_end => Ok(()),
            checked => checked,
        }
    }

    /// Called before each step of a merge or of an index. `step` is when the last step began. While a checkpoint falls
    /// behind the inserts it needs the disk: the work then goes on a tenth of the time.
    pub(super) fn give_way(&self, step: &Mutex<Instant>, to_the_end: bool) -> Result<()> {
        let mut step = step.lock();
        let mut pause = step.elapsed() * 9;
        while !pause.is_zero() && self.inflow.is_behind() {
            self.check_continues(to_the_end)?;
            if self.background.is_closing() {
                break;
            }
            let slice = pause.min(PAUSE);
            std::thread::sleep(slice);
            pause -= slice;
        }
        *step = Instant::now();
        self.check_continues(to_the_end)
    }

    /// Merges parts. Returns the bytes of the new part, or `None` if its inputs were no longer live.
    fn merge(&self, merge: &mut Merge, steps: &mut Steps) -> Result<Option<u64>> {
        let (parts, bytes) = (merge.inputs.len(), merge.bytes());
        let _span =
            tracing::debug_span!("merge", tree = %merge.tree.name(), parts, bytes).entered();
        let step = Mutex::new(Instant::now());
        let source =
            Merged { inputs: &merge.inputs, go_on: &|| self.give_way(&step, merge.to_the_end) };
        let kept = merge.tree.spec.entries;
        let entries = kept.map(|kept| PartEntries::Stored {
            source: &source,
            compression: kept.stored(),
            erasures: &merge.erasures,
        });
        let mut publisher = Publisher::new(&self.fs, true, steps);
        let made = publisher
            .build(merge.identity.clone(), &source, entries, &|| false)
            .and_then(|_| match merge.tree.is_indexed() {
                true => publisher.build_index(&source, &|| false),
                false => Ok(()),
            })
            .and_then(|()| publisher.finish(self.settings.read_mode))
            .inspect_err(|_| self.discard(merge.given(0..0)))?;
        let Some(part) = made.into_iter().next() else { return Ok(None) };
        let bytes = part.reference().len;
        if mutant!(&*self.fs, InputsRemovedEarly) {
            for input in &merge.inputs {
                let _ = self.fs.remove(input.reference().number.file());
            }
        }
        if mutant!(&*self.fs, WipedEarly) {
            for input in merge.inputs.iter().filter(|input| merge.unfiltered(input)) {
                let _ = self
                    .fs
                    .open(input.reference().number.file(), Access::ReadWrite)
                    .and_then(|file| overwrite(&*file, 0));
            }
        }
        let built = Instant::now();
        if !self.install(merge, part)? {
            self.discard(merge.given(0..0));
            return Ok(None);
        }
        steps.install = built.elapsed();
        // Readers may still use inputs that are no longer in the manifest.
        let mut old = Vec::with_capacity(merge.inputs.len());
        for input in &merge.inputs {
            let kept = Arc::strong_count(input) == 1 || self.keep(input);
            if kept && self.keep_for_states_before(&merge.tree, &input.reference()) {
                old.push(Retired::of(&input.reference()));
            } else {
                self.keeper.strays().leave(&input.reference());
            }
        }
        // A file that this merge still reads cannot be wiped.
        merge.inputs.clear();
        self.retire(old.into_iter());
        steps.release = built.elapsed() - steps.install;
        Ok(Some(bytes))
    }

    /// Keeps `part` open for its readers, before its name is removed. Returns whether the name may be removed.
    pub(super) fn keep(&self, part: &Part) -> bool {
        let kept = part.keep();
        if let Err(error) = &kept {
            // The next open removes it.
            tracing::warn!(%error, "a part that was merged stays: a reader has it, and it cannot be kept open");
        }
        kept.is_ok()
    }

    /// As [`keep`](Self::keep), for the states of `tree` from before rewinds, which may have opened the part themselves.
    pub(super) fn keep_for_states_before(&self, tree: &Tree, part: &PartRef) -> bool {
        tree.states_before().all(|(before, _)| {
            let parts = before.parts();
            let mut open =
                parts.parts().iter().filter(|open| open.reference().number == part.number);
            open.all(|open| self.keep(open))
        })
    }

    /// Replaces the inputs by `part`. Returns false if they are no longer live.
    fn install(&self, merge: &Merge, part: Arc<Part>) -> Result<bool> {
        let mut guard = self.keeper.lock();
        let live = &mut *guard;
        // A dropped tree is not in the manifest any more.
        let Some(entry) = live.manifest().tree(merge.tree.id()).cloned() else { return Ok(false) };
        // The state since a rewind reads the parts that it took over, also once a checkpoint has come between.
        let current = self.catalog.tree(merge.tree.id());
        let is_current = current.is_some_and(|current| Arc::ptr_eq(&current, &merge.tree));
        if !is_current && !mutant!(&*self.fs, MergedBeforeRewind) {
            return Ok(false);
        }
        let merged = Arc::clone(&part);
        let read = merge.tree.parts();
        // A checkpoint may have cut the parts, because the tree was rewound.
        if !self.is_in_force(&read, &entry) {
            return Ok(false);
        }
        let Some(parts) = read.merged(&merge.inputs, part) else { return Ok(false) };
        let before = live.numbers();
        let published = self.publish_merge(live, merge, &entry, &parts);
        if published.is_err() {
            self.discard(merge.given(live.given_since(before).manifests));
        }
        published?;
        if sync::defect("a merge is installed after the lock was released") {
            drop(guard);
        }
        merge.tree.install(entry.parts_end(), parts);
        self.request_index_of(&merge.tree, &merged);
        self.count_parts();
        Ok(true)
    }

    fn publish_merge(
        &self,
        live: &mut Live,
        merge: &Merge,
        entry: &TreeEntry,
        parts: &PartSet,
    ) -> Result<()> {
        self.check_continues(merge.to_the_end)?;
        let tree = &merge.tree;
        let root = entry.root_over(parts, &*tree.hasher)?.unwrap_or_default();
        if root != entry.root {
            let path = self.fs.display(merge.identity.number.file());
            let hex = |hash: [u8; 32]| hash.map(|byte| format!("{byte:02x}")).concat();
            return Err(Damage::field(&path, 0, "root", hex(entry.root), hex(root)).into());
        }
        let mut next = live.manifest().clone();
        next.put(Arc::new(TreeEntry { parts: parts.references(), ..entry.clone() }));
        self.publish(live, next)
    }
}
