//! Inclusion proofs brought from an old head to a new one without the tree.

use duramen::merkle::{
    Arity, Blake3, ConsistencyProof, Growth, Hash, Hasher, InclusionProof, LeafIndex,
    Rfc6962Sha256, RightEdge, TreeHead, TreeSize,
};
use proptest::prelude::*;
use testkit::columns::Columns;
use testkit::reference;

const HASHERS: [&dyn Hasher; 2] = [&Blake3, &Rfc6962Sha256];

/// Updates the proof of one leaf and compares it with the one the new tree gives.
fn check(
    hasher: &dyn Hasher,
    columns: &Columns,
    leaves: &[Hash],
    (old, new): (&RightEdge, &RightEdge),
    index: LeafIndex,
) {
    let arity = old.arity();
    let leaf = &leaves[usize::try_from(index.get()).unwrap()];
    let before = InclusionProof::build(columns, old, index).unwrap();
    let proof = &ConsistencyProof::build(columns, new, old.size()).unwrap();
    let growth = Growth { old: &old.head(), new: &new.head(), proof };
    let after = before.update(hasher, arity, growth, index, leaf).unwrap();
    let expected = InclusionProof::build(columns, new, index).unwrap();
    assert_eq!(after, expected, "{arity}: {index} from {} to {}", old.size(), new.size());
}

#[test]
fn every_leaf_between_all_pairs_of_sizes_gets_the_proof_of_the_new_tree() {
    let leaves = reference::leaves(70);
    for (hasher, up_to) in [(HASHERS[0], 70), (HASHERS[1], 20)] {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            let edges: Vec<_> = (0..=up_to)
                .map(|n| RightEdge::fold(&columns, hasher, arity, TreeSize(n)).unwrap())
                .collect();
            for new in &edges {
                for old in edges.iter().filter(|old| old.size() <= new.size()) {
                    for index in (0..old.size().get()).map(LeafIndex) {
                        check(hasher, &columns, &leaves, (old, new), index);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_updated_by_proofs_that_do_not_hold() {
    let leaves = reference::leaves(40);
    for arity in Arity::ALL {
        let columns = Columns::new(&Blake3, arity, &leaves);
        let edge = |n| RightEdge::fold(&columns, &Blake3, arity, TreeSize(n)).unwrap();
        for old in 2..40 {
            let (old, new) = (edge(old), edge(40));
            let index = LeafIndex(old.size().get() / 2);
            let leaf = &leaves[usize::try_from(index.get()).unwrap()];
            let good = InclusionProof::build(&columns, &old, index).unwrap();
            let proof = ConsistencyProof::build(&columns, &new, old.size()).unwrap();
            let (old, new) = (old.head(), new.head());
            let update = |good: &InclusionProof, old, new, proof| {
                good.update(&Blake3, arity, Growth { old, new, proof }, index, leaf)
            };
            assert!(update(&good, &old, &new, &proof).is_ok());

            let mut siblings = good.siblings().to_vec();
            siblings[0][0] ^= 1;
            let bad = InclusionProof::from_siblings(siblings);
            assert!(update(&bad, &old, &new, &proof).is_err());
            assert!(update(&InclusionProof::from_siblings(vec![]), &old, &new, &proof).is_err());
            let mut hashes = proof.hashes().to_vec();
            hashes[0][0] ^= 1;
            let bad = ConsistencyProof::from_hashes(hashes);
            assert!(update(&good, &old, &new, &bad).is_err());
            let bad = ConsistencyProof::from_hashes(vec![]);
            assert!(update(&good, &old, &new, &bad).is_err());
            let bad = TreeHead { root: [1; 32], ..new };
            assert!(update(&good, &old, &bad, &proof).is_err());
            let bad = TreeHead { root: [1; 32], ..old };
            assert!(update(&good, &bad, &new, &proof).is_err());
            assert!(update(&good, &new, &old, &proof).is_err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_leaves_of_large_trees_get_the_proof_of_the_new_tree(
        arity in prop::sample::select(Arity::ALL.as_slice()),
        new in 1_usize..20_000,
        picks in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 8),
    ) {
        let leaves = reference::leaves(new);
        let columns = Columns::new(&Blake3, arity, &leaves);
        let edge = |n| RightEdge::fold(&columns, &Blake3, arity, TreeSize(n as u64)).unwrap();
        let last = edge(new);
        for (old, index) in picks {
            let old = 1 + old.index(new);
            let index = LeafIndex(index.index(old) as u64);
            check(&Blake3, &columns, &leaves, (&edge(old), &last), index);
        }
    }
}
