//! Damage of the store that is found while a log is served.

use std::sync::Arc;
use std::time::Duration;

use duramen::fs::{FileKind, FileName};
use duramen::testing::sim::FaultError;
use duramen::{CompactionPolicy, Config, FlushPolicy, ReadMode, Store, StoreReader};
use duramen_log::LogError;
use duramen_log::http::{Limits, Operator, Watch, admin, public};

use crate::jobs::{ended, post};
use crate::rig::{Answer, Client, Obedient, Rig, until};

const ENTRIES: u32 = 3000;

fn entry(number: u32) -> String {
    format!("entry {number} that is long enough to be found")
}

/// A log with a checkpoint over entries that are in a part, and not in memory.
async fn published() -> (Rig, Client) {
    let rig = Rig::new();
    let client = rig.served(&Limits::default());
    add(&client, 0..ENTRIES).await;
    until("the checkpoint", async || size(&client).await == u64::from(ENTRIES)).await;
    close(&client).await.unwrap();
    drop(client);
    let closed = rig.store.clone();
    tokio::task::spawn_blocking(move || closed.checkpoint().and_then(|_| closed.close()))
        .await
        .unwrap()
        .unwrap();
    let Rig { disk, store, reader, anchor } = rig;
    drop((store, reader));
    let rig = Rig::on(&disk, Arc::new(disk.clone()), anchor);
    let hour = Duration::from_secs(3600);
    let client = rig.client(&Limits::default(), |config| config.first_anchor(false).interval(hour));
    (rig, client)
}

async fn add(client: &Client, numbers: std::ops::Range<u32>) {
    let batch: Vec<u8> = numbers
        .flat_map(|number| {
            let entry = entry(number);
            [&u32::try_from(entry.len()).unwrap().to_be_bytes()[..], entry.as_bytes()].concat()
        })
        .collect();
    assert_eq!(client.send("POST", "/add-batch", batch).await.status, 200);
}

async fn size(client: &Client) -> u64 {
    client.get("/checkpoint").await.signed().size.get()
}

/// Publishes a last checkpoint.
async fn close(client: &Client) -> Result<(), (String, LogError)> {
    let site = Arc::clone(&client.site);
    tokio::task::spawn_blocking(move || site.close()).await.unwrap()
}

/// The first part, and where `needle` is in it.
fn find(rig: &Rig, needle: &[u8]) -> (FileName, Vec<u8>, usize) {
    let part = rig.disk.files().into_iter().filter(|name| name.kind == FileKind::Part).min();
    let bytes = rig.disk.read(part.unwrap()).unwrap();
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    (part.unwrap(), bytes, at)
}

/// Flips a bit in `needle`, in the first part.
fn flip(rig: &Rig, needle: &[u8]) {
    let (part, mut bytes, at) = find(rig, needle);
    bytes[at] ^= 1;
    rig.disk.put(part, &bytes);
}

/// Has the disk not return `needle`, in the first part, also where that is open.
fn lose(rig: &Rig, needle: &[u8]) -> FileName {
    let (part, _, at) = find(rig, needle);
    rig.disk.fail_reads(part, at as u64..at as u64 + 1, FaultError::EIO);
    part
}

async fn reason(client: &Client) -> String {
    let ready = client.get("/readyz").await;
    let reason = ready.json()["reasons"][0]["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!(ready.status, if reason.is_empty() { 200 } else { 503 }, "{ready:?}");
    reason
}

/// The log has stopped, with a checkpoint of this size, and says why.
async fn must_have_stopped(client: &Client, metrics: &Answer, signed: u32, words: &[&str]) {
    let reason = reason(client).await;
    assert!(reason.starts_with("the store is damaged, so nothing is signed: "), "{reason}");
    assert!(words.iter().all(|words| reason.contains(words)), "{reason}");
    assert!(!reason.contains("store/"), "no path of the machine: {reason}");
    let refused = client.add("one more").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")), "{refused:?}");
    let error = close(client).await.unwrap_err().1;
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    // What was signed stays.
    assert_eq!(size(client).await, u64::from(signed));
    for line in ["duramen_log_damage{log=\"main\"} 1", "duramen_log_stopped{log=\"main\"} 1"] {
        assert!(metrics.text().lines().any(|found| found == line), "{}", metrics.text());
    }
}

async fn metrics(rig: &Rig, client: &Client) -> Answer {
    let router = admin(&Operator::new(rig.store.clone(), Arc::clone(&client.site), None));
    Client { router, site: Arc::clone(&client.site) }.get("/metrics").await
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_client_reads_stops_the_log() {
    let (rig, client) = published().await;
    assert_eq!(reason(&client).await, "");
    let part = lose(&rig, b"entry 1234 that");
    assert_eq!(client.get("/v1/entry?index=1234").await.status, 500);
    let name = format!("{:08}.part", part.number);
    let words = [name.as_str(), "found by a request"];
    must_have_stopped(&client, &metrics(&rig, &client).await, ENTRIES, &words).await;
    // What is intact is read.
    assert_eq!(client.get("/v1/entry?index=0").await.text(), entry(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_scrub_finds_stops_the_log() {
    let (rig, client) = published().await;
    let router = admin(&Operator::new(rig.store.clone(), Arc::clone(&client.site), None));
    let clean = ended(&router, &post(&router, "/v1/admin/scrub", "").await).await;
    assert_eq!(clean["result"]["clean"], true, "{clean}");
    assert_eq!(reason(&client).await, "");
    flip(&rig, b"entry 1234 that");
    let found = ended(&router, &post(&router, "/v1/admin/scrub", "").await).await;
    assert_eq!(found["result"]["clean"], false, "{found}");
    let found = metrics(&rig, &client).await;
    must_have_stopped(&client, &found, ENTRIES, &["found by a scrub"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_the_gate_reads_stops_the_log() {
    let (rig, client) = published().await;
    // The first one is published at once, and the others after an hour.
    add(&client, ENTRIES..ENTRIES + 1).await;
    until("the checkpoint", async || size(&client).await == u64::from(ENTRIES) + 1).await;
    add(&client, ENTRIES + 1..ENTRIES + 2000).await;
    let store = rig.store.clone();
    tokio::task::spawn_blocking(move || store.checkpoint()).await.unwrap().unwrap();
    let needle = format!("entry {} that", ENTRIES + 1000);
    let newest = rig.disk.files().into_iter().filter(|name| name.kind == FileKind::Part).max();
    let mut bytes = rig.disk.read(newest.unwrap()).unwrap();
    let at = bytes.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
    bytes[at] ^= 1;
    rig.disk.put(newest.unwrap(), &bytes);
    close(&client).await.unwrap_err();
    let found = metrics(&rig, &client).await;
    must_have_stopped(&client, &found, ENTRIES + 1, &["found by reading entries back"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_an_index_makes_the_log_not_ready_and_does_not_stop_it() {
    let (rig, client) = published().await;
    let index = rig.disk.files().into_iter().find(|name| name.kind == FileKind::Index).unwrap();
    let mut bytes = rig.disk.read(index).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    rig.disk.put(index, &bytes);
    let router = admin(&Operator::new(rig.store.clone(), Arc::clone(&client.site), None));
    ended(&router, &post(&router, "/v1/admin/scrub", "").await).await;
    let reason = reason(&client).await;
    assert!(reason.starts_with("the store is damaged beside what is signed: "), "{reason}");
    let text = metrics(&rig, &client).await;
    add(&client, ENTRIES..ENTRIES + 10).await;
    close(&client).await.unwrap();
    assert_eq!(size(&client).await, u64::from(ENTRIES) + 10);
    assert!(text.text().contains("duramen_log_stopped{log=\"main\"} 0"), "{}", text.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_merge_finds_stops_the_log() {
    let disk = duramen::testing::sim::SimDisk::new();
    let config =
        Config::new("store").file_system(Arc::new(disk.clone())).read_mode(ReadMode::Pread);
    let (watch, anchor) = (Watch::new("store"), Obedient::default());
    let events = watch.clone();
    let watched = config.clone().listener(move |event: &duramen::Event| events.event(event));
    let watched = watched.compaction_policy(CompactionPolicy::tiered(2).unwrap());
    let store = Store::open(watched.flush_policy(FlushPolicy::Manual)).unwrap();
    let reader = Arc::new(StoreReader::open(config).unwrap());
    let rig = Rig { disk, store, reader, anchor };
    let log = rig.log(|config| config.interval(Duration::from_secs(3600)));
    let logs = vec![("main".to_owned(), log)];
    let site = duramen_log::http::Site::watched(logs, &Limits::default(), &watch).unwrap();
    let client = Client { router: public(&site), site };
    // More than two parts of a tier are merged.
    for first in [0, ENTRIES / 3, ENTRIES / 3 * 2] {
        add(&client, first..first + ENTRIES / 3).await;
        until("the checkpoint", async || size(&client).await > 0).await;
        let store = rig.store.clone();
        tokio::task::spawn_blocking(move || store.checkpoint()).await.unwrap().unwrap();
        if first == 0 {
            lose(&rig, b"entry 234 that");
        }
    }
    until("the damage", async || !reason(&client).await.is_empty()).await;
    let found = metrics(&rig, &client).await;
    must_have_stopped(&client, &found, ENTRIES / 3, &["found by a merge"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_an_operators_job_meets_stops_the_log() {
    let (rig, client) = published().await;
    let router = admin(&Operator::new(rig.store.clone(), Arc::clone(&client.site), None));
    let tree = rig.store.existing_tree(duramen::TreeName::main()).unwrap();
    tree.insert_entry("another part").unwrap();
    let store = rig.store.clone();
    tokio::task::spawn_blocking(move || store.checkpoint()).await.unwrap().unwrap();
    lose(&rig, b"entry 1234 that");
    let job = ended(&router, &post(&router, "/v1/admin/compact", "{\"full\":true}").await).await;
    assert_eq!(job["state"], "failed", "{job}");
    let found = metrics(&rig, &client).await;
    must_have_stopped(&client, &found, ENTRIES, &["found by a merge"]).await;
}
