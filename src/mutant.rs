//! Mistakes that tests build into the engine, to see that they would notice them.
//!
//! `mutant!(fs, Name)` stands where the engine would have to be wrong. It is `false`, and nothing is asked,
//! unless the crate is built with `--cfg duramen_mutants`; then the file system says which mistake the engine
//! on it makes, so that stores with and without one run side by side. No feature of the crate sets that.

/// A way in which the engine could break its promises.
#[cfg(duramen_mutants)]
#[cfg_attr(not(feature = "testing"), allow(unreachable_pub, reason = "public in testing"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mutant {
    /// Tokens resolve before the fsync that covers them.
    AcknowledgeBeforeSync,
    /// A part that is live is overwritten with one that reaches further.
    PartOverwritten,
    /// The log releases segments before the manifest that does without them is durable.
    LogReleasedEarly,
    /// Replay takes a group whose place and number fit for one that belongs there, whatever the life of the
    /// segment that it was written in.
    LivesIgnored,
    /// After an unclean stop segments are recycled before the new manifest is durable.
    SparesUsedEarly,
    /// Parts that were merged are removed before the manifest that does without them is durable.
    InputsRemovedEarly,
    /// Damage in the log below what was durable is taken for the torn end.
    ClaimsIgnored,
    /// Provisional groups at the end of the log count after a restart.
    ProvisionalCounted,
    /// A batch over several trees is written as two groups that end at points.
    BatchSplit,
    /// A part says that it is of another tree.
    PartUnderAnotherTree,
    /// The parts of a tree that is dropped are removed before the drop is durable.
    DropFreesEarly,
    /// A store that pauses claims that groups are durable which it has not synced.
    ClaimUnsynced,
    /// A merge copies bundles as they are stored, whatever is erased in them.
    ErasedCopied,
    /// The parts that a compaction replaces are wiped before the manifest that does without them is durable.
    WipedEarly,
    /// A part that a compaction replaced is removed and not wiped, and a segment is used again as it is.
    NothingWiped,
    /// A file that was wiped is removed before its zeros are durable.
    WipeUnsynced,
    /// A manifest does without the erasures since the one before, and the log that has them is released.
    ErasuresForgotten,
    /// A manifest that is written whole replaces the one before it as base before it is durable.
    BaseReplacedEarly,
    /// The manifest to which the newest one has changes is removed as old.
    BaseForgotten,
    /// Marks are written in a group before the leaves that they cover.
    MarkEarly,
    /// A manifest does without the marks since the one before, and the log that has them is released.
    MarksForgotten,
    /// A tree that was rewound keeps the right edges that it had.
    EdgesKept,
    /// A merge is installed in the state of a tree from before a rewind.
    MergedBeforeRewind,
    /// A merge takes parts as a whole of which a rewind has cut the last one.
    MergedOverCut,
    /// A tree that was rewound takes the nodes above the cut for hashed.
    HashedKept,
    /// A tree that was rewound finds leaves above the cut in its parts.
    IndexEntryKept,
    /// A manifest has the parts of a tree as they were before it was rewound.
    PartsNotCut,
    /// A prune removes parts before the manifest that does without them is durable.
    PrunedBeforeManifest,
}

/// Whether the engine on this file system makes this mistake.
#[cfg(duramen_mutants)]
macro_rules! mutant {
    ($fs:expr, $name:ident) => {
        $crate::fs::FileSystem::mutant($fs) == Some($crate::mutant::Mutant::$name)
    };
}

/// Whether the engine on this file system makes this mistake: never.
#[cfg(not(duramen_mutants))]
macro_rules! mutant {
    ($fs:expr, $name:ident) => {
        false
    };
}

pub(crate) use mutant;
