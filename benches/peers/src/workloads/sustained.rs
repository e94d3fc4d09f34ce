//! A long load with checkpoints as it goes: does it get slower, does it get bigger?

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::child::{self, memory};
use crate::env::Env;
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Sample, Who, interleave, less, more, side};
use crate::plot;
use crate::sides::{self, CHECKPOINT_EVERY, batches};

const BATCH: u64 = 10_000;
const TENTHS: usize = 10;

/// The rate and the memory at the end of each tenth of a load.
type Tenths = Vec<(f64, f64)>;

/// 100 M leaves in batches of 10 k under `Interval(10 ms)`, a checkpoint every 4 M, in a process per
/// side, after 20 M that are not measured: the page cache takes the first of them at the speed of
/// memory, whatever the disk can do.
///
/// Memory is what the process holds apart from pages of mapped files, which the system can drop.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(100_000_000, BATCH * TENTHS as u64);
    let curves = std::cell::RefCell::new(Vec::new());
    let measure = |who: Who| {
        let curves = &curves;
        side(who, move || {
            let tenths = in_a_child(env, who, total)?;
            let sample = summary(&tenths)?;
            curves.borrow_mut().push((who, tenths));
            Ok(sample)
        })
    };
    let metrics = [
        more("leaves_per_second"),
        more("last_tenth_over_first"),
        less("anonymous_megabytes_after_first_tenth"),
        less("anonymous_megabytes_after_last_tenth"),
        less("most_anonymous_megabytes"),
    ];
    let sides = vec![measure(Who::Duramen), measure(Who::Rotortree)];
    let rows = interleave(env, name, &metrics, sides)?;
    if let Some(dir) = &env.plots {
        plot::sustained(&dir.join("sustained.svg"), total, &curves.borrow())?;
    }
    Ok(rows)
}

fn in_a_child(env: &Env, who: Who, total: u64) -> Result<Tenths> {
    let dir = env.fresh_dir()?;
    let text = child::ask(dir.path(), "sustained", who, &[total])?;
    let tenth = (total / TENTHS as u64) as f64;
    text.lines()
        .map(|line| {
            let (seconds, bytes) = line.split_once(' ').context("a line without two numbers")?;
            Ok((tenth / seconds.parse::<f64>()?, bytes.parse::<f64>()? / 1e6))
        })
        .collect()
}

fn summary(tenths: &[(f64, f64)]) -> Result<Sample> {
    ensure!(tenths.len() == TENTHS, "{} tenths instead of {TENTHS}", tenths.len());
    let (first, last) = (tenths[0], tenths[TENTHS - 1]);
    let time: f64 = tenths.iter().map(|(rate, _)| 1.0 / rate).sum();
    let most = tenths.iter().map(|(_, memory)| *memory).fold(0.0, f64::max);
    let rate = TENTHS as f64 / time;
    Ok([rate, last.0 / first.0, first.1, last.1, most].map(Some).to_vec())
}

/// What the process of a side does: prints for each tenth its seconds and the bytes held then.
pub fn child(side: &str, total: u64, dir: &Path) -> Result<()> {
    let pool = leaves::many(11, 16 * BATCH);
    let before = memory("RssAnon")?;
    let ahead = total / 5 / BATCH * BATCH;
    let load =
        |insert: &dyn Fn(&[Leaf]) -> Result<()>, flush: &dyn Fn() -> Result<()>| -> Result<()> {
            let tenth = total / TENTHS as u64;
            for batch in batches(&pool, BATCH, ahead) {
                insert(batch)?;
            }
            let mut parts = batches(&pool, BATCH, total);
            for number in 1..=TENTHS {
                let start = Instant::now();
                let mut most = 0;
                for batch in parts.by_ref().take((tenth / BATCH) as usize) {
                    insert(batch)?;
                    most = most.max(sampled(start)?);
                }
                if number == TENTHS {
                    flush()?;
                }
                let seconds = start.elapsed().as_secs_f64();
                most = most.max(memory("RssAnon")?);
                println!("{seconds} {}", most.saturating_sub(before));
            }
            Ok(())
        };
    match side {
        "duramen" => {
            let store = sides::duramen_with_checkpoints(dir)?;
            load(&|batch| Ok(store.insert_many(batch).map(drop)?), &|| Ok(store.flush()?))?;
            Ok(store.close()?)
        }
        "rotortree" => {
            let tree = sides::rotor_with_checkpoints(dir, CHECKPOINT_EVERY / BATCH)?;
            load(&|batch| Ok(tree.insert_many(batch).map(drop)?), &|| Ok(tree.flush()?))?;
            Ok(tree.close()?)
        }
        other => bail!("there is no side {other}"),
    }
}

/// The memory of now, every 50 milliseconds or so, else nothing: asking costs a system call or two.
fn sampled(start: Instant) -> Result<u64> {
    thread_local!(static LAST: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) });
    let now = start.elapsed();
    if now.abs_diff(LAST.get()) < Duration::from_millis(50) {
        return Ok(0);
    }
    LAST.set(now);
    memory("RssAnon")
}
