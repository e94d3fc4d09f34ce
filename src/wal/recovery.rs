//! Replays the log: decides which groups count and where the log ends.
//!
//! # Invariants
//!
//! - Replay starts exactly where the manifest says and continues without a gap. If a group is missing
//!   that must be there, replay fails. A missing group is then never taken for the end of the log.
//! - Only the open end of the log may be torn. Replay truncates it if no intact group claims that the
//!   missing group was durable. Beside a writer, the reader may see such a claim after it looked for the
//!   group. So the reader looks for the group once more, and only then reports damage.
//! - Replay makes the log durable before the store shows any of it.
//! - Provisional groups count only if a later group ends at a point. Replay drops those after the last
//!   point, so the log ends at a point.

use super::frame::{Frame, GroupEnd, GroupHeader};
use super::reader::{Absence, Found, Head, LogReader, Source};
use super::{BLOCK, Position, block_align};
use crate::error::{Damage, Problem, Result};
use crate::fs::{Access, FileName, FileSystem};
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{SegmentId, StoreId};
use crate::mutant::mutant;

/// How many segment numbers a roll frame may skip. A store skips a few at most. A forged roll frame
/// cannot lead the store to numbers that have no file name.
const FARTHEST_ROLL: u64 = 1 << 32;
const _: () = assert!(FileName::FARTHEST < FARTHEST_ROLL);

/// The log as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Complete stretches that earlier runs of the store left behind, oldest first.
    pub(crate) closed: Vec<Extent>,
    /// Where the open stretch begins.
    pub(crate) open: Position,
    /// The sequence number at the start.
    pub(crate) seq: Seq,
    /// Whether the store was closed cleanly at `open`.
    pub(crate) clean: bool,
}

impl Log {
    /// Ends the open stretch at `end` and begins another one there.
    pub(crate) fn end_at(&mut self, end: Position) {
        if self.open == end {
            return;
        }
        match self.closed.last_mut() {
            // Consecutive runs that were closed cleanly thus form one stretch.
            Some(last) if last.to == self.open => last.to = end,
            _ => self.closed.push(Extent { from: self.open, to: end }),
        }
        self.open = end;
    }
}

/// A stretch of the log with a known end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) from: Position,
    pub(crate) to: Position,
}

/// The result of replay.
#[derive(Clone, Debug)]
pub(crate) struct Replayed {
    /// Where the log ends.
    pub(crate) end: Position,
    pub(crate) seq: Seq,
    /// The end of the groups that were dropped behind the log's end, because no later group ends at a
    /// point. Equal to `end` if no group was dropped.
    pub(crate) tail: Position,
    /// The positions of the dropped groups.
    pub(crate) pending: Vec<Position>,
    /// How many sequence numbers the dropped groups cover.
    pub(crate) dropped: u64,
    /// Whether the store was closed cleanly and nothing was written since.
    pub(crate) clean: bool,
    pub(crate) groups: u64,
    pub(crate) bytes: u64,
    /// The damage at the end that was truncated, if there was any.
    pub(crate) torn: Option<Box<Damage>>,
    /// The bytes of the log, in order, one entry per segment. The log continues in the last segment,
    /// whose entry may be empty.
    pub(crate) stretches: Vec<Stretch>,
}

/// The bytes of one segment that the log's groups occupy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) segment: SegmentId,
    pub(crate) from: ByteOffset,
    pub(crate) to: ByteOffset,
}

/// Why a log is read while its writer may be running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first read: reads from the page cache, and searches all of the last segment for claims.
    First,
    /// Continues where the last read ended. The cost depends on the new groups only. A missing group
    /// counts as the end of the log, unless one of the next 16 blocks or a later segment claims that the
    /// group was durable. Behind a blank block there is nothing more: everything that a running writer
    /// has written is in the page cache that this read uses.
    Onward,
    /// Verification: every byte comes from the device, and everything is searched for claims.
    Verify,
}

impl Purpose {
    fn source(self) -> Source {
        match self {
            Self::Verify => Source::Device,
            Self::First | Self::Onward => Source::Cache,
        }
    }

    /// How many bytes of the segment in which the log ends are searched for claims.
    fn reach(self) -> u64 {
        match self {
            Self::First | Self::Verify => u64::MAX,
            Self::Onward => 16 * BLOCK,
        }
    }
}

/// Reads the log and passes every frame that counts to `apply`, in order, except roll frames. `files`
/// are the segments in the directory.
pub(crate) fn replay(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    files: &[SegmentId],
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let reader = LogReader::new(fs, store, Access::ReadWrite, Source::Device);
    let mut walk = Walk::new(fs, reader, log, apply);
    walk.all_closed(log)?;
    let pinned = walk.done.stretches.len();
    walk.open(log, files, Purpose::Verify)?;
    if !walk.done.clean {
        for stretch in walk.done.stretches.iter().skip(pinned.saturating_sub(1)) {
            walk.reader.sync(stretch.segment)?;
        }
    }
    Ok(walk.done)
}

/// Reads the log as [`replay`] does but changes nothing. Some groups at the end may not be durable yet:
/// groups that no later group claims durable.
pub(crate) fn replay_read_only(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    files: &[SegmentId],
    purpose: Purpose,
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let reader = LogReader::new(fs, store, Access::Read, purpose.source());
    let mut walk = Walk::new(fs, reader, log, apply);
    walk.all_closed(log)?;
    walk.open(log, files, purpose)?;
    Ok(walk.done)
}

/// Continues where a reader has stopped. Since then only the writer may have changed the log. Groups
/// that were read before are read again only if they were provisional and count now.
pub(crate) fn replay_onward(
    fs: &dyn FileSystem,
    store: StoreId,
    stop: &Stop,
    files: &[SegmentId],
    purpose: Purpose,
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let log = Log { closed: Vec::new(), open: stop.end, seq: stop.seq, clean: false };
    let reader = LogReader::new(fs, store, Access::Read, purpose.source());
    let mut walk = Walk::new(fs, reader, &log, apply);
    walk.pending.clone_from(&stop.pending);
    walk.seq = stop.tail_seq;
    walk.open_from(stop.tail, &log, files, purpose)?;
    Ok(walk.done)
}

/// Where a reader of the log has stopped.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// Where the log ends.
    end: Position,
    seq: Seq,
    /// The end and the positions of the provisional groups that were read behind `end`.
    tail: Position,
    tail_seq: Seq,
    pending: Vec<Position>,
}

impl Stop {
    pub(crate) fn at(replayed: &Replayed) -> Self {
        let Replayed { end, seq, tail, dropped, .. } = *replayed;
        let tail_seq = Seq(seq.0 + dropped);
        Self { end, seq, tail, tail_seq, pending: replayed.pending.clone() }
    }

    /// The start of the open stretch of `log`, before anything was read.
    pub(crate) fn before(log: &Log) -> Self {
        let (end, seq) = (log.open, log.seq);
        Self { end, seq, tail: end, tail_seq: seq, pending: Vec::new() }
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// Where reading continues.
    pub(crate) fn tail(&self) -> Position {
        self.tail
    }

    /// Whether this position is in the open stretch of `log`, not before it.
    pub(crate) fn is_in(&self, log: &Log) -> bool {
        let open = log.open;
        open.key == self.end.key && open.group <= self.end.group && log.seq <= self.seq
    }
}

/// Reads only the closed stretches of the log. Each of their groups must be there.
pub(crate) fn replay_closed(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
) -> Result<Replayed> {
    let reader = LogReader::new(fs, store, Access::Read, Source::Device);
    let mut walk = Walk::new(fs, reader, log, apply);
    walk.all_closed(log)?;
    walk.enter(log.open);
    Ok(walk.done)
}

/// Reads the closed stretches of the log as [`replay_closed`] does. Passes every group, header and body,
/// to `copy`.
pub(crate) fn copy_closed(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &Log,
    copy: &mut dyn FnMut(&GroupHeader, &[u8]) -> Result<()>,
) -> Result<Replayed> {
    let reader = LogReader::new(fs, store, Access::Read, Source::Cache);
    let mut apply = |_: &GroupHeader, _: &Frame<'_>| Ok(());
    let mut walk = Walk::new(fs, reader, log, &mut apply);
    walk.copy = Some(copy);
    walk.all_closed(log)?;
    walk.enter(log.open);
    Ok(walk.done)
}

/// Reads the groups of `extent`, which begins at the sequence number `seq`, from the front, as [`copy_closed`] does.
/// Stops at the first point at which `enough` returns true. Returns where it stopped.
pub(crate) fn copy_some(
    fs: &dyn FileSystem,
    store: StoreId,
    extent: Extent,
    seq: Seq,
    copy: &mut dyn FnMut(&GroupHeader, &[u8]) -> Result<()>,
    enough: &dyn Fn() -> bool,
) -> Result<(Position, Seq)> {
    let log = Log { closed: vec![extent], open: extent.to, seq, clean: false };
    let reader = LogReader::new(fs, store, Access::Read, Source::Cache);
    let mut apply = |_: &GroupHeader, _: &Frame<'_>| Ok(());
    let mut walk = Walk::new(fs, reader, &log, &mut apply);
    walk.copy = Some(copy);
    let at = walk.some(extent, enough)?;
    Ok((at, walk.seq))
}

/// Checks two things. The last sequence number of a group must follow from its frames. The next
/// segment's number must be higher, by no more than a store can skip. So the store never adopts a
/// number that it could not have counted to.
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
        last = last.saturating_add(frame.weight());
        if let Frame::Roll { next } = frame
            && (*next <= at.segment || next.0 - at.segment.0 > FARTHEST_ROLL)
        {
            return fail("number of the next segment", at.segment.0.saturating_add(1), next.0);
        }
    }
    if header.last.0 == last {
        return Ok(());
    }
    fail("last sequence number", last, header.last.0)
}

/// Passes the frames that concern trees to `apply`.
fn apply_all(
    apply: &mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    header: &GroupHeader,
    frames: &[Frame<'_>],
) -> Result<()> {
    let mut of_trees = frames.iter().filter(|frame| !matches!(frame, Frame::Roll { .. }));
    of_trees.try_for_each(|frame| apply(header, frame))
}

/// The position behind a group.
fn behind(at: Position, header: &GroupHeader, frames: &[Frame<'_>]) -> Position {
    let position = Position {
        offset: ByteOffset(at.offset.0 + block_align(header.len)),
        group: super::GroupNumber(at.group.0 + 1),
        ..at
    };
    frames.iter().fold(position, |position, frame| match frame {
        Frame::Roll { next } => Position { segment: *next, offset: ByteOffset(0), ..position },
        _ => position,
    })
}

/// Receives whole groups: header and body.
type CopyGroup<'a> = &'a mut dyn FnMut(&GroupHeader, &[u8]) -> Result<()>;

struct Walk<'a> {
    reader: LogReader<'a>,
    fs: &'a dyn FileSystem,
    apply: &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    /// Receives every group that counts.
    copy: Option<CopyGroup<'a>>,
    done: Replayed,
    /// The sequence number after the last group that was read.
    seq: Seq,
    /// The positions of the provisional groups that were read and do not count yet.
    pending: Vec<Position>,
}

/// The result of one step of the walk.
enum Step {
    Next(Position),
    Nothing(Absence),
}

impl<'a> Walk<'a> {
    fn new(
        fs: &'a dyn FileSystem,
        reader: LogReader<'a>,
        log: &Log,
        apply: &'a mut dyn FnMut(&GroupHeader, &Frame<'_>) -> Result<()>,
    ) -> Self {
        let done = Replayed {
            end: log.open,
            seq: log.seq,
            tail: log.open,
            pending: Vec::new(),
            dropped: 0,
            clean: false,
            groups: 0,
            bytes: 0,
            torn: None,
            stretches: Vec::new(),
        };
        Self { reader, fs, apply, copy: None, done, seq: log.seq, pending: Vec::new() }
    }

    fn all_closed(&mut self, log: &Log) -> Result<()> {
        log.closed.iter().try_for_each(|extent| self.closed(*extent))
    }

    fn closed(&mut self, extent: Extent) -> Result<()> {
        self.some(extent, &|| false).map(drop)
    }

    /// Reads a closed stretch to its end, or to the first point at which it is `enough`. Returns where that is.
    fn some(&mut self, extent: Extent, enough: &dyn Fn() -> bool) -> Result<Position> {
        let mut at = extent.from;
        while at != extent.to {
            if self.pending.is_empty() && enough() {
                return Ok(at);
            }
            // A position beyond the end shows as a group whose number is too high.
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
        self.count_pending()?;
        Ok(at)
    }

    fn open(&mut self, log: &Log, files: &[SegmentId], purpose: Purpose) -> Result<()> {
        self.done.end = log.open;
        self.open_from(log.open, log, files, purpose)
    }

    /// Reads the open stretch of `log` from `at` on, to its end.
    fn open_from(
        &mut self,
        mut at: Position,
        log: &Log,
        files: &[SegmentId],
        purpose: Purpose,
    ) -> Result<()> {
        let absence = loop {
            let absence = self.read_to_absence(&mut at)?;
            if !self.was_durable(log, at, &absence, files, purpose)? {
                break absence;
            }
            // The writer writes in order, so a group that a later one claims durable is there by now.
            match self.step(at)? {
                Step::Next(position) => at = position,
                Step::Nothing(absence) => return Err(self.damage(at, absence).into()),
            }
        };
        self.done.tail = at;
        self.done.pending = std::mem::take(&mut self.pending);
        self.done.dropped = self.seq.0 - self.done.seq.0;
        self.enter(self.done.end);
        let untouched = matches!(absence, Absence::Blank | Absence::OtherLife);
        self.done.clean = log.clean && at == log.open && untouched;
        if let Absence::Damaged(damage) = absence {
            self.done.torn = Some(damage);
        }
        Ok(())
    }

    /// Reads the groups from `at` on, until a group is missing.
    fn read_to_absence(&mut self, at: &mut Position) -> Result<Absence> {
        loop {
            match self.step(*at)? {
                Step::Next(position) => *at = position,
                Step::Nothing(absence) => return Ok(absence),
            }
        }
    }

    /// Whether anything claims that the missing group at `at` was durable.
    fn was_durable(
        &mut self,
        log: &Log,
        at: Position,
        absence: &Absence,
        files: &[SegmentId],
        purpose: Purpose,
    ) -> Result<bool> {
        // A segment is durable before the log continues in it.
        if *absence == Absence::NoFile {
            return Ok(true);
        }
        // The log has not left this segment, so its file was not recycled under another number.
        for &id in files.iter().filter(|id| **id != at.segment) {
            if let Some(Head::Group(header)) = self.reader.head(id)?
                && header.segment == at.segment
            {
                let path = self.fs.display(id.file());
                return Err(Damage::field(&path, 0, "segment number", id, at.segment).into());
            }
        }
        let untouched = matches!(absence, Absence::Blank | Absence::OtherLife);
        let closed_here = log.clean && at == log.open && untouched;
        for &id in files.iter().filter(|id| **id > at.segment) {
            let search = match self.reader.head(id)? {
                // The log reached that segment, and everything in this one was durable before.
                Some(Head::Group(header)) if header.life == at.key.life(id) => return Ok(true),
                // A segment begins with a group, so no group of this life follows.
                Some(Head::Group(_) | Head::Blank) | None => purpose == Purpose::Verify,
                Some(Head::Unreadable) => true,
            };
            if search
                && !closed_here
                && self.reader.durable_claim(id, at.key, 0..u64::MAX)? > at.group.0
            {
                return Ok(true);
            }
        }
        if closed_here {
            return Ok(false);
        }
        let range = at.offset.0..at.offset.0.saturating_add(purpose.reach());
        Ok(self.reader.durable_claim(at.segment, at.key, range)? > at.group.0)
    }

    /// Reads the group at `at`. A group that ends at a point counts, together with the provisional
    /// groups before it.
    fn step(&mut self, at: Position) -> Result<Step> {
        let (header, frames, body) = match self.reader.read(at)? {
            Found::Group(header, frames, body) => (header, frames, body),
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
        if header.end == GroupEnd::Provisional && !mutant!(self.fs, ProvisionalCounted) {
            self.pending.push(at);
            return Ok(Step::Next(next));
        }
        if self.pending.is_empty() {
            apply_all(self.apply, &header, &frames)?;
            if let Some(copy) = &mut self.copy {
                copy(&header, body)?;
            }
            self.counted(at, &header, next);
        } else {
            self.pending.push(at);
            self.count_pending()?;
        }
        Ok(Step::Next(next))
    }

    /// Counts the groups that were waiting for a point. Reads them again, because together they may be
    /// larger than memory.
    fn count_pending(&mut self) -> Result<()> {
        for at in std::mem::take(&mut self.pending) {
            let (header, frames, body) = match self.reader.read(at)? {
                Found::Group(header, frames, body) => (header, frames, body),
                // The group was there before: another process has written to the file since.
                Found::Nothing(absence) => return Err(self.damage(at, absence).into()),
            };
            let next = behind(at, &header, &frames);
            apply_all(self.apply, &header, &frames)?;
            if let Some(copy) = &mut self.copy {
                copy(&header, body)?;
            }
            self.counted(at, &header, next);
        }
        Ok(())
    }

    /// Counts the group at `at`: the log goes at least to `next`.
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

    /// Notes that the log continues at `at`.
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
            Absence::OtherLife => missing("bytes of another life of the file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GroupNumber;
    use crate::testing::sim::SimDisk;
    use crate::wal::LogKey;

    const KEY: LogKey = LogKey([7; 16]);

    fn place(segment: u64, group: u64) -> Position {
        let (segment, group) = (SegmentId(segment), GroupNumber(group));
        Position { segment, offset: ByteOffset(0), group, key: KEY }
    }

    #[test]
    fn a_roll_leads_onward_and_no_further_than_a_store_skips() {
        let disk = SimDisk::new();
        let at = place(5, 1);
        let header = GroupHeader {
            life: KEY.life(at.segment),
            store: StoreId([3; 16]),
            segment: at.segment,
            offset: at.offset,
            number: at.group,
            len: 160,
            first: Seq(9),
            last: Seq(9),
            durable: at.group,
            frames: 1,
            end: GroupEnd::Point,
            body_checksum: 0,
        };
        for (next, fits) in [
            (0, false),
            (4, false),
            (5, false),
            (6, true),
            (5 + FARTHEST_ROLL, true),
            (6 + FARTHEST_ROLL, false),
            (FileName::LAST_NUMBER, false),
            (u64::MAX, false),
        ] {
            let roll = [Frame::Roll { next: SegmentId(next) }];
            let checked = check_counts(&disk, at, &header, &roll);
            assert_eq!(checked.is_ok(), fits, "{next}");
            if let Err(error) = checked {
                assert!(error.to_string().contains("number of the next segment"), "{error}");
            }
        }
    }

    #[test]
    fn stretches_that_follow_on_each_other_become_one_and_others_do_not() {
        let mut log = Log { closed: Vec::new(), open: place(1, 1), seq: Seq(0), clean: false };
        log.end_at(place(1, 1));
        assert_eq!(log.closed, []);
        // Two runs that were closed cleanly: the second continues where the first ended.
        log.end_at(place(1, 5));
        log.end_at(place(2, 9));
        let one = Extent { from: place(1, 1), to: place(2, 9) };
        assert_eq!(log.closed, [one]);
        // An unclean stop: the log continues elsewhere and skips some numbers.
        log.open = place(3, 20);
        log.end_at(place(3, 30));
        let two = Extent { from: place(3, 20), to: place(3, 30) };
        assert_eq!(log.closed, [one, two]);
        assert_eq!(log.open, place(3, 30));
    }
}
