//! Leaves and proofs.

use duramen::merkle::{Level, Shape};
use duramen::{
    Arity, ConsistencyProof, Hash, Hasher, InclusionProof, LeafIndex, Rfc6962Sha256, TreeHead,
};

use crate::Refusal;

/// The hash of an entry.
pub(crate) fn leaf(entry: &[u8]) -> String {
    const_hex::encode(Rfc6962Sha256.leaf(entry))
}

/// Verifies that `leaf` stands at `index` in the tree of `head`. Answers the path, for it to be drawn.
pub(crate) fn inclusion(
    head: &TreeHead,
    index: &str,
    leaf: &str,
    siblings: &str,
) -> Result<Vec<String>, Refusal> {
    let index: u64 = index.parse().map_err(|_| "the index is no number".to_owned())?;
    let (index, leaf, siblings) = (LeafIndex(index), hash(leaf)?, hashes(siblings)?);
    let proof = InclusionProof::from_siblings(siblings);
    let verified = proof.verify(&Rfc6962Sha256, Arity::Two, head, index, &leaf);
    verified.map_err(|error| error.to_string())?;
    let mut answer = vec![head.size.to_string(), const_hex::encode(head.root)];
    answer.extend(path(head, index, leaf, proof.siblings()));
    Ok(answer)
}

/// The side on which the sibling of each level is, the sibling, and the node above both. A node without a sibling is
/// the node above as well. The proof was verified.
fn path(head: &TreeHead, index: LeafIndex, leaf: Hash, siblings: &[Hash]) -> Vec<String> {
    let shape = Shape::new(Arity::Two, head.size);
    let (mut node, mut siblings, mut steps) = (leaf, siblings.iter(), Vec::new());
    let mut level = Level::LEAVES;
    while level < shape.depth() {
        let place = shape.ancestor(index, level);
        let sibling = match shape.group(level, place).len() {
            0 | 1 => None,
            _ => siblings.next(),
        };
        let side = match sibling {
            None => "none",
            Some(sibling) if shape.place(place) == 0 => {
                node = Rfc6962Sha256.node(&[node, *sibling]);
                "right"
            }
            Some(sibling) => {
                node = Rfc6962Sha256.node(&[*sibling, node]);
                "left"
            }
        };
        let sibling = sibling.map_or_else(String::new, const_hex::encode);
        steps.extend([side.to_owned(), sibling, const_hex::encode(node)]);
        level = level.up();
    }
    steps
}

/// Verifies that the tree of `old` is a prefix of that of `new`. Answers both sizes.
pub(crate) fn consistency(
    old: &TreeHead,
    new: &TreeHead,
    proof: &str,
) -> Result<Vec<String>, Refusal> {
    let proof = ConsistencyProof::from_hashes(hashes(proof)?);
    let verified = proof.verify(&Rfc6962Sha256, Arity::Two, old, new);
    verified.map_err(|error| error.to_string())?;
    Ok(vec![old.size.to_string(), new.size.to_string()])
}

fn hashes(lines: &str) -> Result<Vec<Hash>, Refusal> {
    lines.lines().map(hash).collect()
}

fn hash(digits: &str) -> Result<Hash, Refusal> {
    let hash = const_hex::decode_to_array(digits);
    hash.map_err(|_| "a hash is 64 hexadecimal digits".to_owned())
}
