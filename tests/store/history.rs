//! Proofs and frontiers of every size a tree had, from nodes in memory and in parts.

use std::sync::Arc;

use duramen::{
    Accumulator, Arity, Blake3, CheckpointPolicy, Config, ConsistencyProof, DynAccumulator, Error,
    FlushPolicy, Hash, Hasher, LeafIndex, MemoryAccumulator, MultiProof, Rfc6962Sha256, Snapshot,
    TreeHead, TreeSize, VerifyError,
};
use testkit::stores::{leaves, root_of};

/// Parts end, and memory begins, inside groups of siblings on every level.
const CHECKPOINTS: [usize; 6] = [3, 20, 21, 64, 100, 141];
const LEAVES: usize = 150;

fn store(
    dir: &std::path::Path,
    hasher: Arc<dyn Hasher>,
    arity: Arity,
    all: &[Hash],
) -> DynAccumulator {
    let config = Config::new(dir)
        .flush_policy(FlushPolicy::Manual)
        .checkpoint_policy(CheckpointPolicy::manual());
    let store = DynAccumulator::open(config, hasher, arity).unwrap();
    for (at, leaf) in all.iter().enumerate() {
        store.insert(*leaf).unwrap();
        if CHECKPOINTS.contains(&at) {
            store.checkpoint().unwrap();
        }
    }
    store
}

fn in_memory(hasher: &dyn Hasher, arity: Arity, all: &[Hash]) -> Snapshot {
    fn of<H: Hasher + Default, const N: usize>(all: &[Hash]) -> Snapshot {
        let mut tree = MemoryAccumulator::<H, N>::new();
        tree.extend(all).unwrap();
        tree.snapshot()
    }
    let blake3 = hasher.id() == Blake3.id();
    match arity {
        Arity::Two if blake3 => of::<Blake3, 2>(all),
        Arity::Four if blake3 => of::<Blake3, 4>(all),
        Arity::Eight if blake3 => of::<Blake3, 8>(all),
        Arity::Sixteen if blake3 => of::<Blake3, 16>(all),
        Arity::Two => of::<Rfc6962Sha256, 2>(all),
        Arity::Four => of::<Rfc6962Sha256, 4>(all),
        Arity::Eight => of::<Rfc6962Sha256, 8>(all),
        Arity::Sixteen => of::<Rfc6962Sha256, 16>(all),
        other => panic!("arity {other}"),
    }
}

/// Runs `check` with a store of every kind, its memory-only twin, its leaves and all its heads.
fn with_every_kind(check: impl Fn(&DynAccumulator, &Snapshot, &[Hash], &[TreeHead])) {
    let hashers: [Arc<dyn Hasher>; 2] = [Arc::new(Blake3), Arc::new(Rfc6962Sha256)];
    for hasher in hashers {
        for arity in Arity::ALL {
            let dir = tempfile::tempdir().unwrap();
            let all = leaves(LEAVES, 7);
            let store = store(dir.path(), hasher.clone(), arity, &all);
            let memory = in_memory(&*hasher, arity, &all);
            let heads: Vec<_> = (0..=all.len())
                .map(|size| TreeHead {
                    size: TreeSize(size as u64),
                    root: root_of(&*hasher, arity, &all[..size]),
                })
                .collect();
            check(&store, &memory, &all, &heads);
        }
    }
}

#[test]
fn any_size_is_proven_a_prefix_of_any_later_one_across_parts_and_memory() {
    with_every_kind(|store, memory, _, heads| {
        let snapshot = store.snapshot();
        for new in heads {
            for old in &heads[..=usize::try_from(new.size.0).unwrap()] {
                let proof = snapshot.prove_consistency_between(old.size, new.size).unwrap();
                proof.verify(store.hasher(), store.arity(), old, new).unwrap();
                let twin = memory.prove_consistency_between(old.size, new.size).unwrap();
                assert_eq!(proof, twin, "{} to {}", old.size, new.size);
            }
        }
        for old in heads {
            let proof = snapshot.prove_consistency(old.size).unwrap();
            assert_eq!(proof, store.prove_consistency(old.size).unwrap());
            proof.verify(store.hasher(), store.arity(), old, heads.last().unwrap()).unwrap();
        }
    });
}

#[test]
fn many_leaves_are_proven_at_any_size_in_one_proof_across_parts_and_memory() {
    with_every_kind(|store, memory, all, heads| {
        let snapshot = store.snapshot();
        for head in &heads[1..] {
            let size = head.size.0;
            let every = |step: u64| (0..size).step_by(usize::try_from(step).unwrap());
            let sets: [Vec<u64>; 6] = [
                vec![size - 1],
                vec![size - 1, 0, size / 2, 0],
                every(1).collect(),
                every(7).collect(),
                (0..size).rev().filter(|index| index % 17 == 0).collect(),
                (size / 3..size / 2 + 1).collect(),
            ];
            for set in sets {
                let indexes: Vec<_> = set.into_iter().map(LeafIndex).collect();
                let proof = snapshot.prove_many_at(&indexes, head.size).unwrap();
                let leaf = |index: LeafIndex| all[usize::try_from(index.0).unwrap()];
                let leaves: Vec<_> = indexes.iter().map(|index| (*index, leaf(*index))).collect();
                proof.verify(store.hasher(), store.arity(), head, &leaves).unwrap();
                assert_eq!(proof, memory.prove_many_at(&indexes, head.size).unwrap());
                if head == heads.last().unwrap() {
                    assert_eq!(proof, snapshot.prove_many(&indexes).unwrap());
                    assert_eq!(proof, store.prove_many(&indexes).unwrap());
                    assert_eq!(proof, store.prove_many_at(&indexes, size).unwrap());
                }
            }
        }
    });
}

#[test]
fn the_frontier_of_any_size_gives_its_root_and_goes_on_to_the_next() {
    with_every_kind(|store, memory, all, heads| {
        let snapshot = store.snapshot();
        for (at, head) in heads.iter().enumerate() {
            let mut frontier = snapshot.frontier_at(head.size).unwrap();
            assert_eq!(frontier, memory.frontier_at(head.size).unwrap());
            assert_eq!(frontier, store.frontier_at(head.size).unwrap());
            assert_eq!(frontier.head(store.hasher()), *head);
            frontier.append_many(store.hasher(), &all[at..]).unwrap();
            assert_eq!(frontier.head(store.hasher()), *heads.last().unwrap());
            assert_eq!(frontier, snapshot.frontier().unwrap());
            assert_eq!(frontier, store.frontier().unwrap());
        }
    });
}

#[test]
fn an_inclusion_proof_follows_the_tree_with_the_stores_consistency_proofs() {
    let dir = tempfile::tempdir().unwrap();
    let all = leaves(LEAVES, 8);
    let store = store(dir.path(), Arc::new(Blake3), Arity::Four, &all);
    let (leaf, mut head) = (all[5], store.head_at(6).unwrap());
    let mut proof = store.prove_at(5, 6).unwrap();
    for size in [7, 16, 17, 63, 64, 65, 149, 150] {
        let new = store.head_at(size).unwrap();
        let growth = store.prove_consistency_between(head.size, size).unwrap();
        let growth = duramen::Growth { old: &head, new: &new, proof: &growth };
        proof = proof.update(&Blake3, Arity::Four, growth, LeafIndex(5), &leaf).unwrap();
        assert_eq!(proof, store.prove_at(5, size).unwrap(), "size {size}");
        head = new;
    }
}

#[test]
fn what_a_snapshot_proves_does_not_move_with_the_tree() {
    let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    tree.extend(&leaves(10, 1)).unwrap();
    let snapshot = tree.snapshot();
    let head = snapshot.head().unwrap();
    tree.extend(&leaves(10, 2)).unwrap();
    assert_eq!(snapshot.frontier().unwrap().head(&Blake3), head);
    let proof = snapshot.prove_consistency(4).unwrap();
    let old = snapshot.head_at(4).unwrap();
    Accumulator::<Blake3, 4>::verify_consistency(&old, &head, &proof).unwrap();
    assert!(matches!(
        snapshot.prove_consistency_between(4, 11),
        Err(Error::SizeOutOfRange { size: TreeSize(11), current: TreeSize(10) })
    ));
}

#[test]
fn what_a_tree_does_not_have_is_refused_with_its_numbers() {
    let mut tree = MemoryAccumulator::<Blake3, 4>::new();
    tree.extend(&leaves(10, 1)).unwrap();
    let snapshot = tree.snapshot();
    let beyond = |result: Result<(), Error>| match result {
        Err(Error::SizeOutOfRange { size, current }) => (size.0, current.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(beyond(snapshot.prove_consistency(11).map(drop)), (11, 10));
    assert_eq!(beyond(snapshot.prove_consistency_between(1, 12).map(drop)), (12, 10));
    assert_eq!(beyond(snapshot.prove_many_at(&[LeafIndex(0)], u64::MAX).map(drop)), (u64::MAX, 10));
    assert_eq!(beyond(snapshot.frontier_at(13).map(drop)), (13, 10));
    match snapshot.prove_consistency_between(9, 8) {
        Err(error @ Error::OldBeyondNew { .. }) => assert_eq!(
            error.to_string(),
            "a tree of 9 leaves is larger than a tree of 8 leaves and cannot be its prefix"
        ),
        other => panic!("{other:?}"),
    }
    assert!(matches!(snapshot.prove_many(&[]), Err(Error::NoIndexes)));
    match snapshot.prove_many_at(&[LeafIndex(7), LeafIndex(2)], 7) {
        Err(Error::IndexOutOfRange { index: LeafIndex(7), size: TreeSize(7) }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_types_own_verification_refuses_what_does_not_hold() {
    type Tree = Accumulator<Rfc6962Sha256, 2>;
    let mut tree = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
    let all = leaves(9, 1);
    tree.extend(&all).unwrap();
    let snapshot = tree.snapshot();
    let (old, new) = (snapshot.head_at(5).unwrap(), snapshot.head().unwrap());

    let growth = snapshot.prove_consistency(5).unwrap();
    Tree::verify_consistency(&old, &new, &growth).unwrap();
    let forged = TreeHead { root: new.root, ..old };
    assert!(matches!(
        Tree::verify_consistency(&forged, &new, &growth),
        Err(VerifyError::RootMismatch { .. })
    ));
    let empty = ConsistencyProof::from_hashes(Vec::new());
    assert!(matches!(
        Tree::verify_consistency(&old, &new, &empty),
        Err(VerifyError::HashCount { .. })
    ));

    let proof = snapshot.prove_many(&[LeafIndex(1), LeafIndex(8)]).unwrap();
    Tree::verify_many(&new, &[(LeafIndex(8), all[8]), (LeafIndex(1), all[1])], &proof).unwrap();
    assert!(
        Tree::verify_many(&new, &[(LeafIndex(8), all[1]), (LeafIndex(1), all[8])], &proof).is_err()
    );
    let none = MultiProof::from_hashes(Vec::new());
    assert_eq!(Tree::verify_many(&new, &[], &none), Err(VerifyError::NoLeaves));
}
