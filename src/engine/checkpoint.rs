//! Making a checkpoint.
//!
//! # Invariants
//!
//! Each step is durable before the next: the log up to the point that is checkpointed, the part,
//! the part's name, the manifest. Only then is the part installed for readers and the log
//! truncated. A checkpoint that fails anywhere leaves the one before in force, and the numbers it used
//! are not reused. Its files are removed, unless its manifest is visible: a power cut may bring that into
//! force.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counted::Counted;
use super::limits::node_bytes;
use super::shared::{Engine, FlushPoint};
use super::tree::Tree;
use crate::config::{Install, Since};
use crate::directory::manifest;
use crate::directory::manifest::Manifest;
use crate::error::{Error, Result};
use crate::fs::Dir;
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::ids::PartId;
use crate::merkle::{Arity, NodeSource, TreeSize};
use crate::part::{Part, PartIdentity, PartSet, build_part, sync_part};
use crate::random;
use crate::report::Event;
use crate::report::Steps;
use crate::report::{CheckpointInfo, CheckpointReason};
use crate::sync;
use crate::wal::Log;

/// What the checkpoint lock guards: the manifest in force and the parts it names.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    pub(crate) manifest: Manifest,
    /// By tree.
    pub(crate) parts: Vec<PartSet>,
    /// The number of the next manifest, also after one that failed.
    pub(crate) next_manifest: u64,
    pub(crate) next_part: u64,
}

/// The last checkpoint, as the policy sees it.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) leaves: u64,
    pub(crate) log_bytes: u64,
    pub(crate) at: Instant,
}

impl Engine {
    /// How much was inserted and logged since the last checkpoint.
    pub(crate) fn since_checkpoint(&self, point: &FlushPoint) -> Since {
        let marks = self.marks.lock();
        let leaves: u64 = point.sizes.iter().sum();
        let leaves = leaves.saturating_sub(marks.leaves);
        Since {
            leaves,
            wal_bytes: point.log_bytes.saturating_sub(marks.log_bytes),
            wal_segments: self.segments.in_use(),
            memory_bytes: self.node_bytes(leaves),
            time: marks.at.elapsed(),
        }
    }

    /// Bytes that `leaves` leaves and the complete nodes above them take.
    fn node_bytes(&self, leaves: u64) -> u64 {
        node_bytes(self.trees.first().map_or(Arity::Two, |tree| tree.arity), leaves)
    }

    /// Flushes, writes what is new since the last checkpoint as parts, and truncates the log.
    pub(crate) fn checkpoint(&self, reason: CheckpointReason) -> Result<CheckpointInfo> {
        self.may_wait("checkpoint")?;
        self.told(reason, false, || {
            self.flush_and_checkpoint(reason, Duration::ZERO, || self.flush())
        })
    }

    /// Makes the checkpoint that was asked for automatically, if the policy still wants it: one that
    /// was made meanwhile may have had the same reason.
    pub(crate) fn checkpoint_job(&self, waited: Duration) {
        let Some((reason, retry)) = self.take_checkpoint() else { return };
        let point = self.flushed.lock().clone();
        let due = self.settings.checkpoint.due(&self.since_checkpoint(&point)).is_some();
        if !due && !self.ingest.lock().wants_checkpoint() {
            return;
        }
        self.work.lock().checkpoint.retries += u64::from(retry);
        let make = || self.flush_and_checkpoint(reason, waited, || self.flush_point());
        let made = self.told(reason, true, make);
        // In a forked child, logging may wait for a lock.
        if let Err(error) = made
            && self.process.is_current()
        {
            tracing::error!(%error, %reason, "a checkpoint failed; the last one stays");
        }
    }

    /// Runs `make` between the events of its begin and its end. An `automatic` checkpoint that failed may be
    /// deferred.
    pub(crate) fn told(
        &self,
        reason: CheckpointReason,
        automatic: bool,
        make: impl FnOnce() -> Result<CheckpointInfo>,
    ) -> Result<CheckpointInfo> {
        self.listeners.tell(|| Event::CheckpointBegun { reason });
        // A listener may have forked.
        self.process.check()?;
        let done = make();
        match &done {
            Ok(info) => {
                self.checkpoint_succeeded(automatic);
                self.listeners.tell(|| Event::CheckpointCompleted { info: info.clone() });
            }
            Err(error) => {
                self.poison_if_displaced(error);
                self.work.lock().checkpoint.failed += 1;
                let put_off = automatic && !matches!(error, Error::Closed);
                let retry_in = if put_off { self.checkpoint_put_off(reason, error) } else { None };
                let error = error.clone();
                self.listeners.tell(|| Event::CheckpointFailed { reason, error, retry_in });
            }
        }
        done
    }

    /// Makes a checkpoint of what is durable after `flush`. `waited` is how long it took until this was
    /// called.
    fn flush_and_checkpoint(
        &self,
        reason: CheckpointReason,
        waited: Duration,
        flush: impl FnOnce() -> Result<()>,
    ) -> Result<CheckpointInfo> {
        let started = Instant::now();
        let mut live = self.checkpoints.lock();
        flush()?;
        let point = self.flushed.lock().clone();
        let wait = waited + started.elapsed();
        self.checkpoint_at(&mut live, &point, reason, wait, false)
    }

    /// Makes the checkpoint of `point`, which is durable and was waited for so long. `clean` says
    /// that the store is being closed there.
    pub(crate) fn checkpoint_at(
        &self,
        live: &mut Checkpoints,
        point: &FlushPoint,
        reason: CheckpointReason,
        wait: Duration,
        clean: bool,
    ) -> Result<CheckpointInfo> {
        let (part, manifest) = (live.next_part, live.next_manifest);
        self.ingest.lock().copied().reset();
        let mut steps = Steps { wait, ..Steps::default() };
        let mut done = Err(Error::Panicked { during: "checkpoint" });
        // The hash function may panic. The store is as it was, but for files that `discard` removes.
        sync::returns(|| done = self.write_checkpoint(live, point, reason, clean, &mut steps));
        match &done {
            Ok(info) if info.leaves > 0 => {
                let mut work = self.work.lock();
                work.checkpoint.complete(&steps, info.bytes);
                work.reasons.add(reason);
                drop(work);
                self.counters.checkpointed(info.duration);
                tracing::info!(size = %info.size, bytes = info.bytes, %reason, "checkpoint");
            }
            Ok(_) => {}
            Err(_) => {
                self.ingest.lock().copied().reset();
                self.discard(part..live.next_part, manifest..live.next_manifest);
            }
        }
        done
    }

    /// Removes what a failed checkpoint or merge has made, as far as that is possible. A name that it did
    /// not come to make, because somebody else had it, stays: [`FileSystem`](crate::fs::FileSystem::remove)
    /// refuses that.
    pub(crate) fn discard(&self, parts: Range<u64>, manifests: Range<u64>) {
        let seen = manifest::list(&*self.fs).map(|(complete, _)| complete);
        if !seen.is_ok_and(|seen| seen.iter().all(|number| !manifests.contains(number))) {
            return;
        }
        let manifests = manifests.map(|number| manifest::file(number).tmp());
        let parts = parts.map(|number| PartId(number).file());
        for name in parts.flat_map(|part| [part.tmp(), part]).chain(manifests) {
            match self.fs.remove(name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, file = %name, "cannot remove a file of a checkpoint or a merge that failed");
                }
                _ => {}
            }
        }
    }

    /// Notes how many parts there are.
    pub(crate) fn count_parts(&self, live: &Checkpoints) {
        let parts: usize = live.parts.iter().map(|parts| parts.parts().len()).sum();
        self.counters.parts(parts as u64);
        // Where nothing makes the parts fewer, they are no reason to wait.
        let merged = !self.upkeep.lock().compaction.is_suspended();
        self.limit_parts(if merged { parts as u64 } else { 0 });
    }

    fn write_checkpoint(
        &self,
        live: &mut Checkpoints,
        point: &FlushPoint,
        reason: CheckpointReason,
        clean: bool,
        steps: &mut Steps,
    ) -> Result<CheckpointInfo> {
        let started = Instant::now();
        let wait = steps.wait;
        let mut next = live.manifest.clone();
        let mut parts = live.parts.clone();
        let mut info = CheckpointInfo {
            size: TreeSize(point.sizes.first().copied().unwrap_or(0)),
            leaves: 0,
            bytes: 0,
            reason,
            duration: wait,
        };
        for (number, tree) in self.trees.iter().enumerate() {
            let (from, to) = (next.trees[number].size, point.sizes[number]);
            if from == to {
                continue;
            }
            let id = PartId(live.next_part);
            live.next_part += 1;
            let overwritten = if defect::has(&*self.fs, Defect::PartOverwritten) {
                parts[number].take_last()
            } else {
                None
            };
            let (id, from) = overwritten.map_or((id, from), |last| (last.number, last.from));
            let part = self.write_tree(tree, id, from, to, &next, steps)?;
            info.leaves += to - from;
            info.bytes += part.reference().len;
            parts[number] = parts[number].with(Arc::new(part));
            let entry = &mut next.trees[number];
            entry.size = to;
            entry.root = tree.head_at(TreeSize(to))?.root;
            entry.parts = parts[number].references();
        }
        if info.leaves == 0 && !clean {
            return Ok(info);
        }
        let built = started.elapsed();
        next.log = Log { closed: Vec::new(), open: point.position, seq: point.seq, clean };
        if defect::has(&*self.fs, Defect::LogReleasedEarly) {
            let _ = self.segments.release_before(point.position.segment);
        }
        self.publish(live, next)?;
        let published = started.elapsed();

        for (number, tree) in self.trees.iter().enumerate() {
            if !parts[number].is_empty() {
                tree.columns.archive(point.sizes[number], Arc::new(parts[number].clone()));
            }
        }
        live.parts = parts;
        self.count_parts(live);
        let leaves = point.sizes.iter().sum();
        let at = Instant::now();
        *self.marks.lock() = Marks { leaves, log_bytes: point.log_bytes, at };
        self.made_room(point.seq, info.leaves, started.elapsed());
        if let Err(error) = self.segments.release_before(point.position.segment) {
            // The checkpoint stands; files that could not be removed are looked for at open.
            self.poison_if_displaced(&error);
            tracing::warn!(%error, "cannot remove a log segment");
        }
        self.request_compaction(live);
        let done = started.elapsed();
        steps.install = published - built;
        steps.release = done - published;
        info.duration = wait + done;
        Ok(info)
    }

    /// Writes the part of one tree.
    fn write_tree(
        &self,
        tree: &Tree,
        id: PartId,
        from: u64,
        to: u64,
        manifest: &Manifest,
        steps: &mut Steps,
    ) -> Result<Part> {
        let identity = PartIdentity {
            store: manifest.store,
            tree: tree.id,
            hasher: tree.hasher.id().to_string(),
            arity: tree.arity,
            number: id,
            from,
            to,
        };
        let strict = self.settings.install == Install::Strict;
        let source = Counted { source: &tree.view_at(to), copied: self.ingest.lock().copied() };
        let hurry = || self.ingest.lock().is_behind();
        self.make_part(&identity, &source, strict, &hurry, steps)
    }

    /// Writes, names and opens a part; makes it durable if `strict`. `hurry` says from time to time
    /// whether it is waited for.
    pub(crate) fn make_part<S>(
        &self,
        identity: &PartIdentity,
        source: &S,
        strict: bool,
        hurry: &dyn Fn() -> bool,
        steps: &mut Steps,
    ) -> Result<Part>
    where
        S: NodeSource,
        Error: From<S::Error>,
    {
        let synced = strict && !defect::has(&*self.fs, Defect::PartNotSynced);
        let started = Instant::now();
        let (reference, file) = build_part(&*self.fs, identity, source, hurry)?;
        let built = started.elapsed();
        if synced {
            sync_part(&*self.fs, identity, &*file)?;
        }
        let name = identity.number.file();
        let named = if defect::has(&*self.fs, Defect::PartOverwritten) {
            defect::overwrite(&*self.fs, name)
        } else {
            self.fs.rename(name.tmp(), name)
        };
        named.map_err(|error| Error::io("rename", self.fs.display(name.tmp()), error))?;
        if strict && !defect::has(&*self.fs, Defect::PartNameNotSynced) {
            self.fs.sync_dir(Dir::Parts).map_err(|error| {
                Error::io("sync the directory of", self.fs.display(name), error)
            })?;
        }
        steps.build += built;
        steps.sync += started.elapsed() - built;
        Part::open(&self.fs, identity, reference, self.settings.read_mode)
    }

    /// Makes `manifest` the one in force.
    pub(crate) fn publish(&self, live: &mut Checkpoints, mut manifest: Manifest) -> Result<()> {
        manifest.number = live.next_manifest;
        manifest.checkpoint = random::id(&*self.fs)?;
        manifest.next_segment = self.segments.next_id();
        manifest.next_part = live.next_part;
        live.next_manifest += 1;
        manifest::publish(&*self.fs, &manifest)?;
        if let Err(error) = manifest::remove_old(&*self.fs, manifest.number) {
            self.poison_if_displaced(&error);
            tracing::warn!(%error, "cannot remove an old manifest");
        }
        live.manifest = manifest;
        Ok(())
    }

    /// Publishes where the log ends, so that the next open knows that the store was closed there.
    pub(crate) fn publish_clean_end(&self, live: &mut Checkpoints, end: &FlushPoint) -> Result<()> {
        let mut next = live.manifest.clone();
        if next.log.open == end.position && next.log.clean {
            return Ok(());
        }
        next.log.end_at(end.position);
        next.log.clean = true;
        self.publish(live, next)
    }
}
