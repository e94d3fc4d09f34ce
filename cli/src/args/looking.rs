//! The arguments of the commands that look at a store or at leaves.

use std::path::PathBuf;

use clap::ValueEnum;
use duramen::{TreeHead, TreeName};

use super::{HasherName, InputKind, LockArgs, MemoryArgs, head, longest};
use crate::number::number;

/// `duramen info`.
#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen stats`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatsArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long, conflicts_with_all = ["prometheus", "watch"])]
    pub(crate) json: bool,

    /// Print the text form of Prometheus.
    #[arg(long, conflicts_with = "watch")]
    pub(crate) prometheus: bool,

    /// Show the figures in the terminal, until q or Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `duramen leaves`.
#[derive(Debug, clap::Args)]
pub(crate) struct LeavesArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The leaves from A up to but not including B, counted from 0. Both may be left out [default: all leaves].
    #[arg(value_name = "A..B", value_parser = range, default_value = "..", hide_default_value = true)]
    pub(crate) range: (Option<u64>, Option<u64>),

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// How to print each leaf.
    #[arg(long, value_enum, default_value_t = LeavesFormat::Hex)]
    pub(crate) format: LeavesFormat,
}

/// How leaves are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LeavesFormat {
    /// A line of 64 hexadecimal digits.
    Hex,
    /// Its 32 bytes.
    Raw,
    /// A line of JSON with index and leaf.
    Jsonl,
}

/// `duramen hash`.
#[derive(Debug, clap::Args)]
pub(crate) struct HashArgs {
    /// The data; - is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    /// The hash function.
    #[arg(long, value_enum, default_value_t = HasherName::Blake3)]
    pub(crate) hasher: HasherName,

    /// Print the leaf of each record, as append reads it. Without this option the whole file is one leaf's data.
    #[arg(long, value_enum)]
    pub(crate) input: Option<InputKind>,
}

/// `duramen frontier`.
#[derive(Debug, clap::Args)]
pub(crate) struct FrontierArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The tree of this many leaves instead of all of them.
    #[arg(long, value_parser = number)]
    pub(crate) size: Option<u64>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen begin`.
#[derive(Debug, clap::Args)]
pub(crate) struct BeginArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The frontier, as `frontier --json` prints it; - is standard input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,

    /// The tree. One that exists must have the same first leaves.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Keep the data of the leaves that come.
    #[arg(long)]
    pub(crate) entries: bool,

    /// The longest entry that the tree takes, at most 64MiB [default: 65535].
    #[arg(long, value_name = "BYTES", value_parser = longest, requires = "entries")]
    pub(crate) longest: Option<u32>,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print the head as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen checkpoint`.
#[derive(Debug, clap::Args)]
pub(crate) struct StoreCheckpointArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The directory of the backup.
    pub(crate) backup: PathBuf,

    /// The directory of the store, which is made. One that is there must be empty.
    pub(crate) dir: PathBuf,

    /// Refuse a backup that does not have this head, or one that goes on from it.
    #[arg(long, value_name = "SIZE:ROOT", value_parser = head)]
    pub(crate) against: Option<TreeHead>,

    /// The tree of the trusted head.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen recover`.
#[derive(Debug, clap::Args)]
pub(crate) struct RecoverArgs {
    /// The directory of the damaged store, to which nothing may write meanwhile.
    pub(crate) dir: PathBuf,

    /// The directory of the new store, which is made. One that is there must be empty.
    pub(crate) new: PathBuf,

    /// The name of a tree that no file names, after its number; the first tree of a store is number 0. May be given several
    /// times.
    #[arg(long = "name", value_name = "NUMBER=NAME", value_parser = numbered)]
    pub(crate) names: Vec<(u32, TreeName)>,

    /// Take segments of the log too of which nothing shows that the store wrote them. A caller that chose leaves of the
    /// store may have forged them.
    #[arg(long)]
    pub(crate) unproven_log: bool,

    #[command(flatten)]
    pub(crate) memory: MemoryArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The number and the name of a tree.
fn numbered(text: &str) -> Result<(u32, TreeName), String> {
    let (tree, name) = text.split_once('=').ok_or("expected NUMBER=NAME")?;
    let tree = number(tree)?;
    let tree = u32::try_from(tree).map_err(|_| format!("no tree has the number {tree}"))?;
    Ok((tree, name.parse().map_err(|error: duramen::TreeNameError| error.to_string())?))
}

/// `duramen diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The directory of the first store.
    #[arg(value_name = "A")]
    pub(crate) first: PathBuf,

    /// The directory of the second store.
    #[arg(value_name = "B")]
    pub(crate) second: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// The directory of a store, or that of one to come.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen config`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {}

/// `duramen completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `duramen man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The command, such as append or verify inclusion [default: the page of the program].
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,

    /// Write the pages of the program and of all its commands into this directory, which is made if it is missing.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) all: Option<PathBuf>,
}

/// Reads `A..B`, `A..`, `..B` or `..`.
fn range(text: &str) -> Result<(Option<u64>, Option<u64>), String> {
    let wrong = || "a range is A..B, A.., ..B or ..".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let end = |text: &str| match text {
        "" => Ok(None),
        text => number(text).map(Some),
    };
    let (from, to) = (end(from)?, end(to)?);
    match (from.unwrap_or(0), to) {
        (from, Some(to)) if to < from => Err(format!("{from} comes after {to}")),
        _ => Ok((from, to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_of_a_range_may_be_left_out() {
        assert_eq!(range(".."), Ok((None, None)));
        assert_eq!(range("3.."), Ok((Some(3), None)));
        assert_eq!(range("..7"), Ok((None, Some(7))));
        assert_eq!(range("3..3"), Ok((Some(3), Some(3))));
        assert_eq!(range("0..18446744073709551615"), Ok((Some(0), Some(u64::MAX))));
        for bad in ["", "3", "3..2", "3..=4", "1...2", "01..2", "-1..", "..18446744073709551616"] {
            assert!(range(bad).is_err(), "{bad:?}");
        }
    }
}
