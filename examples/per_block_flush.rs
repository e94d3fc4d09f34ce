//! A chain's commitments: many inserts and one flush per block, the root of every block, and a
//! proof against the root of a block that is long past.
//!
//! `cargo run --release --example per_block_flush`

use std::error::Error;

use duramen::{Accumulator, Arity, Blake3, Config, FlushPolicy, Hash, Hasher, LeafIndex, TreeHead};

const BLOCKS: u64 = 10;
const PER_BLOCK: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    run()
}

/// Runs the example in a directory of its own.
pub fn run() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("commitments");

    // Under `Manual` nothing is synced to the disk until the program flushes.
    let config = Config::new(&path).flush_policy(FlushPolicy::Manual);
    let commitments = Accumulator::<Blake3, 4>::open(config.clone())?;

    let mut published: Vec<TreeHead> = Vec::new();
    for block in 0..BLOCKS {
        for number in 0..PER_BLOCK {
            // The token is not needed: the flush below covers the whole block.
            commitments.insert(commitment(block, number))?;
        }
        // One write and one fdatasync, however many inserts there were.
        commitments.flush()?;
        let head = commitments.head()?;
        println!("block {block}: {} commitments, root {}", head.size, short(&head.root));
        published.push(head);
    }

    // A user wants to spend commitment 3 of block 2, and has the root of block 4. No snapshot
    // was kept at block 4: every past size can be asked.
    let (index, leaf) = (LeafIndex(2 * PER_BLOCK + 3), commitment(2, 3));
    let block_4 = published[4];
    let proof = commitments.prove_at(index, block_4.size)?;
    proof.verify(&Blake3, Arity::Four, &block_4, index, &leaf)?;
    println!(
        "commitment {index} is in the tree of block 4, proved with {} hashes",
        proof.siblings().len()
    );

    // The same proof says nothing about another leaf.
    let other = commitment(2, 4);
    assert!(proof.verify(&Blake3, Arity::Four, &block_4, index, &other).is_err());

    // After a restart everything is as it was flushed.
    commitments.close()?;
    let commitments = Accumulator::<Blake3, 4>::open(config)?;
    assert_eq!(commitments.head()?, published[published.len() - 1]);
    assert_eq!(commitments.head_at(block_4.size)?, block_4);
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
