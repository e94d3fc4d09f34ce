//! Makes checkpoints.
//!
//! # Invariants
//!
//! - Each step is durable before the next: the log up to the point of the checkpoint; a part for each changed tree
//!   that gets one; the names of the parts; one manifest, with the last leaves of the trees that get no part. Only
//!   then are the parts installed for readers, the log truncated, and the parts of dropped trees removed.
//! - The first manifest of a point behind a tree's drop no longer has the tree. So the tree's parts are removed
//!   once its drop is durable twice: in the log, and in that manifest.
//! - A checkpoint that fails anywhere leaves the one before in force, and its numbers are not reused. Its files
//!   are removed, unless its manifest is visible: a power cut may bring that into force.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::holds::Retired;
use super::intact::check_entries;
use super::keeper::{Given, Live};
use super::log::{Changed, FlushPoint};
use super::shared::Engine;
use super::tails::{PART_FROM, with_part};
use super::tree::Tree;
use crate::config::{Install, Since};
use crate::directory::manifest::{Manifest, TreeEntry};
use crate::directory::manifests;
use crate::entry::Erasures;
use crate::error::{Error, Result};
use crate::fs::FileKind;
use crate::fs::wipe::{Wiped, give_up};
use crate::ids::{PartId, TreeId};
use crate::mark::Marks;
use crate::merkle::{Hash, Level, NodeIndex, NodeSource as _, TreeSize};
use crate::mutant::mutant;
use crate::part::{Part, PartEntries, PartIdentity, PartRef, Publisher};
use crate::report::Event;
use crate::report::Steps;
use crate::report::{CheckpointInfo, CheckpointReason, TreeCheckpoint};
use crate::sync;
use crate::wal::Log;

/// When a checkpoint publishes a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Publish {
    /// If something has changed.
    IfChanged,
    Always,
    /// Always, and the manifest notes that the store was closed cleanly.
    Clean,
}

/// What a checkpoint is to have.
struct Held<'a> {
    point: &'a FlushPoint,
    /// The trees that differ from the manifest in force.
    changed: &'a [Changed],
    marks: &'a Marks,
}

impl Engine {
    /// How much was inserted and logged since the last checkpoint.
    pub(super) fn since_checkpoint(&self, point: &FlushPoint) -> Since {
        self.keeper.since(point, self.log.segments_in_use())
    }

    /// Flushes, writes what is new since the last checkpoint, and truncates the log.
    pub(crate) fn checkpoint(&self, reason: CheckpointReason) -> Result<CheckpointInfo> {
        self.check_may_wait("checkpoint")?;
        self.with_events(reason, false, || {
            self.flush_and_checkpoint(reason, Duration::ZERO, || self.flush())
        })
    }

    /// Makes the checkpoint that was requested automatically, if the policy still wants it. Another checkpoint may
    /// have been made meanwhile for the same reason.
    pub(super) fn checkpoint_job(&self, waited: Duration) {
        let Some((reason, retry)) = self.keeper.upkeep().take_checkpoint() else { return };
        let point = self.log.point();
        let due = self.settings.checkpoint.due(&self.since_checkpoint(&point)).is_some();
        let wanted = || self.log.has_dropped() || self.inflow.wants_checkpoint();
        if !due && !wanted() {
            return;
        }
        self.background.count(|work| work.checkpoint.retries += u64::from(retry));
        let make = || self.flush_and_checkpoint(reason, waited, || self.flush_point());
        let made = self.with_events(reason, true, make);
        // In a forked child, logging may wait for a lock. A store that was closed meanwhile needs no checkpoint.
        if let Err(error) = made
            && !matches!(error, Error::Forked { .. } | Error::Closed)
        {
            tracing::error!(%error, %reason, "a checkpoint failed; the last one stays");
        }
    }

    /// Runs `make` between the events of its begin and its end. An `automatic` checkpoint that fails may be
    /// retried later.
    pub(super) fn with_events(
        &self,
        reason: CheckpointReason,
        automatic: bool,
        make: impl FnOnce() -> Result<CheckpointInfo>,
    ) -> Result<CheckpointInfo> {
        let begun = || Event::CheckpointBegun { trees: self.uncheckpointed_trees(), reason };
        self.gate.tell(begun)?;
        let done = make();
        if !matches!(done, Err(Error::Forked { .. })) {
            self.log.report_change();
            self.poison_if_noted()?;
        }
        match &done {
            Ok(info) => {
                self.keeper.upkeep().checkpoint_succeeded(automatic);
                self.gate.tell(|| Event::CheckpointCompleted { info: info.clone() })?;
                self.retry_strays();
            }
            Err(Error::Forked { .. }) => {}
            Err(error) => {
                self.poison_if_fatal(error)?;
                self.background.count(|work| work.checkpoint.failed += 1);
                let retried = automatic && !matches!(error, Error::Closed);
                let retry_in = if retried { self.checkpoint_failed(reason, error) } else { None };
                let error = error.clone();
                let failed = || {
                    let trees = self.uncheckpointed_trees();
                    Event::CheckpointFailed { trees, reason, error, retry_in }
                };
                self.gate.tell(failed)?;
            }
        }
        done
    }

    /// Makes a checkpoint of what is durable after `flush`. `waited` is how long the job has waited before.
    pub(super) fn flush_and_checkpoint(
        &self,
        reason: CheckpointReason,
        waited: Duration,
        flush: impl FnOnce() -> Result<()>,
    ) -> Result<CheckpointInfo> {
        let started = Instant::now();
        let mut live = self.keeper.lock();
        flush()?;
        let wait = waited + started.elapsed();
        let manifest = match reason {
            // The log begins in a later segment, even if nothing else is new.
            CheckpointReason::Compaction => Publish::Always,
            _ => Publish::IfChanged,
        };
        self.checkpoint_now(&mut live, reason, wait, manifest)
    }

    /// Makes a checkpoint of what is durable. `wait` is how long it has waited before.
    pub(super) fn checkpoint_now(
        &self,
        live: &mut Live,
        reason: CheckpointReason,
        wait: Duration,
        manifest: Publish,
    ) -> Result<CheckpointInfo> {
        let before = live.numbers();
        self.inflow.reset_copied();
        let mut steps = Steps { wait, ..Steps::default() };
        let mut done = Err(Error::Panicked { during: "checkpoint" });
        // The hash function may panic. The store is then unchanged, except for files that `discard` removes.
        let (point, changed, marks) = self.log.begin_checkpoint();
        let held = Held { point: &point, changed: &changed, marks: &marks };
        sync::returns(|| {
            done = self.write_checkpoint(live, &held, reason, manifest, &mut steps);
        });
        match &done {
            Ok(info) if !changed.is_empty() => {
                self.background.count(|work| {
                    work.checkpoint.complete(&steps, info.bytes);
                    work.reasons.add(reason);
                });
                self.counters.checkpointed(info.duration);
                let (seq, trees, bytes) = (info.seq, info.trees.len(), info.bytes);
                tracing::info!(%seq, trees, bytes, %reason, "checkpoint");
            }
            // In a forked child no lock is taken.
            Ok(_) | Err(Error::Forked { .. }) => {}
            Err(_) => {
                self.inflow.reset_copied();
                self.discard(live.given_since(before));
            }
        }
        done
    }

    /// Removes the files of a failed checkpoint or merge, as far as possible. If another process made a file with
    /// one of these names, [`FileSystem::remove`](crate::fs::FileSystem::remove) refuses, and the file stays.
    pub(super) fn discard(&self, Given { parts, manifests }: Given) {
        // In a forked child the files are the parent's.
        if !self.process.is_current() {
            return;
        }
        let seen = manifests::list(&*self.fs).map(|(complete, _)| complete);
        if !seen.is_ok_and(|seen| seen.iter().all(|number| !manifests.contains(number))) {
            return;
        }
        let manifests = manifests.map(|number| manifests::file(number).tmp());
        let parts = parts.map(PartId);
        let names = parts.flat_map(|PartId(number)| {
            let (part, index) = (PartId(number).file(), PartId(number).index_file());
            [index.tmp(), index, part.tmp(), part]
        });
        let unerased = self.keeper.unerased().guard();
        for name in names.chain(manifests) {
            match give_up(&*self.fs, name, unerased.is_none()) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    if name.kind == FileKind::Part {
                        self.keeper.strays().add(name);
                    }
                    tracing::warn!(%error, file = %name, "cannot remove a file of a checkpoint or a merge that failed");
                }
                Ok(Wiped::InUse { .. }) => self.keeper.strays().add(name),
                _ => {}
            }
        }
    }

    /// Updates the counts of parts.
    pub(super) fn count_parts(&self) {
        let trees = self.catalog.awake();
        let parts = |tree: &Arc<Tree>| tree.parts().parts().len() as u64;
        self.counters.parts(trees.iter().map(parts).sum());
        // While merging is suspended nothing lowers the number of parts, so inserts do not wait for that.
        let merged = !self.keeper.upkeep().suspended().compaction;
        let most = trees.iter().map(parts).max().unwrap_or(0);
        self.inflow.limit_parts(if merged { most } else { 0 });
    }

    fn write_checkpoint(
        &self,
        live: &mut Live,
        held: &Held<'_>,
        reason: CheckpointReason,
        manifest: Publish,
        steps: &mut Steps,
    ) -> Result<CheckpointInfo> {
        let Held { point, changed, marks } = *held;
        // No listener is called in these spans: it may fork, and a child must not come to the subscriber.
        let leaves = point.tally.leaves;
        let _span = tracing::debug_span!("checkpoint", %reason, leaves).entered();
        let started = Instant::now();
        let wait = steps.wait;
        let mut info = CheckpointInfo {
            seq: point.tally.seq,
            trees: Vec::new(),
            leaves: 0,
            bytes: 0,
            reason,
            duration: wait,
        };
        self.catalog.lock().forget(point.tally.seq);
        let marked = live.manifest().marks != *marks;
        if changed.is_empty() && !marked && manifest == Publish::IfChanged {
            // The last checkpoint has everything, as long as it is there.
            live.check_stands(&*self.fs, self.log.segments().into_iter())?;
            return Ok(info);
        }
        let clean = manifest == Publish::Clean;
        let bases = self.bases(live.manifest(), changed);
        let with_part = self.with_part(live.manifest(), changed, &bases);
        let build = tracing::debug_span!("build");
        let parts =
            build.in_scope(|| self.write_parts(live, changed, &bases, &with_part, steps))?;
        let mut next = live.manifest().clone();
        next.erased = self.keeper.unerased().is_over();
        next.next_tree = point.tally.next_tree;
        if !mutant!(&*self.fs, MarksForgotten) {
            next.marks = marks.clone();
        }
        let mut freed = Vec::new();
        let mut installs = Vec::new();
        let mut grown = Vec::new();
        let mut cut_off = Vec::new();
        let mut parts = parts.into_iter().peekable();
        for (change, stored) in changed.iter().zip(&bases) {
            let stored = stored.as_ref();
            if change.dropped {
                freed.extend(next.take(change.spec.id).map(|entry| (entry, &change.tree)));
                continue;
            }
            let sealed = change.sealed || stored.is_some_and(|entry| entry.sealed);
            let indexed = change.indexed || stored.is_some_and(|entry| entry.indexed);
            let stored_only = mutant!(&*self.fs, ErasuresForgotten);
            let erasures = match stored.filter(|_| stored_only) {
                Some(entry) => Arc::clone(&entry.erasures),
                None => erasures_of(change, stored.map(|entry| &**entry)),
            };
            let Some(tree) = &change.tree else {
                // The tree was asleep when the seal was found, so it has no new leaf.
                if let Some(entry) = stored {
                    let erasures = left_of(erasures, entry.begin());
                    let entry = TreeEntry { sealed, indexed, erasures, ..TreeEntry::clone(entry) };
                    next.put(Arc::new(entry));
                }
                continue;
            };
            let mut set = tree.parts();
            if let Some(entry) = stored.filter(|_| change.cut.is_some()) {
                // The parts of the manifest in force, which may have come to a state of before.
                set = self.catalog.open_parts(entry, &set)?;
                let old = next.tree(change.spec.id).cloned();
                cut_off.extend(old.map(|old| (old, tree)));
            }
            let before = stored.map_or(0, |entry| entry.size);
            let mut tail = Box::default();
            if let Some((at, part)) = parts.next_if(|(at, _)| *at == change.spec.id) {
                debug_assert_eq!(at, tree.id());
                if mutant!(&*self.fs, PartOverwritten) {
                    set.take_last();
                }
                let reference = part.reference();
                grown.push(tree);
                info.trees.push(TreeCheckpoint {
                    tree: tree.name().clone(),
                    size: TreeSize(change.size),
                    leaves: change.size.saturating_sub(before),
                    bytes: reference.len,
                });
                set = set.with(part);
                installs.push((tree, change.size, set.clone()));
            } else {
                if change.cut.is_some() {
                    installs.push((tree, set.end(), set.clone()));
                }
                let from = stored.map_or(0, |entry| entry.parts_end());
                tail = leaves_of(tree, from..change.size)?;
                if change.size > before {
                    grown.push(tree);
                    info.trees.push(TreeCheckpoint {
                        tree: tree.name().clone(),
                        size: TreeSize(change.size),
                        leaves: change.size - before,
                        bytes: tail.as_flattened().len() as u64,
                    });
                }
            }
            next.put(Arc::new(TreeEntry {
                spec: Arc::clone(&change.spec),
                size: change.size,
                root: tree.head_at(TreeSize(change.size))?.root,
                sealed,
                indexed,
                base: stored.and_then(|entry| entry.base.clone()),
                parts: set.references(),
                tail,
                erasures: left_of(erasures, stored.map_or(0, |entry| entry.begin())),
                ages: self.ages(stored.map(|entry| &**entry), change),
            }));
        }
        info.leaves = info.trees.iter().map(|tree| tree.leaves).sum();
        info.bytes = info.trees.iter().map(|tree| tree.bytes).sum();
        let built = started.elapsed();
        next.log = Log { closed: Vec::new(), open: point.position, seq: point.tally.seq, clean };
        if mutant!(&*self.fs, LogReleasedEarly) {
            let _ = self.log.release_before(point.position.segment);
        }
        tracing::debug_span!("install").in_scope(|| self.publish(live, next))?;
        let published = started.elapsed();
        let _release = tracing::debug_span!("release").entered();

        for (tree, written) in grown.into_iter().zip(&info.trees) {
            tree.activity.checkpoint(written);
        }
        for (old, tree) in cut_off {
            self.free_cut(&old, tree, live.manifest());
        }
        for (tree, size, parts) in installs {
            let last = parts.parts().last().cloned();
            tree.install(size, parts);
            if let Some(part) = last {
                self.request_index_of(tree, &part);
            }
        }
        self.log.checkpointed(changed);
        self.count_parts();
        self.keeper.checkpointed(point);
        self.inflow.made_room(point.tally, started.elapsed());
        if let Err(error) = self.log.release_before(point.position.segment) {
            // The checkpoint counts. The next open removes the files that are left.
            self.keeper.note_if_displaced(&error);
            tracing::warn!(%error, "cannot remove a log segment");
        }
        for (entry, tree) in freed {
            self.free(&entry, tree.as_deref());
        }
        self.request_compaction();
        let done = started.elapsed();
        steps.install = published - built;
        steps.release = done - published;
        info.duration = wait + done;
        Ok(info)
    }

    /// Which of the trees in `changed` get a part.
    fn with_part(
        &self,
        manifest: &Manifest,
        changed: &[Changed],
        bases: &[Option<Arc<TreeEntry>>],
    ) -> Vec<bool> {
        let mut kept: u64 = manifest.trees.iter().map(|entry| entry.tail.len() as u64).sum();
        let rest = |(change, base): (&Changed, &Option<Arc<TreeEntry>>)| {
            let entry = manifest.tree(change.spec.id);
            let awake = change.tree.is_some() && !change.dropped;
            if awake || change.dropped {
                kept -= entry.map_or(0, |entry| entry.tail.len() as u64);
            }
            let end = base.as_ref().map_or(0, |entry| entry.parts_end());
            let rest = if awake { change.size.saturating_sub(end) } else { 0 };
            // The manifest has no entries.
            let in_part = rest > 0 && change.spec.entries.is_some();
            if in_part { rest.max(PART_FROM) } else { rest }
        };
        let rests: Vec<_> = changed.iter().zip(bases).map(rest).collect();
        with_part(&rests, kept, self.settings.checkpoint.most_small_parts())
    }

    /// Writes the parts of the trees that get one, and makes the parts durable. Returns the parts with the ids of
    /// their trees, by rising id.
    fn write_parts(
        &self,
        live: &mut Live,
        changed: &[Changed],
        bases: &[Option<Arc<TreeEntry>>],
        with_part: &[bool],
        steps: &mut Steps,
    ) -> Result<Vec<(TreeId, Arc<Part>)>> {
        let strict = self.settings.install == Install::Strict;
        let copied = self.inflow.copied();
        let hurry = || self.inflow.is_behind();
        let mut publisher = Publisher::new(&self.fs, strict, steps);
        let mut written = Vec::new();
        let changed = changed.iter().zip(bases).zip(with_part);
        for ((change, stored), _) in changed.filter(|(_, with_part)| **with_part) {
            let Changed { spec, tree: Some(tree), size, .. } = change else { continue };
            let stored = stored.as_ref();
            let from = stored.map_or(0, |entry| entry.parts_end());
            // Only what is durably erased is left out: a crash takes the rest back.
            let erasures = erasures_of(change, stored.map(|entry| &**entry));
            let mut identity = PartIdentity {
                store: self.store,
                tree: spec.id,
                hasher: spec.hasher.clone(),
                arity: spec.arity,
                number: live.number_part(),
                from,
                to: *size,
                entries: tree.framing,
            };
            if mutant!(&*self.fs, PartUnderAnotherTree) {
                identity.tree = TreeId(spec.id.0 ^ 1);
            }
            if mutant!(&*self.fs, PartOverwritten)
                && let Some(last) = tree.parts().take_last()
            {
                (identity.number, identity.from) = (last.number, last.from);
            }
            let view = tree.view_at(*size);
            let source = Counted { source: &view, copied: copied.clone() };
            let entries = spec.entries.map(|kept| PartEntries::Stored {
                source: &source,
                compression: kept.stored(),
                erasures: &erasures,
            });
            publisher.build(identity, &source, entries, &hurry)?;
            check_entries(tree, &view, from..*size)?;
            if tree.is_indexed() {
                publisher.build_index(&view, &hurry)?;
            }
            written.push(spec.id);
        }
        let parts = publisher.finish(self.settings.read_mode)?;
        Ok(written.into_iter().zip(parts).collect())
    }

    /// Removes the parts of a tree that is no longer in the manifest in force. Its readers can continue.
    fn free(&self, entry: &TreeEntry, tree: Option<&Tree>) {
        let read = tree.map(Tree::parts).unwrap_or_default();
        let stays: Vec<_> = read.parts().iter().filter(|part| !self.keep(part)).collect();
        let unread =
            |part: &&PartRef| !stays.iter().any(|stays| stays.reference().number == part.number);
        stays.iter().for_each(|part| self.keeper.strays().leave(&part.reference()));
        self.retire(entry.parts.iter().filter(unread).map(Retired::of));
    }

    /// The entries of the trees `changed` in the manifest in force, as far as they still count: cut where the tree was
    /// rewound since. A new tree has the entry of its beginning if it begins behind a frontier.
    fn bases(&self, manifest: &Manifest, changed: &[Changed]) -> Vec<Option<Arc<TreeEntry>>> {
        let base = |change: &Changed| {
            let Some(entry) = manifest.tree(change.spec.id) else {
                // A new tree, which may begin behind a frontier.
                let tree = change.tree.as_ref()?;
                let origin = tree.parts().before().cloned()?;
                let spec = Arc::clone(&change.spec);
                return Some(Arc::new(TreeEntry::begun(spec, origin.frontier(), &*tree.hasher)));
            };
            match change.cut.filter(|_| !mutant!(&*self.fs, PartsNotCut)) {
                Some(cut) => Some(Arc::new(entry.cut(cut))),
                None => Some(Arc::clone(entry)),
            }
        };
        changed.iter().map(base).collect()
    }

    /// Removes the parts of `old` that the manifest in force does not have, because the tree was rewound below them.
    /// `tree` is its state since. Readers of the states before can continue.
    fn free_cut(&self, old: &TreeEntry, tree: &Arc<Tree>, manifest: &Manifest) {
        let now = manifest.tree(old.spec.id).map_or(&[][..], |entry| &entry.parts);
        let is_gone = |part: &&PartRef| !now.iter().any(|now| now.number == part.number);
        let mut retired = Vec::new();
        for part in old.parts.iter().filter(is_gone) {
            if self.keep_for_states_before(tree, part) {
                retired.push(Retired::of(part));
            } else {
                self.keeper.strays().leave(part);
            }
        }
        self.retire(retired.into_iter());
    }

    /// Called when the drop of a tree became durable. Requests a checkpoint, which frees the tree's space.
    pub(super) fn space_can_be_freed(&self) {
        if self.settings.checkpoint.has_trigger() {
            // If checkpoints fail permanently, nothing is freed until a caller makes one.
            let _ = self.request_checkpoint(CheckpointReason::TreeDropped);
        }
    }

    /// Makes `next` the manifest in force.
    pub(super) fn publish(&self, live: &mut Live, next: Manifest) -> Result<()> {
        let log = self.log.segments().into_iter();
        live.publish(&*self.fs, next, log, self.log.next_segment())?;
        if let Err(error) = live.remove_old(&*self.fs) {
            self.keeper.note_if_displaced(&error);
            tracing::warn!(%error, "cannot remove an old manifest");
        }
        Ok(())
    }

    /// Publishes a manifest which notes that the store was closed cleanly at `end`, unless there is one already.
    pub(super) fn publish_clean_end(&self, live: &mut Live, end: &FlushPoint) -> Result<()> {
        let mut next = live.manifest().clone();
        if next.log.open == end.position && next.log.clean {
            return Ok(());
        }
        next.log.end_at(end.position);
        next.log.clean = true;
        self.publish(live, next)
    }
}

/// The erased entries of a tree at a point: those of `change`, or else those of the manifest in force.
fn erasures_of(change: &Changed, stored: Option<&TreeEntry>) -> Arc<Erasures> {
    let stored = || stored.map(|entry| Arc::clone(&entry.erasures));
    change.erasures.clone().or_else(stored).unwrap_or_default()
}

/// The erasures of a tree that begins at `base`. What was erased below was pruned since.
fn left_of(erasures: Arc<Erasures>, base: u64) -> Arc<Erasures> {
    if erasures.has_below(base) { Arc::new(erasures.behind(base)) } else { erasures }
}

/// Reads leaves `range` of a tree, from memory or its parts.
fn leaves_of(tree: &Tree, range: Range<u64>) -> Result<Box<[Hash]>> {
    let count = range.end.saturating_sub(range.start);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut leaves = vec![[0; 32]; count].into_boxed_slice();
    if count > 0 {
        tree.columns.view().read_nodes(Level::LEAVES, NodeIndex(range.start), &mut leaves)?;
    }
    Ok(leaves)
}
