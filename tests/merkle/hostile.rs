//! What a hostile proof can make a verifier do: no more than a few hashes per level, and none at all
//! if it has the wrong number of hashes.

use std::sync::atomic::{AtomicUsize, Ordering};

use duramen::merkle::{MAX_DEPTH, Shape};
use duramen::{
    Arity, Blake3, ConsistencyProof, Hash, Hasher, HasherId, InclusionProof, LeafIndex, MultiProof,
    TreeHead, TreeSize,
};
use proptest::prelude::*;

/// Counts how many nodes it hashed.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    fn taken(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Hasher for Counting {
    fn id(&self) -> HasherId {
        Blake3.id()
    }

    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }

    fn node(&self, children: &[Hash]) -> Hash {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!((2..=Arity::MAX).contains(&children.len()), "{} children", children.len());
        Blake3.node(children)
    }

    fn empty_root(&self) -> Hash {
        Blake3.empty_root()
    }
}

fn head(size: u64) -> TreeHead {
    TreeHead { size: TreeSize(size), root: [0x5a; 32] }
}

/// Offers proofs with the right number of hashes, one fewer and one more.
fn offer(
    expected: usize,
    verify: impl Fn(Vec<Hash>) -> bool,
    hashed: impl Fn() -> usize,
    most: usize,
) {
    for count in [Some(expected), expected.checked_sub(1), Some(expected + 1)].into_iter().flatten()
    {
        assert!(!verify(vec![[7; 32]; count]), "an invented proof of {count} hashes verifies");
        let most = if count == expected { most } else { 0 };
        let hashed = hashed();
        assert!(hashed <= most, "{hashed} hashes, at most {most} are right");
    }
}

fn check(arity: Arity, old: u64, new: u64, index: u64) {
    let hasher = Counting::default();
    let shape = Shape::new(arity, TreeSize(new));
    let depth = usize::from(shape.depth().0);
    assert!(depth * arity.bits() as usize <= MAX_DEPTH + arity.bits() as usize);
    if index < new {
        let index = LeafIndex(index);
        offer(
            shape.inclusion_siblings(index),
            |hashes| {
                let proof = InclusionProof::from_siblings(hashes);
                proof.verify(&hasher, arity, &head(new), index, &[1; 32]).is_ok()
            },
            || hasher.taken(),
            depth,
        );
        let indexes = [LeafIndex(0), index, LeafIndex(new - 1)];
        offer(
            MultiProof::expected_hashes(shape, &indexes).unwrap(),
            |hashes| {
                let leaves = indexes.map(|index| (index, [1; 32]));
                MultiProof::from_hashes(hashes).verify(&hasher, arity, &head(new), &leaves).is_ok()
            },
            || hasher.taken(),
            3 * depth,
        );
    }
    if 0 < old && old < new {
        offer(
            ConsistencyProof::expected_hashes(arity, TreeSize(old), TreeSize(new)).unwrap(),
            |hashes| {
                let proof = ConsistencyProof::from_hashes(hashes);
                proof.verify(&hasher, arity, &head(old), &head(new)).is_ok()
            },
            || hasher.taken(),
            2 * depth,
        );
    }
}

#[test]
fn invented_proofs_cost_a_few_hashes_per_level_at_every_size_up_to_64() {
    for arity in Arity::ALL {
        for new in 0..=64 {
            for other in 0..=new {
                check(arity, other, new, other);
            }
        }
    }
}

#[test]
fn invented_proofs_cost_a_few_hashes_per_level_around_every_power_of_two() {
    for arity in Arity::ALL {
        let sizes: Vec<u64> = (0..64)
            .flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1])
            .chain([u64::MAX - 1, u64::MAX])
            .collect();
        for &new in &sizes {
            for &old in sizes.iter().filter(|old| **old <= new) {
                check(arity, old, new, old);
            }
        }
    }
}

proptest! {
    #[test]
    fn invented_proofs_cost_a_few_hashes_per_level_at_any_size(
        arity in prop::sample::select(Arity::ALL.as_slice()),
        old: u64,
        new: u64,
        index: u64,
        shift in 0_u32..64,
    ) {
        check(arity, old >> shift, new >> shift, index >> shift);
    }
}
