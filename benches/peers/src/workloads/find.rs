//! Finding leaves by their hash, in a process of its own.

use std::cell::Cell;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use duramen::{
    Arity, Blake3, CheckpointPolicy, CompactionPolicy, Config, DynAccumulator, FlushPolicy, Store,
    TreeConfig,
};

use crate::child::{self, memory};
use crate::env::{Env, allocated_bytes};
use crate::leaves::{Leaf, Random};
use crate::measure::{Metric, Row, Who, interleave, less, side};
use crate::sides;

const BATCH: u64 = 100_000;
/// Leaves of a part, before parts are merged.
const CHECKPOINT: u64 = 4_000_000;
const FINDS: u64 = 500_000;
/// Leaves that are looked for with nothing in memory.
const COLD: u64 = 2_000;
const PAGE: u64 = 4096;
const QUIET: Duration = Duration::from_secs(2);

const METRICS: [Metric; 11] = [
    less("parts"),
    less("index_bytes_per_leaf"),
    less("nanoseconds_present"),
    less("nanoseconds_absent"),
    less("cold_pages_present_at_first"),
    less("cold_pages_present_later"),
    less("cold_pages_present_later_most"),
    less("percent_of_later_cold_finds_with_more_than_2_pages"),
    less("cold_pages_absent"),
    less("percent_of_parts_read_for_an_absent_leaf"),
    less("anonymous_megabytes"),
];

/// Builds the store once, and looks for leaves in it in a new process for each run.
pub fn several_parts(env: &Env, name: &str) -> Result<Vec<Row>> {
    run(env, name, CHECKPOINT)
}

/// The same with all leaves in one part.
pub fn one_part(env: &Env, name: &str) -> Result<Vec<Row>> {
    run(env, name, u64::MAX)
}

fn run(env: &Env, name: &str, checkpoint: u64) -> Result<Vec<Row>> {
    let total = env.scaled(50_000_000, BATCH);
    let dir = env.fresh_dir()?;
    build(dir.path(), total, checkpoint)?;
    let runs = Cell::new(0);
    let duramen = side(Who::Duramen, || {
        runs.set(runs.get() + 1);
        let text = child::ask(dir.path(), "find", Who::Duramen, &[total, runs.get()])?;
        text.split_whitespace().map(|word| Ok(Some(word.parse::<f64>()?))).collect()
    });
    interleave(env, name, &METRICS, vec![duramen])
}

fn open(dir: &Path, merges: CompactionPolicy) -> Result<(Store, DynAccumulator)> {
    let config = Config::new(dir)
        .flush_policy(FlushPolicy::interval(sides::INTERVAL)?)
        .checkpoint_policy(CheckpointPolicy::manual())
        .compaction_policy(merges);
    let store = Store::open(config)?;
    let blake3 = std::sync::Arc::new(Blake3);
    let log = store.tree_dyn("log", TreeConfig::new(blake3, Arity::Four).indexed())?;
    Ok((store, log))
}

/// Makes a checkpoint after every `checkpoint` leaves, and at the end.
fn build(dir: &Path, total: u64, checkpoint: u64) -> Result<()> {
    let (store, log) = open(dir, CompactionPolicy::default())?;
    let mut batch = vec![[0; 32]; BATCH as usize];
    for first in (0..total).step_by(BATCH as usize) {
        for (index, leaf) in (first..).zip(&mut batch) {
            *leaf = leaf_at(index);
        }
        log.insert_many(&batch)?;
        if (first + BATCH).is_multiple_of(checkpoint) {
            log.checkpoint()?;
        }
    }
    log.checkpoint()?;
    // Until nothing is merged any more.
    let mut before = Vec::new();
    while before != names(&dir.join("parts"))? {
        before = names(&dir.join("parts"))?;
        std::thread::sleep(QUIET);
    }
    log.build_index()?;
    drop(log);
    Ok(store.close()?)
}

/// The leaf with this index. There are no others.
fn leaf_at(index: u64) -> Leaf {
    Random::new(index.wrapping_mul(0x9E37_79B9_97F4_A7C1)).leaf()
}

/// What the process of a run does: looks for leaves and prints the metrics.
pub fn child(side: &str, total: u64, seed: u64, dir: &Path) -> Result<()> {
    if side != Who::Duramen.name() {
        bail!("there is no side {side}");
    }
    let mut random = Random::new(seed);
    let present: Vec<(u64, Leaf)> =
        (0..FINDS).map(|_| random.below(total)).map(|index| (index, leaf_at(index))).collect();
    let others: Vec<Leaf> = (0..FINDS).map(|_| random.leaf()).collect();
    let anonymous = memory("RssAnon")?;
    let files = drop_pages(&dir.join("parts"))?;
    let parts = files.iter().filter(|name| name.ends_with(".part")).count() as f64;
    let (store, log) = open(dir, CompactionPolicy::Off)?;
    let index_bytes = index_bytes(&dir.join("parts"))?;
    // The filters and the fences are read when they are first needed, and stay.
    ensure!(log.find(&[1; 32])?.is_none(), "a leaf was found that nobody inserted");

    let mut find_cold = |count: u64| -> Result<Vec<u64>> {
        let indexes = (0..count).map(|_| random.below(total));
        indexes.map(|index| pages_for(&log, &leaf_at(index), Some(index))).collect()
    };
    let pages = find_cold(COLD)?;
    // Until most blocks of checksums, one for 4 MiB, are in memory.
    find_cold(10 * COLD)?;
    let later = find_cold(COLD)?;
    let mut absent = Vec::new();
    for _ in 0..COLD {
        absent.push(pages_for(&log, &random.leaf(), None)?);
    }
    let mean = |pages: &[u64]| pages.iter().sum::<u64>() as f64 / pages.len() as f64;
    let read = absent.iter().filter(|pages| **pages > 0).count() as f64;

    let mut warm = Vec::new();
    for _ in 0..2 {
        let start = Instant::now();
        for (index, leaf) in &present {
            let found = black_box(log.find(leaf)?).map(|found| found.0);
            ensure!(found == Some(*index), "leaf {index} was found at {found:?}");
        }
        warm.push(start.elapsed().as_nanos() as f64 / present.len() as f64);
    }
    let mut warm_absent = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        for leaf in &others {
            ensure!(black_box(log.find(leaf)?).is_none(), "a leaf was found that is not there");
        }
        warm_absent = start.elapsed().as_nanos() as f64 / others.len() as f64;
    }
    let anonymous = memory("RssAnon")?.saturating_sub(anonymous);
    let most = later.iter().max().copied().unwrap_or(0);
    let beyond = later.iter().filter(|pages| **pages > 2).count() as f64;
    println!(
        "{parts} {} {} {warm_absent} {} {} {most} {} {} {} {}",
        index_bytes as f64 / total as f64,
        warm[1],
        mean(&pages),
        mean(&later),
        100.0 * beyond / COLD as f64,
        mean(&absent),
        100.0 * read / COLD as f64 / parts,
        anonymous as f64 / 1e6,
    );
    drop(log);
    Ok(store.close()?)
}

/// How many pages are fetched from storage to find a leaf.
fn pages_for(log: &DynAccumulator, leaf: &Leaf, expected: Option<u64>) -> Result<u64> {
    let before = pages_read()?;
    let found = log.find(leaf)?.map(|index| index.0);
    let pages = pages_read()? - before;
    ensure!(found == expected, "leaf {expected:?} was found at {found:?}");
    Ok(pages)
}

/// How many pages this thread has had fetched from storage since it began.
fn pages_read() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/thread-self/io")?;
    let bytes = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok(bytes.context("the system does not count reads")?.parse::<u64>()? / PAGE)
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let name = |file: std::io::Result<std::fs::DirEntry>| {
        Ok(file?.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = std::fs::read_dir(dir)?.map(name).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// Takes every page of the files out of the page cache. Nothing has mapped them. Returns their names.
fn drop_pages(parts: &Path) -> Result<Vec<String>> {
    let names = names(parts)?;
    for name in &names {
        let file = File::open(parts.join(name))?;
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(names)
}

fn index_bytes(parts: &Path) -> Result<u64> {
    let mut sum = 0;
    for name in names(parts)? {
        if !name.ends_with(".part") {
            sum += allocated_bytes(&parts.join(name))?;
        }
    }
    Ok(sum)
}
