//! `duramen prove`.

use std::path::{Path, PathBuf};

use duramen::tlog::cose::InclusionReceipt;
use duramen::tlog::{Checkpoint, SignedNote, TlogProof};
use duramen::{Config, InclusionProof, LeafIndex, Snapshot, StoreReader, TreeHead, TreeSize};

use crate::args::{HasherName, ProofFormat, ProveArgs};
use crate::error::{Error, Refusal};
use crate::hex::encode;
use crate::proof::{AnyInclusion, Inclusion, Signed};
use crate::{anchored, input, key, marks, output};

/// Longer notes than the library reads need not be read.
const MAX_NOTE: u64 = 1 << 20;

/// Prints or writes an inclusion proof.
pub(crate) fn run(args: &ProveArgs) -> Result<(), Error> {
    let mut indexes: Vec<LeafIndex> = args.indexes.iter().copied().map(LeafIndex).collect();
    indexes.sort_unstable();
    indexes.dedup();
    check(args, &indexes)?;
    let signing = Signing::read(args)?;

    if matches!(args.format, ProofFormat::Binary | ProofFormat::CoseReceipt) {
        output::refuse_terminal(args.output.as_deref())?;
    }
    let reader = StoreReader::open(Config::new(&args.dir))?;
    let size = marks::size(&reader, &args.tree, args.mark.as_ref(), args.size)?;
    let may_be_signed = match &signing {
        Signing::Key { signer, file, origin } => {
            let origin = anchored::origin(origin.as_deref(), &**signer);
            let place = (&reader, &*args.dir, &args.tree);
            Some(anchored::head(&args.anchor, (file, origin), place, size)?)
        }
        _ => None,
    };
    // After the head that is signed, so that it has its leaves.
    let store = reader.tree(&args.tree)?;
    let bytes = prove(args, (&store, size), &indexes, &signing, may_be_signed)?;
    output::write(&bytes, args.output.as_deref())
}

fn prove(
    args: &ProveArgs,
    (store, asked): (&Snapshot, Option<u64>),
    indexes: &[LeafIndex],
    signing: &Signing,
    may_be_signed: Option<TreeHead>,
) -> Result<Vec<u8>, Error> {
    match args.format {
        ProofFormat::TlogProof => key::must_be_rfc6962("a tlog-proof", store)?,
        ProofFormat::CoseReceipt => key::must_be_rfc6962("a receipt", store)?,
        ProofFormat::Json | ProofFormat::Binary => {}
    }
    let snapshot = store;
    let head = match (may_be_signed, signing) {
        (Some(head), _) => head,
        (None, Signing::Signed { checkpoint, .. }) => snapshot.head_at(checkpoint.head().size)?,
        (None, _) => snapshot.head_at(asked.map_or_else(|| snapshot.size(), TreeSize))?,
    };
    let size = head.size;
    if let (Some(_), None, Some(last)) = (may_be_signed, asked, indexes.last())
        && (size.get()..snapshot.size().get()).contains(&last.get())
    {
        return Err(Error::NotSigned { index: last.get(), size: size.get() });
    }
    let proof = match indexes {
        [index] => AnyInclusion::Single(snapshot.prove_at(*index, size)?),
        many => AnyInclusion::Multi(snapshot.prove_many_at(many, size)?),
    };
    if let ([index], AnyInclusion::Single(proof)) = (indexes, &proof) {
        match args.format {
            ProofFormat::TlogProof => return tlog_proof(store, head, *index, proof, signing),
            ProofFormat::CoseReceipt => return receipt(store, head, *index, proof, signing),
            ProofFormat::Json | ProofFormat::Binary => {}
        }
    }
    let leaf = |index: &LeafIndex| Ok((*index, Some(snapshot.leaf(*index)?)));
    let inclusion = Inclusion {
        hasher: known(store)?,
        arity: store.arity(),
        size,
        root: Some(head.root),
        leaves: indexes.iter().map(leaf).collect::<Result<_, Error>>()?,
        proof,
        signed: Signed::Nothing,
    };
    match args.format {
        ProofFormat::Binary => inclusion.to_binary(),
        _ => Ok(inclusion.to_json(!args.json)?.into_bytes()),
    }
}

/// A proof with its signed checkpoint.
fn tlog_proof(
    store: &Snapshot,
    head: TreeHead,
    index: LeafIndex,
    proof: &InclusionProof,
    signing: &Signing,
) -> Result<Vec<u8>, Error> {
    let checkpoint = signing.checkpoint(store, head)?;
    let proof = TlogProof { extra: None, index, proof: proof.clone(), checkpoint };
    Ok(proof.to_string().into_bytes())
}

/// A receipt, signed by the key.
fn receipt(
    store: &Snapshot,
    head: TreeHead,
    index: LeafIndex,
    proof: &InclusionProof,
    signing: &Signing,
) -> Result<Vec<u8>, Error> {
    let Signing::Key { signer, origin, .. } = signing else {
        return Err(Error::Usage("a receipt is signed: give --key FILE".into()));
    };
    let origin = anchored::origin(origin.as_deref(), &**signer);
    let checkpoint = key::checkpoint(store, head, origin)?;
    let id = key::receipt_id(signer);
    let receipt = InclusionReceipt::sign(
        signer.key(),
        Some(id.as_bytes()),
        &checkpoint,
        index,
        proof.clone(),
    );
    let receipt =
        receipt.map_err(|source| Error::Make { what: "a receipt", source: source.into() })?;
    Ok(receipt.as_bytes().to_vec())
}

fn known(store: &Snapshot) -> Result<HasherName, Error> {
    let id = store.hasher().id();
    HasherName::by_id(id.as_str())
        .ok_or_else(|| Error::Usage(format!("the hasher {id} is unknown to this program")))
}

/// Refuses what does not go together, before anything is opened.
fn check(args: &ProveArgs, indexes: &[LeafIndex]) -> Result<(), Error> {
    let tlog = args.format == ProofFormat::TlogProof;
    let receipt = args.format == ProofFormat::CoseReceipt;
    let signing = args.key.is_some() || args.origin.is_some() || args.checkpoint.is_some();
    let wrong = if args.json && args.format != ProofFormat::Json {
        "--json belongs to --format json"
    } else if !tlog && !receipt && signing {
        "--origin, --key and --checkpoint belong to --format tlog-proof or cose-receipt"
    } else if receipt && args.checkpoint.is_some() {
        "--checkpoint belongs to --format tlog-proof"
    } else if receipt && args.key.is_none() {
        "a receipt is signed: give --key FILE"
    } else if args.key.is_none() && args.anchor.is_given() {
        "--anchor, --first-anchor and --adopt-store belong to --key"
    } else if tlog && args.key.is_none() && args.checkpoint.is_none() {
        "a tlog-proof has a signed checkpoint: give --key FILE or --checkpoint FILE"
    } else if (tlog || receipt) && indexes.len() > 1 {
        "a tlog-proof or a receipt is of one leaf; json and binary take several"
    } else {
        return Ok(());
    };
    Err(Error::Usage(wrong.into()))
}

/// Where the checkpoint of a tlog-proof comes from.
enum Signing {
    None,
    Key { signer: Box<duramen::tlog::Ed25519Signer>, file: PathBuf, origin: Option<String> },
    Signed { note: SignedNote, checkpoint: Checkpoint },
}

impl Signing {
    fn read(args: &ProveArgs) -> Result<Self, Error> {
        match (&args.key, &args.checkpoint) {
            (Some(file), _) => {
                let (signer, origin) = (key::read(file)?.into(), args.origin.clone());
                Ok(Self::Key { signer, file: file.clone(), origin })
            }
            (None, Some(file)) => Self::read_checkpoint(file),
            (None, None) => Ok(Self::None),
        }
    }

    fn read_checkpoint(file: &Path) -> Result<Self, Error> {
        let (name, bytes) = input::read_all(file, MAX_NOTE)?;
        let parse = || {
            let note: SignedNote = std::str::from_utf8(&bytes)?.parse()?;
            let checkpoint = note.unverified_text().parse()?;
            Ok(Self::Signed { note, checkpoint })
        };
        let what = "a signed checkpoint";
        parse().map_err(|source| Error::Unreadable { name, what, source })
    }

    fn checkpoint(&self, store: &Snapshot, head: TreeHead) -> Result<SignedNote, Error> {
        match self {
            Self::Key { signer, origin, .. } => {
                let origin = anchored::origin(origin.as_deref(), &**signer);
                let checkpoint = key::checkpoint(store, head, origin)?;
                key::sign(&checkpoint, signer)
            }
            Self::Signed { note, checkpoint } if checkpoint.head() == head => Ok(note.clone()),
            Self::Signed { checkpoint, .. } => {
                let size = head.size.get();
                let (signed, computed) = (encode(&checkpoint.head().root), encode(&head.root));
                let reason = Refusal::OtherTree { size, signed, computed };
                Err(Error::Refused { reason })
            }
            Self::None => Err(Error::Usage("no key and no checkpoint is given".into())),
        }
    }
}
