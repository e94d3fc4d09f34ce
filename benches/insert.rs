//! Single inserts: visible only, and durable.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaf, store};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duramen::FlushPolicy;

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("insert");
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    let mut next = || {
        next += 1;
        leaf(next)
    };
    let (_dir, interval) = store(FlushPolicy::default());
    group.bench_function("interval", |bencher| {
        bencher.iter(|| interval.insert(next()).unwrap());
    });
    group.bench_function("durable, one thread", |bencher| {
        bencher.iter(|| interval.insert_durable(next()).unwrap());
    });
    group.finish();
}

criterion_group!(benches, insert);
criterion_main!(benches);
