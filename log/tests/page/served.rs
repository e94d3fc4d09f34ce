//! A log that is served to the browser, and that can be made to lie.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header;
use axum::response::Response;
use duramen::tlog::{AnyVerifier, Cosigner, Ed25519Signer, MlDsa44Key};
use duramen::{Config, Event, Store, StoreReader};
use duramen_log::http::{Limits, Listener, Site, Watch, public, serve};
use duramen_log::{Anchor, AnchorError, Anchored, DirectoryAnchor, Log, LogConfig, TimedSigner};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

pub(crate) const ORIGIN: &str = "example.com/log";

/// One log in a store of its own.
pub(crate) struct Logged {
    pub(crate) store: Store,
    site: Arc<Site>,
    shut: Arc<AtomicBool>,
    pub(crate) key: String,
    _dir: TempDir,
}

/// An anchor that can be shut: then nothing may be signed.
#[derive(Debug)]
struct Shuts(DirectoryAnchor, Arc<AtomicBool>);

impl Anchor for Shuts {
    fn load(&self) -> Result<Option<Anchored>, AnchorError> {
        self.0.load()
    }

    fn replace(&self, old: Option<&Anchored>, new: &Anchored) -> Result<(), AnchorError> {
        if self.1.load(Ordering::SeqCst) {
            let (place, reason) = ("here".to_owned(), "it is shut".to_owned());
            return Err(AnchorError::Io { action: "replace", place, reason });
        }
        self.0.replace(old, new)
    }
}

impl Logged {
    /// A log with these entries, whose key is made of `secret`, under each of `names`.
    pub(crate) fn new(secret: u8, names: &[&str], entries: impl Iterator<Item = String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let (watch, shut) = (Watch::new(&path), Arc::new(AtomicBool::new(false)));
        let events = watch.clone();
        let watched = Config::new(&path).listener(move |event: &Event| events.event(event));
        let store = Store::open(watched).unwrap();
        let reader = Arc::new(StoreReader::open(Config::new(&path)).unwrap());
        let key = Ed25519Signer::from_secret(ORIGIN, &[secret; 32]).unwrap();
        let vkey = key.verifier().to_string();
        let open = |name: &&str| {
            let origin =
                if *name == "main" { ORIGIN.to_owned() } else { format!("{ORIGIN}/{name}") };
            let key = Ed25519Signer::from_secret(&origin, &[secret; 32]).unwrap();
            let verifier = AnyVerifier::Ed25519(key.verifier());
            let own = Cosigner::new(&origin, MlDsa44Key::from_seed(&[secret; 32])).unwrap();
            let own_verifier = own.vkey().parse().unwrap();
            let anchor = DirectoryAnchor::new(dir.path().join("anchor"), &origin).unwrap();
            let anchor = Box::new(Shuts(anchor, Arc::clone(&shut)));
            let config = LogConfig::new(name.parse().unwrap(), origin, Arc::new(key), anchor)
                .first_anchor(true)
                .interval(Duration::from_millis(20))
                .public_key(verifier)
                .signer(Arc::new(TimedSigner::new(own)))
                .public_key(own_verifier);
            ((*name).to_owned(), Log::open(&store, Arc::clone(&reader), config).unwrap())
        };
        let logs: Vec<_> = names.iter().map(open).collect();
        let entries: Vec<_> = entries.map(Into::into).collect();
        if !entries.is_empty() {
            let log = &logs[0].1;
            log.submit(entries).unwrap().blocking_recv().unwrap().unwrap();
            log.publish().unwrap();
        }
        let site = Site::watched(logs, &Limits::default(), &watch).unwrap();
        Self { store, site, shut, key: vkey, _dir: dir }
    }

    /// Adds entries to the first log, which are then durable.
    pub(crate) fn add(&self, entries: impl Iterator<Item = String>) {
        let lines: Vec<_> = entries.collect();
        let request =
            Request::post("/add-batch").header(header::CONTENT_TYPE, "application/x-ndjson");
        let request = request.body(Body::from(lines.join("\n"))).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(public(&self.site).oneshot(request)).unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// The root of the first log.
    pub(crate) fn root(&self) -> String {
        const_hex::encode(self.store.existing_tree("main").unwrap().head().unwrap().root)
    }

    /// From now on nothing can be signed.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }
}

/// Changes an answer to a request for this path.
type Lie = Box<dyn Fn(&str, &mut Value) + Send>;

/// Logs behind one address, one of them at a time.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
    shown: Arc<AtomicUsize>,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl Server {
    pub(crate) fn start(logs: &[&Logged]) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let routers: Arc<[Router]> = logs.iter().map(|log| public(&log.site)).collect();
        let (shown, lie) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Lie>)));
        let (which, lies) = (Arc::clone(&shown), Arc::clone(&lie));
        let router = Router::new().fallback(move |mut request: Request| {
            let router = routers[which.load(Ordering::SeqCst)].clone();
            let lies = Arc::clone(&lies);
            async move {
                // A lie is told in words that are not compressed.
                request.headers_mut().remove(header::ACCEPT_ENCODING);
                let path = request.uri().path().to_owned();
                let answer = router.oneshot(request).await.unwrap();
                told(&lies, &path, answer).await
            }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::clone(&logs[0].site);
        let never = std::future::pending();
        let served = serve(Listener::Tcp(listener), router, site, Limits::default(), never);
        runtime.spawn(served);
        Self { runtime: Some(runtime), address, shown, lie }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Shows another one of the logs at this address.
    pub(crate) fn show(&self, which: usize) {
        self.shown.store(which, Ordering::SeqCst);
    }

    pub(crate) fn lie(&self, lie: impl Fn(&str, &mut Value) + Send + 'static) {
        *self.lie.lock().unwrap() = Some(Box::new(lie));
    }

    pub(crate) fn tell_the_truth(&self) {
        *self.lie.lock().unwrap() = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer as the browser gets it. The disk has room, whatever this machine has.
async fn told(lies: &Mutex<Option<Lie>>, path: &str, answer: Response) -> Response {
    // The files of the page and the checkpoint are no JSON.
    if !path.contains("/v1/") {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let body = match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) => {
            if path.ends_with("/v1/state") {
                (value["free_thousandths"], value["disk_low"]) = (420.into(), false.into());
            }
            if let Some(lie) = &*lies.lock().unwrap() {
                lie(path, &mut value);
            }
            value.to_string().into()
        }
        Err(_) => body,
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(body))
}

/// Changes one digit of a hash.
pub(crate) fn change(hash: &mut Value) {
    let text = hash.as_str().unwrap();
    let digit = if text.starts_with('0') { '1' } else { '0' };
    *hash = Value::from(format!("{digit}{}", &text[1..]));
}

pub(crate) fn entries(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("entry {number}"))
}
