//! Consistency proofs against a slow reference and against RFC 6962's own recursion.

use duramen::merkle::{
    Arity, Blake3, ConsistencyProof, Hash, Hasher, InclusionProof, LeafIndex, ProveError,
    Rfc6962Sha256, RightEdge, TreeHead, TreeSize, VerifyError,
};
use proptest::prelude::*;
use testkit::columns::Columns;
use testkit::reference;
use testkit::reference::{Oracle, rfc6962};

const PROFILES: [(&dyn Hasher, Oracle); 2] =
    [(&Blake3, reference::BLAKE3), (&Rfc6962Sha256, reference::RFC6962)];

/// A tree and its edges at every size.
struct Tree {
    columns: Columns,
    edges: Vec<RightEdge>,
}

impl Tree {
    fn new(hasher: &dyn Hasher, arity: Arity, leaves: &[Hash]) -> Self {
        let columns = Columns::new(hasher, arity, leaves);
        let sizes = (0..=leaves.len() as u64).map(TreeSize);
        let edges = sizes.map(|n| RightEdge::fold(&columns, hasher, arity, n).unwrap()).collect();
        Self { columns, edges }
    }

    fn head(&self, size: usize) -> TreeHead {
        self.edges[size].head()
    }

    fn proof(&self, old: usize, new: usize) -> ConsistencyProof {
        ConsistencyProof::build(&self.columns, &self.edges[new], TreeSize(old as u64)).unwrap()
    }
}

#[test]
fn binary_trees_are_those_of_rfc_6962_for_all_pairs_of_sizes_up_to_130() {
    let leaves = reference::leaves(130);
    let tree = Tree::new(&Rfc6962Sha256, Arity::Two, &leaves);
    for new in 0..=130 {
        let d = &leaves[..new];
        assert_eq!(tree.head(new).root, rfc6962::mth(d));
        for old in 1..=new {
            let proof = tree.proof(old, new);
            assert_eq!(proof.hashes(), rfc6962::proof(old, d), "{old} {new}");
            let heads = (tree.head(old), tree.head(new));
            proof.verify(&Rfc6962Sha256, Arity::Two, &heads.0, &heads.1).unwrap();
        }
        for index in 0..new {
            let place = LeafIndex(index as u64);
            let proof = InclusionProof::build(&tree.columns, &tree.edges[new], place).unwrap();
            assert_eq!(proof.siblings(), rfc6962::path(index, d), "{index} {new}");
        }
    }
}

#[test]
fn all_arities_equal_the_reference_for_all_pairs_of_sizes() {
    let leaves = reference::leaves(130);
    for (hasher, oracle) in PROFILES {
        for arity in Arity::ALL {
            let tree = Tree::new(hasher, arity, &leaves);
            let up_to = if arity == Arity::Four { 130 } else { 70 };
            for new in 0..=up_to {
                for old in 0..=new {
                    let proof = tree.proof(old, new);
                    let expected = oracle.consistency(arity.children(), &leaves[..new], old, true);
                    assert_eq!(proof.hashes(), expected, "{arity} {old} {new}");
                    let (old, new) = (tree.head(old), tree.head(new));
                    assert_eq!(
                        ConsistencyProof::expected_hashes(arity, old.size, new.size),
                        Some(expected.len())
                    );
                    proof.verify(hasher, arity, &old, &new).unwrap();
                }
            }
        }
    }
}

#[test]
fn from_size_zero_only_the_empty_root_verifies_and_only_the_empty_proof() {
    let leaves = reference::leaves(5);
    for (hasher, oracle) in PROFILES {
        let tree = Tree::new(hasher, Arity::Four, &leaves);
        let empty = TreeHead { size: TreeSize(0), root: (oracle.empty)() };
        let wrong = TreeHead { size: TreeSize(0), root: [0; 32] };
        let verify = |proof: &ConsistencyProof, old: &TreeHead, new: &TreeHead| {
            proof.verify(hasher, Arity::Four, old, new)
        };
        for size in 0..=5 {
            let new = tree.head(size);
            let proof = tree.proof(0, size);
            assert!(proof.hashes().is_empty());
            verify(&proof, &empty, &new).unwrap();
            assert_eq!(
                verify(&proof, &wrong, &new),
                Err(VerifyError::RootMismatch {
                    size: TreeSize(0),
                    computed: empty.root,
                    trusted: wrong.root
                })
            );
            let longer = ConsistencyProof::from_hashes(vec![empty.root]);
            assert_eq!(
                verify(&longer, &empty, &new),
                Err(VerifyError::HashCount { expected: 0, found: 1 })
            );
        }
        assert!(verify(&tree.proof(0, 0), &empty, &wrong).is_err());
        assert!(verify(&tree.proof(0, 0), &wrong, &wrong).is_err());
    }
}

#[test]
fn equal_sizes_need_equal_roots_and_an_empty_proof() {
    let leaves = reference::leaves(64);
    let tree = Tree::new(&Blake3, Arity::Four, &leaves);
    for size in 1..=64 {
        let head = tree.head(size);
        let other = TreeHead { root: [7; 32], ..head };
        let proof = tree.proof(size, size);
        assert!(proof.hashes().is_empty());
        proof.verify(&Blake3, Arity::Four, &head, &head).unwrap();
        assert!(proof.verify(&Blake3, Arity::Four, &head, &other).is_err());
        assert!(proof.verify(&Blake3, Arity::Four, &other, &head).is_err());
        let longer = ConsistencyProof::from_hashes(vec![head.root]);
        assert!(longer.verify(&Blake3, Arity::Four, &head, &head).is_err());
    }
}

#[test]
fn an_old_size_beyond_the_new_one_is_refused_with_both_named() {
    let leaves = reference::leaves(9);
    let tree = Tree::new(&Blake3, Arity::Four, &leaves);
    let (old, new) = (TreeSize(9), TreeSize(8));
    assert_eq!(
        ConsistencyProof::build(&tree.columns, &tree.edges[8], old).unwrap_err(),
        ProveError::OldBeyondNew { old, new }
    );
    assert_eq!(
        tree.proof(8, 9).verify(&Blake3, Arity::Four, &tree.head(9), &tree.head(8)),
        Err(VerifyError::OldBeyondNew { old, new })
    );
    assert_eq!(ConsistencyProof::expected_hashes(Arity::Four, old, new), None);
}

#[test]
fn a_failed_read_is_handed_up() {
    let tree = Tree::new(&Blake3, Arity::Four, &reference::leaves(30));
    let empty = Columns::new(&Blake3, Arity::Four, &[]);
    for old in 1..30 {
        let error = ConsistencyProof::build(&empty, &tree.edges[30], TreeSize(old)).unwrap_err();
        assert!(matches!(error, ProveError::Source(_)), "{error:?}");
    }
}

#[test]
fn every_changed_part_of_a_proof_is_refused() {
    let leaves = reference::leaves(64);
    for (profile, (hasher, _)) in PROFILES.into_iter().enumerate() {
        for arity in Arity::ALL {
            let tree = Tree::new(hasher, arity, &leaves);
            for new in 1..=64 {
                for old in 1..new {
                    let proof = tree.proof(old, new);
                    let hashes = proof.hashes();
                    let (old, new) = (tree.head(old), tree.head(new));
                    let refused = |hashes: Vec<Hash>, old: &TreeHead, new: &TreeHead| {
                        let proof = ConsistencyProof::from_hashes(hashes);
                        assert!(proof.verify(hasher, arity, old, new).is_err(), "{old} {new}");
                    };
                    for at in 0..hashes.len() {
                        let mut changed = hashes.to_vec();
                        changed[at][at % 32] ^= 1 << (at % 8);
                        refused(changed, &old, &new);
                        let mut shorter = hashes.to_vec();
                        shorter.remove(at);
                        refused(shorter, &old, &new);
                        let mut longer = hashes.to_vec();
                        longer.insert(at, hashes[at]);
                        refused(longer, &old, &new);
                        let mut swapped = hashes.to_vec();
                        swapped.rotate_left(1);
                        if swapped != hashes {
                            refused(swapped, &old, &new);
                        }
                    }
                    refused([hashes, &[[0; 32]]].concat(), &old, &new);
                    refused(hashes.to_vec(), &TreeHead { root: [1; 32], ..old }, &new);
                    refused(hashes.to_vec(), &old, &TreeHead { root: [1; 32], ..new });
                    let other = PROFILES[1 - profile].0;
                    assert!(proof.verify(other, arity, &old, &new).is_err());
                    refuse_other_sizes(hasher, arity, &proof, &old, &new);
                }
            }
        }
    }
}

/// Another old size never has the old root. The new size is no part of this: a root does not
/// commit to its size, so sizes of one shape along the path verify alike, which is why the verifier
/// trusts a head and not a root.
fn refuse_other_sizes(
    hasher: &dyn Hasher,
    arity: Arity,
    proof: &ConsistencyProof,
    old: &TreeHead,
    new: &TreeHead,
) {
    for size in (0..=70).chain([u64::MAX]).map(TreeSize) {
        if size != old.size {
            let other = TreeHead { size, ..*old };
            assert!(proof.verify(hasher, arity, &other, new).is_err(), "{other} {new}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn random_pairs_in_large_trees_equal_the_reference(
        profile in 0..PROFILES.len(),
        arity in prop::sample::select(Arity::ALL.as_slice()),
        new in 1_usize..20_000,
        olds in prop::collection::vec(any::<prop::sample::Index>(), 4),
    ) {
        let (hasher, oracle) = PROFILES[profile];
        let leaves = reference::leaves(new);
        let columns = Columns::new(hasher, arity, &leaves);
        let edge = RightEdge::fold(&columns, hasher, arity, TreeSize(new as u64)).unwrap();
        for old in olds.into_iter().map(|i| i.index(new + 1)) {
            let size = TreeSize(old as u64);
            let proof = ConsistencyProof::build(&columns, &edge, size).unwrap();
            let n = arity.children();
            prop_assert_eq!(proof.hashes(), oracle.consistency(n, &leaves, old, true));
            let root = oracle.root(n, &leaves[..old]);
            let verified =
                proof.verify(hasher, arity, &TreeHead { size, root }, &edge.head());
            prop_assert_eq!(verified, Ok(()));
        }
    }

    #[test]
    fn verification_is_total_for_any_sizes_and_any_hashes(
        profile in 0..PROFILES.len(),
        arity in prop::sample::select(Arity::ALL.as_slice()),
        old: u64,
        new: u64,
        shift in 0_u32..64,
        exact: bool,
        count in 0_usize..260,
    ) {
        let (hasher, _) = PROFILES[profile];
        let old = TreeHead { size: TreeSize((old >> shift).max(1)), root: [1; 32] };
        let new = TreeHead { size: TreeSize(new), root: [2; 32] };
        let expected = ConsistencyProof::expected_hashes(arity, old.size, new.size);
        prop_assert!(expected.is_none_or(|count| count <= 241));
        let count = expected.filter(|_| exact).unwrap_or(count);
        let proof = ConsistencyProof::from_hashes(vec![[2; 32]; count]);
        prop_assert!(proof.verify(hasher, arity, &old, &new).is_err());
    }
}
