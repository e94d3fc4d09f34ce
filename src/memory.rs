//! A tree in memory, without a store.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use crate::column::LeafWriter;
use crate::engine::Tree;
use crate::error::{Error, Result};
use crate::ids::TreeId;
use crate::merkle::{
    Arity, Blake3, Hash, Hasher, InclusionProof, LeafIndex, TreeHead, TreeName, TreeSize,
};
use crate::snapshot::Snapshot;
use crate::tree_spec::TreeSpec;

/// A Merkle accumulator in memory. It is the tree of an [`Accumulator`](crate::Accumulator), with the
/// same roots and proofs, but without files.
///
/// Takes 32 bytes per leaf, and 32 / (N - 1) bytes per leaf for the inner nodes.
///
/// ```
/// use duramen::{Blake3, MemoryAccumulator};
///
/// let mut tree = MemoryAccumulator::<Blake3, 2>::new();
/// let index = tree.push([7; 32])?;
/// tree.extend(&[[8; 32]; 1000])?;
/// assert_eq!(tree.head()?.size.get(), 1001);
/// let proof = tree.prove(index)?;
/// proof.verify(&Blake3, duramen::Arity::Two, &tree.head()?, index, &[7; 32])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryAccumulator<H = Blake3, const N: usize = 4> {
    tree: Arc<Tree>,
    leaves: LeafWriter,
    hasher: PhantomData<fn() -> H>,
}

impl<H: Hasher + Default, const N: usize> MemoryAccumulator<H, N> {
    /// An accumulator without leaves.
    #[must_use]
    pub fn new() -> Self {
        let hasher = Arc::new(H::default());
        let spec = TreeSpec::new(TreeId(0), TreeName::main(), &*hasher, Arity::of::<N>());
        let (tree, leaves) = Tree::empty(Arc::new(spec), hasher, true);
        Self { tree: Arc::new(tree), leaves, hasher: PhantomData }
    }

    /// Appends a leaf and returns its index.
    ///
    /// # Errors
    ///
    /// [`LeafRefused`](Error::LeafRefused) if the hash function does not accept the leaf.
    pub fn push(&mut self, leaf: Hash) -> Result<LeafIndex> {
        self.extend(std::slice::from_ref(&leaf)).map(|range| LeafIndex(range.start))
    }

    /// Appends leaves and returns their indexes. Large batches use every core.
    ///
    /// # Errors
    ///
    /// [`LeafRefused`](Error::LeafRefused) if the hash function does not accept a leaf. Nothing was then
    /// appended.
    pub fn extend(&mut self, leaves: &[Hash]) -> Result<Range<u64>> {
        let hasher = &self.tree.hasher;
        if let Some(position) = hasher.first_refused(leaves) {
            let (tree, hasher) = (self.tree.name().clone(), hasher.id().to_string());
            return Err(Error::LeafRefused { tree, position, hasher });
        }
        let first = self.leaves.len();
        self.tree.append(&mut self.leaves, leaves);
        Ok(first..self.leaves.len())
    }

    /// Appends the leaf for raw `data`, hashed with the leaf function of the hash function.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn push_data(&mut self, data: &[u8]) -> Result<LeafIndex> {
        self.push(self.tree.hasher.leaf(data))
    }
}

impl<H, const N: usize> MemoryAccumulator<H, N> {
    /// The number of leaves in the tree.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        TreeSize(self.leaves.len())
    }

    /// Size and root. Hashes the nodes that are not hashed yet.
    ///
    /// # Errors
    ///
    /// None without a store. The return type is the one of [`Snapshot`].
    pub fn head(&self) -> Result<TreeHead> {
        self.head_at(self.size())
    }

    /// The head of the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// [`SizeOutOfRange`](Error::SizeOutOfRange) beyond the current size.
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        let (size, current) = (size.into(), self.size());
        if size > current {
            return Err(Error::SizeOutOfRange { size, current });
        }
        self.tree.head_at(size)
    }

    /// The proof that the leaf at `index` is in the tree. A [`snapshot`](Self::snapshot) makes all other
    /// kinds of proof, and proofs at past sizes.
    ///
    /// # Errors
    ///
    /// [`IndexOutOfRange`](Error::IndexOutOfRange) at or beyond the size.
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.snapshot().prove(index)
    }

    /// The leaf at `index`.
    ///
    /// # Errors
    ///
    /// [`IndexOutOfRange`](Error::IndexOutOfRange) at or beyond the size.
    pub fn leaf(&self, index: impl Into<LeafIndex>) -> Result<Hash> {
        self.snapshot().leaf(index)
    }

    /// The tree as it is now, for as long as the snapshot lives. O(1).
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.tree))
    }
}

impl<H: Hasher + Default, const N: usize> Default for MemoryAccumulator<H, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H, const N: usize> fmt::Debug for MemoryAccumulator<H, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryAccumulator").field("tree", &self.tree).finish()
    }
}
