//! The bytes of a group: a group header, then frames. Each frame is a frame header and a payload. Pure.
//!
//! # Invariant
//!
//! The checksum of the group header covers the segment's life, the store's id, the segment's number, the
//! group's position and the body's checksum. The body's checksum is keyed by the life. So four kinds of
//! bytes are not mistaken for a group of this place: bytes written for another place, bytes of another
//! store, bytes of an earlier life of a recycled segment, and leaves that look like a group.
//!
//! The life is near the front of the header, and the header's checksum is at its end. If a write tears a
//! header within its sector, old bytes in front lack the current life, and old bytes at the end lack the
//! right checksum.

use std::ops::Range;
use std::sync::Arc;

use super::Life;
use crate::checksum::checksum;
use crate::codec::{Decoder, Encoder};
use crate::entry::{Cause, erasure};
use crate::ids::ByteOffset;
use crate::ids::Seq;
use crate::ids::{GroupNumber, SegmentId, StoreId, TreeId};
use crate::mark::{Mark, MarkName, decode_sizes, read_name};
use crate::merkle::{Arity, Frontier, Hash, Shape, TreeSize};
use crate::tree_spec::{ENTRY_SETTINGS_LEN, LARGEST_ORIGIN, TreeSpec};

pub(crate) const GROUP_MAGIC: [u8; 8] = *b"duraWAL\n";
pub(crate) const GROUP_VERSION: u16 = 5;
pub(crate) const GROUP_HEADER_LEN: usize = 128;
pub(crate) const FRAME_HEADER_LEN: usize = 32;

/// The offset of the header's checksum, which covers everything before it.
const CHECKSUM_AT: usize = GROUP_HEADER_LEN - 8;
/// The offset of the body's checksum.
#[cfg(any(test, feature = "testing"))]
pub(crate) const BODY_CHECKSUM_AT: usize = 104;
/// The offset of the life, the same in every format version that has a life.
const LIFE_AT: usize = 16;

const KIND_LEAVES: u16 = 1;
const KIND_ROLL: u16 = 2;
const KIND_POINT: u16 = 3;
const KIND_CREATE: u16 = 4;
const KIND_SEAL: u16 = 5;
const KIND_DROP: u16 = 6;
const KIND_ENTRIES: u16 = 7;
const KIND_ERASE: u16 = 8;
const KIND_INDEX: u16 = 9;
const KIND_MARK: u16 = 10;
const KIND_UNMARK: u16 = 11;
const KIND_REWIND: u16 = 12;
const KIND_BEGIN: u16 = 13;
/// The highest known frame kind.
pub(crate) const LAST_KIND: u16 = KIND_BEGIN;

const FRAME_KIND: &str = "frame kind";

/// The flag of a provisional group, the only known flag.
pub(crate) const PROVISIONAL: u16 = 1;

/// How a group ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupEnd {
    /// At a point: a state that the store may have after a restart.
    Point,
    /// Not at a point. The group counts only if a later group ends at a point.
    Provisional,
}

/// The header of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) life: Life,
    pub(crate) store: StoreId,
    pub(crate) segment: SegmentId,
    pub(crate) offset: ByteOffset,
    pub(crate) number: GroupNumber,
    /// Bytes of the group header and the frames, without the padding after them.
    pub(crate) len: u64,
    /// The store's sequence number before the group and after it.
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    /// Every group below this number was durable when this one was written.
    pub(crate) durable: GroupNumber,
    pub(crate) frames: u32,
    pub(crate) end: GroupEnd,
    pub(crate) body_checksum: u64,
}

/// Why bytes are not a group header of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The magic is missing.
    NoMagic,
    /// The header has another format version.
    Version(u16),
    /// The header has flags that this version does not know.
    Flags(u16),
    Checksum {
        stored: u64,
        computed: u64,
    },
}

impl GroupHeader {
    pub(crate) fn encode(&self) -> [u8; GROUP_HEADER_LEN] {
        let mut out = Encoder::default();
        out.bytes(&GROUP_MAGIC)
            .u16(GROUP_VERSION)
            .u16(match self.end {
                GroupEnd::Point => 0,
                GroupEnd::Provisional => PROVISIONAL,
            })
            .u32(self.frames)
            .bytes(&self.life.0)
            .bytes(&self.store.0)
            .u64(self.segment.0)
            .u64(self.offset.0)
            .u64(self.number.0)
            .u64(self.len)
            .u64(self.first.0)
            .u64(self.last.0)
            .u64(self.durable.0)
            .u64(self.body_checksum)
            .pad_to(CHECKSUM_AT);
        let sum = checksum(&out.0);
        out.u64(sum);
        let mut bytes = [0; GROUP_HEADER_LEN];
        bytes.copy_from_slice(&out.0);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; GROUP_HEADER_LEN]) -> Result<Self, HeaderFault> {
        if !bytes.starts_with(&GROUP_MAGIC) {
            return Err(HeaderFault::NoMagic);
        }
        let (covered, stored) = bytes.split_at(CHECKSUM_AT);
        let stored = Decoder(stored).u64().ok_or(HeaderFault::NoMagic)?;
        let computed = checksum(covered);
        if stored != computed {
            return Err(HeaderFault::Checksum { stored, computed });
        }
        let mut fields = Decoder(covered);
        Self::fields(&mut fields).ok_or(HeaderFault::NoMagic)?
    }

    fn fields(fields: &mut Decoder<'_>) -> Option<Result<Self, HeaderFault>> {
        fields.bytes(GROUP_MAGIC.len())?;
        let version = fields.u16()?;
        if version != GROUP_VERSION {
            return Some(Err(HeaderFault::Version(version)));
        }
        let end = match fields.u16()? {
            0 => GroupEnd::Point,
            PROVISIONAL => GroupEnd::Provisional,
            flags => return Some(Err(HeaderFault::Flags(flags))),
        };
        let frames = fields.u32()?;
        let life = Life(fields.array()?);
        let store = StoreId(fields.array()?);
        let segment = SegmentId(fields.u64()?);
        let offset = ByteOffset(fields.u64()?);
        let number = GroupNumber(fields.u64()?);
        let len = fields.u64()?;
        let first = Seq(fields.u64()?);
        let last = Seq(fields.u64()?);
        let durable = GroupNumber(fields.u64()?);
        let body_checksum = fields.u64()?;
        Some(Ok(Self {
            life,
            store,
            segment,
            offset,
            number,
            len,
            first,
            last,
            durable,
            frames,
            end,
            body_checksum,
        }))
    }
}

/// The life in a group header of any version. Ignores the rest of the header.
pub(crate) fn carried_life(bytes: &[u8; GROUP_HEADER_LEN]) -> Life {
    let mut life = [0; 16];
    life.copy_from_slice(&bytes[LIFE_AT..LIFE_AT + 16]);
    Life(life)
}

/// One record of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Leaves appended to a tree, the first of them at index `first`.
    Leaves { tree: TreeId, first: u64, leaves: &'a [Hash] },
    /// As `Leaves`, of a tree that keeps entries, with the framed entries that hash to the leaves.
    Entries { tree: TreeId, first: u64, leaves: &'a [Hash], entries: &'a [u8] },
    /// The log continues at the start of segment `next`.
    Roll { next: SegmentId },
    /// Nothing new. Marks the end of the groups before this one as a point.
    Point,
    /// A new tree, without leaves.
    Create(Arc<TreeSpec>),
    /// A new tree that goes on behind this frontier, which is not empty.
    Begin(Arc<TreeSpec>, Arc<Frontier>),
    /// The tree takes no more leaves.
    Seal { tree: TreeId },
    /// The tree gets an index.
    Index { tree: TreeId },
    /// The tree is removed.
    Drop { tree: TreeId },
    /// Entries of the tree are erased.
    Erase { tree: TreeId, ranges: Vec<Range<u64>>, cause: Cause },
    /// The sizes of all trees get a name.
    Mark(Arc<Mark>),
    /// A mark is removed.
    Unmark(MarkName),
    /// Trees are rewound to these sizes. The only frame of its group.
    Rewind(Vec<(TreeId, u64)>),
}

impl Frame<'_> {
    /// How much the frame raises the sequence number of the store.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Leaves { leaves, .. } | Self::Entries { leaves, .. } => leaves.len() as u64,
            Self::Create(_)
            | Self::Begin(..)
            | Self::Seal { .. }
            | Self::Index { .. }
            | Self::Drop { .. }
            | Self::Erase { .. }
            | Self::Mark(_)
            | Self::Unmark(_)
            | Self::Rewind(_) => 1,
            Self::Roll { .. } | Self::Point => 0,
        }
    }
}

/// The bytes of a frame header: the frame's kind, its tree, two numbers whose meaning depends on the
/// kind, and the length of the payload in bytes.
pub(crate) fn frame_header(frame: FrameHeader<'_>) -> [u8; FRAME_HEADER_LEN] {
    let header = |kind: u16, tree: u32, number: u64, count: u64, len: u64| {
        let kind_and_tree = u64::from(kind) | u64::from(tree) << 32;
        let mut bytes = [0; FRAME_HEADER_LEN];
        let (fields, _) = bytes.as_chunks_mut();
        for (field, value) in fields.iter_mut().zip([kind_and_tree, number, count, len]) {
            *field = value.to_le_bytes();
        }
        bytes
    };
    match frame {
        FrameHeader::Leaves { tree, first, count } => {
            header(KIND_LEAVES, tree.0, first, count, count * size_of::<Hash>() as u64)
        }
        FrameHeader::Entries { tree, first, count, bytes } => {
            let leaves = count * size_of::<Hash>() as u64;
            header(KIND_ENTRIES, tree.0, first, count, leaves + bytes)
        }
        FrameHeader::Roll { next } => header(KIND_ROLL, 0, next.0, 0, 0),
        FrameHeader::Point => header(KIND_POINT, 0, 0, 0, 0),
        FrameHeader::Create(spec) => {
            let name = spec.name.as_str().len() as u64;
            let len = (ENTRY_SETTINGS_LEN + spec.hasher.len()) as u64 + name;
            header(KIND_CREATE, spec.id.0, u64::from(spec.children()), name, len)
        }
        FrameHeader::Begin(spec, frontier) => {
            let name = spec.name.as_str().len() as u64;
            let len = (ENTRY_SETTINGS_LEN + spec.hasher.len()) as u64 + name;
            let len = len + 8 + size_of_val(frontier.nodes()) as u64;
            header(KIND_BEGIN, spec.id.0, u64::from(spec.children()), name, len)
        }
        FrameHeader::Seal { tree } => header(KIND_SEAL, tree.0, 0, 0, 0),
        FrameHeader::Index { tree } => header(KIND_INDEX, tree.0, 0, 0, 0),
        FrameHeader::Drop { tree } => header(KIND_DROP, tree.0, 0, 0, 0),
        FrameHeader::Erase { tree, at, ranges, bytes } => {
            header(KIND_ERASE, tree.0, at, ranges, bytes)
        }
        FrameHeader::Mark { sizes, bytes } => header(KIND_MARK, 0, 0, sizes, bytes),
        FrameHeader::Unmark { bytes } => header(KIND_UNMARK, 0, 0, 0, bytes),
        FrameHeader::Rewind { sizes, bytes } => header(KIND_REWIND, 0, 0, sizes, bytes),
    }
}

/// A [`Frame`] without its payload. The payload of `Create` is how the tree keeps entries, the name of
/// the tree, then the name of its hash function. That of `Begin` has the size and the nodes of the frontier before it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FrameHeader<'a> {
    Leaves {
        tree: TreeId,
        first: u64,
        count: u64,
    },
    /// With `bytes` of framed entries behind the leaves.
    Entries {
        tree: TreeId,
        first: u64,
        count: u64,
        bytes: u64,
    },
    Roll {
        next: SegmentId,
    },
    Point,
    Create(&'a TreeSpec),
    Begin(&'a TreeSpec, &'a Frontier),
    Seal {
        tree: TreeId,
    },
    Index {
        tree: TreeId,
    },
    Drop {
        tree: TreeId,
    },
    /// With `bytes` of payload, see [`erasure::encode`].
    Erase {
        tree: TreeId,
        at: u64,
        ranges: u64,
        bytes: u64,
    },
    /// With `bytes` of payload, see [`Mark::payload`].
    Mark {
        sizes: u64,
        bytes: u64,
    },
    /// With the name of the mark, of `bytes` bytes.
    Unmark {
        bytes: u64,
    },
    /// With `bytes` of payload, see [`encode_sizes`](crate::mark::encode_sizes).
    Rewind {
        sizes: u64,
        bytes: u64,
    },
}

/// A frame with impossible contents. The checksum of the body is right, so a program wrote the frame
/// this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyFault {
    /// Byte offset in the body.
    pub(crate) at: usize,
    /// The wrong field.
    pub(crate) field: &'static str,
    pub(crate) found: u64,
    /// Whether the frame has a kind that this version does not know. A later version of this crate may
    /// read the frame.
    pub(crate) unknown_kind: bool,
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { at, field, found, .. } = self;
        write!(f, "wrong {field} at byte {at} of the group's body: {found}")
    }
}

/// The frames of a group's body without those that lead to another segment, and how many they are. `body` has `count`
/// frames, which can be decoded.
pub(crate) fn without_rolls(body: &[u8], count: u32) -> (Vec<u8>, u32) {
    let (mut out, mut kept, mut at) = (Vec::with_capacity(body.len()), 0, 0);
    for _ in 0..count {
        let Some(header) = body.get(at..at + FRAME_HEADER_LEN) else { break };
        let (fields, _) = header.as_chunks::<8>();
        let is_roll = u64::from_le_bytes(fields[0]) & 0xffff == u64::from(KIND_ROLL);
        let Ok(len) = usize::try_from(u64::from_le_bytes(fields[3])) else { break };
        let Some(frame) = at.checked_add(FRAME_HEADER_LEN + len).and_then(|end| body.get(at..end))
        else {
            break;
        };
        if !is_roll {
            out.extend_from_slice(frame);
            kept += 1;
        }
        at += frame.len();
    }
    (out, kept)
}

/// Renumbers the segments to which the roll frames of a group's body lead. `body` has `count` frames, which can be decoded.
pub(crate) fn renumber_rolls(
    body: &mut [u8],
    count: u32,
    renumber: impl Fn(SegmentId) -> SegmentId,
) {
    let mut at = 0;
    for _ in 0..count {
        let Some(header) = body.get_mut(at..at + FRAME_HEADER_LEN) else { return };
        let (fields, _) = header.as_chunks_mut::<8>();
        let kind = u64::from_le_bytes(fields[0]) & 0xffff;
        if kind == u64::from(KIND_ROLL) {
            let next = SegmentId(u64::from_le_bytes(fields[1]));
            fields[1] = renumber(next).0.to_le_bytes();
        }
        let Ok(len) = usize::try_from(u64::from_le_bytes(fields[3])) else { return };
        let Some(next) = at.checked_add(FRAME_HEADER_LEN + len) else { return };
        at = next;
    }
}

/// Decodes the frames of a group's body: exactly `count` frames and nothing behind them.
pub(crate) fn frames(body: &[u8], count: u32) -> Result<Vec<Frame<'_>>, BodyFault> {
    let mut rest = Decoder(body);
    let mut frames = Vec::new();
    for _ in 0..count {
        let at = body.len() - rest.remaining();
        let fault =
            |field, found| BodyFault { at, field, found, unknown_kind: field == FRAME_KIND };
        frames.push(
            frame(&mut rest)
                .ok_or(fault("frame length", rest.remaining() as u64))?
                .map_err(|(field, found)| fault(field, found))?,
        );
    }
    if rest.remaining() > 0 {
        let at = body.len() - rest.remaining();
        let found = u64::from(count);
        return Err(BodyFault { at, field: "frame count", found, unknown_kind: false });
    }
    Ok(frames)
}

type FrameResult<'a> = Result<Frame<'a>, (&'static str, u64)>;

/// Decodes one frame from the front. `None` if the bytes end within the frame.
fn frame<'a>(bytes: &mut Decoder<'a>) -> Option<FrameResult<'a>> {
    let kind = bytes.u16()?;
    bytes.u16()?;
    let tree = TreeId(bytes.u32()?);
    let number = bytes.u64()?;
    let count = bytes.u64()?;
    let len = bytes.u64()?;
    let payload = bytes.bytes(usize::try_from(len).ok()?)?;
    Some(match kind {
        KIND_LEAVES => {
            let (leaves, odd) = payload.as_chunks();
            if !odd.is_empty() || leaves.len() as u64 != count {
                Err(("leaf count", count))
            } else {
                Ok(Frame::Leaves { tree, first: number, leaves })
            }
        }
        KIND_ENTRIES => {
            let leaves = usize::try_from(count).ok().and_then(|n| n.checked_mul(size_of::<Hash>()));
            match leaves.and_then(|leaves| payload.split_at_checked(leaves)) {
                Some((leaves, entries)) => {
                    let (leaves, _) = leaves.as_chunks();
                    Ok(Frame::Entries { tree, first: number, leaves, entries })
                }
                None => Err(("leaf count", count)),
            }
        }
        KIND_ROLL if len == 0 => Ok(Frame::Roll { next: SegmentId(number) }),
        KIND_POINT if len == 0 => Ok(Frame::Point),
        KIND_SEAL if len == 0 => Ok(Frame::Seal { tree }),
        KIND_INDEX if len == 0 => Ok(Frame::Index { tree }),
        KIND_DROP if len == 0 => Ok(Frame::Drop { tree }),
        KIND_CREATE => match created(tree, number, count, payload) {
            Some(spec) => Ok(Frame::Create(spec)),
            None => Err(("description of a tree", u64::from(tree.0))),
        },
        KIND_BEGIN => match begun(tree, number, count, payload) {
            Some((spec, frontier)) => Ok(Frame::Begin(spec, Arc::new(frontier))),
            None => Err(("description of a tree", u64::from(tree.0))),
        },
        KIND_ERASE => match erased(number, count, payload) {
            Some((ranges, cause)) => Ok(Frame::Erase { tree, ranges, cause }),
            None => Err(("erasure", count)),
        },
        KIND_MARK => match Mark::read(payload, count) {
            Some(mark) => Ok(Frame::Mark(Arc::new(mark))),
            None => Err(("mark", count)),
        },
        KIND_UNMARK => match read_name(payload) {
            Some(name) => Ok(Frame::Unmark(name)),
            None => Err(("name of a mark", len)),
        },
        KIND_REWIND => match decode_sizes(payload, count) {
            Some(sizes) if !sizes.is_empty() => Ok(Frame::Rewind(sizes)),
            _ => Err(("sizes of trees", count)),
        },
        // A frame of these kinds with a payload would have another meaning.
        KIND_ROLL | KIND_POINT | KIND_SEAL | KIND_INDEX | KIND_DROP => Err(("payload length", len)),
        _ => Err((FRAME_KIND, u64::from(kind))),
    })
}

fn created(tree: TreeId, children: u64, name: u64, payload: &[u8]) -> Option<Arc<TreeSpec>> {
    let (entries, payload) = payload.split_first_chunk()?;
    let (name, hasher) = payload.split_at_checked(usize::try_from(name).ok()?)?;
    TreeSpec::read(tree, name, hasher, u16::try_from(children).ok()?, *entries)
}

fn begun(
    tree: TreeId,
    children: u64,
    name: u64,
    payload: &[u8],
) -> Option<(Arc<TreeSpec>, Frontier)> {
    let arity = Arity::new(usize::try_from(children).ok()?)?;
    let mut fields = Decoder(payload);
    let size = fields.u64().filter(|size| (1..=LARGEST_ORIGIN).contains(size))?;
    let count = Shape::new(arity, TreeSize(size)).frontier_nodes();
    let nodes = (0..count).map(|_| fields.array()).collect::<Option<Vec<Hash>>>()?;
    let frontier = Frontier::from_nodes(arity, TreeSize(size), nodes).ok()?;
    Some((created(tree, children, name, fields.0)?, frontier))
}

fn erased(at: u64, count: u64, payload: &[u8]) -> Option<(Vec<Range<u64>>, Cause)> {
    let (ranges, reason) = erasure::decode(payload, count)?;
    Some((ranges, Cause::read(at, reason)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Arc<TreeSpec> {
        TreeSpec::read(TreeId(9), "nullifiers".as_bytes(), b"blake3", 4, [0; 8]).unwrap()
    }

    fn header() -> GroupHeader {
        GroupHeader {
            life: Life([9; 16]),
            store: StoreId([3; 16]),
            segment: SegmentId(5),
            offset: ByteOffset(8192),
            number: GroupNumber(77),
            len: 1000,
            first: Seq(10),
            last: Seq(20),
            durable: GroupNumber(77),
            frames: 2,
            end: GroupEnd::Point,
            body_checksum: 0xdead_beef,
        }
    }

    #[test]
    fn a_group_header_is_read_back_as_it_was_written() {
        for end in [GroupEnd::Point, GroupEnd::Provisional] {
            let header = GroupHeader { end, ..header() };
            assert_eq!(GroupHeader::decode(&header.encode()), Ok(header));
        }
    }

    #[test]
    fn a_group_header_with_a_flag_that_is_not_known_is_refused() {
        let mut bytes = header().encode();
        bytes[10] = 2;
        let sum = checksum(&bytes[..CHECKSUM_AT]).to_le_bytes();
        bytes[CHECKSUM_AT..].copy_from_slice(&sum);
        assert_eq!(GroupHeader::decode(&bytes), Err(HeaderFault::Flags(2)));
    }

    #[test]
    fn a_header_carries_its_life_and_its_checksums_where_they_are_looked_for() {
        let bytes = header().encode();
        assert_eq!(carried_life(&bytes), header().life);
        let at = BODY_CHECKSUM_AT..BODY_CHECKSUM_AT + 8;
        assert_eq!(bytes[at], header().body_checksum.to_le_bytes());
    }

    #[test]
    fn a_group_has_the_bytes_of_the_golden_file() {
        let leaves = [[0xaa; 32], [0xbb; 32]];
        let mut bytes = header().encode().to_vec();
        bytes.extend(frame_header(FrameHeader::Leaves { tree: TreeId(4), first: 9, count: 2 }));
        bytes.extend(leaves.as_flattened());
        let spec = spec();
        bytes.extend(frame_header(FrameHeader::Create(&spec)));
        bytes.extend(spec.entry_settings());
        bytes.extend(b"nullifiersblake3");
        let (tree, first, count) = (TreeId(9), 0, 2);
        bytes.extend(frame_header(FrameHeader::Entries { tree, first, count, bytes: 7 }));
        bytes.extend(leaves.as_flattened());
        bytes.extend(b"\0\0\0\x03abc");
        let payload = erasure::encode(&[0..1, 300..301], "gone");
        let (at, len) = (1_795_687_518_000, payload.len() as u64);
        bytes.extend(frame_header(FrameHeader::Erase { tree, at, ranges: 2, bytes: len }));
        bytes.extend(payload);
        bytes.extend(frame_header(FrameHeader::Seal { tree: TreeId(4) }));
        bytes.extend(frame_header(FrameHeader::Drop { tree: TreeId(5) }));
        bytes.extend(frame_header(FrameHeader::Point));
        bytes.extend(frame_header(FrameHeader::Roll { next: SegmentId(6) }));
        crate::testing::golden::check("group.hex", &bytes);
    }

    #[test]
    fn a_group_header_with_any_bit_changed_is_refused() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(GroupHeader::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn frames_are_read_back_as_they_were_written_and_no_prefix_of_them_is() {
        let leaves = [[1; 32], [2; 32]];
        let spec = spec();
        let mut body = Vec::new();
        body.extend(frame_header(FrameHeader::Create(&spec)));
        body.extend(spec.entry_settings());
        body.extend(b"nullifiersblake3");
        let (tree, first, count) = (TreeId(9), 3, 1);
        body.extend(frame_header(FrameHeader::Entries { tree, first, count, bytes: 5 }));
        body.extend(leaves[0]);
        body.extend(b"\0\x03abc");
        body.extend(frame_header(FrameHeader::Leaves { tree: TreeId(4), first: 9, count: 2 }));
        body.extend(leaves.as_flattened());
        let ranges = vec![3..4, 5..1000];
        let payload = erasure::encode(&ranges, "gone");
        let (at, len) = (77, payload.len() as u64);
        body.extend(frame_header(FrameHeader::Erase { tree, at, ranges: 2, bytes: len }));
        body.extend(payload);
        let sizes = vec![(TreeId(4), 11), (TreeId(9), 4)];
        let mark = Mark::new(MarkName::new("block 7").unwrap(), sizes).unwrap();
        let bytes = mark.payload().len() as u64;
        body.extend(frame_header(FrameHeader::Mark { sizes: 2, bytes }));
        body.extend(mark.payload());
        body.extend(frame_header(FrameHeader::Unmark { bytes: 7 }));
        body.extend(b"block 6");
        let sizes = vec![(TreeId(4), 3), (TreeId(9), 0)];
        let payload = crate::mark::encode_sizes(&sizes);
        let bytes = payload.len() as u64;
        body.extend(frame_header(FrameHeader::Rewind { sizes: 2, bytes }));
        body.extend(payload);
        body.extend(frame_header(FrameHeader::Seal { tree: TreeId(4) }));
        body.extend(frame_header(FrameHeader::Drop { tree: TreeId(9) }));
        body.extend(frame_header(FrameHeader::Roll { next: SegmentId(6) }));
        let frontier = Frontier::from_nodes(Arity::Four, TreeSize(5), leaves.to_vec()).unwrap();
        body.extend(frame_header(FrameHeader::Begin(&spec, &frontier)));
        body.extend(5_u64.to_le_bytes());
        body.extend(leaves.as_flattened());
        body.extend(spec.entry_settings());
        body.extend(b"nullifiersblake3");
        let expected = [
            Frame::Create(Arc::clone(&spec)),
            Frame::Entries { tree, first, leaves: &leaves[..1], entries: b"\0\x03abc" },
            Frame::Leaves { tree: TreeId(4), first: 9, leaves: &leaves },
            Frame::Erase { tree, ranges, cause: Cause { at, reason: "gone".into() } },
            Frame::Mark(Arc::new(mark)),
            Frame::Unmark(MarkName::new("block 6").unwrap()),
            Frame::Rewind(sizes),
            Frame::Seal { tree: TreeId(4) },
            Frame::Drop { tree: TreeId(9) },
            Frame::Roll { next: SegmentId(6) },
            Frame::Begin(spec, Arc::new(frontier)),
        ];
        assert_eq!(expected.iter().map(Frame::weight).sum::<u64>(), 11);
        assert_eq!(frames(&body, 11).as_deref(), Ok(&expected[..]));
        for len in 0..body.len() {
            assert!(frames(&body[..len], 11).is_err(), "{len}");
        }
        assert!(frames(&body, 10).is_err());
        assert!(frames(&body, 12).is_err());
    }

    #[test]
    fn a_tree_that_no_store_can_have_is_refused() {
        let good = spec();
        for (name, hasher, children) in [
            ("", "blake3", 4),
            ("a/b", "blake3", 4),
            ("a", "BLAKE", 4),
            ("a", "", 4),
            ("a", "x", 5),
        ] {
            let mut body = frame_header(FrameHeader::Create(&good)).to_vec();
            body[8..16].copy_from_slice(&u64::to_le_bytes(children));
            body[16..24].copy_from_slice(&(name.len() as u64).to_le_bytes());
            let len = good.entry_settings().len() + name.len() + hasher.len();
            body[24..32].copy_from_slice(&(len as u64).to_le_bytes());
            body.extend(good.entry_settings());
            body.extend(name.bytes().chain(hasher.bytes()));
            let fault = frames(&body, 1).unwrap_err();
            assert_eq!((fault.at, fault.field, fault.found), (0, "description of a tree", 9));
        }
    }

    #[test]
    fn a_tree_behind_a_frontier_of_more_leaves_than_any_can_have_is_refused() {
        let spec = spec();
        for (size, good) in [(LARGEST_ORIGIN, true), (LARGEST_ORIGIN + 1, false), (u64::MAX, false)]
        {
            let shape = Shape::new(spec.arity, TreeSize(size));
            let nodes = vec![[1; 32]; shape.frontier_nodes()];
            let frontier = Frontier::from_nodes(spec.arity, TreeSize(size), nodes).unwrap();
            let mut body = frame_header(FrameHeader::Begin(&spec, &frontier)).to_vec();
            body.extend(size.to_le_bytes());
            body.extend(frontier.nodes().as_flattened());
            body.extend(spec.entry_settings());
            body.extend(b"nullifiersblake3");
            assert_eq!(frames(&body, 1).is_ok(), good, "{size}");
        }
    }

    #[test]
    fn a_frame_without_payload_that_has_one_is_not_of_an_unknown_kind() {
        for kind in [KIND_ROLL, KIND_POINT, KIND_SEAL, KIND_DROP] {
            let mut body = frame_header(FrameHeader::Point).to_vec();
            body[..2].copy_from_slice(&kind.to_le_bytes());
            body[24] = 1;
            body.push(0);
            let fault = frames(&body, 1).unwrap_err();
            assert_eq!((fault.field, fault.found), ("payload length", 1));
            assert!(!fault.unknown_kind);
        }
    }

    #[test]
    fn a_frame_whose_numbers_disagree_is_refused_with_its_place() {
        let mut body =
            frame_header(FrameHeader::Leaves { tree: TreeId(0), first: 0, count: 1 }).to_vec();
        body.extend([0; 32]);
        body[16] = 2;
        let fault = frames(&body, 1);
        assert_eq!(
            fault,
            Err(BodyFault { at: 0, field: "leaf count", found: 2, unknown_kind: false })
        );
        body[0] = 200;
        let fault = frames(&body, 1);
        assert_eq!(
            fault,
            Err(BodyFault { at: 0, field: "frame kind", found: 200, unknown_kind: true })
        );
    }
}
