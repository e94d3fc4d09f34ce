//! Ten thousand clients at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed};

const CONNECTIONS: usize = 10_000;
/// A busy machine takes some time to open so many connections.
const PATIENCE: Duration = Duration::from_secs(300);
/// More than the connections and what each process needs besides.
const DESCRIPTORS: u64 = 11_000;

/// Whether a process may have so many files open. Prints why if it may not.
fn may_open(test: &str) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    if most >= DESCRIPTORS {
        let raised = Rlimit { current: limit.maximum, ..limit };
        return setrlimit(Resource::Nofile, raised).is_ok();
    }
    let why = format!("a process may have {most} files open, and {DESCRIPTORS} are needed");
    assert!(std::env::var_os("DURAMEN_TEST_NO_SKIP").is_none(), "{why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    false
}

/// What is sent first of a request to add an entry, and what is sent later.
fn request(number: usize) -> (String, String) {
    let entry = format!("{number:0>200}");
    let (early, late) = entry.split_at(100);
    let head = "POST /add HTTP/1.1\r\nhost: x\r\ncontent-length: 200\r\n\r\n";
    (format!("{head}{early}"), late.to_owned())
}

/// The status of an answer, and its body. `None` if the connection ends.
fn answer(stream: &TcpStream) -> Option<(u16, String)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if let Some(found) = head[start..].strip_prefix("content-length: ") {
            len = found.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some((head[9..12].parse().unwrap(), String::from_utf8(body).unwrap()))
}

#[test]
fn ten_thousand_connections_in_the_middle_of_a_request_all_get_their_answer() {
    if !may_open("ten thousand connections") {
        return;
    }
    let place = Place::new();
    printed(duramen(&place, "keygen example.com/log -o @key"));
    let line = "serve @store --listen 127.0.0.1:0 --key @key --first-anchor --client-timeout 300s";
    let served = Process::start(command(&place, &[], line));
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let mut stream = TcpStream::connect(&served.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(request(number).0.as_bytes()).unwrap();
            stream
        })
        .collect();
    // One more waits until another one ends.
    let mut waits = TcpStream::connect(&served.address).unwrap();
    waits.set_read_timeout(Some(PATIENCE)).unwrap();
    waits.write_all(b"GET /v1/head HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = memory.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 512 << 10, "{memory}");

    for (number, mut stream) in connections.iter().enumerate() {
        stream.write_all(request(number).1.as_bytes()).unwrap();
    }
    let mut indexes = Vec::new();
    for (number, stream) in connections.iter().enumerate() {
        let (status, body) = answer(stream).unwrap();
        assert_eq!(status, 200, "{number}: {body}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["new"], true);
        indexes.push((body["index"].as_u64().unwrap(), number));
    }
    drop(connections);
    assert_eq!(answer(&waits).unwrap().0, 200);
    drop(waits);
    indexes.sort_unstable();
    indexes.dedup_by_key(|(index, _)| *index);
    assert_eq!(indexes.len(), CONNECTIONS, "two entries have one index");
    // Entries are served once a checkpoint has them.
    let last = served.request("POST", "/add?wait=checkpoint", b"the last");
    assert_eq!(last.status, 200, "{}", last.text());
    for (index, number) in indexes.iter().step_by(97) {
        let entry = served.get(&format!("/v1/entry?index={index}"));
        assert_eq!(entry.text(), format!("{number:0>200}"));
    }
    served.stop();
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_request_is_given_up_after_the_time_that_clients_have() {
    let place = Place::new();
    printed(duramen(&place, "keygen example.com/log -o @key"));
    let line = "serve @store --listen 127.0.0.1:0 --key @key --first-anchor --client-timeout 100ms";
    let served = Process::start(command(&place, &[], line));
    let begin = |text: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let (status, body) = answer(&begin(&request(0).0)).unwrap();
    assert_eq!(status, 408, "{body}");
    assert!(body.contains("too slowly"), "{body}");
    for unfinished in ["", "POST /add HTTP/1.1\r\nhost: x\r\n"] {
        assert!(answer(&begin(unfinished)).is_none_or(|(status, _)| status == 408));
    }
    served.stop();
}
