//! A store in a bucket of a real server, which is killed meanwhile: SeaweedFS, started here.
//!
//! `cargo xtask remote` runs it where the program `weed` is installed.
#![cfg(feature = "s3")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use duramen::{Accumulator, CheckpointPolicy, Config};
use duramen_remote::{Error, Level, Remote, ShipConfig};

/// SeaweedFS, all of its daemons in one process.
struct Server(Child);

impl Server {
    fn start(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let child = Command::new("weed")
            .arg("mini")
            .arg(format!("-dir={}", dir.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-bucket=duramen"])
            .args(["-admin.ui=false", "-webdav=false"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(child);
        let begun = Instant::now();
        while !Self::answers() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not answer");
            thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Whether the bucket is there.
    fn answers() -> bool {
        let Ok(mut stream) = TcpStream::connect("127.0.0.1:8333") else { return false };
        let mut answer = String::new();
        let ask = b"GET /duramen HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
        stream.write_all(ask).is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && ["HTTP/1.1 200", "HTTP/1.1 403"].iter().any(|status| answer.starts_with(status))
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn open(path: &Path) -> Accumulator {
    Accumulator::open(Config::new(path).checkpoint_policy(CheckpointPolicy::manual())).unwrap()
}

#[test]
#[ignore = "needs SeaweedFS: cargo xtask remote"]
fn a_store_outlives_its_machine_and_a_server_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("server"));
    let remote = Remote::new("s3://duramen/some/log").unwrap();
    assert!(matches!(remote.status(), Err(Error::NoStore)));
    let path = dir.path().join("store");
    let log = open(&path);
    let begun = Instant::now();
    remote.init(&log.store()).unwrap();
    println!("init, with the test of the bucket: {:?}", begun.elapsed());
    let shipper = remote.ship(&log.store(), ShipConfig::new(&path)).unwrap();
    let mut latencies = Vec::new();
    for round in 0..40_u8 {
        let begun = Instant::now();
        let token = shipper.remote(&log.insert([round; 32]).unwrap().token);
        token.wait().unwrap();
        latencies.push(begun.elapsed());
        if round % 10 == 5 {
            log.checkpoint().unwrap();
        }
    }
    latencies.sort_unstable();
    println!("one leaf to the bucket: median {:?}, slowest {:?}", latencies[20], latencies[39]);
    // The server dies and comes back, while the store goes on.
    server.kill();
    for leaf in 0..100_u8 {
        log.insert_durable([leaf; 32]).unwrap();
    }
    let token = shipper.remote(&log.insert([200; 32]).unwrap().token);
    assert!(!token.wait_timeout(Duration::from_millis(500)).unwrap());
    let server = Server::start(&dir.path().join("server"));
    token.wait().unwrap();
    let begun = Instant::now();
    for round in 0..20_u64 {
        let leaves: Vec<[u8; 32]> =
            (0..50_000_u64).map(|leaf| *blake(round * 50_000 + leaf).as_bytes()).collect();
        drop(log.insert_many(&leaves).unwrap());
    }
    shipper.flush_to(Level::Remote).unwrap();
    println!("1,000,000 leaves to the bucket: {:?}, {:?}", begun.elapsed(), shipper.stats());
    let head = log.head().unwrap();
    let there = dir.path().join("there");
    let begun = Instant::now();
    remote.take_over(&there).unwrap();
    println!("takeover: {:?}", begun.elapsed());
    let other = open(&there);
    assert_eq!(other.head().unwrap(), head);
    drop(log.insert([1; 32]).unwrap());
    assert!(matches!(shipper.flush_to(Level::Remote), Err(Error::Fenced { .. })));
    let shipper = remote.ship(&other.store(), ShipConfig::new(&there)).unwrap();
    drop(other.insert([2; 32]).unwrap());
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
    server.kill();
    // No server: an error that may pass, and nothing hangs.
    let refused = remote.give_up_after(2).status().unwrap_err();
    assert!(refused.is_transient(), "{refused}");
}

fn blake(number: u64) -> blake3::Hash {
    blake3::hash(&number.to_le_bytes())
}
