//! The arguments of `duramen remote`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::LockArgs;

/// `duramen remote`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum RemoteArgs {
    /// Make a place in a bucket one for a store, after a test of the bucket.
    Init(RemoteInitArgs),
    /// Print what is in a bucket. Changes nothing there.
    Status(RemoteStatusArgs),
    /// Read every object that a store in a bucket consists of, and print what is wrong. Changes nothing there.
    Fsck(RemoteStatusArgs),
    /// Ship what is durable in a store that is not open elsewhere.
    Ship(RemoteShipArgs),
    /// Take a store over from a bucket into a new directory: no writer that began before can write to the bucket any more.
    Takeover(RemoteTakeoverArgs),
    /// Copy what is in a bucket into a new directory. A writer goes on.
    Restore(RemoteTakeoverArgs),
    /// Replace a store that another machine has gone on with by what is in the bucket. What the bucket does not have goes to a
    /// file.
    Rejoin(RemoteRejoinArgs),
}

/// `duramen remote init`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteInitArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The place: file:///directory.
    pub(crate) url: String,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// `duramen remote status` and `fsck`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteStatusArgs {
    /// The place: file:///directory.
    pub(crate) url: String,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen remote ship`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteShipArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The place: file:///directory.
    pub(crate) url: String,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen remote takeover` and `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteTakeoverArgs {
    /// The place: file:///directory.
    pub(crate) url: String,

    /// The directory, which is made. One that is there must be empty.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen remote rejoin`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoteRejoinArgs {
    /// The store's directory. It is kept, with `.superseded` behind its name.
    pub(crate) dir: PathBuf,

    /// The place: file:///directory.
    pub(crate) url: String,

    /// The file for the leaves that the bucket does not have, as lines of JSON.
    pub(crate) orphans: PathBuf,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a leaf has to be before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acknowledge {
    /// On the disk of this machine.
    Local,
    /// In the bucket.
    Remote,
}
