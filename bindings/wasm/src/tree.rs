//! Proofs of trees, and of the trees of a store.

use duramen_bindings::{Hash, ProvenTree, Refusal, TreeKind, hashes};
use js_sys::{BigInt, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::{number, object, one, thrown};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** A tree of a store that a proof leads to. */
export interface ProvenTree {
  name: string;
  hasher: string;
  arity: number;
  size: bigint;
  /** 32 bytes. */
  root: Uint8Array;
}
"#;

/// A hash function and an arity: what a proof must be of. Every method that verifies returns if everything holds, and
/// throws otherwise: an `Error` named `VerifyError` if a proof does not hold or cannot be read, and one named `InputError`
/// if what the caller gave cannot be used.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Tree(TreeKind);

#[wasm_bindgen]
impl Tree {
    /// The kind of these names: `blake3`, `rfc6962-sha256` or `keccak256`, and 2, 4, 8 or 16.
    #[wasm_bindgen(constructor)]
    pub fn new(hasher: &str, arity: u32) -> Result<Tree, JsValue> {
        Ok(Self(TreeKind::new(hasher, arity).map_err(thrown)?))
    }

    /// The leaf of raw data.
    pub fn leaf(&self, data: &[u8]) -> Vec<u8> {
        self.0.leaf(data).to_vec()
    }

    /// The root of a tree without leaves.
    #[wasm_bindgen(js_name = emptyRoot)]
    pub fn empty_root(&self) -> Vec<u8> {
        self.0.empty_root().to_vec()
    }

    /// Verifies an encoded proof that `leaf` is at `index` in the tree of `size` leaves and `root`.
    #[wasm_bindgen(js_name = verifyInclusion)]
    pub fn verify_inclusion(
        &self,
        size: BigInt,
        root: &[u8],
        index: BigInt,
        leaf: &[u8],
        proof: &[u8],
    ) -> Result<(), JsValue> {
        let (root, leaf) = (one(root, "the root")?, one(leaf, "the leaf")?);
        let (size, index) = (number(size, "the size")?, number(index, "the index")?);
        self.0.inclusion((size, root), index, &leaf, proof).map_err(thrown)
    }

    /// As `verifyInclusion`, with the hashes of the proof alone, one after another.
    #[wasm_bindgen(js_name = verifyInclusionHashes)]
    pub fn verify_inclusion_hashes(
        &self,
        size: BigInt,
        root: &[u8],
        index: BigInt,
        leaf: &[u8],
        siblings: &[u8],
    ) -> Result<(), JsValue> {
        let (root, leaf) = (one(root, "the root")?, one(leaf, "the leaf")?);
        let siblings = hashes(siblings, "the proof").map_err(thrown)?;
        let (size, index) = (number(size, "the size")?, number(index, "the index")?);
        self.0.inclusion_hashes((size, root), index, &leaf, siblings).map_err(thrown)
    }

    /// Verifies an encoded proof that all leaves are in the tree of `size` leaves and `root`. `leaves` has 32 bytes for each
    /// of `indexes`, one after another.
    #[wasm_bindgen(js_name = verifyMulti)]
    pub fn verify_multi(
        &self,
        size: BigInt,
        root: &[u8],
        #[wasm_bindgen(unchecked_param_type = "bigint[] | BigUint64Array")] indexes: Vec<BigInt>,
        leaves: &[u8],
        proof: &[u8],
    ) -> Result<(), JsValue> {
        let leaves = hashes(leaves, "the leaves").map_err(thrown)?;
        if leaves.len() != indexes.len() {
            let (leaves, indexes) = (leaves.len(), indexes.len());
            return Err(thrown(Refusal::Input(format!(
                "there are {leaves} leaves for {indexes} indexes"
            ))));
        }
        let leaves = indexes.into_iter().zip(leaves);
        let leaves: Vec<(u64, Hash)> = leaves
            .map(|(index, leaf)| Ok((number(index, "an index")?, leaf)))
            .collect::<Result<_, JsValue>>()?;
        let size = number(size, "the size")?;
        self.0.multi((size, one(root, "the root")?), &leaves, proof).map_err(thrown)
    }

    /// Verifies an encoded proof that the old tree is a prefix of the new one.
    #[wasm_bindgen(js_name = verifyConsistency)]
    pub fn verify_consistency(
        &self,
        old_size: BigInt,
        old_root: &[u8],
        new_size: BigInt,
        new_root: &[u8],
        proof: &[u8],
    ) -> Result<(), JsValue> {
        let (old, new) = (one(old_root, "the old root")?, one(new_root, "the new root")?);
        let (old_size, new_size) =
            (number(old_size, "the old size")?, number(new_size, "the new size")?);
        self.0.consistency((old_size, old), (new_size, new), proof).map_err(thrown)
    }

    /// As `verifyConsistency`, with the hashes of the proof alone, one after another.
    #[wasm_bindgen(js_name = verifyConsistencyHashes)]
    pub fn verify_consistency_hashes(
        &self,
        old_size: BigInt,
        old_root: &[u8],
        new_size: BigInt,
        new_root: &[u8],
        proof: &[u8],
    ) -> Result<(), JsValue> {
        let (old, new) = (one(old_root, "the old root")?, one(new_root, "the new root")?);
        let proof = hashes(proof, "the proof").map_err(thrown)?;
        let (old_size, new_size) =
            (number(old_size, "the old size")?, number(new_size, "the new size")?);
        self.0.consistency_hashes((old_size, old), (new_size, new), proof).map_err(thrown)
    }
}

/// Verifies an encoded proof of a tree against the commitment to all trees of a store, and returns the tree. Whether it is
/// the one that is meant is the caller's to compare.
#[wasm_bindgen(js_name = verifyTree, unchecked_return_type = "ProvenTree")]
pub fn verify_tree(commitment: &[u8], proof: &[u8]) -> Result<Object, JsValue> {
    let commitment = one(commitment, "the commitment")?;
    let ProvenTree { name, hasher, arity, size, root } =
        duramen_bindings::prove_tree(&commitment, proof).map_err(thrown)?;
    object(&[
        ("name", name.into()),
        ("hasher", hasher.into()),
        ("arity", arity.into()),
        ("size", size.into()),
        ("root", Uint8Array::from(&root[..]).into()),
    ])
}
