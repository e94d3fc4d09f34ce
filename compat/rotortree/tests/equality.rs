//! The same leaves give the same roots and the same proofs in both implementations.

use duramen::{
    Accumulator, Blake3, CheckpointPolicy, Config, FlushPolicy, Hash, LeafIndex, MemoryAccumulator,
};
use proptest::prelude::*;
use rotortree::{Blake3Hasher, LeanIMT};

const DEPTH: usize = 32;

type Rotor<const N: usize> = LeanIMT<Blake3Hasher, N, DEPTH>;

/// The leaf at `index`: bytes that look random and depend on nothing else.
fn leaf(index: u64) -> Hash {
    let mut leaf = [0; 32];
    for (word, salt) in leaf.chunks_exact_mut(8).zip(1u64..) {
        let mut z = (index * 4 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    leaf
}

fn leaves(from: u64, count: u64) -> Vec<Hash> {
    (from..from + count).map(leaf).collect()
}

/// rotortree's proof without its shape: the sibling hashes from the leaf upwards.
fn siblings<const N: usize>(tree: &Rotor<N>, index: u64) -> Vec<Hash> {
    let proof = tree.snapshot().generate_proof(index).unwrap();
    proof.levels[..proof.level_count]
        .iter()
        .flat_map(|level| &level.siblings[..usize::from(level.sibling_count)])
        .copied()
        .collect()
}

fn every_size_up_to_2000<const N: usize>() {
    let mut ours = MemoryAccumulator::<Blake3, N>::new();
    let mut theirs = Rotor::<N>::new(Blake3Hasher);
    assert_eq!((ours.size().get(), theirs.root()), (0, None));
    let mut roots = vec![ours.head().unwrap().root];
    for size in 1..=2000 {
        ours.push(leaf(size - 1)).unwrap();
        let root = theirs.insert(leaf(size - 1)).unwrap();
        let head = ours.head().unwrap();
        assert_eq!((head.size.get(), head.root), (size, root), "arity {N}");
        roots.push(root);

        let index = (size - 1) * 7 / 11;
        let proof = ours.prove(LeafIndex(index)).unwrap();
        assert_eq!(proof.siblings(), siblings(&theirs, index), "leaf {index} of {size}, arity {N}");
    }
    for (size, root) in (0..).zip(roots) {
        assert_eq!(ours.head_at(size).unwrap().root, root, "past size {size}, arity {N}");
    }
}

#[test]
fn at_every_size_up_to_2000_root_and_proof_are_the_same_with_2_children() {
    every_size_up_to_2000::<2>();
}

#[test]
fn at_every_size_up_to_2000_root_and_proof_are_the_same_with_4_children() {
    every_size_up_to_2000::<4>();
}

#[test]
fn at_every_size_up_to_2000_root_and_proof_are_the_same_with_8_children() {
    every_size_up_to_2000::<8>();
}

#[test]
fn at_every_size_up_to_2000_root_and_proof_are_the_same_with_16_children() {
    every_size_up_to_2000::<16>();
}

/// Sizes of batches: mostly small ones, a few large ones.
fn batches(most: usize) -> impl Strategy<Value = Vec<u64>> {
    let size = prop_oneof![4 => 1..40u64, 3 => 1..3_000u64, 1 => 3_000..60_000u64];
    prop::collection::vec(size, 1..most)
}

const TOTAL: u64 = 300_000;

fn random_batches<const N: usize>(sizes: &[u64]) {
    let mut ours = MemoryAccumulator::<Blake3, N>::new();
    let mut theirs = Rotor::<N>::new(Blake3Hasher);
    for size in sizes {
        let before = theirs.size();
        let batch = leaves(before, (*size).min(TOTAL - before));
        if batch.is_empty() {
            break;
        }
        ours.extend(&batch).unwrap();
        let root = theirs.insert_many(&batch).unwrap();
        assert_eq!(ours.head().unwrap().root, root, "{} leaves, arity {N}", theirs.size());
    }
    for index in [0, theirs.size() / 2, theirs.size() - 1] {
        let proof = ours.prove(LeafIndex(index)).unwrap();
        assert_eq!(proof.siblings(), siblings(&theirs, index), "leaf {index}, arity {N}");
    }
}

/// What happens to a store between two batches.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Flush,
    Checkpoint,
    Reopen,
}

fn a_stored_tree<const N: usize>(steps: &[(u64, Then)]) {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let config = Config::new(dir.path().join("store"))
            .flush_policy(FlushPolicy::Manual)
            .checkpoint_policy(CheckpointPolicy::manual());
        Accumulator::<Blake3, N>::open(config).unwrap()
    };
    let mut ours = open();
    let mut theirs = Rotor::<N>::new(Blake3Hasher);
    for (size, then) in steps {
        let batch = leaves(theirs.size(), *size);
        ours.insert_many(&batch).unwrap();
        let root = theirs.insert_many(&batch).unwrap();
        match then {
            Then::Nothing => {}
            Then::Flush => ours.flush().unwrap(),
            Then::Checkpoint => drop(ours.checkpoint().unwrap()),
            Then::Reopen => {
                ours.close().unwrap();
                ours = open();
            }
        }
        let head = ours.head().unwrap();
        assert_eq!((head.size.get(), head.root), (theirs.size(), root), "arity {N}");
        let index = theirs.size() * 7 / 11;
        let proof = ours.prove(LeafIndex(index)).unwrap();
        assert_eq!(proof.siblings(), siblings(&theirs, index), "leaf {index}, arity {N}");
    }
    ours.close().unwrap();
}

fn steps() -> impl Strategy<Value = Vec<(u64, Then)>> {
    let then = prop_oneof![
        Just(Then::Nothing),
        Just(Then::Flush),
        Just(Then::Checkpoint),
        Just(Then::Reopen)
    ];
    prop::collection::vec(
        (prop_oneof![4 => 1..40u64, 2 => 1..3_000u64, 1 => 3_000..30_000u64], then),
        1..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn after_random_batches_up_to_300_000_leaves_root_and_proofs_are_the_same(sizes in batches(60)) {
        random_batches::<2>(&sizes);
        random_batches::<4>(&sizes);
        random_batches::<8>(&sizes);
        random_batches::<16>(&sizes);
    }

    #[test]
    fn a_tree_that_is_stored_checkpointed_and_reopened_has_the_same_root_and_proofs(steps in steps()) {
        a_stored_tree::<2>(&steps);
        a_stored_tree::<4>(&steps);
        a_stored_tree::<8>(&steps);
        a_stored_tree::<16>(&steps);
    }
}
