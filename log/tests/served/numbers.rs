//! Numbers in requests have one spelling.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use duramen_log::http::Limits;
use tower::ServiceExt;

use crate::rig::{Client, Rig, until};

/// The status of an answer, whose body may have no end.
async fn status(client: &Client, path: &str, last: Option<&str>) -> u16 {
    let mut request = Request::get(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let answer = client.router.clone().oneshot(request.body(Body::empty()).unwrap()).await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_number_in_a_request_has_one_spelling() {
    let rig = Rig::new();
    let often = Duration::from_millis(5);
    let client = rig.client(&Limits::default(), |config| config.interval(often));
    for entry in 0..8 {
        assert_eq!(client.add(format!("entry {entry}")).await.status, 200);
    }
    let all = async || client.get("/v1/proof?index=7").await.status == 200;
    until("a checkpoint of all", all).await;
    for path in [
        "/v1/proof?index=",
        "/v1/proof?index=0&size=",
        "/v1/entry?index=",
        "/v1/consistency?from=",
        "/v1/consistency?from=1&to=",
        "/v1/history?after=",
        "/v1/tail?from=",
    ] {
        assert_eq!(status(&client, &format!("{path}5"), None).await, 200, "{path}5");
        for number in [
            "%2B5",
            "+5",
            "05",
            "0000005",
            "5%20",
            "%205",
            "5.0",
            "5_0",
            "-5",
            "",
            "0x5",
            "18446744073709551616",
        ] {
            let path = format!("{path}{number}");
            assert_eq!(status(&client, &path, None).await, 400, "{path}");
        }
    }
    for (id, expected) in [("5", 200), ("+5", 400), ("05", 400), ("", 400)] {
        assert_eq!(status(&client, "/v1/tail", Some(id)).await, expected, "{id:?}");
    }
}
