//! `duramen witness`, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duramen::tlog::witness::{AddCheckpoint, Answer as WitnessAnswer, monitor_path};
use duramen::tlog::{AnyVerifier, Checkpoint, Ed25519Signer, NoteVerifier, SignedNote};
use duramen::{
    Arity, ConsistencyProof, Hasher, MemoryAccumulator, Rfc6962Sha256, TreeHead, TreeSize,
};
use rustix::process::Signal;

use crate::common::process::{Answer, Process, command, exchange};
use crate::common::{Place, duramen, printed, refused};
use crate::traced::run::can_trace;

/// A log with its key.
struct Log {
    origin: String,
    key: Ed25519Signer,
    tree: MemoryAccumulator<Rfc6962Sha256, 2>,
}

impl Log {
    fn new(origin: &str, size: u64) -> Self {
        let key = Ed25519Signer::from_secret(origin, &[7; 32]).unwrap();
        let mut tree = MemoryAccumulator::new();
        for number in 0..size {
            tree.push_data(format!("{origin} {number}").as_bytes()).unwrap();
        }
        Self { origin: origin.to_owned(), key, tree }
    }

    fn head(&self, size: u64) -> TreeHead {
        self.tree.snapshot().head_at(size).unwrap()
    }

    fn note(&self, size: u64) -> SignedNote {
        let (id, head) = (Rfc6962Sha256.id(), self.head(size));
        let checkpoint = Checkpoint::new(&self.origin, id, Arity::Two, head).unwrap();
        SignedNote::sign(&checkpoint.to_string(), &self.key).unwrap()
    }

    fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let proof = match old {
            0 => ConsistencyProof::from_hashes(Vec::new()),
            old => self.tree.snapshot().prove_consistency_between(old, new).unwrap(),
        };
        AddCheckpoint::new(TreeSize(old), proof, self.note(new)).unwrap()
    }
}

/// A place with a key of a witness, and a list of logs.
fn place_of(logs: &[&Log], kind: &str) -> (Place, AnyVerifier) {
    let place = Place::new();
    let line = format!("keygen witness.example/w1 --type {kind} -o @key");
    let vkey = printed(duramen(&place, &line));
    assert_eq!(printed(duramen(&place, "keygen --public @key")), vkey);
    let lines: String = logs
        .iter()
        .map(|log| format!("vkey {}\nqpd 86400\ncontact me\n", log.key.verifier()))
        .collect();
    place.file("logs", format!("logs/v0\n\n{lines}"));
    (place, vkey.trim().parse().unwrap())
}

const WITNESS: &str = "witness @store --listen 127.0.0.1:0 --key @key --logs @logs";

/// Starts a witness, a new one if it has no store.
fn start(place: &Place) -> Process {
    start_with(place, "")
}

fn start_with(place: &Place, more: &str) -> Process {
    let new = if place.path("store").exists() { "" } else { "--new" };
    Process::start(command(place, &[], &format!("{WITNESS} {new} {more}")))
}

fn ask(witness: &Process, log: &Log, old: u64, new: u64) -> Answer {
    witness.request("POST", "/add-checkpoint", log.request(old, new).to_string().as_bytes())
}

/// Asks for a cosignature, which must come and be right.
fn cosign(witness: &Process, key: &AnyVerifier, log: &Log, old: u64, new: u64) {
    let answer = ask(witness, log, old, new);
    assert_eq!(answer.status, 200, "{answer:?}");
    let WitnessAnswer::Cosigned(lines) = WitnessAnswer::read(200, None, answer.text()).unwrap()
    else {
        panic!("{answer:?}")
    };
    let mut note = log.note(new);
    assert_eq!(note.add_cosignatures(&lines, &[key as &dyn NoteVerifier]).unwrap(), 1);
}

/// The size that the witness says it cosigned last.
fn latest(witness: &Process, log: &Log) -> u64 {
    // No log is so large.
    let request = log.request(0, 1).to_string().replacen("old 0", "old 1", 1);
    let answer = witness.request("POST", "/add-checkpoint", request.as_bytes());
    match answer.status {
        409 => {
            assert_eq!(answer.header("content-type"), Some("text/x.tlog.size"));
            answer.text().strip_suffix('\n').unwrap().parse().unwrap()
        }
        // The latest one has size 1, and this proof is that of equal sizes.
        200 => 1,
        _ => panic!("{answer:?}"),
    }
}

#[test]
fn a_witness_cosigns_with_a_key_of_either_type_and_goes_on_after_a_restart() {
    for kind in ["cosigner", "ml-dsa-44"] {
        let log = Log::new("example.com/log", 300);
        let (place, key) = place_of(&[&log], kind);
        let witness = start(&place);
        assert_eq!(witness.get("/healthz").status, 200);
        assert_eq!(witness.get("/readyz").status, 200);
        cosign(&witness, &key, &log, 0, 100);
        let told = witness.stop();
        assert!(told.contains("every checkpoint that was cosigned is durable"), "{told}");
        let witness = start(&place);
        assert_eq!(latest(&witness, &log), 100);
        cosign(&witness, &key, &log, 100, 300);
        let shown = witness.get(&format!("/{}", monitor_path("example.com/log")));
        let shown: SignedNote = shown.text().parse().unwrap();
        assert!(shown.signature_by(&key).unwrap().is_some());
        witness.stop();
    }
}

#[test]
fn a_kill_between_the_record_and_the_answer_keeps_the_record() {
    if !can_trace("a witness that is killed before it answers") {
        return;
    }
    let log = Log::new("example.com/log", 300);
    let (place, key) = place_of(&[&log], "cosigner");
    let witness = start(&place);
    cosign(&witness, &key, &log, 0, 100);
    witness.stop();
    // It is killed by its first write of several pieces: the head and the body of the answer.
    let strace = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=writev",
        "-e",
        "inject=writev:signal=SIGKILL",
    ];
    let mut witness = Process::start(command(&place, &strace, WITNESS));
    let body = log.request(100, 200).to_string();
    let lost = witness.try_request("POST", "/add-checkpoint", body.as_bytes());
    assert!(lost.is_err(), "{lost:?}");
    witness.end();

    let witness = start(&place);
    assert_eq!(latest(&witness, &log), 200);
    assert_eq!(ask(&witness, &log, 100, 300).status, 409);
    // The log sees the size, and goes on.
    cosign(&witness, &key, &log, 200, 200);
    cosign(&witness, &key, &log, 200, 300);
    witness.stop();
}

#[test]
fn after_a_kill_under_load_no_cosigned_size_is_forgotten() {
    let logs: Vec<_> =
        (0..20).map(|number| Log::new(&format!("log.example/{number}"), 2000)).collect();
    let logs: Vec<&Log> = logs.iter().collect();
    let (place, key) = place_of(&logs, "cosigner");
    let witness = start(&place);
    let cosigned = Mutex::new(vec![0; logs.len()]);
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (number, log) in logs.iter().enumerate() {
            let (witness, cosigned, killed) = (&witness, &cosigned, &killed);
            scope.spawn(move || {
                let Ok(mut stream) = TcpStream::connect(&witness.address) else { return };
                for size in 0..2000 {
                    let body = log.request(size, size + 1).to_string();
                    match exchange(&mut stream, "POST", "/add-checkpoint", body.as_bytes()) {
                        Ok(answer) => assert_eq!(answer.status, 200, "{answer:?}"),
                        Err(_) => {
                            assert!(killed.load(Ordering::SeqCst), "it lives");
                            break;
                        }
                    }
                    cosigned.lock().unwrap()[number] = size + 1;
                }
            });
        }
        while cosigned.lock().unwrap().iter().sum::<u64>() < 1000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        killed.store(true, Ordering::SeqCst);
        witness.signal(Signal::KILL);
    });
    drop(witness);
    let witness = start(&place);
    for (log, size) in logs.iter().zip(cosigned.into_inner().unwrap()) {
        let found = latest(&witness, log);
        assert!(found == size || found == size + 1, "{found} after {size} of {}", log.origin);
        if found > 0 && found < 2000 {
            cosign(&witness, &key, log, found, 2000);
        }
    }
    witness.stop();
}

#[test]
fn a_signal_lets_a_request_end_that_is_being_sent() {
    let log = Log::new("example.com/log", 300);
    let (place, _) = place_of(&[&log], "cosigner");
    let witness = start(&place);
    let body = log.request(0, 300).to_string();
    let mut stream = TcpStream::connect(&witness.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..10]).unwrap();
    // That the head was read is known once another request is answered.
    assert_eq!(witness.get("/healthz").status, 200);
    witness.signal(Signal::TERM);
    let refused = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        TcpStream::connect(&witness.address).is_err()
    });
    assert!(refused, "connections are accepted after the signal");
    stream.write_all(&body.as_bytes()[10..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut witness = witness;
    assert_eq!(witness.end().0, Some(0));
    let witness = start(&place);
    assert_eq!(latest(&witness, &log), 300);
    witness.stop();
}

#[test]
fn operators_see_what_a_witness_does() {
    let log = Log::new("example.com/log", 300);
    let (place, key) = place_of(&[&log], "cosigner");
    let socket = place.path("admin.sock");
    let witness = start_with(&place, &format!("--admin unix:{}", socket.display()));
    cosign(&witness, &key, &log, 0, 100);
    assert_eq!(ask(&witness, &log, 0, 200).status, 409);
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    for line in [
        "duramen_witness_listed_logs 1\n",
        "duramen_witness_seen_logs 1\n",
        "duramen_witness_cosigned_total 1\n",
        "duramen_witness_refused_total{status=\"409\"} 1\n",
        "duramen_witness_cosign_seconds_count 1\n",
        "duramen_store_leaves 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    witness.stop();
}

#[test]
fn keys_and_lists_that_no_witness_has_are_refused() {
    let log = Log::new("example.com/log", 1);
    let (place, _) = place_of(&[&log], "cosigner");
    printed(duramen(&place, "keygen example.com/log -o @log-key"));
    let line = "witness @new --listen 127.0.0.1:0 --logs @logs --key";
    assert!(refused(duramen(&place, &format!("{line} @log-key")), 2).contains("--type cosigner"));
    place.file("bad", "logs/v0\nvkey x\n");
    let line = "witness @new --listen 127.0.0.1:0 --key @key --logs @bad";
    let error = refused(duramen(&place, line), 2);
    assert!(error.contains("is not a list of logs: line 2"), "{error}");
    assert!(!place.path("new").exists());
    printed(crate::common::given(&place, "append @other", "a\n"));
    let line = "witness @other --listen 127.0.0.1:0 --key @key --logs @logs";
    assert!(refused(duramen(&place, line), 2).contains("not one of a witness"));
}

#[test]
fn a_new_store_of_a_witness_is_made_only_if_it_is_asked_for() {
    let log = Log::new("example.com/log", 20);
    let (place, key) = place_of(&[&log], "cosigner");
    let told = refused(duramen(&place, WITNESS), 2);
    assert!(told.contains("the store of the witness witness.example/w1 has no records"), "{told}");
    assert!(!place.path("store").exists(), "nothing is made");
    let witness = start(&place);
    cosign(&witness, &key, &log, 0, 9);
    witness.stop();
    // What stands in a script for ever must not make a second one.
    let told = refused(duramen(&place, &format!("{WITNESS} --new")), 2);
    assert!(told.contains("a new store is asked for"), "{told}");
    // Store and anchor are lost, and the key is not.
    std::fs::remove_dir_all(place.path("store")).unwrap();
    for file in std::fs::read_dir(place.path("")).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|ending| ending == "anchor") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let told = refused(duramen(&place, WITNESS), 2);
    assert!(told.contains("has no records. If they are lost"), "{told}");
    assert!(!place.path("store").exists(), "nothing is made");
}

#[test]
fn a_restored_backup_of_a_witness_does_not_cosign() {
    let log = Log::new("example.com/log", 20);
    let (place, key) = place_of(&[&log], "cosigner");
    let witness = start(&place);
    cosign(&witness, &key, &log, 0, 5);
    witness.stop();
    printed(duramen(&place, "backup @store @backup"));
    let witness = start(&place);
    cosign(&witness, &key, &log, 5, 9);
    // While it runs no other process has its anchor.
    let copy = WITNESS.replace("@store", "@backup");
    assert!(refused(duramen(&place, &copy), 2).contains("another process signs with the anchor"));
    witness.stop();
    let told = refused(duramen(&place, &copy), 2);
    assert!(told.contains("the store of the witness is older than its anchor"), "{told}");
    let witness = start(&place);
    assert_eq!(ask(&witness, &log, 5, 12).status, 409);
    cosign(&witness, &key, &log, 9, 20);
    witness.stop();
    // Without the anchor the store may be any copy.
    let witnessed = std::fs::read_dir(place.path("")).unwrap().map(|file| file.unwrap().path());
    let anchor: Vec<_> = witnessed
        .filter(|file| file.extension().is_some_and(|ending| ending == "anchor"))
        .collect();
    assert_eq!(anchor.len(), 1);
    std::fs::remove_file(&anchor[0]).unwrap();
    let told = refused(duramen(&place, WITNESS), 2);
    assert!(told.contains("3 records and no anchor"), "{told}");
    let witness = Process::start(command(&place, &[], &format!("{WITNESS} --first-anchor")));
    cosign(&witness, &key, &log, 20, 20);
    witness.stop();
}
