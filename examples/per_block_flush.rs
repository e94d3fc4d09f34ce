//! A chain's commitments: many inserts and one flush per block, a process that dies in the middle of a
//! block, and a restart that stands exactly at the last whole one. The root of every block stays, and so
//! does a proof against the root of a block that is long past.
//!
//! `cargo run --release --example per_block_flush`

use std::error::Error;
use std::path::Path;
use std::process::Command;

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, FlushPolicy, Hash, Hasher, LeafIndex,
    TreeSize,
};

const BLOCKS: u64 = 10;
const PER_BLOCK: u64 = 1_000;

/// Where the process that dies finds the store.
const STORE: &str = "PER_BLOCK_FLUSH_STORE";

fn main() -> Result<(), Box<dyn Error>> {
    if is_child() {
        return insert_and_die();
    }
    run(&mut Command::new(std::env::current_exe()?))
}

/// Whether this process is the one that dies.
pub fn is_child() -> bool {
    std::env::var_os(STORE).is_some()
}

fn config(path: &Path) -> duramen::Result<Config> {
    // Under `Manual` a restart finds a size that the program has flushed, and no other. What the store
    // does by itself changes nothing about that: here it hands bytes to the operating system many times
    // per block, and makes checkpoints of the blocks that were flushed.
    Config::new(path)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual().every_leaves(3 * PER_BLOCK)?)
        .max_unflushed_bytes(8 << 10)
}

/// Inserts whole blocks and most of another one, and dies without a word, as under `kill -9`.
pub fn insert_and_die() -> Result<(), Box<dyn Error>> {
    let path = std::env::var_os(STORE).ok_or("no store is named")?;
    let commitments = Accumulator::<Blake3, 4>::open(config(path.as_ref())?)?;
    for block in 0..BLOCKS {
        for number in 0..PER_BLOCK {
            // The token is not needed: the flush below covers the whole block.
            commitments.insert(commitment(block, number))?;
        }
        // One write and one fdatasync, however many inserts there were.
        commitments.flush()?;
        // The head that may be signed and published: no crash takes it back.
        let head = commitments.durable_head()?;
        println!("block {block}: {} commitments, root {}", head.size, short(&head.root));
    }
    for number in 0..PER_BLOCK * 7 / 10 {
        commitments.insert(commitment(BLOCKS, number))?;
    }
    println!("killed in block {BLOCKS}, with {} commitments", commitments.size());
    std::process::abort()
}

/// Runs the example in a directory of its own; `child` is a process that calls [`insert_and_die`].
pub fn run(child: &mut Command) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("commitments");
    assert!(!child.env(STORE, &path).status()?.success(), "it was killed");

    // Exactly the whole blocks: nothing of the last one, though most of its bytes had left the process.
    let commitments = Accumulator::<Blake3, 4>::open(config(&path)?)?;
    assert_eq!(commitments.size(), TreeSize(BLOCKS * PER_BLOCK));
    println!("restarted: {}", commitments.recovery());

    // The block is inserted again, from its beginning.
    for number in 0..PER_BLOCK {
        commitments.insert(commitment(BLOCKS, number))?;
    }
    commitments.flush()?;

    // A user wants to spend commitment 3 of block 2, and has the root of block 4. No snapshot
    // was kept at block 4: every past size can be asked.
    let (index, leaf) = (LeafIndex(2 * PER_BLOCK + 3), commitment(2, 3));
    let block_4 = commitments.head_at(5 * PER_BLOCK)?;
    let proof = commitments.prove_at(index, block_4.size)?;
    proof.verify(&Blake3, Arity::Four, &block_4, index, &leaf)?;
    println!(
        "commitment {index} is in the tree of block 4, proved with {} hashes",
        proof.siblings().len()
    );

    // The same proof says nothing about another leaf.
    let other = commitment(2, 4);
    assert!(proof.verify(&Blake3, Arity::Four, &block_4, index, &other).is_err());

    let head = commitments.durable_head()?;
    commitments.close()?;
    let commitments = Accumulator::<Blake3, 4>::open(config(&path)?)?;
    assert_eq!(commitments.head()?, head);
    println!("reopened with {} commitments", commitments.size());
    Ok(commitments.close()?)
}

/// What a transaction leaves behind; real ones hide more.
fn commitment(block: u64, number: u64) -> Hash {
    Blake3.leaf(format!("block {block}, transaction {number}").as_bytes())
}

fn short(hash: &Hash) -> String {
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
