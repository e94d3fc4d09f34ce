//! What the page is made of: figures of a log that everybody may know.
//!
//! # Invariant
//!
//! Nothing here tells what operators alone may know: paths, messages of errors, memory, connections, other trees of the
//! store, how many bytes the disk has. They have that under `/metrics` and `/v1/admin`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failed;
use super::asked::{Asked, Number};
use super::health::why_not;
use super::history::uptime;
use super::site::Served;
use super::watch::{Kind, Space, Watch};

/// The most parts whose places are told. The newest ones are.
const MOST_PARTS: usize = 200;

/// `GET /v1/state`: how the log is now.
pub(super) async fn state(State(served): State<Arc<Served>>) -> Result<Response, Failed> {
    // Asking the file system for its room may wait for a disk.
    Ok(fresh(&served.blocking(now).await?))
}

fn now(served: &Served) -> Result<Value, Failed> {
    let (log, tree) = (&served.log, served.log.tree());
    let (entries, bytes) = log.backlog();
    let checkpoint = log.published().map(|published| {
        json!({
            "size": published.head().size.get(),
            "root": const_hex::encode(published.head().root),
            "age_ms": millis(published.age()),
            "note": String::from_utf8_lossy(published.note()),
        })
    });
    let reason = why_not(served);
    let space = served.watch.as_ref().and_then(Watch::space);
    let parts = tree.part_ranges()?;
    let hidden = parts.len().saturating_sub(MOST_PARTS);
    let parts: Vec<_> = parts[hidden..].iter().map(|part| [part.start, part.end]).collect();
    let keys: Vec<_> = log.public_keys().iter().map(ToString::to_string).collect();
    Ok(json!({
        "origin": log.origin(),
        "name": served.name,
        "logs": &*served.names,
        "keys": keys,
        "ready": reason.is_none(),
        "reason": reason,
        "indexed": tree.is_indexed(),
        "size": tree.size().get(),
        "durable": tree.durable_size().get(),
        "checkpoint": checkpoint,
        "interval_ms": millis(log.interval()),
        "behind_ms": log.behind().map(millis),
        "backlog": { "entries": entries, "bytes": bytes, "most_bytes": log.most_waiting() },
        "added": served.counted.entries.get(),
        "refused": served.counted.refused.get(),
        "parts": parts,
        "hidden_parts": hidden,
        "free_thousandths": space.map(Space::thousandths),
        "disk_low": space.is_some_and(Space::is_low),
    }))
}

/// `?after=SECOND`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behind {
    after: Option<Number>,
}

/// `GET /v1/history`: what was added in each of the last ten minutes' seconds, and when the store checkpointed and
/// merged.
pub(super) async fn history(
    State(served): State<Arc<Served>>,
    Asked(Behind { after }): Asked<Behind>,
) -> Response {
    let seconds =
        served.history.after(after.map(|Number(after)| after)).into_iter().map(|second| {
            let [p50, p99, longest] = [second.p50, second.p99, second.longest];
            [second.at, second.entries, second.requests, p50, p99, longest, second.waiting]
        });
    let jobs = served.watch.as_ref().map(|watch| watch.jobs(served.log.tree().name()));
    let jobs = jobs.unwrap_or_default().into_iter().map(|job| {
        let kind = match job.kind {
            Kind::Checkpoint => "checkpoint",
            Kind::Merge(_) => "merge",
        };
        json!([kind, millis(job.begun), job.ended.map(millis)])
    });
    fresh(&json!({
        "now_ms": millis(uptime()),
        "seconds": seconds.collect::<Vec<_>>(),
        "jobs": jobs.collect::<Vec<_>>(),
    }))
}

/// An answer that is of this moment alone.
fn fresh(value: &Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
