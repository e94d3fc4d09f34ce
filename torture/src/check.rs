//! Whether a store that is left has what it must have.

use std::path::Path;

use anyhow::{Context, Result, bail};
use duramen::{Accumulator, Blake3, CheckpointPolicy, Config, Error, FlushPolicy, Hash};

use testkit::reference::{BLAKE3, siblings};

pub(crate) const ARITY: usize = 4;
type Store = Accumulator<Blake3, ARITY>;

/// The leaf at `index`, the same for every submitter.
pub(crate) fn leaf(index: u64) -> Hash {
    blake3::hash(&index.to_le_bytes()).into()
}

/// What may be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) acked: u64,
    pub(crate) submitted: u64,
}

/// Opens the store and compares everything with the reference; returns its size.
pub(crate) fn check(dir: &Path, bounds: Bounds) -> Result<u64> {
    if let Some(size) = look(dir, bounds)? {
        return Ok(size);
    }
    if bounds.acked == 0 {
        Ok(0)
    } else {
        bail!("no store, {} leaves were acknowledged", bounds.acked)
    }
}

/// As [`check`]; nothing if there is no store.
fn look(dir: &Path, Bounds { acked, submitted }: Bounds) -> Result<Option<u64>> {
    let config = Config::new(dir)
        .create(false)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let store = match Store::open(config) {
        Ok(store) => store,
        Err(Error::NoStore { .. }) => return Ok(None),
        Err(error) => return Err(error).context("the store does not open"),
    };
    let head = store.head()?;
    let size = head.size.get();
    if size < acked || size > submitted {
        let report = store.recovery();
        bail!("{size} leaves; {acked} were acknowledged, {submitted} submitted; {report}");
    }
    let leaves = store.leaves(0..size)?;
    let expected: Vec<_> = (0..size).map(leaf).collect();
    if let Some(at) = (0..leaves.len()).find(|at| leaves[*at] != expected[*at]) {
        bail!("leaf {at} of {size} is another one");
    }
    let levels = BLAKE3.levels(ARITY, &leaves);
    let root = if size == 0 { (BLAKE3.empty)() } else { levels[levels.len() - 1][0] };
    if head.root != root {
        bail!("a wrong root of {size} leaves");
    }
    for index in [0, size / 2, size.saturating_sub(1)].into_iter().filter(|index| *index < size) {
        let at = usize::try_from(index)?;
        if store.prove(index)?.siblings() != siblings(ARITY, &levels, at) {
            bail!("a wrong proof of leaf {index} of {size}");
        }
    }
    store.close()?;
    Ok(Some(size))
}
