//! Leaves for several trees, inserted atomically.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;
use std::sync::Arc;

use crate::accumulator::{DynAccumulator, Unique};
use crate::durability::DurabilityToken;
use crate::engine::{Addition, Fixed, Intake, Request, Slot};
use crate::error::{Error, Result};
use crate::ids::TreeId;
use crate::mark::MarkName;
use crate::merkle::{Hash, TreeName};
use crate::shared::Shared;

/// Leaves for any number of trees of one store. [`commit`](Self::commit) inserts them atomically.
///
/// Before that nothing is inserted, and dropping the batch discards it. A batch takes 32 bytes per leaf, and 64
/// while it is committed if it came back to a tree after leaves for another one. An entry takes its length and 40
/// bytes besides.
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
    trees: Vec<Arc<Slot>>,
    /// Where each tree stands in `trees`.
    places: HashMap<TreeId, usize, BuildHasherDefault<IdHasher>>,
    /// The leaves of all trees, in the order of calls: a list for each tree would be a piece of memory for each.
    leaves: Vec<Hash>,
    /// Which of them are for which tree.
    runs: Vec<Run>,
    /// The entries of all trees that keep entries, in the order of calls: their bytes, and where each is.
    bytes: Vec<u8>,
    entries: Vec<Span>,
    /// The positions in `leaves` of those that are inserted only if their tree has none equal, in rising order.
    unique: Vec<usize>,
    mark: Option<MarkName>,
}

/// An entry, in the bytes of all.
struct Span {
    /// Where the tree stands.
    place: usize,
    start: usize,
    len: usize,
}

/// Leaves that follow one another and are for one tree.
struct Run {
    /// Where the tree stands.
    place: usize,
    len: usize,
}

/// What a batch with unique leaves has for one tree.
#[derive(Default)]
struct OfTree<'a> {
    leaves: Vec<Hash>,
    entries: Vec<&'a [u8]>,
    unique: Vec<bool>,
}

/// Hashes the id of a tree. A store gives its ids out in order, so they need spreading and nothing more.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u32(&mut self, id: u32) {
        // The odd number next to 2^64 divided by the golden ratio. The high bits of a product depend on all bits.
        let product = (self.0 ^ u64::from(id)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product.rotate_left(u32::BITS);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A batch that was inserted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The indexes of the batch's leaves. There is one range per tree, in the order in which the batch
    /// first used the trees. The leaves of a tree are in its range in the order of calls, without those that the tree had.
    pub ranges: Vec<TreeRange>,
    /// What became of the leaves of [`Batch::insert_unique`] and [`Batch::insert_unique_entry`], in the order of calls.
    pub unique: Vec<Unique>,
    /// Resolves once the whole batch is durable.
    pub token: DurabilityToken,
}

/// Awaits the token: resolves once the whole batch is durable.
impl IntoFuture for Committed {
    type Output = Result<()>;
    type IntoFuture = DurabilityToken;

    fn into_future(self) -> DurabilityToken {
        self.token
    }
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
        let (trees, places) = (Vec::new(), HashMap::default());
        let (leaves, runs, bytes) = (Vec::new(), Vec::new(), Vec::new());
        let (entries, unique) = (Vec::new(), Vec::new());
        Self { shared, trees, places, leaves, runs, bytes, entries, unique, mark: None }
    }

    /// Has the batch set a mark: a name for the sizes of all trees of the store with the batch, see
    /// [`Store::mark`](crate::Store::mark). The batch and its mark are one: after a crash both are there or neither. A
    /// second call replaces the name.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Blake3, Config, MarkName, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("chain")))?;
    /// let notes = store.tree::<Blake3, 4>("notes")?;
    /// let block = MarkName::of_bytes(&[0xab; 32])?;
    /// let mut batch = store.batch();
    /// batch.insert_many(&notes, &[[1; 32], [2; 32]])?.mark(&block)?;
    /// batch.commit()?.token.wait()?;
    /// assert_eq!(store.snapshot_at(&block)?.head()?, store.head()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MarkName`](Error::MarkName). Whether the name is free is decided when the batch is committed.
    pub fn mark(&mut self, name: impl AsRef<str>) -> Result<&mut Self> {
        self.mark = Some(MarkName::new(name.as_ref())?);
        Ok(self)
    }

    /// Adds a leaf for `tree`, an [`Accumulator`](crate::Accumulator) or a [`DynAccumulator`].
    ///
    /// # Errors
    ///
    /// [`ForeignTree`](Error::ForeignTree) if the tree does not belong to the store of the batch;
    /// [`EntryMissing`](Error::EntryMissing) if it keeps entries. The batch is then unchanged.
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
        let tree = self.own(handle)?;
        if tree.framing.is_some() && !leaves.is_empty() {
            return Err(Error::EntryMissing { tree: tree.name().clone() });
        }
        self.add(handle, leaves);
        Ok(self)
    }

    /// Adds an entry for `tree`, which keeps entries, and its leaf. Copies the entry.
    ///
    /// # Errors
    ///
    /// [`ForeignTree`](Error::ForeignTree), [`NoEntries`](Error::NoEntries),
    /// [`EntryTooLong`](Error::EntryTooLong). The batch is then unchanged.
    pub fn insert_entry(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        entry: impl AsRef<[u8]>,
    ) -> Result<&mut Self> {
        let handle = tree.as_ref();
        let tree = self.own(handle)?;
        let entry = entry.as_ref();
        let Some(kept) = tree.spec.entries else {
            return Err(Error::NoEntries { tree: tree.name().clone() });
        };
        let (len, longest) = (entry.len() as u64, kept.longest_bytes());
        if len > u64::from(longest) {
            let (tree, position) = (tree.name().clone(), self.entries.len());
            return Err(Error::EntryTooLong { tree, position, len, longest });
        }
        let place = self.add(handle, &[tree.hasher.leaf(entry)]);
        self.entries.push(Span { place, start: self.bytes.len(), len: entry.len() });
        self.bytes.extend_from_slice(entry);
        Ok(self)
    }

    /// Adds a leaf for `tree`, to be inserted only if the tree has none equal when the batch is committed, and no call
    /// before this one put one into the batch. [`Committed::unique`] says what became of it.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), and [`NoIndex`](Error::NoIndex) if the tree has no index.
    pub fn insert_unique(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        leaf: Hash,
    ) -> Result<&mut Self> {
        self.check_indexed(tree.as_ref())?;
        self.insert(tree, leaf)?;
        self.unique.push(self.leaves.len() - 1);
        Ok(self)
    }

    /// As [`insert_unique`](Self::insert_unique), for an entry and its leaf. Copies the entry.
    ///
    /// # Errors
    ///
    /// As [`insert_entry`](Self::insert_entry), and [`NoIndex`](Error::NoIndex) if the tree has no index.
    pub fn insert_unique_entry(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        entry: impl AsRef<[u8]>,
    ) -> Result<&mut Self> {
        self.check_indexed(tree.as_ref())?;
        self.insert_entry(tree, entry)?;
        self.unique.push(self.leaves.len() - 1);
        Ok(self)
    }

    fn check_indexed(&self, handle: &DynAccumulator) -> Result<()> {
        let tree = self.own(handle)?;
        match handle.tree().is_indexed() {
            true => Ok(()),
            false => Err(Error::NoIndex { tree: tree.name().clone() }),
        }
    }

    /// The tree of a handle, if it belongs to the store of the batch.
    fn own<'a>(&self, handle: &'a DynAccumulator) -> Result<&'a Arc<Fixed>> {
        let tree = handle.fixed();
        match Arc::ptr_eq(handle.shared(), &self.shared) {
            true => Ok(tree),
            false => Err(Error::ForeignTree { tree: tree.name().clone() }),
        }
    }

    /// Adds leaves. Returns where their tree stands.
    fn add(&mut self, tree: &DynAccumulator, leaves: &[Hash]) -> usize {
        let place = *self.places.entry(tree.fixed().id()).or_insert(self.trees.len());
        if place == self.trees.len() {
            self.trees.push(Arc::clone(tree.slot()));
        }
        self.leaves.extend_from_slice(leaves);
        match self.runs.last_mut() {
            Some(last) if last.place == place => last.len += leaves.len(),
            _ => self.runs.push(Run { place, len: leaves.len() }),
        }
        place
    }

    /// Adds the leaf for raw `data`, hashed with the leaf function of the tree's hash function. A tree that
    /// keeps entries keeps the data.
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert), or in a tree that keeps entries as [`insert_entry`](Self::insert_entry).
    pub fn insert_data(
        &mut self,
        tree: &impl AsRef<DynAccumulator>,
        data: &[u8],
    ) -> Result<&mut Self> {
        if tree.as_ref().fixed().framing.is_some() {
            return self.insert_entry(tree, data);
        }
        let leaf = tree.as_ref().hasher().leaf(data);
        self.insert(tree, leaf)
    }

    /// The number of leaves in the batch.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether the batch has no leaves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inserts all leaves of the batch atomically. A [`StoreSnapshot`](crate::StoreSnapshot) shows the
    /// whole batch or nothing of it, and so does the store after a crash. The batch is in one group of
    /// the log, and one fsync makes it durable. A batch without leaves and without a mark is durable at once.
    ///
    /// Waits for room as [`DynAccumulator::insert`] does.
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert`]. Also [`TreeSealed`](Error::TreeSealed) and
    /// [`TreeDropped`](Error::TreeDropped) if one of the trees is sealed or dropped;
    /// [`MarkExists`](Error::MarkExists) and [`TooManyMarks`](Error::TooManyMarks) for the batch's mark.
    /// After an error nothing was inserted in any tree, and nothing was marked.
    pub fn commit(mut self) -> Result<Committed> {
        if !self.unique.is_empty() {
            return self.commit_unique();
        }
        if self.runs.len() > self.trees.len() {
            self.gather();
        }
        let mut entries = vec![Vec::new(); self.trees.len()];
        for Span { place, start, len } in &self.entries {
            entries[*place].push(&self.bytes[*start..start + len]);
        }
        let mut rest = &self.leaves[..];
        let each = self.trees.iter().zip(&self.runs).zip(&entries);
        let additions = each.filter_map(|((slot, run), entries)| {
            let (leaves, later) = rest.split_at(run.len);
            rest = later;
            // Each tree has a handle, and so is awake.
            Some(Addition { tree: slot.fixed()?, leaves, entries })
        });
        let additions: Vec<_> = additions.collect();
        let (ranges, token) =
            self.shared.engine()?.insert_all(&additions, self.mark.as_ref(), Intake::Insert)?;
        let ranges = self.trees.iter().zip(ranges);
        let ranges = ranges.map(|(slot, range)| TreeRange { tree: slot.spec.name.clone(), range });
        Ok(Committed { ranges: ranges.collect(), unique: Vec::new(), token })
    }

    /// As [`commit`](Self::commit), with leaves that are inserted only if their tree has none equal.
    fn commit_unique(&self) -> Result<Committed> {
        let mut of_trees: Vec<_> = self.trees.iter().map(|_| OfTree::default()).collect();
        // Where the leaves of `unique` stand: the tree, and the position among its leaves.
        let mut places = Vec::with_capacity(self.unique.len());
        let mut unique = self.unique.iter().copied().peekable();
        let mut at = 0;
        for Run { place, len } in &self.runs {
            let of_tree = &mut of_trees[*place];
            for leaf in &self.leaves[at..at + len] {
                let is_unique = unique.next_if_eq(&at).is_some();
                if is_unique {
                    places.push((*place, of_tree.leaves.len()));
                }
                of_tree.leaves.push(*leaf);
                of_tree.unique.push(is_unique);
                at += 1;
            }
        }
        for Span { place, start, len } in &self.entries {
            of_trees[*place].entries.push(&self.bytes[*start..start + len]);
        }
        let each = self.trees.iter().zip(&of_trees);
        let requests: Vec<_> = each
            .map(|(slot, OfTree { leaves, entries, unique })| Request {
                slot,
                leaves,
                entries,
                unique,
            })
            .collect();
        let engine = self.shared.engine()?;
        let (settled, seq) = engine.insert_unique(&requests, self.mark.as_ref(), Intake::Insert)?;
        let unique = places.iter().map(|(place, at)| {
            let found = settled[*place].found[*at];
            Unique::of(engine, self.trees[*place].spec.id, found, seq)
        });
        let unique = unique.collect();
        let ends = self.trees.iter().zip(&settled).filter(|(_, settled)| !settled.range.is_empty());
        let ends = ends.map(|(slot, settled)| (slot.spec.id, settled.range.end)).collect();
        let token = engine.token_of_leaves(seq, ends);
        let ranges = self.trees.iter().zip(&settled);
        let ranges = ranges.map(|(slot, settled)| TreeRange {
            tree: slot.spec.name.clone(),
            range: settled.range.clone(),
        });
        Ok(Committed { ranges: ranges.collect(), unique, token })
    }

    /// Moves the leaves of each tree together, so that each tree has one run, in the order of the trees.
    fn gather(&mut self) {
        let mut gathered: Vec<_> =
            (0..self.trees.len()).map(|place| Run { place, len: 0 }).collect();
        for Run { place, len } in &self.runs {
            gathered[*place].len += len;
        }
        // Where the next leaf of each tree goes.
        let mut next: Vec<_> = gathered
            .iter()
            .scan(0, |end, run| Some(std::mem::replace(end, *end + run.len)))
            .collect();
        let mut leaves = vec![[0; 32]; self.leaves.len()];
        let mut rest = &self.leaves[..];
        for Run { place, len } in &self.runs {
            let (now, later) = rest.split_at(*len);
            leaves[next[*place]..][..*len].copy_from_slice(now);
            next[*place] += len;
            rest = later;
        }
        (self.leaves, self.runs) = (leaves, gathered);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("leaves", &self.len()).finish_non_exhaustive()
    }
}
