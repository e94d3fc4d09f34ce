//! The same damage to a small store of duramen and one of rotortree, and what each makes of it.
//!
//! `cargo run --release --manifest-path compat/rotortree/Cargo.toml --example damage [DIR]`
//! prints a table. DIR is where the stores lie while they are damaged, best in memory: /dev/shm.
//!
//! Every bit of every byte that is not zero is flipped and one bit of every other, every file is cut to every 16th length and taken away, and each
//! time the store is opened and asked for its size, its root and all leaves. Every opening is a process
//! of its own where it might be ended by a signal.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, FlushPolicy, Hash};
use rotortree::{Blake3Hasher, RotorTree, RotorTreeConfig, TieringConfig};

type Failure = Box<dyn Error + Send + Sync>;
type Files = BTreeMap<PathBuf, Vec<u8>>;

const ARITY: usize = 4;
const LEAVES: u64 = 150;
/// How many of them are in the checkpoint.
const CHECKPOINTED: u64 = 140;

fn leaf(index: u64) -> Hash {
    let mut leaf = [0xa5; 32];
    leaf[..8].copy_from_slice(&(index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    leaf
}

/// What a store says when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answers {
    root: Option<Hash>,
    leaves: Vec<Hash>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Duramen,
    Rotortree,
    /// Configured not to recompute the root of its checkpoint.
    RotortreeUnverified,
}

impl Who {
    const ALL: [Self; 3] = [Self::Duramen, Self::Rotortree, Self::RotortreeUnverified];

    fn name(self) -> &'static str {
        match self {
            Self::Duramen => "duramen",
            Self::Rotortree => "rotortree",
            Self::RotortreeUnverified => "rotortree, verify_checkpoint off",
        }
    }

    fn make(self, dir: &Path) -> Result<(), Failure> {
        let leaves: Vec<_> = (0..LEAVES).map(leaf).collect();
        let (first, second) = leaves.split_at(CHECKPOINTED as usize);
        match self {
            Self::Duramen => {
                let store = duramen(dir)?;
                store.insert_many(first)?;
                store.checkpoint()?;
                store.insert_many(second)?;
                store.flush()?;
                store.close()?;
            }
            Self::Rotortree | Self::RotortreeUnverified => {
                let store = rotortree(dir, true)?;
                store.insert_many(first)?;
                store.checkpoint()?;
                store.insert_many(second)?;
                store.flush()?;
                store.close()?;
            }
        }
        Ok(())
    }

    fn ask(self, dir: &Path) -> Result<Answers, Failure> {
        match self {
            Self::Duramen => {
                let store = duramen(dir)?;
                let head = store.head()?;
                Ok(Answers { root: Some(head.root), leaves: store.leaves(0..head.size.get())? })
            }
            Self::Rotortree | Self::RotortreeUnverified => {
                let store = rotortree(dir, self == Self::Rotortree)?;
                let snapshot = store.snapshot();
                let size = usize::try_from(snapshot.size())?;
                let mut leaves = Vec::new();
                for index in 0..size {
                    leaves.push(snapshot.get_node(0, index)?);
                }
                Ok(Answers { root: snapshot.root(), leaves })
            }
        }
    }
}

fn duramen(dir: &Path) -> duramen::Result<Accumulator<Blake3, ARITY>> {
    Accumulator::open(
        Config::new(dir)
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual())
            .wal_segment_bytes(16 << 10)?
            .wal_spare_bytes(0),
    )
}

fn rotortree(
    dir: &Path,
    verify: bool,
) -> Result<RotorTree<Blake3Hasher, ARITY, 32>, rotortree::RotorTreeError> {
    RotorTree::open(
        Blake3Hasher,
        RotorTreeConfig {
            path: dir.to_path_buf(),
            flush_policy: rotortree::FlushPolicy::Manual,
            checkpoint_policy: rotortree::CheckpointPolicy::Manual,
            tiering: TieringConfig::default(),
            verify_checkpoint: verify,
        },
    )
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Detected,
    Identical,
    /// Fewer leaves than were acknowledged, with a root that fits them, and no error.
    LeavesGone,
    /// A leaf or a root that was never there, and no error.
    Wrong,
    Panic,
    Killed,
}

impl Outcome {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Detected, "detected"),
        (Self::Identical, "identical"),
        (Self::LeavesGone, "leaves gone"),
        (Self::Wrong, "wrong answer"),
        (Self::Panic, "panic"),
        (Self::Killed, "signal"),
    ];

    fn of(who: Who, dir: &Path, expected: &Answers) -> Self {
        match catch_unwind(AssertUnwindSafe(|| who.ask(dir))) {
            Err(_) => Self::Panic,
            Ok(Err(_)) => Self::Detected,
            Ok(Ok(answers)) if answers == *expected => Self::Identical,
            Ok(Ok(answers)) => {
                let count = answers.leaves.len();
                let prefix = expected.leaves.get(..count) == Some(&answers.leaves[..]);
                let root = answers.root == root_of(&answers.leaves);
                if prefix && root { Self::LeavesGone } else { Self::Wrong }
            }
        }
    }

    /// In a process of its own, which a signal may end.
    fn of_process(who: Who, dir: &Path) -> Result<Self, Failure> {
        let number = Who::ALL.iter().position(|other| *other == who).unwrap_or(0);
        let output = Command::new(std::env::current_exe()?)
            .args(["--ask", &number.to_string()])
            .arg(dir)
            .output()?;
        let code = output.status.code().and_then(|code| usize::try_from(code).ok());
        Ok(code
            .and_then(|code| Some(Self::ALL.get(code.checked_sub(10)?)?.0))
            .unwrap_or(Self::Killed))
    }
}

fn root_of(leaves: &[Hash]) -> Option<Hash> {
    let mut tree = duramen::MemoryAccumulator::<Blake3, ARITY>::new();
    tree.extend(leaves).ok()?;
    (!leaves.is_empty()).then(|| tree.head().ok()).flatten().map(|head| head.root)
}

fn read(dir: &Path, files: &mut Files) -> Result<(), Failure> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, files)?;
        } else {
            files.insert(path.clone(), fs::read(&path)?);
        }
    }
    Ok(())
}

fn put_back(dir: &Path, files: &Files) -> Result<(), Failure> {
    let mut there = Files::new();
    read(dir, &mut there)?;
    for path in there.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(path)?;
    }
    for (path, bytes) in files {
        if there.get(path) != Some(bytes) {
            // A new file, so that nothing that is still mapped changes.
            let _ = fs::remove_file(path);
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}

type Counts = BTreeMap<Outcome, u64>;

fn table(who: Who, dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    who.make(dir)?;
    let expected = Answers { root: root_of(&all()), leaves: all() };
    let before = who.ask(dir)?;
    if before != expected {
        println!("{}: not even the undamaged store answers rightly", who.name());
    }
    let mut files = Files::new();
    read(dir, &mut files)?;
    let bytes: usize = files.values().map(Vec::len).sum();
    let some = files.values().flatten().filter(|byte| **byte != 0).count();
    println!("{}: {} files, {bytes} bytes, {some} of them not zero", who.name(), files.len());

    let (mut flips, mut cuts, mut gone) = (Counts::new(), Counts::new(), Counts::new());
    for (path, bytes) in &files {
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            if bytes[bit / 8] == 0 && bit / 8 % 8 != bit % 8 {
                continue;
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = fs::remove_file(path);
            fs::write(path, bytes)?;
            *flips.entry(Outcome::of(who, dir, &expected)).or_default() += 1;
            put_back(dir, &files)?;
        }
        for len in (0..bytes.len()).step_by(16) {
            let _ = fs::remove_file(path);
            fs::write(path, &bytes[..len])?;
            *cuts.entry(Outcome::of_process(who, dir)?).or_default() += 1;
            put_back(dir, &files)?;
        }
        fs::remove_file(path)?;
        *gone.entry(Outcome::of_process(who, dir)?).or_default() += 1;
        put_back(dir, &files)?;
    }
    for (what, counts) in [("flipped bits", flips), ("files cut", cuts), ("files gone", gone)] {
        let cells = Outcome::ALL.map(|(outcome, name)| {
            format!("{} {name}", counts.get(&outcome).copied().unwrap_or(0))
        });
        println!("  {what:<13} {}", cells.join(", "));
    }
    Ok(())
}

fn all() -> Vec<Hash> {
    (0..LEAVES).map(leaf).collect()
}

fn main() -> Result<(), Failure> {
    std::panic::set_hook(Box::new(|_| {}));
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [ask, who, dir] = &args[..]
        && ask == "--ask"
    {
        let who = Who::ALL[who.parse::<usize>()?];
        let expected = Answers { root: root_of(&all()), leaves: all() };
        let outcome = Outcome::of(who, Path::new(dir), &expected);
        let at = Outcome::ALL.iter().position(|(other, _)| *other == outcome).unwrap_or(0);
        std::process::exit(10 + i32::try_from(at)?);
    }
    let parent = args.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let parent = parent.join(format!("damage-{}", std::process::id()));
    for who in Who::ALL {
        let done = table(who, &parent.join(who.name().replace([' ', ','], "-")));
        let _ = fs::remove_dir_all(&parent);
        done?;
    }
    Ok(())
}
