//! A service on axum and tokio that answers once an entry is durable: no handler blocks a thread of the runtime.
//!
//! - `POST /entries` inserts with `try_insert_entry`, which never waits, and awaits the token. Requests at the same time share
//!   an fsync. Where there is no room the answer is 503, and the client tries again.
//! - `GET /proofs/{index}` and `GET /head` may read the disk, so they run in `spawn_blocking`.
//! - A client that goes away cancels the wait and nothing else: its entry becomes durable all the same.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use duramen::{Accumulator, Config, EntryConfig, Error, Rfc6962Sha256, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

type Log = Accumulator<Rfc6962Sha256, 2>;

/// An error as an answer.
struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0 {
            Error::WouldBlock { .. } | Error::CheckpointsFail { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Error::EntryTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::IndexOutOfRange { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, format!("{}\n", self.0)).into_response()
    }
}

async fn add(State(log): State<Arc<Log>>, entry: Bytes) -> Result<String, Failure> {
    let inserted = log.try_insert_entry(&entry)?;
    inserted.token.await?;
    Ok(format!("{}\n", inserted.index))
}

/// Runs what may read the disk where it may wait.
async fn read(
    log: Arc<Log>,
    call: impl FnOnce(&Log) -> duramen::Result<String> + Send + 'static,
) -> Result<String, Failure> {
    match spawn_blocking(move || call(&log)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure(Error::Panicked { during: "read" })),
    }
}

async fn head(State(log): State<Arc<Log>>) -> Result<String, Failure> {
    let head = |log: &Log| {
        let head = log.durable_head()?;
        Ok(format!("{} {}\n", head.size, hex(&head.root)))
    };
    read(log, head).await
}

async fn proof(State(log): State<Arc<Log>>, Path(index): Path<u64>) -> Result<String, Failure> {
    let prove = move |log: &Log| {
        // Against what no crash takes back.
        let proof = log.prove_at(index, log.durable_size())?;
        Ok(proof.siblings().iter().map(|hash| hex(hash) + "\n").collect())
    };
    read(log, prove).await
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The service of a log.
fn service(log: Arc<Log>) -> Router {
    Router::new()
        .route("/entries", post(add))
        .route("/head", get(head))
        .route("/proofs/{index}", get(proof))
        .with_state(log)
}

/// Serves a log to a few clients and looks at their answers.
pub fn run(dir: &std::path::Path) -> Result<(), Box<dyn StdError>> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build()?.block_on(serve(dir))
}

async fn serve(dir: &std::path::Path) -> Result<(), Box<dyn StdError>> {
    // Opening reads the disk.
    let config = Config::new(dir);
    let store = spawn_blocking(move || Store::open(config)).await??;
    let log: Arc<Log> = Arc::new(store.tree_with_entries("main", EntryConfig::new())?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(axum::serve(listener, service(Arc::clone(&log))).into_future());

    // A hundred clients at once: each has its index when its entry is durable.
    let clients: Vec<_> = (0..100)
        .map(|number| tokio::spawn(ask(address, "POST", "/entries", format!("entry {number}"))))
        .collect();
    let mut indexes = Vec::new();
    for client in clients {
        let (status, body) = client.await??;
        assert_eq!(status, 200, "{body}");
        let index: u64 = body.trim().parse()?;
        assert!(log.durable_size().get() > index);
        indexes.push(index);
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (0..100).collect::<Vec<_>>());

    let (status, body) = ask(address, "GET", "/head", String::new()).await?;
    assert!(status == 200 && body.starts_with("100 "), "{body}");
    let (status, body) = ask(address, "GET", "/proofs/7", String::new()).await?;
    assert!(status == 200 && body.lines().count() == 7, "{body}");
    let (status, body) = ask(address, "GET", "/proofs/100", String::new()).await?;
    assert!(status == 404 && body.contains("index 100"), "{body}");

    // A wait that is cancelled: the entry is there, and durable after the next flush. Its token can be awaited again.
    let inserted = log.try_insert_entry("cancelled")?;
    let waiting = tokio::spawn(inserted.token.clone());
    waiting.abort();
    let _ = tokio::time::timeout(Duration::ZERO, inserted.token.clone()).await;
    inserted.token.await?;
    assert_eq!(&*log.entry(inserted.index)?, b"cancelled");
    assert_eq!(log.durable_size().get(), 101);

    server.abort();
    // Closing waits for the disk. It is a call of the store, so it needs no log of its own behind the `Arc`.
    spawn_blocking(move || store.close()).await??;
    Ok(())
}

/// A client: the status and the body of one request.
async fn ask(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    body: String,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let (len, head) = (body.len(), format!("{method} {path} HTTP/1.1\r\nhost: log\r\n"));
    let request = format!("{head}connection: close\r\ncontent-length: {len}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let malformed = || std::io::Error::other(format!("no answer: {answer:?}"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(malformed)?, body.to_owned()))
}

fn main() -> Result<(), Box<dyn StdError>> {
    let dir = tempfile::tempdir()?;
    run(&dir.path().join("log"))?;
    println!("100 entries were served, each durable before its answer");
    Ok(())
}
