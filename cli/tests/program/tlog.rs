//! `duramen keygen`, `head --format checkpoint` and `prove --format tlog-proof`, verified by
//! published libraries.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::common::store::{COUNT, Store};
use crate::common::{Function, Hash, Place, duramen, given, head_text, printed, refused};
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

const ORIGIN: &str = "example.com/log";

/// Makes a key; returns its file and the public text.
fn keygen(place: &Place, name: &str) -> (PathBuf, String) {
    let file = place.path("key");
    let mut command = duramen(place, &format!("keygen {name} -o"));
    command.arg(&file);
    let public = printed(command);
    (file, public.trim_end().to_owned())
}

/// The program with this line and the key, whose anchor is made if it is missing.
fn signing(store: &Store, line: &str, key: &Path) -> assert_cmd::Command {
    let mut command = duramen(&store.place, line);
    command.arg("--key").arg(key);
    let mut files = std::fs::read_dir(key.parent().unwrap()).unwrap().map(Result::unwrap);
    if !files.any(|file| file.path().extension().is_some_and(|end| end == "anchor")) {
        command.arg("--first-anchor");
    }
    command
}

/// The head of a checkpoint that this key signed, as two published crates read it.
fn their_checkpoint(text: &str, vkey: &str) -> (String, u64, Hash) {
    let known = StandardVerifier::new(vkey).unwrap();
    let note = Note::from_bytes(text.as_bytes()).unwrap();
    let (verified, unknown) = note.verify(&VerifierList::new(vec![Box::new(known)])).unwrap();
    assert_eq!((verified.len(), unknown.len()), (1, 0));
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    (read.origin().to_owned(), read.size(), read.hash().0)
}

#[test]
fn a_key_is_readable_to_its_owner_only_and_never_overwritten() {
    let place = Place::new();
    let (file, public) = keygen(&place, ORIGIN);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(secret.starts_with("PRIVATE+KEY+example.com/log+") && secret.ends_with('\n'));
    // Theirs reads the private key, and it belongs to the public one.
    let signer = StandardSigner::new(secret.trim_end()).unwrap();
    let mut note = Note::new(b"text\n", &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    let known = StandardVerifier::new(&public).unwrap();
    note.verify(&VerifierList::new(vec![Box::new(known)])).unwrap();

    let mut again = duramen(&place, "keygen other -o");
    again.arg(&file);
    assert!(refused(again, 2).contains("cannot write"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), secret);
    let other = place.path("other");
    let mut command = duramen(&place, "keygen a+b -o");
    command.arg(&other);
    assert!(refused(command, 2).contains("is not a key name"));
    assert!(!other.exists());
}

#[test]
fn a_checkpoint_is_that_of_signed_note_and_tlog_tiles_at_every_size() {
    let store = Store::new(Function::Sha256, 2);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    for size in [0, 1, 33, COUNT] {
        let line = format!("head DIR --size {size} --format checkpoint");
        let signed = printed(signing(&store, &line, &key));
        let root = store.function.root(2, &store.leaves[..size]);
        assert_eq!(their_checkpoint(&signed, &vkey), (ORIGIN.to_owned(), size as u64, root));
        // Without a key it is the text that the key signs.
        let bare = printed(duramen(&store.place, &format!("{line} --origin {ORIGIN}")));
        assert!(signed.starts_with(&format!("{bare}\n\u{2014} {ORIGIN} ")), "{signed}");
        assert_eq!(bare.lines().count(), 3);
    }
    let line = "head DIR --format checkpoint --origin other.org --first-anchor --key";
    let mut named = duramen(&store.place, line);
    named.arg(&key);
    assert_eq!(their_checkpoint(&printed(named), &vkey).0, "other.org");
}

#[test]
fn a_tlog_proof_is_verified_by_published_crates_and_by_this_program() {
    let store = Store::new(Function::Sha256, 2);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    for (index, size) in [(0, 1), (5, COUNT), (60, COUNT), (16, 17), (3, 33)] {
        let line = format!("prove DIR {index} --size {size} --format tlog-proof");
        let text = printed(signing(&store, &line, &key));

        // The parts, taken apart by hand.
        let (proof, checkpoint) = text.split_once("\n\n").unwrap();
        let mut lines = proof.lines();
        assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
        assert_eq!(lines.next(), Some(format!("index {index}").as_str()));
        let path: Vec<tlog_tiles::Hash> =
            lines.map(|line| tlog_tiles::Hash::parse_hash(line).unwrap()).collect();
        let (origin, signed_size, root) = their_checkpoint(checkpoint, &vkey);
        assert_eq!((origin.as_str(), signed_size), (ORIGIN, size as u64));
        let (size, at) = (size as u64, index as u64);
        let leaf = tlog_tiles::Hash(store.leaves[index]);
        tlog_tiles::check_record(&path, size, tlog_tiles::Hash(root), at, leaf).unwrap();

        let flags = format!("--index {index} --leaf {}", store.leaf(index));
        let head = store.head(usize::try_from(size).unwrap());
        for trust in [
            format!("--head {head}"),
            format!("--vkey {vkey}"),
            format!("--vkey {vkey} --origin {ORIGIN} --head {head}"),
        ] {
            printed(store.verify(&text, &format!("{trust} {flags}")));
        }
        let other = format!("--vkey {vkey} --index {index} --leaf {}", store.leaf(50));
        let error = refused(store.verify(&text, &other), 1);
        assert!(error.contains("the proof leads to the root"), "{error}");
        let other = format!("--vkey {vkey} --origin other.org {flags}");
        let error = refused(store.verify(&text, &other), 1);
        assert!(error.contains("the checkpoint is of the log \"example.com/log\""), "{error}");
        let forged = text.replace("\nindex ", "\nindex 1");
        assert!(
            refused(store.verify(&forged, &format!("--vkey {vkey} {flags}")), 1).contains("index")
        );
        let forged = text.replace(&format!("\n{size}\n"), &format!("\n{}\n", size + 1));
        let error = refused(store.verify(&forged, &format!("--vkey {vkey} {flags}")), 1);
        assert!(
            error.contains("the signature by example.com/log is not valid for the text"),
            "{error}"
        );
    }
    let (_, stranger) = keygen(&Place::new(), ORIGIN);
    let text = printed(signing(&store, "prove DIR 5 --format tlog-proof", &key));
    let flags = format!("--vkey {stranger} --index 5 --leaf {}", store.leaf(5));
    let error = refused(store.verify(&text, &flags), 1);
    assert!(error.contains("none of 1 signature is by a known key"), "{error}");
}

#[test]
fn a_proof_leads_to_a_checkpoint_that_was_signed_before() {
    let store = Store::new(Function::Sha256, 2);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    let signed = printed(signing(&store, "head DIR --size 33 --format checkpoint", &key));
    let prove = |checkpoint: &str| {
        given(&store.place, "prove DIR 7 --format tlog-proof --checkpoint -", checkpoint)
    };
    let text = printed(prove(&signed));
    assert!(text.ends_with(&format!("\n\n{signed}")));
    printed(store.verify(&text, &format!("--vkey {vkey} --index 7 --leaf {}", store.leaf(7))));

    // One of another tree, or of a size that this tree never had.
    let other = Store::new(Function::Sha256, 2);
    printed(given(&other.place, "append DIR", "more\n"));
    // With an anchor of its own, which the documents warn of.
    let line = "head DIR --format checkpoint --first-anchor --anchor @anchors --key";
    let mut command = duramen(&other.place, line);
    command.arg(&key);
    let other = printed(command);
    assert!(refused(prove(&other), 2).contains("62"));
    printed(given(&store.place, "append DIR", "different\n"));
    let error = refused(prove(&other), 1);
    assert!(error.contains("refused: the checkpoint has root"), "{error}");
    for bad in ["", "example.com/log\n1\n", "no note\n\n\u{2014} x y\n"] {
        assert!(refused(prove(bad), 2).contains("is not a signed checkpoint: "));
    }
}

#[test]
fn what_does_not_make_a_checkpoint_or_a_tlog_proof_is_told() {
    let store = Store::new(Function::Blake3, 4);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    let key = key.display();
    let bad = store.place.file("bad", "PRIVATE+KEY+x+00000000+AAAA\n");
    for (line, reason) in [
        (format!("head DIR --key {key}"), "belong to --format checkpoint"),
        (format!("head DIR --origin {ORIGIN} --json"), "belong to --format checkpoint"),
        (
            format!("head DIR --format checkpoint --key {key}"),
            "a checkpoint is of a tree of rfc6962-sha256 with arity 2, but this store has blake3 with arity 4",
        ),
        (format!("head DIR --format checkpoint --origin {ORIGIN}"), "rfc6962-sha256 with arity 2"),
        ("head DIR --format text --json".into(), "cannot be used with"),
        ("head DIR --format checkpoint --first-anchor".into(), "belong to --key"),
        ("prove DIR 3 --anchor x".into(), "belong to --key"),
        ("head DIR --format checkpoint --key nowhere".into(), "cannot read nowhere"),
        (format!("head DIR --format checkpoint --key {}", bad.display()), "is not a private key"),
        (format!("prove DIR 3 4 --format tlog-proof --key {key}"), "is of one leaf"),
        (format!("prove DIR 3 --format tlog-proof --key {key}"), "rfc6962-sha256 with arity 2"),
    ] {
        let error = refused(duramen(&store.place, &line), 2);
        assert!(error.contains(reason), "{line}: {error}");
        assert!(!error.contains("AAAA"), "no secret in a message: {error}");
    }
    // One of the two alone does not make the tree of RFC 6962.
    for (function, arity) in [(Function::Sha256, 4), (Function::Blake3, 2)] {
        let other = Store::new(function, arity);
        let line = format!("head DIR --format checkpoint --key {key}");
        assert!(refused(duramen(&other.place, &line), 2).contains("a checkpoint is of a tree of"));
    }
    let rfc = Store::new(Function::Sha256, 2);
    let error = refused(duramen(&rfc.place, "head DIR --format checkpoint"), 2);
    assert!(error.contains("--origin NAME or --key FILE"), "{error}");
    let mut empty = duramen(&rfc.place, "head DIR --format checkpoint --origin");
    empty.arg("two\nlines");
    assert!(refused(empty, 2).contains("cannot make a checkpoint: line 1"));

    let proof = store.prove(3, COUNT).to_string();
    let leaf = store.leaf(3);
    let flags = format!("--vkey {vkey} --index 3 --leaf {leaf}");
    assert!(
        refused(store.verify(&proof, &flags), 2)
            .contains("--vkey and --policy are for a tlog-proof")
    );
    let flags = format!("--vkey x+y --index 3 --leaf {leaf}");
    assert!(refused(store.verify(&proof, &flags), 2).contains("NAME+ID+BASE64"));
    let head = store.head(COUNT);
    for text in [
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v2\nindex 3\n\n",
        "c2sp.org/tlog-proof@v1\nindex 03\n\n",
    ] {
        let error =
            refused(store.verify(text, &format!("--head {head} --index 3 --leaf {leaf}")), 2);
        assert!(error.contains("is not an inclusion proof: "), "{error}");
    }
}

/// A writer that has taken raw leaves and waits for more.
fn waiting_writer(store: &Store, leaves: usize, flush_policy: &str) -> std::process::Child {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_duramen"))
        .arg("append")
        .arg(store.place.path("store"))
        .args(["--input", "raw", "--flush-policy", flush_policy, "--checkpoint-policy", "manual"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let piece = vec![7; 32 * 1000];
    let input = child.stdin.as_mut().unwrap();
    for _ in 0..leaves / 1000 {
        std::io::Write::write_all(input, &piece).unwrap();
    }
    child
}

/// A value that is the same for half a second.
fn until_it_stays(value: impl Fn() -> u64) -> u64 {
    let mut last = value();
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = value();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// The size that `head` prints.
fn shown(store: &Store) -> u64 {
    let head = printed(duramen(&store.place, "head DIR"));
    head.lines().next().unwrap()["size ".len()..].parse().unwrap()
}

/// A writer whose input does not pause, until it is told to.
struct BusyWriter {
    child: std::process::Child,
    feeder: std::thread::JoinHandle<u64>,
    enough: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl BusyWriter {
    fn new(store: &Store) -> Self {
        let mut child = waiting_writer(store, 1000, "interval:10ms");
        let mut input = child.stdin.take().unwrap();
        let enough = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let told = std::sync::Arc::clone(&enough);
        let feeder = std::thread::spawn(move || {
            let mut leaves = 1000;
            while !told.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut input, &[7; 32 * 1000]).unwrap();
                leaves += 1000;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            leaves
        });
        Self { child, feeder, enough }
    }

    /// Stops the process. When this returns, all of its threads stand still.
    fn stop(&self) {
        let child = Pid::from_child(&self.child);
        kill_process(child, Signal::STOP).unwrap();
        let (_, status) = waitpid(Some(child), WaitOptions::UNTRACED).unwrap().unwrap();
        assert!(status.stopped());
    }

    fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Ends the input; how many leaves it had.
    fn end(mut self) -> u64 {
        self.enough.store(true, std::sync::atomic::Ordering::Relaxed);
        let leaves = self.feeder.join().unwrap();
        assert!(self.child.wait().unwrap().success());
        leaves
    }
}

#[test]
fn nothing_is_signed_above_what_is_known_to_be_durable() {
    let store = Store::new(Function::Sha256, 2);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    let writer = BusyWriter::new(&store);
    // The files say of every group but the last that it is durable, and of the last one after a pause.
    let start = std::time::Instant::now();
    let seen = loop {
        assert!(start.elapsed().as_secs() < 60, "the writer writes nothing, or pauses");
        writer.stop();
        let seen = shown(&store);
        let trees = printed(duramen(&store.place, "trees DIR --json"));
        let trees: serde_json::Value = serde_json::from_str(&trees).unwrap();
        let durable = trees["trees"][0]["durable_size"].as_u64().unwrap();
        if COUNT as u64 <= durable && durable < seen {
            break seen;
        }
        writer.go_on();
    };
    let with_key = |line: &str| signing(&store, line, &key);
    let signed = |line: &str| {
        let text = printed(with_key(line));
        let note = text.split_once("\n\n").filter(|_| line.starts_with("prove"));
        their_checkpoint(note.map_or(text.as_str(), |(_, note)| note), &vkey)
    };
    let (_, durable, root) = signed("head DIR --format checkpoint");
    assert!(durable < seen, "{durable} of {seen}");
    let at = printed(duramen(&store.place, &format!("head DIR --size {durable}")));
    assert_eq!(at, head_text(usize::try_from(durable).unwrap(), root));
    let bare = printed(duramen(&store.place, "head DIR --format checkpoint --origin x"));
    assert_eq!(bare.lines().nth(1), Some(durable.to_string().as_str()));
    assert_eq!(signed("prove DIR 3 --format tlog-proof").1, durable);
    assert_eq!(signed(&format!("head DIR --format checkpoint --size {durable}")).1, durable);

    for line in [
        format!("head DIR --format checkpoint --size {}", durable + 1),
        format!("head DIR --format checkpoint --size {seen}"),
        format!("prove DIR 3 --format tlog-proof --size {}", durable + 1),
    ] {
        let error = refused(with_key(&line), 2);
        let expected = format!("only {durable} leaves are known to be durable");
        assert!(error.contains(&expected), "{line}: {error}");
    }
    let error = refused(with_key(&format!("prove DIR {durable} --format tlog-proof")), 2);
    assert!(error.contains(&format!("a head of {durable} leaves may be signed now")), "{error}");
    // What is not signed is shown as far as it was written.
    printed(duramen(&store.place, &format!("prove DIR {durable}")));
    writer.go_on();
    let leaves = writer.end();
    assert_eq!(signed("head DIR --format checkpoint").1, COUNT as u64 + leaves);
}

/// More than a writer keeps in memory under `manual`: it hands the rest to the system and syncs nothing.
#[test]
fn what_a_manual_writer_has_not_flushed_is_not_shown() {
    let store = Store::new(Function::Sha256, 2);
    let used = || {
        let files = std::fs::read_dir(store.place.path("store/wal")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let before = used();
    let mut writer = waiting_writer(&store, 2_200_000, "manual");
    let start = std::time::Instant::now();
    while used() < before + (32 << 20) {
        assert!(start.elapsed().as_secs() < 60, "the writer writes nothing");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(until_it_stays(|| shown(&store)), COUNT as u64);
    drop(writer.stdin.take());
    assert!(writer.wait().unwrap().success());
    assert_eq!(shown(&store), COUNT as u64 + 2_200_000);
}

#[test]
fn a_key_does_not_sign_two_histories() {
    let store = Store::new(Function::Sha256, 2);
    let (key, vkey) = keygen(&store.place, ORIGIN);
    let bare = |store: &Store, line: &str| {
        let mut command = duramen(&store.place, line);
        command.arg("--key").arg(&key);
        command
    };
    let (head, prove) = ("head DIR --format checkpoint", "prove DIR 3 --format tlog-proof");
    for line in [head, prove] {
        assert!(refused(bare(&store, line), 2).contains("has no anchor"), "{line}");
    }
    printed(signing(&store, head, &key));
    assert!(refused(bare(&store, &format!("{head} --first-anchor")), 2).contains("there is one"));
    // Another store, with other leaves.
    let other = Store::new(Function::Sha256, 2);
    printed(given(&other.place, "append DIR", "more\n"));
    for line in [head, prove] {
        assert!(refused(bare(&other, line), 2).contains("is of the store"), "{line}");
    }
    // A backup of this one, with other leaves behind those that were signed.
    printed(duramen(&store.place, "backup DIR @copy"));
    printed(given(&store.place, "append DIR", "one\ntwo\n"));
    let text = printed(bare(&store, head));
    assert_eq!(their_checkpoint(&text, &vkey).1, COUNT as u64 + 2);
    for more in ["", "another\n", "a third\n"] {
        printed(given(&store.place, "append @copy", more));
        for line in ["head @copy --format checkpoint", "prove @copy 3 --format tlog-proof"] {
            let error = refused(bare(&store, line), 2);
            let said = ["fewer than were signed", "is of the store", "has root"];
            assert!(said.iter().any(|said| error.contains(said)), "{line}: {error}");
        }
    }
    // What was signed before is a prefix of it, and may be signed again.
    let text = printed(bare(&store, &format!("{head} --size {COUNT}")));
    assert_eq!(their_checkpoint(&text, &vkey).1, COUNT as u64);
}
