//! Inserts that return only when they are durable, from many threads at once.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::commonware;
use crate::env::Env;
use crate::leaves::{Leaf, Random};
use crate::limit::device::WrittenFile;
use crate::limit::group_commit::GroupCommit;
use crate::measure::{Row, Sample, Who, interleave, less, more, percentile, side};
use crate::sides;

const FILE_BYTES: u64 = 64 << 20;
const BLOCK: usize = 4096;

/// Lets `threads` insert for two seconds and counts what became durable.
///
/// The limit is, for one thread, a block of 4 KiB overwritten and synced repeatedly; for more,
/// the smallest group commit that could do the work.
pub fn run(env: &Env, name: &str, threads: u64) -> Result<Vec<Row>> {
    let time = env.seconds(2.0);
    let duramen = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen(dir.path(), None)?;
        let sample = many_threads(threads, time, |leaf| {
            store.insert_durable(leaf)?;
            Ok(())
        });
        store.close()?;
        sample
    });
    let rotortree = side(Who::Rotortree, || {
        let dir = env.fresh_dir()?;
        let tree = sides::rotor(dir.path(), true)?;
        let sample = many_threads(threads, time, |leaf| {
            tree.insert_durable(leaf)?;
            Ok(())
        });
        tree.close()?;
        sample
    });
    let limit = side(Who::Limit, || {
        let dir = env.fresh_dir()?;
        let file = WrittenFile::create(&dir.path().join("file"), FILE_BYTES)?;
        if threads == 1 {
            overwrite(&file, time)
        } else {
            group_commit(&file, threads, time, |leaf| leaf)
        }
    });
    let metrics = [more("inserts_per_second"), less("p50_microseconds"), less("p99_microseconds")];
    let mut sides = vec![duramen, rotortree, limit];
    if threads == 1 {
        sides.extend(commonware::fresh(env, name, time.as_millis() as u64));
    }
    interleave(env, name, &metrics, sides)
}

/// Calls `insert` from every thread until the time is over.
pub fn many_threads(
    threads: u64,
    time: Duration,
    insert: impl Fn(Leaf) -> Result<()> + Sync,
) -> Result<Sample> {
    let barrier = Barrier::new(threads as usize + 1);
    let (start, results) = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let (barrier, insert) = (&barrier, &insert);
                scope.spawn(move || {
                    let mut random = Random::new(number);
                    barrier.wait();
                    one_thread(time, || insert(random.leaf()))
                })
            })
            .collect();
        barrier.wait();
        let start = Instant::now();
        let results: Vec<Result<Vec<u64>>> = running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
            .collect();
        (start, results)
    });
    let elapsed = start.elapsed();
    let mut latencies = Vec::new();
    for result in results {
        latencies.extend(result?);
    }
    Ok(sample(latencies, elapsed))
}

fn one_thread(time: Duration, mut insert: impl FnMut() -> Result<()>) -> Result<Vec<u64>> {
    let mut latencies = Vec::new();
    let begin = Instant::now();
    let mut before = begin;
    while before.duration_since(begin) < time {
        insert()?;
        let after = Instant::now();
        latencies.push(after.duration_since(before).as_nanos() as u64);
        before = after;
    }
    Ok(latencies)
}

fn sample(mut nanoseconds: Vec<u64>, elapsed: Duration) -> Sample {
    nanoseconds.sort_unstable();
    let rate = nanoseconds.len() as f64 / elapsed.as_secs_f64();
    let at = |p| percentile(&nanoseconds, p).map(|value| value / 1e3);
    vec![Some(rate), at(0.5), at(0.99)]
}

fn overwrite(file: &WrittenFile, time: Duration) -> Result<Sample> {
    let block = [0x5A; BLOCK];
    let mut at = 0;
    let start = Instant::now();
    let latencies = one_thread(time, || {
        at = file.overwrite(at, &block)?;
        Ok(())
    })?;
    Ok(sample(latencies, start.elapsed()))
}

/// The same with a [`GroupCommit`] of the `record` of each leaf.
pub fn group_commit<R: AsRef<[u8]>>(
    file: &WrittenFile,
    threads: u64,
    time: Duration,
    record: impl Fn(Leaf) -> R + Sync,
) -> Result<Sample> {
    let group = GroupCommit::default();
    thread::scope(|scope| {
        let writer = scope.spawn(|| group.write_until_stopped(file));
        let sample = many_threads(threads, time, |leaf| {
            group.submit(record(leaf).as_ref());
            Ok(())
        });
        group.stop();
        writer.join().unwrap_or_else(|_| Err(anyhow!("the writer panicked")))?;
        sample
    })
}
