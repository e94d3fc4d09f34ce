//! One log: a tree, its gate, its signers, and the checkpoint that stands.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use duramen::tlog::{AnyVerifier, Signer};
use duramen::{
    Arity, DynAccumulator, Hasher, Rfc6962Sha256, Store, StoreReader, TreeConfig, TreeSize,
};
use tokio::sync::{oneshot, watch};

use crate::config::{LogConfig, ReceiptSigner};
use crate::damage::{Damages, FoundDamage};
use crate::error::LogError;
use crate::gate::{self, Expected, Gate};
use crate::intake::{Answer, Intake, Refused};
use crate::published::Published;
use crate::publisher::Publisher;
use crate::shared::Core;
use crate::witnesses::{WitnessState, Witnesses};

/// A log that takes entries and publishes checkpoints.
///
/// An entry that was answered is durable. It is in the next checkpoint, which is signed after its entries were read back
/// from the disk and hashed by other code. See [`Anchor`](crate::Anchor) for what keeps a log from signing two histories.
pub struct Log {
    core: Arc<Core>,
    intake: Intake,
    publisher: Publisher,
    longest: usize,
    most_waiting: usize,
    public_keys: Vec<AnyVerifier>,
    minimum_index: u64,
    receipts: Option<(ReceiptSigner, Vec<u8>)>,
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
    /// must not be signed; [`LogError::KeyName`] if no key has the name of the log.
    pub fn open(
        store: &Store,
        reader: Arc<StoreReader>,
        config: LogConfig,
    ) -> Result<Self, LogError> {
        config.check_names()?;
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
            replacing: Mutex::new(()),
            witnesses: OnceLock::new(),
            size: watch::Sender::new(0),
            failure: Mutex::new(None),
            stopped: OnceLock::new(),
            damages: Damages::default(),
            behind: Mutex::new(None),
        });
        let size = core.tree.durable_size().get();
        match config.witnesses {
            None => core.publish()?,
            Some(policy) => core.await_witnesses(policy)?,
        }
        if config.minimum_index > size {
            let least = config.minimum_index;
            let reason = format!("it has {size} leaves, and is to publish none below {least}");
            return Err(LogError::NotALog { tree: core.tree.name().clone(), reason });
        }
        let behind = Arc::clone(&core);
        let publish = move || if behind.is_behind() { behind.publish() } else { Ok(()) };
        let stopped = Arc::clone(&core);
        let panicked = move || stopped.stop("the thread that publishes checkpoints has panicked");
        let publisher = Publisher::start(core.origin.clone(), config.interval, publish, panicked);
        let publisher = publisher.map_err(|error| core.no_thread(&error))?;
        if core.is_behind() {
            publisher.waker().wake();
        }
        let longest = usize::try_from(entries.longest_bytes()).unwrap_or(usize::MAX);
        let (wake, grown) = (publisher.waker(), Arc::clone(&core));
        let settled = move |durable: &Result<(), LogError>| match durable {
            Ok(()) => {
                grown.is_now_behind();
                wake.wake();
            }
            // Nothing of this store becomes durable any more.
            Err(error) => drop(grown.stopped.set(error.clone())),
        };
        let limits = (config.most_waiting, longest);
        let intake = Intake::start(Arc::clone(&core.tree), config.unique, limits, settled);
        let intake = intake.map_err(|error| core.no_thread(&error))?;
        Ok(Self {
            core,
            intake,
            publisher,
            longest,
            most_waiting: config.most_waiting,
            public_keys: config.public_keys,
            minimum_index: config.minimum_index,
            receipts: config.receipts,
            interval: config.interval,
        })
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

    /// The key of receipts, and its header `kid`. `None` if the log gives none.
    pub(crate) fn receipts(&self) -> Option<(&dyn Signer, &[u8])> {
        self.receipts.as_ref().map(|(signer, key_id)| (&**signer as &dyn Signer, &key_id[..]))
    }

    /// Submits entries, which are inserted together and in order. The answer comes once they are durable.
    ///
    /// # Errors
    ///
    /// [`Refused`] if too much waits already, or if the log is being closed. Nothing of the entries is then inserted.
    pub fn submit(&self, entries: Vec<Bytes>) -> Result<oneshot::Receiver<Answer>, Refused> {
        match self.core.stopped.get() {
            Some(error) => {
                Err(Refused::Stopped { reason: error.to_string(), disk_full: error.is_disk_full() })
            }
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

    /// How many bytes of entries may wait to be inserted.
    #[must_use]
    pub fn most_waiting(&self) -> usize {
        self.most_waiting
    }

    /// The public keys that the log shows: first its own, then those of its cosigners.
    #[must_use]
    pub fn public_keys(&self) -> &[AnyVerifier] {
        &self.public_keys
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

    /// The witnesses of the log, in the order of their policy, as they were last seen. None if it has no policy.
    #[must_use]
    pub fn witnesses(&self) -> Vec<WitnessState> {
        self.core.witnesses.get().map(Witnesses::states).unwrap_or_default()
    }

    /// The damage of the store that was found since the log was opened, what stopped the log first.
    #[must_use]
    pub fn damage(&self) -> Vec<FoundDamage> {
        self.core.damages.all()
    }

    /// Remembers damage that was found. If it concerns what the log signs, the log signs nothing and takes no entries from
    /// now on. What is published stays so, and what is intact can be read.
    pub fn found_damage(&self, found: FoundDamage) {
        self.core.found_damage(found);
    }

    /// Publishes a checkpoint of all that is durable now.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`LogError::Signer`] if a key cannot sign; [`LogError::NotWitnessed`] if too few witnesses
    /// cosigned.
    pub fn publish(&self) -> Result<(), LogError> {
        self.core.publish()
    }

    /// Reads the files of the store again, so that the log keeps no file open that a merge or a compaction has replaced.
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
            // For witnesses it was waited already.
            let waited = matches!(published, Err(LogError::NotWitnessed { .. }));
            if published.is_ok() || waited || self.core.stopped.get().is_some() {
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
