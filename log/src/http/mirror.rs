//! A copy of another operator's log over HTTP: the read side of C2SP `tlog-tiles`, and nothing that writes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use duramen::Snapshot;
use duramen::tlog::tiles::{EntryBundlePath, TilePath};
use duramen::tlog::{Checkpoint, SignedNote, TlogError};
use tower_http::compression::CompressionLayer;

use super::answer::Failed;

/// A tile never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A checkpoint is replaced by the next one.
const BRIEF: HeaderValue = HeaderValue::from_static("no-cache");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A page of another site may read what is public.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The checkpoint of a mirror that stands, with the tree that has its entries.
#[derive(Debug, Default)]
pub struct Shown {
    current: ArcSwapOption<Current>,
}

#[derive(Debug)]
struct Current {
    note: Bytes,
    size: u64,
    snapshot: Snapshot,
}

impl Shown {
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

    fn current(&self) -> Result<Arc<Current>, Failed> {
        self.current.load_full().ok_or_else(Failed::no_checkpoint)
    }
}

/// What everybody may reach of a mirror.
pub fn mirror(shown: &Arc<Shown>) -> Router {
    let nothing = || async { Failed::not_found("there is nothing here") };
    let not_so = || async {
        Failed::new(StatusCode::METHOD_NOT_ALLOWED, "this is not done with that method")
    };
    let compressed =
        Router::new().route("/tile/entries/{*path}", get(bundle)).layer(CompressionLayer::new());
    Router::new()
        .route("/checkpoint", get(checkpoint))
        .route("/tile/{*path}", get(tile))
        .route("/healthz", get(super::health::alive))
        .merge(compressed)
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .with_state(Arc::clone(shown))
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
    read(move || current.snapshot.tile(path.level(), path.index(), path.width().get())).await
}

async fn bundle(State(shown): State<Arc<Shown>>, uri: Uri) -> Result<Response, Failed> {
    let path: EntryBundlePath = path_of(&uri).parse().map_err(not_a_path)?;
    let current = shown.current()?;
    if !path.is_within(current.size) {
        return Err(Failed::not_found("the log has no such bundle in its checkpoint"));
    }
    read(move || current.snapshot.entry_bundle(path.index(), path.width().get())).await
}

/// The path as the client sent it: a tile has one path, and not one more for every way to encode it.
fn path_of(uri: &Uri) -> &str {
    uri.path().strip_prefix('/').unwrap_or_default()
}

fn not_a_path(error: impl std::fmt::Display) -> Failed {
    Failed::not_found(format!("this is not the path of a tile: {error}"))
}

/// Reads from the store, where that keeps no other request from going on.
async fn read(
    read: impl FnOnce() -> duramen::Result<Vec<u8>> + Send + 'static,
) -> Result<Response, Failed> {
    let given_up = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was given up");
    let bytes = tokio::task::spawn_blocking(read).await.map_err(given_up)??;
    let headers = [
        (header::CONTENT_TYPE, BYTES),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
    ];
    Ok((headers, bytes).into_response())
}
