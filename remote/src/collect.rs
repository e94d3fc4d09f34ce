//! What a takeover or a read has found, as the local store understands it.

use std::collections::HashMap;

use bytes::Bytes;
use duramen::ship::Groups;

use crate::body::{self, RemotePart};
use crate::error::{Error, Result};
use crate::objects::{Digest, Object, Slot, State, digest};
use crate::protocol::Take;

#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// The state of the local store, before the records.
    pub(crate) state: Option<Bytes>,
    pub(crate) parts: Vec<RemotePart>,
    pub(crate) records: Vec<Bytes>,
    /// The highest epoch under which anything was written.
    pub(crate) written_by: u64,
    /// The hashes of the groups of the records, by their sequence numbers.
    groups: HashMap<(u64, u64), Digest>,
    /// From where on the records have every group.
    from: u64,
}

impl Collected {
    /// Whether the bucket has this group, or has it in its state. `false` if it has another one there.
    pub(crate) fn has(&self, first: u64, last: u64, bytes: &[u8]) -> bool {
        // Groups without weight may stand at one place together.
        first == last
            || last <= self.from
            || self.groups.get(&(first, last)).is_some_and(|found| *found == digest(bytes))
    }
}

impl Take for Collected {
    fn state(&mut self, state: &State, seq: u64) -> Result<()> {
        let (own, parts) = body::decode(state)?;
        (self.state, self.parts) = (Some(own), parts);
        self.written_by = self.written_by.max(state.epoch);
        // The log may begin before what the state covers.
        self.from = seq;
        Ok(())
    }

    fn records(&mut self, slot: &Slot, body: Bytes) -> Result<()> {
        for group in Groups::new(&body) {
            let group = group.map_err(|at| Error::Damaged {
                name: slot.name().to_string(),
                what: format!("its records have no group at byte {at}"),
            })?;
            self.groups.insert((group.first.0, group.last.0), digest(group.bytes));
        }
        self.written_by = self.written_by.max(slot.epoch);
        self.records.push(body);
        Ok(())
    }
}
