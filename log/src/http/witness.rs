//! A witness over HTTP: C2SP `tlog-witness`.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use duramen::Damage;
use duramen::tlog::witness::{AddCheckpoint, Refusal, SignSubtree, WitnessStatus, cosigned_body};
use serde_json::json;

use super::answer::Failed;
use super::body::whole;
use super::counted::{Counter, Latency};
use super::figures::Text;
use super::limits::Limits;
use super::room::Room;

use crate::damage;
use crate::witness::{Declined, MAX_REQUEST, Witness, WitnessError};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// A checkpoint is replaced by the next one.
const BRIEF: HeaderValue = HeaderValue::from_static("no-cache");

/// A witness that is served, with what is counted of it.
#[derive(Debug)]
pub struct Cosigning {
    witness: Arc<Witness>,
    limits: Limits,
    /// The memory that all requests share.
    room: Room,
    counted: Counted,
    /// The first damage of the store that a scrub found.
    damage: OnceLock<String>,
}

/// What is counted.
#[derive(Debug, Default)]
struct Counted {
    cosigned: Counter,
    subtrees: Counter,
    bad: Counter,
    forbidden: Counter,
    unknown: Counter,
    conflict: Counter,
    inconsistent: Counter,
    failed: Counter,
    latency: Latency,
}

impl Cosigning {
    /// Serves `witness`.
    #[must_use]
    pub fn new(witness: Arc<Witness>, limits: Limits) -> Arc<Self> {
        let room = Room::new(limits.memory);
        Arc::new(Self {
            witness,
            limits,
            room,
            counted: Counted::default(),
            damage: OnceLock::new(),
        })
    }

    /// Remembers damage of the store. What a witness decides with is in memory, and each new record becomes durable before
    /// it answers, so it cosigns on. It may not open again, which is why it is not ready.
    pub(super) fn found_damage(&self, damage: &Damage) {
        let what = damage::words(damage);
        tracing::error!("the store of the witness is damaged: {what}");
        let _ = self.damage.set(what);
    }

    /// What `/metrics` has of the witness.
    pub(super) fn figures(&self, text: &mut Text) {
        let Self { witness, counted, .. } = self;
        let (listed, seen) = witness.logs();
        let records = witness.records();
        let damaged = u64::from(self.damage.get().is_some());
        for (name, kind, help, value) in [
            ("listed_logs", "gauge", "Logs that are cosigned for.", listed),
            ("seen_logs", "gauge", "Logs of which a checkpoint was cosigned.", seen),
            ("records", "gauge", "Cosigned checkpoints in the store.", records),
            ("damaged", "gauge", "1 if a scrub found damage in the store.", damaged),
            (
                "cosigned_total",
                "counter",
                "Requests answered with cosignatures.",
                counted.cosigned.get(),
            ),
            (
                "signed_subtrees_total",
                "counter",
                "Requests answered with signatures of a subtree.",
                counted.subtrees.get(),
            ),
            (
                "failed_total",
                "counter",
                "Requests that the store or a key failed.",
                counted.failed.get(),
            ),
        ] {
            let name = format!("duramen_witness_{name}");
            text.family(&name, kind, help);
            text.sample(&name, "", value);
        }
        let name = "duramen_witness_refused_total";
        text.family(name, "counter", "Requests refused, by the status of the answer.");
        for (status, counter) in [
            (400, &counted.bad),
            (403, &counted.forbidden),
            (404, &counted.unknown),
            (409, &counted.conflict),
            (422, &counted.inconsistent),
        ] {
            text.sample(name, &format!("{{status=\"{status}\"}}"), counter.get());
        }
        let name = "duramen_witness_cosign_seconds";
        text.family(name, "histogram", "Time until a checkpoint was durable and cosigned.");
        text.latency(name, "", &counted.latency);
    }
}

/// What everybody may reach of a witness: `add-checkpoint`, `sign-subtree` if a key of it signs subtrees, and the
/// checkpoints that it cosigned last.
pub fn witness(cosigning: &Arc<Cosigning>) -> Router {
    let nothing = || async { Failed::not_found("there is nothing here") };
    let not_so = || async {
        Failed::new(StatusCode::METHOD_NOT_ALLOWED, "this is not done with that method")
    };
    let subtrees = match cosigning.witness.signs_subtrees() {
        true => Router::new().route("/sign-subtree", post(sign_subtree)),
        false => Router::new(),
    };
    subtrees
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{hash}/checkpoint", get(checkpoint))
        .route("/healthz", get(super::health::alive))
        .route("/readyz", get(ready))
        .fallback(nothing)
        .method_not_allowed_fallback(not_so)
        .with_state(Arc::clone(cosigning))
}

/// `POST /add-checkpoint`.
async fn add_checkpoint(
    State(cosigning): State<Arc<Cosigning>>,
    body: Body,
) -> Result<Response, Failed> {
    let begun = Instant::now();
    let Cosigning { witness, limits, room, counted, .. } = &*cosigning;
    let (body, _held) = whole(body, MAX_REQUEST, limits, room).await?;
    let request = str::from_utf8(&body).map_err(|_| not_utf8())?.parse::<AddCheckpoint>();
    let answered = match request {
        Ok(request) => witness.add_checkpoint(request).await,
        Err(error) => Err(Refusal::Malformed(error).into()),
    };
    match answered {
        Ok(cosigned) => {
            counted.cosigned.add(1);
            counted.latency.record(begun.elapsed());
            Ok(([(header::CONTENT_TYPE, TEXT)], cosigned_body(&cosigned)).into_response())
        }
        Err(Declined::Refused(refusal)) => {
            counted.refused(refusal.status());
            Ok(refused(&refusal))
        }
        Err(Declined::Failed(error)) => {
            counted.failed.add(1);
            Err(error.into())
        }
    }
}

/// `POST /sign-subtree`.
async fn sign_subtree(
    State(cosigning): State<Arc<Cosigning>>,
    body: Body,
) -> Result<Response, Failed> {
    let Cosigning { limits, room, .. } = &*cosigning;
    let (body, _held) = whole(body, MAX_REQUEST, limits, room).await?;
    let request = str::from_utf8(&body).map_err(|_| not_utf8())?.parse::<SignSubtree>();
    let signing = Arc::clone(&cosigning);
    // Signatures of ML-DSA take their time.
    let sign = move || match request {
        Ok(request) => signing.witness.sign_subtree(&request),
        Err(error) => Err(Refusal::Malformed(error).into()),
    };
    let signed = tokio::task::spawn_blocking(sign).await.map_err(|_| WitnessError::GivenUp)?;
    match signed {
        Ok(signed) => {
            cosigning.counted.subtrees.add(1);
            Ok(([(header::CONTENT_TYPE, TEXT)], cosigned_body(&signed)).into_response())
        }
        Err(Declined::Refused(refusal)) => {
            cosigning.counted.refused(refusal.status());
            Ok(refused(&refusal))
        }
        Err(Declined::Failed(error)) => {
            cosigning.counted.failed.add(1);
            Err(error.into())
        }
    }
}

fn not_utf8() -> Failed {
    Failed::bad("the request is not UTF-8")
}

fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status().code());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(refusal.content_type());
    (status, [(header::CONTENT_TYPE, kind)], refusal.body()).into_response()
}

impl From<WitnessError> for Failed {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "a checkpoint is not cosigned");
                let message = "the witness cannot cosign, and its operator must look at it";
                Self::later(StatusCode::SERVICE_UNAVAILABLE, message, 30)
            }
        }
    }
}

/// `GET /<origin hash>/checkpoint`.
async fn checkpoint(
    State(cosigning): State<Arc<Cosigning>>,
    Path(hash): Path<String>,
) -> Result<Response, Failed> {
    let read = move || cosigning.witness.checkpoint(&format!("{hash}/checkpoint"));
    let none = || Failed::not_found("no checkpoint of such a log was cosigned");
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| WitnessError::GivenUp)?;
    let checkpoint = read?.ok_or_else(none)?;
    let headers = [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, BRIEF)];
    Ok((headers, checkpoint).into_response())
}

/// `GET /readyz`: whether the witness cosigns, and the reason otherwise.
async fn ready(State(cosigning): State<Arc<Cosigning>>) -> Response {
    let stopped = cosigning.witness.stopped();
    let stopped = stopped.map(|_| "the store failed, and nothing is cosigned".to_owned());
    let damaged = || cosigning.damage.get().map(|what| format!("the store is damaged: {what}"));
    let reason = stopped.or_else(damaged);
    let status = match &reason {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(json!({ "ready": reason.is_none(), "reason": reason }))).into_response()
}

impl Counted {
    fn refused(&self, status: WitnessStatus) {
        let counter = match status {
            WitnessStatus::BadRequest => &self.bad,
            WitnessStatus::Forbidden => &self.forbidden,
            WitnessStatus::NotFound => &self.unknown,
            WitnessStatus::Conflict => &self.conflict,
            WitnessStatus::Unprocessable => &self.inconsistent,
            _ => &self.failed,
        };
        counter.add(1);
    }
}
