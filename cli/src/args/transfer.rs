//! The arguments of `export` and `import`.

use std::path::PathBuf;

use clap::ValueEnum;
use duramen::{Arity, TreeName};

use super::{HasherName, LockArgs, MemoryArgs, arity, level, longest};
use crate::number::number;

/// `duramen export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
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

    /// How to write the entries.
    #[arg(long, value_enum, default_value_t = TransferFormat::Framed)]
    pub(crate) format: TransferFormat,

    /// Write to this file, replacing it as a whole, instead of standard output, which is -.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `duramen import`.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The export, of any size; - is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    /// The tree, which is created if the store has none of this name.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// How the entries are written [default: what the first bytes show].
    #[arg(long, value_enum)]
    pub(crate) format: Option<TransferFormat>,

    /// Go on behind the entries that the tree has, after comparing them with those of the input.
    #[arg(long)]
    pub(crate) resume: bool,

    /// The hash function [default: that of the export or of the tree, blake3 for a new tree from JSON].
    #[arg(long, value_enum)]
    pub(crate) hasher: Option<HasherName>,

    /// How many children a node has, 2, 4, 8 or 16 [default: as the export or the tree has it, 4 for a new
    /// tree from JSON].
    #[arg(long, value_parser = arity)]
    pub(crate) arity: Option<Arity>,

    /// The longest entry that a new tree takes, at most 64MiB [default: as the tree of the export, 65535 for
    /// one from JSON].
    #[arg(long, value_name = "BYTES", value_parser = longest)]
    pub(crate) longest: Option<u32>,

    /// Compress the entries of a new tree with zstd at this level, 1 to 22 [default: as the tree of the export,
    /// not at all for one from JSON].
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) compress: Option<u8>,

    /// After a signal has ended the input, end with status 128 + its number instead of 0.
    #[arg(long)]
    pub(crate) exit_signal: bool,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print the head as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransferFormat {
    /// Bytes in frames with checksums, and the root of the tree at the end.
    Framed,
    /// A line of JSON with index, leaf and entry for each.
    Jsonl,
}
