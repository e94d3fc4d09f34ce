//! A running store in pieces that can be kept elsewhere, and a directory made of such pieces.
//!
//! A store is its *state*, a short list with some parts, and the *log* behind it. [`LogFeed::state`] returns the
//! state as of the last checkpoint, and [`LogFeed::next`] the log as it becomes durable. [`rebuild`] makes a directory
//! of a state, its parts, and the log from anywhere at or before the state's end. This is what `duramen-remote` ships,
//! and it can be kept anywhere.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! use duramen::ship::{LogFeed, PartWriter, ShippedPart, rebuild};
//! use duramen::{Accumulator, Config, Error};
//!
//! let log: Accumulator = Accumulator::open(Config::new(dir.path().join("here")))?;
//! let mut feed = LogFeed::begin(&log.store())?;
//! log.insert_durable([7; 32])?;
//!
//! let state = feed.state()?;
//! let batch = feed.next(1 << 20)?.ok_or("a leaf is durable")?;
//! let there = Config::new(dir.path().join("there"));
//! let part = |part: &ShippedPart, to: &mut PartWriter<'_>| state.copy_part(part, to);
//! rebuild::<Error>(&there, state.bytes(), &[batch.bytes()], part)?;
//!
//! let copy: Accumulator = Accumulator::open(there)?;
//! assert_eq!(copy.head()?, log.head()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! - No piece has a key of the log: a directory that is rebuilt draws its own.
//! - The groups of a batch are those of the log, without the frames that lead from one segment to the next.

mod batch;
mod feed;
mod rebuild;

pub use batch::{Group, Groups, LogBatch};
pub use feed::{FlusherThread, LogFeed, ShippedPart, StoreState};
pub use rebuild::{PartWriter, Rebuilt, read_state, rebuild};

pub(crate) use batch::Parsed;
