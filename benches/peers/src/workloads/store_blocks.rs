//! Blocks of leaves for three trees, each block durable before the next.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use duramen::Blake3;

use crate::env::Env;
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Sample, Who, interleave, more, side};
use crate::sides::{self, ARITY, Duramen, Rotor, batches};

/// How many trees a block has leaves for.
const TREES: usize = 3;
/// How many leaves each of them gets.
const LEAVES: u64 = 1_000;

const NAMES: [&str; TREES] = ["notes", "nullifiers", "receipts"];

/// What holds the three trees.
trait Trees {
    /// Inserts these leaves into each tree and returns when they are durable. `beside` has trees that are
    /// flushed one by one flushed at once, by a thread each.
    fn block(&self, leaves: [&[Leaf]; TREES], beside: bool) -> Result<()>;
    fn roots(&self) -> Result<Vec<Leaf>>;
}

/// Times blocks. Only the store makes a block durable as a whole: separate trees may come back with a part of the
/// last one after a crash. The second metric lets those flush at the same time.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let blocks = env.scaled(400, 1);
    // The trees have different leaves, from different places of one pool.
    let pool = leaves::many(11, 64 * LEAVES);
    let roots = std::cell::RefCell::new(None);
    let same = |found: Vec<Leaf>| {
        let mut known = roots.borrow_mut();
        ensure!(known.get_or_insert_with(|| found.clone()) == &found, "the sides disagree");
        Ok(())
    };
    let measure = |open: &dyn Fn(&Path) -> Result<Box<dyn Trees>>| -> Result<Sample> {
        let mut sample = Vec::new();
        for beside in [false, true] {
            let dir = env.fresh_dir()?;
            let trees = open(dir.path())?;
            let elapsed = blocks_of(&*trees, &pool, blocks, beside)?;
            sample.push(Some(blocks as f64 / elapsed.as_secs_f64()));
            same(trees.roots()?)?;
        }
        Ok(sample)
    };
    let sides = vec![
        side(Who::Duramen, || measure(&|dir| Ok(Box::new(OneStore(sides::duramen_store(dir)?))))),
        side(Who::Rotortree, || {
            measure(&|dir| {
                let trees = NAMES.map(|name| sides::rotor(&dir.join(name), true));
                Ok(Box::new(Rotors(trees.into_iter().collect::<Result<_>>()?)))
            })
        }),
        side(Who::StoresApart, || {
            measure(&|dir| {
                let trees = NAMES.map(|name| sides::duramen(&dir.join(name), None));
                Ok(Box::new(Stores(trees.into_iter().collect::<Result<_>>()?)))
            })
        }),
    ];
    let metrics =
        [more("blocks_per_second"), more("blocks_per_second_if_separate_trees_flush_at_once")];
    interleave(env, name, &metrics, sides)
}

fn blocks_of(trees: &dyn Trees, pool: &[Leaf], blocks: u64, beside: bool) -> Result<Duration> {
    let total = blocks * LEAVES;
    let skipped = |tree: usize| batches(pool, LEAVES, total + tree as u64 * LEAVES).skip(tree);
    let all = skipped(0).zip(skipped(1)).zip(skipped(2));
    let start = Instant::now();
    for ((one, two), three) in all {
        trees.block([one, two, three], beside)?;
    }
    Ok(start.elapsed())
}

/// One store, one batch, one flush.
struct OneStore(duramen::Store);

impl Trees for OneStore {
    fn block(&self, leaves: [&[Leaf]; TREES], _: bool) -> Result<()> {
        let mut batch = self.0.batch();
        for (name, leaves) in NAMES.iter().zip(leaves) {
            batch.insert_many(&self.0.tree::<Blake3, ARITY>(name)?, leaves)?;
        }
        batch.commit()?;
        Ok(self.0.flush()?)
    }

    fn roots(&self) -> Result<Vec<Leaf>> {
        let root = |name| Ok(self.0.existing_tree(name)?.head()?.root);
        NAMES.into_iter().map(root).collect()
    }
}

/// Flushes all of `trees`, one after the other or at once.
fn flush_all<T: Sync>(
    trees: &[T],
    beside: bool,
    flush: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    if !beside {
        return trees.iter().try_for_each(flush);
    }
    std::thread::scope(|scope| {
        let flush = &flush;
        let threads: Vec<_> = trees.iter().map(|tree| scope.spawn(move || flush(tree))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| anyhow!("a thread that flushes panicked"))?
        })
    })
}

struct Rotors(Vec<Rotor>);

impl Trees for Rotors {
    fn block(&self, leaves: [&[Leaf]; TREES], beside: bool) -> Result<()> {
        for (tree, leaves) in self.0.iter().zip(leaves) {
            tree.insert_many(leaves)?;
        }
        flush_all(&self.0, beside, |tree| Ok(tree.flush()?))
    }

    fn roots(&self) -> Result<Vec<Leaf>> {
        let root = |tree: &Rotor| tree.root().ok_or_else(|| anyhow!("rotortree has no root"));
        self.0.iter().map(root).collect()
    }
}

struct Stores(Vec<Duramen>);

impl Trees for Stores {
    fn block(&self, leaves: [&[Leaf]; TREES], beside: bool) -> Result<()> {
        for (store, leaves) in self.0.iter().zip(leaves) {
            store.insert_many(leaves)?;
        }
        flush_all(&self.0, beside, |store| Ok(store.flush()?))
    }

    fn roots(&self) -> Result<Vec<Leaf>> {
        self.0.iter().map(|store| Ok(store.head()?.root)).collect()
    }
}
