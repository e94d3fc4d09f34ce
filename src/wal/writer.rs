//! Appends groups to the log. The flusher owns the only writer.
//!
//! # Invariants
//!
//! - Groups are written one after another, each in blocks of its own.
//! - The log leaves a segment only through a roll frame. The roll frame and every group before it are
//!   durable before any group in the next segment can be acknowledged.
//! - A group is durable only in a segment that has its name: [`LogWriter::sync`] looks before it says so.
//! - After an error the writer is unusable. The owner drops the writer and poisons the store. Nothing is
//!   retried, and no group number is used twice.

use std::io::IoSlice;
use std::sync::Arc;

use super::frame::{
    FRAME_HEADER_LEN, FrameHeader, GROUP_HEADER_LEN, GroupEnd, GroupHeader, frame_header,
};
use super::key::{BodyKey, Life, LogKey};
use super::segments::{Segment, Segments};
use super::{BLOCK, BLOCK_LEN, Position, block_align};
use crate::error::{Error, Result};
use crate::fs::{File, FileSystem};
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{GroupNumber, StoreId, TreeId};
use crate::mark::MarkName;
use crate::merkle::{Frontier, Hash};
use crate::mutant::mutant;
use crate::tree_spec::{ENTRY_SETTINGS_LEN, TreeSpec};

/// One record of a group.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// Leaves of `tree` from index `first` on, in the runs in which memory holds them.
    Leaves { tree: TreeId, first: u64, runs: &'a [&'a [Hash]] },
    /// As `Leaves`, of a tree that keeps entries, with the framed entries of the leaves.
    Entries { tree: TreeId, first: u64, runs: &'a [&'a [Hash]], entries: &'a [&'a [u8]] },
    /// Creates a tree.
    Create { spec: &'a TreeSpec, settings: [u8; ENTRY_SETTINGS_LEN], origin: Option<Origin<'a>> },
    /// Seals a tree: the tree takes no more inserts.
    Seal { tree: TreeId },
    /// Gives a tree an index.
    Index { tree: TreeId },
    /// Drops a tree.
    Drop { tree: TreeId },
    /// Erases entries of a tree. The payload has so many `ranges`.
    Erase { tree: TreeId, at: u64, ranges: u64, payload: &'a [u8] },
    /// Gives the sizes of all trees a name. The payload has so many `sizes`.
    Mark { sizes: u64, payload: &'a [u8] },
    /// Removes a mark.
    Unmark { name: &'a MarkName },
    /// Rewinds trees. The payload has so many `sizes`.
    Rewind { sizes: u64, payload: &'a [u8] },
}

/// What a tree begins behind: the size of a frontier in bytes, and the frontier.
type Origin<'a> = ([u8; 8], &'a Frontier);

/// Writes at the end of the log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    fs: Arc<dyn FileSystem>,
    store: StoreId,
    segments: Arc<Segments>,
    segment: Segment,
    key: LogKey,
    /// The life that the segment's groups carry. `body_key`, which follows from the life, keys the
    /// checksums of their bodies.
    life: Life,
    body_key: BodyKey,
    offset: u64,
    number: GroupNumber,
    /// Groups below this are durable.
    durable: GroupNumber,
    seq: Seq,
    /// How the last group ended.
    end: GroupEnd,
    bytes_written: u64,
    /// A group that is copied together, and its memory for the next one.
    gathered: Vec<u8>,
    /// Whether an earlier run of the store began the segment. The next group then goes to a new segment,
    /// and this segment only gets the roll frame. So bytes that the earlier run left behind the end of
    /// the log are never read as its continuation.
    inherited: bool,
}

/// A group larger than this is handed to the device in steps of this many bytes.
const WRITEBACK_STEP: u64 = 4 << 20;

/// Bytes that always stay free for the roll frame.
const ROLL_LEN: u64 = BLOCK;
/// A group of up to this many bytes is first copied together. In one piece its checksum uses all lanes of the
/// vector unit, which saves more time than the copy takes. The memory for such a copy is kept for the next group.
const SMALL_GROUP: usize = 256 << 10;
/// A larger group of more slices than this is copied together too, if it is not very large. A slice costs the
/// operating system about as much as copying it.
const MOST_SLICES: usize = 64;
const GATHERED_MOST: usize = 4 << 20;

const ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
const _: () = assert!(GROUP_HEADER_LEN + FRAME_HEADER_LEN <= BLOCK_LEN);

impl LogWriter {
    /// A writer that continues at `position` in `segment`. Everything before `position` is durable.
    /// `inherited` says whether an earlier run of the store wrote to the segment.
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        store: StoreId,
        segments: Arc<Segments>,
        segment: Segment,
        position: Position,
        seq: Seq,
        inherited: bool,
    ) -> Self {
        let Position { offset: ByteOffset(offset), group: number, key, .. } = position;
        let life = key.life(segment.id);
        Self {
            fs,
            store,
            segments,
            segment,
            key,
            life,
            body_key: life.body_key(),
            offset,
            number,
            durable: number,
            seq,
            end: GroupEnd::Point,
            bytes_written: 0,
            gathered: Vec::new(),
            inherited,
        }
    }

    /// Where the next group will be written.
    pub(crate) fn position(&self) -> Position {
        Position {
            segment: self.segment.id,
            offset: ByteOffset(self.offset),
            group: self.number,
            key: self.key,
        }
    }

    /// Whether the segment is more than half full and no next segment is ready.
    pub(crate) fn wants_next_segment(&self) -> bool {
        self.offset > self.segment.len / 2 && self.segments.is_empty()
    }

    /// Bytes of leaves of one tree that the next group can have without leaving the segment.
    pub(crate) fn room(&self) -> u64 {
        if self.inherited {
            return 0;
        }
        let left = self.segment.len.saturating_sub(self.offset);
        left.saturating_sub(ROLL_LEN + (GROUP_HEADER_LEN + FRAME_HEADER_LEN) as u64)
    }

    /// Bytes handed to the file system so far, padding included.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Writes one group. The store's sequence number after the group is `seq`, and the group ends as
    /// `end` says. A group without records marks the groups before it as ending at a point. The group is
    /// durable after the next [`sync`](Self::sync).
    pub(crate) fn append(&mut self, records: &[Record<'_>], seq: Seq, end: GroupEnd) -> Result<()> {
        let payload: usize = records.iter().map(Record::payload_len).sum();
        let len = GROUP_HEADER_LEN + FRAME_HEADER_LEN * records.len().max(1) + payload;
        let needed = block_align(len as u64) + ROLL_LEN;
        if self.inherited || self.segment.len.saturating_sub(self.offset) < needed {
            self.roll(needed)?;
        }
        self.end = end;
        if records.is_empty() {
            return self.write_group(&[&frame_header(FrameHeader::Point)], 1, seq);
        }
        let headers: Vec<_> = records.iter().map(Record::header).collect();
        let mut body = Vec::with_capacity(2 * records.len());
        for (header, record) in headers.iter().zip(records) {
            body.push(&header[..]);
            record.add_payload(&mut body);
        }
        self.write_group(&body, records.len(), seq)
    }

    /// Writes an empty group, which tells readers that every group before it is durable. Does nothing, and
    /// returns false, if that is not so, if no group was written since the last claim, or if there is no
    /// room in the segment.
    pub(crate) fn claim(&mut self) -> Result<bool> {
        if mutant!(&*self.fs, ClaimUnsynced) {
            (self.durable, self.end) = (self.number, GroupEnd::Point);
        }
        let synced = self.durable == self.number && self.end == GroupEnd::Point;
        let room = self.segment.len.saturating_sub(self.offset) >= BLOCK + ROLL_LEN;
        if self.inherited || !synced || !room {
            return Ok(false);
        }
        self.append(&[], self.seq, GroupEnd::Point)?;
        Ok(true)
    }

    /// Whether the last group ended at a point.
    pub(crate) fn ends_at_point(&self) -> bool {
        self.end == GroupEnd::Point
    }

    /// Leaves the segment, which the log then no longer writes to, and makes the groups in it durable.
    pub(crate) fn leave_segment(&mut self) -> Result<()> {
        self.roll(2 * ROLL_LEN)
    }

    /// Makes every appended group durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        let file = self.segment.id.file();
        let fail = |action, error| Error::io(action, self.fs.display(file), error);
        self.segment.file.sync().map_err(|error| fail("sync", error))?;
        // What is durable in a file without a name, or under the name of another file, is lost at the next open.
        self.fs.check_file(file).map_err(|error| fail("look at", error))?;
        self.durable = self.number;
        Ok(())
    }

    /// Writes zeros behind the end of the log if the bytes there look like a torn group. An earlier life
    /// of the file can leave the middle of a large group there. Everything appended must already be
    /// durable.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let file = self.segment.id.file();
        let fail = |action, error| Error::io(action, self.fs.display(file), error);
        let at = ByteOffset(self.offset);
        let mut bytes = [0; GROUP_HEADER_LEN];
        // An earlier run sealed its own segment, or its bytes must not be touched. The second condition
        // never holds: there is always room for a roll frame.
        if self.inherited || self.segment.len < self.offset + BLOCK {
            return Ok(());
        }
        // The next open reports bytes that cannot be read.
        let read = self.segment.file.read_at(at, &mut bytes);
        let harmless = GroupHeader::decode(&bytes).is_ok() || bytes == [0; GROUP_HEADER_LEN];
        if read.is_err() || harmless {
            return Ok(());
        }
        let mut zeros = [IoSlice::new(&ZEROS)];
        self.segment.file.write_at(at, &mut zeros).map_err(|error| fail("write", error))?;
        self.segment.file.sync().map_err(|error| fail("sync", error))
    }

    /// Continues in another segment with room for `needed` bytes. The group of the roll frame ends as
    /// the group before it did, so the roll never turns provisional groups into a point.
    fn roll(&mut self, needed: u64) -> Result<()> {
        let filled = self.offset > self.segment.len / 2;
        let next = self.segments.take(needed, filled)?;
        let roll = frame_header(FrameHeader::Roll { next: next.id });
        self.write_group(&[&roll], 1, self.seq)?;
        self.sync()?;
        if self.inherited {
            // The rest of this segment is never used.
            self.segments.shorten_or_warn(&mut self.segment, self.offset);
        }
        self.segment = next;
        self.life = self.key.life(self.segment.id);
        self.body_key = self.life.body_key();
        self.offset = 0;
        self.inherited = false;
        Ok(())
    }

    /// Writes a group of so many `frames`, whose bytes are the pieces `body`.
    fn write_group(&mut self, body: &[&[u8]], frames: usize, seq: Seq) -> Result<()> {
        let len = GROUP_HEADER_LEN + body.iter().map(|bytes| bytes.len()).sum::<usize>();
        let gather = len <= SMALL_GROUP || body.len() > MOST_SLICES && len <= GATHERED_MOST;
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        if gather {
            gathered.reserve(len);
            body.iter().for_each(|bytes| gathered.extend_from_slice(bytes));
        }
        let whole = [&gathered[..]];
        let body = if gather { &whole } else { body };
        let mut sum = self.body_key.begin();
        body.iter().for_each(|bytes| sum.update(bytes));
        let header = GroupHeader {
            life: self.life,
            store: self.store,
            segment: self.segment.id,
            offset: ByteOffset(self.offset),
            number: self.number,
            len: len as u64,
            first: self.seq,
            last: seq,
            durable: self.durable,
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
            end: self.end,
            body_checksum: sum.finish(),
        }
        .encode();
        let padded = block_align(len as u64);
        let padding = usize::try_from(padded - len as u64).unwrap_or(0);
        let mut slices: Vec<_> = std::iter::once(&header[..])
            .chain(body.iter().copied())
            .chain(std::iter::once(&ZEROS[..padding]))
            .map(IoSlice::new)
            .collect();
        let file = self.segment.id.file();
        let written = if padded <= WRITEBACK_STEP {
            self.segment.file.write_at(ByteOffset(self.offset), &mut slices)
        } else {
            write_busily(&*self.segment.file, self.offset, &slices)
        };
        written.map_err(|error| Error::io("write", self.fs.display(file), error))?;
        self.offset += padded;
        self.bytes_written += padded;
        self.number = GroupNumber(self.number.0 + 1);
        self.seq = seq;
        if gathered.capacity() <= SMALL_GROUP {
            self.gathered = gathered;
        }
        Ok(())
    }
}

impl<'a> Record<'a> {
    /// Creates the tree `spec`, behind `origin` if there is one.
    pub(crate) fn create(spec: &'a TreeSpec, origin: Option<&'a Frontier>) -> Self {
        let origin = origin.map(|origin| (origin.size().get().to_le_bytes(), origin));
        Self::Create { spec, settings: spec.entry_settings(), origin }
    }

    fn payload_len(&self) -> usize {
        match self {
            Self::Leaves { runs, .. } => runs.iter().map(|run| size_of_val(*run)).sum(),
            Self::Entries { runs, entries, .. } => {
                let leaves: usize = runs.iter().map(|run| size_of_val(*run)).sum();
                leaves + entries.iter().map(|run| run.len()).sum::<usize>()
            }
            Self::Create { spec, origin, .. } => {
                let origin = origin.as_ref();
                let origin = origin.map_or(0, |(size, at)| size.len() + size_of_val(at.nodes()));
                origin + ENTRY_SETTINGS_LEN + spec.name.as_str().len() + spec.hasher.len()
            }
            Self::Seal { .. } | Self::Index { .. } | Self::Drop { .. } => 0,
            Self::Erase { payload, .. }
            | Self::Mark { payload, .. }
            | Self::Rewind { payload, .. } => payload.len(),
            Self::Unmark { name } => name.as_str().len(),
        }
    }

    fn header(&self) -> [u8; FRAME_HEADER_LEN] {
        frame_header(match self {
            Self::Leaves { tree, first, runs } => {
                let count = runs.iter().map(|run| run.len() as u64).sum();
                FrameHeader::Leaves { tree: *tree, first: *first, count }
            }
            Self::Entries { tree, first, runs, entries } => {
                let count = runs.iter().map(|run| run.len() as u64).sum();
                let bytes = entries.iter().map(|run| run.len() as u64).sum();
                FrameHeader::Entries { tree: *tree, first: *first, count, bytes }
            }
            Self::Create { spec, origin: None, .. } => FrameHeader::Create(spec),
            Self::Create { spec, origin: Some((_, origin)), .. } => {
                FrameHeader::Begin(spec, origin)
            }
            Self::Seal { tree } => FrameHeader::Seal { tree: *tree },
            Self::Index { tree } => FrameHeader::Index { tree: *tree },
            Self::Drop { tree } => FrameHeader::Drop { tree: *tree },
            Self::Erase { tree, at, ranges, payload } => {
                let bytes = payload.len() as u64;
                FrameHeader::Erase { tree: *tree, at: *at, ranges: *ranges, bytes }
            }
            Self::Mark { sizes, payload } => {
                FrameHeader::Mark { sizes: *sizes, bytes: payload.len() as u64 }
            }
            Self::Rewind { sizes, payload } => {
                FrameHeader::Rewind { sizes: *sizes, bytes: payload.len() as u64 }
            }
            Self::Unmark { name } => FrameHeader::Unmark { bytes: name.as_str().len() as u64 },
        })
    }

    /// Appends the payload to the pieces of a body.
    fn add_payload<'b>(&'b self, body: &mut Vec<&'b [u8]>) {
        match self {
            Self::Leaves { runs, .. } => body.extend(runs.iter().map(|run| run.as_flattened())),
            Self::Entries { runs, entries, .. } => {
                body.extend(runs.iter().map(|run| run.as_flattened()));
                body.extend(entries.iter().copied());
            }
            Self::Create { spec, settings, origin } => {
                if let Some((size, origin)) = origin {
                    body.extend([&size[..], origin.nodes().as_flattened()]);
                }
                body.extend([&settings[..], spec.name.as_str().as_bytes(), spec.hasher.as_bytes()]);
            }
            Self::Seal { .. } | Self::Index { .. } | Self::Drop { .. } => {}
            Self::Erase { payload, .. }
            | Self::Mark { payload, .. }
            | Self::Rewind { payload, .. } => body.push(payload),
            Self::Unmark { name } => body.push(name.as_str().as_bytes()),
        }
    }
}

/// Writes a large group in steps. The device starts on each step while the next one is copied.
fn write_busily(file: &dyn File, at: u64, slices: &[IoSlice<'_>]) -> std::io::Result<()> {
    let mut at = at;
    let mut rest = slices;
    while !rest.is_empty() {
        let mut len = 0;
        let take = rest
            .iter()
            .take_while(|slice| {
                let fits = len < WRITEBACK_STEP;
                len += slice.len() as u64;
                fits
            })
            .count();
        let (now, later) = rest.split_at(take);
        let len: usize = now.iter().map(|slice| slice.len()).sum();
        file.write_at(ByteOffset(at), &mut now.to_vec())?;
        file.start_writeback(ByteOffset(at), len as u64);
        at += len as u64;
        rest = later;
    }
    Ok(())
}
