//! The write-ahead log: segments of groups of frames.
//!
//! A *group* is the unit of one fsync and of recovery: recovery keeps a group whole or drops it whole. A
//! group starts at a multiple of [`BLOCK`] bytes, so writing a group never touches a block that holds an
//! older group. A *segment* is one file of groups. The last frame of a segment names the next segment.
//! This frame is durable before any group in the next segment is acknowledged, so recovery notices a
//! missing segment.

mod apply;
pub(crate) mod frame;
mod key;
mod logged;
mod reader;
mod recovery;
mod segments;
mod writer;

pub(crate) use apply::{Change, LoggedTree, LoggedTrees, not_the_entry};
pub(crate) use frame::GroupEnd;
pub(crate) use key::{Life, LogKey};
pub(crate) use logged::LoggedLeaves;
pub(crate) use reader::owner;
pub(crate) use recovery::{
    Extent, Log, Purpose, Replayed, Stop, Stretch, copy_closed, copy_some, replay, replay_closed,
    replay_onward, replay_read_only,
};
pub(crate) use segments::{OnwardHold, Segment, SegmentHold, SegmentLimits, Segments, Unwiped};
pub(crate) use writer::{LogWriter, Record};

use crate::ids::{ByteOffset, GroupNumber, SegmentId};

/// Groups start at multiples of this many bytes: the page size of the operating system and the physical
/// sector size of most disks.
pub(crate) const BLOCK: u64 = BLOCK_LEN as u64;
pub(crate) const BLOCK_LEN: usize = 4096;
const _: () = assert!(crate::config::LEAST_SEGMENT_BYTES == 2 * BLOCK);

/// Rounds up to a multiple of [`BLOCK`].
pub(crate) const fn block_align(len: u64) -> u64 {
    len.div_ceil(BLOCK) * BLOCK
}

/// Where the group with this number is, or will be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: SegmentId,
    pub(crate) offset: ByteOffset,
    pub(crate) group: GroupNumber,
    /// The key of the stretch that the group belongs to.
    pub(crate) key: LogKey,
}
