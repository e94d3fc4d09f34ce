//! A copy whose parts and groups the caller has, and no directory.

use std::io::IoSlice;

use super::{MARK, Target, open};
use crate::config::ReadMode;
use crate::directory::manifest::Manifest;
use crate::directory::manifests;
use crate::error::{Error, Result};
use crate::fs::{ByteOffset, Dir};
use crate::ids::{GroupNumber, SegmentId};
use crate::part::{Part, PartIdentity, PartRef};
use crate::random;
use crate::ship::Parsed;
use crate::wal::frame::{GROUP_HEADER_LEN, GroupHeader};
use crate::wal::{BLOCK, Extent, Position, Stretch, block_align, replay_closed};

impl Target<'_> {
    /// Writes one part, whose bytes `fill` passes on in order, and verifies that it is the one that `part` names.
    pub(crate) fn receive_part<E: From<Error>>(
        &mut self,
        identity: &PartIdentity,
        part: PartRef,
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<(), E>,
    ) -> Result<(), E> {
        let name = part.number.file();
        let file = self.create(name)?;
        let mut at = 0;
        fill(&mut |bytes| {
            let step = file
                .write_at(ByteOffset(at), &mut [IoSlice::new(bytes)])
                .and_then(|()| file.write_back(ByteOffset(at), bytes.len() as u64));
            step.map_err(|error| self.fail("write", name, error))?;
            at += bytes.len() as u64;
            Ok(())
        })?;
        self.sync(name, &*file)?;
        Part::open(&self.fs, identity, part, ReadMode::Pread)?;
        open(&*self.fs, name)?;
        Ok(())
    }

    /// Writes the log, the `groups` behind `state`, and publishes the manifest, which makes the directory a store.
    /// Returns the bytes of log.
    pub(crate) fn receive_log(mut self, state: &Manifest, groups: &[Parsed<'_>]) -> Result<u64> {
        self.sync_dir(Dir::Parts)?;
        let segment = SegmentId(state.next_segment.max(state.log.open.segment.0 + 1));
        let from =
            Position { segment, offset: ByteOffset(0), group: state.log.open.group, key: self.key };
        let name = segment.file();
        let file = self.create(name)?;
        let life = self.key.life(segment);
        let mut to = from;
        for parsed in groups {
            let len = (GROUP_HEADER_LEN + parsed.body.len()) as u64;
            let header = GroupHeader {
                life,
                store: state.store,
                segment,
                offset: to.offset,
                number: to.group,
                len,
                first: parsed.group.first,
                last: parsed.group.last,
                durable: from.group,
                frames: parsed.frames,
                end: parsed.end,
                body_checksum: life.body_key().checksum(parsed.body),
            };
            let header = header.encode();
            let mut pieces = [IoSlice::new(&header), IoSlice::new(parsed.body)];
            file.write_at(to.offset, &mut pieces)
                .and_then(|()| file.write_back(to.offset, len))
                .map_err(|error| self.fail("write", name, error))?;
            to.offset = ByteOffset(to.offset.0 + block_align(len));
            to.group = GroupNumber(to.group.0 + 1);
        }
        // Whole blocks, so that the room for a roll frame begins at one.
        file.allocate(to.offset.0 + BLOCK).map_err(|error| self.fail("extend", name, error))?;
        drop(file);
        self.end_stretch(Stretch { segment, from: from.offset, to: to.offset })?;
        self.sync_dir(Dir::Wal)?;
        let mut copy = state.clone();
        copy.checkpoint = random::id(&*self.fs)?;
        copy.next_segment = segment.0 + 1;
        copy.log.closed = if from == to { Vec::new() } else { vec![Extent { from, to }] };
        copy.log.open = to;
        copy.log.clean = true;
        replay_closed(&*self.fs, copy.store, &copy.log, &mut |_, _| Ok(()))?;
        manifests::publish(&*self.fs, &copy, &copy.files())?;
        self.complete = true;
        self.remove(MARK)?;
        self.sync_dir(Dir::Parts)?;
        Ok(self.log_bytes)
    }
}
