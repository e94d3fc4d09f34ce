//! Single inserts by one thread that does not wait for durability.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;

use crate::commonware;
use crate::env::Env;
use crate::leaves;
use crate::measure::{Row, Who, interleave, more, side};
use crate::sides;

/// Times the inserts alone, and the inserts with the flush that makes the last of them durable.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let leaves = leaves::many(1, env.scaled(2_000_000, 1));
    let rate = |elapsed: std::time::Duration| Some(leaves.len() as f64 / elapsed.as_secs_f64());

    let duramen = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen(dir.path(), None)?;
        let start = Instant::now();
        for leaf in &leaves {
            black_box(store.insert(*leaf)?);
        }
        let inserted = start.elapsed();
        store.flush()?;
        let durable = start.elapsed();
        store.close()?;
        Ok(vec![rate(inserted), rate(durable)])
    });
    let rotortree = side(Who::Rotortree, || {
        let dir = env.fresh_dir()?;
        let tree = sides::rotor(dir.path(), true)?;
        let start = Instant::now();
        for leaf in &leaves {
            black_box(tree.insert(*leaf)?);
        }
        let inserted = start.elapsed();
        tree.flush()?;
        let durable = start.elapsed();
        tree.close()?;
        Ok(vec![rate(inserted), rate(durable)])
    });
    let mut sides = vec![duramen, rotortree];
    sides.extend(commonware::fresh(env, name, leaves.len() as u64));
    let metrics = [more("inserts_per_second"), more("inserts_per_second_with_final_flush")];
    interleave(env, name, &metrics, sides)
}
