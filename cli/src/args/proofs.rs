//! The arguments of the commands about heads and proofs.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use duramen::tlog::AnyVerifier;
use duramen::{Arity, Hash, MarkName, TreeHead, TreeName};

use super::{AnchorArgs, HasherName, arity, hash, head};
use crate::number::number;

/// `duramen head`.
#[derive(Debug, clap::Args)]
pub(crate) struct HeadArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The heads of all trees, and the commitment to all of them.
    #[arg(long, conflicts_with_all = ["tree", "size", "origin", "key"])]
    pub(crate) all: bool,

    /// The tree, or all trees, as they were at this mark.
    #[arg(long, value_name = "NAME", conflicts_with = "size")]
    pub(crate) mark: Option<MarkName>,

    /// The tree of this many leaves instead of all of them.
    ///
    /// A checkpoint is of leaves that are known to be durable: of all of those without this option, and
    /// never of more. Beside a writer the last few may be missing until it writes again.
    #[arg(long, value_parser = number)]
    pub(crate) size: Option<u64>,

    /// How to print the head.
    #[arg(long, value_enum, default_value_t = HeadFormat::Text)]
    pub(crate) format: HeadFormat,

    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,

    /// The name of the log, a checkpoint's first line [default: the name of the key].
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,

    /// Sign the checkpoint with the private key in this file, as keygen makes it. It is signed through the anchor of
    /// its log.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) anchor: AnchorArgs,
}

/// How a head is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeadFormat {
    /// Two lines, size and root.
    Text,
    /// One line of JSON.
    Json,
    /// A C2SP tlog-checkpoint of durable leaves, signed if there is a key; for rfc6962-sha256 and arity 2.
    Checkpoint,
}

/// `duramen prove`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProveArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The leaves to prove, counted from 0.
    #[arg(required = true, value_name = "INDEX", value_parser = number)]
    pub(crate) indexes: Vec<u64>,

    /// The tree of this many leaves instead of all of them.
    #[arg(long, value_parser = number)]
    pub(crate) size: Option<u64>,

    /// The tree as it was at this mark.
    #[arg(long, value_name = "NAME", conflicts_with = "size")]
    pub(crate) mark: Option<MarkName>,

    /// How to write the proof.
    #[arg(long, value_enum, default_value_t = ProofFormat::Json)]
    pub(crate) format: ProofFormat,

    /// Print the JSON in one line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the proof to this file, replacing it as a whole, instead of printing it; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// tlog-proof, cose-receipt: the name of the log [default: the name of the key].
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,

    /// tlog-proof, cose-receipt: sign a checkpoint of the tree with the private key in this file, through the anchor of its log.
    /// Only leaves that are known to be durable are signed for.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) anchor: AnchorArgs,

    /// tlog-proof: prove at the size of the signed checkpoint in this file and hand it on as it is,
    /// its signatures unchecked; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "origin", "size", "mark"])]
    pub(crate) checkpoint: Option<PathBuf>,
}

/// How a proof is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProofFormat {
    /// JSON with hashes in hex.
    Json,
    /// The bytes that FORMAT.md describes, without leaves and roots.
    Binary,
    /// A C2SP tlog-proof: one leaf, together with a signed checkpoint; for rfc6962-sha256 and arity 2.
    TlogProof,
    /// A COSE receipt of RFC 9942: one leaf, or two sizes, with a signature of the root; for rfc6962-sha256 and arity 2.
    CoseReceipt,
}

/// `duramen prove-consistency`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProveConsistencyArgs {
    /// The store's directory.
    pub(crate) dir: PathBuf,

    /// The tree.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) tree: TreeName,

    /// The size of the old tree.
    #[arg(value_parser = number)]
    pub(crate) old: u64,

    /// The size of the new tree [default: all leaves].
    #[arg(value_parser = number)]
    pub(crate) new: Option<u64>,

    /// How to write the proof: json, binary or cose-receipt.
    #[arg(long, value_enum, default_value_t = ProofFormat::Json, hide_possible_values = true)]
    pub(crate) format: ProofFormat,

    /// Print the JSON in one line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the proof to this file, replacing it as a whole, instead of printing it; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// cose-receipt: the name of the log [default: the name of the key].
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,

    /// cose-receipt: sign the new head with the private key in this file, through the anchor of its log.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) anchor: AnchorArgs,
}

/// `duramen keygen`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// The key's name, best the origin of the log: without spaces and plus.
    #[arg(required_unless_present = "public")]
    pub(crate) name: Option<String>,

    /// The file for the private key. It must not exist; only its owner can read it. It is durable before
    /// the public key is printed.
    #[arg(short, long, value_name = "FILE", required_unless_present = "public")]
    pub(crate) output: Option<PathBuf>,

    /// What the key signs, and how.
    #[arg(long = "type", value_enum, default_value_t = KeyKind::Log, conflicts_with = "public")]
    pub(crate) kind: KeyKind,

    /// Make nothing: print the public half of the private key in this file; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "output"])]
    pub(crate) public: Option<PathBuf>,
}

/// What a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// The checkpoints of a log of one's own, with Ed25519.
    Log,
    /// The checkpoints of other people's logs, with Ed25519: for a witness.
    Cosigner,
    /// Checkpoints, with ML-DSA-44: those of other people's logs as a witness, or of a log of one's own beside its key.
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

/// `duramen verify`.
#[derive(Debug, Subcommand)]
pub(crate) enum VerifyArgs {
    /// Check that a leaf, or several, are in the tree of a trusted head.
    ///
    /// Reads every format that prove writes, and recognises each by its first bytes. For several
    /// leaves give --index and --leaf (or --data) several times, the first index with the first
    /// leaf and so on, or --leaves. A proof of other leaves, more or fewer, is refused.
    Inclusion(Box<InclusionArgs>),
    /// Check that the tree of a trusted head is a prefix of that of another trusted head.
    Consistency(ConsistencyArgs),
    /// Check that a log, and the witnesses that a policy asks for, signed a checkpoint. Prints its head.
    Checkpoint(CheckpointArgs),
}

/// Whose signatures are trusted.
#[derive(Debug, clap::Args)]
pub(crate) struct TrustArgs {
    /// Trust a checkpoint that this public key of a log, NAME+ID+BASE64 of any type, signed.
    #[arg(long, value_name = "KEY", value_parser = vkey)]
    pub(crate) vkey: Option<AnyVerifier>,

    /// Trust a checkpoint that a log and the quorum of witnesses of this C2SP tlog-policy signed. With --vkey the log is
    /// that one; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// The origin that the signed checkpoint must have [default: the name of the key].
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,
}

/// `duramen verify checkpoint`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("trusted").args(["vkey", "policy"]).required(true).multiple(true)))]
pub(crate) struct CheckpointArgs {
    /// The signed checkpoint; - is standard input.
    pub(crate) checkpoint: PathBuf,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// `duramen verify inclusion`.
#[derive(Debug, clap::Args)]
pub(crate) struct InclusionArgs {
    /// The proof as prove wrote it; - is standard input.
    pub(crate) proof: PathBuf,

    /// The trusted head.
    #[arg(
        long,
        value_name = "SIZE:ROOT",
        value_parser = head,
        required_unless_present_any = ["vkey", "policy"]
    )]
    pub(crate) head: Option<TreeHead>,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// The leaf's index.
    #[arg(
        long = "index",
        value_name = "INDEX",
        value_parser = number,
        required_unless_present = "leaves"
    )]
    pub(crate) indexes: Vec<u64>,

    /// The leaf itself, 64 hexadecimal digits.
    #[arg(
        long = "leaf",
        value_name = "HEX",
        value_parser = hash,
        required_unless_present_any = ["data", "leaves"],
        conflicts_with = "data"
    )]
    pub(crate) leaf: Vec<Hash>,

    /// A file whose whole content is the leaf's data; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Vec<PathBuf>,

    /// A file with a line INDEX HEX for every leaf; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["indexes", "leaf", "data"])]
    pub(crate) leaves: Option<PathBuf>,

    /// Refuse a proof that is not made with this hash function.
    #[arg(long, value_enum)]
    pub(crate) hasher: Option<HasherName>,

    /// Refuse a proof that is not made with this arity.
    #[arg(long, value_parser = arity)]
    pub(crate) arity: Option<Arity>,
}

/// `duramen verify consistency`.
#[derive(Debug, clap::Args)]
pub(crate) struct ConsistencyArgs {
    /// The proof as prove-consistency wrote it; - is standard input.
    pub(crate) proof: PathBuf,

    /// The trusted head of the old tree.
    #[arg(long, value_name = "SIZE:ROOT", value_parser = head)]
    pub(crate) old_head: TreeHead,

    /// The trusted head of the new tree.
    #[arg(long, value_name = "SIZE:ROOT", value_parser = head, required_unless_present = "vkey")]
    pub(crate) head: Option<TreeHead>,

    /// Trust the new root of a COSE receipt if this public key, NAME+ID+BASE64, signed it.
    #[arg(long, value_name = "KEY", value_parser = vkey)]
    pub(crate) vkey: Option<AnyVerifier>,

    /// Refuse a proof that is not made with this hash function.
    #[arg(long, value_enum)]
    pub(crate) hasher: Option<HasherName>,

    /// Refuse a proof that is not made with this arity.
    #[arg(long, value_parser = arity)]
    pub(crate) arity: Option<Arity>,
}

fn vkey(text: &str) -> Result<AnyVerifier, String> {
    text.parse().map_err(|error: duramen::tlog::TlogError| error.to_string())
}
