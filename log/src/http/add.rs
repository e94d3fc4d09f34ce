//! Entries come in: one, or a batch.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde_json::json;

use super::answer::Failed;
use super::asked::Asked;
use super::body::whole;
use super::site::Served;
use super::v1::tlog_proof;
use crate::damage::{FoundBy, FoundDamage};
use crate::error::LogError;
use crate::intake::{AddError, Added, Refused};

/// Memory that an entry of a batch takes beside its bytes: its place, its answer, and the text of that.
const PER_ENTRY: usize = 128;

/// `?wait=checkpoint`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    wait: Option<WaitFor>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaitFor {
    Checkpoint,
}

/// `POST /add`: the body is the entry.
///
/// Answers its index once it is durable. With `?wait=checkpoint` it answers the `tlog-proof` once a checkpoint has it.
pub(super) async fn one(
    State(served): State<Arc<Served>>,
    Asked(wait): Asked<Wait>,
    body: Body,
) -> Result<Response, Failed> {
    let begun = Instant::now();
    let (entry, _held) = whole(body, served.log.longest(), &served.limits, &served.room).await?;
    let len = entry.len();
    let added = added(&served, vec![entry]).await?;
    let Some(added) = added.first() else { return Err(unknown()) };
    served.added(1, len as u64, begun.elapsed());
    if wait.wait.is_some() {
        return proof_of(&served, added.index).await;
    }
    Ok(Json(json!({ "index": added.index, "new": added.new })).into_response())
}

/// `POST /add-batch`: many entries, which are inserted together, in order.
///
/// With `Content-Type: application/x-ndjson` each line is an entry, without its newline. Otherwise each entry has its
/// length before it, four bytes, big-endian.
pub(super) async fn many(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failed> {
    let begun = Instant::now();
    let (body, mut held) =
        whole(body, served.limits.batch_bytes, &served.limits, &served.room).await?;
    let len = body.len();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let most = (served.limits.batch_entries, served.log.longest());
    let entries = match kind.map(|kind| kind.split(';').next().unwrap_or_default().trim()) {
        Some("application/x-ndjson") => lines(&body, most)?,
        _ => prefixed(body, most)?,
    };
    let count = entries.len() as u64;
    if count == 0 {
        return Ok(Json(json!({ "entries": [] })).into_response());
    }
    // Before anything is inserted: who added something is answered.
    held.grow_for_answer(entries.len() * PER_ENTRY)?;
    let added = added(&served, entries).await?;
    served.added(count, len as u64, begun.elapsed());
    let answer = served.room.send(held.bind(batch_answer(&added).into_bytes()));
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// Hands entries to the log and waits until they are durable.
async fn added(served: &Served, entries: Vec<Bytes>) -> Result<Vec<Added>, Failed> {
    let refuse = |refused: Refused| {
        served.counted.refused.add(1);
        Failed::from(refused)
    };
    let answer = served.log.submit(entries).map_err(refuse)?;
    let failed = |error: AddError| match error {
        AddError::NotInserted(LogError::Closing) => Failed::from(Refused::Closing),
        AddError::NotInserted(error) => {
            tracing::warn!(log = %served.name, %error, "entries are not inserted");
            served.counted.refused.add(1);
            let found = match &error {
                LogError::Store(error) => FoundDamage::of(error, FoundBy::Request),
                _ => None,
            };
            if let Some(found) = found {
                served.log.found_damage(found);
            }
            Failed::not_inserted(error)
        }
        AddError::NotDurable(error) => {
            tracing::error!(log = %served.name, %error, "entries are not answered");
            unknown()
        }
    };
    // The thread that had the entries is gone.
    answer.await.map_err(|_| unknown())?.map_err(failed)
}

/// The proof of an entry, once a checkpoint has it. A server that stops publishes one at once.
async fn proof_of(served: &Arc<Served>, index: u64) -> Result<Response, Failed> {
    let (mut sizes, mut stopping) = (served.log.sizes(), served.stopping.clone());
    let published = async {
        tokio::select! {
            grown = sizes.wait_for(|size| *size > index) => return grown.is_ok(),
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        let publish = |served: &Served| served.log.publish().map_err(Failed::from);
        // If that fails, the log is tried once more when it is closed, and no client is there to be answered then.
        served.blocking(publish).await.is_ok() && *sizes.borrow() > index
    };
    match tokio::time::timeout(served.limits.wait, published).await {
        Ok(true) => served.blocking(move |served| tlog_proof(served, index)).await,
        _ => {
            let message = format!(
                "entry {index} is durable, and no checkpoint has it yet; ask for its proof later"
            );
            Err(Failed::later(StatusCode::GATEWAY_TIMEOUT, message, 1))
        }
    }
}

/// Entries with their lengths. None is copied.
fn prefixed(mut body: Bytes, most: (usize, usize)) -> Result<Vec<Bytes>, Failed> {
    let (whole, mut entries) = (body.len(), Vec::new());
    while !body.is_empty() {
        let at = whole - body.len();
        if body.len() < 4 {
            return Err(Failed::bad(format!("byte {at}: the length of an entry is cut short")));
        }
        let len = body.get_u32() as usize;
        check(entries.len(), len, most)?;
        if len > body.len() {
            let message =
                format!("byte {at}: the entry has {len} bytes, and {} follow", body.len());
            return Err(Failed::bad(message));
        }
        entries.push(body.split_to(len));
    }
    Ok(entries)
}

fn lines(body: &Bytes, most: (usize, usize)) -> Result<Vec<Bytes>, Failed> {
    let mut entries = Vec::new();
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    if text.is_empty() {
        return Ok(entries);
    }
    for line in text.split(|byte| *byte == b'\n') {
        check(entries.len(), line.len(), most)?;
        entries.push(body.slice_ref(line));
    }
    Ok(entries)
}

/// Refuses an entry that is too long, and one too many.
fn check(before: usize, len: usize, (entries, longest): (usize, usize)) -> Result<(), Failed> {
    let refuse = |message| Err(Failed::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    if before >= entries {
        return refuse(format!("the batch has more than {entries} entries"));
    }
    if len > longest {
        return refuse(format!("entry {before} of the batch has {len} bytes, more than {longest}"));
    }
    Ok(())
}

/// `{"entries":[{"index":N,"new":true},..]}`. Runs of new entries are most of it, so it is made by hand.
fn batch_answer(added: &[Added]) -> String {
    let mut text = String::with_capacity(16 + 28 * added.len());
    text.push_str("{\"entries\":[");
    for (place, Added { index, new }) in added.iter().enumerate() {
        let comma = if place > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{{\"index\":{index},\"new\":{new}}}");
    }
    text.push_str("]}");
    text
}

fn unknown() -> Failed {
    let message =
        "the log failed before the entry was durable; whether it is in the log is not known";
    Failed::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use super::*;

    const MOST: (usize, usize) = (3, 4);

    fn read_prefixed(bytes: &[u8]) -> Result<Vec<Bytes>, Failed> {
        prefixed(Bytes::copy_from_slice(bytes), MOST)
    }

    #[test]
    fn entries_with_lengths_are_split_where_the_lengths_say() {
        let bytes = [&[0, 0, 0, 2][..], b"ab", &[0; 4], &[0, 0, 0, 1], b"c"].concat();
        assert_eq!(read_prefixed(&bytes).unwrap(), ["ab", "", "c"]);
        assert_eq!(read_prefixed(&[]).unwrap(), Vec::<Bytes>::new());
        for len in [1, 3, 5, 7, 11, 14] {
            assert!(read_prefixed(&bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_batch_beyond_a_limit_is_refused() {
        assert!(read_prefixed(&[0, 0, 0, 5, 1, 2, 3, 4, 5]).is_err());
        assert!(read_prefixed(&[0; 16]).is_err());
        assert!(lines(&Bytes::from("a\nb\nc\nd\n"), MOST).is_err());
        assert!(lines(&Bytes::from("12345\n"), MOST).is_err());
    }

    #[test]
    fn lines_are_entries_without_their_newlines() {
        assert_eq!(lines(&Bytes::from("a\n\nb"), MOST).unwrap(), ["a", "", "b"]);
        assert_eq!(lines(&Bytes::from("a\n"), MOST).unwrap(), ["a"]);
        assert_eq!(lines(&Bytes::from("\n"), MOST).unwrap(), Vec::<Bytes>::new());
    }

    #[test]
    fn the_answer_to_a_batch_is_json() {
        let added = [Added { index: 7, new: true }, Added { index: 2, new: false }];
        let json: serde_json::Value = serde_json::from_str(&batch_answer(&added)).unwrap();
        assert_eq!(json["entries"][1], json!({ "index": 2, "new": false }));
    }
}
