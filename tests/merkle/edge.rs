//! The incomplete right edge: folded as far as a proof needs it, in chains.

use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::reference;

use duramen::merkle::{
    Arity, Blake3, ConsistencyProof, Hash, Hasher, HasherId, InclusionProof, LeafIndex, MultiProof,
    NodeSource, Rfc6962Sha256, RightEdge, TreeSize, root_at,
};
use proptest::prelude::*;
use testkit::columns::{Borrowed, Columns};

const HASHERS: [&dyn Hasher; 2] = [&Blake3, &Rfc6962Sha256];

/// A chain as it is defined, through a hash function that has no chains of its own.
fn node_by_node(hasher: &dyn Hasher, groups: &[&[Hash]]) -> Hash {
    let (first, others) = groups.split_first().unwrap();
    let first = if first.len() == 1 { first[0] } else { hasher.node(first) };
    others.iter().fold(first, |node, group| hasher.node(&[group, &[node][..]].concat()))
}

#[test]
fn chains_with_groups_of_every_length_equal_hashing_node_by_node() {
    let nodes = reference::leaves(64);
    for hasher in HASHERS {
        for count in 1..=64 {
            for shift in 0..15 {
                let groups: Vec<&[Hash]> =
                    (0..count).map(|at| &nodes[at % 40..][..1 + (at * 7 + shift) % 15]).collect();
                assert_eq!(hasher.chain(&groups), node_by_node(hasher, &groups), "{count} {shift}");
            }
        }
    }
}

proptest! {
    #[test]
    fn random_chains_equal_hashing_node_by_node(
        lengths in prop::collection::vec(1_usize..16, 1..70),
        seed in 0_usize..32,
    ) {
        let nodes = reference::leaves(64);
        let groups: Vec<&[Hash]> = lengths.iter().map(|len| &nodes[seed..][..*len]).collect();
        for hasher in HASHERS {
            prop_assert_eq!(hasher.chain(&groups), node_by_node(hasher, &groups));
        }
    }
}

#[test]
#[should_panic(expected = "a group of a chain has 1 to 15 nodes")]
fn a_chain_with_an_empty_group_panics_as_documented() {
    Blake3.chain(&[&reference::leaves(2), &[]]);
}

#[test]
#[should_panic(expected = "a chain has a group")]
fn an_empty_chain_panics_as_documented() {
    Rfc6962Sha256.chain(&[]);
}

/// All kinds of proofs at `size`, made with its edge and without, are the same.
fn same_without_edge<S: NodeSource<Error: std::fmt::Debug + PartialEq>>(
    source: &S,
    hasher: &dyn Hasher,
    arity: Arity,
    size: TreeSize,
) {
    let edge = RightEdge::fold(source, hasher, arity, size).unwrap();
    assert_eq!(root_at(source, hasher, arity, size).unwrap(), edge.root(), "{arity} {size}");
    for index in (0..size.get() + 2).map(LeafIndex) {
        assert_eq!(
            InclusionProof::build_at(source, hasher, arity, size, index),
            InclusionProof::build(source, &edge, index),
            "{arity} {size} {index}"
        );
        let other = LeafIndex(index.get() * 31 % size.get().max(1));
        let indexes = [index, LeafIndex(0), other];
        assert_eq!(
            MultiProof::build_at(source, hasher, arity, size, &indexes),
            MultiProof::build(source, &edge, &indexes),
            "{arity} {size} {indexes:?}"
        );
        let old = TreeSize(index.get());
        assert_eq!(
            ConsistencyProof::build_at(source, hasher, arity, old, size),
            ConsistencyProof::build(source, &edge, old),
            "{arity} {old} {size}"
        );
    }
}

#[test]
fn proofs_without_an_edge_are_those_with_one_however_nodes_are_read() {
    let leaves = reference::leaves(150);
    for hasher in HASHERS {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            let most = if arity == Arity::Four { 150 } else { 70 };
            for size in (0..=most).map(TreeSize) {
                same_without_edge(&columns, hasher, arity, size);
                same_without_edge(&Borrowed::all(&columns), hasher, arity, size);
                // A source that can lend some levels only.
                same_without_edge(&Borrowed::below(&columns, 2), hasher, arity, size);
            }
        }
    }
}

/// BLAKE3 that counts its nodes.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Hasher for Counting {
    fn id(&self) -> HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        self.0.fetch_add(1, Ordering::Relaxed);
        Blake3.node(children)
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

#[test]
fn a_proof_hashes_no_more_of_the_edge_than_the_node_it_needs() {
    let leaves = reference::leaves(1000);
    let columns = Columns::new(&Blake3, Arity::Four, &leaves);
    let hasher = Counting::default();
    let hashes = |size: u64, index: u64| {
        let before = hasher.0.load(Ordering::Relaxed);
        let (size, index) = (TreeSize(size), LeafIndex(index));
        InclusionProof::build_at(&columns, &hasher, Arity::Four, size, index).unwrap();
        hasher.0.load(Ordering::Relaxed) - before
    };
    // 1000 is 33220 to base 4: three nodes of level 4, three of level 3, two of 2, two of 1.
    assert_eq!(hashes(1000, 0), 3, "levels 1, 2 and 3, but not the root");
    assert_eq!(hashes(1000, 991), 1, "the two nodes of level 1");
    assert_eq!(hashes(1000, 992), 0, "level 1 has no incomplete node, above the path is the edge");
    assert_eq!(hashes(768, 5), 0, "the root has complete children only");
    for size in 1..=1000 {
        assert_eq!(hashes(size, size - 1), 0, "{size}: the path runs along the edge");
    }
}
