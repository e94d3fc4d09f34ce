//! The pieces of a running store.

use std::cell::Cell;
use std::sync::Arc;

use super::batch::{LogBatch, append};
use super::rebuild::PartWriter;
use crate::directory::manifest::Manifest;
use crate::durability::DurabilityToken;
use crate::engine::ship::Feed;
use crate::engine::{Engine, PartsHold};
use crate::error::{Damage, Error, Problem, Result};
use crate::fs::{Access, ByteOffset, Dir};
use crate::ids::Seq;
use crate::store::Store;
use crate::sync::process::InProcess;
use crate::wal::LogKey;

/// Bytes of a part that are read at a time.
const STEP: usize = 1 << 20;

/// Reads the log of a running store as it becomes durable.
///
/// The log keeps its files from where the feed began until [`release`](Self::release), also those that a checkpoint has
/// made unnecessary. Drop the feed to end that. A feed begins where the last checkpoint ended.
///
/// See [`ship`](crate::ship) for an example.
pub struct LogFeed {
    feed: InProcess<Feed>,
}

impl std::fmt::Debug for LogFeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFeed").finish_non_exhaustive()
    }
}

impl LogFeed {
    /// Begins to read the log of `store`.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn begin(store: &Store) -> Result<Self> {
        let engine = store.kept_engine();
        let feed = Feed::begin(engine.get()?);
        let process = engine.get()?.process();
        Ok(Self { feed: InProcess::new(feed, process) })
    }

    /// The identifier of the store.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn store(&self) -> Result<[u8; 16]> {
        Ok(self.feed.get()?.engine().store_id().0)
    }

    /// The sequence number up to which everything was returned.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn seq(&self) -> Result<Seq> {
        Ok(self.feed.get()?.seq())
    }

    /// The sequence number up to which everything is durable on this machine.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn durable(&self) -> Result<Seq> {
        Ok(self.feed.get()?.durable())
    }

    /// The next groups that are durable, if there are any: about as many as `most` bytes hold, and all groups that count
    /// only together. Does not wait.
    ///
    /// # Errors
    ///
    /// If the log cannot be read. The next call begins at the same place.
    pub fn next(&mut self, most: usize) -> Result<Option<LogBatch>> {
        let feed = self.feed.get_mut()?;
        let first = feed.seq();
        let mut bytes = Vec::new();
        let enough = Cell::new(false);
        let mut copy = |header: &_, body: &[u8]| {
            append(&mut bytes, header, body);
            enough.set(bytes.len() >= most);
            Ok(())
        };
        let next = feed.read(&mut copy, &enough)?;
        let last = feed.seq();
        Ok((!bytes.is_empty()).then_some(LogBatch { first, last, bytes, next }))
    }

    /// Lets the log release what comes before the end of `batch`.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn release(&mut self, batch: &LogBatch) -> Result<()> {
        self.feed.get_mut()?.release_before(batch.next);
        Ok(())
    }

    /// The directory of the store, open: the one that is locked, wherever its path leads by now. For files that are kept
    /// beside those of the store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::ship::LogFeed;
    /// use duramen::{Config, Store};
    ///
    /// let store = Store::open(Config::new(dir.path().join("store")))?;
    /// let directory = LogFeed::begin(&store)?.directory()?;
    /// assert!(directory.metadata()?.is_dir());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child; [`Io`](Error::Io) if the store is not in a directory of the system, or
    /// if there are no descriptors left.
    pub fn directory(&self) -> Result<std::fs::File> {
        let engine = self.feed.get()?.engine();
        let fail = |error| Error::io("open the directory of", engine.shown_path(), error);
        let directory = engine.file_system().os_dir(Dir::Root);
        let directory = directory.ok_or_else(|| fail(std::io::ErrorKind::Unsupported.into()))?;
        directory.try_clone_to_owned().map(Into::into).map_err(fail)
    }

    /// The thread of the store that makes records durable.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    ///
    /// # Examples
    ///
    /// See [`FlusherThread`].
    pub fn flusher(&self) -> Result<FlusherThread> {
        Ok(FlusherThread(self.feed.get()?.token()))
    }

    /// The state as of the last checkpoint. The store keeps its parts until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn state(&self) -> Result<StoreState> {
        let feed = self.feed.get()?;
        let (manifest, hold) = feed.state();
        Ok(StoreState::new(feed.engine(), manifest, hold))
    }

    /// The state in force, if its [number](StoreState::number) is above `than`. Checkpoints, merges and prunes each make a
    /// new one. Returns `None` too while one of them is at work: this call does not wait for it, and the next call finds
    /// what it made.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// use duramen::ship::LogFeed;
    /// use duramen::{Accumulator, Config};
    ///
    /// let log: Accumulator = Accumulator::open(Config::new(dir.path().join("here")))?;
    /// let feed = LogFeed::begin(&log.store())?;
    /// let first = feed.newer_state(None)?.ok_or("there is a state")?;
    /// assert!(feed.newer_state(Some(first.number()))?.is_none());
    /// log.insert([7; 32])?;
    /// log.checkpoint()?;
    /// assert!(feed.newer_state(Some(first.number()))?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Forked`](Error::Forked) in a forked child.
    pub fn newer_state(&self, than: Option<u64>) -> Result<Option<StoreState>> {
        let feed = self.feed.get()?;
        let newer = feed.newer_state(than);
        Ok(newer.map(|(manifest, hold)| StoreState::new(feed.engine(), manifest, hold)))
    }
}

/// The thread of a store that makes records durable and tells listeners so. Checkpoints wait for it. So a call in such a
/// listener must not wait for what may wait for a checkpoint.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::ship::LogFeed;
/// use duramen::{Config, Store};
///
/// let store = Store::open(Config::new(dir.path().join("store")))?;
/// let flusher = LogFeed::begin(&store)?.flusher()?;
/// // This is another thread.
/// flusher.check_may_wait("the example")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlusherThread(DurabilityToken);

impl FlusherThread {
    /// Fails on this thread, where `call` would wait for itself.
    ///
    /// # Errors
    ///
    /// [`WouldWaitForItself`](Error::WouldWaitForItself).
    ///
    /// # Examples
    ///
    /// See [`FlusherThread`].
    pub fn check_may_wait(&self, call: &'static str) -> Result<()> {
        self.0.check_may_wait(call)
    }
}

/// A part of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ShippedPart {
    /// The number of the part, which the store uses once.
    pub number: u64,
    /// Bytes of the part.
    pub len: u64,
    /// A checksum of the part. With the number and the length it tells parts of different histories apart.
    pub checksum: u64,
}

/// The state of a store: its trees and marks, and which parts have their leaves.
///
/// See [`ship`](crate::ship) for an example.
pub struct StoreState {
    engine: Arc<Engine>,
    bytes: Vec<u8>,
    number: u64,
    covers: Seq,
    parts: Vec<ShippedPart>,
    _hold: PartsHold,
}

impl std::fmt::Debug for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreState")
            .field("number", &self.number)
            .field("covers", &self.covers)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl StoreState {
    fn new(engine: &Arc<Engine>, mut manifest: Manifest, hold: PartsHold) -> Self {
        let covers = manifest.log.seq;
        let number = manifest.number;
        // What is before the open stretch is in batches, and no key leaves the store.
        let begin = manifest.log.closed.first().map_or(manifest.log.open, |extent| extent.from);
        manifest.log.closed.clear();
        manifest.log.open = begin;
        manifest.log.open.key = LogKey([0; 16]);
        let parts = parts_of(&manifest);
        let engine = Arc::clone(engine);
        Self { engine, bytes: manifest.encode(), number, covers, parts, _hold: hold }
    }

    /// The state. Its format is that of the manifest of the store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Counts the states of the store.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The sequence number up to which the state has everything.
    #[must_use]
    pub fn covers(&self) -> Seq {
        self.covers
    }

    /// The parts that the state needs.
    #[must_use]
    pub fn parts(&self) -> &[ShippedPart] {
        &self.parts
    }

    /// Reads `out.len()` bytes of `part` from the byte `at` on.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read_part(&self, part: &ShippedPart, at: u64, out: &mut [u8]) -> Result<()> {
        self.engine.process().check()?;
        let name = crate::ids::PartId(part.number).file();
        let fs = self.engine.file_system();
        let fail = |action| move |error| Error::io(action, fs.display(name), error);
        let file = fs.open(name, Access::Read).map_err(fail("open"))?;
        let found = file.len().map_err(fail("measure"))?;
        if found < part.len {
            let problem = Problem::Truncated { expected: part.len, found };
            return Err(Damage::new(fs.display(name), 0, problem).into());
        }
        file.read_at(ByteOffset(at), out).map_err(fail("read"))
    }

    /// Copies all bytes of `part`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or the copy cannot be written.
    pub fn copy_part(&self, part: &ShippedPart, to: &mut PartWriter<'_>) -> Result<()> {
        let mut buffer = vec![0; STEP];
        let mut at = 0;
        while at < part.len {
            let len = usize::try_from(part.len - at).unwrap_or(STEP).min(STEP);
            self.read_part(part, at, &mut buffer[..len])?;
            to.write(&buffer[..len])?;
            at += len as u64;
        }
        Ok(())
    }
}

/// The parts of a manifest.
pub(super) fn parts_of(manifest: &Manifest) -> Vec<ShippedPart> {
    let all = manifest.trees.iter().flat_map(|tree| &tree.parts);
    all.map(|part| ShippedPart { number: part.number.0, len: part.len, checksum: part.checksum })
        .collect()
}
