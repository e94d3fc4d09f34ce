//! `duramen monitor` and `duramen mirror`: of a log that is served, of one that lies as files, and of servers that lie.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, given, printed, refused};
use crate::traced::run::{Traced, can_trace};

const ORIGIN: &str = "example.com/log";

/// A place with the key of a log. Returns the public one.
fn keyed() -> (Place, String) {
    let place = Place::new();
    let vkey = printed(duramen(&place, &format!("keygen {ORIGIN} -o @key")));
    (place, vkey.trim().to_owned())
}

fn lines(numbers: std::ops::Range<u32>, words: &str) -> String {
    numbers.map(|number| format!("{words} {number}\n")).collect()
}

/// Appends to a store and writes it as files, with a checkpoint of its own. `state` names the anchor, so that one key
/// can sign two histories here.
fn published(place: &Place, store: &str, entries: &str, first: bool) {
    let append = format!("append @{store} --entries --hasher sha256 --arity 2");
    printed(given(place, &append, entries));
    let first = if first { "--first-anchor" } else { "" };
    let head =
        format!("head @{store} --format checkpoint --key @key --anchor @{store}-anchor {first}");
    place.file("checkpoint", printed(duramen(place, &head)));
    printed(duramen(
        place,
        &format!("export-tiles @{store} @{store}-files --checkpoint @checkpoint"),
    ));
}

/// What becomes of a file before it is sent. `None` is 404.
type Change = dyn Fn(&str, Vec<u8>) -> Option<Vec<u8>> + Send + Sync;

/// Serves a directory, as any web server does.
struct Files {
    address: String,
    dir: Arc<Mutex<PathBuf>>,
    ended: Arc<AtomicBool>,
}

impl Files {
    fn serve(dir: &Path) -> Self {
        Self::changing(dir, |_, bytes| Some(bytes))
    }

    fn changing(
        dir: &Path,
        change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let change: Arc<Change> = Arc::new(change);
        let dir = Arc::new(Mutex::new(dir.to_owned()));
        let served = Arc::clone(&dir);
        let (address, ended) = listen(move |stream| {
            answer_files(stream, &served, &*change);
        });
        Self { address, dir, ended }
    }

    fn show(&self, dir: &Path) {
        *self.dir.lock().unwrap() = dir.to_owned();
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        end(&self.address, &self.ended);
    }
}

fn end(address: &str, ended: &AtomicBool) {
    ended.store(true, Ordering::SeqCst);
    let _ = TcpStream::connect(address);
}

/// Calls `serve` with each connection, on a thread of its own.
fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = Arc::new(AtomicBool::new(false));
    let (stop, serve) = (Arc::clone(&ended), Arc::new(serve));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let (Ok(stream), serve) = (stream, Arc::clone(&serve)) else { continue };
            std::thread::spawn(move || serve(stream));
        }
    });
    (address, ended)
}

/// The path of the next request on a connection.
fn next_request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        read.push(byte[0]);
    }
    let text = String::from_utf8(read).unwrap();
    Some(text.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned())
}

fn answer_files(mut stream: TcpStream, dir: &Mutex<PathBuf>, change: &Change) {
    while let Some(path) = next_request(&mut stream) {
        let file = dir.lock().unwrap().join(&path);
        let bytes = std::fs::read(file).ok().and_then(|bytes| change(&path, bytes));
        let (status, bytes) = match bytes {
            Some(bytes) => ("200 OK", bytes),
            None => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", bytes.len());
        if stream.write_all(&[head.as_bytes(), &bytes].concat()).is_err() {
            return;
        }
    }
}

/// The end of a command line that follows `url`.
fn follow(command: &str, url: &str, vkey: &str, more: &str) -> String {
    format!("{command} {url} {more} --vkey {vkey} --state @state --timeout 2s")
}

fn root(place: &Place, store: &str) -> String {
    let head = printed(duramen(place, &format!("head @{store}")));
    head.lines().nth(1).unwrap().strip_prefix("root ").unwrap().to_owned()
}

/// The one file in the directory of evidence whose name begins so.
fn evidence(place: &Place, kind: &str) -> PathBuf {
    let all = std::fs::read_dir(place.path("state/evidence")).unwrap();
    let mut found: Vec<_> = all
        .map(|one| one.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(kind))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_monitor_verifies_a_served_log_and_goes_on_where_it_was() {
    let (place, vkey) = keyed();
    let line =
        "serve @store --listen 127.0.0.1:0 --key @key --checkpoint-interval 20ms --first-anchor";
    let served = Process::start(command(&place, &[], line));
    let batch = lines(0..700, "entry");
    let add = |batch: &str| {
        let request = format!(
            "POST /add-batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{batch}",
            batch.len()
        );
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    let wait = |size: &str| {
        for _ in 0..1000 {
            if served.get("/checkpoint").text().lines().nth(1) == Some(size) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no checkpoint of size {size}");
    };
    add(&batch);
    wait("700");
    let url = format!("http://{}/", served.address);
    let once = || follow("monitor", &url, &vkey, "--once");
    let told = printed(duramen(&place, &once()));
    assert!(told.starts_with("size 700 root ") && told.ends_with(" entries 700\n"), "{told}");
    let told = printed(duramen(&place, &once()));
    assert!(told.ends_with(" entries 0\n"), "{told}");
    add(&lines(700..900, "entry"));
    wait("900");
    let told = printed(duramen(&place, &format!("{} --json", once())));
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&json["size"], &json["entries"]), (&900.into(), &200.into()));
    served.stop();
    let error = refused(duramen(&place, &once()), 2);
    assert!(error.contains("cannot follow the log: checkpoint cannot be fetched"), "{error}");
    assert_eq!(json["root"], root(&place, "store"));
}

#[test]
fn a_monitor_prints_each_new_checkpoint_until_a_signal() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..300, "entry"), true);
    let files = Files::serve(&place.path("log-files"));
    let line = follow("monitor", &files.url(), &vkey, "--interval 20ms");
    let mut child = command(&place, &[], &line).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || told.next().unwrap().unwrap();
    assert!(next().starts_with("size 300 "));
    published(&place, "log", &lines(300..1000, "entry"), false);
    assert!(next().starts_with("size 1000 "));
    published(&place, "log", &lines(1000..1001, "entry"), false);
    let last = next();
    assert_eq!(last, format!("size 1001 root {} entries 1", root(&place, "log")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_fork_ends_a_monitor_with_both_notes_kept() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..300, "entry"), true);
    published(&place, "fork", &lines(0..400, "another"), true);
    let files = Files::serve(&place.path("log-files"));
    let line = follow("monitor", &files.url(), &vkey, "--interval 20ms --patience 1h");
    printed(duramen(&place, &format!("{line} --once")));
    files.show(&place.path("fork-files"));
    // It ends by itself, whatever its patience is.
    let mut ended = duramen(&place, &line);
    let output = ended.assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the log signed two histories: at size 300"), "{told}");
    assert!(told.contains("the evidence is in"), "{told}");
    let kept = evidence(&place, "fork-");
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(kept.join("known")), read(place.path("log-files/checkpoint")));
    assert_eq!(read(kept.join("served")), read(place.path("fork-files/checkpoint")));
    // The tiles in the evidence are those of the second history.
    let tile = std::fs::read(kept.join("tile/0/001.p/144")).unwrap();
    assert_eq!(tile, std::fs::read(place.path("fork-files/tile/0/001.p/144")).unwrap());
    // The first history is still the one that is known.
    assert!(read(place.path("state/checkpoint")).contains("\n300\n"));
    files.show(&place.path("log-files"));
    printed(duramen(&place, &format!("{line} --once")));
}

#[test]
fn what_a_monitor_keeps_is_durable_with_all_its_names() {
    if !can_trace("the state of a monitor") {
        return;
    }
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..300, "entry"), true);
    published(&place, "fork", &lines(0..400, "another"), true);
    let files = Files::serve(&place.path("log-files"));
    let mut traced = Traced::in_a_new_place();
    let url = files.url();
    let monitor = |more: &[&str]| {
        let mut monitor = Command::new(env!("CARGO_BIN_EXE_duramen"));
        monitor.args(["monitor", &url, "--vkey", &vkey, "--interval", "20ms"]).args(more);
        monitor.arg("--state").arg(traced.path("deep/state"));
        monitor
    };
    let (once, forked) = (monitor(&["--once"]), monitor(&["--patience", "1h"]));
    assert!(traced.print(&once, b"").success());
    traced.ended_well();
    files.show(&place.path("fork-files"));
    assert_eq!(traced.print(&forked, b"").code(), Some(1));
    traced.ended_well();
    assert!(traced.check().promises >= 2);
    let kept = std::fs::read_dir(traced.path("deep/state/evidence")).unwrap().next().unwrap();
    assert!(kept.unwrap().path().join("tile/0/001.p/144").exists());
}

#[test]
fn a_log_that_goes_back_is_told_once_it_lasts() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..300, "entry"), true);
    let old = std::fs::read(place.path("log-files/checkpoint")).unwrap();
    published(&place, "log", &lines(300..600, "entry"), false);
    let files = Files::serve(&place.path("log-files"));
    let line = follow("monitor", &files.url(), &vkey, "--interval 20ms --patience 1ms");
    printed(duramen(&place, &format!("{line} --once")));
    place.file("log-files/checkpoint", old);
    let mut ended = duramen(&place, &line);
    let output = ended.assert().code(1).get_output().clone();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the log shows size 300 after size 600"), "{told}");
    let kept = evidence(&place, "rollback-");
    let read = |name: &str| std::fs::read_to_string(kept.join(name)).unwrap();
    assert!(read("known").contains("\n600\n") && read("served").contains("\n300\n"));
}

#[test]
fn a_cache_that_is_behind_for_a_while_is_waited_for() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..300, "entry"), true);
    let old = std::fs::read(place.path("log-files/checkpoint")).unwrap();
    published(&place, "log", &lines(300..600, "entry"), false);
    let files = Files::serve(&place.path("log-files"));
    let line = follow("monitor", &files.url(), &vkey, "--interval 20ms --patience 1h");
    printed(duramen(&place, &format!("{line} --once")));
    place.file("log-files/checkpoint", old);
    let mut child =
        command(&place, &[], &line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.next().unwrap().unwrap().contains("the log shows size 300 after size 600"));
    published(&place, "log", &lines(600..700, "entry"), false);
    assert!(told.next().unwrap().unwrap().contains("the log is well again"));
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(printed.next().unwrap().unwrap().starts_with("size 700 "));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("state/evidence").exists());
}

#[test]
fn a_server_that_lies_is_found_out() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..700, "entry"), true);
    let dir = place.path("log-files");
    type Lie = fn(&str, Vec<u8>) -> Option<Vec<u8>>;
    let lies: [(&str, Lie, i32, &str); 6] = [
        (
            "a short tile",
            |path, mut bytes| {
                bytes.truncate(if path == "tile/0/001" { 8160 } else { bytes.len() });
                Some(bytes)
            },
            1,
            "tile/0/001 has 8160 bytes instead of 8192",
        ),
        (
            "a wider tile than its name says",
            |path, bytes| match path.strip_suffix(".p/188") {
                Some(_) if path.starts_with("tile/0") => Some([&bytes[..], &[0; 32]].concat()),
                _ => Some(bytes),
            },
            1,
            "instead of 6016",
        ),
        (
            "another entry",
            |path, mut bytes| {
                if path == "tile/entries/001" {
                    bytes[3] ^= 1;
                }
                Some(bytes)
            },
            1,
            "entry 256 in tile/entries/001 is not the one that the tree has",
        ),
        (
            "a long tile",
            |path, bytes| match path {
                "tile/0/000" => Some(vec![0; 1 << 20]),
                _ => Some(bytes),
            },
            1,
            "it is longer than 8192 bytes",
        ),
        (
            "a checkpoint by nobody",
            |path, bytes| match path {
                "checkpoint" => {
                    Some(String::from_utf8(bytes).unwrap().replace("700", "701").into())
                }
                _ => Some(bytes),
            },
            1,
            "the checkpoint is not trusted",
        ),
        (
            "no bundles",
            |path, bytes| (!path.starts_with("tile/entries")).then_some(bytes),
            1,
            "is missing: the answer is 404",
        ),
    ];
    for (name, lie, status, said) in lies {
        let files = Files::changing(&dir, lie);
        let state = name.replace(' ', "-");
        let line =
            format!("monitor {} --once --vkey {vkey} --state @{state} --timeout 2s", files.url());
        let mut ended = duramen(&place, &line);
        let output = ended.assert().code(status).get_output().clone();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(said), "{name}: {told}");
        assert_eq!(output.stdout, b"", "{name}");
    }
}

#[test]
fn a_server_that_is_slow_or_never_ends_is_given_up() {
    let (place, vkey) = keyed();
    let ok = "HTTP/1.1 200 OK\r\n";
    let slow = listen(move |mut stream| {
        next_request(&mut stream);
        let _ = stream.write_all(format!("{ok}content-length: 1000\r\n\r\n").as_bytes());
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let endless = listen(move |mut stream| {
        next_request(&mut stream);
        let _ = stream.write_all(format!("{ok}\r\n").as_bytes());
        while stream.write_all(&[b'a'; 65_536]).is_ok() {}
    });
    let silent = listen(|mut stream| {
        next_request(&mut stream);
        std::thread::sleep(Duration::from_secs(600));
    });
    let moved = listen(|mut stream| {
        while next_request(&mut stream).is_some() {
            let answer =
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    for (address, ended) in [slow, endless, silent, moved] {
        let line =
            format!("monitor http://{address} --once --vkey {vkey} --state @state --timeout 1s");
        let error = refused(duramen(&place, &line), 2);
        assert!(error.contains("checkpoint cannot be fetched"), "{error}");
        end(&address, &ended);
    }
}

#[test]
fn a_mirror_is_a_log_that_is_verified_served_and_exported_like_the_first_one() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..700, "entry"), true);
    let files = Files::serve(&place.path("log-files"));
    let line =
        format!("mirror {} @copy --once --vkey {vkey} --state @state --timeout 2s", files.url());
    let told = printed(duramen(&place, &line));
    assert!(told.ends_with(" entries 700\n"), "{told}");
    assert_eq!(root(&place, "copy"), root(&place, "log"));
    assert_eq!(printed(duramen(&place, "entries @copy")), lines(0..700, "entry"));
    printed(duramen(&place, "export-tiles @copy @copy-files --checkpoint @state/checkpoint"));
    for path in
        ["checkpoint", "tile/0/000", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/002.p/188"]
    {
        let read = |dir: &str| std::fs::read(place.path(dir).join(path)).unwrap();
        assert_eq!(read("copy-files"), read("log-files"), "{path}");
    }
    // It is served while it follows.
    let line = format!(
        "mirror {} @copy --listen 127.0.0.1:0 --interval 20ms --vkey {vkey} --state @state",
        files.url()
    );
    let mirror = Process::start(command(&place, &[], &line));
    assert_eq!(
        mirror.get("/checkpoint").body,
        std::fs::read(place.path("log-files/checkpoint")).unwrap()
    );
    published(&place, "log", &lines(700..1000, "entry"), false);
    let new = std::fs::read(place.path("log-files/checkpoint")).unwrap();
    let came = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        mirror.get("/checkpoint").body == new
    });
    assert!(came, "the mirror does not follow");
    let url = format!("http://{}", mirror.address);
    let line = format!("monitor {url} --once --vkey {vkey} --state @other --timeout 2s");
    assert!(printed(duramen(&place, &line)).ends_with(" entries 1000\n"));
    for (path, status) in
        [("/tile/0/003.p/233", 404), ("/tile/0/0", 404), ("/add", 404), ("/healthz", 200)]
    {
        assert_eq!(mirror.get(path).status, status, "{path}");
    }
    mirror.stop();
    duramen(&place, "scrub @copy").assert().success();
}

#[test]
fn a_mirror_serves_its_copy_after_a_restart_while_the_log_cannot_be_reached() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..600, "entry"), true);
    let files = Files::serve(&place.path("log-files"));
    let url = files.url();
    let line = format!("mirror {url} @copy --once --vkey {vkey} --state @state --timeout 2s");
    printed(duramen(&place, &line));
    drop(files);
    let line = format!(
        "mirror {url} @copy --listen 127.0.0.1:0 --interval 20ms --timeout 100ms --vkey {vkey} --state @state"
    );
    let mirror = Process::start(command(&place, &[], &line));
    let note = std::fs::read(place.path("log-files/checkpoint")).unwrap();
    assert_eq!(mirror.get("/checkpoint").body, note);
    for path in ["tile/0/000", "tile/0/002.p/88", "tile/entries/001", "tile/entries/002.p/88"] {
        let file = std::fs::read(place.path("log-files").join(path)).unwrap();
        // From the store, and then from memory.
        for _ in 0..2 {
            assert_eq!(mirror.get(&format!("/{path}")).body, file, "{path}");
        }
    }
    let copy = format!("http://{}", mirror.address);
    let line = format!("monitor {copy} --once --vkey {vkey} --state @other --timeout 2s");
    assert!(printed(duramen(&place, &line)).ends_with(" entries 600\n"));
    mirror.stop();
}

#[test]
fn a_mirror_that_is_killed_goes_on_and_has_every_entry_once() {
    let (place, vkey) = keyed();
    published(&place, "log", &lines(0..20_000, "entry"), true);
    let files = Files::changing(&place.path("log-files"), |path, bytes| {
        // So that a kill comes in the middle.
        if path.starts_with("tile/entries") {
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(bytes)
    });
    let line =
        format!("mirror {} @copy --once --fetches 2 --vkey {vkey} --state @state", files.url());
    for pause in [100, 200, 300] {
        let mut child = command(&place, &[], &line).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    printed(duramen(&place, &line));
    assert_eq!(root(&place, "copy"), root(&place, "log"));
    assert_eq!(printed(duramen(&place, "entries @copy")), lines(0..20_000, "entry"));
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let (place, vkey) = keyed();
    // The directory itself is locked, and no file in it that could be removed.
    let held = std::fs::create_dir(place.path("state"))
        .and_then(|()| std::fs::File::open(place.path("state")))
        .unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let line = format!("monitor http://127.0.0.1:1 --once --vkey {vkey} --state @state");
    assert!(refused(duramen(&place, &line), 4).contains("another process uses"));
    assert_eq!(std::fs::read_dir(place.path("state")).unwrap().count(), 0);
    drop(held);
    let line = format!("monitor ftp://x --once --vkey {vkey} --state @state");
    assert!(refused(duramen(&place, &line), 2).contains("is not a URL of http or https"));
    place.file("policy", "quorum none\n");
    let line = "monitor http://127.0.0.1:1 --once --policy @policy --state @state --timeout 10ms";
    assert!(refused(duramen(&place, line), 2).contains("the policy lists no log"));
    printed(given(&place, "append @blake", "a\n"));
    let line = format!("mirror http://127.0.0.1:1 @blake --once --vkey {vkey} --state @state");
    assert!(refused(duramen(&place, &line), 2).contains("is not of SHA-256 with arity 2"));
}
