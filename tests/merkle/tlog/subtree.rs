//! Subtrees: the draft *Merkle Tree Certificates*, section 4 and its appendix of test vectors.

use duramen::merkle::{
    InclusionProof, NotASubtree, ProveError, Subtree, SubtreeProof, VerifyError,
};
use duramen::{ConsistencyProof, Hash, LeafIndex, Rfc6962Sha256, TreeHead, TreeSize};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::tlog::model::{
    Tree, hex, is_subtree, leaves, mth, path, subtree_proof, subtree_verifies,
};

const MOST: u64 = 130;

fn all(most: u64) -> impl Iterator<Item = Subtree> {
    (0..=most).flat_map(|end| (0..=end).filter_map(move |start| Subtree::new(start, end).ok()))
}

fn range(subtree: Subtree) -> std::ops::Range<usize> {
    let number = |index: LeafIndex| usize::try_from(index.get()).unwrap();
    number(subtree.start())..number(subtree.end())
}

/// A hash over lines of text, as the appendix of the draft makes it.
fn accumulated(lines: impl Iterator<Item = String>) -> String {
    let mut hash = Sha256::new();
    lines.for_each(|line| hash.update(line + "\n"));
    hex(&hash.finalize())
}

fn words(start: String, hashes: &[Hash]) -> String {
    hashes.iter().fold(start, |line, hash| line + " " + &hex(hash))
}

/// Merkle Tree Certificates, appendix *Subtree Test Vectors*, *Subtree Hashes*.
#[test]
fn the_roots_of_all_subtrees_up_to_130_leaves_are_those_of_the_draft() {
    let tree = Tree::new(&leaves(130));
    let lines = all(MOST).map(|subtree| {
        let Ok(root) = subtree.root(&tree, &Rfc6962Sha256);
        assert_eq!(root, mth(&tree.leaves()[range(subtree)]));
        format!("{subtree} {}", hex(&root))
    });
    let draft = "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81";
    assert_eq!(accumulated(lines), draft);
}

/// Merkle Tree Certificates, appendix *Subtree Test Vectors*, *Subtree Inclusion Proofs*; sections 4.3 and 4.3.2.
#[test]
fn the_inclusion_proofs_of_all_subtrees_up_to_130_leaves_are_those_of_the_draft_and_verify() {
    let tree = Tree::new(&leaves(130));
    let mut lines = Vec::new();
    for subtree in all(MOST) {
        let part = &tree.leaves()[range(subtree)];
        let root = mth(part);
        for index in range(subtree) {
            let proof = subtree.prove_inclusion(&tree, &Rfc6962Sha256, index as u64).unwrap();
            assert_eq!(proof.siblings(), path(part, index - range(subtree).start));
            let leaf = &tree.leaves()[index];
            let index = index as u64;
            subtree.verify_inclusion(&Rfc6962Sha256, &root, index, leaf, &proof).unwrap();
            let wrong = subtree.verify_inclusion(&Rfc6962Sha256, &root, index, &[9; 32], &proof);
            assert!(matches!(wrong, Err(VerifyError::RootMismatch { .. })));
            lines.push(words(format!("{index} {subtree}"), proof.siblings()));
        }
    }
    let draft = "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f";
    assert_eq!(accumulated(lines.into_iter()), draft);
}

/// Merkle Tree Certificates, section 4.3.1, step 1: the index is in the subtree.
#[test]
fn a_leaf_outside_a_subtree_is_neither_proven_nor_verified_in_it() {
    let tree = Tree::new(&leaves(13));
    let subtree = Subtree::new(8, 13).unwrap();
    for index in [0, 7, 13, u64::MAX] {
        let index = LeafIndex(index);
        let refused = subtree.prove_inclusion(&tree, &Rfc6962Sha256, index);
        assert_eq!(refused, Err(ProveError::OutsideSubtree { index, subtree }));
        let proof = InclusionProof::from_siblings(vec![]);
        let refused = subtree.verify_inclusion(&Rfc6962Sha256, &[0; 32], index, &[0; 32], &proof);
        assert_eq!(refused, Err(VerifyError::OutsideSubtree { index, subtree }));
    }
}

/// Merkle Tree Certificates, appendix *Subtree Test Vectors*, *Subtree Consistency Proofs*; sections 4.4.1, 4.4.3.
#[test]
fn the_consistency_proofs_of_all_subtrees_up_to_130_leaves_are_those_of_the_draft_and_verify() {
    let tree = Tree::new(&leaves(130));
    let mut lines = Vec::new();
    for size in 0..=MOST {
        let n = usize::try_from(size).unwrap();
        let head = tree.head(n);
        for subtree in all(size) {
            let proof =
                SubtreeProof::build(&tree, &Rfc6962Sha256, subtree, TreeSize(size)).unwrap();
            let slow = subtree_proof(&tree.leaves()[..n], range(subtree).start, range(subtree).end);
            assert_eq!(proof.hashes(), slow, "{subtree} in {size}");
            assert_eq!(
                SubtreeProof::expected_hashes(subtree, TreeSize(size)),
                Some(proof.hashes().len())
            );
            let root = mth(&tree.leaves()[range(subtree)]);
            proof.verify(&Rfc6962Sha256, subtree, &root, &head).unwrap();
            let pair = (subtree.start().get(), subtree.end().get());
            assert!(subtree_verifies(size, pair, proof.hashes(), &root, &head.root));
            lines.push(words(format!("{subtree} {size}"), proof.hashes()));
        }
    }
    let draft = "10fa99b37bf9bf9ffa26b412fbd98bd75363256d0b75d61bc4538b9c9c5a0a74";
    assert_eq!(accumulated(lines.into_iter()), draft);
}

/// Merkle Tree Certificates, appendix *Subtree Test Vectors*, *Efficient Covering Subtrees*; section 4.5.1.
#[test]
fn two_subtrees_cover_every_interval_as_the_draft_selects_them() {
    let mut lines = Vec::new();
    for end in 0..=MOST {
        for start in 0..=end {
            let [left, right] = Subtree::covering(start, end).unwrap();
            for part in [left, right] {
                assert_eq!(Subtree::new(part.start().get(), part.end().get()), Ok(part));
            }
            assert!(left.start().get() <= start && right.end().get() == end);
            assert_eq!(left.end(), right.start());
            if start < end {
                let (before, kept) = (start - left.start().get(), left.end().get() - start);
                assert!(before < kept, "{start} {end}");
            }
            lines.push(format!("{left} {right}"));
        }
    }
    let draft = "7fd9c8b926e9d2b5cf831560e8ce295a5ef97ad5c5ede4ea0dea28a8c8fc8bb0";
    assert_eq!(accumulated(lines.into_iter()), draft);
    assert_eq!(Subtree::covering(2, 1), Err(NotASubtree { start: 2, end: 1 }));
}

/// Merkle Tree Certificates, section 4.1: the definition, also where its power of two has 65 bits.
#[test]
fn an_interval_is_a_subtree_if_its_start_is_a_multiple_of_the_power_of_two_above_its_size() {
    let half = 1 << 63;
    let ends = [0, 1, 2, 3, 4, 7, 8, 9, 16, half - 1, half, half + 1, u64::MAX - 1, u64::MAX];
    for start in ends.into_iter().flat_map(|at: u64| [at, at.wrapping_add(3), at / 3]) {
        for end in ends.into_iter().flat_map(|at: u64| [at, at.wrapping_add(5)]) {
            assert_eq!(Subtree::new(start, end).is_ok(), is_subtree(start, end), "{start} {end}");
        }
    }
    let text = "[7, 9) is no subtree: the start must be a multiple of the smallest power of two";
    assert!(Subtree::new(7, 9).unwrap_err().to_string().starts_with(text));
    assert_eq!(Subtree::whole(TreeSize(u64::MAX)), Subtree::new(0, u64::MAX).unwrap());
    assert!(Subtree::new(half, u64::MAX).is_ok() && Subtree::new(5, 5).unwrap().is_empty());
}

/// Merkle Tree Certificates, section 4.4.1: from leaf 0 on, the proof is that of RFC 6962.
#[test]
fn for_the_first_leaves_the_proof_is_the_consistency_proof_and_for_one_leaf_the_inclusion_proof() {
    let tree = Tree::new(&leaves(70));
    for size in 1..=70 {
        for at in 1..=size {
            let prefix = Subtree::whole(TreeSize(at));
            let proof = SubtreeProof::build(&tree, &Rfc6962Sha256, prefix, TreeSize(size)).unwrap();
            let consistency = ConsistencyProof::build_at(
                &tree,
                &Rfc6962Sha256,
                duramen::Arity::Two,
                TreeSize(at),
                TreeSize(size),
            );
            assert_eq!(proof.hashes(), consistency.unwrap().hashes());
            let single = Subtree::new(at - 1, at).unwrap();
            let proof = SubtreeProof::build(&tree, &Rfc6962Sha256, single, TreeSize(size)).unwrap();
            let n = usize::try_from(size).unwrap();
            let index = usize::try_from(at - 1).unwrap();
            assert_eq!(proof.into_hashes(), path(&tree.leaves()[..n], index));
        }
    }
}

/// Merkle Tree Certificates, section 4.4.3, step 1.
#[test]
fn a_subtree_beyond_the_tree_is_neither_proven_nor_verified() {
    let tree = Tree::new(&leaves(13));
    let subtree = Subtree::new(8, 13).unwrap();
    let (end, size) = (LeafIndex(13), TreeSize(12));
    let refused = SubtreeProof::build(&tree, &Rfc6962Sha256, subtree, size);
    assert_eq!(refused, Err(ProveError::SubtreeBeyondSize { end, size }));
    let proof = SubtreeProof::from_hashes(vec![]);
    let refused = proof.verify(&Rfc6962Sha256, subtree, &[0; 32], &tree.head(12));
    assert_eq!(refused, Err(VerifyError::SubtreeBeyondSize { end, size }));
    assert_eq!(SubtreeProof::expected_hashes(subtree, size), None);
}

/// Merkle Tree Certificates, section 4.4.3, step 2.
#[test]
fn an_empty_subtree_is_proven_by_no_hash_and_has_the_hash_of_nothing_as_root() {
    let tree = Tree::new(&leaves(13));
    let (subtree, head) = (Subtree::new(5, 5).unwrap(), tree.head(13));
    let empty = SubtreeProof::from_hashes(vec![]);
    empty.verify(&Rfc6962Sha256, subtree, &mth(&[]), &head).unwrap();
    let refused = empty.verify(&Rfc6962Sha256, subtree, &[0; 32], &head);
    assert!(matches!(refused, Err(VerifyError::RootMismatch { .. })));
    let more = SubtreeProof::from_hashes(vec![[0; 32]]);
    let refused = more.verify(&Rfc6962Sha256, subtree, &mth(&[]), &head);
    assert_eq!(refused, Err(VerifyError::HashCount { expected: 0, found: 1 }));
}

#[cfg(feature = "std")]
#[test]
fn a_snapshot_proves_subtrees_at_all_its_sizes_and_says_why_it_does_not() {
    use duramen::{Arity, Error, MemoryAccumulator};

    let tree = Tree::new(&leaves(40));
    let mut log = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
    log.extend(tree.leaves()).unwrap();
    let snapshot = log.snapshot();
    for size in 0..=40 {
        for subtree in all(size) {
            let root = snapshot.subtree_root(subtree).unwrap();
            assert_eq!(root, mth(&tree.leaves()[range(subtree)]));
            let proof = snapshot.prove_subtree(subtree, size).unwrap();
            let head = snapshot.head_at(size).unwrap();
            proof.verify(&Rfc6962Sha256, subtree, &root, &head).unwrap();
            for index in range(subtree) {
                let proof = snapshot.prove_in_subtree(index as u64, subtree).unwrap();
                let leaf = &tree.leaves()[index];
                subtree
                    .verify_inclusion(&Rfc6962Sha256, &root, index as u64, leaf, &proof)
                    .unwrap();
            }
        }
    }
    let beyond = Subtree::new(40, 41).unwrap();
    assert!(matches!(snapshot.subtree_root(beyond), Err(Error::SizeOutOfRange { .. })));
    assert!(matches!(snapshot.prove_subtree(beyond, 40), Err(Error::SizeOutOfRange { .. })));
    let outside = snapshot.prove_in_subtree(7, Subtree::new(8, 13).unwrap());
    assert!(matches!(outside, Err(Error::OutsideSubtree { .. })));
    let wide = MemoryAccumulator::<Rfc6962Sha256, 4>::new().snapshot();
    let refused = wide.subtree_root(Subtree::whole(TreeSize(0)));
    assert!(matches!(refused, Err(Error::NoSubtrees { arity: Arity::Four })));
}

proptest! {
    /// Merkle Tree Certificates, section 4.4.3: nothing else than the proof is accepted.
    #[test]
    fn a_proof_with_any_change_is_refused_by_the_library_and_by_the_steps_of_the_draft(
        size in 1_u64..200,
        (start, end) in (0_u64..200, 0_u64..200),
        change in 0_usize..8,
        at in any::<usize>(),
    ) {
        let tree = Tree::new(&(0..200_u8).map(|data| [data; 32]).collect::<Vec<_>>());
        let [subtree, _] = Subtree::covering(start.min(end) % size, end.max(start) % size + 1)
            .or_else(|_| Subtree::covering(0, size)).unwrap();
        let mut head = tree.head(usize::try_from(size).unwrap());
        let mut root = mth(&tree.leaves()[range(subtree)]);
        let proof = SubtreeProof::build(&tree, &Rfc6962Sha256, subtree, head.size).unwrap();
        prop_assert!(proof.verify(&Rfc6962Sha256, subtree, &root, &head).is_ok());
        let mut hashes = proof.into_hashes();
        let mut changed = subtree;
        let len = hashes.len();
        match change {
            0 => root[at % 32] ^= 1,
            1 => head.root[at % 32] ^= 1,
            2 if len > 0 => hashes[at % len][3] ^= 1,
            3 if len > 0 => { hashes.remove(at % len); }
            4 => hashes.insert(at % (len + 1), [7; 32]),
            5 if len > 1 && at % len != len - 1 => hashes.swap(at % len, at % len + 1),
            6 => changed = Subtree::covering(0, size).unwrap()[0],
            _ => changed = Subtree::new(size - 1, size).unwrap(),
        }
        let pair = (changed.start().get(), changed.end().get());
        let slow = subtree_verifies(head.size.get(), pair, &hashes, &root, &head.root);
        let proof = SubtreeProof::from_hashes(hashes);
        let fast = proof.verify(&Rfc6962Sha256, changed, &root, &head).is_ok();
        prop_assert_eq!(fast, slow);
        prop_assert!(!fast || changed == subtree);
    }

    /// Merkle Tree Certificates, section 4.4.3: any bytes, any numbers.
    #[test]
    fn verification_is_total_and_agrees_with_the_steps_of_the_draft_for_all_sizes(
        bits in (0_u32..64, 0_u32..64),
        numbers in (any::<u64>(), any::<u64>()),
        hashes in prop::collection::vec(any::<Hash>(), 0..70),
        fit in any::<bool>(),
    ) {
        let size = (numbers.0 >> bits.0).max(1);
        let at = (numbers.1 >> bits.1) % size;
        let [left, right] = Subtree::covering(at, size).unwrap();
        for subtree in [left, right, Subtree::whole(TreeSize(at))] {
            let mut hashes = hashes.clone();
            let expected = SubtreeProof::expected_hashes(subtree, TreeSize(size)).unwrap();
            prop_assert!(expected <= 65);
            if fit {
                hashes.resize(expected, [5; 32]);
            }
            let (root, head) = ([1; 32], TreeHead { size: TreeSize(size), root: [2; 32] });
            let pair = (subtree.start().get(), subtree.end().get());
            prop_assert!(!subtree_verifies(size, pair, &hashes, &root, &head.root));
            let proof = SubtreeProof::from_hashes(hashes);
            let refused = proof.verify(&Rfc6962Sha256, subtree, &root, &head);
            match refused {
                Err(VerifyError::HashCount { .. }) => prop_assert_ne!(proof.hashes().len(), expected),
                Err(VerifyError::RootMismatch { .. }) => {}
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
