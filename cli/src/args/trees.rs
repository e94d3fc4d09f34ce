//! The arguments of the commands about the trees of a store.

use std::path::PathBuf;

use duramen::TreeName;

use super::LockArgs;

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
