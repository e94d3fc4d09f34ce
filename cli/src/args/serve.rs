//! The arguments of `duramen serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use duramen::TreeName;

use super::AnchorArgs;
use crate::number::number;

/// `duramen serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct ServeArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The address to listen on, such as 127.0.0.1:8080. Port 0 is any free one; the first line of the output says
    /// which.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: SocketAddr,

    /// The private key of a log. Its name is the log's origin. Once for each --tree, in the same order.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) key: Vec<PathBuf>,

    /// The tree of a log. Several logs are served under /NAME/ each, and the first one also at /.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: Vec<TreeName>,

    #[command(flatten)]
    pub(crate) anchor: AnchorArgs,

    /// Insert an entry again that the log has.
    #[arg(long)]
    pub(crate) duplicates: bool,

    /// The shortest time between two checkpoints.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub(crate) checkpoint_interval: Duration,

    /// Do not publish what is below this index. It stays in the store. Once for each --tree, in the same order
    /// [default: 0].
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) minimum_index: Vec<u64>,

    /// Where operators connect: an address, or unix:PATH for a socket that only this user reaches.
    #[arg(long, value_name = "PLACE")]
    pub(crate) admin: Option<String>,

    /// A file with the token that operators must send. Needed if --admin is an address.
    #[arg(long, value_name = "FILE", requires = "admin")]
    pub(crate) admin_token: Option<PathBuf>,

    /// The most connections at a time.
    #[arg(long, value_name = "N", default_value = "10000", value_parser = number)]
    pub(crate) connections: u64,
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
