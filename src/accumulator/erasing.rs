//! Erases the data of entries, and removes it from the files.

use std::time::SystemTime;

use super::{Accumulator, DynAccumulator, InsertedMany};
use crate::durability::DurabilityToken;
use crate::entry::{EntryRanges, Erasure};
use crate::error::Result;
use crate::merkle::Hash;
use crate::report::{Compact, CompactInfo};

impl DynAccumulator {
    /// Erases `entries` for `reason`. From now on reading one of them is
    /// [`Erased`](crate::Error::Erased), for every handle and snapshot of this process. Leaves, roots and proofs
    /// stay as they are.
    ///
    /// The erasure is a record of its own, which [`erasures`](Self::erasures) lists for ever. The token
    /// resolves once the record is durable. A crash before that takes the erasure back, together with
    /// everything accepted after it. The data itself leaves the files of the store with the next
    /// [`compact`](Self::compact), and not before.
    ///
    /// An entry that is erased already keeps the time and the reason of its first erasure. A sealed tree
    /// takes erasures. The cost of a call grows with the number of ranges that are erased in the tree, and
    /// inserts wait meanwhile: 10 ms for a million.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::{Compact, Config, EntryConfig, Error, Rfc6962Sha256, Store, TreeConfig};
    ///
    /// let store = Store::open(Config::new(dir.path().join("audit")))?;
    /// let kept = TreeConfig::of::<Rfc6962Sha256, 2>().entries(EntryConfig::new());
    /// let log = store.tree_dyn("requests", kept)?;
    /// log.insert_entries(&["login of ann", "login of bob"])?;
    /// let head = log.head()?;
    ///
    /// log.erase(0, "request 17 of ann")?.wait()?;
    /// assert!(matches!(log.entry(0), Err(Error::Erased { .. })));
    /// assert_eq!(log.head()?, head);
    ///
    /// // The data is gone from every file of the directory when this returns.
    /// let done = store.compact(Compact::new())?;
    /// assert_eq!(done.pinned_files, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NoEntries`](crate::Error::NoEntries) if the tree keeps no entries;
    /// [`NothingToErase`](crate::Error::NothingToErase) without a range or with an empty one;
    /// [`IndexOutOfRange`](crate::Error::IndexOutOfRange) if a range ends beyond the size;
    /// [`EraseReason`](crate::Error::EraseReason) if the reason has more than 1,024 bytes or a control character;
    /// [`TooManyErasures`](crate::Error::TooManyErasures) above 65,536 ranges in one call, or 1,048,576 in the
    /// store; [`Poisoned`](crate::Error::Poisoned), [`Closed`](crate::Error::Closed). After an error nothing was erased.
    pub fn erase(&self, entries: impl Into<EntryRanges>, reason: &str) -> Result<DurabilityToken> {
        self.engine()?.erase(self.fixed(), entries.into(), reason)
    }

    /// Appends leaves whose data is gone already: their entries are erased, since `at` and for `reason`, when this
    /// returns. For copies of a tree with [erased](Self::erase) entries: the copy gets the same root.
    ///
    /// The leaves are one batch, as with [`insert_many`](Self::insert_many), and are inserted together with the record
    /// that erases them. Nothing compares a leaf with data that is gone: compare the root of the copy with the one
    /// that it has to have. Other inserts wait until the leaves are copied.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use std::time::SystemTime;
    ///
    /// use duramen::{Config, EntryConfig, Error, Rfc6962Sha256, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("copy")))?;
    /// let log = store.tree_with_entries::<Rfc6962Sha256, 2>("requests", EntryConfig::new())?;
    /// log.insert_entry("login of bob")?;
    /// let gone = log.insert_erased(&[[7; 32]], SystemTime::now(), "request 17 of ann")?;
    /// assert_eq!(log.leaf(gone.range.start)?, [7; 32]);
    /// assert!(matches!(log.entry(gone.range.start), Err(Error::Erased { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`insert_many`](Self::insert_many), and as [`erase`](Self::erase). After an error nothing was inserted.
    pub fn insert_erased(
        &self,
        leaves: &[Hash],
        at: SystemTime,
        reason: &str,
    ) -> Result<InsertedMany> {
        let (first, token) = self.engine()?.insert_erased(self.fixed(), leaves, at, reason)?;
        Ok(InsertedMany { range: first..first + leaves.len() as u64, token })
    }

    /// All erasures of the tree, oldest first.
    ///
    /// # Errors
    ///
    /// As [`Snapshot::erasures`](crate::Snapshot::erasures).
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        self.snapshot().erasures()
    }

    /// Removes the data of [erased](Self::erase) entries from every file of the store's directory. Inserts,
    /// flushes and reads continue meanwhile, and no merge starts.
    ///
    /// Flushes, makes a checkpoint, writes each part with erased entries again without them, all parts of each
    /// tree into one if `how` is [full](Compact::full), and has the log continue in a new segment. Then the
    /// old parts and segments are overwritten with zeros, these are made durable, and the files are removed or
    /// reused. Without erased entries it is a checkpoint, and a merge if it is full.
    ///
    /// A file is not overwritten while it is read: [`CompactInfo::pinned_files`] says how many are left.
    /// A file that is a hard link of a [backup](Self::snapshot_to) is removed and not overwritten.
    ///
    /// After a crash the next open wipes what is left. Before it, files may still have the data.
    ///
    /// # Errors
    ///
    /// The error that ended the compaction, such as a full disk. All entries that are not erased can be read as
    /// before, and a later call continues. [`WouldWaitForItself`](crate::Error::WouldWaitForItself) on a thread of the
    /// store, or in a listener of the compaction; [`Poisoned`](crate::Error::Poisoned), [`Closed`](crate::Error::Closed).
    pub fn compact(&self, how: Compact) -> Result<CompactInfo> {
        self.engine()?.compact(how)
    }
}

impl<H, const N: usize> Accumulator<H, N> {
    /// Erases `entries` for `reason`. See
    /// [`DynAccumulator::erase`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::erase`].
    pub fn erase(&self, entries: impl Into<EntryRanges>, reason: &str) -> Result<DurabilityToken> {
        self.as_ref().erase(entries, reason)
    }

    /// Appends leaves whose entries are erased already. See
    /// [`DynAccumulator::insert_erased`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::insert_erased`].
    pub fn insert_erased(
        &self,
        leaves: &[Hash],
        at: SystemTime,
        reason: &str,
    ) -> Result<InsertedMany> {
        self.as_ref().insert_erased(leaves, at, reason)
    }

    /// All erasures of the tree, oldest first. See
    /// [`DynAccumulator::erasures`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::erasures`].
    pub fn erasures(&self) -> Result<Vec<Erasure>> {
        self.as_ref().erasures()
    }

    /// Removes the data of erased entries from every file of the store. See [`DynAccumulator::compact`].
    ///
    /// # Errors
    ///
    /// As [`DynAccumulator::compact`].
    pub fn compact(&self, how: Compact) -> Result<CompactInfo> {
        self.as_ref().compact(how)
    }
}
