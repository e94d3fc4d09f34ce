//! Roots: after every insert, and of past sizes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaf, leaves, store};
use criterion::{Criterion, criterion_group, criterion_main};
use duramen::FlushPolicy;

const SIZE: u64 = 1_000_000;

fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    let (_dir, store) = store(FlushPolicy::default());
    store.insert_many(&leaves(SIZE)).unwrap();
    let mut next = SIZE;
    group.bench_function("after an insert", |bencher| {
        bencher.iter(|| {
            next += 1;
            store.insert(leaf(next)).unwrap();
            store.head().unwrap()
        });
    });
    let mut size = 0;
    group.bench_function("of a past size", |bencher| {
        bencher.iter(|| {
            size = (size + 7919) % SIZE;
            store.head_at(size).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, head);
criterion_main!(benches);
