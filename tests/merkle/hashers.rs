//! The hashers against the plain functions of their crates.

use duramen::merkle::{Arity, Blake3, Hash, Hasher, Rfc6962Sha256};
use proptest::prelude::*;
use testkit::reference;

#[test]
fn batches_of_every_length_equal_hashing_one_by_one() {
    let children: Vec<Hash> = reference::leaves(100 * Arity::MAX);
    for arity in Arity::ALL {
        let n = arity.children();
        for count in 0..=100 {
            let children = &children[..count * n];
            let mut blake3 = vec![[0; 32]; count];
            let mut sha256 = vec![[0; 32]; count];
            Blake3.nodes(arity, children, &mut blake3);
            Rfc6962Sha256.nodes(arity, children, &mut sha256);
            for (at, group) in children.chunks(n).enumerate() {
                assert_eq!(blake3[at], (reference::BLAKE3.node)(group), "{arity} {count} {at}");
                assert_eq!(blake3[at], Blake3.node(group));
                assert_eq!(sha256[at], (reference::RFC6962.node)(group));
            }
        }
    }
}

#[test]
fn nodes_of_every_number_of_children_are_the_plain_hash() {
    let children = reference::leaves(40);
    for count in 0..=children.len() {
        let group = &children[..count];
        assert_eq!(Blake3.node(group), (reference::BLAKE3.node)(group), "{count}");
        assert_eq!(Rfc6962Sha256.node(group), (reference::RFC6962.node)(group), "{count}");
    }
}

#[test]
fn leaves_of_every_short_length_are_the_derived_key_and_the_prefixed_hash() {
    let data: Vec<u8> = (0..2100_u32).map(|i| (i * 7 % 251) as u8).collect();
    for len in 0..data.len() {
        let data = &data[..len];
        assert_eq!(Blake3.leaf(data), blake3::derive_key("duramen 2026-11 leaf data v1", data));
        assert_eq!(Rfc6962Sha256.leaf(data), reference::sha256(&[&[0], data].concat()));
    }
}

/// The hashers of this build, and one from outside that has a leaf function and no more.
fn hashers() -> Vec<Box<dyn Hasher>> {
    struct Plain;
    impl Hasher for Plain {
        fn id(&self) -> duramen::HasherId {
            duramen::HasherId::new("plain")
        }
        fn leaf(&self, data: &[u8]) -> Hash {
            reference::sha256(data)
        }
        fn node(&self, children: &[Hash]) -> Hash {
            reference::sha256(children.as_flattened())
        }
        fn empty_root(&self) -> Hash {
            [0; 32]
        }
    }
    vec![
        Box::new(Blake3),
        Box::new(Rfc6962Sha256),
        #[cfg(feature = "keccak")]
        Box::new(duramen::Keccak256),
        #[cfg(feature = "poseidon")]
        Box::new(duramen::PoseidonBn254),
        Box::new(Plain),
    ]
}

#[test]
fn a_leaf_in_pieces_is_the_leaf_of_the_whole_wherever_it_is_cut() {
    let data: Vec<u8> = (0..5000_u32).map(|i| (i * 7 % 251) as u8).collect();
    for hasher in hashers() {
        for len in [0, 1, 63, 64, 1024, 1025, 5000] {
            let data = &data[..len];
            for piece in [1, 7, 64, 1000, 5000] {
                let mut leaf = hasher.leaf_in_pieces();
                for piece in data.chunks(piece) {
                    leaf.update(piece);
                    leaf.update(b"");
                }
                assert_eq!(leaf.finish(), hasher.leaf(data), "{} {len} {piece}", hasher.id());
            }
        }
    }
}

#[test]
fn many_leaves_of_equal_and_of_mixed_lengths_are_those_hashed_one_by_one() {
    let data: Vec<u8> = (0..3000_u32).map(|i| (i * 7 % 251) as u8).collect();
    for hasher in hashers() {
        for (least, spread) in [(0, 1), (0, 300), (64, 1), (65, 1), (200, 1), (200, 3), (900, 300)]
        {
            for count in [0, 1, 2, 15, 16, 17, 100] {
                let of = |at: usize| &data[at..at + least + at * 31 % spread];
                let entries: Vec<&[u8]> = (0..count).map(of).collect();
                let mut leaves = vec![[0; 32]; count];
                hasher.leaves(&entries, &mut leaves);
                let one_by_one: Vec<_> = entries.iter().map(|entry| hasher.leaf(entry)).collect();
                assert_eq!(leaves, one_by_one, "{} {least} {spread} {count}", hasher.id());
            }
        }
        // Every number of whole blocks, and the ends of blocks and of the longest input for the vector kernel.
        for len in (0..1100).filter(|len| [0, 1, 63].contains(&(len % 64))) {
            let entries: Vec<&[u8]> = (0..16).map(|at| &data[at..at + len]).collect();
            let mut leaves = [[0; 32]; 16];
            hasher.leaves(&entries, &mut leaves);
            assert!(entries.iter().zip(leaves).all(|(entry, leaf)| hasher.leaf(entry) == leaf));
        }
    }
}

#[test]
#[should_panic(expected = "assertion")]
fn leaves_for_another_number_of_entries_panic_as_documented() {
    Blake3.leaves(&[b"one", b"two"], &mut [[0; 32]; 3]);
}

#[test]
#[should_panic(expected = "assertion")]
fn a_batch_that_is_not_whole_groups_panics_as_documented() {
    Blake3.nodes(Arity::Four, &reference::leaves(9), &mut [[0; 32]; 2]);
}

proptest! {
    #[test]
    fn random_batches_equal_hashing_one_by_one(
        arity in prop::sample::select(Arity::ALL.as_slice()),
        seed: u64,
        count in 0_usize..100,
    ) {
        let n = arity.children();
        let children: Vec<Hash> =
            (0..(count * n) as u64).map(|i| reference::leaf(seed.wrapping_add(i))).collect();
        let mut parents = vec![[0; 32]; count];
        Blake3.nodes(arity, &children, &mut parents);
        let one_by_one: Vec<Hash> =
            children.chunks(n).map(|group| (reference::BLAKE3.node)(group)).collect();
        prop_assert_eq!(parents, one_by_one);
    }

    #[test]
    fn random_data_gives_the_derived_key(data in prop::collection::vec(any::<u8>(), 0..5000)) {
        prop_assert_eq!(
            Blake3.leaf(&data),
            blake3::derive_key("duramen 2026-11 leaf data v1", &data)
        );
    }
}
