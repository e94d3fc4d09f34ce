//! Proofs of many leaves at once against a slow reference.

use testkit::reference;

use duramen::merkle::{
    Arity, Blake3, Hash, Hasher, InclusionProof, LeafIndex, MultiProof, ProveError, Rfc6962Sha256,
    RightEdge, Shape, TreeHead, TreeSize, VerifyError,
};
use proptest::prelude::*;
use testkit::columns::Columns;
use testkit::reference::Oracle;

const PROFILES: [(&dyn Hasher, Oracle); 2] =
    [(&Blake3, reference::BLAKE3), (&Rfc6962Sha256, reference::RFC6962)];

fn places(indexes: &[usize]) -> Vec<LeafIndex> {
    indexes.iter().map(|i| LeafIndex(*i as u64)).collect()
}

fn with_leaves(indexes: &[usize], leaves: &[Hash]) -> Vec<(LeafIndex, Hash)> {
    indexes.iter().map(|i| (LeafIndex(*i as u64), leaves[*i])).collect()
}

#[test]
fn every_set_of_leaves_of_every_small_tree_equals_the_reference() {
    let leaves = reference::leaves(9);
    for (hasher, oracle) in PROFILES {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            for size in 1..=leaves.len() {
                let at = TreeSize(size as u64);
                let edge = RightEdge::fold(&columns, hasher, arity, at).unwrap();
                let levels = oracle.levels(arity.children(), &leaves[..size]);
                for set in 1..1_usize << size {
                    let indexes: Vec<usize> = (0..size).filter(|i| set >> i & 1 == 1).collect();
                    let proof = MultiProof::build(&columns, &edge, &places(&indexes)).unwrap();
                    let expected = reference::siblings_of_many(arity.children(), &levels, &indexes);
                    assert_eq!(proof.hashes(), expected, "{arity} {size} {indexes:?}");
                    let leaves = with_leaves(&indexes, &leaves);
                    proof.verify(hasher, arity, &edge.head(), &leaves).unwrap();
                }
            }
        }
    }
}

#[test]
fn one_leaf_gives_its_inclusion_proof_and_all_leaves_need_no_hash() {
    let leaves = reference::leaves(100);
    for arity in Arity::ALL {
        let columns = Columns::new(&Blake3, arity, &leaves);
        let edge = RightEdge::fold(&columns, &Blake3, arity, TreeSize(100)).unwrap();
        for index in (0..100).map(LeafIndex) {
            let one = InclusionProof::build(&columns, &edge, index).unwrap();
            let multi = MultiProof::build(&columns, &edge, &[index]).unwrap();
            assert_eq!(one.siblings(), multi.hashes());
        }
        let all: Vec<usize> = (0..100).collect();
        let proof = MultiProof::build(&columns, &edge, &places(&all)).unwrap();
        assert!(proof.hashes().is_empty());
        proof.verify(&Blake3, arity, &edge.head(), &with_leaves(&all, &leaves)).unwrap();
    }
}

#[test]
fn order_and_duplicates_do_not_matter() {
    let leaves = reference::leaves(50);
    let columns = Columns::new(&Blake3, Arity::Four, &leaves);
    let edge = RightEdge::fold(&columns, &Blake3, Arity::Four, TreeSize(50)).unwrap();
    let (sorted, mixed) = ([3, 17, 49], [49, 3, 17, 3, 49]);
    let proof = MultiProof::build(&columns, &edge, &places(&mixed)).unwrap();
    assert_eq!(proof, MultiProof::build(&columns, &edge, &places(&sorted)).unwrap());
    for indexes in [&sorted[..], &mixed] {
        let given = with_leaves(indexes, &leaves);
        proof.verify(&Blake3, Arity::Four, &edge.head(), &given).unwrap();
    }
    let mut two = with_leaves(&sorted, &leaves);
    two.push((LeafIndex(17), leaves[18]));
    assert_eq!(
        proof.verify(&Blake3, Arity::Four, &edge.head(), &two),
        Err(VerifyError::TwoLeavesAtIndex { index: LeafIndex(17) })
    );
}

#[test]
fn no_leaves_and_leaves_beyond_the_size_are_refused() {
    let leaves = reference::leaves(10);
    let columns = Columns::new(&Blake3, Arity::Four, &leaves);
    let edge = RightEdge::fold(&columns, &Blake3, Arity::Four, TreeSize(10)).unwrap();
    assert_eq!(MultiProof::build(&columns, &edge, &[]).unwrap_err(), ProveError::NoIndexes);
    let (index, size) = (LeafIndex(10), TreeSize(10));
    assert_eq!(
        MultiProof::build(&columns, &edge, &[index, LeafIndex(0)]).unwrap_err(),
        ProveError::IndexBeyondSize { index, size }
    );
    let none = MultiProof::from_hashes(vec![edge.root()]);
    let verify =
        |leaves: &[(LeafIndex, Hash)]| none.verify(&Blake3, Arity::Four, &edge.head(), leaves);
    assert_eq!(verify(&[]), Err(VerifyError::NoLeaves));
    assert_eq!(verify(&[(index, leaves[0])]), Err(VerifyError::IndexBeyondSize { index, size }));
    assert_eq!(MultiProof::expected_hashes(edge.shape(), &[]), None);
    assert_eq!(MultiProof::expected_hashes(edge.shape(), &[index]), None);
}

#[test]
fn every_changed_part_of_a_proof_is_refused() {
    let leaves = reference::leaves(64);
    for (profile, (hasher, _)) in PROFILES.into_iter().enumerate() {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            for size in 1..=64 {
                let at = TreeSize(size as u64);
                let edge = RightEdge::fold(&columns, hasher, arity, at).unwrap();
                let head = edge.head();
                let mut indexes = vec![0, size / 3, size / 2, size - 1];
                indexes.dedup();
                let given = with_leaves(&indexes, &leaves);
                let proof = MultiProof::build(&columns, &edge, &places(&indexes)).unwrap();
                let hashes = proof.hashes();
                let refused = |hashes: Vec<Hash>, given: &[(LeafIndex, Hash)], head: &TreeHead| {
                    let proof = MultiProof::from_hashes(hashes);
                    assert!(proof.verify(hasher, arity, head, given).is_err(), "{arity} {size}");
                };
                for at in 0..hashes.len() {
                    let mut changed = hashes.to_vec();
                    changed[at][at % 32] ^= 1 << (at % 8);
                    refused(changed, &given, &head);
                    let mut shorter = hashes.to_vec();
                    shorter.remove(at);
                    refused(shorter, &given, &head);
                    let mut longer = hashes.to_vec();
                    longer.insert(at, hashes[at]);
                    refused(longer, &given, &head);
                }
                for at in 0..given.len() {
                    let mut other_leaf = given.clone();
                    other_leaf[at].1[31] ^= 1;
                    refused(hashes.to_vec(), &other_leaf, &head);
                    let mut other_index = given.clone();
                    other_index[at].0.0 ^= 1;
                    refused(hashes.to_vec(), &other_index, &head);
                    if size > 1 {
                        let mut fewer = given.clone();
                        fewer.remove(at);
                        refused(hashes.to_vec(), &fewer, &head);
                    }
                }
                refused([hashes, &[[0; 32]]].concat(), &given, &head);
                refused(hashes.to_vec(), &given, &TreeHead { root: [1; 32], ..head });
                if size > 1 {
                    let other = PROFILES[1 - profile].0;
                    assert!(proof.verify(other, arity, &head, &given).is_err());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_sets_in_large_trees_equal_the_reference(
        profile in 0..PROFILES.len(),
        arity in prop::sample::select(Arity::ALL.as_slice()),
        size in 1_usize..4_000,
        indexes in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
    ) {
        let (hasher, oracle) = PROFILES[profile];
        let leaves = reference::leaves(size);
        let columns = Columns::new(hasher, arity, &leaves);
        let edge = RightEdge::fold(&columns, hasher, arity, TreeSize(size as u64)).unwrap();
        let indexes: Vec<usize> = indexes.into_iter().map(|i| i.index(size)).collect();
        let proof = MultiProof::build(&columns, &edge, &places(&indexes)).unwrap();
        let levels = oracle.levels(arity.children(), &leaves);
        let expected = reference::siblings_of_many(arity.children(), &levels, &indexes);
        prop_assert_eq!(proof.hashes(), expected);
        let verified =
            proof.verify(hasher, arity, &edge.head(), &with_leaves(&indexes, &leaves));
        prop_assert_eq!(verified, Ok(()));
    }

    #[test]
    fn verification_is_total_for_any_size_and_any_hashes(
        arity in prop::sample::select(Arity::ALL.as_slice()),
        size: u64,
        shift in 0_u32..64,
        indexes in prop::collection::vec(any::<u64>(), 0..6),
        exact: bool,
        count in 0_usize..600,
    ) {
        let size = TreeSize(size >> shift);
        let head = TreeHead { size, root: [1; 32] };
        let leaves: Vec<_> = indexes.iter().map(|i| (LeafIndex(i >> shift), [3; 32])).collect();
        let indexes: Vec<LeafIndex> = leaves.iter().map(|leaf| leaf.0).collect();
        let expected = MultiProof::expected_hashes(Shape::new(arity, size), &indexes);
        let count = expected.filter(|_| exact).unwrap_or(count);
        let proof = MultiProof::from_hashes(vec![[2; 32]; count]);
        prop_assert!(proof.verify(&Blake3, arity, &head, &leaves).is_err());
    }
}
