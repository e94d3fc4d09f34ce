//! A witness and the logs that it cosigns for, in one process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

mod protocol;
mod restored;
mod state;
mod subtrees;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use duramen::tlog::witness::{AddCheckpoint, monitor_path};
use duramen::tlog::{
    AnyVerifier, Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, MlDsa44Key, NoteSignature,
    NoteSigner, NoteVerifier, SignedNote,
};
use duramen::{
    Arity, Config, ConsistencyProof, FlushPolicy, Hasher, MemoryAccumulator, Rfc6962Sha256, Store,
    TreeHead, TreeSize,
};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{KnownLogs, Witness, WitnessConfig};
use crate::http::{self, Cosigning, Limits};

pub(super) const NAME: &str = "witness.example/w1";

/// A log with its key and its tree.
pub(super) struct Log {
    pub(super) origin: String,
    key: Ed25519Signer,
    tree: MemoryAccumulator<Rfc6962Sha256, 2>,
}

impl Log {
    /// A log of `size` entries, which differ from those of other logs.
    pub(super) fn new(origin: &str, size: u64) -> Self {
        let (key, tree) = (Self::key(origin), MemoryAccumulator::new());
        let mut log = Self { origin: origin.to_owned(), key, tree };
        log.grow(size, origin);
        log
    }

    /// Adds entries. Other `words` make other entries.
    pub(super) fn grow(&mut self, entries: u64, words: &str) {
        for number in 0..entries {
            self.tree.push_data(format!("{words} {number}").as_bytes()).unwrap();
        }
    }

    fn key(origin: &str) -> Ed25519Signer {
        let secret = Rfc6962Sha256.leaf(origin.as_bytes());
        Ed25519Signer::from_secret(origin, &secret).unwrap()
    }

    pub(super) fn vkey(&self) -> String {
        self.key.verifier().to_string()
    }

    pub(super) fn head(&self, size: u64) -> TreeHead {
        self.tree.snapshot().head_at(size).unwrap()
    }

    /// The checkpoint of `head`, signed by `key`.
    pub(super) fn signed(&self, head: TreeHead, key: &dyn NoteSigner) -> SignedNote {
        let id = Rfc6962Sha256.id();
        let checkpoint = Checkpoint::new(&self.origin, id, Arity::Two, head).unwrap();
        SignedNote::sign(&checkpoint.to_string(), key).unwrap()
    }

    pub(super) fn note(&self, size: u64) -> SignedNote {
        self.signed(self.head(size), &self.key)
    }

    /// The right proof between two sizes. None is needed from size 0 and between equal ones.
    pub(super) fn proof(&self, old: u64, new: u64) -> ConsistencyProof {
        if old == 0 || old >= new {
            return ConsistencyProof::from_hashes(Vec::new());
        }
        self.tree.snapshot().prove_consistency_between(old, new).unwrap()
    }

    /// The request to cosign the checkpoint of size `new`.
    pub(super) fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        AddCheckpoint::new(TreeSize(old), self.proof(old, new), self.note(new)).unwrap()
    }
}

pub(super) fn ed25519() -> Cosigner<Ed25519Key> {
    Cosigner::new(NAME, Ed25519Key::from_secret(&[2; 32])).unwrap()
}

pub(super) fn ml_dsa() -> Cosigner<MlDsa44Key> {
    Cosigner::new(NAME, MlDsa44Key::from_seed(&[3; 32])).unwrap()
}

pub(super) fn known(logs: &[&Log]) -> KnownLogs {
    let lines: String = logs.iter().map(|log| format!("vkey {}\n", log.vkey())).collect();
    KnownLogs::read(&format!("logs/v0\n{lines}")).unwrap()
}

/// A clock that shows what is set. At first it shows that 1970 begins.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<std::sync::atomic::AtomicU64>);

impl Hand {
    pub(super) fn set(&self, seconds: u64) {
        self.0.store(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    /// A witness of `log` with this clock.
    pub(super) fn of(&self, log: &Log) -> WitnessConfig {
        let shown = Arc::clone(&self.0);
        let now = move || {
            let seconds = shown.load(std::sync::atomic::Ordering::SeqCst);
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
        };
        WitnessConfig::new(known(&[log]), Arc::new(ed25519())).clock(now)
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) body: String,
}

/// A witness with a store in a directory.
pub(super) struct Place {
    store: Store,
    pub(super) witness: Arc<Witness>,
    cosigning: Arc<Cosigning>,
}

impl Place {
    pub(super) fn open(dir: &Path, logs: &[&Log]) -> Self {
        Self::open_with(dir, WitnessConfig::new(known(logs), Arc::new(ed25519())))
    }

    /// The witness in `dir`, a new one if that is empty.
    pub(super) fn open_with(dir: &Path, config: WitnessConfig) -> Self {
        let store = Store::open(Config::new(dir).flush_policy(FlushPolicy::Manual)).unwrap();
        let config = config.new_store(store.trees().unwrap().is_empty());
        let witness = Witness::open(&store, config).unwrap();
        let cosigning = Cosigning::new(Arc::clone(&witness), Limits::default());
        Self { store, witness, cosigning }
    }

    pub(super) fn close(self) {
        self.store.close().unwrap();
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        let answer = http::witness(&self.cosigning).oneshot(request).await.unwrap();
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap());
        let (status, kind) = (answer.status().as_u16(), kind.unwrap_or_default().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Answer { status, kind, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(super) async fn add(&self, request: &AddCheckpoint) -> Answer {
        self.send("POST", "/add-checkpoint", request.to_string()).await
    }

    /// Asks for a cosignature, which must come and be right.
    pub(super) async fn cosigned(&self, log: &Log, old: u64, new: u64) -> Vec<NoteSignature> {
        let answer = self.add(&log.request(old, new)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        verified(&self.witness.vkeys(), log, new, &answer.body)
    }

    /// The status of the answer to a right request.
    pub(super) async fn status(&self, log: &Log, old: u64, new: u64) -> u16 {
        self.add(&log.request(old, new)).await.status
    }

    pub(super) async fn shown(&self, log: &Log) -> Answer {
        self.send("GET", &format!("/{}", monitor_path(&log.origin)), "").await
    }
}

/// The signatures in a body, one by each of the keys, and each right for the checkpoint.
pub(super) fn verified(vkeys: &[String], log: &Log, size: u64, body: &str) -> Vec<NoteSignature> {
    let text = format!("{}\n{body}", log.note(size).unverified_text());
    let note: SignedNote = text.parse().unwrap();
    assert_eq!(note.signatures().len(), vkeys.len(), "{body}");
    for vkey in vkeys {
        let key: AnyVerifier = vkey.parse().unwrap();
        assert!(note.signature_by(&key).unwrap().is_some(), "{body}");
    }
    note.signatures().to_vec()
}

/// Runs what a test does on a runtime with two threads.
pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test)
}

/// The time in a cosignature.
pub(super) fn time_of(cosigned: &NoteSignature) -> u64 {
    let key: AnyVerifier = ed25519().vkey().parse().unwrap();
    key.timestamp(cosigned.bytes()).unwrap()
}
