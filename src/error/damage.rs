//! What is wrong with a file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Printable;
use crate::merkle::Level;
use crate::words;

/// The damage of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The offset in the file, in bytes.
    pub offset: u64,
    /// The problem at this offset.
    pub problem: Problem,
}

/// The kinds of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes do not match their checksum.
    Checksum {
        /// The checksum in the file.
        stored: u64,
        /// The checksum of the bytes in the file.
        computed: u64,
    },
    /// A field has an invalid value.
    Field {
        /// The field.
        field: &'static str,
        /// The valid value.
        expected: String,
        /// The value in the file.
        found: String,
    },
    /// The file has another length: it was truncated, or something was appended.
    Truncated {
        /// The required length, in bytes.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The disk has stored hardly any of the bytes: the file has holes where data must be.
    Hollow {
        /// The required bytes.
        expected: u64,
        /// How many of these bytes the disk has stored.
        found: u64,
    },
    /// The file does not exist.
    Missing,
    /// The directory has no manifest, and the store has other files.
    NoManifest,
    /// The directory holds a backup, or a recovered store, that was not finished. It can only be removed.
    UnfinishedBackup,
    /// The disk does not return the bytes.
    Unreadable {
        /// The error of the operating system.
        reason: String,
    },
    /// A node is not the hash of its children. The blocks of the node and of its children match their
    /// checksums.
    NotTheHash {
        /// The level of the node. Its children are one level below.
        level: Level,
        /// The index of the node in its level.
        index: u64,
    },
    /// An entry does not hash to its leaf. Both match their checksums.
    NotTheEntry {
        /// The index of the leaf.
        index: u64,
    },
}

impl Damage {
    pub(crate) fn new(file: impl Into<PathBuf>, offset: u64, problem: Problem) -> Box<Self> {
        Box::new(Self { file: file.into(), offset, problem })
    }

    pub(crate) fn field(
        file: &Path,
        offset: u64,
        field: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Box<Self> {
        let problem =
            Problem::Field { field, expected: expected.to_string(), found: found.to_string() };
        Self::new(file, offset, problem)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, problem } = self;
        let file = Printable::new(file);
        match problem {
            Problem::Checksum { stored, computed } => write!(
                f,
                "checksum mismatch in {file} at byte {offset}: stored {stored:#018x}, computed {computed:#018x}"
            ),
            Problem::Field { field, expected, found } => {
                write!(
                    f,
                    "wrong {field} in {file} at byte {offset}: expected {expected}, found {found}"
                )
            }
            Problem::Truncated { expected, found } => {
                let how = if found > expected { "too long" } else { "truncated" };
                write!(f, "{file} is {how}: expected {}, found {found}", words::bytes(*expected))
            }
            Problem::Hollow { expected, found } => write!(
                f,
                "{file} has holes from byte {offset} on: of {} the disk has {found}",
                words::bytes(*expected)
            ),
            Problem::Missing => write!(f, "{file} is missing"),
            Problem::UnfinishedBackup => write!(
                f,
                "{file} holds a backup or a recovered store that was not finished: remove it, and make another one"
            ),
            Problem::NoManifest => write!(
                f,
                "there is no manifest in {file}: a backup that was interrupted, or manifests that are gone"
            ),
            Problem::Unreadable { reason } => {
                write!(f, "cannot read {file} at byte {offset}: {reason}")
            }
            Problem::NotTheHash { level, index } => write!(
                f,
                "node {index} of level {level} in {file} at byte {offset} is not the hash of its children"
            ),
            Problem::NotTheEntry { index } => {
                write!(f, "entry {index} in {file} at byte {offset} does not hash to its leaf")
            }
        }
    }
}

impl std::error::Error for Damage {}
