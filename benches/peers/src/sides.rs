//! How each side is opened: the same policies, each at its own defaults otherwise.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, FlushPolicy, MarkPolicy, Store};
use rotortree::{Blake3Hasher, RotorTree, RotorTreeConfig, TieringConfig};

use crate::leaves::Leaf;

/// How often an idle writer flushes, on both sides.
pub const INTERVAL: Duration = Duration::from_millis(10);

/// The arity of all workloads that do not name one.
pub const ARITY: usize = 4;

/// rotortree's bound on the depth of a tree: its documentation's choice for this arity.
pub const ROTOR_DEPTH: usize = 20;

/// duramen under `Interval`, with checkpoints only when asked for.
pub type Duramen = Accumulator<Blake3, ARITY>;

/// rotortree under `Interval`, with checkpoints only when asked for.
pub type Rotor = RotorTree<Blake3Hasher, ARITY, ROTOR_DEPTH>;

/// Opens duramen. `spare` is how many bytes of used log segments it keeps for the next writes; none
/// given leaves the default.
pub fn duramen(path: &Path, spare: Option<u64>) -> Result<Duramen> {
    let mut config = Config::new(path)
        .flush_policy(FlushPolicy::interval(INTERVAL)?)
        .checkpoint_policy(CheckpointPolicy::manual());
    if let Some(bytes) = spare {
        config = config.wal_spare_bytes(bytes);
    }
    Ok(Accumulator::open(config)?)
}

/// Opens a duramen store of several trees under the same policies.
pub fn duramen_store(path: &Path) -> Result<Store> {
    Ok(Store::open(
        Config::new(path)
            .flush_policy(FlushPolicy::interval(INTERVAL)?)
            .checkpoint_policy(CheckpointPolicy::manual()),
    )?)
}

/// Opens a duramen store that has at most so many marks, under the same policies.
pub fn duramen_marked(path: &Path, marks: usize, policy: MarkPolicy) -> Result<Store> {
    let config = Config::new(path).flush_policy(FlushPolicy::interval(INTERVAL)?);
    let config = config.checkpoint_policy(CheckpointPolicy::manual());
    Ok(Store::open(config.max_marks(marks).mark_policy(policy))?)
}

/// After how many leaves a store that checkpoints by itself does so.
pub const CHECKPOINT_EVERY: u64 = 4_000_000;

/// Opens duramen so that it makes a checkpoint every [`CHECKPOINT_EVERY`] leaves.
pub fn duramen_with_checkpoints(path: &Path) -> Result<Duramen> {
    let policy = CheckpointPolicy::manual().every_leaves(CHECKPOINT_EVERY)?;
    let config =
        Config::new(path).flush_policy(FlushPolicy::interval(INTERVAL)?).checkpoint_policy(policy);
    Ok(Accumulator::open(config)?)
}

/// Opens rotortree so that it makes a checkpoint every so many calls of an insert.
pub fn rotor_with_checkpoints(path: &Path, calls: u64) -> Result<Rotor> {
    let config = RotorTreeConfig {
        path: path.to_path_buf(),
        flush_policy: rotortree::FlushPolicy::Interval(INTERVAL),
        checkpoint_policy: rotortree::CheckpointPolicy::EveryNEntries(calls),
        tiering: TieringConfig::default(),
        verify_checkpoint: true,
    };
    Ok(RotorTree::open(Blake3Hasher, config)?)
}

/// Opens rotortree. With `verify` it recomputes its checkpoint's root, its own default.
pub fn rotor(path: &Path, verify: bool) -> Result<Rotor> {
    let config = RotorTreeConfig {
        path: path.to_path_buf(),
        flush_policy: rotortree::FlushPolicy::Interval(INTERVAL),
        checkpoint_policy: rotortree::CheckpointPolicy::Manual,
        tiering: TieringConfig::default(),
        verify_checkpoint: verify,
    };
    Ok(RotorTree::open(Blake3Hasher, config)?)
}

/// Batches of leaves, taken round and round from a pool so that the source stays small.
pub fn batches(pool: &[Leaf], batch: u64, total: u64) -> impl Iterator<Item = &[Leaf]> {
    let chunks = pool.chunks_exact(batch as usize);
    chunks.cycle().take((total / batch) as usize)
}
