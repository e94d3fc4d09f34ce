//! `GET /v1/tail?from=N`: the entries of the log as they are published, as a stream of server-sent events.
//!
//! Each event has the index as its id, so a client that comes again with `Last-Event-ID` goes on where it was.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use duramen::inspect::utc;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::answer::Failed;
use super::asked::{Asked, Number};
use super::site::Served;
use crate::damage::{FoundBy, FoundDamage};
use crate::number::number;
use crate::published::Published;

/// Entries that are read at a time.
const STEP: u64 = 256;
/// Bytes of events after which no more entries are read: a client that does not read costs as much.
const STEP_BYTES: usize = 64 << 10;
/// How often a stream without news shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);

/// `?from=N`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    from: Option<Number>,
}

/// Streams entries from `from` on, or from now on.
pub(super) async fn events(
    State(served): State<Arc<Served>>,
    Asked(From { from }): Asked<From>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let busy = |_| {
        let message = "as many clients follow the log as may";
        Failed::later(StatusCode::SERVICE_UNAVAILABLE, message, 30)
    };
    let permit = Arc::clone(&served.tails).try_acquire_owned().map_err(busy)?;
    let last = headers.get("last-event-id").map(|id| {
        let id = id.to_str().ok().and_then(number);
        id.and_then(|id| id.checked_add(1)).ok_or_else(|| Failed::bad("Last-Event-ID is no index"))
    });
    let sizes = served.log.sizes();
    let next =
        last.transpose()?.or(from.map(|Number(from)| from)).unwrap_or_else(|| *sizes.borrow());
    served.must_be_published(next)?;
    let stopping = served.stopping.clone();
    let follower = Follower { served, next, sizes, stopping, _permit: permit };
    let stream = futures_util::stream::unfold(follower, |mut follower| async move {
        let events = follower.next_events().await?;
        Some((Ok::<_, Infallible>(events), follower))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

struct Follower {
    served: Arc<Served>,
    next: u64,
    sizes: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next events, once there are any. `None` at the end of the stream.
    async fn next_events(&mut self) -> Option<Bytes> {
        let next = self.next;
        if *self.stopping.borrow() {
            return None;
        }
        if *self.sizes.borrow_and_update() <= next {
            tokio::select! {
                grown = self.sizes.wait_for(|size| *size > next) => { grown.ok()?; }
                _ = self.stopping.wait_for(|stopping| *stopping) => return None,
                () = tokio::time::sleep(ALIVE) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
        let Some(published) = self.served.log.published() else { return Some(Bytes::new()) };
        let read = move |_: &Served| Ok(events_from(&published, next));
        match self.served.blocking(read).await.ok()? {
            Ok((events, end)) => {
                self.next = end;
                Some(events)
            }
            Err(error) => {
                if let Some(found) = FoundDamage::of(&error, FoundBy::Request) {
                    self.served.log.found_damage(found);
                }
                tracing::warn!(log = %self.served.name, index = self.next, %error, "a tail ends");
                None
            }
        }
    }
}

/// Events of the entries from `next` on, and the index behind them.
fn events_from(published: &Published, next: u64) -> Result<(Bytes, u64), duramen::Error> {
    let end = published.head().size.get().min(next.saturating_add(STEP));
    let snapshot = published.snapshot();
    let leaves = snapshot.leaves(next..end)?;
    let (mut events, mut at) = (String::new(), next);
    for (leaf, entry) in leaves.into_iter().zip(snapshot.entries(next..end)?) {
        let leaf = const_hex::encode(leaf);
        let data = match entry {
            Err(duramen::Error::Erased { at: when, .. }) => {
                json!({ "index": at, "leaf": leaf, "erased": utc(when).to_string() })
            }
            entry => json!({ "index": at, "leaf": leaf, "entry": STANDARD.encode(entry?) }),
        };
        events += &format!("id: {at}\ndata: {data}\n\n");
        at += 1;
        if events.len() > STEP_BYTES {
            break;
        }
    }
    Ok((events.into(), at))
}
