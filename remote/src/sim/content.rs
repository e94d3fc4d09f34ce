//! What stands in for a store: a list of leaves, with parts that have some of them.

use bytes::Bytes;

use super::bucket::SimBucket;
use crate::error::Result;
use crate::objects::{Reference, Slot, State};
use crate::protocol::{Take, fetch_content};

pub(super) fn encode(numbers: impl IntoIterator<Item = u32>) -> Bytes {
    numbers.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<_>>().into()
}

fn decode(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number)).collect()
}

/// What a takeover or a read found.
#[derive(Debug, Default)]
pub(super) struct Taken {
    parts: Vec<Reference>,
    /// How many leaves the parts have.
    covered: usize,
    slots: Vec<Vec<u32>>,
}

impl Take for Taken {
    fn state(&mut self, state: &State, _seq: u64) -> Result<()> {
        self.parts.clone_from(&state.objects);
        self.covered = decode(&state.body)[0] as usize;
        Ok(())
    }

    fn records(&mut self, slot: &Slot, body: Bytes) -> Result<()> {
        let _ = slot;
        self.slots.push(decode(&body));
        Ok(())
    }
}

impl Taken {
    /// All leaves, and how many of them the parts have.
    pub(super) async fn leaves(&self, bucket: &SimBucket) -> Result<(Vec<u32>, usize)> {
        let mut leaves = Vec::new();
        for part in &self.parts {
            leaves.extend(decode(&fetch_content(bucket, part).await?));
        }
        if leaves.len() != self.covered {
            let problem = format!("parts have {} leaves, not {}", leaves.len(), self.covered);
            bucket.world().problems.push(problem);
        }
        for slot in &self.slots {
            let Some((first, new)) = slot.split_first() else { continue };
            let first = *first as usize;
            if first > leaves.len() {
                let problem = format!("a slot begins at {first}, behind {} leaves", leaves.len());
                bucket.world().problems.push(problem);
                continue;
            }
            let known = (leaves.len() - first).min(new.len());
            leaves.extend_from_slice(&new[known..]);
        }
        Ok((leaves, self.covered))
    }
}
