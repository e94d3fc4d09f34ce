//! What a rewind costs in a large tree, and what a mark adds to a block.

use std::time::Instant;

use anyhow::{Result, ensure};
use duramen::{Blake3, MarkPolicy};

use crate::env::Env;
use crate::leaves;
use crate::measure::{Row, Who, interleave, less, side};
use crate::sides::{self, ARITY, batches};

/// How many leaves come at a time.
const PIECE: u64 = 100_000;
/// How many blocks are timed with marks and without.
const BLOCKS: usize = 201;

/// Rewinds 1,000 leaves and a tenth of all, with most of them in parts. The limit is one fsync of as few bytes: that of a
/// leaf.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(100_000_000, 10 * PIECE);
    let pool = leaves::many(13, 4 * PIECE);
    let rewinds = || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen_marked(dir.path(), 1024, MarkPolicy::DropOldest)?;
        let tree = store.tree::<Blake3, ARITY>("main")?;
        for (at, piece) in batches(&pool, PIECE, total).enumerate() {
            drop(tree.insert_many(piece)?);
            if (at + 1).is_multiple_of(200) {
                store.checkpoint()?;
            }
        }
        store.flush()?;
        let mut sample = Vec::new();
        for (depth, times) in [(1_000, 21), (total / 10, 1)] {
            let mut found = Vec::new();
            for _ in 0..times {
                let size = tree.size().get();
                let begun = Instant::now();
                tree.rewind(size - depth)?;
                found.push(begun.elapsed().as_secs_f64() * 1e3);
                ensure!(tree.size().get() == size - depth, "another size");
            }
            sample.push(median(found));
        }
        for marked in [false, true] {
            let mut found = Vec::new();
            for number in 0..BLOCKS {
                let begun = Instant::now();
                let mut batch = store.batch();
                batch.insert_many(&tree, &pool[..1_000])?;
                if marked {
                    batch.mark(format!("{number}"))?;
                }
                batch.commit()?;
                store.flush()?;
                found.push(begun.elapsed().as_secs_f64() * 1e3);
            }
            sample.push(median(found));
        }
        Ok(sample)
    };
    let fsync = || {
        let dir = env.fresh_dir()?;
        let tree = sides::duramen(dir.path(), None)?;
        let mut found = Vec::new();
        for leaf in &pool[..BLOCKS] {
            let begun = Instant::now();
            drop(tree.insert(*leaf)?);
            tree.flush()?;
            found.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let one = median(found);
        Ok(vec![one, one, None, None])
    };
    let metrics = [
        less("milliseconds_of_a_rewind_of_1000_leaves"),
        less("milliseconds_of_a_rewind_of_a_tenth"),
        less("milliseconds_of_a_block"),
        less("milliseconds_of_a_block_with_a_mark"),
    ];
    interleave(env, name, &metrics, vec![side(Who::Duramen, rewinds), side(Who::Limit, fsync)])
}

fn median(mut found: Vec<f64>) -> Option<f64> {
    found.sort_by(f64::total_cmp);
    found.get(found.len() / 2).copied()
}
