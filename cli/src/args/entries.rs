//! The arguments of the commands about entries.

use std::path::PathBuf;

use clap::ValueEnum;
use duramen::{Hash, TreeName};

use super::LockArgs;
use super::hash;
use crate::number::number;

/// `duramen entry`.
#[derive(Debug, clap::Args)]
pub(crate) struct EntryArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The leaf whose entry to print, counted from 0.
    #[arg(value_parser = number)]
    pub(crate) index: u64,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Write the entry to this file, replacing it as a whole, instead of printing it; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `duramen entries`.
#[derive(Debug, clap::Args)]
pub(crate) struct EntriesArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The first leaf, counted from 0.
    #[arg(long, value_name = "N", default_value = "0", value_parser = number)]
    pub(crate) from: u64,

    /// The leaf to stop before [default: all leaves].
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) to: Option<u64>,

    /// How to print each entry.
    #[arg(long, value_enum, default_value_t = EntriesFormat::Lines)]
    pub(crate) format: EntriesFormat,
}

/// `duramen tail`.
#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The first leaf, counted from 0 [default: the last ten].
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) from: Option<u64>,

    /// Print what a writer appends, as it becomes durable, until a signal.
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// How to print each entry. Of a tree without entries, leaves are printed in hex.
    #[arg(long, value_enum, default_value_t = EntriesFormat::Lines)]
    pub(crate) format: EntriesFormat,
}

/// `duramen find`.
#[derive(Debug, clap::Args)]
pub(crate) struct FindArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The leaf, 64 hexadecimal digits.
    #[arg(value_parser = hash, required_unless_present = "data", conflicts_with = "data")]
    pub(crate) leaf: Option<Hash>,

    /// A file whose whole content is the leaf's data; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Print all indexes, not only the first.
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen index`.
#[derive(Debug, clap::Args)]
pub(crate) struct IndexArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    #[command(flatten)]
    pub(crate) lock: LockArgs,
}

/// How an entry is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EntriesFormat {
    /// Its bytes and a newline.
    #[value(alias = "raw")]
    Lines,
    /// A line of JSON with index, leaf and entry.
    Jsonl,
    /// A line of hexadecimal digits.
    Hex,
}
