//! C2SP `tlog-cosignature`.

use duramen::merkle::Subtree;
use duramen::tlog::{
    AnyVerifier, Cosigner, Ed25519Key, KeyType, MAX_TIMESTAMP, MlDsa44Key, MlDsa44Verifier,
    NoteSignature, NoteSigner, NoteVerifier, SignedNote, Signer, TlogError,
};
use duramen::{TreeHead, TreeSize};

use crate::tlog::model::{
    ORIGIN, TIME, checkpoint, ed25519_witness, known, log_note, mldsa_witness, verifier,
};

const HEAD: TreeHead = TreeHead { size: TreeSize(20_852_163), root: [9; 32] };

/// What a cosigner puts behind the key ID.
fn cosigned(cosigner: &dyn NoteSigner) -> Vec<u8> {
    cosigner.sign(checkpoint(HEAD).to_string().as_bytes()).unwrap()
}

/// tlog-cosignature, Format: `timestamped_signature`, the time in big-endian order before the signature.
#[test]
fn a_cosignature_is_eight_bytes_of_time_and_the_signature_of_its_type() {
    let (ed, ml) = (ed25519_witness(1), mldsa_witness(2));
    for (bytes, len) in [(cosigned(&ed.at(TIME)), 64), (cosigned(&ml.at(TIME)), 2420)] {
        assert_eq!((&bytes[..8], bytes.len()), (&TIME.to_be_bytes()[..], 8 + len));
    }
    for (vkey, bytes) in [(ed.vkey(), cosigned(&ed.at(TIME))), (ml.vkey(), cosigned(&ml.at(TIME)))]
    {
        let (key, text) = (verifier(&vkey), checkpoint(HEAD).to_string());
        assert!(key.verifies(text.as_bytes(), &bytes));
        assert_eq!(key.timestamp(&bytes), Some(TIME));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x80;
            assert!(!key.verifies(text.as_bytes(), &changed), "byte {at}");
            if at % 97 == 0 {
                assert!(!key.verifies(text.as_bytes(), &bytes[..at]));
            }
        }
        assert!(!key.verifies(text.as_bytes(), &[bytes.as_slice(), &[0]].concat()));
    }
}

/// tlog-cosignature, Format: the time does not exceed 2^63 - 1.
#[test]
fn a_time_beyond_2_to_the_63_minus_1_is_neither_signed_nor_verified() {
    let text = checkpoint(HEAD).to_string();
    assert_eq!(MAX_TIMESTAMP, (1 << 63) - 1);
    for time in [0, 1, MAX_TIMESTAMP] {
        assert!(ed25519_witness(1).at(time).sign(text.as_bytes()).is_ok());
        assert!(mldsa_witness(1).at(time).sign(text.as_bytes()).is_ok());
    }
    for time in [1 << 63, u64::MAX] {
        assert!(ed25519_witness(1).at(time).sign(text.as_bytes()).is_err());
        assert!(mldsa_witness(1).at(time).sign(text.as_bytes()).is_err());
        // Signed by a careless cosigner.
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let bytes = Ed25519Key::from_secret(&[101; 32]).sign(message.as_bytes()).unwrap();
        let bytes = [&time.to_be_bytes(), bytes.as_slice()].concat();
        let key = verifier(&ed25519_witness(1).vkey());
        assert!(!key.verifies(text.as_bytes(), &bytes) && key.timestamp(&bytes).is_none());
        let message =
            message_06("witness.example/w1", time, ORIGIN, 0, HEAD.size.get(), &HEAD.root);
        let bytes = MlDsa44Key::from_seed(&[101; 32]).sign(&message).unwrap();
        let bytes = [&time.to_be_bytes(), bytes.as_slice()].concat();
        assert!(!verifier(&mldsa_witness(1).vkey()).verifies(text.as_bytes(), &bytes));
    }
}

/// tlog-cosignature, Ed25519 signed message: two lines and the whole note body.
#[test]
fn an_ed25519_cosignature_signs_two_lines_and_the_whole_body_with_its_extension_lines() {
    for text in [checkpoint(HEAD).to_string(), format!("{}extension\nmore\n", checkpoint(HEAD))] {
        let bytes = ed25519_witness(1).at(TIME).sign(text.as_bytes()).unwrap();
        let message = format!("cosignature/v1\ntime {TIME}\n{text}");
        let signature = Ed25519Key::from_secret(&[101; 32]).sign(message.as_bytes()).unwrap();
        assert_eq!(bytes[8..], signature);
    }
    let zero = ed25519_witness(1).at(0).sign(checkpoint(HEAD).to_string().as_bytes()).unwrap();
    let message = format!("cosignature/v1\ntime 0\n{}", checkpoint(HEAD));
    assert_eq!(zero[8..], Ed25519Key::from_secret(&[101; 32]).sign(message.as_bytes()).unwrap());
}

/// The struct `cosigned_message`, field by field.
fn message_06(
    name: &str,
    time: u64,
    origin: &str,
    start: u64,
    end: u64,
    root: &[u8; 32],
) -> Vec<u8> {
    let mut message = b"subtree/v1\n\0".to_vec();
    message.push(u8::try_from(name.len()).unwrap());
    message.extend(name.as_bytes());
    message.extend(time.to_be_bytes());
    message.push(u8::try_from(origin.len()).unwrap());
    message.extend(origin.as_bytes());
    message.extend(start.to_be_bytes());
    message.extend(end.to_be_bytes());
    message.extend(root);
    message
}

/// tlog-cosignature, ML-DSA-44 signed message: `cosigned_message`, start 0 and end the size for a checkpoint.
#[test]
fn an_ml_dsa_cosignature_of_a_checkpoint_signs_its_names_time_size_and_root_and_no_extension_line()
{
    let message = message_06("witness.example/w1", TIME, ORIGIN, 0, HEAD.size.get(), &HEAD.root);
    let signature = MlDsa44Key::from_seed(&[101; 32]).sign(&message).unwrap();
    for text in [checkpoint(HEAD).to_string(), format!("{}extension\n", checkpoint(HEAD))] {
        let bytes = mldsa_witness(1).at(TIME).sign(text.as_bytes()).unwrap();
        assert_eq!(bytes[8..], signature, "it signs deterministically");
        assert!(verifier(&mldsa_witness(1).vkey()).verifies(text.as_bytes(), &bytes));
    }
}

/// tlog-cosignature, ML-DSA-44 signed message: names of 1 to 255 bytes.
#[test]
fn a_name_of_more_than_255_bytes_has_no_ml_dsa_cosignature() {
    let (longest, long) = ("n".repeat(255), "n".repeat(256));
    let key = MlDsa44Key::from_seed(&[1; 32]);
    assert_eq!(Cosigner::new(&long, &key).unwrap_err(), TlogError::LongName { found: 256 });
    assert!(Cosigner::new(&long, Ed25519Key::from_secret(&[1; 32])).is_ok());
    let cosigner = Cosigner::new(&longest, &key).unwrap();
    let text = |origin: &str| checkpoint(HEAD).to_string().replace(ORIGIN, origin);
    assert!(cosigner.at(TIME).sign(text(&longest).as_bytes()).is_ok());
    assert!(cosigner.at(TIME).sign(text(&long).as_bytes()).is_err());
    let subtree = Subtree::new(8, 13).unwrap();
    for (origin, found) in [(String::new(), 0), (long.clone(), 256)] {
        let refused = cosigner.cosign_subtree(&origin, subtree, &[0; 32]);
        assert_eq!(refused, Err(TlogError::LongName { found }));
    }
    // A verifier refuses it and does not panic.
    let key: MlDsa44Verifier = cosigner.vkey().parse().unwrap();
    assert!(!key.verifies(text(&long).as_bytes(), &[0; 2428]));
    assert!(!key.verifies_subtree(&long, subtree, &[0; 32], &[0; 2428]));
    // A vkey of such a name is read: it is by no cosigner that can be.
    let vkey = Cosigner::new(&long, Ed25519Key::from_secret(&[1; 32])).unwrap().vkey();
    assert!(vkey.parse::<AnyVerifier>().is_ok());
}

/// tlog-cosignature, ML-DSA-44 signed message: subtrees, and the time 0 if the start is not 0.
#[test]
fn a_subtree_that_does_not_begin_at_leaf_0_is_signed_and_verified_with_the_time_0_only() {
    let (witness, root) = (mldsa_witness(1), [5; 32]);
    let key: MlDsa44Verifier = witness.vkey().parse().unwrap();
    for (start, end) in [(8, 13), (4, 8), (0, 5), (5, 5), (1 << 63, u64::MAX)] {
        let subtree = Subtree::new(start, end).unwrap();
        let signature = witness.cosign_subtree(ORIGIN, subtree, &root).unwrap();
        assert_eq!((signature.name(), signature.id()), (witness.name(), witness.id()));
        assert_eq!(signature.bytes()[..8], [0; 8]);
        assert!(key.verifies_subtree(ORIGIN, subtree, &root, signature.bytes()));
        assert!(!key.verifies_subtree("example.com/lo", subtree, &root, signature.bytes()));
        assert!(!key.verifies_subtree(ORIGIN, subtree, &[6; 32], signature.bytes()));
        let other = Subtree::whole(TreeSize(end ^ 1));
        assert!(!key.verifies_subtree(ORIGIN, other, &root, signature.bytes()));
        let message = message_06(witness.name(), 0, ORIGIN, start, end, &root);
        let expected = MlDsa44Key::from_seed(&[101; 32]).sign(&message).unwrap();
        assert_eq!(signature.bytes()[8..], expected);

        // With a time, by a careless cosigner.
        let message = message_06(witness.name(), TIME, ORIGIN, start, end, &root);
        let timed = MlDsa44Key::from_seed(&[101; 32]).sign(&message).unwrap();
        let timed = [&TIME.to_be_bytes(), timed.as_slice()].concat();
        assert_eq!(key.verifies_subtree(ORIGIN, subtree, &root, &timed), start == 0);
    }
}

/// tlog-cosignature, ML-DSA-44 signed message: a checkpoint is the subtree from 0 to its size.
#[test]
fn a_cosigned_checkpoint_is_a_cosigned_subtree_from_leaf_0() {
    let bytes = cosigned(&mldsa_witness(1).at(TIME));
    let key: MlDsa44Verifier = mldsa_witness(1).vkey().parse().unwrap();
    assert!(key.verifies_subtree(ORIGIN, Subtree::whole(HEAD.size), &HEAD.root, &bytes));
    let timeless = cosigned(&mldsa_witness(1).at(0));
    let signature = mldsa_witness(1).cosign_subtree(ORIGIN, Subtree::whole(HEAD.size), &HEAD.root);
    assert_eq!(signature.unwrap().bytes(), timeless);
}

/// tlog-cosignature, Format: a cosignature is applied to a checkpoint.
#[test]
fn a_cosigner_signs_nothing_but_checkpoints_and_an_ed25519_one_no_subtree() {
    for text in ["text\n", "", "a\n1\n", "\u{fffd}"] {
        assert!(ed25519_witness(1).at(TIME).sign(text.as_bytes()).is_err(), "{text:?}");
        assert!(mldsa_witness(1).at(TIME).sign(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(mldsa_witness(1).at(TIME).sign(&[0xff, b'\n']).is_err());
    let subtree = Subtree::new(8, 13).unwrap();
    let refused = ed25519_witness(1).cosign_subtree(ORIGIN, subtree, &[0; 32]);
    let (expected, found) = (KeyType::ML_DSA_44_COSIGNATURE, KeyType::ED25519_COSIGNATURE);
    assert_eq!(refused, Err(TlogError::OtherKeyType { expected, found }));
}

/// tlog-cosignature, Format: a signature of one type is none of another, with the same key.
#[test]
fn a_signature_of_one_type_is_not_taken_for_one_of_another() {
    let plain = duramen::tlog::Ed25519Signer::from_secret("name", &[1; 32]).unwrap();
    let cosigner = Cosigner::new("name", Ed25519Key::from_secret(&[1; 32])).unwrap();
    assert_ne!(NoteSigner::id(&plain), cosigner.id());
    let text = checkpoint(HEAD).to_string();
    let (plain_key, key) = (plain.verifier(), verifier(&cosigner.vkey()));
    let signed = NoteSigner::sign(&plain, text.as_bytes()).unwrap();
    let cosigned = cosigner.at(TIME).sign(text.as_bytes()).unwrap();
    assert!(
        plain_key.verifies(text.as_bytes(), &signed) && key.verifies(text.as_bytes(), &cosigned)
    );
    assert!(!plain_key.verifies(text.as_bytes(), &cosigned[8..]));
    assert!(!key.verifies(text.as_bytes(), &signed));
    assert!(!key.verifies(text.as_bytes(), &[&[0; 8], signed.as_slice()].concat()));
}

/// tlog-cosignature, Format: lines of other names and IDs are ignored.
#[test]
fn a_checkpoint_with_cosignatures_is_verified_by_each_of_its_keys() {
    let mut note = log_note(HEAD);
    note.add_signature(&ed25519_witness(1).at(TIME)).unwrap();
    note.add_signature(&mldsa_witness(1).at(TIME)).unwrap();
    let read: SignedNote = note.to_string().parse().unwrap();
    let keys = [verifier(&ed25519_witness(1).vkey()), verifier(&mldsa_witness(1).vkey())];
    for key in &keys {
        assert_eq!(read.verify_checkpoint(&[key], ORIGIN).unwrap(), checkpoint(HEAD));
        let signature = read.signature_by(key).unwrap().map(NoteSignature::bytes);
        assert_eq!(key.timestamp(signature.unwrap()), Some(TIME));
    }
    assert!(read.verify(&known(&keys)).is_ok());
    assert_eq!(read.signature_by(&verifier(&mldsa_witness(2).vkey())), Ok(None));
}
