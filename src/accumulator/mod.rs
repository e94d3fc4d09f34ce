//! The handles of one tree of a store.

mod dynamic;
mod erasing;
mod finding;
mod typed;

use std::ops::Range;

pub use dynamic::DynAccumulator;
pub use typed::Accumulator;

use crate::durability::DurabilityToken;
use crate::engine::{Engine, Found};
use crate::error::Result;
use crate::ids::{Seq, TreeId};
use crate::merkle::LeafIndex;

/// A leaf that was inserted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inserted {
    /// The index of the leaf in the tree.
    pub index: LeafIndex,
    /// Resolves once the leaf is durable.
    pub token: DurabilityToken,
}

/// Awaits the token: resolves once the leaf is durable.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
///
/// async fn add(log: &Accumulator, leaf: [u8; 32]) -> duramen::Result<u64> {
///     let inserted = log.insert(leaf)?;
///     let index = inserted.index;
///     inserted.await?;
///     Ok(index.get())
/// }
/// # let log = Accumulator::open(Config::new(dir.path().join("log")))?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # assert_eq!(runtime.block_on(add(&log, [7; 32]))?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl IntoFuture for Inserted {
    type Output = Result<()>;
    type IntoFuture = DurabilityToken;

    fn into_future(self) -> DurabilityToken {
        self.token
    }
}

/// A leaf that was to be inserted only if the tree had none equal.
#[derive(Clone, Debug)]
#[must_use = "the leaf may have been there before"]
pub enum Unique {
    /// The tree did not have the leaf. It was inserted.
    New {
        /// Its index.
        index: LeafIndex,
        /// Resolves once the leaf is durable.
        token: DurabilityToken,
    },
    /// The tree had the leaf. Nothing was inserted.
    Existing {
        /// The index of the first leaf that is equal.
        index: LeafIndex,
        /// Resolves once that leaf is durable: at once if it was durable already, else with everything that was
        /// inserted before the call.
        token: DurabilityToken,
    },
}

impl Unique {
    /// The index of the leaf, new or not.
    #[must_use]
    pub fn index(&self) -> LeafIndex {
        match self {
            Self::New { index, .. } | Self::Existing { index, .. } => *index,
        }
    }

    /// Resolves once the leaf is durable.
    pub fn token(&self) -> &DurabilityToken {
        match self {
            Self::New { token, .. } | Self::Existing { token, .. } => token,
        }
    }

    /// Whether the leaf was inserted.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New { .. })
    }

    pub(crate) fn of(engine: &Engine, tree: TreeId, found: Found, seq: Seq) -> Self {
        let token = engine.token_of(tree, found, seq);
        match found {
            Found::New(index) => Self::New { index: LeafIndex(index), token },
            Found::Existing(index, _) => Self::Existing { index: LeafIndex(index), token },
        }
    }
}

/// A batch of leaves that was inserted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InsertedMany {
    /// The indexes of the leaves, in order.
    pub range: Range<u64>,
    /// Resolves once the whole batch is durable.
    pub token: DurabilityToken,
}

/// Awaits the token: resolves once the whole batch is durable.
impl IntoFuture for InsertedMany {
    type Output = Result<()>;
    type IntoFuture = DurabilityToken;

    fn into_future(self) -> DurabilityToken {
        self.token
    }
}
