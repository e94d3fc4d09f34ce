//! What is compared, one file per family.

mod batch_durable;
mod checkpoint_stall;
mod disk_bytes;
mod entries_batch;
mod entries_durable;
mod entries_memory;
mod entries_read;
mod find;
mod idle;
mod insert_and_root;
mod insert_durable;
mod memory_build;
mod memory_bytes;
mod proof;
mod proof_past;
mod reopen;
mod reorgs;
mod rewind;
mod single_insert;
mod store_blocks;
mod store_many_trees;
mod store_open;
mod sustained;
mod verify;

use std::path::Path;

use anyhow::{Result, bail};

use crate::env::Env;
use crate::measure::Row;

/// One comparison.
#[derive(Clone, Copy)]
pub struct Workload {
    /// What `--workload` calls it.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Measures it; it is given its own name.
    pub run: fn(&Env, &str) -> Result<Vec<Row>>,
}

/// Every workload, in the order of the table.
pub const ALL: &[Workload] = &[
    Workload {
        name: "single-insert",
        about: "2 M single inserts under Interval(10 ms), one thread, tokens dropped",
        run: single_insert::run,
    },
    Workload {
        name: "insert-and-root",
        about: "the same with the root asked for after every insert",
        run: insert_and_root::run,
    },
    Workload {
        name: "batch-durable",
        about: "16 M leaves in batches of 100 k under Interval(10 ms) to the last fsync and the \
                head, in a store that was filled and checkpointed before",
        run: batch_durable::warm,
    },
    Workload {
        name: "batch-durable-cold",
        about: "the same into a new store",
        run: batch_durable::cold,
    },
    Workload {
        name: "insert-durable-1",
        about: "inserts that return when durable, 1 thread",
        run: |env, name| insert_durable::run(env, name, 1),
    },
    Workload {
        name: "insert-durable-8",
        about: "the same from 8 threads",
        run: |env, name| insert_durable::run(env, name, 8),
    },
    Workload {
        name: "insert-durable-32",
        about: "the same from 32 threads",
        run: |env, name| insert_durable::run(env, name, 32),
    },
    Workload {
        name: "insert-durable-128",
        about: "the same from 128 threads",
        run: |env, name| insert_durable::run(env, name, 128),
    },
    Workload {
        name: "memory-build-2",
        about: "a tree of 4 M leaves in memory, arity 2, one batch, with its root",
        run: memory_build::run::<2, 64>,
    },
    Workload {
        name: "memory-build-4",
        about: "the same, arity 4",
        run: memory_build::run::<4, 128>,
    },
    Workload {
        name: "memory-build-8",
        about: "the same, arity 8",
        run: memory_build::run::<8, 256>,
    },
    Workload {
        name: "memory-build-16",
        about: "the same, arity 16",
        run: memory_build::run::<16, 512>,
    },
    Workload {
        name: "reopen",
        about: "opening a checkpointed store and asking for its root, 8 M leaves and 1 M leaves",
        run: reopen::run,
    },
    Workload {
        name: "proof",
        about: "inclusion proofs from a snapshot of 8 M leaves",
        run: proof::run,
    },
    Workload {
        name: "proof-past",
        about: "inclusion proofs of 8 M leaves at sizes of the past, beside current ones",
        run: proof_past::inclusion,
    },
    Workload {
        name: "consistency",
        about: "consistency proofs in 8 M leaves, to the current size and between past ones",
        run: proof_past::consistency,
    },
    Workload {
        name: "verify",
        about: "verification of inclusion proofs in a tree of 1 M leaves",
        run: verify::run,
    },
    Workload {
        name: "disk-bytes-per-leaf",
        about: "disk allocated by the log and by a checkpoint, 4 M leaves",
        run: disk_bytes::run,
    },
    Workload {
        name: "memory-bytes-per-leaf",
        about: "resident memory before and after a checkpoint, 8 M leaves, a process per side",
        run: memory_bytes::run,
    },
    Workload {
        name: "checkpoint-stall",
        about: "latency of inserts without a checkpoint, while 16 M leaves are checkpointed, and \
                while eight checkpoints are made and merged",
        run: checkpoint_stall::run,
    },
    Workload {
        name: "sustained",
        about: "100 M leaves in batches of 10 k with a checkpoint every 4 M, after 20 M, a process per side",
        run: sustained::run,
    },
    Workload {
        name: "store-blocks",
        about: "blocks of 3 trees x 1,000 leaves, each made durable by one flush: one store and a batch, \
                beside three instances of rotortree and three stores",
        run: store_blocks::run,
    },
    Workload {
        name: "store-many-trees",
        about: "blocks of 1,000 trees x 1 leaf in one batch and flush, beside one tree x 1,000 leaves",
        run: store_many_trees::run,
    },
    Workload {
        name: "store-open",
        about: "a store of 10,000 trees with a leaf each, opened and checkpointed, beside one tree of as many \
                leaves, a process per side",
        run: store_open::run,
    },
    Workload {
        name: "entries-batch",
        about: "1 M entries of 200 bytes in batches of 1,000, each inserted unless it is there, to the last fsync and \
                the root, in a log of as many",
        run: entries_batch::run,
    },
    Workload {
        name: "entries-durable-32",
        about: "entries of 200 bytes that are durable when the insert returns, from 32 threads, beside leaves alone",
        run: entries_durable::run,
    },
    Workload {
        name: "entries-read",
        about: "5 M entries of 200 bytes: one by its index from memory and from a part, and all as a stream",
        run: entries_read::run,
    },
    Workload {
        name: "entries-memory",
        about: "memory of an entry that is in no part yet, 2 M entries, a process per side",
        run: entries_memory::run,
    },
    Workload {
        name: "entries-stall",
        about: "checkpoint-stall with entries of 200 bytes, beside leaves alone of about as many bytes",
        run: checkpoint_stall::with_entries,
    },
    Workload {
        name: "find",
        about: "leaves by their hash among 50 M in the parts of a checkpoint every 4 M, with everything in memory and \
                with nothing, a process per run",
        run: find::several_parts,
    },
    Workload {
        name: "find-one-part",
        about: "the same with all leaves in one part",
        run: find::one_part,
    },
    Workload {
        name: "reorgs",
        about: "a chain of blocks of 1,000 leaves above 2 M, each durable, with 10 blocks given up every 50",
        run: reorgs::run,
    },
    Workload {
        name: "rewind",
        about: "rewinds of 1,000 leaves and of a tenth in a tree of 100 M leaves, and blocks with marks and without",
        run: rewind::run,
    },
    Workload {
        name: "idle",
        about: "wake-ups, writes and processor time of a store that nobody uses",
        run: idle::run,
    },
];

/// The workloads of these names, in the order of the table; all of them if no name is given.
pub fn choose(names: &[String]) -> Result<Vec<&'static Workload>> {
    for name in names {
        if !ALL.iter().any(|workload| workload.name == name) {
            let known: Vec<&str> = ALL.iter().map(|workload| workload.name).collect();
            bail!("there is no workload {name}; the workloads are {}", known.join(", "));
        }
    }
    Ok(ALL
        .iter()
        .filter(|workload| names.is_empty() || names.iter().any(|name| name == workload.name))
        .collect())
}

/// What a [`child`](crate::child) does: measures one side of a workload.
pub fn answer(question: &[String], dir: &Path) -> Result<()> {
    let [workload, side, numbers @ ..] = question else { bail!("a child needs a side") };
    let numbers: Vec<u64> = numbers.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    match (workload.as_str(), &numbers[..]) {
        ("memory-build", &[arity, leaves]) => memory_build::child(side, arity as usize, leaves),
        ("memory-bytes", &[leaves]) => memory_bytes::child(side, leaves, dir),
        ("sustained", &[leaves]) => sustained::child(side, leaves, dir),
        ("store-open", &[trees]) => store_open::child(side, trees, dir),
        ("entries-memory", &[total, indexed]) => {
            entries_memory::child(side, total, indexed == 1, dir)
        }
        ("find", &[leaves, seed]) => find::child(side, leaves, seed, dir),
        ("idle", &[milliseconds]) => idle::child(side, milliseconds, dir),
        _ => bail!("there is no child for {workload} with {} numbers", numbers.len()),
    }
}
