//! How a tree keeps its entries.

use std::fmt;

use crate::error::{Error, Result};
use crate::words;

/// How the entries of a tree are kept. Fixed when the tree is created.
///
/// An *entry* is the data that was hashed to a leaf. A tree with entries keeps the data of every leaf, in
/// the same group of the log and in the same part file as the leaf. See
/// [`TreeConfig::entries`](crate::TreeConfig::entries).
///
/// ```
/// use duramen::{Compression, EntryConfig};
///
/// let entries = EntryConfig::new().longest(1 << 20)?.compression(Compression::zstd(3)?);
/// assert_eq!(entries.longest_bytes(), 1 << 20);
/// # Ok::<(), duramen::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryConfig {
    longest: u32,
    compression: Compression,
}

/// How bundles of 256 entries are stored in part files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// As they are. For a tree with SHA-256 and arity 2, and entries of at most 65,535 bytes, a full
    /// bundle is byte for byte the entry bundle of C2SP tlog-tiles. Mapped entries are read without a
    /// copy.
    #[default]
    None,
    /// Each bundle by itself with zstd, at this level from 1 to 22. A bundle that does not become
    /// smaller, or that has more than 32 MiB, is stored as it is. Reading an entry decompresses its
    /// bundle. Made by [`zstd`](Self::zstd).
    #[non_exhaustive]
    Zstd {
        /// 1 to 22.
        level: u8,
    },
}

impl Compression {
    /// With zstd at `level`. See [`Zstd`](Self::Zstd).
    ///
    /// # Errors
    ///
    /// [`Config`](Error::Config) if `level` is not one of 1 to 22.
    pub fn zstd(level: u8) -> Result<Self> {
        match level {
            1..=22 => Ok(Self::Zstd { level }),
            _ => Err(Error::config("zstd", format!("level {level}; levels are 1 to 22"))),
        }
    }
}

/// The longest entry that any tree can have.
const LONGEST: u32 = 64 << 20;

impl EntryConfig {
    /// Entries of up to 65,535 bytes, not compressed.
    #[must_use]
    pub const fn new() -> Self {
        Self { longest: u16::MAX as u32, compression: Compression::None }
    }

    /// The length of the longest entry that the tree accepts, in bytes. At most 64 MiB. Each entry takes
    /// two bytes besides its data, and four if this is more than 65,535. Default: 65,535.
    ///
    /// # Errors
    ///
    /// [`Config`](Error::Config) for more than 64 MiB.
    pub fn longest(self, bytes: u32) -> Result<Self> {
        if bytes > LONGEST {
            return Err(Error::config(
                "longest",
                format!("{bytes} bytes; at most {LONGEST} are possible"),
            ));
        }
        Ok(Self { longest: bytes, ..self })
    }

    /// How bundles of entries are stored in part files. Default: [`Compression::None`].
    #[must_use]
    pub const fn compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// The length of the longest entry that the tree accepts, in bytes.
    #[must_use]
    pub const fn longest_bytes(self) -> u32 {
        self.longest
    }

    /// How bundles of entries are stored in part files.
    #[must_use]
    pub const fn stored(self) -> Compression {
        self.compression
    }
}

/// `with entries of up to 65535 bytes, not compressed`
impl fmt::Display for EntryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "with entries of up to {}, ", words::bytes(u64::from(self.longest)))?;
        match self.compression {
            Compression::None => f.write_str("not compressed"),
            Compression::Zstd { level } => write!(f, "compressed with zstd {level}"),
        }
    }
}

impl Default for EntryConfig {
    fn default() -> Self {
        Self::new()
    }
}
