//! The write-ahead log: segments of groups of frames.
//!
//! A *group* is what one fsync covers and the unit of recovery: all of it or none of it. It starts
//! at a multiple of [`BLOCK`] bytes, so that writing a group never touches a block that holds an
//! older one. A *segment* is one file of groups. The log goes from one segment to the next through a
//! frame that names the next, durable before anything in the next is acknowledged, so a segment that
//! is missing is missed.

pub(crate) mod frame;
mod reader;
mod recovery;
mod segments;
mod writer;

use std::fmt;

pub(crate) use reader::owner;
pub(crate) use recovery::{
    Extent, FARTHEST_ROLL, Log, Replayed, Stretch, replay, replay_closed, replay_read_only,
};
pub(crate) use segments::{Segment, SegmentHold, SegmentLimits, Segments};
pub(crate) use writer::{LogWriter, Record};

use crate::fs::{ByteOffset, FileKind, FileName};

/// Groups start at multiples of this many bytes: the page of the operating system and the physical
/// sector of most disks.
pub(crate) const BLOCK: u64 = BLOCK_LEN as u64;
pub(crate) const BLOCK_LEN: usize = 4096;

/// Rounds up to a multiple of [`BLOCK`].
pub(crate) const fn block_align(len: u64) -> u64 {
    len.div_ceil(BLOCK) * BLOCK
}

/// The number of a segment, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

impl SegmentId {
    pub(crate) const fn file(self) -> FileName {
        FileName::new(FileKind::Segment, self.0)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a group, counted over the whole life of the log. After an unclean stop some are
/// left out: groups that were cut off may have had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupNumber(pub(crate) u64);

/// The number of a tree in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TreeId(pub(crate) u32);

/// What a store is told apart by: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(pub(crate) [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}

/// Where the group with this number stands, or will stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: SegmentId,
    pub(crate) offset: ByteOffset,
    pub(crate) group: GroupNumber,
}
