//! Entries to be written into a part.

use std::ops::Range;

use crate::error::Result;

/// Where a part gets its entries from. Every range lies within one bundle.
pub(crate) trait EntrySource {
    /// Bytes of the entries of `range`, with their lengths.
    fn entry_bytes(&self, range: Range<u64>) -> Result<u64>;

    /// Calls `out` with the entries of `range` as framed bytes, in pieces of any length.
    fn read_entries(
        &self,
        range: Range<u64>,
        out: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()>;

    /// The entries of `range` as a part stores them, if exactly these are stored together somewhere.
    fn stored(&self, range: Range<u64>) -> Result<Option<StoredBundle>> {
        let _ = range;
        Ok(None)
    }
}

/// A bundle as a part stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBundle {
    /// Perhaps compressed.
    pub(crate) bytes: Vec<u8>,
    pub(crate) compressed: bool,
    /// Bytes of the entries with their lengths.
    pub(crate) len: u64,
    /// See [`Marks`](super::Marks).
    pub(crate) marks: [u64; super::marks::MARKS],
}
