//! `duramen verify`: everything that is trusted comes from the command line, nothing from the proof.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use duramen::{Hash, Hasher, InclusionProof, LeafIndex};

use crate::args::{InclusionArgs, VerifyArgs};
use crate::error::{Error, Refusal};
use crate::hex::encode;
use crate::input::Source;
use crate::output;
use crate::proof::{InclusionJson, made_with};

/// The longest proof that is read, in bytes: far above what the deepest tree needs.
const MAX_PROOF: u64 = 1 << 20;

/// Checks a proof; a proof that does not convince is an error of its own kind.
pub(crate) fn run(args: &VerifyArgs) -> Result<(), Error> {
    match args {
        VerifyArgs::Inclusion(args) => inclusion(args),
    }
}

fn inclusion(args: &InclusionArgs) -> Result<(), Error> {
    let (name, text) = read(&args.proof, MAX_PROOF)?;
    let unreadable = |source| Error::Unreadable { name: name.clone(), source };
    let json: InclusionJson =
        serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?;
    let (hasher_name, arity) = made_with(&json).map_err(|error| unreadable(error.into()))?;
    let hasher = hasher_name.hasher();
    let leaf = match (&args.leaf, &args.data) {
        (Some(leaf), _) => *leaf,
        (None, Some(file)) => hasher.leaf(&read(file, u64::MAX)?.1),
        (None, None) => Err(unreadable("neither a leaf nor its data is given".into()))?,
    };

    let asked = args.hasher.map(|name| name.hasher().id().to_string());
    let compared = same("hasher", &json.hasher, asked.as_ref().unwrap_or(&json.hasher))
        .and_then(|()| same("arity", &arity, &args.arity.unwrap_or(arity)))
        .and_then(|()| same("size", &json.size, &args.head.size.get()))
        .and_then(|()| same("root", &encode(&json.root.0), &encode(&args.head.root)))
        .and_then(|()| same("index", &json.index, &args.index))
        .and_then(|()| same("leaf", &encode(&json.leaf.0), &encode(&leaf)));
    let siblings = json.siblings.iter().map(|hash| hash.0).collect();
    let proof = InclusionProof::from_siblings(siblings);
    compared
        .and_then(|()| verify(&proof, &*hasher, arity, args, &leaf))
        .map_err(|reason| Error::Refused { reason })?;
    output::print(&format!(
        "verified: leaf {} is in the tree of {} leaves\n",
        args.index, args.head.size
    ))
}

fn verify(
    proof: &InclusionProof,
    hasher: &dyn Hasher,
    arity: duramen::Arity,
    args: &InclusionArgs,
    leaf: &Hash,
) -> Result<(), Refusal> {
    Ok(proof.verify(hasher, arity, &args.head, LeafIndex(args.index), leaf)?)
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

/// A whole file or standard input, with its name; longer than `max` bytes is cut there.
fn read(path: &Path, max: u64) -> Result<(String, Vec<u8>), Error> {
    let source = Source::open(path)?;
    let name = source.name.clone();
    let mut bytes = Vec::new();
    match source.into_reader().take(max).read_to_end(&mut bytes) {
        Ok(_) => Ok((name, bytes)),
        Err(source) => Err(Error::Read { name, source }),
    }
}
