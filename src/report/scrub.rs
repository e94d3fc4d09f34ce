//! The report of a scrub.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Damage;
use crate::merkle::{StoreHead, TreeName};
use crate::words::span;

/// What a scrub checked and what it found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The heads of all trees as verified. They are the heads in the manifest, and the log may go beyond
    /// them. If parts were merged or trees dropped during the scrub, some heads come from a newer
    /// manifest.
    pub head: StoreHead,
    /// Part files that were read. Missing files do not count.
    pub parts: u64,
    /// Intact leaves in these parts and in the manifest.
    pub leaves: u64,
    /// Entries in these parts that hash to their leaf. Erased entries do not count.
    pub entries: u64,
    /// Indexes of these parts that are what the leaves give.
    pub indexes: u64,
    /// Entries of the trees in the manifest that are erased.
    pub erased: u64,
    /// Bytes of the parts that were read.
    pub part_bytes: u64,
    /// How long verifying the parts took.
    pub part_time: Duration,
    /// Groups of the log. All their bytes were read.
    pub log_groups: u64,
    /// Bytes of these groups.
    pub log_bytes: u64,
    /// Leaves in the log behind the last checkpoint.
    pub log_leaves: u64,
    /// How many entries of the log hash to their leaf.
    pub log_entries: u64,
    /// A torn write behind the end of the log, if the store was not closed cleanly. The next open
    /// truncates it. This is not damage.
    pub torn: Option<String>,
    /// The damage that was found, by file and position.
    pub findings: Vec<Finding>,
    /// Names of the parts that a repair wrote to replace damaged parts.
    pub rebuilt: Vec<String>,
    /// The directory of the backup from which data could be taken. The findings with [`Remedy::Taken`] say which data was.
    pub backup: Option<PathBuf>,
    /// Whether the caller ended the scrub early.
    pub interrupted: bool,
}

impl Report {
    /// Whether nothing is damaged, or a repair has rebuilt everything that was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.remedy.is_done())
    }

    /// Leaves verified per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn leaves_per_second(&self) -> f64 {
        self.leaves as f64 / self.part_time.as_secs_f64().max(1e-9)
    }
}

/// One run of adjacent damage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file, the offset and the kind of the first damage of the run.
    pub damage: Damage,
    /// The damaged tree. `None` for the log.
    pub tree: Option<TreeName>,
    /// The kind of data that is damaged.
    pub element: Element,
    /// The damaged blocks of the file, in units of 4,096 bytes from its start.
    pub blocks: Option<Range<u64>>,
    /// The damaged leaves, or the leaves below the damaged nodes.
    pub leaves: Option<Range<u64>>,
    /// What can be done about the damage, or was done.
    pub remedy: Remedy,
}

/// The subject of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// A whole file, which is missing or truncated.
    File,
    /// The first block of a part.
    Header,
    /// The last block of a part.
    Footer,
    /// Checksums of blocks.
    Checksums,
    /// Leaves.
    Leaves,
    /// Inner nodes of a level.
    Nodes {
        /// The level, at least 1.
        level: u8,
    },
    /// Entries: the data of leaves.
    Entries,
    /// The index of a part, which finds leaves by their hash.
    Index,
    /// The zeros behind the nodes of a column, or behind entries.
    Padding,
    /// The root. The root computed from the nodes differs from the root in the manifest.
    Root,
    /// The log.
    Log,
}

/// What can be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// A repair can rebuild the data from intact data.
    Rebuild,
    /// A repair has rebuilt the data.
    Rebuilt,
    /// A repair can take the data from the backup, where it is intact.
    Take,
    /// A repair has taken the data from the backup.
    Taken,
    /// This store cannot restore the data. A copy of the store may have it.
    None,
}

impl Remedy {
    /// Whether a repair has mended the damage.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Rebuilt | Self::Taken)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Header => f.write_str("header"),
            Self::Footer => f.write_str("footer"),
            Self::Checksums => f.write_str("checksums"),
            Self::Leaves => f.write_str("leaves"),
            Self::Nodes { level } => write!(f, "nodes of level {level}"),
            Self::Entries => f.write_str("entries"),
            Self::Index => f.write_str("index"),
            Self::Padding => f.write_str("padding"),
            Self::Root => f.write_str("root"),
            Self::Log => f.write_str("log"),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rebuild => "can be rebuilt",
            Self::Rebuilt => "rebuilt",
            Self::Take => "can be taken from the backup",
            Self::Taken => "taken from the backup",
            Self::None => "cannot be repaired",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { damage, tree, element, blocks, leaves, remedy } = self;
        write!(f, "{damage} ({element}")?;
        if let Some(tree) = tree {
            write!(f, " of tree {tree:?}")?;
        }
        if let Some(blocks) = blocks {
            write!(f, ", {}", span(blocks.clone(), "block", "blocks"))?;
        }
        if let Some(leaves) = leaves {
            write!(f, ", {}", span(leaves.clone(), "leaf", "leaves"))?;
        }
        write!(f, "): {remedy}")
    }
}
