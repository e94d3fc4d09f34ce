//! `duramen verify consistency`.

use duramen::TreeHead;
use duramen::inspect::count;

use crate::args::ConsistencyArgs;
use crate::error::{Error, Refusal};
use crate::proof::Consistency;
use crate::{output, proof};

use super::{made_with, same, same_hash};

/// Reads a consistency proof and checks it.
pub(super) fn run(args: &ConsistencyArgs) -> Result<(), Error> {
    let proof = proof::consistency(&args.proof)?;
    if args.vkey.is_some() && proof.receipt.is_none() {
        let message = "--vkey is for a receipt: other consistency proofs have no signature";
        return Err(Error::Usage(message.into()));
    }
    let head = verify(&proof, args).map_err(|reason| Error::Refused { reason })?;
    output::print(&format!(
        "verified: the tree of {} is a prefix of the tree of {}\n",
        count(args.old_head.size.get(), "leaf", "leaves"),
        count(head.size.get(), "leaf", "leaves")
    ))
}

fn verify(proof: &Consistency, args: &ConsistencyArgs) -> Result<TreeHead, Refusal> {
    made_with((proof.hasher, proof.arity), args.hasher, args.arity)?;
    same("old size", &proof.old, &args.old_head.size)?;
    let signed = match (&proof.receipt, &args.vkey) {
        (Some(receipt), Some(key)) => {
            let root = receipt.verify(&key.public_key(), &args.old_head)?;
            Some(TreeHead { size: proof.new, root })
        }
        _ => None,
    };
    let head = args.head.or(signed).ok_or(Refusal::NoHead)?;
    same("new size", &proof.new, &head.size)?;
    if let Some(signed) = signed {
        same_hash("new root", &signed.root, &head.root)?;
    }
    if let Some((old, new)) = proof.heads() {
        same_hash("old root", &old.root, &args.old_head.root)?;
        same_hash("new root", &new.root, &head.root)?;
    }
    let hasher = proof.hasher.hasher();
    proof.proof.verify(&*hasher, proof.arity, &args.old_head, &head)?;
    Ok(head)
}
