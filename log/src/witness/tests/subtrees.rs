//! C2SP `tlog-witness`, `sign-subtree`.

use duramen::merkle::{Subtree, SubtreeProof};
use duramen::tlog::witness::SignSubtree;

use super::*;

const ORIGIN: &str = "example.com/log";
const SIZE: u64 = 14;

fn config(log: &Log) -> WitnessConfig {
    WitnessConfig::new(known(&[log]), Arc::new(ed25519())).key(Arc::new(ml_dsa()))
}

/// The checkpoint of a size with the cosignatures of the witness alone.
async fn cosigned(place: &Place, log: &Log, size: u64) -> SignedNote {
    let lines = place.cosigned(log, 0, size).await;
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{}\n{body}", log.note(size).unverified_text()).parse().unwrap()
}

fn part(start: u64, end: u64) -> Subtree {
    Subtree::new(start, end).unwrap()
}

/// The request for a subtree of the first `size` entries.
fn request(log: &Log, part: Subtree, size: u64, note: &SignedNote) -> SignSubtree {
    let snapshot = log.tree.snapshot();
    let root = snapshot.subtree_root(part).unwrap();
    let proof = snapshot.prove_subtree(part, size).unwrap();
    SignSubtree::new(part, root, proof, note.clone()).unwrap()
}

async fn send(place: &Place, request: &SignSubtree) -> Answer {
    place.send("POST", "/sign-subtree", request.to_string()).await
}

/// Paragraphs 1 to 8, 13: a subtree of a checkpoint that the witness cosigned is signed, without a time.
#[test]
fn every_subtree_of_a_cosigned_checkpoint_is_signed_with_the_key_that_can() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, SIZE);
    run(async {
        let place = Place::open_with(dir.path(), config(&log));
        let note = cosigned(&place, &log, SIZE).await;
        let AnyVerifier::MlDsa44(key) = ml_dsa().vkey().parse().unwrap() else { panic!() };
        for start in 0..SIZE {
            for end in start + 1..=SIZE {
                let Ok(part) = Subtree::new(start, end) else { continue };
                let request = request(&log, part, SIZE, &note);
                let answer = send(&place, &request).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_eq!(answer.kind, "text/plain; charset=utf-8");
                let text = format!("text\n\n{}", answer.body);
                let signed: SignedNote = text.parse().unwrap();
                let [one] = signed.signatures() else { panic!("{signed}") };
                assert_eq!((one.name(), one.id()), (key.name(), NoteVerifier::id(&key)));
                assert!(one.bytes().starts_with(&[0; 8]), "it has a time");
                let root = request.claimed_root();
                assert!(key.verifies_subtree(ORIGIN, part, root, one.bytes()));
                assert!(!key.verifies_subtree("other", part, root, one.bytes()));
            }
        }
        place.close();
    });
}

/// Paragraphs 3 to 10: the form of a request, and a valid subtree within the checkpoint.
#[test]
fn a_request_of_another_form_is_answered_with_400() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, SIZE);
    run(async {
        let place = Place::open_with(dir.path(), config(&log));
        let note = cosigned(&place, &log, SIZE).await;
        let good = request(&log, part(8, 13), SIZE, &note).to_string();
        let proof_line = good.lines().nth(2).unwrap();
        let root_line = good.lines().nth(1).unwrap();
        for bad in [
            String::new(),
            "subtree 8 13\n".to_owned(),
            good.replacen("subtree 8 13", "subtree 08 13", 1),
            good.replacen("subtree 8 13", "subtree 8  13", 1),
            good.replacen("subtree 8 13", "subtree 8 13 ", 1),
            good.replacen("subtree 8 13", "subtree 8", 1),
            good.replacen("subtree 8 13", "Subtree 8 13", 1),
            good.replacen("subtree 8 13\n", "", 1),
            // Not aligned, backwards, and beyond the checkpoint.
            good.replacen("subtree 8 13", "subtree 7 13", 1),
            good.replacen("subtree 8 13", "subtree 13 8", 1),
            good.replacen("subtree 8 13", "subtree 8 15", 1),
            good.replacen(root_line, "AAAA", 1),
            good.replacen(proof_line, "not base64", 1),
            good.replacen(proof_line, &format!("{proof_line}\n").repeat(64), 1),
            good.replacen("\n\n", "\n", 1),
        ] {
            let answer = place.send("POST", "/sign-subtree", bad.clone()).await;
            assert_eq!(answer.status, 400, "{bad:?} {answer:?}");
        }
        for method in ["GET", "PUT"] {
            assert_eq!(place.send(method, "/sign-subtree", good.clone()).await.status, 405);
        }
        place.close();
    });
}

/// Paragraphs 10 to 12: 422 without a right proof, 404 for an unknown origin, 403 without a cosignature of the witness.
#[test]
fn what_is_not_proven_not_known_or_not_cosigned_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (log, other) = (Log::new(ORIGIN, SIZE), Log::new("example.com/other", SIZE));
    run(async {
        let place = Place::open_with(dir.path(), config(&log));
        let note = cosigned(&place, &log, SIZE).await;
        let part = part(8, 12);
        let good = request(&log, part, SIZE, &note);
        assert_eq!(send(&place, &good).await.status, 200);
        let snapshot = log.tree.snapshot();
        let (root, proof) = (*good.claimed_root(), snapshot.prove_subtree(part, SIZE).unwrap());
        let mut wrong = root;
        wrong[0] ^= 1;
        let short = SubtreeProof::from_hashes(proof.hashes()[1..].to_vec());
        let mut bent = proof.hashes().to_vec();
        bent[0][31] ^= 1;
        for (root, proof) in
            [(wrong, proof.clone()), (root, short), (root, SubtreeProof::from_hashes(bent))]
        {
            let asked = SignSubtree::new(part, root, proof, note.clone()).unwrap();
            assert_eq!(send(&place, &asked).await.status, 422);
        }
        let unknown = request(&other, part, SIZE, &other.note(SIZE));
        assert_eq!(send(&place, &unknown).await.status, 404);
        // The log's own signature is none of the witness.
        let uncosigned = request(&log, part, SIZE, &log.note(SIZE));
        assert_eq!(send(&place, &uncosigned).await.status, 403);
        // A cosignature of another checkpoint is none of this one.
        let moved = note.to_string().replacen(&format!("\n{SIZE}\n"), "\n13\n", 1);
        let moved = request(&log, part, 13, &moved.parse().unwrap());
        assert_eq!(send(&place, &moved).await.status, 403);
        place.close();
    });
}

/// Paragraph 2: a witness need not support it, and without a key of the right type it does not.
#[test]
fn a_witness_without_a_key_for_subtrees_signs_none() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, SIZE);
    run(async {
        let place = Place::open(dir.path(), &[&log]);
        let note = cosigned(&place, &log, SIZE).await;
        let asked = request(&log, part(8, 12), SIZE, &note);
        assert_eq!(send(&place, &asked).await.status, 404);
        place.close();
    });
}
