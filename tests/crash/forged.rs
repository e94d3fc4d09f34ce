//! Leaves that are chosen to be taken for something else.
//!
//! A leaf is 32 bytes of the caller's choice, and every 128th leaf of a group begins a block. An entry is any bytes,
//! and a long one has whole blocks. The adversary here inserts leaves or entries and knows everything but the keys of
//! the log: the store's id, every number, every place, and the lives that segments had before. When the file is used
//! again, his bytes stand where groups are looked for.

use std::sync::Arc;

use duramen::fs::{FileKind, FileName};
use duramen::testing::faulty::Flaw;
#[cfg(duramen_mutants)]
use duramen::testing::faulty::Mutant;
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::{
    Arity, Blake3, DynAccumulator, EntryConfig, Error, Hash, Hasher as _, Store, TreeConfig,
};

use crate::findings::{Finding, Kind, Outcome};
use crate::setup::{Setup, abandon};
use testkit::words::words;

const BLOCK: usize = 4096;
/// Blocks of a segment.
const BLOCKS: usize = 16;
/// Leaves that fill a segment but for the block of the roll frame.
const FILL: usize = Carrier::Leaves.room(BLOCKS - 1) / 32;
const PHANTOM: Hash = [0xee; 32];

/// What the chosen bytes are inserted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// As many leaves.
    Leaves,
    /// One entry.
    Entry,
}

impl Carrier {
    pub(crate) const ALL: [Self; 2] = [Self::Leaves, Self::Entry];

    /// Bytes of a group before the chosen ones: the headers of the group and its frame; before an entry its leaf and
    /// its length too.
    const fn head(self) -> usize {
        match self {
            Self::Leaves => 128 + 32,
            Self::Entry => 128 + 32 + 32 + 2,
        }
    }

    /// How many bytes fill a group of so many blocks.
    const fn room(self, blocks: usize) -> usize {
        blocks * BLOCK - self.head()
    }

    fn open(self, setup: &Setup, disk: &SimDisk) -> Result<DynAccumulator, Error> {
        match self {
            Self::Leaves => setup.open(disk),
            Self::Entry => {
                let config = TreeConfig::new(Arc::new(Blake3), Arity::Four);
                Store::open(setup.config(disk))?
                    .tree_dyn("main", config.entries(EntryConfig::new()))
            }
        }
    }

    fn insert(self, store: &DynAccumulator, bytes: &[u8]) {
        match self {
            Self::Leaves => drop(store.insert_many(bytes.as_chunks().0).unwrap()),
            Self::Entry => drop(store.insert_entry(bytes).unwrap()),
        }
    }

    /// What the store has of what was inserted, in pieces.
    fn read(self, store: &DynAccumulator, index: u64) -> Result<Vec<u8>, Error> {
        match self {
            Self::Leaves => store.leaf(index).map(Vec::from),
            Self::Entry => store.entry(index).map(|entry| entry.to_vec()),
        }
    }

    /// The frame of a leaf or an entry that was never inserted.
    fn phantom(self, tree: u32, index: u64) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Leaves => (1, PHANTOM.to_vec()),
            Self::Entry => {
                let len = u16::try_from(PHANTOM.len()).unwrap().to_be_bytes();
                (7, [&Blake3.leaf(&PHANTOM)[..], &len, &PHANTOM].concat())
            }
        };
        let frame = [kind | u64::from(tree) << 32, index, 1, payload.len() as u64];
        [frame.map(u64::to_le_bytes).concat(), payload].concat()
    }
}

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
    tree: u32,
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
fn forged(carrier: Carrier, aim: Aim, known: Knowledge, block: usize) -> Vec<u8> {
    let Knowledge { store, segment, group, seq, tree, leaves, life } = known;
    let at = block as u64;
    let (body, count): (Vec<u8>, u64) = match aim {
        Aim::Roll => ([&2_u64.to_le_bytes()[..], &900_u64.to_le_bytes(), &[0; 16]].concat(), 0),
        _ => (carrier.phantom(tree, leaves + at), 1),
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

/// Bytes that fill a segment, with a forged group at the start of every block but the first.
fn load(carrier: Carrier, seed: u8, forge: Option<(Aim, Knowledge)>) -> Vec<u8> {
    let mut bytes = vec![seed; carrier.room(BLOCKS - 1)];
    let Some((aim, known)) = forge else { return bytes };
    for block in 1..BLOCKS - 1 {
        let at = carrier.room(block);
        bytes[at..at + BLOCK].copy_from_slice(&forged(carrier, aim, known, block));
    }
    bytes
}

fn used(disk: &SimDisk) -> Vec<(FileName, Vec<u8>)> {
    let segments = disk.files().into_iter().filter(|name| name.kind == FileKind::Segment);
    segments.map(|name| (name, disk.read(name).unwrap())).collect()
}

struct Attack {
    carrier: Carrier,
    disk: SimDisk,
    store: DynAccumulator,
    /// Every leaf or entry that was inserted.
    inserted: Vec<Vec<u8>>,
}

impl Attack {
    /// Fills several segments with what the adversary inserts, has the log leave them, and goes on until it
    /// has come to one of their files again.
    fn mount(
        setup: &Setup,
        carrier: Carrier,
        forge: impl Fn(&SimDisk) -> Option<(Aim, Knowledge)>,
    ) -> Self {
        let disk = SimDisk::new();
        let store = carrier.open(setup, &disk).unwrap();
        let mut attack = Self { carrier, disk, store, inserted: Vec::new() };
        attack.insert(&[1; 32]);
        for round in 0..3 {
            let forge = forge(&attack.disk);
            attack.insert(&load(carrier, round, forge));
        }
        attack.store.checkpoint().unwrap();
        attack.store.wait_idle();
        // Groups behind which the next does not fit: the log leaves a segment after each.
        for _ in 0..3 {
            attack.insert(&vec![2; carrier.room(BLOCKS - 2)]);
        }
        attack.insert(&vec![2; carrier.room(2)]);
        attack
    }

    fn insert(&mut self, bytes: &[u8]) {
        self.carrier.insert(&self.store, bytes);
        self.store.flush().unwrap();
        self.store.wait_idle();
        match self.carrier {
            Carrier::Leaves => self.inserted.extend(bytes.chunks(32).map(Vec::from)),
            Carrier::Entry => self.inserted.push(bytes.to_vec()),
        }
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
            tree: u32::from_le_bytes(bytes[132..136].try_into().unwrap()),
            leaves: self.inserted.len() as u64 - 2,
            life: [0; 16],
        }
    }

    /// The store after a power cut is what was acknowledged and nothing else.
    fn holds(&self, setup: &Setup, choice: CrashChoice) -> Outcome {
        let left = self.disk.crash(choice);
        let store = self
            .carrier
            .open(setup, &left)
            .map_err(|error| Finding::new(Kind::Refused, words(&error)))?;
        let size = store.size().get();
        let is_there = |(index, own): (u64, &Vec<u8>)| {
            self.carrier.read(&store, index).is_ok_and(|found| found == *own)
        };
        let same = size == self.inserted.len() as u64 && (0..).zip(&self.inserted).all(is_there);
        abandon(&left, store);
        if same {
            return Ok(());
        }
        let text = format!("{size} leaves, {} were inserted", self.inserted.len());
        Err(Finding::new(Kind::Phantom, text))
    }
}

pub(crate) fn attack(carrier: Carrier, flaw: Option<Flaw>, aim: Aim, old_life: bool) -> Outcome {
    let segment = (BLOCKS * BLOCK) as u64;
    let setup = Setup { segment, spare: 8 * segment, flaw, ..Setup::PLAIN };
    let rehearsal = Attack::mount(&setup, carrier, |_| None);
    let known = rehearsal.learn();
    let mut attack = Attack::mount(&setup, carrier, |disk| {
        let (_, first) = &used(disk)[0];
        let store = first[32..48].try_into().unwrap();
        let life = if old_life { first[16..32].try_into().unwrap() } else { [0; 16] };
        Some((aim, Knowledge { store, life, ..known }))
    });
    assert_eq!(attack.learn().segment, known.segment, "the rehearsal told where");
    for single in 0..BLOCKS - 4 {
        for choice in [CrashChoice::NothingKept, CrashChoice::AllKept] {
            attack.holds(&setup, choice).map_err(|finding| {
                let moment =
                    format_args!("{aim:?} as {carrier:?} behind {single} groups, {choice:?}");
                finding.context(moment)
            })?;
        }
        attack.insert(&[3; 32]);
    }
    Ok(())
}

#[test]
fn chosen_leaves_and_entries_never_become_a_group_of_the_log() {
    for carrier in Carrier::ALL {
        for aim in AIMS {
            for old_life in [false, true] {
                let done = attack(carrier, None, aim, old_life);
                done.unwrap_or_else(|finding| panic!("{finding:?}"));
            }
        }
    }
}

/// The attack is a real one: an engine that does not look at lives falls for it.
#[cfg(duramen_mutants)]
#[test]
fn an_engine_that_ignores_lives_replays_chosen_leaves_and_entries() {
    for carrier in Carrier::ALL {
        let found = attack(carrier, Some(Flaw::Engine(Mutant::LivesIgnored)), Aim::Leaf, false);
        assert!(found.is_err_and(|finding| finding.kind == Kind::Phantom), "{carrier:?}");
    }
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
    let mut attack = Attack::mount(&setup, Carrier::Leaves, |_| None);
    let filled = [old; FILL];
    for _ in 0..3 {
        attack.insert(filled.as_flattened());
    }
    attack.store.checkpoint().unwrap();
    attack.store.wait_idle();
    attack.insert(filled.as_flattened());
    // Written, because so much may not wait, and not synced.
    let before = attack.inserted.len();
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
