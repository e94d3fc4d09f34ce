//! C2SP `tlog-proof`.

use duramen::merkle::InclusionProof;
use duramen::tlog::{Policy, SignedNote, TlogError, TlogProof};
use duramen::{Arity, LeafIndex, Rfc6962Sha256, TreeSize, VerifyError};

use crate::tlog::model::{
    ORIGIN, TIME, Tree, checkpoint, ed25519_witness, leaves, log_key, log_note, mldsa_witness,
    verifier,
};

fn proof(tree: &Tree, size: u64, index: u64) -> TlogProof {
    let proof = InclusionProof::build_at(
        tree,
        &Rfc6962Sha256,
        Arity::Two,
        TreeSize(size),
        LeafIndex(index),
    );
    let head = tree.head(usize::try_from(size).unwrap());
    TlogProof {
        extra: None,
        index: LeafIndex(index),
        proof: proof.unwrap(),
        checkpoint: log_note(head),
    }
}

fn policy(threshold: usize) -> Policy {
    let keys = [ed25519_witness(1).vkey(), mldsa_witness(2).vkey(), ed25519_witness(3).vkey()];
    let policy = Policy::threshold(threshold, keys.map(|key| verifier(&key))).unwrap();
    policy.with_log(verifier(&log_key().verifier().to_string())).unwrap()
}

/// tlog-proof, Verifying a tlog proof, 2 and 3: the log's key and the witnesses of the policy.
#[test]
fn a_proof_is_verified_by_the_key_of_the_log_and_k_of_n_witnesses() {
    let tree = Tree::new(&leaves(50));
    let mut proof = proof(&tree, 50, 33);
    let leaf = tree.leaves()[33];
    let keys = log_key().verifier();
    assert!(proof.verify(&[&keys], ORIGIN, &leaf).is_ok(), "the log alone");
    let short = TlogError::QuorumNotReached { cosigned: 0, witnesses: 3 };
    assert_eq!(proof.verify_witnessed(&policy(2), &leaf), Err(short));
    proof.checkpoint.add_signature(&ed25519_witness(1).at(TIME)).unwrap();
    let short = TlogError::QuorumNotReached { cosigned: 1, witnesses: 3 };
    assert_eq!(proof.verify_witnessed(&policy(2), &leaf), Err(short));
    proof.checkpoint.add_signature(&mldsa_witness(2).at(TIME)).unwrap();
    let proof: TlogProof = proof.to_string().parse().unwrap();
    let witnessed = proof.verify_witnessed(&policy(2), &leaf).unwrap();
    assert_eq!(witnessed.cosigned, [Some(TIME), Some(TIME), None]);
    assert_eq!(witnessed.checkpoint, checkpoint(tree.head(50)));
    assert!(proof.verify_witnessed(&policy(3), &leaf).is_err());
    let wrong = proof.verify_witnessed(&policy(2), &tree.leaves()[34]);
    assert!(matches!(wrong, Err(TlogError::Refused(VerifyError::RootMismatch { .. }))));
}

/// tlog-proof, Verifying a tlog proof, 2: witnesses are not the log.
#[test]
fn a_proof_whose_checkpoint_only_witnesses_signed_is_refused() {
    let tree = Tree::new(&leaves(50));
    let mut proof = proof(&tree, 50, 33);
    let text = checkpoint(tree.head(50)).to_string();
    proof.checkpoint = SignedNote::sign(&text, &ed25519_witness(1).at(TIME)).unwrap();
    proof.checkpoint.add_signature(&ed25519_witness(3).at(TIME)).unwrap();
    let refused = proof.verify_witnessed(&policy(2), &tree.leaves()[33]);
    assert_eq!(refused, Err(TlogError::NotSignedByKnownKey { signatures: 2 }));
}

/// tlog-proof, Format: the first line.
#[test]
fn a_proof_begins_with_its_name_and_version() {
    let text = proof(&Tree::new(&leaves(3)), 3, 1).to_string();
    assert!(text.parse::<TlogProof>().is_ok());
    for bad in ["c2sp.org/tlog-proof@v2", "c2sp.org/tlog-proof", "C2SP.org/tlog-proof@v1", ""] {
        let changed = text.replacen("c2sp.org/tlog-proof@v1", bad, 1);
        assert_eq!(changed.parse::<TlogProof>(), Err(TlogError::NotAProof));
    }
}

/// tlog-proof, Format: the line of the index.
#[test]
fn the_index_is_a_decimal_number_without_leading_zeros_behind_its_word() {
    let text = proof(&Tree::new(&leaves(3)), 3, 1).to_string();
    for bad in
        ["index 01", "index +1", "index  1", "index", "Index 1", "index 18446744073709551616"]
    {
        assert!(text.replacen("index 1", bad, 1).parse::<TlogProof>().is_err(), "{bad}");
    }
    assert!(text.replacen("index 1", "extra \nindex 1", 1).parse::<TlogProof>().is_ok());
    for bad in ["extra", "extra A", "extra AAAA ", "index 1\nextra AAAA"] {
        let changed = text.replacen("index 1", &format!("{bad}\nindex 1"), 1);
        assert!(changed.parse::<TlogProof>().is_err(), "{bad}");
    }
}

/// tlog-proof, Format: extra data is not authenticated.
#[test]
fn extra_data_changes_nothing_about_what_is_proven() {
    let tree = Tree::new(&leaves(3));
    let mut proof = proof(&tree, 3, 1);
    for extra in [None, Some(vec![]), Some(vec![1, 2, 3])] {
        proof.extra = extra;
        let read: TlogProof = proof.to_string().parse().unwrap();
        assert_eq!(read, proof);
        assert!(read.verify(&[&log_key().verifier()], ORIGIN, &tree.leaves()[1]).is_ok());
    }
}
