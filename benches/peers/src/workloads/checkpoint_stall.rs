//! How long calls wait while a checkpoint runs.
//!
//! The load is the same from beginning to end: four threads that insert one leaf and wait until it is
//! durable, one that inserts every 50 us without waiting, and one that inserts batches of 10 k, 2 M
//! leaves a second. It has three stretches: *quiet*, without checkpoints; *checkpoint*,
//! while the 16 M leaves that were inserted before are checkpointed at once; *compaction*, eight
//! seconds with a checkpoint in each, so that duramen merges the small parts they make.
//!
//! With entries the load has about as many bytes: 2.4 M entries of 200 bytes are there before, and the batches have
//! 1,500 of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use duramen::{Arity, Blake3, DynAccumulator, EntryConfig, TreeConfig};

use crate::entries;
use crate::env::Env;
use crate::leaves::{self, Leaf, Random};
use crate::measure::{Metric, Row, Sample, Who, interleave, less, percentile, side};
use crate::plot;
use crate::sides::{self, batches};
use crate::trace::{Call, Trace, latencies};

/// What is there before the load begins, and what a batch of the load has.
#[derive(Clone, Copy)]
struct Load {
    before: u64,
    batch: u64,
}

const LEAVES: Load = Load { before: 16_000_000, batch: 10_000 };
const ENTRIES: Load = Load { before: 2_400_000, batch: 1_500 };
/// How many batches are made ahead.
const BATCHES: u64 = 16;
const BATCH_EVERY: Duration = Duration::from_millis(5);
const SINGLE_EVERY: Duration = Duration::from_micros(50);
const WAITING_THREADS: u64 = 4;
const CHECKPOINTS: u32 = 8;

const METRICS: [Metric; 27] = [
    less("durable_p99_checkpoint_over_quiet"),
    less("durable_p99_compaction_over_quiet"),
    less("checkpoint_seconds"),
    less("durable_p50_microseconds_quiet"),
    less("durable_p99_microseconds_quiet"),
    less("durable_p999_microseconds_quiet"),
    less("durable_max_microseconds_quiet"),
    less("durable_p50_microseconds_checkpoint"),
    less("durable_p99_microseconds_checkpoint"),
    less("durable_p999_microseconds_checkpoint"),
    less("durable_max_microseconds_checkpoint"),
    less("durable_p50_microseconds_compaction"),
    less("durable_p99_microseconds_compaction"),
    less("durable_p999_microseconds_compaction"),
    less("durable_max_microseconds_compaction"),
    less("insert_p50_microseconds_quiet"),
    less("insert_p99_microseconds_quiet"),
    less("insert_p999_microseconds_quiet"),
    less("insert_max_microseconds_quiet"),
    less("insert_p50_microseconds_checkpoint"),
    less("insert_p99_microseconds_checkpoint"),
    less("insert_p999_microseconds_checkpoint"),
    less("insert_max_microseconds_checkpoint"),
    less("insert_p50_microseconds_compaction"),
    less("insert_p99_microseconds_compaction"),
    less("insert_p999_microseconds_compaction"),
    less("insert_max_microseconds_compaction"),
];

/// What the load needs of a side.
trait Target: Sync {
    fn insert(&self, leaf: Leaf) -> Result<()>;
    fn insert_durable(&self, leaf: Leaf) -> Result<()>;
    fn insert_many(&self, leaves: &[Leaf]) -> Result<()>;
    fn checkpoint(&self) -> Result<()>;
}

impl Target for sides::Duramen {
    fn insert(&self, leaf: Leaf) -> Result<()> {
        Ok(sides::Duramen::insert(self, leaf).map(drop)?)
    }
    fn insert_durable(&self, leaf: Leaf) -> Result<()> {
        Ok(sides::Duramen::insert_durable(self, leaf).map(drop)?)
    }
    fn insert_many(&self, leaves: &[Leaf]) -> Result<()> {
        Ok(sides::Duramen::insert_many(self, leaves).map(drop)?)
    }
    fn checkpoint(&self) -> Result<()> {
        Ok(sides::Duramen::checkpoint(self).map(drop)?)
    }
}

impl Target for sides::Rotor {
    fn insert(&self, leaf: Leaf) -> Result<()> {
        Ok(sides::Rotor::insert(self, leaf).map(drop)?)
    }
    fn insert_durable(&self, leaf: Leaf) -> Result<()> {
        Ok(sides::Rotor::insert_durable(self, leaf).map(drop)?)
    }
    fn insert_many(&self, leaves: &[Leaf]) -> Result<()> {
        Ok(sides::Rotor::insert_many(self, leaves).map(drop)?)
    }
    fn checkpoint(&self) -> Result<()> {
        Ok(sides::Rotor::checkpoint(self)?)
    }
}

/// A tree that keeps entries, each of which begins with a leaf of the load.
struct WithEntries(DynAccumulator);

impl Target for WithEntries {
    fn insert(&self, leaf: Leaf) -> Result<()> {
        Ok(self.0.insert_entry(entries::of(leaf)).map(drop)?)
    }
    fn insert_durable(&self, leaf: Leaf) -> Result<()> {
        Ok(self.0.insert_entry_durable(entries::of(leaf)).map(drop)?)
    }
    fn insert_many(&self, leaves: &[Leaf]) -> Result<()> {
        let entries: Vec<_> = leaves.iter().map(|leaf| entries::of(*leaf)).collect();
        Ok(self.0.insert_entries(&entries).map(drop)?)
    }
    fn checkpoint(&self) -> Result<()> {
        Ok(self.0.checkpoint().map(drop)?)
    }
}

/// The same load with entries, beside leaves alone.
pub fn with_entries(env: &Env, name: &str) -> Result<Vec<Row>> {
    let entries = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen_store(dir.path())?;
        let kept = TreeConfig::new(std::sync::Arc::new(Blake3), Arity::Four);
        let tree = store.tree_dyn("log", kept.entries(EntryConfig::new()))?;
        let target = WithEntries(tree);
        let trace = drive(env, Who::Duramen, &target, ENTRIES)?;
        drop(target);
        store.close()?;
        Ok(summary(&trace))
    });
    let leaves_alone = side(Who::LeavesAlone, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen(dir.path(), None)?;
        let trace = drive(env, Who::LeavesAlone, &store, LEAVES)?;
        store.close()?;
        Ok(summary(&trace))
    });
    interleave(env, name, &METRICS, vec![entries, leaves_alone])
}

/// Percentiles of both kinds of inserts in each stretch.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let traces = std::cell::RefCell::new(Vec::new());
    let measure = |who, target: &dyn Target| -> Result<Sample> {
        let trace = drive(env, who, target, LEAVES)?;
        let sample = summary(&trace);
        traces.borrow_mut().push(trace);
        Ok(sample)
    };
    let duramen = side(Who::Duramen, || {
        let dir = env.fresh_dir()?;
        let store = sides::duramen(dir.path(), None)?;
        let sample = measure(Who::Duramen, &store)?;
        store.close()?;
        Ok(sample)
    });
    let rotortree = side(Who::Rotortree, || {
        let dir = env.fresh_dir()?;
        let tree = sides::rotor(dir.path(), true)?;
        let sample = measure(Who::Rotortree, &tree)?;
        tree.close()?;
        Ok(sample)
    });
    let rows = interleave(env, name, &METRICS, vec![duramen, rotortree])?;
    if let Some(dir) = &env.plots {
        let traces = traces.borrow();
        plot::stall_over_time(&dir.join("checkpoint-stall.svg"), &traces)?;
        plot::stall_percentiles(&dir.join("checkpoint-stall-percentiles.svg"), &traces)?;
    }
    Ok(rows)
}

fn drive(env: &Env, who: Who, target: &dyn Target, load: Load) -> Result<Trace> {
    let pool = &leaves::many(13, BATCHES * load.batch);
    for batch in batches(pool, load.batch, env.scaled(load.before, load.batch)) {
        target.insert_many(batch)?;
    }
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    thread::scope(|scope| {
        let (stop, goes_on) = (&stop, || !stop.load(Ordering::Relaxed));
        let waiting: Vec<_> = (0..WAITING_THREADS)
            .map(|number| {
                scope.spawn(move || {
                    let mut random = Random::new(number);
                    calls(start, goes_on, || target.insert_durable(random.leaf()), None)
                })
            })
            .collect();
        let single = scope.spawn(move || {
            let mut random = Random::new(100);
            calls(start, goes_on, || target.insert(random.leaf()), Some(SINGLE_EVERY))
        });
        let batch = scope.spawn(move || {
            let mut cycle = pool.chunks_exact(load.batch as usize).cycle();
            let insert = || cycle.next().map_or(Ok(()), |batch| target.insert_many(batch));
            calls(start, goes_on, insert, Some(BATCH_EVERY))
        });
        let stretches = stretches(env, start, target);
        stop.store(true, Ordering::Relaxed);
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Vec<Call>>>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        let mut durable = Vec::new();
        for thread in waiting {
            durable.extend(join(thread)?);
        }
        join(batch)?;
        Ok(Trace { who, durable, insert: join(single)?, stretches: stretches? })
    })
}

/// Lets the load run and makes the checkpoints.
fn stretches(env: &Env, start: Instant, target: &dyn Target) -> Result<[(Duration, Duration); 3]> {
    let second = env.seconds(1.0);
    thread::sleep(second);
    let began = start.elapsed();
    thread::sleep(3 * second);
    let quiet = (began, start.elapsed());
    target.checkpoint()?;
    let checkpoint = (quiet.1, start.elapsed());
    let began = start.elapsed();
    for number in 1..=CHECKPOINTS {
        target.checkpoint()?;
        thread::sleep((began + number * second).saturating_sub(start.elapsed()));
    }
    Ok([quiet, checkpoint, (began, start.elapsed())])
}

/// Calls `call` as long as the load goes on, at most once in `every`.
fn calls(
    start: Instant,
    goes_on: impl Fn() -> bool,
    mut call: impl FnMut() -> Result<()>,
    every: Option<Duration>,
) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    while goes_on() {
        let at = start.elapsed();
        call()?;
        let took = start.elapsed() - at;
        calls.push(Call { at, took });
        if let Some(rest) = every.and_then(|every| every.checked_sub(took)) {
            thread::sleep(rest);
        }
    }
    Ok(calls)
}

fn summary(trace: &Trace) -> Sample {
    let percentiles = |calls: &[Call]| {
        trace.stretches.map(|stretch| {
            let took = latencies(calls, stretch);
            [0.5, 0.99, 0.999, 1.0].map(|p| percentile(&took, p).map(|nanos| nanos / 1e3))
        })
    };
    let (durable, insert) = (percentiles(&trace.durable), percentiles(&trace.insert));
    let p99 = |stretch: usize| durable[stretch][1];
    let over_quiet = |stretch| Some(p99(stretch)? / p99(0)?);
    let (from, to) = trace.stretches[1];
    let mut sample = vec![over_quiet(1), over_quiet(2), Some((to - from).as_secs_f64())];
    sample.extend(durable.iter().chain(&insert).flatten());
    sample
}
