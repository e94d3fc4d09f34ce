//! Opening a store whose leaves are all checkpointed.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::commonware;
use crate::env::Env;
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Who, interleave, less, side};
use crate::sides::{self, batches};

const BATCH: u64 = 100_000;

/// Times the opening and the root, at two sizes, with the page cache warm on both sides.
///
/// rotortree verifies what it opens by default, reading all of it; the second metric of each size
/// lets it skip that, which is less than duramen promises.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let pool = leaves::many(4, 10 * BATCH);
    let mut rows = at_size(
        env,
        name,
        &pool,
        env.scaled(8_000_000, BATCH),
        ["milliseconds", "milliseconds_if_rotortree_skips_verification"],
    )?;
    rows.extend(at_size(
        env,
        name,
        &pool,
        env.scaled(1_000_000, BATCH),
        ["milliseconds_1m_leaves", "milliseconds_1m_leaves_if_rotortree_skips_verification"],
    )?);
    Ok(rows)
}

fn at_size(
    env: &Env,
    name: &str,
    pool: &[Leaf],
    total: u64,
    metrics: [&'static str; 2],
) -> Result<Vec<Row>> {
    let (ours, theirs, third) = (env.fresh_dir()?, env.fresh_dir()?, env.fresh_dir()?);
    let store = sides::duramen(ours.path(), None)?;
    let tree = sides::rotor(theirs.path(), true)?;
    for batch in batches(pool, BATCH, total) {
        store.insert_many(batch)?;
        tree.insert_many(batch)?;
    }
    store.checkpoint()?;
    store.close()?;
    tree.checkpoint()?;
    tree.close()?;

    let duramen = side(Who::Duramen, || {
        let start = Instant::now();
        let store = sides::duramen(ours.path(), None)?;
        black_box(store.head()?);
        let elapsed = milliseconds(start);
        store.close()?;
        Ok(vec![elapsed, elapsed])
    });
    let rotortree = side(Who::Rotortree, || {
        Ok(vec![rotor(theirs.path(), true)?, rotor(theirs.path(), false)?])
    });
    let mut sides = vec![duramen, rotortree];
    if commonware::ENABLED {
        commonware::run("reopen-fill", third.path(), total)?;
        sides.push(side(Who::Commonware, || commonware::run("reopen", third.path(), total)));
    }
    interleave(env, name, &metrics.map(less), sides)
}

fn rotor(path: &Path, verify: bool) -> Result<Option<f64>> {
    let start = Instant::now();
    let tree = sides::rotor(path, verify)?;
    black_box(tree.root());
    let elapsed = milliseconds(start);
    tree.close()?;
    Ok(elapsed)
}

fn milliseconds(start: Instant) -> Option<f64> {
    Some(start.elapsed().as_secs_f64() * 1e3)
}
