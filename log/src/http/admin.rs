//! What operators may: flush, checkpoint, back up, scrub, compact, and look at figures.
//!
//! It listens on an address of its own, or on a unix socket, and never where everybody may reach it. On an address it
//! asks for a token.
//!
//! # Invariants
//!
//! - One job of a kind runs at a time.
//! - The token is compared in constant time, so that it cannot be guessed a byte at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use duramen::scrub::{self, Finding};
use duramen::{Compact, Store};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Failed;
use super::asked::Number;
use super::metrics;
use super::site::Site;
use super::witness::Cosigning;
use crate::damage::{FoundBy, FoundDamage};

/// What operators reach: the store, its logs, and the jobs that they started.
pub struct Operator {
    store: Store,
    site: Arc<Site>,
    cosigning: Option<Arc<Cosigning>>,
    /// The hash of the token. Its comparison tells nothing about the token.
    token: Option<[u8; 32]>,
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    next: u64,
    all: BTreeMap<u64, Job>,
}

/// How many finished jobs are remembered.
const REMEMBERED: usize = 100;

#[derive(Clone, Debug, Serialize)]
struct Job {
    id: u64,
    kind: &'static str,
    state: JobState,
    /// Bytes done, and bytes in all, where that is known.
    done: u64,
    total: u64,
    result: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum JobState {
    Running,
    Done,
    Failed,
}

impl Operator {
    /// The operator of `store`, whose logs are in `site`. With a token, every request must have it.
    #[must_use]
    pub fn new(store: Store, site: Arc<Site>, token: Option<&str>) -> Arc<Self> {
        let token = token.map(|token| hash(token.as_bytes()));
        Arc::new(Self { store, site, cosigning: None, token, jobs: Mutex::default() })
    }

    /// The operator of a witness, whose store is `store`. `site` counts its connections. With a token, every request must
    /// have it.
    #[must_use]
    pub fn of_witness(
        store: Store,
        site: Arc<Site>,
        cosigning: Arc<Cosigning>,
        token: Option<&str>,
    ) -> Arc<Self> {
        let token = token.map(|token| hash(token.as_bytes()));
        let cosigning = Some(cosigning);
        Arc::new(Self { store, site, cosigning, token, jobs: Mutex::default() })
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job on a thread that may block.
    fn start(
        self: &Arc<Self>,
        kind: &'static str,
        run: impl FnOnce(&Self, u64) -> Result<Value, duramen::Error> + Send + 'static,
    ) -> Result<Response, Failed> {
        let mut jobs = self.jobs();
        let running = |job: &&Job| job.kind == kind && job.state == JobState::Running;
        if let Some(job) = jobs.all.values().find(running) {
            let message = format!("job {} is a {kind} and still runs", job.id);
            return Err(Failed::new(StatusCode::CONFLICT, message));
        }
        jobs.next += 1;
        let id = jobs.next;
        let (state, done, total) = (JobState::Running, 0, 0);
        let job = Job { id, kind, state, done, total, result: None };
        jobs.all.insert(id, job.clone());
        let finished: Vec<u64> =
            jobs.all.values().filter(|job| job.state != state).map(|job| job.id).collect();
        for old in finished.iter().rev().skip(REMEMBERED) {
            jobs.all.remove(old);
        }
        drop(jobs);
        let operator = Arc::clone(self);
        let running = Arc::clone(&operator);
        let work = tokio::task::spawn_blocking(move || run(&running, id));
        tokio::spawn(async move {
            let (state, result) = match work.await {
                Ok(Ok(result)) => (JobState::Done, result),
                Ok(Err(error)) => {
                    operator.met(&error);
                    (JobState::Failed, json!({ "error": error.to_string() }))
                }
                // It panicked. Others may start such a job all the same.
                Err(error) => (JobState::Failed, json!({ "error": error.to_string() })),
            };
            operator.change(id, |job| (job.state, job.result) = (state, Some(result)));
        });
        Ok((StatusCode::ACCEPTED, Json(job)).into_response())
    }

    /// Has the logs of the store remember the damage because of which a job failed. Of which tree it is can only be said if
    /// the store has one; a scrub says it of the others.
    fn met(&self, error: &duramen::Error) {
        let Some(found) = FoundDamage::of(error, FoundBy::Store) else { return };
        let alone = self.store.trees().is_ok_and(|trees| trees.len() == 1);
        let found = FoundDamage { concerns: found.concerns && alone, ..found };
        self.site.all().iter().for_each(|served| served.log.found_damage(found.clone()));
        if let (Some(cosigning), duramen::Error::Damaged(damage)) = (&self.cosigning, error) {
            cosigning.found_damage(damage);
        }
    }

    /// Has each log of the store remember what a scrub found of it.
    fn found(&self, finding: &Finding) {
        for served in self.site.all() {
            if let Some(found) = FoundDamage::in_finding(finding, served.log.tree().name()) {
                served.log.found_damage(found);
            }
        }
        if let Some(cosigning) = &self.cosigning {
            cosigning.found_damage(&finding.damage);
        }
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.jobs().all.get_mut(&id) {
            change(job);
        }
    }
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What operators may reach.
pub fn admin(operator: &Arc<Operator>) -> Router {
    Router::new()
        .route("/metrics", get(figures))
        .route("/v1/admin/stats", get(stats))
        .route("/v1/admin/jobs", get(jobs))
        .route("/v1/admin/jobs/{id}", get(job))
        .route("/v1/admin/flush", post(flush))
        .route("/v1/admin/checkpoint", post(checkpoint))
        .route("/v1/admin/backup", post(backup))
        .route("/v1/admin/scrub", post(scrub_all))
        .route("/v1/admin/compact", post(compact))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(operator), only_operators))
        .with_state(Arc::clone(operator))
}

async fn only_operators(
    State(operator): State<Arc<Operator>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &operator.token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    // The name of the scheme has no case.
    let given = given.and_then(|given| given.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let given = given.map_or("", |(_, token)| token);
    if equal(token, &hash(given.as_bytes())) {
        return next.run(request).await;
    }
    let refused = Failed::new(StatusCode::UNAUTHORIZED, "a bearer token is needed");
    ([(header::WWW_AUTHENTICATE, "Bearer")], refused).into_response()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// Compares without a branch. What is compared are hashes, so that even the time of a branch would tell nothing of use.
fn equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

async fn figures(State(operator): State<Arc<Operator>>) -> Response {
    metrics::metrics(&operator.site, &operator.store, operator.cosigning.as_deref())
}

async fn stats(State(operator): State<Arc<Operator>>) -> Json<Value> {
    let stats = operator.store.stats();
    Json(json!({
        "leaves": stats.leaves,
        "durable": stats.durable,
        "pending": stats.pending,
        "groups": stats.groups,
        "syncs": stats.syncs,
        "longest_sync_ms": u64::try_from(stats.longest_sync.as_millis()).unwrap_or(u64::MAX),
        "log_bytes": stats.wal_bytes_written,
        "log_segments": stats.wal_segments,
        "unflushed_bytes": stats.unflushed_bytes,
        "uncheckpointed_bytes": stats.uncheckpointed_bytes,
        "memory_bytes": stats.memory_bytes,
        "checkpoints": stats.checkpoints,
        "failed_checkpoints": stats.failed_checkpoints,
        "parts": stats.parts,
        "merges": stats.compactions,
        "failed_merges": stats.failed_compactions,
        "stalls": stats.stalls,
        "refused": stats.refused,
        "queued_jobs": stats.queued_jobs,
        "active_jobs": stats.active_jobs,
    }))
}

async fn jobs(State(operator): State<Arc<Operator>>) -> Json<Vec<Job>> {
    Json(operator.jobs().all.values().cloned().collect())
}

async fn job(
    State(operator): State<Arc<Operator>>,
    Path(Number(id)): Path<Number>,
) -> Result<Json<Job>, Failed> {
    let none = || Failed::not_found(format!("there is no job {id}"));
    Ok(Json(operator.jobs().all.get(&id).cloned().ok_or_else(none)?))
}

async fn flush(State(operator): State<Arc<Operator>>) -> Result<Response, Failed> {
    operator.start("flush", |operator, _| {
        operator.store.flush()?;
        Ok(json!({ "durable": operator.store.stats().durable }))
    })
}

async fn checkpoint(State(operator): State<Arc<Operator>>) -> Result<Response, Failed> {
    operator.start("checkpoint", |operator, _| {
        let info = operator.store.checkpoint()?;
        Ok(json!({ "leaves": info.leaves, "bytes": info.bytes, "trees": info.trees.len() }))
    })
}

/// `{"dir": PATH}`: an empty or missing directory, on the machine of the server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    dir: PathBuf,
}

async fn backup(
    State(operator): State<Arc<Operator>>,
    Json(Target { dir }): Json<Target>,
) -> Result<Response, Failed> {
    operator.start("backup", move |operator, _| {
        let info = operator.store.snapshot_to(dir)?;
        Ok(json!({
            "parts": info.parts,
            "bytes_linked": info.bytes_linked,
            "bytes_copied": info.bytes_copied,
        }))
    })
}

async fn scrub_all(State(operator): State<Arc<Operator>>) -> Result<Response, Failed> {
    operator.start("scrub", |operator, id| {
        let mut progress = |progress: scrub::Progress| {
            operator.change(id, |job| (job.done, job.total) = (progress.done, progress.total));
            ControlFlow::Continue(())
        };
        let report = operator.store.scrub(&scrub::Options::new(), &mut progress)?;
        for finding in &report.findings {
            operator.found(finding);
        }
        let findings: Vec<_> =
            report.findings.iter().map(|finding| finding.damage.to_string()).collect();
        Ok(json!({
            "clean": report.is_clean(),
            "parts": report.parts,
            "leaves": report.leaves,
            "findings": findings,
        }))
    })
}

/// `{"full": BOOL}`: whether all parts of each tree are merged into one. Not without a body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compaction {
    #[serde(default)]
    full: bool,
}

async fn compact(
    State(operator): State<Arc<Operator>>,
    asked: Option<Json<Compaction>>,
) -> Result<Response, Failed> {
    let Json(Compaction { full }) = asked.unwrap_or_default();
    operator.start("compact", move |operator, _| {
        let mut info = operator.store.compact(Compact::new().full(full))?;
        if info.pinned_files > 0 {
            // The logs themselves read the old parts until they publish again.
            operator.site.refresh();
            let again = operator.store.compact(Compact::new())?;
            info.parts += again.parts;
            info.bytes_read += again.bytes_read;
            info.bytes_wiped += again.bytes_wiped;
            (info.pinned_files, info.pinned_bytes) = (again.pinned_files, again.pinned_bytes);
        }
        Ok(json!({
            "parts": info.parts,
            "bytes_read": info.bytes_read,
            "bytes_wiped": info.bytes_wiped,
            "pinned_files": info.pinned_files,
            "pinned_bytes": info.pinned_bytes,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_equal_if_all_their_bytes_are() {
        let one = hash(b"a token");
        assert!(equal(&one, &hash(b"a token")));
        for byte in 0..32 {
            let mut other = one;
            other[byte] ^= 1;
            assert!(!equal(&one, &other));
        }
    }
}
