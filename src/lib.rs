//! duramen is an append-only, persistent Merkle accumulator: acknowledged inserts survive a crash, and
//! every size the tree ever had keeps its root and its proofs.
#![cfg_attr(
    feature = "std",
    doc = r#"
Start with [`Accumulator`], a tree in a directory, and [`Config`], which has its path and its policies.
[`MemoryAccumulator`] is the same tree without a disk, and a [`Reader`] reads a store beside its writer.
[`scrub`] verifies every stored byte, [`inspect`] classifies a store's files.

```
# let dir = tempfile::tempdir()?;
# let dir = dir.path().join("log");
use duramen::{Accumulator, Blake3, Config};

let log: Accumulator = Accumulator::open(Config::new(&dir))?;
let inserted = log.insert([7; 32])?; // visible now
inserted.token.wait()?; // durable now
log.insert_many(&[[9; 32]; 1000])?; // after a crash, all of the batch or none of it
log.flush()?; // everything before is durable

let past = log.head_at(2)?; // size and root when there were two leaves
let proof = log.prove_at(0, 2)?;
Accumulator::<Blake3, 4>::verify(&past, 0, &[7; 32], &proof)?;
log.close()?;
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
//!
//! [`merkle`] is the tree by itself: hash functions, heads, proofs, their verification and their bytes.
//! [`tlog`] is checkpoints, signed notes, policies and proofs as transparency logs exchange them.
//!
//! # Features
//!
//! - `std` (default): the storage engine and everything else that needs an operating system. Without it
//!   the crate is `no_std` + `alloc`: hash functions, heads, proofs and their verification.
//! - `keccak`: the hash function `Keccak256`, for trees that Ethereum contracts verify.
//! - `poseidon`: the hash function `PoseidonBn254`, for trees that circuits over BN254 verify.
//! - `serde`: names and heads of trees, proofs and frontiers through serde.
//! - `stream`: `TailStream`, which follows a tree, as a `Stream` of futures-core.
//! - `note`: Ed25519 signatures and cosignatures of checkpoints, and policies of witnesses.
//! - `cose`: COSE receipts of inclusion and consistency.
//! - `mldsa`: ML-DSA-44 cosignatures of checkpoints and subtrees.
//! - `metrics`: `MetricsListener`, the events of a store for the facade of that name.
//! - `testing`: the simulated disk, for tests that pull the plug. It adds to the crate and changes nothing in it.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::missing_errors_doc, clippy::must_use_candidate, clippy::return_self_not_must_use)]

extern crate alloc;

#[cfg_attr(
    not(feature = "std"),
    allow(dead_code, unreachable_pub, reason = "the rest is for the storage engine")
)]
mod characters;
pub mod merkle;
pub mod tlog;

#[cfg(feature = "std")]
mod accumulator;
#[cfg(feature = "std")]
mod ages;
#[cfg(feature = "std")]
mod backup;
#[cfg(feature = "std")]
mod batch;
#[cfg(feature = "std")]
mod checksum;
#[cfg(feature = "std")]
mod codec;
#[cfg(feature = "std")]
mod column;
#[cfg(feature = "std")]
mod config;
#[cfg(feature = "std")]
mod directory;
#[cfg(feature = "std")]
mod donor;
#[cfg(feature = "std")]
mod durability;
#[cfg(feature = "std")]
mod engine;
#[cfg(feature = "std")]
mod entry;
#[cfg(feature = "std")]
mod error;
#[cfg(all(feature = "std", any(test, feature = "testing", duramen_loom)))]
pub mod fs;
#[cfg(all(feature = "std", not(any(test, feature = "testing", duramen_loom))))]
#[allow(dead_code, unreachable_pub, reason = "public with the feature `testing`")]
mod fs;
#[cfg(feature = "std")]
mod hashers;
#[cfg(feature = "std")]
mod ids;
#[cfg(feature = "std")]
mod index;
#[cfg(feature = "std")]
pub mod inspect;
#[cfg(feature = "std")]
mod mark;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod mutant;
#[cfg(feature = "std")]
mod part;
#[cfg(feature = "std")]
mod per_tree;
#[cfg(feature = "std")]
mod random;
#[cfg(feature = "std")]
mod reader;
#[cfg(feature = "std")]
pub mod recover;
#[cfg(feature = "std")]
mod report;
#[cfg(feature = "std")]
pub mod scrub;
#[cfg(feature = "std")]
mod shared;
#[cfg(feature = "std")]
pub mod ship;
#[cfg(feature = "std")]
mod snapshot;
#[cfg(feature = "std")]
mod store;
#[cfg(feature = "std")]
mod store_info;
#[cfg(feature = "std")]
mod store_reader;
#[cfg(feature = "std")]
mod sync;
#[cfg(feature = "std")]
mod tail;
#[cfg(all(feature = "std", any(test, feature = "testing", duramen_loom)))]
pub mod testing;
#[cfg(feature = "std")]
mod tree_spec;
#[cfg(feature = "std")]
mod wal;
#[cfg_attr(
    not(feature = "std"),
    allow(dead_code, unreachable_pub, reason = "the rest is for the storage engine")
)]
mod words;
#[cfg(feature = "std")]
mod workers;

pub use merkle::{
    Arity, Blake3, ConsistencyProof, Frontier, FrontierError, Growth, Hash, Hasher, HasherId,
    InclusionProof, LeafInPieces, LeafIndex, MultiProof, NamedHead, Rfc6962Sha256, StoreHead,
    TreeHead, TreeName, TreeNameError, TreeProof, TreeSize, VerifyError,
};

#[cfg(feature = "keccak")]
pub use merkle::Keccak256;
#[cfg(feature = "poseidon")]
pub use merkle::PoseidonBn254;

#[cfg(feature = "std")]
pub use accumulator::{Accumulator, DynAccumulator, Inserted, InsertedMany, Unique};
#[cfg(feature = "std")]
pub use batch::{Batch, Committed, TreeRange};
#[cfg(feature = "std")]
pub use config::{
    CheckpointPolicy, CompactionPolicy, Config, FlushPolicy, Install, MarkPolicy, ReadMode,
    RetentionPolicy, TreeConfig,
};
#[cfg(feature = "std")]
pub use durability::DurabilityToken;
#[cfg(feature = "std")]
pub use entry::{Compression, EntryConfig, EntryRanges, Erasure};
#[cfg(feature = "std")]
pub use error::{
    Damage, Displaced, Displacement, Error, ErrorKind, FormatFeature, Limit, LockOwner,
    OtherBeginning, Problem, Result,
};
#[cfg(feature = "std")]
pub use ids::Seq;
#[cfg(feature = "std")]
pub use mark::{MarkInfo, MarkName, MarkNameError};
#[cfg(feature = "std")]
pub use memory::MemoryAccumulator;
#[cfg(feature = "std")]
pub use reader::Reader;
#[cfg(feature = "metrics")]
pub use report::MetricsListener;
#[cfg(feature = "std")]
pub use report::{
    BackupInfo, CheckpointInfo, CheckpointReason, Compact, CompactInfo, Distribution, Event,
    EventGroup, EventListener, JobStats, PruneInfo, RecoveryReport, RewindInfo, Stats, Times,
    TreeCheckpoint, TreeFlush, TreeInfo, TreeRecovery, TreeRewind, TreeStats,
};
#[cfg(feature = "std")]
pub use snapshot::{
    Entries, Entry, EntryRun, EntryRuns, FoundLeaves, Leaves, RunEntries, Snapshot,
};
#[cfg(feature = "std")]
pub use store::{Store, StoreSnapshot};
#[cfg(feature = "std")]
pub use store_info::StoreInfo;
#[cfg(feature = "std")]
pub use store_reader::StoreReader;
#[cfg(feature = "std")]
pub use tail::{Appended, Tail, TailStream};

/// Runs the examples of the Markdown pages as tests.
#[cfg(all(doctest, feature = "std"))]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
}
