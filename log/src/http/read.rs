//! The read side of C2SP `tlog-tiles`: the checkpoint, tiles of hashes, bundles of entries.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use duramen::tlog::tiles::{EntryBundlePath, TilePath};

use super::answer::Failed;
use super::cache::Key;
use super::site::Served;

/// A tile never changes.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A checkpoint is replaced by the next one.
const BRIEF: HeaderValue = HeaderValue::from_static("no-cache");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// A page of another site may read what is public.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// `GET /checkpoint`.
pub(super) async fn checkpoint(State(served): State<Arc<Served>>) -> Result<Response, Failed> {
    let published = served.published()?;
    let headers = [
        (header::CONTENT_TYPE, TEXT),
        (header::CACHE_CONTROL, BRIEF),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
    ];
    Ok((headers, published.note().clone()).into_response())
}

/// `GET /tile/L/N` and `GET /tile/L/N.p/W`.
pub(super) async fn tile(State(served): State<Arc<Served>>, uri: Uri) -> Result<Response, Failed> {
    let path: TilePath = path_of(&uri).parse().map_err(not_a_path)?;
    let published = served.published()?;
    if !path.is_within(published.head().size.get()) {
        return Err(Failed::not_found("the log has no such tile in its checkpoint"));
    }
    if path.may_be_pruned(served.log.minimum_index()) {
        return Err(pruned(&served));
    }
    let (level, index, width) = (path.level(), path.index(), path.width().get());
    let key = Key { level: Some(level), index, width };
    let bytes =
        cached(&served, key, move || published.snapshot().tile(level, index, width)).await?;
    served.counted.tiles.add(1);
    Ok(immutable(served.room.send(bytes)))
}

/// `GET /tile/entries/N` and `GET /tile/entries/N.p/W`.
pub(super) async fn bundle(
    State(served): State<Arc<Served>>,
    uri: Uri,
) -> Result<Response, Failed> {
    let path: EntryBundlePath = path_of(&uri).parse().map_err(not_a_path)?;
    let published = served.published()?;
    if !path.is_within(published.head().size.get()) {
        return Err(Failed::not_found("the log has no such bundle in its checkpoint"));
    }
    if path.may_be_pruned(served.log.minimum_index()) {
        return Err(pruned(&served));
    }
    let (index, width) = (path.index(), path.width().get());
    let key = Key { level: None, index, width };
    let read = move || published.snapshot().entry_bundle(index, width);
    let bytes = cached(&served, key, read).await?;
    served.counted.bundles.add(1);
    Ok(immutable(served.room.send(bytes)))
}

/// What the cache has, or else what `read` finds on the disk.
async fn cached(
    served: &Arc<Served>,
    key: Key,
    read: impl FnOnce() -> Result<Vec<u8>, duramen::Error> + Send + 'static,
) -> Result<Bytes, Failed> {
    if let Some(bytes) = served.cache.get(key) {
        return Ok(bytes);
    }
    let read = move |served: &Served| {
        let bytes = read()?;
        // Held until the last client has taken it and the cache has dropped it.
        let bytes = served.room.answer(bytes)?;
        served.cache.put(key, &bytes);
        Ok(bytes)
    };
    served.blocking(read).await
}

/// The path as the client sent it: a tile has one path, and not one more for every way to encode it.
fn path_of(uri: &Uri) -> &str {
    uri.path().strip_prefix('/').unwrap_or_default()
}

fn immutable(bytes: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, BYTES),
        (header::CACHE_CONTROL, IMMUTABLE),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY),
    ];
    (headers, bytes).into_response()
}

fn not_a_path(error: impl std::fmt::Display) -> Failed {
    Failed::not_found(format!("this is not the path of a tile: {error}"))
}

fn pruned(served: &Served) -> Failed {
    let least = served.log.minimum_index();
    Failed::new(StatusCode::GONE, format!("the log publishes nothing below index {least}"))
}
