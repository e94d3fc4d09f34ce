//! The profile of RFC 6962 against two independent implementations, in both directions: our proofs
//! through their verifiers, their proofs through ours.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use duramen::{
    Accumulator, ConsistencyProof, Hash, Hasher, InclusionProof, MemoryAccumulator, Rfc6962Sha256,
    Snapshot, TreeHead, TreeSize,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

type Log = Accumulator<Rfc6962Sha256, 2>;
type Digest = sha2::Sha256;

fn entry(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn leaf(index: u64) -> Hash {
    Rfc6962Sha256.leaf(&entry(index))
}

fn ours(size: u64) -> Snapshot {
    let mut tree = MemoryAccumulator::<Rfc6962Sha256, 2>::new();
    let leaves: Vec<_> = (0..size).map(leaf).collect();
    tree.extend(&leaves).unwrap();
    tree.snapshot()
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    let (hashes, []) = bytes.as_chunks() else { panic!("{} bytes", bytes.len()) };
    hashes.to_vec()
}

#[test]
fn every_pair_up_to_130_agrees_with_ct_merkle_in_both_directions() {
    let ours = ours(130);
    let mut theirs = MemoryBackedTree::<Digest, [u8; 8]>::new();
    let mut roots = Vec::new();
    for size in 0..=130 {
        if size > 0 {
            theirs.push(entry(size - 1));
        }
        let (head, root) = (ours.head_at(size).unwrap(), theirs.root());
        assert_eq!(head.root.as_slice(), root.as_bytes().as_slice(), "size {size}");
        roots.push((head, root.clone()));

        for index in 0..size {
            let their = theirs.prove_inclusion(usize::try_from(index).unwrap());
            let our = ours.prove_at(index, size).unwrap();
            assert_eq!(our.siblings().as_flattened(), their.as_bytes(), "{index} in {size}");
            let proof = InclusionProof::from_siblings(hashes(their.as_bytes()));
            Log::verify(&head, index, &leaf(index), &proof).unwrap();
            let proof = ct_merkle::InclusionProof::<Digest>::from_bytes(
                our.siblings().as_flattened().to_vec(),
            );
            root.verify_inclusion(&entry(index), index, &proof).unwrap();
            assert!(root.verify_inclusion(&entry(index + 1), index, &proof).is_err());
        }

        // Their trees refuse to be grown from nothing.
        for old in 1..=size {
            let (old_head, old_root) = &roots[usize::try_from(old).unwrap()];
            let their = theirs.prove_consistency(usize::try_from(size - old).unwrap());
            let our = ours.prove_consistency_between(old, size).unwrap();
            assert_eq!(our.hashes().as_flattened(), their.as_bytes(), "{old} to {size}");
            let proof = ConsistencyProof::from_hashes(hashes(their.as_bytes()));
            Log::verify_consistency(old_head, &head, &proof).unwrap();
            let bytes = our.hashes().as_flattened().to_vec();
            let proof = ct_merkle::ConsistencyProof::<Digest>::try_from_bytes(bytes).unwrap();
            root.verify_consistency(old_root, &proof).unwrap();
        }
    }
}

/// Their tree as the list of stored hashes that they compute themselves.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

impl Stored {
    fn new(size: u64) -> Self {
        let mut stored = Self(Vec::new());
        for index in 0..size {
            let more = tlog_tiles::stored_hashes(index, &entry(index), &stored).unwrap();
            stored.0.extend(more);
        }
        stored
    }

    fn head(&self, size: u64) -> TreeHead {
        let root = tlog_tiles::tree_hash(size, self).unwrap().0;
        TreeHead { size: TreeSize(size), root }
    }
}

fn to_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(*hash)).collect()
}

fn to_ours(hashes: &[tlog_tiles::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

/// Compares roots, both kinds of proof and both verifiers at sizes 0 < old <= new and an index below
/// new.
fn agree(ours: &Snapshot, theirs: &Stored, old: u64, new: u64, index: u64) {
    let (old_head, head) = (theirs.head(old), theirs.head(new));
    assert_eq!(ours.head_at(new).unwrap(), head);
    let theirs_of = |head: &TreeHead| tlog_tiles::Hash(head.root);

    let their = tlog_tiles::prove_record(new, index, theirs).unwrap();
    let our = ours.prove_at(index, new).unwrap();
    assert_eq!(our.siblings(), to_ours(&their), "{index} in {new}");
    Log::verify(&head, index, &leaf(index), &InclusionProof::from_siblings(to_ours(&their)))
        .unwrap();
    let proof = to_theirs(our.siblings());
    let record = tlog_tiles::Hash(leaf(index));
    tlog_tiles::check_record(&proof, new, theirs_of(&head), index, record).unwrap();

    let their = tlog_tiles::prove_tree(new, old, theirs).unwrap();
    let our = ours.prove_consistency_between(old, new).unwrap();
    assert_eq!(our.hashes(), to_ours(&their), "{old} to {new}");
    let proof = ConsistencyProof::from_hashes(to_ours(&their));
    Log::verify_consistency(&old_head, &head, &proof).unwrap();
    let proof = to_theirs(our.hashes());
    tlog_tiles::check_tree(&proof, new, theirs_of(&head), old, theirs_of(&old_head)).unwrap();
}

#[test]
fn every_pair_up_to_130_agrees_with_tlog_tiles_in_both_directions() {
    let (ours, theirs) = (ours(130), Stored::new(130));
    for new in 1..=130 {
        for old in 1..=new {
            agree(&ours, &theirs, old, new, old - 1);
        }
    }
    assert_eq!(ours.head_at(0).unwrap().root, tlog_tiles::EMPTY_HASH.0);
}

#[test]
fn random_pairs_up_to_a_million_agree_with_tlog_tiles_in_both_directions() {
    const SIZE: u64 = 1_000_000;
    let (ours, theirs) = (ours(SIZE), Stored::new(SIZE));
    let power = (0..20_u32).prop_map(|bits| 1_u64 << bits);
    let size = prop_oneof![
        1..=SIZE,
        1..=SIZE,
        power.prop_flat_map(|power| power.saturating_sub(2).max(1)..=(power + 2).min(SIZE)),
    ];
    TestRunner::new(ProptestConfig { cases: 500, ..ProptestConfig::default() })
        .run(&(size.clone(), size, any::<prop::sample::Index>()), |(a, b, index)| {
            let (old, new) = (a.min(b), a.max(b));
            let index = index.index(usize::try_from(new).unwrap()) as u64;
            agree(&ours, &theirs, old, new, index);
            Ok(())
        })
        .unwrap();
    agree(&ours, &theirs, 1, SIZE, SIZE - 1);
    agree(&ours, &theirs, SIZE - 1, SIZE, 0);
}

#[test]
fn a_proof_from_size_0_is_ours_alone_as_documented() {
    let ours = ours(7);
    let (nothing, head) = (ours.head_at(0).unwrap(), ours.head().unwrap());
    let proof = ours.prove_consistency(0).unwrap();
    assert!(proof.hashes().is_empty());
    proof.verify(&Rfc6962Sha256, duramen::Arity::Two, &nothing, &head).unwrap();

    let mut theirs = MemoryBackedTree::<Digest, [u8; 8]>::new();
    let empty = theirs.root();
    (0..7).for_each(|index| theirs.push(entry(index)));
    let none = ct_merkle::ConsistencyProof::<Digest>::try_from_bytes(Vec::new()).unwrap();
    assert!(matches!(
        theirs.root().verify_consistency(&empty, &none),
        Err(ct_merkle::ConsistencyVerifError::OldTreeEmpty)
    ));
    let hash = tlog_tiles::Hash;
    assert!(tlog_tiles::check_tree(&vec![], 7, hash(head.root), 0, hash(nothing.root)).is_err());
}
