//! One leaf for each of many trees, beside as many leaves for one tree.

use std::time::Instant;

use anyhow::Result;
use duramen::Blake3;

use crate::env::Env;
use crate::leaves;
use crate::measure::{Row, Who, interleave, less, more, side};
use crate::sides::{self, ARITY, batches};

/// Times blocks, each of which is one batch and one flush, and counts the bytes of log that a block takes. The trees
/// are there before.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let trees = env.scaled(1_000, 1);
    let blocks = env.scaled(400, 1);
    let pool = leaves::many(12, 16 * trees);
    let measure = |count: u64| {
        let dir = env.fresh_dir()?;
        let store = sides::duramen_store(dir.path())?;
        let handles = (0..count)
            .map(|number| Ok(store.tree::<Blake3, ARITY>(format!("account-{number}"))?))
            .collect::<Result<Vec<_>>>()?;
        store.checkpoint()?;
        let log = store.stats().wal_bytes_written;
        env.settle()?;
        let each = (trees / count) as usize;
        let start = Instant::now();
        for leaves in batches(&pool, trees, blocks * trees) {
            let mut batch = store.batch();
            for (tree, leaves) in handles.iter().zip(leaves.chunks(each)) {
                batch.insert_many(tree, leaves)?;
            }
            batch.commit()?;
            store.flush()?;
        }
        let elapsed = start.elapsed();
        let log = store.stats().wal_bytes_written - log;
        store.close()?;
        Ok(vec![Some(blocks as f64 / elapsed.as_secs_f64()), Some(log as f64 / blocks as f64)])
    };
    let sides = vec![side(Who::Duramen, || measure(trees)), side(Who::OneTree, || measure(1))];
    let metrics = [more("blocks_per_second"), less("log_bytes_per_block")];
    interleave(env, name, &metrics, sides)
}
