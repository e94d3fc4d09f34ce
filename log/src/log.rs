//! One log: a tree, its gate, its signers, and the checkpoint that stands.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use duramen::tlog::{Checkpoint, NoteSigner, SignedNote};
use duramen::{
    Arity, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Snapshot, Store, StoreReader,
    TreeConfig, TreeHead, TreeName,
};
use tokio::sync::{oneshot, watch};

use crate::anchor::Anchor;
use crate::error::LogError;
use crate::gate::Gate;
use crate::intake::{Answer, Intake, Refused};
use crate::publisher::Publisher;

/// A key that signs the checkpoints of a log, from any thread.
pub type LogSigner = Arc<dyn NoteSigner + Send + Sync>;

/// What a log is made of.
pub struct LogConfig {
    pub(crate) tree: TreeName,
    pub(crate) origin: String,
    pub(crate) signers: Vec<LogSigner>,
    pub(crate) anchor: Box<dyn Anchor>,
    first_anchor: bool,
    unique: bool,
    entries: Option<EntryConfig>,
    interval: Duration,
    most_waiting: usize,
    minimum_index: u64,
}

impl LogConfig {
    /// The log in the tree `tree`, with the name `origin`. `signer` is the log's own key; `anchor` keeps the last head
    /// that could be signed, and is outside the store.
    #[must_use]
    pub fn new(
        tree: TreeName,
        origin: impl Into<String>,
        signer: LogSigner,
        anchor: Box<dyn Anchor>,
    ) -> Self {
        Self {
            tree,
            origin: origin.into(),
            signers: vec![signer],
            anchor,
            first_anchor: false,
            unique: true,
            entries: None,
            interval: Duration::from_secs(1),
            most_waiting: 64 << 20,
            minimum_index: 0,
        }
    }

    /// Signs with one more key.
    #[must_use]
    pub fn signer(mut self, signer: LogSigner) -> Self {
        self.signers.push(signer);
        self
    }

    /// Says that no head of this tree was ever signed, so that an anchor may be missing although the tree has leaves.
    #[must_use]
    pub fn first_anchor(self, first: bool) -> Self {
        Self { first_anchor: first, ..self }
    }

    /// Whether an entry that the log has is answered with its index instead of being inserted again (default: yes).
    #[must_use]
    pub fn unique(self, unique: bool) -> Self {
        Self { unique, ..self }
    }

    /// How a new tree keeps its entries. An existing tree keeps what it has.
    #[must_use]
    pub fn entries(self, entries: EntryConfig) -> Self {
        Self { entries: Some(entries), ..self }
    }

    /// The shortest time between two checkpoints (default: one second).
    #[must_use]
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// How many bytes of entries may wait to be inserted (default: 64 MiB).
    #[must_use]
    pub fn most_waiting(self, bytes: usize) -> Self {
        Self { most_waiting: bytes, ..self }
    }

    /// The smallest index that the log publishes (default: 0). Full tiles and bundles that end at or below it are not
    /// served any more. They stay in the store.
    #[must_use]
    pub fn minimum_index(self, index: u64) -> Self {
        Self { minimum_index: index, ..self }
    }
}

impl fmt::Debug for LogConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.signers.iter().map(|signer| signer.name()).collect();
        f.debug_struct("LogConfig")
            .field("tree", &self.tree)
            .field("origin", &self.origin)
            .field("signers", &names)
            .field("anchor", &self.anchor)
            .finish_non_exhaustive()
    }
}

/// A checkpoint that was verified, anchored and signed.
#[derive(Debug)]
pub struct Published {
    head: TreeHead,
    signed: SignedNote,
    note: Bytes,
    snapshot: Snapshot,
    at: Instant,
    time: SystemTime,
}

impl Published {
    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.head
    }

    /// The signed checkpoint, as text.
    #[must_use]
    pub fn note(&self) -> &Bytes {
        &self.note
    }

    /// The signed checkpoint.
    #[must_use]
    pub fn signed(&self) -> &SignedNote {
        &self.signed
    }

    /// The tree, at least as large as the checkpoint. Make proofs for the size of [`head`](Self::head).
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How long ago the log signed it.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// When the log signed it, by the clock of the system.
    #[must_use]
    pub fn time(&self) -> SystemTime {
        self.time
    }
}

/// What the threads of a log share.
pub(crate) struct Core {
    pub(crate) origin: String,
    pub(crate) tree: Arc<DynAccumulator>,
    reader: Arc<StoreReader>,
    signers: Vec<LogSigner>,
    gate: Mutex<Gate>,
    published: ArcSwapOption<Published>,
    /// The size of the last checkpoint, for those who wait for one.
    size: watch::Sender<u64>,
    /// The last error of publishing.
    failure: Mutex<Option<LogError>>,
}

/// A log that takes entries and publishes checkpoints.
///
/// An entry that was answered is durable. It is in the next checkpoint, which is signed after its entries were read back
/// from the disk and hashed by other code. See [`Anchor`] for what keeps a log from signing two histories.
pub struct Log {
    core: Arc<Core>,
    intake: Intake,
    publisher: Publisher,
    longest: usize,
    minimum_index: u64,
}

impl Log {
    /// Opens the log of `config` in `store`, and creates its tree if it is missing. `reader` reads the same store.
    /// Publishes the first checkpoint before it returns.
    ///
    /// # Errors
    ///
    /// [`LogError::NotALog`] if the tree exists and is not of SHA-256, arity 2, with entries of up to 65,535 bytes;
    /// [`LogError::NoAnchor`], [`LogError::RolledBack`], [`LogError::Forked`] and [`LogError::Mismatch`] if the store
    /// must not be signed.
    pub fn open(
        store: &Store,
        reader: Arc<StoreReader>,
        config: LogConfig,
    ) -> Result<Self, LogError> {
        let entries = config.entries.unwrap_or_default();
        let existing = match store.existing_tree(&config.tree) {
            Ok(tree) => Some(tree),
            Err(duramen::Error::NoTree { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let entries = existing.as_ref().and_then(DynAccumulator::entry_config).unwrap_or(entries);
        if let Some(tree) = &existing {
            check_tree(tree)?;
        }
        let wanted = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two).entries(entries);
        let wanted = if config.unique { wanted.indexed() } else { wanted };
        let tree = store.tree_dyn(&config.tree, wanted)?;
        check_tree(&tree)?;
        tree.flush()?;
        reader.refresh()?;

        let snapshot = tree.snapshot();
        let (origin, first) = (config.origin, config.first_anchor);
        let id = reader.store_id();
        let gate = Gate::open(config.anchor, &origin, &id, &snapshot, first)?;
        let core = Arc::new(Core {
            origin,
            tree: Arc::new(tree),
            reader,
            signers: config.signers,
            gate: Mutex::new(gate),
            published: ArcSwapOption::empty(),
            size: watch::Sender::new(0),
            failure: Mutex::new(None),
        });
        core.publish()?;
        let publisher = Publisher::start(Arc::clone(&core), config.interval);
        let publisher = publisher.map_err(|error| no_thread(&core, &error))?;
        let wake = publisher.waker();
        let intake =
            Intake::start(Arc::clone(&core.tree), config.most_waiting, move || wake.wake());
        let intake = intake.map_err(|error| no_thread(&core, &error))?;
        let longest = usize::try_from(entries.longest_bytes()).unwrap_or(usize::MAX);
        Ok(Self { core, intake, publisher, longest, minimum_index: config.minimum_index })
    }

    /// The name of the log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.core.origin
    }

    /// The tree.
    #[must_use]
    pub fn tree(&self) -> &DynAccumulator {
        &self.core.tree
    }

    /// The longest entry that the log takes, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The smallest index that the log publishes.
    #[must_use]
    pub fn minimum_index(&self) -> u64 {
        self.minimum_index
    }

    /// Submits entries, which are inserted together and in order. The answer comes once they are durable.
    ///
    /// # Errors
    ///
    /// [`Refused`] if too much waits already, or if the log is being closed. Nothing of the entries is then inserted.
    pub fn submit(&self, entries: Vec<Bytes>) -> Result<oneshot::Receiver<Answer>, Refused> {
        self.intake.submit(entries)
    }

    /// How many entries wait to be inserted, and their bytes.
    #[must_use]
    pub fn backlog(&self) -> (usize, usize) {
        self.intake.backlog()
    }

    /// The checkpoint that stands.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.core.published.load_full()
    }

    /// The size of the checkpoint that stands, for those who wait for it to change.
    #[must_use]
    pub fn sizes(&self) -> watch::Receiver<u64> {
        self.core.size.subscribe()
    }

    /// Why the last attempt to publish failed. `None` if it succeeded.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        self.core.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Publishes a checkpoint of all that is durable now.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`LogError::Signer`] if a key cannot sign.
    pub fn publish(&self) -> Result<(), LogError> {
        self.core.publish()
    }

    /// Takes no more entries, answers those that were taken, and publishes a last checkpoint.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn close(&self) -> Result<(), LogError> {
        self.intake.close();
        self.publisher.close();
        self.core.publish()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("origin", &self.core.origin).finish_non_exhaustive()
    }
}

impl Core {
    /// Publishes a checkpoint of all that is durable, if that is more than the last one.
    pub(crate) fn publish(&self) -> Result<(), LogError> {
        let published = self.try_publish();
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone_from(&published.as_ref().err().cloned());
        published
    }

    fn try_publish(&self) -> Result<(), LogError> {
        // Held to the end, so that checkpoints are published in the order of their sizes.
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = self.tree.snapshot();
        let claimed = snapshot.durable_head()?;
        let last = self.published.load();
        if last.as_ref().is_some_and(|last| last.head == claimed) {
            return Ok(());
        }
        let passed = gate.pass(claimed, &self.reader, self.tree.name().as_str())?;
        let (hasher, arity) = (self.tree.hasher().id(), self.tree.arity());
        let checkpoint = Checkpoint::new(&self.origin, hasher, arity, passed.head())?;
        let signed = self.sign(&checkpoint)?;
        let note = signed.to_string().into();
        let (at, time) = (Instant::now(), SystemTime::now());
        let published = Published { head: passed.head(), signed, note, snapshot, at, time };
        self.published.store(Some(Arc::new(published)));
        self.size.send_replace(passed.head().size.get());
        Ok(())
    }

    fn sign(&self, checkpoint: &Checkpoint) -> Result<SignedNote, LogError> {
        let mut signers = self.signers.iter();
        let none =
            || LogError::Signer { name: self.origin.clone(), reason: "there is no key".into() };
        let first = signers.next().ok_or_else(none)?;
        let mut note = SignedNote::sign(&checkpoint.to_string(), &**first)?;
        for signer in signers {
            note.add_signature(&**signer)?;
        }
        Ok(note)
    }

    /// Whether more is durable than was published.
    pub(crate) fn is_behind(&self) -> bool {
        let published = self.published.load();
        let size = published.as_ref().map_or(0, |published| published.head.size.get());
        published.is_none() || self.tree.durable_size().get() > size
    }
}

fn check_tree(tree: &DynAccumulator) -> Result<(), LogError> {
    let refuse = |reason: String| Err(LogError::NotALog { tree: tree.name().clone(), reason });
    if tree.arity() != Arity::Two || tree.hasher().id() != Rfc6962Sha256.id() {
        let found = (tree.hasher().id(), tree.arity());
        return refuse(format!(
            "it is of {} with arity {}, not of SHA-256 with arity 2",
            found.0, found.1
        ));
    }
    match tree.entry_config() {
        None => refuse("it keeps no entries".to_owned()),
        Some(entries) if entries.longest_bytes() > u32::from(u16::MAX) => refuse(format!(
            "its entries may have {} bytes, and those of a log have at most 65535",
            entries.longest_bytes()
        )),
        Some(_) => Ok(()),
    }
}

fn no_thread(core: &Core, error: &std::io::Error) -> LogError {
    let reason = format!("no thread can be started: {error}");
    LogError::ReadOnly { origin: core.origin.clone(), reason }
}

/// Refuses an anchor that lies within the store: a copy of the store would have a copy of it.
///
/// # Errors
///
/// [`LogError::AnchorInStore`].
pub fn anchor_must_be_outside(anchor: &Path, store: &Path) -> Result<(), LogError> {
    let full = |path: &Path| -> PathBuf {
        // What does not exist yet has no links to follow.
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.into())
    };
    let (anchor, store) = (full(anchor), full(store));
    if !anchor.starts_with(&store) {
        return Ok(());
    }
    let text = |path: PathBuf| path.display().to_string();
    Err(LogError::AnchorInStore { anchor: text(anchor), store: text(store) })
}
