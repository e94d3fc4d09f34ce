//! The latest checkpoint of each log, and how it is replaced.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use duramen::tlog::witness::{
    AddCheckpoint, KnownLog, Refusal, SignSubtree, decide, decide_subtree, monitor_path,
};
use duramen::tlog::{AnyVerifier, NoteSignature, NoteVerifier, PublicKey, SignedNote};
use duramen::{DurabilityToken, Store, TreeHead};
use tokio::sync::{Mutex, RwLock};

use super::anchored::Recorded;
use super::error::{Declined, WitnessError};
use super::history::{self, Generation, NotEnded};
use super::logs::KnownLogs;
use super::signer::WitnessSigner;
use crate::anchor::Anchor;
use crate::clock::{Clock, NoTime, time_after};

/// What a witness is made of.
#[derive(Clone, Debug)]
pub struct WitnessConfig {
    logs: KnownLogs,
    keys: Vec<Arc<dyn WitnessSigner>>,
    history: u64,
    anchor: Option<Arc<dyn Anchor>>,
    first_anchor: bool,
    new_store: bool,
    clock: Clock,
}

impl WitnessConfig {
    /// The witness of `logs` that cosigns with `key`.
    #[must_use]
    pub fn new(logs: KnownLogs, key: Arc<dyn WitnessSigner>) -> Self {
        Self {
            logs,
            keys: vec![key],
            history: 100_000,
            anchor: None,
            first_anchor: false,
            new_store: false,
            clock: Clock::system(),
        }
    }

    /// Cosigns with one more key.
    #[must_use]
    pub fn key(mut self, key: Arc<dyn WitnessSigner>) -> Self {
        self.keys.push(key);
        self
    }

    /// Keeps in `anchor`, which is outside the store, how much was cosigned. A store that is older than that, because it
    /// was restored from a backup, is then refused, and of two copies that run the second is stopped. Each answer waits
    /// for the anchor.
    #[must_use]
    pub fn anchor(self, anchor: Arc<dyn Anchor>) -> Self {
        Self { anchor: Some(anchor), ..self }
    }

    /// Says that a store with records has no anchor yet, and is known to have all of them. Without it a missing anchor
    /// is an error for such a store, and with it an existing one.
    #[must_use]
    pub fn first_anchor(self, first: bool) -> Self {
        Self { first_anchor: first, ..self }
    }

    /// Says that the store is new: the witness has never cosigned anything. Without it a store without records of a witness
    /// is an error, and with it one that has a place for them. A witness whose store was lost does not know what it
    /// cosigned, and would cosign another history.
    #[must_use]
    pub fn new_store(self, new: bool) -> Self {
        Self { new_store: new, ..self }
    }

    /// Takes the time of cosignatures from this clock, instead of that of the system. One that goes back by at most an hour
    /// has the last time of the log used again; one that goes back by more was wrong before, and is followed.
    #[must_use]
    pub fn clock(self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self { clock: Clock::new(now), ..self }
    }

    /// How many records of the past are kept at least, beside the last one of each log (default: 100,000). They are
    /// dropped together once there are so many.
    #[must_use]
    pub fn history(self, records: u64) -> Self {
        Self { history: records, ..self }
    }
}

/// A witness: what it cosigned last of each log, in a store. See the module for what it promises.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use std::sync::Arc;
/// use duramen::tlog::witness::AddCheckpoint;
/// use duramen::tlog::{Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, SignedNote};
/// use duramen::{Arity, Config, ConsistencyProof, Hasher, Rfc6962Sha256, Store, TreeHead, TreeSize};
/// use duramen_log::{KnownLogs, Witness, WitnessConfig};
///
/// let log = Ed25519Signer::from_secret("example.com/log", &[1; 32])?;
/// let logs = KnownLogs::read(&format!("logs/v0\nvkey {}\n", log.verifier()))?;
/// let key = Cosigner::new("witness.example/w1", Ed25519Key::from_secret(&[2; 32]))?;
/// let store = Store::open(Config::new(dir.path().join("witness")))?;
/// let config = WitnessConfig::new(logs, Arc::new(key)).new_store(true);
/// let witness = Witness::open(&store, config)?;
///
/// let head = TreeHead { size: TreeSize(0), root: Rfc6962Sha256.empty_root() };
/// let checkpoint = Checkpoint::new("example.com/log", Rfc6962Sha256.id(), Arity::Two, head)?;
/// let note = SignedNote::sign(&checkpoint.to_string(), &log)?;
/// let request = AddCheckpoint::new(TreeSize(0), ConsistencyProof::from_hashes(vec![]), note)?;
/// let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
/// let cosigned = runtime.block_on(witness.add_checkpoint(request))?;
/// assert_eq!(cosigned[0].name(), "witness.example/w1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Witness {
    keys: Vec<Arc<dyn WitnessSigner>>,
    by_origin: HashMap<String, Arc<OneLog>>,
    /// By the path below the monitoring prefix.
    by_path: HashMap<String, Arc<OneLog>>,
    generation: ArcSwap<Generation>,
    recorded: Option<Recorded>,
    /// Held to read while a record is written, and to write while the generation ends.
    writing: RwLock<()>,
    history: u64,
    clock: Clock,
    /// How many records the generation has when it is to end.
    ends_at: AtomicU64,
    /// The error after which nothing is cosigned any more.
    stopped: OnceLock<String>,
}

/// One log.
#[derive(Debug)]
struct OneLog {
    origin: String,
    /// The keys that are trusted for it. None if it is not listed any more.
    keys: Vec<AnyVerifier>,
    /// Held by the request that is being decided, until it is answered.
    turn: Mutex<()>,
    /// Changed only by the request that has the turn, and when a generation ends.
    latest: ArcSwapOption<Latest>,
}

/// The checkpoint of a log that was cosigned last. Durable.
#[derive(Clone, Debug)]
struct Latest {
    head: TreeHead,
    /// The time of the last cosignature of the log.
    time: u64,
    /// Where the record is.
    generation: Arc<Generation>,
    index: u64,
}

/// What is answered to a request, once the record is durable.
struct Cosigned {
    signatures: Vec<NoteSignature>,
    time: u64,
    /// What becomes the latest checkpoint. `None` if that is this one already.
    record: Option<Record>,
}

/// What is written of a checkpoint.
struct Record {
    text: String,
    head: TreeHead,
}

impl Witness {
    /// Opens the witness in `store`, which is new or was one of a witness before.
    ///
    /// # Errors
    ///
    /// [`WitnessError::NewStore`] if the store has no records of a witness and is not said to be new,
    /// [`WitnessError::NotNew`] if it has a place for them and is said to be new; [`WitnessError::NotAWitness`] if the store
    /// has other trees, [`WitnessError::Record`] if a record is not what a
    /// witness writes, [`WitnessError::NoKey`], [`WitnessError::SameKey`], [`WitnessError::Store`]; with an anchor
    /// [`RolledBack`](WitnessError::RolledBack), [`Forked`](WitnessError::Forked),
    /// [`NoAnchor`](WitnessError::NoAnchor), [`AnchorExists`](WitnessError::AnchorExists),
    /// [`OtherAnchor`](WitnessError::OtherAnchor) and [`Anchor`](WitnessError::Anchor) if the store must not cosign.
    /// Nothing of the store is changed then.
    pub fn open(store: &Store, config: WitnessConfig) -> Result<Arc<Self>, WitnessError> {
        let WitnessConfig { logs, keys, history, anchor, first_anchor, new_store, clock } = config;
        let name = keys.first().ok_or(WitnessError::NoKey)?.key_name().to_owned();
        must_differ(&keys)?;
        let generation = Arc::new(history::open(store, &name, new_store)?);
        let open = |anchor| Recorded::open(anchor, &name, &generation, first_anchor);
        let recorded = anchor.map(open).transpose()?;
        history::drop_others(&generation)?;
        let mut last = HashMap::new();
        history::read_all(&generation, &keys, |index, record| {
            let generation = Arc::clone(&generation);
            let latest = Latest { head: record.head, time: record.time, generation, index };
            last.insert(record.origin, latest);
        })?;
        let mut listed = logs.into_map();
        for origin in last.keys() {
            listed.entry(origin.clone()).or_default();
        }
        let one = |(origin, keys): (String, Vec<AnyVerifier>)| {
            let latest = ArcSwapOption::from(last.remove(&origin).map(Arc::new));
            Arc::new(OneLog { origin, keys, turn: Mutex::new(()), latest })
        };
        let logs: Vec<_> = listed.into_iter().map(one).collect();
        let by = |name: fn(&str) -> String| {
            logs.iter().map(|log| (name(&log.origin), Arc::clone(log))).collect::<HashMap<_, _>>()
        };
        let witness = Self {
            keys,
            by_origin: by(str::to_owned),
            by_path: by(monitor_path),
            generation: ArcSwap::from(generation),
            recorded,
            writing: RwLock::new(()),
            history,
            clock,
            ends_at: AtomicU64::new(0),
            stopped: OnceLock::new(),
        };
        witness.set_end();
        Ok(Arc::new(witness))
    }

    /// Cosigns a checkpoint, if it extends the one of its log that was cosigned last. When this returns, the checkpoint
    /// is durable as the last one. Dropping the future does not undo what has begun.
    ///
    /// Must be called on a runtime of `tokio`.
    ///
    /// # Errors
    ///
    /// [`Declined::Refused`] if the checkpoint is not to be cosigned; nothing is stored then. [`Declined::Failed`] if the
    /// store or a key failed.
    pub async fn add_checkpoint(
        self: &Arc<Self>,
        request: AddCheckpoint,
    ) -> Result<Vec<NoteSignature>, Declined> {
        let log = self.by_origin.get(request.claimed_origin()).filter(|log| !log.keys.is_empty());
        let Some(log) = log.cloned() else {
            let origin = request.claimed_origin().to_owned();
            return Err(Refusal::UnknownOrigin { origin }.into());
        };
        let witness = Arc::clone(self);
        // A task of its own: the future of a request is dropped with its connection.
        let work = tokio::spawn(async move { witness.cosign(&log, &request).await });
        work.await.map_err(|_| WitnessError::GivenUp)?
    }

    async fn cosign(
        self: &Arc<Self>,
        log: &OneLog,
        request: &AddCheckpoint,
    ) -> Result<Vec<NoteSignature>, Declined> {
        let _turn = log.turn.lock().await;
        if let Some(reason) = self.stopped.get() {
            return Err(WitnessError::Stopped { reason: reason.clone() }.into());
        }
        let Cosigned { signatures, time, record } = self.decided(log, request)?;
        let Some(Record { text, head }) = record else {
            // The next cosignature is not earlier.
            if let Some(latest) = log.latest.load_full() {
                log.latest.store(Some(Arc::new(Latest { time, ..Latest::clone(&latest) })));
            }
            return Ok(signatures);
        };

        let writing = self.writing.read().await;
        let generation = self.generation.load_full();
        // Looked at again: the generation may have failed to end meanwhile.
        if let Some(reason) = self.stopped.get() {
            return Err(WitnessError::Stopped { reason: reason.clone() }.into());
        }
        let inserted = generation.tree.try_insert_entry(&text).map_err(WitnessError::from)?;
        if let Err(error) = self.is_durable(generation.tree.flush_async(), inserted.token).await {
            return Err(self.stop(error).into());
        }
        let (index, is_full) = (inserted.index.get(), self.is_full(&generation));
        if let Some(recorded) = &self.recorded
            && let Err(error) = recorded.hold(&generation, index).await
        {
            return Err(self.stop(error).into());
        }
        log.latest.store(Some(Arc::new(Latest { head, time, generation, index })));
        drop(writing);
        if is_full {
            tokio::spawn(Arc::clone(self).end_generation());
        }
        Ok(signatures)
    }

    /// Cosigns a subtree of a checkpoint that this witness has cosigned, with each key that can. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`Declined::Refused`] if the subtree is not to be cosigned, [`Declined::Failed`] if a key failed.
    pub fn sign_subtree(&self, request: &SignSubtree) -> Result<Vec<NoteSignature>, Declined> {
        let origin = request.claimed_origin();
        let is_known = self.by_origin.get(origin).is_some_and(|log| !log.keys.is_empty());
        let own = self.keys.iter().map(|key| key.vkey().parse::<AnyVerifier>());
        let own = own.collect::<Result<Vec<_>, _>>().map_err(WitnessError::from)?;
        let own: Vec<&dyn NoteVerifier> = own.iter().map(|key| key as _).collect();
        decide_subtree(request, is_known, &own)?;
        let signers = self.keys.iter().filter(|key| key.signs_subtrees());
        let (subtree, root) = (request.subtree(), request.claimed_root());
        let signed = signers.map(|key| key.sign_subtree(origin, subtree, root));
        Ok(signed.collect::<Result<_, _>>().map_err(WitnessError::from)?)
    }

    /// Whether a key of the witness signs subtrees.
    #[must_use]
    pub fn signs_subtrees(&self) -> bool {
        self.keys.iter().any(|key| key.signs_subtrees())
    }

    /// Decides a request by what was cosigned last, and signs. Changes nothing.
    fn decided(&self, log: &OneLog, request: &AddCheckpoint) -> Result<Cosigned, Declined> {
        let latest = log.latest.load_full();
        let keys: Vec<&dyn NoteVerifier> = log.keys.iter().map(|key| key as _).collect();
        let known = KnownLog { origin: &log.origin, keys: &keys };
        let head = decide(request, Some(known), latest.as_ref().map(|latest| &latest.head))?.head;
        let last = latest.as_ref().map_or(0, |latest| latest.time);
        let time = time_after(self.clock.seconds(), last);
        let time = time.map_err(|NoTime| WitnessError::Clock)?;
        let cosign = |key: &Arc<dyn WitnessSigner>| key.cosign(request.note(), time);
        let signatures: Result<Vec<_>, _> = self.keys.iter().map(cosign).collect();
        let signatures = signatures.map_err(WitnessError::from)?;
        // A time that was wrong is replaced, so that it does not come back after a restart.
        if time >= last && latest.is_some_and(|latest| latest.head == head) {
            return Ok(Cosigned { signatures, time, record: None });
        }
        let text = record_of(request.note(), &keys, &signatures);
        Ok(Cosigned { signatures, time, record: Some(Record { text, head }) })
    }

    async fn is_durable(
        &self,
        requested: duramen::Result<DurabilityToken>,
        token: DurabilityToken,
    ) -> Result<(), WitnessError> {
        drop(requested?);
        Ok(token.await?)
    }

    /// Cosigns nothing from now on: whether the last record is durable is not known.
    fn stop(&self, error: WitnessError) -> WitnessError {
        tracing::error!(%error, "nothing is cosigned any more");
        let _ = self.stopped.set(error.to_string());
        error
    }

    /// Drops old records, if there are enough of them.
    async fn end_generation(self: Arc<Self>) {
        // From here on no record is under way.
        let _writing = self.writing.write().await;
        let old = self.generation.load_full();
        if !self.is_full(&old) || self.stopped.get().is_some() {
            return;
        }
        let logs = self.by_origin.values().filter(|log| log.latest.load().is_some());
        let logs: Vec<_> = logs.cloned().collect();
        let ended = Arc::clone(&old);
        let work = tokio::task::spawn_blocking(move || {
            let last = logs.iter().filter_map(|log| log.latest.load_full());
            let indexes: Vec<_> = last.map(|latest| latest.index).collect();
            history::next(&ended, &indexes).map(|new| (logs, new))
        });
        let ended = match work.await {
            Ok(ended) => ended,
            Err(_) => Err(NotEnded { error: WitnessError::GivenUp, is_unchanged: false }),
        };
        match ended {
            Ok((logs, new)) => {
                let new = Arc::new(new);
                if let Some(recorded) = &self.recorded
                    && let Err(error) = recorded.hold(&new, 0).await
                {
                    drop(self.stop(error));
                    return;
                }
                for (index, log) in (0..).zip(logs) {
                    let moved = |latest: Arc<Latest>| Latest {
                        generation: Arc::clone(&new),
                        index,
                        ..Latest::clone(&latest)
                    };
                    log.latest.store(log.latest.load_full().map(moved).map(Arc::new));
                }
                self.generation.store(new);
                self.set_end();
                history::drop_old(&old);
            }
            Err(NotEnded { error, is_unchanged: true }) => {
                tracing::warn!(%error, "old records are kept for now");
                self.ends_at.fetch_add(self.history.max(1), Ordering::Relaxed);
            }
            Err(NotEnded { error, is_unchanged: false }) => drop(self.stop(error)),
        }
    }

    fn is_full(&self, generation: &Generation) -> bool {
        generation.tree.size().get() >= self.ends_at.load(Ordering::Relaxed)
    }

    /// Sets when the generation ends: it then has a multiple of the records that go on, or `history` more.
    fn set_end(&self) {
        let logs = self.by_origin.len() as u64;
        let most = logs.saturating_add(self.history.max(logs).max(1));
        self.ends_at.store(most, Ordering::Relaxed);
    }

    /// The cosigned checkpoint of the log with this path below the monitoring prefix, a hash of its origin and
    /// `/checkpoint`. `None` if no checkpoint of such a log was cosigned.
    ///
    /// # Errors
    ///
    /// [`WitnessError::Store`] if it cannot be read.
    pub fn checkpoint(&self, path: &str) -> Result<Option<String>, WitnessError> {
        let Some(log) = self.by_path.get(path) else { return Ok(None) };
        // While it is read its generation may end and be dropped. Then it is read again, from the next one.
        let mut last = Ok(None);
        for _ in 0..2 {
            let Some(latest) = log.latest.load_full() else { return Ok(None) };
            match latest.generation.tree.entry(latest.index) {
                Ok(record) => return Ok(Some(String::from_utf8_lossy(&record).into_owned())),
                Err(error) => last = Err(error.into()),
            }
        }
        last
    }

    /// Why nothing is cosigned any more. `None` while all is well.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.get().map(String::as_str)
    }

    /// The public texts of the keys.
    #[must_use]
    pub fn vkeys(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.vkey()).collect()
    }

    /// How many logs are listed, and of how many logs a checkpoint was cosigned.
    #[must_use]
    pub fn logs(&self) -> (u64, u64) {
        let count =
            |is: fn(&OneLog) -> bool| self.by_origin.values().filter(|log| is(log)).count() as u64;
        (count(|log| !log.keys.is_empty()), count(|log| log.latest.load().is_some()))
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Store {
        self.generation.load().tree.store()
    }

    /// How many records the store has.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.generation.load().tree.size().get()
    }
}

/// Refuses names that share a key of Ed25519: its cosignatures do not say which of them signed.
fn must_differ(keys: &[Arc<dyn WitnessSigner>]) -> Result<(), WitnessError> {
    let mut seen: Vec<(PublicKey, &str)> = Vec::new();
    for key in keys {
        let public = key.vkey().parse::<AnyVerifier>()?.public_key();
        if !matches!(public, PublicKey::Ed25519(_)) {
            continue;
        }
        if let Some((_, one)) = seen.iter().find(|(known, _)| *known == public) {
            let (one, other) = ((*one).to_owned(), key.key_name().to_owned());
            return Err(WitnessError::SameKey { one, other });
        }
        seen.push((public, key.key_name()));
    }
    Ok(())
}

/// The text that is kept of a checkpoint: with the signatures of its log that were verified, and the cosignatures.
fn record_of(note: &SignedNote, keys: &[&dyn NoteVerifier], cosigned: &[NoteSignature]) -> String {
    let mut text = format!("{}\n", note.unverified_text());
    // Those by known keys were all verified.
    let known = |signature: &&NoteSignature| {
        let mut keys = keys.iter();
        keys.any(|key| key.id() == signature.id() && key.name() == signature.name())
    };
    for signature in note.signatures().iter().filter(known).chain(cosigned) {
        text.push_str(&format!("{signature}\n"));
    }
    text
}
