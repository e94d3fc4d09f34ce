//! Whether a log is fit to serve, and what stops one.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::FileKind;
use duramen_log::http::Limits;

use crate::rig::{Client, Order, Rig, until};

/// Waits until the log is not ready for a reason with these words.
async fn not_ready(client: &Client, words: &str) {
    until(words, async || {
        let ready = client.get("/readyz").await;
        let reason = ready.json()["reasons"][0]["reason"].as_str().unwrap_or_default().to_owned();
        assert!(!reason.contains("secret"), "no path of the machine: {reason}");
        assert_eq!(ready.status, if reason.is_empty() { 200 } else { 503 });
        reason.contains(words)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_published_makes_the_log_not_ready_until_it_is() {
    let rig = Rig::new();
    let client = rig.client(&Limits::default(), |config| config.interval(Duration::ZERO));
    assert_eq!(client.get("/readyz").await.json()["ready"], true);
    rig.anchor.order(Order::Fail);
    assert_eq!(client.add("one").await.status, 200);
    not_ready(&client, "could not be published").await;
    assert_eq!(client.get("/checkpoint").await.signed().size.get(), 0);
    // It takes entries all the same, which are published later.
    assert_eq!(client.add("two").await.status, 200);
    rig.anchor.order(Order::Replace);
    until("the checkpoint", async || client.get("/readyz").await.status == 200).await;
    assert_eq!(client.get("/checkpoint").await.signed().size.get(), 2);
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_that_have_no_checkpoint_for_long_make_the_log_not_ready() {
    let rig = Rig::new();
    let limits = Limits { lag: Duration::from_millis(50), ..Limits::default() };
    let client = rig.client(&limits, |config| config.interval(Duration::ZERO));
    rig.anchor.order(Order::Wait);
    assert_eq!(client.add("one").await.status, 200);
    not_ready(&client, "without a checkpoint").await;
    rig.anchor.order(Order::Replace);
    until("the checkpoint", async || client.get("/readyz").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_publisher_panicked_takes_nothing_more() {
    let rig = Rig::new();
    let client = rig.client(&Limits::default(), |config| config.interval(Duration::ZERO));
    rig.anchor.order(Order::Panic);
    assert_eq!(client.add("one").await.status, 200);
    not_ready(&client, "takes no entries").await;
    let refused = client.add("two").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(client.get("/checkpoint").await.signed().size.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_another_process_replaced_the_anchor_nothing_is_taken_or_signed() {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    let other = Rig::new();
    // Another store with the same anchor, as if it had been moved.
    let other = Rig { anchor: rig.anchor.clone(), ..other };
    let second = other.log(|config| config.first_anchor(false).adopt_store(true));
    assert_eq!(client.add("one").await.status, 200);
    let log = Arc::clone(&client.site);
    let closed = tokio::task::spawn_blocking(move || log.close()).await.unwrap();
    let (name, error) = closed.unwrap_err();
    assert!(name == "main" && error.to_string().contains("the anchor"), "{error}");
    assert_eq!(client.add("two").await.status, 503);
    assert_eq!(client.get("/checkpoint").await.signed().size.get(), 0);
    second.submit(vec!["of the other".into()]).unwrap().await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || second.publish()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_damaged_before_its_leaves_are_signed_signs_nothing() {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    assert_eq!(client.add("first").await.status, 200);
    let size = async || client.get("/checkpoint").await.signed().size.get();
    until("the checkpoint", async || size().await == 1).await;
    let entries: Vec<u8> = (0u32..2000)
        .flat_map(|number| {
            let entry = format!("entry {number} that is long enough to be found");
            [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], entry.as_bytes()].concat()
        })
        .collect();
    assert_eq!(client.send("POST", "/add-batch", entries).await.status, 200);
    let store = rig.store.clone();
    tokio::task::spawn_blocking(move || store.checkpoint()).await.unwrap().unwrap();
    // One bit of an entry in the part.
    let part = rig.disk.files().into_iter().find(|name| name.kind == FileKind::Part).unwrap();
    let mut bytes = rig.disk.read(part).unwrap();
    let needle = b"entry 1234 that";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at + 8] ^= 1;
    rig.disk.put(part, &bytes);
    let site = Arc::clone(&client.site);
    let closed = tokio::task::spawn_blocking(move || site.close()).await.unwrap();
    closed.unwrap_err();
    assert_eq!(size().await, 1);
    assert_eq!(client.get("/readyz").await.status, 503);
}
