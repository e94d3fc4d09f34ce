//! Several trees in one store: whatever happens, all of them are as they were at one point.
//!
//! A workload creates, fills, seals and drops up to three trees of different kinds, alone and in batches.
//! The power is cut at every operation of every step. What opens afterwards must be one of the points that a
//! caller named, as a whole: names, ids, leaves, seals.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use duramen::fs::FileKind;
use duramen::testing::sim::{CrashChoice, Defect, SimDisk};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, Error, FlushPolicy, Hash, Hasher,
    Rfc6962Sha256, Store, TreeConfig,
};
use testkit::random::Random;
use testkit::stores::root_of;

use crate::scale;

/// One tree: its id, its kind, its leaves, whether it is sealed.
#[derive(Clone, PartialEq, Eq)]
struct Tree {
    id: u32,
    kind: usize,
    leaves: Vec<Hash>,
    sealed: bool,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, kind, leaves, sealed } = self;
        let sum = blake3::hash(leaves.as_flattened()).to_hex();
        let sealed = if *sealed { ", sealed" } else { "" };
        write!(f, "{id} of kind {kind}, {} leaves {}{sealed}", leaves.len(), &sum[..8])
    }
}

/// All trees by name.
type State = BTreeMap<String, Tree>;

const NAMES: [&str; 3] = ["notes", "nullifiers", "receipts"];

fn kind(number: usize) -> (Arc<dyn Hasher>, Arity) {
    match number {
        0 => (Arc::new(Blake3), Arity::Four),
        1 => (Arc::new(Rfc6962Sha256), Arity::Two),
        _ => (Arc::new(Blake3), Arity::Sixteen),
    }
}

fn tree_config(number: usize) -> TreeConfig {
    let (hasher, arity) = kind(number);
    TreeConfig::new(hasher, arity)
}

fn config(disk: &SimDisk, setup: &Setup) -> Config {
    Config::new("simulated")
        .file_system(Arc::new(disk.clone()))
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().on_close(setup.on_close))
        .compaction_policy(setup.compaction)
        .wal_segment_bytes(setup.segment)
        .wal_spare_bytes(setup.spare)
        .max_unflushed_bytes(setup.unflushed)
}

/// The kind of store.
#[derive(Clone, Copy, Debug)]
struct Setup {
    on_close: bool,
    compaction: CompactionPolicy,
    segment: u64,
    spare: u64,
    unflushed: u64,
}

impl Setup {
    fn random(random: &mut Random) -> Self {
        Self {
            on_close: random.one_in(2),
            compaction: random.pick(&[CompactionPolicy::Off, CompactionPolicy::Tiered(2)]),
            segment: random.pick(&[8 << 10, 16 << 10]),
            spare: random.pick(&[0, 32 << 10]),
            unflushed: random.pick(&[900, 1 << 20]),
        }
    }
}

/// What is wrong.
type Outcome<T = ()> = Result<T, String>;

fn words(error: &Error) -> String {
    testkit::words::words(error)
}

/// What the store shows.
fn state_of(store: &Store) -> Outcome<State> {
    let mut state = State::new();
    let head = store.head().map_err(|error| words(&error))?;
    for info in store.trees().map_err(|error| words(&error))? {
        let tree = store.existing_tree(&info.name).map_err(|error| words(&error))?;
        let leaves = tree.leaves(0..info.size.get()).map_err(|error| words(&error))?;
        let number = (0..3).find(|number| {
            let (hasher, arity) = kind(*number);
            (hasher.id().as_str(), arity) == (&*info.hasher, info.arity)
        });
        let number = number.ok_or_else(|| format!("a tree of another kind: {info:?}"))?;
        let (hasher, arity) = kind(number);
        let root = root_of(&*hasher, arity, &leaves);
        let shown = tree.head().map_err(|error| words(&error))?.root;
        let committed = head.tree(info.name.as_str()).map(|tree| tree.head.root);
        if shown != root || committed != Some(root) {
            return Err(format!("the root of {:?} is another one", info.name));
        }
        if info.size != info.durable_size {
            return Err(format!("{:?} shows what is not durable after an open", info.name));
        }
        let tree = Tree { id: info.id, kind: number, leaves, sealed: info.sealed };
        state.insert(info.name.to_string(), tree);
    }
    Ok(state)
}

/// A store at work and what is known of it.
struct Run {
    setup: Setup,
    disk: SimDisk,
    store: Option<Store>,
    /// What was done so far.
    now: State,
    /// What callers asked to be durable, oldest first: a crash leaves one of these, not before `acked`.
    points: Vec<State>,
    acked: usize,
    next_id: u32,
    fresh: u64,
    images: u64,
}

impl Run {
    fn new(setup: Setup, defect: Option<Defect>) -> Outcome<Self> {
        let disk = SimDisk::new();
        disk.set_defect(defect);
        disk.record();
        let store = Store::open(config(&disk, &setup)).map_err(|error| words(&error))?;
        store.wait_idle();
        Ok(Self {
            setup,
            disk,
            store: Some(store),
            now: State::new(),
            points: vec![State::new()],
            acked: 0,
            next_id: 0,
            fresh: 0,
            images: 0,
        })
    }

    fn store(&self) -> Store {
        self.store.clone().unwrap()
    }

    fn leaves(&mut self, count: usize) -> Vec<Hash> {
        let leaf = |number: u64| blake3::hash(&number.to_le_bytes()).into();
        let first = self.fresh;
        self.fresh += count as u64;
        (first..self.fresh).map(leaf).collect()
    }

    /// Does one step, then cuts the power at every operation of it.
    fn step(&mut self, random: &mut Random) -> Outcome {
        let from = self.disk.operations();
        let acked = self.acked;
        self.act(random).map_err(|error| words(&error))?;
        self.store().wait_idle();
        for moment in from..=self.disk.operations() {
            // At the last moment what the step has promised holds.
            let acked = if moment == self.disk.operations() { self.acked } else { acked };
            for choice in [
                CrashChoice::NothingKept,
                CrashChoice::AllKept,
                CrashChoice::Seeded(random.number()),
            ] {
                self.cut(moment, choice, acked)?;
            }
        }
        Ok(())
    }

    fn cut(&mut self, moment: u64, choice: CrashChoice, acked: usize) -> Outcome {
        let Some(left) = self.disk.crash_at(moment, choice) else { return Ok(()) };
        self.images += 1;
        let fail = |text: String| format!("at operation {moment}, {choice:?}: {text}");
        left.set_defect(None);
        let opened = Store::open(config(&left, &self.setup));
        let store = opened.map_err(|error| fail(words(&error)))?;
        let found = state_of(&store).map_err(fail)?;
        if !self.points[acked..].contains(&found) {
            return Err(fail(format!("{} trees that were so at no point: {found:?}", found.len())));
        }
        // Every other image goes on: what comes next must not meet what was lost.
        if self.images.is_multiple_of(4) {
            goes_on(&store, &left, &self.setup, found).map_err(fail)?;
        }
        Ok(())
    }

    fn point(&mut self) {
        self.points.push(self.now.clone());
    }

    fn acknowledge(&mut self) {
        self.acked = self.points.len() - 1;
    }

    fn act(&mut self, random: &mut Random) -> Result<(), Error> {
        let store = self.store();
        let name = random.pick(&NAMES);
        let there = self.now.get(name).cloned();
        match random.below(12) {
            0..=3 => {
                let count = 1 + usize::try_from(random.below(30)).unwrap();
                self.insert(&store, name, count)?;
            }
            4 | 5 => {
                let mut batch = store.batch();
                let mut new = Vec::new();
                for name in NAMES {
                    if self.now.get(name).is_some_and(|tree| !tree.sealed) {
                        let leaves = self.leaves(1 + usize::try_from(random.below(20)).unwrap());
                        batch.insert_many(&store.existing_tree(name)?, &leaves)?;
                        new.push((name, leaves));
                    }
                }
                batch.commit()?;
                for (name, leaves) in new {
                    self.now.get_mut(name).unwrap().leaves.extend(leaves);
                }
            }
            6 if there.is_some() => {
                drop(store.seal(name)?);
                self.now.get_mut(name).unwrap().sealed = true;
            }
            7 if there.is_some() => {
                drop(store.drop_tree(name)?);
                self.now.remove(name);
            }
            8 => {
                self.point();
                store.checkpoint()?;
                self.acknowledge();
            }
            9 => {
                // Closing names a point.
                self.point();
                drop(store);
                self.store.take().unwrap().close()?;
                self.acknowledge();
                self.store = Some(Store::open(config(&self.disk, &self.setup))?);
            }
            _ => {
                self.point();
                store.flush()?;
                self.acknowledge();
            }
        }
        Ok(())
    }

    fn insert(&mut self, store: &Store, name: &str, count: usize) -> Result<(), Error> {
        let leaves = self.leaves(count);
        let next_id = &mut self.next_id;
        let tree = self.now.entry(name.to_owned()).or_insert_with(|| {
            // Three kinds in turn, so that a name leads to another kind after a drop.
            let (id, kind) = (*next_id, *next_id as usize % 3);
            *next_id += 1;
            Tree { id, kind, leaves: Vec::new(), sealed: false }
        });
        let handle = store.tree_dyn(name, tree_config(tree.kind))?;
        match handle.insert_many(&leaves) {
            Ok(_) => tree.leaves.extend(leaves),
            Err(Error::TreeSealed { .. }) if tree.sealed => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Fills, seals and drops what is there, closes and opens again.
fn goes_on(store: &Store, disk: &SimDisk, setup: &Setup, mut state: State) -> Outcome {
    let new: Vec<Hash> = (0..9).map(|byte| [byte; 32]).collect();
    let words = |error: Error| words(&error);
    for (name, tree) in &mut state {
        if !tree.sealed {
            let handle = store.existing_tree(name).map_err(words)?;
            handle.insert_many(&new).map_err(words)?;
            tree.leaves.extend(&new);
        }
    }
    if let Some(first) = state.keys().next().cloned() {
        drop(store.drop_tree(&first).map_err(words)?);
        state.remove(&first);
    }
    store.flush().map_err(words)?;
    store.checkpoint().map_err(words)?;
    let store_files = disk.files();
    let parts = store_files.iter().filter(|file| file.kind == FileKind::Part).count() as u64;
    let named: u64 = store.trees().map_err(words)?.iter().map(|tree| tree.parts).sum();
    if parts != named {
        return Err(format!("{parts} parts are there and {named} are needed"));
    }
    store.clone().close().map_err(words)?;
    let again = Store::open(config(disk, setup)).map_err(words)?;
    let found = state_of(&again)?;
    if found != state {
        return Err(format!("after going on: {found:?}, not {state:?}"));
    }
    Ok(())
}

/// Runs one workload; returns how many images were opened.
fn run(seed: u64, steps: usize, defect: Option<Defect>) -> Outcome<u64> {
    let mut random = Random(seed);
    let setup = Setup::random(&mut random);
    let mut run = Run::new(setup, defect)?;
    let mut done = Ok(());
    for step in 0..steps {
        done = run.step(&mut random).map_err(|text| format!("step {step}: {text}"));
        if done.is_err() {
            break;
        }
    }
    run.disk.stop_after(0);
    drop(run.store.take());
    done.map(|()| run.images).map_err(|text| format!("seed {seed:#x}, {setup:?}: {text}"))
}

#[test]
fn after_a_power_cut_all_trees_are_as_they_were_at_one_point() {
    let first = crate::run::Run::of_this_process().seed * 1000 + 1;
    let (mut images, mut seeds) = (0, 0);
    for seed in (first..).take(usize::try_from(6 * scale()).unwrap()) {
        images += run(seed, 25, None).unwrap_or_else(|text| panic!("{text}"));
        seeds += 1;
    }
    println!("{seeds} workloads of several trees, {images} images, 0 findings");
    assert!(images > 1000, "{images}");
}

#[test]
fn defects_of_trees_are_found() {
    for defect in [
        Defect::BatchSplit,
        Defect::PartUnderAnotherTree,
        Defect::DropFreesEarly,
        Defect::PartNameNotSynced,
        Defect::LogReleasedEarly,
    ] {
        let found = (1..60).find_map(|seed| run(seed, 25, Some(defect)).err());
        println!("{defect:?}: {}", found.unwrap_or_else(|| panic!("{defect:?} is not found")));
    }
}
