//! Answers: what went well, and what did not, with a status that says who can do something about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::LogError;
use crate::intake::Refused;

/// Why a request is not done.
#[derive(Debug)]
pub(super) struct Failed {
    status: StatusCode,
    message: String,
    /// Seconds after which another try may succeed.
    retry: Option<u32>,
}

impl Failed {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry: None }
    }

    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn later(status: StatusCode, message: impl Into<String>, seconds: u32) -> Self {
        Self { retry: Some(seconds), ..Self::new(status, message) }
    }

    /// No checkpoint stands, so nothing can be published.
    pub(super) fn no_checkpoint() -> Self {
        Self::later(StatusCode::SERVICE_UNAVAILABLE, "the log has no checkpoint yet", 1)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(json!({ "error": self.message }))).into_response();
        // What is not there now may be there in a second.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, refused.to_string())
            }
            Refused::Stopped { .. } => {
                tracing::error!(%refused, "an entry is refused");
                let message = "the log is stopped by an error, and its operator must look at it";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
            }
            Refused::Full { .. } => {
                Self::later(StatusCode::TOO_MANY_REQUESTS, refused.to_string(), 1)
            }
            Refused::Closing => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, refused.to_string(), 5)
            }
        }
    }
}

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => error.into(),
            error => Self::later(StatusCode::SERVICE_UNAVAILABLE, error.to_string(), 10),
        }
    }
}

impl From<duramen::Error> for Failed {
    fn from(error: duramen::Error) -> Self {
        use duramen::Error;
        let message = with_causes(&error);
        match error {
            Error::IndexOutOfRange { .. }
            | Error::SizeOutOfRange { .. }
            | Error::TileOutOfRange { .. }
            | Error::NoTiles { .. }
            | Error::NoEntries { .. }
            | Error::NoIndex { .. } => Self::not_found(message),
            Error::Erased { .. } => Self::new(StatusCode::GONE, message),
            Error::OldBeyondNew { .. } => Self::bad(message),
            Error::EntryTooLong { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            Error::Backpressure { .. } => Self::later(StatusCode::TOO_MANY_REQUESTS, message, 1),
            error if is_full(&error) => Self::later(StatusCode::INSUFFICIENT_STORAGE, message, 30),
            Error::Closed | Error::Poisoned { .. } => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, message, 30)
            }
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

/// Runs `work`, which may read the disk, where it keeps no other request from going on.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let ended = |_| Failed::new(StatusCode::INTERNAL_SERVER_ERROR, "the request was given up");
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

/// Whether the disk, or the quota, is full.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let full = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded];
        if kind.is_some_and(|kind| full.contains(&kind)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
