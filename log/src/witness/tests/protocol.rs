//! C2SP `tlog-witness`: what is asked over HTTP, and what is answered.

use duramen::tlog::witness::SIZE_CONTENT_TYPE;
use duramen::tlog::{AnyVerifier, Ed25519Signer, NoteVerifier, SignedNote};
use duramen::{ConsistencyProof, Hasher, Rfc6962Sha256, TreeHead, TreeSize};

use super::*;

const ORIGIN: &str = "example.com/log";

/// A witness that cosigned size 5 of a log of 9 entries.
async fn at_five(dir: &Path) -> (Log, Place) {
    let log = Log::new(ORIGIN, 9);
    let place = Place::open(dir, &[&log]);
    place.cosigned(&log, 0, 5).await;
    (log, place)
}

fn request(old: u64, hashes: Vec<[u8; 32]>, note: SignedNote) -> AddCheckpoint {
    AddCheckpoint::new(TreeSize(old), ConsistencyProof::from_hashes(hashes), note).unwrap()
}

/// tlog-witness, add-checkpoint, paragraphs 2 and 3: POST alone, at this path alone.
#[test]
fn checkpoints_are_posted() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let body = log.request(5, 9).to_string();
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(place.send(method, "/add-checkpoint", body.clone()).await.status, 405);
        }
        assert_eq!(place.send("POST", "/add-checkpoint/", body.clone()).await.status, 404);
        assert_eq!(place.send("POST", "/add-checkpoint", body).await.status, 200);
    });
}

/// tlog-witness, add-checkpoint, paragraphs 4 to 7: old size line, proof lines, an empty line, the checkpoint, and a
/// newline behind each.
#[test]
fn a_request_of_another_form_is_answered_with_400() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let good = log.request(5, 9).to_string();
        let proof_line = good.lines().nth(1).unwrap();
        let many = format!("{proof_line}\n").repeat(64);
        for bad in [
            String::new(),
            "old 5\n".to_owned(),
            good.replacen("old 5", "old 05", 1),
            good.replacen("old 5", "old  5", 1),
            good.replacen("old 5", "old +5", 1),
            good.replacen("old 5", "Old 5", 1),
            good.replacen("old 5", "old 5 ", 1),
            good.replacen("old 5", "old 18446744073709551616", 1),
            good.replacen("old 5\n", "", 1),
            good.replacen('\n', "\r\n", 1),
            good.replacen(proof_line, "not base64", 1),
            good.replacen(proof_line, "AAAA", 1),
            good.replacen(&format!("{proof_line}\n"), &many, 1),
            good.replacen("\n\n", "\n", 1),
            good.trim_end().to_owned(),
            format!("{good}x"),
        ] {
            let answer = place.send("POST", "/add-checkpoint", bad.clone()).await;
            assert_eq!(answer.status, 400, "{bad:?} {answer:?}");
        }
        let answer = place.send("POST", "/add-checkpoint", vec![0xff, 0xfe]).await;
        assert_eq!(answer.status, 400);
        // None of them changed anything.
        place.cosigned(&log, 5, 9).await;
    });
}

/// tlog-witness, add-checkpoint, paragraph 8: more signatures than the log's are no mistake.
#[test]
fn signatures_by_unknown_keys_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let mut note = log.note(9);
        note.add_signature(&Ed25519Signer::from_secret("another", &[9; 32]).unwrap()).unwrap();
        // Not even right ones.
        let text = format!("{note}\u{2014} unknown AAAAAAA=\n");
        let proof = log.proof(5, 9).hashes().to_vec();
        let answer = place.add(&request(5, proof, text.parse().unwrap())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let shown: SignedNote = place.shown(&log).await.body.parse().unwrap();
        assert_eq!(shown.signatures().len(), 2, "they are not kept");
    });
}

/// tlog-witness, add-checkpoint, paragraph 9: 404 for an unknown origin.
#[test]
fn a_log_that_is_not_listed_is_answered_with_404() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (_, place) = at_five(dir.path()).await;
        let other = Log::new("example.com/other", 3);
        assert_eq!(place.status(&other, 0, 3).await, 404);
        // Also if a known key signed it.
        let log = Log::new(ORIGIN, 9);
        let note = other.signed(other.head(3), &log.key);
        assert_eq!(place.add(&request(0, Vec::new(), note)).await.status, 404);
    });
}

/// tlog-witness, add-checkpoint, paragraph 9: 403 without a signature by a trusted key, and with a wrong one.
#[test]
fn a_checkpoint_that_its_log_did_not_sign_is_answered_with_403() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let proof = log.proof(5, 9).hashes().to_vec();
        let thief = Ed25519Signer::from_secret(ORIGIN, &[9; 32]).unwrap();
        let forged = log.signed(log.head(9), &thief);
        let answer = place.add(&request(5, proof.clone(), forged.clone())).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        // The name and the id of the trusted key, and the signature of another text.
        let (right, other) = (log.note(9).to_string(), log.note(8));
        let wrong = format!("{}\n{}\n", log.note(9).unverified_text(), other.signatures()[0]);
        let answer = place.add(&request(5, proof.clone(), wrong.parse().unwrap())).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        // A right one beside it does not help.
        let both = format!("{right}{}\n", other.signatures()[0]);
        let answer = place.add(&request(5, proof, both.parse().unwrap())).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        place.cosigned(&log, 5, 9).await;
    });
}

/// tlog-witness, add-checkpoint, paragraph 10: 400 if the old size is larger than the checkpoint's.
#[test]
fn an_old_size_beyond_the_new_one_is_answered_with_400() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        assert_eq!(place.status(&log, 5, 4).await, 400);
        assert_eq!(place.status(&log, 10, 9).await, 400);
    });
}

/// tlog-witness, add-checkpoint, paragraph 11: 409 with the size, its newline and its type.
#[test]
fn an_old_size_that_is_not_the_latest_one_is_answered_with_the_latest_one() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = Log::new(ORIGIN, 9);
        let place = Place::open(dir.path(), &[&log]);
        for (old, new, latest) in [(3, 9, "0\n"), (9, 9, "0\n")] {
            let answer = place.add(&log.request(old, new)).await;
            assert_eq!((answer.status, &*answer.body), (409, latest));
            assert_eq!(answer.kind, SIZE_CONTENT_TYPE);
        }
        place.cosigned(&log, 0, 5).await;
        for (old, new) in [(0, 9), (4, 9), (6, 9), (0, 0), (4, 4), (0, 5)] {
            let answer = place.add(&log.request(old, new)).await;
            assert_eq!((answer.status, &*answer.body), (409, "5\n"), "{old} {new}");
            assert_eq!(answer.kind, SIZE_CONTENT_TYPE);
        }
    });
}

/// tlog-witness, add-checkpoint, paragraph 13: 422 for an empty tree with another root than the hash of nothing.
#[test]
fn the_empty_tree_has_one_root() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = Log::new(ORIGIN, 9);
        let place = Place::open(dir.path(), &[&log]);
        let wrong = TreeHead { size: TreeSize(0), root: [0; 32] };
        let answer = place.add(&request(0, Vec::new(), log.signed(wrong, &log.key))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(place.shown(&log).await.status, 404);
        let right = TreeHead { size: TreeSize(0), root: Rfc6962Sha256.empty_root() };
        let answer = place.add(&request(0, Vec::new(), log.signed(right, &log.key))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(place.shown(&log).await.status, 200);
        place.cosigned(&log, 0, 9).await;
    });
}

/// tlog-witness, add-checkpoint, paragraphs 14 and 15: 422 for a proof from size zero that is not empty, and for one that
/// does not verify.
#[test]
fn a_checkpoint_that_is_not_proven_is_answered_with_422() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = Log::new(ORIGIN, 9);
        let place = Place::open(dir.path(), &[&log]);
        let answer = place.add(&request(0, vec![[1; 32]], log.note(5))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        place.cosigned(&log, 0, 5).await;

        let right = log.proof(5, 9).hashes().to_vec();
        let mut changed = right.clone();
        changed[0][0] ^= 1;
        let longer = [&right[..], &[[1; 32]]].concat();
        for wrong in [Vec::new(), changed, longer, right[1..].to_vec()] {
            let answer = place.add(&request(5, wrong, log.note(9))).await;
            assert_eq!(answer.status, 422, "{answer:?}");
        }
        let answer = place.add(&request(5, vec![[1; 32]], log.note(5))).await;
        assert_eq!(answer.status, 422, "between equal sizes nothing is proven: {answer:?}");
        place.cosigned(&log, 5, 9).await;
    });
}

/// tlog-witness, add-checkpoint, paragraphs 16 and 17: 422 for another root of the same size, and no cosignature for a
/// fork.
#[test]
fn a_fork_is_not_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let mut fork = Log::new(ORIGIN, 4);
        fork.grow(5, "another history");
        let answer = place.add(&request(5, Vec::new(), fork.note(5))).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(place.status(&fork, 5, 9).await, 422);
        // And neither is a smaller tree, however the size is asked for.
        assert_eq!(place.status(&log, 3, 4).await, 409);
        assert_eq!(place.status(&log, 5, 4).await, 400);
        let shown: SignedNote = place.shown(&log).await.body.parse().unwrap();
        assert_eq!(shown.unverified_text(), log.note(5).unverified_text());
        place.cosigned(&log, 5, 9).await;
    });
}

/// tlog-witness, add-checkpoint, paragraph 18: signature lines of all keys of the witness, of the whole tree, with a time.
#[test]
fn the_answer_has_a_cosignature_by_each_key_with_the_time() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = Log::new(ORIGIN, 9);
        let config = WitnessConfig::new(known(&[&log]), Arc::new(ed25519()));
        let place = Place::open_with(dir.path(), config.key(Arc::new(ml_dsa())));
        for (old, new) in [(0, 5), (5, 9), (9, 9)] {
            let cosigned = place.cosigned(&log, old, new).await;
            assert_eq!(cosigned.len(), 2);
            for (signature, vkey) in cosigned.iter().zip(place.witness.vkeys()) {
                let key: AnyVerifier = vkey.parse().unwrap();
                // After 2020.
                assert!(key.timestamp(signature.bytes()).unwrap() > 1_577_836_800);
            }
        }
    });
}

/// tlog-witness, Monitor Retrieval Mechanism, paragraphs 3 and 4: the checkpoint with the signature of its log and the
/// cosignatures that were answered; 404 if there is none.
#[test]
fn the_latest_checkpoint_of_a_log_is_shown_with_all_signatures() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = Log::new(ORIGIN, 9);
        let other = Log::new("example.com/other", 1);
        let config = WitnessConfig::new(known(&[&log, &other]), Arc::new(ed25519()));
        let place = Place::open_with(dir.path(), config.key(Arc::new(ml_dsa())));
        assert_eq!(place.shown(&log).await.status, 404);
        for (old, new) in [(0, 5), (5, 9)] {
            let cosigned = place.cosigned(&log, old, new).await;
            let shown = place.shown(&log).await;
            assert_eq!((shown.status, &*shown.kind), (200, "text/plain; charset=utf-8"));
            let shown: SignedNote = shown.body.parse().unwrap();
            let key = log.key.verifier();
            let checkpoint = shown.verify_checkpoint(&[&key as &dyn NoteVerifier], ORIGIN).unwrap();
            assert_eq!(checkpoint.head(), log.head(new));
            assert_eq!(shown.signatures()[1..], cosigned);
        }
        assert_eq!(place.shown(&other).await.status, 404);
        let path = format!("/{}", monitor_path(ORIGIN));
        for path in [path.to_uppercase(), path.replacen('/', "/00", 1), path.clone() + "/"] {
            assert_eq!(place.send("GET", &path, "").await.status, 404, "{path}");
        }
        assert_eq!(place.send("POST", &path, "").await.status, 405);
    });
}

#[test]
fn a_request_that_is_too_long_is_answered_with_413() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (log, place) = at_five(dir.path()).await;
        let body = "x".repeat(crate::MAX_REQUEST + 1);
        assert_eq!(place.send("POST", "/add-checkpoint", body).await.status, 413);
        place.cosigned(&log, 5, 9).await;
    });
}

/// tlog-cosignature, Ed25519 signed message: the message does not commit to the name, so each cosigner has a key of its own.
#[test]
fn two_cosigners_do_not_share_an_ed25519_key() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new("example.com/log", 1);
    let key = |name: &str, secret: u8| {
        Arc::new(Cosigner::new(name, Ed25519Key::from_secret(&[secret; 32])).unwrap())
    };
    let open = |name: &str, secret: u8| {
        let store = Store::open(Config::new(dir.path().join(name))).unwrap();
        let config = WitnessConfig::new(known(&[&log]), key("witness.example/w1", 2));
        let config = config.key(key(&format!("witness.example/{name}"), secret)).new_store(true);
        Witness::open(&store, config).map(drop)
    };
    let refused = open("w2", 2).unwrap_err();
    assert!(matches!(refused, crate::WitnessError::SameKey { .. }), "{refused}");
    open("w3", 3).unwrap();
}
