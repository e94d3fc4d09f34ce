//! Finds leaves by their hash, and inserts those that a tree does not have.

use super::{Accumulator, DynAccumulator, Unique};
use crate::durability::DurabilityToken;
use crate::engine::{Intake, Request};
use crate::error::Result;
use crate::merkle::{Hash, Hasher, InclusionProof, LeafIndex};
use crate::snapshot::FoundLeaves;

impl DynAccumulator {
    /// Gives the tree an index, for good, so that [`find`](Self::find) and [`insert_unique`](Self::insert_unique) work.
    /// Changes nothing if the tree has one. Visible at once; the token resolves once it is durable. See
    /// [`TreeConfig::indexed`](crate::TreeConfig::indexed).
    ///
    /// # Errors
    ///
    /// [`TreeDropped`](crate::Error::TreeDropped), [`Poisoned`](crate::Error::Poisoned),
    /// [`Closed`](crate::Error::Closed).
    pub fn add_index(&self) -> Result<DurabilityToken> {
        self.engine()?.add_index(&self.tree())
    }

    /// Writes the indexes that parts of the tree lack, on this thread, and returns when all are there. Workers do the same
    /// in the background; this is for a caller that wants to wait. An index is never made durable: one that a power
    /// cut damages is written again.
    ///
    /// # Errors
    ///
    /// [`NoIndex`](crate::Error::NoIndex) before [`add_index`](Self::add_index); [`Io`](crate::Error::Io) if one
    /// cannot be written.
    pub fn build_index(&self) -> Result<()> {
        self.engine()?.build_index(&self.tree())
    }

    /// Whether the tree has an index.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.tree().is_indexed()
    }

    /// The index of the first leaf that is equal to `leaf`, durable or not.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::find`](crate::Snapshot::find).
    pub fn find(&self, leaf: &Hash) -> Result<Option<LeafIndex>> {
        self.then_mend(self.snapshot().find(leaf))
    }

    /// The indexes of all leaves that are equal to `leaf`.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::find_all`](crate::Snapshot::find_all).
    pub fn find_all(&self, leaf: &Hash) -> Result<FoundLeaves> {
        self.then_mend(self.snapshot().find_all(leaf))
    }

    /// The first leaf that is equal to `leaf`, and the proof that it is in the tree as it is now.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::prove_leaf`](crate::Snapshot::prove_leaf).
    pub fn prove_leaf(&self, leaf: &Hash) -> Result<Option<(LeafIndex, InclusionProof)>> {
        self.then_mend(self.snapshot().prove_leaf(leaf))
    }

    /// Appends a leaf as [`insert`](Self::insert) does, unless the tree has one that is equal. All leaves count, also
    /// those that are not durable yet. Threads that call this at the same time with equal leaves get one index: the
    /// leaf is new for one of them.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Accumulator, Config};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("log")))?;
    /// log.add_index()?;
    /// let first = log.insert_unique([7; 32])?;
    /// let second = log.insert_unique([7; 32])?;
    /// assert!(first.is_new() && !second.is_new());
    /// assert_eq!(first.index(), second.index());
    /// second.token().wait()?; // the first one is durable now
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`insert`](Self::insert) and [`find`](Self::find). After an error nothing was inserted.
    pub fn insert_unique(&self, leaf: Hash) -> Result<Unique> {
        self.one_unique(&leaf, &[], Intake::Insert)
    }

    /// As [`insert_unique`](Self::insert_unique), for a batch. The leaves that the tree does not have are inserted
    /// together, and each once. Returns what became of each leaf, in order.
    ///
    /// # Errors
    ///
    /// As [`insert_unique`](Self::insert_unique). After an error nothing was inserted.
    pub fn insert_unique_many(&self, leaves: &[Hash]) -> Result<Vec<Unique>> {
        self.unique(leaves, &[])
    }

    /// Appends an entry as [`insert_entry`](Self::insert_entry) does, unless the tree has one that is equal.
    ///
    /// # Errors
    ///
    /// As [`insert_entry`](Self::insert_entry) and [`find`](Self::find). After an error nothing was inserted.
    pub fn insert_unique_entry(&self, entry: impl AsRef<[u8]>) -> Result<Unique> {
        let entry = entry.as_ref();
        self.one_unique(&self.hasher().leaf(entry), &[entry], Intake::Insert)
    }

    /// As [`insert_unique_entry`](Self::insert_unique_entry), for a batch.
    ///
    /// # Errors
    ///
    /// As [`insert_unique_entry`](Self::insert_unique_entry). After an error nothing was inserted.
    pub fn insert_unique_entries(&self, entries: &[impl AsRef<[u8]>]) -> Result<Vec<Unique>> {
        let entries: Vec<&[u8]> = entries.iter().map(AsRef::as_ref).collect();
        self.unique(&self.fixed().leaves_of(&entries), &entries)
    }

    /// As [`insert_unique_entry`](Self::insert_unique_entry), and returns when the entry is durable, new or not. Threads
    /// that call this at the same time share fsyncs.
    ///
    /// # Errors
    ///
    /// As [`insert_unique_entry`](Self::insert_unique_entry) and [`insert_durable`](Self::insert_durable).
    pub fn insert_unique_entry_durable(&self, entry: impl AsRef<[u8]>) -> Result<Unique> {
        const CALL: &str = "insert_unique_entry_durable";
        self.engine()?.check_may_wait(CALL)?;
        let entry = entry.as_ref();
        let unique = self.one_unique(&self.hasher().leaf(entry), &[entry], Intake::Durable)?;
        if !unique.token().is_durable() {
            match &unique {
                Unique::New { token, .. } => self.engine()?.flush_to(token.seq(), CALL)?,
                // It may lie behind the last point, which only a flush names.
                Unique::Existing { .. } => self.engine()?.flush()?,
            }
        }
        Ok(unique)
    }

    /// Has an index that a search could not use written again.
    fn then_mend<T>(&self, found: Result<T>) -> Result<T> {
        if found.is_ok() {
            self.engine()?.mend_indexes(&self.tree());
        }
        found
    }

    fn one_unique(&self, leaf: &Hash, entries: &[&[u8]], how: Intake) -> Result<Unique> {
        let (slot, leaves) = (self.slot(), std::slice::from_ref(leaf));
        let request = Request { slot, leaves, entries, unique: &[true] };
        let engine = self.engine()?;
        let (settled, seq) = engine.insert_unique(&[request], None, how)?;
        let found = settled.first().and_then(|settled| settled.found.first());
        #[expect(clippy::unwrap_used, reason = "one leaf was asked for")]
        Ok(Unique::of(engine, self.fixed().id(), *found.unwrap(), seq))
    }

    fn unique(&self, leaves: &[Hash], entries: &[&[u8]]) -> Result<Vec<Unique>> {
        let unique = vec![true; leaves.len()];
        let request = Request { slot: self.slot(), leaves, entries, unique: &unique };
        let engine = self.engine()?;
        let (settled, seq) = engine.insert_unique(&[request], None, Intake::Insert)?;
        let found = settled.iter().flat_map(|settled| &settled.found);
        Ok(found.map(|found| Unique::of(engine, self.fixed().id(), *found, seq)).collect())
    }
}

/// See [`DynAccumulator`] for each of these calls.
impl<H: Hasher + Default, const N: usize> Accumulator<H, N> {
    /// As [`DynAccumulator::add_index`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn add_index(&self) -> Result<DurabilityToken> {
        self.as_ref().add_index()
    }

    /// As [`DynAccumulator::build_index`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn build_index(&self) -> Result<()> {
        self.as_ref().build_index()
    }

    /// As [`DynAccumulator::is_indexed`].
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.as_ref().is_indexed()
    }

    /// As [`DynAccumulator::find`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn find(&self, leaf: &Hash) -> Result<Option<LeafIndex>> {
        self.as_ref().find(leaf)
    }

    /// As [`DynAccumulator::find_all`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn find_all(&self, leaf: &Hash) -> Result<FoundLeaves> {
        self.as_ref().find_all(leaf)
    }

    /// As [`DynAccumulator::prove_leaf`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prove_leaf(&self, leaf: &Hash) -> Result<Option<(LeafIndex, InclusionProof)>> {
        self.as_ref().prove_leaf(leaf)
    }

    /// As [`DynAccumulator::insert_unique`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_unique(&self, leaf: Hash) -> Result<Unique> {
        self.as_ref().insert_unique(leaf)
    }

    /// As [`DynAccumulator::insert_unique_many`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_unique_many(&self, leaves: &[Hash]) -> Result<Vec<Unique>> {
        self.as_ref().insert_unique_many(leaves)
    }

    /// As [`DynAccumulator::insert_unique_entry`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_unique_entry(&self, entry: impl AsRef<[u8]>) -> Result<Unique> {
        self.as_ref().insert_unique_entry(entry)
    }

    /// As [`DynAccumulator::insert_unique_entries`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_unique_entries(&self, entries: &[impl AsRef<[u8]>]) -> Result<Vec<Unique>> {
        self.as_ref().insert_unique_entries(entries)
    }

    /// As [`DynAccumulator::insert_unique_entry_durable`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn insert_unique_entry_durable(&self, entry: impl AsRef<[u8]>) -> Result<Unique> {
        self.as_ref().insert_unique_entry_durable(entry)
    }
}
