//! Loads a served log over real sockets, and prints rates and latencies.
//!
//! ```text
//! load ADDRESS add CONNECTIONS SECONDS [RATE]      entries of 200 bytes, each durable when it is answered
//! load ADDRESS batch CONNECTIONS SECONDS ENTRIES   the same in batches
//! load ADDRESS get CONNECTIONS SECONDS PATH        a path, such as /tile/0/000
//! load ADDRESS publish CONNECTIONS SECONDS         entries whose answers wait for a checkpoint
//! ```
//!
//! With a rate, the requests of a connection are due at fixed times, and a latency counts from when its request was due: a
//! server that falls behind does not make its clients ask less.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ENTRY: usize = 200;

/// What each connection does.
#[derive(Clone)]
struct Load {
    address: String,
    kind: Kind,
    until: Instant,
    /// The time between two requests of a connection.
    pause: Option<Duration>,
    seed: u64,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Add,
    Batch(usize),
    Get(String),
    Publish,
}

/// What was measured.
#[derive(Default)]
struct Measured {
    micros: Vec<u32>,
    entries: u64,
    refused: u64,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((load, connections, seconds)) = asked(&args) else {
        println!("load ADDRESS add|batch|get|publish CONNECTIONS SECONDS [RATE|ENTRIES|PATH]");
        return ExitCode::from(2);
    };
    match run(&load, connections) {
        Ok(measured) => {
            println!("{}", told(measured, seconds));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn asked(args: &[String]) -> Option<(Load, u32, f64)> {
    let [address, kind, connections, seconds, more @ ..] = args else { return None };
    let (connections, seconds): (u32, f64) = (connections.parse().ok()?, seconds.parse().ok()?);
    let more = more.first().cloned();
    let rate = match (kind.as_str(), &more) {
        ("add", Some(rate)) => Some(rate.parse::<f64>().ok()?),
        _ => None,
    };
    let kind = match kind.as_str() {
        "add" => Kind::Add,
        "batch" => Kind::Batch(more?.parse().ok()?),
        "get" => Kind::Get(more?),
        "publish" => Kind::Publish,
        _ => return None,
    };
    let pause = rate.map(|rate| Duration::from_secs_f64(f64::from(connections) / rate));
    let seed = std::time::UNIX_EPOCH.elapsed().ok()?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let load = Load {
        address: address.clone(),
        kind,
        until,
        pause,
        seed: seed.as_secs() << 30 | u64::from(seed.subsec_nanos()),
    };
    Some((load, connections, seconds))
}

fn run(load: &Load, connections: u32) -> io::Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let load = Arc::new(load.clone());
        let tasks: Vec<_> = (0..connections)
            .map(|number| tokio::spawn(connection(Arc::clone(&load), number, connections)))
            .collect();
        let mut all = Measured::default();
        for task in tasks {
            let one = task.await.map_err(io::Error::other)??;
            all.micros.extend(one.micros);
            all.entries += one.entries;
            all.refused += one.refused;
        }
        Ok(all)
    })
}

/// Sends one request after the other.
async fn connection(load: Arc<Load>, number: u32, connections: u32) -> io::Result<Measured> {
    let mut stream = TcpStream::connect(&load.address).await?;
    stream.set_nodelay(true)?;
    let (mut measured, mut buffer) = (Measured::default(), vec![0; 64 << 10]);
    let mut request = request(&load, number);
    let begun = Instant::now();
    // The connections are not due all at once.
    let first = load.pause.map(|pause| begun + pause * number / connections);
    for step in 0_u32.. {
        let due = match (first, load.pause) {
            (Some(first), Some(pause)) => {
                let due = first + pause * step;
                tokio::time::sleep_until(due.into()).await;
                due
            }
            _ => Instant::now(),
        };
        if due >= load.until {
            break;
        }
        let entries = request.number(step);
        stream.write_all(&request.bytes).await?;
        match answered(&mut stream, &mut buffer).await? {
            200 => measured.entries += entries,
            _ => measured.refused += 1,
        }
        let micros = due.elapsed().as_micros();
        measured.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
    }
    Ok(measured)
}

/// The bytes of a request, and where the numbers of its entries are.
struct Request {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
}

impl Request {
    /// Makes its entries new ones. Returns how many there are.
    fn number(&mut self, step: u32) -> u64 {
        for place in &self.numbers {
            self.bytes[*place..*place + 4].copy_from_slice(&step.to_be_bytes());
        }
        self.numbers.len() as u64
    }
}

fn request(load: &Load, number: u32) -> Request {
    let head = |method: &str, path: &str, len: usize| {
        format!("{method} {path} HTTP/1.1\r\nhost: load\r\ncontent-length: {len}\r\n\r\n")
            .into_bytes()
    };
    let entry = |place: u32| {
        let mut entry = [0; ENTRY];
        entry[4..12].copy_from_slice(&load.seed.to_be_bytes());
        entry[12..16].copy_from_slice(&number.to_be_bytes());
        entry[16..20].copy_from_slice(&place.to_be_bytes());
        entry
    };
    let (mut bytes, entries, path) = match &load.kind {
        Kind::Get(path) => {
            return Request { bytes: head("GET", path, 0), numbers: Vec::new() };
        }
        Kind::Add => (head("POST", "/add", ENTRY), 1, false),
        Kind::Publish => (head("POST", "/add?wait=checkpoint", ENTRY), 1, false),
        Kind::Batch(entries) => (head("POST", "/add-batch", entries * (ENTRY + 4)), *entries, true),
    };
    let mut numbers = Vec::new();
    for place in 0..entries {
        if path {
            bytes.extend_from_slice(&200_u32.to_be_bytes());
        }
        numbers.push(bytes.len());
        bytes.extend_from_slice(&entry(u32::try_from(place).unwrap_or(u32::MAX)));
    }
    Request { bytes, numbers }
}

/// Reads an answer to its end. Returns its status.
async fn answered(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<u16> {
    let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut filled = 0;
    let (status, mut left) = loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Err(broken());
        }
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).map_err(io::Error::other)?;
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let len: usize = len.and_then(|len| len.parse().ok()).unwrap_or(0);
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        break (status, (end + 4 + len).saturating_sub(filled));
    };
    while left > 0 {
        let most = left.min(buffer.len());
        let read = stream.read(&mut buffer[..most]).await?;
        if read == 0 {
            return Err(broken());
        }
        left -= read;
    }
    Ok(status)
}

fn told(mut measured: Measured, seconds: f64) -> String {
    measured.micros.sort_unstable();
    let requests = measured.micros.len();
    let quantile = |thousandths: usize| {
        let at = (requests * thousandths / 1000).min(requests.saturating_sub(1));
        f64::from(measured.micros.get(at).copied().unwrap_or(0)) / 1000.0
    };
    let (requests, entries) = (requests as f64 / seconds, measured.entries as f64 / seconds);
    format!(
        "requests/s {requests:.0} entries/s {entries:.0} refused {} p50 {:.2} ms p99 {:.2} ms max {:.2} ms",
        measured.refused,
        quantile(500),
        quantile(990),
        quantile(1000),
    )
}
