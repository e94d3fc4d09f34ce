//! `duramen verify`: everything that is trusted comes from the command line, nothing from the proof.

mod checkpoint;
mod consistency;
mod inclusion;
mod trust;

use std::fmt::Display;

use duramen::{Arity, Hash};

use crate::args::{HasherName, VerifyArgs};
use crate::error::{Error, Refusal};
use crate::hex::encode;

/// Checks a proof; a proof that does not convince is an error of its own kind.
pub(crate) fn run(args: &VerifyArgs) -> Result<(), Error> {
    match args {
        VerifyArgs::Inclusion(args) => inclusion::run(args),
        VerifyArgs::Consistency(args) => consistency::run(args),
        VerifyArgs::Checkpoint(args) => checkpoint::run(args),
    }
}

/// Refuses a proof that says it was made with something else than what was asked for, if anything
/// was.
fn made_with(
    (hasher, arity): (HasherName, Arity),
    asked_hasher: Option<HasherName>,
    asked_arity: Option<Arity>,
) -> Result<(), Refusal> {
    let id = |name: HasherName| name.hasher().id();
    same("hasher", &id(hasher), &id(asked_hasher.unwrap_or(hasher)))?;
    same("arity", &arity, &asked_arity.unwrap_or(arity))
}

fn same_hash(field: &'static str, in_proof: &Hash, trusted: &Hash) -> Result<(), Refusal> {
    same(field, &encode(in_proof), &encode(trusted))
}

fn same<T: PartialEq + Display>(
    field: &'static str,
    in_proof: &T,
    trusted: &T,
) -> Result<(), Refusal> {
    if in_proof == trusted {
        return Ok(());
    }
    let (in_proof, trusted) = (in_proof.to_string(), trusted.to_string());
    Err(Refusal::Other { field, in_proof, trusted })
}
