//! Proofs in the formats that the program writes and reads.
//!
//! Roots and leaves stand in the JSON for people and for tools that pass it on. Verification takes
//! them from the caller and only compares.

mod json;
mod read;

use duramen::merkle::codec::{ClaimError, ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::tlog::SignedNote;
use duramen::tlog::cose::{ConsistencyReceipt, InclusionReceipt};
use duramen::{
    Arity, ConsistencyProof, Hash, InclusionProof, LeafIndex, MultiProof, TreeHead, TreeSize,
};

pub(crate) use read::{consistency, inclusion};

use crate::args::HasherName;
use crate::error::Error;
use crate::output;

/// That leaves are in a tree: what a proof says, none of it verified.
#[derive(Debug)]
pub(crate) struct Inclusion {
    pub(crate) hasher: HasherName,
    pub(crate) arity: Arity,
    pub(crate) size: TreeSize,
    /// The root, where the format has it.
    pub(crate) root: Option<Hash>,
    /// The indexes, ascending, with the leaves where the format has them.
    pub(crate) leaves: Vec<(LeafIndex, Option<Hash>)>,
    pub(crate) proof: AnyInclusion,
    /// Who signed what the proof leads to, where the format has it.
    pub(crate) signed: Signed<InclusionReceipt>,
}

/// What a proof has that was signed.
#[derive(Debug)]
pub(crate) enum Signed<R> {
    Nothing,
    Checkpoint(SignedNote),
    Receipt(R),
}

/// A proof for one leaf or for several.
#[derive(Debug)]
pub(crate) enum AnyInclusion {
    Single(InclusionProof),
    Multi(MultiProof),
}

/// That one tree is a prefix of another: what a proof says, none of it verified.
#[derive(Debug)]
pub(crate) struct Consistency {
    pub(crate) hasher: HasherName,
    pub(crate) arity: Arity,
    pub(crate) old: TreeSize,
    pub(crate) new: TreeSize,
    /// The two roots, where the format has them.
    pub(crate) roots: Option<(Hash, Hash)>,
    pub(crate) proof: ConsistencyProof,
    pub(crate) receipt: Option<ConsistencyReceipt>,
}

impl Inclusion {
    /// The JSON, with a newline.
    pub(crate) fn to_json(&self, pretty: bool) -> Result<String, Error> {
        let text = match &self.proof {
            AnyInclusion::Single(proof) => {
                output::to_json(&json::InclusionJson::new(self, proof), pretty)
            }
            AnyInclusion::Multi(proof) => {
                output::to_json(&json::MultiJson::new(self, proof), pretty)
            }
        };
        Ok(text? + "\n")
    }

    /// The bytes of FORMAT.md.
    pub(crate) fn to_binary(&self) -> Result<Vec<u8>, Error> {
        let (hasher, arity, size) = (self.hasher.hasher().id(), self.arity, self.size);
        let indexes = self.leaves.iter().map(|(index, _)| *index);
        let bytes = match &self.proof {
            AnyInclusion::Single(proof) => {
                let index = self.leaves.first().map_or(LeafIndex(0), |(index, _)| *index);
                InclusionClaim { size, index, proof: proof.clone() }.encode(hasher, arity)
            }
            AnyInclusion::Multi(proof) => {
                let indexes = indexes.collect();
                MultiClaim { size, indexes, proof: proof.clone() }.encode(hasher, arity)
            }
        };
        bytes.map_err(cannot_encode)
    }
}

impl Consistency {
    /// The JSON, with a newline.
    pub(crate) fn to_json(&self, pretty: bool) -> Result<String, Error> {
        Ok(output::to_json(&json::ConsistencyJson::new(self), pretty)? + "\n")
    }

    /// The bytes of FORMAT.md.
    pub(crate) fn to_binary(&self) -> Result<Vec<u8>, Error> {
        ConsistencyClaim { old: self.old, new: self.new, proof: self.proof.clone() }
            .encode(self.hasher.hasher().id(), self.arity)
            .map_err(cannot_encode)
    }

    /// The heads, where the format has the roots.
    pub(crate) fn heads(&self) -> Option<(TreeHead, TreeHead)> {
        let (old, new) = self.roots?;
        Some((TreeHead { size: self.old, root: old }, TreeHead { size: self.new, root: new }))
    }
}

fn cannot_encode(error: ClaimError) -> Error {
    Error::Make { what: "a binary proof", source: error.into() }
}
