//! Mistakes of the protocol that the simulation must notice. They are made with `--cfg duramen_mutants` alone.
//!
//! `mutant!(bucket, Name)` stands where the protocol would have to be wrong, and is `false` without that
//! setting. The bucket says which mistake is made, so that all of them can be tested in one process.

/// A way in which the protocol could break its rules.
#[cfg(any(test, duramen_mutants))]
#[cfg_attr(not(duramen_mutants), allow(dead_code, reason = "no mistake is made"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// The bucket creates an object although there is one.
    #[cfg_attr(not(test), allow(dead_code, reason = "a mistake of the simulated bucket"))]
    ConditionIgnored,
    /// A manifest covers a slot that is not committed yet.
    ManifestAhead,
    /// A slot that is sent again has other bytes.
    BytesChanged,
    /// A slot whose answer was lost is taken for committed, and the next one is sent.
    LostIsCommitted,
    /// A slot that exists is taken for the writer's own.
    ExistsIsMine,
    /// A slot that exists is taken for another writer's.
    ExistsIsAnothers,
    /// The log is read to its end before the fence is sent, and not read again.
    ReadBeforeFence,
    /// A takeover claims no manifest.
    NoClaim,
    /// Fences are collected with the data around them.
    FencesCollected,
    /// The manifests before the newest one are collected.
    ManifestsCollected,
    /// Epochs before the newest one are collected.
    EpochsCollected,
    /// A takeover does not look for a higher epoch before it goes live.
    NotLookedAgain,
    /// What a manifest replaces is collected before the manifest is committed.
    CollectedEarly,
    /// A sweep collects what it does not know, whatever the epoch.
    YoungerCollected,
    /// A body beside the log is named by its slot, and one that exists is taken for the same.
    NameReused,
    /// Data is acknowledged when it is sent.
    AcknowledgedEarly,
    /// A reader does not look for a newer manifest once it has read.
    NotReadAgain,
    /// A fenced writer goes on behind the fence.
    FencedGoesOn,
}

/// Whether the protocol on this bucket makes this mistake.
#[cfg(duramen_mutants)]
macro_rules! mutant {
    ($bucket:expr, $name:ident) => {
        $crate::bucket::Bucket::mutant($bucket) == Some($crate::mutant::Mutant::$name)
    };
}

/// Whether the protocol on this bucket makes this mistake: never.
#[cfg(not(duramen_mutants))]
macro_rules! mutant {
    ($bucket:expr, $name:ident) => {
        false
    };
}

pub(crate) use mutant;
