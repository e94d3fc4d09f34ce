//! A store in a bucket, seen from a program.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use duramen::ship::{LogFeed, rebuild};
use duramen::{Config, Store};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use crate::client::Client;
use crate::collect::Collected;
use crate::dirs;
use crate::error::{Error, Result};
use crate::note::{Note, NoteDir};
use crate::objects::StoreId;
use crate::protocol::{fetch_content, identity, initialise, probe, read, take_over};
use crate::runtime::Runtime;
use crate::ship::{ShipConfig, Shipper};

/// A place in a bucket for one store.
///
/// Calls wait for the bucket. They can be made on any thread, also within an async runtime, which they then block.
///
/// # Examples
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// use duramen::{Accumulator, Config};
/// use duramen_remote::{Level, Remote, ShipConfig};
///
/// let path = dir.path().join("store");
/// let log: Accumulator = Accumulator::open(Config::new(&path))?;
///
/// let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
/// remote.init(&log.store())?;
/// let shipper = remote.ship(&log.store(), ShipConfig::new(&path))?;
/// log.insert([7; 32])?;
/// shipper.flush_to(Level::Remote)?;
/// let head = log.head()?;
///
/// // The machine is lost. Another one takes over.
/// drop((shipper, log));
/// let there = dir.path().join("there");
/// remote.take_over(&there)?;
/// let log: Accumulator = Accumulator::open(Config::new(&there))?;
/// assert_eq!(log.head()?, head);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) client: Arc<Client>,
    pub(crate) runtime: Runtime,
}

/// What is in a bucket.
///
/// # Examples
///
/// See [`Remote::status`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStatus {
    /// The identifier of the store.
    pub store: [u8; 16],
    /// The newest epoch: how often a writer has begun. 0 if none has.
    pub epoch: u64,
    /// The number of the manifest in force; `None` if no writer has begun.
    pub manifest: Option<u64>,
    /// The sequence number of the store up to which everything is in the bucket; `None` before anything was shipped.
    pub seq: Option<u64>,
    /// The next slot of the log.
    pub next_slot: u64,
    /// Slots that the state in the bucket does not cover. A takeover reads them.
    pub slots_behind_state: u64,
    /// The parts of the state.
    pub parts: u64,
    /// Bytes of these parts.
    pub part_bytes: u64,
    /// Bytes of log behind the state.
    pub log_bytes: u64,
}

/// What was restored.
///
/// # Examples
///
/// See [`Remote::restore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The sequence number of the store that the directory has.
    pub seq: u64,
    /// The epoch of the takeover; `None` if nothing was taken over.
    pub epoch: Option<u64>,
    /// The parts that were fetched.
    pub parts: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

impl Remote {
    /// The place at `url`: `file:///directory`, which is made if it is missing, or, with the feature `s3`,
    /// `s3://bucket/prefix`. The server and the credentials of the latter are in the environment: `AWS_ENDPOINT`,
    /// `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and `AWS_ALLOW_HTTP=true` for one without TLS.
    ///
    /// # Errors
    ///
    /// [`WrongUrl`](Error::WrongUrl) if the address cannot be used. The bucket is not asked yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use duramen_remote::{Error, Remote};
    ///
    /// assert!(matches!(Remote::new("gopher://bucket"), Err(Error::WrongUrl { .. })));
    /// ```
    pub fn new(url: &str) -> Result<Self> {
        let wrong = |reason: String| Error::WrongUrl { url: url.to_owned(), reason };
        let parsed = url::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        #[cfg(feature = "s3")]
        if parsed.scheme() == "s3" {
            return Self::from_object_store(crate::s3::open(url).map_err(wrong)?, parsed.path());
        }
        if parsed.scheme() != "file" {
            let known = if cfg!(feature = "s3") { "file:// and s3://" } else { "file://" };
            let scheme = parsed.scheme();
            return Err(wrong(format!(
                "`{scheme}` is not among the schemes that are known: {known}"
            )));
        }
        let dir = parsed.to_file_path().map_err(|()| wrong("it names no directory".to_owned()))?;
        dirs::make(&dir).map_err(|error| wrong(error.to_string()))?;
        let store =
            LocalFileSystem::new_with_prefix(&dir).map_err(|error| wrong(error.to_string()))?;
        Self::from_object_store(Arc::new(store.with_fsync(true)), "")
    }

    /// The place below `prefix` in `store`.
    ///
    /// A client of a server must not retry by itself: it would report a success whose answer was lost as a conflict.
    ///
    /// # Errors
    ///
    /// [`WrongUrl`](Error::WrongUrl) if the prefix is no path, [`Io`](Error::Io) if the system gives no timer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use duramen_remote::Remote;
    ///
    /// let memory = Arc::new(object_store::memory::InMemory::new());
    /// let remote = Remote::from_object_store(memory, "logs/main")?;
    /// # Ok::<(), duramen_remote::Error>(())
    /// ```
    pub fn from_object_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<Self> {
        let prefix = object_store::path::Path::parse(prefix).map_err(|error| Error::WrongUrl {
            url: prefix.to_owned(),
            reason: error.to_string(),
        })?;
        let client = Arc::new(Client::new(store, prefix));
        Ok(Self { client, runtime: Runtime::new()? })
    }

    /// Gives up a call that fails after so many tries; at first 6, which takes some seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use duramen_remote::{Error, Remote};
    ///
    /// let memory = Arc::new(object_store::memory::InMemory::new());
    /// let remote = Remote::from_object_store(memory, "")?.give_up_after(1);
    /// assert!(matches!(remote.status(), Err(Error::NoStore)));
    /// # Ok::<(), duramen_remote::Error>(())
    /// ```
    #[must_use]
    pub fn give_up_after(self, tries: u32) -> Self {
        self.client.set_tries(tries);
        self
    }

    pub(crate) fn run<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        self.runtime.block_on(call)
    }

    /// Makes this place one for `store`, after a test of the bucket. Does nothing if it is one already.
    ///
    /// # Errors
    ///
    /// [`OtherStore`](Error::OtherStore) if another store is here; [`Unsuitable`](Error::Unsuitable) if the bucket
    /// lets two create one object.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn init(&self, store: &Store) -> Result<()> {
        let own = LogFeed::begin(store)?.store()?;
        self.run(async {
            if let Some((found, _)) = identity(&*self.client).await? {
                return same(own, found);
            }
            probe(&*self.client).await?;
            initialise(&*self.client, own).await?;
            let (found, _) = identity(&*self.client).await?.ok_or(Error::NoStore)?;
            same(own, found)
        })
    }

    /// What is in the bucket. Changes nothing there.
    ///
    /// # Errors
    ///
    /// [`NoStore`](Error::NoStore) if nothing is here, and what reading the bucket fails with.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Config, Store};
    /// # use duramen_remote::Remote;
    /// let store = Store::open(Config::new(dir.path().join("store")))?;
    /// let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// remote.init(&store)?;
    /// assert_eq!(remote.status()?.epoch, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> Result<RemoteStatus> {
        let (found, collected) = self.run(read(&*self.client, || Ok(Collected::default())))?;
        let floor = found.manifest.as_ref().map_or(0, |manifest| manifest.floor);
        let next_slot = found.cursor.map_or(0, |cursor| cursor.slot);
        let shipped = collected.state.is_some();
        Ok(RemoteStatus {
            store: found.store,
            epoch: found.epoch,
            manifest: found.manifest.as_ref().map(|manifest| manifest.number),
            seq: found.cursor.filter(|_| shipped).map(|cursor| cursor.seq),
            next_slot,
            slots_behind_state: next_slot - floor,
            parts: collected.parts.len() as u64,
            part_bytes: collected.parts.iter().map(|part| part.len).sum(),
            log_bytes: collected.records.iter().map(|records| records.len() as u64).sum(),
        })
    }

    /// Copies what is in the bucket to the directory `dir`, which has to be missing or empty. Takes nothing over: a writer
    /// goes on, and may have written more by the time that this returns. So the copy cannot be [shipped](Self::ship).
    ///
    /// # Errors
    ///
    /// What reading the bucket or writing the directory fails with. The directory then refuses to be opened, or is
    /// empty.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Level, Remote, ShipConfig};
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path))?;
    /// log.insert([7; 32])?;
    /// shipper.flush_to(Level::Remote)?;
    /// let restored = remote.restore(dir.path().join("copy"))?;
    /// assert!(restored.seq >= 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(&self, dir: impl Into<PathBuf>) -> Result<Restored> {
        let dir = dir.into();
        // What a state needs may be collected while it is fetched. Then there is a newer one.
        let mut tries = 0;
        loop {
            let (_, collected) = self.run(read(&*self.client, || Ok(Collected::default())))?;
            match self.rebuild(&dir, &collected) {
                Err(Error::Missing { .. }) if tries < 4 => tries += 1,
                restored => return restored,
            }
        }
    }

    /// Takes the store over and copies it to the directory `dir`, which has to be missing or empty. No writer that began
    /// before can write to the bucket any more, so nothing is acknowledged as remote that the directory does not have.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore); and [`Fenced`](Error::Fenced) if another takeover began later.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn take_over(&self, dir: impl Into<PathBuf>) -> Result<Restored> {
        let dir = dir.into();
        let mut collected = Collected::default();
        let mut writer = self.run(take_over(Arc::clone(&self.client), &mut collected))?;
        let (store, _) = self.run(identity(&*self.client))?.ok_or(Error::NoStore)?;
        let restored = match self.rebuild(&dir, &collected) {
            Err(error @ (Error::Missing { .. } | Error::Damaged { .. })) => {
                // A later takeover may have collected it.
                self.run(writer.look())?;
                return Err(error);
            }
            restored => restored?,
        };
        let note = Note { epoch: collected.written_by, sent: writer.committed() };
        NoteDir::open(&dir)?.write(store, note)?;
        Ok(Restored { epoch: Some(writer.epoch()), ..restored })
    }

    fn rebuild(&self, dir: &Path, collected: &Collected) -> Result<Restored> {
        let Some(state) = &collected.state else { return Err(Error::Nothing) };
        let records: Vec<&[u8]> = collected.records.iter().map(AsRef::as_ref).collect();
        let rebuilt = rebuild::<Error>(&Config::new(dir), state, &records, |part, to| {
            let found = collected.parts.iter().find(|found| found.is(part));
            let found = found.ok_or_else(|| Error::Missing {
                name: format!("part {} of the state", part.number),
            })?;
            for chunk in &found.chunks {
                to.write(&self.run(fetch_content(&*self.client, chunk))?)?;
            }
            Ok(())
        })?;
        let (seq, parts, bytes) = (rebuilt.seq.0, rebuilt.parts, rebuilt.bytes);
        Ok(Restored { seq, epoch: None, parts, bytes })
    }

    /// Takes the bucket over for `store` and begins to ship what becomes durable. A writer on another machine is
    /// fenced, unless the bucket has what this store does not have.
    ///
    /// # Errors
    ///
    /// [`Superseded`](Error::Superseded) if another writer has written to the bucket since this directory was shipped or
    /// restored; [`SetBack`](Error::SetBack) if this directory has, and was set back to an earlier state of itself since;
    /// [`OtherStore`](Error::OtherStore); and what the bucket fails with.
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn ship(&self, store: &Store, config: ShipConfig) -> Result<Shipper> {
        Shipper::begin(self, store, config)
    }

    /// How many requests were made through this value and its clones: creates, reads, listings and deletions.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use duramen_remote::Remote;
    ///
    /// let memory = Arc::new(object_store::memory::InMemory::new());
    /// let remote = Remote::from_object_store(memory, "")?;
    /// assert_eq!(remote.requests().creates, 0);
    /// # Ok::<(), duramen_remote::Error>(())
    /// ```
    #[must_use]
    pub fn requests(&self) -> Requests {
        let requests = &self.client.requests;
        Requests {
            creates: requests.creates.load(Ordering::Relaxed),
            reads: requests.gets.load(Ordering::Relaxed),
            lists: requests.lists.load(Ordering::Relaxed),
            deletes: requests.deletes.load(Ordering::Relaxed),
            retries: requests.retries.load(Ordering::Relaxed),
        }
    }
}

/// How many requests were made.
///
/// # Examples
///
/// See [`Remote::requests`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// Objects that were created, or tried to be.
    pub creates: u64,
    /// Objects that were read.
    pub reads: u64,
    /// Listings.
    pub lists: u64,
    /// Objects that were deleted.
    pub deletes: u64,
    /// Waits before another try.
    pub retries: u64,
}

pub(crate) fn same(expected: StoreId, found: StoreId) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (const_hex::encode(expected), const_hex::encode(found));
    Err(Error::OtherStore { expected, found })
}
