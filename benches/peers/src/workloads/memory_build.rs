//! A whole tree in memory from one batch, in a process per side.
//!
//! A program builds one tree: the first build in a process is what it sees. The builds after it find
//! memory that the allocator kept from the one before, where it does keep some; they are measured
//! apart.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use duramen::{Blake3, MemoryAccumulator};
use rotortree::{Blake3Hasher, LeanIMT};

use crate::child;
use crate::commonware;
use crate::env::Env;
use crate::leaves;
use crate::limit::kernel::{self, Levels};
use crate::measure::{Row, Sample, Who, interleave, more, side};

const MAX_DEPTH: usize = 32;
/// Builds in a process after the first.
const AGAIN: usize = 4;

/// Times one batch and its root, from nothing. `LEN` is the length of `N` children in bytes.
///
/// The limit hashes the same complete nodes on all cores into memory that exists already.
pub fn run<const N: usize, const LEN: usize>(env: &Env, name: &str) -> Result<Vec<Row>> {
    const { assert!(LEN == N * 32) };
    kernel::check::<LEN>()?;
    let total = env.scaled(4_000_000, 1);
    let root = std::cell::RefCell::new(None);
    let measure = |who: Who| {
        let root = &root;
        side(who, move || {
            let (sample, found) = in_a_child(env, who, N, total)?;
            let agreed = root.borrow_mut().get_or_insert_with(|| found.clone()) == &found;
            ensure!(agreed, "the sides disagree about the root");
            Ok(sample)
        })
    };
    let leaves = leaves::many(3, total);
    let mut levels = Levels::<LEN>::for_leaves(leaves.len());
    rayon::broadcast(|_| {});
    let limit = side(Who::Limit, || {
        let start = Instant::now();
        black_box(levels.hash(&leaves));
        let rate = Some(total as f64 / start.elapsed().as_secs_f64());
        Ok(vec![rate, rate])
    });
    let mut sides = vec![measure(Who::Duramen), measure(Who::Rotortree), limit];
    if N == 2 {
        sides.extend(commonware::fresh(env, name, total));
    }
    let metrics = [more("leaves_per_second"), more("leaves_per_second_again")];
    interleave(env, name, &metrics, sides)
}

fn in_a_child(env: &Env, who: Who, arity: usize, total: u64) -> Result<(Sample, String)> {
    let text = child::ask(&env.dir, "memory-build", who, &[arity as u64, total])?;
    let words: Vec<_> = text.split_whitespace().collect();
    let [first, again, root] = words[..] else { bail!("the side's process printed {text:?}") };
    let rate = |seconds: &str| Ok::<_, anyhow::Error>(Some(total as f64 / seconds.parse::<f64>()?));
    Ok((vec![rate(first)?, rate(again)?], root.to_owned()))
}

/// Builds the tree of these leaves and returns its root.
type Once<'a> = dyn Fn(&[[u8; 32]]) -> Result<[u8; 32]> + 'a;

/// What the process of a side does: builds the tree and prints the seconds of the first build, the
/// median of the others, and the root.
pub fn child(side: &str, arity: usize, total: u64) -> Result<()> {
    let leaves = leaves::many(3, total);
    let build = |once: &Once<'_>| -> Result<()> {
        let mut seconds = Vec::new();
        let mut root = [0; 32];
        for _ in 0..=AGAIN {
            let start = Instant::now();
            root = black_box(once(&leaves)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        let first = seconds.remove(0);
        seconds.sort_by(f64::total_cmp);
        let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("{first} {} {root}", seconds[seconds.len() / 2]);
        Ok(())
    };
    match (side, arity) {
        ("duramen", 2) => build(&duramen::<2>),
        ("duramen", 4) => build(&duramen::<4>),
        ("duramen", 8) => build(&duramen::<8>),
        ("duramen", 16) => build(&duramen::<16>),
        ("rotortree", 2) => build(&rotortree::<2>),
        ("rotortree", 4) => build(&rotortree::<4>),
        ("rotortree", 8) => build(&rotortree::<8>),
        ("rotortree", 16) => build(&rotortree::<16>),
        _ => bail!("there is no side {side} of arity {arity}"),
    }
}

fn duramen<const N: usize>(leaves: &[[u8; 32]]) -> Result<[u8; 32]> {
    let mut tree = MemoryAccumulator::<Blake3, N>::new();
    tree.extend(leaves)?;
    Ok(tree.head()?.root)
}

fn rotortree<const N: usize>(leaves: &[[u8; 32]]) -> Result<[u8; 32]> {
    let mut tree = LeanIMT::<Blake3Hasher, N, MAX_DEPTH>::new(Blake3Hasher);
    Ok(tree.insert_many(leaves)?)
}
