//! A store of very many small trees: what opening it costs, and its checkpoints.

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use duramen::{Blake3, Store};

use crate::child::{self, memory};
use crate::env::Env;
use crate::leaves;
use crate::measure::{Row, Sample, Who, interleave, less, side};
use crate::sides::{self, ARITY};

/// Times the opening of a store that was checkpointed, with a warm page cache, the first insert into one tree, and
/// two checkpoints: after a leaf for that tree alone, and after a batch over all trees. The other side has one tree
/// with as many leaves.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let trees = env.scaled(10_000, 1);
    let measure = |who: Who| {
        side(who, move || {
            let dir = env.fresh_dir()?;
            fill(&sides::duramen_store(&dir.path().join("store"))?, who, trees)?;
            env.settle()?;
            let text = child::ask(dir.path(), name, who, &[trees])?;
            text.split_whitespace().map(|word| Ok(Some(word.parse()?))).collect::<Result<Sample>>()
        })
    };
    let metrics = [
        less("open_milliseconds"),
        less("resident_bytes_after_open"),
        less("first_insert_microseconds"),
        less("checkpoint_milliseconds_one_leaf"),
        less("checkpoint_milliseconds_all_trees"),
    ];
    interleave(env, name, &metrics, vec![measure(Who::Duramen), measure(Who::OneTree)])
}

fn tree_name(number: u64) -> String {
    format!("account-{number}")
}

/// Makes the trees, with a leaf for each, and a checkpoint of them.
fn fill(store: &Store, who: Who, trees: u64) -> Result<()> {
    insert(store, if who == Who::OneTree { 1 } else { trees }, trees)?;
    store.checkpoint()?;
    Ok(store.clone().close()?)
}

/// Inserts `leaves` leaves into `trees` trees, each as many, in one batch.
fn insert(store: &Store, trees: u64, leaves: u64) -> Result<()> {
    let pool = leaves::many(13, leaves);
    let mut batch = store.batch();
    for (number, leaves) in (0..trees).zip(pool.chunks((leaves / trees) as usize)) {
        batch.insert_many(&store.tree::<Blake3, ARITY>(tree_name(number))?, leaves)?;
    }
    batch.commit()?;
    Ok(())
}

/// What the process of a side does.
pub fn child(side: &str, leaves: u64, dir: &Path) -> Result<()> {
    let trees = match side {
        "duramen" => leaves,
        "one tree" => 1,
        other => bail!("there is no side {other}"),
    };
    let before = memory("VmRSS")?;
    let start = Instant::now();
    let store = sides::duramen_store(&dir.join("store"))?;
    let opened = start.elapsed();
    let resident = memory("VmRSS")?.saturating_sub(before);

    let start = Instant::now();
    store.existing_tree(tree_name(trees / 2))?.insert([7; 32])?;
    let first = start.elapsed();

    let start = Instant::now();
    store.checkpoint()?;
    let one = start.elapsed();

    insert(&store, trees, leaves)?;
    store.flush()?;
    let start = Instant::now();
    store.checkpoint()?;
    let all = start.elapsed();
    println!(
        "{} {resident} {} {} {}",
        opened.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e6,
        one.as_secs_f64() * 1e3,
        all.as_secs_f64() * 1e3
    );
    Ok(store.close()?)
}
