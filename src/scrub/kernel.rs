//! Measures the speed of the hash function alone, on the same cores. The speed of a scrub is compared
//! with it.

use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::merkle::{Arity, Hash, Hasher};
use crate::sync::pool::pool;

/// Leaves of the tree that is hashed repeatedly, as a power of two. The tree stays in the cache.
const TREE_BITS: u32 = 12;
/// Trees hashed between two readings of the clock.
const BATCH: u64 = 1024;

/// How many leaves per second the hash function can process in trees of this arity, with all inner nodes
/// hashed. Uses the cores and threads of a scrub. The leaves are in the cache, and nothing is read or
/// compared. Takes about `time`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn kernel_rate(hasher: &dyn Hasher, arity: Arity, time: Duration) -> f64 {
    let bits = arity.bits() * (TREE_BITS / arity.bits());
    let leaves: Vec<Hash> = (0..1u64 << bits)
        .map(|index| {
            let mut leaf = [0x5a; 32];
            leaf[..8].copy_from_slice(&index.to_le_bytes());
            // Some hash functions accept only field elements.
            leaf[31] = 0;
            leaf
        })
        .collect();
    let tree = |buffers: &mut (Vec<Hash>, Vec<Hash>)| {
        let (nodes, parents) = buffers;
        nodes.clear();
        nodes.extend_from_slice(&leaves);
        while nodes.len() > 1 {
            parents.resize(nodes.len() >> arity.bits(), [0; 32]);
            hasher.nodes(arity, nodes, parents);
            std::mem::swap(nodes, parents);
        }
        std::hint::black_box(&nodes[0]);
    };
    let started = Instant::now();
    let mut trees = 0;
    let mut own = (Vec::new(), Vec::new());
    // A slow hash function needs no large batch to keep the threads busy.
    let mut batch = 8;
    while started.elapsed() < time {
        match pool() {
            Some(pool) => pool.install(|| {
                let threads = pool.current_num_threads() as u64;
                (0..threads).into_par_iter().for_each(|_| {
                    let mut buffers = (Vec::new(), Vec::new());
                    (0..batch / threads).for_each(|_| tree(&mut buffers));
                });
                batch = batch / threads * threads;
            }),
            None => (0..batch).for_each(|_| tree(&mut own)),
        }
        trees += batch;
        batch = if started.elapsed() < time / 8 { BATCH.min(batch * 2) } else { batch };
    }
    (trees << bits) as f64 / started.elapsed().as_secs_f64()
}
