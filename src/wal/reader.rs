//! Reading one group after the other. Tells what stands at a position; decides nothing.

use std::sync::Arc;

use super::frame;
use super::frame::{BodyFault, Frame, GROUP_HEADER_LEN, GroupHeader, HeaderFault};
use super::{BLOCK, BLOCK_LEN, Position};
use crate::checksum::checksum;
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::defect;
use crate::fs::defect::Defect;
use crate::fs::{Access, File, FileName, FileSystem, backing};
use crate::ids::ByteOffset;
use crate::ids::{SegmentId, StoreId};

/// Reads groups of one store's log.
pub(super) struct LogReader<'a> {
    fs: &'a dyn FileSystem,
    store: StoreId,
    access: Access,
    open: Option<(SegmentId, Arc<dyn File>, u64)>,
    body: Vec<u8>,
}

/// What stands at a position.
pub(super) enum Found<'a> {
    /// The group that belongs there.
    Group(GroupHeader, Vec<Frame<'a>>),
    /// Something else.
    Nothing(Absence),
}

/// Why the group that belongs at a position is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// Nothing was ever written there: zeros.
    Blank,
    /// A group of an earlier life of this recycled file: its number is lower than that of any group
    /// of this life.
    Recycled,
    /// Bytes that are no group: a write that was torn, or damage.
    Damaged(Box<Damage>),
    /// No such file.
    NoFile,
}

impl<'a> LogReader<'a> {
    /// A reader that opens segments for `access`.
    pub(super) fn new(fs: &'a dyn FileSystem, store: StoreId, access: Access) -> Self {
        Self { fs, store, access, open: None, body: Vec::new() }
    }

    /// What stands at `position`.
    pub(super) fn read(&mut self, position: Position) -> Result<Found<'_>> {
        let Some((file, len)) = self.segment(position.segment)? else {
            return Ok(Found::Nothing(Absence::NoFile));
        };
        let path = self.fs.display(position.segment.file());
        let at = position.offset.0;
        // There is always room for one more block before the log leaves a segment.
        let least = at.saturating_add(BLOCK);
        if len < least {
            return Err(Damage::new(path, 0, truncated(least, len)).into());
        }
        let mut bytes = [0; GROUP_HEADER_LEN];
        let fail = |error| Error::io("read", &path, error);
        file.read_at(position.offset, &mut bytes).map_err(fail)?;
        let damaged = |damage| Ok(Found::Nothing(Absence::Damaged(damage)));
        let mut header = match GroupHeader::decode(&bytes) {
            Ok(header) => header,
            Err(HeaderFault::NoMagic) if bytes == [0; GROUP_HEADER_LEN] => {
                return Ok(Found::Nothing(Absence::Blank));
            }
            Err(HeaderFault::NoMagic) => {
                return damaged(Damage::field(&path, at, "group magic", "a group", "other bytes"));
            }
            Err(HeaderFault::Version(found)) => {
                let supported = u32::from(frame::GROUP_VERSION);
                return Err(Error::UnknownFormat { path, found: u32::from(found), supported });
            }
            Err(HeaderFault::Flags(found)) => {
                return Err(Damage::field(&path, at, "group flags", "0 or 1", found).into());
            }
            Err(HeaderFault::Checksum { stored, computed }) => {
                return damaged(Damage::new(&path, at, Problem::Checksum { stored, computed }));
            }
        };
        if defect::has(self.fs, Defect::GroupWithoutSegment) {
            header.segment = position.segment;
        }
        // From here on the header is intact, which no torn write is: what does not fit is not the end
        // of the log but a file that does not belong here.
        if header.store != self.store {
            return Err(Damage::field(&path, at, "store id", self.store, header.store).into());
        }
        if header.segment != position.segment && header.number < position.group {
            return Ok(Found::Nothing(Absence::Recycled));
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
            let expected = "one with a header";
            return Err(Damage::field(&path, at, "group length", expected, header.len).into());
        };
        if let Some(held) = backing::too_few(&*file, at..end).map_err(fail)? {
            let problem = Problem::Hollow { expected: header.len, found: held };
            return Err(Damage::new(&path, at, problem).into());
        }
        backing::resize(&mut self.body, body_len as u64).map_err(fail)?;
        let body_at = at + GROUP_HEADER_LEN as u64;
        file.read_at(ByteOffset(body_at), &mut self.body).map_err(fail)?;
        let computed = checksum(&self.body);
        if computed != header.body_checksum {
            let problem = Problem::Checksum { stored: header.body_checksum, computed };
            return damaged(Damage::new(&path, body_at, problem));
        }
        match frame::frames(&self.body, header.frames) {
            Ok(frames) => Ok(Found::Group(header, frames)),
            Err(BodyFault { at, field, found }) => {
                let at = body_at + at as u64;
                Err(Damage::field(&path, at, field, "one that fits", found).into())
            }
        }
    }

    /// The highest number below which groups are said to be durable by any intact group header of
    /// segment `id`, wherever it stands.
    pub(super) fn durable_claim(&mut self, id: SegmentId) -> Result<u64> {
        if defect::has(self.fs, Defect::ClaimsIgnored) {
            return Ok(0);
        }
        let Some((file, len)) = self.segment(id)? else { return Ok(0) };
        let path = self.fs.display(id.file());
        let mut claim = 0;
        let mut buffer = vec![0; SCAN_STEP];
        let mut at = 0;
        while at < len {
            // No segment is so long unless it was made for one huge group. A hole holds no group.
            if len > SCANNED_WHOLE {
                let data =
                    file.data(ByteOffset(at)).map_err(|error| Error::io("read", &path, error))?;
                let Some(data) = data else { break };
                at = at.max(data.start / BLOCK * BLOCK);
            }
            let step = usize::try_from(len - at).unwrap_or(SCAN_STEP).min(SCAN_STEP);
            let piece = &mut buffer[..step];
            file.read_at(ByteOffset(at), piece).map_err(|error| Error::io("read", &path, error))?;
            for (number, block) in piece.chunks(BLOCK_LEN).enumerate() {
                let offset = ByteOffset(at + number as u64 * BLOCK);
                let Some(bytes) = block.first_chunk() else { continue };
                if let Ok(header) = GroupHeader::decode(bytes)
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

    /// The segment that a group of this store at the start of file `id` says it belongs to. It is `id`
    /// once the log has reached it, and an older one in a recycled file.
    pub(super) fn begun_as(&mut self, id: SegmentId) -> Result<Option<SegmentId>> {
        let Some((file, len)) = self.segment(id)? else { return Ok(None) };
        let mut bytes = [0; GROUP_HEADER_LEN];
        if len < bytes.len() as u64 {
            return Ok(None);
        }
        let fail = |error| Error::io("read", self.fs.display(id.file()), error);
        file.read_at(ByteOffset(0), &mut bytes).map_err(fail)?;
        let header = GroupHeader::decode(&bytes).ok();
        Ok(header.filter(|header| header.store == self.store).map(|header| header.segment))
    }

    /// Makes the segments that were read durable as they were read.
    pub(super) fn sync(&mut self, id: SegmentId) -> Result<()> {
        if defect::has(self.fs, Defect::ReplayNotSynced) {
            return Ok(());
        }
        let Some((file, _)) = self.segment(id)? else { return Ok(()) };
        file.sync().map_err(|error| Error::io("sync", self.fs.display(id.file()), error))
    }

    /// The segment's file and length, read from the device and not from what the system cached.
    fn segment(&mut self, id: SegmentId) -> Result<Option<(Arc<dyn File>, u64)>> {
        if let Some((open, file, len)) = &self.open
            && *open == id
        {
            return Ok(Some((Arc::clone(file), *len)));
        }
        let fail = |action, error| Error::io(action, self.fs.display(id.file()), error);
        let file = match self.fs.open(id.file(), self.access) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail("open", error)),
        };
        // After a failed fsync the system may hold pages that never reached the device.
        if !defect::has(self.fs, Defect::CacheTrusted) {
            file.drop_cache();
        }
        let len = file.len().map_err(|error| fail("measure", error))?;
        self.open = Some((id, Arc::clone(&file), len));
        Ok(Some((file, len)))
    }
}

/// The store that the segment `name` was begun by, if it says so.
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

/// Segments up to this length are looked through without asking where they have holes.
const SCANNED_WHOLE: u64 = 256 << 20;
/// Bytes read at a time when looking for headers.
const SCAN_STEP: usize = 1 << 20;
const _: () = assert!(SCAN_STEP.is_multiple_of(BLOCK_LEN));
