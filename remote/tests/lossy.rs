//! Shipping to a bucket that loses answers, fails, and is out for a while.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when a promise is broken")]

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use duramen::{Accumulator, CheckpointPolicy, Config};
use duramen_remote::{Error, Level, Remote, ShipConfig, ShipPolicy};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A bucket in memory with faults.
#[derive(Debug, Default)]
struct Lossy {
    inner: InMemory,
    /// One request in so many fails; none with 0.
    one_in: AtomicU64,
    state: AtomicU64,
    /// Whether every request fails.
    out: AtomicBool,
    /// Whether every request is refused, as with credentials that have expired.
    denied: AtomicBool,
    /// Whether no request is answered.
    mute: AtomicBool,
    /// Whether objects are replaced that should only be created.
    careless: AtomicBool,
    faults: AtomicU64,
}

impl fmt::Display for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bucket with faults")
    }
}

impl Lossy {
    fn with(seed: u64, one_in: u64) -> Arc<Self> {
        println!("seed {seed}");
        let lossy = Self::default();
        lossy.state.store(seed, Ordering::SeqCst);
        lossy.one_in.store(one_in, Ordering::SeqCst);
        Arc::new(lossy)
    }

    fn fault(&self) -> Result<()> {
        let one_in = self.one_in.load(Ordering::SeqCst);
        let state = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let fails = one_in > 0 && (mixed ^ (mixed >> 31)).is_multiple_of(one_in);
        if self.denied.load(Ordering::SeqCst) {
            let (path, source) = (String::new(), "403".into());
            return Err(object_store::Error::PermissionDenied { path, source });
        }
        if fails || self.out.load(Ordering::SeqCst) {
            self.faults.fetch_add(1, Ordering::SeqCst);
            return Err(object_store::Error::Generic { store: "lossy", source: "503".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for Lossy {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        if self.mute.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.fault()?;
        if self.careless.load(Ordering::SeqCst) {
            opts.mode = PutMode::Overwrite;
        }
        let done = self.inner.put_opts(location, payload, opts).await;
        // It is there, and nobody hears of it.
        self.fault()?;
        done
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.fault()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.fault() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn open(path: &FilePath) -> Accumulator {
    Accumulator::open(Config::new(path).checkpoint_policy(CheckpointPolicy::manual())).unwrap()
}

fn often(path: &FilePath) -> ShipConfig {
    ShipConfig::new(path).policy(ShipPolicy::Interval(Duration::from_millis(2))).slot_bytes(200)
}

#[test]
fn what_was_acknowledged_is_there_whatever_answers_are_lost() {
    for seed in 0..4 {
        let bucket = Lossy::with(seed, 5);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let log = open(&path);
        let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "x").unwrap();
        let remote = remote.give_up_after(50);
        remote.init(&log.store()).unwrap();
        let shipper = remote.ship(&log.store(), often(&path)).unwrap();
        let mut acknowledged = 0;
        for round in 0..15_u8 {
            for leaf in 0..10 {
                drop(log.insert([round * 10 + leaf; 32]).unwrap());
            }
            if round % 4 == 1 {
                log.checkpoint().unwrap();
            }
            shipper.flush_to(Level::Remote).unwrap();
            acknowledged = log.size().get();
        }
        assert!(bucket.faults.load(Ordering::SeqCst) > 5);
        // The machine is gone. The takeover has the same bucket.
        let head = log.head_at(acknowledged).unwrap();
        let there = dir.path().join("there");
        remote.take_over(&there).unwrap();
        assert_eq!(open(&there).head_at(acknowledged).unwrap(), head);
        drop(log.insert([255; 32]).unwrap());
        assert!(matches!(shipper.flush_to(Level::Remote), Err(Error::Fenced { .. })));
    }
}

#[test]
fn an_outage_stops_nothing_here_and_is_caught_up_with() {
    let bucket = Lossy::with(1, 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let log = open(&path);
    let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "x").unwrap();
    let remote = remote.give_up_after(2);
    remote.init(&log.store()).unwrap();
    let shipper = remote.ship(&log.store(), often(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    bucket.out.store(true, Ordering::SeqCst);
    for leaf in 0..100 {
        log.insert_durable([leaf; 32]).unwrap();
        if leaf == 50 {
            // The log keeps what is not shipped over this.
            log.checkpoint().unwrap();
        }
    }
    let token = shipper.remote(&log.insert([200; 32]).unwrap().token);
    assert!(!token.wait_timeout(Duration::from_millis(300)).unwrap());
    let stats = shipper.stats();
    assert!(stats.last_error.is_some_and(|error| error.is_transient()));
    assert!(stats.local > stats.remote);
    bucket.out.store(false, Ordering::SeqCst);
    token.wait().unwrap();
    assert!(token.is_remote());
    remote.restore(dir.path().join("copy")).unwrap();
    assert_eq!(open(&dir.path().join("copy")).head().unwrap(), log.head().unwrap());
    // An outage at the end is an error of the shipper alone.
    bucket.out.store(true, Ordering::SeqCst);
    log.insert_durable([201; 32]).unwrap();
    assert!(shipper.close().is_err_and(|error| error.is_transient()));
    log.close().unwrap();
    bucket.out.store(false, Ordering::SeqCst);
    let log = open(&path);
    let shipper = remote.ship(&log.store(), often(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    assert_eq!(shipper.stats().remote, shipper.stats().local);
    shipper.close().unwrap();
}

#[test]
fn credentials_that_expire_delay_what_is_shipped_until_they_are_mended() {
    let bucket = Lossy::with(1, 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let log = open(&path);
    let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "x").unwrap();
    let remote = remote.give_up_after(2);
    remote.init(&log.store()).unwrap();
    let shipper = remote.ship(&log.store(), often(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    bucket.denied.store(true, Ordering::SeqCst);
    let token = shipper.remote(&log.insert([1; 32]).unwrap().token);
    log.flush().unwrap();
    assert!(!token.wait_timeout(Duration::from_millis(300)).unwrap());
    let error = shipper.stats().last_error.unwrap();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    bucket.denied.store(false, Ordering::SeqCst);
    token.wait().unwrap();
    // At the end there is nobody who could mend them.
    bucket.denied.store(true, Ordering::SeqCst);
    log.insert_durable([2; 32]).unwrap();
    assert!(matches!(shipper.close(), Err(Error::Refused { .. })));
}

#[test]
fn a_bucket_that_replaces_what_should_only_be_created_is_refused() {
    let bucket = Lossy::with(1, 0);
    bucket.careless.store(true, Ordering::SeqCst);
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("store"));
    let remote = Remote::from_object_store(Arc::clone(&bucket) as _, "x").unwrap();
    let refused = remote.init(&log.store()).unwrap_err();
    assert!(matches!(refused, Error::Unsuitable { .. }), "{refused}");
    assert!(matches!(remote.status(), Err(Error::NoStore)));
}

#[test]
fn a_shipper_that_is_abandoned_ends_while_the_bucket_does_not_answer() {
    let lossy = Lossy::with(1, 0);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let log: Accumulator = Accumulator::open(Config::new(&path)).unwrap();
    let remote = Remote::from_object_store(Arc::clone(&lossy) as _, "").unwrap();
    remote.init(&log.store()).unwrap();
    let shipper = remote.ship(&log.store(), ShipConfig::new(&path)).unwrap();
    log.insert([1; 32]).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    lossy.mute.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let token = log.insert([2; 32]).unwrap().token;
    token.wait().unwrap();
    let (handle, waiting) = (shipper.handle(), shipper.remote(&token));
    std::thread::scope(|threads| {
        let waiter = threads.spawn(|| waiting.wait());
        while handle.waits().is_none_or(|waits| waits < Duration::from_millis(50)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiter.is_finished() && !handle.has_ended());
        handle.abandon();
        let error = waiter.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::Closed { .. }), "{error}");
    });
    let error = shipper.close().unwrap_err();
    assert!(matches!(error, Error::Closed { remote, wanted } if remote < wanted), "{error}");
    // One request may take a minute.
    assert!(begun.elapsed() < Duration::from_secs(30));
    lossy.mute.store(false, Ordering::SeqCst);
    let shipper = remote.ship(&log.store(), ShipConfig::new(&path)).unwrap();
    shipper.flush_to(Level::Remote).unwrap();
    shipper.close().unwrap();
}
