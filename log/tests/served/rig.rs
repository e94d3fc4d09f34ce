//! A log on a simulated disk, with an anchor that obeys, and a client of its routes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use bytes::Bytes;
use duramen::fs::Place;
use duramen::testing::sim::{CrashChoice, SimDisk};
use duramen::tlog::{Ed25519Signer, NoteVerifier, SignedNote};
use duramen::{Config, FlushPolicy, ReadMode, Store, StoreReader, TreeHead, TreeName};
use duramen_log::http::{Limits, Site, public};
use duramen_log::{Anchor, AnchorError, Anchored, Log, LogConfig};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const ORIGIN: &str = "example.com/log";

pub(crate) fn key() -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::from_secret(ORIGIN, &[7; 32]).unwrap())
}

/// What an anchor does with the next replacements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    Replace,
    Fail,
    Panic,
    /// Does not return before there is another order.
    Wait,
}

/// An anchor in memory that does as it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Obedient {
    anchored: Arc<Mutex<Option<Anchored>>>,
    order: Arc<AtomicU8>,
}

impl Obedient {
    pub(crate) fn order(&self, order: Order) {
        self.order.store(order as u8, Ordering::SeqCst);
    }

    fn is(&self, order: Order) -> bool {
        self.order.load(Ordering::SeqCst) == order as u8
    }
}

impl Anchor for Obedient {
    fn load(&self) -> Result<Option<Anchored>, AnchorError> {
        Ok(self.anchored.lock().unwrap().clone())
    }

    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
        assert!(!self.is(Order::Panic), "a test");
        while self.is(Order::Wait) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let place = "/secret/place".to_owned();
        if self.is(Order::Fail) {
            let reason = "a test".to_owned();
            return Err(AnchorError::Io { action: "replace", place, reason });
        }
        let mut anchored = self.anchored.lock().unwrap();
        if anchored.as_ref() != old {
            let (expected, found) = (old.cloned().map(Box::new), anchored.clone().map(Box::new));
            return Err(AnchorError::Changed { place, expected, found });
        }
        *anchored = Some(new.clone());
        Ok(())
    }
}

/// A store on a disk, and the anchor of its log.
pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) store: Store,
    pub(crate) reader: Arc<StoreReader>,
    pub(crate) anchor: Obedient,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new();
        Self::on(&disk, Arc::new(disk.clone()), Obedient::default())
    }

    /// The store that `place` leads to, which is on `disk`.
    pub(crate) fn on(disk: &SimDisk, place: Arc<dyn Place>, anchor: Obedient) -> Self {
        // As the program has it: a mapping cannot report a failed read.
        let config = Config::new("store").file_system(place).read_mode(ReadMode::Pread);
        let store = Store::open(config.clone().flush_policy(FlushPolicy::Manual)).unwrap();
        let reader = Arc::new(StoreReader::open(config).unwrap());
        Self { disk: disk.clone(), store, reader, anchor }
    }

    /// How many leaves the tree has on what a power cut leaves of the disk at worst.
    pub(crate) fn size_after_power_cut(&self) -> u64 {
        let disk = self.disk.crash(CrashChoice::NothingKept);
        let rig = Self::on(&disk, Arc::new(disk.clone()), Obedient::default());
        rig.store.existing_tree(TreeName::main()).unwrap().size().get()
    }

    pub(crate) fn log(&self, change: impl FnOnce(LogConfig) -> LogConfig) -> Log {
        let anchor = Box::new(self.anchor.clone());
        let config = LogConfig::new(TreeName::main(), ORIGIN, key(), anchor).first_anchor(true);
        Log::open(&self.store, Arc::clone(&self.reader), change(config)).unwrap()
    }

    /// The log is served, with a checkpoint only where a test asks for one.
    pub(crate) fn served(&self, limits: &Limits) -> Client {
        self.client(limits, |config| config.interval(Duration::from_secs(3600)))
    }

    pub(crate) fn client(
        &self,
        limits: &Limits,
        change: impl FnOnce(LogConfig) -> LogConfig,
    ) -> Client {
        let site = Site::new(vec![("main".to_owned(), self.log(change))], limits).unwrap();
        Client { router: public(&site), site }
    }
}

/// Asks the routes of a site.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
    pub(crate) site: Arc<Site>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The size and the root that the log signed.
    pub(crate) fn signed(&self) -> TreeHead {
        let note: SignedNote = self.text().parse().unwrap();
        let key = key().verifier();
        note.verify_checkpoint(&[&key as &dyn NoteVerifier], ORIGIN).unwrap().head()
    }
}

impl Client {
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        ask(self.router.clone(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Body::empty()).await
    }

    pub(crate) async fn add(&self, entry: impl Into<Body>) -> Answer {
        self.send("POST", "/add", entry).await
    }
}

/// The answer of a router.
pub(crate) async fn ask(router: Router, request: Request<Body>) -> Answer {
    let answer = router.oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} does not come");
}
