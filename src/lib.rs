//! duramen is an append-only, persistent Merkle accumulator: leaves go in, a root comes out, and
//! proofs for every size the tree ever had.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod merkle;
pub mod tlog;

#[cfg(feature = "std")]
mod accumulator;
#[cfg(feature = "std")]
mod backup;
#[cfg(feature = "std")]
mod checkpoint;
#[cfg(feature = "std")]
mod codec;
#[cfg(feature = "std")]
mod column;
#[cfg(feature = "std")]
mod config;
#[cfg(feature = "std")]
mod durability;
#[cfg(feature = "std")]
mod error;
#[cfg(feature = "std")]
mod event;
#[cfg(feature = "std")]
mod flush;
#[cfg(feature = "std")]
pub mod fs;
#[cfg(all(test, feature = "std"))]
mod golden;
#[cfg(all(feature = "std", any(test, feature = "testing")))]
#[doc(hidden)]
pub mod hostile;
#[cfg(feature = "std")]
pub mod inspect;
#[cfg(duramen_loom)]
#[doc(hidden)]
pub mod internals;
#[cfg(feature = "std")]
mod jobs;
#[cfg(feature = "std")]
mod memory;
#[cfg(feature = "std")]
mod process;
#[cfg(feature = "std")]
mod reader;
#[cfg(feature = "std")]
pub mod scrub;
#[cfg(feature = "std")]
mod snapshot;
#[cfg(feature = "std")]
mod store;
#[cfg(feature = "std")]
mod sync;
#[cfg(feature = "std")]
mod wal;

pub use merkle::{
    Arity, Blake3, ConsistencyProof, Frontier, FrontierError, Growth, Hash, Hasher, HasherId,
    InclusionProof, LeafIndex, MultiProof, Rfc6962Sha256, TreeHead, TreeSize, VerifyError,
};

#[cfg(feature = "keccak")]
pub use merkle::Keccak256;
#[cfg(feature = "poseidon")]
pub use merkle::PoseidonBn254;

#[cfg(feature = "std")]
pub use accumulator::{Accumulator, DynAccumulator, Inserted, InsertedMany};
#[cfg(feature = "std")]
pub use backup::BackupInfo;
#[cfg(feature = "std")]
pub use checkpoint::{
    CheckpointInfo, CheckpointPolicy, CheckpointReason, CompactionPolicy, Install, ReadMode,
};
#[cfg(feature = "std")]
pub use config::Config;
#[cfg(feature = "std")]
pub use durability::{DurabilityToken, Seq};
#[cfg(feature = "std")]
pub use error::{Damage, Error, Problem, Result};
#[cfg(feature = "std")]
pub use event::{Event, EventListener};
#[cfg(feature = "std")]
pub use flush::FlushPolicy;
#[cfg(feature = "std")]
pub use memory::MemoryAccumulator;
#[cfg(feature = "std")]
pub use reader::Reader;
#[cfg(feature = "std")]
pub use snapshot::Snapshot;
#[cfg(feature = "std")]
pub use store::{Distribution, JobStats, Limit, RecoveryReport, Stats, StoreInfo, Times};
