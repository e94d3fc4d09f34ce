//! A tree as it was at one size.

mod entries;
mod find;
mod leaves;
mod run;
mod tiles;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::column::View;
use crate::engine::{Floor, Tree};
use crate::entry::{Erasure, Framing};
use crate::error::{Error, ReadError, Result};
use crate::merkle::{
    Arity, ConsistencyProof, EdgeNodes, Frontier, Hash, Hasher, InclusionProof, LeafIndex, Level,
    MultiProof, NodeIndex, NodeSource, ProveError, RightEdge, Shape, Subtree, SubtreeProof,
    TreeHead, TreeName, TreeSize,
};

/// A tree as it was at one size, for as long as the snapshot lives.
///
/// Taking a snapshot copies nothing and blocks no other thread. Reading from a snapshot takes no lock,
/// with one exception: the first root or proof of a size hashes the nodes that are not hashed yet. The
/// contents of a snapshot never change, and a snapshot may outlive its store. In a forked child every
/// call fails with [`Error::Forked`].
pub struct Snapshot {
    tree: Arc<Tree>,
    /// Where the tree began when the snapshot was taken.
    floor: Arc<Floor>,
    size: TreeSize,
    /// The folded edge. Made on demand, once every inner node of this size is hashed. Not a view: a view
    /// would keep nodes in memory that a checkpoint has written since, about 9 MB per snapshot.
    warm: OnceLock<Arc<RightEdge>>,
}

pub use entries::{Entries, Entry, EntryRuns};
pub use find::FoundLeaves;
pub use leaves::Leaves;
pub use run::{EntryRun, RunEntries};

/// Leaves per read: 2 MiB.
const PIECE: u64 = 1 << 16;

impl Snapshot {
    pub(crate) fn new(tree: Arc<Tree>) -> Self {
        let floor = tree.floor();
        let size = TreeSize(tree.columns.leaves());
        Self { tree, floor, size, warm: OnceLock::new() }
    }

    /// The tree as it was at `size`. The tree must have reached this size.
    pub(crate) fn of_size(tree: Arc<Tree>, size: TreeSize) -> Self {
        let floor = tree.floor();
        Self { tree, floor, size, warm: OnceLock::new() }
    }

    /// The number of leaves in the snapshot.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// The first leaf that the snapshot has: those before it were [pruned](crate::Accumulator::prune) when the snapshot was
    /// taken. The snapshot answers for sizes from this one on. 0 for a tree that was never pruned.
    #[must_use]
    pub fn base(&self) -> TreeSize {
        TreeSize(self.floor.base())
    }

    /// The hash function.
    #[must_use]
    pub fn hasher(&self) -> &dyn Hasher {
        &*self.tree.hasher
    }

    /// How many children a complete node has.
    #[must_use]
    pub fn arity(&self) -> Arity {
        self.tree.arity
    }

    /// The tree's name.
    #[must_use]
    pub fn name(&self) -> &TreeName {
        self.tree.name()
    }

    /// How many of the snapshot's leaves are known to be durable now. For a snapshot of a
    /// [`Reader`](crate::Reader): at the last refresh.
    #[must_use]
    pub fn durable_size(&self) -> TreeSize {
        self.tree.durable().min(self.size)
    }

    /// The head at [`durable_size`](Self::durable_size). Sign and publish this head, because no crash
    /// can undo it. Make the proofs for this head with [`prove_at`](Self::prove_at) and
    /// [`prove_consistency_between`](Self::prove_consistency_between) and its size.
    ///
    /// # Errors
    ///
    /// As [`head`](Self::head).
    pub fn durable_head(&self) -> Result<TreeHead> {
        self.head_at(self.durable_size())
    }

    /// Size and root. A crash may undo the newest leaves, so use [`durable_head`](Self::durable_head)
    /// for a head that you sign or publish.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if a part cannot be read. Every call that needs a leaf or a size below the
    /// [base](Self::base) fails with [`Error::Pruned`].
    pub fn head(&self) -> Result<TreeHead> {
        Ok(self.warm()?.head())
    }

    /// The head of the tree when it had `size` leaves. O(N log size).
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] beyond the snapshot's size; [`Error::Damaged`] if a part cannot be
    /// read.
    pub fn head_at(&self, size: impl Into<TreeSize>) -> Result<TreeHead> {
        let size = self.check_size(size.into())?;
        if size == self.size {
            return self.head();
        }
        self.tree.head_from(&self.floor, size)
    }

    /// The proof that the leaf at `index` is in the tree of the snapshot's size.
    ///
    /// ```
    /// use duramen::{Blake3, MemoryAccumulator};
    ///
    /// let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    /// tree.extend(&[[1; 32], [2; 32], [3; 32]])?;
    /// let snapshot = tree.snapshot();
    /// let (head, proof) = (snapshot.head()?, snapshot.prove(1)?);
    /// proof.verify(&Blake3, duramen::Arity::Four, &head, 1.into(), &[2; 32])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] at or beyond the size; [`Error::Damaged`] if a part cannot be read.
    pub fn prove(&self, index: impl Into<LeafIndex>) -> Result<InclusionProof> {
        self.tree.check_process()?;
        let index = index.into();
        if let Some(edge) = self.warm.get() {
            self.tree.check_floor(index.0, &self.floor)?;
            return Ok(InclusionProof::build(&self.tree.view(&self.floor), edge, index)?);
        }
        self.prove_at(index, self.size)
    }

    /// The proof that the leaf at `index` was in the tree when it had `size` leaves.
    ///
    /// Hashes at most once per level. Hashes nothing for a size that was requested twice recently: all
    /// snapshots share a cache of the right edges of about 64 such sizes, 2 KiB each.
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] beyond the snapshot's size, [`Error::IndexOutOfRange`] at or beyond
    /// `size`; [`Error::Damaged`] if a part cannot be read.
    pub fn prove_at(
        &self,
        index: impl Into<LeafIndex>,
        size: impl Into<TreeSize>,
    ) -> Result<InclusionProof> {
        let index = index.into();
        self.at(size.into(), Some(index.0), |view, edge| {
            InclusionProof::assemble(view, &edge, index)
        })
    }

    /// One proof that the leaves at `indexes` are in the tree of the snapshot's size. The proof is
    /// smaller than the single proofs together, because it has a hash that several leaves need only
    /// once.
    ///
    /// The indexes are a set: their order does not matter, and duplicates count once.
    ///
    /// ```
    /// use duramen::{Blake3, LeafIndex, MemoryAccumulator};
    ///
    /// let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    /// tree.extend(&[[1; 32], [2; 32], [3; 32], [4; 32], [5; 32]])?;
    /// let snapshot = tree.snapshot();
    /// let proof = snapshot.prove_many(&[LeafIndex(0), LeafIndex(4)])?;
    /// let leaves = [(LeafIndex(0), [1; 32]), (LeafIndex(4), [5; 32])];
    /// proof.verify(&Blake3, duramen::Arity::Four, &snapshot.head()?, &leaves)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoIndexes`] without any index, [`Error::IndexOutOfRange`] with the largest one if it
    /// is at or beyond the size; [`Error::Damaged`] if a part cannot be read.
    pub fn prove_many(&self, indexes: &[LeafIndex]) -> Result<MultiProof> {
        self.prove_many_at(indexes, self.size)
    }

    /// One proof that the leaves at `indexes` were in the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// As [`prove_many`](Self::prove_many), and [`Error::SizeOutOfRange`] beyond the snapshot's size.
    pub fn prove_many_at(
        &self,
        indexes: &[LeafIndex],
        size: impl Into<TreeSize>,
    ) -> Result<MultiProof> {
        let first = indexes.iter().map(|index| index.0).min();
        self.at(size.into(), first, |view, edge| MultiProof::assemble(view, &edge, indexes))
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree of the snapshot's size. The proof
    /// is empty if `old` is 0 or the snapshot's size.
    ///
    /// ```
    /// use duramen::{Blake3, MemoryAccumulator};
    ///
    /// let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    /// tree.extend(&[[1; 32]; 100])?;
    /// let published = tree.head()?;
    /// tree.extend(&[[2; 32]; 50])?;
    /// let snapshot = tree.snapshot();
    /// let proof = snapshot.prove_consistency(published.size)?;
    /// proof.verify(&Blake3, duramen::Arity::Four, &published, &snapshot.head()?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] beyond the snapshot's size; [`Error::Damaged`] if a part cannot be
    /// read.
    pub fn prove_consistency(&self, old: impl Into<TreeSize>) -> Result<ConsistencyProof> {
        let old = old.into();
        self.check_end(old)?;
        self.prove_consistency_between(old, self.size)
    }

    /// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] if `new` is beyond the snapshot's size, [`Error::OldBeyondNew`] if
    /// `old` is larger than `new`; [`Error::Damaged`] if a part cannot be read.
    pub fn prove_consistency_between(
        &self,
        old: impl Into<TreeSize>,
        new: impl Into<TreeSize>,
    ) -> Result<ConsistencyProof> {
        let old = old.into();
        // The empty tree is a prefix of every other, and that takes no node.
        let needs = Some(old.0).filter(|old| *old > 0);
        self.at(new.into(), needs, |view, edge| ConsistencyProof::assemble(view, &edge, old))
    }

    /// The root of a subtree, which is the same at every size that has its leaves. The tree has arity 2.
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] if the subtree ends beyond the snapshot's size, [`Error::NoSubtrees`] if the tree
    /// has another arity than 2; [`Error::Damaged`] if a part cannot be read.
    pub fn subtree_root(&self, subtree: Subtree) -> Result<Hash> {
        self.subtree(subtree, TreeSize(subtree.end().get()), |view, hasher| {
            subtree.root(view, hasher).map_err(ProveError::Source)
        })
    }

    /// The proof that a subtree has the leaves that the tree of `size` leaves has there. The tree has arity 2.
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] if `size` is beyond the snapshot's or the subtree ends beyond `size`,
    /// [`Error::NoSubtrees`] if the tree has another arity than 2; [`Error::Damaged`] if a part cannot be read.
    pub fn prove_subtree(
        &self,
        subtree: Subtree,
        size: impl Into<TreeSize>,
    ) -> Result<SubtreeProof> {
        let size = size.into();
        self.subtree(subtree, size, |view, hasher| SubtreeProof::build(view, hasher, subtree, size))
    }

    /// The proof that the leaf `index` is in a subtree. The tree has arity 2.
    ///
    /// # Errors
    ///
    /// [`Error::OutsideSubtree`] if the leaf is not in it, and the errors of [`subtree_root`](Self::subtree_root).
    pub fn prove_in_subtree(
        &self,
        index: impl Into<LeafIndex>,
        subtree: Subtree,
    ) -> Result<InclusionProof> {
        self.subtree(subtree, TreeSize(subtree.end().get()), |view, hasher| {
            subtree.prove_inclusion(view, hasher, index)
        })
    }

    /// The frontier of the tree at the snapshot's size. These are the nodes needed to append leaves and
    /// to compute roots without reading any leaf. At most 240 hashes.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if a part cannot be read.
    pub fn frontier(&self) -> Result<Frontier> {
        self.frontier_at(self.size)
    }

    /// The frontier of the tree when it had `size` leaves.
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] beyond the snapshot's size; [`Error::Damaged`] if a part cannot be
    /// read.
    pub fn frontier_at(&self, size: impl Into<TreeSize>) -> Result<Frontier> {
        let size = self.check_size(size.into())?;
        let view = self.tree.view_from(&self.floor, size.0);
        Ok(Frontier::read(&view, self.tree.arity, size)?)
    }

    /// The leaf at `index`.
    ///
    /// # Errors
    ///
    /// [`Error::IndexOutOfRange`] at or beyond the size; [`Error::Damaged`] if a part cannot be read.
    pub fn leaf(&self, index: impl Into<LeafIndex>) -> Result<Hash> {
        self.tree.check_process()?;
        let index = index.into();
        if index.0 >= self.size.0 {
            return Err(Error::IndexOutOfRange { index, size: self.size });
        }
        self.tree.check_floor(index.0, &self.floor)?;
        let mut leaf = [[0; 32]];
        let view = self.tree.view(&self.floor);
        view.read_nodes(Level::LEAVES, NodeIndex(index.0), &mut leaf)?;
        Ok(leaf[0])
    }

    /// The entry at `index`. Entries that no part has yet, and those of a mapped part that is not
    /// compressed, are not copied. The first time that an entry of a part is read, it is hashed and
    /// compared with its leaf. Entries of the log were compared when the log was read.
    ///
    /// # Errors
    ///
    /// [`Error::NoEntries`] if the tree keeps no entries; [`Error::IndexOutOfRange`] at or beyond the
    /// size; [`Error::Erased`] if the entry was erased, before the snapshot or after it; [`Error::Damaged`] if a part cannot be read, or if the entry does not hash to its leaf.
    pub fn entry(&self, index: impl Into<LeafIndex>) -> Result<Entry> {
        self.tree.check_process()?;
        let index = index.into();
        let framing = self.framing()?;
        if index.0 >= self.size.0 {
            return Err(Error::IndexOutOfRange { index, size: self.size });
        }
        Ok(Entry::new(self.tree.entry(&self.floor, index.0, framing)?))
    }

    /// An iterator over the entries of `range`, in order. The range may be empty and of any length. The
    /// iterator holds one bundle of 256 entries, or one piece of memory of up to 4 MiB.
    ///
    /// # Errors
    ///
    /// [`Error::NoEntries`]; [`Error::SizeOutOfRange`] if the range ends beyond the size. An item is an
    /// error if its entry cannot be read. The iterator then continues with the next entry.
    pub fn entries(&self, range: Range<u64>) -> Result<Entries> {
        let framing = self.framing()?;
        self.check_range(&range)?;
        let (tree, floor) = (Arc::clone(&self.tree), Arc::clone(&self.floor));
        Ok(Entries::new(tree, floor, framing, range))
    }

    /// All erasures of the tree, oldest first, also those after the snapshot. Empty if there are none. Those of pruned
    /// entries are not among them.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`].
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        self.tree.check_process()?;
        Ok(self.tree.erasures().behind(self.floor.base()).list())
    }

    fn framing(&self) -> Result<Framing> {
        let none = || Error::NoEntries { tree: self.tree.name().clone() };
        self.tree.framing.ok_or_else(none)
    }

    /// The leaves of `range`, all in memory. The range may be empty. For a large range use
    /// [`leaves_iter`](Self::leaves_iter).
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] if the range ends beyond the size; [`Error::NoMemory`] if there is not
    /// enough memory for the leaves; [`Error::Damaged`] if a part cannot be read.
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>> {
        self.check_range(&range)?;
        let count = range.end.saturating_sub(range.start);
        let mut leaves = Vec::new();
        let reserved =
            usize::try_from(count).ok().and_then(|len| leaves.try_reserve_exact(len).ok());
        reserved.ok_or(Error::NoMemory { leaves: count })?;
        let view = self.tree.view(&self.floor);
        let mut at = range.start;
        while at < range.end {
            // Memory grows as leaves are read, not ahead of them.
            let len = (range.end - at).min(PIECE);
            let have = leaves.len();
            leaves.resize(have + usize::try_from(len).unwrap_or(0), [0; 32]);
            view.read_nodes(Level::LEAVES, NodeIndex(at), &mut leaves[have..])?;
            at += len;
        }
        Ok(leaves)
    }

    /// An iterator over the leaves of `range`, in order. The range may be empty and of any length. The
    /// iterator reads blocks of 128 KiB on demand.
    ///
    /// ```
    /// use duramen::{Blake3, MemoryAccumulator};
    ///
    /// let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    /// tree.extend(&[[7; 32]; 10_000])?;
    /// for leaf in tree.snapshot().leaves_iter(100..10_000)? {
    ///     assert_eq!(leaf?, [7; 32]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SizeOutOfRange`] if the range ends beyond the size. An item is [`Error::Damaged`] if its
    /// leaf cannot be read. The iterator then continues with the next leaf.
    pub fn leaves_iter(&self, range: Range<u64>) -> Result<Leaves> {
        self.check_range(&range)?;
        Ok(Leaves::new(Arc::clone(&self.tree), Arc::clone(&self.floor), range))
    }

    /// Fails if the tree had no such size when the snapshot was taken, or is pruned there.
    fn check_size(&self, size: TreeSize) -> Result<TreeSize> {
        self.check_end(size)?;
        self.tree.check_floor(size.0, &self.floor)?;
        Ok(size)
    }

    /// Fails if `size` is beyond the snapshot's.
    fn check_end(&self, size: TreeSize) -> Result<()> {
        self.tree.check_process()?;
        if size > self.size {
            return Err(Error::SizeOutOfRange { size, current: self.size });
        }
        Ok(())
    }

    /// Fails if the snapshot does not have all leaves of `range`.
    fn check_range(&self, range: &Range<u64>) -> Result<()> {
        self.check_end(TreeSize(range.end))?;
        if range.is_empty() { Ok(()) } else { self.tree.check_floor(range.start, &self.floor) }
    }

    /// Calls `build` with the nodes of `size`, among which are those of `subtree`.
    fn subtree<T>(
        &self,
        subtree: Subtree,
        size: TreeSize,
        build: impl FnOnce(&View, &dyn Hasher) -> Result<T, ProveError<ReadError>>,
    ) -> Result<T> {
        if self.tree.arity != Arity::Two {
            return Err(Error::NoSubtrees { arity: self.tree.arity });
        }
        let size = self.check_size(size)?;
        self.tree.check_floor(subtree.start().get(), &self.floor)?;
        Ok(build(&self.tree.view_from(&self.floor, size.0), self.hasher())?)
    }

    /// Calls `build` with the nodes of `size` and its right edge. `first` is the first leaf or the smallest size that the
    /// result is about besides.
    fn at<T>(
        &self,
        size: TreeSize,
        first: Option<u64>,
        build: impl FnOnce(&View, EdgeNodes<'_, dyn Hasher>) -> Result<T, ProveError<ReadError>>,
    ) -> Result<T> {
        let size = self.check_size(size)?;
        if let Some(first) = first {
            self.tree.check_floor(first, &self.floor)?;
        }
        if size == self.size
            && let Some(edge) = self.warm.get()
        {
            return Ok(build(&self.tree.view(&self.floor), EdgeNodes::Folded(edge))?);
        }
        let view = &self.tree.view_from(&self.floor, size.0);
        match self.tree.edge(view, size)? {
            Some(edge) => {
                let built = build(view, EdgeNodes::Folded(&edge))?;
                if size == self.size {
                    // Later proofs of this size then need no lookup.
                    self.warm.get_or_init(|| edge);
                }
                Ok(built)
            }
            None => {
                let shape = Shape::new(self.tree.arity, size);
                Ok(build(view, EdgeNodes::Fold(&*self.tree.hasher, shape))?)
            }
        }
    }

    fn warm(&self) -> Result<&RightEdge> {
        self.tree.check_process()?;
        if let Some(edge) = self.warm.get() {
            return Ok(edge);
        }
        self.tree.check_floor(self.size.0, &self.floor)?;
        // A failure is not cached, because a later read may succeed.
        let view = self.tree.view_from(&self.floor, self.size.0);
        let made = RightEdge::fold(&view, &*self.tree.hasher, self.tree.arity, self.size)?;
        Ok(self.warm.get_or_init(|| Arc::new(made)))
    }
}

impl Clone for Snapshot {
    fn clone(&self) -> Self {
        let (tree, floor) = (Arc::clone(&self.tree), Arc::clone(&self.floor));
        Self { tree, floor, size: self.size, warm: OnceLock::new() }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("size", &self.size).finish_non_exhaustive()
    }
}
