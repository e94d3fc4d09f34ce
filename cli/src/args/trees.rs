//! The arguments of the commands about the trees of a store.

use std::path::PathBuf;

use duramen::{MarkName, TreeName};

use super::LockArgs;
use crate::number::{number, positive};

/// `duramen trees`.
#[derive(Debug, clap::Args)]
pub(crate) struct TreesArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen seal`.
#[derive(Debug, clap::Args)]
pub(crate) struct SealArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree to seal.
    #[arg(value_name = "TREE")]
    pub(crate) tree: TreeName,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// `duramen mark`.
#[derive(Debug, clap::Args)]
pub(crate) struct MarkArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The name of the mark, a block's hash say.
    #[arg(value_name = "NAME")]
    pub(crate) mark: MarkName,

    /// Remove the mark. The trees stay as they are.
    #[arg(long)]
    pub(crate) drop: bool,

    /// Have at most this many marks: the oldest go as the new one comes.
    #[arg(long, value_name = "N", value_parser = positive, conflicts_with = "drop")]
    pub(crate) keep: Option<u64>,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// `duramen marks`.
#[derive(Debug, clap::Args)]
pub(crate) struct MarksArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen rewind`.
#[derive(Debug, clap::Args)]
pub(crate) struct RewindArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// How many leaves the tree keeps.
    #[arg(
        value_name = "SIZE",
        value_parser = number,
        required_unless_present = "mark",
        conflicts_with = "mark"
    )]
    pub(crate) size: Option<u64>,

    /// Rewind all trees to their sizes at this mark.
    #[arg(long, value_name = "NAME", conflicts_with = "tree")]
    pub(crate) mark: Option<MarkName>,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Rewind. Without this option the program says what would be dropped and changes nothing.
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// `duramen prune`.
#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The first leaf that the tree keeps.
    #[arg(long, value_name = "INDEX", value_parser = number)]
    pub(crate) below: u64,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Prune. Without this option the program says what would be dropped and changes nothing.
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// `duramen drop-tree`.
#[derive(Debug, clap::Args)]
pub(crate) struct DropTreeArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree to drop.
    #[arg(value_name = "TREE")]
    pub(crate) tree: TreeName,

    /// Drop it. Without this option the program says what would be dropped and changes nothing.
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}
