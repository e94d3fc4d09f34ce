//! Reads one group after another. The reader reports what it finds at a position and decides nothing.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::frame;
use super::frame::{BodyFault, Frame, GROUP_HEADER_LEN, GroupHeader, HeaderFault};
use super::key::{Life, LogKey};
use super::{BLOCK, BLOCK_LEN, Position};
use crate::error::{Damage, Error, FormatFeature, Problem, Result};
use crate::fs::{Access, File, FileName, FileSystem, backing};
use crate::ids::ByteOffset;
use crate::ids::{SegmentId, StoreId};
use crate::mutant::mutant;

/// Reads groups of one store's log.
pub(super) struct LogReader<'a> {
    fs: &'a dyn FileSystem,
    store: StoreId,
    access: Access,
    source: Source,
    open: Option<Open>,
    body: Vec<u8>,
}

/// Where the reader gets the bytes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The device. After a failed fsync the page cache may hold pages that never reached the device.
    Device,
    /// The page cache, or the device if the page is not cached. For reading beside a writer, whose
    /// cached pages must stay.
    Cache,
}

/// An open segment.
struct Open {
    id: SegmentId,
    file: Arc<dyn File>,
    len: u64,
    /// The first bytes of the file: a group header or zeros. Leaves are never stored there.
    head: [u8; GROUP_HEADER_LEN],
    /// The key of the last request, and the segment's life under this key.
    life: Option<(LogKey, Life)>,
}

impl Open {
    fn life(&mut self, key: LogKey) -> Life {
        match self.life {
            Some((known, life)) if known == key => life,
            _ => {
                let life = key.life(self.id);
                self.life = Some((key, life));
                life
            }
        }
    }
}

/// The result of reading at a position.
pub(super) enum Found<'a> {
    /// The group that belongs at the position, with its body.
    Group(GroupHeader, Vec<Frame<'a>>, &'a [u8]),
    /// No such group.
    Nothing(Absence),
}

/// Why the group that belongs at a position is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// Only zeros: the block was never written.
    Blank,
    /// A group of another life of the file, or leaves that look like a group.
    OtherLife,
    /// Bytes that are not a group: a torn write, or damage.
    Damaged(Box<Damage>),
    /// The file does not exist.
    NoFile,
}

impl<'a> LogReader<'a> {
    /// A reader that opens segments for `access`.
    pub(super) fn new(
        fs: &'a dyn FileSystem,
        store: StoreId,
        access: Access,
        source: Source,
    ) -> Self {
        Self { fs, store, access, source, open: None, body: Vec::new() }
    }

    /// Reads the group at `position`.
    pub(super) fn read(&mut self, position: Position) -> Result<Found<'_>> {
        let (fs, store) = (self.fs, self.store);
        if !self.enter(position.segment)? {
            return Ok(Found::Nothing(Absence::NoFile));
        }
        let Some(open) = &mut self.open else { return Ok(Found::Nothing(Absence::NoFile)) };
        let path = fs.display(position.segment.file());
        let at = position.offset.0;
        let len = open.len;
        // The log leaves a segment while it still has room for one more block.
        let least = at.saturating_add(BLOCK);
        if len < least {
            return Err(Damage::new(path, 0, truncated(least, len)).into());
        }
        let mut bytes = [0; GROUP_HEADER_LEN];
        let fail = |error| Error::io("read", &path, error);
        open.file.read_at(position.offset, &mut bytes).map_err(fail)?;
        if at == 0 {
            open.head = bytes;
        }
        // The first bytes of the file were always written as a header.
        let head = GroupHeader::decode(&open.head);
        check_head(&path, store, position, head)?;
        let damaged = |damage| Ok(Found::Nothing(Absence::Damaged(damage)));
        let mut life = open.life(position.key);
        let mut header = match GroupHeader::decode(&bytes) {
            Ok(header) => header,
            Err(HeaderFault::NoMagic) if bytes == [0; GROUP_HEADER_LEN] => {
                return Ok(Found::Nothing(Absence::Blank));
            }
            Err(HeaderFault::NoMagic) => {
                return damaged(Damage::field(&path, at, "group magic", "a group", "other bytes"));
            }
            Err(HeaderFault::Version(found)) if frame::carried_life(&bytes) == life => {
                return Err(unknown_version(&path, found));
            }
            Err(HeaderFault::Flags(found)) if frame::carried_life(&bytes) == life => {
                let known = frame::PROVISIONAL;
                return Err(unknown(&path, FormatFeature::GroupFlags, found, known));
            }
            // A caller can choose leaves that look like this.
            Err(HeaderFault::Version(_) | HeaderFault::Flags(_)) => {
                return Ok(Found::Nothing(Absence::OtherLife));
            }
            Err(HeaderFault::Checksum { stored, computed }) => {
                return damaged(Damage::new(&path, at, Problem::Checksum { stored, computed }));
            }
        };
        if mutant!(fs, LivesIgnored) {
            if header.number < position.group {
                return Ok(Found::Nothing(Absence::OtherLife));
            }
            (header.segment, life) = (position.segment, header.life);
        }
        if header.life != life {
            return Ok(Found::Nothing(Absence::OtherLife));
        }
        // From here on the header is intact, and this store wrote the header for this segment. A field
        // that does not match is damage, not the end of the log.
        if header.store != store {
            return Err(Damage::field(&path, at, "store id", store, header.store).into());
        }
        let expected = [
            ("segment number", position.segment.0, header.segment.0),
            ("byte offset", at, header.offset.0),
            ("group number", position.group.0, header.number.0),
        ];
        for (field, expected, found) in expected {
            if expected != found {
                return Err(Damage::field(&path, at, field, expected, found).into());
            }
        }
        let end = at.saturating_add(header.len);
        if end > len {
            return Err(Damage::new(path, 0, truncated(end, len)).into());
        }
        let group_len = usize::try_from(header.len).unwrap_or(usize::MAX);
        let Some(body_len) = group_len.checked_sub(GROUP_HEADER_LEN) else {
            let expected = "at least the length of a group header";
            return Err(Damage::field(&path, at, "group length", expected, header.len).into());
        };
        if let Some(held) = backing::too_few(&*open.file, at..end).map_err(fail)? {
            let problem = Problem::Hollow { expected: header.len, found: held };
            return Err(Damage::new(&path, at, problem).into());
        }
        backing::resize(&mut self.body, body_len as u64).map_err(fail)?;
        let body_at = at + GROUP_HEADER_LEN as u64;
        open.file.read_at(ByteOffset(body_at), &mut self.body).map_err(fail)?;
        let computed = life.body_key().checksum(&self.body);
        if computed != header.body_checksum {
            let problem = Problem::Checksum { stored: header.body_checksum, computed };
            return damaged(Damage::new(&path, body_at, problem));
        }
        match frame::frames(&self.body, header.frames) {
            Ok(frames) => Ok(Found::Group(header, frames, &self.body)),
            Err(BodyFault { found, unknown_kind: true, .. }) => {
                let found = u16::try_from(found).unwrap_or(u16::MAX);
                Err(unknown(&path, FormatFeature::FrameKind, found, frame::LAST_KIND))
            }
            Err(BodyFault { at, field, found, .. }) => {
                let at = body_at + at as u64;
                Err(Damage::field(&path, at, field, "a consistent value", found).into())
            }
        }
    }

    /// Looks at the intact group headers of segment `id`, in the stretch of `key`, that begin in `range`
    /// of the file. Returns the highest group number below which these headers claim that every group is
    /// durable.
    pub(super) fn durable_claim(
        &mut self,
        id: SegmentId,
        key: LogKey,
        range: Range<u64>,
    ) -> Result<u64> {
        if mutant!(self.fs, ClaimsIgnored) || !self.enter(id)? {
            return Ok(0);
        }
        let Some(open) = &mut self.open else { return Ok(0) };
        let path = self.fs.display(id.file());
        let life = open.life(key);
        let end = range.end.min(open.len);
        let mut claim = 0;
        let mut at = range.start;
        let longest = usize::try_from(end.saturating_sub(at)).unwrap_or(SCAN_STEP);
        let mut buffer = vec![0; longest.min(SCAN_STEP)];
        while at < end {
            // A segment is this long only if it was made for one huge group. A hole contains no group.
            if open.len > SCANNED_WHOLE {
                let data = open.file.data(ByteOffset(at));
                let data = data.map_err(|error| Error::io("read", &path, error))?;
                let Some(data) = data else { break };
                at = at.max(data.start / BLOCK * BLOCK);
                if at >= end {
                    break;
                }
            }
            let step = usize::try_from(end - at).unwrap_or(SCAN_STEP).min(SCAN_STEP);
            let piece = &mut buffer[..step];
            open.file
                .read_at(ByteOffset(at), piece)
                .map_err(|error| Error::io("read", &path, error))?;
            for (number, block) in piece.chunks(BLOCK_LEN).enumerate() {
                let offset = ByteOffset(at + number as u64 * BLOCK);
                let Some(bytes) = block.first_chunk() else { continue };
                if let Ok(header) = GroupHeader::decode(bytes)
                    && header.life == life
                    && header.store == self.store
                    && header.segment == id
                    && header.offset == offset
                {
                    claim = claim.max(header.durable.0);
                }
            }
            at += step as u64;
        }
        Ok(claim)
    }

    /// Returns what is at the start of file `id`, or `None` if there is no such file or the file is too
    /// short.
    pub(super) fn head(&mut self, id: SegmentId) -> Result<Option<Head>> {
        if !self.enter(id)? {
            return Ok(None);
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        if open.len < GROUP_HEADER_LEN as u64 {
            return Ok(None);
        }
        let fail = |error| Error::io("read", self.fs.display(id.file()), error);
        open.file.read_at(ByteOffset(0), &mut open.head).map_err(fail)?;
        Ok(Some(match GroupHeader::decode(&open.head) {
            Ok(header) if header.store == self.store => Head::Group(header),
            Ok(_) => Head::Blank,
            Err(_) if open.head == [0; GROUP_HEADER_LEN] => Head::Blank,
            Err(_) => Head::Unreadable,
        }))
    }

    /// Syncs a segment that was read, so that the bytes that were read are durable.
    pub(super) fn sync(&mut self, id: SegmentId) -> Result<()> {
        if !self.enter(id)? {
            return Ok(());
        }
        let Some(open) = &self.open else { return Ok(()) };
        open.file.sync().map_err(|error| Error::io("sync", self.fs.display(id.file()), error))
    }

    /// Opens segment `id` unless it is already open. Returns whether the file exists.
    fn enter(&mut self, id: SegmentId) -> Result<bool> {
        if self.open.as_ref().is_some_and(|open| open.id == id) {
            return Ok(true);
        }
        let fail = |action, error| Error::io(action, self.fs.display(id.file()), error);
        let file = match self.fs.open(id.file(), self.access) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(fail("open", error)),
        };
        if self.source == Source::Device {
            file.drop_cache();
        }
        let len = file.len().map_err(|error| fail("measure", error))?;
        // Unreadable first bytes are no error here: the log may begin further on in this segment.
        let mut head = [0; GROUP_HEADER_LEN];
        if len < BLOCK || file.read_at(ByteOffset(0), &mut head).is_err() {
            head = [0; GROUP_HEADER_LEN];
        }
        self.open = Some(Open { id, file, len, head, life: None });
        Ok(true)
    }
}

/// What the first bytes of a segment file are.
pub(super) enum Head {
    /// The header of a group that this store wrote.
    Group(GroupHeader),
    /// Zeros, or the group header of another store.
    Blank,
    /// Anything else.
    Unreadable,
}

/// Fails if the file is not the segment of `position`. `head` is the group header at the start of the
/// file, which names a store and a segment number. A copy of a store may have zeros there, because its
/// log begins further on.
fn check_head(
    path: &Path,
    store: StoreId,
    position: Position,
    head: Result<GroupHeader, HeaderFault>,
) -> Result<()> {
    let header = match head {
        Ok(header) => header,
        Err(HeaderFault::Version(found)) => return Err(unknown_version(path, found)),
        // If the log needs a group here, reading at offset 0 reports the damage.
        Err(HeaderFault::NoMagic | HeaderFault::Flags(_) | HeaderFault::Checksum { .. }) => {
            return Ok(());
        }
    };
    if header.store != store {
        return Err(Damage::field(path, 0, "store id", store, header.store).into());
    }
    // A recycled file begins with a group of an older segment until the new first group is written.
    let older = position.offset.0 == 0 && header.number < position.group;
    if header.segment == position.segment || older {
        return Ok(());
    }
    Err(Damage::field(path, 0, "segment number", position.segment, header.segment).into())
}

fn unknown_version(path: &Path, found: u16) -> Error {
    unknown(path, FormatFeature::Version, found, frame::GROUP_VERSION)
}

fn unknown(path: &Path, feature: FormatFeature, found: u16, supported: u16) -> Error {
    let (found, supported) = (u32::from(found), u32::from(supported));
    Error::UnknownFormat { path: path.into(), feature, found, supported }
}

/// The store that segment `name` belongs to, if the header of the first group is readable.
pub(crate) fn owner(fs: &dyn FileSystem, name: FileName) -> Result<Option<StoreId>> {
    let fail = |action, error| Error::io(action, fs.display(name), error);
    let file = fs.open(name, Access::Read).map_err(|error| fail("open", error))?;
    let mut bytes = [0; GROUP_HEADER_LEN];
    if file.len().map_err(|error| fail("measure", error))? < bytes.len() as u64 {
        return Ok(None);
    }
    file.read_at(ByteOffset(0), &mut bytes).map_err(|error| fail("read", error))?;
    Ok(GroupHeader::decode(&bytes).ok().map(|header| header.store))
}

fn truncated(expected: u64, found: u64) -> Problem {
    Problem::Truncated { expected, found }
}

/// Segments up to this length are scanned without skipping holes.
const SCANNED_WHOLE: u64 = 256 << 20;
/// Bytes read at a time in a scan for headers.
const SCAN_STEP: usize = 1 << 20;
const _: () = assert!(SCAN_STEP.is_multiple_of(BLOCK_LEN));
