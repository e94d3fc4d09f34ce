//! The supply of log segments. The supply makes segments ahead of need, recycles them and hands them to
//! the writer.
//!
//! # Invariants
//!
//! - A segment is handed out only after its name and its length are durable.
//! - Numbers rise along the log. A number is never reused, not even the number of a failed attempt.
//! - A segment that is handed out contains no group that could be mistaken for one of its own. The file
//!   is blank, or its groups carry another segment's number.
//! - After a failed directory sync the supply hands out no more segments. A later successful sync proves
//!   nothing about the names that the failed sync covered. A segment whose own sync failed is not handed
//!   out. Other segments are not affected.
//! - A [hold](Segments::hold) keeps the segments that made up the log when the hold began. The supply
//!   does not reuse or remove them until the hold ends. An [onward hold](Segments::hold_onward) keeps every segment
//!   from one on, also those that the log begins later.
//! - Once the store has [erased](Segments::begin_erasing) entries, released files are [wiped](wiping) first.
//! - A prepared segment is at least as long as a first segment and as the last request, so the next
//!   `take` can use it. A last request above the largest length is ignored here. Spare files shorter
//!   than a first segment are removed.
//!
//! An fsync after overwriting existing blocks is several times faster than an fsync of a growing file.
//! So segments are filled with zeros ahead of need and kept when the log releases them.

#[cfg(test)]
mod tests;
mod wiping;

use std::collections::{BTreeSet, VecDeque};
use std::io::IoSlice;
use std::sync::Arc;

pub(crate) use self::wiping::Unwiped;
use super::{BLOCK, block_align};
use crate::error::{Error, Printable, Result};
use crate::fs::wipe;
use crate::fs::{Access, Dir, File, FileName, FileSystem};
use crate::ids::ByteOffset;
use crate::ids::SegmentId;
use crate::sync::Mutex;

/// How large segments are, and how many spare bytes are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    /// Bytes of the first segment of a store.
    pub(crate) first: u64,
    /// The largest length of a new segment. A new segment is twice as long as the last one if the last
    /// one was filled.
    pub(crate) largest: u64,
    /// The most bytes of segments kept for reuse.
    pub(crate) spare: u64,
}

/// A segment for the writer to fill.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<dyn File>,
    pub(crate) len: u64,
}

/// The supply.
#[derive(Debug)]
pub(crate) struct Segments {
    fs: Arc<dyn FileSystem>,
    limits: SegmentLimits,
    state: Mutex<State>,
    /// Held by the thread that prepares or wipes segments.
    making: Mutex<()>,
    /// Held by the thread that removes spare files, and by the one that begins to wipe them.
    removing: Mutex<()>,
}

/// The length of a segment that is not used again. A file that is shorter than a first segment is removed.
const NOT_REUSED: u64 = 0;

#[derive(Debug)]
struct State {
    next: u64,
    /// Bytes of the newest segment.
    newest: u64,
    /// Bytes that the log needed when it last took a segment.
    needed: u64,
    /// The segments of the log, oldest first, with their lengths.
    in_use: VecDeque<(SegmentId, u64)>,
    /// Complete and durable segments that are not in use.
    ready: VecDeque<Segment>,
    /// Files that the log has released, under their old names.
    spare: Vec<(FileName, u64)>,
    /// Released files that may have data of erased entries.
    dirty: Vec<(FileName, u64)>,
    /// Whether entries were erased, in this run or before.
    erasing: bool,
    /// Bytes of zeros written over released files.
    wiped: u64,
    /// Spare files of an earlier run. The sync of their length may have failed.
    inherited: BTreeSet<FileName>,
    /// One entry per hold: the newest segment that the hold keeps.
    holds: Vec<SegmentId>,
    /// One entry per onward hold: the oldest segment that the hold keeps.
    onward: Vec<SegmentId>,
    /// Segments that the log has released and a hold still keeps, with their lengths.
    held: Vec<(SegmentId, u64)>,
    /// The error of the failed directory sync.
    failed: Option<Error>,
}

/// Keeps segments from being reused or removed until it is dropped. Made by [`Segments::hold`].
#[derive(Debug)]
#[must_use = "dropping it ends the hold"]
pub(crate) struct SegmentHold<'a> {
    segments: &'a Segments,
    /// The newest segment that this hold keeps.
    newest: SegmentId,
}

impl Drop for SegmentHold<'_> {
    fn drop(&mut self) {
        let mut guard = self.segments.state.lock();
        let state = &mut *guard;
        if let Some(own) = state.holds.iter().position(|newest| *newest == self.newest) {
            state.holds.swap_remove(own);
        }
        state.free_unheld();
    }
}

/// Keeps a segment and all later ones from being reused or removed until it is dropped. Made by
/// [`Segments::hold_onward`].
#[derive(Debug)]
#[must_use = "dropping it ends the hold"]
pub(crate) struct OnwardHold {
    segments: Arc<Segments>,
    /// The oldest segment that this hold keeps.
    from: SegmentId,
}

impl OnwardHold {
    /// Keeps only `from` and later segments from now on.
    pub(crate) fn move_to(&mut self, from: SegmentId) {
        if from > self.from {
            let mut guard = self.segments.state.lock();
            guard.end_onward(self.from);
            guard.onward.push(from);
            guard.free_unheld();
            self.from = from;
        }
    }
}

impl Drop for OnwardHold {
    fn drop(&mut self) {
        let mut guard = self.segments.state.lock();
        guard.end_onward(self.from);
        guard.free_unheld();
    }
}

/// Bytes zeroed and written back at a time, so that the log's own fsync never waits for many bytes.
const ZERO_STEP: usize = 256 << 10;
/// Bytes freed at a time. On ext4, freeing 64 MiB at once delayed a sync of the log by 13 ms, and
/// freeing 4 MiB by 1 to 4 ms.
const FREE_STEP: u64 = 4 << 20;

impl Segments {
    /// A supply whose next segment gets the number `next`. The log consists of `in_use`, oldest first.
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        limits: SegmentLimits,
        next: u64,
        in_use: Vec<(SegmentId, u64)>,
    ) -> Self {
        let in_use = VecDeque::from(in_use);
        let state = State {
            next,
            // Lengths start small again: an earlier run may have needed long segments, or none.
            newest: 0,
            needed: 0,
            in_use,
            ready: VecDeque::new(),
            spare: Vec::new(),
            dirty: Vec::new(),
            erasing: false,
            wiped: 0,
            inherited: BTreeSet::new(),
            holds: Vec::new(),
            onward: Vec::new(),
            held: Vec::new(),
            failed: None,
        };
        Self {
            fs,
            limits,
            state: Mutex::new(state),
            making: Mutex::new(()),
            removing: Mutex::new(()),
        }
    }

    /// Keeps every segment that the log consists of now, until the returned guard is dropped. The log
    /// continues meanwhile and uses other files instead of these. Segments that the log begins later are
    /// not held, so a long hold does not take more and more space.
    pub(crate) fn hold(&self) -> SegmentHold<'_> {
        let mut state = self.state.lock();
        let newest = state.in_use.back().map_or(SegmentId(0), |(id, _)| *id);
        state.holds.push(newest);
        SegmentHold { segments: self, newest }
    }

    /// As [`hold`](Self::hold), and keeps what the log begins later too. The hold begins with the oldest segment of the
    /// log. A hold that is not moved on keeps more and more files.
    pub(crate) fn hold_onward(self: &Arc<Self>) -> OnwardHold {
        let mut state = self.state.lock();
        let from = state.in_use.front().map_or(SegmentId(0), |(id, _)| *id);
        state.onward.push(from);
        OnwardHold { segments: Arc::clone(self), from }
    }

    /// The length of the shortest possible segment: room for one group and for the roll frame.
    pub(crate) const SHORTEST: u64 = 2 * BLOCK;

    /// Adds files for recycling. No file may be shorter than [`SHORTEST`](Self::SHORTEST). Call this
    /// only when a durable manifest needs none of them.
    pub(crate) fn add_spare(&self, files: Vec<(FileName, u64)>) {
        let mut state = self.state.lock();
        state.inherited.extend(files.iter().map(|(name, _)| *name));
        state.free(files);
    }

    /// The number that the next segment will have.
    pub(crate) fn next_id(&self) -> u64 {
        self.state.lock().next
    }

    /// Whether no segment is ready. A writer that needs another segment then has to wait until one is
    /// made.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().ready.is_empty()
    }

    /// Returns a segment of at least `len` bytes. The segment is a prepared one, else a recycled one,
    /// else a new one that is not filled with zeros. `filled` says whether the segment before was used
    /// well, so that a new one may be larger.
    pub(crate) fn take(&self, len: u64, filled: bool) -> Result<Segment> {
        let len = block_align(len);
        let mut state = self.state.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        state.needed = len;
        let mut found = None;
        while let Some(segment) = state.ready.pop_front() {
            if segment.len >= len && state.in_use.back().is_none_or(|(last, _)| *last < segment.id)
            {
                found = Some(segment);
                break;
            }
            // The segment is too short, or it was made so slowly that the log has already passed its
            // number. Numbers rise along the log, so this number cannot be used later.
            state.free([(segment.id.file(), segment.len)]);
        }
        drop(state);
        let segment = match found {
            Some(segment) => segment,
            None => match self.recycle_one(len)? {
                Some(segment) => segment,
                None => self.make(len.max(self.next_len(filled)), false)?,
            },
        };
        self.state.lock().in_use.push_back((segment.id, segment.len));
        Ok(segment)
    }

    /// The error of the failed directory sync, if one failed. The log must not continue after it.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.state.lock().failed.clone()
    }

    /// Prepares one segment ahead of need, unless one is ready.
    pub(crate) fn prepare(&self) -> Result<()> {
        let _making = self.making.lock();
        let needed = {
            let state = self.state.lock();
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if !state.ready.is_empty() {
                return Ok(());
            }
            // A request above the largest length was for one huge group. The next huge group makes its
            // own segment.
            let needed = Some(state.needed).filter(|needed| *needed <= self.limits.largest);
            needed.unwrap_or(0).max(self.limits.first)
        };
        self.wipe_dirty()?;
        self.remove_short();
        let segment = match self.recycle_one(needed)? {
            Some(segment) => segment,
            None => self.make(needed.max(self.next_len(true)), true)?,
        };
        self.state.lock().ready.push_back(segment);
        Ok(())
    }

    /// Removes spare files that are shorter than a first segment. They come from a backup or from a hold
    /// that ended.
    fn remove_short(&self) {
        let _removing = self.removing.lock();
        let mut state = self.state.lock();
        let short: Vec<_> =
            state.spare.extract_if(.., |(_, len)| *len < self.limits.first).collect();
        for (name, _) in &short {
            state.inherited.remove(name);
        }
        drop(state);
        for (name, len) in short {
            if let Err(error) = self.remove(name, len) {
                // The next open finds the file.
                tracing::warn!(%error, file = %name, "cannot remove a log segment");
            }
        }
    }

    /// The segments of the log, oldest first.
    pub(crate) fn of_the_log(&self) -> Vec<SegmentId> {
        self.state.lock().in_use.iter().map(|(id, _)| *id).collect()
    }

    /// The number of segments in the log.
    pub(crate) fn in_use(&self) -> u64 {
        self.state.lock().in_use.len() as u64
    }

    /// Releases the segments before `floor`. Released segments are kept for reuse. A file is removed if
    /// the spare files exceed their limit, or if the file is shorter than a first segment, as in a
    /// backup. Call this only when the manifest that names `floor` is durable.
    pub(crate) fn release_before(&self, floor: SegmentId) -> Result<()> {
        let mut state = self.state.lock();
        while let Some((id, len)) = state.in_use.front().copied()
            && id < floor
        {
            state.in_use.pop_front();
            if state.keeps(id) {
                state.held.push((id, len));
            } else {
                state.free([(id.file(), len)]);
            }
        }
        let dirty = !state.dirty.is_empty();
        drop(state);
        if dirty {
            let _making = self.making.lock();
            self.wipe_dirty()?;
        }
        self.remove_surplus()
    }

    /// Removes spare files that exceed the limit or are shorter than a first segment. Call this only
    /// when a durable manifest needs none of them.
    pub(crate) fn remove_surplus(&self) -> Result<()> {
        let _removing = self.removing.lock();
        let mut state = self.state.lock();
        let mut kept: u64 = state.ready.iter().map(|segment| segment.len).sum();
        let limit = self.limits.spare;
        let surplus: Vec<_> = state
            .spare
            .extract_if(.., |(_, len)| {
                if *len < self.limits.first {
                    return true;
                }
                kept = kept.saturating_add(*len);
                kept > limit
            })
            .collect();
        drop(state);
        for (name, len) in surplus {
            self.remove(name, len)
                .map_err(|error| Error::io("remove", self.fs.display(name), error))?;
        }
        Ok(())
    }

    /// Removes a segment that [`take`](Self::take) returned and that was never written to.
    pub(crate) fn discard(&self, segment: &Segment) {
        {
            let mut state = self.state.lock();
            state.in_use.retain(|(id, _)| *id != segment.id);
            if state.erasing {
                // It may have been recycled before entries were erased.
                state.dirty.push((segment.id.file(), NOT_REUSED));
                return;
            }
        }
        if let Err(error) = self.remove(segment.id.file(), segment.len) {
            // The next open finds the file.
            tracing::warn!(%error, file = %segment.id.file(), "cannot remove a log segment");
        }
    }

    /// Truncates a segment of the log to `len` bytes, if the segment is longer.
    pub(crate) fn shorten(&self, segment: &mut Segment, len: u64) -> Result<()> {
        if self.state.lock().erasing && segment.len > len {
            // What is truncated may be the rest of an earlier life.
            let wiped = wipe::overwrite(&*segment.file, len)
                .map_err(|error| Error::io("wipe", self.fs.display(segment.id.file()), error))?;
            self.state.lock().wiped += wiped;
        }
        // Bounds the number of steps to a few hundred, also for a segment that was made for one huge
        // group or extended by a hole.
        let step = FREE_STEP.max(segment.len / 256);
        while segment.len > len {
            let left = segment.len.saturating_sub(step).max(len);
            segment
                .file
                .allocate(left)
                .map_err(|error| Error::io("shorten", self.fs.display(segment.id.file()), error))?;
            segment.len = left;
        }
        let mut state = self.state.lock();
        for (id, have) in &mut state.in_use {
            if *id == segment.id {
                *have = segment.len;
            }
        }
        Ok(())
    }

    /// [`shorten`](Self::shorten)s a segment that is written to no more. A failure is only logged. A file
    /// with a failed call is never used again: it is removed once the log has released it.
    pub(crate) fn shorten_or_warn(&self, segment: &mut Segment, len: u64) {
        let Err(error) = self.shorten(segment, len) else { return };
        tracing::warn!(%error, file = %segment.id.file(), "cannot shorten a log segment");
        let mut state = self.state.lock();
        for (_, len) in state.in_use.iter_mut().filter(|(id, _)| *id == segment.id) {
            *len = NOT_REUSED;
        }
    }

    /// Removes an unneeded file. Frees a large file from its end in steps: a file system that frees all
    /// of it at once delays every other write meanwhile.
    fn remove(&self, name: FileName, len: u64) -> std::io::Result<()> {
        if len > FREE_STEP {
            // A copy that was restored here may need a file that it did not have to replace.
            self.fs.check_place()?;
            let file = self.fs.open(name, Access::ReadWrite)?;
            let mut left = len;
            while left > FREE_STEP {
                left -= FREE_STEP;
                file.allocate(left)?;
            }
        }
        self.fs.remove(name)
    }

    fn next_len(&self, filled: bool) -> u64 {
        let newest = self.state.lock().newest;
        let wanted = if filled { newest.saturating_mul(2) } else { newest };
        block_align(wanted.clamp(self.limits.first, self.limits.largest)).max(Self::SHORTEST)
    }

    fn next_number(&self) -> SegmentId {
        let mut state = self.state.lock();
        let id = SegmentId(state.next);
        state.next += 1;
        id
    }

    /// Gives a spare file of at least `len` bytes a new number. `None` if there is no such file.
    fn recycle_one(&self, len: u64) -> Result<Option<Segment>> {
        let found = {
            let mut state = self.state.lock();
            let at = state.spare.iter().position(|(_, have)| *have >= len);
            let found = at.map(|at| state.spare.swap_remove(at));
            found.map(|(name, len)| (name, len, state.inherited.remove(&name)))
        };
        let Some((old, len, inherited)) = found else { return Ok(None) };
        let id = self.next_number();
        let fail = |action, error| Error::io(action, self.fs.display(old), error);
        self.fs.rename(old, id.file()).map_err(|error| fail("rename", error))?;
        self.sync_names()?;
        let file = self
            .fs
            .open(id.file(), Access::ReadWrite)
            .map_err(|error| Error::io("open", self.fs.display(id.file()), error))?;
        // A crash may have come before the sync of the length. A failed sync may have lost the length
        // although it is still visible. So the length is set again.
        if inherited {
            file.allocate(len).map_err(|error| {
                Error::io("reserve space in", self.fs.display(id.file()), error)
            })?;
        }
        self.sync(id, &*file)?;
        Ok(Some(self.handed_out(id, file, len)))
    }

    /// Makes a new file with reserved space, filled with zeros if `zeroed`.
    fn make(&self, len: u64, zeroed: bool) -> Result<Segment> {
        let id = self.next_number();
        let path = self.fs.display(id.file());
        let fail = |action| move |error| Error::io(action, self.fs.display(id.file()), error);
        let file = self.fs.create(id.file()).map_err(fail("create"))?;
        let made = self.fill(id, &*file, len, zeroed);
        if let Err(error) = made {
            // Removes the incomplete file, so that repeated attempts do not fill the disk.
            let _ = self.fs.remove(id.file());
            return Err(error);
        }
        tracing::debug!(path = %Printable::new(&path), len, zeroed, "made a log segment");
        Ok(self.handed_out(id, file, len))
    }

    fn fill(&self, id: SegmentId, file: &dyn File, len: u64, zeroed: bool) -> Result<()> {
        let fail = |action| move |error| Error::io(action, self.fs.display(id.file()), error);
        file.allocate(len).map_err(fail("reserve space in"))?;
        if zeroed {
            let zeros = vec![0; ZERO_STEP];
            let mut at = 0;
            while at < len {
                let step = usize::try_from(len - at).unwrap_or(ZERO_STEP).min(ZERO_STEP);
                file.write_at(ByteOffset(at), &mut [IoSlice::new(&zeros[..step])])
                    .and_then(|()| file.write_back(ByteOffset(at), step as u64))
                    .map_err(fail("write"))?;
                at += step as u64;
            }
        }
        self.sync(id, file)?;
        self.sync_names()
    }

    fn sync(&self, id: SegmentId, file: &dyn File) -> Result<()> {
        file.sync().map_err(|error| Error::io("sync", self.fs.display(id.file()), error))
    }

    fn handed_out(&self, id: SegmentId, file: Arc<dyn File>, len: u64) -> Segment {
        self.state.lock().newest = len;
        Segment { id, file, len }
    }

    fn sync_names(&self) -> Result<()> {
        self.fs.sync_dir(Dir::Wal).map_err(|error| {
            let error = Error::io("sync", Dir::Wal.path(), error);
            self.state.lock().failed.get_or_insert_with(|| error.clone());
            error
        })
    }
}

impl State {
    /// Keeps files that the log does not need any more.
    fn free(&mut self, files: impl IntoIterator<Item = (FileName, u64)>) {
        if self.erasing { self.dirty.extend(files) } else { self.spare.extend(files) }
    }

    /// Whether a hold keeps a segment.
    fn keeps(&self, id: SegmentId) -> bool {
        self.holds.iter().any(|newest| id <= *newest) || self.onward.iter().any(|from| id >= *from)
    }

    /// Frees what no hold keeps any more. The next release removes the surplus.
    fn free_unheld(&mut self) {
        let (held, free) =
            std::mem::take(&mut self.held).into_iter().partition(|(id, _)| self.keeps(*id));
        self.held = held;
        let free: Vec<(SegmentId, u64)> = free;
        self.free(free.into_iter().map(|(id, len)| (id.file(), len)));
    }

    /// Removes one onward hold from `from` on.
    fn end_onward(&mut self, from: SegmentId) {
        if let Some(own) = self.onward.iter().position(|other| *other == from) {
            self.onward.swap_remove(own);
        }
    }
}
