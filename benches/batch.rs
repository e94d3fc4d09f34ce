//! Batches up to the fsync that covers them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{leaves, store};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use duramen::{Blake3, FlushPolicy, MemoryAccumulator};

fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    group.sample_size(10);
    for count in [100, 10_000, 100_000] {
        let batch = leaves(count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("{count} durable"), |bencher| {
            let (_dir, store) = store(FlushPolicy::Manual);
            bencher.iter(|| {
                store.insert_many(&batch).unwrap();
                store.flush().unwrap();
            });
        });
        group.bench_function(format!("{count} in memory"), |bencher| {
            bencher.iter_batched_ref(
                MemoryAccumulator::<Blake3, 4>::new,
                |tree| tree.extend(&batch).unwrap(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, batch);
criterion_main!(benches);
