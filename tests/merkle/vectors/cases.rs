//! What stands in the files. Hashes and bytes are lower-case hexadecimal digits.

use serde::{Deserialize, Serialize};

/// A file of one kind of tree. Leaf `i` of every tree is BLAKE3 of `i` in eight bytes, little-endian.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) hasher: String,
    pub(crate) arity: usize,
    pub(crate) leaves_of_data: Vec<Data>,
    pub(crate) roots: Vec<Head>,
    pub(crate) inclusion: Vec<Inclusion>,
    pub(crate) consistency: Vec<Consistency>,
    pub(crate) multi: Vec<Multi>,
    pub(crate) frontiers: Vec<Frontier>,
    pub(crate) refused: Vec<Refused>,
}

/// The leaf that the hash function makes of raw data.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) data: String,
    pub(crate) leaf: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) root: String,
}

/// A leaf with its index.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leaf {
    pub(crate) index: u64,
    pub(crate) leaf: String,
}

/// `bytes` is the proof as FORMAT.md encodes it, `hashes` what it then holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inclusion {
    pub(crate) head: Head,
    pub(crate) index: u64,
    pub(crate) leaf: String,
    pub(crate) hashes: Vec<String>,
    pub(crate) bytes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consistency {
    pub(crate) old: Head,
    pub(crate) new: Head,
    pub(crate) hashes: Vec<String>,
    pub(crate) bytes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Multi {
    pub(crate) head: Head,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) hashes: Vec<String>,
    pub(crate) bytes: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frontier {
    pub(crate) head: Head,
    pub(crate) nodes: Vec<String>,
    pub(crate) bytes: String,
}

/// Bytes that prove nothing of what the caller trusts and asks for: they do not decode or do not verify.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) claim: Claim,
    pub(crate) bytes: String,
}

/// What the caller trusts and asks for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Claim {
    Inclusion { head: Head, index: u64, leaf: String },
    Consistency { old: Head, new: Head },
    Multi { head: Head, leaves: Vec<Leaf> },
}

/// The file of commitments to the trees of a store.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stores {
    pub(crate) stores: Vec<Store>,
    pub(crate) refused: Vec<RefusedTree>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) commitment: String,
    /// Sorted by name.
    pub(crate) trees: Vec<Tree>,
}

/// A tree of a store: what it is, its leaf in the tree of the store, and the proof of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) hasher: String,
    pub(crate) arity: usize,
    pub(crate) size: u64,
    pub(crate) root: String,
    pub(crate) leaf: String,
    pub(crate) hashes: Vec<String>,
    pub(crate) bytes: String,
}

/// Bytes that are no proof to this commitment.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedTree {
    pub(crate) why: String,
    pub(crate) commitment: String,
    pub(crate) bytes: String,
}

/// The file of what logs and witnesses sign.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) checkpoints: Vec<CheckpointCase>,
    pub(crate) witnessed: Vec<WitnessedCase>,
    pub(crate) proofs: Vec<ProofCase>,
    pub(crate) witnessed_proofs: Vec<WitnessedProofCase>,
    pub(crate) refused: Vec<RefusedText>,
}

/// A checkpoint of the log `origin` that one of `keys` signed, the public texts of keys of the log.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointCase {
    pub(crate) note: String,
    pub(crate) origin: String,
    pub(crate) keys: Vec<String>,
    pub(crate) head: Head,
}

/// A checkpoint that `policy` accepts. `cosigned` has for each witness of the policy the time of its cosignature.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessedCase {
    pub(crate) note: String,
    pub(crate) policy: String,
    pub(crate) head: Head,
    pub(crate) cosigned: Vec<Option<u64>>,
}

/// The text of a proof that `leaf` is in a tree whose checkpoint one of `keys` signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofCase {
    pub(crate) proof: String,
    pub(crate) origin: String,
    pub(crate) keys: Vec<String>,
    pub(crate) leaf: String,
    pub(crate) index: u64,
    pub(crate) head: Head,
}

/// The same with a checkpoint that `policy` accepts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WitnessedProofCase {
    pub(crate) proof: String,
    pub(crate) policy: String,
    pub(crate) leaf: String,
    pub(crate) index: u64,
    pub(crate) head: Head,
}

/// A text that must not be accepted for what the caller trusts and asks for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefusedText {
    pub(crate) why: String,
    pub(crate) claim: SignedClaim,
    pub(crate) text: String,
}

/// What the caller trusts and asks for.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum SignedClaim {
    Checkpoint { origin: String, keys: Vec<String> },
    Witnessed { policy: String },
    Proof { origin: String, keys: Vec<String>, leaf: String },
    WitnessedProof { policy: String, leaf: String },
}
