//! The hash kernels: what everything else is measured against.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark may panic")]

mod common;

use common::leaves;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use duramen::{Arity, Blake3, Hasher, Rfc6962Sha256};

const PARENTS: usize = 1024;

fn hash(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash");
    group.throughput(Throughput::Elements(PARENTS as u64));
    let hashers: [&dyn Hasher; 2] = [&Blake3, &Rfc6962Sha256];
    for hasher in hashers {
        for arity in Arity::ALL {
            let children = leaves((PARENTS * arity.children()) as u64);
            let mut parents = vec![[0; 32]; PARENTS];
            group.bench_function(format!("{} nodes of {arity}", hasher.id()), |bencher| {
                bencher.iter(|| hasher.nodes(arity, &children, &mut parents));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, hash);
criterion_main!(benches);
