//! RFC 9942, COSE receipts; RFC 9052 where that refers to it.

use duramen::merkle::InclusionProof;
use duramen::tlog::cose::{ConsistencyReceipt, CoseError, InclusionReceipt};
use duramen::tlog::{Ed25519Key, MlDsa44Key, PublicKey, Signer, SignerError};
use duramen::{
    Arity, ConsistencyProof, Hash, LeafIndex, Rfc6962Sha256, TreeHead, TreeSize, VerifyError,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::tlog::model::{Tree, checkpoint, hex, leaves, unhex};

fn key() -> Ed25519Key {
    Ed25519Key::from_secret(&[5; 32])
}

fn inclusion(tree: &Tree, size: u64, index: u64) -> InclusionReceipt {
    let (n, at) = (TreeSize(size), LeafIndex(index));
    let proof = InclusionProof::build_at(tree, &Rfc6962Sha256, Arity::Two, n, at).unwrap();
    let head = tree.head(usize::try_from(size).unwrap());
    InclusionReceipt::sign(&key(), None, &checkpoint(head), at, proof).unwrap()
}

fn consistency(tree: &Tree, old: u64, new: u64) -> ConsistencyReceipt {
    let sizes = (TreeSize(old), TreeSize(new));
    let proof =
        ConsistencyProof::build_at(tree, &Rfc6962Sha256, Arity::Two, sizes.0, sizes.1).unwrap();
    let head = tree.head(usize::try_from(new).unwrap());
    ConsistencyReceipt::sign(&key(), Some(b"kid"), sizes.0, &checkpoint(head), proof).unwrap()
}

/// Enough of CBOR to write receipts that are wrong on purpose.
fn head(major: u8, number: u64) -> Vec<u8> {
    let major = major << 5;
    match number {
        0..24 => vec![major | u8::try_from(number).unwrap()],
        24..256 => vec![major | 24, u8::try_from(number).unwrap()],
        256..65_536 => {
            vec![major | 25, u8::try_from(number >> 8).unwrap(), number.to_be_bytes()[7]]
        }
        _ => [&[major | 27], number.to_be_bytes().as_slice()].concat(),
    }
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len() as u64), content.to_vec()].concat()
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

fn map(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let content: Vec<u8> =
        pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()].concat()).collect();
    [head(5, pairs.len() as u64), content].concat()
}

fn int(number: i64) -> Vec<u8> {
    match u64::try_from(number) {
        Ok(number) => head(0, number),
        Err(_) => head(1, number.unsigned_abs() - 1),
    }
}

/// The parts of a receipt of leaf 1 of 3 that holds, each to be exchanged.
#[derive(Clone)]
struct Parts {
    tag: Vec<u8>,
    protected: Vec<(Vec<u8>, Vec<u8>)>,
    unprotected: Vec<(Vec<u8>, Vec<u8>)>,
    payload: Vec<u8>,
}

fn proof_bytes(numbers: [u64; 2], hashes: &[Hash]) -> Vec<u8> {
    let hashes: Vec<_> = hashes.iter().map(|hash| bytes(hash)).collect();
    array(&[head(0, numbers[0]), head(0, numbers[1]), array(&hashes)])
}

fn parts() -> Parts {
    let tree = Tree::new(&leaves(3));
    let proof = proof_bytes([3, 1], &crate::tlog::model::path(&tree.leaves()[..3], 1));
    Parts {
        tag: head(6, 18),
        protected: vec![(int(1), int(-8)), (int(395), int(1))],
        unprotected: vec![(int(396), map(&[(int(-1), array(&[bytes(&proof)]))]))],
        payload: vec![0xf6],
    }
}

impl Parts {
    fn receipt(&self) -> Vec<u8> {
        let protected = map(&self.protected);
        let root = Tree::new(&leaves(3)).head(3).root;
        let text = [head(3, 10), b"Signature1".to_vec()].concat();
        let signed = array(&[text, bytes(&protected), bytes(&[]), bytes(&root)]);
        let signature = key().sign(&signed).unwrap();
        let items = array(&[
            bytes(&protected),
            map(&self.unprotected),
            self.payload.clone(),
            bytes(&signature),
        ]);
        [self.tag.clone(), items].concat()
    }

    fn verify(&self) -> Result<Hash, CoseError> {
        let receipt = InclusionReceipt::read(&self.receipt())?;
        assert_eq!(receipt.as_bytes(), self.receipt());
        receipt.verify(&key().public_key(), &leaves(3)[1])
    }
}

/// RFC 9942, sections 5.2 and 5.2.1.
#[test]
fn a_receipt_of_inclusion_is_written_read_and_verified_for_every_leaf() {
    let tree = Tree::new(&leaves(40));
    for size in 2..=40 {
        for index in 0..size {
            let receipt = inclusion(&tree, size, index);
            let read = InclusionReceipt::read(receipt.as_bytes()).unwrap();
            assert_eq!(read, receipt);
            assert_eq!(
                (read.size(), read.index(), read.key_id()),
                (TreeSize(size), LeafIndex(index), None)
            );
            let leaf = &tree.leaves()[usize::try_from(index).unwrap()];
            let root = read.verify(&key().public_key(), leaf).unwrap();
            assert_eq!(root, tree.head(usize::try_from(size).unwrap()).root);
            assert_eq!(read.verify(&key().public_key(), &[7; 32]), Err(CoseError::WrongSignature));
        }
    }
    let root = Tree::new(&leaves(3)).head(3).root;
    assert_eq!(parts().verify(), Ok(root));
    assert_eq!(parts().receipt(), inclusion(&Tree::new(&leaves(3)), 3, 1).as_bytes());
}

/// RFC 9942, sections 5.3 and 5.3.1.
#[test]
fn a_receipt_of_consistency_is_written_read_and_verified_for_every_pair_of_sizes() {
    let tree = Tree::new(&leaves(40));
    for new in 2..=40 {
        for old in 1..new {
            let receipt = consistency(&tree, old, new);
            let read = ConsistencyReceipt::read(receipt.as_bytes()).unwrap();
            assert_eq!(read, receipt);
            assert_eq!((read.old_size(), read.new_size()), (TreeSize(old), TreeSize(new)));
            assert_eq!(read.key_id(), Some(&b"kid"[..]));
            let old_head = tree.head(usize::try_from(old).unwrap());
            let root = read.verify(&key().public_key(), &old_head).unwrap();
            assert_eq!(root, tree.head(usize::try_from(new).unwrap()).root);
            let other = TreeHead { root: [7; 32], ..old_head };
            let refused = read.verify(&key().public_key(), &other);
            // The old root of a complete tree is where the proof begins; others follow from the proof.
            match old.is_power_of_two() {
                true => assert_eq!(refused, Err(CoseError::WrongSignature)),
                false => {
                    assert!(matches!(
                        refused,
                        Err(CoseError::Refused(VerifyError::RootMismatch { .. }))
                    ));
                }
            }
            let other = TreeHead { size: TreeSize(old + 1), ..old_head };
            let refused = read.verify(&key().public_key(), &other);
            assert_eq!(refused, Err(CoseError::OtherOldSize { claimed: old, trusted: old + 1 }));
        }
    }
}

/// Receipts that cbor2 and OpenSSL made: see `docs/vectors.md`.
#[test]
fn receipts_that_other_software_made_are_verified() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/cose.json")).unwrap();
    assert_eq!(vectors["secret"], hex(&[5; 32]).as_str());
    let public = key().public_key();
    for vector in vectors["receipts"].as_array().unwrap() {
        let bytes = unhex(vector["receipt"].as_str().unwrap());
        let key_id = unhex(vector["key_id"].as_str().unwrap());
        let key_id = (!key_id.is_empty()).then_some(key_id.as_slice());
        let number = |name: &str| vector[name].as_u64().unwrap();
        let root = if vector["kind"] == "inclusion" {
            let receipt = InclusionReceipt::read(&bytes).unwrap();
            assert_eq!(
                (receipt.size().get(), receipt.index().get()),
                (number("size"), number("index"))
            );
            assert_eq!((receipt.as_bytes(), receipt.key_id()), (bytes.as_slice(), key_id));
            assert!(ConsistencyReceipt::read(&bytes).is_err());
            receipt.verify(&public, &leaves(50)[usize::try_from(number("index")).unwrap()])
        } else {
            let receipt = ConsistencyReceipt::read(&bytes).unwrap();
            assert_eq!((receipt.as_bytes(), receipt.key_id()), (bytes.as_slice(), key_id));
            assert!(InclusionReceipt::read(&bytes).is_err());
            let root = unhex(vector["old_root"].as_str().unwrap()).try_into().unwrap();
            receipt.verify(&public, &TreeHead { size: TreeSize(number("old")), root })
        };
        assert_eq!(hex(&root.unwrap()), vector["root"].as_str().unwrap(), "{}", vector["name"]);
    }
}

/// RFC 9942, section 4.3: receipts are tagged as `COSE_Sign1`.
#[test]
fn a_receipt_without_the_tag_18_is_refused() {
    for tag in [vec![], head(6, 17), head(6, 98), [head(6, 18), head(6, 18)].concat()] {
        let refused = Parts { tag, ..parts() }.verify();
        assert!(matches!(refused, Err(CoseError::Form { part: "envelope", .. })), "{refused:?}");
    }
}

/// RFC 9942, sections 5.2.1 and 5.3.1: `alg` and `vds` are required, in the protected header.
#[test]
fn a_receipt_without_algorithm_or_structure_in_its_protected_header_is_refused() {
    for (at, header) in [(0, "alg (1)"), (1, "vds (395)")] {
        let mut changed = parts();
        let moved = changed.protected.remove(at);
        assert_eq!(changed.verify(), Err(CoseError::NoHeader { header }));
        changed.unprotected.push(moved);
        assert_eq!(changed.verify(), Err(CoseError::NoHeader { header }));
    }
    let with = |at: usize, value| {
        let mut changed = parts();
        changed.protected[at].1 = value;
        changed.verify()
    };
    for found in [-7, -48, 0, 1] {
        assert_eq!(with(0, int(found)), Err(CoseError::Algorithm { found }));
    }
    assert!(with(0, int(-19)).is_ok());
    for found in [0, 2, -1] {
        assert_eq!(with(1, int(found)), Err(CoseError::Structure { found }));
    }
    assert!(matches!(with(0, bytes(b"x")), Err(CoseError::Form { part: "protected header", .. })));
}

/// RFC 9942, sections 5.2.1 and 5.3.1: `vdp` is required, with one array of proofs of its kind.
#[test]
fn a_receipt_with_other_proofs_than_one_of_its_kind_is_refused() {
    let with = |unprotected| Parts { unprotected, ..parts() }.verify();
    assert_eq!(with(vec![]), Err(CoseError::NoHeader { header: "vdp (396)" }));
    let proof = bytes(&proof_bytes([3, 1], &[[0; 32]; 2]));
    let count = |found| Err(CoseError::Proofs { kind: "inclusion", found });
    let proofs =
        |label: i64, proofs: &[Vec<u8>]| vec![(int(396), map(&[(int(label), array(proofs))]))];
    assert_eq!(with(proofs(-1, &[])), count(0));
    assert_eq!(with(proofs(-1, &[proof.clone(), proof.clone()])), count(2));
    assert_eq!(with(proofs(-2, core::slice::from_ref(&proof))), count(0));
    let one = array(core::slice::from_ref(&proof));
    let both = map(&[(int(-1), one.clone()), (int(-2), one)]);
    assert_eq!(with(vec![(int(396), both)]), count(0));
    assert_eq!(with(vec![(int(396), map(&[]))]), count(0));
    assert!(matches!(with(vec![(int(396), proof)]), Err(CoseError::Form { .. })));
}

/// RFC 9942, sections 5.2 and 5.3: a path has one hash at least.
#[test]
fn a_proof_without_a_hash_has_no_receipt() {
    let tree = Tree::new(&leaves(3));
    let none = || InclusionProof::from_siblings(vec![]);
    let refused =
        InclusionReceipt::sign(&key(), None, &checkpoint(tree.head(1)), LeafIndex(0), none());
    assert_eq!(refused, Err(CoseError::EmptyPath));
    for old in [0, 3] {
        let none = ConsistencyProof::from_hashes(vec![]);
        let refused =
            ConsistencyReceipt::sign(&key(), None, TreeSize(old), &checkpoint(tree.head(3)), none);
        assert_eq!(refused, Err(CoseError::EmptyPath));
    }
    let mut changed = parts();
    let proof = bytes(&proof_bytes([1, 0], &[]));
    changed.unprotected[0].1 = map(&[(int(-1), array(&[proof]))]);
    assert_eq!(changed.verify(), Err(CoseError::EmptyPath));
}

/// RFC 9942, section 5.2: the CBOR of a proof; RFC 9162, section 2.1.3.2: the index is below the size.
#[test]
fn a_proof_of_another_form_is_refused() {
    let with = |proof: Vec<u8>| {
        let mut changed = parts();
        changed.unprotected[0].1 = map(&[(int(-1), array(&[bytes(&proof)]))]);
        changed.verify()
    };
    let path = crate::tlog::model::path(&leaves(3), 1);
    assert!(with(proof_bytes([3, 1], &path)).is_ok());
    let count =
        |proof| matches!(with(proof), Err(CoseError::Refused(VerifyError::HashCount { .. })));
    assert!(count(proof_bytes([3, 2], &path)) && count(proof_bytes([9, 1], &path)));
    let beyond = with(proof_bytes([3, 3], &path));
    assert!(matches!(beyond, Err(CoseError::Refused(VerifyError::IndexBeyondSize { .. }))));
    assert_eq!(with(proof_bytes([3, 0], &path)), Err(CoseError::WrongSignature));
    assert_eq!(
        with(proof_bytes([3, 1], &[[0; 32]; 65])),
        Err(CoseError::TooManyHashes { most: 64 })
    );
    let hashes: Vec<_> = path.iter().map(|hash| bytes(hash)).collect();
    for proof in [
        array(&[head(0, 3), head(0, 1)]),
        array(&[head(0, 3), head(0, 1), array(&hashes), head(0, 1)]),
        array(&[int(-3), head(0, 1), array(&hashes)]),
        array(&[head(0, 3), head(0, 1), array(&[bytes(&[0; 31]), bytes(&[0; 32])])]),
        array(&[head(0, 3), head(0, 1), bytes(&path[0])]),
        [proof_bytes([3, 1], &path), vec![0]].concat(),
        [vec![0x9f], proof_bytes([3, 1], &path)[1..].to_vec(), vec![0xff]].concat(),
        vec![],
    ] {
        let refused = with(proof);
        assert!(matches!(refused, Err(CoseError::Form { part: "proof", .. })), "{refused:?}");
    }
}

/// RFC 9942, sections 5.2.1 and 5.3.1: the payload is the root, detached or not.
#[test]
fn an_attached_payload_is_the_root_that_the_proof_leads_to() {
    let root = Tree::new(&leaves(3)).head(3).root;
    assert_eq!(Parts { payload: bytes(&root), ..parts() }.verify(), Ok(root));
    for payload in [bytes(&[0; 32]), bytes(&root[1..]), bytes(&[])] {
        assert_eq!(Parts { payload, ..parts() }.verify(), Err(CoseError::OtherPayload));
    }
    let refused = Parts { payload: int(0), ..parts() }.verify();
    assert!(matches!(refused, Err(CoseError::Form { .. })));
}

/// RFC 9052, section 3: labels are unique; section 3.1: `crit` names what must be understood.
#[test]
fn a_label_that_stands_twice_and_critical_headers_are_refused() {
    let twice = |label: &str| Err(CoseError::LabelTwice { label: label.into() });
    let mut changed = parts();
    changed.protected.push((int(1), int(-8)));
    assert_eq!(changed.verify(), twice("1"));
    let mut changed = parts();
    changed.unprotected.insert(0, (int(395), int(1)));
    assert_eq!(changed.verify(), twice("395"));
    let text = [head(3, 1), b"x".to_vec()].concat();
    let mut changed = parts();
    changed.protected.push((text.clone(), int(0)));
    assert!(changed.verify().is_ok(), "a header that is not known");
    changed.unprotected.push((text, int(0)));
    assert_eq!(changed.verify(), twice("\"x\""));
    for protected in [true, false] {
        let mut changed = parts();
        let headers = if protected { &mut changed.protected } else { &mut changed.unprotected };
        headers.push((int(2), array(&[int(1)])));
        assert_eq!(changed.verify(), Err(CoseError::Critical));
    }
}

/// RFC 9052, section 4.4: the signature covers the protected header and the payload.
#[test]
fn a_receipt_with_any_changed_byte_is_refused_or_does_not_verify() {
    let tree = Tree::new(&leaves(40));
    let (receipt, public) = (inclusion(&tree, 40, 33), key().public_key());
    let leaf = tree.leaves()[33];
    for at in 0..receipt.as_bytes().len() {
        for bit in 0..8 {
            let mut bytes = receipt.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let verified =
                InclusionReceipt::read(&bytes).and_then(|read| read.verify(&public, &leaf));
            // No signature covers the size: others ask for a proof of the same shape.
            let size = InclusionReceipt::read(&bytes).map(|read| read.size().get());
            assert!(verified.is_err() || size.is_ok_and(|size| size != 40), "byte {at}, bit {bit}");
        }
        assert!(InclusionReceipt::read(&receipt.as_bytes()[..at]).is_err());
    }
    let longer = [receipt.as_bytes(), &[0]].concat();
    assert!(matches!(InclusionReceipt::read(&longer), Err(CoseError::Form { .. })));
    let stranger = Ed25519Key::from_secret(&[6; 32]).public_key();
    assert_eq!(receipt.verify(&stranger, &leaf), Err(CoseError::WrongSignature));
}

/// A key that says it is of Ed25519 and fails.
struct Locked;

impl Signer for Locked {
    fn public_key(&self) -> PublicKey {
        key().public_key()
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::new("locked"))
    }
}

#[test]
fn a_key_of_another_algorithm_and_one_that_fails_sign_no_receipt() {
    let tree = Tree::new(&leaves(3));
    let proof = || InclusionProof::from_siblings(vec![[0; 32]; 2]);
    let sign = |signer: &dyn Signer| {
        InclusionReceipt::sign(signer, None, &checkpoint(tree.head(3)), LeafIndex(1), proof())
    };
    let other = MlDsa44Key::from_seed(&[1; 32]);
    assert_eq!(sign(&other), Err(CoseError::OtherKey));
    assert_eq!(sign(&Locked), Err(CoseError::Signer(SignerError::new("locked"))));
    let receipt = inclusion(&tree, 3, 1);
    assert_eq!(receipt.verify(&other.public_key(), &tree.leaves()[1]), Err(CoseError::OtherKey));
}

proptest! {
    #[test]
    fn reading_any_bytes_as_a_receipt_is_total(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let good = parts().receipt();
        let (at, end) = (at.index(good.len()), cut.index(good.len()));
        let mixed = [&good[..at], &noise, &good[end..]].concat();
        for bytes in [noise, mixed] {
            if let Ok(receipt) = InclusionReceipt::read(&bytes) {
                prop_assert_eq!(receipt.as_bytes(), bytes.as_slice());
                let _ = receipt.verify(&key().public_key(), &[0; 32]);
            }
            if let Ok(receipt) = ConsistencyReceipt::read(&bytes) {
                let old = TreeHead { size: receipt.old_size(), root: [0; 32] };
                let _ = receipt.verify(&key().public_key(), &old);
            }
        }
    }
}
