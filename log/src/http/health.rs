//! Whether the process lives, and whether its logs are fit to serve.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::site::{Served, Site};

/// How long durable leaves may lack a checkpoint before the log is not ready.
const LONGEST_LAG: Duration = Duration::from_secs(60);

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: every log has a valid checkpoint that is not behind. If not, the reasons.
pub(super) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let reasons: Vec<_> = site
        .all()
        .iter()
        .filter_map(|served| {
            why_not(served).map(|reason| json!({ "log": served.name, "reason": reason }))
        })
        .collect();
    let status = match reasons.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons }))).into_response()
}

fn why_not(served: &Served) -> Option<String> {
    if let Some(failure) = served.log.failure() {
        return Some(failure.to_string());
    }
    let Some(published) = served.log.published() else {
        return Some("the log has no checkpoint".to_owned());
    };
    let (size, durable) = (published.head().size, served.log.tree().durable_size());
    if durable > size && published.age() > LONGEST_LAG {
        let seconds = published.age().as_secs();
        return Some(format!(
            "{durable} leaves are durable, and the checkpoint of {size} is {seconds} s old"
        ));
    }
    None
}
