//! Answers: what went well, and what did not, with a status that says who can do something about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::damage::{FoundBy, FoundDamage};
use crate::error::{LogError, is_disk_full};
use crate::intake::Refused;

/// Why a request is not done.
#[derive(Debug)]
pub(super) struct Failed {
    status: StatusCode,
    message: String,
    /// Seconds after which another try may succeed.
    retry: Option<u32>,
    /// The damage of the store that made it fail.
    damage: Option<Box<FoundDamage>>,
}

impl Failed {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry: None, damage: None }
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

    /// Nothing of the entries was inserted. Another try may succeed, but for errors that say so.
    pub(super) fn not_inserted(error: LogError) -> Self {
        let failed = Self::from(error);
        match failed.status {
            // Whoever added something did nothing wrong, and is told so.
            StatusCode::INTERNAL_SERVER_ERROR => {
                let message = "the log failed before the entry was inserted; it is not in the log";
                Self::later(StatusCode::SERVICE_UNAVAILABLE, message, 30)
            }
            _ => failed,
        }
    }

    /// The damage of the store that made the request fail.
    pub(super) fn damage(&self) -> Option<&FoundDamage> {
        self.damage.as_deref()
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
            Refused::Stopped { disk_full, .. } => {
                // The store has said why it stopped, once. Anybody can ask again and again.
                tracing::debug!(%refused, "an entry is refused");
                let (status, message) = match disk_full {
                    true => (StatusCode::INSUFFICIENT_STORAGE, "the disk of the log was full"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "the log is stopped by an error"),
                };
                Self::later(status, format!("{message}, and its operator must look at it"), 30)
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
            error => {
                // It may name files of the machine.
                tracing::error!(%error, "a request fails");
                let message = "the log cannot do this at the moment";
                Self::later(StatusCode::SERVICE_UNAVAILABLE, message, 10)
            }
        }
    }
}

impl From<duramen::Error> for Failed {
    fn from(error: duramen::Error) -> Self {
        use duramen::Error;
        let message = with_causes(&error);
        let hidden = |status, message: &str| {
            tracing::error!(error = %with_causes(&error), "a request fails");
            Self::new(status, message)
        };
        match &error {
            Error::IndexOutOfRange { .. }
            | Error::SizeOutOfRange { .. }
            | Error::TileOutOfRange { .. }
            | Error::NoTiles { .. }
            | Error::NoEntries { .. }
            | Error::NoIndex { .. } => Self::not_found(message),
            Error::Erased { .. } | Error::Pruned { .. } => Self::new(StatusCode::GONE, message),
            Error::OldBeyondNew { .. } => Self::bad(message),
            Error::EntryTooLong { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            Error::ReadOnly => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, "the log takes no entries for now", 30)
            }
            Error::Backpressure { .. } => Self::later(StatusCode::TOO_MANY_REQUESTS, message, 1),
            // These name files of the machine.
            error if is_disk_full(error) => {
                let failed =
                    hidden(StatusCode::INSUFFICIENT_STORAGE, "the disk of the log is full");
                Self { retry: Some(30), ..failed }
            }
            Error::Closed | Error::Poisoned { .. } => {
                let message = "the log takes and reads nothing until it is opened again";
                let failed = hidden(StatusCode::SERVICE_UNAVAILABLE, message);
                Self { retry: Some(30), ..failed }
            }
            _ => {
                let failed =
                    hidden(StatusCode::INTERNAL_SERVER_ERROR, "the store cannot answer this");
                let damage = FoundDamage::of(&error, FoundBy::Request).map(Box::new);
                Self { damage, ..failed }
            }
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_store_without_room_is_answered_with_the_time_of_another_try() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failed = duramen::Error::Io {
            action: "write",
            path: "/secret/path".into(),
            offset: None,
            source: Arc::new(full()),
        };
        let waited = std::time::Duration::from_secs(1);
        let limit = duramen::Limit::UnflushedBytes;
        let pressure = duramen::Error::Backpressure { limit, held: 2, allowed: 1, waited };
        let blocked = duramen::Error::CheckpointsFail { held: 2, source: Arc::new(failed.clone()) };
        for (error, status, retry) in [
            (pressure, 429, Some("1")),
            (blocked, 507, Some("30")),
            (failed, 507, Some("30")),
            (duramen::Error::Closed, 503, Some("30")),
        ] {
            let answer = Failed::not_inserted(LogError::Store(error)).into_response();
            assert_eq!(answer.status().as_u16(), status);
            let found = answer.headers().get(header::RETRY_AFTER);
            assert_eq!(found.and_then(|value| value.to_str().ok()), retry);
        }
    }
}
