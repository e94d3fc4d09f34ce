//! The command line.

mod admin;
mod anchor;
mod append;
mod entries;
mod erase;
mod follow;
mod lock;
mod looking;
#[cfg(test)]
mod manual;
mod memory;
mod messages;
mod network;
mod proofs;
mod remote;
mod serve;
mod transfer;
mod trees;
mod witness;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand, ValueEnum};
use duramen::{Arity, Blake3, Hash, Hasher, Rfc6962Sha256, TreeHead, TreeSize};

pub(crate) use admin::{AdminArgs, AdminWork};
pub(crate) use anchor::AnchorArgs;
pub(crate) use append::{AppendArgs, InputKind};
pub(crate) use entries::{EntriesArgs, EntriesFormat, EntryArgs, FindArgs, IndexArgs, TailArgs};
pub(crate) use erase::{CompactArgs, EraseArgs};
pub(crate) use follow::{FollowArgs, MirrorArgs, MonitorArgs};
pub(crate) use lock::LockArgs;
pub(crate) use looking::{
    BeginArgs, CompletionsArgs, ConfigArgs, DiffArgs, DoctorArgs, FrontierArgs, HashArgs, InfoArgs,
    LeavesArgs, LeavesFormat, ManArgs, RecoverArgs, RestoreArgs, StatsArgs, StoreCheckpointArgs,
};
pub(crate) use memory::MemoryArgs;
pub(crate) use messages::{LogFormat, MessageArgs, ProgressArgs, ProgressKind};
pub(crate) use network::{ClientsArgs, NetworkArgs, TlsArgs};
pub(crate) use proofs::{
    CheckpointArgs, ConsistencyArgs, HeadArgs, HeadFormat, InclusionArgs, KeyKind, KeygenArgs,
    ProofFormat, ProveArgs, ProveConsistencyArgs, TrustArgs, VerifyArgs,
};
pub(crate) use remote::{
    Acknowledge, RemoteArgs, RemoteInitArgs, RemoteRejoinArgs, RemoteShipArgs, RemoteStatusArgs,
};
pub(crate) use serve::{ExportTilesArgs, ServeArgs};
pub(crate) use transfer::{ExportArgs, ImportArgs, TransferFormat};
pub(crate) use trees::{
    DropTreeArgs, MarkArgs, MarksArgs, PruneArgs, RewindArgs, SealArgs, TreesArgs,
};
pub(crate) use witness::WitnessArgs;

use crate::ended::MAX_RECORD;
use crate::error::start_of;
use crate::number::number;
use crate::{hex, policy};

/// An append-only, persistent Merkle accumulator.
#[derive(Debug, Parser)]
#[command(
    name = "duramen",
    arg_required_else_help = false,
    version,
    after_help = "\
Exit status: 0 done or verified, 1 a check failed, 3 no store or no such tree, 4 the store is open elsewhere,
5 no space, 6 damage, 7 no permission, 8 a newer format, 2 anything else that went wrong."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    pub(crate) messages: MessageArgs,

    /// Read settings from this file, in TOML: a table for each command, with its options by their names.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Append leaves to a store and print the head; a missing store is created.
    ///
    /// SIGTERM, SIGINT or SIGHUP ends the input: what was read is appended and made durable, the store is
    /// closed, and after the head the program prints how many records of this input are in it. A second
    /// signal ends the program at once.
    ///
    /// With --entries a new tree keeps the data of its leaves, which entry and entries print. Later appends
    /// to such a tree keep it without being told.
    ///
    /// A record that is no leaf ends the input with an error that names its place. All leaves before
    /// it stay appended, and the error names their number. --skip-bad goes on behind it.
    ///
    /// SIGUSR1 has the program print a line of statistics on standard error.
    Append(AppendArgs),
    /// Print a tree's size and root.
    Head(HeadArgs),
    /// Print what a store is, from its manifest and the sizes of its files. Reads no log and no part.
    Info(InfoArgs),
    /// Print the figures of a store, as the process that has it open wrote them last, or show them in the terminal.
    ///
    /// Opens nothing, and takes no time from the store.
    Stats(StatsArgs),
    /// Ask the process that has a store open to flush, checkpoint, compact, back up, scrub or say how it is.
    ///
    /// A running append or serve listens for that on a socket in the store's directory, which only its user reaches.
    Admin(AdminArgs),
    /// Print the leaves of a tree, in order.
    Leaves(LeavesArgs),
    /// Print the leaf that data makes; needs no store.
    ///
    /// With blake3 the leaf of a file is what b3sum --derive-key "duramen 2026-11 leaf data v1" prints of it, with
    /// rfc6962-sha256 the SHA-256 of a zero byte and the file.
    Hash(HashArgs),
    /// Print the complete nodes at the right edge of a tree, which suffice to append to it and to compute its root.
    Frontier(FrontierArgs),
    /// Create a tree that goes on behind the frontier of another one, without its leaves.
    Begin(BeginArgs),
    /// Write what the log has into parts. The store must not be open elsewhere.
    Checkpoint(StoreCheckpointArgs),
    /// Print a proof that a leaf, or several, are in a tree.
    ///
    /// The indexes are a set: their order does not matter, and one that is given twice counts once.
    /// One index gives an inclusion proof; several give one multi-inclusion proof, which has its
    /// leaves in ascending order and is smaller than their single proofs together.
    Prove(ProveArgs),
    /// Print a proof that the tree of OLD leaves is a prefix of the tree of NEW leaves.
    ProveConsistency(ProveConsistencyArgs),
    /// Print the data of one leaf, of a tree that keeps entries.
    ///
    /// Writes exactly the bytes that were appended, without a newline behind them.
    Entry(EntryArgs),
    /// Print the data of many leaves in order, of a tree that keeps entries.
    Entries(EntriesArgs),
    /// Print the last entries of a tree, or its last leaves, and follow it with -f.
    ///
    /// Prints only what is known to be durable. SIGTERM, SIGINT or SIGHUP ends -f after a complete line, with
    /// status 0. A second signal ends the program at once.
    Tail(TailArgs),
    /// Write the data of leaves into a stream of bytes, of a tree that keeps entries.
    ///
    /// In frames it ends with the root of the tree: import proves with it that it has got everything.
    Export(ExportArgs),
    /// Append the entries of an export to a tree and print the head; a missing store or tree is created.
    ///
    /// Of an export in frames that is not whole, what is whole is appended, and the error names the place. With
    /// --resume another import goes on from there.
    Import(ImportArgs),
    /// Print the index of the first leaf that is equal to one; status 1 if there is none.
    ///
    /// A tree with an index answers after a few reads. In another one every leaf is read.
    Find(FindArgs),
    /// Give a tree an index, so that its leaves are found by their hash.
    ///
    /// When the command ends, the index is durable and written. The tree keeps it from then on.
    Index(IndexArgs),
    /// Serve logs over HTTP: entries in, signed checkpoints, C2SP tiles and proofs out.
    ///
    /// Prints the address once it can be reached. After SIGTERM, SIGINT or SIGHUP nothing new is accepted, requests that
    /// run are answered, and the last checkpoint is published. A second signal ends the program at once.
    Serve(ServeArgs),
    /// Cosign the checkpoints of other people's logs over HTTP, as a witness of C2SP tlog-witness.
    ///
    /// Prints the address once it can be reached. A checkpoint is durable as the last one of its log before its
    /// cosignature is answered. After SIGTERM, SIGINT or SIGHUP nothing new is accepted, and requests that run are
    /// answered. A second signal ends the program at once.
    Witness(WitnessArgs),
    /// Follow somebody else's log, C2SP tlog-tiles, and verify everything that it publishes.
    ///
    /// Verifies that each checkpoint is signed and extends the one before, and every tile and every entry against it.
    /// Prints a line for each checkpoint. A second history ends the program with status 1; both signed notes and the
    /// tiles that prove it are kept. SIGTERM, SIGINT or SIGHUP ends it with status 0, and it goes on there later.
    Monitor(MonitorArgs),
    /// Keep a verified copy of somebody else's log in a store, and serve it.
    ///
    /// Verifies what monitor verifies, and inserts each entry once it is verified. The checkpoint of the copy is a file in
    /// the directory of the state, for export-tiles, and is served with --listen.
    Mirror(MirrorArgs),
    /// Write a log as files: the checkpoint, tiles and entry bundles of C2SP tlog-tiles, for a web server or a CDN.
    ///
    /// Writes only what is new since the checkpoint that is there. May be interrupted and called again.
    ExportTiles(ExportTilesArgs),
    /// Erase entries: their data can be read no more, and their leaves, the root and all proofs stay.
    ///
    /// When the command ends, that is durable. The data is in the files until compact has run. Nothing brings
    /// it back.
    Erase(EraseArgs),
    /// Remove the data of erased entries from every file of a store.
    ///
    /// Parts with such entries are written again without them. Old files are overwritten with zeros. Ends with
    /// status 2 if a file was left because something reads it.
    Compact(CompactArgs),
    /// Make a key that signs checkpoints: writes the private key to a file, prints the public one.
    ///
    /// Both are one line of text, as the Go module golang.org/x/mod/sumdb/note and C2SP signed-note
    /// define them: PRIVATE+KEY+NAME+ID+BASE64 and NAME+ID+BASE64.
    Keygen(KeygenArgs),
    /// Check a proof against a head that is trusted; needs no store.
    #[command(subcommand)]
    Verify(VerifyArgs),
    /// Verify every stored byte of a store against its checksums and hashes.
    ///
    /// Works beside a writer, except with --repair.
    Scrub(ScrubArgs),
    /// Copy a store into a new directory, also while a program writes to it.
    ///
    /// The copy holds everything that was durable before the call. When the program ends, the copy is durable
    /// and a store of its own. The store is neither locked nor stopped nor changed. Parts become hard links,
    /// which take no space; onto another file system they are copied.
    Backup(BackupArgs),
    /// Keep a store in a bucket, so that it survives the loss of this machine, and take it over from there.
    #[command(subcommand)]
    Remote(RemoteArgs),
    /// Classify every file of a store; changes nothing.
    Fsck(FsckArgs),
    /// Print what stands in one file of a store, damaged or not.
    Dump(DumpArgs),
    /// List the trees of a store, with their sizes.
    Trees(TreesArgs),
    /// Have a tree take no more leaves, for ever. It is read and proven as before.
    Seal(SealArgs),
    /// Give the sizes that all trees have now a name, or remove such a mark.
    Mark(MarkArgs),
    /// List the marks of a store, oldest first, with the sizes of the trees.
    Marks(MarksArgs),
    /// Drop the newest leaves of a tree, or of all trees back to a mark.
    Rewind(RewindArgs),
    /// Drop the oldest leaves of a tree and free their space. Roots and proofs of the others stay.
    Prune(PruneArgs),
    /// Drop a tree and free its space. Its name may be used again.
    DropTree(DropTreeArgs),
    /// Make a store from a backup, if the backup has the history of a head that is trusted.
    Restore(RestoreArgs),
    /// Make a new store from the parts and the log of one whose manifests are gone or damaged.
    ///
    /// The damaged store is only read. Status 1 if something is known to be missing.
    Recover(RecoverArgs),
    /// Compare two stores: whether they are the same, and how many leaves their trees have in common.
    ///
    /// Status 1 if a tree has different leaves in the two. One that is a prefix of the other is no difference.
    Diff(DiffArgs),
    /// Look whether a place is good for a store: permissions, space, file system, device, limits. Writes nothing.
    Doctor(DoctorArgs),
    /// Print the settings in force, with comments, as a file for --config.
    Config(ConfigArgs),
    /// Print a script that completes commands and options in a shell.
    Completions(CompletionsArgs),
    /// Print a page of the manual, for man.
    Man(ManArgs),
}

impl Command {
    /// Whether the command runs until it is asked to end, and its messages are its log.
    pub(crate) fn serves(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Witness(_))
    }
}

/// `duramen backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The directory of the copy, which is made. One that is there must be empty.
    pub(crate) target: PathBuf,

    /// Let the directory hold an older backup of the store, which becomes the new one. Only what is new is copied. A crash
    /// leaves the older backup or the new one.
    #[arg(long)]
    pub(crate) incremental: bool,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen fsck`.
#[derive(Debug, clap::Args)]
pub(crate) struct FsckArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `duramen dump`.
#[derive(Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// A manifest, a log segment, a part, the lock file or the status file, wherever it lies.
    pub(crate) file: PathBuf,
}

/// `duramen scrub`.
#[derive(Debug, clap::Args)]
pub(crate) struct ScrubArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// Rebuild damaged inner nodes, checksums and headers from what is intact, into new parts.
    /// Leaves are rebuilt from their entries, in a tree that keeps entries, and else never touched.
    #[arg(long)]
    pub(crate) repair: bool,

    /// Take what cannot be rebuilt, such as leaves, from this backup of the store, if it proves right. Without --repair
    /// the program says what it would take.
    #[arg(long, value_name = "BACKUP")]
    pub(crate) from: Option<PathBuf>,

    /// Read at most so many bytes a second, such as 100MB, on one core.
    #[arg(long, value_name = "BYTES", value_parser = policy::bytes)]
    pub(crate) rate: Option<u64>,

    /// Measure for half a second what the hash function alone does, and print it beside the rate.
    #[arg(long)]
    pub(crate) kernel: bool,

    #[command(flatten)]
    pub(crate) progress: ProgressArgs,

    #[command(flatten)]
    pub(crate) lock: LockArgs,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The hash functions the program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HasherName {
    /// BLAKE3.
    Blake3,
    /// SHA-256 with the prefixes of RFC 6962; sha256 for short.
    #[value(name = "rfc6962-sha256", alias = "sha256")]
    Sha256,
}

impl HasherName {
    /// The hash function.
    pub(crate) fn hasher(self) -> Arc<dyn Hasher> {
        match self {
            Self::Blake3 => Arc::new(Blake3),
            Self::Sha256 => Arc::new(Rfc6962Sha256),
        }
    }

    /// The hash function that stores and proofs call by this name.
    pub(crate) fn by_id(id: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|name| name.hasher().id().as_str() == id)
    }

    /// As [`by_id`](Self::by_id), with what to say of one that the program does not know.
    pub(crate) fn known(id: &str) -> Result<Self, String> {
        Self::by_id(id).ok_or_else(|| format!("the hasher {} is unknown", start_of(id)))
    }
}

fn arity(text: &str) -> Result<Arity, String> {
    let children = usize::try_from(number(text)?).ok();
    children.and_then(Arity::new).ok_or_else(|| "a node has 2, 4, 8 or 16 children".to_owned())
}

fn longest(text: &str) -> Result<u32, String> {
    // The longest entry that a tree can have is the longest record as well.
    let bytes = usize::try_from(policy::bytes(text)?).ok().filter(|bytes| *bytes <= MAX_RECORD);
    let bytes = bytes.and_then(|bytes| u32::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("an entry has at most {MAX_RECORD} bytes"))
}

fn level(text: &str) -> Result<u8, String> {
    let level = u8::try_from(number(text)?).ok();
    level.filter(|level| (1..=22).contains(level)).ok_or_else(|| "a level is 1 to 22".to_owned())
}

fn hash(text: &str) -> Result<Hash, String> {
    hex::decode(text.as_bytes())
        .ok_or_else(|| format!("a hash is 64 hexadecimal digits, this is {text:?}"))
}

fn head(text: &str) -> Result<TreeHead, String> {
    let (size, root) =
        text.split_once(':').ok_or_else(|| "a head is SIZE:ROOT with ROOT in hex".to_owned())?;
    let size = number(size).map_err(|why| format!("{size:?} is not a number of leaves: {why}"))?;
    Ok(TreeHead { size: TreeSize(size), root: hash(root)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    /// What an option or argument takes, tried alone.
    fn takes(arg: &clap::Arg, text: &str) -> bool {
        let value = clap::Arg::new("value").value_parser(arg.get_value_parser().clone());
        let value = value.allow_hyphen_values(true);
        clap::Command::new("one").arg(value).try_get_matches_from(["one", text]).is_ok()
    }

    #[test]
    fn every_number_on_the_command_line_has_one_spelling() {
        let mut commands = vec![<Args as clap::CommandFactory>::command()];
        let mut numbers = 0;
        while let Some(command) = commands.pop() {
            commands.extend(command.get_subcommands().cloned());
            // What takes any word is no number.
            let is_number =
                |arg: &&clap::Arg| arg.get_action().takes_values() && !takes(arg, "a word");
            let args = command.get_arguments().filter(is_number);
            for arg in args {
                for unit in ["", "s", "MiB"] {
                    if takes(arg, &format!("5{unit}")) {
                        numbers += 1;
                        for other in ["+5", "05", "-5", " 5", "5.0"] {
                            let other = format!("{other}{unit}");
                            let (command, id) = (command.get_name(), arg.get_id());
                            assert!(!takes(arg, &other), "{command} {id} takes {other:?}");
                        }
                    }
                }
            }
        }
        assert!(numbers > 40, "{numbers}");
    }

    #[test]
    fn every_hasher_is_found_by_the_name_stores_give_it() {
        for name in HasherName::value_variants() {
            assert_eq!(HasherName::by_id(name.hasher().id().as_str()), Some(*name));
        }
        assert_eq!(HasherName::by_id("md5"), None);
    }

    #[test]
    fn the_name_of_a_hasher_on_the_command_line_is_the_one_that_is_printed() {
        for name in HasherName::value_variants() {
            let shown = name.to_possible_value().unwrap();
            assert_eq!(shown.get_name(), name.hasher().id().as_str());
        }
        assert_eq!(HasherName::from_str("sha256", false), Ok(HasherName::Sha256));
    }

    #[test]
    fn the_longest_entry_and_a_level_are_what_a_tree_can_have() {
        assert_eq!(longest("1"), Ok(1));
        assert_eq!(longest("64MiB"), Ok(64 << 20));
        for bad in ["", "0", "-1", "64MiB1", "65MiB", "67108865", "4GiB", "16EiB"] {
            assert!(longest(bad).is_err(), "{bad:?}");
        }
        assert_eq!((level("1"), level("22")), (Ok(1), Ok(22)));
        for bad in ["", "0", "23", "-1", "03", "256", "best"] {
            assert!(level(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_head_is_a_size_and_a_root() {
        let root = "ab".repeat(32);
        let read = head(&format!("7:{root}")).unwrap();
        assert_eq!((read.size, read.root), (TreeSize(7), [0xab; 32]));
        for bad in [
            "",
            "7",
            &root,
            &format!(":{root}"),
            &format!("-1:{root}"),
            "7:abcd",
            &format!("+7:{root}"),
            &format!("07:{root}"),
        ] {
            assert!(head(bad).is_err(), "{bad:?}");
        }
    }
}
