//! Clients, logs and a witness that others wrote: the Python packages tlog-scales and aics-witness, and the Go module
//! golang.org/x/mod.
//!
//! `.ci/run` installs them. Where one is missing its test says so and is skipped.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed};

const ORIGIN: &str = "example.com/log";
/// More than a tile of 256 entries, and a partial one.
const ENTRIES: usize = 700;

/// Says that a test is skipped, or fails where nothing may be skipped.
fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("DURAMEN_TEST_NO_SKIP").is_none(), "{why}");
    // Not through the test harness, which keeps what a test that passes says.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// A Python that has tlog-scales: that of `DURAMEN_TEST_PYTHON`, or the usual one.
fn python(test: &str) -> Option<OsString> {
    python_with("tlog_scales", "tlog-scales 0.0.3", test)
}

fn python_with(module: &str, package: &str, test: &str) -> Option<OsString> {
    let python = std::env::var_os("DURAMEN_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let tried = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if tried.is_ok_and(|tried| tried.status.success()) {
        return Some(python);
    }
    skip(test, &format!("there is no Python with {package}"));
    None
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outside").join(name)
}

/// Runs a command of others, which must succeed, without a proxy.
fn run(mut command: Command) -> String {
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let done = command.output().unwrap();
    let said = [&done.stdout[..], &done.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

/// A served log of `entry 0`, `entry 1`.. that signs with keys of all three types, and their public texts.
fn served(place: &Place) -> (Process, Vec<String>) {
    let kinds = [("key", "log"), ("own", "ml-dsa-44"), ("older", "cosigner")];
    let key = |(file, kind)| {
        let line = format!("keygen {ORIGIN} --type {kind} -o @{file}");
        printed(duramen(place, &line)).trim().to_owned()
    };
    let keys = kinds.map(key).to_vec();
    let line = "serve @store --listen 127.0.0.1:0 --key @key --cosigner-key @own --cosigner-key @older --first-anchor --checkpoint-interval 20ms";
    let served = Process::start(command(place, &[], line));
    let entries: Vec<u8> = (0..ENTRIES - 1)
        .flat_map(|number| {
            let entry = format!("entry {number}");
            [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], entry.as_bytes()].concat()
        })
        .collect();
    assert_eq!(served.request("POST", "/add-batch", &entries).status, 200);
    let last = format!("entry {}", ENTRIES - 1);
    let answer = served.request("POST", "/add?wait=checkpoint", last.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    (served, keys)
}

#[test]
fn tlog_scales_reads_a_served_log_and_the_files_of_one_and_finds_every_signature_right() {
    let Some(python) = python("tlog-scales reads a log") else { return };
    let place = Place::new();
    let (served, keys) = served(&place);
    let read = |from: &str| {
        let mut command = Command::new(&python);
        command.arg(script("read.py")).arg(from).arg(ENTRIES.to_string()).args(&keys);
        assert!(run(command).contains(&format!("read {ENTRIES}")));
    };
    read(&format!("http://{}", served.address));
    place.file("checkpoint", served.get("/checkpoint").text());
    served.stop();
    printed(duramen(&place, "export-tiles @store @tiles --checkpoint @checkpoint"));
    read(&place.path("tiles").display().to_string());
}

#[test]
fn a_log_that_tlog_scales_writes_is_verified_and_mirrored() {
    let Some(python) = python("tlog-scales writes a log") else { return };
    let place = Place::new();
    let mut writer = Command::new(&python)
        .arg(script("write.py"))
        .arg(place.path("theirs"))
        .args([ORIGIN, &"07".repeat(32)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(writer.stdout.take().unwrap()).lines();
    let vkey = told.next().unwrap().unwrap();
    let mut input = writer.stdin.take().unwrap();
    // Within a tile, to its end, and beyond.
    let mut size = 0;
    for more in [1, 5, 250, 1, 300] {
        writeln!(input, "{more}").unwrap();
        size += more;
        assert_eq!(told.next().unwrap().unwrap(), size.to_string());
        let server = files(&place.path("theirs"));
        let line = format!("monitor http://{server} --vkey {vkey} --state @state --once");
        printed(duramen(&place, &line));
        let line = format!("mirror http://{server} @copy --vkey {vkey} --state @copied --once");
        printed(duramen(&place, &line));
    }
    drop(input);
    assert!(writer.wait().unwrap().success());
    let head = printed(duramen(&place, "head @copy"));
    assert!(head.starts_with(&format!("size {size}\n")), "{head}");
    let entry = printed(duramen(&place, "entry @copy 300"));
    assert_eq!(entry, "entry 300");
}

/// Serves the files of a directory until the end of the process. Returns the address.
fn files(dir: &Path) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut lines = BufReader::new(&stream).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let (status, body) = match std::fs::read(dir.join(path)) {
                Ok(bytes) => ("200 OK", bytes),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}

#[test]
fn go_opens_the_checkpoint_and_checks_every_proof() {
    let place = Place::new();
    let build = Command::new("go")
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOFLAGS", "")
        .env("GOCACHE", place.path("cache"))
        .args(["build", "-o"])
        .arg(place.path("check"))
        .arg(script("check.go"))
        .output();
    match build {
        Ok(built) if built.status.success() => {}
        Ok(built) => {
            let why = String::from_utf8_lossy(&built.stderr).into_owned();
            return skip("go checks a log", &format!("golang.org/x/mod cannot be built: {why}"));
        }
        Err(error) => return skip("go checks a log", &format!("there is no Go: {error}")),
    }
    let (served, keys) = served(&place);
    let mut command = Command::new(place.path("check"));
    command.arg(format!("http://{}", served.address)).arg(&keys[0]);
    assert!(run(command).contains(&format!("checked {ENTRIES}")));
    served.stop();
}

/// A witness that others wrote, killed at the end of its test.
struct Outside {
    python: OsString,
    config: PathBuf,
    address: String,
    running: Option<std::process::Child>,
}

impl Outside {
    /// Makes a witness of the log with the public key `log`. Returns its public key as well.
    fn new(python: OsString, place: &Place, log: &str) -> (Self, String) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        let config = place.path("witness.json");
        let outside = Self { python, config, address, running: None };
        let mut init = outside.command("init");
        init.args(["--name", "witness.example/outside", "--listen", &outside.address]);
        let said = run(init);
        let vkey = said.split_whitespace().find(|word| word.contains("+")).unwrap().to_owned();
        let mut add = outside.command("add-log");
        add.args(["--origin", ORIGIN, "--vkey", log]);
        run(add);
        (outside, vkey)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-m", "aics_witness", what, "--config"]).arg(&self.config);
        command
    }

    /// Runs it until [`stop`](Self::stop).
    fn start(&mut self) {
        let mut command = self.command("serve");
        let null = || Stdio::null();
        self.running = Some(command.stdout(null()).stderr(null()).spawn().unwrap());
        for _ in 0..600 {
            if std::net::TcpStream::connect(&self.address).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the witness does not listen on {}", self.address);
    }

    fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn aics_witness_cosigns_a_log_and_no_second_history_of_it() {
    let test = "aics-witness cosigns a log";
    let Some(python) = python_with("aics_witness", "aics-witness 0.1.0", test) else { return };
    let place = Place::new();
    let log = printed(duramen(&place, &format!("keygen {ORIGIN} -o @key"))).trim().to_owned();
    let (mut outside, vkey) = Outside::new(python, &place, &log);
    let address = &outside.address;
    place.file("policy", format!("log {log}\nwitness w {vkey} http://{address}/\nquorum w\n"));
    let policy =
        duramen::tlog::Policy::read(&std::fs::read(place.path("policy")).unwrap()).unwrap();
    let serve = |store: &str, more: &str| {
        let line = format!(
            "serve @{store} --listen 127.0.0.1:0 --key @key --policy @policy --checkpoint-interval 20ms {more}"
        );
        let mut command = command(&place, &[], &line);
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        Process::start(command)
    };
    let cosigned = |served: &Process, size: u64| {
        let note: duramen::tlog::SignedNote = served.get("/checkpoint").text().parse().unwrap();
        let verified = policy.verify(&note).unwrap();
        assert!(verified.checkpoint.head().size.get() >= size, "{note}");
        note
    };
    let add = |served: &Process, entry: &str| {
        let added = served.request("POST", "/add?wait=checkpoint", entry.as_bytes());
        assert_eq!(added.status, 200, "{added:?}");
    };

    outside.start();
    let served = serve("store", "--first-anchor");
    for number in 0..30 {
        add(&served, &format!("entry {number}"));
        cosigned(&served, number + 1);
    }
    // While it is away the last checkpoint stands, and entries are taken.
    outside.stop();
    let before = cosigned(&served, 30).to_string();
    assert_eq!(served.request("POST", "/add", b"meanwhile").status, 200);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(cosigned(&served, 30).to_string(), before);
    outside.start();
    add(&served, "once it is back");
    cosigned(&served, 32);
    served.stop();
    let served = serve("store", "");
    add(&served, "after a restart of the log");
    cosigned(&served, 33);
    served.stop();

    // Another history of the same log, by the same key.
    let line = "--first-anchor --anchor @elsewhere --witness-timeout 2s";
    let forked = serve("other", line);
    assert_eq!(forked.request("POST", "/add", b"another entry").status, 200);
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(forked.get("/checkpoint").status, 503, "no checkpoint is published");
    }
    let ready = forked.get("/readyz");
    assert!(ready.text().contains("too few witnesses cosign"), "{ready:?}");
}
