//! How much disk a leaf takes, in the log and in a checkpoint.

use std::path::Path;

use anyhow::Result;

use crate::env::{Env, allocated_bytes};
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides::{self, batches};

const BATCH: u64 = 100_000;

/// Counts allocated blocks: of the log after single inserts, of the log after batches, and of the
/// checkpoint's files.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(4_000_000, BATCH);
    let leaves = leaves::many(9, total);
    let duramen = side(Who::Duramen, || {
        let (single, batch) = (env.fresh_dir()?, env.fresh_dir()?);
        duramen(single.path(), batch.path(), &leaves)
    });
    let rotortree = side(Who::Rotortree, || {
        let (single, batch) = (env.fresh_dir()?, env.fresh_dir()?);
        rotortree(single.path(), batch.path(), &leaves)
    });
    let metrics =
        [less("log_bytes_single_inserts"), less("log_bytes_batches"), less("checkpoint_bytes")];
    interleave(env, name, &metrics, vec![duramen, rotortree])
}

fn per_leaf(bytes: u64, leaves: &[Leaf]) -> Option<f64> {
    Some(bytes as f64 / leaves.len() as f64)
}

fn duramen(single: &Path, batch: &Path, leaves: &[Leaf]) -> Result<Sample> {
    let store = sides::duramen(single, Some(0))?;
    for leaf in leaves {
        store.insert(*leaf)?;
    }
    store.flush()?;
    let log_of_singles = allocated_bytes(&single.join("wal"))?;
    store.close()?;

    let store = sides::duramen(batch, Some(0))?;
    for batch in batches(leaves, BATCH, leaves.len() as u64) {
        store.insert_many(batch)?;
    }
    store.flush()?;
    let log_of_batches = allocated_bytes(&batch.join("wal"))?;
    store.checkpoint()?;
    let parts = allocated_bytes(&batch.join("parts"))? + allocated_bytes(&batch.join("manifest"))?;
    store.close()?;
    Ok([log_of_singles, log_of_batches, parts].map(|bytes| per_leaf(bytes, leaves)).to_vec())
}

fn rotortree(single: &Path, batch: &Path, leaves: &[Leaf]) -> Result<Sample> {
    let tree = sides::rotor(single, true)?;
    for leaf in leaves {
        tree.insert(*leaf)?;
    }
    tree.flush()?;
    let log_of_singles = allocated_bytes(&single.join("wal"))?;
    tree.close()?;

    let tree = sides::rotor(batch, true)?;
    for batch in batches(leaves, BATCH, leaves.len() as u64) {
        tree.insert_many(batch)?;
    }
    tree.flush()?;
    let log_of_batches = allocated_bytes(&batch.join("wal"))?;
    tree.checkpoint()?;
    let data = allocated_bytes(&batch.join("data"))?;
    tree.close()?;
    Ok([log_of_singles, log_of_batches, data].map(|bytes| per_leaf(bytes, leaves)).to_vec())
}
