//! What requests take, of the memory and of the time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use duramen_log::http::Limits;
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};

use crate::rig::Rig;

/// A body of this many bytes that never ends.
fn endless(bytes: usize) -> Body {
    let first = futures_util::stream::once(async move { Bytes::from(vec![0; bytes]) });
    let rest = futures_util::stream::pending();
    Body::from_stream(first.chain(rest).map(Ok::<_, Infallible>))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_which_there_is_no_memory_are_refused_until_others_end() {
    let rig = Rig::new();
    let client = rig.served(&Limits { memory: 64 << 10, ..Limits::default() });
    let slow = client.clone();
    let slow = tokio::spawn(async move {
        // Until it came first.
        while slow.send("POST", "/add-batch", endless(60 << 10)).await.status == 503 {}
    });
    let batch = || [&8000u32.to_be_bytes()[..], &[7; 8000]].concat();
    crate::rig::until("the refusal", async || {
        let refused = client.send("POST", "/add-batch", batch()).await;
        let full = refused.status == 503;
        assert!(!full || refused.header("retry-after") == Some("1"), "{refused:?}");
        assert!(full || refused.status == 200, "{refused:?}");
        full
    })
    .await;
    // What takes little goes on.
    assert_eq!(client.add("small").await.status, 200);
    slow.abort();
    let _ = slow.await;
    assert_eq!(client.send("POST", "/add-batch", batch()).await.status, 200);
}

/// A body that says how long it is, and must not be read.
struct Announced(u64);

impl hyper::body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body is read")
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_long_is_refused_before_it_comes() {
    let client = Rig::new().served(&Limits::default());
    for (path, len) in [("/add", 65_536), ("/add-batch", (16 << 20) + 1)] {
        let refused = client.send("POST", path, Body::new(Announced(len))).await;
        assert_eq!(refused.status, 413, "{refused:?}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let limits = Limits { body: Duration::from_millis(50), ..Limits::default() };
    let client = Rig::new().served(&limits);
    let answer = client.add(endless(10)).await;
    assert_eq!(answer.status, 408, "{answer:?}");
    assert!(client.get("/v1/head").await.json()["size"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_many_pieces_is_put_together() {
    let client = Rig::new().served(&Limits::default());
    let pieces = ["in ", "", "several ", "pieces"];
    let body = futures_util::stream::iter(pieces.map(Ok::<_, Infallible>));
    assert_eq!(client.add(Body::from_stream(body)).await.status, 200);
    let same = client.add(pieces.concat()).await;
    assert_eq!(
        (same.json()["index"].as_u64(), same.json()["new"].as_bool()),
        (Some(0), Some(false))
    );
    let long = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(vec![0; 1000]));
    assert_eq!(client.add(Body::from_stream(long)).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_read_is_answered_like_other_errors() {
    let client = Rig::new().served(&Limits::default());
    for path in ["/v1/proof?index=x", "/v1/entry", "/v1/proof?index=0&other=1", "/v1/tail?from=-1"]
    {
        let refused = client.get(path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.json()["error"].as_str().unwrap().starts_with("the query cannot be read"));
        assert_eq!(refused.header("cache-control"), Some("no-store"));
    }
}
