//! Where the records of an input go: into a tree, batch by batch, or past the leaves that the tree has of it already.
//!
//! # Invariants
//!
//! - Nothing is appended before every leaf that the tree has behind the start of the input was compared with its
//!   record.
//! - Memory stays bounded: where checkpoints are made by themselves and the input comes faster than they are written,
//!   it waits for one.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use duramen::{
    DurabilityToken, DynAccumulator, FlushPolicy, Hash, Hasher, InsertedMany, Leaves, Unique,
};

use crate::ack::Acks;
use crate::args::AppendArgs;
use crate::error::{Error, Refusal};
use crate::policy;

/// The most records of one batch.
const BATCH_RECORDS: usize = 64 << 10;

/// The most bytes of the entries of one batch, unless it is one entry.
const BATCH_BYTES: usize = 4 << 20;

/// How many bytes of nodes and entries may be in memory only before the input waits for a checkpoint. Well below the 1 GiB
/// at which the store refuses leaves that follow on the last flush, which only this program calls for under
/// `manual`.
pub(crate) const MAX_TAIL_BYTES: u64 = 512 << 20;

/// Appends records.
pub(crate) struct Sink<'a> {
    store: &'a DynAccumulator,
    args: &'a AppendArgs,
    acks: Option<&'a Acks>,
    /// Records of the input that are in the tree.
    records: &'a AtomicU64,
    /// Those of them that this run has appended.
    pub(crate) appended: u64,
    /// Whether checkpoints are made while the input goes on.
    checkpoints: bool,
    /// What the tree has of the input, as far as it was not compared yet.
    there: Option<There>,
}

/// Leaves that the tree has.
struct There {
    leaves: Leaves,
    /// The index of the next one.
    index: u64,
}

impl<'a> Sink<'a> {
    /// Records go to the end of `store`, behind those from the leaf `from` on, which are compared with the input.
    pub(crate) fn new(
        store: &'a DynAccumulator,
        args: &'a AppendArgs,
        acks: Option<&'a Acks>,
        records: &'a AtomicU64,
        from: Option<u64>,
    ) -> Result<Self, Error> {
        let there = match from {
            Some(index) => {
                let leaves = store.leaves_iter(index..store.size().get())?;
                Some(There { leaves, index })
            }
            None => None,
        };
        let checkpoints = policy::checkpoints_on_the_way(&args.checkpoint_policy);
        Ok(Self { store, args, acks, records, appended: 0, checkpoints, there })
    }

    /// Appends leaves. False if the thread that prints acknowledgements has ended.
    pub(crate) fn append_leaves(&mut self, leaves: &[Hash]) -> Result<bool, Error> {
        let Some(leaves) = self.pass(leaves, |leaf, _| *leaf)? else { return Ok(false) };
        for batch in leaves.chunks(BATCH_RECORDS) {
            let going = match self.args.unique {
                true => self.count_unique(self.store.insert_unique_many(batch)?)?,
                false => self.count(self.store.insert_many(batch)?)?,
            };
            if !going {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`append_leaves`](Self::append_leaves), for a tree that keeps entries.
    pub(crate) fn append_entries(&mut self, entries: &[impl AsRef<[u8]>]) -> Result<bool, Error> {
        let leaf = |entry: &_, hasher: &dyn Hasher| hasher.leaf(AsRef::<[u8]>::as_ref(entry));
        let Some(mut rest) = self.pass(entries, leaf)? else { return Ok(false) };
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            let going = match self.args.unique {
                true => self.count_unique(self.store.insert_unique_entries(batch)?)?,
                false => self.count(self.store.insert_entries(batch)?)?,
            };
            if !going {
                return Ok(false);
            }
            rest = after;
        }
        Ok(true)
    }

    /// Compares the records that the tree has with it, and returns those that it does not have. Nothing if the thread
    /// that prints acknowledgements has ended.
    fn pass<'r, T>(
        &mut self,
        records: &'r [T],
        leaf: impl Fn(&T, &dyn Hasher) -> Hash,
    ) -> Result<Option<&'r [T]>, Error> {
        let Some(there) = &mut self.there else { return Ok(Some(records)) };
        let (first, mut found) = (there.index, 0);
        for record in records {
            let Some(stored) = there.leaves.next() else {
                self.there = None;
                break;
            };
            if stored? != leaf(record, self.store.hasher()) {
                let record = self.records.load(Ordering::Relaxed) + found as u64 + 1;
                let index = there.index;
                return Err(Error::Refused { reason: Refusal::OtherRecord { record, index } });
            }
            there.index += 1;
            found += 1;
        }
        self.records.fetch_add(found as u64, Ordering::Relaxed);
        // What an open store has shown is durable.
        let indexes = first..first + found as u64;
        let going = indexes.is_empty() || self.acknowledge(indexes, self.store.created())?;
        Ok(going.then_some(&records[found..]))
    }

    /// Counts a batch, makes room if there is little, and has the batch acknowledged.
    fn count(&mut self, inserted: InsertedMany) -> Result<bool, Error> {
        self.add(inserted.range.end - inserted.range.start);
        self.make_room()?;
        self.acknowledge(inserted.range, inserted.token)
    }

    /// As [`count`](Self::count), for records of which some were there.
    fn count_unique(&mut self, batch: Vec<Unique>) -> Result<bool, Error> {
        self.add(batch.len() as u64);
        self.make_room()?;
        let mut batch = batch.into_iter().peekable();
        while let Some(unique) = batch.next() {
            // Adjacent new leaves have one token.
            let (first, mut end) = (unique.index().get(), unique.index().get() + 1);
            let is_next =
                |next: &Unique, end| unique.is_new() && next.is_new() && next.index().get() == end;
            while batch.next_if(|next| is_next(next, end)).is_some() {
                end += 1;
            }
            if !self.acknowledge(first..end, unique.token().clone())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, records: u64) {
        self.appended += records;
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    fn make_room(&self) -> Result<(), Error> {
        if self.checkpoints && self.store.stats().memory_bytes > MAX_TAIL_BYTES {
            self.store.checkpoint()?;
        }
        Ok(())
    }

    fn acknowledge(&self, range: Range<u64>, token: DurabilityToken) -> Result<bool, Error> {
        let Some(acks) = self.acks else { return Ok(true) };
        let make_room = || match self.args.flush_policy {
            FlushPolicy::Manual => Ok(self.store.flush()?),
            _ => Ok(()),
        };
        acks.push(range, token, make_room)
    }
}

/// How many of the entries make the next batch. At least one, whatever its length.
fn batch_len(entries: &[impl AsRef<[u8]>]) -> usize {
    let mut bytes = 0;
    let mut fits = |entry: &[u8]| {
        bytes += entry.len();
        bytes <= BATCH_BYTES
    };
    entries.iter().take(BATCH_RECORDS).take_while(|entry| fits(entry.as_ref())).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_bytes_and_by_count_and_has_at_least_one_entry() {
        let long = vec![0; BATCH_BYTES + 1];
        let half = &long[..BATCH_BYTES / 2];
        assert_eq!(batch_len(&[&long, &long]), 1);
        assert_eq!(batch_len(&[half, half, b"x"]), 2);
        assert_eq!(batch_len(&[half, b"x", half]), 2);
        assert_eq!(batch_len(&[b"", b"", &long[..]]), 2);
        assert_eq!(batch_len(&vec![&b""[..]; BATCH_RECORDS + 1]), BATCH_RECORDS);
    }
}
