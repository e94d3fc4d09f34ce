//! `duramen prove-consistency`.

use std::path::Path;

use duramen::tlog::cose::ConsistencyReceipt;
use duramen::{Config, Snapshot, StoreReader, TreeSize};

use crate::args::{HasherName, ProofFormat, ProveConsistencyArgs};
use crate::error::Error;
use crate::proof::Consistency;
use crate::{anchored, key, output};

/// Prints or writes a consistency proof.
pub(crate) fn run(args: &ProveConsistencyArgs) -> Result<(), Error> {
    let signing = args.key.is_some() || args.origin.is_some() || args.anchor.is_given();
    let receipt = args.format == ProofFormat::CoseReceipt;
    let wrong = if args.format == ProofFormat::TlogProof {
        "a consistency proof is json, binary or cose-receipt"
    } else if args.json && args.format != ProofFormat::Json {
        "--json belongs to --format json"
    } else if signing && !receipt {
        "--key, --origin and what is of the anchor belong to --format cose-receipt"
    } else {
        ""
    };
    if !wrong.is_empty() {
        return Err(Error::Usage(wrong.into()));
    }
    if args.format != ProofFormat::Json {
        output::refuse_terminal(args.output.as_deref())?;
    }
    let bytes = match (receipt, &args.key) {
        (false, _) => proof(args, &StoreReader::open(Config::new(&args.dir))?.tree(&args.tree)?)?,
        (true, Some(file)) => signed(args, file)?,
        (true, None) => return Err(Error::Usage("a receipt is signed: give --key FILE".into())),
    };
    output::write(&bytes, args.output.as_deref())
}

fn proof(args: &ProveConsistencyArgs, snapshot: &Snapshot) -> Result<Vec<u8>, Error> {
    let (old, new) = (TreeSize(args.old), args.new.map_or_else(|| snapshot.size(), TreeSize));
    // Before the heads: its error names which of two sizes is wrong.
    let proof = snapshot.prove_consistency_between(old, new)?;
    let id = snapshot.hasher().id();
    let proof = Consistency {
        hasher: HasherName::by_id(id.as_str())
            .ok_or_else(|| Error::Usage(format!("the hasher {id} is unknown to this program")))?,
        arity: snapshot.arity(),
        old,
        new,
        roots: Some((snapshot.head_at(old)?.root, snapshot.head_at(new)?.root)),
        proof,
        receipt: None,
    };
    match args.format {
        ProofFormat::Binary => proof.to_binary(),
        _ => Ok(proof.to_json(!args.json)?.into_bytes()),
    }
}

/// A receipt whose new head passed the anchor.
fn signed(args: &ProveConsistencyArgs, file: &Path) -> Result<Vec<u8>, Error> {
    let signer = key::read(file)?;
    let reader = StoreReader::open(Config::new(&args.dir))?;
    let origin = anchored::origin(args.origin.as_deref(), &signer);
    let place = (&reader, &*args.dir, &args.tree);
    let head = anchored::head(&args.anchor, (file, origin), place, args.new)?;
    // After the head that is signed, so that it has its leaves.
    let snapshot = reader.tree(&args.tree)?;
    let (old, checkpoint) = (TreeSize(args.old), key::checkpoint(&snapshot, head, origin)?);
    let proof = snapshot.prove_consistency_between(old, head.size)?;
    let id = key::receipt_id(&signer);
    let receipt =
        ConsistencyReceipt::sign(signer.key(), Some(id.as_bytes()), old, &checkpoint, proof);
    let receipt =
        receipt.map_err(|source| Error::Make { what: "a receipt", source: source.into() })?;
    Ok(receipt.as_bytes().to_vec())
}
