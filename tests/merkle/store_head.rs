//! The commitment to all trees of a store, against its definition.

use duramen::merkle::codec::{ClaimError, DecodeError};
use duramen::merkle::{NamedHead, StoreHead, StoreHeadError, TreeName, TreeNameError, TreeProof};
use duramen::{Arity, Hash, LeafIndex, TreeHead, TreeSize, VerifyError};
use testkit::reference::BLAKE3;

/// Trees whose names sort otherwise than they were made.
fn trees(count: u64) -> Vec<NamedHead> {
    (0..count)
        .map(|number| NamedHead {
            name: TreeName::new(format!("tree {}", number * 7 % 64)).unwrap(),
            hasher: ["blake3", "rfc6962-sha256"][usize::from(number % 2 == 1)].to_owned(),
            arity: Arity::ALL[usize::try_from(number % 4).unwrap()],
            head: TreeHead {
                size: TreeSize(number * 1000),
                root: [u8::try_from(number).unwrap(); 32],
            },
        })
        .collect()
}

/// Straight from the text of FORMAT.md.
fn by_definition(trees: &[NamedHead]) -> Hash {
    let mut sorted: Vec<_> = trees.iter().collect();
    sorted.sort_by_key(|tree| tree.name.as_str().as_bytes());
    let leaf = |tree: &&NamedHead| {
        let name = tree.name.as_str().as_bytes();
        let hasher = tree.hasher.as_bytes();
        let mut fields = vec![u8::try_from(name.len()).unwrap()];
        fields.extend(name);
        fields.push(u8::try_from(hasher.len()).unwrap());
        fields.extend(hasher);
        fields.push(u8::try_from(tree.arity.children()).unwrap());
        fields.extend(tree.head.size.get().to_le_bytes());
        fields.extend(tree.head.root);
        blake3::derive_key("duramen 2026-11 head of a tree in a store", &fields)
    };
    let leaves: Vec<Hash> = sorted.iter().map(leaf).collect();
    let mut fields = (trees.len() as u64).to_le_bytes().to_vec();
    fields.extend(BLAKE3.root(2, &leaves));
    blake3::derive_key("duramen 2026-11 head of a store", &fields)
}

#[test]
fn the_commitment_is_the_defined_one_for_every_number_of_trees() {
    for count in 0..64 {
        let trees = trees(count);
        let head = StoreHead::new(trees.clone()).unwrap();
        assert_eq!(head.commitment(), by_definition(&trees), "{count} trees");
    }
}

#[test]
fn the_order_in_which_trees_are_given_does_not_matter() {
    let mut given = trees(20);
    let first = StoreHead::new(given.clone()).unwrap().commitment();
    given.reverse();
    assert_eq!(StoreHead::new(given).unwrap().commitment(), first);
}

#[test]
fn every_tree_of_every_store_is_proven_in_bytes_that_come_back_the_same() {
    for count in 1..40 {
        let head = StoreHead::new(trees(count)).unwrap();
        let commitment = head.commitment();
        for tree in head.trees() {
            let proof = head.prove(tree.name.as_str()).unwrap();
            let bytes = proof.encode().unwrap();
            let read = TreeProof::decode(&bytes).unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.verify(&commitment).unwrap(), &tree.head);
            assert_eq!(&read.tree, tree);
        }
        assert!(head.prove("another").is_none());
    }
}

#[test]
fn a_proof_with_any_changed_field_is_refused() {
    for count in 1..18 {
        let head = StoreHead::new(trees(count)).unwrap();
        let commitment = head.commitment();
        for tree in head.trees() {
            let proof = head.prove(tree.name.as_str()).unwrap();
            let refused = |change: &dyn Fn(&mut TreeProof)| {
                let mut changed = proof.clone();
                change(&mut changed);
                assert!(changed.verify(&commitment).is_err(), "{changed:?}");
            };
            refused(&|proof| proof.tree.name = TreeName::new("tree 77").unwrap());
            refused(&|proof| proof.tree.hasher.push('x'));
            refused(&|proof| proof.tree.hasher.clear());
            refused(&|proof| proof.tree.hasher = "x".repeat(300));
            refused(&|proof| proof.tree.head.size = TreeSize(proof.tree.head.size.get() ^ 1));
            refused(&|proof| proof.tree.head.root[31] ^= 1);
            refused(&|proof| {
                let other = |arity: &Arity| *arity != proof.tree.arity;
                proof.tree.arity = Arity::ALL.into_iter().find(other).unwrap();
            });
            for position in 0..count + 2 {
                if position != proof.position.get() {
                    refused(&|proof| proof.position = LeafIndex(position));
                }
            }
            for other in 0..count + 3 {
                if other != count {
                    refused(&|proof| proof.count = other);
                }
            }
            let mut other = commitment;
            other[0] ^= 0x80;
            assert!(matches!(proof.verify(&other), Err(VerifyError::RootMismatch { .. })));
        }
    }
}

#[test]
fn no_changed_byte_and_no_cut_of_a_proof_is_believed() {
    let head = StoreHead::new(trees(11)).unwrap();
    let commitment = head.commitment();
    let bytes = head.prove("tree 14").unwrap().encode().unwrap();
    for at in 0..bytes.len() {
        assert!(TreeProof::decode(&bytes[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            if let Ok(proof) = TreeProof::decode(&changed) {
                assert!(proof.verify(&commitment).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
    let longer = [&bytes[..], &[0; 32]].concat();
    assert!(matches!(TreeProof::decode(&longer), Err(DecodeError::HashBytes { .. })));
}

#[test]
fn a_hash_function_that_no_proof_could_name_is_refused_everywhere() {
    let all = trees(3);
    let head = StoreHead::new(all.clone()).unwrap();
    let commitment = head.commitment();
    for bad in ["", "Blake3", "blake 3", "blake3\n", "größe", &"x".repeat(33), &"x".repeat(300)] {
        let mut named = all.clone();
        named[1].hasher = bad.to_owned();
        let error = StoreHead::new(named).unwrap_err();
        assert_eq!(error, StoreHeadError::HasherName { found: bad.to_owned() });
        assert!(error.to_string().len() < 200 && !error.to_string().contains('\n'), "{error}");
        let mut proof = head.prove(all[1].name.as_str()).unwrap();
        proof.tree.hasher = bad.to_owned();
        assert_eq!(proof.verify(&commitment), Err(VerifyError::HasherName), "{bad:?}");
        assert_eq!(proof.encode(), Err(ClaimError::HasherName), "{bad:?}");
    }
}

#[test]
fn two_trees_of_one_name_are_refused() {
    let mut twice = trees(3);
    twice.push(twice[0].clone());
    let name = twice[0].name.clone();
    assert_eq!(StoreHead::new(twice), Err(StoreHeadError::SameName { name }));
}

#[test]
fn names_that_no_tree_may_have_are_refused_with_what_is_wrong() {
    let refused = |name: &str, why| assert_eq!(TreeName::new(name), Err(why), "{name:?}");
    refused("", TreeNameError::Empty);
    refused(".", TreeNameError::Dots);
    refused("..", TreeNameError::Dots);
    refused("a/b", TreeNameError::Refused { at: 1, found: '/' });
    refused("../a", TreeNameError::Refused { at: 2, found: '/' });
    refused("nul\0", TreeNameError::Refused { at: 3, found: '\0' });
    refused("ä\u{85}", TreeNameError::Refused { at: 2, found: '\u{85}' });
    for found in
        ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{3164}', '\u{2028}', '\u{e0001}']
    {
        refused(&format!("a{found}b"), TreeNameError::Refused { at: 1, found });
    }
    refused(&"ä".repeat(128), TreeNameError::TooLong { found: 256 });
    for name in ["a", "...", "receipts 2026", "葉", &"x".repeat(255)] {
        assert_eq!(TreeName::new(name).unwrap().as_str(), name);
    }
}
