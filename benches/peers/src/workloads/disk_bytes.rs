//! How much disk a leaf takes, in the log and in a checkpoint.

use std::path::Path;

use anyhow::Result;

use crate::env::{Env, allocated_bytes};
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides::{self, batches};

const BATCH: u64 = 100_000;

/// Counts what single inserts and batches write to the log, the blocks that the log has allocated
/// after them (with segments that are prepared before they are needed), and the blocks of the
/// checkpoint's files.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(4_000_000, BATCH);
    let leaves = leaves::many(9, total);
    let duramen = side(Who::Duramen, || {
        let (single, batch) = (env.fresh_dir()?, env.fresh_dir()?);
        Ok(duramen(single.path(), batch.path(), &leaves)?.per_leaf(total))
    });
    let rotortree = side(Who::Rotortree, || {
        let (single, batch) = (env.fresh_dir()?, env.fresh_dir()?);
        Ok(rotortree(single.path(), batch.path(), &leaves)?.per_leaf(total))
    });
    let metrics = [
        less("log_bytes_written_single_inserts"),
        less("log_bytes_written_batches"),
        less("log_bytes_single_inserts"),
        less("log_bytes_batches"),
        less("checkpoint_bytes"),
    ];
    interleave(env, name, &metrics, vec![duramen, rotortree])
}

/// Bytes, first after single inserts, then after batches.
struct Bytes {
    written: [u64; 2],
    allocated: [u64; 2],
    checkpoint: u64,
}

impl Bytes {
    fn per_leaf(&self, leaves: u64) -> Sample {
        let [a, b] = self.written;
        let [c, d] = self.allocated;
        [a, b, c, d, self.checkpoint].map(|bytes| Some(bytes as f64 / leaves as f64)).to_vec()
    }
}

fn duramen(single: &Path, batch: &Path, leaves: &[Leaf]) -> Result<Bytes> {
    let store = sides::duramen(single, Some(0))?;
    for leaf in leaves {
        store.insert(*leaf)?;
    }
    store.flush()?;
    let singles = (store.stats().wal_bytes_written, allocated_bytes(&single.join("wal"))?);
    store.close()?;

    let store = sides::duramen(batch, Some(0))?;
    for batch in batches(leaves, BATCH, leaves.len() as u64) {
        store.insert_many(batch)?;
    }
    store.flush()?;
    let batched = (store.stats().wal_bytes_written, allocated_bytes(&batch.join("wal"))?);
    store.checkpoint()?;
    let parts = allocated_bytes(&batch.join("parts"))? + allocated_bytes(&batch.join("manifest"))?;
    store.close()?;
    Ok(Bytes {
        written: [singles.0, batched.0],
        allocated: [singles.1, batched.1],
        checkpoint: parts,
    })
}

fn rotortree(single: &Path, batch: &Path, leaves: &[Leaf]) -> Result<Bytes> {
    let log = |dir: &Path| -> Result<(u64, u64)> {
        let file = dir.join("wal");
        Ok((std::fs::metadata(&file)?.len(), allocated_bytes(&file)?))
    };
    let tree = sides::rotor(single, true)?;
    for leaf in leaves {
        tree.insert(*leaf)?;
    }
    tree.flush()?;
    let singles = log(single)?;
    tree.close()?;

    let tree = sides::rotor(batch, true)?;
    for batch in batches(leaves, BATCH, leaves.len() as u64) {
        tree.insert_many(batch)?;
    }
    tree.flush()?;
    let batched = log(batch)?;
    tree.checkpoint()?;
    let checkpoint = allocated_bytes(&batch.join("data"))?;
    tree.close()?;
    Ok(Bytes { written: [singles.0, batched.0], allocated: [singles.1, batched.1], checkpoint })
}
