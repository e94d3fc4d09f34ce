//! Proofs at sizes of the past, and consistency proofs, beside proofs at the current size.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use duramen::Snapshot;

use crate::env::Env;
use crate::leaves::{self, Random};
use crate::measure::{Metric, Row, Who, interleave, less, side};
use crate::sides::{self, batches};

const BATCH: u64 = 100_000;
const PROOFS: u64 = 300_000;
/// Published heads that are asked for repeatedly.
const HEADS: u64 = 16;

/// Nanoseconds per inclusion proof of a random leaf: at the current size, at sizes that differ from
/// call to call, at a few heads. rotortree has no proofs at past sizes.
pub fn inclusion(env: &Env, name: &str) -> Result<Vec<Row>> {
    let metrics = [
        less("nanoseconds_current"),
        less("nanoseconds_past"),
        less("nanoseconds_past_16_heads"),
        less("past_to_current"),
    ];
    compare(env, name, &metrics, |snapshot, calls| {
        let total = snapshot.size().get();
        let current = time(calls, |random| made(&snapshot.prove(random.below(total))))?;
        let past = time(calls, |random| {
            let size = random.below(total) + 1;
            made(&snapshot.prove_at(random.below(size), size))
        })?;
        let heads = time(calls, |random| {
            let size = total / 2 + 7_777 * random.below(HEADS).min(total / 20_000);
            made(&snapshot.prove_at(random.below(size), size))
        })?;
        Ok([current, past, heads, past / current])
    })
}

/// Nanoseconds per consistency proof from a random size: to the current size, to sizes that differ
/// from call to call, to a few heads. rotortree has no consistency proofs.
pub fn consistency(env: &Env, name: &str) -> Result<Vec<Row>> {
    let metrics = [
        less("nanoseconds_to_current"),
        less("nanoseconds_to_past"),
        less("nanoseconds_to_past_16_heads"),
        less("past_to_current"),
    ];
    compare(env, name, &metrics, |snapshot, calls| {
        let total = snapshot.size().get();
        let current = time(calls, |random| made(&snapshot.prove_consistency(random.below(total))))?;
        let past = time(calls, |random| {
            let new = random.below(total) + 1;
            made(&snapshot.prove_consistency_between(random.below(new), new))
        })?;
        let heads = time(calls, |random| {
            let new = total / 2 + 7_777 * random.below(HEADS).min(total / 20_000);
            made(&snapshot.prove_consistency_between(random.below(new), new))
        })?;
        Ok([current, past, heads, past / current])
    })
}

fn compare(
    env: &Env,
    name: &str,
    metrics: &[Metric],
    measure: impl Fn(&Snapshot, u64) -> Result<[f64; 4]>,
) -> Result<Vec<Row>> {
    let total = env.scaled(8_000_000, BATCH);
    let dir = env.fresh_dir()?;
    let store = sides::duramen(dir.path(), None)?;
    let pool = leaves::many(11, 10 * BATCH);
    for batch in batches(&pool, BATCH, total) {
        store.insert_many(batch)?;
    }
    store.checkpoint()?;
    let snapshot = store.snapshot();
    snapshot.head()?;
    let calls = env.scaled(PROOFS, 1);
    let duramen =
        side(Who::Duramen, || Ok(measure(&snapshot, calls)?.into_iter().map(Some).collect()));
    let rows = interleave(env, name, metrics, vec![duramen])?;
    drop(snapshot);
    store.close()?;
    Ok(rows)
}

/// Whether there is a proof, which is consumed where it lies.
fn made<T>(proof: &duramen::Result<T>) -> bool {
    black_box(proof).is_ok()
}

/// Nanoseconds per call, after as many that are not timed.
fn time(calls: u64, prove: impl Fn(&mut Random) -> bool) -> Result<f64> {
    let mut random = Random::new(12);
    for _ in 0..calls {
        ensure!(prove(&mut random), "duramen gives no proof");
    }
    let start = Instant::now();
    for _ in 0..calls {
        black_box(prove(&mut random));
    }
    Ok(start.elapsed().as_nanos() as f64 / calls as f64)
}
