//! The process that writes until it is killed. It says on its output which operations were accepted, and up to which one all
//! are durable.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use duramen::{
    CheckpointPolicy, Compact, CompactionPolicy, Config, DynAccumulator, Error, FlushPolicy,
    MarkPolicy, Store,
};
use testkit::random::Random;

use super::model::{ENTRIES, MARKS, Model, Operation, Seed, TREES, config, leaf};

/// How a store is opened. The policies follow from the seed.
pub(super) fn settings(dir: &Path, seed: u64) -> Result<Config> {
    let mut random = Random(seed);
    let flush = match random.below(3) {
        0 => FlushPolicy::Manual,
        1 => FlushPolicy::interval(std::time::Duration::from_millis(1))?,
        _ => FlushPolicy::interval(std::time::Duration::from_millis(20))?,
    };
    let checkpoint = match random.below(3) {
        0 => CheckpointPolicy::manual(),
        1 => CheckpointPolicy::manual().every_leaves(300)?,
        _ => CheckpointPolicy::manual().every_leaves(3000)?.small_parts(1),
    };
    let compaction = CompactionPolicy::tiered(random.pick(&[2, 4, 8]))?;
    let config = Config::new(dir).flush_policy(flush).checkpoint_policy(checkpoint);
    let config = config.compaction_policy(compaction).max_marks(MARKS);
    Ok(config.mark_policy(MarkPolicy::DropOldest))
}

/// The trees of a store, in the order of [`TREES`].
pub(super) fn trees(store: &Store) -> Result<Vec<DynAccumulator>> {
    let open = |at: usize| store.tree_dyn(TREES[at].0, config(at));
    Ok((0..TREES.len()).map(open).collect::<Result<_, Error>>()?)
}

/// What a writer is told: the seed of the chain, that of its settings, and the operations `[first, end)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) seed: u64,
    pub(super) settings: u64,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// Does operations on the store in `dir`, which has the leaves and marks of `model`, and closes it.
pub(super) fn write(dir: &Path, mut model: Model, task: Task) -> Result<()> {
    let store = Store::open(settings(dir, task.settings)?)?;
    let trees = trees(&store)?;
    let mut out = std::io::stdout().lock();
    let mut say = |what: char, number: u64| -> Result<()> {
        writeln!(out, "{what}{number}")?;
        Ok(out.flush()?)
    };
    say('d', task.first)?;
    for number in task.first..task.end {
        let operation = model.operation(task.seed, number);
        let durable = apply(&store, &trees, &operation)
            .with_context(|| format!("operation {number}: {operation:?}"))?;
        model.apply(&operation);
        say(if durable { 'd' } else { 'a' }, number + 1)?;
    }
    store.close()?;
    Ok(())
}

/// Does one operation. Returns whether everything so far is durable.
fn apply(store: &Store, trees: &[DynAccumulator], operation: &Operation) -> Result<bool> {
    match operation {
        Operation::Block(leaves, name) => {
            let mut batch = store.batch();
            for (at, leaves) in leaves.iter().enumerate() {
                if at == ENTRIES {
                    for entry in leaves {
                        batch.insert_entry(&trees[at], entry.as_slice())?;
                    }
                } else {
                    batch.insert_many(&trees[at], &hashes(at, leaves))?;
                }
            }
            batch.mark(name)?;
            drop(batch.commit()?);
        }
        Operation::Insert(ENTRIES, entries) => drop(trees[ENTRIES].insert_entries(entries)?),
        Operation::Insert(at, leaves) => drop(trees[*at].insert_many(&hashes(*at, leaves))?),
        Operation::RewindTo(name) => {
            store.rewind_to(name)?;
            return Ok(true);
        }
        Operation::Rewind(at, size) => {
            trees[*at].rewind(*size as u64)?;
            return Ok(true);
        }
        Operation::Flush => {
            store.flush()?;
            return Ok(true);
        }
        Operation::Checkpoint => {
            store.checkpoint()?;
            return Ok(true);
        }
        Operation::Compact => drop(store.compact(Compact::new().full(true))?),
    }
    Ok(false)
}

fn hashes(at: usize, seeds: &[Seed]) -> Vec<duramen::Hash> {
    seeds.iter().map(|seed| leaf(at, seed)).collect()
}
