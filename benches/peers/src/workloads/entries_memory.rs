//! How much memory an entry takes before it is in a part, in a process of its own.

use std::path::Path;

use anyhow::{Context, Result, bail};
use duramen::{Arity, Blake3, EntryConfig, TreeConfig};

use crate::child::{self, memory};
use crate::entries::{BATCH, Batch, LEN};
use crate::env::Env;
use crate::measure::{Row, Who, interleave, less, side};
use crate::sides;

/// Bytes of memory of an entry beyond its own 200, in a tree without an index and in one with: durable, and not in a
/// part.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let total = env.scaled(2_000_000, BATCH);
    let duramen = side(Who::Duramen, || {
        let mut sample = Vec::new();
        for indexed in [0, 1] {
            let dir = env.fresh_dir()?;
            let numbers = [total, indexed];
            let text = child::ask(dir.path(), "entries-memory", Who::Duramen, &numbers)?;
            let growth: f64 = text.trim().parse().context("the process printed no number")?;
            sample.push(Some(growth / total as f64 - LEN as f64));
        }
        Ok(sample)
    });
    let metrics = [less("bytes_beyond_the_entry"), less("bytes_beyond_the_entry_with_index")];
    interleave(env, name, &metrics, vec![duramen])
}

/// What the process does: inserts and prints its growth in bytes.
pub fn child(side: &str, total: u64, indexed: bool, dir: &Path) -> Result<()> {
    if side != Who::Duramen.name() {
        bail!("there is no side {side}");
    }
    let store = sides::duramen_store(dir)?;
    let blake3 = std::sync::Arc::new(Blake3);
    let mut kept = TreeConfig::new(blake3, Arity::Four).entries(EntryConfig::new());
    if indexed {
        kept = kept.indexed();
    }
    let log = store.tree_dyn("log", kept)?;
    let mut batch = Batch::new();
    log.insert_entries(&batch.from(total))?;
    let before = memory("RssAnon")?;
    for first in (0..total).step_by(BATCH as usize) {
        match indexed {
            true => drop(log.insert_unique_entries(&batch.from(first))?),
            false => drop(log.insert_entries(&batch.from(first))?),
        }
    }
    log.flush()?;
    println!("{}", memory("RssAnon")?.saturating_sub(before));
    Ok(())
}
