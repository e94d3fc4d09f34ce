//! A checkpoint of leaves that came since the last one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaves, store};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use duramen::FlushPolicy;

fn checkpoint(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    group.sample_size(10);
    for count in [1_000, 100_000] {
        let batch = leaves(count);
        let (_dir, store) = store(FlushPolicy::Manual);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} leaves"), |bencher| {
            bencher.iter_batched(
                || {
                    store.insert_many(&batch).unwrap();
                    store.flush().unwrap();
                },
                |()| store.checkpoint().unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
