//! The JSON of proofs. Hashes are 64 hexadecimal digits; every field must be there, and no other.

use duramen::inspect::count;
use duramen::{Arity, Hash, InclusionProof, LeafIndex, MultiProof, TreeSize};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{AnyInclusion, Consistency, Inclusion, Signed};
use crate::args::HasherName;
use crate::error::start_of;
use crate::hex;

/// Of any proof, what it proves.
#[derive(Debug, Deserialize)]
pub(super) struct KindJson {
    pub(super) kind: Kind,
}

/// What a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// That a leaf is in a tree.
    Inclusion,
    /// That several leaves are in a tree.
    MultiInclusion,
    /// That a tree is a prefix of another.
    Consistency,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "inclusion" => Ok(Self::Inclusion),
            "multi-inclusion" => Ok(Self::MultiInclusion),
            "consistency" => Ok(Self::Consistency),
            other => Err(de::Error::custom(format!("no proof is of the kind {}", start_of(other)))),
        }
    }
}

/// `{"kind":"inclusion", ...}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InclusionJson {
    kind: Kind,
    hasher: String,
    arity: usize,
    size: u64,
    root: Hex,
    index: u64,
    leaf: Hex,
    siblings: Vec<Hex>,
}

/// `{"kind":"multi-inclusion", ...}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MultiJson {
    kind: Kind,
    hasher: String,
    arity: usize,
    size: u64,
    root: Hex,
    leaves: Vec<LeafJson>,
    hashes: Vec<Hex>,
}

/// A leaf of a multi-inclusion proof.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafJson {
    index: u64,
    leaf: Hex,
}

/// `{"kind":"consistency", ...}`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsistencyJson {
    kind: Kind,
    hasher: String,
    arity: usize,
    old_size: u64,
    old_root: Hex,
    new_size: u64,
    new_root: Hex,
    hashes: Vec<Hex>,
}

impl InclusionJson {
    pub(super) fn new(from: &Inclusion, proof: &InclusionProof) -> Self {
        let (index, leaf) = from.leaves.first().copied().unwrap_or_default();
        Self {
            kind: Kind::Inclusion,
            hasher: from.hasher.hasher().id().to_string(),
            arity: from.arity.children(),
            size: from.size.get(),
            root: Hex(from.root.unwrap_or_default()),
            index: index.get(),
            leaf: Hex(leaf.unwrap_or_default()),
            siblings: to_hex(proof.siblings()),
        }
    }

    pub(super) fn into_inclusion(self) -> Result<Inclusion, String> {
        let (hasher, arity) = made_with(&self.hasher, self.arity)?;
        Ok(Inclusion {
            hasher,
            arity,
            size: TreeSize(self.size),
            root: Some(self.root.0),
            leaves: vec![(LeafIndex(self.index), Some(self.leaf.0))],
            proof: AnyInclusion::Single(InclusionProof::from_siblings(of_hex(&self.siblings))),
            signed: Signed::Nothing,
        })
    }
}

impl MultiJson {
    pub(super) fn new(from: &Inclusion, proof: &MultiProof) -> Self {
        let leaf = |(index, leaf): &(LeafIndex, Option<Hash>)| LeafJson {
            index: index.get(),
            leaf: Hex(leaf.unwrap_or_default()),
        };
        Self {
            kind: Kind::MultiInclusion,
            hasher: from.hasher.hasher().id().to_string(),
            arity: from.arity.children(),
            size: from.size.get(),
            root: Hex(from.root.unwrap_or_default()),
            leaves: from.leaves.iter().map(leaf).collect(),
            hashes: to_hex(proof.hashes()),
        }
    }

    pub(super) fn into_inclusion(self) -> Result<Inclusion, String> {
        let (hasher, arity) = made_with(&self.hasher, self.arity)?;
        let mut pairs = self.leaves.iter().zip(self.leaves.iter().skip(1));
        if let Some((a, b)) = pairs.find(|(a, b)| a.index >= b.index) {
            let (before, index) = (a.index, b.index);
            return Err(format!(
                "index {index} follows index {before}, but the indexes must be strictly ascending"
            ));
        }
        let leaves = self.leaves.iter().map(|it| (LeafIndex(it.index), Some(it.leaf.0))).collect();
        Ok(Inclusion {
            hasher,
            arity,
            size: TreeSize(self.size),
            root: Some(self.root.0),
            leaves,
            proof: AnyInclusion::Multi(MultiProof::from_hashes(of_hex(&self.hashes))),
            signed: Signed::Nothing,
        })
    }
}

impl ConsistencyJson {
    pub(super) fn new(from: &Consistency) -> Self {
        let (old_root, new_root) = from.roots.unwrap_or_default();
        Self {
            kind: Kind::Consistency,
            hasher: from.hasher.hasher().id().to_string(),
            arity: from.arity.children(),
            old_size: from.old.get(),
            old_root: Hex(old_root),
            new_size: from.new.get(),
            new_root: Hex(new_root),
            hashes: to_hex(from.proof.hashes()),
        }
    }

    pub(super) fn into_consistency(self) -> Result<Consistency, String> {
        let (hasher, arity) = made_with(&self.hasher, self.arity)?;
        Ok(Consistency {
            hasher,
            arity,
            old: TreeSize(self.old_size),
            new: TreeSize(self.new_size),
            roots: Some((self.old_root.0, self.new_root.0)),
            proof: duramen::ConsistencyProof::from_hashes(of_hex(&self.hashes)),
            receipt: None,
        })
    }
}

/// A hash that JSON has as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hex(Hash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.as_bytes()).map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "a hash is 64 hexadecimal digits, this has {}: {}",
                count(text.chars().count(), "character", "characters"),
                start_of(&text)
            ))
        })
    }
}

fn to_hex(hashes: &[Hash]) -> Vec<Hex> {
    hashes.iter().copied().map(Hex).collect()
}

fn of_hex(hashes: &[Hex]) -> Vec<Hash> {
    hashes.iter().map(|hex| hex.0).collect()
}

/// What a proof says it was made with, if the program knows it.
fn made_with(hasher: &str, arity: usize) -> Result<(HasherName, Arity), String> {
    let hasher = HasherName::known(hasher)?;
    let arity =
        Arity::new(arity).ok_or_else(|| format!("the arity is {arity}, not 2, 4, 8 or 16"))?;
    Ok((hasher, arity))
}
