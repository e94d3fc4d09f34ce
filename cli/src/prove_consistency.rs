//! `duramen prove-consistency`.

use duramen::TreeSize;

use crate::args::{HasherName, ProofFormat, ProveConsistencyArgs};
use crate::error::Error;
use crate::proof::Consistency;
use crate::{output, store};

/// Prints or writes a consistency proof.
pub(crate) fn run(args: &ProveConsistencyArgs) -> Result<(), Error> {
    let wrong = match args.format {
        ProofFormat::TlogProof => Some("a consistency proof is json or binary"),
        ProofFormat::Binary if args.json => Some("--json belongs to --format json"),
        ProofFormat::Binary | ProofFormat::Json => None,
    };
    if let Some(wrong) = wrong {
        return Err(Error::Usage(wrong.into()));
    }
    let store = store::read(&args.dir, &args.tree)?;
    let snapshot = &store;
    let (old, new) = (TreeSize(args.old), args.new.map_or_else(|| snapshot.size(), TreeSize));
    // Before the heads: its error names which of two sizes is wrong.
    let proof = snapshot.prove_consistency_between(old, new)?;
    let id = store.hasher().id();
    let proof = Consistency {
        hasher: HasherName::by_id(id.as_str())
            .ok_or_else(|| Error::Usage(format!("the hasher {id} is unknown to this program")))?,
        arity: store.arity(),
        old,
        new,
        roots: Some((snapshot.head_at(old)?.root, snapshot.head_at(new)?.root)),
        proof,
    };
    let bytes = match args.format {
        ProofFormat::Binary => proof.to_binary()?,
        _ => proof.to_json(!args.json)?.into_bytes(),
    };
    output::write(&bytes, args.output.as_deref())
}
