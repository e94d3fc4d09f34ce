//! Batches of entries with exact dedup, timed to the last fsync and the root.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::entries::{BATCH, Batch, LEN};
use crate::env::Env;
use crate::limit::device::WrittenFile;
use crate::logs::{self, Log};
use crate::measure::{Row, Sample, Who, interleave, more, side};
use crate::sides::INTERVAL;

/// Bytes of an entry in the log: its length, its data and its leaf.
const STORED: usize = 2 + LEN + 32;

/// Every log has as many entries already as are timed, and all timed ones are new.
///
/// The limit overwrites a written file with the same bytes, in the same batches, and makes each batch durable; for the
/// second metric it does so every 10 ms.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(1_000_000, BATCH);
    let root = Cell::new(None);
    let measure = |who: Who| {
        let root = &root;
        side(who, move || {
            let dir = env.fresh_dir()?;
            let mut log = logs::open(who, dir.path(), total)?;
            let (rate, found) = fill(env, &mut *log, total)?;
            let agreed = root.replace(Some(found)).is_none_or(|other| other == found);
            ensure!(agreed, "the sides disagree about the root");
            let duramen = (who == Who::Duramen).then_some(rate);
            Ok(vec![Some(rate), duramen])
        })
    };
    let limit = side(Who::Limit, || overwrite(env, total));
    let mut sides = vec![measure(Who::Duramen), measure(Who::Rotortree), measure(Who::Sqlite)];
    sides.extend(logs::WITH_ROCKSDB.then(|| measure(Who::Rocksdb)));
    sides.push(limit);
    let metrics = [more("entries_per_second"), more("entries_per_second_synced_every_10_ms")];
    interleave(env, name, &metrics, sides)
}

/// Fills the log to `total` entries, and times as many again. Returns the rate, and the root.
fn fill(env: &Env, log: &mut dyn Log, total: u64) -> Result<(f64, [u8; 32])> {
    let mut batch = Batch::new();
    let mut append = |log: &mut dyn Log, numbers: std::ops::Range<u64>| -> Result<()> {
        for first in numbers.step_by(BATCH as usize) {
            let new = log.append(&batch.from(first))?;
            ensure!(new == BATCH, "entries from {first} on were there already");
        }
        Ok(())
    };
    append(log, 0..total)?;
    log.settle()?;
    env.settle()?;
    let start = Instant::now();
    append(log, total..2 * total)?;
    log.sync()?;
    let root = black_box(log.root()?);
    let elapsed = start.elapsed();
    logs::check(log, 2 * total)?;
    Ok((total as f64 / elapsed.as_secs_f64(), root))
}

fn overwrite(env: &Env, total: u64) -> Result<Sample> {
    let dir = env.fresh_dir()?;
    let file = WrittenFile::create(&dir.path().join("file"), total * STORED as u64)?;
    let bytes = vec![0xA5; BATCH as usize * STORED];
    let mut rates = Vec::new();
    for each in [true, false] {
        env.settle()?;
        let (mut at, mut last) = (0, Instant::now());
        let start = Instant::now();
        for _ in 0..total / BATCH {
            if each {
                at = file.overwrite(at, &bytes)?;
                continue;
            }
            at = file.write(at, &bytes)?;
            if last.elapsed() >= INTERVAL {
                file.sync()?;
                last = Instant::now();
            }
        }
        file.sync()?;
        rates.push(Some(total as f64 / start.elapsed().as_secs_f64()));
    }
    Ok(rates)
}
