//! The body of a request.
//!
//! # Invariants
//!
//! - What came is counted against the memory of all requests, and not what was announced: a client that announces much and
//!   sends little takes little.
//! - A body that has not ended is given up once it comes too slowly, and earlier if others need its memory.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::{Instant, sleep_until};

use super::answer::Failed;
use super::limits::Limits;
use super::room::{Coming, Held, Room};

/// The whole body, if it is not longer than `most` bytes and comes as fast as `limits` ask, and the memory that it takes.
pub(super) async fn whole(
    mut body: Body,
    most: usize,
    limits: &Limits,
    room: &Room,
) -> Result<(Bytes, Held), Failed> {
    let too_long = || {
        let message = format!("the body is longer than {most} bytes");
        Failed::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_long());
    }
    let mut coming: Option<Coming> = None;
    let (mut pace, mut came) = (Pace::begin(limits), 0);
    loop {
        let frame = tokio::select! {
            // What came is taken before it is judged how slowly it came.
            biased;
            frame = body.frame() => frame,
            failed = given_up(coming.as_ref()) => return Err(failed),
            () = sleep_until(pace.until) => {
                pace.goes_on(came)?;
                continue;
            }
        };
        let Some(frame) = frame else {
            return coming.map_or_else(|| room.request(Bytes::new()), Coming::finish);
        };
        let frame = frame
            .map_err(|error| Failed::bad(format!("the body did not come to its end: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - came {
            return Err(too_long());
        }
        came += data.len();
        // Most bodies come at once.
        if coming.is_none() && body.is_end_stream() {
            return room.request(data);
        }
        coming.get_or_insert_with(|| room.coming()).push(data)?;
    }
}

/// Returns once the body was given up.
async fn given_up(coming: Option<&Coming>) -> Failed {
    match coming {
        Some(coming) => coming.given_up().await,
        None => std::future::pending().await,
    }
}

/// How fast a body has to come.
struct Pace {
    /// When the stretch ends that runs.
    until: Instant,
    stretch: Duration,
    /// When the body must be there.
    end: Instant,
    /// How many bytes a stretch has to bring.
    bytes: usize,
    /// How many bytes came before the stretch.
    before: usize,
}

impl Pace {
    fn begin(limits: &Limits) -> Self {
        let now = Instant::now();
        let (end, stretch) = (after(now, limits.body), limits.stretch);
        Self { until: end.min(after(now, stretch)), stretch, end, bytes: limits.pace, before: 0 }
    }

    /// Begins the next stretch, if the last one brought enough. `came` is how many bytes came in all.
    fn goes_on(&mut self, came: usize) -> Result<(), Failed> {
        let now = Instant::now();
        if now >= self.end || came - self.before < self.bytes {
            let message = "the body of the request came too slowly";
            return Err(Failed::new(StatusCode::REQUEST_TIMEOUT, message));
        }
        (self.until, self.before) = (self.end.min(after(now, self.stretch)), came);
        Ok(())
    }
}

/// The moment `time` after `now`. A time that no clock reaches counts as thirty years.
fn after(now: Instant, time: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now + time.min(LONG)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test panics when it fails")]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// Sends `bytes` every `seconds`, for ever. How long it was taken, and how many bytes were.
    async fn taken(bytes: usize, seconds: u64) -> (u64, Failed) {
        let (limits, room) = (Limits::default(), Room::new(1 << 20));
        let body = stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Some((Ok::<_, Infallible>(Bytes::from(vec![7; bytes])), ()))
        });
        let begun = Instant::now();
        let failed = whole(Body::from_stream(body), 1 << 20, &limits, &room).await.unwrap_err();
        (begun.elapsed().as_secs(), failed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_given_up_early() {
        let (seconds, failed) = taken(100, 1).await;
        assert_eq!(seconds, 10, "{failed:?}");
        assert!(format!("{failed:?}").contains("408"), "{failed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_its_pace_has_its_whole_time() {
        let (seconds, failed) = taken(2048, 1).await;
        assert_eq!(seconds, 30, "{failed:?}");
    }
}
