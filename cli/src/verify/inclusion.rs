//! `duramen verify inclusion`.

use std::fmt::{self, Display};
use std::path::Path;

use duramen::inspect::count;
use duramen::{Hash, Hasher, LeafIndex, TreeHead};

use super::trust::{Trust, by_witnesses};
use super::{made_with, same, same_hash};
use crate::args::InclusionArgs;
use crate::error::{Error, Refusal};
use crate::hex;
use crate::number::number;
use crate::proof::{AnyInclusion, Inclusion, Signed};
use crate::{input, output, proof};

/// The longest list of leaves that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

/// Reads an inclusion proof and checks it.
pub(super) fn run(args: &InclusionArgs) -> Result<(), Error> {
    let trust = Trust::read(&args.trust)?;
    let proof = proof::inclusion(&args.proof)?;
    let wrong = match &proof.signed {
        Signed::Nothing if trust.is_some() => {
            "--vkey and --policy are for a tlog-proof or a receipt: other proofs have no signature"
        }
        Signed::Receipt(_) if args.trust.policy.is_some() || args.trust.origin.is_some() => {
            "a receipt has no origin and no witnesses: --policy and --origin are for a tlog-proof"
        }
        _ => "",
    };
    if !wrong.is_empty() {
        return Err(Error::Usage(wrong.into()));
    }
    let leaves = leaves(args, &*proof.hasher.hasher())?;
    let verified = verify(&proof, (args, &trust), &leaves);
    let (head, cosigned) = verified.map_err(|reason| Error::Refused { reason })?;
    let (tree, by) = (count(head.size.get(), "leaf", "leaves"), by_witnesses(cosigned));
    output::print(&match leaves.as_slice() {
        [(index, _)] => format!("verified: leaf {index} is in the tree of {tree}{by}\n"),
        many => format!("verified: {} leaves are in the tree of {tree}{by}\n", many.len()),
    })
}

/// How many of how many witnesses cosigned.
type Cosigned = Option<(usize, usize)>;

fn verify(
    proof: &Inclusion,
    (args, trust): (&InclusionArgs, &Trust<'_>),
    leaves: &[(LeafIndex, Hash)],
) -> Result<(TreeHead, Cosigned), Refusal> {
    made_with((proof.hasher, proof.arity), args.hasher, args.arity)?;
    let (head, cosigned) = trusted_head(proof, (args, trust), leaves)?;
    same("size", &proof.size, &head.size)?;
    if let Some(root) = &proof.root {
        same_hash("root", root, &head.root)?;
    }
    let stated = proof.leaves.iter().map(|(index, _)| *index);
    let mut asked: Vec<LeafIndex> = leaves.iter().map(|(index, _)| *index).collect();
    // Two different leaves for one index are for the proof to refuse.
    asked.dedup();
    let (stated, asked) = (Indexes(stated.collect()), Indexes(asked));
    same(if asked.0.len() == 1 { "index" } else { "indexes" }, &stated, &asked)?;
    let hasher = &*proof.hasher.hasher();
    let AnyInclusion::Multi(multi) = &proof.proof else {
        return single(proof, hasher, &head, leaves).map(|()| (head, cosigned));
    };
    if stated.0.len() == leaves.len() {
        for ((_, stated), (_, leaf)) in proof.leaves.iter().zip(leaves) {
            same_hash("leaf", stated.as_ref().unwrap_or(leaf), leaf)?;
        }
    }
    multi.verify(hasher, proof.arity, &head, leaves)?;
    Ok((head, cosigned))
}

fn single(
    proof: &Inclusion,
    hasher: &dyn Hasher,
    head: &TreeHead,
    leaves: &[(LeafIndex, Hash)],
) -> Result<(), Refusal> {
    // The indexes were compared: every leaf is for the one index there is.
    for (index, leaf) in leaves {
        if let Some((_, Some(stated))) = proof.leaves.first() {
            same_hash("leaf", stated, leaf)?;
        }
        if let AnyInclusion::Single(siblings) = &proof.proof {
            siblings.verify(hasher, proof.arity, head, *index, leaf)?;
        }
    }
    Ok(())
}

/// The head on the command line, or the one that a trusted key signed.
fn trusted_head(
    proof: &Inclusion,
    (args, trust): (&InclusionArgs, &Trust<'_>),
    leaves: &[(LeafIndex, Hash)],
) -> Result<(TreeHead, Cosigned), Refusal> {
    let (signed, cosigned) = match (&proof.signed, &args.trust.vkey) {
        (Signed::Checkpoint(note), _) if trust.is_some() => {
            let trusted = trust.verify(note)?;
            (Some(trusted.checkpoint.head()), trusted.cosigned)
        }
        (Signed::Receipt(receipt), Some(key)) => {
            // The root that is signed is the one that the leaf leads to. The size is what the receipt says.
            let (_, leaf) = leaves.first().ok_or(Refusal::NoHead)?;
            let root = receipt.verify(&key.public_key(), leaf)?;
            (Some(TreeHead { size: receipt.size(), root }), None)
        }
        _ => (None, None),
    };
    match (args.head, signed) {
        (Some(head), Some(signed)) => {
            same("size", &signed.size, &head.size)?;
            same_hash("root", &signed.root, &head.root)?;
            Ok((head, cosigned))
        }
        (Some(head), None) | (None, Some(head)) => Ok((head, cosigned)),
        (None, None) => Err(Refusal::NoHead),
    }
}

/// The leaves on the command line, by ascending index, the same one once.
fn leaves(args: &InclusionArgs, hasher: &dyn Hasher) -> Result<Vec<(LeafIndex, Hash)>, Error> {
    let mut leaves = match &args.leaves {
        Some(file) => list(file)?,
        None => {
            let mut hashes = args.leaf.clone();
            for file in &args.data {
                hashes.push(input::leaf(file, hasher)?);
            }
            let (indexes, given) = (args.indexes.len(), hashes.len());
            if indexes != given {
                return Err(Error::Usage(format!(
                    "--index is given {}, but there {}",
                    count(indexes, "time", "times"),
                    match given {
                        1 => "is 1 leaf".to_owned(),
                        given => format!("are {given} leaves"),
                    }
                )));
            }
            args.indexes.iter().copied().map(LeafIndex).zip(hashes).collect()
        }
    };
    leaves.sort_unstable();
    leaves.dedup();
    Ok(leaves)
}

/// The lines `INDEX HEX` of a file.
fn list(file: &Path) -> Result<Vec<(LeafIndex, Hash)>, Error> {
    let (name, bytes) = input::read_all(file, MAX_LIST)?;
    let unreadable = |source| Error::Unreadable { name, what: "a list of leaves", source };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(unreadable("it is not text".into()));
    };
    let parse = |(at, line): (usize, &str)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [index, leaf] => number(index).ok().map(LeafIndex).zip(hex::decode(leaf.as_bytes())),
            _ => None,
        }
        .ok_or_else(|| format!("line {} is not an index and 64 hexadecimal digits", at + 1))
    };
    let leaves: Result<Vec<_>, String> = text.lines().enumerate().map(parse).collect();
    match leaves {
        Ok(leaves) if leaves.is_empty() => Err(unreadable("it is empty".into())),
        Ok(leaves) => Ok(leaves),
        Err(error) => Err(unreadable(error.into())),
    }
}

/// Indexes, of which the first few are shown.
#[derive(PartialEq)]
struct Indexes(Vec<LeafIndex>);

impl Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        for (at, index) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}{index}", if at == 0 { "" } else { ", " })?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
