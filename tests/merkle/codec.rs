//! The bytes of proofs and frontiers: as documented, read back, and refused when changed.

use duramen::merkle::codec::{
    ClaimError, ConsistencyClaim, DecodeError, Header, InclusionClaim, Kind, MultiClaim,
};
use duramen::merkle::{
    Arity, Blake3, ConsistencyProof, Frontier, Hash, Hasher, HasherId, InclusionProof, LeafIndex,
    MultiProof, Rfc6962Sha256, RightEdge, Shape, TreeHead, TreeSize,
};
use proptest::prelude::*;
use testkit::columns::Columns;
use testkit::reference;

const HASHERS: [&dyn Hasher; 2] = [&Blake3, &Rfc6962Sha256];
const BLAKE3: HasherId = HasherId::new("blake3");

/// A tree of 64 leaves that answers for every size up to that.
struct Tree {
    hasher: &'static dyn Hasher,
    arity: Arity,
    leaves: Vec<Hash>,
    columns: Columns,
    edges: Vec<RightEdge>,
}

impl Tree {
    fn new(hasher: &'static dyn Hasher, arity: Arity) -> Self {
        let leaves = reference::leaves(64);
        let columns = Columns::new(hasher, arity, &leaves);
        let edges = (0..=64)
            .map(|n| RightEdge::fold(&columns, hasher, arity, TreeSize(n)).unwrap())
            .collect();
        Self { hasher, arity, leaves, columns, edges }
    }

    fn all() -> impl Iterator<Item = Self> {
        HASHERS.into_iter().flat_map(|hasher| Arity::ALL.map(|arity| Self::new(hasher, arity)))
    }

    fn id(&self) -> HasherId {
        self.hasher.id()
    }

    fn head(&self, size: usize) -> TreeHead {
        self.edges[size].head()
    }

    fn inclusion(&self, size: usize, index: usize) -> InclusionClaim {
        let place = LeafIndex(index as u64);
        let proof = InclusionProof::build(&self.columns, &self.edges[size], place).unwrap();
        InclusionClaim { size: TreeSize(size as u64), index: place, proof }
    }

    fn consistency(&self, old: usize, new: usize) -> ConsistencyClaim {
        let (old, edge) = (TreeSize(old as u64), &self.edges[new]);
        let proof = ConsistencyProof::build(&self.columns, edge, old).unwrap();
        ConsistencyClaim { old, new: edge.size(), proof }
    }

    fn multi(&self, size: usize, indexes: &[usize]) -> MultiClaim {
        let indexes: Vec<_> = indexes.iter().map(|i| LeafIndex(*i as u64)).collect();
        let proof = MultiProof::build(&self.columns, &self.edges[size], &indexes).unwrap();
        MultiClaim { size: TreeSize(size as u64), indexes, proof }
    }
}

/// Some indexes of a tree of this size, strictly ascending.
fn some(size: usize) -> Vec<usize> {
    let mut indexes = vec![0, size / 3, size / 2, size - 1];
    indexes.dedup();
    indexes
}

fn header(kind: u8, tree: &Tree) -> Vec<u8> {
    let id = tree.hasher.id().as_str();
    let arity = u8::try_from(tree.arity.children()).unwrap();
    let mut bytes = b"duPF\x01".to_vec();
    bytes.extend([kind, arity, u8::try_from(id.len()).unwrap()]);
    bytes.extend(id.bytes());
    bytes
}

fn with_u64s(mut bytes: Vec<u8>, numbers: &[usize]) -> Vec<u8> {
    bytes.extend(numbers.iter().flat_map(|number| (*number as u64).to_le_bytes()));
    bytes
}

#[test]
fn the_bytes_are_the_documented_ones_and_read_back() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for size in 0..=64 {
            for index in 0..size {
                let claim = tree.inclusion(size, index);
                let bytes = claim.encode(id, arity).unwrap();
                let expected =
                    [with_u64s(header(1, &tree), &[size, index]), claim.proof.siblings().concat()];
                assert_eq!(bytes, expected.concat());
                assert_eq!(InclusionClaim::decode(&bytes, id, arity), Ok(claim));
            }
            for old in 0..=size {
                let claim = tree.consistency(old, size);
                let bytes = claim.encode(id, arity).unwrap();
                let expected =
                    [with_u64s(header(2, &tree), &[old, size]), claim.proof.hashes().concat()];
                assert_eq!(bytes, expected.concat());
                assert_eq!(ConsistencyClaim::decode(&bytes, id, arity), Ok(claim));
            }
            if size > 0 {
                let indexes = some(size);
                let claim = tree.multi(size, &indexes);
                let bytes = claim.encode(id, arity).unwrap();
                let expected = [
                    with_u64s(header(3, &tree), &[&[size, indexes.len()], &indexes[..]].concat()),
                    claim.proof.hashes().concat(),
                ];
                assert_eq!(bytes, expected.concat());
                assert_eq!(MultiClaim::decode(&bytes, id, arity), Ok(claim));
            }
            let at = TreeSize(size as u64);
            let frontier = Frontier::read(&tree.columns, arity, at).unwrap();
            let bytes = frontier.encode(id);
            let expected = [with_u64s(header(4, &tree), &[size]), frontier.nodes().concat()];
            assert_eq!(bytes, expected.concat());
            assert_eq!(Frontier::decode(&bytes, id, arity), Ok(frontier));
        }
    }
}

#[test]
fn a_proof_of_each_kind_has_these_bytes_for_ever() {
    // The leaves are the numbers 0 to 5 as 32 bytes, little-endian.
    let leaves: Vec<Hash> =
        (0..6).map(|n| core::array::from_fn(|at| n * u8::from(at == 0))).collect();
    let columns = Columns::new(&Blake3, Arity::Four, &leaves);
    let edge = RightEdge::fold(&columns, &Blake3, Arity::Four, TreeSize(6)).unwrap();
    let (size, index, old) = (TreeSize(6), LeafIndex(4), TreeSize(4));
    let indexes = vec![LeafIndex(4), LeafIndex(5)];
    let inclusion = InclusionClaim {
        size,
        index,
        proof: InclusionProof::build(&columns, &edge, index).unwrap(),
    };
    let consistency = ConsistencyClaim {
        old,
        new: size,
        proof: ConsistencyProof::build(&columns, &edge, old).unwrap(),
    };
    let proof = MultiProof::build(&columns, &edge, &indexes).unwrap();
    let multi = MultiClaim { size, indexes, proof };
    let frontier = Frontier::read(&columns, Arity::Four, size).unwrap();
    let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(edge.head().to_string(), GOLDEN_HEAD);
    assert_eq!(hex(inclusion.encode(BLAKE3, Arity::Four).unwrap()), GOLDEN_INCLUSION);
    assert_eq!(hex(consistency.encode(BLAKE3, Arity::Four).unwrap()), GOLDEN_CONSISTENCY);
    assert_eq!(hex(multi.encode(BLAKE3, Arity::Four).unwrap()), GOLDEN_MULTI);
    assert_eq!(hex(frontier.encode(BLAKE3)), GOLDEN_FRONTIER);
}

const GOLDEN_HEAD: &str = "6:df5648ff608e7859d092c8b28193bbde54b4bd01c36b6cea2c27e05f610abee1";
const GOLDEN_INCLUSION: &str = concat!(
    "6475504601010406626c616b6533060000000000000004000000000000000500",
    "00000000000000000000000000000000000000000000000000000000000097bc",
    "eeb060adfea7499b415f6e29c754de54926ac7b19731ae4ee4722ec1c4fc",
);
const GOLDEN_CONSISTENCY: &str = concat!(
    "6475504601020406626c616b6533040000000000000006000000000000008b47",
    "75d4b649e39a26f2f69c23acb06c1407bd1e6997909425d613b89268656b",
);
const GOLDEN_MULTI: &str = concat!(
    "6475504601030406626c616b6533060000000000000002000000000000000400",
    "000000000000050000000000000097bceeb060adfea7499b415f6e29c754de54",
    "926ac7b19731ae4ee4722ec1c4fc",
);
const GOLDEN_FRONTIER: &str = concat!(
    "6475504601040406626c616b6533060000000000000097bceeb060adfea7499b",
    "415f6e29c754de54926ac7b19731ae4ee4722ec1c4fc04000000000000000000",
    "0000000000000000000000000000000000000000000005000000000000000000",
    "00000000000000000000000000000000000000000000",
);

#[test]
fn an_inclusion_proof_at_a_million_leaves_has_at_most_a_thousand_bytes() {
    let size = TreeSize(1 << 20);
    for hasher in HASHERS {
        for index in [0, 1 << 19, (1 << 20) - 1].map(LeafIndex) {
            let count = Shape::new(Arity::Four, size).inclusion_siblings(index);
            let proof = InclusionProof::from_siblings(vec![[1; 32]; count]);
            let claim = InclusionClaim { size, index, proof };
            let bytes = claim.encode(hasher.id(), Arity::Four).unwrap();
            assert!(bytes.len() <= 1000, "{}", bytes.len());
        }
    }
}

/// Every truncation, some extensions, every bit before the hashes and one bit in each hash.
fn mutations(bytes: &[u8], hashes: usize) -> impl Iterator<Item = Vec<u8>> {
    let start = bytes.len() - 32 * hashes;
    let changed = move |at: usize, mask: u8| {
        let mut changed = bytes.to_vec();
        changed[at] ^= mask;
        changed
    };
    let shorter = (0..bytes.len()).map(|len| bytes[..len].to_vec());
    let longer = [1, 8, 32].map(|more| [bytes, &vec![0; more]].concat());
    let header = (0..start).flat_map(move |at| (0..8).map(move |bit| changed(at, 1 << bit)));
    let hashes = (0..hashes).map(move |at| changed(start + 32 * at + at % 32, 1 << (at % 8)));
    shorter.chain(longer).chain(header).chain(hashes)
}

#[test]
fn every_changed_inclusion_proof_is_refused() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for size in 1..=64 {
            let head = tree.head(size);
            for index in 0..size {
                let claim = tree.inclusion(size, index);
                let (place, leaf) = (claim.index, &tree.leaves[index]);
                let accepted = |bytes: &[u8]| {
                    InclusionClaim::decode(bytes, id, arity).is_ok_and(|claim| {
                        claim.verify(tree.hasher, arity, &head, place, leaf).is_ok()
                    })
                };
                let bytes = claim.encode(id, arity).unwrap();
                assert!(accepted(&bytes));
                for changed in mutations(&bytes, claim.proof.siblings().len()) {
                    assert!(!accepted(&changed), "{arity} {size} {index}");
                }
                for other in [index + 1, index ^ 1, 0].map(|i| LeafIndex(i as u64)) {
                    if other != place {
                        assert!(claim.verify(tree.hasher, arity, &head, other, leaf).is_err());
                    }
                }
                let mut other_leaf = *leaf;
                other_leaf[index % 32] ^= 1;
                assert!(claim.verify(tree.hasher, arity, &head, place, &other_leaf).is_err());
                for other in [size - 1, size + 1].map(|n| TreeSize(n as u64)) {
                    let head = TreeHead { size: other, ..head };
                    assert!(claim.verify(tree.hasher, arity, &head, place, leaf).is_err());
                }
            }
        }
    }
}

#[test]
fn every_changed_consistency_proof_is_refused() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for new in 0..=64 {
            for old in 0..=new {
                let claim = tree.consistency(old, new);
                let (old, new) = (tree.head(old), tree.head(new));
                let accepted = |bytes: &[u8]| {
                    ConsistencyClaim::decode(bytes, id, arity)
                        .is_ok_and(|claim| claim.verify(tree.hasher, arity, &old, &new).is_ok())
                };
                let bytes = claim.encode(id, arity).unwrap();
                assert!(accepted(&bytes));
                for changed in mutations(&bytes, claim.proof.hashes().len()) {
                    assert!(!accepted(&changed), "{arity} {old} {new}");
                }
            }
        }
    }
}

#[test]
fn every_changed_multi_proof_is_refused() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for size in 1..=64 {
            let head = tree.head(size);
            let indexes = some(size);
            let claim = tree.multi(size, &indexes);
            let leaves: Vec<_> =
                indexes.iter().map(|i| (LeafIndex(*i as u64), tree.leaves[*i])).collect();
            let accepted = |bytes: &[u8]| {
                MultiClaim::decode(bytes, id, arity)
                    .is_ok_and(|claim| claim.verify(tree.hasher, arity, &head, &leaves).is_ok())
            };
            let bytes = claim.encode(id, arity).unwrap();
            assert!(accepted(&bytes));
            for changed in mutations(&bytes, claim.proof.hashes().len()) {
                assert!(!accepted(&changed), "{arity} {size}");
            }
            if leaves.len() > 1 {
                assert!(claim.verify(tree.hasher, arity, &head, &leaves[1..]).is_err());
            }
        }
    }
}

#[test]
fn every_changed_frontier_is_refused_or_has_another_head() {
    for tree in Tree::all() {
        let (id, arity) = (tree.id(), tree.arity);
        for size in 0..=64 {
            let head = tree.head(size);
            let at = TreeSize(size as u64);
            let frontier = Frontier::read(&tree.columns, arity, at).unwrap();
            let accepted = |bytes: &[u8]| {
                Frontier::decode(bytes, id, arity)
                    .is_ok_and(|frontier| frontier.head(tree.hasher) == head)
            };
            let bytes = frontier.encode(id);
            assert!(accepted(&bytes));
            for changed in mutations(&bytes, frontier.nodes().len()) {
                assert!(!accepted(&changed), "{arity} {size}");
            }
        }
    }
}

#[test]
fn each_kind_profile_and_version_is_refused_where_another_is_expected() {
    let tree = Tree::new(&Blake3, Arity::Four);
    let (id, arity) = (tree.id(), tree.arity);
    let bytes = tree.inclusion(6, 4).encode(id, arity).unwrap();
    let decode = |bytes: &[u8]| InclusionClaim::decode(bytes, id, arity).unwrap_err();
    let changed = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        bytes
    };

    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.kind, header.arity, header.hasher), (Kind::Inclusion, arity, "blake3"));
    let found = Kind::Inclusion;
    let error = ConsistencyClaim::decode(&bytes, id, arity).unwrap_err();
    assert_eq!(error, DecodeError::OtherKind { expected: Kind::Consistency, found });
    let error = MultiClaim::decode(&bytes, id, arity).unwrap_err();
    assert_eq!(error, DecodeError::OtherKind { expected: Kind::Multi, found });
    let error = Frontier::decode(&bytes, id, arity).unwrap_err();
    assert_eq!(error, DecodeError::OtherKind { expected: Kind::Frontier, found });

    let expected = Rfc6962Sha256.id();
    let error = InclusionClaim::decode(&bytes, expected, arity).unwrap_err();
    assert_eq!(error, DecodeError::OtherHasher { expected, found: "blake3".into() });
    let expected = Arity::Two;
    let error = InclusionClaim::decode(&bytes, id, expected).unwrap_err();
    assert_eq!(error, DecodeError::OtherArity { expected, found: arity });

    assert_eq!(decode(b"duPX"), DecodeError::NotAProof);
    assert_eq!(decode(b"hello"), DecodeError::NotAProof);
    for len in 0..bytes.len() - 64 {
        assert_eq!(decode(&bytes[..len]), DecodeError::Truncated { found: len });
    }
    assert_eq!(decode(&changed(4, 2)), DecodeError::UnknownVersion { found: 2 });
    assert_eq!(decode(&changed(5, 9)), DecodeError::UnknownKind { found: 9 });
    assert_eq!(decode(&changed(6, 3)), DecodeError::UnknownArity { found: 3 });
    assert_eq!(decode(&changed(7, 0)), DecodeError::BadHasherId);
    assert_eq!(decode(&changed(7, 33)), DecodeError::BadHasherId);
    assert_eq!(decode(&changed(8, b'B')), DecodeError::BadHasherId);
    assert_eq!(decode(&changed(8, 0xff)), DecodeError::BadHasherId);
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(decode(&longer), DecodeError::HashBytes { expected: 64, found: 65 });
}

#[test]
fn claims_that_cannot_be_are_neither_written_nor_read() {
    let tree = Tree::new(&Blake3, Arity::Four);
    let (id, arity) = (tree.id(), tree.arity);
    let size = TreeSize(6);

    let mut claim = tree.inclusion(6, 4);
    claim.proof = InclusionProof::from_siblings(vec![]);
    let error = ClaimError::HashCount { expected: 2, found: 0 };
    assert_eq!(claim.encode(id, arity), Err(error));
    claim.index = LeafIndex(6);
    let error = ClaimError::IndexBeyondSize { index: LeafIndex(6), size };
    assert_eq!(claim.encode(id, arity), Err(error.clone()));
    let bytes = with_u64s(header(1, &tree), &[6, 6]);
    assert_eq!(InclusionClaim::decode(&bytes, id, arity), Err(DecodeError::Claim(error)));

    let mut claim = tree.consistency(4, 6);
    claim.proof = ConsistencyProof::from_hashes(vec![]);
    let error = ClaimError::HashCount { expected: 1, found: 0 };
    assert_eq!(claim.encode(id, arity), Err(error));
    claim.old = TreeSize(7);
    let error = ClaimError::OldBeyondNew { old: TreeSize(7), new: size };
    assert_eq!(claim.encode(id, arity), Err(error.clone()));
    let bytes = with_u64s(header(2, &tree), &[7, 6]);
    assert_eq!(ConsistencyClaim::decode(&bytes, id, arity), Err(DecodeError::Claim(error)));

    let mut claim = tree.multi(6, &[0, 5]);
    claim.proof = MultiProof::from_hashes(vec![]);
    assert_eq!(claim.encode(id, arity), Err(ClaimError::HashesMissing { found: 0 }));
    for (indexes, error) in [
        (&[][..], ClaimError::NoIndexes),
        (&[1, 1], ClaimError::NotAscending { before: LeafIndex(1), index: LeafIndex(1) }),
        (&[2, 1], ClaimError::NotAscending { before: LeafIndex(2), index: LeafIndex(1) }),
        (&[1, 6], ClaimError::IndexBeyondSize { index: LeafIndex(6), size }),
    ] {
        let mut claim = tree.multi(6, &[0]);
        claim.indexes = indexes.iter().map(|i| LeafIndex(*i as u64)).collect();
        assert_eq!(claim.encode(id, arity), Err(error.clone()));
        let numbers = [&[6, indexes.len()], indexes].concat();
        let bytes = with_u64s(header(3, &tree), &numbers);
        assert_eq!(MultiClaim::decode(&bytes, id, arity), Err(DecodeError::Claim(error)));
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
    let tree = Tree::new(&Blake3, Arity::Four);
    for count in [2, 1 << 32, 1 << 61, 1 << 62, u64::MAX] {
        let mut bytes = with_u64s(header(3, &tree), &[6]);
        bytes.extend(count.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        let found = bytes.len();
        assert_eq!(
            MultiClaim::decode(&bytes, tree.id(), tree.arity),
            Err(DecodeError::Truncated { found })
        );
    }
}

proptest! {
    #[test]
    fn decoding_any_bytes_is_total_and_canonical(
        kind in 1_u8..5,
        arity in prop::sample::select(Arity::ALL.as_slice()),
        behind in prop::collection::vec(any::<u8>(), 0..400),
        numbers in prop::collection::vec(0_u64..40, 0..6),
    ) {
        let tree = Tree::new(&Blake3, arity);
        let mut bytes = header(kind, &tree);
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(behind);
        if let Ok(claim) = InclusionClaim::decode(&bytes, BLAKE3, arity) {
            prop_assert_eq!(claim.encode(BLAKE3, arity).unwrap(), bytes.clone());
        }
        if let Ok(claim) = ConsistencyClaim::decode(&bytes, BLAKE3, arity) {
            prop_assert_eq!(claim.encode(BLAKE3, arity).unwrap(), bytes.clone());
        }
        if let Ok(claim) = MultiClaim::decode(&bytes, BLAKE3, arity) {
            prop_assert_eq!(claim.encode(BLAKE3, arity).unwrap(), bytes.clone());
        }
        if let Ok(frontier) = Frontier::decode(&bytes, BLAKE3, arity) {
            prop_assert_eq!(frontier.encode(BLAKE3), bytes);
        }
    }
}

#[test]
fn a_multi_proof_of_far_too_few_hashes_is_refused_without_counting_all_that_are_missing() {
    let (id, arity) = (Blake3.id(), Arity::Sixteen);
    let indexes: Vec<LeafIndex> = (0..100).map(|at| LeafIndex(at << 30)).collect();
    let size = TreeSize(1 << 40);
    let expected = MultiProof::expected_hashes(Shape::new(arity, size), &indexes).unwrap();
    let proof = MultiProof::from_hashes(vec![[1; 32]; expected]);
    let bytes = MultiClaim { size, indexes, proof }.encode(id, arity).unwrap();
    MultiClaim::decode(&bytes, id, arity).unwrap();
    for missing in [1, 2, expected - 1, expected] {
        let cut = &bytes[..bytes.len() - 32 * missing];
        let found = 32 * (expected - missing);
        assert_eq!(MultiClaim::decode(cut, id, arity), Err(DecodeError::HashesMissing { found }));
    }
    let cut = &bytes[..bytes.len() - 1];
    let found = 32 * expected - 1;
    assert_eq!(MultiClaim::decode(cut, id, arity), Err(DecodeError::HashesMissing { found }));
    let longer = [bytes.as_slice(), &[0]].concat();
    let (expected, found) = (32 * expected, 32 * expected + 1);
    assert_eq!(
        MultiClaim::decode(&longer, id, arity),
        Err(DecodeError::HashBytes { expected, found })
    );
}
