//! Ships a running store: its log slot by slot, and its state after each checkpoint.
//!
//! # Invariants
//!
//! - A shipper has an epoch of its own. It begins only if the bucket has nothing that the directory does not have.
//! - The note of the directory is durable before the first slot of the epoch is sent.

mod begin;
mod config;
mod shared;
mod work;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use duramen::{DurabilityToken, Store};

use crate::error::{Error, Result};
use crate::remote::{Remote, Requests};
pub use config::{Level, ShipConfig, ShipPolicy};
use shared::Shared;
use work::Worker;

/// Ships a store until it is closed or fenced. Dropping it closes it; what it then fails with is only logged.
///
/// Close it before the store: it ships what is durable.
///
/// # Examples
///
/// See [`Remote`].
pub struct Shipper {
    shared: Arc<Shared>,
    remote: Remote,
    store: Store,
    epoch: u64,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Shipper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shipper").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// What a shipper has done.
///
/// # Examples
///
/// See [`Shipper::stats`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShipStats {
    /// The epoch of the shipper.
    pub epoch: u64,
    /// The sequence number up to which everything is durable on this machine.
    pub local: u64,
    /// The sequence number up to which everything is in the bucket.
    pub remote: u64,
    /// Slots that were sent.
    pub slots: u64,
    /// Bytes of log that were sent.
    pub log_bytes: u64,
    /// States that were sent.
    pub states: u64,
    /// Bytes of parts that were sent.
    pub part_bytes: u64,
    /// Objects that were deleted because nothing needs them any more.
    pub collected: u64,
    /// Requests through the [`Remote`] and its clones.
    pub requests: Requests,
    /// What the last attempt failed with, if it did.
    pub last_error: Option<Error>,
}

impl Shipper {
    pub(crate) fn begin(remote: &Remote, store: &Store, config: ShipConfig) -> Result<Self> {
        let worker = Worker::begin(remote, store, config)?;
        let (shared, epoch) = (Arc::clone(&worker.shared), worker.writer.epoch());
        let thread = std::thread::Builder::new().name("duramen-ship".to_owned());
        let thread = thread.spawn(|| worker.run()).map_err(|error| Error::Io {
            action: "start a thread for",
            path: "shipping".into(),
            reason: error.to_string(),
        })?;
        let (remote, store, thread) = (remote.clone(), store.clone(), Some(thread));
        Ok(Self { shared, remote, store, epoch, thread })
    }

    /// The epoch of this shipper.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Config, Store};
    /// # use duramen_remote::{Remote, ShipConfig};
    /// # let path = dir.path().join("store");
    /// # let store = Store::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&store)?;
    /// let shipper = remote.ship(&store, ShipConfig::new(&path))?;
    /// assert_eq!(shipper.epoch(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A token for the same records as `token`, which resolves once they are in the bucket.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Remote, ShipConfig};
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path))?;
    /// let inserted = log.insert([7; 32])?;
    /// shipper.remote(&inserted.token).wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn remote(&self, token: &DurabilityToken) -> RemoteToken {
        RemoteToken { wanted: token.seq().0, shared: Arc::clone(&self.shared) }
    }

    /// Returns once everything that was accepted before has this level.
    ///
    /// # Errors
    ///
    /// What the local flush fails with; and as [`RemoteToken::wait`].
    ///
    /// # Examples
    ///
    /// See [`Remote`].
    pub fn flush_to(&self, level: Level) -> Result<()> {
        let token = self.store.flush_async()?;
        token.wait()?;
        if level >= Level::Remote {
            self.shared.request();
            self.remote(&token).wait()?;
        }
        Ok(())
    }

    /// What the shipper has done.
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
    /// let stats = shipper.stats();
    /// assert_eq!(stats.remote, stats.local);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> ShipStats {
        let local = self.store.durable_seq().map_or(0, |seq| seq.0);
        let requests = self.remote.requests();
        let state = self.shared.lock();
        ShipStats {
            epoch: self.epoch,
            local,
            remote: state.remote,
            slots: state.slots,
            log_bytes: state.bytes,
            states: state.states,
            part_bytes: state.part_bytes,
            collected: state.collected,
            requests,
            last_error: state.last_error.clone(),
        }
    }

    /// Ships what is durable, and ends.
    ///
    /// # Errors
    ///
    /// [`Fenced`](Error::Fenced) if another writer has taken over; [`Unreachable`](Error::Unreachable) if the bucket does
    /// not answer: what is not in it yet is shipped when the store is shipped again.
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Remote, ShipConfig};
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path))?;
    /// log.insert_durable([7; 32])?;
    /// shipper.close()?;
    /// log.close()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(mut self) -> Result<()> {
        self.end();
        self.shared.failure().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that ships has panicked");
        }
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Resolves once some records are in the bucket.
///
/// # Examples
///
/// See [`Shipper::remote`].
#[derive(Clone)]
pub struct RemoteToken {
    wanted: u64,
    shared: Arc<Shared>,
}

impl fmt::Debug for RemoteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteToken").field("seq", &self.wanted).finish_non_exhaustive()
    }
}

impl RemoteToken {
    /// Waits until the records are in the bucket.
    ///
    /// # Errors
    ///
    /// [`Fenced`](Error::Fenced) if another writer has taken over before; [`Closed`](Error::Closed) if the shipper was
    /// closed before. Never waits for a shipper that has ended.
    ///
    /// # Examples
    ///
    /// See [`Shipper::remote`].
    pub fn wait(&self) -> Result<()> {
        self.shared.wait(self.wanted, None).map(drop)
    }

    /// As [`wait`](Self::wait), for at most `longest`. Returns whether the records are in the bucket.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # use duramen::{Accumulator, Config};
    /// # use duramen_remote::{Remote, ShipConfig, ShipPolicy};
    /// # use std::time::Duration;
    /// # let path = dir.path().join("store");
    /// # let log: Accumulator = Accumulator::open(Config::new(&path))?;
    /// # let remote = Remote::new(&format!("file://{}/bucket", dir.path().display()))?;
    /// # remote.init(&log.store())?;
    /// let shipper = remote.ship(&log.store(), ShipConfig::new(&path).policy(ShipPolicy::Manual))?;
    /// let inserted = log.insert([7; 32])?;
    /// assert!(!shipper.remote(&inserted.token).wait_timeout(Duration::from_millis(10))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_timeout(&self, longest: Duration) -> Result<bool> {
        self.shared.wait(self.wanted, Some(longest))
    }

    /// Whether the records are in the bucket.
    ///
    /// # Examples
    ///
    /// See [`Shipper::remote`].
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.shared.lock().remote >= self.wanted
    }
}
