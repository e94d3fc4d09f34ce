//! Verifies the entries of a tree: their blocks, and that each hashes to its leaf.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Progress;
use super::pace::Pace;
use super::pass::{BlockFault, BlockId, TreeParts};
use crate::entry::Framing;
use crate::error::{Damage, Problem};
use crate::merkle::{Hash, Hasher, LeafInPieces, Level};
use crate::part::{PART_BLOCK, PART_BLOCK_LEN, RawBundle, RawPart, Verdict};
use crate::sync::pool::scrub_pool;

/// Bundles verified between two readings of the clock.
const BATCH: u64 = 1 << 10;
/// Blocks read at a time.
const STEP_BLOCKS: u64 = 64;

/// Entries that are damaged, with their part.
#[derive(Clone, Debug)]
pub(super) struct WrongEntries {
    pub(super) part: usize,
    pub(super) leaves: Range<u64>,
    /// The blocks that are damaged, or that have the entries.
    pub(super) blocks: Range<u64>,
    pub(super) damage: Damage,
}

/// The results for the entries of a tree.
#[derive(Debug, Default)]
pub(super) struct EntryFaults {
    /// Blocks of entries and directories that are damaged. A block whose checksum may itself be wrong is not
    /// among them: whether its entries hash to their leaves decides.
    pub(super) blocks: BTreeMap<BlockId, BlockFault>,
    /// Blocks of which only the padding is damaged.
    pub(super) padding: BTreeMap<BlockId, BlockFault>,
    pub(super) wrong: Vec<WrongEntries>,
    /// Entries that hash to their leaf. Erased entries are not counted.
    pub(super) intact: u64,
    pub(super) interrupted: bool,
}

impl TreeParts {
    /// Verifies every block of entries, and then every entry whose blocks are intact. `done` bytes of the
    /// parts were verified before.
    pub(super) fn verify_entries(
        &self,
        done: u64,
        mut pace: Option<&mut Pace>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> EntryFaults {
        let mut faults = EntryFaults::default();
        let total = self.full_len();
        let pool = if pace.is_none() { scrub_pool() } else { None };
        let batch = if pace.is_some() { 1 } else { BATCH };
        let mut done = done;
        for (number, part) in self.parts.iter().enumerate() {
            if part.is_missing() || part.is_hollow() {
                continue;
            }
            let bundles = part.bundles();
            self.judge_entry_blocks(number, &mut faults);
            let mut at = bundles.start;
            while at < bundles.end {
                let end = bundles.end.min(at + batch);
                let found = Mutex::new(Vec::new());
                let work = |bundle: u64| {
                    let wrong = self.wrong_in_bundle(number, bundle, &faults.blocks);
                    let leaves = part.leaves_of_bundle(bundle);
                    let bad: u64 =
                        wrong.iter().map(|wrong| wrong.leaves.end - wrong.leaves.start).sum();
                    let erased = self.erasures.count_in(leaves.clone());
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    let intact = (leaves.end - leaves.start).saturating_sub(bad + erased);
                    found.push((bundle, intact, wrong));
                };
                match &pool {
                    Some(pool) => pool.install(|| (at..end).into_par_iter().for_each(work)),
                    None => (at..end).for_each(work),
                }
                let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
                found.sort_unstable_by_key(|(bundle, ..)| *bundle);
                for (_, intact, wrong) in found {
                    faults.intact += intact;
                    faults.wrong.extend(wrong);
                }
                let blocks = part.entry_blocks();
                let share =
                    (blocks.end - blocks.start) * PART_BLOCK / (bundles.end - bundles.start);
                done = done.saturating_add(share.saturating_mul(end - at)).min(total);
                if let Some(pace) = &mut pace {
                    pace.wait(done);
                }
                if progress(Progress { done, total }).is_break() {
                    faults.interrupted = true;
                    return faults;
                }
                at = end;
            }
        }
        faults
    }

    fn judge_entry_blocks(&self, number: usize, faults: &mut EntryFaults) {
        let part = &self.parts[number];
        let blocks = part.entry_blocks();
        let there = blocks.start..blocks.end.min(part.len.div_ceil(PART_BLOCK)).max(blocks.start);
        let mut bytes = Vec::new();
        let mut first = there.start;
        while first < there.end {
            let count = (there.end - first).min(STEP_BLOCKS);
            bytes.resize(usize::try_from(count).unwrap_or(0) * PART_BLOCK_LEN, 0);
            let whole = part.read(first, &mut bytes).is_ok();
            for (at, block) in (first..).zip(bytes.as_chunks_mut().0) {
                let read = if whole { Ok(()) } else { part.read(at, block) };
                let fault = match read {
                    Err(damage) => BlockFault::Unreadable(damage),
                    Ok(()) => match self.judge_block(number, at, block) {
                        None | Some(BlockFault::Mismatch { doubtful: true, .. }) => continue,
                        Some(fault) => fault,
                    },
                };
                let cut = part.without_padding(at, block);
                let intact =
                    |cut: [u8; PART_BLOCK_LEN]| self.judge_block(number, at, &cut).is_none();
                match cut.is_some_and(intact) {
                    true => faults.padding.insert((number, at), fault),
                    false => faults.blocks.insert((number, at), fault),
                };
            }
            first += count;
        }
    }

    fn judge_block(&self, number: usize, at: u64, block: &[u8]) -> Option<BlockFault> {
        let (stored, computed, doubtful) = match self.frames[number].judge(at, block) {
            Verdict::Intact => return None,
            Verdict::Damaged { stored, computed } => (stored, computed, false),
            Verdict::Doubtful { stored, computed } => (stored, computed, true),
        };
        let problem =
            Problem::Checksum { stored: u64::from(stored), computed: u64::from(computed) };
        let damage = Damage::new(&self.parts[number].path, at * PART_BLOCK, problem);
        Some(BlockFault::Mismatch { damage, doubtful })
    }

    /// The damaged entries of a bundle. Entries in damaged blocks are not looked at.
    fn wrong_in_bundle(
        &self,
        number: usize,
        bundle: u64,
        faults: &BTreeMap<BlockId, BlockFault>,
    ) -> Vec<WrongEntries> {
        let part = &self.parts[number];
        let leaves = part.leaves_of_bundle(bundle);
        let wrong = |damage: Box<Damage>, blocks| {
            vec![WrongEntries { part: number, leaves: leaves.clone(), blocks, damage: *damage }]
        };
        let records = part.record_blocks(bundle);
        let damaged = |blocks: Range<u64>| {
            let mut faults = faults.range((number, blocks.start)..(number, blocks.end));
            let first = faults.next()?;
            let last = faults.next_back().map_or(first.0.1, |last| last.0.1);
            Some((first.1.damage().clone(), first.0.1..last + 1))
        };
        if let Some((damage, blocks)) = damaged(part.record_blocks(bundle)) {
            return wrong(Box::new(damage), blocks);
        }
        let raw = match part.bundle(bundle) {
            Ok(raw) => raw,
            Err(damage) => return wrong(damage, records),
        };
        if let Some((damage, blocks)) = damaged(raw.blocks()) {
            return wrong(Box::new(damage), blocks);
        }
        match self.hash_bundle(part, &raw) {
            Err(damage) => wrong(damage, raw.blocks()),
            Ok(hashes) => self.compare(number, &raw, &hashes),
        }
    }

    /// The hashes of the entries of a bundle.
    fn hash_bundle(&self, part: &RawPart, raw: &RawBundle) -> Result<Vec<Hash>, Box<Damage>> {
        let expected = raw.leaves.end - raw.leaves.start;
        let mut hashing = Hashing::new(raw.framing, &*self.hasher, expected);
        part.read_bundle(raw, &mut |bytes| hashing.add(bytes))?;
        match hashing.finish() {
            Some(hashes) if hashes.len() as u64 == expected => Ok(hashes),
            _ => {
                let at = raw.blocks().start * PART_BLOCK;
                Err(Damage::field(
                    &part.path,
                    at,
                    "bundle of entries",
                    "one for each leaf",
                    "others",
                ))
            }
        }
    }

    /// The entries whose `hashes` differ from the leaves as stored, but for erased ones. Leaves that cannot be
    /// read are found elsewhere.
    fn compare(&self, number: usize, raw: &RawBundle, hashes: &[Hash]) -> Vec<WrongEntries> {
        let part = &self.parts[number];
        let mut wrong: Vec<WrongEntries> = Vec::new();
        let mut block = [0; PART_BLOCK_LEN];
        let mut known = None;
        for (index, hash) in raw.leaves.clone().zip(hashes) {
            // What was dropped by a rewind may have been erased before.
            if index >= part.reference.to || self.erasures.has(index) {
                continue;
            }
            let (at, skip) = part.place(Level::LEAVES, index);
            if known != Some(at) {
                if part.read(at, &mut block).is_err()
                    || self.judge_block(number, at, &block).is_some()
                {
                    continue;
                }
                known = Some(at);
            }
            let leaf: Option<&Hash> = block.as_chunks().0.get(usize::try_from(skip).unwrap_or(0));
            if leaf == Some(hash) {
                continue;
            }
            match wrong.last_mut() {
                Some(last) if last.leaves.end == index => last.leaves.end += 1,
                _ => {
                    let at = raw.blocks().start * PART_BLOCK;
                    let damage = Damage::new(&part.path, at, Problem::NotTheEntry { index });
                    let leaves = index..index + 1;
                    let (part, blocks) = (number, raw.blocks());
                    wrong.push(WrongEntries { part, leaves, blocks, damage: *damage });
                }
            }
        }
        wrong
    }

    /// The leaves `range` of part `number`, computed from their entries. Those of erased entries are as they are
    /// stored, damaged or not. `None` if one of the entries is in a damaged block.
    pub(super) fn leaves_from_entries(
        &self,
        number: usize,
        range: Range<u64>,
        faults: &BTreeMap<BlockId, BlockFault>,
    ) -> Option<Vec<Hash>> {
        let part = self.parts.get(number)?;
        let stored = |index| {
            let (at, skip) = part.place(Level::LEAVES, index);
            let mut block = [0; PART_BLOCK_LEN];
            part.read(at, &mut block).ok()?;
            block.as_chunks().0.get(usize::try_from(skip).ok()?).copied()
        };
        let intact = |blocks: Range<u64>| {
            faults.range((number, blocks.start)..(number, blocks.end)).next().is_none()
        };
        let mut leaves = Vec::new();
        for bundle in part.bundles() {
            let within = part.leaves_of_bundle(bundle);
            if within.end <= range.start || within.start >= range.end {
                continue;
            }
            let raw = part.bundle(bundle).ok().filter(|_| intact(part.record_blocks(bundle)))?;
            let hashes = self.hash_bundle(part, &raw).ok().filter(|_| intact(raw.blocks()))?;
            for (index, hash) in within.zip(hashes).filter(|(index, _)| range.contains(index)) {
                leaves.push(if self.erasures.has(index) { stored(index)? } else { hash });
            }
        }
        (leaves.len() as u64 == range.end - range.start).then_some(leaves)
    }
}

/// Hashes framed entries that come in pieces.
pub(super) struct Hashing<'a> {
    framing: Framing,
    /// More entries than these are not hashed: a bundle may claim millions.
    most: u64,
    hasher: &'a dyn Hasher,
    hashes: Vec<Hash>,
    /// Bytes that do not make a whole entry, and fewer than `LONG`.
    rest: Vec<u8>,
    /// A long entry, and how many bytes of it are still to come.
    long: Option<(Box<dyn LeafInPieces + 'a>, usize)>,
}

/// Longer entries are hashed piece by piece.
const LONG: usize = 1 << 20;

impl<'a> Hashing<'a> {
    pub(super) fn new(framing: Framing, hasher: &'a dyn Hasher, most: u64) -> Self {
        Self { framing, most, hasher, hashes: Vec::new(), rest: Vec::new(), long: None }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.hashes.len() as u64 > self.most {
            return;
        }
        let mut bytes = bytes;
        if let Some((mut leaf, left)) = self.long.take() {
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            leaf.update(now);
            if now.len() < left {
                self.long = Some((leaf, left - now.len()));
                return;
            }
            self.hashes.push(leaf.finish());
            bytes = later;
        }
        let mut joined = std::mem::take(&mut self.rest);
        let mut rest = match joined.is_empty() {
            true => bytes,
            false => {
                joined.extend_from_slice(bytes);
                &joined[..]
            }
        };
        while self.hashes.len() as u64 <= self.most
            && let Some((entry, later)) = self.framing.split(rest)
        {
            self.hashes.push(self.hasher.leaf(entry));
            rest = later;
        }
        if let Some((prefix, begun)) = rest.split_at_checked(self.framing.prefix_len())
            && self.framing.len_of(prefix) >= LONG
        {
            let mut leaf = self.hasher.leaf_in_pieces();
            leaf.update(begun);
            self.long = Some((leaf, self.framing.len_of(prefix) - begun.len()));
            rest = &[];
        }
        self.rest = rest.to_vec();
    }

    /// `None` if the bytes end within an entry.
    pub(super) fn finish(self) -> Option<Vec<Hash>> {
        (self.rest.is_empty() && self.long.is_none()).then_some(self.hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Blake3;

    fn frame(framing: Framing, entries: &[Vec<u8>]) -> Vec<u8> {
        let one = |entry: &Vec<u8>| [framing.prefix(entry.len()).bytes(), &entry[..]].concat();
        entries.iter().flat_map(one).collect()
    }

    #[test]
    fn entries_have_the_same_hashes_wherever_their_bytes_are_cut() {
        let lens = [0, 1, 300, LONG - 1, LONG, LONG + 7, 2];
        let entries: Vec<Vec<u8>> = (0..).zip(lens).map(|(byte, len)| vec![byte; len]).collect();
        let expected: Vec<_> = entries.iter().map(|entry| Blake3.leaf(entry)).collect();
        let bytes = frame(Framing::Long, &entries);
        for step in [7919, 1 << 18, LONG, bytes.len()] {
            let mut hashing = Hashing::new(Framing::Long, &Blake3, entries.len() as u64);
            bytes.chunks(step).for_each(|piece| hashing.add(piece));
            assert_eq!(hashing.finish().as_ref(), Some(&expected), "in steps of {step}");
        }
        let mut hashing = Hashing::new(Framing::Long, &Blake3, entries.len() as u64);
        hashing.add(&bytes[..bytes.len() - 1]);
        assert_eq!(hashing.finish(), None);
    }

    #[test]
    fn a_bundle_that_claims_millions_of_entries_costs_as_much_as_one_of_256() {
        let mut hashing = Hashing::new(Framing::Short, &Blake3, 256);
        for _ in 0..32 {
            hashing.add(&vec![0; 1 << 20]);
        }
        assert_eq!(hashing.hashes.len(), 257);
    }
}
