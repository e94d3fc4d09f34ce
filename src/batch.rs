//! Leaves for several trees, inserted atomically.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::accumulator::DynAccumulator;
use crate::durability::DurabilityToken;
use crate::engine::{Addition, Intake, Tree};
use crate::error::{Error, Result};
use crate::ids::TreeId;
use crate::merkle::{Hash, TreeName};
use crate::shared::Shared;

/// Leaves for any number of trees of one store. [`commit`](Self::commit) inserts them atomically.
///
/// Before that nothing is inserted, and dropping the batch discards it. A batch takes 32 bytes per leaf.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Blake3, Config, Rfc6962Sha256, Store};
///
/// let store = Store::open(Config::new(dir.path().join("chain")))?;
/// let notes = store.tree::<Blake3, 4>("notes")?;
/// let receipts = store.tree::<Rfc6962Sha256, 2>("receipts")?;
///
/// let mut block = store.batch();
/// block.insert_many(&notes, &[[1; 32], [2; 32]])?;
/// block.insert(&receipts, [3; 32])?;
/// let committed = block.commit()?;
/// assert_eq!(committed.ranges[0].range, 0..2);
/// committed.token.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch inserts nothing before it is committed"]
pub struct Batch {
    shared: Arc<Shared>,
    /// In the order in which the batch first used them.
    trees: Vec<(Arc<Tree>, Vec<Hash>)>,
    places: HashMap<TreeId, usize>,
}

/// A batch that was inserted.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The indexes of the batch's leaves. There is one range per tree, in the order in which the batch
    /// first used the trees. The leaves of a tree are in its range in the order of calls.
    pub ranges: Vec<TreeRange>,
    /// Resolves once the whole batch is durable.
    pub token: DurabilityToken,
}

/// The indexes of a batch's leaves in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeRange {
    /// The tree.
    pub tree: TreeName,
    /// The indexes.
    pub range: Range<u64>,
}

impl Batch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, trees: Vec::new(), places: HashMap::new() }
    }

    /// Adds a leaf for `tree`, an [`Accumulator`](crate::Accumulator) or a [`DynAccumulator`].
    ///
    /// # Errors
    ///
    /// [`ForeignTree`](Error::ForeignTree) if the tree does not belong to the store of the batch. The
    /// batch is then unchanged.
    pub fn insert(&mut self, tree: &impl AsRef<DynAccumulator>, leaf: Hash) -> Result<&mut Self> {
        self.insert_many(tree, std::slice::from_ref(&leaf))
    }

    /// Adds leaves for `tree`.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_many(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        leaves: &[Hash],
    ) -> Result<&mut Self> {
        let handle = tree.as_ref();
        let tree = handle.tree();
        if !Arc::ptr_eq(handle.shared(), &self.shared) {
            return Err(Error::ForeignTree { tree: tree.name().clone() });
        }
        let at = *self.places.entry(tree.id()).or_insert(self.trees.len());
        match self.trees.get_mut(at) {
            Some((_, known)) => known.extend_from_slice(leaves),
            None => self.trees.push((Arc::clone(tree), leaves.to_vec())),
        }
        Ok(self)
    }

    /// Adds the leaf for raw `data`, hashed with the leaf function of the tree's hash function.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert).
    pub fn insert_data(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        data: &[u8],
    ) -> Result<&mut Self> {
        let leaf = tree.as_ref().hasher().leaf(data);
        self.insert(tree, leaf)
    }

    /// The number of leaves in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.trees.iter().map(|(_, leaves)| leaves.len()).sum()
    }

    /// Whether the batch has no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts all leaves of the batch atomically. A [`StoreSnapshot`](crate::StoreSnapshot) shows the
    /// whole batch or nothing of it, and so does the store after a crash. The batch is in one group of
    /// the log, and one fsync makes it durable. An empty batch is durable at once.
    ///
    /// Waits for room as [`DynAccumulator::insert`] does.
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert`]. Also [`TreeSealed`](Error::TreeSealed) and
    /// [`TreeDropped`](Error::TreeDropped) if one of the trees is sealed or dropped. After an error
    /// nothing was inserted in any tree.
    pub fn commit(self) -> Result<Committed> {
        let addition = |(tree, leaves)| Addition { tree, leaves };
        let trees = self.trees.iter().map(|(tree, leaves)| (tree, &leaves[..]));
        let additions: Vec<_> = trees.map(addition).collect();
        let (ranges, token) = self.shared.engine.insert_all(&additions, Intake::Insert)?;
        let name = |(tree, _): &(Arc<Tree>, Vec<Hash>)| tree.name().clone();
        let ranges = self.trees.iter().map(name).zip(ranges);
        let ranges = ranges.map(|(tree, range)| TreeRange { tree, range }).collect();
        Ok(Committed { ranges, token })
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("leaves", &self.len()).finish_non_exhaustive()
    }
}
