//! `duramen verify consistency`.

use duramen::inspect::count;

use crate::args::ConsistencyArgs;
use crate::error::{Error, Refusal};
use crate::proof::Consistency;
use crate::{output, proof};

use super::{made_with, same, same_hash};

/// Reads a consistency proof and checks it.
pub(super) fn run(args: &ConsistencyArgs) -> Result<(), Error> {
    let proof = proof::consistency(&args.proof)?;
    verify(&proof, args).map_err(|reason| Error::Refused { reason })?;
    output::print(&format!(
        "verified: the tree of {} is a prefix of the tree of {}\n",
        count(args.old_head.size.get(), "leaf", "leaves"),
        count(args.head.size.get(), "leaf", "leaves")
    ))
}

fn verify(proof: &Consistency, args: &ConsistencyArgs) -> Result<(), Refusal> {
    made_with((proof.hasher, proof.arity), args.hasher, args.arity)?;
    same("old size", &proof.old, &args.old_head.size)?;
    same("new size", &proof.new, &args.head.size)?;
    if let Some((old, new)) = proof.heads() {
        same_hash("old root", &old.root, &args.old_head.root)?;
        same_hash("new root", &new.root, &args.head.root)?;
    }
    let hasher = proof.hasher.hasher();
    Ok(proof.proof.verify(&*hasher, proof.arity, &args.old_head, &args.head)?)
}
