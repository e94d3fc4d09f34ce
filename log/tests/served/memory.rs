//! What requests take, of the memory and of the time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use duramen::fs::FileKind;
use duramen::testing::sim::{OperationKind, When};
use duramen_log::http::Limits;
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};

use crate::rig::{Client, Rig, until};

/// A body of this many bytes that never ends.
fn endless(bytes: usize) -> Body {
    let first = futures_util::stream::once(async move { Bytes::from(vec![0; bytes]) });
    let rest = futures_util::stream::pending();
    Body::from_stream(first.chain(rest).map(Ok::<_, Infallible>))
}

/// A batch of one entry with this many bytes.
fn batch(bytes: usize) -> Vec<u8> {
    [&u32::try_from(bytes).unwrap().to_be_bytes()[..], &vec![7; bytes]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_which_there_is_no_memory_are_refused_until_others_end() {
    let rig = Rig::new();
    let client = rig.served(&Limits { memory: 64 << 10, ..Limits::default() });
    // It came whole and waits for the disk, so it is not given up.
    let held = rig.disk.hold(When::nth(OperationKind::Sync, 1).on(FileKind::Segment));
    let first = client.clone();
    let first = tokio::spawn(async move { first.send("POST", "/add-batch", batch(60_000)).await });
    until("the entry", async || client.get("/v1/state").await.json()["size"] == 1).await;
    let refused = client.send("POST", "/add-batch", batch(8000)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    held.release();
    assert_eq!(first.await.unwrap().status, 200);
    // What takes little goes on.
    assert_eq!(client.send("POST", "/add-batch", batch(8000)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_stop_half_way_do_not_keep_others_out() {
    const HOLDERS: usize = 40;
    let rig = Rig::new();
    let client = rig.served(&Limits { memory: 512 << 10, ..Limits::default() });
    // Together they send five times the memory, and none comes to its end.
    let hold = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move {
            loop {
                let refused = client.send("POST", "/add-batch", endless(64 << 10)).await;
                assert_eq!(refused.status, 503, "{refused:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    let holders: Vec<_> = (0..HOLDERS).map(|_| hold(&client)).collect();
    for number in 0..200 {
        let added = client.add(format!("entry {number}")).await;
        assert_eq!(added.status, 200, "{number}: {added:?}");
        let added = client.send("POST", "/add-batch", batch(30_000 + number)).await;
        assert_eq!(added.status, 200, "{number}: {added:?}");
    }
    assert!(holders.iter().all(|holder| !holder.is_finished()));
    holders.iter().for_each(tokio::task::JoinHandle::abort);
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
