//! A log and its witnesses in one process: what they answer, and what comes of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};

use duramen::tlog::witness::{AddCheckpoint, cosigned_body};
use duramen::tlog::{Checkpoint, Cosigner, Ed25519Key, Ed25519Signer};
use duramen::{
    Arity, Config, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Store, TreeConfig, TreeSize,
};

use super::*;
use crate::client::{FetchError, Fetched};

const ORIGIN: &str = "example.com/log";

fn witness(number: u8) -> Cosigner<Ed25519Key> {
    Cosigner::new(&format!("w{number}"), Ed25519Key::from_secret(&[number; 32])).unwrap()
}

/// A policy of witnesses 1 to `count`, of which `threshold` are enough.
fn policy(threshold: &str, count: u8) -> Policy {
    let line = |number: u8| {
        format!("witness {number} {} http://w{number}.example/\n", witness(number).vkey())
    };
    let lines: String = (1..=count).map(line).collect();
    let names: String = (1..=count).map(|number| format!(" {number}")).collect();
    let quorum = match threshold {
        "none" => "quorum none\n".to_owned(),
        threshold => format!("group g {threshold}{names}\nquorum g\n"),
    };
    Policy::read(format!("{lines}{quorum}").as_bytes()).unwrap()
}

/// The tree of a log with its key.
struct Log {
    tree: DynAccumulator,
    key: Ed25519Signer,
}

impl Log {
    fn new(dir: &Path, entries: u32) -> Self {
        let config = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two);
        let store = Store::open(Config::new(dir.join("store"))).unwrap();
        let tree = store.tree_dyn("main", config.entries(EntryConfig::new())).unwrap();
        let entries: Vec<_> = (0..entries).map(u32::to_be_bytes).collect();
        tree.insert_entries(&entries).unwrap();
        Self { tree, key: Ed25519Signer::from_secret(ORIGIN, &[7; 32]).unwrap() }
    }

    fn signed(&self, size: u64) -> (SignedNote, TreeHead, Snapshot) {
        let snapshot = self.tree.snapshot();
        let head = snapshot.head_at(size).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, head).unwrap();
        (SignedNote::sign(&checkpoint.to_string(), &self.key).unwrap(), head, snapshot)
    }

    fn cosigned(&self, witnesses: &Witnesses, size: u64) -> Result<SignedNote, LogError> {
        let (note, head, snapshot) = self.signed(size);
        witnesses.cosigned(note, head, &snapshot)
    }
}

/// What a witness does with a request.
type Does = Box<dyn Fn(&AddCheckpoint, u64) -> Result<Fetched, FetchError> + Send + Sync>;

/// A witness that keeps the size that it cosigned, and does as it is told.
struct Fake {
    size: AtomicU64,
    asked: AtomicU64,
    does: Does,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

impl Fake {
    fn new(does: Does) -> Arc<Self> {
        Arc::new(Self { size: AtomicU64::new(0), asked: AtomicU64::new(0), does })
    }

    /// One that answers as it should, with the key `number`.
    fn right(number: u8) -> Arc<Self> {
        Self::new(Box::new(move |request, _| Ok(cosigned(request, number))))
    }

    /// One that answers this whatever it is asked.
    fn says(status: u16, kind: Option<&'static str>, body: &'static str) -> Arc<Self> {
        Self::new(Box::new(move |_, _| Ok(answer(status, kind, body))))
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Ask for Fake {
    fn send(&self, body: &str, _: Duration) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let request: AddCheckpoint = body.parse().unwrap();
        let size = self.size.load(Ordering::SeqCst);
        if request.old().get() != size {
            return Ok(answer(409, Some("text/x.tlog.size"), &format!("{size}\n")));
        }
        let answer = (self.does)(&request, size)?;
        if answer.status == 200 {
            let text: Checkpoint = request.note().unverified_text().parse().unwrap();
            self.size.store(text.head().size.get(), Ordering::SeqCst);
        }
        Ok(answer)
    }
}

fn answer(status: u16, kind: Option<&str>, body: &str) -> Fetched {
    Fetched { status, content_type: kind.map(str::to_owned), body: body.as_bytes().to_vec() }
}

fn cosigned(request: &AddCheckpoint, number: u8) -> Fetched {
    let witness = witness(number);
    let signature = request.note().signature(&witness.at(1_767_225_600)).unwrap();
    answer(200, None, &cosigned_body(&[signature]))
}

fn unreached() -> Arc<Fake> {
    Fake::new(Box::new(|_, _| Err(FetchError::Failed { reason: "no route".to_owned() })))
}

fn start(dir: &Path, policy: Policy, asks: &[&Arc<Fake>]) -> Witnesses {
    start_with(dir, policy, asks, Box::new(|_, _| {}))
}

fn start_with(dir: &Path, policy: Policy, asks: &[&Arc<Fake>], late: OnLate) -> Witnesses {
    let config = WitnessPolicy::new(policy, dir.join("kept")).unwrap();
    let asks = asks.iter().map(|ask| Some(Arc::clone(ask) as Arc<dyn Ask>)).collect();
    Witnesses::start_with(config.timeout(Duration::from_secs(60)), asks, late).unwrap()
}

/// The names of those that cosigned.
fn names(note: &SignedNote) -> Vec<&str> {
    let mut names: Vec<_> =
        note.signatures().iter().map(duramen::tlog::NoteSignature::name).collect();
    names.retain(|name| *name != ORIGIN);
    names.sort_unstable();
    names
}

#[test]
fn a_checkpoint_that_enough_have_cosigned_has_their_cosignatures() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let (one, two, dead) = (Fake::right(1), Fake::right(2), unreached());
    let witnesses = start(dir.path(), policy("2", 3), &[&one, &two, &dead]);
    for size in [10, 20, 50] {
        assert_eq!(names(&log.cosigned(&witnesses, size).unwrap()), ["w1", "w2"]);
    }
    let state = &witnesses.states()[0];
    assert_eq!((state.cosigned, state.size, &state.failure), (3, 50, &None));
    // Nothing waits for the third one, whose thread asks in the last round at the latest.
    let failure = (0..30_000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(1));
        witnesses.states()[2].failure.clone()
    });
    assert_eq!(failure.as_deref(), Some("no route"));
}

#[test]
fn too_few_are_told_with_the_reasons_as_soon_as_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let (one, dead) = (Fake::right(1), unreached());
    let refuses = Fake::says(403, None, "go\naway\n");
    let witnesses = start(dir.path(), policy("2", 3), &[&one, &dead, &refuses]);
    // The time of a round is a minute, and is not waited for.
    let error = log.cosigned(&witnesses, 50).unwrap_err();
    let LogError::NotWitnessed { size: 50, witnesses: 3, reasons, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(reasons, "2: no route; 3: it answers 403: go away ");
}

#[test]
fn what_a_witness_cosigned_stays_with_a_checkpoint_that_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let (one, two) = (Fake::right(1), unreached());
    let witnesses = start(dir.path(), policy("all", 2), &[&one, &two]);
    // A round that is known to fail may end before the first witness is asked.
    for _ in 0..10_000 {
        assert!(log.cosigned(&witnesses, 50).is_err());
        if one.asked() > 0 {
            break;
        }
    }
    for _ in 0..5 {
        assert!(log.cosigned(&witnesses, 50).is_err());
    }
    assert_eq!(one.asked(), 1);
}

#[test]
fn a_witness_that_is_at_another_size_is_asked_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let one = Fake::right(1);
    one.size.store(30, Ordering::SeqCst);
    let witnesses = start(dir.path(), policy("all", 1), &[&one]);
    log.cosigned(&witnesses, 40).unwrap();
    assert_eq!(one.asked(), 2);
    log.cosigned(&witnesses, 45).unwrap();
    assert_eq!(one.asked(), 3);
    // Others had it cosign the same checkpoint.
    one.size.store(50, Ordering::SeqCst);
    log.cosigned(&witnesses, 50).unwrap();
    assert_eq!(one.asked(), 5);
}

#[test]
fn a_witness_that_knows_more_than_the_log_is_not_believed_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let one = Fake::right(1);
    one.size.store(51, Ordering::SeqCst);
    let witnesses = start(dir.path(), policy("all", 1), &[&one]);
    let error = log.cosigned(&witnesses, 50).unwrap_err().to_string();
    assert!(
        error.contains("it says that it cosigned size 51, and the log asks for size 50"),
        "{error}"
    );
}

#[test]
fn a_witness_that_answers_nonsense_costs_nothing_but_its_cosignature() {
    let conflicts = AtomicU64::new(0);
    let endless = Fake::new(Box::new(move |_, _| {
        // Another size each time.
        let size = conflicts.fetch_add(1, Ordering::SeqCst) % 40;
        Ok(answer(409, Some("text/x.tlog.size"), &format!("{}\n", size + 1)))
    }));
    let other_text = Fake::new(Box::new(|_, _| {
        let text = format!("{ORIGIN}\n1\n{}\n", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let note = SignedNote::sign(&text, &witness(2).at(1)).unwrap();
        Ok(answer(200, None, &format!("{}\n", note.signatures()[0])))
    }));
    let no_time = Fake::new(Box::new(|request, _| {
        let signature = request.note().signature(&witness(2).at(0)).unwrap();
        Ok(answer(200, None, &format!("{signature}\n")))
    }));
    for bad in [
        endless,
        other_text,
        no_time,
        // A right cosignature by another key than the one in the policy.
        Fake::right(9),
        Fake::says(200, None, ""),
        Fake::says(200, None, "ok\n"),
        Fake::says(200, None, "\u{2014} w2 AAAA\n"),
        Fake::says(409, None, "5\n"),
        Fake::says(409, Some("text/x.tlog.size"), "many\n"),
        Fake::says(409, Some("text/x.tlog.size"), "18446744073709551615\n"),
        Fake::says(409, Some("text/x.tlog.size"), "0\n"),
        Fake::says(302, None, ""),
        Fake::says(500, Some("text/html"), "<html>"),
        Fake::new(Box::new(|_, _| Err(FetchError::TooLong { most: 9 }))),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::new(dir.path(), 50);
        let (one, two) = (Fake::right(1), &bad);
        let witnesses = start(dir.path(), policy("any", 2), &[&one, two]);
        assert_eq!(names(&log.cosigned(&witnesses, 50).unwrap()), ["w1"]);
        drop(witnesses);
        let witnesses = start(dir.path(), policy("all", 2), &[&Fake::right(1), two]);
        let error = log.cosigned(&witnesses, 50).unwrap_err();
        assert!(matches!(error, LogError::NotWitnessed { cosigned: 0 | 1, .. }), "{error}");
        assert!(bad.asked() <= 8, "{}", bad.asked());
    }
}

#[test]
fn one_that_is_late_is_not_waited_for_and_its_cosignature_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opened = Arc::clone(&gate);
    let slow = Fake::new(Box::new(move |request, _| {
        let (open, changed) = &*opened;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
        Ok(cosigned(request, 2))
    }));
    let (send, late) = std::sync::mpsc::channel();
    let send = Mutex::new(send);
    let on_late = move |note: SignedNote, head: TreeHead| {
        send.lock().unwrap().send((note, head)).unwrap();
    };
    let one = Fake::right(1);
    let witnesses = start_with(dir.path(), policy("any", 2), &[&one, &slow], Box::new(on_late));
    assert_eq!(names(&log.cosigned(&witnesses, 50).unwrap()), ["w1"]);
    assert!(late.try_recv().is_err());
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let (note, head) = late.recv().unwrap();
    assert_eq!((names(&note), head.size), (vec!["w1", "w2"], TreeSize(50)));
}

#[test]
fn a_round_ends_with_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    // It answers when the test has ended.
    let (send, never) = std::sync::mpsc::channel::<()>();
    let never = Mutex::new(never);
    let stalls = Fake::new(Box::new(move |_, _| {
        let _ = never.lock().unwrap().recv();
        Err(FetchError::Failed { reason: "at last".to_owned() })
    }));
    let config = WitnessPolicy::new(policy("all", 1), dir.path().join("kept")).unwrap();
    let asks = vec![Some(stalls as Arc<dyn Ask>)];
    let config = config.timeout(Duration::from_millis(50));
    let witnesses = Witnesses::start_with(config, asks, Box::new(|_, _| {})).unwrap();
    let error = log.cosigned(&witnesses, 50).unwrap_err();
    assert!(matches!(error, LogError::NotWitnessed { cosigned: 0, .. }), "{error}");
    drop(send);
}

#[test]
fn without_a_quorum_nothing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let dead = unreached();
    let witnesses = start(dir.path(), policy("none", 1), &[&dead]);
    assert_eq!(names(&log.cosigned(&witnesses, 50).unwrap()), Vec::<&str>::new());
}

#[test]
fn what_is_kept_comes_back_with_the_cosignatures_that_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::new(dir.path(), 50);
    let (one, two) = (Fake::right(1), Fake::right(2));
    let witnesses = start(dir.path(), policy("all", 2), &[&one, &two]);
    assert_eq!(witnesses.kept(), None);
    let note = log.cosigned(&witnesses, 50).unwrap();
    witnesses.keep(&note);
    assert_eq!(witnesses.kept(), Some(note.clone()));
    let (mut fresh, _, _) = log.signed(50);
    assert!(witnesses.restore(&note, &mut fresh));
    assert_eq!(names(&fresh), ["w1", "w2"]);
    let (mut other, _, _) = log.signed(49);
    assert!(!witnesses.restore(&note, &mut other));
    assert_eq!(names(&other), Vec::<&str>::new());
    std::fs::write(dir.path().join("kept"), "nonsense").unwrap();
    assert_eq!(witnesses.kept(), None);
}

#[test]
fn a_policy_that_cannot_be_reached_is_refused() {
    let vkey = |number| witness(number).vkey();
    for text in [
        format!("witness a {}\nquorum a\n", vkey(1)),
        format!("witness a {} ftp://x\nquorum none\n", vkey(1)),
        format!(
            "witness a {} http://x\nwitness b {}\ngroup g all a b\nquorum g\n",
            vkey(1),
            vkey(2)
        ),
    ] {
        let policy = Policy::read(text.as_bytes()).unwrap();
        let refused = WitnessPolicy::new(policy, "kept").unwrap_err();
        assert!(matches!(refused, LogError::Policy { .. }), "{refused}");
    }
    // A name in the policy need not be UTF-8.
    let key = vkey(1);
    let text = [b"witness \xff ".as_slice(), key.as_bytes(), b" http://x\nquorum \xff\n"];
    WitnessPolicy::new(Policy::read(&text.concat()).unwrap(), "kept").unwrap();
}
