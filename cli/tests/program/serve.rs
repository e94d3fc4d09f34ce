//! `duramen serve`, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use duramen::tlog::{Ed25519Verifier, NoteVerifier, SignedNote, TlogProof};
use duramen::{Hasher, Rfc6962Sha256};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Place, duramen, printed, printed_bytes, refused};

const ORIGIN: &str = "example.com/log";

/// A log that is served, and killed at the end of its test.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(place: &Place, flags: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
        command.arg("serve").arg(place.path("store")).args(["--listen", "127.0.0.1:0", "--key"]);
        command.arg(place.path("key")).args(["--checkpoint-interval", "20ms"]);
        command.args(flags.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => place.path(name).into_os_string(),
            None => word.into(),
        }));
        // The first start makes the anchor, beside the key.
        let mut files = std::fs::read_dir(place.dir()).unwrap().map(|file| file.unwrap().path());
        let anchored = files.any(|file| file.extension().is_some_and(|end| end == "anchor"));
        if !anchored && !flags.contains("--anchor") {
            command.arg("--first-anchor");
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        let mut served = Self { child, address: address.unwrap_or_default() };
        assert!(!served.address.is_empty(), "{line:?} {}", served.end().1);
        served
    }

    /// Sends a request with a body, and returns status, head and body of the answer.
    fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        exchange(&mut stream, method, path, headers, body).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "", b"")
    }

    /// Adds an entry and returns its index.
    fn add(&self, entry: &[u8]) -> u64 {
        let answer = self.request("POST", "/add", "", entry);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["index"].as_u64().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end. Returns the status and what was told.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }

    fn stop(mut self) {
        self.signal(Signal::TERM);
        let (status, told) = self.end();
        assert_eq!(status, Some(0), "{told}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// One request on a connection, which stays open.
fn exchange(
    stream: &mut TcpStream,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<Answer> {
    let len = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len}\r\n{headers}\r\n");
    stream.write_all(&[request.as_bytes(), body].concat())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head[9..12].parse().unwrap();
    let mut answer = Answer { status, head, body: Vec::new() };
    if answer.header("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            if size == 0 {
                break;
            }
            answer.body.extend_from_slice(&chunk[..size]);
        }
    } else {
        let len: usize = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        answer.body = vec![0; len];
        reader.read_exact(&mut answer.body)?;
    }
    Ok(answer)
}

fn keyed() -> (Place, Ed25519Verifier) {
    let place = Place::new();
    let vkey = printed(duramen(&place, &format!("keygen {ORIGIN} -o @key")));
    (place, vkey.trim().parse().unwrap())
}

/// Size and root of a checkpoint that the log's key signed.
fn verified(note: &str, key: &Ed25519Verifier) -> (u64, [u8; 32]) {
    let note: SignedNote = note.parse().unwrap();
    let head = note.verify_checkpoint(&[key as &dyn NoteVerifier], ORIGIN).unwrap().head();
    (head.size.get(), head.root)
}

fn entry(number: usize) -> Vec<u8> {
    format!("entry {number} {}", "x".repeat(number % 50)).into_bytes()
}

/// Waits until the checkpoint has this size.
fn published(served: &Served, size: u64, key: &Ed25519Verifier) -> (u64, [u8; 32]) {
    for _ in 0..500 {
        let found = verified(served.get("/checkpoint").text(), key);
        if found.0 >= size {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no checkpoint of size {size}");
}

#[test]
fn the_page_comes_from_the_program_alone_and_shows_the_logs_key() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    for path in ["/", "/main/"] {
        let page = served.get(path);
        assert_eq!(
            (page.status, page.header("content-type")),
            (200, Some("text/html; charset=utf-8"))
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"));
        // No script or style within, and no address of another server.
        for inline in ["<style", "style=", "onclick", "<script>", "http:", "https:", "//"] {
            assert!(!page.text().contains(inline), "{inline}");
        }
        // Every file that it names is there.
        let named = page.text().split(['"']).filter(|text| text.starts_with("page/"));
        for file in named.chain(["page/verifier.wasm"]) {
            assert_eq!(served.get(&format!("{path}{file}")).status, 200, "{file}");
        }
    }
    assert_eq!(served.get("/main").header("location"), Some("main/"));
    assert_eq!(served.get("/page/other").status, 404);
    let state = served.get("/v1/state").json();
    assert_eq!(state["keys"][0], key.to_string());
    assert!(state["free_thousandths"].as_u64().unwrap() <= 1000);
    served.add(b"an entry");
    let history = served.get("/v1/history").json();
    assert!(history["now_ms"].is_u64() && history["seconds"].is_array());
    served.stop();
}

#[test]
fn an_entry_that_is_added_comes_back_with_a_proof_that_a_checkpoint_signs() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    for number in 0..10 {
        assert_eq!(served.add(&entry(number)), number as u64);
    }
    let answer = served.request("POST", "/add?wait=checkpoint", "", b"the last");
    assert_eq!(answer.status, 200, "{answer:?}");
    let proof: TlogProof = answer.text().parse().unwrap();
    let leaf = Rfc6962Sha256.leaf(b"the last");
    proof.verify(&[&key as &dyn NoteVerifier], ORIGIN, &leaf).unwrap();
    assert_eq!(proof.index.get(), 10);
    served.stop();
    // The store has what was served.
    assert_eq!(printed_bytes(duramen(&place, "entry DIR 3")), entry(3));
}

#[test]
fn tiles_of_every_width_are_the_hashes_of_the_tree_and_bundles_are_its_entries() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    let batch: Vec<u8> = (0..300)
        .flat_map(|number| {
            let entry = entry(number);
            [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
        })
        .collect();
    let answer = served.request("POST", "/add-batch", "", &batch);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["entries"][299]["index"], 299);
    let (size, root) = published(&served, 300, &key);
    assert_eq!(size, 300);
    let leaves: Vec<_> = (0..300).map(|number| Rfc6962Sha256.leaf(&entry(number))).collect();
    for (path, leaves) in [
        ("/tile/0/000", &leaves[..256]),
        ("/tile/0/001.p/44", &leaves[256..]),
        ("/tile/0/000.p/1", &leaves[..1]),
        ("/tile/0/001.p/7", &leaves[256..263]),
    ] {
        let tile = served.get(path);
        assert_eq!((tile.status, tile.body), (200, leaves.concat()), "{path}");
    }
    let tile = served.get("/tile/1/000.p/1");
    assert_eq!(tile.header("content-type"), Some("application/octet-stream"));
    assert!(tile.header("cache-control").unwrap().contains("immutable"));
    // The root follows from the tiles by code that is not ours.
    let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    (0..300).for_each(|number| tree.push(entry(number)));
    assert_eq!(tree.root().as_bytes()[..], root);

    let bundle = served.get("/tile/entries/001.p/2").body;
    let framed = |number: usize| {
        let entry = entry(number);
        [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat()
    };
    assert_eq!(bundle, [framed(256), framed(257)].concat());
    let full = served.get("/tile/entries/000").body;
    assert_eq!(full, (0..256).flat_map(framed).collect::<Vec<u8>>());
    served.stop();
}

#[test]
fn a_path_that_is_not_exactly_that_of_a_tile_is_not_found() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    served.add(b"one");
    published(&served, 1, &key);
    assert_eq!(served.get("/tile/0/000.p/1").status, 200);
    for path in [
        "/tile/0/000",
        "/tile/0/000.p/0",
        "/tile/0/000.p/01",
        "/tile/0/000.p/2",
        "/tile/0/000.p/256",
        "/tile/0/000.p/-1",
        "/tile/00/000.p/1",
        "/tile/01/000.p/1",
        "/tile/64/000.p/1",
        "/tile/0/0.p/1",
        "/tile/0/0000.p/1",
        "/tile/0/x000/000.p/1",
        "/tile/0/000/000.p/1",
        "/tile/0/../0/000.p/1",
        "/tile/0/%2e%2e/000.p/1",
        "/tile/0/%30%30%30.p/1",
        "/tile/0%2F000.p/1",
        "/tile/0/000.p/1/",
        "/tile//000.p/1",
        "/tile/1/000.p/1",
        "/tile/entries/000",
        "/tile/entries/000.p/2",
        "/tile/entries/x999/x999/x999/x999/x999/x999/x999/999",
        "/../etc/passwd",
        "/nowhere",
    ] {
        assert_eq!(served.get(path).status, 404, "{path}");
    }
    served.stop();
}

#[test]
fn equal_entries_of_many_submitters_get_one_index() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    let found = Mutex::new(std::collections::BTreeMap::<usize, u64>::new());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (served, found) = (&served, &found);
            scope.spawn(move || {
                for step in 0..50 {
                    let number = (step + thread * 7) % 50;
                    let index = served.add(&entry(number));
                    let mut found = found.lock().unwrap();
                    assert_eq!(*found.entry(number).or_insert(index), index);
                }
            });
        }
    });
    served.stop();
    let head = printed(duramen(&place, "head DIR"));
    assert!(head.starts_with("size 50\n"), "{head}");
}

#[test]
fn after_a_kill_under_load_every_acknowledged_entry_is_there_with_a_proof() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    let acknowledged = Mutex::new(Vec::new());
    let killed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..100 {
            let (served, acknowledged, killed) = (&served, &acknowledged, &killed);
            scope.spawn(move || {
                let Ok(mut stream) = TcpStream::connect(&served.address) else { return };
                for step in 0.. {
                    let body = entry(thread * 1_000_000 + step);
                    let Ok(answer) = exchange(&mut stream, "POST", "/add", "", &body) else {
                        break;
                    };
                    let index = answer.json()["index"].as_u64().unwrap();
                    acknowledged.lock().unwrap().push((index, body));
                }
                assert!(killed.load(Ordering::SeqCst), "the server lives and a request failed");
            });
        }
        while acknowledged.lock().unwrap().len() < 3000 {
            std::thread::sleep(Duration::from_millis(5));
        }
        killed.store(true, Ordering::SeqCst);
        served.signal(Signal::KILL);
    });
    drop(served);
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() >= 3000);

    let served = Served::start(&place, "");
    let (size, root) = verified(served.get("/checkpoint").text(), &key);
    let mut stream = TcpStream::connect(&served.address).unwrap();
    let mut get = |path: &str| exchange(&mut stream, "GET", path, "", b"").unwrap();
    for (index, body) in &acknowledged {
        assert_eq!(&get(&format!("/v1/entry?index={index}")).body, body, "{index} of {size}");
        let proof = get(&format!("/v1/proof?index={index}&format=tlog-proof"));
        let proof: TlogProof = proof.text().parse().unwrap();
        let keys = [&key as &dyn NoteVerifier];
        let head = proof.verify(&keys, ORIGIN, &Rfc6962Sha256.leaf(body)).unwrap().head();
        assert_eq!((head.size.get(), head.root), (size, root));
    }
    served.stop();
}

#[test]
fn a_signal_lets_requests_end_and_the_last_checkpoint_has_them() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    let acknowledged = Mutex::new(0);
    std::thread::scope(|scope| {
        for thread in 0..20 {
            let (served, acknowledged) = (&served, &acknowledged);
            scope.spawn(move || {
                let Ok(mut stream) = TcpStream::connect(&served.address) else { return };
                for step in 0.. {
                    let body = entry(thread * 1_000_000 + step);
                    match exchange(&mut stream, "POST", "/add", "", &body) {
                        Ok(answer) if answer.status == 200 => *acknowledged.lock().unwrap() += 1,
                        Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                        Err(_) => break,
                    }
                }
            });
        }
        while *acknowledged.lock().unwrap() < 500 {
            std::thread::sleep(Duration::from_millis(5));
        }
        served.signal(Signal::TERM);
    });
    let mut served = served;
    let (status, told) = served.end();
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("served to the end"), "{told}");
    // The anchor has the last head that was signed. Nothing has opened the store since.
    let mut files = std::fs::read_dir(place.dir()).unwrap().map(|file| file.unwrap().path());
    let anchor = files.find(|file| file.extension().is_some_and(|end| end == "anchor")).unwrap();
    let anchor = std::fs::read_to_string(anchor).unwrap();
    let size = anchor.lines().find_map(|line| line.strip_prefix("size ")).unwrap();
    let size: u64 = size.parse().unwrap();
    // A request whose answer was cut off may be in the log as well.
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(size >= acknowledged, "{size} of {acknowledged}");
    let again = Served::start(&place, "");
    assert_eq!(verified(again.get("/checkpoint").text(), &key).0, size);
    again.stop();
}

#[test]
fn a_request_that_is_cut_off_or_too_long_leaves_nothing() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream
            .write_all(b"POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nonly this")
            .unwrap();
    }
    let long = vec![b'x'; 65_536];
    assert_eq!(served.request("POST", "/add", "", &long).status, 413);
    let batch = [&65_536u32.to_be_bytes()[..], &long].concat();
    assert_eq!(served.request("POST", "/add-batch", "", &batch).status, 413);
    assert_eq!(served.request("POST", "/add-batch", "", &[0, 0, 0, 9, 1]).status, 400);
    let json = "content-type: application/x-ndjson\r\n";
    let lines = served.request("POST", "/add-batch", json, b"{\"a\":1}\n{\"b\":2}\n");
    assert_eq!(lines.json()["entries"][1]["index"], 1);
    assert_eq!(published(&served, 2, &key).0, 2);
    served.stop();
    assert_eq!(printed(duramen(&place, "entries DIR")), "{\"a\":1}\n{\"b\":2}\n");
}

#[test]
fn proofs_entries_and_where_a_leaf_is_are_answered_up_to_the_checkpoint() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    for number in 0..20 {
        served.add(&entry(number));
    }
    let (size, root) = published(&served, 20, &key);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(served.get("/v1/head").json()["root"], hex(&root));
    let proof = served.get("/v1/proof?index=5&size=9").body;
    let proof = place.file("proof", proof);
    let head = served.get("/v1/proof?index=5&size=9").json();
    let line = format!(
        "verify inclusion {} --head 9:{} --index 5 --leaf {}",
        proof.display(),
        head["root"].as_str().unwrap(),
        hex(&Rfc6962Sha256.leaf(&entry(5)))
    );
    printed(duramen(&place, &line));
    let consistency = served.get("/v1/consistency?from=9").json();
    assert_eq!((&consistency["new_size"], &consistency["old_size"]), (&size.into(), &9.into()));
    assert_eq!(consistency["old_root"], head["root"]);
    let leaf = hex(&Rfc6962Sha256.leaf(&entry(7)));
    assert_eq!(served.get(&format!("/v1/find?leaf={leaf}")).json()["index"], 7);
    assert_eq!(served.get(&format!("/v1/find?leaf={}", "0".repeat(64))).status, 404);
    for path in ["/v1/proof?index=20", "/v1/proof?index=1&size=21", "/v1/entry?index=20"] {
        assert_eq!(served.get(path).status, 404, "{path}");
    }
    for path in ["/v1/proof", "/v1/proof?index=x", "/v1/proof?index=1&leaf=ab", "/v1/entry"] {
        assert_eq!(served.get(path).status, 400, "{path}");
    }
    assert_eq!(served.get("/v1/consistency?from=9&to=3").status, 400);
    assert_eq!(served.get("/readyz").json()["ready"], true);
    served.stop();
}

#[test]
fn a_follower_gets_each_published_entry_once_and_goes_on_where_it_was() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    (0..5).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    let follow = |last: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(stream, "GET /v1/tail?from=0 HTTP/1.1\r\nhost: x\r\n{last}\r\n").unwrap();
        BufReader::new(stream)
    };
    let ids = |reader: &mut BufReader<TcpStream>, count: usize| -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(id) = line.strip_prefix("id: ") {
                ids.push(id.trim().to_owned());
            }
        }
        ids
    };
    let mut reader = follow("");
    assert_eq!(ids(&mut reader, 5), ["0", "1", "2", "3", "4"]);
    (5..8).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    assert_eq!(ids(&mut reader, 3), ["5", "6", "7"]);
    assert_eq!(ids(&mut follow("last-event-id: 5\r\n"), 2), ["6", "7"]);
    served.stop();
}

#[test]
fn a_restored_backup_is_not_served() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    served.add(b"one");
    served.stop();
    printed(duramen(&place, "backup DIR @backup"));
    let served = Served::start(&place, "");
    served.add(b"two");
    served.stop();
    std::fs::rename(place.path("store"), place.path("lost")).unwrap();
    std::fs::rename(place.path("backup"), place.path("store")).unwrap();
    let error = refused(duramen(&place, "serve DIR --listen 127.0.0.1:0 --key @key"), 2);
    assert!(error.contains("1 durable leaves, fewer than were signed"), "{error}");
}

#[test]
fn an_anchor_is_not_in_the_store_and_is_needed_once_there_are_leaves() {
    let (place, _) = keyed();
    let line = "serve DIR --listen 127.0.0.1:0 --key @key --anchor DIR";
    printed(crate::common::given(
        &place,
        "append DIR --entries --hasher rfc6962-sha256 --arity 2",
        "a\n",
    ));
    assert!(refused(duramen(&place, line), 2).contains("it must be outside"));
    let line = "serve DIR --listen 127.0.0.1:0 --key @key";
    assert!(refused(duramen(&place, line), 2).contains("has no anchor"));
    assert!(
        refused(duramen(&place, "serve @new --listen 127.0.0.1:0 --key @key"), 2)
            .contains("has no anchor")
    );
    Served::start(&place, "").stop();
    Served::start(&place, "").stop();
    let again = format!("{line} --first-anchor");
    assert!(refused(duramen(&place, &again), 2).contains("there is one"));
    // Another store with the same key.
    let other = "serve @other --listen 127.0.0.1:0 --key @key";
    printed(crate::common::given(
        &place,
        "append @other --entries --hasher rfc6962-sha256 --arity 2",
        "a\n",
    ));
    assert!(refused(duramen(&place, other), 2).contains("is of the store"));
}

#[test]
fn beside_a_log_that_is_served_its_key_signs_what_is_published_and_no_more() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    (0..5).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    let (size, root) = published(&served, 5, &key);
    let note = printed(duramen(&place, "head DIR --format checkpoint --key @key"));
    assert_eq!(verified(&note, &key), (size, root));
    let proof = printed(duramen(&place, "prove DIR 2 --format tlog-proof --key @key"));
    let proof: TlogProof = proof.parse().unwrap();
    proof.verify(&[&key as &dyn NoteVerifier], ORIGIN, &Rfc6962Sha256.leaf(&entry(2))).unwrap();
    let note = printed(duramen(&place, "head DIR --size 3 --format checkpoint --key @key"));
    assert_eq!(verified(&note, &key).0, 3);
    let second = "serve DIR --listen 127.0.0.1:0 --key @key";
    printed(duramen(&place, "backup DIR @copy"));
    let error = refused(duramen(&place, second), 4);
    assert!(error.contains("is already open"), "{error}");
    let second = "serve @copy --listen 127.0.0.1:0 --key @key";
    assert!(refused(duramen(&place, second), 2).contains("another process signs"));
    // The log goes on.
    (5..9).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    published(&served, 9, &key);
    served.stop();
    // And with the log stopped the command signs on.
    printed(crate::common::given(&place, "append DIR", "one more\n"));
    let note = printed(duramen(&place, "head DIR --format checkpoint --key @key"));
    assert_eq!(verified(&note, &key).0, 10);
    let served = Served::start(&place, "");
    assert_eq!(verified(served.get("/checkpoint").text(), &key).0, 10);
    served.stop();
}

#[test]
fn logs_that_would_be_confused_are_not_served() {
    let (place, _) = keyed();
    std::fs::copy(place.path("key"), place.path("same")).unwrap();
    printed(duramen(&place, "keygen another -o @other"));
    let line = "serve DIR --listen 127.0.0.1:0 --first-anchor --key @key";
    let one_origin = format!("{line} --tree a --key @same --tree b --anchor @anchors");
    let error = refused(duramen(&place, &one_origin), 2);
    assert!(error.contains("or another log of this one"), "{error}");
    let twice = format!("{line} --tree c --key @other --tree c --anchor @more");
    assert!(refused(duramen(&place, &twice), 2).contains("two logs have this name"));
    let pattern = format!("{line} --tree {{x}} --anchor @still-more");
    assert!(refused(duramen(&place, &pattern), 2).contains("a name in a path"));
    assert!(
        refused(duramen(&place, &format!("{line} --tree a --tree b")), 2)
            .contains("a key of its own")
    );
}

#[test]
fn a_tree_under_the_name_of_a_path_is_refused_before_anything_is_made() {
    let place = Place::new();
    printed(duramen(&place, "keygen example.com/log -o @key"));
    for name in ["checkpoint", "healthz", "readyz", "page", "tile", "add", "add-batch", "v1"] {
        let line =
            format!("serve DIR --listen 127.0.0.1:0 --key @key --tree {name} --first-anchor");
        let text = refused(duramen(&place, &line), 2);
        assert!(text.contains(&format!("{name:?}")) && text.contains("something else"), "{text}");
    }
    let line = "serve DIR --listen 127.0.0.1:0 --key @key --first-anchor --connections 0";
    assert!(refused(duramen(&place, line), 2).contains("at least 1"));
    let left: Vec<_> =
        std::fs::read_dir(place.dir()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["key"]);
}

#[test]
fn two_logs_of_one_store_have_their_own_entries_and_checkpoints() {
    let (place, key) = keyed();
    let other: Ed25519Verifier =
        printed(duramen(&place, "keygen another -o @other")).trim().parse().unwrap();
    let served = Served::start(&place, "--tree one --key @other --tree two");
    let add =
        |path: &str, entry: &[u8]| served.request("POST", path, "", entry).json()["index"].clone();
    assert_eq!(add("/add", b"a"), 0);
    assert_eq!(add("/two/add", b"a"), 0);
    assert_eq!(add("/one/add", b"b"), 1);
    published(&served, 2, &key);
    assert_eq!(served.get("/one/checkpoint").body, served.get("/checkpoint").body);
    let note: SignedNote = served.get("/two/checkpoint").text().parse().unwrap();
    let checkpoint = note.verify_checkpoint(&[&other as &dyn NoteVerifier], "another").unwrap();
    assert_eq!(checkpoint.head().size.get(), 1);
    served.stop();
}

#[test]
fn two_live_copies_do_not_both_take_entries_for_one_log() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    served.add(b"one");
    served.stop();
    // A copy of the files, which has the id of the store.
    let mut copy = Command::new("cp");
    copy.arg("-r").args([place.path("store"), place.path("copy")]);
    assert!(copy.status().unwrap().success());
    let first = Served::start(&place, "");
    // As on a machine that does not see the lock of the first one.
    for file in std::fs::read_dir(place.dir()).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|end| end == "signing") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
    command.arg("serve").arg(place.path("copy")).args(["--listen", "127.0.0.1:0", "--key"]);
    command.arg(place.path("key")).args(["--checkpoint-interval", "20ms"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on http://").to_owned();
    let second = Served { child, address };
    assert!(!second.address.is_empty());
    first.add(b"two");
    std::thread::sleep(Duration::from_millis(200));
    let mut status = 200;
    for number in 0..200 {
        status = second.request("POST", "/add", "", format!("other {number}").as_bytes()).status;
        if status != 200 {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(status, 503);
    assert_eq!(second.get("/readyz").status, 503);
    first.add(b"three");
    first.stop();
    let mut second = second;
    second.signal(Signal::TERM);
    let (status, told) = second.end();
    assert_eq!(status, Some(2), "{told}");
    let said = told.lines().any(|line| line.contains("ERROR") && line.contains("the anchor"));
    assert!(said, "{told}");
}

#[test]
fn operators_need_the_token_and_see_their_jobs_to_the_end() {
    let (place, _) = keyed();
    place.file("token", "0123456789abcdef\n");
    let socket = place.path("admin.sock");
    let served =
        Served::start(&place, &format!("--admin unix:{} --admin-token @token", socket.display()));
    served.add(b"one");
    let ask = |method: &str, path: &str, token: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let right = "0123456789abcdef";
    assert!(ask("GET", "/metrics", "wrong").starts_with("HTTP/1.1 401"));
    let metrics = ask("GET", "/metrics", right);
    assert!(metrics.contains("duramen_log_added_entries_total{log=\"main\"} 1\n"), "{metrics}");
    let started = ask("POST", "/v1/admin/scrub", right);
    assert!(started.starts_with("HTTP/1.1 202"), "{started}");
    for _ in 0..500 {
        let job = ask("GET", "/v1/admin/jobs/1", right);
        if job.contains("\"state\":\"done\"") {
            assert!(job.contains("\"clean\":true"), "{job}");
            assert_eq!(served.get("/metrics").status, 404);
            served.stop();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the scrub does not end");
}

#[test]
fn operators_compact_a_log_that_is_served_and_no_file_keeps_what_was_erased() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    (0..300).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    served.stop();
    let secret = entry(7);
    let has_secret = || {
        let files = ["wal", "parts", "manifest"].map(|inner| place.path("store").join(inner));
        let files = files.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        bytes.any(|bytes| bytes.windows(secret.len()).any(|found| found == secret))
    };
    let mut erase = duramen(&place, "erase DIR 7 --yes");
    erase.args(["--reason", "asked for"]);
    printed(erase);
    assert!(has_secret());
    let socket = place.path("admin.sock");
    let served = Served::start(&place, &format!("--admin unix:{}", socket.display()));
    // The log that is served reads the parts.
    assert_eq!(served.get("/v1/entry?index=8").body, entry(8));
    served.add(b"another");
    let ask = |request: &str| {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let body = "{\"full\":true}";
    let started = ask(&format!(
        "POST /v1/admin/compact HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(started.starts_with("HTTP/1.1 202"), "{started}");
    let done = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let job = ask("GET /v1/admin/jobs/1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        (!job.contains("\"state\":\"running\"")).then_some(job)
    });
    let done = done.expect("the compaction does not end");
    assert!(done.contains("\"pinned_files\":0"), "{done}");
    assert!(!has_secret());
    assert_eq!(served.get("/v1/entry?index=7").status, 410);
    assert_eq!(served.get("/v1/entry?index=8").body, entry(8));
    let started = ask(
        "POST /v1/admin/compact HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    );
    assert!(started.starts_with("HTTP/1.1 202"), "{started}");
    served.stop();
}

#[test]
fn a_log_as_files_is_what_the_server_answers() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    (0..300).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    published(&served, 300, &key);
    place.file("checkpoint", served.get("/checkpoint").body);
    let line = "export-tiles DIR @out --checkpoint @checkpoint";
    assert_eq!(printed(duramen(&place, line)), "size 300, before 0\n3 tiles, 2 bundles\n");
    assert_eq!(printed(duramen(&place, line)), "size 300, before 300\n0 tiles, 0 bundles\n");
    for path in
        ["checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/000"]
    {
        let file = std::fs::read(place.path("out").join(path)).unwrap();
        assert_eq!(file, served.get(&format!("/{path}")).body, "{path}");
    }
    served.stop();
    printed(crate::common::given(
        &place,
        "append @other --entries --hasher rfc6962-sha256 --arity 2",
        "a\n",
    ));
    let line = "export-tiles @other @out --checkpoint @checkpoint";
    assert!(refused(duramen(&place, line), 1).contains("is not of this tree"));
    place.file("nonsense", "nonsense");
    let line = "export-tiles DIR @out --checkpoint @nonsense";
    assert!(refused(duramen(&place, line), 2).contains("is not a signed checkpoint"));
}

#[test]
fn duplicates_are_inserted_where_that_is_asked_for() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    assert_eq!((served.add(b"a"), served.add(b"a")), (0, 0));
    served.stop();
    let served = Served::start(&place, "--duplicates");
    assert_eq!((served.add(b"a"), served.add(b"a")), (1, 2));
    served.stop();
}

#[test]
fn full_tiles_below_the_minimum_index_are_gone_and_proofs_stay() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    (0..600).for_each(|number| assert_eq!(served.add(&entry(number)), number as u64));
    published(&served, 600, &key);
    served.stop();
    let line = "serve DIR --listen 127.0.0.1:0 --key @key --minimum-index 601";
    assert!(refused(duramen(&place, line), 2).contains("it has 600 leaves"));
    let twice = format!("{line} --minimum-index 3");
    assert!(refused(duramen(&place, &twice), 2).contains("2 --minimum-index for 1 --tree"));
    let served = Served::start(&place, "--minimum-index 300");
    for (path, status) in [
        ("/tile/0/000", 410),
        ("/tile/entries/000", 410),
        ("/tile/0/001", 200),
        ("/tile/entries/001", 200),
        ("/tile/1/000.p/2", 200),
        ("/v1/proof?index=400", 200),
    ] {
        assert_eq!(served.get(path).status, status, "{path}");
    }
    assert_eq!(served.get("/tile/0/000").header("cache-control"), Some("no-store"));
    served.stop();
}

#[test]
fn a_connection_that_sends_nothing_or_half_a_request_is_closed() {
    let (place, _) = keyed();
    let served = Served::start(&place, "");
    let mut silent = TcpStream::connect(&served.address).unwrap();
    let mut half = TcpStream::connect(&served.address).unwrap();
    half.write_all(b"GET /checkpoint HTTP/1.1\r\nx: ").unwrap();
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut rest = Vec::new();
        // Closed with an answer or without one, but not kept.
        let _ = stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    served.stop();
}

#[test]
fn an_erased_entry_is_answered_as_gone_and_the_log_goes_on_with_the_same_tree() {
    let (place, key) = keyed();
    let served = Served::start(&place, "");
    for number in 0..3 {
        served.add(&entry(number));
    }
    let head = published(&served, 3, &key);
    served.stop();
    let mut erase = duramen(&place, "erase DIR 1 --yes");
    erase.args(["--reason", "asked for"]);
    printed(erase);
    printed(duramen(&place, "compact DIR"));
    let served = Served::start(&place, "");
    assert_eq!(published(&served, 3, &key), head);
    for gone in ["/v1/entry?index=1", "/tile/entries/000.p/3"] {
        let answer = served.get(gone);
        assert_eq!(answer.status, 410, "{gone}: {answer:?}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("entry 1 was erased at "));
    }
    assert_eq!(served.get("/v1/entry?index=2").body, entry(2));
    assert_eq!(served.get("/v1/proof?index=1").status, 200);
    assert_eq!(served.add(&entry(3)), 3);
    published(&served, 4, &key);
    served.stop();
}
