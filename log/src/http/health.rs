//! Whether the process lives, and whether its logs are fit to serve.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::site::{Served, Site};
use crate::error::LogError;

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

/// In words for everybody: they name no path of the machine.
pub(super) fn why_not(served: &Served) -> Option<String> {
    if let Some(found) = served.log.damage().first() {
        return Some(match found.concerns {
            true => format!("the store is damaged, so nothing is signed: {found}"),
            false => format!("the store is damaged beside what is signed: {found}"),
        });
    }
    if !served.log.is_open() {
        return Some("the log takes no entries".to_owned());
    }
    if let Some(failure) = served.log.failure() {
        tracing::warn!(log = %served.name, %failure, "not ready");
        if let LogError::NotWitnessed { size, cosigned, witnesses, .. } = failure {
            return Some(format!(
                "too few witnesses cosign: {cosigned} of {witnesses} did for size {size}"
            ));
        }
        return Some("the last checkpoint could not be published".to_owned());
    }
    if served.log.published().is_none() {
        return Some("the log has no checkpoint".to_owned());
    }
    let most = served.limits.lag.saturating_add(served.log.interval());
    let behind = served.log.behind().filter(|behind| *behind > most);
    behind
        .map(|behind| format!("leaves are durable for {} s without a checkpoint", behind.as_secs()))
}
