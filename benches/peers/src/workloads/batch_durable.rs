//! Large batches, timed to the fsync that covers the last of them and the head over all.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::commonware;
use crate::env::Env;
use crate::leaves::{self, Leaf};
use crate::limit::device::WrittenFile;
use crate::measure::{Row, Who, interleave, more, side};
use crate::sides::{self, batches};

const BATCH: u64 = 100_000;
const POOL: u64 = 16 * BATCH;

/// Whether the store has been in use before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A new store.
    Nothing,
    /// Filled with as many leaves as are timed, and checkpointed: log segments exist already.
    FilledAndCheckpointed,
}

/// A store in use.
pub fn warm(env: &Env, name: &str) -> Result<Vec<Row>> {
    run(env, name, Before::FilledAndCheckpointed)
}

/// A new store.
pub fn cold(env: &Env, name: &str) -> Result<Vec<Row>> {
    run(env, name, Before::Nothing)
}

fn run(env: &Env, name: &str, before: Before) -> Result<Vec<Row>> {
    let total = env.scaled(16_000_000, BATCH);
    let pool = leaves::many(2, POOL);
    let rate = |elapsed: Duration| vec![Some(total as f64 / elapsed.as_secs_f64())];
    let last = std::cell::Cell::new(None);

    let duramen = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let (elapsed, root) = duramen(env, dir.path(), before, &pool, total)?;
        last.set(Some(root));
        Ok(rate(elapsed))
    });
    let rotortree = side(Who::Rotortree, || {
        let dir = env.fresh_dir()?;
        let (elapsed, root) = rotortree(env, dir.path(), before, &pool, total)?;
        ensure!(last.get().is_none_or(|ours| ours == root), "the sides disagree about the root");
        Ok(rate(elapsed))
    });
    let limit = side(Who::Limit, || {
        let dir = env.fresh_dir()?;
        let file = WrittenFile::create(&dir.path().join("file"), total * 32)?;
        let start = Instant::now();
        let mut at = 0;
        for batch in batches(&pool, BATCH, total) {
            at = file.overwrite(at, batch.as_flattened())?;
        }
        Ok(rate(start.elapsed()))
    });
    let mut sides = vec![duramen, rotortree, limit];
    sides.extend(commonware::fresh(env, name, total));
    interleave(env, name, &[more("leaves_per_second")], sides)
}

fn duramen(
    env: &Env,
    dir: &Path,
    before: Before,
    pool: &[Leaf],
    total: u64,
) -> Result<(Duration, Leaf)> {
    let spare = total * 32 + total * 32 / 8;
    let store = sides::duramen(dir, Some(spare))?;
    if before == Before::FilledAndCheckpointed {
        for batch in batches(pool, BATCH, total) {
            store.insert_many(batch)?;
        }
        store.checkpoint()?;
        env.settle()?;
    }
    let start = Instant::now();
    for batch in batches(pool, BATCH, total) {
        black_box(store.insert_many(batch)?);
    }
    store.flush()?;
    let head = black_box(store.head()?);
    let elapsed = start.elapsed();
    store.close()?;
    Ok((elapsed, head.root))
}

fn rotortree(
    env: &Env,
    dir: &Path,
    before: Before,
    pool: &[Leaf],
    total: u64,
) -> Result<(Duration, Leaf)> {
    let tree = sides::rotor(dir, true)?;
    let insert = |batch| tree.insert_many(batch);
    if before == Before::FilledAndCheckpointed {
        for batch in batches(pool, BATCH, total) {
            insert(batch)?;
        }
        tree.checkpoint()?;
        env.settle()?;
    }
    let start = Instant::now();
    for batch in batches(pool, BATCH, total) {
        black_box(insert(batch)?);
    }
    tree.flush()?;
    let root = black_box(tree.root());
    let elapsed = start.elapsed();
    tree.close()?;
    Ok((elapsed, root.ok_or_else(|| anyhow!("rotortree has no root"))?))
}
