//! The anchor of a log: the last head that the log could sign, kept outside its store.
//!
//! A store that is restored from a backup, or a second copy of one, looks whole. Only something outside can tell that it
//! is older than what was signed. That is the anchor. The head goes into the anchor *before* it is signed, so no
//! signature exists for a head that the anchor does not know.
//!
//! # Invariants
//!
//! - The head in an anchor only grows, and only by compare-and-swap: of two processes that sign for one log, the second
//!   is refused.

mod directory;
mod text;

use std::fmt;

use duramen::TreeHead;

pub use directory::DirectoryAnchor;

/// What an anchor holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The name of the log.
    pub origin: String,
    /// The store of the log, by its id.
    pub store: String,
    /// The last head that the log could sign.
    pub head: TreeHead,
}

impl fmt::Display for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, head, .. } = self;
        write!(f, "{origin} at size {} with root {}", head.size, const_hex::encode(head.root))
    }
}

/// A place outside the store that keeps the last head of one log.
///
/// An implementation must make a replacement durable before it returns, and must let only one of several concurrent
/// replacements through.
pub trait Anchor: Send + Sync + fmt::Debug {
    /// What the anchor holds now. `None` before the first replacement.
    ///
    /// # Errors
    ///
    /// [`AnchorError`] if the anchor cannot be read or is damaged.
    fn load(&self) -> Result<Option<Anchored>, AnchorError>;

    /// Replaces `old` by `new`. When this returns, `new` is durable.
    ///
    /// # Errors
    ///
    /// [`AnchorError::Changed`] if the anchor does not hold `old` any more. It is then left as it is.
    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError>;
}

/// Why an anchor could not be read or replaced.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Another process replaced it.
    #[error("the anchor {place} holds {}, and not {}", or_nothing(.found), or_nothing(.expected))]
    Changed {
        /// Where the anchor is.
        place: String,
        /// What it held when it was last read.
        expected: Option<Box<Anchored>>,
        /// What it holds.
        found: Option<Box<Anchored>>,
    },
    /// Another process signs with it, or another log of this process.
    #[error("another process signs with the anchor {place}, or another log of this one")]
    InUse {
        /// Where the anchor is.
        place: String,
    },
    /// It is not what was written.
    #[error("the anchor {place} is damaged: {reason}")]
    Damaged {
        /// Where the anchor is.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The place cannot be reached.
    #[error("cannot {action} the anchor {place}: {reason}")]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// Where the anchor is.
        place: String,
        /// The error of the system.
        reason: String,
    },
}

fn or_nothing(anchored: &Option<Box<Anchored>>) -> String {
    anchored.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
}
