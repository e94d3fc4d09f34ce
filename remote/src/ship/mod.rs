//! Ships a running store: its log slot by slot, and its state after each checkpoint.
//!
//! # Invariants
//!
//! - A shipper has an epoch of its own. It begins only if the bucket has nothing that the directory does not have.
//! - The note of the directory is durable before the first slot of the epoch is sent.

mod begin;
mod config;
mod handle;
mod shared;
mod work;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use duramen::{DurabilityToken, Store};

use crate::error::{Error, Result};
use crate::remote::{Remote, Requests};
pub use config::{Level, ShipConfig, ShipPolicy};
pub use handle::ShipHandle;
use shared::Shared;
use work::Worker;

/// How often a waiter for records that are not durable here looks whether the shipper has ended.
const LOOK: Duration = Duration::from_millis(50);

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

    /// What watches and abandons this shipper from other threads.
    ///
    /// # Examples
    ///
    /// See [`ShipHandle::abandon`].
    #[must_use]
    pub fn handle(&self) -> ShipHandle {
        ShipHandle { shared: Arc::clone(&self.shared) }
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
        self.handle().remote(token)
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
    /// not answer: what is not in it yet is shipped when the store is shipped again. [`Closed`](Error::Closed) if it was
    /// [abandoned](ShipHandle::abandon) before everything was in the bucket. On the flusher's thread of the store, where a
    /// listener runs, [`WouldWaitForItself`](duramen::Error::WouldWaitForItself): it then ends without this call.
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
        self.end()?;
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        let (remote, wanted) = (self.shared.lock().remote, self.store.durable_seq()?.0);
        match self.shared.is_abandoned() && remote < wanted {
            true => Err(Error::Closed { remote, wanted }),
            false => Ok(()),
        }
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stop();
        if self.thread.is_some() {
            self.shared.check_may_wait("Shipper::close")?;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that ships has panicked");
        }
        Ok(())
    }
}

impl Drop for Shipper {
    fn drop(&mut self) {
        // On the flusher's thread it was told to stop, and ends by itself.
        let _ = self.end();
    }
}

/// Resolves once some records are in the bucket.
///
/// # Examples
///
/// See [`Shipper::remote`].
#[derive(Clone)]
pub struct RemoteToken {
    token: DurabilityToken,
    shared: Arc<Shared>,
}

impl fmt::Debug for RemoteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteToken").field("seq", &self.token.seq()).finish_non_exhaustive()
    }
}

impl RemoteToken {
    fn wanted(&self) -> u64 {
        self.token.seq().0
    }

    fn wait_at_most(&self, longest: Option<Duration>, call: &'static str) -> Result<bool> {
        let until = longest.and_then(|longest| Instant::now().checked_add(longest));
        let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
        // Only the store knows that the records never become durable, and only the shipper that it has ended.
        while !self.token.wait_timeout(left().map_or(LOOK, |left| left.min(LOOK)))?
            && !self.shared.has_ended()
        {
            if left().is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
        self.shared.wait(self.wanted(), left(), call)
    }

    /// Waits until the records are durable here, and then until they are in the bucket.
    ///
    /// # Errors
    ///
    /// What the [`DurabilityToken`] fails with. [`Fenced`](Error::Fenced) if another writer has taken over before;
    /// [`Closed`](Error::Closed) if the shipper was closed before. Never waits for a shipper that has ended. On the flusher's
    /// thread of the store, where a listener runs, [`WouldWaitForItself`](duramen::Error::WouldWaitForItself) if the
    /// records are not in the bucket yet.
    ///
    /// # Examples
    ///
    /// See [`Shipper::remote`].
    pub fn wait(&self) -> Result<()> {
        self.wait_at_most(None, "RemoteToken::wait").map(drop)
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
        self.wait_at_most(Some(longest), "RemoteToken::wait_timeout")
    }

    /// Whether the records are in the bucket.
    ///
    /// # Examples
    ///
    /// See [`Shipper::remote`].
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.token.is_durable() && self.shared.lock().remote >= self.wanted()
    }
}
