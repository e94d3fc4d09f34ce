//! Tiles that are not in memory are read from a disk that takes its time.

use std::time::Duration;

use duramen::fs::FileKind;
use duramen_log::http::Limits;

use crate::rig::{Rig, until};

/// How many reads may wait for the disk.
const READS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_reads_wait_for_the_disk_everything_else_is_answered_and_no_more_reads_begin() {
    let rig = Rig::new();
    let client = rig.served(&Limits { reads: READS, ..Limits::default() });
    let with_length = |number| [&10u32.to_be_bytes()[..], entry(number).as_bytes()].concat();
    let batch: Vec<u8> = (0..3000).flat_map(with_length).collect();
    assert_eq!(client.send("POST", "/add-batch", batch).await.status, 200);
    let published = client.clone();
    let publish = move || published.site.close();
    tokio::task::spawn_blocking(publish).await.unwrap().unwrap();
    rig.store.checkpoint().unwrap();
    let warm = client.get("/tile/entries/000").await;
    assert_eq!(warm.status, 200, "{warm:?}");

    let held = rig.disk.hold_reads(FileKind::Part);
    let cold: Vec<_> = (1..11)
        .map(|number| {
            let client = client.clone();
            // On the one thread that all requests share.
            tokio::spawn(async move { client.get(&format!("/tile/entries/{number:03}")).await })
        })
        .collect();
    until("the reads", async || held.waiting() == READS).await;
    for path in ["/checkpoint", "/v1/head", "/healthz", "/tile/entries/000"] {
        let client = client.clone();
        let answered = tokio::spawn(async move { client.get(path).await });
        let answered = tokio::time::timeout(Duration::from_secs(60), answered).await;
        // Without an answer it waits for the disk.
        let answer = answered.unwrap().unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(held.waiting(), READS);
    assert!(cold.iter().all(|read| !read.is_finished()));
    held.release();
    for (number, read) in (1..).zip(cold) {
        let bundle = read.await.unwrap();
        assert_eq!(bundle.status, 200, "{bundle:?}");
        assert_eq!(&bundle.body[2..12], entry(number * 256).as_bytes());
    }
}

fn entry(number: usize) -> String {
    format!("entry {number:04}")
}
