//! Roots and inclusion proofs against a slow reference.

use duramen::merkle::{
    Arity, Blake3, ConsistencyProof, Hash, Hasher, HasherId, InclusionProof, LeafIndex, Level,
    MultiProof, NodeIndex, ProveError, Rfc6962Sha256, RightEdge, TreeHead, TreeSize, VerifyError,
    root_at,
};
use proptest::prelude::*;
use testkit::columns::{Columns, NotThere};
use testkit::reference;
use testkit::reference::Oracle;

const PROFILES: [(&dyn Hasher, Oracle); 2] =
    [(&Blake3, reference::BLAKE3), (&Rfc6962Sha256, reference::RFC6962)];

#[test]
fn the_hashers_keep_their_names() {
    for (hasher, oracle) in PROFILES {
        assert_eq!(hasher.id().as_str(), oracle.id);
    }
}

#[test]
fn roots_and_inclusion_proofs_equal_the_reference_at_every_size() {
    let leaves = reference::leaves(1_100);
    for (hasher, oracle) in PROFILES {
        for arity in Arity::ALL {
            let n = arity.children();
            // All sizes are answered from the columns of the largest.
            let columns = Columns::new(hasher, arity, &leaves);
            for size in 0..=leaves.len() {
                let levels = oracle.levels(n, &leaves[..size]);
                let at = TreeSize(size as u64);
                let edge = RightEdge::fold(&columns, hasher, arity, at).unwrap();
                let head = edge.head();
                assert_eq!(head, TreeHead { size: at, root: oracle.root(n, &leaves[..size]) });
                assert_eq!(root_at(&columns, hasher, arity, at).unwrap(), head.root);
                for (level, nodes) in levels.iter().enumerate() {
                    let complete = size / n.pow(u32::try_from(level).unwrap());
                    let expected = nodes.get(complete);
                    assert_eq!(
                        edge.node(Level(u8::try_from(level).unwrap())),
                        expected,
                        "{arity} {size} {level}"
                    );
                }
                let step = if size <= 130 { 1 } else { 13 };
                for index in (0..size).rev().step_by(step).chain([0]).filter(|i| *i < size) {
                    let place = LeafIndex(index as u64);
                    let proof = InclusionProof::build(&columns, &edge, place).unwrap();
                    assert_eq!(proof.siblings(), reference::siblings(n, &levels, index));
                    proof.verify(hasher, arity, &head, place, &leaves[index]).unwrap();
                }
            }
        }
    }
}

#[test]
fn an_index_beyond_the_size_is_refused_with_both_named() {
    let leaves = reference::leaves(20);
    let columns = Columns::new(&Blake3, Arity::Four, &leaves);
    for size in 0..=20 {
        let edge = RightEdge::fold(&columns, &Blake3, Arity::Four, TreeSize(size)).unwrap();
        for index in [size, size + 1, u64::MAX] {
            let (index, size) = (LeafIndex(index), TreeSize(size));
            let error = InclusionProof::build(&columns, &edge, index).unwrap_err();
            assert_eq!(error, ProveError::IndexBeyondSize { index, size });
            assert_eq!(
                InclusionProof::from_siblings(Vec::new()).verify(
                    &Blake3,
                    Arity::Four,
                    &edge.head(),
                    index,
                    &leaves[0]
                ),
                Err(VerifyError::IndexBeyondSize { index, size })
            );
        }
    }
}

#[test]
fn a_failed_read_is_handed_up() {
    let columns = Columns::new(&Blake3, Arity::Two, &reference::leaves(8));
    let lost = NotThere { level: Level(0), first: NodeIndex(8), count: 1 };
    let edge = RightEdge::fold(&columns, &Blake3, Arity::Two, TreeSize(9));
    assert_eq!(edge.unwrap_err(), lost);
    let edge = RightEdge::fold(&columns, &Blake3, Arity::Two, TreeSize(8)).unwrap();
    let empty = Columns::new(&Blake3, Arity::Two, &[]);
    let lost = NotThere { level: Level(0), first: NodeIndex(0), count: 2 };
    let proof = InclusionProof::build(&empty, &edge, LeafIndex(0));
    assert_eq!(proof.unwrap_err(), ProveError::Source(lost));
}

#[test]
fn every_level_is_read_at_most_once() {
    let columns = Columns::new(&Blake3, Arity::Two, &reference::leaves(1000));
    for size in 0..=1000 {
        let calls = || columns.calls.take();
        let edge = RightEdge::fold(&columns, &Blake3, Arity::Two, TreeSize(size)).unwrap();
        let depth = usize::from(edge.shape().depth().0);
        assert!(calls() <= depth.max(1));
        if size > 0 {
            InclusionProof::build(&columns, &edge, LeafIndex(size / 3)).unwrap();
            assert!(calls() <= depth);
        }
    }
}

#[test]
fn every_changed_part_of_a_proof_is_refused() {
    let leaves = reference::leaves(64);
    for (profile, (hasher, _)) in PROFILES.into_iter().enumerate() {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            for size in (1..=64).map(TreeSize) {
                let edge = RightEdge::fold(&columns, hasher, arity, size).unwrap();
                let head = edge.head();
                for (index, leaf) in (0..size.get()).map(LeafIndex).zip(&leaves) {
                    let proof = InclusionProof::build(&columns, &edge, index).unwrap();
                    let siblings = proof.siblings();
                    let refused = |siblings: Vec<Hash>| {
                        let proof = InclusionProof::from_siblings(siblings);
                        let verified = proof.verify(hasher, arity, &head, index, leaf);
                        assert!(verified.is_err(), "{arity} {size} {index}");
                    };
                    for at in 0..siblings.len() {
                        let mut changed = siblings.to_vec();
                        changed[at][at % 32] ^= 1 << (at % 8);
                        refused(changed);
                        let mut shorter = siblings.to_vec();
                        shorter.remove(at);
                        refused(shorter);
                        let mut longer = siblings.to_vec();
                        longer.insert(at, siblings[at]);
                        refused(longer);
                        let mut swapped = siblings.to_vec();
                        swapped.swap(0, at);
                        if swapped != siblings {
                            refused(swapped);
                        }
                    }
                    refused([siblings, &[[0; 32]]].concat());
                    let verify = |head: &TreeHead, index, leaf: &Hash| {
                        proof.verify(hasher, arity, head, index, leaf)
                    };
                    for other in (0..70).chain([u64::MAX]).map(LeafIndex) {
                        assert_eq!(verify(&head, other, leaf).is_ok(), other == index);
                    }
                    for other in &leaves {
                        assert_eq!(verify(&head, index, other).is_ok(), other == leaf);
                    }
                    if size > TreeSize(1) {
                        let other = PROFILES[1 - profile].0;
                        assert!(proof.verify(other, arity, &head, index, leaf).is_err());
                        let inner = edge.node(edge.shape().depth()).unwrap_or(&head.root);
                        assert!(verify(&head, index, inner).is_err());
                    }
                    // A root does not commit to its size, so a size of the same shape along the
                    // path may verify: a head is trusted as a whole. None makes it panic.
                    for size in (0..70).chain([1 << 63, u64::MAX]).map(TreeSize) {
                        let _ = verify(&TreeHead { size, ..head }, index, leaf);
                    }
                }
            }
        }
    }
}

/// Refuses every value that ends in 0xff, as a hasher over a field would.
struct Picky;

impl Hasher for Picky {
    fn id(&self) -> HasherId {
        HasherId::new("picky")
    }
    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }
    fn node(&self, children: &[Hash]) -> Hash {
        assert_eq!(self.first_refused(children), None, "a refused value was hashed");
        let mut node = Blake3.node(children);
        node[31] = 0;
        node
    }
    fn empty_root(&self) -> Hash {
        [0; 32]
    }
    fn first_refused(&self, leaves: &[Hash]) -> Option<usize> {
        leaves.iter().position(|leaf| leaf[31] == 0xff)
    }
}

#[test]
fn a_value_that_the_hasher_refuses_is_named_and_never_hashed() {
    let size = TreeSize(2);
    let (good, bad) = ([1; 32], [0xff; 32]);
    let head = TreeHead { size, root: Picky.node(&[good, good]) };
    let verify = |sibling, leaf| {
        InclusionProof::from_siblings(vec![sibling]).verify(
            &Picky,
            Arity::Four,
            &head,
            LeafIndex(0),
            &leaf,
        )
    };
    assert_eq!(verify(good, good), Ok(()));
    assert_eq!(verify(bad, good), Err(VerifyError::RefusedValue { value: bad }));
    assert_eq!(verify(good, bad), Err(VerifyError::RefusedValue { value: bad }));
    let (index, bad_head) = (LeafIndex(0), TreeHead { size: TreeSize(1), root: bad });
    let single = MultiProof::from_hashes(vec![]);
    assert_eq!(
        single.verify(&Picky, Arity::Four, &bad_head, &[(index, bad)]),
        Err(VerifyError::RefusedValue { value: bad })
    );
    let growth = ConsistencyProof::from_hashes(vec![bad]);
    assert_eq!(
        growth.verify(&Picky, Arity::Four, &TreeHead { size: TreeSize(1), root: good }, &head),
        Err(VerifyError::RefusedValue { value: bad })
    );
    let growth = ConsistencyProof::from_hashes(vec![good]);
    assert_eq!(
        growth.verify(&Picky, Arity::Four, &bad_head, &head),
        Err(VerifyError::RefusedValue { value: bad })
    );
}

/// The inputs that the Certificate Transparency projects test their trees with.
const CT_LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// Their roots, by size from 0.
const CT_ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn roots_of_rfc_6962_are_the_known_ones() {
    let leaves: Vec<Hash> = CT_LEAVES.iter().map(|data| Rfc6962Sha256.leaf(data)).collect();
    let columns = Columns::new(&Rfc6962Sha256, Arity::Two, &leaves);
    for (size, root) in CT_ROOTS.iter().enumerate() {
        let size = TreeSize(size as u64);
        let edge = RightEdge::fold(&columns, &Rfc6962Sha256, Arity::Two, size).unwrap();
        assert_eq!(edge.head(), format!("{size}:{root}").parse().unwrap());
    }
}

fn any_profile() -> impl Strategy<Value = (usize, Arity)> {
    (0..PROFILES.len(), prop::sample::select(Arity::ALL.as_slice()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn large_trees_equal_the_reference(
        (profile, arity) in any_profile(),
        size in 1_usize..100_000,
        indexes in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let (hasher, oracle) = PROFILES[profile];
        let leaves = reference::leaves(size);
        let levels = oracle.levels(arity.children(), &leaves);
        let columns = Columns::new(hasher, arity, &leaves);
        let edge = RightEdge::fold(&columns, hasher, arity, TreeSize(size as u64)).unwrap();
        prop_assert_eq!(edge.root(), levels.last().unwrap()[0]);
        for index in indexes.into_iter().map(|i| i.index(size)).chain([0, size - 1]) {
            let place = LeafIndex(index as u64);
            let proof = InclusionProof::build(&columns, &edge, place).unwrap();
            prop_assert_eq!(
                proof.siblings(),
                reference::siblings(arity.children(), &levels, index)
            );
            proof.verify(hasher, arity, &edge.head(), place, &leaves[index]).unwrap();
        }
    }

    #[test]
    fn verification_is_total_for_any_size_and_any_hashes(
        (profile, arity) in any_profile(),
        size: u64,
        shift in 0_u32..64,
        index: u64,
        count in 0_usize..260,
    ) {
        let (hasher, _) = PROFILES[profile];
        let head = TreeHead { size: TreeSize(size >> shift), root: [1; 32] };
        let index = LeafIndex(index >> shift);
        let proof = InclusionProof::from_siblings(vec![[2; 32]; count]);
        prop_assert!(proof.verify(hasher, arity, &head, index, &[3; 32]).is_err());
    }
}

#[test]
fn a_proof_in_the_largest_tree_is_verified() {
    // The head follows from made-up siblings: no tree of this size fits anywhere.
    for (hasher, _) in PROFILES {
        for arity in Arity::ALL {
            for index in [0, 1, 1 << 63, u64::MAX - 2, u64::MAX - 1].map(LeafIndex) {
                let size = TreeSize(u64::MAX);
                let mut head = TreeHead { size, root: [0; 32] };
                let count = duramen::merkle::Shape::new(arity, size).inclusion_siblings(index);
                let siblings = (0..count as u64).map(reference::leaf).collect();
                let proof = InclusionProof::from_siblings(siblings);
                let leaf = [9; 32];
                let error = proof.verify(hasher, arity, &head, index, &leaf).unwrap_err();
                let VerifyError::RootMismatch { computed, .. } = error else { panic!("{error}") };
                head.root = computed;
                proof.verify(hasher, arity, &head, index, &leaf).unwrap();
                let other = LeafIndex(index.get() ^ 1);
                assert!(proof.verify(hasher, arity, &head, other, &leaf).is_err());
            }
        }
    }
}
