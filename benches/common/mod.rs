//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark uses its own part")]

use duramen::{Accumulator, CheckpointPolicy, Config, FlushPolicy, Hash};

/// Distinct leaves.
pub(crate) fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(leaf).collect()
}

/// The leaf of one index.
pub(crate) fn leaf(index: u64) -> Hash {
    let mut leaf = [0; 32];
    leaf[..8].copy_from_slice(&index.to_le_bytes());
    leaf
}

/// An empty store on the disk that holds the build, without automatic checkpoints.
pub(crate) fn store(policy: FlushPolicy) -> (tempfile::TempDir, Accumulator) {
    let dir = directory();
    let store = Accumulator::open(config(dir.path(), policy)).expect("the store opens");
    (dir, store)
}

/// A directory on the disk that holds the build, removed when dropped.
pub(crate) fn directory() -> tempfile::TempDir {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    std::fs::create_dir_all(&target).expect("the target directory exists");
    tempfile::tempdir_in(target).expect("a directory can be made")
}

/// The configuration of [`store`].
pub(crate) fn config(path: &std::path::Path, policy: FlushPolicy) -> Config {
    Config::new(path).flush_policy(policy).checkpoint_policy(CheckpointPolicy::manual())
}
