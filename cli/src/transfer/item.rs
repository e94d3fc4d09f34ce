//! What a transfer has of one leaf: its entry, or what is left of one that was erased.

use duramen::{Hash, Hasher};

/// One leaf of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Entry(&'a [u8]),
    Erased(Erased<'a>),
}

/// A leaf whose entry was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Erased<'a> {
    pub(super) leaf: Hash,
    pub(super) cause: Cause<'a>,
}

/// When and why an entry was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause<'a> {
    /// Milliseconds since the start of 1970.
    pub(super) at: u64,
    pub(super) reason: &'a str,
}

impl<'a> Item<'a> {
    pub(super) fn entry(self) -> Option<&'a [u8]> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Erased(_) => None,
        }
    }

    /// The leaf, which is that of the entry where there is one.
    pub(super) fn leaf(self, hasher: &dyn Hasher) -> Hash {
        match self {
            Self::Entry(entry) => hasher.leaf(entry),
            Self::Erased(erased) => erased.leaf,
        }
    }

    pub(super) fn cause(self) -> Option<Cause<'a>> {
        match self {
            Self::Entry(_) => None,
            Self::Erased(erased) => Some(erased.cause),
        }
    }
}
