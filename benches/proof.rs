//! Proofs from memory and from parts: at the current size, at past sizes that differ from call to
//! call, at a few past sizes repeatedly; and verification.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaves, store};
use criterion::{Criterion, criterion_group, criterion_main};
use duramen::{Arity, Blake3, FlushPolicy, LeafIndex};

const SIZE: u64 = 1_000_000;
/// Published heads that many people ask for.
const HEADS: u64 = 16;

/// The next of an endless stream of pseudo-random numbers below `bound`.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

fn proof(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let (_dir, store) = store(FlushPolicy::Manual);
    let all = leaves(SIZE);
    store.insert_many(&all).unwrap();
    let mut state = 1;
    let mut random = move |bound| below(&mut state, bound);
    for place in ["memory", "parts"] {
        if place == "parts" {
            store.checkpoint().unwrap();
        }
        let snapshot = store.snapshot();
        group.bench_function(format!("inclusion, from {place}"), |bencher| {
            bencher.iter(|| snapshot.prove(random(SIZE)).unwrap());
        });
        group.bench_function(format!("inclusion at past sizes, from {place}"), |bencher| {
            bencher.iter(|| {
                let size = random(SIZE) + 1;
                snapshot.prove_at(random(size), size).unwrap()
            });
        });
        group.bench_function(format!("inclusion at 16 past sizes, from {place}"), |bencher| {
            bencher.iter(|| {
                let size = SIZE / 2 + 7777 * random(HEADS);
                snapshot.prove_at(random(size), size).unwrap()
            });
        });
        group.bench_function(format!("consistency, from {place}"), |bencher| {
            bencher.iter(|| snapshot.prove_consistency(random(SIZE)).unwrap());
        });
        group.bench_function(format!("consistency of past sizes, from {place}"), |bencher| {
            bencher.iter(|| {
                let new = random(SIZE) + 1;
                snapshot.prove_consistency_between(random(new), new).unwrap()
            });
        });
    }
    let snapshot = store.snapshot();
    let (head, proof) = (snapshot.head().unwrap(), snapshot.prove(77).unwrap());
    group.bench_function("verify", |bencher| {
        bencher.iter(|| proof.verify(&Blake3, Arity::Four, &head, LeafIndex(77), &all[77]));
    });
    group.finish();
}

criterion_group!(benches, proof);
criterion_main!(benches);
