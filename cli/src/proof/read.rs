//! Reading a proof in any format, which its first bytes identify.

use std::error::Error as StdError;
use std::path::Path;

use duramen::Arity;
use duramen::merkle::codec::{ConsistencyClaim, Header, InclusionClaim, Kind as Code, MultiClaim};
use duramen::tlog::cose::{ConsistencyReceipt, InclusionReceipt};
use duramen::tlog::{Checkpoint, TlogProof};

use super::json::{ConsistencyJson, InclusionJson, Kind, KindJson, MultiJson};
use super::{AnyInclusion, Consistency, Inclusion, Signed};
use crate::args::HasherName;
use crate::error::Error;
use crate::input;

/// The longest proof that is read, in bytes: one for some 100,000 leaves.
const MAX_PROOF: u64 = 64 << 20;

type Unreadable = Box<dyn StdError + Send + Sync>;

/// Reads a proof that leaves are in a tree.
pub(crate) fn inclusion(file: &Path) -> Result<Inclusion, Error> {
    let (name, bytes) = input::read_all(file, MAX_PROOF)?;
    parse_inclusion(&bytes).map_err(|source| {
        let what = "an inclusion proof";
        Error::Unreadable { name, what, source }
    })
}

/// Reads a proof that a tree is a prefix of another.
pub(crate) fn consistency(file: &Path) -> Result<Consistency, Error> {
    let (name, bytes) = input::read_all(file, MAX_PROOF)?;
    parse_consistency(&bytes).map_err(|source| {
        let what = "a consistency proof";
        Error::Unreadable { name, what, source }
    })
}

fn parse_inclusion(bytes: &[u8]) -> Result<Inclusion, Unreadable> {
    match Format::of(bytes) {
        Format::Binary => binary_inclusion(bytes),
        Format::Tlog => tlog_inclusion(std::str::from_utf8(bytes)?),
        Format::Receipt => receipt_of_inclusion(bytes),
        Format::Json => match kind(bytes)? {
            Kind::Inclusion => {
                Ok(serde_json::from_slice::<InclusionJson>(bytes)?.into_inclusion()?)
            }
            Kind::MultiInclusion => {
                Ok(serde_json::from_slice::<MultiJson>(bytes)?.into_inclusion()?)
            }
            Kind::Consistency => Err("it is a consistency proof".into()),
        },
    }
}

fn parse_consistency(bytes: &[u8]) -> Result<Consistency, Unreadable> {
    match Format::of(bytes) {
        Format::Binary => {
            let header = Header::read(bytes)?;
            let hasher = HasherName::known(header.hasher)?;
            let claim = ConsistencyClaim::decode(bytes, hasher.hasher().id(), header.arity)?;
            Ok(Consistency {
                hasher,
                arity: header.arity,
                old: claim.old,
                new: claim.new,
                roots: None,
                proof: claim.proof,
                receipt: None,
            })
        }
        Format::Tlog => Err("it is an inclusion proof".into()),
        Format::Receipt => {
            let receipt = ConsistencyReceipt::read(bytes)?;
            Ok(Consistency {
                hasher: HasherName::Sha256,
                arity: Arity::Two,
                old: receipt.old_size(),
                new: receipt.new_size(),
                roots: None,
                proof: receipt.proof().clone(),
                receipt: Some(receipt),
            })
        }
        Format::Json => match kind(bytes)? {
            Kind::Consistency => {
                Ok(serde_json::from_slice::<ConsistencyJson>(bytes)?.into_consistency()?)
            }
            Kind::Inclusion | Kind::MultiInclusion => Err("it is an inclusion proof".into()),
        },
    }
}

fn binary_inclusion(bytes: &[u8]) -> Result<Inclusion, Unreadable> {
    let header = Header::read(bytes)?;
    let (hasher, arity) = (HasherName::known(header.hasher)?, header.arity);
    let id = hasher.hasher().id();
    let (size, leaves, proof) = if header.kind == Code::Multi {
        let claim = MultiClaim::decode(bytes, id, arity)?;
        let leaves = claim.indexes.iter().map(|index| (*index, None)).collect();
        (claim.size, leaves, AnyInclusion::Multi(claim.proof))
    } else {
        let claim = InclusionClaim::decode(bytes, id, arity)?;
        (claim.size, vec![(claim.index, None)], AnyInclusion::Single(claim.proof))
    };
    Ok(Inclusion { hasher, arity, size, root: None, leaves, proof, signed: Signed::Nothing })
}

fn receipt_of_inclusion(bytes: &[u8]) -> Result<Inclusion, Unreadable> {
    let receipt = InclusionReceipt::read(bytes)?;
    Ok(Inclusion {
        hasher: HasherName::Sha256,
        arity: Arity::Two,
        size: receipt.size(),
        root: None,
        leaves: vec![(receipt.index(), None)],
        proof: AnyInclusion::Single(receipt.proof().clone()),
        signed: Signed::Receipt(receipt),
    })
}

fn tlog_inclusion(text: &str) -> Result<Inclusion, Unreadable> {
    let proof: TlogProof = text.parse()?;
    let checkpoint: Checkpoint = proof.checkpoint.unverified_text().parse()?;
    Ok(Inclusion {
        hasher: HasherName::Sha256,
        arity: Arity::Two,
        size: checkpoint.head().size,
        root: Some(checkpoint.head().root),
        leaves: vec![(proof.index, None)],
        proof: AnyInclusion::Single(proof.proof),
        signed: Signed::Checkpoint(proof.checkpoint),
    })
}

fn kind(bytes: &[u8]) -> Result<Kind, serde_json::Error> {
    serde_json::from_slice::<KindJson>(bytes).map(|json| json.kind)
}

/// What the bytes are, if they are a proof at all.
enum Format {
    Json,
    Binary,
    Tlog,
    Receipt,
}

/// The first byte of a receipt: the tag of a `COSE_Sign1`, which no text begins with.
const RECEIPT: u8 = 0xd2;

impl Format {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"duPF") {
            Self::Binary
        } else if bytes.starts_with(b"c2sp.org/tlog-proof@") {
            Self::Tlog
        } else if bytes.first() == Some(&RECEIPT) {
            Self::Receipt
        } else {
            Self::Json
        }
    }
}
