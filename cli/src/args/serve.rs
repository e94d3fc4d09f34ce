//! The arguments of `duramen serve`.

use std::path::PathBuf;
use std::time::Duration;

use duramen::TreeName;

use super::{AnchorArgs, MemoryArgs, NetworkArgs};
use crate::number::number;
use crate::policy::duration;

/// `duramen serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The private key of a log. Its name is the log's origin. Once for each --tree, in the same order.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) key: Vec<PathBuf>,

    /// A private key that cosigns the checkpoints of the log whose origin is its name, beside --key: of type ml-dsa-44,
    /// or cosigner. Any number of them.
    #[arg(long, value_name = "FILE")]
    pub(crate) cosigner_key: Vec<PathBuf>,

    /// The tree of a log. Several logs are served under /NAME/ each, and the first one also at /.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: Vec<TreeName>,

    #[command(flatten)]
    pub(crate) anchor: AnchorArgs,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    /// Insert an entry again that the log has.
    #[arg(long)]
    pub(crate) duplicates: bool,

    /// The shortest time between two checkpoints.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) checkpoint_interval: Duration,

    /// A policy of witnesses, C2SP tlog-policy: publish a checkpoint once its quorum has cosigned.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// How long the witnesses are waited for, each time that they are asked.
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration,
        requires = "policy"
    )]
    pub(crate) witness_timeout: Duration,

    /// Do not publish what is below this index. It stays in the store. Once for each --tree, in the same order
    /// [default: 0].
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) minimum_index: Vec<u64>,

    /// Read the store, which another process may write, and take no entries. Shows the checkpoint that was published last.
    #[arg(
        long,
        conflicts_with_all = [
            "cosigner_key", "first_anchor", "adopt_store", "max_memory", "duplicates", "policy", "minimum_index", "admin"
        ]
    )]
    pub(crate) read_only: bool,

    /// The signed checkpoint that is shown, as serve answered it, instead of that of the anchor. Once for each --tree, in
    /// the same order.
    #[arg(long, value_name = "FILE", requires = "read_only")]
    pub(crate) checkpoint: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// `duramen export-tiles`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportTilesArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The directory of the files, which is created if it is missing.
    pub(crate) out: PathBuf,

    /// The signed checkpoint to publish, as serve answers it; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,
}
