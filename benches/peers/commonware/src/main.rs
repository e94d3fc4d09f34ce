//! Runs one workload once with commonware-storage's Merkle mountain range and prints one number per
//! metric, in the order of the workload: `commonware-side WORKLOAD DIR SIZE`.
//!
//! Leaves are digests that go in as they are, as on the other sides. Where the others flush every
//! 10 ms in the background, this side syncs between inserts when 10 ms have passed: it has a single
//! owner and no background flush. Hashing uses all cores where the library offers it.

use std::hint::black_box;
use std::num::{NonZeroU16, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use commonware_cryptography::Blake3;
use commonware_cryptography::blake3::Digest;
use commonware_parallel::Rayon;
use commonware_runtime::buffer::paged::{CacheRef, page_size};
use commonware_runtime::tokio::{Config as Runtime, Context, Runner};
use commonware_runtime::{BLOB_PAGE_SIZE, Runner as _, Supervisor as _};
use commonware_storage::merkle::Bagging::ForwardFold;
use commonware_storage::merkle::full::{Config, Merkle};
use commonware_storage::merkle::hasher::Standard;
use commonware_storage::merkle::mem::Mem;
use commonware_storage::mmr::Family;

const INTERVAL: Duration = Duration::from_millis(10);
const BATCH: u64 = 100_000;

type Hasher = Standard<Blake3>;
type Mmr = Merkle<Family, Context, Digest, Rayon>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (Some(workload), Some(dir), Some(size)) = (args.next(), args.next(), args.next()) else {
        bail!("usage: commonware-side WORKLOAD DIR SIZE");
    };
    let size: u64 = size.parse().context("SIZE is a number")?;
    let numbers = if workload == "memory-build-2" {
        memory_build(size)?
    } else {
        let runtime = Runtime::default().with_storage_directory(PathBuf::from(dir));
        Runner::new(runtime)
            .start(|context| async move { stored(context, &workload, size).await })?
    };
    let text: Vec<String> = numbers.iter().map(f64::to_string).collect();
    println!("{}", text.join(" "));
    Ok(())
}

async fn stored(context: Context, workload: &str, size: u64) -> Result<Vec<f64>> {
    match workload {
        "single-insert" => single_insert(context, size).await,
        "insert-and-root" => insert_and_root(context, size).await,
        "batch-durable" => {
            let mmr = fill(open(&context).await?, size).await?;
            batch_durable(mmr, size).await
        }
        "batch-durable-cold" => batch_durable(open(&context).await?, size).await,
        "insert-durable-1" => insert_durable(context, size).await,
        "reopen-fill" => {
            fill(open(&context).await?, size).await?;
            Ok(Vec::new())
        }
        "reopen" => {
            let start = Instant::now();
            let mmr = open(&context).await?;
            black_box(root(&mmr)?);
            Ok(vec![start.elapsed().as_secs_f64() * 1e3])
        }
        other => bail!("no workload {other} on this side"),
    }
}

fn strategy() -> Result<Rayon> {
    let cores = std::thread::available_parallelism()?;
    Rayon::new(cores).map_err(|error| anyhow!("{error}"))
}

async fn open(context: &Context) -> Result<Mmr> {
    const PAGE: NonZeroU16 = page_size(BLOB_PAGE_SIZE);
    let bytes = |n| NonZeroUsize::new(n).context("a size above zero");
    let config = Config {
        journal_partition: "journal".into(),
        metadata_partition: "metadata".into(),
        items_per_blob: NonZeroU64::new(10_000_000).context("a number above zero")?,
        write_buffer: bytes(2 << 20)?,
        replay_buffer: bytes(2 << 20)?,
        strategy: strategy()?,
        page_cache: CacheRef::new(PAGE, bytes(512)?),
    };
    Ok(Mmr::init(context.child("mmr"), &Hasher::new(ForwardFold), config).await?)
}

fn append(mmr: Mmr, leaves: impl Iterator<Item = Digest>) -> Result<Mmr> {
    let hasher = Hasher::new(ForwardFold);
    let batch = leaves.fold(mmr.new_batch(), |batch, leaf| batch.add_leaf_digest(leaf));
    let batch = batch.merkleize(mmr.mem(), &hasher);
    Ok(mmr.apply_batch(&batch)?)
}

fn root(mmr: &Mmr) -> Result<Digest> {
    Ok(mmr.root(&Hasher::new(ForwardFold), 0)?)
}

async fn single_insert(context: Context, size: u64) -> Result<Vec<f64>> {
    let mut mmr = open(&context).await?;
    let mut leaves = Leaves(1);
    let start = Instant::now();
    let mut synced = start;
    for leaf in leaves.take(size) {
        mmr = append(mmr, std::iter::once(leaf))?;
        if synced.elapsed() >= INTERVAL {
            mmr = mmr.sync().await?;
            synced = Instant::now();
        }
    }
    let inserted = start.elapsed();
    mmr.sync().await?;
    let durable = start.elapsed();
    Ok([inserted, durable].map(|elapsed| size as f64 / elapsed.as_secs_f64()).to_vec())
}

async fn insert_and_root(context: Context, size: u64) -> Result<Vec<f64>> {
    let mut mmr = open(&context).await?;
    let mut leaves = Leaves(1);
    let start = Instant::now();
    let mut synced = start;
    for leaf in leaves.take(size) {
        mmr = append(mmr, std::iter::once(leaf))?;
        black_box(root(&mmr)?);
        if synced.elapsed() >= INTERVAL {
            mmr = mmr.sync().await?;
            synced = Instant::now();
        }
    }
    Ok(vec![size as f64 / start.elapsed().as_secs_f64()])
}

async fn fill(mut mmr: Mmr, size: u64) -> Result<Mmr> {
    let mut leaves = Leaves(2);
    for _ in 0..size / BATCH {
        mmr = append(mmr, leaves.take(BATCH))?;
        mmr = mmr.flush().await?;
    }
    Ok(mmr.sync().await?)
}

async fn batch_durable(mut mmr: Mmr, size: u64) -> Result<Vec<f64>> {
    let pool: Vec<Digest> = Leaves(3).take(16 * BATCH).collect();
    let start = Instant::now();
    let mut synced = start;
    for batch in pool.chunks_exact(BATCH as usize).cycle().take((size / BATCH) as usize) {
        mmr = append(mmr, batch.iter().copied())?;
        if synced.elapsed() >= INTERVAL {
            mmr = mmr.sync().await?;
            synced = Instant::now();
        }
    }
    mmr = mmr.sync().await?;
    black_box(root(&mmr)?);
    Ok(vec![size as f64 / start.elapsed().as_secs_f64()])
}

/// `size` is the time in milliseconds.
async fn insert_durable(context: Context, size: u64) -> Result<Vec<f64>> {
    let time = Duration::from_millis(size);
    let mut mmr = open(&context).await?;
    let mut leaves = Leaves(4);
    let mut waits = Vec::new();
    let start = Instant::now();
    while start.elapsed() < time {
        let before = Instant::now();
        mmr = append(mmr, leaves.take(1))?;
        mmr = mmr.sync().await?;
        waits.push(before.elapsed());
    }
    let rate = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort_unstable();
    let at = |p: usize| waits[(waits.len() - 1) * p / 100].as_secs_f64() * 1e6;
    Ok(vec![rate, at(50), at(99)])
}

fn memory_build(size: u64) -> Result<Vec<f64>> {
    let hasher = Hasher::new(ForwardFold);
    let leaves: Vec<Digest> = Leaves(5).take(size).collect();
    let strategy = strategy()?;
    let start = Instant::now();
    let mut mem = Mem::<Family, Digest>::new();
    let batch = mem.new_batch_with_strategy(strategy);
    let batch = leaves.iter().fold(batch, |batch, leaf| batch.add_leaf_digest(*leaf));
    let batch = batch.merkleize(&mem, &hasher);
    mem.apply_batch(&batch)?;
    black_box(mem.root(&hasher, 0)?);
    Ok(vec![size as f64 / start.elapsed().as_secs_f64()])
}

/// Digests that look random (SplitMix64).
struct Leaves(u64);

impl Leaves {
    fn take(&mut self, count: u64) -> impl Iterator<Item = Digest> {
        (0..count).map(|_| self.leaf())
    }

    fn leaf(&mut self) -> Digest {
        let mut leaf = [0; 32];
        for word in leaf.chunks_exact_mut(8) {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        Digest::from(leaf)
    }
}
