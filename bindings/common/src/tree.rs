//! Proofs of trees, and of the trees of a store.

use duramen::merkle::codec::{ConsistencyClaim, InclusionClaim, MultiClaim};
use duramen::{
    Arity, ConsistencyProof, Hasher, InclusionProof, LeafIndex, TreeHead, TreeProof, TreeSize,
};

use crate::function::Function;
use crate::{Hash, Refusal};

/// A hash function and an arity: what a proof must be of.
#[derive(Clone, Copy, Debug)]
pub struct TreeKind {
    hasher: Function,
    arity: Arity,
}

/// A tree of a store that a proof leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenTree {
    /// Its name.
    pub name: String,
    /// The name of its hash function.
    pub hasher: String,
    /// How many children a node has.
    pub arity: u32,
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl TreeKind {
    /// The kind of these names: `blake3`, `rfc6962-sha256` or `keccak256`, and 2, 4, 8 or 16.
    ///
    /// # Errors
    ///
    /// [`Refusal::Input`] if there is no such hash function or arity.
    pub fn new(hasher: &str, arity: u32) -> Result<Self, Refusal> {
        let hasher = Function::named(hasher).ok_or_else(|| {
            Refusal::Input(format!(
                "the hash function {hasher:?} is not known; known are blake3, rfc6962-sha256 and keccak256"
            ))
        })?;
        let children = usize::try_from(arity).ok().and_then(Arity::new);
        let arity = children
            .ok_or_else(|| Refusal::Input(format!("the arity is {arity}, not 2, 4, 8 or 16")))?;
        Ok(Self { hasher, arity })
    }

    /// The leaf of raw data.
    #[must_use]
    pub fn leaf(&self, data: &[u8]) -> Hash {
        self.hasher.leaf(data)
    }

    /// The root of a tree without leaves.
    #[must_use]
    pub fn empty_root(&self) -> Hash {
        self.hasher.empty_root()
    }

    /// Verifies an encoded proof that `leaf` is at `index` in the tree of `size` leaves and `root`.
    ///
    /// # Errors
    ///
    /// [`Refusal::DoesNotHold`] if it is not.
    pub fn inclusion(
        &self,
        (size, root): (u64, Hash),
        index: u64,
        leaf: &Hash,
        proof: &[u8],
    ) -> Result<(), Refusal> {
        let claim = InclusionClaim::decode(proof, self.hasher.id(), self.arity);
        let claim = claim.map_err(Refusal::does_not_hold)?;
        let verified =
            claim.verify(&self.hasher, self.arity, &head(size, root), LeafIndex(index), leaf);
        verified.map_err(Refusal::does_not_hold)
    }

    /// As [`inclusion`](Self::inclusion), with the hashes of the proof alone, from the leaf up and from left to right.
    ///
    /// # Errors
    ///
    /// [`Refusal::DoesNotHold`] if it does not hold.
    pub fn inclusion_hashes(
        &self,
        (size, root): (u64, Hash),
        index: u64,
        leaf: &Hash,
        hashes: Vec<Hash>,
    ) -> Result<(), Refusal> {
        let proof = InclusionProof::from_siblings(hashes);
        let verified =
            proof.verify(&self.hasher, self.arity, &head(size, root), LeafIndex(index), leaf);
        verified.map_err(Refusal::does_not_hold)
    }

    /// Verifies an encoded proof that all `leaves`, each with its index, are in the tree of `size` leaves and `root`.
    ///
    /// # Errors
    ///
    /// [`Refusal::DoesNotHold`] if one of them is not.
    pub fn multi(
        &self,
        (size, root): (u64, Hash),
        leaves: &[(u64, Hash)],
        proof: &[u8],
    ) -> Result<(), Refusal> {
        let claim = MultiClaim::decode(proof, self.hasher.id(), self.arity);
        let claim = claim.map_err(Refusal::does_not_hold)?;
        let leaves: Vec<_> =
            leaves.iter().map(|(index, leaf)| (LeafIndex(*index), *leaf)).collect();
        let verified = claim.verify(&self.hasher, self.arity, &head(size, root), &leaves);
        verified.map_err(Refusal::does_not_hold)
    }

    /// Verifies an encoded proof that the tree of the old head is a prefix of the tree of the new one.
    ///
    /// # Errors
    ///
    /// [`Refusal::DoesNotHold`] if it is not.
    pub fn consistency(
        &self,
        old: (u64, Hash),
        new: (u64, Hash),
        proof: &[u8],
    ) -> Result<(), Refusal> {
        let claim = ConsistencyClaim::decode(proof, self.hasher.id(), self.arity);
        let claim = claim.map_err(Refusal::does_not_hold)?;
        let (old, new) = (head(old.0, old.1), head(new.0, new.1));
        claim.verify(&self.hasher, self.arity, &old, &new).map_err(Refusal::does_not_hold)
    }

    /// As [`consistency`](Self::consistency), with the hashes of the proof alone.
    ///
    /// # Errors
    ///
    /// [`Refusal::DoesNotHold`] if it does not hold.
    pub fn consistency_hashes(
        &self,
        old: (u64, Hash),
        new: (u64, Hash),
        hashes: Vec<Hash>,
    ) -> Result<(), Refusal> {
        let (old, new) = (head(old.0, old.1), head(new.0, new.1));
        let proof = ConsistencyProof::from_hashes(hashes);
        proof.verify(&self.hasher, self.arity, &old, &new).map_err(Refusal::does_not_hold)
    }
}

/// Verifies an encoded proof of a tree against the commitment to all trees of a store. Whether the tree is the one that the
/// caller means is the caller's to compare.
///
/// # Errors
///
/// [`Refusal::DoesNotHold`] if it does not hold.
pub fn prove_tree(commitment: &Hash, proof: &[u8]) -> Result<ProvenTree, Refusal> {
    let proof = TreeProof::decode(proof).map_err(Refusal::does_not_hold)?;
    proof.verify(commitment).map_err(Refusal::does_not_hold)?;
    let tree = proof.tree;
    Ok(ProvenTree {
        name: tree.name.as_str().to_owned(),
        hasher: tree.hasher,
        // An arity is at most 16.
        arity: u32::try_from(tree.arity.children()).unwrap_or(u32::MAX),
        size: tree.head.size.get(),
        root: tree.head.root,
    })
}

fn head(size: u64, root: Hash) -> TreeHead {
    TreeHead { size: TreeSize(size), root }
}
