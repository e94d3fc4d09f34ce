//! What operators start.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use duramen::fs::FileKind;
use duramen::testing::sim::{OperationKind, When};
use duramen_log::http::{Limits, Operator, admin};
use serde_json::Value;

use crate::rig::{Answer, Rig, ask, until};

const TOKEN: &str = "0123456789abcdef";

fn operator(rig: &Rig) -> Router {
    let client = rig.served(&Limits::default());
    admin(&Operator::new(rig.store.clone(), client.site, Some(TOKEN)))
}

async fn send(router: &Router, method: &str, path: &str, auth: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", auth);
    let request = request.header("content-type", "application/json");
    ask(router.clone(), request.body(Body::from(body.to_owned())).unwrap()).await
}

pub(crate) async fn post(router: &Router, path: &str, body: &str) -> Answer {
    send(router, "POST", path, &format!("Bearer {TOKEN}"), body).await
}

async fn job(router: &Router, id: u64) -> Value {
    let path = format!("/v1/admin/jobs/{id}");
    send(router, "GET", &path, &format!("Bearer {TOKEN}"), "").await.json()
}

/// The job after its end.
pub(crate) async fn ended(router: &Router, started: &Answer) -> Value {
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.json()["id"].as_u64().unwrap();
    until("the end of a job", async || job(router, id).await["state"] != "running").await;
    job(router, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_to_their_end_with_a_result() {
    let rig = Rig::new();
    let router = operator(&rig);
    for (kind, key) in [("flush", "durable"), ("checkpoint", "leaves"), ("scrub", "clean")] {
        let started = post(&router, &format!("/v1/admin/{kind}"), "").await;
        let job = ended(&router, &started).await;
        assert_eq!((&job["state"], &job["kind"]), (&"done".into(), &kind.into()), "{job}");
        assert!(!job["result"][key].is_null(), "{job}");
    }
    let all = send(&router, "GET", "/v1/admin/jobs", &format!("Bearer {TOKEN}"), "").await;
    assert_eq!(all.json().as_array().unwrap().len(), 3);
    let none = send(&router, "GET", "/v1/admin/jobs/9", &format!("Bearer {TOKEN}"), "").await;
    assert_eq!(none.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_kind_one_job_runs_at_a_time() {
    let rig = Rig::new();
    let router = operator(&rig);
    // A leaf that is not flushed, whose sync is held.
    let tree = rig.store.existing_tree(duramen::TreeName::main()).unwrap();
    tree.insert_entry("one").unwrap();
    let held = rig.disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Segment));
    let first = post(&router, "/v1/admin/flush", "").await;
    assert_eq!(first.status, 202, "{first:?}");
    let second = post(&router, "/v1/admin/flush", "").await;
    assert_eq!(second.status, 409, "{second:?}");
    assert!(second.text().contains("job 1 is a flush and still runs"), "{second:?}");
    held.release();
    assert_eq!(ended(&router, &first).await["state"], "done");
    let third = post(&router, "/v1/admin/flush", "").await;
    assert_eq!(ended(&router, &third).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_says_why() {
    let rig = Rig::new();
    let router = operator(&rig);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("something"), "").unwrap();
    let target = serde_json::json!({ "dir": dir.path() }).to_string();
    let started = post(&router, "/v1/admin/backup", &target).await;
    let job = ended(&router, &started).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert!(!job["result"]["error"].as_str().unwrap().is_empty(), "{job}");
    let unreadable = post(&router, "/v1/admin/backup", "{}").await;
    assert!([400, 422].contains(&unreadable.status), "{unreadable:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_whole_token_opens_and_the_scheme_has_no_case() {
    let router = operator(&Rig::new());
    let longer = format!("Bearer {TOKEN}0");
    for auth in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcde",
        &longer,
        TOKEN,
        "Basic 0123456789abcdef",
    ] {
        for path in ["/metrics", "/v1/admin/stats", "/v1/admin/jobs", "/v1/admin/jobs/1"] {
            let refused = send(&router, "GET", path, auth, "").await;
            assert_eq!(refused.status, 401, "{auth:?} {path}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        }
        let refused = send(&router, "POST", "/v1/admin/flush", auth, "").await;
        assert_eq!(refused.status, 401, "{auth:?}");
    }
    for auth in [format!("Bearer {TOKEN}"), format!("bearer {TOKEN}")] {
        assert_eq!(send(&router, "GET", "/v1/admin/stats", &auth, "").await.status, 200);
    }
    let jobs = send(&router, "GET", "/v1/admin/jobs", &format!("Bearer {TOKEN}"), "").await;
    assert_eq!(jobs.json(), serde_json::json!([]));
}
