//! The tree without its leaves, against a slow reference.

use duramen::merkle::{
    Arity, Blake3, Frontier, FrontierError, Hash, Hasher, HasherId, LeafIndex, Rfc6962Sha256,
    TreeHead, TreeSize,
};
use proptest::prelude::*;
use testkit::columns::Columns;
use testkit::reference;
use testkit::reference::Oracle;

const PROFILES: [(&dyn Hasher, Oracle); 2] =
    [(&Blake3, reference::BLAKE3), (&Rfc6962Sha256, reference::RFC6962)];

#[test]
fn leaf_by_leaf_every_size_has_the_reference_root_and_the_columns_nodes() {
    let leaves = reference::leaves(600);
    for (hasher, oracle) in PROFILES {
        for arity in Arity::ALL {
            let columns = Columns::new(hasher, arity, &leaves);
            let mut frontier = Frontier::new(arity);
            for size in 0..=leaves.len() {
                let at = TreeSize(size as u64);
                let head = frontier.head(hasher);
                assert_eq!(head.size, at);
                assert_eq!(head.root, oracle.root(arity.children(), &leaves[..size]));
                assert_eq!(frontier, Frontier::read(&columns, arity, at).unwrap());
                let nodes = frontier.nodes().to_vec();
                assert_eq!(frontier, Frontier::from_nodes(arity, at, nodes).unwrap());
                if let Some(leaf) = leaves.get(size) {
                    let index = frontier.append(hasher, *leaf).unwrap();
                    assert_eq!(index, LeafIndex(size as u64));
                }
            }
        }
    }
}

#[test]
fn a_wrong_number_of_nodes_is_refused() {
    for arity in Arity::ALL {
        for size in (0..200).chain([u64::MAX]).map(TreeSize) {
            let fits: Vec<usize> = (0..260)
                .filter(|n| Frontier::from_nodes(arity, size, vec![[0; 32]; *n]).is_ok())
                .collect();
            let mut digits = 0;
            let mut left = size.get();
            while left > 0 {
                digits += usize::try_from(left % arity.children() as u64).unwrap();
                left /= arity.children() as u64;
            }
            assert_eq!(fits, [digits]);
        }
    }
    assert_eq!(
        Frontier::from_nodes(Arity::Four, TreeSize(7), vec![]),
        Err(FrontierError::NodeCount { size: TreeSize(7), expected: 4, found: 0 })
    );
}

#[test]
fn the_largest_tree_takes_no_leaf_more_and_stays_as_it_is() {
    for arity in Arity::ALL {
        let largest = |size| {
            let shape = duramen::merkle::Shape::new(arity, TreeSize(size));
            let nodes = (0..shape.frontier_nodes() as u64).map(reference::leaf).collect();
            Frontier::from_nodes(arity, TreeSize(size), nodes).unwrap()
        };
        let mut frontier = largest(u64::MAX);
        let before = frontier.clone();
        let error = frontier.append(&Blake3, [1; 32]).unwrap_err();
        assert_eq!(error, FrontierError::Full { size: TreeSize(u64::MAX), more: 1 });
        assert_eq!(frontier, before);
        assert_eq!(
            frontier.append_many(&Blake3, &[]),
            Ok(LeafIndex(u64::MAX)..LeafIndex(u64::MAX))
        );
        let _ = frontier.head(&Blake3);

        let mut frontier = largest(u64::MAX - 3);
        assert!(frontier.append_many(&Blake3, &[[1; 32]; 4]).is_err());
        assert!(frontier.append_many(&Blake3, &[[1; 32]; 3]).is_ok());
        assert_eq!(frontier.size(), TreeSize(u64::MAX));
    }
}

/// Takes no leaf that ends in 0xff, as a hasher over a field would not.
struct Picky;

impl Hasher for Picky {
    fn id(&self) -> HasherId {
        HasherId::new("picky")
    }
    fn leaf(&self, data: &[u8]) -> Hash {
        Blake3.leaf(data)
    }
    fn node(&self, children: &[Hash]) -> Hash {
        Blake3.node(children)
    }
    fn empty_root(&self) -> Hash {
        [0; 32]
    }
    fn first_refused(&self, leaves: &[Hash]) -> Option<usize> {
        leaves.iter().position(|leaf| leaf[31] == 0xff)
    }
}

#[test]
fn a_leaf_that_the_hasher_refuses_is_named_and_none_is_appended() {
    let mut frontier = Frontier::new(Arity::Four);
    frontier.append_many(&Picky, &[[1; 32]; 6]).unwrap();
    let before = frontier.clone();
    let error = frontier.append_many(&Picky, &[[1; 32], [0xff; 32], [0xff; 32]]).unwrap_err();
    assert_eq!(error, FrontierError::RefusedLeaf { index: LeafIndex(7), leaf: [0xff; 32] });
    assert_eq!(frontier, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batches_of_any_lengths_give_the_reference_roots(
        profile in 0..PROFILES.len(),
        arity in prop::sample::select(Arity::ALL.as_slice()),
        lengths in prop::collection::vec(0_usize..1500, 1..8),
    ) {
        let (hasher, oracle) = PROFILES[profile];
        let leaves = reference::leaves(lengths.iter().sum());
        let mut frontier = Frontier::new(arity);
        let mut from = 0;
        for length in lengths {
            let batch = &leaves[from..from + length];
            let range = frontier.append_many(hasher, batch).unwrap();
            prop_assert_eq!(range, LeafIndex(from as u64)..LeafIndex((from + length) as u64));
            from += length;
            let root = oracle.root(arity.children(), &leaves[..from]);
            let size = TreeSize(from as u64);
            prop_assert_eq!(frontier.head(hasher), TreeHead { size, root });
        }
        let columns = Columns::new(hasher, arity, &leaves);
        prop_assert_eq!(
            &frontier,
            &Frontier::read(&columns, arity, frontier.size()).unwrap()
        );
    }
}
