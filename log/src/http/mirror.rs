//! Logs over HTTP that this process does not write: the read side of C2SP `tlog-tiles`. They are copies of other operators'
//! logs, or stores that another process writes, or that nothing writes any more.
//!
//! # Invariants
//!
//! - Answers take no more memory together, and no more reads wait for the disk, than the limits say.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use duramen::Snapshot;
use duramen::tlog::tiles::{EntryBundlePath, TilePath};
use duramen::tlog::{Checkpoint, SignedNote, TlogError};
use serde_json::json;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use super::answer::Failed;
use super::cache::{Cache, Key};
use super::limits::Limits;
use super::room::Room;

/// A tile never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A checkpoint is replaced by the next one.
const BRIEF: HeaderValue = HeaderValue::from_static("no-cache");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A page of another site may read what is public.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The checkpoint that stands of a log that is read only, with the tree that has its entries.
#[derive(Debug)]
pub struct Shown {
    current: ArcSwapOption<Current>,
    /// Why there is no newer checkpoint, in words for everybody.
    trouble: ArcSwapOption<String>,
    /// The memory that all requests share.
    room: Room,
    /// Reads that may wait for the disk.
    reads: Arc<Semaphore>,
    cache: Cache,
}

#[derive(Debug)]
struct Current {
    note: Bytes,
    size: u64,
    snapshot: Snapshot,
}

impl Default for Shown {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Shown {
    /// Shows no checkpoint yet. Clients may take what `limits` say.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        // The cache must leave room for requests.
        let cached = limits.cache.min(limits.memory / 4);
        Self {
            current: ArcSwapOption::empty(),
            trouble: ArcSwapOption::empty(),
            room: Room::new(limits.memory),
            reads: Arc::new(Semaphore::new(limits.reads.max(1))),
            cache: Cache::new(cached),
        }
    }

    /// Shows the checkpoint in `note`, as it is signed. `snapshot` has its entries.
    ///
    /// # Errors
    ///
    /// [`TlogError`] if it is no checkpoint.
    pub fn show(&self, note: &SignedNote, snapshot: Snapshot) -> Result<(), TlogError> {
        let checkpoint: Checkpoint = note.unverified_text().parse()?;
        let (note, size) = (note.to_string().into(), checkpoint.head().size.get());
        self.current.store(Some(Arc::new(Current { note, size, snapshot })));
        Ok(())
    }

    /// Says why no newer checkpoint is shown, or that nothing is wrong any more. `/readyz` of [`read_only`] has it.
    pub fn set_trouble(&self, reason: Option<String>) {
        self.trouble.store(reason.map(Arc::new));
    }

    fn why_not(&self) -> Option<String> {
        match self.current.load().is_none() {
            true => Some("the log has no checkpoint".to_owned()),
            false => self.trouble.load().as_deref().cloned(),
        }
    }

    fn current(&self) -> Result<Arc<Current>, Failed> {
        self.current.load_full().ok_or_else(Failed::no_checkpoint)
    }
}

/// Logs by name.
type Logs = Arc<[(String, Arc<Shown>)]>;

/// What everybody may reach of a mirror.
pub fn mirror(shown: &Arc<Shown>) -> Router {
    let router = reading().with_state(Arc::clone(shown));
    ended(router.route("/healthz", get(super::health::alive)))
}

/// What everybody may reach of logs that are read only. Each is under its name, the first one at the root as well. The names
/// must be such that [`Site::check_names`](super::Site::check_names) takes them.
pub fn read_only(logs: &[(String, Arc<Shown>)]) -> Router {
    let mut router = Router::new().route("/healthz", get(super::health::alive));
    for (place, (name, shown)) in logs.iter().enumerate() {
        let routes = reading().route("/add", post(refused)).route("/add-batch", post(refused));
        let routes = routes.with_state(Arc::clone(shown));
        router = router.nest(&format!("/{name}"), routes.clone());
        if place == 0 {
            router = router.merge(routes);
        }
    }
    let ready = Router::new().route("/readyz", get(ready)).with_state(Logs::from(logs));
    ended(router.merge(ready))
}

fn reading() -> Router<Arc<Shown>> {
    let compressed =
        Router::new().route("/tile/entries/{*path}", get(bundle)).layer(CompressionLayer::new());
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .merge(compressed)
}

fn ended(router: Router) -> Router {
    let nothing = || async { Failed::not_found("there is nothing here") };
    let not_so = || async {
        Failed::new(StatusCode::METHOD_NOT_ALLOWED, "this is not done with that method")
    };
    router.fallback(nothing).method_not_allowed_fallback(not_so)
}

/// `POST /add` and `/add-batch`: nothing of the body is read.
async fn refused() -> Failed {
    Failed::new(StatusCode::FORBIDDEN, "the log is served read-only and takes no entries here")
}

/// `GET /readyz`: every log shows its newest checkpoint. If not, the reasons.
async fn ready(State(logs): State<Logs>) -> Response {
    let reasons = logs.iter().filter_map(|(name, shown)| Some((name, shown.why_not()?)));
    let reasons: Vec<_> =
        reasons.map(|(name, reason)| json!({ "log": name, "reason": reason })).collect();
    let status = match reasons.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

async fn checkpoint(State(shown): State<Arc<Shown>>) -> Result<Response, Failed> {
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CACHE_CONTROL, BRIEF),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
    ];
    Ok((headers, shown.current()?.note.clone()).into_response())
}

async fn tile(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Failed> {
    let path: TilePath = path_of(&uri).parse().map_err(not_a_path)?;
    let current = shown.current()?;
    if !path.is_within(current.size) {
        return Err(Failed::not_found("the log has no such tile in its checkpoint"));
    }
    let (level, index, width) = (path.level(), path.index(), path.width().get());
    let key = Key { level: Some(level), index, width };
    read(&shown, key, move || current.snapshot.tile(level, index, width)).await
}

async fn bundle(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Failed> {
    let path: EntryBundlePath = path_of(&uri).parse().map_err(not_a_path)?;
    let current = shown.current()?;
    if !path.is_within(current.size) {
        return Err(Failed::not_found("the log has no such bundle in its checkpoint"));
    }
    let (index, width) = (path.index(), path.width().get());
    let key = Key { level: None, index, width };
    read(&shown, key, move || current.snapshot.entry_bundle(index, width)).await
}

/// The path as the client sent it: a tile has one path, and not one more for every way to encode it.
fn path_of(uri: &Uri) -> &str {
    uri.path().strip_prefix('/').unwrap_or_default()
}

fn not_a_path(error: impl std::fmt::Display) -> Failed {
    Failed::not_found(format!("this is not the path of a tile: {error}"))
}

/// What the cache has, or else what `read` finds in the store, where that keeps no other request from going on.
async fn read(
    shown: &Arc<Shown>,
    key: Key,
    read: impl FnOnce() -> duramen::Result<Vec<u8>> + Send + 'static,
) -> Result<Response, Failed> {
    let room = shown.room.clone();
    let bytes = match shown.cache.get(key) {
        Some(bytes) => bytes,
        None => {
            let permit = Arc::clone(&shown.reads).acquire_owned().await;
            let permit = permit.map_err(|_| given_up())?;
            let shown = Arc::clone(shown);
            let read = move || {
                let bytes = read()?;
                // Held until the last client has taken it and the cache has dropped it.
                let bytes = shown.room.answer(bytes)?;
                shown.cache.put(key, &bytes);
                drop(permit);
                Ok::<_, Failed>(bytes)
            };
            tokio::task::spawn_blocking(read).await.map_err(|_| given_up())??
        }
    };
    let headers = [
        (header::CONTENT_TYPE, BYTES),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
    ];
    Ok((headers, room.send(bytes)).into_response())
}

fn given_up() -> Failed {
    Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was given up")
}
