//! Reads the log of a store, with or without the manifest that says where it is and which groups are the store's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::facts::Facts;
use super::report::Skipped;
use crate::entry::Erasures;
use crate::error::{Error, Result};
use crate::fs::{Access, File, FileSystem, backing};
use crate::ids::{ByteOffset, SegmentId, StoreId, TreeId};
use crate::merkle::Frontier;
use crate::tree_spec::TreeSpec;
use crate::wal::frame::{Frame, GROUP_HEADER_LEN, GroupHeader, frames};
use crate::wal::{BLOCK, GroupEnd, Life, Log, block_align};

/// What the groups that count say, but for the leaves.
#[derive(Default)]
pub(super) struct LogFacts {
    /// The groups that count, in order.
    counted: Vec<Place>,
    pub(super) created: BTreeMap<TreeId, Arc<TreeSpec>>,
    /// What created trees begin behind, if not with their first leaf.
    pub(super) origins: BTreeMap<TreeId, Arc<Frontier>>,
    pub(super) sealed: BTreeSet<TreeId>,
    pub(super) indexed: BTreeSet<TreeId>,
    pub(super) dropped: BTreeSet<TreeId>,
    pub(super) erasures: BTreeMap<TreeId, Arc<Erasures>>,
    /// The leaves that are in the log.
    pub(super) leaves: BTreeMap<TreeId, Vec<Range<u64>>>,
    pub(super) gaps: Vec<Range<u64>>,
    pub(super) unproven: Vec<PathBuf>,
}

impl LogFacts {
    pub(super) fn groups(&self) -> u64 {
        self.counted.len() as u64
    }
}

/// Where a group is.
#[derive(Clone, Copy)]
struct Place {
    segment: SegmentId,
    life: Life,
    offset: u64,
}

/// A frame that is not of leaves, or the indexes of leaves.
enum Note {
    Created(Arc<TreeSpec>, Option<Arc<Frontier>>),
    Sealed(TreeId),
    Indexed(TreeId),
    Dropped(TreeId),
    Erased(TreeId, Vec<Range<u64>>, crate::entry::Cause),
    Leaves(TreeId, Range<u64>),
    Rewound(Vec<(TreeId, u64)>),
}

/// The groups of one segment.
struct Segment {
    id: SegmentId,
    file: Arc<dyn File>,
    len: u64,
    store: StoreId,
}

impl Segment {
    /// Opens segment `id`. `None` if it cannot be opened.
    fn open(fs: &dyn FileSystem, store: StoreId, id: SegmentId) -> std::io::Result<Self> {
        let file = fs.open(id.file(), Access::Read)?;
        let len = file.len()?;
        Ok(Self { id, file, len, store })
    }

    /// The header of a group of this store in this segment at `offset`.
    fn header(&self, offset: u64) -> Option<GroupHeader> {
        if offset.checked_add(BLOCK)? > self.len {
            return None;
        }
        let mut bytes = [0; GROUP_HEADER_LEN];
        self.file.read_at(ByteOffset(offset), &mut bytes).ok()?;
        let header = GroupHeader::decode(&bytes).ok()?;
        let is_here = (header.store, header.segment, header.offset.0);
        (is_here == (self.store, self.id, offset)).then_some(header)
    }

    /// Reads the group of `life` at `offset`. Returns its header, with its body in `body`.
    fn group(&self, life: Life, offset: u64, body: &mut Vec<u8>) -> Option<GroupHeader> {
        let header = self.header(offset).filter(|header| header.life == life)?;
        let len = header.len.checked_sub(GROUP_HEADER_LEN as u64)?;
        let end = offset.checked_add(header.len).filter(|end| *end <= self.len)?;
        // A file may claim any length.
        if backing::too_few(&*self.file, offset..end).ok()?.is_some() {
            return None;
        }
        backing::resize(body, len).ok()?;
        self.file.read_at(ByteOffset(offset + GROUP_HEADER_LEN as u64), body).ok()?;
        (life.body_key().checksum(body) == header.body_checksum).then_some(header)
    }

    /// The first group header that begins a block, wherever it is.
    fn first_header(&self) -> Option<(u64, GroupHeader)> {
        let mut offset = 0;
        while offset < self.len {
            // A hole has no group.
            let data = self.file.data(ByteOffset(offset)).ok().flatten()?;
            offset = offset.max(data.start / BLOCK * BLOCK);
            if let Some(header) = self.header(offset) {
                return Some((offset, header));
            }
            offset += BLOCK;
        }
        None
    }
}

/// Where the groups of a segment begin and which life they have, as a manifest has it.
fn by_manifest(log: &Log, id: SegmentId) -> Option<(u64, Life)> {
    let from = |at: crate::wal::Position| {
        let offset = if at.segment == id { at.offset.0 } else { 0 };
        (offset, at.key.life(id))
    };
    let closed = log.closed.iter().find(|extent| {
        (extent.from.segment..=extent.to.segment).contains(&id) && extent.from != extent.to
    });
    match closed {
        Some(extent) => Some(from(extent.from)),
        None => (log.open.segment <= id).then(|| from(log.open)),
    }
}

/// Reads the log. Adds to `facts` which segments are not used, and why.
pub(super) fn scan(fs: &dyn FileSystem, facts: &mut Facts, unproven: bool) -> Result<LogFacts> {
    let mut walk = Walk { log: LogFacts::default(), at: None, pending: Vec::new() };
    if let Some(manifest) = &facts.manifest {
        for entry in &manifest.trees {
            walk.log.erasures.insert(entry.spec.id, Arc::clone(&entry.erasures));
        }
    }
    for id in std::mem::take(&mut facts.segments) {
        let path = fs.display(id.file());
        let mut skip = |reason: &str| {
            facts.skipped.push(Skipped { file: path.clone(), reason: reason.to_owned() });
        };
        let segment = match Segment::open(fs, facts.store, id) {
            Ok(segment) => segment,
            Err(error) => {
                skip(&error.to_string());
                continue;
            }
        };
        let named = facts.manifest.as_ref().and_then(|manifest| by_manifest(&manifest.log, id));
        let (start, life) = match (segment.header(0), named) {
            (Some(head), _) => (0, head.life),
            (None, Some((start, life)))
                if segment.group(life, start, &mut Vec::new()).is_some() =>
            {
                (start, life)
            }
            (None, _) => match segment.first_header() {
                None => continue,
                Some((start, header)) if unproven => {
                    walk.log.unproven.push(path.clone());
                    (start, header.life)
                }
                Some(_) => {
                    skip("nothing shows that the store wrote its groups");
                    continue;
                }
            },
        };
        if let Some(reason) = walk.segment(&segment, start, life) {
            skip(&reason);
        }
    }
    Ok(walk.log)
}

struct Walk {
    log: LogFacts,
    /// The number of the last group that was read, and the sequence number behind the last one that counts.
    at: Option<(u64, u64)>,
    pending: Vec<(Place, Vec<Note>)>,
}

impl Walk {
    /// Reads the groups of `segment` from `offset` on, up to the first place without one. Returns why it ends, if that is
    /// worth to be told.
    fn segment(&mut self, segment: &Segment, start: u64, life: Life) -> Option<String> {
        let (mut offset, mut body) = (start, Vec::new());
        let mut seq = None;
        while let Some(header) = segment.group(life, offset, &mut body) {
            let Ok(frames) = frames(&body, header.frames) else {
                return Some(format!("the group at byte {offset} has a frame that is not known"));
            };
            let (number, first, last) = (header.number.0, header.first.0, header.last.0);
            let expected = seq.or(self.at.map(|(_, seq)| seq).filter(|_| self.pending.is_empty()));
            if self.at.is_some_and(|(before, _)| number != before + 1) {
                // What was provisional before another run of the store never counted.
                self.pending.clear();
            }
            let counted = self.at.map(|(_, seq)| seq);
            if self.pending.is_empty()
                && let Some(counted) = counted
            {
                if first < counted {
                    return Some(format!("the group at byte {offset} is of another history"));
                }
                if first > counted {
                    self.log.gaps.push(counted..first);
                }
            } else if expected.is_some_and(|expected| expected != first) {
                return Some(format!("the group at byte {offset} does not follow the one before"));
            }
            seq = Some(last);
            let place = Place { segment: segment.id, life, offset };
            self.pending.push((place, frames.iter().filter_map(note).collect()));
            let counted = match header.end {
                GroupEnd::Point => {
                    self.count();
                    last
                }
                GroupEnd::Provisional => counted.unwrap_or(first),
            };
            self.at = Some((number, counted));
            offset = offset.checked_add(block_align(header.len))?;
        }
        None
    }

    /// The groups that were read count.
    fn count(&mut self) {
        let log = &mut self.log;
        for (place, notes) in self.pending.drain(..) {
            log.counted.push(place);
            for note in notes {
                match note {
                    Note::Created(spec, origin) => {
                        log.origins.extend(origin.map(|origin| (spec.id, origin)));
                        log.created.insert(spec.id, spec);
                    }
                    Note::Sealed(tree) => drop(log.sealed.insert(tree)),
                    Note::Indexed(tree) => drop(log.indexed.insert(tree)),
                    Note::Dropped(tree) => drop(log.dropped.insert(tree)),
                    Note::Erased(tree, ranges, cause) => {
                        let known = log.erasures.entry(tree).or_default();
                        if let Some(after) = known.with(&ranges, cause) {
                            *known = Arc::new(after);
                        }
                    }
                    Note::Rewound(cuts) => {
                        for (tree, size) in cuts {
                            let ranges = log.leaves.entry(tree).or_default();
                            ranges.retain(|range| range.start < size);
                            if let Some(last) = ranges.last_mut() {
                                last.end = last.end.min(size);
                            }
                            if let Some(known) = log.erasures.get_mut(&tree) {
                                *known = Arc::new(known.cut(size));
                            }
                        }
                    }
                    Note::Leaves(tree, range) => {
                        let ranges = log.leaves.entry(tree).or_default();
                        match ranges.last_mut() {
                            Some(last) if last.end == range.start => last.end = range.end,
                            _ => ranges.push(range),
                        }
                    }
                }
            }
        }
    }
}

fn note(frame: &Frame<'_>) -> Option<Note> {
    match frame {
        Frame::Create(spec) => Some(Note::Created(Arc::clone(spec), None)),
        Frame::Begin(spec, origin) => {
            Some(Note::Created(Arc::clone(spec), Some(Arc::clone(origin))))
        }
        Frame::Seal { tree } => Some(Note::Sealed(*tree)),
        Frame::Index { tree } => Some(Note::Indexed(*tree)),
        Frame::Drop { tree } => Some(Note::Dropped(*tree)),
        Frame::Erase { tree, ranges, cause } => {
            Some(Note::Erased(*tree, ranges.clone(), cause.clone()))
        }
        Frame::Leaves { tree, first, leaves } | Frame::Entries { tree, first, leaves, .. } => {
            let end = first.checked_add(leaves.len() as u64)?;
            Some(Note::Leaves(*tree, *first..end))
        }
        // Marks are of the store that is damaged: the new one has none.
        Frame::Roll { .. } | Frame::Point | Frame::Mark(_) | Frame::Unmark(_) => None,
        Frame::Rewind(cuts) => Some(Note::Rewound(cuts.clone())),
    }
}

/// Passes the frames of the groups that count to `apply`, in order.
pub(super) fn replay(
    fs: &dyn FileSystem,
    store: StoreId,
    log: &LogFacts,
    apply: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
) -> Result<()> {
    let mut body = Vec::new();
    let mut open: Option<Segment> = None;
    for place in &log.counted {
        let name = place.segment.file();
        let segment = match open.take().filter(|open| open.id == place.segment) {
            Some(segment) => segment,
            None => Segment::open(fs, store, place.segment)
                .map_err(|error| Error::io("open", fs.display(name), error))?,
        };
        // It was there when the log was read first.
        let changed = || {
            let error = std::io::Error::other("the file changed meanwhile");
            Error::io("read", fs.display(name), error)
        };
        let header = segment.group(place.life, place.offset, &mut body).ok_or_else(changed)?;
        for frame in frames(&body, header.frames).map_err(|_| changed())? {
            apply(&frame)?;
        }
        open = Some(segment);
    }
    Ok(())
}
