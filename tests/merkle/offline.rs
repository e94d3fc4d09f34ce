//! The text forms of transparency logs: read, written, and against published implementations.

use duramen::tlog::{
    Checkpoint, Ed25519Signer, Ed25519Verifier, NoteSigner, NoteVerifier, SignedNote, SignerError,
    TlogError, TlogProof,
};
use duramen::{
    Arity, Hasher, LeafIndex, MemoryAccumulator, Rfc6962Sha256, TreeHead, TreeSize, VerifyError,
};
use proptest::prelude::*;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

const ORIGIN: &str = "example.com/log";

/// The key and the note that the specification prints.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_secret(ORIGIN, &[7; 32]).unwrap()
}

fn log(entries: u32) -> MemoryAccumulator<Rfc6962Sha256, 2> {
    let mut log = MemoryAccumulator::new();
    for entry in 0..entries {
        log.push_data(&entry.to_be_bytes()).unwrap();
    }
    log
}

fn checkpoint(head: TreeHead) -> Checkpoint {
    Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head).unwrap()
}

fn proof(log: &MemoryAccumulator<Rfc6962Sha256, 2>, index: u64) -> TlogProof {
    let checkpoint = checkpoint(log.head().unwrap());
    TlogProof {
        extra: None,
        index: LeafIndex(index),
        proof: log.prove(index).unwrap(),
        checkpoint: SignedNote::sign(&checkpoint.to_string(), &signer()).unwrap(),
    }
}

#[test]
fn the_example_of_the_specification_is_read_verified_and_written_back() {
    let key: Ed25519Verifier = SPEC_KEY.parse().unwrap();
    assert_eq!(key.to_string(), SPEC_KEY);
    let note: SignedNote = SPEC_NOTE.parse().unwrap();
    assert_eq!(note.to_string(), SPEC_NOTE);
    assert_eq!(note.verify(&[&key]).unwrap(), "This is an example message.\n");
    let changed = SPEC_NOTE.replace("example message", "exemple message");
    let note: SignedNote = changed.parse().unwrap();
    let name = "example.com/foo".to_owned();
    assert_eq!(note.verify(&[&key]), Err(TlogError::WrongSignature { name }));
}

#[test]
fn our_keys_notes_and_checkpoints_are_those_of_signed_note_and_tlog_tiles() {
    let (our, log) = (signer(), log(100));
    let checkpoint = checkpoint(log.head().unwrap());
    let note = SignedNote::sign(&checkpoint.to_string(), &our).unwrap();

    // Ours through theirs.
    let known = StandardVerifier::new(&our.verifier().to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(known)]);
    let their = Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let (verified, unknown) = their.verify(&known).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(their.text()).unwrap();
    assert_eq!(
        (read.origin(), read.size(), read.hash().0),
        (ORIGIN, 100, log.head().unwrap().root)
    );
    assert_eq!(read.to_bytes(), checkpoint.to_string().into_bytes());

    // Theirs through ours.
    let their_signer = StandardSigner::new(our.secret_text().as_str()).unwrap();
    let text = tlog_tiles::Checkpoint::new(ORIGIN, 7, tlog_tiles::Hash([9; 32]), "more\n").unwrap();
    let mut their = Note::new(&text.to_bytes(), &[]).unwrap();
    their.add_sigs(&[&their_signer]).unwrap();
    let text = String::from_utf8(their.to_bytes()).unwrap();
    let note: SignedNote = text.parse().unwrap();
    assert_eq!(note.to_string(), text);
    let checkpoint = note.verify_checkpoint(&[&our.verifier()], ORIGIN).unwrap();
    assert_eq!(checkpoint.head(), TreeHead { size: TreeSize(7), root: [9; 32] });
    assert_eq!(checkpoint.extensions(), ["more"]);

    let read: Ed25519Signer = our.secret_text().parse().unwrap();
    assert_eq!(read.secret_text(), our.secret_text());
    assert!(
        !format!("{our:?}").contains(&our.secret_text().as_str()[30..]),
        "Debug hides the secret"
    );
}

#[test]
fn an_offline_proof_reads_back_and_verifies_for_every_leaf() {
    for size in [1, 2, 3, 7, 8, 50] {
        let log = log(size);
        for index in 0..size {
            let mut proof = proof(&log, index.into());
            proof.extra = (index % 2 == 1).then(|| vec![0xff; index as usize % 5]);
            let text = proof.to_string();
            let read: TlogProof = text.parse().unwrap();
            assert_eq!(read, proof);
            let leaf = Rfc6962Sha256.leaf(&index.to_be_bytes());
            let checkpoint = read.verify(&[&signer().verifier()], ORIGIN, &leaf).unwrap();
            assert_eq!(checkpoint.head(), log.head().unwrap());
        }
    }
}

#[test]
fn a_text_with_any_changed_byte_is_refused_or_is_not_verified() {
    let (log, key) = (log(50), signer().verifier());
    let text = proof(&log, 33).to_string();
    let leaf = Rfc6962Sha256.leaf(&33_u32.to_be_bytes());
    let verify = |text: &str| {
        let read: TlogProof = text.parse()?;
        assert_eq!(read.to_string(), text, "what is read is written back");
        read.verify(&[&key], ORIGIN, &leaf)
    };
    verify(&text).unwrap();
    for at in 0..text.len() {
        for new in [0, b' ', b'\n', b'0', b'A', b'=', b'z', text.as_bytes()[at] ^ 1] {
            let mut bytes = text.clone().into_bytes();
            if bytes[at] == new {
                continue;
            }
            bytes[at] = new;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(verify(&changed).is_err(), "byte {at} as {new:#x}");
            }
        }
        if let Some(cut) = text.get(..at) {
            assert!(verify(cut).is_err(), "the first {at} bytes");
        }
        if text.is_char_boundary(at) {
            let mut longer = text.clone();
            longer.insert(at, '\n');
            assert!(verify(&longer).is_err(), "a newline at {at}");
        }
    }
}

#[test]
fn what_does_not_belong_together_is_refused_with_the_reason() {
    let (log, key) = (log(50), signer().verifier());
    let leaf = Rfc6962Sha256.leaf(&3_u32.to_be_bytes());
    let good = proof(&log, 3);
    let other = Ed25519Signer::from_secret(ORIGIN, &[8; 32]).unwrap().verifier();
    let unknown = TlogError::NotSignedByKnownKey { signatures: 1 };
    assert_eq!(good.verify(&[&other], ORIGIN, &leaf), Err(unknown.clone()));
    assert_eq!(good.verify(&[], ORIGIN, &leaf), Err(unknown));
    assert!(matches!(
        good.verify(&[&key], "example.com/other", &leaf),
        Err(TlogError::OtherOrigin { .. })
    ));
    assert!(matches!(
        good.verify(&[&key], ORIGIN, &[0; 32]),
        Err(TlogError::Refused(VerifyError::RootMismatch { .. }))
    ));
    let moved = TlogProof { index: LeafIndex(50), ..good.clone() };
    assert!(matches!(
        moved.verify(&[&key], ORIGIN, &leaf),
        Err(TlogError::Refused(VerifyError::IndexBeyondSize { .. }))
    ));
    let long = "c2sp.org/tlog-proof@v1\nindex 0\n".to_owned()
        + &format!("{}=\n", "A".repeat(43)).repeat(65);
    assert_eq!(long.parse::<TlogProof>(), Err(TlogError::TooManyHashes { most: 64 }));
}

#[test]
fn signatures_by_others_are_ignored_and_a_wrong_one_by_a_known_key_refuses_the_note() {
    let witness = Ed25519Signer::from_secret("witness.example", &[1; 32]).unwrap();
    let mut note = SignedNote::sign("text\n", &signer()).unwrap();
    note.add_signature(&witness).unwrap();
    let (log_key, witness_key) = (signer().verifier(), witness.verifier());
    for keys in [&[&log_key as &dyn NoteVerifier][..], &[&witness_key], &[&witness_key, &log_key]] {
        assert_eq!(note.verify(keys).unwrap(), "text\n");
    }

    struct Liar(Ed25519Signer);
    impl NoteSigner for Liar {
        fn name(&self) -> &str {
            NoteSigner::name(&self.0)
        }
        fn id(&self) -> u32 {
            NoteSigner::id(&self.0)
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
            Ok(vec![0; 64])
        }
    }
    note.add_signature(&Liar(signer())).unwrap();
    assert!(matches!(note.verify(&[&log_key]), Err(TlogError::WrongSignature { .. })));
    assert_eq!(note.verify(&[&witness_key]).unwrap(), "text\n");
    assert_eq!(note.signatures().len(), 3);
}

#[test]
fn a_key_has_no_hidden_characters_in_its_name_and_a_note_is_read_whoever_signed_it_too() {
    let line = SPEC_NOTE.lines().last().unwrap();
    let (known, text) = (signer(), signer().verifier().to_string());
    let note = SignedNote::sign("text\n", &known).unwrap().to_string();
    for hidden in ["\u{200b}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{3164}", "\u{7f}", "\u{ad}"] {
        let name = format!("a{hidden}b");
        let refused = |error| matches!(error, TlogError::KeyName { name: found } if found == name);
        assert!(Ed25519Signer::from_secret(&name, &[1; 32]).is_err_and(refused), "{name:?}");
        let (_, rest) = text.split_once('+').unwrap();
        assert!(
            format!("{name}+{rest}").parse::<Ed25519Verifier>().is_err_and(refused),
            "{name:?}"
        );
        let (_, signature) = line.strip_prefix("\u{2014} ").unwrap().split_once(' ').unwrap();
        let note: SignedNote = format!("{note}\u{2014} {name} {signature}\n").parse().unwrap();
        assert_eq!(note.verify(&[&known.verifier()]).unwrap(), "text\n");
    }
}

#[test]
fn texts_that_are_no_notes_checkpoints_or_keys_are_refused() {
    let line = SPEC_NOTE.lines().last().unwrap();
    let note = |text: &str| text.parse::<SignedNote>();
    assert!(note(&format!("a\n\n{line}\n")).is_ok());
    assert!(note(&format!("a\n\nb\n\n{line}\n")).is_ok(), "a text may have empty lines");
    for bad in [
        String::new(),
        "a\n".into(),
        "a\n\n".into(),
        format!("a\n\n{line}"),
        format!("a\n{line}\n"),
        format!("a\n\n{line}\n\n"),
        format!("a\n\n{line}\nb\n"),
        format!("a\r\n\n{line}\n"),
        format!("a\t\n\n{line}\n"),
        format!("a\n\n{}\n", line.replace('\u{2014}', "-")),
        format!("a\n\n{}\n", line.replace("com/foo", "com/ foo")),
        format!("a\n\n{}\n", line.replace("com/foo", "com/+foo")),
        format!("a\n\n{}\n", line.trim_end_matches('=')),
        "a\n\n\u{2014} name AAAA\n".into(),
        format!("a\n\n{}", format!("{line}\n").repeat(101)),
        format!("{}\n\n{line}\n", "a".repeat(1 << 20)),
    ] {
        assert!(note(&bad).is_err(), "{:?}", &bad[..bad.len().min(300)]);
    }

    let root = "A".repeat(43) + "=";
    let checkpoint = |text: String| text.parse::<Checkpoint>();
    assert!(checkpoint(format!("o\n0\n{root}\n")).is_ok());
    for bad in [
        format!("o\n0\n{root}"),
        format!("\n0\n{root}\n"),
        format!("o\n00\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n0\n{root}\n\n"),
        format!("o\n0\n{}\n", &root[1..]),
        format!("o\n0\n{}B=\n", &root[..42]),
        "o\n0\n".into(),
        String::new(),
    ] {
        assert!(checkpoint(bad.clone()).is_err(), "{bad:?}");
    }
    let head = TreeHead { size: TreeSize(0), root: [0; 32] };
    for origin in ["", "a\nb"] {
        assert!(Checkpoint::new(origin, Rfc6962Sha256.id(), Arity::Two, head).is_err());
    }

    for bad in [
        "",
        "name",
        "name+530d903a",
        &SPEC_KEY.replace("530d903a", "530d903b"),
        &SPEC_KEY.replace("530d903a", "530D903A"),
        &SPEC_KEY.replace("+AekyeR", "+AukyeR"),
        &SPEC_KEY[..SPEC_KEY.len() - 4],
        &format!(" {SPEC_KEY}"),
        &format!("{SPEC_KEY}\n"),
    ] {
        assert!(bad.parse::<Ed25519Verifier>().is_err(), "{bad:?}");
        assert!(format!("PRIVATE+KEY+{bad}").parse::<Ed25519Signer>().is_err(), "{bad:?}");
    }
    assert!(SignedNote::sign("no newline", &signer()).is_err());
    assert!(SignedNote::sign("", &signer()).is_err());
    assert!(Ed25519Signer::from_secret("a b", &[1; 32]).is_err());
}

proptest! {
    #[test]
    fn reading_any_text_is_total_and_what_is_read_is_written_back(
        text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z=]{0,8}\n)?(index [0-9]{0,3}\n)?([A-Za-z+/]{43}=\n){0,2}\n?\\PC{0,20}\n[0-9]{1,3}\n[A-Z]{43}=\n\n?(\u{2014} [a-z+ ]{1,4} [A-Za-z0-9+/=]{8,12}\n){0,3}",
    ) {
        if let Ok(note) = text.parse::<SignedNote>() {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(checkpoint) = text.parse::<Checkpoint>() {
            prop_assert_eq!(checkpoint.to_string(), text.clone());
        }
        if let Ok(proof) = text.parse::<TlogProof>() {
            prop_assert_eq!(proof.to_string(), text);
        }
    }
}
