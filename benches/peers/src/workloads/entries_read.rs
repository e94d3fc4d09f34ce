//! Reading entries: one by its index, and all in order.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::entries::{BATCH, Batch, LEN};
use crate::env::Env;
use crate::leaves::Random;
use crate::measure::{Row, Sample, Who, interleave, less, more, side};
use crate::sides;
use duramen::{Arity, Blake3, EntryConfig, Snapshot, TreeConfig};

const READS: u64 = 1_000_000;
/// So few entries that they stay in the fastest cache.
const HOT: usize = 16;

/// Reads entries of 200 bytes from a part that is mapped and in memory: random ones, 16 in turn, and all of them as a
/// stream, whose bytes are added up. The limit adds up the bytes of a vector as long.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(5_000_000, BATCH);
    let dir = env.fresh_dir()?;
    let store = sides::duramen_store(dir.path())?;
    let blake3 = std::sync::Arc::new(Blake3);
    let kept = TreeConfig::new(blake3, Arity::Four).entries(EntryConfig::new());
    let log = store.tree_dyn("log", kept)?;
    let mut batch = Batch::new();
    for first in (0..total).step_by(BATCH as usize) {
        log.insert_entries(&batch.from(first))?;
    }
    let mut random = Random::new(6);
    let indexes: Vec<u64> = (0..env.scaled(READS, 1)).map(|_| random.below(total)).collect();
    let snapshot = log.snapshot();
    let metrics = [less("nanoseconds_hot"), less("nanoseconds_random")];
    let one = |snapshot: &Snapshot| time(&indexes, |index| Ok(first_word(&snapshot.entry(index)?)));
    let mut rows = interleave(env, name, &metrics, vec![side(Who::Duramen, || one(&snapshot))])?;
    drop(snapshot);
    log.checkpoint()?;

    let snapshot = log.snapshot();
    let streamed = stream(&snapshot, total)?;
    let bytes: Vec<u8> = vec![0xA5; (total as usize) * LEN];
    let metrics = [
        less("nanoseconds_hot_checkpointed"),
        less("nanoseconds_random_checkpointed"),
        more("stream_bytes_per_second"),
        more("runs_bytes_per_second"),
        more("iterator_bytes_per_second"),
    ];
    let rate = |start: Instant| Some((total * LEN as u64) as f64 / start.elapsed().as_secs_f64());
    let duramen = side(Who::Duramen, || {
        let mut sample = one(&snapshot)?;
        let start = Instant::now();
        ensure!(stream(&snapshot, total)? == streamed, "the entries have changed");
        sample.push(rate(start));
        let start = Instant::now();
        let mut all = 0u64;
        for run in snapshot.entries(0..total)?.runs() {
            for (_, entry) in &run? {
                all = all.wrapping_add(sum(entry));
            }
        }
        sample.push(rate(start));
        ensure!(all == streamed, "the entries have changed");
        let start = Instant::now();
        let mut all = 0u64;
        for entry in snapshot.entries(0..total)? {
            all = all.wrapping_add(sum(&entry?));
        }
        sample.push(rate(start));
        ensure!(all == streamed, "the entries have changed");
        Ok(sample)
    });
    let limit = side(Who::Limit, || {
        let start = Instant::now();
        black_box(bytes.chunks_exact(LEN).fold(0, |all: u64, entry| all.wrapping_add(sum(entry))));
        let rate = rate(start);
        Ok(vec![None, None, rate, rate, rate])
    });
    rows.extend(interleave(env, name, &metrics, vec![duramen, limit])?);
    drop((snapshot, log));
    store.close()?;
    Ok(rows)
}

/// The sum over all bytes of all entries, in words.
fn stream(snapshot: &Snapshot, total: u64) -> Result<u64> {
    let mut all = 0u64;
    let done = snapshot.entries(0..total)?.try_visit(|_, entry| {
        all = all.wrapping_add(sum(entry));
        ControlFlow::<()>::Continue(())
    })?;
    ensure!(done.is_continue(), "the stream has ended early");
    Ok(all)
}

#[inline]
fn sum(entry: &[u8]) -> u64 {
    let (words, _) = entry.as_chunks();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

fn first_word(entry: &[u8]) -> u64 {
    entry.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// Nanoseconds per entry: hot, then random. Each is gone through once before it is timed.
fn time(indexes: &[u64], read: impl Fn(u64) -> Result<u64>) -> Result<Sample> {
    let few = &indexes[..HOT.min(indexes.len())];
    let mut sample = Vec::new();
    for all in [few, indexes] {
        for index in all {
            ensure!(read(*index)? == *index, "entry {index} is another");
        }
        let rounds = indexes.len() / all.len();
        let start = Instant::now();
        for _ in 0..rounds {
            for index in all {
                black_box(read(*index)?);
            }
        }
        sample.push(Some(start.elapsed().as_nanos() as f64 / (rounds * all.len()) as f64));
    }
    Ok(sample)
}
