//! The arguments of `duramen admin`.

use std::path::PathBuf;

use clap::ValueEnum;

/// `duramen admin`.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// What to do.
    #[arg(value_enum, value_name = "WORK")]
    pub(crate) work: AdminWork,

    /// The directory of the copy that backup makes. One that is there must be empty.
    pub(crate) target: Option<PathBuf>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a running store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AdminWork {
    /// Make everything durable that was accepted.
    Flush,
    /// Write what the log has into parts.
    Checkpoint,
    /// Remove the data of erased entries from every file.
    Compact,
    /// Copy the store into a new directory.
    Backup,
    /// Verify every stored byte.
    Scrub,
    /// Accept nothing more, and go on serving.
    ReadOnly,
    /// Accept again.
    Writable,
    /// Say how the store is.
    Status,
}
