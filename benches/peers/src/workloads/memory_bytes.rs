//! How much memory a leaf takes, measured from outside the allocator in a process per side.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Result, bail};

use crate::child::{self, memory};
use crate::env::Env;
use crate::leaves::{Leaf, Random};
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides;

const BATCH: u64 = 100_000;

/// Bytes of resident memory per leaf: with everything in the log and the root known, then after a
/// checkpoint; the last metric leaves out pages of mapped files, which the system can drop.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(8_000_000, BATCH);
    let measure = |who: Who| side(who, move || in_a_child(env, who, total));
    let metrics = [
        less("resident_bytes"),
        less("resident_bytes_after_checkpoint"),
        less("anonymous_bytes_after_checkpoint"),
    ];
    interleave(env, name, &metrics, vec![measure(Who::Duramen), measure(Who::Rotortree)])
}

fn in_a_child(env: &Env, who: Who, total: u64) -> Result<Sample> {
    let dir = env.fresh_dir()?;
    let text = child::ask(dir.path(), "memory-bytes", who, &[total])?;
    text.split_whitespace()
        .map(|word| Ok(Some(word.parse::<f64>()? / total as f64)))
        .collect::<Result<Sample>>()
}

/// What the process of a side does: fills a store and prints its growth in bytes.
pub fn child(side: &str, total: u64, dir: &Path) -> Result<()> {
    let mut batch = vec![[0xA5; 32]; BATCH as usize];
    let growth = match side {
        "duramen" => {
            let store = sides::duramen(dir, None)?;
            growth(
                || fill(total, &mut batch, |batch| Ok(store.insert_many(batch).map(drop)?)),
                || {
                    store.flush()?;
                    black_box(store.head()?);
                    Ok(())
                },
                || Ok(store.checkpoint().map(drop)?),
            )?
        }
        "rotortree" => {
            let tree = sides::rotor(dir, true)?;
            growth(
                || fill(total, &mut batch, |batch| Ok(tree.insert_many(batch).map(drop)?)),
                || {
                    tree.flush()?;
                    black_box(tree.root());
                    Ok(())
                },
                || Ok(tree.checkpoint()?),
            )?
        }
        other => bail!("there is no side {other}"),
    };
    println!("{} {} {}", growth[0], growth[1], growth[2]);
    Ok(())
}

fn growth(
    fill: impl FnOnce() -> Result<()>,
    settle: impl FnOnce() -> Result<()>,
    checkpoint: impl FnOnce() -> Result<()>,
) -> Result<[u64; 3]> {
    let (before, anonymous_before) = (memory("VmRSS")?, memory("RssAnon")?);
    fill()?;
    settle()?;
    let filled = memory("VmRSS")?;
    checkpoint()?;
    let (after, anonymous_after) = (memory("VmRSS")?, memory("RssAnon")?);
    Ok([
        filled.saturating_sub(before),
        after.saturating_sub(before),
        anonymous_after.saturating_sub(anonymous_before),
    ])
}

fn fill(
    total: u64,
    batch: &mut [Leaf],
    mut insert: impl FnMut(&[Leaf]) -> Result<()>,
) -> Result<()> {
    let mut random = Random::new(10);
    for _ in 0..total / batch.len() as u64 {
        batch.fill_with(|| random.leaf());
        insert(batch)?;
    }
    Ok(())
}
