//! What a scrub found.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::error::Damage;
use crate::merkle::{StoreHead, TreeName};
use crate::words::span;

/// What a scrub looked at and what it found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The heads of all trees as they were verified: those that the manifest names, which the log may go beyond.
    /// Where parts were merged or trees dropped meanwhile, some are as a newer manifest has them.
    pub head: StoreHead,
    /// Part files read. Missing ones do not count.
    pub parts: u64,
    /// Leaves in them and in the manifest that were found intact.
    pub leaves: u64,
    /// Bytes of the parts that were read.
    pub part_bytes: u64,
    /// How long the parts took.
    pub part_time: Duration,
    /// Groups of the log, all of whose bytes were read.
    pub log_groups: u64,
    /// Bytes of those.
    pub log_bytes: u64,
    /// Leaves in the log beyond the last checkpoint.
    pub log_leaves: u64,
    /// What stands behind the end of the log of a store that was not closed: a write that was torn,
    /// which the next open cuts off. No damage.
    pub torn: Option<String>,
    /// What is damaged, by file and place.
    pub findings: Vec<Finding>,
    /// Names of the parts that a repair wrote in place of damaged ones.
    pub rebuilt: Vec<String>,
    /// Whether the caller ended the scrub early.
    pub interrupted: bool,
}

impl Report {
    /// Whether nothing is damaged, or nothing any more.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.remedy == Remedy::Rebuilt)
    }

    /// Leaves verified per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub fn leaves_per_second(&self) -> f64 {
        self.leaves as f64 / self.part_time.as_secs_f64().max(1e-9)
    }
}

/// One stretch of damage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// File, byte and kind of the first of it.
    pub damage: Damage,
    /// The tree that has it; `None` for the log.
    pub tree: Option<TreeName>,
    /// What is damaged.
    pub element: Element,
    /// The damaged blocks of the file, in units of 4,096 bytes from its start.
    pub blocks: Option<Range<u64>>,
    /// The leaves that are damaged, or above which the damaged nodes are.
    pub leaves: Option<Range<u64>>,
    /// What can be done, or has been.
    pub remedy: Remedy,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// A whole file: missing, or cut short.
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
    /// Zeros behind the nodes of a column.
    Padding,
    /// The root that the nodes give is not the one that the manifest names.
    Root,
    /// The log.
    Log,
}

/// What can be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// A repair can rebuild it from what is intact.
    Rebuild,
    /// A repair has rebuilt it.
    Rebuilt,
    /// Nothing here can bring it back; a copy of the store may.
    None,
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
