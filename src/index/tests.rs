//! The index against a model that is too slow to be wrong.

#![allow(clippy::cast_possible_truncation, reason = "what is tested is small")]

use std::collections::HashMap;
use std::convert::Infallible;

use super::key::KeyedHash;
use super::records::RecordBlock;
use super::{BLOCK, BuildError, Builder, Index, IndexKey, Layout, LeafOffset, RecentTable};
use crate::merkle::{Hash, LeafIndex};

const KEY: [u8; 16] = *b"a key of a tree!";

fn leaf(number: u64) -> Hash {
    let mut leaf = [0; 32];
    for (at, word) in leaf.chunks_mut(8).enumerate() {
        let mut mixed =
            (number * 4 + at as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word.copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
    }
    leaf
}

fn leaves(numbers: impl IntoIterator<Item = u64>) -> Vec<Hash> {
    numbers.into_iter().map(leaf).collect()
}

/// Numbers below `below`, the same ones for a seed.
fn random(seed: u64, below: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |at| {
        let leaf = leaf(seed.wrapping_mul(1_000_003) + at);
        u64::from_le_bytes(leaf[..8].try_into().unwrap()) % below
    })
}

/// An index with the leaves that it is of.
struct Built<'a> {
    key: IndexKey,
    leaves: &'a [Hash],
    layout: Layout,
    bytes: Vec<u8>,
    passes: usize,
}

impl<'a> Built<'a> {
    fn new(leaves: &'a [Hash], memory: usize) -> Self {
        let key = IndexKey::new(KEY);
        let mut builder = Builder::new(key, leaves.len() as u64, memory).unwrap();
        let layout = *builder.layout();
        let (mut bytes, mut passes) = (Vec::new(), 0);
        while !builder.is_done() {
            for run in leaves.chunks(1000) {
                builder.add(run);
            }
            let sink = |block: &[u8; BLOCK]| -> Result<(), Infallible> {
                bytes.extend_from_slice(block);
                Ok(())
            };
            builder.end_pass(sink).unwrap();
            passes += 1;
        }
        assert_eq!(bytes.len() as u64, layout.blocks() * BLOCK as u64);
        Self { key, leaves, layout, bytes, passes }
    }

    fn area(&self, blocks: std::ops::Range<u64>) -> &[u8] {
        &self.bytes[blocks.start as usize * BLOCK..blocks.end as usize * BLOCK]
    }

    fn index(&self) -> Index<'_> {
        let (filter, fences) = (self.area(self.layout.filter()), self.area(self.layout.fences()));
        Index::new(self.layout, filter, fences)
    }

    /// What is found of a leaf, how many blocks and how many leaves were read for it.
    fn search(&self, leaf: &Hash, most: usize) -> (Vec<u64>, usize, usize) {
        let (mut blocks, mut compared) = (0, 0);
        let read = |number: u64| -> Result<&[u8; BLOCK], Infallible> {
            blocks += 1;
            assert!(self.layout.records().contains(&number));
            Ok(self.bytes.as_chunks().0.get(number as usize).unwrap())
        };
        let is_leaf = |offset: LeafOffset| {
            compared += 1;
            Ok(self.leaves[offset.0 as usize] == *leaf)
        };
        let found = self.index().find_all(self.key.hash(leaf), read, is_leaf);
        let found = found.take(most).map(|found| u64::from(found.unwrap().0)).collect();
        (found, blocks, compared)
    }

    fn find_all(&self, leaf: &Hash) -> Vec<u64> {
        self.search(leaf, usize::MAX).0
    }

    fn find(&self, leaf: &Hash) -> Option<u64> {
        self.search(leaf, 1).0.first().copied()
    }
}

fn model(leaves: &[Hash]) -> HashMap<Hash, Vec<u64>> {
    let mut model: HashMap<Hash, Vec<u64>> = HashMap::new();
    for (index, leaf) in leaves.iter().enumerate() {
        model.entry(*leaf).or_default().push(index as u64);
    }
    model
}

fn agrees_with_the_model(leaves: &[Hash], memory: usize) {
    let built = Built::new(leaves, memory);
    for (leaf, indexes) in model(leaves) {
        assert_eq!(built.find_all(&leaf), indexes);
        assert_eq!(built.find(&leaf), indexes.first().copied());
    }
    for absent in 0..200 {
        assert_eq!(built.find(&leaf(1 << 40 | absent)), None);
    }
}

#[test]
fn every_leaf_is_found_in_an_index_of_any_small_size() {
    for size in (0..2000).chain([4095, 4096, 4097, 65_535, 65_536, 65_537]) {
        let leaves = leaves(0..size);
        let built = Built::new(&leaves, 1 << 20);
        for (index, leaf) in leaves.iter().enumerate() {
            assert_eq!(built.find(leaf), Some(index as u64), "size {size}");
        }
        assert_eq!(built.find(&leaf(1 << 40)), None);
    }
}

#[test]
fn leaves_that_repeat_at_random_are_found_in_their_order() {
    for (seed, kinds) in [1, 2, 3, 10, 100, 1000, 20_000, 1 << 40].into_iter().enumerate() {
        let leaves = leaves(random(seed as u64, kinds).take(20_000));
        agrees_with_the_model(&leaves, 1 << 20);
        agrees_with_the_model(&leaves, 1);
    }
}

#[test]
fn memory_decides_the_number_of_passes_and_no_byte() {
    let mut numbers: Vec<u64> = random(5, 30_000).take(30_000).collect();
    numbers.extend([7; 5000]);
    let leaves = leaves(numbers);
    let large = Built::new(&leaves, 1 << 24);
    let small = Built::new(&leaves, 1);
    assert_eq!(large.passes, 2);
    assert!(small.passes > 30);
    // Each pass takes half of its room at least, or all hashes of its ranges.
    assert!(small.passes < 13 + 2 * 35 + 2, "{}", small.passes);
    assert!(large.bytes == small.bytes);
}

#[test]
fn even_hashes_fill_the_memory_of_every_pass() {
    let leaves = leaves(0..30_000);
    let built = Built::new(&leaves, 1);
    let filter = built.layout.filter().end as usize;
    // 1,024 records fit, and some room is left where a range ends.
    assert!(built.passes <= filter + 30_000 / 1000 + 1, "{} passes", built.passes);
}

#[test]
fn a_million_equal_leaves_cost_a_search_no_more_than_one_does() {
    let mut numbers = vec![1, 2, 3];
    numbers.extend(std::iter::repeat_n(7, 1_000_000));
    numbers.extend(10..2000);
    let leaves = leaves(numbers);
    let built = Built::new(&leaves, 1 << 20);
    let (found, blocks, compared) = built.search(&leaf(7), 1);
    assert_eq!((found, compared), (vec![3], 1));
    assert!(blocks <= 2);
    assert_eq!(built.find_all(&leaf(7)), (3..1_000_003).collect::<Vec<_>>());
    for index in (0..3).chain(1_000_003..leaves.len()) {
        let (found, blocks, compared) = built.search(&leaves[index], 1);
        assert_eq!(found, [index as u64]);
        // The other leaves share a few blocks, in which the run between them takes up the range of fingerprints.
        assert!(blocks == 1 && compared < 10, "{blocks} blocks, {compared} leaves");
    }
}

#[test]
fn a_leaf_that_is_there_takes_one_block_and_mostly_one_comparison() {
    let leaves = leaves(0..300_000);
    let built = Built::new(&leaves, 1 << 20);
    let mut extra = 0;
    for (index, leaf) in leaves.iter().enumerate() {
        let (found, blocks, compared) = built.search(leaf, 1);
        assert_eq!((found, blocks), (vec![index as u64], 1));
        extra += compared - 1;
    }
    assert!(extra < 300_000 / 100, "{extra} comparisons with another leaf");
}

#[test]
fn of_absent_leaves_fewer_than_one_in_a_hundred_take_a_read() {
    let leaves = leaves(0..100_000);
    let built = Built::new(&leaves, 1 << 20);
    let reads: usize = (0..100_000).map(|absent| built.search(&leaf(1 << 40 | absent), 1).1).sum();
    assert!(reads < 1000, "{reads} reads");
    assert!(reads > 0, "a filter that never errs is no filter of 12 bits");
}

/// Only an inserter with the key can find such leaves.
#[test]
fn leaves_chosen_with_the_key_to_share_a_block_are_found() {
    let key = IndexKey::new(KEY);
    let close = (0..2_000_000).map(leaf).filter(|leaf| key.hash(leaf).0 >> 56 == 0x5a);
    let mut leaves: Vec<Hash> = close.collect();
    assert!(leaves.len() > 5000);
    agrees_with_the_model(&leaves, 1);
    leaves.extend((3_000_000..3_000_100).map(leaf));
    agrees_with_the_model(&leaves, 1 << 20);
}

/// Every byte of a small index is damaged in turn: nothing panics, and what is found is there.
#[test]
fn a_damaged_index_loses_hits_and_never_invents_one() {
    let mut numbers: Vec<u64> = (0..3000).collect();
    numbers.extend([5; 40]);
    let leaves = leaves(numbers);
    let mut built = Built::new(&leaves, 1 << 20);
    let model = model(&leaves);
    let samples: Vec<u64> = (0..3000).step_by(97).chain([5, 1 << 40, 2 << 40]).collect();
    let mut lost = 0;
    for at in 0..built.bytes.len() {
        for mask in [1, 0x80, 0xff] {
            built.bytes[at] ^= mask;
            for number in &samples {
                let there = model.get(&leaf(*number)).map_or(&[][..], Vec::as_slice);
                let found = built.find_all(&leaf(*number));
                assert!(found.iter().all(|index| there.contains(index)), "byte {at}");
                assert!(found.is_sorted_by(|one, next| one < next), "byte {at}");
                lost += there.len() - found.len();
            }
            built.bytes[at] ^= mask;
        }
    }
    assert!(lost > 0, "no damage was noticed");
}

#[test]
fn an_index_of_random_bytes_ends_every_search() {
    let leaves = leaves(0..3000);
    let mut built = Built::new(&leaves, 1 << 20);
    for seed in 0..200 {
        let kinds = [2, 256][seed as usize % 2];
        for (byte, random) in built.bytes.iter_mut().zip(random(seed, kinds)) {
            *byte = if kinds == 2 { (random as u8).wrapping_neg() } else { random as u8 };
        }
        for number in (0..3000).step_by(101) {
            let found = built.find_all(&leaf(number));
            assert!(found.iter().all(|index| *index == number));
        }
    }
}

#[test]
fn areas_that_are_cut_short_lose_hits_and_nothing_else() {
    let leaves = leaves(0..3000);
    let built = Built::new(&leaves, 1 << 20);
    let (filter, fences) = (built.area(built.layout.filter()), built.area(built.layout.fences()));
    for len in (0..fences.len().min(100)).chain([fences.len()]) {
        let index = Index::new(built.layout, &filter[..len], &fences[..len]);
        for number in (0..3000).step_by(11) {
            let read =
                |at: u64| Ok::<&[u8; BLOCK], Infallible>(&built.bytes.as_chunks().0[at as usize]);
            let is_leaf = |offset: LeafOffset| Ok(leaves[offset.0 as usize] == leaf(number));
            let found = index.find(built.key.hash(&leaf(number)), read, is_leaf).unwrap();
            assert!(found.is_none_or(|found| u64::from(found.0) == number));
        }
    }
}

#[test]
fn a_read_that_fails_ends_the_search_with_its_error() {
    let leaves = leaves(0..3000);
    let built = Built::new(&leaves, 1 << 20);
    let read = |_| Err::<[u8; BLOCK], &str>("no disk");
    let mut found = built.index().find_all(built.key.hash(&leaves[9]), read, |_| Ok(true));
    assert_eq!(found.next(), Some(Err("no disk")));
    assert_eq!(found.next(), None);
}

#[test]
fn a_build_with_missing_or_other_leaves_ends_with_an_error() {
    let sink = |_: &[u8; BLOCK]| Ok::<(), ()>(());
    let start = || Builder::new(IndexKey::new(KEY), 3000, 1 << 20).unwrap();
    let mut short = start();
    short.add(&leaves(0..2999));
    assert_eq!(short.end_pass(sink), Err(BuildError::Count { expected: 3000, given: 2999 }));
    assert!(short.is_done());
    let mut long = start();
    long.add(&leaves(0..3001));
    assert_eq!(long.end_pass(sink), Err(BuildError::Count { expected: 3000, given: 3001 }));
    let mut refused = start();
    refused.add(&leaves(0..3000));
    assert_eq!(refused.end_pass(|_| Err("full")), Err(BuildError::Sink("full")));

    // Leaves that change from pass to pass end it too, sooner or later.
    let mut changed = Builder::new(IndexKey::new(KEY), 3000, 1).unwrap();
    let mut ended = Ok(());
    for pass in 0..100 {
        changed.add(&leaves(pass * 3000..(pass + 1) * 3000));
        ended = changed.end_pass(sink);
        if ended.is_err() || changed.is_done() {
            break;
        }
    }
    assert!(changed.is_done());
    assert!(matches!(ended, Ok(()) | Err(BuildError::Changed)));
    assert!(Builder::new(IndexKey::new(KEY), super::MAX_LEAVES + 1, 1).is_none());
}

#[test]
fn recent_leaves_are_found_as_the_model_finds_them() {
    for (seed, kinds) in [1, 3, 50, 5000, 1 << 40].into_iter().enumerate() {
        let first = 1000;
        let leaves = leaves(random(seed as u64 + 50, kinds).take(20_000));
        let key = IndexKey::new(KEY);
        let mut table = RecentTable::new(key, first);
        let at = |index: LeafIndex| leaves[(index.0 - first) as usize];
        let mut added = 0;
        for (floor, size) in [
            (0, 5000),
            (first + 4000, 7000),
            (first + 4000, 9000),
            (first + 6000, 15_000),
            (first + 14_500, 20_000),
            (first + 19_999, 20_000),
            (first + 20_000, 20_000),
        ] {
            table.forget_below(floor);
            let at = |index: LeafIndex| {
                assert!(index.0 >= floor, "leaf {index} is in a part and was asked for");
                at(index)
            };
            table.add(&leaves[added..size], at);
            added = size;
            assert_eq!(table.size(), first + size as u64);
            for (leaf, indexes) in model(&leaves[..size]) {
                let there: Vec<u64> = indexes
                    .iter()
                    .map(|index| index + first)
                    .filter(|index| *index >= floor)
                    .collect();
                let found: Vec<u64> = table
                    .find_all(key.hash(&leaf), |index| at(index) == leaf)
                    .map(|index| index.0)
                    .collect();
                assert_eq!(found, there);
                let found = table.find(key.hash(&leaf), |index| at(index) == leaf);
                assert_eq!(found.map(|index| index.0), there.first().copied());
            }
            assert_eq!(
                table.find(key.hash(&leaf(1 << 50)), |index| at(index) == leaf(1 << 50)),
                None
            );
        }
        assert!(table.bytes() < 100, "all generations were dropped");
        let at = |_| leaf(3);
        table.add(&[leaf(3)], at);
        let again = table.find(key.hash(&leaf(3)), |_| true);
        assert_eq!(again, Some(LeafIndex(first + 20_000)));
    }
}

#[test]
fn the_place_of_a_leaf_is_in_the_block_that_a_search_reads_and_near_the_record() {
    let leaves = leaves(0..20_000);
    let built = Built::new(&leaves, 1 << 20);
    let (index, mut near) = (built.index(), 0);
    for (offset, leaf) in leaves.iter().enumerate() {
        let hash = built.key.hash(leaf);
        let (number, at) = index.place(hash).unwrap();
        let block = |number: u64| built.bytes.as_chunks().0.get(number as usize).unwrap();
        let mut read = Vec::new();
        let reading = |number| {
            read.push(number);
            Ok::<&[u8; BLOCK], Infallible>(block(number))
        };
        let found = index.find(hash, reading, |found| Ok(found.0 as usize == offset)).unwrap();
        assert_eq!((found.map(|found| found.0 as usize), read[0]), (Some(offset), number));
        let in_area = number - built.layout.records().start;
        let records = RecordBlock::new(&built.layout, in_area, block(number));
        let is_it = |record: &usize| records.get(*record).unwrap().1.0 as usize == offset;
        let record = (0..built.layout.records_in(in_area)).find(is_it).unwrap();
        near += usize::from((record * built.layout.record_bits() / 8).abs_diff(at) <= 128);
    }
    assert!(near > leaves.len() * 9 / 10, "{near} records of {} are near", leaves.len());
    let nothing = Built::new(&[], 1 << 20);
    assert_eq!(nothing.index().place(nothing.key.hash(&leaf(1))), None);
}

#[test]
fn leaves_that_reached_parts_leave_the_table_although_others_come_all_the_time() {
    let leaves = leaves(0..100_000);
    let mut table = RecentTable::new(IndexKey::new(KEY), 0);
    for (number, leaf) in leaves.iter().enumerate() {
        table.add(&[*leaf], |index| leaves[index.0 as usize]);
        // 100 leaves came behind each point.
        if number >= 1000 && number % 1000 == 100 {
            table.forget_below(number as u64 - 100);
        }
        assert!(table.bytes() < 30_000, "{} bytes for leaf {number}", table.bytes());
    }
}

#[test]
fn a_recent_leaf_takes_less_than_eleven_bytes_on_average() {
    let leaves = leaves(0..200_000);
    let mut table = RecentTable::new(IndexKey::new(KEY), 0);
    let mut per_leaf = Vec::new();
    for (number, leaf) in leaves.iter().enumerate() {
        table.add(&[*leaf], |index| leaves[index.0 as usize]);
        if number >= 50_000 && number.is_multiple_of(1000) {
            per_leaf.push(table.bytes() as f64 / number as f64);
        }
    }
    let average = per_leaf.iter().sum::<f64>() / per_leaf.len() as f64;
    assert!(average < 10.8, "{average} bytes on average");
    assert!(per_leaf.iter().all(|bytes| *bytes < 11.5), "{per_leaf:?}");
}

#[test]
fn a_million_equal_recent_leaves_are_added_and_found_at_once() {
    let mut table = RecentTable::new(IndexKey::new(KEY), 0);
    for _ in 0..1_000_000 {
        table.add(&[leaf(7)], |_| leaf(7));
    }
    let hash = IndexKey::new(KEY).hash(&leaf(7));
    let mut asked = 0;
    let mut found = table.find_all(hash, |_| {
        asked += 1;
        true
    });
    assert_eq!(found.next(), Some(LeafIndex(0)));
    assert_eq!(found.count(), 999_999);
    assert_eq!(asked, 1);
}

/// The bytes of two indexes. A change is a new format version.
#[test]
fn the_bytes_of_an_index_never_change() {
    let few = leaves((0..40).chain([7, 7, 9]));
    crate::testing::golden::check("index.hex", &Built::new(&few, 1 << 20).bytes);
    // Several blocks, and equal leaves that begin in one block and end two further.
    let many = leaves((0..5000).chain(std::iter::repeat_n(7, 2000)));
    let built = Built::new(&many, 1 << 20);
    assert_eq!(built.bytes.len(), (3 + 7 + 1) * BLOCK);
    assert_eq!(crate::checksum::checksum(&built.bytes), MANY);
}

const MANY: u64 = 0xb6d0_155e_f22d_6e00;

/// Values of the reference implementation, SipHash-1-3 of 32 bytes.
#[test]
fn the_hash_is_siphash_1_3() {
    let counting = std::array::from_fn(|at| at as u8);
    let key = IndexKey::new(counting[..16].try_into().unwrap());
    assert_eq!(key.hash(&counting), KeyedHash(COUNTING));
    assert_eq!(IndexKey::new([0; 16]).hash(&[0; 32]), KeyedHash(ZERO));
    assert_eq!(format!("{key:?}"), "IndexKey(..)");
}

const COUNTING: u64 = 0x8115_7b6c_16a7_b60d;
const ZERO: u64 = 0xb85b_ed26_1433_9b3d;
