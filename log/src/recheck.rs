//! The tree of RFC 6962 once more, by other code than the store's. Pure.
//!
//! Before a head is signed, its leaves are hashed a second time. A mistake of the store's code, of its vector kernels,
//! or of the memory that they worked on must not repeat itself there. So this file shares no line with the store: it has
//! its own hash function, from `ring`, and its own way to add leaves.
//!
//! # Invariants
//!
//! - `peaks` has one node for every bit of `size` that is set, the greatest subtree first.

use ring::digest::{Context, SHA256};

/// A leaf, an inner node or a root.
pub(crate) type Hash = [u8; 32];

/// The complete subtrees that the first `size` leaves consist of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recheck {
    size: u64,
    peaks: Vec<Hash>,
}

impl Recheck {
    /// The tree of `size` leaves with these peaks. `None` if another number of peaks belongs to the size.
    pub(crate) fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf. `None` if the tree is full.
    pub(crate) fn push(&mut self, leaf: Hash) -> Option<()> {
        let size = self.size.checked_add(1)?;
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            node = node_of(&self.peaks.pop()?, &node);
        }
        self.peaks.push(node);
        self.size = size;
        Some(())
    }

    /// The root. That of the empty tree is the hash of nothing.
    pub(crate) fn root(&self) -> Hash {
        root_of(&self.peaks)
    }
}

/// The root over complete subtrees, the greatest first.
pub(crate) fn root_of(peaks: &[Hash]) -> Hash {
    let mut peaks = peaks.iter().rev();
    let Some(last) = peaks.next() else { return digest(&[]) };
    peaks.fold(*last, |right, left| node_of(left, &right))
}

/// The root over a power of two of hashes.
pub(crate) fn root_of_complete(hashes: &[Hash]) -> Hash {
    let mut nodes = hashes.to_vec();
    while nodes.len() > 1 {
        nodes = nodes.chunks(2).map(|pair| node_of(&pair[0], &pair[pair.len() - 1])).collect();
    }
    root_of(&nodes)
}

/// The leaf of an entry.
pub(crate) fn leaf_of(entry: &[u8]) -> Hash {
    digest(&[&[0], entry])
}

fn node_of(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], left, right])
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use duramen::{Hasher, MemoryAccumulator, Rfc6962Sha256};

    use super::*;

    #[test]
    fn every_size_has_the_root_that_the_store_computes() {
        let mut store = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
        let mut again = Recheck::from_peaks(0, Vec::new()).unwrap();
        for number in 0u32..600 {
            let head = store.head().unwrap();
            assert_eq!((again.size(), again.root()), (head.size.get(), head.root));
            let frontier = store.snapshot().frontier().unwrap();
            let peaks = frontier.nodes().to_vec();
            assert_eq!(Recheck::from_peaks(again.size(), peaks), Some(again.clone()));
            let entry = number.to_be_bytes();
            assert_eq!(leaf_of(&entry), Rfc6962Sha256.leaf(&entry));
            again.push(leaf_of(&entry)).unwrap();
            store.push_data(&entry).unwrap();
        }
    }

    #[test]
    fn a_wrong_number_of_peaks_is_refused() {
        assert_eq!(Recheck::from_peaks(5, vec![[1; 32]]), None);
        assert_eq!(Recheck::from_peaks(u64::MAX, vec![[1; 32]; 64]).unwrap().push([0; 32]), None);
    }
}
