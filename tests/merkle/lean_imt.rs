//! Trees and proofs that other software made: `lean-imt.json`, whose making docs/vectors.md describes.

use duramen::{
    Arity, Hash, Hasher, InclusionProof, Keccak256, LeafIndex, MemoryAccumulator, PoseidonBn254,
};
use serde_json::Value;

fn hash(value: &Value) -> Hash {
    let digits = value.as_str().unwrap();
    assert_eq!(digits.len(), 64);
    std::array::from_fn(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
}

fn hashes(value: &Value) -> Vec<Hash> {
    value.as_array().unwrap().iter().map(hash).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn made() -> Value {
    serde_json::from_str(include_str!("lean-imt.json")).unwrap()
}

/// The root that a verifier of zk-kit computes: from the leaf, the index of the proof and the siblings, without a size.
fn their_root(hasher: &dyn Hasher, leaf: Hash, turns: u64, siblings: &[Hash]) -> Hash {
    (0..).zip(siblings).fold(leaf, |node, (at, sibling)| match turns >> at & 1 {
        0 => hasher.node(&[node, *sibling]),
        _ => hasher.node(&[*sibling, node]),
    })
}

fn every_tree<H: Hasher + Default>(name: &str) {
    let made = made();
    let leaves = hashes(&made["leaves"]);
    let mut tree = MemoryAccumulator::<H, 2>::new();
    tree.extend(&leaves).unwrap();
    let tree = tree.snapshot();
    let hasher = H::default();
    let (mut proofs, mut other_index) = (0, 0);
    for theirs in made["trees"][name].as_array().unwrap() {
        let size = number(&theirs["size"]);
        let head = tree.head_at(size).unwrap();
        assert_eq!(head.root, hash(&theirs["root"]), "{size} leaves");
        assert_eq!(number(&theirs["depth"]), u64::from(size.next_power_of_two().ilog2()));
        for proof in theirs["proofs"].as_array().unwrap() {
            let (index, turns) = (number(&proof["leaf"]), number(&proof["index"]));
            let siblings = hashes(&proof["siblings"]);
            let leaf = leaves[usize::try_from(index).unwrap()];
            let ours = tree.prove_at(index, size).unwrap();
            assert_eq!(ours.siblings(), siblings, "leaf {index} of {size}");
            assert_eq!(InclusionProof::lean_imt_index(size, index), Some(turns));
            assert_eq!(their_root(&hasher, leaf, turns, ours.siblings()), head.root);
            let theirs = InclusionProof::from_siblings(siblings);
            theirs.verify(&hasher, Arity::Two, &head, LeafIndex(index), &leaf).unwrap();
            proofs += 1;
            other_index += u64::from(index != turns);
        }
    }
    assert!(proofs > 120 && other_index > 40, "{proofs} proofs, {other_index}");
}

#[test]
fn trees_of_zk_kit_with_keccak_have_our_roots_siblings_and_turns() {
    every_tree::<Keccak256>("keccak256");
}

#[test]
fn trees_of_zk_kit_with_poseidon_have_our_roots_siblings_and_turns() {
    every_tree::<PoseidonBn254>("poseidon-bn254");
}

#[test]
fn poseidon_of_one_to_twelve_inputs_is_that_of_circomlibjs_and_poseidon_lite() {
    let made = made();
    let nodes = made["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 12);
    for (count, node) in (1..).zip(nodes) {
        let children = hashes(&node["children"]);
        assert_eq!(children.len(), count);
        // A node of one child is no node here: it is lifted.
        if count > 1 {
            assert_eq!(PoseidonBn254.node(&children), hash(&node["node"]), "{count} inputs");
        }
    }
}

#[test]
fn a_tree_has_no_turns_to_a_leaf_that_it_lacks_and_those_of_huge_trees_are_exact() {
    assert_eq!(InclusionProof::lean_imt_index(0, 0), None);
    assert_eq!(InclusionProof::lean_imt_index(7, 7), None);
    assert_eq!(InclusionProof::lean_imt_index(1, 0), Some(0));
    // On every level of a full path the turn is the bit of the index.
    assert_eq!(InclusionProof::lean_imt_index(1 << 63, 12_345), Some(12_345));
    // The last leaf of an odd tree is lifted until it is on the right of everything else.
    assert_eq!(InclusionProof::lean_imt_index((1 << 63) + 1, 1 << 63), Some(1));
    assert_eq!(InclusionProof::lean_imt_index(u64::MAX, u64::MAX - 1), Some((1 << 63) - 1));
}
