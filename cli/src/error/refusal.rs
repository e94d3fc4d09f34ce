//! Checks that came out negative.

use std::path::PathBuf;

use duramen::inspect::{Printable, count};

/// Why a proof does not convince, or a store is not intact.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Export(Box<duramen_log::ExportError>),

    #[error(transparent)]
    Follow(Box<duramen_log::follow::FollowError>),

    #[error("the proof is for {field} {in_proof}, the caller trusts {trusted}")]
    Other { field: &'static str, in_proof: String, trusted: String },

    #[error("the tree {tree:?} has no leaf {leaf}")]
    NoLeaf { leaf: String, tree: String },

    /// The signed root is not this tree's: one of both was forked.
    #[error(
        "the checkpoint has root {signed} at size {size}, where the root of the tree is {computed}"
    )]
    OtherTree { size: u64, signed: String, computed: String },

    #[error(
        "no process has written figures of the store {}; duramen append, serve and others do, and so does a program \
         with Config::status_file",
        Printable::new(dir)
    )]
    NoStatus { dir: PathBuf },

    #[error("neither a head nor a key is trusted")]
    NoHead,

    #[error(transparent)]
    Proof(#[from] duramen::VerifyError),

    #[error("entry {index} of the input is not the one that the tree has")]
    OtherEntry { index: u64 },

    #[error("record {record} of the input is not leaf {index} of the tree")]
    OtherRecord { record: u64, index: u64 },

    #[error(
        "the tree {tree:?} has {}, expected {}{expected}",
        count(*size, "leaf", "leaves"),
        if *at_least { "at least " } else { "" }
    )]
    OtherSize { tree: String, size: u64, expected: u64, at_least: bool },

    #[error(
        "the trusted head has root {stated} at size {size}, where that of the backup is {computed}"
    )]
    OtherHead { size: u64, stated: String, computed: String },

    /// The roots of an export and of the tree that it is imported into.
    #[error(
        "the export has root {stated} at size {size}, where the root of the tree is {computed}"
    )]
    OtherRoot { size: u64, stated: String, computed: String },

    #[error("{}", match trees {
        1 => "one tree has different leaves in the two stores".to_owned(),
        trees => format!("{trees} trees have different leaves in the two stores"),
    })]
    Diverged { trees: u64 },

    #[error("{} is not recovered as a whole", Printable::new(dir))]
    NotWhole { dir: PathBuf },

    #[error("{} in {}", count(*left, "problem", "problems"), Printable::new(dir))]
    Damaged { dir: PathBuf, left: u64 },

    #[error("{} in {url}", count(*left, "problem", "problems"))]
    Bucket { url: String, left: u64 },

    #[error(transparent)]
    Checkpoint(#[from] duramen::tlog::TlogError),

    #[error(transparent)]
    Receipt(#[from] duramen::tlog::cose::CoseError),
}
