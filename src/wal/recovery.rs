//! Replaying the log: which groups count, and where it ends.
//!
//! # Invariants
//!
//! - Replay starts exactly where the manifest says and goes on without a gap. A group that must be
//!   there and is not is an error, never the end of the log.
//! - Only the open end of the log may be torn. It is cut off if nothing intact claims that what is
//!   missing was durable; any such claim makes it damage.
//! - What was replayed is durable before it is shown.
//! - Provisional groups count only where a later group that ends at a point was found. Those behind the
//!   last point are dropped: the log ends at a point.

use super::frame::{Frame, GroupEnd, GroupHeader};
use super::reader::{Absence, Found, LogReader};
use super::{Position, block_align};
use crate::error::{Damage, Problem, Result};
use crate::fs::defect::{self, Defect};
use crate::fs::{Access, FileName, FileSystem};
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{SegmentId, StoreId};

/// How many segments on a roll may lead. A store skips a few numbers at most; so nobody can lead it to
/// numbers that have no names.
const FARTHEST_ROLL: u64 = 1 << 32;
const _: () = assert!(FileName::FARTHEST < FARTHEST_ROLL);

/// What the manifest says of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Stretches that are complete, oldest first: what earlier runs of the store left behind.
    pub(crate) closed: Vec<Extent>,
    /// Where the open stretch begins.
    pub(crate) open: Position,
    /// The sequence number at the start.
    pub(crate) seq: Seq,
    /// Whether the store was closed in order at `open`.
    pub(crate) clean: bool,
}

impl Log {
    /// Notes that the open stretch ends at `end`, where another begins.
    pub(crate) fn end_at(&mut self, end: Position) {
        if self.open == end {
            return;
        }
        match self.closed.last_mut() {
            // So runs that are closed in order, one after the other, are one stretch.
            Some(last) if last.to == self.open => last.to = end,
            _ => self.closed.push(Extent { from: self.open, to: end }),
        }
        self.open = end;
    }
}

/// A stretch of the log whose end is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) from: Position,
    pub(crate) to: Position,
}

/// What replay found.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    /// Where the log ends.
    pub(crate) end: Position,
    pub(crate) seq: Seq,
    /// Where the groups end that were dropped behind the log's end, because no caller made a point of
    /// what they hold; `end` if there are none.
    pub(crate) tail: Position,
    /// The sequence numbers of what was dropped.
    pub(crate) dropped: u64,
    /// Whether the store was closed in order and nothing was written since.
    pub(crate) clean: bool,
    pub(crate) groups: u64,
    pub(crate) bytes: u64,
    /// What was cut off at the end, if anything was there.
    pub(crate) torn: Option<Box<Damage>>,
    /// Where the log stands, in order, each segment once. The last one is where it goes on, perhaps
    /// with nothing in it.
    pub(crate) stretches: Vec<Stretch>,
}

/// The bytes of one segment that hold groups which count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) segment: SegmentId,
    pub(crate) from: ByteOffset,
    pub(crate) to: ByteOffset,
}

/// Reads the log and hands every frame that counts and is no roll to `apply`, in order. `files` are the segments in the
/// directory.
pub(crate) fn replay(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    files: &[SegmentId],
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let mut walk = Walk::new(fs, store, log, Access::ReadWrite, apply);
    walk.all_closed(log)?;
    let pinned = walk.done.stretches.len();
    walk.open(log, files)?;
    if !walk.done.clean {
        for stretch in walk.done.stretches.iter().skip(pinned.saturating_sub(1)) {
            walk.reader.sync(stretch.segment)?;
        }
    }
    Ok(walk.done)
}

/// Reads the log as [`replay`] does and changes nothing: what it finds beyond the last group that a
/// later one calls durable may not be so yet.
pub(crate) fn replay_read_only(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    files: &[SegmentId],
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let mut walk = Walk::new(fs, store, log, Access::Read, apply);
    walk.all_closed(log)?;
    walk.open(log, files)?;
    Ok(walk.done)
}

/// Reads the closed stretches of the log alone, each group of which must be there.
pub(crate) fn replay_closed(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let mut walk = Walk::new(fs, store, log, Access::Read, apply);
    walk.all_closed(log)?;
    walk.enter(log.open);
    Ok(walk.done)
}

/// What a group says that it reaches follows from its frames, and segments rise along the log, by no
/// more than a store skips. So no number that is counted on from is larger than what was counted.
fn check_counts(
    fs: &dyn FileSystem,
    at: Position,
    header: &GroupHeader,
    frames: &[Frame<'_>],
) -> Result<()> {
    let fail = |field, expected: u64, found: u64| {
        let path = fs.display(at.segment.file());
        Err(Damage::field(&path, at.offset.0, field, expected, found).into())
    };
    let mut last = header.first.0;
    for frame in frames {
        match frame {
            Frame::Leaves { leaves, .. } => last = last.saturating_add(leaves.len() as u64),
            Frame::Roll { next }
                if *next > at.segment && next.0 - at.segment.0 <= FARTHEST_ROLL => {}
            Frame::Roll { next } => {
                return fail("number of the next segment", at.segment.0.saturating_add(1), next.0);
            }
            Frame::Point => {}
        }
    }
    if header.last.0 == last {
        return Ok(());
    }
    fail("last sequence number", last, header.last.0)
}

/// Hands over the frames that say something of trees.
fn apply_all(
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    header: &GroupHeader,
    frames: &[Frame<'_>],
) -> Result<()> {
    frames.iter().try_for_each(|frame| match frame {
        Frame::Leaves { .. } | Frame::Point => apply(header, frame),
        Frame::Roll { .. } => Ok(()),
    })
}

/// Where the log goes on behind a group.
fn behind(at: Position, header: &GroupHeader, frames: &[Frame<'_>]) -> Position {
    let position = Position {
        offset: ByteOffset(at.offset.0 + block_align(header.len)),
        group: super::GroupNumber(at.group.0 + 1),
        ..at
    };
    frames.iter().fold(position, |position, frame| match frame {
        Frame::Roll { next } => Position { segment: *next, offset: ByteOffset(0), ..position },
        Frame::Leaves { .. } | Frame::Point => position,
    })
}

struct Walk<'a> {
    reader: LogReader<'a>,
    fs: &'a dyn FileSystem,
    apply: &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    done: Replayed,
    /// The sequence number after the last group that was read.
    seq: Seq,
    /// Where provisional groups stand that were read and do not count yet.
    pending: Vec<Position>,
}

/// One step of the walk.
enum Step {
    Next(Position),
    Nothing(Absence),
}

impl<'a> Walk<'a> {
    fn new(
        fs: &'a dyn FileSystem,
        store: StoreId,
        log: &Log,
        access: Access,
        apply: &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    ) -> Self {
        let done = Replayed {
            end: log.open,
            seq: log.seq,
            tail: log.open,
            dropped: 0,
            clean: false,
            groups: 0,
            bytes: 0,
            torn: None,
            stretches: Vec::new(),
        };
        let reader = LogReader::new(fs, store, access);
        Self { reader, fs, apply, done, seq: log.seq, pending: Vec::new() }
    }

    fn all_closed(&mut self, log: &Log) -> Result<()> {
        log.closed.iter().try_for_each(|extent| self.closed(*extent))
    }

    fn closed(&mut self, extent: Extent) -> Result<()> {
        let mut at = extent.from;
        while at != extent.to {
            // A position beyond the end shows here as a group whose number does not fit.
            match self.step(at)? {
                Step::Next(position) if at.group < extent.to.group => at = position,
                Step::Next(_) => {
                    let path = self.fs.display(at.segment.file());
                    let (expected, found) = (extent.to.offset, at.offset);
                    let damage = Damage::field(&path, at.offset.0, "end of log", expected, found);
                    return Err(damage.into());
                }
                Step::Nothing(absence) => return Err(self.damage(at, absence).into()),
            }
        }
        // The manifest says that the stretch ended there.
        self.count_pending()
    }

    fn open(&mut self, log: &Log, files: &[SegmentId]) -> Result<()> {
        let mut at = log.open;
        self.done.end = at;
        let absence = loop {
            match self.step(at)? {
                Step::Next(position) => at = position,
                Step::Nothing(absence) => break absence,
            }
        };
        self.done.tail = at;
        self.done.dropped = self.seq.0 - self.done.seq.0;
        self.enter(self.done.end);
        // The segment where the log goes on was durable before the log went there.
        if absence == Absence::NoFile {
            return Err(self.damage(at, absence).into());
        }
        let untouched = matches!(absence, Absence::Blank | Absence::Recycled);
        self.done.clean = log.clean && at == log.open && untouched;
        if self.done.clean {
            for &id in files.iter().filter(|id| **id > at.segment) {
                if self.reader.begun_as(id)? == Some(id) {
                    return Err(self.damage(at, absence).into());
                }
            }
            return Ok(());
        }
        // The log has not let go of this segment, so no other file was made of it.
        for &id in files.iter().filter(|id| **id != at.segment) {
            if self.reader.begun_as(id)? == Some(at.segment) {
                let path = self.fs.display(id.file());
                return Err(Damage::field(&path, 0, "segment number", id, at.segment).into());
            }
        }
        for &id in files.iter().filter(|id| **id >= at.segment) {
            if self.reader.durable_claim(id)? > at.group.0 {
                return Err(self.damage(at, absence).into());
            }
        }
        if let Absence::Damaged(damage) = absence {
            self.done.torn = Some(damage);
        }
        Ok(())
    }

    /// Reads the group at `at`. One that ends at a point counts, with the provisional ones before it.
    fn step(&mut self, at: Position) -> Result<Step> {
        let (header, frames) = match self.reader.read(at)? {
            Found::Group(header, frames) => (header, frames),
            Found::Nothing(absence) => return Ok(Step::Nothing(absence)),
        };
        if header.first != self.seq {
            let path = self.fs.display(at.segment.file());
            let (expected, found) = (self.seq, header.first);
            return Err(
                Damage::field(&path, at.offset.0, "sequence number", expected, found).into()
            );
        }
        check_counts(self.fs, at, &header, &frames)?;
        let next = behind(at, &header, &frames);
        self.seq = header.last;
        if header.end == GroupEnd::Provisional && !defect::has(self.fs, Defect::ProvisionalCounted)
        {
            self.pending.push(at);
            return Ok(Step::Next(next));
        }
        if self.pending.is_empty() {
            apply_all(self.apply, &header, &frames)?;
            self.counted(at, &header, next);
        } else {
            self.pending.push(at);
            self.count_pending()?;
        }
        Ok(Step::Next(next))
    }

    /// Counts the groups that were waiting for a point. They are read again, since together they may
    /// be larger than memory.
    fn count_pending(&mut self) -> Result<()> {
        for at in std::mem::take(&mut self.pending) {
            let (header, frames) = match self.reader.read(at)? {
                Found::Group(header, frames) => (header, frames),
                // It was there: somebody has written to the file meanwhile.
                Found::Nothing(absence) => return Err(self.damage(at, absence).into()),
            };
            let next = behind(at, &header, &frames);
            apply_all(self.apply, &header, &frames)?;
            self.counted(at, &header, next);
        }
        Ok(())
    }

    /// Notes that the group at `at` counts, so that the log goes at least to `next`.
    fn counted(&mut self, at: Position, header: &GroupHeader, next: Position) {
        self.enter(at);
        let len = block_align(header.len);
        if let Some(stretch) = self.done.stretches.last_mut() {
            stretch.to = ByteOffset(at.offset.0 + len);
        }
        self.done.seq = header.last;
        self.done.end = next;
        self.done.groups += 1;
        self.done.bytes += len;
    }

    /// Notes that the log goes on at `at`.
    fn enter(&mut self, at: Position) {
        let Position { segment, offset, .. } = at;
        if self.done.stretches.last().is_none_or(|stretch| stretch.segment != segment) {
            self.done.stretches.push(Stretch { segment, from: offset, to: offset });
        }
    }

    fn damage(&self, at: Position, absence: Absence) -> Box<Damage> {
        let path = self.fs.display(at.segment.file());
        let missing = |found| Damage::field(&path, at.offset.0, "group", at.group.0, found);
        match absence {
            Absence::Damaged(damage) => damage,
            Absence::NoFile => Damage::new(path, 0, Problem::Missing),
            Absence::Blank => missing("nothing"),
            Absence::Recycled => missing("a group of an older segment"),
        }
    }
}
