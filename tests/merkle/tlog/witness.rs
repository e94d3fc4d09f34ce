//! C2SP `tlog-witness`, `add-checkpoint`.

use duramen::tlog::witness::{
    Accepted, AddCheckpoint, Answer, AnswerError, KnownLog, MAX_PROOF_HASHES, Refusal,
    RequestError, SIZE_CONTENT_TYPE, WitnessStatus, cosigned_body, decide, monitor_path,
};
use duramen::tlog::{Ed25519Signer, NoteVerifier, SignedNote, TlogError};
use duramen::{Arity, ConsistencyProof, Hash, Rfc6962Sha256, TreeHead, TreeSize};
use proptest::prelude::*;

use crate::tlog::model::{
    ORIGIN, TIME, Tree, checkpoint, ed25519_witness, hex, known, leaves, log_key, log_note,
    mldsa_witness, mth, sha256, verifier,
};

fn consistency(tree: &Tree, old: u64, new: u64) -> ConsistencyProof {
    let sizes = (TreeSize(old), TreeSize(new));
    ConsistencyProof::build_at(tree, &Rfc6962Sha256, Arity::Two, sizes.0, sizes.1).unwrap()
}

fn request(tree: &Tree, old: u64, new: u64) -> AddCheckpoint {
    let note = log_note(tree.head(usize::try_from(new).unwrap()));
    AddCheckpoint::new(TreeSize(old), consistency(tree, old, new), note).unwrap()
}

fn ask(request: &AddCheckpoint, latest: Option<&TreeHead>) -> Result<Accepted, Refusal> {
    let key = log_key().verifier();
    decide(request, Some(KnownLog { origin: ORIGIN, keys: &[&key] }), latest)
}

fn status(refused: &Result<Accepted, Refusal>) -> u16 {
    refused.as_ref().map_or_else(|refusal| refusal.status().code(), |_| 200)
}

/// tlog-witness, add-checkpoint: old size line, proof lines, an empty line, the checkpoint; each with a newline.
#[test]
fn the_body_is_the_old_size_the_proof_an_empty_line_and_the_checkpoint() {
    let tree = Tree::new(&leaves(50));
    for (old, new) in [(0, 0), (0, 7), (7, 7), (7, 50), (32, 33)] {
        let request = request(&tree, old, new);
        let text = request.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], format!("old {old}"));
        let hashes = request.proof().hashes().len();
        assert_eq!(lines[1 + hashes], "");
        assert_eq!(lines[2 + hashes..].join("\n") + "\n", request.note().to_string());
        assert_eq!(text.parse(), Ok(request));
        for cut in 0..text.len() {
            if let Some(cut) = text.get(..cut) {
                assert!(cut.parse::<AddCheckpoint>().is_err(), "{cut:?}");
            }
        }
    }
}

/// tlog-witness, add-checkpoint: `old`, one space, decimal without leading zeros unless zero.
#[test]
fn the_old_size_is_decimal_without_leading_zeros() {
    let text = request(&Tree::new(&leaves(50)), 7, 50).to_string();
    for bad in [
        "old 07",
        "old 00",
        "old +7",
        "old  7",
        "old\t7",
        "Old 7",
        "old",
        "old ",
        "7",
        "old 7 ",
        "old 18446744073709551616",
        "old 7\r",
    ] {
        let refused = text.replacen("old 7", bad, 1).parse::<AddCheckpoint>();
        assert_eq!(refused, Err(RequestError::NoOldSize), "{bad}");
    }
    assert!(text.replacen("old 7", "old 0", 1).parse::<AddCheckpoint>().is_ok());
}

/// tlog-witness, add-checkpoint: one hash in base64 per line, at most 63 lines.
#[test]
fn a_proof_line_is_one_hash_and_there_are_at_most_63() {
    let note = || log_note(TreeHead { size: TreeSize(7), root: [9; 32] });
    let with = |count| {
        AddCheckpoint::new(TreeSize(5), ConsistencyProof::from_hashes(vec![[1; 32]; count]), note())
    };
    let most = MAX_PROOF_HASHES;
    assert_eq!(most, 63);
    let text = with(most).unwrap().to_string();
    assert_eq!(text.parse(), Ok(with(most).unwrap()));
    assert_eq!(with(most + 1), Err(RequestError::TooManyHashes { most }));
    let line = text.lines().nth(1).unwrap().to_owned();
    let longer = text.replacen(&line, &format!("{line}\n{line}"), 1);
    assert_eq!(longer.parse::<AddCheckpoint>(), Err(RequestError::TooManyHashes { most }));
    for bad in [&line[1..], &format!("{line} "), &format!("{line}{line}"), "AAAA", "-"] {
        let changed = text.replacen(&format!("{line}\n"), &format!("{bad}\n"), 1);
        assert_eq!(
            changed.parse::<AddCheckpoint>(),
            Err(RequestError::ProofLine { line: 2 }),
            "{bad}"
        );
    }
    // Not a checkpoint.
    let other = format!("old 0\n\n{}", SignedNote::sign("text\n", &log_key()).unwrap());
    assert!(matches!(other.parse::<AddCheckpoint>(), Err(RequestError::Checkpoint(_))));
    assert_eq!(Refusal::Malformed(RequestError::NoOldSize).status().code(), 400);
}

/// tlog-witness, add-checkpoint: 404 for an unknown origin.
#[test]
fn a_checkpoint_of_an_unknown_log_is_answered_with_404() {
    let request = request(&Tree::new(&leaves(7)), 0, 7);
    let key = log_key().verifier();
    let keys: [&dyn NoteVerifier; 1] = [&key];
    for log in [None, Some(KnownLog { origin: "example.com/other", keys: &keys })] {
        let refused = decide(&request, log, None);
        assert_eq!(refused, Err(Refusal::UnknownOrigin { origin: ORIGIN.into() }));
        assert_eq!(status(&refused), 404);
    }
}

/// tlog-witness, add-checkpoint: 403 without a right signature by a trusted key, unknown ones are ignored.
#[test]
fn a_checkpoint_that_no_trusted_key_signed_or_one_signed_wrongly_is_answered_with_403() {
    let tree = Tree::new(&leaves(7));
    let stranger = Ed25519Signer::from_secret(ORIGIN, &[99; 32]).unwrap();
    let text = checkpoint(tree.head(7)).to_string();
    let strange = SignedNote::sign(&text, &stranger).unwrap();
    let with = |note: SignedNote| {
        ask(&AddCheckpoint::new(TreeSize(0), consistency(&tree, 0, 7), note).unwrap(), None)
    };
    let refused = with(strange.clone());
    assert_eq!(refused, Err(Refusal::NotSigned(TlogError::NotSignedByKnownKey { signatures: 1 })));
    assert_eq!(status(&refused), 403);
    let mut both = strange;
    both.add_signature(&log_key()).unwrap();
    assert_eq!(status(&with(both.clone())), 200);
    let forged = both.to_string().replace("\n7\n", "\n8\n").parse::<SignedNote>().unwrap();
    let refused = with(forged);
    assert_eq!(refused, Err(Refusal::NotSigned(TlogError::WrongSignature { name: ORIGIN.into() })));
    assert_eq!(status(&refused), 403);
}

/// tlog-witness, add-checkpoint: 400 if the old size is larger than the new one.
#[test]
fn an_old_size_beyond_the_checkpoint_is_answered_with_400_whatever_is_stored() {
    let tree = Tree::new(&leaves(50));
    let none = ConsistencyProof::from_hashes(vec![]);
    let request = AddCheckpoint::new(TreeSize(8), none, log_note(tree.head(7))).unwrap();
    for latest in [None, Some(tree.head(7)), Some(tree.head(8)), Some(tree.head(50))] {
        let refused = ask(&request, latest.as_ref());
        assert_eq!(refused, Err(Refusal::OldBeyondNew { old: TreeSize(8), new: TreeSize(7) }));
        assert_eq!(status(&refused), 400);
    }
}

/// tlog-witness, add-checkpoint: 409 with the size of the latest checkpoint, its newline and its content type.
#[test]
fn another_old_size_than_the_latest_is_answered_with_409_and_the_latest_size() {
    let tree = Tree::new(&leaves(50));
    for (old, latest) in [(0, Some(7)), (3, Some(7)), (8, Some(7)), (7, None), (7, Some(50))] {
        let latest_head = latest.map(|size| tree.head(size));
        let refused = ask(&request(&tree, old, 50), latest_head.as_ref());
        let latest = latest.unwrap_or(0);
        let refusal = refused.unwrap_err();
        assert_eq!(refusal, Refusal::Conflict { latest: TreeSize(latest as u64) });
        let (code, body) = (refusal.status().code(), refusal.body());
        assert_eq!((code, body.clone()), (409, format!("{latest}\n")));
        assert_eq!(refusal.content_type(), "text/x.tlog.size");
        let answer = Answer::read(code, Some(refusal.content_type()), &body);
        assert_eq!(answer, Ok(Answer::Conflict { latest: TreeSize(latest as u64) }));
    }
}

/// tlog-witness, add-checkpoint: 422 for an empty tree with another root than the hash of nothing.
#[test]
fn an_empty_tree_with_another_root_is_answered_with_422() {
    let none = || ConsistencyProof::from_hashes(vec![]);
    let with = |root: Hash| {
        let head = TreeHead { size: TreeSize(0), root };
        (head, AddCheckpoint::new(TreeSize(0), none(), log_note(head)).unwrap())
    };
    let (head, good) = with(sha256(&[]));
    assert_eq!(ask(&good, None), Ok(Accepted { head, advances: false }));
    assert_eq!(ask(&good, Some(&head)), Ok(Accepted { head, advances: false }));
    let refused = ask(&with([0; 32]).1, None);
    assert_eq!((status(&refused), refused), (422, Err(Refusal::NotEmptyRoot)));
}

/// tlog-witness, add-checkpoint: 422 for a proof from size zero that is not empty.
#[test]
fn a_proof_from_size_0_that_is_not_empty_is_answered_with_422() {
    let tree = Tree::new(&leaves(7));
    let empty = tree.head(0);
    for latest in [None, Some(&empty)] {
        for new in [0, 7] {
            let proof = ConsistencyProof::from_hashes(vec![[0; 32]]);
            let request = AddCheckpoint::new(TreeSize(0), proof, log_note(tree.head(new))).unwrap();
            let refused = ask(&request, latest);
            assert_eq!(
                (status(&refused), refused),
                (422, Err(Refusal::ProofFromNothing { found: 1 }))
            );
        }
        assert!(ask(&request(&tree, 0, 7), latest).unwrap().advances);
    }
}

/// tlog-witness, add-checkpoint: 422 for another root of the same size.
#[test]
fn another_root_of_the_latest_size_is_answered_with_422_and_the_same_root_is_cosigned_again() {
    let tree = Tree::new(&leaves(7));
    let head = tree.head(7);
    assert_eq!(ask(&request(&tree, 7, 7), Some(&head)), Ok(Accepted { head, advances: false }));
    let forked = TreeHead { root: [0; 32], ..head };
    let none = ConsistencyProof::from_hashes(vec![]);
    let request = AddCheckpoint::new(TreeSize(7), none, log_note(forked)).unwrap();
    let refused = ask(&request, Some(&head));
    assert_eq!((status(&refused), refused), (422, Err(Refusal::OtherRoot { size: TreeSize(7) })));
    let more = ConsistencyProof::from_hashes(vec![[0; 32]]);
    let request = AddCheckpoint::new(TreeSize(7), more, log_note(head)).unwrap();
    assert!(matches!(ask(&request, Some(&head)), Err(Refusal::Inconsistent(_))));
}

/// tlog-witness, add-checkpoint: 422 for a proof that does not verify, 200 and a new record for one that does.
#[test]
fn a_checkpoint_is_accepted_if_it_is_proven_to_extend_the_latest_and_answered_with_422_otherwise() {
    let tree = Tree::new(&leaves(40));
    let mut other = leaves(40);
    other[3] = [7; 32];
    let forked = Tree::new(&other);
    for old in 1..40_u64 {
        for new in old + 1..=40 {
            let latest = tree.head(usize::try_from(old).unwrap());
            let good = request(&tree, old, new);
            let head = tree.head(usize::try_from(new).unwrap());
            assert_eq!(ask(&good, Some(&latest)), Ok(Accepted { head, advances: true }));
            // Up to three leaves both have the same; with more, the other one is a fork, whichever proof comes with it.
            if old <= 3 {
                continue;
            }
            let fork = log_note(forked.head(usize::try_from(new).unwrap()));
            for proof in [consistency(&tree, old, new), consistency(&forked, old, new)] {
                let request = AddCheckpoint::new(TreeSize(old), proof, fork.clone()).unwrap();
                let refused = ask(&request, Some(&latest));
                assert!(matches!(refused, Err(Refusal::Inconsistent(_))), "{old} {new}");
                assert_eq!(status(&refused), 422);
            }
        }
    }
}

/// tlog-witness, add-checkpoint: the body of a 200 is signature lines; the client ignores unknown keys.
#[test]
fn an_answer_is_signature_lines_of_which_the_client_takes_those_by_its_witnesses() {
    let tree = Tree::new(&leaves(7));
    let request = request(&tree, 0, 7);
    let (ed, ml, stranger) = (ed25519_witness(1), mldsa_witness(2), ed25519_witness(9));
    let lines = [
        request.note().signature(&stranger.at(TIME)).unwrap(),
        request.note().signature(&ed.at(TIME)).unwrap(),
        request.note().signature(&ml.at(TIME)).unwrap(),
    ];
    let body = cosigned_body(&lines);
    assert!(body.lines().all(|line| line.starts_with('\u{2014}')) && body.ends_with('\n'));
    let Ok(Answer::Cosigned(read)) = Answer::read(200, None, &body) else { panic!("not cosigned") };
    assert_eq!(read, lines);
    let keys = [verifier(&ed.vkey()), verifier(&ml.vkey())];
    let mut note = request.note().clone();
    assert_eq!(note.add_cosignatures(&read, &known(&keys)), Ok(2));
    assert_eq!(note.signatures().len(), 3, "the log and two witnesses");
    // Asked again later, the newer signature replaces the older one.
    let again = [request.note().signature(&ed.at(TIME + 1)).unwrap()];
    assert_eq!(note.add_cosignatures(&again, &known(&keys)), Ok(1));
    let signature = note.signature_by(&keys[0]).unwrap().unwrap();
    assert_eq!(
        (note.signatures().len(), keys[0].timestamp(signature.bytes())),
        (3, Some(TIME + 1))
    );
    let unknown = note.add_cosignatures(&read[..1], &known(&keys));
    assert_eq!(unknown, Err(TlogError::NotSignedByKnownKey { signatures: 1 }));
    // Of another checkpoint.
    let mut other = log_note(tree.head(6));
    let before = other.clone();
    let wrong = other.add_cosignatures(&read, &known(&keys));
    assert_eq!(wrong, Err(TlogError::WrongSignature { name: ed.name().into() }));
    assert_eq!(other, before);
    for bad in
        ["", "\n", "\u{2014} name AAAAAAA=", "- name AAAAAAA=\n", "\u{2014} name AAAAAAA=\n\n"]
    {
        assert!(Answer::read(200, None, bad).is_err(), "{bad:?}");
    }
}

/// tlog-witness, add-checkpoint: the cosignature has a time, and is of the whole tree.
#[test]
fn a_cosignature_without_a_time_is_not_taken() {
    let mut note = log_note(Tree::new(&leaves(7)).head(7));
    let keys = [verifier(&ed25519_witness(1).vkey()), verifier(&mldsa_witness(2).vkey())];
    for (signature, name) in [
        (note.signature(&ed25519_witness(1).at(0)), "witness.example/w1"),
        (note.signature(&mldsa_witness(2).at(0)), "witness.example/w2"),
    ] {
        let refused = note.add_cosignatures(&[signature.unwrap()], &known(&keys));
        assert_eq!(refused, Err(TlogError::NoTime { name: name.into() }));
    }
    let part = duramen::merkle::Subtree::new(0, 4).unwrap();
    let root = mth(&leaves(4));
    let signature = mldsa_witness(2).cosign_subtree(ORIGIN, part, &root).unwrap();
    let refused = note.add_cosignatures(&[signature], &known(&keys));
    assert!(matches!(refused, Err(TlogError::WrongSignature { .. })));
}

/// tlog-witness, add-checkpoint: `text/x.tlog.size`, decimal and a newline.
#[test]
fn an_answer_to_a_conflict_has_its_type_and_a_size() {
    let read = |kind, body| Answer::read(409, kind, body);
    let kind = Some(SIZE_CONTENT_TYPE);
    assert_eq!(read(kind, "0\n"), Ok(Answer::Conflict { latest: TreeSize(0) }));
    let with_charset = Some("Text/X.tlog.size ; charset=utf-8");
    assert_eq!(read(with_charset, "7\n"), Ok(Answer::Conflict { latest: TreeSize(7) }));
    for kind in [None, Some("text/plain"), Some(""), Some("text/x.tlog.sizes")] {
        assert_eq!(read(kind, "7\n"), Err(AnswerError::NoSizeType));
    }
    for body in
        ["", "\n", "7", "07\n", "7\n\n", " 7\n", "-1\n", "seven\n", "18446744073709551616\n"]
    {
        assert_eq!(read(kind, body), Err(AnswerError::NoSize), "{body:?}");
    }
}

/// tlog-witness, add-checkpoint: the statuses.
#[test]
fn every_status_of_the_protocol_has_a_meaning_and_no_other_has() {
    let known = [200, 400, 403, 404, 409, 422];
    for code in 0..1000 {
        let status = WitnessStatus::from_code(code);
        assert_eq!(status.map(WitnessStatus::code), known.contains(&code).then_some(code));
        match Answer::read(code, Some(SIZE_CONTENT_TYPE), "7\n") {
            Err(AnswerError::UnknownStatus { code: found }) => {
                assert!(status.is_none() && found == code);
            }
            Ok(Answer::Refused(refused)) => assert_eq!(Some(refused), status),
            Ok(Answer::Conflict { .. }) => assert_eq!(code, 409),
            other => assert!(
                matches!(other, Err(AnswerError::NoSignatures | AnswerError::SignatureLine { .. })),
                "{code}"
            ),
        }
    }
}

/// tlog-witness, Monitor Retrieval Mechanism: the hash of the origin in lower-case hex digits.
#[test]
fn a_witness_serves_the_latest_checkpoint_of_a_log_under_the_hash_of_its_origin() {
    let path = monitor_path("example.com/behind-the-sofa");
    assert_eq!(path, format!("{}/checkpoint", hex(&sha256(b"example.com/behind-the-sofa"))));
}

proptest! {
    /// tlog-witness, add-checkpoint: whatever is sent in whatever order, what is accepted is one history.
    #[test]
    fn a_witness_that_stores_what_it_accepts_never_accepts_two_histories(
        requests in prop::collection::vec((any::<bool>(), 0..12_u64, 0..12_u64), 1..30),
    ) {
        let mut other = leaves(12);
        other[2] = [7; 32];
        let trees = [Tree::new(&leaves(12)), Tree::new(&other)];
        let mut accepted: Vec<TreeHead> = Vec::new();
        for (fork, old, more) in requests {
            let (tree, new) = (&trees[usize::from(fork)], (old + more).min(12));
            let request = request(tree, old.min(new), new);
            if let Ok(now) = ask(&request, accepted.last()) {
                accepted.push(now.head);
            }
        }
        prop_assert!(accepted.windows(2).all(|pair| pair[0].size <= pair[1].size));
        let fits = |tree: &Tree| accepted.iter().all(|head| tree.head(usize::try_from(head.size.get()).unwrap()) == *head);
        prop_assert!(trees.iter().any(fits));
    }

    #[test]
    fn reading_any_request_and_any_answer_is_total_and_what_is_read_is_written_back(
        text in "(old [0-9]{1,3}\n)?([A-Za-z+/]{43}=\n){0,2}\n?[a-z]{1,3}\n[0-9]{1,3}\n[A-Za-z]{42}[AE]=\n\n?(\u{2014} [a-z]{1,4} [A-Za-z0-9+/=]{8,12}\n){0,3}",
        code in prop_oneof![Just(200_u16), Just(409), any::<u16>()],
    ) {
        if let Ok(request) = text.parse::<AddCheckpoint>() {
            prop_assert_eq!(request.to_string(), text.clone());
            let _ = ask(&request, None);
        }
        if let Ok(Answer::Cosigned(lines)) = Answer::read(code, None, &text) {
            prop_assert_eq!(cosigned_body(&lines), text);
        }
    }
}
