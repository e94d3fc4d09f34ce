//! A node of a chain: each block puts leaves into two trees and gets a mark, all in one group of the log and with one sync. When
//! another branch wins, the node goes back to the mark of the last block that both have, and takes the blocks of the branch.
//! Heads and proofs of every block that is marked are there, before and after.
//!
//! ```text
//! cargo run --example reorg [DIRECTORY]
//! ```

use duramen::{Arity, Blake3, Config, FlushPolicy, Hash, MarkName, Rfc6962Sha256, Store, TreeHead};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A block: its hash, and what it adds.
struct Block {
    hash: Hash,
    notes: Vec<Hash>,
    receipts: Vec<Hash>,
}

impl Block {
    /// Block `height` of a branch.
    fn new(branch: u8, height: u8) -> Self {
        let leaf = |kind: u8, at: u8| {
            let mut leaf = [branch; 32];
            leaf[..3].copy_from_slice(&[kind, height, at]);
            leaf
        };
        Self {
            hash: leaf(0, 0),
            notes: (0..20).map(|at| leaf(1, at)).collect(),
            receipts: (0..5).map(|at| leaf(2, at)).collect(),
        }
    }

    fn mark(&self) -> Result<MarkName> {
        Ok(MarkName::of_bytes(&self.hash)?)
    }
}

/// Adds a block. One write and one sync, whatever it adds.
fn apply(store: &Store, block: &Block) -> Result<()> {
    let notes = store.tree::<Blake3, 4>("notes")?;
    let receipts = store.tree::<Rfc6962Sha256, 2>("receipts")?;
    let mut batch = store.batch();
    batch.insert_many(&notes, &block.notes)?;
    batch.insert_many(&receipts, &block.receipts)?;
    batch.mark(block.mark()?)?;
    let committed = batch.commit()?;
    store.flush()?;
    assert!(committed.token.is_durable());
    Ok(())
}

/// The head of the notes at a block, and whether it proves the block's first note.
fn notes_at(store: &Store, block: &Block) -> Result<TreeHead> {
    let then = store.snapshot_at(block.mark()?)?.tree("notes")?.ok_or("no notes")?;
    let head = then.head()?;
    let first = head.size.get() - block.notes.len() as u64;
    let proof = then.prove(first)?;
    proof.verify(&Blake3, Arity::Four, &head, first.into(), &block.notes[0])?;
    Ok(head)
}

/// Runs the node in a new directory.
pub fn run(dir: &std::path::Path) -> Result<()> {
    let config = || Config::new(dir).flush_policy(FlushPolicy::Manual);
    let store = Store::open(config())?;
    let main: Vec<_> = (0..10).map(|height| Block::new(1, height)).collect();
    for block in &main {
        apply(&store, block)?;
    }
    let abandoned = store.snapshot()?;
    let at_six = notes_at(&store, &main[6])?;
    let at_nine = notes_at(&store, &main[9])?;

    // Another branch forks off after block 6.
    let done = store.rewind_to(main[6].mark()?)?;
    println!("{} blocks are given up", done.marks.len());
    assert_eq!(done.marks.len(), 3);
    let other: Vec<_> = (7..12).map(|height| Block::new(2, height)).collect();
    for block in &other {
        apply(&store, block)?;
    }
    assert_eq!(notes_at(&store, &main[6])?, at_six);
    let at_eleven = notes_at(&store, &other[4])?;
    assert!(notes_at(&store, &main[9]).is_err(), "the mark of a block that was given up");
    // What was read before the fork still answers.
    assert_eq!(abandoned.tree("notes")?.ok_or("no notes")?.head()?, at_nine);
    drop(abandoned);
    store.close()?;

    // The branch is what a restart finds.
    let store = Store::open(config())?;
    assert_eq!(notes_at(&store, &other[4])?, at_eleven);
    assert_eq!(store.marks()?.len(), 12);
    println!(
        "the head of block 11 has {} notes, root {:02x?}..",
        at_eleven.size,
        &at_eleven.root[..4]
    );
    Ok(())
}

#[allow(dead_code, reason = "the tests call `run`")]
fn main() -> Result<()> {
    match std::env::args_os().nth(1) {
        Some(dir) => run(dir.as_ref()),
        None => run(&tempfile::tempdir()?.path().join("chain")),
    }
}
