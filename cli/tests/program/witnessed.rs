//! `duramen serve --policy`: with witnesses of ours, with one that is dead, and with servers that are none.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duramen::tlog::{AnyVerifier, Policy, SignedNote, TlogProof};
use duramen::{Hasher, Rfc6962Sha256};
use rustix::process::Signal;

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed, refused};

const ORIGIN: &str = "example.com/log";

/// A place with the key of a log and a list of logs for its witnesses.
fn place() -> Place {
    let place = Place::new();
    let vkey = printed(duramen(&place, &format!("keygen {ORIGIN} -o @key")));
    place.file("logs", format!("logs/v0\nvkey {vkey}"));
    place
}

/// Makes the key of a witness, and returns its public text.
fn key(place: &Place, name: &str, kind: &str) -> String {
    let line = format!("keygen witness.example/{name} --type {kind} -o @{name}");
    printed(duramen(place, &line)).trim().to_owned()
}

fn witness(place: &Place, name: &str, address: &str) -> Process {
    let new = if place.path(&format!("{name}-store")).exists() { "" } else { "--new" };
    let line = format!("witness @{name}-store --listen {address} --key @{name} --logs @logs {new}");
    Process::start(command(place, &[], &line))
}

/// Writes a policy of these witnesses, each with its key and its address.
fn policy(place: &Place, threshold: &str, witnesses: &[(&str, &str, &str)]) -> Policy {
    let log = printed(duramen(place, "keygen --public @key"));
    let lines: String = witnesses
        .iter()
        .map(|(name, vkey, address)| format!("witness {name} {vkey} http://{address}/\n"))
        .collect();
    let names: Vec<_> = witnesses.iter().map(|(name, _, _)| *name).collect();
    let names = names.join(" ");
    let text =
        format!("log {log}{lines}group all-of-them {threshold} {names}\nquorum all-of-them\n");
    place.file("policy", &text);
    Policy::read(text.as_bytes()).unwrap()
}

fn serve(place: &Place, first: bool, more: &str) -> Process {
    let first = if first { "--first-anchor" } else { "" };
    let line = format!(
        "serve @store --listen 127.0.0.1:0 --key @key --checkpoint-interval 20ms --policy @policy {first} {more}"
    );
    let mut command = command(place, &[], &line);
    // The witnesses are on this machine.
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    Process::start(command)
}

fn add(served: &Process, entry: &str) {
    let answer = served.request("POST", "/add", entry.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The checkpoint that stands.
fn checkpoint(served: &Process) -> Option<SignedNote> {
    let answer = served.get("/checkpoint");
    (answer.status == 200).then(|| answer.text().parse().unwrap())
}

fn size(note: &SignedNote) -> u64 {
    note.unverified_text().lines().nth(1).unwrap().parse().unwrap()
}

/// Waits for something, for as long as it takes.
fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..3000 {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

fn published(served: &Process, at_least: u64) -> SignedNote {
    let what = format!("a checkpoint of size {at_least}");
    until(&what, || checkpoint(served).filter(|note| size(note) >= at_least))
}

/// An address that nothing listens on.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_checkpoint_is_published_with_two_of_three_witnesses_and_one_of_them_dead() {
    let place = place();
    let (one, two) = (key(&place, "w1", "cosigner"), key(&place, "w2", "ml-dsa-44"));
    let three = key(&place, "w3", "cosigner");
    let (first, second) =
        (witness(&place, "w1", "127.0.0.1:0"), witness(&place, "w2", "127.0.0.1:0"));
    let policy = policy(
        &place,
        "2",
        &[("w1", &one, &first.address), ("w2", &two, &second.address), ("w3", &three, &dead())],
    );
    let served = serve(&place, true, "");
    for number in 0..5 {
        add(&served, &format!("entry {number}"));
    }
    let answer = served.request("POST", "/add?wait=checkpoint", b"the last");
    assert_eq!(answer.status, 200, "{answer:?}");
    let proof: TlogProof = answer.text().parse().unwrap();
    let witnessed = policy.verify(&proof.checkpoint).unwrap();
    assert!(witnessed.cosigned[0].is_some() && witnessed.cosigned[1].is_some());
    assert_eq!(witnessed.cosigned[2], None);
    proof.verify_witnessed(&policy, &Rfc6962Sha256.leaf(b"the last")).unwrap();
    assert_eq!(served.get("/readyz").status, 200);
    // The page verifies their cosignatures with the keys that the policy has.
    let state: serde_json::Value = serde_json::from_str(served.get("/v1/state").text()).unwrap();
    let log = printed(duramen(&place, "keygen --public @key"));
    assert_eq!(state["keys"], serde_json::json!([log.trim(), one, two, three]));
    served.stop();
}

#[test]
fn while_too_few_cosign_the_last_checkpoint_stands_also_over_a_restart() {
    let place = place();
    let (one, two) = (key(&place, "w1", "cosigner"), key(&place, "w2", "cosigner"));
    let (first, mut second) =
        (witness(&place, "w1", "127.0.0.1:0"), witness(&place, "w2", "127.0.0.1:0"));
    let address = second.address.clone();
    let policy = policy(&place, "all", &[("w1", &one, &first.address), ("w2", &two, &address)]);
    let served = serve(&place, true, "");
    add(&served, "one");
    let before = published(&served, 1);
    policy.verify(&before).unwrap();

    second.signal(Signal::KILL);
    second.end();
    add(&served, "two");
    let reason = until("a reason", || {
        let answer = served.get("/readyz");
        (answer.status == 503).then(|| answer.text().to_owned())
    });
    assert!(reason.contains("too few witnesses cosign: "), "{reason}");
    assert_eq!(checkpoint(&served), Some(before.clone()));
    // What was acknowledged is not in a checkpoint, and that is told.
    served.signal(Signal::TERM);
    let mut served = served;
    let (status, told) = served.end();
    assert_eq!(status, Some(2), "{told}");
    assert!(told.contains("witnesses cosigned the checkpoint of size 2"), "{told}");

    let served = serve(&place, false, "");
    assert_eq!(checkpoint(&served), Some(before));
    let second = witness(&place, "w2", &address);
    let after = published(&served, 2);
    policy.verify(&after).unwrap();
    until("ready", || (served.get("/readyz").status == 200).then_some(()));
    add(&served, "three");
    policy.verify(&published(&served, 3)).unwrap();
    served.stop();
    second.stop();
}

#[test]
fn a_checkpoint_that_stands_again_after_a_restart_has_the_logs_cosignature_of_then() {
    let place = place();
    let vkey = key(&place, "w1", "cosigner");
    let own = printed(duramen(&place, &format!("keygen {ORIGIN} --type ml-dsa-44 -o @own")));
    let own: AnyVerifier = own.trim().parse().unwrap();
    let mut witness = witness(&place, "w1", "127.0.0.1:0");
    policy(&place, "all", &[("w1", &vkey, &witness.address)]);
    let served = serve(&place, true, "--cosigner-key @own");
    add(&served, "one");
    let before = published(&served, 1);
    assert!(before.signature_by(&own).unwrap().is_some());

    witness.signal(Signal::KILL);
    witness.end();
    // Of a larger checkpoint, the log's own keys say more than is published.
    add(&served, "two");
    until("not ready", || (served.get("/readyz").status == 503).then_some(()));
    drop(served);
    // The next time of a cosignature is another one.
    std::thread::sleep(Duration::from_millis(1100));
    let served = serve(&place, false, "--cosigner-key @own");
    assert_eq!(checkpoint(&served), Some(before));
}

/// A server that is no witness: it does this with every connection.
struct Fake {
    address: String,
    ended: Arc<AtomicBool>,
}

impl Fake {
    fn start(does: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, does) = (Arc::clone(&ended), Arc::new(does));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), does) = (stream, Arc::clone(&does)) else { continue };
                std::thread::spawn(move || does(stream));
            }
        });
        Self { address, ended }
    }

    /// One that reads a request and answers these bytes.
    fn says(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(&answer);
        })
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(&self.address);
    }
}

fn read_head(stream: &mut TcpStream) {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        read.push(byte[0]);
    }
}

#[test]
fn servers_that_are_no_witnesses_keep_no_checkpoint_from_being_published() {
    let place = place();
    let right = key(&place, "w1", "cosigner");
    let other = key(&place, "w2", "cosigner");
    let real = witness(&place, "w1", "127.0.0.1:0");
    // It has a key, and not the one in the policy.
    let wrong_key = witness(&place, "w2", "127.0.0.1:0");
    let ok = "HTTP/1.1 200 OK\r\n";
    let fakes = [
        Fake::says("nonsense"),
        Fake::says(""),
        Fake::says(format!("{ok}content-length: 3\r\n\r\nok\n")),
        Fake::says(format!("{ok}content-length: 1000\r\n\r\ncut off")),
        Fake::says(
            "HTTP/1.1 409 Conflict\r\ncontent-type: text/x.tlog.size\r\ncontent-length: 4\r\n\r\n999\n",
        ),
        Fake::says("HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
        Fake::says([ok.as_bytes(), b"content-length: 3\r\n\r\n\xff\xfe\n"].concat()),
        // It never answers.
        Fake::start(|mut stream| {
            read_head(&mut stream);
            std::thread::sleep(Duration::from_secs(600));
        }),
        // A byte at a time, and never the end.
        Fake::start(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(ok.as_bytes());
            while stream.write_all(b"x: y\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        // A body without an end.
        Fake::start(move |mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(format!("{ok}\r\n").as_bytes());
            while stream.write_all(&[b'a'; 4096]).is_ok() {}
        }),
    ];
    let keys: Vec<_> = (0..fakes.len() + 1)
        .map(|number| key(&place, &format!("fake-{number}"), "cosigner"))
        .collect();
    let names: Vec<_> = (0..fakes.len() + 1).map(|number| format!("f{number}")).collect();
    let mut witnesses = vec![("w1", right.as_str(), real.address.as_str())];
    for ((name, key), fake) in names.iter().zip(&keys).zip(&fakes) {
        witnesses.push((name, key, &fake.address));
    }
    witnesses.push((&names[fakes.len()], &keys[fakes.len()], &wrong_key.address));
    let policy = policy(&place, "any", &witnesses);
    let served = serve(&place, true, "--witness-timeout 500ms");
    for number in 0..10 {
        add(&served, &format!("entry {number}"));
        let note = published(&served, number + 1);
        let witnessed = policy.verify(&note).unwrap();
        assert!(witnessed.cosigned[0].is_some());
        assert!(witnessed.cosigned[1..].iter().all(Option::is_none), "{note}");
    }
    let told = served.stop();
    assert!(told.contains("it says that it cosigned size 999"), "{told}");
    drop(other);
}

#[test]
fn a_policy_that_a_log_cannot_use_is_refused() {
    let place = place();
    let vkey = key(&place, "w1", "cosigner");
    let line = "serve @store --listen 127.0.0.1:0 --key @key --first-anchor --policy @policy";
    place.file("policy", "quorum\n");
    assert!(refused(duramen(&place, line), 2).contains("is not a policy of witnesses: line 1"));
    place.file("policy", format!("witness w1 {vkey}\nquorum w1\n"));
    assert!(refused(duramen(&place, line), 2).contains("too few for the quorum"));
    let other = printed(duramen(&place, "keygen example.com/other -o @other"));
    place.file("policy", format!("log {other}quorum none\n"));
    assert!(refused(duramen(&place, line), 2).contains("the policy lists logs, and not"));
}

/// The names of what a text has samples of.
fn exported(text: &str) -> HashSet<String> {
    let samples = text.lines().filter(|line| line.starts_with("duramen_"));
    let names = samples.filter_map(|line| line.split(['{', ' ']).next());
    names.map(str::to_owned).collect()
}

/// What operators read at the socket of a process.
fn metrics(socket: &std::path::Path) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// The words of a text that begin as our metrics do.
fn named(text: &str) -> HashSet<&str> {
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    words.filter(|word| word.starts_with("duramen_")).collect()
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_is_exported() {
    let place = place();
    let vkey = key(&place, "w1", "cosigner");
    let sockets = [place.path("witness.sock"), place.path("log.sock")];
    let address = format!("127.0.0.1:0 --admin unix:{}", sockets[0].display());
    let witness = witness(&place, "w1", &address);
    policy(&place, "1", &[("w1", &vkey, &witness.address)]);
    let served = serve(&place, true, &format!("--admin unix:{}", sockets[1].display()));
    add(&served, "an entry");
    published(&served, 1);
    let mut known = exported(&metrics(&sockets[0]));
    known.extend(exported(&metrics(&sockets[1])));
    known.extend(exported(&printed(duramen(&place, "stats @store --prometheus"))));
    served.stop();
    witness.stop();

    let alerts = std::fs::read_to_string("../dist/duramen-alerts.yml").unwrap();
    let dashboard = std::fs::read_to_string("../dist/duramen-dashboard.json").unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() > 20);
    let (alerts, dashboard) = (named(&alerts), named(&dashboard));
    assert!(alerts.len() > 20 && dashboard.len() > 40, "{} {}", alerts.len(), dashboard.len());
    let missing: Vec<_> = alerts.union(&dashboard).filter(|name| !known.contains(**name)).collect();
    assert!(missing.is_empty(), "not exported: {missing:?} of {known:?}");

    // The table that says what to do has all that the rules are about, and the other way round.
    let docs = std::fs::read_to_string("../docs/operations.md").unwrap();
    let table = docs.split("### Alerts").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: String = table.lines().filter(|line| line.starts_with("| `duramen_")).collect();
    let rows = named(&rows);
    let unlike: Vec<_> = alerts.symmetric_difference(&rows).collect();
    assert!(unlike.is_empty(), "only in the rules or only in the table: {unlike:?}");
}
