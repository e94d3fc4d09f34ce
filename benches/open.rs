//! Opening a checkpointed store, at two sizes: the time must not depend on them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::{config, directory, leaves};
use criterion::{Criterion, criterion_group, criterion_main};
use duramen::{Accumulator, FlushPolicy};

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for count in [10_000, 1_000_000] {
        let dir = directory();
        let config = config(dir.path(), FlushPolicy::Manual);
        let store: Accumulator = Accumulator::open(config.clone()).unwrap();
        store.insert_many(&leaves(count)).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
        group.bench_function(format!("{count} leaves"), |bencher| {
            bencher.iter(|| Accumulator::<duramen::Blake3, 4>::open(config.clone()).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, open);
criterion_main!(benches);
