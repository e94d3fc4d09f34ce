//! The bytes of an entry bundle.

use alloc::vec::Vec;

use super::width::TileWidth;
use crate::words::count;

/// The longest entry of a bundle, in bytes.
pub const MAX_ENTRY: usize = 65_535;

/// The entries of a bundle: each is its length in two bytes, big-endian, and its data.
///
/// That they are those of the log shows when their leaves are compared with the tile of level 0.
///
/// # Errors
///
/// [`BundleError`] if the bytes are not exactly `width` entries.
pub fn read_bundle(mut bytes: &[u8], width: TileWidth) -> Result<Vec<&[u8]>, BundleError> {
    let expected = usize::from(width.get());
    let mut entries = Vec::with_capacity(expected);
    while !bytes.is_empty() {
        let found = entries.len();
        if found == expected {
            return Err(BundleError::More { expected });
        }
        let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Cut { entry: found })?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) =
            rest.split_at_checked(length).ok_or(BundleError::Cut { entry: found })?;
        entries.push(entry);
        bytes = rest;
    }
    match entries.len() {
        found if found < expected => Err(BundleError::Fewer { expected, found }),
        _ => Ok(entries),
    }
}

/// The bundle of these entries.
///
/// ```
/// use duramen::tlog::tiles::{TileWidth, read_bundle, write_bundle};
///
/// let bundle = write_bundle([b"one".as_slice(), b""])?;
/// assert_eq!(bundle, b"\0\x03one\0\0");
/// let width = TileWidth::new(2).ok_or("no width")?;
/// assert_eq!(read_bundle(&bundle, width)?, [b"one".as_slice(), b""]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`BundleError::LongEntry`] if an entry has more than [`MAX_ENTRY`] bytes.
pub fn write_bundle<'a>(
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, BundleError> {
    let mut bundle = Vec::new();
    for entry in entries {
        let found = entry.len();
        let length =
            u16::try_from(found).map_err(|_| BundleError::LongEntry { most: MAX_ENTRY, found })?;
        bundle.extend(length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Why bytes are no entry bundle, or entries have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes end within an entry.
    #[error("the bundle ends within entry {entry}")]
    Cut {
        /// The entry, counted from 0.
        entry: usize,
    },
    /// There are fewer entries than the path says.
    #[error("the bundle has {}, its path says {expected}", count(*found, "entry", "entries"))]
    Fewer {
        /// How many the path says.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// There are more entries than the path says.
    #[error("the bundle has more than {}, which its path says", count(*expected, "entry", "entries"))]
    More {
        /// How many the path says.
        expected: usize,
    },
    /// An entry is too long.
    #[error("an entry of a bundle has at most {most} bytes, this one has {found}")]
    LongEntry {
        /// The limit in bytes.
        most: usize,
        /// How many bytes the entry has.
        found: usize,
    },
}
