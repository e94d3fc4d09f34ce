//! Compacts a store: data of erased entries leaves its files.
//!
//! # Invariants
//!
//! - The order of steps: every file that the log has released is wiped; the log leaves its segment, and the next one
//!   is blank or wiped; a checkpoint moves the start of the log behind all that was there before, so the segments
//!   before it are released and wiped; each part with an erased entry is written again without it, and the old file
//!   is wiped once the manifest that does without it is durable. So after a crash between any two calls each file
//!   that a manifest names has its bytes, and a file that may have erased data is in the log, named by the manifest,
//!   or found by listing the directory.
//! - Nothing is wiped after the store was closed.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog::Slot;
use super::compact::{Merge, Outcome, begin};
use super::shared::Engine;
use crate::entry::Erasures;
use crate::error::{Error, Result};
use crate::fs::Access;
use crate::part::PartRef;
use crate::report::CheckpointReason;
use crate::report::{Compact, CompactInfo};

/// The first part that has an entry which is erased since it was written, or leaves that were dropped by a rewind.
fn first_unfiltered(parts: &[PartRef], erasures: &Erasures) -> Option<Range<usize>> {
    // What no reader can reach any more may have been erased before it was dropped.
    let has_erased =
        |part: &PartRef| part.hidden > 0 || erasures.count_in(part.from..part.to) > part.erased;
    parts.iter().position(has_erased).map(|at| at..at + 1)
}

impl Engine {
    /// Writes every part with an erased entry again without it, all parts of each tree into one if `how` says so,
    /// and wipes what has such entries.
    pub(crate) fn compact(&self, how: Compact) -> Result<CompactInfo> {
        self.check_may_wait_for_all("compact")?;
        let started = Instant::now();
        self.in_turn("compact", || self.compact_alone(how, started))
    }

    /// Does `work` while no merge is made but by it.
    pub(super) fn in_turn<T>(
        &self,
        call: &'static str,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let turn = self.keeper.alone().begin(call)?;
        let done = work();
        if matches!(done, Err(Error::Forked { .. })) {
            // The turn is the parent's.
            std::mem::forget(turn);
            return done;
        }
        drop(turn);
        self.poison_if_noted()?;
        if let Err(error) = &done {
            self.poison_if_fatal(error)?;
        }
        // Those that workers left out meanwhile.
        self.request_compaction();
        done
    }

    fn compact_alone(&self, how: Compact, started: Instant) -> Result<CompactInfo> {
        let wiped = || self.keeper.strays().wiped_bytes() + self.log.wiped_bytes();
        let before = wiped();
        let erasing = self.keeper.unerased().is_over();
        self.check_open()?;
        if erasing {
            self.log.wipe_segments()?;
            self.renew_log()?;
        }
        self.checkpoint_to_compact(erasing)?;
        let mut info = CompactInfo::default();
        for slot in self.catalog.all() {
            self.compact_tree(&slot, how, &mut info)?;
        }
        self.check_open()?;
        if erasing {
            self.log.wipe_segments()?;
        }
        {
            // While an index is written its part is read.
            let _no_index = self.keeper.indexing().lock();
            // Without erased entries these are parts that could not be removed.
            if let Some(error) = self.wipe_strays() {
                return Err(error);
            }
        }
        if erasing {
            self.count_pinned(&mut info);
        }
        info.bytes_wiped = wiped() - before;
        info.duration = started.elapsed();
        tracing::info!(
            parts = info.parts,
            wiped = info.bytes_wiped,
            pinned = info.pinned_files,
            "store compacted"
        );
        Ok(info)
    }

    /// Counts the old files with entries that something reads.
    fn count_pinned(&self, info: &mut CompactInfo) {
        let pinned = self.keeper.strays().lengths();
        let held = self.keeper.holds().unwiped();
        let segments = self.log.unwiped_segments();
        info.pinned_files = segments.files + (held.len() + pinned.len()) as u64;
        info.pinned_bytes = pinned.into_iter().fold(segments.bytes, u64::saturating_add);
        for name in held {
            let len = self.fs.open(name, Access::Read).and_then(|file| file.len());
            info.pinned_bytes = info.pinned_bytes.saturating_add(len.unwrap_or(0));
        }
    }

    /// Fails in a store that is closed, closes, or is poisoned.
    fn check_open(&self) -> Result<()> {
        self.check_continues(false)
    }

    /// Has the log continue in another segment. Everything accepted before is durable then.
    fn renew_log(&self) -> Result<()> {
        // Another thread may insert meanwhile, and records after its last point may be in the log already.
        loop {
            self.flush()?;
            if self.log.leave_segment(|| self.check_open())? {
                return Ok(());
            }
        }
    }

    fn checkpoint_to_compact(&self, erasing: bool) -> Result<()> {
        let reason = match erasing {
            true => CheckpointReason::Compaction,
            false => CheckpointReason::Manual,
        };
        self.with_events(reason, false, || {
            self.flush_and_checkpoint(reason, Duration::ZERO, || self.flush())
        })
        .map(drop)
    }

    /// Merges the parts of a tree that `how` wants merged, and then writes those again that have erased entries.
    fn compact_tree(&self, slot: &Arc<Slot>, how: Compact, info: &mut CompactInfo) -> Result<()> {
        loop {
            self.check_open()?;
            let Some(merge) = self.next_of_tree(slot, how)? else { return Ok(()) };
            let (inputs, bytes) = (merge.inputs.len() as u64, merge.bytes());
            match self.run_merge(merge, Duration::ZERO)? {
                Outcome::Merged => {
                    info.parts += inputs;
                    info.bytes_read = info.bytes_read.saturating_add(bytes);
                }
                Outcome::Abandoned => {}
                Outcome::Failed(error) => return Err(error),
            }
        }
    }

    /// The next parts of a tree to write again. Loads a tree that sleeps if it has such parts.
    fn next_of_tree(&self, slot: &Arc<Slot>, how: Compact) -> Result<Option<Merge>> {
        let wanted = |parts: &[PartRef], erasures: &Erasures| match how.is_full() && parts.len() > 1
        {
            true => Some(0..parts.len()),
            false => first_unfiltered(parts, erasures),
        };
        loop {
            let mut live = self.keeper.lock();
            // A dropped tree is not in the manifest any more.
            let Some(entry) = live.manifest().tree(slot.spec.id) else { return Ok(None) };
            let Some(range) = wanted(&entry.parts, &entry.erasures) else { return Ok(None) };
            if let Some(tree) = slot.tree() {
                if let Some(merge) = begin(self, &mut live, tree, range, false) {
                    return Ok(Some(merge));
                }
                drop(live);
                // The tree was rewound meanwhile, and a checkpoint cuts its parts.
                self.checkpoint_to_compact(self.keeper.unerased().is_over())?;
                continue;
            }
            drop(live);
            match self.load(slot) {
                Err(Error::TreeDropped { .. }) => return Ok(None),
                loaded => drop(loaded?),
            }
        }
    }
}
