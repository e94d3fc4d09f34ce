//! The arguments of `append`.

use std::path::PathBuf;

use clap::ValueEnum;
use duramen::{Arity, CheckpointPolicy, FlushPolicy, RetentionPolicy, TreeName};

use super::{Acknowledge, HasherName, LockArgs, MemoryArgs, ProgressArgs, arity, level, longest};
use crate::number::number;
use crate::policy;

/// `duramen append`.
#[derive(Debug, clap::Args)]
pub(crate) struct AppendArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The input, of any size; - is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    /// The tree, which is created if the store has none of this name.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// What a record is in the input.
    #[arg(long, value_enum, default_value_t = InputKind::Lines)]
    pub(crate) input: InputKind,

    /// Leave out a carriage return before the newline of each line.
    #[arg(long)]
    pub(crate) strip_cr: bool,

    /// Append nothing unless the tree has N leaves. With --resume: the leaf that the input began with.
    #[arg(long, value_name = "N", value_parser = number)]
    pub(crate) expect_size: Option<u64>,

    /// Skip the records of this input that an earlier run has appended, after comparing them with the leaves of the
    /// tree. The input began at leaf 0, or at --expect-size.
    #[arg(long, conflicts_with = "unique")]
    pub(crate) resume: bool,

    /// Create nothing: a store and a tree that are missing are errors.
    #[arg(long)]
    pub(crate) no_create: bool,

    /// Put records that are no leaf at the end of this file, and go on behind them.
    #[arg(long, value_name = "FILE")]
    pub(crate) skip_bad: Option<PathBuf>,

    /// The hash function [default: the tree's, blake3 for a new one].
    #[arg(long, value_enum)]
    pub(crate) hasher: Option<HasherName>,

    /// How many children a node has, 2, 4, 8 or 16 [default: the tree's, 4 for a new one].
    #[arg(long, value_parser = arity)]
    pub(crate) arity: Option<Arity>,

    /// Keep the data of each leaf, its entry. For a new tree; one that exists stays as it was made.
    #[arg(long)]
    pub(crate) entries: bool,

    /// The longest entry that a new tree takes, at most 64MiB [default: the tree's, 65535 for a new one].
    #[arg(long, value_name = "BYTES", value_parser = longest, requires = "entries")]
    pub(crate) longest: Option<u32>,

    /// Compress the entries of a new tree with zstd at this level, 1 to 22 [default: as the tree does, not at
    /// all for a new one].
    #[arg(long, value_name = "LEVEL", value_parser = level, requires = "entries")]
    pub(crate) compress: Option<u8>,

    /// Append only what the tree does not have, and give the tree an index. With --ack, print for each
    /// record the index of the leaf that the tree has.
    #[arg(long)]
    pub(crate) unique: bool,

    /// When leaves become durable on their own: interval:DURATION, or manual for only at the end.
    #[arg(long, default_value = "interval:10ms", value_parser = policy::flush)]
    pub(crate) flush_policy: FlushPolicy,

    /// When to checkpoint: manual, or a list of close, close:BYTES, every:LEAVES, wal:BYTES,
    /// wal:BYTES/AGE, segments:COUNT, memory:BYTES and interval:DURATION. close:BYTES leaves a shorter log as it is, for
    /// the next run. With manual or close alone, memory grows with the input.
    #[arg(
        long,
        default_value = policy::CHECKPOINTS,
        value_name = "LIST",
        value_parser = policy::checkpoint
    )]
    pub(crate) checkpoint_policy: CheckpointPolicy,

    /// Which leaves the tree keeps while this command runs: all, or a list of newest:LEAVES, younger:DURATION and marks:COUNT. What
    /// none of them keeps is pruned in the background, as by prune.
    #[arg(long, default_value = "all", value_name = "LIST", value_parser = policy::retention)]
    pub(crate) retention: RetentionPolicy,

    /// Print each leaf's index on a line of its own once the leaf is durable.
    #[arg(long)]
    pub(crate) ack: bool,

    /// Ship the store to this place in a bucket meanwhile: file:///directory.
    #[arg(long, value_name = "URL")]
    pub(crate) remote: Option<String>,

    /// With --ack: where a leaf has to be before its index is printed.
    #[arg(long, value_enum, default_value_t = Acknowledge::Local, requires = "remote")]
    pub(crate) acknowledge: Acknowledge,

    /// End with status 128 + n after signal n has ended the input, and not with 0.
    #[arg(long)]
    pub(crate) exit_signal: bool,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print the head as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a record is in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputKind {
    /// Each line, without its newline, is data that the hasher makes a leaf of.
    Lines,
    /// As lines, with a zero byte behind each record instead of a newline.
    Nul,
    /// Each line is a leaf, 64 hexadecimal digits.
    Hex,
    /// Each 32 bytes are a leaf.
    Raw,
    /// Each line is data in base64.
    Base64,
    /// Each line is an entry or a leaf in JSON, as entries prints it.
    Jsonl,
}

impl InputKind {
    /// Whether its records may be the data of leaves, which a tree can keep.
    pub(crate) fn has_data(self) -> bool {
        !matches!(self, Self::Hex | Self::Raw)
    }
}
