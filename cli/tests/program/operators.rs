//! What operators do over a socket of the network.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed};

const TOKEN: &str = "0123456789abcdef";

/// A log that is served, with operators on an address.
struct Rig {
    place: Place,
    served: Process,
    admin: String,
}

impl Rig {
    fn new() -> Self {
        let place = Place::new();
        printed(duramen(&place, "keygen example.com/log -o @key"));
        place.file("token", format!("{TOKEN}\n"));
        // An address that nothing listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap().to_string();
        drop(listener);
        let line = format!(
            "serve @store --listen 127.0.0.1:0 --key @key --first-anchor --checkpoint-interval 20ms --admin {admin} --admin-token @token"
        );
        let served = Process::start(command(&place, &[], &line));
        Self { place, served, admin }
    }

    /// The status and the body of an answer. `more` are lines of the request's head.
    fn ask(&self, method: &str, path: &str, more: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len}\r\n{more}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// The same with the token.
    fn asked(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        self.ask(method, path, &format!("authorization: Bearer {TOKEN}\r\n{kind}"), body)
    }

    /// Starts a job and returns how it ended.
    fn job(&self, kind: &str, body: &str) -> Value {
        let (status, started) = self.asked("POST", &format!("/v1/admin/{kind}"), body);
        assert_eq!(status, 202, "{started}");
        let started: Value = serde_json::from_str(&started).unwrap();
        assert_eq!((&started["kind"], &started["state"]), (&json!(kind), &json!("running")));
        for _ in 0..3000 {
            let (status, job) = self.asked("GET", &format!("/v1/admin/jobs/{}", started["id"]), "");
            assert_eq!(status, 200, "{job}");
            let job: Value = serde_json::from_str(&job).unwrap();
            if job["state"] != "running" {
                assert_eq!(job["state"], "done", "{job}");
                return job;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the {kind} does not end");
    }
}

const REQUESTS: [(&str, &str); 8] = [
    ("GET", "/metrics"),
    ("GET", "/v1/admin/stats"),
    ("GET", "/v1/admin/jobs/1"),
    ("POST", "/v1/admin/flush"),
    ("POST", "/v1/admin/checkpoint"),
    ("POST", "/v1/admin/compact"),
    ("POST", "/v1/admin/scrub"),
    ("POST", "/v1/admin/backup"),
];

#[test]
fn without_the_token_nothing_is_done_and_no_path_of_operators_is_where_clients_are() {
    let rig = Rig::new();
    let longer = format!("{TOKEN}0");
    let wrong = [TOKEN[1..].to_owned(), TOKEN[..15].to_owned(), longer, TOKEN.to_uppercase()];
    let heads = wrong.iter().map(|token| format!("authorization: Bearer {token}\r\n"));
    let others = [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: {TOKEN}\r\n"),
        format!("x-authorization: Bearer {TOKEN}\r\n"),
    ];
    for head in heads.chain(others) {
        for (method, path) in REQUESTS {
            let (status, body) = rig.ask(method, path, &head, "");
            assert_eq!(status, 401, "{method} {path} {head}: {body}");
        }
    }
    for (method, path) in REQUESTS {
        assert_eq!(rig.served.request(method, path, b"").status, 404, "{method} {path}");
    }
    // No job was started.
    assert_eq!(rig.asked("GET", "/v1/admin/jobs/1", "").0, 404);
    rig.served.stop();
}

#[test]
fn every_job_runs_to_its_end_and_the_figures_follow() {
    let rig = Rig::new();
    for number in 0..50 {
        let entry = format!("entry {number}");
        assert_eq!(rig.served.request("POST", "/add", entry.as_bytes()).status, 200);
    }
    rig.job("flush", "");
    rig.job("checkpoint", "");
    assert_eq!(rig.served.request("POST", "/add", b"one more").status, 200);
    rig.job("compact", "{\"full\":true}");
    assert_eq!(rig.job("scrub", "")["result"]["clean"], true);
    let backup = rig.place.path("backup").display().to_string();
    rig.job("backup", &json!({ "dir": backup }).to_string());
    let head = printed(duramen(&rig.place, "head @backup"));
    assert!(head.starts_with("size 51\n"), "{head}");
    let (status, stats) = rig.asked("GET", "/v1/admin/stats", "");
    assert_eq!(status, 200, "{stats}");
    let (status, metrics) = rig.asked("GET", "/metrics", "");
    assert_eq!(status, 200, "{metrics}");
    assert!(metrics.contains("duramen_log_added_entries_total{log=\"main\"} 51\n"), "{metrics}");
    // What cannot be is told, and not a job.
    assert!((400..500).contains(&rig.asked("POST", "/v1/admin/backup", "{}").0));
    assert_eq!(rig.asked("GET", "/v1/admin/jobs/999", "").0, 404);
    rig.served.stop();
}

#[test]
fn a_socket_that_another_program_listens_on_is_never_replaced() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    let place = Place::new();
    printed(duramen(&place, "keygen example.com/log -o @key"));
    let live = UnixDatagram::bind(place.path("live")).unwrap();
    let number = std::fs::metadata(place.path("live")).unwrap().ino();
    let line = format!(
        "serve @store --listen 127.0.0.1:0 --key @key --first-anchor --admin unix:{}",
        place.path("live").display()
    );
    let mut serve = duramen(&place, &line);
    serve.timeout(std::time::Duration::from_secs(20));
    let output = serve.assert().failure().get_output().clone();
    assert!(output.status.code().is_some(), "it serves with the socket of another program");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("cannot listen on unix:"), "{told}");
    assert_eq!(std::fs::metadata(place.path("live")).unwrap().ino(), number);
    UnixDatagram::unbound().unwrap().send_to(b"still", place.path("live")).unwrap();
    let mut bytes = [0; 9];
    assert_eq!(live.recv(&mut bytes).unwrap(), 5);
    // What a program left that is gone is replaced.
    drop(UnixListener::bind(place.path("left")).unwrap());
    let line = format!(
        "serve @store --listen 127.0.0.1:0 --key @key --admin unix:{}",
        place.path("left").display()
    );
    Process::start(command(&place, &[], &line)).stop();
}
