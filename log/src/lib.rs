//! A transparency log on [`duramen`]: entries go in over HTTP, signed checkpoints and C2SP tiles come out.
//!
//! A [`Log`] is a tree of a store, with a gate before its signers. Entries are durable before they are answered. Every
//! checkpoint is verified before it is signed: its new entries are read back from the disk, hashed by other code, and
//! added to the tree of the last checkpoint. The last head that could be signed is kept in an [`Anchor`] outside the
//! store, so that a restored backup or a second copy cannot sign another history.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! use std::sync::Arc;
//! use duramen::tlog::Ed25519Signer;
//! use duramen::{Config, Store, StoreReader, TreeName};
//! use duramen_log::{DirectoryAnchor, Log, LogConfig};
//!
//! let path = dir.path().join("store");
//! let store = Store::open(Config::new(&path))?;
//! let reader = Arc::new(StoreReader::open(Config::new(&path))?);
//! let key = Arc::new(Ed25519Signer::from_secret("example.com/log", &[7; 32])?);
//! let anchor = DirectoryAnchor::new(dir.path().join("anchor"), "example.com/log")?;
//! let config = LogConfig::new(TreeName::main(), "example.com/log", key, Box::new(anchor));
//! let config = config.first_anchor(true);
//!
//! let log = Log::open(&store, reader, config)?;
//! let answer = log.submit(vec!["an entry".into()])?.blocking_recv()??;
//! assert_eq!(answer[0].index, 0);
//! log.publish()?;
//! let checkpoint = log.published().ok_or("a checkpoint was published")?;
//! assert_eq!(checkpoint.head().size.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod anchor;
mod client;
mod clock;
mod config;
mod damage;
mod dirs;
mod error;
mod export;
pub mod follow;
mod gate;
pub mod http;
mod intake;
mod log;
mod number;
mod offline;
mod outside;
mod published;
mod publisher;
mod recheck;
mod shared;
mod timed;
mod witness;
mod witnesses;

pub use anchor::{Anchor, AnchorError, Anchored, DirectoryAnchor};
pub use config::{LogConfig, LogSigner, ReceiptSigner};
pub use damage::{FoundBy, FoundDamage};
pub use error::LogError;
pub use export::{ExportError, Exported, export_tiles};
pub use intake::{AddError, Added, Answer, Refused};
pub use log::Log;
pub use offline::HeadRequest;
pub use outside::anchor_must_be_outside;
pub use published::Published;
pub use timed::TimedSigner;
pub use witness::{
    Declined, KnownLogs, LogListError, LogListErrorKind, MAX_REQUEST, Witness, WitnessConfig,
    WitnessError, WitnessSigner,
};
pub use witnesses::{WitnessPolicy, WitnessState};
