//! One log: a tree, its gate, its signers, and the checkpoint that stands.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use duramen::tlog::{Checkpoint, NoteSigner, SignedNote};
use duramen::{
    Arity, DynAccumulator, EntryConfig, Hasher, Rfc6962Sha256, Snapshot, Store, StoreReader,
    TreeConfig, TreeHead, TreeName, TreeSize,
};
use tokio::sync::{oneshot, watch};

use crate::anchor::{Anchor, AnchorError};
use crate::error::LogError;
use crate::gate::{self, Asked, Expected, Gate};
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
    asked: Asked,
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
            asked: Asked::default(),
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

    /// Says that the log's key never signed a head, so that there is no anchor yet. Without it a missing anchor is an
    /// error, and with it an existing one.
    #[must_use]
    pub fn first_anchor(mut self, first: bool) -> Self {
        self.asked.first = first;
        self
    }

    /// Says that the log has moved to this store, so that the anchor names another one. The tree must have the anchor's
    /// head all the same. The old store can then not be opened as this log any more.
    #[must_use]
    pub fn adopt_store(mut self, adopt: bool) -> Self {
        self.asked.adopt = adopt;
        self
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

    /// The smallest index that the log publishes (default: 0), at most the size of the log. Full tiles and bundles that end
    /// at or below it are not served any more. They stay in the store.
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
    /// The error after which nothing is ever signed again.
    stopped: OnceLock<LogError>,
    /// Since when more is durable than was published.
    behind: Mutex<Option<Instant>>,
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
    interval: Duration,
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
        // The anchor is looked at before anything is written.
        let (origin, id) = (config.origin, reader.store_id());
        let size = existing.as_ref().map_or(TreeSize(0), DynAccumulator::durable_size);
        let expected = Expected { origin: &origin, store: &id, size, asked: config.asked };
        gate::load(&*config.anchor, &expected)?;
        let wanted = TreeConfig::new(Arc::new(Rfc6962Sha256), Arity::Two).entries(entries);
        let wanted = if config.unique { wanted.indexed() } else { wanted };
        let tree = store.tree_dyn(&config.tree, wanted)?;
        check_tree(&tree)?;
        tree.flush()?;
        reader.refresh()?;

        let snapshot = tree.snapshot();
        let expected = Expected { size: snapshot.durable_size(), ..expected };
        let gate = Gate::open(config.anchor, &expected, &snapshot)?;
        let core = Arc::new(Core {
            origin,
            tree: Arc::new(tree),
            reader,
            signers: config.signers,
            gate: Mutex::new(gate),
            published: ArcSwapOption::empty(),
            size: watch::Sender::new(0),
            failure: Mutex::new(None),
            stopped: OnceLock::new(),
            behind: Mutex::new(None),
        });
        core.publish()?;
        let size = core.published.load().as_ref().map_or(0, |last| last.head.size.get());
        if config.minimum_index > size {
            let least = config.minimum_index;
            let reason = format!("it has {size} leaves, and is to publish none below {least}");
            return Err(LogError::NotALog { tree: core.tree.name().clone(), reason });
        }
        let behind = Arc::clone(&core);
        let publish = move || if behind.is_behind() { behind.publish() } else { Ok(()) };
        let publisher = Publisher::start(core.origin.clone(), config.interval, publish);
        let publisher = publisher.map_err(|error| no_thread(&core, &error))?;
        let longest = usize::try_from(entries.longest_bytes()).unwrap_or(usize::MAX);
        let (wake, grown) = (publisher.waker(), Arc::clone(&core));
        let durable = move || {
            grown.is_now_behind();
            wake.wake();
        };
        let limits = (config.most_waiting, longest);
        let intake = Intake::start(Arc::clone(&core.tree), config.unique, limits, durable);
        let intake = intake.map_err(|error| no_thread(&core, &error))?;
        let (minimum_index, interval) = (config.minimum_index, config.interval);
        Ok(Self { core, intake, publisher, longest, minimum_index, interval })
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

    /// The shortest time between two checkpoints.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
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
        match self.core.stopped.get() {
            Some(error) => Err(Refused::Stopped { reason: error.to_string() }),
            None => self.intake.submit(entries),
        }
    }

    /// Whether entries are taken. False once the log is being closed, after an error that stops the log, and if a thread
    /// ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.intake.is_open() && self.core.stopped.get().is_none()
    }

    /// For how long more was durable than was published. `None` if everything durable is published.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        let behind = self.core.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.map(|since| since.elapsed())
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

    /// Reads the files of the store anew, so that the log keeps no file open that a merge or a compaction has replaced.
    ///
    /// # Errors
    ///
    /// As those of [`StoreReader::refresh`].
    pub fn refresh(&self) -> Result<(), LogError> {
        self.core.refresh()
    }

    /// Takes no more entries, answers those that were taken, and publishes a last checkpoint.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn close(&self) -> Result<(), LogError> {
        self.intake.close();
        self.publisher.close();
        // What a merge or a busy disk makes fail succeeds a little later.
        let mut published = self.core.publish();
        for _ in 0..5 {
            if published.is_ok() || self.core.stopped.get().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
            published = self.core.publish();
        }
        published
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
        match &published {
            Ok(()) => self.is_now_published(),
            Err(error) if is_final(error) => drop(self.stopped.set(error.clone())),
            Err(_) => {}
        }
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

    fn refresh(&self) -> Result<(), LogError> {
        // No checkpoint is published meanwhile.
        let _gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        self.reader.refresh()?;
        if let Some(last) = self.published.load_full() {
            let Published { head, signed, note, at, time, .. } = &*last;
            let (signed, note, snapshot) = (signed.clone(), note.clone(), self.tree.snapshot());
            let same = Published { head: *head, signed, note, snapshot, at: *at, time: *time };
            self.published.store(Some(Arc::new(same)));
        }
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

    /// Notes that something became durable.
    fn is_now_behind(&self) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        if behind.is_none() && self.is_behind() {
            *behind = Some(Instant::now());
        }
    }

    /// Notes that a checkpoint was published.
    fn is_now_published(&self) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        *behind = self.is_behind().then(Instant::now);
    }

    /// Whether more is durable than was published.
    pub(crate) fn is_behind(&self) -> bool {
        let published = self.published.load();
        let size = published.as_ref().map_or(0, |published| published.head.size.get());
        published.is_none() || self.tree.durable_size().get() > size
    }
}

/// Whether nothing is signed any more after this error, until the log is opened again.
fn is_final(error: &LogError) -> bool {
    let changed = matches!(error, LogError::Anchor(AnchorError::Changed { .. }));
    changed || matches!(error, LogError::Mismatch { .. } | LogError::Forked { .. })
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

/// Refuses an anchor that lies within the store: a copy of the store would have a copy of it. Both directories must
/// exist, so that links are followed.
///
/// # Errors
///
/// [`LogError::AnchorInStore`]; [`LogError::Anchor`] if a directory cannot be found.
pub fn anchor_must_be_outside(anchor: &Path, store: &Path) -> Result<(), LogError> {
    let full = |path: &Path| {
        path.canonicalize().map_err(|error| AnchorError::Io {
            action: "find the directory of",
            place: path.display().to_string(),
            reason: error.to_string(),
        })
    };
    let (anchor, store) = (full(anchor)?, full(store)?);
    if !anchor.starts_with(&store) {
        return Ok(());
    }
    let text = |path: PathBuf| path.display().to_string();
    Err(LogError::AnchorInStore { anchor: text(anchor), store: text(store) })
}
