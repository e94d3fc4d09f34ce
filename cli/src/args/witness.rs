//! The arguments of `duramen witness`.

use std::path::PathBuf;

use super::{MemoryArgs, NetworkArgs};
use crate::number::number;

/// `duramen witness`.
#[derive(Debug, clap::Args)]
pub(crate) struct WitnessArgs {
    /// The directory of the store that keeps what was cosigned.
    pub(crate) dir: PathBuf,

    /// A private key of the witness, of type cosigner or ml-dsa-44. It cosigns with all that are given.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) key: Vec<PathBuf>,

    /// The logs that are cosigned for: a log list of the witness network, logs/v0. - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) logs: PathBuf,

    /// The directory, outside the store, that keeps how much the witness cosigned [default: that of the first key].
    #[arg(long, value_name = "DIR")]
    pub(crate) anchor: Option<PathBuf>,

    /// Make a new store. The witness, by its keys, has never cosigned anything. Not for a store that is there.
    #[arg(long)]
    pub(crate) new: bool,

    /// The store has cosigned before and there is no anchor yet. It is known to be the latest: not a restored backup.
    #[arg(long)]
    pub(crate) first_anchor: bool,

    /// How many records of the past are kept at least, beside the last one of each log.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = number)]
    pub(crate) history: u64,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}
