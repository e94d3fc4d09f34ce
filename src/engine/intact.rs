//! Whether the entries in memory are still those that were inserted.
//!
//! A checkpoint copies entries and leaves out of memory into a part, and then the log that has them too is given up. If a
//! bit of the memory has changed by itself in between, the part would have another entry than the one that was
//! acknowledged, and its leaf, which may be in heads that were signed, would have none. So each entry is hashed again.
//!
//! # Invariants
//!
//! - The entries of a checkpoint are compared with their leaves after they were copied, and before a manifest names the
//!   copy. So a bit that changed before the copy was made is found.
//! - An entry that does not hash to its leaf was erased, or the store takes nothing more: its memory cannot be trusted.
//!
//! The leaves of a tree without entries have nothing to be compared with. Such a tree relies on memory that corrects its
//! errors.

use std::ops::Range;

use super::tree::Tree;
use crate::column::View;
use crate::error::{Error, Result};
use crate::merkle::{Hash, LeafIndex, Level, NodeIndex, NodeSource};

/// Entries that are hashed at a time.
const PIECE: usize = 1 << 14;

/// Compares the entries of the leaves `range`, which `view` has, with these leaves.
///
/// # Errors
///
/// [`MemoryChanged`](Error::MemoryChanged).
pub(super) fn check_entries(tree: &Tree, view: &View, range: Range<u64>) -> Result<()> {
    let Some(framing) = tree.framing else { return Ok(()) };
    let leaf = |entry: &[u8]| tree.hasher.leaf(entry);
    let mut leaves: Vec<Hash> = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let run = view.entry_run(at, range.end, &leaf)?;
        let mut rest = run.bytes.get();
        while at < run.end {
            let mut entries = Vec::new();
            while entries.len() < PIECE
                && at + (entries.len() as u64) < run.end
                && let Some((entry, behind)) = framing.split(rest)
            {
                entries.push(entry);
                rest = behind;
            }
            if entries.is_empty() {
                return Err(changed(tree, at));
            }
            leaves.resize(entries.len(), [0; 32]);
            view.read_nodes(Level::LEAVES, NodeIndex(at), &mut leaves)?;
            let hashes = tree.leaves_of(&entries);
            for (index, (hash, leaf)) in (at..).zip(hashes.iter().zip(&leaves)) {
                // Erased entries are known before leaves without data can be seen.
                if hash != leaf && !tree.erasures().has(index) {
                    return Err(changed(tree, index));
                }
            }
            at += entries.len() as u64;
        }
    }
    Ok(())
}

fn changed(tree: &Tree, index: u64) -> Error {
    Error::MemoryChanged { tree: tree.name().clone(), index: LeafIndex(index) }
}
