//! A whole tree in memory from one batch.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use duramen::{Blake3, MemoryAccumulator};
use rotortree::{Blake3Hasher, LeanIMT};

use crate::commonware;
use crate::env::Env;
use crate::leaves;
use crate::limit::kernel::{self, Levels};
use crate::measure::{Row, Who, interleave, more, side};

const MAX_DEPTH: usize = 32;

/// Times one batch and its root, from nothing. `LEN` is the length of `N` children in bytes.
///
/// The limit hashes the same complete nodes on all cores into memory that exists already.
pub fn run<const N: usize, const LEN: usize>(env: &Env, name: &str) -> Result<Vec<Row>> {
    const { assert!(LEN == N * 32) };
    kernel::check::<LEN>()?;
    let leaves = leaves::many(3, env.scaled(4_000_000, 1));
    let rate = |start: Instant| vec![Some(leaves.len() as f64 / start.elapsed().as_secs_f64())];
    let last = std::cell::Cell::new(None);
    let mut levels = Levels::<LEN>::for_leaves(leaves.len());
    rayon::broadcast(|_| {});

    let duramen = side(Who::Duramen, || {
        let start = Instant::now();
        let mut tree = MemoryAccumulator::<Blake3, N>::new();
        tree.extend(&leaves)?;
        let head = black_box(tree.head()?);
        let sample = rate(start);
        last.set(Some(head.root));
        Ok(sample)
    });
    let rotortree = side(Who::Rotortree, || {
        let start = Instant::now();
        let mut tree = LeanIMT::<Blake3Hasher, N, MAX_DEPTH>::new(Blake3Hasher);
        let root = tree.insert_many(&leaves)?;
        let root = black_box(root);
        let sample = rate(start);
        ensure!(last.get().is_none_or(|ours| ours == root), "the sides disagree about the root");
        Ok(sample)
    });
    let limit = side(Who::Limit, || {
        let start = Instant::now();
        black_box(levels.hash(&leaves));
        Ok(rate(start))
    });
    let mut sides = vec![duramen, rotortree, limit];
    if N == 2 {
        sides.extend(commonware::fresh(env, name, leaves.len() as u64));
    }
    interleave(env, name, &[more("leaves_per_second")], sides)
}
