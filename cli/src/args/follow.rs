//! The arguments of `duramen monitor` and `duramen mirror`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use duramen::TreeName;
use duramen::tlog::{AnyVerifier, TlogError};

use super::{ClientsArgs, MemoryArgs, TlsArgs};
use crate::number::number;
use crate::policy::duration;

/// `duramen monitor`.
#[derive(Debug, clap::Args)]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) follow: FollowArgs,

    /// The log is pruned: it publishes nothing below this index. Entries below it that were not verified are left out.
    #[arg(long, value_name = "N", default_value = "0", value_parser = number)]
    pub(crate) minimum_index: u64,
}

/// `duramen mirror`.
#[derive(Debug, clap::Args)]
pub(crate) struct MirrorArgs {
    #[command(flatten)]
    pub(crate) follow: FollowArgs,

    /// The directory of the store that is the copy.
    pub(crate) dir: PathBuf,

    /// The tree of the copy, which is created if the store has none of this name.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Serve the copy on this address: the checkpoint, tiles and entry bundles. Port 0 is any free one.
    #[arg(long, value_name = "ADDR", conflicts_with = "once")]
    pub(crate) listen: Option<SocketAddr>,

    #[command(flatten)]
    pub(crate) clients: ClientsArgs,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// Which log is followed, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct FollowArgs {
    /// The URL prefix of the log, below which its checkpoint and its tiles are.
    pub(crate) url: String,

    /// Trust checkpoints that this public key of the log, NAME+ID+BASE64, signed. May be given several times.
    #[arg(long, value_name = "KEY", value_parser = vkey, required_unless_present = "policy")]
    pub(crate) vkey: Vec<AnyVerifier>,

    /// Trust only what the quorum of witnesses in this file, a C2SP tlog-policy, has cosigned. Its logs are trusted if no
    /// key is given.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// The name of the log [default: that of its key].
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,

    /// The directory that keeps what is known of the log, and evidence against it. It is created if it is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,

    /// Look once, and end.
    #[arg(long)]
    pub(crate) once: bool,

    /// How long to wait before the log is looked at again.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) interval: Duration,

    /// How long a log may show an older checkpoint, or what does not fit its checkpoint, before the program ends.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) patience: Duration,

    /// How long to try to fetch one tile or one checkpoint.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Tiles and bundles that are fetched at a time.
    #[arg(long, value_name = "N", default_value = "8", value_parser = number)]
    pub(crate) fetches: u64,

    /// Print JSON, a line for each checkpoint.
    #[arg(long)]
    pub(crate) json: bool,
}

fn vkey(text: &str) -> Result<AnyVerifier, String> {
    text.parse().map_err(|error: TlogError| error.to_string())
}
