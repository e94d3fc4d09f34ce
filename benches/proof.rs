//! Inclusion proofs: built from memory and from parts, now and for a past size, and verified.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaves, store};
use criterion::{Criterion, criterion_group, criterion_main};
use duramen::{Arity, Blake3, FlushPolicy, LeafIndex};

const SIZE: u64 = 1_000_000;

fn proof(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let (_dir, store) = store(FlushPolicy::Manual);
    let all = leaves(SIZE);
    store.insert_many(&all).unwrap();
    let mut index = 0;
    let mut next = move || {
        index = (index + 7919) % SIZE;
        index
    };
    for place in ["memory", "parts"] {
        if place == "parts" {
            store.checkpoint().unwrap();
        }
        let snapshot = store.snapshot();
        group.bench_function(format!("from {place}"), |bencher| {
            bencher.iter(|| snapshot.prove(next()).unwrap());
        });
        group.bench_function(format!("of a past size, from {place}"), |bencher| {
            bencher.iter(|| {
                let index = next();
                snapshot.prove_at(index, index + 1).unwrap()
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
