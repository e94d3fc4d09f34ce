//! C2SP `tlog-checkpoint`.

use duramen::tlog::{Checkpoint, SignedNote, TlogError};
use duramen::{Arity, Blake3, Hasher, Rfc6962Sha256, TreeHead, TreeSize};

use crate::tlog::model::{ORIGIN, TIME, checkpoint, known, log_key, mldsa_witness, verifier};

const HEAD: TreeHead = TreeHead { size: TreeSize(7), root: [9; 32] };

/// tlog-checkpoint, Note text: the root is of the tree of RFC 6962 with SHA-256.
#[test]
fn a_head_of_another_tree_than_that_of_rfc_6962_has_no_checkpoint() {
    assert!(Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, HEAD).is_ok());
    for (hasher, arity) in
        [(Rfc6962Sha256.id(), Arity::Four), (Blake3.id(), Arity::Two), (Blake3.id(), Arity::Four)]
    {
        let refused = Checkpoint::new(ORIGIN, hasher, arity, HEAD).unwrap_err();
        assert_eq!(refused, TlogError::OtherProfile { hasher: hasher.as_str(), arity });
        assert!(refused.to_string().contains(hasher.as_str()));
    }
}

/// tlog-checkpoint, Note text, 1 and 4: origin and extension lines are not empty.
#[test]
fn the_origin_and_extension_lines_are_not_empty() {
    let lines = checkpoint(HEAD).to_string();
    let refused = |text: String| text.parse::<Checkpoint>().unwrap_err();
    assert_eq!(refused(lines.replace(ORIGIN, "")), TlogError::CheckpointLine { line: 1 });
    assert_eq!(refused(format!("{lines}\n")), TlogError::CheckpointLine { line: 4 });
    assert_eq!(refused(format!("{lines}more\n\nmore\n")), TlogError::CheckpointLine { line: 5 });
    assert!(format!("{lines}more\n").parse::<Checkpoint>().is_ok());
}

/// tlog-checkpoint, Note text, 1: no form of the origin is assumed.
#[test]
fn an_origin_may_have_spaces_and_plus() {
    let text = checkpoint(HEAD).to_string().replace(ORIGIN, "a log + more");
    assert_eq!(text.parse::<Checkpoint>().unwrap().origin(), "a log + more");
}

/// tlog-checkpoint, Note text, 2: decimal without leading zeros.
#[test]
fn a_size_has_no_leading_zero_unless_it_is_zero() {
    let with = |size: &str| checkpoint(HEAD).to_string().replace("\n7\n", &format!("\n{size}\n"));
    for good in ["0", "1", "10", "18446744073709551615"] {
        assert!(with(good).parse::<Checkpoint>().is_ok(), "{good}");
    }
    for bad in ["", "00", "07", "+7", "-7", "7 ", "0x7", "18446744073709551616", "٧"] {
        let refused = with(bad).parse::<Checkpoint>();
        assert_eq!(refused, Err(TlogError::Number { what: "size" }), "{bad}");
    }
}

/// tlog-checkpoint, Signatures: unknown signatures are ignored, so that keys can be replaced.
#[test]
fn a_checkpoint_signed_by_an_old_and_a_new_key_is_verified_by_whoever_knows_one() {
    let (old, new) =
        (log_key(), duramen::tlog::Ed25519Signer::from_secret(ORIGIN, &[2; 32]).unwrap());
    let mut note = SignedNote::sign(&checkpoint(HEAD).to_string(), &old).unwrap();
    note.add_signature(&new).unwrap();
    for key in [old, new] {
        let read = note.verify_checkpoint(&[&key.verifier()], ORIGIN).unwrap();
        assert_eq!(read.head(), HEAD);
    }
}

/// tlog-checkpoint, Signatures: ML-DSA-44 does not sign extension lines.
#[test]
fn extension_lines_that_no_known_signature_covers_are_not_handed_out() {
    let log = duramen::tlog::Cosigner::new(ORIGIN, duramen::tlog::MlDsa44Key::from_seed(&[3; 32]))
        .unwrap();
    let text = format!("{}extension\n", checkpoint(HEAD));
    let mut note = SignedNote::sign(&text, &log.at(TIME)).unwrap();
    let keys = [verifier(&log.vkey()), verifier(&log_key().verifier().to_string())];
    let mut changed: SignedNote = note.to_string().replace("extension", "forged").parse().unwrap();
    for note in [&note, &changed] {
        let read = note.verify_checkpoint(&known(&keys[..1]), ORIGIN).unwrap();
        assert_eq!((read.head(), read.extensions()), (HEAD, &[][..]));
        assert_eq!(note.verify(&known(&keys[..1])), Err(TlogError::ExtensionsNotSigned));
    }
    note.add_signature(&log_key()).unwrap();
    let read = note.verify_checkpoint(&known(&keys), ORIGIN).unwrap();
    assert_eq!(read.extensions(), ["extension"]);
    assert_eq!(note.verify(&known(&keys)), Ok(text.as_str()));
    // A witness whose signature covers nothing more changes nothing.
    changed.add_signature(&mldsa_witness(1).at(TIME)).unwrap();
    let keys = [verifier(&log.vkey()), verifier(&mldsa_witness(1).vkey())];
    assert!(changed.verify_checkpoint(&known(&keys), ORIGIN).unwrap().extensions().is_empty());
    let plain = SignedNote::sign(&checkpoint(HEAD).to_string(), &log.at(TIME)).unwrap();
    assert!(plain.verify(&known(&keys)).is_ok(), "without extension lines all is covered");
}
