//! The hashers behind features, against published values and the definitions that they document.

use duramen::merkle::VerifyError;
use duramen::{
    Accumulator, Arity, Config, Error, Hash, Hasher, InclusionProof, Keccak256, LeafIndex,
    MemoryAccumulator, PoseidonBn254, TreeHead, TreeSize,
};

fn hash(hex: &str) -> Hash {
    format!("0:{hex}").parse::<TreeHead>().unwrap().root
}

fn number(value: u8) -> Hash {
    let mut bytes = [0; 32];
    bytes[31] = value;
    bytes
}

/// The order of the field less one: its largest element.
fn largest() -> Hash {
    hash("30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000000")
}

#[test]
fn keccak_is_the_one_of_ethereum() {
    // keccak256("") and keccak256 of 64 zero bytes, as every Ethereum tool prints them.
    let empty = hash("c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
    let zeros = hash("ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5");
    assert_eq!(Keccak256.node(&[]), empty);
    assert_eq!(Keccak256.node(&[[0; 32]; 2]), zeros);
    assert_eq!(Keccak256.leaf(b""), Keccak256.node(&[empty]));
    assert_eq!(Keccak256.id().as_str(), "keccak256");
}

#[test]
fn poseidon_is_the_one_of_circom() {
    let two = hash("115cc0f5e7d690413df64c6b9662e9cf2a3617f2743245519e19607a4417189a");
    let four = hash("299c867db6c1fdd79dcefa40e4510b9837e60ebb1ce0663dbaa525df65250465");
    assert_eq!(PoseidonBn254.node(&[number(1), number(2)]), two);
    assert_eq!(PoseidonBn254.node(&[number(1), number(2), number(3), number(4)]), four);
    assert_eq!(PoseidonBn254.id().as_str(), "poseidon-bn254");
}

#[test]
fn a_poseidon_node_of_more_than_twelve_children_is_that_of_its_halves() {
    let children: Vec<Hash> = (1..=16).map(number).collect();
    for count in 13..=16 {
        let (left, right) = children[..count].split_at(8);
        let halves = [PoseidonBn254.node(left), PoseidonBn254.node(right)];
        assert_eq!(PoseidonBn254.node(&children[..count]), PoseidonBn254.node(&halves));
    }
    let mut all: Vec<_> = (1..=16).map(|count| PoseidonBn254.node(&children[..count])).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 16, "every number of children has a function of its own");
}

#[test]
fn leaves_of_raw_data_are_field_elements_and_pinned() {
    for data in [&b""[..], b"a", &[0xff; 1000]] {
        assert_eq!(PoseidonBn254.first_refused(&[PoseidonBn254.leaf(data)]), None);
    }
    let mut wide = [0; 64];
    let mut xof = blake3::Hasher::new_derive_key(PoseidonBn254::LEAF_CONTEXT);
    xof.update(b"a").finalize_xof().fill(&mut wide);
    assert_eq!(PoseidonBn254.leaf(b"a"), modulo(&wide));
}

/// The remainder of a big-endian number by the order of the field: bit by bit.
fn modulo(wide: &[u8]) -> Hash {
    let mut modulus = largest();
    modulus[31] += 1;
    let mut rest = [0; 32];
    for bit in wide.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if rest >= modulus {
            let mut borrow = false;
            for (byte, part) in rest.iter_mut().zip(modulus).rev() {
                let (once, first) = byte.overflowing_sub(part);
                let (twice, second) = once.overflowing_sub(u8::from(borrow));
                (*byte, borrow) = (twice, first || second);
            }
        }
    }
    rest
}

#[test]
fn a_leaf_outside_the_field_is_refused_by_trees_stores_frontiers_and_verification() {
    let mut beyond = largest();
    beyond[31] += 1;
    let good = [number(0), largest()];
    assert_eq!(PoseidonBn254.first_refused(&good), None);
    assert_eq!(PoseidonBn254.first_refused(&[good[0], good[1], beyond, beyond]), Some(2));

    let mut tree = MemoryAccumulator::<PoseidonBn254, 2>::new();
    tree.extend(&good).unwrap();
    match tree.extend(&[number(3), beyond]) {
        Err(error @ Error::LeafRefused { position: 1, .. }) => assert_eq!(
            error.to_string(),
            "leaf 1 of the batch is not a valid input of hasher poseidon-bn254 of the tree \"main\""
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(tree.size(), TreeSize(2), "nothing of the batch is there");

    let dir = tempfile::tempdir().unwrap();
    let store = Accumulator::<PoseidonBn254, 2>::open(Config::new(dir.path())).unwrap();
    assert!(matches!(store.insert([0xff; 32]), Err(Error::LeafRefused { .. })));
    store.insert_many(&good).unwrap();
    assert_eq!(store.head().unwrap(), tree.head().unwrap());
    assert!(tree.snapshot().frontier().unwrap().append(&PoseidonBn254, beyond).is_err());

    // The same number modulo the order must not pass for the leaf 0.
    let (head, proof) = (tree.head().unwrap(), tree.prove(0).unwrap());
    let verify = |proof: &InclusionProof, leaf: Hash| {
        proof.verify(&PoseidonBn254, Arity::Two, &head, LeafIndex(0), &leaf)
    };
    verify(&proof, number(0)).unwrap();
    assert_eq!(verify(&proof, beyond), Err(VerifyError::RefusedValue { value: beyond }));
    let forged = InclusionProof::from_siblings(vec![[0xff; 32]]);
    assert!(matches!(verify(&forged, number(0)), Err(VerifyError::RefusedValue { .. })));
}

/// The LeanIMT of zk-kit, as its documentation describes it: levels of nodes, a node without a
/// right sibling is lifted.
struct LeanImt<'a>(&'a dyn Hasher, Vec<Vec<Hash>>);

/// A proof there: `index` holds the turns at the levels with a sibling, the lowest first.
struct LeanProof {
    index: usize,
    siblings: Vec<Hash>,
}

impl<'a> LeanImt<'a> {
    fn new(hasher: &'a dyn Hasher, leaves: &[Hash]) -> Self {
        let mut levels = vec![leaves.to_vec()];
        while levels.last().unwrap().len() > 1 {
            let parent = |pair: &[Hash]| if let [one] = pair { *one } else { hasher.node(pair) };
            levels.push(levels.last().unwrap().chunks(2).map(parent).collect());
        }
        Self(hasher, levels)
    }

    fn root(&self) -> Hash {
        self.1.last().unwrap()[0]
    }

    fn prove(&self, leaf: usize) -> LeanProof {
        let mut proof = LeanProof { index: 0, siblings: Vec::new() };
        for (level, nodes) in self.1.iter().enumerate() {
            let own = leaf >> level;
            if let Some(sibling) = nodes.get(own ^ 1) {
                proof.index |= (own & 1) << proof.siblings.len();
                proof.siblings.push(*sibling);
            }
        }
        proof
    }

    fn verify(&self, proof: &LeanProof, leaf: Hash) -> bool {
        let step = |node: Hash, (at, sibling): (usize, &Hash)| {
            let right = proof.index >> at & 1 == 1;
            self.0.node(&if right { [*sibling, node] } else { [node, *sibling] })
        };
        proof.siblings.iter().enumerate().fold(leaf, step) == self.root()
    }
}

#[test]
fn roots_and_siblings_are_those_of_a_lean_imt_with_the_same_hash() {
    let leaves: Vec<Hash> = (1..=40).map(number).collect();
    let mut keccak = MemoryAccumulator::<Keccak256, 2>::new();
    let mut poseidon = MemoryAccumulator::<PoseidonBn254, 2>::new();
    for (at, leaf) in leaves.iter().enumerate() {
        keccak.push(*leaf).unwrap();
        poseidon.push(*leaf).unwrap();
        let snapshots: [(&dyn Hasher, _); 2] =
            [(&Keccak256, keccak.snapshot()), (&PoseidonBn254, poseidon.snapshot())];
        for (hasher, snapshot) in snapshots {
            let lean = LeanImt::new(hasher, &leaves[..=at]);
            assert_eq!(snapshot.head().unwrap().root, lean.root());
            for index in [0, at / 2, at] {
                let theirs = lean.prove(index);
                let ours = snapshot.prove(index as u64).unwrap();
                assert_eq!(ours.siblings(), theirs.siblings);
                assert!(lean.verify(&theirs, leaves[index]));
            }
        }
    }
}

#[test]
fn proofs_of_every_arity_hold() {
    fn check<H: Hasher + Default, const N: usize>() {
        let leaves: Vec<Hash> = (0..50).map(number).collect();
        let mut tree = MemoryAccumulator::<H, N>::new();
        tree.extend(&leaves).unwrap();
        let snapshot = tree.snapshot();
        let (old, new) = (snapshot.head_at(23).unwrap(), snapshot.head().unwrap());
        for (index, leaf) in (0..).zip(&leaves) {
            let proof = snapshot.prove(index).unwrap();
            Accumulator::<H, N>::verify(&new, index, leaf, &proof).unwrap();
        }
        let growth = snapshot.prove_consistency(23).unwrap();
        Accumulator::<H, N>::verify_consistency(&old, &new, &growth).unwrap();
    }
    check::<Keccak256, 2>();
    check::<Keccak256, 4>();
    check::<Keccak256, 8>();
    check::<Keccak256, 16>();
    check::<PoseidonBn254, 2>();
    check::<PoseidonBn254, 4>();
    check::<PoseidonBn254, 8>();
    check::<PoseidonBn254, 16>();
}
