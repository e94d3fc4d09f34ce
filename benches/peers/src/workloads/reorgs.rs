//! A node's loop: blocks that are durable each, and a reorganisation now and then.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use duramen::{MarkPolicy, Store};

use crate::env::Env;
use crate::leaves::{self, Leaf};
use crate::measure::{Row, Sample, Who, interleave, less, more, side};
use crate::sides::{self, Duramen, Rotor, batches};

/// How many leaves a block has.
const LEAVES: u64 = 1_000;
/// A reorganisation follows so many blocks.
const EVERY: u64 = 50;
/// So many blocks are given up by it.
const DEPTH: u64 = 10;
/// How many leaves come at a time while a tree is filled or built again.
const PIECE: u64 = 100_000;

/// The tree of a node.
trait Node {
    /// Inserts the leaves of a block and returns when they are durable.
    fn block(&mut self, number: u64, leaves: &[Leaf]) -> Result<()>;
    /// Goes back to the state after the block `number`, when the tree had `size` leaves; these are the leaves `source`
    /// gives. Returns when that is durable.
    fn back_to(&mut self, number: u64, size: u64, source: &Source<'_>) -> Result<()>;
    fn root(&self) -> Result<Leaf>;
}

/// The leaves of the chain, as a node has them in its own blocks.
struct Source<'a> {
    pool: &'a [Leaf],
    /// Of the leaves before the first block.
    before: u64,
    /// For each block, at which leaf of the pool its leaves begin.
    blocks: Vec<usize>,
}

impl Source<'_> {
    fn block(&self, at: usize) -> &[Leaf] {
        &self.pool[at..at + LEAVES as usize]
    }

    /// All leaves, in pieces.
    fn all(&self, mut insert: impl FnMut(&[Leaf]) -> Result<()>) -> Result<()> {
        batches(self.pool, PIECE, self.before).try_for_each(&mut insert)?;
        let blocks: Vec<Leaf> =
            self.blocks.iter().flat_map(|at| self.block(*at)).copied().collect();
        blocks.chunks(PIECE as usize).try_for_each(insert)
    }
}

/// Times blocks with reorganisations, and the reorganisations alone.
pub fn run(env: &Env, name: &str) -> Result<Vec<Row>> {
    let (before, blocks) = (env.scaled(2_000_000, PIECE), env.scaled(500, EVERY));
    let pool = leaves::many(12, 4 * PIECE);
    let known = std::cell::RefCell::new(None);
    let measure = |open: &dyn Fn(PathBuf, &Source<'_>) -> Result<Box<dyn Node>>| -> Result<Sample> {
        let dir = env.fresh_dir()?;
        let mut source = Source { pool: &pool, before, blocks: Vec::new() };
        let mut node = open(dir.path().join("node"), &source)?;
        let mut reorgs = Vec::new();
        let begun = Instant::now();
        for number in 0..blocks {
            // Other leaves for each block, and for the same block of another branch.
            let at = (number * 37 + reorgs.len() as u64 * 11) * LEAVES % (4 * PIECE - LEAVES);
            let at = usize::try_from(at)?;
            source.blocks.push(at);
            node.block(source.blocks.len() as u64, source.block(at))?;
            if (number + 1).is_multiple_of(EVERY) {
                source.blocks.truncate(source.blocks.len() - DEPTH as usize);
                let stays = source.blocks.len() as u64;
                let begun = Instant::now();
                node.back_to(stays, before + stays * LEAVES, &source)?;
                reorgs.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let rate = blocks as f64 / begun.elapsed().as_secs_f64();
        let root = node.root()?;
        ensure!(*known.borrow_mut().get_or_insert(root) == root, "the sides disagree");
        reorgs.sort_by(f64::total_cmp);
        Ok(vec![Some(rate), reorgs.get(reorgs.len() / 2).copied()])
    };
    let sides = vec![
        side(Who::Duramen, || measure(&|dir, source| Ok(Box::new(Marked::open(&dir, source)?)))),
        side(Who::Rotortree, || {
            measure(&|dir, source| {
                Ok(Box::new(Rebuilt { tree: Some(rebuilt(&dir, source)?), dir }))
            })
        }),
    ];
    interleave(env, name, &[more("blocks_per_second"), less("milliseconds_of_a_reorg")], sides)
}

/// duramen: a mark for each block, and a rewind to one.
struct Marked(Store, Duramen);

impl Marked {
    fn open(dir: &Path, source: &Source<'_>) -> Result<Self> {
        let store = sides::duramen_marked(dir, 128, MarkPolicy::DropOldest)?;
        let tree = store.tree("main")?;
        source.all(|leaves| Ok(drop(tree.insert_many(leaves)?)))?;
        store.checkpoint()?;
        Ok(Self(store, tree))
    }
}

impl Node for Marked {
    fn block(&mut self, number: u64, leaves: &[Leaf]) -> Result<()> {
        let mut batch = self.0.batch();
        batch.insert_many(&self.1, leaves)?.mark(format!("{number}"))?;
        batch.commit()?;
        Ok(self.0.flush()?)
    }

    fn back_to(&mut self, number: u64, size: u64, _: &Source<'_>) -> Result<()> {
        self.0.rewind_to(format!("{number}"))?;
        ensure!(self.1.size().get() == size, "another size");
        Ok(())
    }

    fn root(&self) -> Result<Leaf> {
        Ok(self.1.head()?.root)
    }
}

/// rotortree: it cannot go back, so the tree is built again.
struct Rebuilt {
    tree: Option<Rotor>,
    dir: PathBuf,
}

fn rebuilt(dir: &Path, source: &Source<'_>) -> Result<Rotor> {
    let tree = sides::rotor(dir, true)?;
    source.all(|leaves| Ok(drop(tree.insert_many(leaves)?)))?;
    tree.flush()?;
    Ok(tree)
}

impl Rebuilt {
    fn tree(&self) -> Result<&Rotor> {
        self.tree.as_ref().context("the tree is gone")
    }
}

impl Node for Rebuilt {
    fn block(&mut self, _: u64, leaves: &[Leaf]) -> Result<()> {
        let tree = self.tree()?;
        tree.insert_many(leaves)?;
        Ok(tree.flush()?)
    }

    fn back_to(&mut self, _: u64, _: u64, source: &Source<'_>) -> Result<()> {
        drop(self.tree.take());
        std::fs::remove_dir_all(&self.dir)?;
        self.tree = Some(rebuilt(&self.dir, source)?);
        Ok(())
    }

    fn root(&self) -> Result<Leaf> {
        self.tree()?.root().ok_or_else(|| anyhow!("rotortree has no root"))
    }
}
