//! Single inserts by one thread that wants the new root each time: what rotortree's insert always
//! computes.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::commonware;
use crate::env::Env;
use crate::leaves;
use crate::measure::{Row, Who, interleave, more, side};
use crate::sides;

/// Times an insert and its root, and checks that both sides end with the same one.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let leaves = leaves::many(1, env.scaled(2_000_000, 1));
    let rate = |elapsed: std::time::Duration| Some(leaves.len() as f64 / elapsed.as_secs_f64());
    let last = std::cell::Cell::new(None);

    let duramen = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen(dir.path(), None)?;
        let mut root = [0; 32];
        let start = Instant::now();
        for leaf in &leaves {
            black_box(store.insert(*leaf)?);
            root = black_box(store.head()?).root;
        }
        let elapsed = start.elapsed();
        last.set(Some(root));
        store.close()?;
        Ok(vec![rate(elapsed)])
    });
    let rotortree = side(Who::Rotortree, || {
        let dir = env.fresh_dir()?;
        let tree = sides::rotor(dir.path(), true)?;
        let mut root = [0; 32];
        let start = Instant::now();
        for leaf in &leaves {
            let (now, token) = tree.insert(*leaf)?;
            root = black_box((now, token)).0;
        }
        let elapsed = start.elapsed();
        ensure!(last.get().is_none_or(|ours| ours == root), "the sides disagree about the root");
        tree.close()?;
        Ok(vec![rate(elapsed)])
    });
    let mut sides = vec![duramen, rotortree];
    sides.extend(commonware::fresh(env, name, leaves.len() as u64));
    interleave(env, name, &[more("inserts_per_second")], sides)
}
