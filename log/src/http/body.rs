//! The body of a request.
//!
//! # Invariants
//!
//! - What came is counted against the memory of all requests, and not what was announced: a client that announces much and
//!   sends little takes little.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::answer::Failed;
use super::room::{Held, Room};

/// The whole body, if it is not longer than `most` bytes and comes within `patience`, and the memory that it takes.
pub(super) async fn whole(
    mut body: Body,
    most: usize,
    patience: Duration,
    room: &Room,
) -> Result<(Bytes, Held), Failed> {
    let too_long = || {
        let message = format!("the body is longer than {most} bytes");
        Failed::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    let whole = async {
        let (mut held, mut first, mut rest) = (room.empty(), Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Failed::bad(format!("the body did not come to its end: {error}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let before = first.len().max(rest.len());
            if data.len() > most - before {
                return Err(too_long());
            }
            held.grow(data.len())?;
            if before == 0 {
                first = data;
                continue;
            }
            if rest.is_empty() {
                rest = BytesMut::from(&std::mem::take(&mut first)[..]);
            }
            rest.extend_from_slice(&data);
        }
        Ok((if rest.is_empty() { first } else { rest.freeze() }, held))
    };
    let too_slow =
        |_| Failed::new(StatusCode::REQUEST_TIMEOUT, "the body of the request took too long");
    tokio::time::timeout(patience, whole).await.map_err(too_slow)?
}
