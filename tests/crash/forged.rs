//! Leaves that are chosen to be taken for something else.
//!
//! A leaf is 32 bytes of the caller's choice, and every 128th leaf of a group begins a block. The adversary
//! here inserts leaves and knows everything but the keys of the log: the store's id, every number, every
//! place, and the lives that segments had before. When the file is used again, his leaves stand where groups
//! are looked for.

use duramen::fs::{FileKind, FileName};
use duramen::testing::faulty::Flaw;
#[cfg(duramen_mutants)]
use duramen::testing::faulty::Mutant;
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{DynAccumulator, Hash};

use crate::findings::{Finding, Kind, Outcome};
use crate::setup::{Setup, abandon};
use testkit::words::words;

const BLOCK: usize = 4096;
/// Blocks of a segment.
const BLOCKS: usize = 16;
/// The first leaf of a group that begins a block: behind it are the headers of the group and its frame.
const FIRST: usize = (BLOCK - 128 - 32) / 32;
/// Leaves that fill a segment but for the block of the roll frame.
const FILL: usize = FIRST + (BLOCKS - 2) * BLOCK / 32;
const PHANTOM: Hash = [0xee; 32];

/// What the forged groups are to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// Be replayed, as a leaf that was never inserted.
    Leaf,
    /// Say that everything was durable, so that the store does not open.
    Claim,
    /// Lead the log to a segment that is not there.
    Roll,
    /// Belong to another store.
    OtherStore,
    /// Be of a version that this program does not know.
    OtherVersion,
    /// Have flags that this program does not know.
    OtherFlags,
}

pub(crate) const AIMS: [Aim; 6] =
    [Aim::Leaf, Aim::Claim, Aim::Roll, Aim::OtherStore, Aim::OtherVersion, Aim::OtherFlags];

/// What the adversary knows of the segment that will be made of the file which holds his leaves.
#[derive(Clone, Copy, Debug)]
struct Knowledge {
    store: [u8; 16],
    segment: u64,
    /// The number of the group at its start, and the sequence number there.
    group: u64,
    seq: u64,
    /// Index of the leaf in that group.
    leaves: u64,
    /// The life that he gives them: one that this store has used, or none.
    life: [u8; 16],
}

fn number(header: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(header[at..at + 8].try_into().unwrap())
}

/// The version of the groups that the store writes. What is forged in another one is no attack.
const VERSION: u16 = 5;

/// A block that is a group at `block` of the segment, as far as he can make it one.
fn forged(aim: Aim, known: Knowledge, block: usize) -> Vec<u8> {
    let Knowledge { store, segment, group, seq, leaves, life } = known;
    let at = block as u64;
    let (body, count): (Vec<u8>, u64) = match aim {
        Aim::Roll => ([&2_u64.to_le_bytes()[..], &900_u64.to_le_bytes(), &[0; 16]].concat(), 0),
        _ => {
            let frame = [1, leaves + at, 1, 32].map(u64::to_le_bytes).concat();
            ([&frame[..], &PHANTOM].concat(), 1)
        }
    };
    let durable = if matches!(aim, Aim::Claim) { 1 << 40 } else { group + at };
    let mut bytes = b"duraWAL\n".to_vec();
    bytes.extend(if matches!(aim, Aim::OtherVersion) { 99 } else { VERSION }.to_le_bytes());
    bytes.extend(if matches!(aim, Aim::OtherFlags) { 0x8000_u16 } else { 0 }.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(life);
    bytes.extend(if matches!(aim, Aim::OtherStore) { [0x55; 16] } else { store });
    let len = (128 + body.len()) as u64;
    for field in
        [segment, at * BLOCK as u64, group + at, len, seq + at, seq + at + count, durable, 0, 0, 0]
    {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(body);
    duramen::testing::hostile::fix_group(&mut bytes);
    bytes.resize(BLOCK, 0);
    bytes
}

/// Leaves that fill a segment, with a forged group at the start of every block but the first.
fn load(seed: u8, forge: Option<(Aim, Knowledge)>) -> Vec<Hash> {
    let mut leaves = vec![[seed; 32]; FILL];
    let Some((aim, known)) = forge else { return leaves };
    for block in 1..BLOCKS - 1 {
        let at = FIRST + (block - 1) * BLOCK / 32;
        let bytes = forged(aim, known, block);
        leaves[at..at + BLOCK / 32].copy_from_slice(bytes.as_chunks().0);
    }
    leaves
}

fn used(disk: &SimDisk) -> Vec<(FileName, Vec<u8>)> {
    let segments = disk.files().into_iter().filter(|name| name.kind == FileKind::Segment);
    segments.map(|name| (name, disk.read(name).unwrap())).collect()
}

struct Attack {
    disk: SimDisk,
    store: DynAccumulator,
    leaves: Vec<Hash>,
}

impl Attack {
    /// Fills several segments with what the adversary inserts, has the log leave them, and goes on until it
    /// has come to one of their files again.
    fn mount(setup: &Setup, forge: impl Fn(&SimDisk) -> Option<(Aim, Knowledge)>) -> Self {
        let disk = SimDisk::new();
        let store = setup.open(&disk).unwrap();
        let mut attack = Self { disk, store, leaves: Vec::new() };
        attack.insert(&[[1; 32]]);
        for round in 0..3 {
            let forge = forge(&attack.disk);
            attack.insert(&load(round, forge));
        }
        attack.store.checkpoint().unwrap();
        attack.store.wait_idle();
        // Groups behind which the next does not fit: the log leaves a segment after each.
        for _ in 0..3 {
            attack.insert(&[[2; 32]; FIRST + (BLOCKS - 3) * BLOCK / 32]);
        }
        attack.insert(&[[2; 32]; FIRST + BLOCK / 32]);
        attack
    }

    fn insert(&mut self, leaves: &[Hash]) {
        self.store.insert_many(leaves).unwrap();
        self.store.flush().unwrap();
        self.store.wait_idle();
        self.leaves.extend(leaves);
    }

    /// What a later group of the segment where the log ends will be, learned from a run without an attack.
    fn learn(&self) -> Knowledge {
        let files = used(&self.disk);
        let newest = files
            .iter()
            .filter(|(name, bytes)| {
                bytes.starts_with(b"duraWAL\n") && number(bytes, 48) == name.number
            })
            .max_by_key(|(name, _)| name.number);
        let (name, bytes) = newest.unwrap();
        // The first group has three blocks; single leaves follow.
        let group = number(bytes, 56 + 8);
        assert_eq!(number(bytes, 72).div_ceil(BLOCK as u64), 2, "blocks of the first group");
        assert_eq!(bytes[8..10], VERSION.to_le_bytes(), "the version of a group");
        Knowledge {
            store: bytes[32..48].try_into().unwrap(),
            segment: name.number,
            group: group + 1 - 2,
            seq: number(bytes, 88) - 2,
            leaves: self.leaves.len() as u64 - 2,
            life: [0; 16],
        }
    }

    /// The store after a power cut is what was acknowledged and nothing else.
    fn holds(&self, setup: &Setup, choice: CrashChoice) -> Outcome {
        let left = self.disk.crash(choice);
        let store =
            setup.open(&left).map_err(|error| Finding::new(Kind::Refused, words(&error)))?;
        let size = store.size().get();
        let same = size == self.leaves.len() as u64
            && store.leaves(0..size).is_ok_and(|leaves| leaves == self.leaves);
        abandon(&left, store);
        if same {
            return Ok(());
        }
        let text = format!("{size} leaves, {} were inserted", self.leaves.len());
        Err(Finding::new(Kind::Phantom, text))
    }
}

pub(crate) fn attack(flaw: Option<Flaw>, aim: Aim, old_life: bool) -> Outcome {
    let segment = (BLOCKS * BLOCK) as u64;
    let setup = Setup { segment, spare: 8 * segment, flaw, ..Setup::PLAIN };
    let rehearsal = Attack::mount(&setup, |_| None);
    let known = rehearsal.learn();
    let mut attack = Attack::mount(&setup, |disk| {
        let (_, first) = &used(disk)[0];
        let store = first[32..48].try_into().unwrap();
        let life = if old_life { first[16..32].try_into().unwrap() } else { [0; 16] };
        Some((aim, Knowledge { store, life, ..known }))
    });
    assert_eq!(attack.learn().segment, known.segment, "the rehearsal told where");
    for single in 0..BLOCKS - 4 {
        for choice in [CrashChoice::NothingKept, CrashChoice::AllKept] {
            attack.holds(&setup, choice).map_err(|finding| {
                finding.context(format_args!("{aim:?} behind {single} groups, {choice:?}"))
            })?;
        }
        attack.insert(&[[3; 32]]);
    }
    Ok(())
}

#[test]
fn chosen_leaves_never_become_a_group_of_the_log() {
    for aim in AIMS {
        for old_life in [false, true] {
            attack(None, aim, old_life).unwrap_or_else(|finding| panic!("{finding:?}"));
        }
    }
}

/// The attack is a real one: an engine that does not look at lives falls for it.
#[cfg(duramen_mutants)]
#[test]
fn an_engine_that_ignores_lives_replays_chosen_leaves() {
    let found = attack(Some(Flaw::Engine(Mutant::LivesIgnored)), Aim::Leaf, false);
    assert!(found.is_err_and(|finding| finding.kind == Kind::Phantom));
}

/// Another leaf with the same CRC-64/NVME in any surroundings: their difference is a multiple of the
/// polynomial, found by elimination over the effects of 65 bits.
fn twin(leaf: Hash) -> Hash {
    let crc = |bytes: &Hash| crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes);
    let mut rows: Vec<(u64, Hash)> = Vec::new();
    for bit in 0..65 {
        let mut change = [0; 32];
        change[bit / 8] = 1 << (bit % 8);
        let mut effect = crc(&change) ^ crc(&[0; 32]);
        for (row, of) in &rows {
            if effect ^ row < effect {
                effect ^= row;
                change.iter_mut().zip(of).for_each(|(byte, other)| *byte ^= other);
            }
        }
        if effect == 0 {
            return std::array::from_fn(|at| leaf[at] ^ change[at]);
        }
        rows.push((effect, change));
        rows.sort_unstable_by_key(|(row, _)| std::cmp::Reverse(*row));
    }
    unreachable!("65 changes of a checksum of 64 bits depend on one another");
}

/// A torn write leaves old sectors between new ones. Where both hold leaves of his choice, no checksum that
/// he can compute tells them apart.
#[test]
fn a_torn_group_is_not_completed_by_leaves_that_an_earlier_life_left() {
    let (old, new) = ([0x11; 32], twin([0x11; 32]));
    assert_ne!(old, new);
    let segment = (BLOCKS * BLOCK) as u64;
    let setup = Setup { segment, spare: 8 * segment, unflushed: 1024, ..Setup::PLAIN };
    let mut attack = Attack::mount(&setup, |_| None);
    for _ in 0..3 {
        attack.insert(&vec![old; FILL]);
    }
    attack.store.checkpoint().unwrap();
    attack.store.wait_idle();
    attack.insert(&vec![old; FILL]);
    // Written, because so much may not wait, and not synced.
    let before = attack.leaves.len();
    attack.store.insert_many(&vec![new; FILL]).unwrap();
    attack.store.wait_idle();
    let mut torn = 0;
    for seed in 0..300 {
        let left = attack.disk.crash(CrashChoice::Seeded(seed));
        let store = setup.open(&left).unwrap();
        let size = store.size().get();
        let leaves = store.leaves(before as u64..size).unwrap();
        assert!(
            leaves.iter().all(|leaf| *leaf == new),
            "seed {seed}: leaves nobody inserted there"
        );
        torn += u64::from(leaves.is_empty());
        abandon(&left, store);
    }
    assert!(torn > 200, "{torn} of 300 cuts tore the group");
}
