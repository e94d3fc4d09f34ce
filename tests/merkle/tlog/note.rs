//! C2SP `signed-note`.

use duramen::tlog::{NoteSigner, SignedNote, SignerError, TlogError};

use crate::tlog::model::{ed25519_witness, known, log_key, mldsa_witness, verifier};

/// A signer that says what it is told to.
struct Says(&'static str, Result<Vec<u8>, SignerError>);

impl NoteSigner for Says {
    fn name(&self) -> &str {
        self.0
    }

    fn id(&self) -> u32 {
        7
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.1.clone()
    }
}

fn signed() -> String {
    SignedNote::sign("text\n", &log_key()).unwrap().to_string()
}

/// signed-note, Format: valid UTF-8 without control characters but newline.
#[test]
fn a_note_has_no_control_characters_but_newlines() {
    for control in (0..b' ').filter(|byte| *byte != b'\n') {
        let note = signed().replacen('x', &char::from(control).to_string(), 1);
        let refused = note.parse::<SignedNote>();
        assert_eq!(refused, Err(TlogError::ControlCharacter { at: 2, found: control }));
        let text = format!("a{}\n", char::from(control));
        assert!(SignedNote::sign(&text, &log_key()).is_err());
    }
}

/// signed-note, Format: key names are non-empty, without Unicode spaces and plus.
#[test]
fn a_key_name_is_not_empty_and_has_no_unicode_space_and_no_plus() {
    for name in ["", "a b", "a+b", "a\u{a0}b", "a\u{2003}b", "a\u{3000}b", "a\u{85}b"] {
        let line = format!("\u{2014} {name} AAAAAAA=\n");
        let refused = format!("text\n\n{line}").parse::<SignedNote>();
        assert_eq!(refused, Err(TlogError::SignatureLine { line: 1 }), "{name:?}");
        let name: &'static str = name;
        assert!(SignedNote::sign("text\n", &Says(name, Ok(vec![1]))).is_err());
    }
}

/// signed-note, Format: a verifier must accept at least 16 signatures; of post-quantum ones each has up to 5 kB.
#[test]
fn a_note_of_16_post_quantum_signatures_and_more_is_read_and_a_larger_one_is_refused_with_the_limit()
 {
    let head = duramen::TreeHead { size: duramen::TreeSize(7), root: [9; 32] };
    let mut note = crate::tlog::model::log_note(head);
    for number in 0..16 {
        note.add_signature(&mldsa_witness(number).at(1)).unwrap();
    }
    let text = note.to_string();
    assert!(text.len() > 16 * 3000);
    assert_eq!(text.parse(), Ok(note.clone()));
    for number in 0..16 {
        let keys = [verifier(&mldsa_witness(number).vkey())];
        assert!(note.verify(&known(&keys)).is_ok());
    }

    let lines = |count: usize| format!("text\n\n{}", "\u{2014} name AAAAAAA=\n".repeat(count));
    assert!(lines(SignedNote::MAX_SIGNATURES).parse::<SignedNote>().is_ok());
    let (most, found) = (SignedNote::MAX_SIGNATURES, SignedNote::MAX_SIGNATURES + 1);
    let refused = lines(found).parse::<SignedNote>();
    assert_eq!(refused, Err(TlogError::TooManySignatures { most, found }));
    let mut full: SignedNote = lines(most).parse().unwrap();
    let refused = full.add_signature(&log_key());
    assert_eq!(refused, Err(TlogError::TooManySignatures { most, found }));

    let (most, body) = (SignedNote::MAX_BYTES, lines(1).len() - "text".len());
    let long = |len: usize| lines(1).replacen("text", &"a".repeat(len - body), 1);
    assert!(long(most).parse::<SignedNote>().is_ok());
    let refused = long(most + 1).parse::<SignedNote>();
    assert_eq!(refused, Err(TlogError::TooLong { most, found: most + 1 }));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("1048576") && text.contains("1048577"), "{text}");
}

/// signed-note, Signatures: signatures from unknown keys are ignored, even if they share name or ID.
#[test]
fn a_signature_by_an_unknown_key_is_ignored_even_if_it_has_the_name_or_the_id_of_a_known_one() {
    let keys = [verifier(&log_key().verifier().to_string())];
    let mut note: SignedNote = signed().parse().unwrap();
    let id = NoteSigner::id(&log_key());
    struct Other(&'static str, u32);
    impl NoteSigner for Other {
        fn name(&self) -> &str {
            self.0
        }
        fn id(&self) -> u32 {
            self.1
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Ok(vec![0; 64])
        }
    }
    note.add_signature(&Other("example.com/log", id ^ 1)).unwrap();
    note.add_signature(&Other("example.com/other", id)).unwrap();
    assert_eq!(note.verify(&known(&keys)), Ok("text\n"));
    note.add_signature(&Other("example.com/log", id)).unwrap();
    let name = "example.com/log".to_owned();
    assert_eq!(note.verify(&known(&keys)), Err(TlogError::WrongSignature { name }));
}

/// signed-note, Signatures: with a known key the signature is verified, and without a right one the note is refused.
#[test]
fn a_note_without_a_right_signature_by_a_known_key_is_refused() {
    let keys = [verifier(&ed25519_witness(1).vkey())];
    let note: SignedNote = signed().parse().unwrap();
    let refused = note.verify(&known(&keys));
    assert_eq!(refused, Err(TlogError::NotSignedByKnownKey { signatures: 1 }));
    assert!(note.verify(&[]).is_err());
}

/// signed-note, Signatures: a wrong signature by a known key refuses the note, a right one beside it or not.
#[test]
fn a_wrong_signature_beside_a_right_one_by_the_same_key_refuses_the_note() {
    let note = signed();
    let line = note.lines().last().unwrap();
    let wrong = SignedNote::sign("other\n", &log_key()).unwrap().to_string();
    let wrong = wrong.lines().last().unwrap().to_owned();
    let keys = [verifier(&log_key().verifier().to_string())];
    for lines in [format!("{line}\n{wrong}\n"), format!("{wrong}\n{line}\n")] {
        let note: SignedNote = format!("text\n\n{lines}").parse().unwrap();
        assert!(matches!(note.verify(&known(&keys)), Err(TlogError::WrongSignature { .. })));
    }
    let twice: SignedNote = format!("text\n\n{line}\n{line}\n").parse().unwrap();
    assert!(twice.verify(&known(&keys)).is_ok());
}

#[test]
fn a_key_that_cannot_sign_is_named_with_its_reason_and_the_note_is_as_it_was() {
    let error = SignerError::new("the module is locked");
    let signer = Says("example.com/hsm", Err(error.clone()));
    let refused = SignedNote::sign("text\n", &signer);
    let expected = TlogError::Signer { name: "example.com/hsm".into(), error };
    assert_eq!(refused, Err(expected.clone()));
    assert_eq!(expected.to_string(), "example.com/hsm cannot sign: the module is locked");
    let mut note: SignedNote = signed().parse().unwrap();
    assert!(note.add_signature(&signer).is_err());
    assert!(note.add_signature(&Says("empty", Ok(vec![]))).is_err());
    assert_eq!(note.to_string(), signed());
}
