//! Inclusion proofs from a snapshot.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use duramen::Snapshot;
use rotortree::TreeSnapshot;

use crate::env::Env;
use crate::leaves::{self, Random};
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides::{self, ARITY, ROTOR_DEPTH, batches};

const BATCH: u64 = 100_000;
const PROOFS: u64 = 500_000;
/// So few leaves that all nodes of their proofs stay in the fastest cache.
const HOT: usize = 16;

/// Times proofs for a few leaves repeatedly and for random leaves, from memory and after a
/// checkpoint; every proof is
/// consumed where it lies, so that neither side copies it.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(8_000_000, BATCH);
    let (ours, theirs) = (env.fresh_dir()?, env.fresh_dir()?);
    let store = sides::duramen(ours.path(), None)?;
    let tree = sides::rotor(theirs.path(), true)?;
    let pool = leaves::many(5, 10 * BATCH);
    for batch in batches(&pool, BATCH, total) {
        store.insert_many(batch)?;
        tree.insert_many(batch)?;
    }
    let mut random = Random::new(6);
    let indexes: Vec<u64> = (0..env.scaled(PROOFS, 1)).map(|_| random.below(total)).collect();

    let in_memory = [less("nanoseconds_hot"), less("nanoseconds_random")];
    let mut rows = compare(env, name, in_memory, &indexes, &store.snapshot(), &tree.snapshot())?;
    store.checkpoint()?;
    tree.checkpoint()?;
    let mapped = [less("nanoseconds_hot_checkpointed"), less("nanoseconds_random_checkpointed")];
    rows.extend(compare(env, name, mapped, &indexes, &store.snapshot(), &tree.snapshot())?);
    store.close()?;
    tree.close()?;
    Ok(rows)
}

fn compare(
    env: &Env,
    name: &str,
    metrics: [crate::measure::Metric; 2],
    indexes: &[u64],
    ours: &Snapshot,
    theirs: &TreeSnapshot<ARITY, ROTOR_DEPTH>,
) -> Result<Vec<Row>> {
    let duramen = side(Who::Duramen, || {
        time(indexes, |index| {
            let proof = ours.prove(index);
            black_box(&proof);
            ensure!(proof.is_ok(), "duramen gives no proof of leaf {index}");
            Ok(())
        })
    });
    let rotortree = side(Who::Rotortree, || {
        time(indexes, |index| {
            let proof = theirs.generate_proof(index);
            black_box(&proof);
            ensure!(proof.is_ok(), "rotortree gives no proof of leaf {index}");
            Ok(())
        })
    });
    interleave(env, name, &metrics, vec![duramen, rotortree])
}

/// Nanoseconds per proof: hot, then random. Each is gone through once before it is timed.
fn time(indexes: &[u64], prove: impl Fn(u64) -> Result<()>) -> Result<Sample> {
    let few = &indexes[..HOT.min(indexes.len())];
    let mut sample = Vec::new();
    for all in [few, indexes] {
        for index in all {
            prove(*index)?;
        }
        let rounds = indexes.len() / all.len();
        let start = Instant::now();
        for _ in 0..rounds {
            for index in all {
                prove(*index)?;
            }
        }
        sample.push(Some(start.elapsed().as_nanos() as f64 / (rounds * all.len()) as f64));
    }
    Ok(sample)
}
